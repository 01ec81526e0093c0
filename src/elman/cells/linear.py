"""Recurrences linear in the state, one unit at a time, as engines for long sequences take them.

    h_t = a_t ⊙ h_{t-1} + b_t        a, b of the input alone
    y_t = read(h_t, x_t)

Composing two steps gives a step of the same form, (a2 a1, a2 b1 + b2), so that the engine `scan`
computes all of them side by side (Blelloch, 1990, Prefix Sums and Their Applications).

Shapes: B batch, I input features, S width of the state, N complex units, "..." any axes in front.
"""

from __future__ import annotations

import torch
from torch import Tensor

from elman.cells.cell import Cell, State


class LinearCell(Cell):
    """A cell whose new state is a_t ⊙ h + b_t; of such a cell, all steps are computed at once.

    Subclass it and write `coefficients`, and `read` where the output is not the state:

        class Decay(LinearCell):
            def __init__(self, input_size: int, hidden_size: int):
                super().__init__(input_size, hidden_size)
                self.mix = nn.Linear(input_size, 2 * hidden_size)

            def coefficients(self, x):
                forget, new = self.mix(x).chunk(2, dim=-1)
                return torch.sigmoid(forget), new

    With `complex_units`, a and b are complex, and the state of N units is kept as 2N real numbers,
    all real parts before all imaginary ones: `state_sizes` says so.
    """

    complex_units: bool = False

    def coefficients(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return a and b of inputs (..., I), for many steps at once.

        Returns:
            Both (..., S), or complex (..., N). |a| at most 1, for sequences of any length. `a` may
            have fewer axes, or axes of size 1, where it is the same for all.
        """
        raise NotImplementedError(f"{type(self).__name__} has no coefficients(x)")

    def read(self, h: Tensor, x: Tensor) -> Tensor:
        """Return the output (..., output_size) of states (..., S) and inputs (..., I)."""
        return h

    @property
    def output_is_state(self) -> bool:
        """Whether the output is the state, so that the last of one is the last of the other."""
        return type(self).read is LinearCell.read

    def step(self, x_BI: Tensor, state: State) -> tuple[Tensor, State]:
        """Return the output and the new state (B, S)."""
        (h_BS,) = state
        a, b = self.coefficients(x_BI)
        h_BS = to_real(a * to_complex(h_BS) + b) if self.complex_units else a * h_BS + b
        return self.read(h_BS, x_BI), (h_BS,)


def to_complex(h: Tensor) -> Tensor:
    """Return a state (..., 2N) as complex numbers (..., N)."""
    return torch.complex(*h.chunk(2, dim=-1))


def to_real(h: Tensor) -> Tensor:
    """Return complex numbers (..., N) as a state (..., 2N), all real parts first."""
    return torch.cat([h.real, h.imag], dim=-1)
