"""The options of a table: which columns mean what, and which rows train, validate and test."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BeforeValidator

from elman.options import Options, option


def split_names(value: object) -> object:
    """Turn `"a,b"` into `("a", "b")`: how lists are written on a command line."""
    if isinstance(value, str):
        return tuple(part.strip() for part in value.split(",") if part.strip())
    return value


def _to_text(value: object) -> object:
    return value if value is None else str(value)


Names = Annotated[tuple[str, ...], BeforeValidator(split_names)]
Cut = Annotated[str, BeforeValidator(_to_text)]
Moment = Annotated[str | None, BeforeValidator(_to_text)]


class DataOptions(Options):
    """Table."""

    time: str | None = option(
        None, "Column of the time; without it, rows are steps in order.", min_length=1
    )
    group: str | None = option(None, "Column that tells the series of a panel apart.", min_length=1)
    known: Names = option(
        (), "Columns known ahead (day type, holidays), read from the step being forecast."
    )
    categories: Names = option(
        (), "Columns to read as categories although they hold numbers (a store's number)."
    )
    calendar: Annotated[
        tuple[Literal["hour", "weekday", "monthday", "yearday", "month"], ...],
        BeforeValidator(split_names),
    ] = option((), "Calendar features made from the time column, known ahead.")
    missing: Literal["error", "forward", "interpolate", "drop"] = option(
        "error", "What to do with missing values."
    )
    since: Moment = option(None, "Use the rows from this time on.")
    until: Moment = option(None, "Use the rows up to this time.")
    valid: Cut = option(
        "0.15", "Validation span: a share (0.15), a number of steps (200), or its first date."
    )
    test: Cut = option("0.15", "Test span, likewise; 0 for none.")
    windows: Literal["across", "within"] = option(
        "across",
        "across: the first windows of a span look back into the span before it (their targets "
        "never do); within: windows lie wholly inside their span.",
    )
