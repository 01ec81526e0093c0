"""`forecast:COL,COL`: the next N values of number columns, as points or as quantiles.

The network answers in standard deviations of the training span (or as `scaling` says). With an
anchor (`relative`), its answer is added to the last value or to that of one season before, so
that a network that answers nothing already forecasts what the naive baseline does.

Legend: B batch, S steps at which the network answers, N horizon, C target columns, Q quantiles
(1 for a point forecast), W windows.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import polars as pl
import torch
from torch import Tensor
from torch.nn import functional as F

from elman.data.batch import Batch
from elman.kinds.scaling import Scaling

LOSSES: dict[str, Callable[..., Tensor]] = {
    "huber": F.huber_loss,
    "mse": F.mse_loss,
    "mae": F.l1_loss,
}


@dataclass(frozen=True)
class Forecast:
    """What is to be forecast, and how an answer of the network is read.

    Attributes:
        columns: the target columns.
        horizon: steps ahead.
        quantiles: none for a point forecast.
        loss_name: of a point forecast, a key of `LOSSES`.
        season: steps to the anchor's season, 1 for the last value, None for no anchor.
        scaling: of the target columns.
    """

    columns: tuple[str, ...]
    horizon: int
    quantiles: tuple[float, ...]
    loss_name: str
    season: int | None
    scaling: Scaling

    @property
    def output_size(self) -> int:
        """Values that the network answers at a step."""
        return self.horizon * len(self.columns) * max(1, len(self.quantiles))

    @property
    def score_name(self) -> str:
        """What `score` measures, for displays."""
        measure = "pinball" if self.quantiles else "MAE"
        return measure if self._has_unit else f"{measure} (scaled)"

    @property
    def unit(self) -> float:
        """What a scaled score is to be multiplied by: where there is one target and one scale."""
        return float(next(iter(self.scaling.values.values()))[1, 0]) if self._has_unit else 1.0

    @property
    def _has_unit(self) -> bool:
        return len(self.columns) == 1 and len(self.scaling.values) == 1

    def encode(self, key: str | None, frame: pl.DataFrame) -> np.ndarray:
        """Return a series' scaled targets `y_TC`; missing ones are NaN."""
        return self.scaling.scale(key, frame.select(self.columns).to_numpy())

    def answer(self, output_BSO: Tensor, batch: Batch) -> Tensor:
        """Return the scaled forecast (B, S, N, C, Q) that the network's output means."""
        shape = (self.horizon, len(self.columns), max(1, len(self.quantiles)))
        answer = output_BSO.unflatten(-1, shape)
        return answer if batch.anchor is None else answer + batch.anchor.unsqueeze(-1)

    def loss(self, output_BSO: Tensor, batch: Batch) -> Tensor:
        """Return the mean loss over every step, horizon step, column and quantile."""
        answer = self.answer(output_BSO, batch)
        if self.quantiles:
            return self._pinball(answer, batch.target).mean()
        return LOSSES[self.loss_name](answer.squeeze(-1), batch.target)

    def losses(self, output_BSO: Tensor, batch: Batch) -> Tensor:
        """Return the mean loss of each step's answer, (B, S)."""
        answer = self.answer(output_BSO, batch)
        if self.quantiles:
            return self._pinball(answer, batch.target).flatten(2).mean(2)
        each = LOSSES[self.loss_name](answer.squeeze(-1), batch.target, reduction="none")
        return each.flatten(2).mean(2)

    def score(self, output_BSO: Tensor, batch: Batch) -> Tensor:
        """Return the sum over windows of their mean absolute error or pinball loss, scaled."""
        answer = self.answer(output_BSO, batch)
        if self.quantiles:
            error = self._pinball(answer, batch.target)
        else:
            error = (answer.squeeze(-1) - batch.target).abs()
        return error.flatten(1).mean(1).sum()

    def decode(self, answer_WNCQ: np.ndarray, keys: Sequence[str | None]) -> np.ndarray:
        """Return forecasts in the targets' own units; quantiles are put in order.

        Args:
            answer_WNCQ: scaled forecasts.
            keys: the group of each window.
        """
        scales = {key: self.scaling.of(key) for key in set(keys)}
        shift_scale = np.stack([scales[key] for key in keys])[:, :, None, :, None]
        values = answer_WNCQ * shift_scale[:, 1] + shift_scale[:, 0]
        return np.sort(values, axis=-1) if self.quantiles else values

    def point(self, values_WNCQ: np.ndarray) -> np.ndarray:
        """Return the point forecast (W, N, C): the quantile nearest the median, or the only one."""
        if not self.quantiles:
            return values_WNCQ[..., 0]
        return values_WNCQ[..., int(np.argmin(np.abs(np.array(self.quantiles) - 0.5)))]

    def _pinball(self, answer: Tensor, target: Tensor) -> Tensor:
        """Koenker & Bassett 1978: the loss whose minimum is the quantile."""
        levels_Q = torch.tensor(self.quantiles, dtype=answer.dtype, device=answer.device)
        error = target.unsqueeze(-1) - answer
        return torch.maximum(levels_Q * error, (levels_Q - 1) * error)

    def as_dict(self) -> dict[str, Any]:
        """Return what `from_dict` takes, ready for JSON."""
        return {
            "kind": "forecast",
            "columns": list(self.columns),
            "horizon": self.horizon,
            "quantiles": list(self.quantiles),
            "loss": self.loss_name,
            "season": self.season,
            "scaling": self.scaling.as_dict(),
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Self:
        """Return the target that `as_dict` described."""
        return cls(
            tuple(data["columns"]),
            data["horizon"],
            tuple(data["quantiles"]),
            data["loss"],
            data["season"],
            Scaling.from_dict(data["scaling"]),
        )
