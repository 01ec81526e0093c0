"""Rolling-origin evaluation: a forecast from every step of a span, scored beside the baselines.

Legend: W windows (one an origin), N horizon, C target columns, Q quantiles.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import polars as pl
from torch import nn

from elman.data.windows import Track, Windows
from elman.kinds.baselines.forecasts import Baseline
from elman.kinds.forecasting.forecaster import Forecaster, Part, rolling_forecasts
from elman.kinds.scoring.forecasts import best_baseline, noise_probability, score_table, verdict
from elman.kinds.targets.forecast import Forecast

_MOST_ROWS = 200_000


@dataclass
class Evaluation:
    """Scores of a model and the baselines, and the forecasts behind them.

    Attributes:
        scores: rows as in model.json.
        predictions: rows as in predictions.csv.
        noise: by (split, target), how probable the difference to the best baseline is by chance.
        notes: what was left out.
    """

    scores: list[dict[str, Any]] = field(default_factory=list)
    predictions: list[pl.DataFrame] = field(default_factory=list)
    noise: dict[tuple[str, str], float] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    samples: None = None  # the report draws forecasts from predictions.csv

    @property
    def verdict(self) -> str:
        """Whether the model beats the best baseline, in words."""
        return verdict(self.scores, noise=self.noise)

    def frame(self) -> pl.DataFrame:
        """Return all predictions."""
        return pl.concat(self.predictions) if self.predictions else pl.DataFrame()


@dataclass(frozen=True)
class Evaluator:
    """Scores a network on spans of prepared parts.

    Attributes:
        forecaster: what was learnt of the data.
        network: the model; `name` is what the scores call it.
        parts, track: the series, and their encoding.
        baselines: what it is compared with.
        fitted: whether they have seen training spans, one for each part, so that they can tell
            quantiles from their errors there.
        within: windows lie wholly inside their span.
    """

    forecaster: Forecaster
    network: nn.Module
    name: str
    parts: Sequence[Part]
    track: Track
    baselines: Sequence[Baseline]
    fitted: bool = True
    within: bool = False

    def add(self, split: str, evaluation: Evaluation) -> None:
        """Score one split; nothing is added for a split that has no window."""
        windows = self.forecaster.windows(
            self.track, self.parts, split, within=self.within, score=True
        )
        if not len(windows):
            return
        target = self.forecaster.target
        keys = [part.key for part in self.parts]
        origins_W = windows.origins.cpu().numpy() - self.track.offsets[windows.series]
        truth_WNC = self._truth(origins_W, windows.series)
        scale_WC = np.stack([self._mase_scale(key) for key in keys])[windows.series]
        quantiles = target.quantiles or None
        values_WNCQ = rolling_forecasts(self.network, self.forecaster, windows, keys)
        points = {self.name: target.point(values_WNCQ)}
        spreads: dict[str, np.ndarray | None] = {self.name: values_WNCQ if quantiles else None}
        for baseline in self.baselines:
            points[baseline.name], spreads[baseline.name] = self._baseline(
                baseline, origins_W, windows.series
            )
            new = [note for note in baseline.notes if note not in evaluation.notes]
            evaluation.notes += new
        scores = [
            {"split": split, "forecaster": name, "kind": "baseline" if position else "model"} | row
            for position, (name, point_WNC) in enumerate(points.items())
            for row in score_table(
                truth_WNC,
                point_WNC,
                columns=target.columns,
                scale_NC=scale_WC,
                quantiles=quantiles,
                quantile_forecast_NKCQ=spreads[name],
            )
        ]
        evaluation.scores += scores
        best = {
            column: row["forecaster"]
            for column in target.columns
            if (row := best_baseline(scores, split=split, target=column))
        }
        for c, column in enumerate(target.columns):
            if column in best:
                ours, theirs = points[self.name][..., c], points[best[column]][..., c]
                evaluation.noise[split, column] = noise_probability(
                    np.abs(truth_WNC[..., c] - ours),
                    np.abs(truth_WNC[..., c] - theirs),
                    self._times(origins_W, windows.series),
                )
        rows = _Rows(self.parts, windows.series, origins_W, target.columns)
        frame, thinned = rows.frame(split, truth_WNC, points, self.name, best, spreads, quantiles)
        evaluation.predictions.append(frame)
        if thinned > 1:
            evaluation.notes.append(
                f"predictions.csv holds one origin in {thinned} of the {split} span; all of them "
                "are in the scores"
            )

    def _truth(self, origins_W: np.ndarray, series_W: np.ndarray) -> np.ndarray:
        columns = self.forecaster.target.columns
        ahead_N = np.arange(1, self.forecaster.target.horizon + 1)
        truth_WNC = np.empty((len(origins_W), len(ahead_N), len(columns)))
        for index in np.unique(series_W):
            mine = series_W == index
            values_TC = self.parts[index].truth(columns)
            truth_WNC[mine] = values_TC[origins_W[mine][:, None] + ahead_N]
        return truth_WNC

    def _baseline(
        self, baseline: Baseline, origins_W: np.ndarray, series_W: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray | None]:
        target = self.forecaster.target
        shape = (len(origins_W), target.horizon, len(target.columns))
        point_WNC = np.empty(shape)
        spread_WNCQ = None
        if target.quantiles and self.fitted:
            spread_WNCQ = np.empty((*shape, len(target.quantiles)))
        for index in np.unique(series_W):
            mine = series_W == index
            values_TC = self.parts[index].values(target.columns)
            at = (values_TC, origins_W[mine], target.horizon)
            point_WNC[mine] = baseline.forecast(*at, series=index)
            if spread_WNCQ is not None:
                spread_WNCQ[mine] = baseline.forecast_quantiles(*at, target.quantiles, series=index)
        return point_WNC, spread_WNCQ

    def _mase_scale(self, key: str | None) -> np.ndarray:
        scales = self.forecaster.mase_scale
        blank = np.full(len(self.forecaster.target.columns), np.nan)
        return scales.get(key, blank)

    def _times(self, origins_W: np.ndarray, series_W: np.ndarray) -> np.ndarray | None:
        """Return each origin's time, for a panel whose series share their times."""
        if len(self.parts) == 1 or self.parts[0].times is None:
            return None
        return _gather([part.times for part in self.parts], series_W, origins_W)


@dataclass(frozen=True)
class _Rows:
    """Makes rows of predictions.csv: one for each origin, horizon step and target."""

    parts: Sequence[Part]
    series_W: np.ndarray
    origins_W: np.ndarray
    columns: Sequence[str]

    def frame(
        self,
        split: str,
        truth_WNC: np.ndarray,
        points: dict[str, np.ndarray],
        model: str,
        best: dict[str, str],
        spreads: dict[str, np.ndarray | None],
        quantiles: Sequence[float] | None,
    ) -> tuple[pl.DataFrame, int]:
        """Return the rows, and of how many origins one was kept so that they stay readable."""
        W, N, C = truth_WNC.shape
        thinned = -(-W * N * C // _MOST_ROWS)
        kept = slice(None, None, thinned)
        data = self.places(split, N, kept) | {
            "truth": truth_WNC[kept].ravel(),
            "forecast": points[model][kept].ravel(),
        }
        if best:
            columns = [points[best[name]][kept][..., c] for c, name in enumerate(self.columns)]
            data["baseline"] = np.stack(columns, axis=-1).ravel()
        if quantiles:
            spread = spreads[model]
            assert spread is not None
            data |= {f"q{q}": spread[kept][..., i].ravel() for i, q in enumerate(quantiles)}
        return pl.DataFrame(data), thinned

    def places(self, split: str, horizon: int, kept: slice = slice(None)) -> dict[str, Any]:
        """Return the columns that say where a row is."""
        series_W, origins_W = self.series_W[kept], self.origins_W[kept]
        N, C = horizon, len(self.columns)
        rows_WN = origins_W[:, None] + np.arange(1, N + 1)
        each = [part.times for part in self.parts]
        times = (
            each if each[0] is not None else [np.arange(1, len(p.frame) + 1) for p in self.parts]
        )
        origin_W = _gather(times, series_W, origins_W)
        time_WN = _gather(times, series_W[:, None].repeat(N, 1), rows_WN)
        shown = show_times(np.concatenate([origin_W, time_WN.ravel()]))
        keys = np.array([part.key or "" for part in self.parts])[series_W]
        return {
            "split": [split] * (len(series_W) * N * C),
            "group": keys.repeat(N * C),
            "origin": shown[: len(origin_W)].repeat(N * C),
            "step": np.tile(np.arange(1, N + 1).repeat(C), len(series_W)),
            "time": shown[len(origin_W) :].repeat(C),
            "target": np.tile(np.array(self.columns), len(series_W) * N),
        }


def ahead_frame(
    parts: Sequence[Part],
    windows: Windows,
    track: Track,
    target: Forecast,
    values_WNCQ: np.ndarray,
) -> pl.DataFrame:
    """Return forecasts of what is not known yet as rows: group, origin, step, time, target, ..."""
    origins_W = windows.origins.cpu().numpy() - track.offsets[windows.series]
    rows = _Rows(parts, windows.series, origins_W, target.columns)
    data = rows.places("", target.horizon)
    del data["split"]
    data["forecast"] = target.point(values_WNCQ).ravel()
    data |= {f"q{q}": values_WNCQ[..., i].ravel() for i, q in enumerate(target.quantiles)}
    return pl.DataFrame(data)


def show_times(times: np.ndarray) -> np.ndarray:
    """Return times as ISO text, whole days without their midnight; row numbers as they are."""
    if times.dtype.kind != "M":
        return times
    days = times.astype("M8[D]")
    if (days == times).all():
        return days.astype(str)
    return np.datetime_as_string(
        times, unit="s" if (times == times.astype("M8[s]")).all() else "us"
    )


def _gather(each: Sequence[np.ndarray | None], series: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """Return `each[series][row]` for arrays of series and rows."""
    starts = np.cumsum([0, *(len(times) for times in each[:-1])])  # pyright: ignore
    return np.concatenate(each)[starts[series] + rows]  # pyright: ignore
