"""Those who can run a recurrent layer on a CPU: one file each, behind one function, `prepare`.

`prepare(problem, training)` returns a `Run` of the library that the file is named after, or None
where it cannot (ONNX Runtime does not train). All get the same weights, input and gradient of the
output; each its own layout of them, made before the clock runs. To add one is to add its file and
its line to `PEERS`.

Shapes: T time, B batch, I input features, H hidden features, G gates side by side.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from importlib import import_module
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

import elman

PEERS = {
    "torch": "torch_eager",
    "torch.compile": "torch_compiled",
    "jax": "jax_scan",
    "keras": "keras_jax",
    "onnxruntime": "onnx_runtime",
    "elman": "elman_layer",
}
GATES = {"rnn": 1, "gru": 3, "lstm": 4}
TORCH_LAYERS = {"rnn": nn.RNN, "gru": nn.GRU, "lstm": nn.LSTM}
ELMAN_LAYERS = {"rnn": elman.RNN, "gru": elman.GRU, "lstm": elman.LSTM}
WEIGHTS = ("weight_ih", "weight_hh", "bias_ih", "bias_hh")

_TOLERANCE = 1e-4  # of float32 sums in another order, relative to the largest value


@dataclass(frozen=True)
class Problem:
    """One layer to run: a cell ("rnn", "gru", "lstm"), sizes, and all numbers that go in."""

    cell: str
    batch: int
    steps: int
    input_size: int
    hidden_size: int

    @cached_property
    def weights(self) -> dict[str, Tensor]:
        """torch's initial values, by name: `weight_ih_l0` and so on."""
        torch.manual_seed(0)
        return TORCH_LAYERS[self.cell](self.input_size, self.hidden_size).state_dict()

    @cached_property
    def x_TBI(self) -> Tensor:  # noqa: N802
        generator = torch.Generator().manual_seed(1)
        return torch.randn(self.steps, self.batch, self.input_size, generator=generator)

    @cached_property
    def d_y_TBH(self) -> Tensor:  # noqa: N802
        """The gradient of the outputs."""
        generator = torch.Generator().manual_seed(2)
        return torch.randn(self.steps, self.batch, self.hidden_size, generator=generator)

    def operations(self, training: bool) -> int:
        """Return the number of floating-point operations in the matrix products."""
        products = GATES[self.cell] * self.hidden_size * (self.input_size + self.hidden_size)
        return 2 * self.batch * self.steps * products * (3 if training else 1)

    def torch_layer(self) -> nn.RNNBase:
        return self._loaded(TORCH_LAYERS)

    def elman_layer(self) -> Any:
        return self._loaded(ELMAN_LAYERS)

    def _loaded(self, layers: Mapping[str, Callable[..., Any]]) -> Any:
        layer = layers[self.cell](self.input_size, self.hidden_size)
        layer.load_state_dict(self.weights)
        return layer


@dataclass(frozen=True)
class Run:
    """A call that is ready to be timed, and how its result is read.

    Attributes:
        call: runs once, and returns when the result is there.
        read: of the call's result, a dictionary of arrays as torch has them: "y" (T, B, H), and in
            training the gradients of "x" (T, B, I) and of each weight.
        engine: which of a library's ways was taken, where it has several.
    """

    call: Callable[[], Any]
    read: Callable[[Any], dict[str, np.ndarray]]
    engine: str | None = None


class DisagreementError(Exception):
    """A peer's result is not torch's."""


def prepare(name: str, problem: Problem, training: bool) -> Run | None:
    """Return a peer's run of a problem, or None if it cannot."""
    return import_module(f"peers.{PEERS[name]}").prepare(problem, training)


def check_agreement(expected: Mapping[str, Any], got: Mapping[str, Any], label: str) -> float:
    """Return the largest error, relative to the largest value of its array.

    Raises:
        DisagreementError: it is above 1e-4, or something is missing.
    """
    if missing := expected.keys() - got.keys():
        raise DisagreementError(f"{label}: no {', '.join(sorted(missing))}")
    errors = {}
    for key, right in expected.items():
        value = np.asarray(got[key])
        if value.shape != right.shape:
            raise DisagreementError(f"{label}: {key} is {value.shape}, expected {right.shape}")
        errors[key] = float(np.abs(value - right).max() / np.abs(right).max())
    worst = max(errors, key=lambda key: np.nan_to_num(errors[key], nan=np.inf))
    if not errors[worst] <= _TOLERANCE:  # NaN is no agreement either
        raise DisagreementError(f"{label}: {worst} has a relative error of {errors[worst]:.1e}")
    return errors[worst]
