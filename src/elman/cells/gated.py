"""What the three classical cells share: their parameters, named and drawn as torch.nn does."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from elman.cells.cell import Cell
from elman.errors import InputError


class GatedCell(Cell):
    """A cell with one matrix from the input and one from the state, a block of rows per gate.

    Parameters, in torch's order: `weight_ih` (G·H, I), `weight_hh` (G·H, output size) and, with
    `bias`, `bias_ih` and `bias_hh` (G·H), the G gates' blocks in the order of `gates`; with
    `proj_size`, `weight_hr` (proj_size, H). All are drawn from U(-1/√H, 1/√H), in that order.
    """

    weight_ih: Tensor
    weight_hh: Tensor
    bias_ih: Tensor | None
    bias_hh: Tensor | None
    # (B, output size), bound by an engine: multiplies the state before the recurrent weights.
    recurrent_mask: Tensor | None = None

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        bias: bool = True,
        proj_size: int = 0,
        *,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__(input_size, hidden_size)
        if not isinstance(bias, bool):
            raise InputError(f"bias: expected True or False, got {bias!r}")
        if not isinstance(proj_size, int) or not 0 <= proj_size < hidden_size:
            raise InputError(
                f"proj_size: expected 0 (no projection) to hidden_size - 1 = {hidden_size - 1}, "
                f"got {proj_size!r}"
            )
        self.bias = bias
        self.proj_size = proj_size
        rows = len(self.gates) * hidden_size
        shapes = {
            "weight_ih": (rows, input_size),
            "weight_hh": (rows, proj_size or hidden_size),
            "bias_ih": (rows,),
            "bias_hh": (rows,),
            "weight_hr": (proj_size, hidden_size),
        }
        for name, shape in shapes.items():
            weight = None
            if name in self.weight_names:
                weight = nn.Parameter(torch.empty(shape, device=device, dtype=dtype))
            self.register_parameter(name, weight)
        self.reset_parameters()

    @property
    def weight_names(self) -> tuple[str, ...]:
        """The names of this cell's parameters, in torch's order."""
        biases = ("bias_ih", "bias_hh") if self.bias else ()
        projection = ("weight_hr",) if self.proj_size else ()
        return ("weight_ih", "weight_hh", *biases, *projection)

    @property
    def weights(self) -> list[Tensor]:
        """The tensors this cell computes with, in the order of `weight_names`."""
        return [getattr(self, name) for name in self.weight_names]

    def masked(self, h_BH: Tensor) -> Tensor:
        """Return the state as the recurrent weights see it."""
        return h_BH if self.recurrent_mask is None else h_BH * self.recurrent_mask

    def reset_parameters(self) -> None:
        """Draw every parameter anew from U(-1/√H, 1/√H)."""
        bound = 1 / math.sqrt(self.hidden_size)
        for weight in self.weights:
            nn.init.uniform_(weight, -bound, bound)

    def extra_repr(self) -> str:
        """Return the sizes and what differs from the defaults, for `repr`."""
        projection = f", proj_size={self.proj_size}" if self.proj_size else ""
        return super().extra_repr() + ("" if self.bias else ", bias=False") + projection
