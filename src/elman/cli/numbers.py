"""Numbers as the report writes them, with a digit more and in plain ASCII, for a terminal."""

from __future__ import annotations

from collections.abc import Sequence

from elman.report import formats

_DIGITS = 4  # enough to see a loss go down
_PLAIN = str.maketrans({formats.MISSING: "-", formats.MINUS: "-"})


def number(value: float | None) -> str:
    """Return `value` as people read it: 22,062; 0.01235; 1.2e-07."""
    return formats.number(value, _DIGITS).translate(_PLAIN)


def aligned(values: Sequence[float | None]) -> list[str]:
    """Return a column of numbers with the same count of decimals."""
    return [text.translate(_PLAIN) for text in formats.aligned(values, _DIGITS)]


def percent(fraction: float | None) -> str:
    """Return a fraction as a percentage."""
    return formats.percent(fraction).translate(_PLAIN)
