"""Puts a network together as the options say: recurrent layers, heads, decoders."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from elman.errors import InputError
from elman.layers import (
    GRU,
    LRU,
    LSTM,
    RNN,
    Attention,
    IndRNN,
    LayerOptions,
    MinGRU,
    MinLSTM,
    Stack,
)
from elman.networks.decoder import Decoder
from elman.networks.options import NetworkOptions
from elman.networks.seq_to_seq import SeqToSeq
from elman.networks.seq_to_vector import SeqToVector

CELLS = {
    "rnn": RNN,
    "gru": GRU,
    "lstm": LSTM,
    "mingru": MinGRU,
    "minlstm": MinLSTM,
    "lru": LRU,
    "indrnn": IndRNN,
}
# Options of single cells, and whose they are.
CELL_OPTIONS = {
    "nonlinearity": ("rnn",),
    "layer_norm": ("rnn", "gru", "lstm"),
    "peepholes": ("lstm",),
}
NETWORKS = {"seq-to-seq": SeqToSeq, "seq-to-vector": SeqToVector}


def build(topology: str, options: NetworkOptions, input_size: int, output_size: int) -> nn.Module:
    """Return a new network of `topology`, its parameters drawn from torch's generator."""
    recurrent = recurrent_layer(options, input_size)
    extra = {"pooling": options.pooling} if topology == "seq-to-vector" else {}
    return NETWORKS[topology](
        recurrent, output_width(recurrent), output_size, options.dropout, **extra
    )


def recurrent_layer(
    options: NetworkOptions,
    input_size: int,
    *,
    bidirectional: bool | None = None,
    hidden: int | None = None,
    layers: int | None = None,
    learn_state: bool | None = None,
) -> Stack:
    """Return a new layer, batch first; what is not given is as the options say."""
    own = [name for name, cells in CELL_OPTIONS.items() if options.cell in cells]
    extra: dict[str, Any] = {name: getattr(options, name) for name in own}
    around = {name: getattr(options, name) for name in LayerOptions.model_fields}
    if learn_state is not None:
        around["learn_state"] = learn_state
    layers = options.layers if layers is None else layers
    return CELLS[options.cell](
        input_size,
        options.hidden if hidden is None else hidden,
        num_layers=layers,
        batch_first=True,
        dropout=options.dropout if layers > 1 else 0.0,
        bidirectional=options.bidirectional if bidirectional is None else bidirectional,
        **extra,
        **around,
    )


def check_layer(options: NetworkOptions) -> None:
    """Refuse options that mean nothing to the recurrent layer they ask for.

    Raises:
        InputError: names the option, and why.
    """
    for name, cells in CELL_OPTIONS.items():
        value = getattr(options, name)
        if options.cell not in cells and value != NetworkOptions.model_fields[name].default:
            raise InputError(
                f"{name} {value!r}: only {', '.join(cells)} have it, and the cell is "
                f"{options.cell}; choose cell={cells[0]}, or leave it out"
            )
    with torch.device("meta"):
        recurrent_layer(options, 1, hidden=2)


def decoder_width(options: NetworkOptions) -> int:
    """Return the hidden units of a decoder: as many as its encoder answers at a step."""
    return options.hidden * (2 if options.bidirectional else 1)


def output_width(recurrent: Stack) -> int:
    """Return how many features a layer answers at a step, both directions together."""
    return recurrent.cells[0].output_size * recurrent.num_directions


class Lent(nn.Module):
    """An embedding that belongs to another part of the network, and is trained and saved there."""

    def __init__(self, embed: nn.Embedding) -> None:
        super().__init__()
        self._of = (embed,)  # in a tuple, a module is no part of this one

    def forward(self, tokens_N: Tensor) -> Tensor:
        """Return the vectors `(N, E)` of tokens `(N,)`."""
        return self._of[0](tokens_N)


class Tied(nn.Module):
    """Scores of tokens by an embedding's own matrix (Press and Wolf, 2017), and a bias.

    Shapes: `(N, E)` to `(N, V)`.
    """

    def __init__(self, embed: nn.Embedding) -> None:
        super().__init__()
        self._of = (embed,)
        self.bias = nn.Parameter(torch.zeros(embed.num_embeddings))

    def forward(self, hidden_NE: Tensor) -> Tensor:
        """Return the scores `(N, V)`."""
        return F.linear(hidden_NE, self._of[0].weight, self.bias)


def token_decoder(
    options: Any,
    vocabulary: int,
    embedding: int,
    *,
    memory_size: int = 0,
    context_size: int = 0,
    embed: nn.Embedding | None = None,
    embedding_dropout: float = 0.0,
) -> Decoder:
    """Return a new decoder over tokens.

    With `tied`, the matrix of words in is that of words out too; where the layer is not as wide as
    an embedding, a projection comes between.

    Args:
        options: with those of `NetworkOptions` and `DecoderOptions`.
        vocabulary: how many tokens there are.
        embedding: features of a token's vector.
        memory_size: features of a step of the encoder's memory; 0: there is no encoder.
        context_size: features of a vector fed at every step; 0: there is none.
        embed: an embedding of another part of the network (the encoder's, of a vocabulary that
            both share) to use as it is; not among the decoder's own parameters.
        embedding_dropout: see `Decoder`.
    """
    hidden = decoder_width(options)
    if embed is None:
        own = nn.Embedding(vocabulary, embedding)
        # Zaremba et al. (2014): torch's N(0, 1) would make scores of a tied matrix far too large.
        nn.init.uniform_(own.weight, -0.1, 0.1)
    else:
        own, embedding = embed, embed.embedding_dim
    if not options.tied:
        output: nn.Module = nn.Linear(hidden, vocabulary)
    elif hidden == embedding:
        output = Tied(own)
    else:
        output = nn.Sequential(nn.Linear(hidden, embedding, bias=False), Tied(own))
    return _decoder(
        options,
        own if embed is None else Lent(embed),
        embedding,
        output,
        memory_size=memory_size,
        context_size=context_size,
        embedding_dropout=embedding_dropout,
    )


def vector_decoder(
    options: Any,
    width: int,
    *,
    memory_size: int = 0,
    context_size: int = 0,
    output_size: int | None = None,
) -> Decoder:
    """Return a new decoder over vectors of `width` numbers, such as a picture's rows.

    Args:
        options: with those of `NetworkOptions` and `DecoderOptions`.
        width: numbers of an element, read and written.
        memory_size: features of a step of the encoder's memory; 0: there is no encoder.
        context_size: features of a vector fed at every step; 0: there is none.
        output_size: numbers written, where they are not `width`.
    """
    hidden = decoder_width(options)
    output = nn.Linear(hidden, width if output_size is None else output_size)
    embed = nn.Linear(width, hidden)
    return _decoder(
        options,
        embed,
        hidden,
        output,
        memory_size=memory_size,
        context_size=context_size,
    )


def _decoder(
    options: Any,
    embed: nn.Module,
    embedding: int,
    output: nn.Module,
    *,
    memory_size: int,
    context_size: int,
    embedding_dropout: float = 0.0,
) -> Decoder:
    attends = bool(memory_size) and options.attention != "none"
    feeds = attends and options.input_feeding
    hidden = decoder_width(options)
    input_size = embedding + context_size + (hidden if feeds else 0)
    # What an encoder read is the first state: there is none to learn.
    learns = options.learn_state and not memory_size
    return Decoder(
        embed,
        recurrent_layer(
            options, input_size, bidirectional=False, hidden=hidden, learn_state=learns
        ),
        hidden,
        output,
        attention=Attention(hidden, memory_size, options.attention) if attends else None,
        context_size=context_size,
        input_feeding=feeds,
        dropout=options.dropout,
        embedding_dropout=embedding_dropout,
    )
