"""Recurrent: any cell, a user's own included, as a layer."""

from __future__ import annotations

from typing import Unpack

from torch import nn

from elman.cells import Cell
from elman.errors import InputError
from elman.layers.options import LayerKeywords
from elman.layers.stack import Stack


class Recurrent(Stack):
    """Run any cell over sequences: stacked, in both directions, with every option of the layers.

    `forward` and `step` are those of `elman.LSTM`; a cell with one state tensor takes and gives
    it bare, (L·D, B, S), a cell with several as a tuple.

    Args:
        cell: the first layer's forward cell. The other layers' and directions' cells are made
            by `cell.fresh`: of the same kind, with parameters of their own.
        num_layers: number of layers, each reading the outputs of the one below.
        bidirectional: whether a second cell a layer reads the sequence from its end; the outputs
            of both are put side by side.
        batch_first: whether batches are (B, T, I) rather than (T, B, I).
        dropout: probability that an output between layers is zeroed in training.
        options: dropouts, zoneout, skips, how parameters begin, what training keeps in memory:
            see `elman.layers.LayerOptions`.

    Raises:
        InputError: if `cell` is not a `Cell`, or an option is unknown, out of range, or means
            nothing to the cell.
    """

    def __init__(
        self,
        cell: Cell,
        num_layers: int = 1,
        bidirectional: bool = False,
        batch_first: bool = False,
        dropout: float = 0.0,
        **options: Unpack[LayerKeywords],
    ) -> None:
        if not isinstance(cell, Cell):
            name = cell.__name__ if isinstance(cell, type) else type(cell).__name__
            hint = f"; make one first, as in {name}(8, 64)" if isinstance(cell, type) else ""
            raise InputError(f"cell: expected an elman.Cell, got {cell!r}{hint}")
        super().__init__(num_layers, batch_first, dropout, bidirectional, options)
        cells = [cell]
        for index in range(1, num_layers * self.num_directions):
            first = index < self.num_directions
            wide = None if first else cell.output_size * self.num_directions
            cells.append(cell.fresh(wide))
        self.cells = nn.ModuleList(cells)
        self._prepare()

    def extra_repr(self) -> str:
        """Return the options that differ from their defaults, for `repr`."""
        options = {
            "num_layers": (self.num_layers, 1),
            "bidirectional": (self.bidirectional, False),
            "batch_first": (self.batch_first, False),
            "dropout": (self.dropout, 0.0),
            **self._more_options(),
        }
        return ", ".join(f"{k}={value}" for k, (value, usual) in options.items() if value != usual)
