"""Kinds: what goes in and what comes out, and the topology that follows from the two."""

from __future__ import annotations

from dataclasses import dataclass

from elman.errors import InputError, unknown
from elman.options import split_names

# (input kind, target kind) -> topologies that fit, the default first.
TOPOLOGIES: dict[tuple[str, str], tuple[str, ...]] = {
    ("series", "forecast"): ("seq-to-seq", "seq-to-vector"),
}
INPUT_KINDS = tuple(dict.fromkeys(pair[0] for pair in TOPOLOGIES))
TARGET_KINDS = tuple(dict.fromkeys(pair[1] for pair in TOPOLOGIES))


@dataclass(frozen=True)
class Declaration:
    """A kind and the columns it reads: `series:open,close`."""

    kind: str
    columns: tuple[str, ...]


def declare(text: str, option: str, kinds: tuple[str, ...]) -> Declaration:
    """Read `kind:column,column`; a column with a comma in its name is quoted as in CSV.

    Raises:
        InputError: the kind is not one of `kinds`, no column is named, or one twice.
    """
    kind, colon, rest = text.partition(":")
    if kind.strip() not in kinds:
        error = unknown(f"--{option} {text!r}: the kind", kind.strip(), kinds)
        raise error if colon else InputError(f"{error}; for example --{option} {kinds[0]}:{text}")
    try:
        columns = split_names(rest)
    except InputError as error:
        raise InputError(f"--{option} {text!r}: {error}") from None
    if not colon or not columns:
        raise InputError(
            f"--{option} {text!r}: expected {kind}:COLUMN[,COLUMN...], such as {kind}:close"
        )
    if len(set(columns)) < len(columns):
        raise InputError(f"--{option} {text!r}: a column is named twice")
    return Declaration(kind.strip(), columns)


def topology_of(input_kind: str, target_kind: str, asked: str) -> str:
    """Return the topology for a pair of kinds: the one asked for, or with `auto` the pair's own.

    Raises:
        InputError: the one asked for does not fit the pair.
    """
    fitting = TOPOLOGIES[input_kind, target_kind]
    if asked == "auto":
        return fitting[0]
    if asked not in fitting:
        raise unknown(f"--topology for {input_kind} to {target_kind}", asked, fitting)
    return asked
