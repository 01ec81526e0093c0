"""Tables in: a CSV, TSV, JSONL or Parquet file, or a pandas, polars or Arrow table in memory.

`read_table` turns each into one `Table`. Text files are kept as text until a column is asked for
as numbers, times or categories: what a cell means depends on what its column is used for, and an
error can show the cell as it was written. Rows are counted from 1, the header not counted.

A cell is missing if it is empty or blank; in columns of numbers and times also if it reads NA,
N/A, null, None or -. NaN and infinity are not missing but wrong, and are reported. White space
around the names of columns and around categories is no part of them.
"""

from __future__ import annotations

import codecs
import csv
import gzip
import hashlib
import io
import json
import re
import zlib
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path

import narwhals as nw
import numpy as np
import polars as pl
from narwhals.typing import IntoDataFrame

from elman.data.findings import Finding, count
from elman.data.steps import blank, parse_times
from elman.errors import InputError, nearest

MISSING_WORDS = ("NA", "N/A", "n/a", "null", "NULL", "None", "none", "-")

# What polars raises for a malformed file; older versions, a RuntimeError for JSON.
_READ_ERRORS = (pl.exceptions.PolarsError, pl.exceptions.PanicException, RuntimeError)

# What narwhals, pandas, polars and pyarrow raise for a table that cannot be turned into columns.
_CONVERSION_ERRORS = (nw.exceptions.NarwhalsError, *_READ_ERRORS, ArithmeticError, TypeError)
_CONVERSION_ERRORS += (ValueError,)

_TEXT = (pl.String, pl.Categorical, pl.Enum, pl.Null)
_DATES = (pl.Date, pl.Datetime)
_CONVERT = "turn it into numbers or text, or leave it out"

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
        return _is_plain(dtype)

    def numbers(self) -> tuple[pl.Series, list[Finding]]:
        """Read as finite numbers: Float64, null where missing."""
        dtype = self.values.dtype
        if not _is_plain(dtype):
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
        if not _is_plain(self.values.dtype):
            return self._refuse_type("categories")
        return self._text(()).str.strip_chars(), []

    def times(self) -> tuple[pl.Series, list[Finding]]:
        """Read as times: Datetime("us") in UTC, or Int64 for whole numbers; all must be there."""
        dtype = self.values.dtype
        if not _is_plain(dtype) and dtype not in _DATES:
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
            finding = Finding("error", message, _CONVERT)
        return pl.Series(self.values.name, [None] * len(self.values), pl.String), [finding]


def _is_plain(dtype: pl.DataType) -> bool:
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


@dataclass(frozen=True)
class Table:
    """A table as it was read; `name` is how messages call it.

    Columns of a text file are text here: ask a `Column` for `numbers`, `categories` or `times`.
    """

    frame: pl.DataFrame
    name: str
    path: Path | None = None

    @cached_property
    def sha256(self) -> str:
        """SHA-256 of the file's bytes, or of the content of a table in memory."""
        if self.path is not None:
            return hashlib.sha256(self.path.read_bytes()).hexdigest()
        digest = hashlib.sha256(repr(list(self.frame.schema.items())).encode())
        # JSON knows neither bytes nor objects.
        schema = self.frame.schema.items()
        known = [name for name, dtype in schema if _is_plain(dtype) or dtype.is_temporal()]
        digest.update(self.frame.select(known).write_ndjson().encode())
        for column in self.frame.drop(known):
            digest.update(repr(column.to_list()).encode())
        return digest.hexdigest()

    def require(self, column: str, option: str = "") -> None:
        """Raise `InputError`, naming the nearest column, if there is no such column."""
        columns = self.frame.columns
        if column not in columns:
            origin = f" (from {option})" if option else ""
            hint = nearest(column, columns) or ";"
            listed = ", ".join(columns[:20]) + (", ..." if len(columns) > 20 else "")
            raise InputError(f"{self.name}: no column {column!r}{origin}{hint} columns: {listed}")

    def column(self, name: str) -> Column:
        """Return one column with its row numbers."""
        self.require(name)
        rows = pl.Series(np.arange(1, self.frame.height + 1))
        return Column(self.frame[name], rows, self.name)

    def is_number(self, column: str) -> bool:
        """Return whether a column is one of numbers, rather than of categories."""
        return self.column(column).is_number


def read_table(source: str | Path | IntoDataFrame) -> Table:
    """Read a table.

    Args:
        source: path of a `.csv` (separated by commas, or by semicolons or tabs if its header
            has no comma), `.tsv`, `.jsonl`, `.ndjson` or `.parquet` file, also compressed as
            `.gz`; or a pandas, polars or Arrow table, of which a named pandas index becomes a
            column.

    Raises:
        InputError: there is no such file, its kind is unknown, it has no rows, or some row of it
            is malformed; the message names the row.
    """
    if isinstance(source, (str, Path)):
        path = Path(source).expanduser()
        table = Table(_strip_names(_read_file(path)), path.name, path)
    else:
        table = Table(_strip_names(_from_memory(source)), "table")
    if table.frame.is_empty():
        raise InputError(f"{table.name}: the table has no rows; expected at least one")
    return table


def _strip_names(frame: pl.DataFrame) -> pl.DataFrame:
    """Take the white space around columns' names away, but from names that it tells apart."""
    times = Counter(name.strip() for name in frame.columns)
    return frame.rename(lambda name: name.strip() if times[name.strip()] == 1 else name)


def _read_file(path: Path) -> pl.DataFrame:
    suffixes = [suffix.lower() for suffix in path.suffixes]
    packed = suffixes[-1:] == [".gz"]
    kind = "".join(suffixes[-2:-1] if packed else suffixes[-1:])
    try:
        if path.is_dir():
            raise InputError(f"{path}: expected a table, got a folder; name a file in it")
        if not path.exists():
            siblings = [file.name for file in path.parent.glob("*") if file.is_file()]
            raise InputError(f"{path}: no such file{nearest(path.name, siblings)}")
        if kind not in _READERS:
            listed = ", ".join(_READERS)
            raise InputError(f"{path}: unknown kind of table {kind!r}; expected one of: {listed}")
        raw = gzip.decompress(path.read_bytes()) if packed else path.read_bytes()
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise InputError(f"{path}: not a complete gzip file ({error}); fetch it again") from None
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror}") from None
    if not raw or raw.isspace():
        raise InputError(f"{path}: the file is empty; expected a table")
    try:
        return _READERS[kind](raw, path.name)
    except _READ_ERRORS as error:
        reason = str(error).splitlines()[0]
        raise InputError(f"{path}: not a readable {kind} file: {reason}") from None


def _read_delimited(raw: bytes, name: str, *, separators: str) -> pl.DataFrame:
    data = _clean(raw, name)
    first_line = data.partition(b"\n")[0].decode()
    if not first_line.strip("\r"):
        raise InputError(f"{name}: the first line is blank; expected the names of the columns")
    separator = next((mark for mark in separators if mark in first_line), separators[0])
    first, num_records = _check_records(np.frombuffer(data, np.uint8), ord(separator), name)
    header = data[:first].decode()
    try:
        _check_names(next(csv.reader(io.StringIO(header), delimiter=separator)), name)
    except csv.Error as error:
        raise InputError(f"{name}: the header cannot be read: {error}") from None
    if num_records == 1:
        raise InputError(f"{name}: the table has a header but no rows; expected at least one")
    return pl.read_csv(data, separator=separator, infer_schema=False)


def _clean(raw: bytes, name: str) -> bytes:
    """Return UTF-8 without its byte order mark and without blank lines at its end."""
    try:
        raw.decode()
    except UnicodeDecodeError as error:
        row = raw.count(b"\n", 0, error.start)
        place = f"row {row:,}" if row else "the header"
        byte = f"0x{raw[error.start]:02x}"
        raise InputError(
            f"{name}: {place} holds the byte {byte}, which is not UTF-8; save the table as UTF-8"
        ) from None
    return raw.removeprefix(codecs.BOM_UTF8).rstrip(b"\r\n")


def _check_records(data: np.ndarray, separator: int, name: str) -> tuple[int, int]:
    """Return where the header ends and the number of records with it.

    Refuse a record with more or fewer fields than the header, and an open quotation mark.
    """
    quotes = np.flatnonzero(data == ord('"'))
    breaks, marks = np.flatnonzero(data == ord("\n")), np.flatnonzero(data == separator)
    if len(quotes) % 2:
        per_line = np.diff(np.searchsorted(quotes, np.append(breaks, len(data))), prepend=0)
        row = int((per_line % 2).argmax())
        raise InputError(f'{name}: row {row:,}: a quotation mark (") is never closed; close it')
    if len(quotes):
        # A mark with an odd number of quotation marks before it stands inside quotes.
        breaks = breaks[np.searchsorted(quotes, breaks) % 2 == 0]
        marks = marks[np.searchsorted(quotes, marks) % 2 == 0]
    ends = np.append(breaks, len(data))
    fields = np.diff(np.searchsorted(marks, ends), prepend=0) + 1
    lengths = np.diff(ends, prepend=-1) - 1 - (data[ends - 1] == ord("\r"))
    # A blank line is not ragged: it is a row in which everything is missing.
    ragged = np.flatnonzero((fields != fields[0]) & (lengths > 0))
    if len(ragged):
        row = int(ragged[0])
        others = f" (and {count(len(ragged) - 1, 'more row')} differ)" if len(ragged) > 1 else ""
        raise InputError(
            f"{name}: row {row:,}: expected {count(int(fields[0]), 'field')} as in the header, "
            f"got {fields[row]:,}{others}; quote fields that hold a separator"
        )
    return int(ends[0]), len(ends)


def _check_names(columns: Iterable[str], name: str) -> None:
    repeated = [column for column, times in Counter(columns).items() if times > 1]
    if repeated:
        listed = ", ".join(repr(column) for column in repeated)
        raise InputError(f"{name}: several columns have the same name: {listed}; rename them")


def _read_lines(raw: bytes, name: str) -> pl.DataFrame:
    data = _clean(raw, name)
    _check_line(data.partition(b"\n")[0], 1, name)
    try:
        return pl.read_ndjson(data, infer_schema_length=None)
    except _READ_ERRORS:
        for row, line in enumerate(data.split(b"\n"), start=1):
            _check_line(line, row, name)
        raise


def _check_line(line: bytes, row: int, name: str) -> None:
    """Refuse a line that is not one JSON object; the reader itself does not say which line."""

    def refuse(constant: str) -> None:
        raise ValueError(f"{constant} is no JSON value: write null where the value is missing")

    text = line.decode()
    try:
        pairs = json.loads(text, object_pairs_hook=_Pairs, parse_constant=refuse)
    except ValueError as error:
        raise InputError(f"{name}: row {row:,}: not a line of JSON: {error}") from None
    if not isinstance(pairs, _Pairs):
        got = repr(text[:40])
        raise InputError(f'{name}: row {row:,}: expected an object {{"column": value}}, got {got}')
    _check_names((key for key, _ in pairs), f"{name}: row {row:,}")


class _Pairs(list):
    """The keys and values of a JSON object, repeated keys included."""


def _read_parquet(raw: bytes, name: str) -> pl.DataFrame:
    return pl.read_parquet(io.BytesIO(raw))


_READERS: dict[str, Callable[[bytes, str], pl.DataFrame]] = {
    ".csv": partial(_read_delimited, separators=",;\t"),
    ".tsv": partial(_read_delimited, separators="\t"),
    ".jsonl": _read_lines,
    ".ndjson": _read_lines,
    ".parquet": _read_parquet,
}


def _from_memory(source: IntoDataFrame) -> pl.DataFrame:
    index = getattr(source, "index", None)
    if any(label is not None for label in getattr(index, "names", ())):
        try:
            source = source.reset_index()  # pyright: ignore  (pandas alone has an index)
        except ValueError as error:
            raise _unreadable(
                "its named index cannot become a column", error, "rename it"
            ) from None
    try:
        frame = nw.from_native(source, eager_only=True)
    except TypeError:
        raise InputError(
            "table: expected a path or a pandas, polars or Arrow table, "
            f"got {type(source).__name__}"
        ) from None
    except nw.exceptions.NarwhalsError as error:
        raise _unreadable("cannot be read", error) from None
    try:
        return frame.to_polars()
    except _CONVERSION_ERRORS as error:
        for column in frame.columns:
            try:
                frame.select(column).to_polars()
            except _CONVERSION_ERRORS as cause:
                raise _unreadable(f"column {column!r} cannot be read", cause, _CONVERT) from None
        raise _unreadable("cannot be read", error) from None


def _unreadable(problem: str, error: Exception, remedy: str = "give another") -> InputError:
    return InputError(f"table: {problem} ({' '.join(str(error).split())}); {remedy}")
