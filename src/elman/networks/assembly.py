"""Puts a network together: recurrent layers and a head, by topology."""

from __future__ import annotations

from torch import nn

from elman.layers import GRU, LSTM, RNN
from elman.networks.options import NetworkOptions
from elman.networks.seq_to_seq import SeqToSeq
from elman.networks.seq_to_vector import SeqToVector

CELLS = {"rnn": RNN, "gru": GRU, "lstm": LSTM}
NETWORKS = {"seq-to-seq": SeqToSeq, "seq-to-vector": SeqToVector}


def build(topology: str, options: NetworkOptions, input_size: int, output_size: int) -> nn.Module:
    """Return a new network of `topology`, its parameters drawn from torch's generator."""
    extra = {"nonlinearity": options.nonlinearity} if options.cell == "rnn" else {}
    recurrent = CELLS[options.cell](
        input_size,
        options.hidden,
        num_layers=options.layers,
        batch_first=True,
        dropout=options.dropout if options.layers > 1 else 0.0,
        bidirectional=options.bidirectional,
        **extra,
    )
    recurrent_size = options.hidden * (2 if options.bidirectional else 1)
    return NETWORKS[topology](recurrent, recurrent_size, output_size, options.dropout)
