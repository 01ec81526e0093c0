"""What goes past a layer of a stack: nothing, its input (residual), or some of it (highway).

    residual   out = y + x                                He et al. (2016), Wu et al. (2016)
    highway    out = t ⊙ y + (1 - t) ⊙ x,                 Srivastava, Greff and Schmidhuber (2015)
               t = σ(W x + b)

x is what the layer reads, before anything of it is dropped, and y its output. The state is the
cell's own in both. From the second layer on, where both are equally wide. Shapes: x_TBH.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn


class Highway(nn.Module):
    """A gate that mixes a layer's output with its input; at the beginning it lets the input pass.

    Args:
        size: features of both, `H`.
        device: where the parameters are made.
        dtype: the parameters' floating-point type.
    """

    CARRIES = -2.0  # bias at the beginning: 0.88 of the input passes

    def __init__(
        self, size: int, device: torch.device | str | None, dtype: torch.dtype | None
    ) -> None:
        super().__init__()
        self.gate = nn.Linear(size, size, device=device, dtype=dtype)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw the weights anew, and set the bias so that the input passes."""
        self.gate.reset_parameters()
        nn.init.constant_(self.gate.bias, self.CARRIES)

    def forward(self, y_TBH: Tensor, x_TBH: Tensor) -> Tensor:
        """Return the mixture; zero where both are, as past a row's end."""
        return torch.lerp(x_TBH, y_TBH, torch.sigmoid(self.gate(x_TBH)))


class Residual(nn.Module):
    """The sum of a layer's output and its input."""

    def forward(self, y_TBH: Tensor, x_TBH: Tensor) -> Tensor:
        """Return the sum."""
        return y_TBH + x_TBH
