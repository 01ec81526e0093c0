"""How: the options of one unrolling, as every engine takes them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor

from elman.cells import State

# Sees a step's place in time, its output and the state after it; the run goes on with what it
# returns in their place.
See = Callable[[int, Tensor, State], tuple[Tensor, State]]


@dataclass(frozen=True)
class How:
    """What `elman.engines.unroll` was asked beside the cell, the input and the state; see there."""

    lengths: Tensor | None = None
    reverse: bool = False
    recurrent_mask: Tensor | None = None
    zoneout: tuple[Tensor | None, ...] | None = None
    memory: str = "all"
    see: See | None = None
