"""The independently recurrent network of Li et al. (2018).

    h' = f(W x + u ⊙ h + b),    f = relu or tanh

Each unit sees its own state only, with a weight of its own. The output is h'. It is not linear in
the state, so no scan computes its steps side by side. Shapes: B batch, I input features, H hidden
features.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from elman.cells.cell import Cell, State
from elman.cells.minimal import check_chrono
from elman.cells.rnn import NONLINEARITIES
from elman.errors import InputError, unknown


class IndRNNCell(Cell):
    """Independently recurrent cell: a unit has one recurrent weight, and so a plain gradient.

    Li et al. (2018), Independently Recurrent Neural Network (IndRNN). Through t steps a unit's
    gradient is multiplied by about uᵗ.

    Parameters: `weight_ih` (H, I) and `bias_ih` (H), drawn as `torch.nn.Linear` does, and
    `weight_hh` (H), u: from U(0, 1), or with `chrono`=T from U((1/2)^(1/T), 2^(1/T)), as the paper
    draws those of a layer that is to remember T steps. Such a unit adds up T inputs, so the other
    two are then T times as small: drawn as ever, two layers' outputs would grow with T².

    Args:
        input_size: number of features in one step's input.
        hidden_size: number of hidden units.
        nonlinearity: "relu" or "tanh".
        bias: whether a bias is added.
        chrono: if given, the longest time to remember, in steps: at the start, no unit's gradient
            is halved or doubled in less.
        device: where the parameters are made.
        dtype: the parameters' floating-point type.

    Raises:
        InputError: if a size is not a positive integer, the nonlinearity is unknown, or `chrono` is
            below 2.
    """

    weight_ih: Tensor
    weight_hh: Tensor
    bias_ih: Tensor | None

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        nonlinearity: str = "relu",
        bias: bool = True,
        chrono: int | None = None,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        if nonlinearity not in NONLINEARITIES:
            raise unknown("nonlinearity", nonlinearity, NONLINEARITIES)
        super().__init__(input_size, hidden_size)
        if not isinstance(bias, bool):
            raise InputError(f"bias: expected True or False, got {bias!r}")
        check_chrono(chrono)
        self.nonlinearity, self.bias, self.chrono = nonlinearity, bias, chrono
        made = {"device": device, "dtype": dtype}
        self.weight_ih = nn.Parameter(torch.empty(hidden_size, input_size, **made))
        self.weight_hh = nn.Parameter(torch.empty(hidden_size, **made))
        self.bias_ih = nn.Parameter(torch.empty(hidden_size, **made)) if bias else None
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw every parameter anew."""
        bound = 1 / math.sqrt(self.input_size) / (self.chrono or 1)
        nn.init.uniform_(self.weight_ih, -bound, bound)
        least, most = (
            (0, 1) if self.chrono is None else (2 ** (-1 / self.chrono), 2 ** (1 / self.chrono))
        )
        nn.init.uniform_(self.weight_hh, least, most)
        if self.bias_ih is not None:
            nn.init.uniform_(self.bias_ih, -bound, bound)

    def step(self, x_BI: Tensor, state: State) -> tuple[Tensor, State]:
        """Return h' (B, H) as the output and as the state."""
        (h_BH,) = state
        sum_BH = F.linear(x_BI, self.weight_ih, self.bias_ih) + self.weight_hh * h_BH
        h_BH = NONLINEARITIES[self.nonlinearity](sum_BH)
        return h_BH, (h_BH,)

    def extra_repr(self) -> str:
        """Return the sizes and what differs from the defaults, for `repr`."""
        relu = "" if self.nonlinearity == "relu" else f", nonlinearity={self.nonlinearity!r}"
        chrono = "" if self.chrono is None else f", chrono={self.chrono}"
        return super().extra_repr() + relu + ("" if self.bias else ", bias=False") + chrono
