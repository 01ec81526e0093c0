"""What minGRU and minLSTM share: gates and candidate of the input alone, and their parameters.

Shapes: I input features, H hidden features, G gates side by side, "..." any axes in front.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from elman.cells.linear import LinearCell
from elman.errors import InputError


class MinimalCell(LinearCell):
    """Gates and candidate are linear in the input: `weight_ih` (G·H, I) and `bias_ih` (G·H).

    Drawn as `torch.nn.Linear` does, from U(-1/√I, 1/√I).
    """

    weight_ih: Tensor
    bias_ih: Tensor | None

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        bias: bool = True,
        chrono: int | None = None,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__(input_size, hidden_size)
        if not isinstance(bias, bool):
            raise InputError(f"bias: expected True or False, got {bias!r}")
        check_chrono(chrono)
        if chrono is not None and not bias:
            raise InputError(
                f"chrono={chrono} draws the gates' biases, and bias=False leaves none; use one"
            )
        self.bias = bias
        self.chrono = chrono
        rows = len(self.gates) * hidden_size
        made = {"device": device, "dtype": dtype}
        self.weight_ih = nn.Parameter(torch.empty(rows, input_size, **made))
        self.bias_ih = nn.Parameter(torch.empty(rows, **made)) if bias else None
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw every parameter anew."""
        bound = 1 / math.sqrt(self.input_size)
        nn.init.uniform_(self.weight_ih, -bound, bound)
        if self.bias_ih is None:
            return
        nn.init.uniform_(self.bias_ih, -bound, bound)
        if self.chrono is not None:
            # U(1, T - 1) steps of memory at the start: a state is kept by u / (1 + u).
            steps_H = 1 + (self.chrono - 2) * torch.rand_like(self.bias_ih[: self.hidden_size])
            with torch.no_grad():
                self.set_memory(steps_H.log())

    def set_memory(self, log_H: Tensor) -> None:
        """Set the gates' biases so that a unit keeps its state by σ(log) where the input is 0."""
        raise NotImplementedError

    def sums(self, x: Tensor) -> tuple[Tensor, ...]:
        """Return the gates' sums and the candidate's, each (..., H), of inputs (..., I)."""
        # In the parameters' precision also under autocast: near 1, bfloat16 has steps of 1/256.
        sums = F.linear(x, self.weight_ih, self.bias_ih).to(self.weight_ih.dtype)
        return sums.chunk(len(self.gates), dim=-1)

    def extra_repr(self) -> str:
        """Return the sizes and what differs from the defaults, for `repr`."""
        chrono = "" if self.chrono is None else f", chrono={self.chrono}"
        return super().extra_repr() + ("" if self.bias else ", bias=False") + chrono


def check_chrono(chrono: int | None) -> None:
    """Refuse what is no number of steps."""
    if chrono is not None and (
        isinstance(chrono, bool) or not isinstance(chrono, int) or chrono < 2
    ):
        raise InputError(
            f"chrono: expected the longest time to remember, in steps, 2 or more, got {chrono!r}"
        )
