"""From a table to series: rows put in time order, checked, and with their missing values treated.

`make_panel` reads the columns that are asked for, splits the rows by group, and collects what it
finds on the way instead of stopping at the first error. After an error the series are incomplete:
a strict caller calls `raise_errors` first.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import get_args

import numpy as np
import polars as pl

from elman.data.findings import Finding, count, raise_errors
from elman.data.options import Missing
from elman.data.steps import Step, infer_step, parse_bound, show_time
from elman.data.table import Column, Table
from elman.errors import InputError, unknown

ROW = "#row"
TIME = "#time"
FILLED = "#filled "  # and the name of a column
_GROUP = "#group"


@dataclass(frozen=True)
class Series:
    """The rows of one group in time order: `#row`, `#time` if there is one, and its columns.

    Number columns are Float64 and finite, category columns String; nothing is null. Beside a
    number column in which missing values were filled, in this series or another of its panel,
    stands a Boolean one, `#filled ` and its name, true where they were.
    """

    key: str | None
    frame: pl.DataFrame

    def __len__(self) -> int:
        return self.frame.height

    @property
    def times(self) -> np.ndarray | None:
        """Times as datetime64[us] or int64; None without a time column."""
        return self.frame[TIME].to_numpy() if TIME in self.frame.columns else None


@dataclass(frozen=True)
class Panel:
    """One series, or several with the same columns.

    Attributes:
        name: what messages call the table.
        series: ordered by key, whatever the order of the table's rows.
        time: name of the time column, or None: rows are steps.
        group: name of the group column, or None: one series with the key None.
        step: distance between neighbouring times; None without times or where it is irregular.
        findings: what was noticed on the way.
        future: by key, rows after the last of a series that are known ahead: their time and known
            columns are filled, and the columns that are not known ahead are null; the columns are
            those of the series.
        numbers, categories, known: which columns are which; `known` ones are also in one of the
            other two.
    """

    name: str
    series: list[Series]
    time: str | None = None
    group: str | None = None
    step: Step | None = None
    findings: list[Finding] = field(default_factory=list)
    future: dict[str | None, pl.DataFrame] = field(default_factory=dict)
    numbers: list[str] = field(default_factory=list)
    categories: list[str] = field(default_factory=list)
    known: list[str] = field(default_factory=list)

    def raise_errors(self) -> None:
        """Raise `InputError` for the first error among the findings, if there is one."""
        raise_errors(self.findings)


def make_panel(
    table: Table,
    *,
    time: str | None = None,
    group: str | None = None,
    numbers: Iterable[str] = (),
    categories: Iterable[str] = (),
    known: Iterable[str] = (),
    missing: str = "error",
    since: str | None = None,
    until: str | None = None,
    options: Mapping[str, str] | None = None,
) -> Panel:
    """Read the columns of a table as one series, or as one for each value of `group`.

    Rows are sorted by time, and those that repeat another in all columns read are dropped.
    Trailing rows of a series that have a time or known values but no number that is not known
    ahead become its future.

    Args:
        table: where the columns are.
        time: column of times; without it rows are steps in the order of the table.
        group: column that tells the series apart.
        numbers: columns to read as numbers.
        categories: columns to read as categories.
        known: columns known ahead; read as numbers or as categories by what they hold, unless
            `numbers` or `categories` has them, too.
        missing: what becomes of missing values. `error`: an error each column. `forward`: the last
            value before is carried forward, never one from the future, and numbers so filled are
            marked. `drop`: the row is left out.
        since: ISO date or time, or whole number: rows before it are left out before any check.
        until: likewise the last period kept: `2018` keeps all of that year.
        options: by column, the option it comes from, for messages.

    Raises:
        InputError: a column is absent, or an argument cannot be used; whatever is wrong with the
            values is an error among the panel's findings.
    """
    if missing not in get_args(Missing):
        raise unknown("--missing", missing, get_args(Missing))
    if time is None and (since or until):
        raise InputError("--since and --until need a time column; name it with --time")
    origins = {time: "--time", group: "--group"} | dict(options or {})
    known = list(dict.fromkeys(known))
    numbers, categories = list(dict.fromkeys(numbers)), list(dict.fromkeys(categories))
    for column in (*filter(None, (time, group)), *known, *numbers, *categories):
        fallback = "--known" if column in known else "--input"
        table.require(column, origins.get(column, fallback))
    for column in (*numbers, *categories, *known):
        if column in (ROW, TIME, _GROUP) or column.startswith(FILLED):
            raise InputError(f"{table.name}: Elman keeps the name {column!r} for itself; rename it")
    for column in set(numbers) & set(categories):
        raise InputError(f"{column!r} is asked for both as a number and as a category; choose one")
    for column in known:
        if column not in numbers and column not in categories:
            (numbers if table.is_number(column) else categories).append(column)
    panel = Panel(table.name, [], time, group, numbers=numbers, categories=categories, known=known)
    frame = _read_columns(table, panel, since, until)
    if _has_errors(panel.findings):
        return panel
    frame = _drop_repeated(_sort(frame, panel), panel)
    past, future = _split_future(frame, panel)
    past = _treat_missing(past, panel, missing)
    marks = [pl.lit(False).alias(name) for name in past.columns if name.startswith(FILLED)]
    future = future.with_columns(marks)
    step = None if time is None else _check_gaps(pl.concat([past, future]), panel)
    series = [Series(key, part) for key, part in _by_group(past, panel).items()]
    return replace(panel, series=series, future=_by_group(future, panel), step=step)


def _has_errors(findings: Iterable[Finding]) -> bool:
    return any(finding.severity == "error" for finding in findings)


def _read_columns(table: Table, panel: Panel, since: str | None, until: str | None) -> pl.DataFrame:
    """Return `#row`, `#group`, `#time` and the panel's columns; findings go to the panel."""
    rows = pl.Series(ROW, np.arange(1, table.frame.height + 1))
    columns = {ROW: rows}
    keep = None
    if panel.time is not None:
        times, findings = Column(table.frame[panel.time], rows, table.name).times()
        panel.findings.extend(findings)
        columns[TIME] = times.alias(TIME)
        if (since or until) and not _has_errors(findings):
            keep = _in_range(times, since, until, table.name)
            columns = {name: values.filter(keep) for name, values in columns.items()}
    rows = columns[ROW]

    def column(name: str) -> Column:
        values = table.frame[name]
        return Column(values if keep is None else values.filter(keep), rows, table.name)

    columns[_GROUP] = pl.Series(_GROUP, [""]).new_from_index(0, len(rows))
    if panel.group is not None:
        keys, findings = column(panel.group).categories()
        panel.findings.extend(findings)
        columns[_GROUP] = keys.alias(_GROUP)
        if keys.null_count() and not findings:
            place = column(panel.group).place(keys.is_null().arg_max() or 0)
            message = f"{place}: the group is missing, in {count(keys.null_count(), 'row')} in all"
            panel.findings.append(Finding("error", message, "say which series each row is of"))
    for name in panel.numbers:
        columns[name], findings = column(name).numbers()
        panel.findings.extend(findings)
    for name in panel.categories:
        columns[name], findings = column(name).categories()
        panel.findings.extend(findings)
    return pl.DataFrame(columns)


def _in_range(times: pl.Series, since: str | None, until: str | None, name: str) -> pl.Series:
    values = times.to_numpy()
    keep = np.ones(len(values), bool)
    if since:
        keep &= values >= _bound("--since", since, values)
    if until:
        # The end of what was named: of the year for 2018, of the day for 2018-12-31.
        keep &= values < _bound("--until", until, values) + 1
    if not keep.any():
        span = f"since {since}" if since else ""
        span += f" until {until}" if until else ""
        first, last = show_time(values.min()), show_time(values.max())
        raise InputError(f"{name}: no rows {span.strip()}; the times run from {first} to {last}")
    return pl.Series(keep)


def _bound(option: str, text: str, times: np.ndarray) -> np.datetime64 | np.int64:
    bound, expected = parse_bound(text, times), "an ISO date such as 2018-12-31"
    if bound is None:
        if times.dtype.kind != "M":
            expected = "a whole number, as in the time column"
        raise InputError(f"{option}: expected {expected}, got {text!r}")
    return bound


def _sort(frame: pl.DataFrame, panel: Panel) -> pl.DataFrame:
    if panel.time is None:
        return frame if panel.group is None else frame.sort(_GROUP, ROW)
    backwards = frame.select(
        (pl.col(TIME).cast(pl.Int64).diff() < 0).over(_GROUP).fill_null(False)
    ).to_series()
    if backwards.any():
        first = frame[ROW].filter(backwards)[0]
        message = (
            f"{panel.name}: {count(int(backwards.sum()), 'row')} earlier than the row before, "
            f"the first is row {first:,}; sorted by {panel.time!r}"
        )
        panel.findings.append(Finding("warning", message))
    elif panel.group is None:
        return frame  # sorting takes several times the memory of a long series
    return frame.sort(_GROUP, TIME, ROW)


def _drop_repeated(frame: pl.DataFrame, panel: Panel) -> pl.DataFrame:
    """Drop exact repetitions; rows of one series and time that differ are an error."""
    if panel.time is None:
        return frame
    key = [_GROUP, TIME]
    if not _same_as_before(frame, key).any():
        return frame
    content = pl.struct(key + panel.numbers + panel.categories)
    is_first = frame.select(content.is_first_distinct()).to_series()
    kept, dropped = frame.filter(is_first), frame.filter(~is_first)
    if len(dropped):
        message = (
            f"{panel.name}: {count(len(dropped), 'row')} repeated exactly and dropped, "
            f"the first is row {dropped[ROW].min():,}"
        )
        panel.findings.append(Finding("warning", message))
    clash = _same_as_before(kept, key)
    if clash.any():
        at = clash.arg_max() or 0
        others = f" (and {count(int(clash.sum()) - 1, 'more such row')})" if clash.sum() > 1 else ""
        series = "" if panel.group is None else f" in the series {kept[_GROUP][at]!r}"
        message = (
            f"{panel.name}: rows {kept[ROW][at - 1]:,} and {kept[ROW][at]:,} have the same time "
            f"{show_time(kept[TIME].to_numpy()[at])}{series} but different values{others}"
        )
        remedy = "remove one of them"
        if panel.group is None:
            remedy += ", or name the column that tells several series apart with --group"
        panel.findings.append(Finding("error", message, remedy))
        return kept.filter(~clash)
    return kept


def _same_as_before(frame: pl.DataFrame, key: list[str]) -> pl.Series:
    same = [pl.col(column) == pl.col(column).shift(1) for column in key]
    return frame.select(pl.all_horizontal(same).fill_null(False)).to_series()


def _split_future(frame: pl.DataFrame, panel: Panel) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Cut off the trailing rows of each series that hold nothing but what is known ahead."""
    own = [column for column in panel.numbers if column not in panel.known]
    if not own or (panel.time is None and not panel.known):
        return frame, frame.clear()
    blank = pl.all_horizontal(pl.col(own).is_null()).cast(pl.Int8)
    trailing = blank.reverse().cum_min().reverse().over(_GROUP).cast(pl.Boolean)
    is_future = frame.select(trailing).to_series()
    past, future = frame.filter(~is_future), frame.filter(is_future)
    if len(future):
        message = (
            f"{panel.name}: {count(len(future), 'row')} at the end without values for "
            f"{', '.join(own)} taken as the future, the first is row {future[ROW][0]:,}"
        )
        if panel.known:
            panel.findings.append(Finding("note", message))
        else:
            remedy = "no column is known ahead, so they are of no use: fill them in or remove them"
            panel.findings.append(Finding("warning", message, remedy))
    for key in sorted(set(future[_GROUP].unique()) - set(past[_GROUP].unique())):
        series = "the table" if panel.group is None else f"the series {key!r}"
        message = f"{panel.name}: {series} has no values for {', '.join(own)}"
        panel.findings.append(Finding("error", message, "fill them in, or leave it out"))
    for column in panel.known:
        _report_missing(future, column, panel, ", although known ahead", "fill them in")
    return past, future


def _report_missing(frame: pl.DataFrame, column: str, panel: Panel, why: str, remedy: str) -> None:
    """Add an error if `column` has missing values."""
    nulls = frame[column].is_null()
    if nulls.any():
        message = (
            f"{panel.name}: column {column!r}: {count(int(nulls.sum()), 'value')} missing{why}, "
            f"the first in row {frame[ROW].filter(nulls)[0]:,}"
        )
        panel.findings.append(Finding("error", message, remedy))


def _treat_missing(frame: pl.DataFrame, panel: Panel, how: str) -> pl.DataFrame:
    numbers, columns = panel.numbers, panel.numbers + panel.categories
    if how == "error":
        for column in columns:
            remedy = "fill them in, or choose --missing forward or drop"
            _report_missing(frame, column, panel, "", remedy)
        return frame
    for column in columns:
        nulls = frame[column].is_null()
        if nulls.any():
            message = (
                f"{panel.name}: column {column!r}: {count(int(nulls.sum()), 'value')} missing, the "
                f"first in row {frame[ROW].filter(nulls)[0]:,}; {_TREATMENTS[how]}"
            )
            panel.findings.append(Finding("warning", message))
    if how == "drop":
        return frame.drop_nulls(columns)
    filled = frame.with_columns(pl.col(columns).forward_fill().over(_GROUP))
    for column in columns:
        why = " with none before it in its series to carry forward"
        remedy = "fill them in, leave the rows out with --since, or choose --missing drop"
        _report_missing(filled, column, panel, why, remedy)
    marks = {FILLED + name: frame[name].is_null() & filled[name].is_not_null() for name in numbers}
    return filled.with_columns(**{name: mark for name, mark in marks.items() if mark.any()})


_TREATMENTS = {
    "forward": "filled with the last value before",
    "drop": "these rows are left out",
}


def _check_gaps(frame: pl.DataFrame, panel: Panel) -> Step | None:
    """Infer the step between neighbouring times, and report where it is not kept."""
    frame = frame.sort(_GROUP, TIME)
    times, groups, rows = frame[TIME].to_numpy(), frame[_GROUP], frame[ROW].to_numpy()
    same = (groups == groups.shift(1)).fill_null(False).to_numpy()[1:]
    before, after, rows = times[:-1][same], times[1:][same], rows[:-1][same]
    step = infer_step(before, after)
    if step is None:
        if len(before):
            message = f"{panel.name}: the times in {panel.time!r} keep to no regular step"
            remedy = "a step then means a row, whatever time lies between; resample if it matters"
            panel.findings.append(Finding("warning", message, remedy))
        return None
    steps = step.between(before, after)
    gaps = steps > 1
    if gaps.any():
        num_absent = int((np.ceil(steps[gaps]) - 1).sum())
        largest = int(np.where(gaps, steps, 0).argmax())
        places = [("the first", int(gaps.argmax()))]
        if steps[largest] > steps[gaps.argmax()]:
            places.append(("the largest", largest))
        shown = "; ".join(
            f"{which} after row {rows[at]:,}, from {show_time(before[at])} to "
            f"{show_time(after[at])}"
            for which, at in places
        )
        # A public holiday or two is what business days are like.
        holidays = step.unit == "business day" and steps.max() <= 3
        message = (
            f"{panel.name}: {count(int(gaps.sum()), 'gap')} in time, "
            f"{count(num_absent, 'row')} absent (step: {step}): {shown}"
        )
        remedy = "windows run across them as if nothing were absent; add the rows if it matters"
        severity = "note" if holidays else "warning"
        panel.findings.append(Finding(severity, message, remedy))
    uneven = (steps % 1 != 0) | (steps < 1)
    if uneven.any():
        at = int(uneven.argmax())
        message = (
            f"{panel.name}: {count(int(uneven.sum()), 'row')} off the step ({step}), the first "
            f"after row {rows[at]:,}, from {show_time(before[at])} to {show_time(after[at])}"
        )
        panel.findings.append(Finding("warning", message, "correct the times, or resample"))
    return step


def _by_group(frame: pl.DataFrame, panel: Panel) -> dict[str | None, pl.DataFrame]:
    columns = [column for column in frame.columns if column != _GROUP]
    if panel.group is None:
        return {None: frame.select(columns)} if len(frame) else {}
    parts = frame.partition_by(_GROUP, maintain_order=True)
    return {part[_GROUP][0]: part.select(columns) for part in parts}
