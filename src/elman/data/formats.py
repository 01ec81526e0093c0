"""Files read whole, by kind: separated values, lines of JSON, Parquet, text, FASTA and FASTQ.

`READERS` has for each suffix the function that turns a file's bytes into columns. Rows are counted
from 1, the header not counted; what is malformed is refused by its row.
"""

from __future__ import annotations

import codecs
import csv
import io
import json
from collections import Counter
from collections.abc import Callable, Iterable
from functools import partial
from typing import Any

import numpy as np
import polars as pl

from elman.data.findings import count
from elman.errors import InputError, MissingExtraError

# What polars raises for a malformed file; older versions, a RuntimeError for JSON.
READ_ERRORS = (pl.exceptions.PolarsError, pl.exceptions.PanicException, RuntimeError)

_ROOM = 200  # letters of what another library says


def _read_delimited(raw: bytes, name: str, *, separators: str) -> pl.DataFrame:
    data = _clean(raw, name, 0).rstrip(b"\r\n")
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


def _clean(raw: bytes, name: str, first_row: int) -> bytes:
    """Return UTF-8 without its byte order mark; the first line is row `first_row`, 0 a header."""
    try:
        raw.decode()
    except UnicodeDecodeError as error:
        row = raw.count(b"\n", 0, error.start) + first_row
        place = f"row {row:,}" if row else "the header"
        byte = f"0x{raw[error.start]:02x}"
        raise InputError(
            f"{name}: {place} holds the byte {byte}, which is not UTF-8; save it as UTF-8"
        ) from None
    return raw.removeprefix(codecs.BOM_UTF8)


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
    data = _clean(raw, name, 1).rstrip(b"\r\n")
    _check_line(data.partition(b"\n")[0], 1, name)
    try:
        return pl.read_ndjson(data, infer_schema_length=None)
    except READ_ERRORS:
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


def _read_text(raw: bytes, name: str) -> pl.DataFrame:
    # Not splitlines(), which also ends lines at marks that belong to the text.
    lines = _clean(raw, name, 1).decode().replace("\r\n", "\n").split("\n")
    # What follows the last line's end is no line.
    return pl.DataFrame({"text": lines if lines[-1] else lines[:-1]}, {"text": pl.String})


def _read_dna(raw: bytes, name: str, *, form: str) -> pl.DataFrame:
    try:
        import dnaio
    except ImportError:
        raise MissingExtraError(
            f"{name}: reading {form.upper()} needs dnaio: pip install 'elman[dna]'"
        ) from None
    columns: dict[str, list[Any]] = {"id": [], "description": [], "sequence": []}
    if form == "fastq":
        columns["quality"] = []
    try:
        with dnaio.open(io.BytesIO(raw), fileformat=form) as records:
            for record in records:
                values = (record.id, record.comment, record.sequence, record.qualities)
                for column, value in zip(columns.values(), values, strict=False):
                    column.append(value)
    except dnaio.FileFormatError as error:
        number = len(columns["id"]) + 1
        # It may quote what no terminal should be sent, and any length of it.
        said = " ".join(str(error).split()).rstrip(".")[:_ROOM]
        reason = "".join(mark if mark.isprintable() else repr(mark)[1:-1] for mark in said)
        raise InputError(f"{name}: row {number:,}: a damaged record: {reason}") from None
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, raw.find(error.object[error.start : error.end])) + 1
        byte = f"0x{error.object[error.start]:02x}"
        raise InputError(
            f"{name}: line {line:,} holds the byte {byte}, which is no letter; correct it"
        ) from None
    return pl.DataFrame(columns, dict.fromkeys(columns, pl.String))


READERS: dict[str, Callable[[bytes, str], pl.DataFrame]] = {
    ".csv": partial(_read_delimited, separators=",;\t"),
    ".tsv": partial(_read_delimited, separators="\t"),
    ".jsonl": _read_lines,
    ".ndjson": _read_lines,
    ".parquet": _read_parquet,
    ".txt": _read_text,
    **dict.fromkeys((".fasta", ".fa", ".fna"), partial(_read_dna, form="fasta")),
    **dict.fromkeys((".fastq", ".fq"), partial(_read_dna, form="fastq")),
}
