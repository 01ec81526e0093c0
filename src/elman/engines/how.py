"""How: the options of one unrolling, as every engine takes them."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True)
class How:
    """What `elman.engines.unroll` was asked beside the cell, the input and the state; see there."""

    lengths: Tensor | None = None
    reverse: bool = False
    recurrent_mask: Tensor | None = None
    zoneout: tuple[Tensor | None, ...] | None = None
    recompute: bool = False
