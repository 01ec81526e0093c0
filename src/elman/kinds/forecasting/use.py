"""A trained network on another table: forecasts of what follows it, or scores along it.

Series that cannot be read are left out and told, as long as there are others.
"""

from __future__ import annotations

from typing import Any

import polars as pl
from torch import nn

from elman.data.findings import Finding
from elman.data.table import Table
from elman.errors import InputError
from elman.kinds.baselines.forecasts import Baseline, LastValue, SeasonalNaive
from elman.kinds.forecasting.evaluation import Evaluation, Evaluator, ahead_frame
from elman.kinds.forecasting.forecaster import (
    UNSEEN,
    Forecaster,
    Part,
    of_group,
    rolling_forecasts,
    unseen,
)

TABLE = "table"  # the one split of a table that is scored whole


def predict(
    network: nn.Module, forecaster: Forecaster, table: Table, options: Any = None
) -> tuple[pl.DataFrame, list[Finding]]:
    """Forecast the steps that follow the last values of each series of a table.

    Returns:
        Columns group (for a panel), origin, step, time, target, forecast, and one for each
        quantile (`q0.1`); and what was noticed about the table.

    Raises:
        InputError: the table lacks what the model needs, is too short, or has a category that
            the training span did not have in the rows that these forecasts read.
    """
    parts, panel = forecaster.parts(table, ahead=True)
    parts, left_out = _usable(forecaster, parts, panel.name)
    for part in parts:
        read = part.frame.slice(forecaster.first_read(part.known))
        for problem in forecaster.inputs.unseen(read):
            raise InputError(f"{panel.name}{of_group(part.key)}: {problem}; {UNSEEN}")
    target, track = forecaster.target, forecaster.track(parts)
    windows = forecaster.last_windows(track, parts)
    values = rolling_forecasts(network, forecaster, windows, [part.key for part in parts])
    frame = ahead_frame(parts, windows, track, target, values)
    return frame if forecaster.group else frame.drop("group"), panel.findings + left_out


def evaluate(
    network: nn.Module, forecaster: Forecaster, name: str, table: Table, options: Any = None
) -> tuple[Evaluation, list[Finding]]:
    """Score forecasts from every step of a table beside the naive baselines.

    Returns:
        The scores of the network, called `name`, and of the baselines that need no training span;
        and what was noticed about the table.

    Raises:
        InputError: the table lacks what the model needs, or is too short.
    """
    parts, panel = forecaster.parts(table, split=TABLE)
    parts, left_out = _usable(forecaster, parts, panel.name, ahead=forecaster.target.horizon)
    new = [
        Finding("warning", f"{panel.name}: {problem}", UNSEEN)
        for problem in unseen(forecaster.inputs, parts)
    ]
    baselines: list[Baseline] = [LastValue()]
    if forecaster.naive_period > 1:
        noun = panel.step.noun if panel.step else "steps"
        baselines.append(SeasonalNaive(forecaster.naive_period, noun))
    evaluation = Evaluation()
    track = forecaster.track(parts)
    Evaluator(forecaster, network, name, parts, track, baselines, fitted=False, within=True).add(
        TABLE, evaluation
    )
    return evaluation, panel.findings + left_out + new


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


def _usable(
    forecaster: Forecaster, parts: list[Part], name: str, ahead: int = 0
) -> tuple[list[Part], list[Finding]]:
    """Return the parts that the model can read, and a warning if there are others."""
    problems = {part.key: _problem(forecaster, part, ahead) for part in parts}
    usable = [part for part in parts if problems[part.key] is None]
    bad = [(key, problem) for key, problem in problems.items() if problem is not None]
    if not usable:
        raise InputError(f"{name}{of_group(bad[0][0])}: {bad[0][1]}")
    if not bad:
        return usable, []
    key, problem = bad[0]
    message = (
        f"{name}: {len(bad):,} of {len(parts):,} series are left out; the first is {key!r}: "
        f"{problem}"
    )
    return usable, [Finding("warning", message)]


def _problem(forecaster: Forecaster, part: Part, ahead: int) -> str | None:
    least = forecaster.reach if ahead else forecaster.least
    if part.known < least + ahead:
        more = f", and {ahead} more to be scored on" if ahead else ""
        return f"{part.known} rows with values; the model reads {least}{more}; give a longer table"
    try:
        forecaster.inputs.scaling.of(part.key)
        forecaster.target.scaling.of(part.key)
    except InputError as error:
        return str(error)
    return None
