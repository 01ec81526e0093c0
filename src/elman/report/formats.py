"""Numbers, times and durations written for people: 22,062; 0.0123; 2005-12-31; 3 min 20 s."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from datetime import date, datetime

import numpy as np

MISSING = "–"
MINUS = "−"
_TIME = re.compile(r"^(\d{4}-\d\d-\d\d)[T ](\d\d:\d\d)(:\d\d)?(\.\d+)?(Z|[+-]\d\d:?\d\d)?$")


def number(value: float | None, digits: int = 3) -> str:
    """Return `value` to about `digits` significant digits, with thousands separators."""
    text = aligned([value], digits)[0]
    # 0.0005 is said as it is, not as 0.000500; a rounded 0.120 keeps its zero.
    plain = text.replace(",", "").replace(MINUS, "-")
    exact = "." in text and "e" not in text and float(plain) == value
    return text.rstrip("0").rstrip(".") if exact else text


def aligned(values: Sequence[float | None], digits: int = 3) -> list[str]:
    """Return a column of numbers with the same count of decimals, so that they can be compared."""
    sizes = [abs(v) for v in values if v is not None and math.isfinite(v) and v != 0]
    if not sizes:
        return [MISSING if v is None or not math.isfinite(v) else "0" for v in values]
    if min(sizes) < 1e-4 or max(sizes) >= 1e15:
        return [_exponent(v, digits) for v in values]
    high, low = _magnitude(max(sizes), digits), _magnitude(min(sizes), digits)
    # All digits of the largest; all of the smallest while the largest has two more at most; at
    # least two of the smallest.
    decimals = max(digits - 1 - high, min(digits - 1 - low, digits + 1 - high), 1 - low, 0)
    return [_fixed(v, decimals) for v in values]


def _magnitude(size: float, digits: int) -> int:
    """Return the power of ten as it is after rounding: to three digits 0.09999 counts as 0.1."""
    return int(f"{size:.{digits - 1}e}".split("e")[1])


def _fixed(value: float | None, decimals: int) -> str:
    if value is None or not math.isfinite(value):
        return MISSING
    text = f"{value:,.{decimals}f}"
    zero = not text.strip("-0.,")
    return text.lstrip("-") if zero else text.replace("-", MINUS)


def _exponent(value: float | None, digits: int) -> str:
    if value is None or not math.isfinite(value):
        return MISSING
    if value == 0 or 1e-4 <= abs(value) < 1e15:
        return "0" if value == 0 else f"{value:,.{digits}g}".replace("-", MINUS)
    mantissa, power = f"{value:.{digits - 1}e}".split("e")
    return f"{mantissa}e{int(power)}".replace("-", MINUS)


def percent(fraction: float | None) -> str:
    """Return a fraction as a percentage: 0.523 is `52%`, 0.0123 is `1.2%`."""
    if fraction is None or not math.isfinite(fraction):
        return MISSING
    size = abs(fraction * 100)
    return f"{_fixed(fraction * 100, 1 if 0 < size < 9.95 else 0)}%"


def count(amount: int, noun: str) -> str:
    """Return `1 epoch`, `40 epochs`."""
    return f"{amount:,} {noun}{'' if amount == 1 else 's'}"


def moment(value: object) -> str:
    """Return a time as people write it: a date alone at midnight, no seconds when they are zero."""
    if value is None:
        return MISSING
    if isinstance(value, np.datetime64):
        value = np.datetime_as_string(value, unit="us")
    elif isinstance(value, (datetime, date)):
        value = value.isoformat()
    text = str(value).strip()
    match = _TIME.match(text)
    if not match:
        return text
    day, minutes, seconds, _, zone = match.groups()
    seconds = "" if seconds in (None, ":00") else seconds
    zone = "" if zone in (None, "Z", "+00:00", "+0000") else f" {zone}"
    if minutes == "00:00" and not seconds:
        return f"{day}{zone}"
    return f"{day} {minutes}{seconds}{zone}"


def duration(seconds: float | None) -> str:
    """Return a length of time: `0.8 s`, `12 s`, `3 min 20 s`, `2 h 5 min`."""
    if seconds is None or not math.isfinite(seconds):
        return MISSING
    if seconds < 10:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600:,} h {whole % 3600 // 60} min"


def label(text: object, limit: int = 40) -> str:
    """Return a name on one line and at most `limit` characters, for an axis or a title."""
    line = " ".join(str(text).split())
    return line if len(line) <= limit else line[: limit - 1].rstrip() + "…"
