"""Packing: the order in which a padded batch is gone through one step at a time, without padding.

Rows are ordered from the longest to the shortest, so that those still running at a step are the
first ones.

Legend: B batch, U steps, N real steps of all rows.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import torch
from torch import Tensor

from elman.layers.padding import inside
from elman.layers.stack import Lengths


@dataclass(frozen=True)
class Packing:
    """An order of rows and steps; its indices lie on the batch's device.

    Attributes:
        rows_B: the rows, longest first.
        inverse_B: where each row went.
        running: for each step, how many rows still run; no step without any.
        places_N: where each real step lies in the flattened batch, by step, then row.
        row_major_N: where each real step, row by row, lies among those by step.
    """

    rows_B: Tensor
    inverse_B: Tensor
    running: list[int]
    places_N: Tensor
    row_major_N: Tensor

    @classmethod
    def of(cls, batch: int, num_steps: int, lengths: Lengths | None, device: torch.device) -> Self:
        """Return the order for rows of these lengths; None: all have every step."""
        every = torch.full((batch,), num_steps)
        lengths_B = every if lengths is None else torch.as_tensor(lengths, device="cpu")
        rows_B = lengths_B.argsort(descending=True, stable=True)
        inside_UB = inside(lengths_B[rows_B], num_steps).T
        running = [count for count in inside_UB.sum(1).tolist() if count]
        places_N = (rows_B * num_steps + torch.arange(num_steps).unsqueeze(1))[inside_UB]
        indices = (rows_B, rows_B.argsort(), places_N, places_N.argsort())
        rows_B, inverse_B, places_N, row_major_N = (index.to(device) for index in indices)
        return cls(rows_B, inverse_B, running, places_N, row_major_N)
