"""From a table to a job: read as the options say, check, choose what was left open, learn.

Scales, categories and the season are learnt from the training span alone.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import polars as pl

from elman.data.checks import check_panel
from elman.data.findings import Finding, count, raise_errors
from elman.data.panel import ROW, Panel, make_panel
from elman.data.splits import make_splits
from elman.data.steps import Step
from elman.data.table import Column, Table
from elman.errors import InputError
from elman.kinds import Declaration
from elman.kinds.forecasting.forecaster import (
    UNSEEN,
    Forecaster,
    Part,
    make_parts,
    of_group,
    unseen,
)
from elman.kinds.forecasting.job import ForecastJob, Options
from elman.kinds.inputs.series import SeriesInput
from elman.kinds.period import calendar_periods, find_period
from elman.kinds.scaling import Scaling
from elman.kinds.scoring.forecasts import naive_scale
from elman.kinds.targets.forecast import Forecast

_LEAST_LOOKBACK = 32
_LOOKED_AT = 50  # rows of a column, to see whether it holds times
_SEASONS_ASKED = 20  # of a panel's longest series


def prepare(
    inputs: tuple[Declaration, ...],
    target: Declaration,
    options: Any,
    topology: str,
    table: Table,
    valid: Table | None,
    findings: list[Finding],
) -> ForecastJob:
    """Read and check a table, and learn from its training span.

    Args:
        inputs, target: what goes in and what comes out.
        options: how; `valid` in there is ignored if a table is given for it.
        topology: seq-to-seq or seq-to-vector.
        table: the table, cut into spans by `options`.
        valid: a table of its own to validate on.
        findings: what is noticed on the way is added to it.

    Raises:
        InputError: the data cannot be used; if it is one of several errors, all are in `findings`.
    """
    source = inputs[0]  # `kinds.ONLY` allows no more
    findings += _overlooked(table, options)
    panel = _read(table, source, target, options)
    findings += panel.findings
    raise_errors(findings)
    horizon = options.horizon
    cuts = {"valid": None if valid is not None else options.valid, "test": options.test}
    first = make_splits(panel, **cuts, lookback=options.lookback or 1, horizon=horizon)
    training = {
        series.key: series.frame[slice(*span)]
        for series, span in zip(panel.series, first.of("train"), strict=True)
    }
    period = options.period or _find_season(training, target.columns, panel.step)
    lookback = options.lookback or _default_lookback(period, horizon, training)
    least = lookback if options.tbptt is None else 1  # rows that training needs before the horizon
    splits = make_splits(panel, **cuts, lookback=least, horizon=horizon)
    findings += splits.findings
    findings += check_panel(
        panel,
        splits,
        inputs=list(source.columns),
        targets=list(target.columns),
        known=list(options.known),
        lookback=least,
        horizon=horizon,
    )
    raise_errors(findings)
    parts = make_parts(panel, splits.spans)
    by_group = options.scaling != "none" and (
        options.scaling_by == "group"
        or (options.scaling_by == "auto" and options.group is not None)
    )
    unscaled = [key for key, span in training.items() if not span.height] if by_group else []
    if unscaled:
        findings.append(_no_scale(panel, unscaled))
        parts = [part for part in parts if part.key not in unscaled]
    learnt_inputs = SeriesInput.learn(
        training,
        source.columns,
        options.known,
        options.calendar,
        options.scaling,
        by_group=by_group,
    )
    values = {key: span.select(target.columns).to_numpy() for key, span in training.items()}
    forecaster = Forecaster(
        inputs=learnt_inputs,
        target=Forecast(
            target.columns,
            horizon,
            options.quantiles,
            options.loss,
            {"none": None, "last": 1, "season": period}[options.relative],
            Scaling.learn(options.scaling, target.columns, values, by_group=by_group),
        ),
        lookback=lookback,
        last_only=topology == "seq-to-vector",
        period=period,
        mase_scale={key: naive_scale(v, period) for key, v in values.items()},
        time=options.time,
        group=options.group,
        step=panel.step,
        missing=options.missing,
        tbptt=options.tbptt,
    )
    if valid is not None:
        added, other = forecaster.parts(valid, split="valid")
        findings += other.findings
        findings += _shared_rows(table, valid, parts, added)
        findings += [
            Finding("warning", f"{other.name}: {problem}", UNSEEN)
            for problem in unseen(learnt_inputs, added)
        ]
        raise_errors(findings)
        parts += added
    return ForecastJob(forecaster, parts, panel, splits, options)


def _shared_rows(
    table: Table, valid: Table, parts: Sequence[Part], added: Sequence[Part]
) -> list[Finding]:
    """Return an error if rows that train are in the table to validate on as well."""
    remedy = "give a table to validate on that training does not see, or leave it out"
    if table.sha256 == valid.sha256:
        return [Finding("error", f"{valid.name}: is the table that is trained on", remedy)]
    for part in added:
        own = next((own for own in parts if own.key == part.key and "train" in own.spans), None)
        if own is None or own.times is None or part.times is None:
            continue
        shared = np.isin(part.times[: part.known], own.times[slice(*own.spans["train"])])
        if shared.any():
            row = part.frame[ROW][int(shared.argmax())]
            return [
                Finding(
                    "error",
                    f"{valid.name}{of_group(part.key)}: {count(int(shared.sum()), 'row')} at times "
                    f"that {table.name} trains on, the first is row {row:,}",
                    remedy,
                )
            ]
    return []


def _read(table: Table, inputs: Declaration, target: Declaration, options: Options) -> Panel:
    asked = dict.fromkeys(inputs.columns, "--input") | dict.fromkeys(target.columns, "--target")
    for column, option in asked.items():
        table.require(column, option)
    for column in options.categories:
        table.require(column, "--categories")
        if column not in (*inputs.columns, *options.known) or column in target.columns:
            raise InputError(
                f"--categories {column}: expected columns that --input or --known names as well, "
                "and not the target"
            )
    if options.time in (*inputs.columns, *target.columns, *options.known):
        raise InputError(
            f"{options.time!r} is the time column, so no input or target; for what the date itself "
            "tells use --calendar weekday,yearday"
        )
    plain = [c for c in inputs.columns if c not in target.columns]
    numbers = [c for c in plain if c not in options.categories and table.is_number(c)]
    return make_panel(
        table,
        time=options.time,
        group=options.group,
        numbers=[*target.columns, *numbers],
        categories=[*options.categories, *(c for c in plain if c not in numbers)],
        known=list(options.known),
        missing=options.missing,
        since=options.since,
        until=options.until,
        options=asked,
    )


def _overlooked(table: Table, options: Options) -> list[Finding]:
    """Return a warning for a column of times that nobody named: rows may be out of order."""
    used = {*options.known, *options.categories, options.time, options.group}
    for name in table.frame.columns if options.time is None else ():
        values = table.frame[name].drop_nulls().head(_LOOKED_AT)
        if name in used or not len(values) or values.dtype.is_numeric():
            continue
        times, problems = Column(values, pl.Series(range(len(values))), table.name).times()
        if times.dtype != pl.Int64 and not any(p.severity == "error" for p in problems):
            return [
                Finding(
                    "warning",
                    f"{table.name}: column {name!r} holds times and is not used; rows are taken "
                    "as steps in their order",
                    f"name it with --time {name}, and the column that tells several series apart, "
                    "if there are, with --group",
                )
            ]
    return []


def _find_season(
    training: Mapping[str | None, pl.DataFrame], columns: Sequence[str], step: Step | None
) -> int:
    """Return the season that most of the series have, or 1."""
    candidates = calendar_periods(step.seconds) if step and step.seconds else ()
    longest = sorted(training.values(), key=len, reverse=True)[:_SEASONS_ASKED]
    lengths = [
        find_period(span[column].to_numpy(), candidates=candidates).length
        for span in longest
        for column in columns
    ]
    return max(set(lengths), key=lambda length: (lengths.count(length), length))


def _default_lookback(
    period: int, horizon: int, training: Mapping[str | None, pl.DataFrame]
) -> int:
    """Two horizons and at least 32 steps, in whole seasons, but at most a third of the data.

    Of a panel, that is of the middle one of its series: one that has hardly begun must not take
    the others' past away.
    """
    wanted = max(2 * horizon, _LEAST_LOOKBACK)
    wanted = -(-wanted // period) * period
    typical = np.median([span.height for span in training.values() if span.height])
    return max(1, min(wanted, int(typical) // 3))


def _no_scale(panel: Panel, keys: Sequence[str | None]) -> Finding:
    return Finding(
        "warning",
        f"{panel.name}: {len(keys):,} of {len(panel.series):,} series have no row in the training "
        f"span, so no scale, and are left out of validation and test; the first is {keys[0]!r}",
        "start validation later, or scale all alike with --scaling-by column",
    )
