"""The classes that a target answers: learnt from the training rows, with how often each occurred.

Legend: N rows of answers, K classes.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Self

import numpy as np

from elman.errors import BadCellError, InputError

MOST_CLASSES = 1000
_LISTED = 8


def as_label(cell: Any) -> str:
    """Return the class that a cell names: text without spaces around, 3.0 as `3`; empty if none."""
    if cell is None or (isinstance(cell, float) and cell != cell):
        return ""
    if isinstance(cell, float) and cell.is_integer():
        return str(int(cell))
    return str(cell).strip()


@dataclass(frozen=True)
class Classes:
    """Classes in order, and rows (or steps) of training that had each.

    Attributes:
        names: the K classes; by value if all are numbers, else by the alphabet.
        counts: of each class.
        total: rows (or steps) in all: with several classes a row, not the sum of the counts.
    """

    names: tuple[str, ...]
    counts: tuple[int, ...]
    total: int

    @classmethod
    def learn(cls, rows: Iterable[Iterable[str]], column: str, *, least: int = 2) -> Self:
        """Count the classes of each training row.

        Raises:
            InputError: there are fewer than `least` classes, or more than `MOST_CLASSES`.
        """
        counts: Counter[str] = Counter()
        total = 0
        for labels in rows:
            counts.update(labels)
            total += 1
        if len(counts) > MOST_CLASSES:
            raise InputError(
                f"column {column!r}: {len(counts):,} different classes in the training rows; "
                f"expected at most {MOST_CLASSES:,}; merge rare ones, or, if these are amounts or "
                f"sentences, declare number:{column} or text:{column}"
            )
        if len(counts) < least:
            had = f"only {next(iter(counts))!r}" if counts else "none"
            raise InputError(
                f"column {column!r}: expected at least {least} classes in the training rows, got "
                f"{had}; see that the column is the right one and the training rows have each class"
            )
        names = tuple(sorted(counts, key=_order(counts)))
        return cls(names, tuple(counts[name] for name in names), total)

    def __len__(self) -> int:
        return len(self.names)

    @cached_property
    def _places(self) -> dict[str, int]:
        return {name: place for place, name in enumerate(self.names)}

    def index(self, label: str) -> int:
        """Return a class's place.

        Raises:
            BadCellError: the training rows did not have it.
        """
        try:
            return self._places[label]
        except KeyError:
            listed = ", ".join(self.names[:_LISTED]) + (", ..." if len(self) > _LISTED else "")
            raise BadCellError(
                f"{label!r} was not in the training rows, which had: {listed}; correct it, or put "
                "rows that have it into the training part"
            ) from None

    @property
    def shares(self) -> np.ndarray:
        """Share of the training rows that had each class, `(K,)`."""
        return np.array(self.counts) / self.total

    @property
    def weights(self) -> np.ndarray:
        """Weights by which each class counts the same in a loss, `(K,)`; 1 in the mean of rows."""
        return self.total / (len(self) * np.array(self.counts))

    def as_dict(self) -> dict[str, Any]:
        """Return what `from_dict` takes, ready for JSON."""
        return {"names": list(self.names), "counts": list(self.counts), "total": self.total}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Self:
        """Return the classes that `as_dict` described."""
        return cls(tuple(data["names"]), tuple(data["counts"]), data["total"])


def _order(names: Iterable[str]) -> Callable[[str], Any] | None:
    try:
        numbers = {name: float(name) for name in names}
    except ValueError:
        return None
    finite = all(math.isfinite(number) for number in numbers.values())
    return (lambda name: (numbers[name], name)) if finite else None
