"""Tables in: a file of one of the kinds below, or a pandas, polars or Arrow table in memory.

`read_table` turns each into one `Table`. Text files are kept as text until a column is asked for
as numbers, times or categories: what a cell means depends on what its column is used for, and an
error can show the cell as it was written. A Parquet file stays where it is: columns and rows are
read as they are asked for. White space around the names of columns is no part of them.
"""

from __future__ import annotations

import gzip
import hashlib
import zlib
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import narwhals as nw
import numpy as np
import polars as pl
from narwhals.typing import IntoDataFrame

from elman.data.column import CONVERT, Column, is_plain
from elman.data.formats import READ_ERRORS, READERS
from elman.errors import InputError, nearest
from elman.files import sha256

__all__ = ["Column", "Table", "read_table"]

# What narwhals, pandas, polars and pyarrow raise for a table that cannot be turned into columns.
_CONVERSION_ERRORS = (nw.exceptions.NarwhalsError, *READ_ERRORS, ArithmeticError, TypeError)
_CONVERSION_ERRORS += (ValueError,)

_BLOCK = 4096  # rows read in one go


@dataclass(frozen=True, eq=False)
class Table:
    """A table as it was read; `name` is how messages call it.

    Columns of a text file are text here: ask a `Column` for `numbers`, `categories` or `times`.
    `source` is the columns themselves, or for a Parquet file the promise of them: `frame` then
    reads all of it into memory, every other method only what it is asked for.
    """

    source: pl.DataFrame | pl.LazyFrame
    name: str
    path: Path | None = None

    @cached_property
    def frame(self) -> pl.DataFrame:
        """All columns, in memory."""
        return self._collect(self.source.lazy())

    @cached_property
    def schema(self) -> dict[str, pl.DataType]:
        """The type of each column, by name and in order."""
        with _readable(self.name, self.path):
            return dict(self.source.lazy().collect_schema())

    @property
    def columns(self) -> list[str]:
        """Names of the columns, in order."""
        return list(self.schema)

    @cached_property
    def height(self) -> int:
        """Number of rows."""
        if isinstance(self.source, pl.DataFrame):
            return self.source.height
        return int(self._collect(self.source.select(pl.len())).item())

    @property
    def folder(self) -> Path:
        """Where paths in its cells start: its file's folder, or the current one."""
        return self.path.parent if self.path is not None else Path()

    @cached_property
    def sha256(self) -> str:
        """SHA-256 of the file's bytes, or of the content of a table in memory."""
        if self.path is not None:
            return sha256(self.path)
        digest = hashlib.sha256(repr(list(self.frame.schema.items())).encode())
        # JSON knows neither bytes nor objects.
        schema = self.frame.schema.items()
        known = [name for name, dtype in schema if is_plain(dtype) or dtype.is_temporal()]
        digest.update(self.frame.select(known).write_ndjson().encode())
        for column in self.frame.drop(known):
            digest.update(repr(column.to_list()).encode())
        return digest.hexdigest()

    def require(self, column: str, option: str = "") -> None:
        """Raise `InputError`, naming the nearest column, if there is no such column."""
        columns = self.columns
        if column not in columns:
            origin = f" (from {option})" if option else ""
            hint = nearest(column, columns) or ";"
            listed = ", ".join(columns[:20]) + (", ..." if len(columns) > 20 else "")
            raise InputError(f"{self.name}: no column {column!r}{origin}{hint} columns: {listed}")

    def select(self, names: Sequence[str]) -> pl.DataFrame:
        """Return some columns, in memory."""
        return self._collect(self._only(names))

    def chunks(self, names: Sequence[str], rows: int = _BLOCK) -> Iterator[pl.DataFrame]:
        """Yield some columns, so many rows at a time.

        A table larger than memory passes through: what is held at a time is the chunk and, of a
        Parquet file, the columns asked for of one row group.
        """
        source = self._only(names)
        for start in range(0, self.height, rows):
            yield self._collect(source.slice(start, rows))

    def rows(self, indices: Sequence[int] | np.ndarray, names: Sequence[str]) -> pl.DataFrame:
        """Return some columns of a few rows, by number from 0, in the order given."""
        source = self._only(names)
        wanted, places = np.unique(np.asarray(indices, np.int64), return_inverse=True)
        if len(wanted) and not 0 <= wanted[0] <= wanted[-1] < self.height:
            raise IndexError(f"{self.name}: rows {wanted[0]} to {wanted[-1]} of {self.height}")
        if not len(wanted):
            return self._collect(source.head(0))
        # Rows that lie near each other are read in one go, of which only they are kept.
        breaks = np.flatnonzero(np.diff(wanted // _BLOCK)) + 1
        parts = [
            self._collect(source.slice(int(near[0]), int(near[-1] - near[0]) + 1))[near - near[0]]
            for near in np.split(wanted, breaks)
        ]
        return pl.concat(parts)[places]

    def column(self, name: str) -> Column:
        """Return one column with its row numbers."""
        rows = pl.Series(np.arange(1, self.height + 1))
        return Column(self.select([name])[name], rows, self.name)

    def is_number(self, column: str) -> bool:
        """Return whether a column is one of numbers, rather than of categories."""
        return self.column(column).is_number

    def _only(self, names: Sequence[str]) -> pl.LazyFrame:
        for name in names:
            self.require(name)
        return self.source.lazy().select(names)

    def _collect(self, frame: pl.LazyFrame) -> pl.DataFrame:
        with _readable(self.name, self.path):
            return frame.collect()


@contextmanager
def _readable(name: str, path: Path | None) -> Iterator[None]:
    """Say of a file that is read as it is asked for that it is damaged, or gone."""
    try:
        yield
    except READ_ERRORS as error:
        reason = str(error).splitlines()[0]
        raise InputError(f"{path or name}: not a readable .parquet file: {reason}") from None
    except OSError as error:
        raise InputError(f"{path or name}: cannot be read: {error.strerror or error}") from None


def read_table(source: str | Path | IntoDataFrame) -> Table:
    """Read a table.

    Args:
        source: path of a `.csv` (separated by commas, or by semicolons or tabs if its header
            has no comma), `.tsv`, `.jsonl`, `.ndjson` or `.parquet` file; of a `.txt` file, whose
            lines become the column `text`; of a `.fasta`, `.fa`, `.fna`, `.fastq` or `.fq` file,
            whose records become the columns id, description, sequence and (of FASTQ) quality;
            all also compressed as `.gz`; or a pandas, polars or Arrow table, of which a named
            pandas index becomes a column.

    Raises:
        InputError: there is no such file, its kind is unknown, it has no rows, or some row of it
            is malformed; the message names the row.
        MissingExtraError: FASTA and FASTQ need the extra `dna`.
    """
    if isinstance(source, (str, Path)):
        path = Path(source).expanduser()
        table = Table(_strip_names(_read_file(path), path), path.name, path)
    else:
        table = Table(_strip_names(_from_memory(source)), "table")
    if not table.height:
        raise InputError(f"{table.name}: the table has no rows; expected at least one")
    return table


def _strip_names(
    frame: pl.DataFrame | pl.LazyFrame, path: Path | None = None
) -> pl.DataFrame | pl.LazyFrame:
    """Take the white space around columns' names away, but from names that it tells apart."""
    with _readable("table", path):
        names = frame.lazy().collect_schema().names()
    times = Counter(name.strip() for name in names)
    return frame.rename({name: name.strip() for name in names if times[name.strip()] == 1})


def _read_file(path: Path) -> pl.DataFrame | pl.LazyFrame:
    suffixes = [suffix.lower() for suffix in path.suffixes]
    packed = suffixes[-1:] == [".gz"]
    kind = "".join(suffixes[-2:-1] if packed else suffixes[-1:])
    try:
        if path.is_dir():
            raise InputError(f"{path}: expected a table, got a folder; name a file in it")
        if not path.exists():
            siblings = [file.name for file in path.parent.glob("*") if file.is_file()]
            raise InputError(f"{path}: no such file{nearest(path.name, siblings)}")
        if kind not in READERS:
            listed = ", ".join(READERS)
            raise InputError(f"{path}: unknown kind of table {kind!r}; expected one of: {listed}")
        if kind == ".parquet" and not packed and path.stat().st_size:
            return pl.scan_parquet(path, glob=False, hive_partitioning=False)
        raw = gzip.decompress(path.read_bytes()) if packed else path.read_bytes()
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise InputError(f"{path}: not a complete gzip file ({error}); fetch it again") from None
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror}") from None
    if not raw or raw.isspace():
        raise InputError(f"{path}: the file is empty; expected a table")
    try:
        return READERS[kind](raw, path.name)
    except READ_ERRORS as error:
        reason = str(error).splitlines()[0]
        raise InputError(f"{path}: not a readable {kind} file: {reason}") from None


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
                raise _unreadable(f"column {column!r} cannot be read", cause, CONVERT) from None
        raise _unreadable("cannot be read", error) from None


def _unreadable(problem: str, error: Exception, remedy: str = "give another") -> InputError:
    return InputError(f"table: {problem} ({' '.join(str(error).split())}); {remedy}")
