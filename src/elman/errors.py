"""What Elman raises when it cannot go on, and how it says so: one clear line, and a status.

A message names the argument, or the file, row and column; what was got; what was expected; and
what to do. The command line prints the message alone and leaves with `exit_status`.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class ElmanError(Exception):
    """Anything Elman reports in the user's terms; `exit_status` is the command's exit status."""

    exit_status = 1


class InputError(ElmanError, ValueError):
    """What the user gave (an option, a table, a run folder) cannot be used as it is."""

    exit_status = 2


class BadCellError(ElmanError, ValueError):
    """One row's cell cannot be used: what was got, what was expected, what to do.

    Whoever catches it knows the file, the row and the column, and puts them before it.
    """

    exit_status = 2


class DivergenceError(ElmanError, ArithmeticError):
    """Training met a loss or a gradient that is not finite; the last good checkpoint stands."""

    exit_status = 3


class MissingExtraError(ElmanError, ImportError):
    """An optional dependency is needed and absent; the message names the extra to install."""

    exit_status = 4


def nearest(word: str, known: Iterable[str]) -> str:
    """Return `"; did you mean 'close'?"` for the known word nearest to `word`, or `""`."""
    by_lower = {name.lower(): name for name in known}
    matches = difflib.get_close_matches(word.lower(), by_lower, n=1, cutoff=0.5)
    return f"; did you mean {by_lower[matches[0]]!r}?" if matches else ""


def unknown(what: str, word: object, known: Iterable[str]) -> InputError:
    """Return the error for a word outside a closed set: names the nearest, lists the rest."""
    known = list(known)
    listed = ", ".join(known) if known else "none"
    hint = nearest(str(word), known)
    return InputError(f"{what}: {str(word)!r} is not known{hint or ';'} expected one of: {listed}")
