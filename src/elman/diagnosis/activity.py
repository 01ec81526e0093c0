"""What gates and units do along real data: saturation, distributions, dead units.

What a cell computes inside its step is heard at the activation functions it calls, whatever cell it
is: a user's own included, whose activations are then called by their order.

Legend: N steps of all rows that were looked at, H units.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode

from elman.cells import Cell, State
from elman.diagnosis.tape import Track

MOST = 4096  # steps looked at
BINS = 24
LOW, HIGH, FLAT = 0.1, 0.9, 0.95  # a sigmoid is saturated outside, a tanh beyond
# An output that varies by less than this share of its layer's range is as good as a constant.
DEAD = 1e-3

# What a call's result is: squashed into (0, 1), into (-1, 1), or rectified.
_CALLS: dict[Any, str] = {
    torch.sigmoid: "sigmoid",
    Tensor.sigmoid: "sigmoid",
    F.sigmoid: "sigmoid",
    torch.special.expit: "sigmoid",
    torch.tanh: "tanh",
    Tensor.tanh: "tanh",
    F.tanh: "tanh",
    torch.relu: "relu",
    Tensor.relu: "relu",
    F.relu: "relu",
}
# What the activations of Elman's cells are, in the order in which their steps call them; of a cell
# that calls others they are numbered.
_NAMES: Mapping[str, tuple[tuple[str, str], ...]] = {
    "RNNCell": (("units", ""),),
    "GRUCell": (("reset gate", "sigmoid"), ("update gate", "sigmoid"), ("candidate", "tanh")),
    "LSTMCell": (
        ("forget gate", "sigmoid"),
        ("input gate", "sigmoid"),
        ("candidate", "tanh"),
        ("output gate", "sigmoid"),
        ("memory read", "tanh"),
    ),
    "MinGRUCell": (("share kept", "sigmoid"), ("update gate", "sigmoid")),
    "MinLSTMCell": (("share kept", "sigmoid"), ("share taken in", "sigmoid")),
    "IndRNNCell": (("units", ""),),
}


@dataclass(frozen=True)
class Activation:
    """What one activation function inside a cell gave, over units and steps.

    Attributes:
        name: the gate it is.
        kind: sigmoid, tanh or relu.
        low, high: of a sigmoid the shares below 0.1 and above 0.9; of a tanh those below -0.95 and
            above 0.95; of a relu the share that is 0, and nothing.
        counts, edges: a histogram.
    """

    name: str
    kind: str
    low: float
    high: float
    counts: tuple[int, ...]
    edges: tuple[float, float]

    @property
    def saturated(self) -> float:
        """The share at either end."""
        return self.low + self.high


@dataclass(frozen=True)
class Outputs:
    """What a cell's units answered, over all real steps.

    Attributes:
        units: how many there are.
        dead: share of units whose output varies by less than a thousandth of the layer's range.
        zero: share of units that were 0 at every step.
        counts, edges: a histogram of all outputs.
    """

    units: int
    dead: float
    zero: float
    counts: tuple[int, ...]
    edges: tuple[float, float]


def sampled(track: Track) -> tuple[Tensor, State]:
    """Return what a cell read and the state it had then, `(N, ...)`, at up to `MOST` real steps."""
    real_TB = track.real()
    places = real_TB.nonzero()
    chosen = places[np.linspace(0, len(places) - 1, min(len(places), MOST)).round().astype(int)]
    pairs = chosen.tolist()
    x_NI = torch.stack([track.inputs[t][b] for t, b in pairs])
    parts = range(len(track.before[0]))
    return x_NI, tuple(torch.stack([track.before[t][i][b] for t, b in pairs]) for i in parts)


def activations(cell: Cell, x_NI: Tensor, state: State) -> list[Activation]:
    """Return what each activation function gives that a cell calls in one step."""
    with torch.no_grad(), _Heard() as heard:
        cell.step(x_NI, state)
    names = _names(cell, [kind for kind, _ in heard.found])
    return [
        _activation(name, kind, values)
        for name, (kind, values) in zip(names, heard.found, strict=True)
    ]


def outputs(track: Track) -> Outputs:
    """Return what a cell's units answered."""
    real_TB = track.real()
    values_NH = torch.cat(
        [y[real[: len(y)]] for y, real in zip(track.outputs, real_TB, strict=True)]
    )
    values_NH = values_NH.double().cpu()
    spread_H = values_NH.amax(0) - values_NH.amin(0)
    reach = float(values_NH.amax() - values_NH.amin())
    zero_H = (values_NH == 0).all(0)
    dead_H = spread_H <= DEAD * reach
    return Outputs(
        values_NH.shape[1],
        float(dead_H.double().mean()),
        float(zero_H.double().mean()),
        *_histogram(values_NH, float(values_NH.min()), float(values_NH.max())),
    )


class _Heard(TorchFunctionMode):
    """Keeps what activation functions gave inside the block, in order."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[tuple[str, Tensor]] = []

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        result = func(*args, **(kwargs or {}))
        if func in _CALLS and isinstance(result, Tensor):
            self.found.append((_CALLS[func], result.detach()))
        return result


def _names(cell: nn.Module, kinds: list[str]) -> list[str]:
    for known in type(cell).__mro__:
        names = _NAMES.get(known.__name__, ())
        fits = zip(names, kinds, strict=False)
        if len(names) == len(kinds) and all(kind in ("", found) for (_, kind), found in fits):
            return [name for name, _ in names]
    totals, seen = {kind: kinds.count(kind) for kind in kinds}, dict.fromkeys(kinds, 0)
    named = []
    for kind in kinds:
        seen[kind] += 1
        named.append(f"{kind} {seen[kind]}" if totals[kind] > 1 else kind)
    return named


def _activation(name: str, kind: str, values: Tensor) -> Activation:
    values = values.double().cpu()
    low, high, edges = {
        "sigmoid": (values < LOW, values > HIGH, (0.0, 1.0)),
        "tanh": (values < -FLAT, values > FLAT, (-1.0, 1.0)),
        "relu": (values == 0, torch.zeros_like(values), (0.0, float(values.max()))),
    }[kind]
    shares = (float(low.double().mean()), float(high.double().mean()))
    return Activation(name, kind, *shares, *_histogram(values, *edges))


def _histogram(
    values: Tensor, low: float, high: float
) -> tuple[tuple[int, ...], tuple[float, float]]:
    if not low < high:  # all the same: a bin around it
        low, high = low - 0.5, high + 0.5
    counts, _ = np.histogram(values.numpy(), bins=BINS, range=(low, high))
    return tuple(counts.tolist()), (low, high)
