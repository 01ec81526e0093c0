"""What a layer drops in training: masks drawn from torch's generator of the device, once a call.

Inputs and states are dropped alike at all steps of a row (Gal and Ghahramani, 2016: variational
dropout), weights alike in all rows (Merity et al., 2018), and zoneout keeps units of the state at
each step anew (Krueger et al., 2017).
Shapes: T time, B batch, I input features, S the width of one state tensor.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor
from torch.nn import functional as F

from elman.cells import Cell
from elman.layers.options import LayerOptions

_LEVELS = 1 << 16


@dataclass(frozen=True)
class Noise:
    """What one layer drops in one call.

    Attributes:
        input_BI: multiplies the layer's input at every step; None: nothing.
        recurrent: for each direction, (B, S) that multiplies the old state where it meets the
            recurrent weights; None: nothing.
        zoneout: for each direction and state name, where the state stays as it was: (T, B, S),
            bool, or in evaluation the probability of it; None: nowhere.
    """

    input_BI: Tensor | None
    recurrent: tuple[Tensor | None, ...]
    zoneout: tuple[tuple[Tensor | None, ...] | None, ...]

    def mask(self, direction: int, dtype: torch.dtype) -> Tensor | None:
        """Return a direction's `recurrent` in the dtype of what the layer reads."""
        mask_BS = self.recurrent[direction]
        return None if mask_BS is None else mask_BS.to(dtype)

    def within(self, begin: int, end: int) -> Noise:
        """Return it for the steps from `begin` to `end`."""
        zoneout = tuple(
            masks and tuple(None if mask is None else mask[begin:end] for mask in masks)
            for masks in self.zoneout
        )
        return replace(self, zoneout=zoneout)

    @classmethod
    def draw(
        cls, options: LayerOptions, cells: Sequence[Cell], x_TBI: Tensor, training: bool
    ) -> Noise | None:
        """Return what one layer drops, or None for nothing.

        Args:
            options: the layer's.
            cells: one for each direction.
            x_TBI: the stack's input: its steps, rows, dtype and device are what counts.
            training: whether anything is dropped; in evaluation there is zoneout's expectation.
        """
        batch = x_TBI.shape[1]
        input_BI = None
        recurrent: list[Tensor | None] = [None] * len(cells)
        if training and options.input_dropout:
            input_BI = _scaled((batch, cells[0].input_size), options.input_dropout, x_TBI)
        if training and options.recurrent_dropout:
            recurrent = [
                _scaled((batch, cell.state_sizes[0]), options.recurrent_dropout, x_TBI)
                for cell in cells
            ]
        zoneout = [_zoneout(options, cell, x_TBI, training) for cell in cells]
        if input_BI is None and recurrent[0] is None and zoneout[0] is None:
            return None
        return cls(input_BI, tuple(recurrent), tuple(zoneout))


def without_some_weights(cells: Sequence[Cell], share: float) -> list[Cell]:
    """Return the cells with a share of their recurrent weights dropped, and the rest scaled up."""
    return [
        cell.bind({"weight_hh": F.dropout(cell.weight_hh, share)})  # pyright: ignore
        for cell in cells
    ]


def dropped_at(shape: tuple[int, ...], share: float, device: torch.device) -> Tensor:
    """Return where a share is dropped, drawn anew for each element: bool of this shape."""
    if device.type != "cpu" or torch.compiler.is_compiling():
        return torch.empty(shape, dtype=torch.bool, device=device).bernoulli_(share)
    # On a CPU bernoulli_ takes as long as a step of a small layer. 16 random bits for each element
    # do; of a rounded share, the error is below 1e-5.
    count = torch.Size(shape).numel()
    words = torch.empty((count + 3) // 4, dtype=torch.int64).random_(-(1 << 63), None)
    below = round(share * _LEVELS) - _LEVELS // 2
    return (words.view(torch.int16)[:count] < below).view(shape)


def _scaled(shape: tuple[int, ...], share: float, like: Tensor) -> Tensor:
    """Return a mask of 0, with the probability `share`, and otherwise what makes up for it."""
    return F.dropout(like.new_ones(shape), share)


def _zoneout(
    options: LayerOptions, cell: Cell, x_TBI: Tensor, training: bool
) -> tuple[Tensor | None, ...] | None:
    by_name = dict.fromkeys(cell.state_names, 0.0)
    by_name[cell.state_names[0]] = options.zoneout
    if "c" in by_name:
        by_name["c"] = options.zoneout_cell
    if not any(by_name.values()):
        return None
    num_steps, batch = x_TBI.shape[:2]
    masks = []
    for share, size in zip(by_name.values(), cell.state_sizes, strict=True):
        shape = (num_steps, batch, size)
        if not share:
            masks.append(None)
        elif training:
            masks.append(dropped_at(shape, share, x_TBI.device))
        else:
            masks.append(x_TBI.new_full((), share).expand(shape))
    return tuple(masks)
