"""What was noticed about the data: an error that stops training, a warning, or a note.

Reading and checking collect findings instead of stopping at the first, so that `elman check` can
list all of them; a strict caller turns the first error into an exception with `raise_errors`.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from elman.errors import InputError

Severity = Literal["error", "warning", "note"]


@dataclass(frozen=True)
class Finding:
    """One thing noticed: how bad it is, what it is (file, row, column, numbers), what to do."""

    severity: Severity
    message: str
    remedy: str = ""

    def __str__(self) -> str:
        return f"{self.message}; {self.remedy}" if self.remedy else self.message


def raise_errors(findings: Iterable[Finding]) -> None:
    """Raise `InputError` for the first error among `findings`, saying how many more there are."""
    errors = [finding for finding in findings if finding.severity == "error"]
    if errors:
        more = f" (and {len(errors) - 1} more: see `elman check`)" if len(errors) > 1 else ""
        raise InputError(f"{errors[0]}{more}")


def count(number: int, noun: str) -> str:
    """Return a number with its noun: `1 row`, `1,234 rows`."""
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"
