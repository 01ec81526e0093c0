"""Cells of a table's columns, or of several tables' one behind the other, row by row."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import polars as pl

from elman.data.media import source
from elman.data.table import Table
from elman.kinds.inputs.input import Cells

_AT_ONCE = 1000  # rows whose cells are held, files' bytes among them


@dataclass(frozen=True)
class Rows:
    """The rows' cells of some columns; each iteration reads the tables anew, a part at a time.

    Attributes:
        tables: whose rows are numbered through, from 0.
        columns: which cells.
        media: whether a cell is a file.
        arrays: whether a cell that is a list of numbers comes as an array, which takes a hundredth
            of the time.
        chosen: which rows, as a mask over all; None for all.
    """

    tables: tuple[Table, ...]
    columns: tuple[str, ...]
    media: bool = False
    arrays: bool = False
    chosen: np.ndarray | None = None

    @property
    def count(self) -> int:
        """Rows of all tables."""
        return sum(table.height for table in self.tables)

    def __iter__(self) -> Iterator[Cells]:
        row = 0
        for table in self.tables:
            for frame in table.chunks(list(self.columns)):
                for cells in self._cells(frame.select(self.columns)):
                    if self.chosen is None or self.chosen[row]:
                        yield self._of(table, cells)
                    row += 1

    def only(self, rows: np.ndarray) -> Rows:
        """Return the same with these rows alone, in the tables' order."""
        chosen = np.zeros(self.count, bool)
        chosen[rows] = True
        return replace(self, chosen=chosen)

    def at(self, rows: Sequence[int] | np.ndarray) -> list[Cells]:
        """Return some rows' cells, in the order asked for."""
        found: dict[int, Cells] = {}
        start = 0
        for table in self.tables:
            mine = [int(row) for row in rows if start <= row < start + table.height]
            if mine:
                frame = table.rows([row - start for row in mine], list(self.columns))
                cells = self._cells(frame.select(self.columns))
                found |= {row: self._of(table, each) for row, each in zip(mine, cells, strict=True)}
            start += table.height
        return [found[int(row)] for row in rows]

    def each(self, rows: np.ndarray) -> Iterator[Cells]:
        """Yield some rows' cells, in the order asked for, without holding all at once."""
        for start in range(0, len(rows), _AT_ONCE):
            yield from self.at(rows[start : start + _AT_ONCE])

    def numbers(self, rows: np.ndarray) -> np.ndarray:
        """Return each row's number in its own table, from 1, as messages and answers tell it."""
        starts = np.cumsum([0, *(table.height for table in self.tables)])
        return rows - starts[np.searchsorted(starts, rows, side="right") - 1] + 1

    def place(self, row: int) -> str:
        """Return `reviews.csv: row 17` for a row."""
        for table in self.tables:
            if row < table.height:
                return f"{table.name}: row {row + 1:,}"
            row -= table.height
        raise IndexError(row)

    def _cells(self, frame: pl.DataFrame) -> Iterator[Cells]:
        listed = [_arrays(column) if self.arrays else None for column in frame]
        if all(each is None for each in listed):
            return frame.iter_rows()
        columns = (
            column if each is None else each for column, each in zip(frame, listed, strict=True)
        )
        return zip(*columns, strict=True)

    def _of(self, table: Table, cells: Cells) -> Cells:
        return tuple(source(cell, table.folder) for cell in cells) if self.media else cells


def _arrays(column: pl.Series) -> list[np.ndarray] | None:
    """Return the cells of a column of lists of numbers as arrays, if nothing is missing."""
    if not isinstance(column.dtype, pl.List) or not column.dtype.inner.is_numeric():  # pyright: ignore
        return None
    lengths = column.list.len()
    if column.null_count() or not lengths.min():
        return None
    values = column.explode()
    if values.null_count():
        return None
    return np.split(values.to_numpy(), np.cumsum(lengths.to_numpy())[:-1])
