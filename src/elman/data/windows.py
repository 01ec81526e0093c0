"""Windows over long series: a mini-batch is cut out of them by index, nothing is stored twice.

All series of a panel lie one behind the other in one tensor; a window never crosses from one
into the next. At step t of a window the network reads the series at t and what is known ahead of
the steps t+1..t+N; it is to say the target at t+1..t+N.

Legend: T all steps, W windows, B batch, L lookback, N horizon, I input features, K features known
ahead, C target columns.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from elman.data.batch import Batch


@dataclass(frozen=True)
class Track:
    """All series of a panel, encoded and laid one behind the other.

    Attributes:
        x_TI: features that are read at their own step.
        known_TK: features that are read ahead, at every step before them.
        y_TC: the targets; where a step has none (the real future), NaN.
        offsets: where each series starts, and the end of the last: one more than there are series.
    """

    x_TI: Tensor
    known_TK: Tensor
    y_TC: Tensor
    offsets: np.ndarray

    @staticmethod
    def join(parts: Sequence[tuple[np.ndarray, np.ndarray, np.ndarray]], device: str) -> Track:
        """Lay the series' (x_TI, known_TK, y_TC) one behind the other, as float32 on `device`."""
        x, known, y = (
            torch.from_numpy(np.concatenate(arrays).astype(np.float32)).to(device)
            for arrays in zip(*parts, strict=True)
        )
        offsets = np.cumsum([0, *(len(part[0]) for part in parts)])
        return Track(x, known, y, offsets)


class Windows:
    """Windows of `lookback` steps, each named by its origin: the row of its last known step.

    Args:
        track: the series.
        origins: rows of the track, one a window; the series of a window must reach `lookback` - 1
            rows back from there and, where its target is asked for, `horizon` rows ahead.
        last_only: the target is that of the last step alone (sequence to vector).
        season: anchor each forecast at the target's value one season of so many steps before
            the step being forecast, or the last known such value; 1 is the last value; None, no
            anchor.
    """

    def __init__(
        self,
        track: Track,
        origins: np.ndarray,
        lookback: int,
        horizon: int,
        *,
        last_only: bool = False,
        season: int | None = None,
    ) -> None:
        self.track, self.lookback, self.horizon = track, lookback, horizon
        self.origins = torch.as_tensor(origins, dtype=torch.long, device=track.x_TI.device)
        self.series = np.searchsorted(track.offsets, origins, side="right") - 1
        back = 0 if last_only else lookback - 1
        device = track.x_TI.device
        self._steps_L = torch.arange(1 - lookback, 1, device=device)
        self._asked_L = torch.arange(-back, 1, device=device)
        self._ahead_N = torch.arange(1, horizon + 1, device=device)
        self._season_N = None
        if season is not None:
            self._season_N = self._ahead_N - season * ((self._ahead_N + season - 1) // season)
            self._first = torch.as_tensor(track.offsets[self.series], device=device)

    def __len__(self) -> int:
        return len(self.origins)

    def batch(self, picks: Tensor | slice) -> Batch:
        """Return the windows `picks`: x_BTI, target and anchor as (B, steps asked for, N, C)."""
        origins_B = self.origins[picks]
        steps_BL = origins_B[:, None] + self._steps_L
        x_BLI = self.track.x_TI[steps_BL]
        if self.track.known_TK.shape[1]:
            ahead_BLN = steps_BL[:, :, None] + self._ahead_N
            known_BLNK = self.track.known_TK[ahead_BLN]
            x_BLI = torch.cat([x_BLI, known_BLNK.flatten(2)], dim=2)
        asked_BL1 = (origins_B[:, None] + self._asked_L)[:, :, None]
        target = self.track.y_TC[asked_BL1 + self._ahead_N]
        return Batch(x_BLI, target, anchor=self._anchor(picks, asked_BL1))

    def _anchor(self, picks: Tensor | slice, asked_BL1: Tensor) -> Tensor | None:
        if self._season_N is None:
            return None
        at_BLN = asked_BL1 + self._season_N
        # Too early in the series for a season to lie behind: its last value serves.
        at_BLN = torch.where(at_BLN < self._first[picks][:, None, None], asked_BL1, at_BLN)
        return self.track.y_TC[at_BLN]

    def order(self, batch_size: int, generator: torch.Generator) -> list[Tensor]:
        """Return one epoch's mini-batches in shuffled order, as picks for `batch`."""
        shuffled = torch.randperm(len(self), generator=generator).to(self.origins.device)
        return list(shuffled.split(batch_size))
