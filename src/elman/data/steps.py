"""Time as tables write it, and the step from one row to the next.

`parse_times` reads a column of times; `infer_step` finds the step that most neighbouring rows are
apart; a `Step` counts steps between times and continues a time into the future. Steps follow the
calendar: a month is a month whether it has 28 days or 31, and business days skip weekends.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from itertools import product
from typing import Literal

import numpy as np
import polars as pl

Unit = Literal[
    "microsecond",
    "millisecond",
    "second",
    "minute",
    "hour",
    "day",
    "week",
    "business day",
    "month",
    "month end",
    "integer",
]

_MICROSECONDS: dict[Unit, int] = {
    "week": 7 * 86_400_000_000,
    "day": 86_400_000_000,
    "hour": 3_600_000_000,
    "minute": 60_000_000,
    "second": 1_000_000,
    "millisecond": 1_000,
    "microsecond": 1,
}

# Fewer neighbours than this share one step apart: the times are called irregular.
_REGULAR_SHARE = 0.4
# A calendar rule (same day of the month, no weekends) may have this many exceptions.
_CALENDAR_SHARE = 0.9


@dataclass(frozen=True)
class Step:
    """The distance between neighbouring rows: `count` units; `str()` gives `1 day`, `2 hours`."""

    count: int
    unit: Unit

    def __str__(self) -> str:
        if self.unit == "integer":
            return str(self.count)
        if self.unit == "business day":
            return "business day"
        count, unit = self.count, "month" if self.unit == "month end" else self.unit
        if unit == "month" and count % 12 == 0:
            count, unit = count // 12, "year"
        return f"{count} {unit}" if count == 1 else f"{count} {unit}s"

    @property
    def seconds(self) -> float | None:
        """How long a step is on average, for months and days of business; None for integers."""
        return None if self.unit == "integer" else self.length

    @property
    def length(self) -> float:
        """A step's average length: in seconds, or in whole numbers for integer times."""
        if self.unit == "integer":
            return self.count
        start, steps = np.datetime64("2001-01-01", "us"), 120
        return (self.after(start, steps)[-1] - start) / np.timedelta64(1, "s") / steps

    @property
    def noun(self) -> str:
        """What to call several of them: `days`; `steps` where a step is no single unit."""
        return f"{self.unit}s" if self.count == 1 and self.unit != "integer" else "steps"

    def between(self, before: np.ndarray, after: np.ndarray) -> np.ndarray:
        """Return how many steps lie from each time in `before` to its partner in `after`.

        1 is the regular distance, 3 a gap of two rows, a fraction a time off the step's grid.
        """
        if self.unit == "integer":
            return (after - before) / self.count
        if self.unit == "business day":
            days = np.busday_count(before.astype("M8[D]"), after.astype("M8[D]"))
            return days.astype(float)
        if self.unit in ("month", "month end"):
            return (_months(after) - _months(before)) / self.count
        return (after - before).astype(np.int64) / (self.count * _MICROSECONDS[self.unit])

    def after(self, time: np.datetime64 | int, n: int) -> np.ndarray:
        """Return the `n` times that follow `time`: datetime64[us], or int64 for integer times."""
        k = np.arange(1, n + 1) * self.count
        if self.unit == "integer":
            return np.asarray(time, np.int64) + k
        moment = np.asarray(time, "M8[us]")
        if self.unit in _MICROSECONDS:
            return moment + k * np.timedelta64(_MICROSECONDS[self.unit], "us")
        day = moment.astype("M8[D]")
        clock = moment - day
        if self.unit == "business day":
            return np.busday_offset(day, k, roll="backward").astype("M8[us]") + clock
        months = moment.astype("M8[M]") + k
        last_days = (months + 1).astype("M8[D]") - 1
        if self.unit == "month end":
            return last_days.astype("M8[us]") + clock
        # The 31st becomes the 30th, or February's last day, where a month has no 31st.
        days = np.minimum(months.astype("M8[D]") + (day - day.astype("M8[M]")), last_days)
        return days.astype("M8[us]") + clock


def infer_step(before: np.ndarray, after: np.ndarray) -> Step | None:
    """Return the step most pairs of neighbouring times are apart, or None if there is no such.

    `before` and `after` are datetime64[us] or int64, one pair for each row and the next one of the
    same series, with `after > before`.
    """
    if not len(before):
        return None
    step = _most_common(before, after)
    regular = np.mean(step.between(before, after) == 1)
    return step if regular >= _REGULAR_SHARE else None


def _most_common(before: np.ndarray, after: np.ndarray) -> Step:
    distances = (after - before).astype(np.int64)
    distance, share = _mode(distances)
    if before.dtype.kind != "M":
        return Step(distance, "integer")
    if np.median(distances) >= 27 * _MICROSECONDS["day"]:
        same_day, month_end = _day_of_month(before, after)
        if same_day or month_end or share < _CALENDAR_SHARE:
            months, _ = _mode(_months(after) - _months(before))
            if months > 0:
                return Step(months, "month end" if month_end and not same_day else "month")
    if distance == _MICROSECONDS["day"] and _skips_weekends(before, after):
        return Step(1, "business day")
    unit, size = next(item for item in _MICROSECONDS.items() if distance % item[1] == 0)
    return Step(distance // size, unit)


def _mode(values: np.ndarray) -> tuple[int, float]:
    """Return the most common value (the smallest of equals) and its share."""
    distinct, counts = np.unique(values, return_counts=True)
    return int(distinct[counts.argmax()]), float(counts.max() / len(values))


def _months(times: np.ndarray) -> np.ndarray:
    return times.astype("M8[M]").astype(np.int64)


def _day_of_month(before: np.ndarray, after: np.ndarray) -> tuple[bool, bool]:
    """Return whether the times keep to one day of the month, and whether that is the last one."""
    days = np.concatenate([before[:1], after]).astype("M8[D]")
    months = days.astype("M8[M]")
    _, same_share = _mode((days - months).astype(np.int64))
    end_share = np.mean(days + 1 == (months + 1).astype("M8[D]"))
    return same_share >= _CALENDAR_SHARE, bool(end_share >= _CALENDAR_SHARE)


def _skips_weekends(before: np.ndarray, after: np.ndarray) -> bool:
    days = after.astype("M8[D]")
    if np.mean(np.is_busday(days)) < _CALENDAR_SHARE:
        return False
    # Without a weekend inside the data, Monday to Friday could as well be five days of a week.
    calendar_days = (days - before.astype("M8[D]")).astype(np.int64)
    return bool(np.any(calendar_days > np.busday_count(before.astype("M8[D]"), days)))


@dataclass(frozen=True)
class Times:
    """A column read as times: `values` is Datetime("us") or Int64, null where unreadable.

    `layout` says how the times are written (empty if in no known way), `note` how a doubt about it
    was resolved, and `zone` of which zone they were before they were turned into UTC.
    """

    values: pl.Series
    layout: str
    note: str = ""
    zone: str = ""


_DATES = {
    "%Y-%m-%d": "YYYY-MM-DD",
    "%Y/%m/%d": "YYYY/MM/DD",
    "%m/%d/%Y": "MM/DD/YYYY",
    "%d/%m/%Y": "DD/MM/YYYY",
    "%d.%m.%Y": "DD.MM.YYYY",
    "%m-%d-%Y": "MM-DD-YYYY",
    "%d-%m-%Y": "DD-MM-YYYY",
    "%d-%b-%Y": "DD-Mon-YYYY",
}
_CLOCKS = {
    "": "",
    " %H:%M": " HH:MM",
    " %H:%M:%S%.f": " HH:MM:SS",
    " %I:%M %p": " HH:MM AM",
    " %I:%M:%S %p": " HH:MM:SS AM",
}
_ZONE = "%#z"
_ZONES = {"": "", _ZONE: "+HH:MM"}
# Month first comes before day first: of two readings that fit equally, the earlier one is taken.
_LAYOUTS = {
    date + clock + zone: _DATES[date] + _CLOCKS[clock] + _ZONES[zone]
    for date, clock, zone in product(_DATES, _CLOCKS, _ZONES)
    if clock or not zone
} | {"%Y-%m": "YYYY-MM"}

_TEXT = (pl.String, pl.Categorical, pl.Enum)
_SHOWN = 2  # offsets in a message: summer and winter


def parse_times(values: pl.Series) -> Times:
    """Read a column as times.

    Understood are temporal columns, whole numbers (years, or any counter), YYYYMMDD, YYYY-MM, ISO
    8601 and the usual day, month and year orders with four-digit years, each with or without a
    time of day and a zone. Times with a zone become UTC; those without are left as they are.

    Where every value can be read month first and day first, the reading that leaves fewer gaps
    between neighbouring times is taken, month first if both leave the same, and `note` says so.
    """
    dtype = values.dtype
    if dtype == pl.Date:
        return Times(values.cast(pl.Datetime("us")), "a time")
    if isinstance(dtype, pl.Datetime):
        return Times(_utc(values), "a time", zone=dtype.time_zone or "")
    if dtype.is_integer():
        return _from_integers(values.cast(pl.Int64))
    if dtype.is_float():
        broken = (values.floor() != values).fill_null(False)
        return _from_integers(blank(values, broken).cast(pl.Int64, strict=False))
    if dtype in _TEXT:
        return _from_text(values.cast(pl.String))
    return Times(pl.Series(values.name, [None] * len(values), pl.Int64), "")


def _utc(values: pl.Series) -> pl.Series:
    values = values.dt.cast_time_unit("us")
    zone = getattr(values.dtype, "time_zone", None)
    return values.dt.convert_time_zone("UTC").dt.replace_time_zone(None) if zone else values


def _from_integers(values: pl.Series) -> Times:
    present = values.drop_nulls()
    if len(present) and present.is_between(18_000_101, 21_991_231).all():
        dates = _strptime(values.cast(pl.String), "%Y%m%d")
        if dates.null_count() == values.null_count():
            return Times(dates, "YYYYMMDD")
    return Times(values, "a whole number")


def _from_text(values: pl.Series) -> Times:
    values = values.str.strip_chars().str.replace(r"^(\S+\d)T(\d)", "$1 $2")
    present = values.drop_nulls()
    if present.is_empty():
        return Times(values.cast(pl.Int64), "")
    # A sample rules out most layouts, so that a long column is parsed once or twice, not 40 times.
    sample = present.gather(np.linspace(0, len(present) - 1, 100).astype(int).tolist())
    candidates = [layout for layout in _LAYOUTS if _strptime(sample, layout).count()]
    readings = [
        Times(_strptime(values, code), _LAYOUTS[code], zone=_offsets(present, code))
        for code in candidates
    ]
    readings.append(_from_integers(values.cast(pl.Int64, strict=False)))
    most = max(reading.values.count() for reading in readings)
    best = [reading for reading in readings if reading.values.count() == most]
    if most == 0:
        return Times(readings[-1].values, "")
    if len(best) == 1:
        return best[0]
    chosen = min(best, key=lambda reading: _num_gaps(reading.values))
    others = ", ".join(reading.layout for reading in best if reading is not chosen)
    note = f"times such as {present[0]!r} fit {chosen.layout} and {others}: the first is taken"
    return replace(chosen, note=note)


def _offsets(texts: pl.Series, code: str) -> str:
    if not code.endswith(_ZONE):
        return ""
    offsets = texts.str.extract(r"([Zz]|[+-]\d\d:?(?:\d\d)?)$").drop_nulls().unique().sort()
    return ", ".join(offsets.head(_SHOWN)) + (", ..." if len(offsets) > _SHOWN else "")


def _strptime(values: pl.Series, code: str) -> pl.Series:
    parsed = _utc(values.str.strptime(pl.Datetime("us"), code, strict=False))
    # A two-digit year would be read as one of the first century.
    return blank(parsed, (parsed.dt.year() < 1000).fill_null(False))


def blank(values: pl.Series, where: pl.Series) -> pl.Series:
    """Return the values with null for those the mask names."""
    return pl.select(pl.when(~where).then(values).alias(values.name)).to_series()


def _num_gaps(values: pl.Series) -> int:
    times = values.drop_nulls().unique().sort().to_numpy()
    before, after = times[:-1], times[1:]
    step = infer_step(before, after)
    return int((step.between(before, after) != 1).sum()) if step else len(times)


_ISO = re.compile(r"\d{4}(-\d\d(-\d\d([T ]\d\d(:\d\d(:\d\d(\.\d{1,6})?)?)?)?)?)?")


def parse_bound(text: str, times: np.ndarray) -> np.datetime64 | np.int64 | None:
    """Read a time given in an option, of the same kind as `times`, or return None if it is none.

    Dates are ISO dates and keep their precision: `2019-01` is a month, and adding 1 gives the next
    month; where `times` are int64, a whole number is expected.
    """
    text = text.strip()
    try:
        if times.dtype.kind != "M":
            return np.int64(text)
        return np.datetime64(text) if _ISO.fullmatch(text) else None
    except (ValueError, OverflowError):
        return None


def show_time(time: np.datetime64 | int) -> str:
    """Return a time for a message, no longer than it need be: `2019-01-31`, `2019-01-31 09:30`."""
    if not isinstance(time, np.datetime64):
        return str(time)
    text = str(time.astype("M8[us]")).replace("T", " ").removesuffix(".000000")
    return text.removesuffix(":00").removesuffix(" 00:00")
