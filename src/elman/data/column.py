"""One column of a table, read as what it is used for: numbers, times or categories.

A cell is missing if it is empty or blank; in columns of numbers and times also if it reads NA,
N/A, null, None or -. NaN and infinity are not missing but wrong, and are reported. White space
around categories is no part of them.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

import polars as pl

from elman.data.findings import Finding, count
from elman.data.steps import blank, parse_times

MISSING_WORDS = ("NA", "N/A", "n/a", "null", "NULL", "None", "none", "-")
CONVERT = "turn it into numbers or text, or leave it out"

_TEXT = (pl.String, pl.Categorical, pl.Enum, pl.Null)
_DATES = (pl.Date, pl.Datetime)

# Networks compute in single precision, which ends at 3.4e38, and square what they read.
_LARGEST = 1e30

_DECIMAL_COMMA = r"^[+-]?(\d+|\d{1,3}(\.\d{3})+),\d+$"

# What a cell that is no number looks like, and what its writer should do.
_REMEDIES = (
    (r"[+-]?nan", "leave the cell empty where the value is missing"),
    (r"[+-]?inf(inity)?", "replace it, or leave the cell empty where the value is missing"),
    (r"\s.*|.*\s", "remove the spaces around it"),
    (r"[+-]?\d{1,3}(,\d{3})+(\.\d+)?", "write numbers without thousands separators: 1234.5"),
    (r"[+-]?[\d.]*,\d+", "write the decimal mark as a point: 1234.5"),
    (r"[$€£¥].*|.*[%$€£¥]", "write the number alone, without its unit"),
)


@dataclass(frozen=True)
class Column:
    """One column of a table, with the row number each value has in the file.

    Its readers return the values and the findings about them; a value that cannot be read is an
    error among the findings, and null in the result.
    """

    values: pl.Series
    rows: pl.Series
    table: str

    def place(self, index: int) -> str:
        """Return `prices.csv: row 17, column 'close'` for the value at `index`."""
        return f"{self.table}: row {self.rows[index]:,}, column {self.values.name!r}"

    @property
    def is_number(self) -> bool:
        """Whether more than half of the values present are numbers.

        Not all of them, so that one stray word in a column of numbers is reported as wrong rather
        than turning the column into one of categories.
        """
        dtype = self.values.dtype
        if dtype in _TEXT:
            present = _with_points(self._text(MISSING_WORDS))[0].drop_nulls()
            return present.cast(pl.Float64, strict=False).count() * 2 > len(present)
        return is_plain(dtype)

    def numbers(self) -> tuple[pl.Series, list[Finding]]:
        """Read as finite numbers: Float64, null where missing."""
        dtype = self.values.dtype
        if not is_plain(dtype):
            return self._refuse_type("numbers")
        values, findings = self.values, []
        if dtype in _TEXT:
            values, example = _with_points(self._text(MISSING_WORDS))
            if example:
                message = f"{self.table}: column {self.values.name!r} is read with a decimal comma"
                findings.append(Finding("note", f"{message}, as in {example!r}"))
        numbers = values.cast(pl.Float64, strict=False)
        wrong = values.is_not_null() & ~numbers.is_finite().fill_null(False)
        if wrong.any():
            first, number = str(values.filter(wrong)[0]), numbers.filter(wrong)[0]
            remedy = next(
                (advice for form, advice in _REMEDIES if re.fullmatch(form, first, re.IGNORECASE)),
                "correct the value, or leave the cell empty where it is missing",
            )
            shown = repr(first) if number is None else "NaN" if number != number else "infinity"
            findings.append(self._wrong(wrong, f"expected a finite number, got {shown}", remedy))
            numbers = blank(numbers, wrong)
        huge = (numbers.abs() > _LARGEST).fill_null(False)
        if huge.any():
            got = f"{numbers.filter(huge)[0]:g} is too large for single precision"
            remedy = "correct the value, or write the column in a larger unit"
            findings.append(self._wrong(huge, got, remedy))
            numbers = blank(numbers, huge)
        return numbers, findings

    def categories(self) -> tuple[pl.Series, list[Finding]]:
        """Read as categories, without white space around them: String, null where missing."""
        if not is_plain(self.values.dtype):
            return self._refuse_type("categories")
        return self._text(()).str.strip_chars(), []

    def times(self) -> tuple[pl.Series, list[Finding]]:
        """Read as times: Datetime("us") in UTC, or Int64 for whole numbers; all must be there."""
        dtype = self.values.dtype
        if not is_plain(dtype) and dtype not in _DATES:
            return self._refuse_type("times")
        values = self._text(MISSING_WORDS) if dtype in _TEXT else self.values
        times = parse_times(values)
        findings = []
        place = f"{self.table}: column {self.values.name!r}"
        if times.note:
            message = f"{place}: {times.note}"
            findings.append(Finding("note", message, "write dates as YYYY-MM-DD to leave no doubt"))
        if times.zone:
            message = (
                f"{place}: the times have a zone ({times.zone}) and are read as UTC, so that days "
                "begin at UTC's midnight"
            )
            remedy = "write local times without a zone if days are to begin at local midnight"
            findings.append(Finding("warning", message, remedy))
        missing, wrong = values.is_null(), values.is_not_null() & times.values.is_null()
        if missing.any():
            got = "the time is missing"
            findings.append(self._wrong(missing, got, "every row needs a time: fill it in"))
        if wrong.any():
            first = str(values.filter(wrong)[0])
            follow = f" as in the other rows ({times.layout})" if times.layout else ""
            got = f"expected a date, a time or a whole number{follow}, got {first!r}"
            findings.append(self._wrong(wrong, got, "write all times alike, best as YYYY-MM-DD"))
        return times.values, findings

    def _text(self, missing_words: Iterable[str]) -> pl.Series:
        text = self.values.cast(pl.String)
        stripped = text.str.strip_chars()
        missing = (stripped == "") | stripped.is_in(list(missing_words))
        return blank(text, missing.fill_null(False))

    def _wrong(self, mask: pl.Series, got: str, remedy: str) -> Finding:
        others = int(mask.sum()) - 1
        more = f" (and {count(others, 'more row')} like it)" if others else ""
        return Finding("error", f"{self.place(mask.arg_max() or 0)}: {got}{more}", remedy)

    def _refuse_type(self, expected: str) -> tuple[pl.Series, list[Finding]]:
        dtype = self.values.dtype
        message = f"{self.table}: column {self.values.name!r} holds "
        if dtype in _DATES:
            remedy = "name it with --time, and use --calendar for features of it"
            finding = Finding("error", f"{message}dates", remedy)
        else:
            message += f"{dtype}: expected {expected}"
            finding = Finding("error", message, CONVERT)
        return pl.Series(self.values.name, [None] * len(self.values), pl.String), [finding]


def is_plain(dtype: pl.DataType) -> bool:
    """Return whether a column of this type holds text, numbers or yes and no."""
    return dtype in _TEXT or dtype.is_numeric() or dtype == pl.Boolean


def _with_points(text: pl.Series) -> tuple[pl.Series, str]:
    """Return numbers written with a decimal comma with a point, and one of them as it was.

    They are taken for such if most values have a comma, none a decimal point, and some other than
    three digits behind the comma: `4,250` alone may be four thousand.
    """
    comma = text.str.contains(_DECIMAL_COMMA).fill_null(False)
    surely = text.str.contains(r",(\d{1,2}|\d{4,})$").fill_null(False)
    points = text.str.contains(r"^[+-]?\d*\.(\d{1,2}|\d{4,})$").fill_null(False)
    if 2 * comma.sum() <= text.count() or not surely.any() or points.any():
        return text, ""
    numbers = comma | text.str.contains(r"^[+-]?\d{1,3}(\.\d{3})+$").fill_null(False)
    written = text.str.replace_all(".", "", literal=True).str.replace(",", ".", literal=True)
    return written.zip_with(numbers, text), text.filter(surely)[0]
