"""The options of a network: which cell, how wide, how deep, which topology, how it decodes."""

from __future__ import annotations

from typing import Literal

from elman.layers.options import LayerOptions
from elman.options import Options, option


class NetworkOptions(LayerOptions):
    """Architecture."""

    topology: Literal["auto", "seq-to-seq", "seq-to-vector", "vector-to-seq", "encoder-decoder"] = (
        option(
            "auto",
            "What follows from input and target; for a forecast seq-to-seq (one at every step of "
            "the window, all of them in the loss) or seq-to-vector (at the last step only).",
        )
    )
    cell: Literal["rnn", "gru", "lstm", "mingru", "minlstm", "lru", "indrnn"] = option(
        "gru", "The recurrent cell; the last four are for long sequences."
    )
    nonlinearity: Literal["tanh", "relu"] = option("tanh", "Of the plain RNN cell.")
    layer_norm: bool = option(
        False, "Normalise the sums inside RNN, GRU and LSTM, at every step (Ba 2016)."
    )
    peepholes: bool = option(
        False, "Let the gates of an LSTM see its memory (Gers & Schmidhuber 2000)."
    )
    hidden: int = option(64, "Hidden units of each recurrent layer.", ge=1, le=65_536)
    layers: int = option(1, "Recurrent layers, one upon the other.", ge=1, le=256)
    bidirectional: bool = option(
        False, "Read the input in both directions (not where it would see the answer)."
    )
    dropout: float = option(
        0.0, "Share of outputs dropped between layers and before the head.", ge=0, lt=1
    )
    pooling: Literal["last", "mean", "max", "attention"] = option(
        "last",
        "How a sequence becomes one vector: its last state, the mean or maximum over its steps, or "
        "a weighted mean whose weights are learnt.",
    )


class DecoderOptions(Options):
    """Decoder."""

    attention: Literal["none", "additive", "multiplicative"] = option(
        "additive",
        "How the decoder looks at the encoder's steps: not at all, additive (Bahdanau 2015) or "
        "multiplicative (Luong 2015).",
    )
    input_feeding: bool = option(
        False, "Feed what attention found into the next step (Luong 2015); slower to train."
    )
    shared_vocabulary: bool = option(
        False, "One vocabulary and one embedding, learnt from both, for text in and text out."
    )
    tied: bool = option(False, "One matrix for words in and words out of the decoder.")
    start_with: Literal["state", "every-step", "both"] = option(
        "both", "How a vector starts a sequence: as the initial state, fed at every step, or both."
    )
    scheduled_sampling: float = option(
        0.0,
        "Share of the decoder's own words fed to it at the end of training, rising from none "
        "(Bengio 2015).",
        ge=0,
        le=1,
    )
