"""`vector:COL,COL`: numbers and categories of a row, as one vector.

A number is scaled to mean 0 and standard deviation 1 in the training rows. A missing one is the
mean; where training had missing ones, an indicator stands beside it. A category of up to 32 values
is one-hot, of more a vector that is learnt; a value that training did not have, or none, is zeros.

Legend: B batch, F numbers of an encoded row, E features of a category.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Self

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from elman.data.column import MISSING_WORDS
from elman.errors import InputError
from elman.kinds.inputs.input import BadCellError, Cells, Front, Input
from elman.options import shown

MOST_ONE_HOT = 32
_LARGEST = 1e30  # networks compute in single precision, which ends at 3.4e38


@dataclass(frozen=True)
class Number:
    """A column of numbers.

    Attributes:
        mean: in the training rows.
        scale: its standard deviation there; 1 if it does not vary.
        indicated: whether training had missing ones, so that an indicator tells them.
    """

    mean: float
    scale: float
    indicated: bool

    @property
    def width(self) -> int:
        """Values of an encoded cell."""
        return 1 + self.indicated

    def encode(self, cell: Any) -> list[float]:
        """Return the scaled number, and its indicator if there is one."""
        number = _number(cell)
        if number is None:
            raise BadCellError(f"expected a finite number, got {shown(cell)}; correct it")
        missing = math.isnan(number)
        scaled = 0.0 if missing else (number - self.mean) / self.scale
        return [scaled, float(missing)] if self.indicated else [scaled]

    def show(self, cell: Any) -> float | None:
        """Return the number, None if it is missing."""
        number = _number(cell)
        return None if number is None or math.isnan(number) else number

    def unseen(self, cells: Iterable[Any]) -> str | None:
        """Say that numbers are missing, if none was in the training rows."""
        missing = 0 if self.indicated else sum(_is_missing(cell) for cell in cells)
        if not missing:
            return None
        return (
            f"missing in {missing:,} {'row' if missing == 1 else 'rows'}, and in none of "
            f"training's; read as the mean, {self.mean:g}"
        )


@dataclass(frozen=True)
class Category:
    """A column of categories: its values in the training rows, in order; ids count from 1."""

    values: tuple[str, ...]
    width = 1

    @cached_property
    def _ids(self) -> dict[str | None, int]:
        return {value: place for place, value in enumerate(self.values, 1)}

    def encode(self, cell: Any) -> list[float]:
        """Return the id, 0 for a value that is missing or was not in the training rows."""
        return [float(self._ids.get(_category(cell), 0))]

    def show(self, cell: Any) -> str | None:
        """Return the value, None if it is missing."""
        return _category(cell)

    def unseen(self, cells: Iterable[Any]) -> str | None:
        """Say which values were not in the training rows."""
        found = {value for cell in cells if (value := _category(cell)) is not None}
        new = sorted(found - set(self.values))
        if not new:
            return None
        return (
            f"{', '.join(map(repr, new[:5]))} {'was' if len(new) == 1 else 'were'} not in the "
            f"training rows, which had {', '.join(self.values[:8])}; the model cannot tell what it "
            "means"
        )


@dataclass(frozen=True)
class Vector(Input):
    """Numbers and categories as learnt from the training rows.

    Attributes:
        columns: the columns read.
        fields: how each of them is read.
    """

    kind = "vector"
    sequence = False
    columns: tuple[str, ...]
    fields: tuple[Number | Category, ...]

    @classmethod
    def learn(cls, columns: tuple[str, ...], rows: Iterable[Cells], options: Any) -> Self:
        """Learn scales and categories; a column is of numbers if most of its cells are.

        Raises:
            InputError: a column holds nothing in the training rows.
        """
        fields, rows = [], list(rows)
        for place, column in enumerate(columns):
            cells = [row[place] for row in rows]
            field = _learn(cells, as_category=column in options.categories)
            if field is None:
                raise InputError(
                    f"--input vector: column {column!r} is empty in the training rows; expected "
                    "numbers or categories; leave it out"
                )
            fields.append(field)
        return cls(columns, tuple(fields))

    def encode(self, cells: Cells) -> np.ndarray:
        """Return a row, `(F,)` float32: scaled numbers, their indicators, categories' ids."""
        values: list[float] = []
        for column, field, cell in zip(self.columns, self.fields, cells, strict=True):
            try:
                values += field.encode(cell)
            except BadCellError as error:
                raise BadCellError(f"column {column!r}: {error}") from None
        return np.array(values, np.float32)

    def unseen(self, rows: Iterable[Cells]) -> list[str]:
        """Say, for each column, which categories, or missing numbers, training did not have."""
        by_row = list(rows)
        told = (field.unseen(row[n] for row in by_row) for n, field in enumerate(self.fields))
        return [
            f"column {column!r}: {new}"
            for column, new in zip(self.columns, told, strict=True)
            if new
        ]

    def front(self, options: Any) -> VectorFront:
        """Return what makes features of categories' ids."""
        return VectorFront(self.fields)

    def show(self, cells: Cells, encoded: np.ndarray) -> dict[str, Any]:
        """Return the columns' values."""
        named = zip(self.columns, self.fields, cells, strict=True)
        return {"kind": "vector", "values": {name: field.show(cell) for name, field, cell in named}}

    def as_dict(self) -> dict[str, Any]:
        """Return what `from_dict` takes, ready for JSON."""
        fields = [
            {"values": list(field.values)} if isinstance(field, Category) else dict(vars(field))
            for field in self.fields
        ]
        return {"kind": "vector", "columns": list(self.columns), "fields": fields}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Self:
        """Return the input that `as_dict` described."""
        fields = (
            Category(tuple(field["values"])) if "values" in field else Number(**field)
            for field in data["fields"]
        )
        return cls(tuple(data["columns"]), tuple(fields))

    def summary(self) -> str:
        """Return what it reads: `3 numbers, 1 category`."""
        numbers = sum(isinstance(field, Number) for field in self.fields)
        categories = len(self.fields) - numbers
        parts = [f"{numbers} number{'s' * (numbers != 1)}"] * bool(numbers)
        parts += [f"{categories} categor{'ies' if categories != 1 else 'y'}"] * bool(categories)
        return ", ".join(parts)


class VectorFront(Front):
    """Put numbers and the features of categories side by side, in the order of the columns.

    Args:
        fields: how each column is read. A category of n > 32 values has a vector of
            min(50, round(1.6 n^0.56)) features (the rule of Howard & Gugger 2020).
    """

    def __init__(self, fields: Iterable[Number | Category]) -> None:
        super().__init__()
        self._fields = tuple(fields)
        self.embeddings = nn.ModuleDict()
        self.size = 0
        for place, field in enumerate(self._fields):
            features = field.width if isinstance(field, Number) else len(field.values)
            if features > MOST_ONE_HOT:
                size = min(50, round(1.6 * features**0.56))
                # What is not known has id 0: zeros, and untrained.
                table = nn.Embedding(features + 1, size, padding_idx=0)
                self.embeddings[str(place)] = table
                features = size
            self.size += features

    def forward(self, values: Tensor, lengths: Tensor | None = None) -> Tensor:
        """Return `v_BE` for encoded rows `(B, F)`."""
        parts = []
        columns = values.split([field.width for field in self._fields], dim=1)
        for place, (field, column) in enumerate(zip(self._fields, columns, strict=True)):
            if isinstance(field, Number):
                parts.append(column)
                continue
            ids = column[:, 0].long()
            if str(place) in self.embeddings:
                parts.append(self.embeddings[str(place)](ids))
            else:
                one_hot = F.one_hot(ids, len(field.values) + 1)
                parts.append(one_hot[:, 1:].to(values.dtype))
        return torch.cat(parts, dim=1)


def _learn(cells: Sequence[Any], *, as_category: bool) -> Number | Category | None:
    numbers = [_number(cell) for cell in cells]
    read = np.array([n for n in numbers if n is not None and not math.isnan(n)])
    wrong = sum(n is None for n in numbers)
    if len(read) > wrong and not as_category:
        mean, scale = float(read.mean()), float(read.std())
        constant = scale <= 1e-12 * abs(mean) + 1e-30
        return Number(mean, 1.0 if constant else scale, any(map(_is_missing, cells)))
    values = sorted({value for cell in cells if (value := _category(cell)) is not None})
    return Category(tuple(values)) if values else None


def _number(cell: Any) -> float | None:
    """Return a cell's number, NaN if it is missing, None if it is no finite number."""
    if _category(cell) is None or cell in MISSING_WORDS:
        return math.nan
    if isinstance(cell, bool):
        return None
    try:
        number = float(cell)
    except (TypeError, ValueError):
        return None
    # Text that reads nan is wrong, and no missing cell.
    return number if abs(number) <= _LARGEST else None


def _category(cell: Any) -> str | None:
    """Return a cell's category, without white space around it; None if it is missing."""
    if cell is None:
        return None
    if isinstance(cell, float) and math.isnan(cell):  # what pandas has for a missing cell
        return None
    if isinstance(cell, float) and cell.is_integer():
        return str(int(cell))  # a column of whole numbers, some missing, arrives as 3.0
    return str(cell).strip() or None


def _is_missing(cell: Any) -> bool:
    number = _number(cell)
    return number is not None and math.isnan(number)
