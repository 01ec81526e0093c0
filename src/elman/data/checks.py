"""What would spoil training before it starts: looked for in a panel and its splits.

Each check is a generator of findings over one `_Case`; `check_panel` runs them all. What
`make_panel` and `make_splits` noticed stands in their own findings and is not repeated.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import polars as pl

from elman.data.findings import Finding, count
from elman.data.panel import ROW, Panel
from elman.data.splits import Splits
from elman.errors import InputError

_NEARLY_CONSTANT = 0.99  # share of rows with the same value
_OUTLIER = 20.0  # robust deviations from the median
_LEAK = 0.999  # correlation of changes
_LEAK_ROWS = 20_000  # rows of the longest series a leak is looked for in
_SHIFT = 3.0  # training deviations between the means of training and validation
_LISTED = 5  # categories named in a message
_RUNS = 10_000  # runs looked at in one go
_REPEAT = 10  # consecutive equal rows that chance does not explain


@dataclass(frozen=True)
class _Case:
    panel: Panel
    splits: Splits
    inputs: Sequence[str]
    targets: Sequence[str]
    known: Sequence[str]
    lookback: int
    horizon: int

    @property
    def columns(self) -> list[str]:
        return list(dict.fromkeys([*self.inputs, *self.targets, *self.known]))

    @property
    def numbers(self) -> list[str]:
        return [column for column in self.columns if column in self.panel.numbers]

    @property
    def categories(self) -> list[str]:
        return [column for column in self.columns if column in self.panel.categories]

    @cached_property
    def parts(self) -> dict[str, pl.DataFrame]:
        """The rows of all series together in each split."""
        return {
            split: pl.concat(
                series.frame.slice(spans[split][0], spans[split][1] - spans[split][0])
                for series, spans in zip(self.panel.series, self.splits.spans, strict=True)
            )
            for split in ("train", "valid", "test")
        }

    def place(self, column: str) -> str:
        return f"{self.panel.name}: column {column!r}"


def check_panel(
    panel: Panel,
    splits: Splits,
    *,
    inputs: Sequence[str],
    targets: Sequence[str],
    known: Sequence[str] = (),
    lookback: int,
    horizon: int,
) -> list[Finding]:
    """Return what the checks of this file find in a panel and its splits, errors first.

    Args:
        panel: the series, read without errors.
        splits: their spans.
        inputs: columns read at their own step.
        targets: columns to forecast.
        known: columns read ahead, from the step being forecast.
        lookback: steps the network looks back.
        horizon: steps it forecasts.

    Raises:
        InputError: a column is not in the panel.
    """
    for column in (*inputs, *targets, *known):
        if column not in panel.numbers and column not in panel.categories:
            raise InputError(f"{panel.name}: column {column!r} was not read into the panel")
    case = _Case(panel, splits, inputs, targets, known, lookback, horizon)
    findings = [finding for check in _CHECKS for finding in check(case)]
    return sorted(findings, key=lambda finding: finding.severity != "error")


def _short_series(case: _Case) -> Iterator[Finding]:
    need = case.lookback + case.horizon
    short = [series for series in case.panel.series if len(series) < need]
    if short:
        first = short[0]
        yield Finding(
            "warning",
            f"{case.panel.name}: {len(short):,} of {len(case.panel.series):,} series shorter than "
            f"lookback {case.lookback} + horizon {case.horizon} = {need}, the first is "
            f"{first.key!r} with {count(len(first), 'row')}",
            "leave them out, or choose a smaller --lookback or --horizon",
        )


def _constant_columns(case: _Case) -> Iterator[Finding]:
    train = case.parts["train"]
    for column in case.columns:
        if train[column].is_empty():
            continue
        # What nearly all rows hold, the one in the middle of their order holds, too.
        value = train[column].sort()[len(train) // 2]
        times = train[column].eq_missing(value).sum()
        shown = f"{value:g}" if isinstance(value, float) else repr(value)
        remedy = "leave it out" if column not in case.targets else "choose another target or span"
        if times == len(train):
            message = f"{case.place(column)} is constant over the training span: {shown}"
            yield Finding("warning", message, remedy)
        elif times >= _NEARLY_CONSTANT * len(train):
            message = (
                f"{case.place(column)} is {shown} in {times / len(train):.1%} of the training "
                f"span, in all but {count(len(train) - times, 'row')}"
            )
            yield Finding("warning", message, remedy)


def _outliers(case: _Case) -> Iterator[Finding]:
    for column in case.numbers:
        num_far, farthest = 0, (0.0, 0.0, 0.0, 0)
        for series in case.panel.series:
            values = series.frame[column].to_numpy()
            median = np.median(values)
            deviation = 1.4826 * np.median(np.abs(values - median))
            if deviation == 0:
                continue
            distance = np.abs(values - median) / deviation
            at = int(distance.argmax())
            num_far += int((distance > _OUTLIER).sum())
            farthest = max(farthest, (distance[at], values[at], median, series.frame[ROW][at]))
        if num_far:
            distance, value, median, row = farthest
            yield Finding(
                "warning",
                f"{case.place(column)}: {count(num_far, 'value')} more than {_OUTLIER:.0f} robust "
                f"deviations from the median; the farthest is {value:g} in row {row:,}, "
                f"{distance:,.0f} away from {median:g}",
                "correct the value if it is an error; else expect it to dominate the loss",
            )


def _leaks(case: _Case) -> Iterator[Finding]:
    """Find columns that hold the target's future.

    An input does if it is the target k >= 1 steps on. A known column is read as far ahead as the
    horizon, so it also does if it is the target at its own step, or fewer than `horizon` back.
    """
    ends = [spans["train"][1] for spans in case.splits.spans]
    longest = int(np.argmax(ends))
    series = case.panel.series[longest].frame.head(ends[longest]).tail(_LEAK_ROWS)
    for target in case.targets:
        future = series[target].to_numpy()
        for column in case.numbers:
            first = 1 - case.horizon if column in case.known else 1
            if column == target and column not in case.known:
                continue
            values = series[column].to_numpy()
            for k in sorted(range(first, case.horizon + 1), key=abs):
                now, then = _shifted(values, future, k)
                if not _moves_with(now, then):
                    continue
                # At a lag where the target's own past does as well, the column tells nothing new.
                if k > 0 and _moves_with(*_shifted(future, future, k)):
                    continue
                yield _leak(case, column, target, k, now, then)
                break


def _shifted(values: np.ndarray, others: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
    """Return `values` beside what `others` are `k` steps later, where both are there."""
    length = len(values) - abs(k)
    return values[max(0, -k) :][: max(0, length)], others[max(0, k) :][: max(0, length)]


def _moves_with(values: np.ndarray, others: np.ndarray) -> bool:
    """Return whether the changes of two columns correlate so well that one gives the other.

    Changes, not levels: two trends correlate without telling the future.
    """
    if len(values) < _REPEAT:
        return False
    a, b = np.diff(values), np.diff(others)
    a, b = a - a.mean(), b - b.mean()
    scale = np.sqrt((a @ a) * (b @ b))
    return bool(scale > 0 and a @ b > _LEAK * scale)


def _leak(
    case: _Case, column: str, target: str, k: int, now: np.ndarray, then: np.ndarray
) -> Finding:
    when = f"the target {target!r}"
    if k:
        when += f" {count(abs(k), 'step')} {'later' if k > 0 else 'earlier'}"
    if k < 0:
        when += f", which a forecast {case.horizon} steps ahead does not know yet"
    if np.array_equal(now, then):
        message = f"{case.place(column)} equals {when}, in all {len(now):,} rows compared"
        return Finding("error", message, "leave it out: it tells the network what to forecast")
    message = f"{case.place(column)} moves with {when} (correlation of changes above {_LEAK})"
    return Finding("warning", message, "leave it out if it is not known when a forecast is made")


def _repeated_rows(case: _Case) -> Iterator[Finding]:
    """Find runs of rows in validation or test that stand in the training span, too."""
    train, _ = _runs(case, "train")
    for split, name in (("valid", "validation"), ("test", "test")):
        runs, rows = _runs(case, split)
        seen = np.isin(runs, train)
        if seen.any():
            at = int(seen.argmax())
            yield Finding(
                "warning",
                f"{case.panel.name}: {count(int(seen.sum()), 'run')} of {_REPEAT} rows in the "
                f"{name} span stand in the training span as well, the first from row {rows[at]:,}",
                "remove the repeated rows: scores on them say nothing about the future",
            )


def _runs(case: _Case, split: str) -> tuple[np.ndarray, np.ndarray]:
    """Return a hash for each run of `_REPEAT` rows that all differ, and the row it starts at."""
    part = case.parts[split]
    columns = [column for column in case.numbers if column not in case.known]
    if len(part) < _REPEAT or not columns:
        return np.empty(0, np.uint64), np.empty(0, np.int64)
    hashes = part.select(columns).hash_rows(seed=0).to_numpy()
    windows = np.lib.stride_tricks.sliding_window_view(hashes, _REPEAT)
    # Unsigned arithmetic wraps around: a polynomial hash of the run.
    weights = np.cumprod(np.full(_REPEAT, 0x9E3779B97F4A7C15, np.uint64))
    differ, runs = np.empty(len(windows), bool), np.empty(len(windows), np.uint64)
    for start in range(0, len(windows), _RUNS):  # all at once they would be ten times the column
        some = windows[start : start + _RUNS]
        # Counts of a few sizes repeat by chance; ten different rows in the same order do not.
        differ[start : start + _RUNS] = (np.diff(np.sort(some, axis=1), axis=1) != 0).all(axis=1)
        runs[start : start + _RUNS] = (some * weights).sum(axis=1)
    return runs[differ], part[ROW].to_numpy()[: len(windows)][differ]


def _new_categories(case: _Case) -> Iterator[Finding]:
    for column in case.categories:
        known = case.parts["train"][column].unique()
        later = pl.concat(case.parts[split].select(ROW, column) for split in ("valid", "test"))
        later = later.filter(~pl.col(column).is_in(known.to_list()))
        if len(later):
            unseen = later[column].unique().sort()
            names = ", ".join(repr(name) for name in unseen[:_LISTED])
            names += f" and {len(unseen) - _LISTED:,} more" if len(unseen) > _LISTED else ""
            yield Finding(
                "warning",
                f"{case.place(column)}: {names} not in the training span, but in "
                f"{count(len(later), 'row')} after it, the first is row {later[ROW][0]:,}",
                "start validation later, or merge rare categories; unseen ones all count as one",
            )


def _shifted_columns(case: _Case) -> Iterator[Finding]:
    train, valid = case.parts["train"], case.parts["valid"]
    for column in case.numbers:
        before, after = train[column].to_numpy(), valid[column].to_numpy()
        if not len(before) or not len(after) or before.std() == 0:
            continue
        away = abs(after.mean() - before.mean()) / before.std()
        if away > _SHIFT:
            yield Finding(
                "warning",
                f"{case.place(column)}: the mean moves from {before.mean():g} in training to "
                f"{after.mean():g} in validation, {away:.1f} training deviations",
                "train on later rows (--since), or forecast changes instead of levels",
            )


_CHECKS: tuple[Callable[[_Case], Iterator[Finding]], ...] = (
    _leaks,
    _constant_columns,
    _repeated_rows,
    _new_categories,
    _outliers,
    _shifted_columns,
    _short_series,
)
