"""The simple recurrent cell of Elman (1990).

    h' = f(W_ih x + b_ih + W_hh h + b_hh),                  f = tanh or relu
    h' = f(LN(W_ih x; γ_ih) + b_ih + LN(W_hh h; γ_hh) + b_hh)        layer_norm=True

Ba et al. (2016) normalise the sum of the two in their equation 4; here each is normalised, as in
their LSTM and GRU. The output is h'. Shapes: B batch, I input features, H hidden features.
"""

from __future__ import annotations

import torch
from torch import Tensor

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
        layer_norm: whether both sums are normalised (Ba et al., 2016); see `GatedCell`.
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
        *,
        layer_norm: bool = False,
    ) -> None:
        if nonlinearity not in NONLINEARITIES:
            raise unknown("nonlinearity", nonlinearity, NONLINEARITIES)
        super().__init__(
            input_size, hidden_size, bias, layer_norm=layer_norm, device=device, dtype=dtype
        )
        self.nonlinearity = nonlinearity

    def step(self, x_BI: Tensor, state: State) -> tuple[Tensor, State]:
        """Return h' (B, H) as the output and as the state."""
        (h_BH,) = state
        sum_BH = self.input_sums(x_BI) + self.state_sums(h_BH)
        h_BH = NONLINEARITIES[self.nonlinearity](sum_BH)
        return h_BH, (h_BH,)

    def extra_repr(self) -> str:
        """Return the sizes and what differs from the defaults, for `repr`."""
        tanh = self.nonlinearity == "tanh"
        return super().extra_repr() + ("" if tanh else f", nonlinearity={self.nonlinearity!r}")
