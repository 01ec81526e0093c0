"""The options of a table: which columns mean what, and which rows train, validate and test."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BeforeValidator

from elman.options import Options, as_names, option


def _to_text(value: object) -> object:
    return value if value is None else str(value)


def _or_none(value: object) -> object:
    return "0" if value is None else value


Names = Annotated[tuple[str, ...], BeforeValidator(as_names)]
Cut = Annotated[str, BeforeValidator(_to_text)]
Moment = Annotated[str | None, BeforeValidator(_to_text)]
Missing = Literal["error", "forward", "drop"]


class SplitOptions(Options):
    """Parts."""

    valid: Cut = option(
        "0.15",
        "What validates: a share (0.15) or a number (200) of the steps or rows; of series also the "
        "first date or time (2019-01-01, @2019); @ before a whole number says that it is a time.",
    )
    test: Annotated[Cut, BeforeValidator(_or_none)] = option(
        "0.15", "What tests, likewise (0.15, 200, 2019-01-01, @2019); 0 for none."
    )


class DataOptions(SplitOptions):
    """Series."""

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
        BeforeValidator(as_names),
    ] = option((), "Calendar features made from the time column, known ahead.")
    missing: Missing = option(
        "error",
        "Missing values: error stops; forward carries the last value on; drop leaves the row out.",
    )
    since: Moment = option(None, "Use the rows from this time on.")
    until: Moment = option(None, "Use the rows up to this time.")
    windows: Literal["across", "within"] = option(
        "across",
        "across: the first windows of a span look back into the span before it (their targets "
        "never do); within: windows lie wholly inside their span.",
    )
