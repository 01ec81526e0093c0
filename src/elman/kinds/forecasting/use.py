"""A trained network on another table: forecasts of what follows it, or scores along it."""

from __future__ import annotations

from typing import Any

import polars as pl
from torch import nn

from elman.data.table import Table
from elman.errors import InputError
from elman.kinds.forecasting.evaluation import Evaluation, Evaluator, ahead_frame
from elman.kinds.forecasting.forecaster import (
    UNSEEN,
    Forecaster,
    Part,
    of_group,
    rolling_forecasts,
    unseen,
)
from elman.kinds.targets.baselines import Baseline, LastValue, SeasonalNaive

TABLE = "table"  # the one split of a table that is scored whole


def predict(network: nn.Module, forecaster: Forecaster, table: Table) -> pl.DataFrame:
    """Forecast the steps that follow the last values of each series of a table.

    Returns:
        Columns group (for a panel), origin, step, time, target, forecast, and one for each
        quantile (`q0.1`).

    Raises:
        InputError: the table lacks what the model needs, is too short, or has a category that
            the training span did not have in the rows that these forecasts read.
    """
    parts, panel = forecaster.parts(table, ahead=True)
    _must_look_back(forecaster, parts, panel.name)
    for part in parts:
        read = part.frame.slice(part.known - forecaster.lookback)
        for problem in forecaster.inputs.unseen(read):
            raise InputError(f"{panel.name}{of_group(part.key)}: {problem}; {UNSEEN}")
    target, track = forecaster.target, forecaster.track(parts)
    windows = forecaster.last_windows(track, parts)
    values = rolling_forecasts(network, target, windows, [part.key for part in parts])
    frame = ahead_frame(parts, windows, track, target, values)
    return frame if forecaster.group else frame.drop("group")


def read_series(forecaster: Forecaster, options: Any, table: Table) -> dict[str, Any]:
    """Return a table's series as figures want them: columns, and by group times and values."""
    parts, _ = forecaster.parts(table, since=options.since, until=options.until)
    columns = list(forecaster.target.columns)
    groups = [
        {
            "key": part.key,
            "time": None if part.times is None else part.times[: part.known],
            "values": dict(zip(columns, part.values(columns)[: part.known].T, strict=True)),
        }
        for part in parts
    ]
    return {"columns": columns, "groups": groups}


def evaluate(network: nn.Module, forecaster: Forecaster, name: str, table: Table) -> Evaluation:
    """Score forecasts from every step of a table beside the naive baselines.

    A category that the training span did not have is told in the notes.

    Raises:
        InputError: the table lacks what the model needs, or is too short.
    """
    parts, panel = forecaster.parts(table, split=TABLE)
    _must_look_back(forecaster, parts, panel.name, ahead=forecaster.target.horizon)
    baselines: list[Baseline] = [LastValue()]
    if forecaster.period > 1:
        baselines.append(
            SeasonalNaive(forecaster.period, panel.step.noun if panel.step else "steps")
        )
    evaluation = Evaluation(
        notes=[f"{panel.name}: {problem}" for problem in unseen(forecaster.inputs, parts)]
    )
    track = forecaster.track(parts)
    Evaluator(forecaster, network, name, parts, track, baselines, fitted=False, within=True).add(
        TABLE, evaluation
    )
    return evaluation


def _must_look_back(forecaster: Forecaster, parts: list[Part], name: str, ahead: int = 0) -> None:
    for part in parts:
        if part.known < forecaster.lookback + ahead:
            more = f", and {ahead} more to be scored on" if ahead else ""
            raise InputError(
                f"{name}{of_group(part.key)}: {part.known} rows with values; the model reads "
                f"{forecaster.lookback}{more}; give a longer table"
            )
