"""Windows over long series: a mini-batch is cut out of them by index, nothing is stored twice.

All series of a panel lie one behind the other in one tensor; a window never crosses from one
into the next. At step t of a window the network reads the series at t and what is known ahead of
the steps t+1..t+N; it is to say the target at t+1..t+N.

Legend: T all steps, W windows, B batch, L lookback, S steps asked for (L or 1), N horizon, I input
features, K features known ahead, C target columns.
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
    """All series of a panel, encoded and laid one behind the other, each tensor contiguous.

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
        # Row by row in memory, whatever the order of the parts: Windows makes views of them.
        x, known, y = (
            torch.from_numpy(np.ascontiguousarray(np.concatenate(arrays), np.float32)).to(device)
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
        device = track.x_TI.device
        self.origins = torch.as_tensor(origins, dtype=torch.long, device=device)
        self.series = np.searchsorted(track.offsets, origins, side="right") - 1
        S = 1 if last_only else lookback
        self._season = season
        if season is not None:
            self._asked_S1 = torch.arange(1 - S, 1, device=device)[:, None]
            ahead_N = torch.arange(1, horizon + 1, device=device)
            self._season_N = ahead_N - season * ((ahead_N + season - 1) // season)
            self._offsets = torch.as_tensor(track.offsets, device=device)
        # Views in which row s is the window that starts at row s of the track: neighbouring
        # windows share their memory, and cutting a mini-batch is one copy of its rows.
        windows = max(0, len(track.x_TI) - lookback - horizon + 1)
        num_own, K, C = (part.shape[1] for part in (track.x_TI, track.known_TK, track.y_TC))
        self._x_WLI = track.x_TI.as_strided((windows, lookback, num_own), (num_own, num_own, 1))
        # What is known of the next N steps lies in one piece behind each step.
        self._known_WLK = track.known_TK.as_strided((windows, lookback, horizon * K), (K, K, 1), K)
        self._y_WSNC = track.y_TC.as_strided(
            (windows, S, horizon, C), (C, C, C, 1), (lookback - S + 1) * C
        )

    def __len__(self) -> int:
        return len(self.origins)

    def batch(self, picks: Tensor | slice) -> Batch:
        """Return the windows `picks`: x_BTI, target and anchor as (B, steps asked for, N, C)."""
        return self.at(self.origins[picks])

    def at(self, origins_B: Tensor) -> Batch:
        """Return windows of this kind at any rows of the track, as `batch` does."""
        starts_B = origins_B - (self.lookback - 1)
        x_BLI = self._x_WLI[starts_B]
        if self._known_WLK.shape[2]:
            x_BLI = torch.cat([x_BLI, self._known_WLK[starts_B]], dim=2)
        return Batch(x_BLI, self._y_WSNC[starts_B], anchor=self._anchor(origins_B))

    def _anchor(self, origins_B: Tensor) -> Tensor | None:
        if self._season is None:
            return None
        asked_BS1 = origins_B[:, None, None] + self._asked_S1
        at_BSN = asked_BS1 + self._season_N
        # Too early in the series for a season to lie behind: its last value serves.
        series_B = torch.searchsorted(self._offsets, origins_B, right=True) - 1
        early = at_BSN < self._offsets[series_B][:, None, None]
        return self.track.y_TC[torch.where(early, asked_BS1, at_BSN)]

    def order(self, batch_size: int, generator: torch.Generator) -> list[Tensor]:
        """Return one epoch's mini-batches in shuffled order, as picks for `batch`."""
        shuffled = torch.randperm(len(self), generator=generator).to(self.origins.device)
        return list(shuffled.split(batch_size))
