"""One call of a stack: all its layers over a sequence, at once or in segments of time.

Shapes: T time, S steps of a segment, B batch, I input features, H output features.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from elman import engines
from elman.cells import Cell, State
from elman.engines import segments
from elman.layers.noise import Noise


class Running(NamedTuple):
    """What runs, and what is dropped meanwhile.

    Attributes:
        cells: layer by layer, forward before backward.
        num_directions: 1 or 2.
        lengths: how many steps of each row are real; None: all of them.
        dropout: share of what lies between layers that is dropped in this call.
        noise: what else is dropped, for each layer; None: nothing.
        skips: for each layer but the first, what joins its output and input; None: nothing does.
        kept: for each layer but the first, what is kept of its input, bool (T, B, H); None: drawn
            when the layer runs.
    """

    cells: Sequence[Cell]
    num_directions: int
    lengths: Tensor | None
    dropout: float
    noise: Sequence[Noise | None] | None
    skips: nn.ModuleList | None
    kept: Sequence[Tensor] | None = None

    def run(
        self, x_TBI: Tensor, starts: Sequence[State], memory: str
    ) -> tuple[Tensor, list[State]]:
        """Return the outputs of the last layer and each cell's final state, from its first one."""
        finals: list[State] = []
        each = self.num_directions
        for layer in range(len(self.cells) // each):
            below_TBI = x_TBI
            if self.dropout and layer > 0:
                x_TBI = self._dropped(x_TBI, layer)
            noise = None if self.noise is None else self.noise[layer]
            if noise is not None and noise.input_BI is not None:
                x_TBI = x_TBI * noise.input_BI.to(x_TBI.dtype)
            outputs = []
            for direction in range(each):
                index = len(finals)
                y_TBH, final = engines.unroll(
                    self.cells[index],
                    x_TBI,
                    starts[index],
                    lengths=self.lengths,
                    reverse=direction == 1,
                    recurrent_mask=None if noise is None else noise.mask(direction, x_TBI.dtype),
                    zoneout=None if noise is None else noise.zoneout[direction],
                    memory=memory,
                )
                outputs.append(y_TBH)
                finals.append(final)
            x_TBI = torch.cat(outputs, dim=-1) if each > 1 else outputs[0]
            if self.skips is not None and layer > 0:
                x_TBI = self.skips[layer - 1](x_TBI, below_TBI)
        return x_TBI, finals

    def run_in_segments(self, x_TBI: Tensor, starts: Sequence[State]) -> tuple[Tensor, list[State]]:
        """Return the same, in one direction: all layers go over one segment after the other."""
        num_parts = len(starts[0])
        drawn = self._replace(kept=self._draw_kept(x_TBI))

        def run(
            cells: Sequence[Cell], x_SBI: Tensor, state: State, begin: int, end: int
        ) -> tuple[Tensor, State]:
            within = drawn._within(cells, begin, end)
            y_SBH, finals = within.run(x_SBI, _by_cell(state, num_parts), "all")
            return y_SBH, tuple(part for final in finals for part in final)

        flat = tuple(part for start in starts for part in start)
        more = [] if self.skips is None else [self.skips]
        y_TBH, last = engines.in_segments(run, self.cells, x_TBI, flat, more=more)
        return y_TBH, _by_cell(last, num_parts)

    def _dropped(self, x_TBI: Tensor, layer: int) -> Tensor:
        if self.kept is None:
            return F.dropout(x_TBI, self.dropout)
        scale = 0.0 if self.dropout == 1 else 1 / (1 - self.dropout)
        return x_TBI * self.kept[layer - 1].to(x_TBI.dtype).mul_(scale)

    def _draw_kept(self, x_TBI: Tensor) -> list[Tensor] | None:
        """Draw at once what `run` keeps, of the same seed the same."""
        if not self.dropout:
            return None
        ones_TBH = x_TBI.new_ones(*x_TBI.shape[:2], self.cells[0].output_size)
        return [F.dropout(ones_TBH, self.dropout) != 0 for _ in self.cells[1:]]

    def _within(self, cells: Sequence[Cell], begin: int, end: int) -> Running:
        """Return it for the steps from `begin` to `end`."""
        noise, kept = self.noise, self.kept
        return self._replace(
            cells=cells,
            lengths=segments.lengths_within(self.lengths, begin, end),
            noise=noise and [each and each.within(begin, end) for each in noise],
            kept=kept and [mask_TBH[begin:end] for mask_TBH in kept],
        )


def _by_cell(state: State, num_parts: int) -> list[State]:
    return [state[first : first + num_parts] for first in range(0, len(state), num_parts)]
