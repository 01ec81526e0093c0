"""The options of a network: which cell, how wide, how deep, which topology."""

from __future__ import annotations

from typing import Literal

from elman.options import Options, option


class NetworkOptions(Options):
    """Architecture."""

    topology: Literal["auto", "seq-to-seq", "seq-to-vector"] = option(
        "auto",
        "seq-to-seq: a forecast at every step of the window, all of them in the loss; "
        "seq-to-vector: at the last step only; auto: what fits input and target best.",
    )
    cell: Literal["rnn", "gru", "lstm"] = option("gru", "The recurrent cell.")
    nonlinearity: Literal["tanh", "relu"] = option("tanh", "Of the plain RNN cell.")
    hidden: int = option(64, "Hidden units of each recurrent layer.", ge=1, le=65_536)
    layers: int = option(1, "Recurrent layers, one upon the other.", ge=1, le=256)
    bidirectional: bool = option(
        False, "Read the window in both directions (seq-to-vector only: else it sees the answer)."
    )
    dropout: float = option(
        0.0, "Share of outputs dropped between layers and before the head.", ge=0, lt=1
    )
