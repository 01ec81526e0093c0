"""Which rows train, validate and test: spans in time order, one after the other.

A span is a half-open range of a series' rows. Dates cut all series of a panel at the same time;
shares and numbers of steps are counted in each series.
"""

from __future__ import annotations

import datetime
import math
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, TypeGuard

import numpy as np

from elman.data.findings import Finding, count
from elman.data.panel import Panel, Series
from elman.data.steps import parse_bound, show_time
from elman.errors import InputError

Span = tuple[int, int]
SPLITS = ("train", "valid", "test")

# How much goes into a span: a share of the rows, a number of steps, or all from a time on.
Cut = float | int | np.datetime64 | np.int64


@dataclass(frozen=True)
class Splits:
    """The spans of each series, in the order of `Panel.series`, under `train`, `valid`, `test`."""

    spans: list[dict[str, Span]]
    findings: list[Finding] = field(default_factory=list)

    def of(self, split: str) -> list[Span]:
        """Return the span of each series in one split."""
        return [spans[split] for spans in self.spans]

    def num_steps(self, split: str) -> int:
        """Return the rows of all series together in one split."""
        return sum(stop - start for start, stop in self.of(split))

    def describe(self, panel: Panel) -> dict[str, dict[str, str | int]]:
        """Return from when to when each split runs, and its rows over all series.

        Times are as messages show them; without a time column they are numbers of rows, from 1.
        """
        described = {}
        for split in SPLITS:
            ends = [
                (_label(series, start), _label(series, stop - 1))
                for series, (start, stop) in zip(panel.series, self.of(split), strict=True)
                if stop > start
            ]
            if ends:
                described[split] = {
                    "from": show_time(min(first for first, _ in ends)),
                    "to": show_time(max(last for _, last in ends)),
                    "steps": self.num_steps(split),
                }
        return described


def _label(series: Series, row: int) -> np.datetime64 | int:
    return row + 1 if series.times is None else series.times[row]


def make_splits(
    panel: Panel,
    valid: str | float | datetime.date | None,
    test: str | float | datetime.date | None,
    *,
    lookback: int,
    horizon: int,
) -> Splits:
    """Cut each series into a training, a validation and a test span, in time order.

    Args:
        panel: the series.
        valid: how much validates, before the test span: a share of the rows (`0.15`), a whole
            number of steps (`200`), or the date or time at which the span starts (`2019-01-01`,
            `@2019`: after `@` a number is a time); None if another table validates.
        test: how much tests, likewise, at the end; `0`, `none` or None for no test span.
        lookback: steps the network looks back; training needs `lookback + horizon` rows.
        horizon: steps forecast; validation and test need as many rows.

    Raises:
        InputError: the panel has an error; or `valid` or `test` cannot be read, lies outside the
            data, could be a time as well as a number of steps, or leaves no series with enough
            rows. Series of a panel that are too short while others are not are a warning among
            the findings, as is a training span that reaches past the start of what another
            series is scored on.
    """
    panel.raise_errors()
    valid_cut, test_cut = _read_cut("--valid", valid, panel), _read_cut("--test", test, panel)
    if valid_cut is None and valid is not None:
        raise InputError("--valid: a validation span is needed; expected for example 0.15")
    if _is_time(valid_cut) and _is_time(test_cut) and valid_cut >= test_cut:
        raise InputError(
            f"--valid {valid} does not come before --test {test}; validation lies before the test"
        )
    longest = max(len(series) for series in panel.series)
    if longest < lookback + horizon:
        raise InputError(
            f"{panel.name}: the longest series has {count(longest, 'row')}, fewer than lookback "
            f"{lookback} + horizon {horizon} = {lookback + horizon}; choose a smaller --lookback "
            "or --horizon"
        )
    spans = [_cut(series, valid_cut, test_cut) for series in panel.series]
    splits = Splits(spans)
    needs = {"train": lookback + horizon}
    needs |= {"valid": horizon} if valid_cut is not None else {}
    needs |= {"test": horizon} if test_cut is not None else {}
    for split, need in needs.items():
        _check_lengths(splits, panel, split, need, f"lookback {lookback} + horizon {horizon}")
    _check_order(splits, panel, needs)
    return splits


def _read_cut(option: str, value: str | float | datetime.date | None, panel: Panel) -> Cut | None:
    text = str(value).strip()
    if text.lower() in ("none", "0", "0.0"):
        return None
    times = panel.series[0].times
    bound = None if times is None else parse_bound(text.removeprefix("@"), times)
    if text.isdecimal():
        if bound is not None and _lies_inside(bound, panel):
            what = "year" if isinstance(bound, np.datetime64) else "time"
            raise InputError(
                f"{option} {text} could be a {what} or a number of steps; write @{text} for the "
                f"{what}, or the steps as a share of the rows"
            )
        return int(text)
    if re.fullmatch(r"0?\.\d+", text):
        return float(text)
    if bound is None:
        example = "a date such as 2019-01-01"
        if times is None:
            example += " (which needs --time)"
        elif times.dtype.kind != "M":
            example = f"a time such as @{times[-1]}"
        raise InputError(
            f"{option}: expected a share such as 0.15, a number of steps such as 200, or "
            f"{example}, got {text!r}"
        )
    if not _lies_inside(bound, panel):
        first, last = _extent(panel)
        raise InputError(
            f"{option} {text} lies outside the data, which run from {show_time(first)} to "
            f"{show_time(last)}"
        )
    return bound


def _is_time(cut: Cut | None) -> TypeGuard[Any]:
    return isinstance(cut, np.generic)


def _extent(panel: Panel) -> tuple[np.datetime64 | int, np.datetime64 | int]:
    times = [series.times for series in panel.series if series.times is not None]
    return min(series[0] for series in times), max(series[-1] for series in times)


def _lies_inside(bound: np.datetime64 | np.int64, panel: Panel) -> bool:
    first, last = _extent(panel)
    return bool(first < bound <= last)


def _cut(series: Series, valid: Cut | None, test: Cut | None) -> dict[str, Span]:
    end = len(series)
    test_start = _start(series, end, test)
    valid_start = _start(series, test_start, valid)
    return {
        "train": (0, valid_start),
        "valid": (valid_start, test_start),
        "test": (test_start, end),
    }


def _start(series: Series, stop: int, cut: Cut | None) -> int:
    """Return the row at which the span that ends at row `stop` starts."""
    if cut is None:
        return stop
    if isinstance(cut, float):
        return max(0, stop - math.floor(cut * len(series) + 0.5))
    if isinstance(cut, int):
        return max(0, stop - cut)
    assert series.times is not None
    return min(stop, int(np.searchsorted(series.times, cut)))


def _check_lengths(splits: Splits, panel: Panel, split: str, need: int, why: str) -> None:
    lengths = np.array([stop - start for start, stop in splits.of(split)])
    short = np.flatnonzero(lengths < need)
    if not len(short):
        return
    why = f"{why} = {need}" if split == "train" else f"the horizon of {need}"
    if len(short) == len(lengths):
        which = "" if len(lengths) == 1 else " of the longest series"
        raise InputError(
            f"{panel.name}: the {_NAMES[split]} span{which} has "
            f"{count(int(lengths.max()), 'row')}, fewer than {why}; {_ADVICE[split]}"
        )
    first = int(short[0])
    message = (
        f"{panel.name}: {len(short):,} of {len(lengths):,} series take no part in {_NAMES[split]}: "
        f"fewer rows there than {why}; the first is {panel.series[first].key!r} with "
        f"{lengths[first]:,}"
    )
    splits.findings.append(Finding("warning", message, _ADVICE[split]))


def _check_order(splits: Splits, panel: Panel, needs: dict[str, int]) -> None:
    """Warn if a series trains at times at which another one is scored already."""

    def series_in(split: str) -> Iterator[tuple[Series, np.ndarray, Span]]:
        for series, (start, stop) in zip(panel.series, splits.of(split), strict=True):
            if series.times is not None and stop - start >= needs[split]:
                yield series, series.times, (start, stop)

    ends = [(times[stop - 1], series.key) for series, times, (_, stop) in series_in("train")]
    starts = [
        (times[start], series.key, split)
        for split in needs
        if split != "train"
        for series, times, (start, _) in series_in(split)
    ]
    if not ends or not starts:
        return
    (end, late), (start, early, split) = max(ends), min(starts)
    if end >= start:
        message = (
            f"{panel.name}: the series {late!r} trains until {show_time(end)}, when others are "
            f"scored already: the {_NAMES[split]} span of {early!r} starts at {show_time(start)}"
        )
        remedy = f"give a date for --{split}, which cuts all series at the same time"
        splits.findings.append(Finding("warning", message, remedy))


_NAMES = {"train": "training", "valid": "validation", "test": "test"}
_ADVICE = {
    "train": "choose a smaller --lookback, --horizon, --valid or --test",
    "valid": "choose a larger --valid or a smaller --horizon",
    "test": "choose a larger --test or a smaller --horizon",
}
