"""The options of every recurrent layer beside its sizes: what goes around the cells of a stack.

Declared once: the layers take them as keywords, the command line and YAML under the same names.
No torch is loaded here.
"""

from __future__ import annotations

from typing import Literal, TypedDict

from elman.options import MOST, Options, option

Skip = Literal["none", "residual", "highway"]
Init = Literal["uniform", "orthogonal", "identity"]
Memory = Literal["all", "recompute", "sqrt"]


class LayerOptions(Options):
    """Recurrent layers."""

    input_dropout: float = option(
        0.0,
        "Share of each layer's input features dropped in training, the same ones at all steps of a "
        "row (variational: Gal & Ghahramani 2016).",
        ge=0,
        lt=1,
    )
    recurrent_dropout: float = option(
        0.0,
        "Share of the state dropped in training where it meets the recurrent weights, the same at "
        "all steps of a row (variational: Gal & Ghahramani 2016).",
        ge=0,
        lt=1,
    )
    zoneout: float = option(
        0.0,
        "Probability that a unit's h keeps its old value at a step, in training (Krueger 2017).",
        ge=0,
        lt=1,
    )
    zoneout_cell: float = option(0.0, "The same for the c of an LSTM (Krueger 2017).", ge=0, lt=1)
    weight_drop: float = option(
        0.0,
        "Share of the recurrent weights dropped in training, the same at all steps of a batch "
        "(DropConnect: Merity 2018).",
        ge=0,
        lt=1,
    )
    skip: Skip = option(
        "none",
        "What goes past each layer from the second on: its input is added to its output (residual: "
        "He 2016) or mixed with it by a learnt gate (highway: Srivastava 2015).",
    )
    learn_state: bool = option(
        False, "Learn the state before the first step (Forcada & Carrasco 1995)."
    )
    init: Init = option(
        "uniform",
        "Recurrent weights at the beginning: as torch has them, orthogonal for each gate (Saxe "
        "2014), or the identity (a plain RNN with relu: Le 2015).",
    )
    forget_bias: float | None = option(
        None, "Bias of an LSTM's forget gate at the beginning, such as 1 (Gers 2000)."
    )
    chrono: int | None = option(
        None,
        "Steps that gates at the beginning can remember at most: sets the biases of an LSTM or GRU "
        "(Tallec & Ollivier 2018).",
        ge=3,
        le=MOST,
    )
    memory: Memory = option(
        "all",
        "What training keeps for the backward pass: all; the states, computing the gates again "
        "(recompute); or those of every sqrt(T)-th step, computing all between again (sqrt: Chen "
        "2016). The gradients are the same.",
    )


class LayerKeywords(TypedDict, total=False):
    """The fields of `LayerOptions` as keyword arguments, for editors and type checkers."""

    input_dropout: float
    recurrent_dropout: float
    zoneout: float
    zoneout_cell: float
    weight_drop: float
    skip: Skip
    learn_state: bool
    init: Init
    forget_bias: float | None
    chrono: int | None
    memory: Memory
