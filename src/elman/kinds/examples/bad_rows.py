"""Rows of a table that cannot be used, and how they are told."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from elman.data.findings import Finding, count
from elman.errors import InputError
from elman.kinds.examples.rows import Rows

_LISTED = 50  # rows that have findings of their own
_REMEDY = "correct it, or leave such rows out: --skip-bad"


@dataclass
class BadRows:
    """Rows that cannot be used, each with the first reason and the columns it is about.

    Attributes:
        rows: the tables' rows, which name them.
        reasons: by row, from 0 through all tables.
    """

    rows: Rows
    reasons: dict[int, tuple[tuple[str, ...], str]] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.reasons)

    def __contains__(self, row: int) -> bool:
        return row in self.reasons

    def add(self, row: int, columns: tuple[str, ...], reason: str) -> None:
        """Note a row, unless it is noted already."""
        self.reasons.setdefault(row, (columns, reason))

    def keep(self, rows: np.ndarray) -> None:
        """Forget all but these rows."""
        kept = set(rows.tolist())
        self.reasons = {row: reason for row, reason in self.reasons.items() if row in kept}

    def among(self, rows: np.ndarray) -> np.ndarray:
        """Return those of some rows that can be used."""
        return np.setdiff1d(rows, np.array(list(self.reasons), np.int64))

    def findings(self, *, skip: bool) -> list[Finding]:
        """Return an error for each row, of many for the first ones; if skipped, one warning."""
        listed = [self._said(row) for row in sorted(self.reasons)[:_LISTED]]
        if not listed:
            return []
        total = len(self.reasons)
        if skip:
            first = f"{count(total, 'row')} left out as bad; the first: {listed[0]}"
            return [Finding("warning", first), *(Finding("note", said) for said in listed[1:])]
        if total > _LISTED:
            listed[0] += f" (one of {total:,} rows that cannot be used)"
        return [Finding("error", said, _REMEDY) for said in listed]

    def refuse(self) -> None:
        """Raise `InputError` for the first row, if there is one, saying how many more there are."""
        if self.reasons:
            more = len(self.reasons) - 1
            others = f" (and {count(more, 'more row')} cannot be used)" if more else ""
            raise InputError(f"{self._said(min(self.reasons))}{others}; {_REMEDY}")

    def summary(self) -> list[dict[str, Any]]:
        """Return each reason with its rows, the most frequent first, as model.json has them."""
        by_reason: dict[str, list[int]] = defaultdict(list)
        for row in sorted(self.reasons):
            by_reason[self.reasons[row][1]].append(row)
        ordered = sorted(by_reason.items(), key=lambda item: -len(item[1]))
        return [
            {"message": reason, "rows": self.rows.numbers(np.array(rows)).tolist()}
            for reason, rows in ordered
        ]

    def _said(self, row: int) -> str:
        columns, reason = self.reasons[row]
        # A kind that reads several columns says itself which one it is about.
        about = "" if reason.startswith("column ") else f"column {', '.join(map(repr, columns))}: "
        return f"{self.rows.place(row)}, {about}{reason}"
