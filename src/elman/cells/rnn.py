"""The simple recurrent cell of Elman (1990).

    h' = f(W_ih x + b_ih + W_hh h + b_hh),    f = tanh or relu

The output is h'. Shapes: B batch, I input features, H hidden features.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from elman.cells.cell import State
from elman.cells.gated import GatedCell
from elman.errors import unknown

NONLINEARITIES = {"tanh": torch.tanh, "relu": torch.relu}


class RNNCell(GatedCell):
    """Elman's cell: the new state is a squashed sum of the input and the state before it.

    Elman (1990), Finding Structure in Time; with "relu", Le, Jaitly and Hinton (2015).

    Args:
        input_size: number of features in one step's input.
        hidden_size: number of hidden units.
        nonlinearity: "tanh" or "relu".
        bias: whether the two biases are added.
        device: where the parameters are made.
        dtype: the parameters' floating-point type.

    Raises:
        InputError: if a size is not a positive integer or the nonlinearity is unknown.
    """

    gates = ("h",)

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        nonlinearity: str = "tanh",
        bias: bool = True,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        if nonlinearity not in NONLINEARITIES:
            raise unknown("nonlinearity", nonlinearity, NONLINEARITIES)
        super().__init__(input_size, hidden_size, bias, device=device, dtype=dtype)
        self.nonlinearity = nonlinearity

    def step(self, x_BI: Tensor, state: State) -> tuple[Tensor, State]:
        """Return h' (B, H) as the output and as the state."""
        (h_BH,) = state
        sum_BH = F.linear(x_BI, self.weight_ih, self.bias_ih)
        sum_BH = sum_BH + F.linear(self.masked(h_BH), self.weight_hh, self.bias_hh)
        h_BH = NONLINEARITIES[self.nonlinearity](sum_BH)
        return h_BH, (h_BH,)

    def extra_repr(self) -> str:
        """Return the sizes and what differs from the defaults, for `repr`."""
        tanh = self.nonlinearity == "tanh"
        return super().extra_repr() + ("" if tanh else f", nonlinearity={self.nonlinearity!r}")
