"""Kinds: what goes in and what comes out, and the topology that follows from the two.

A kind is one file in `inputs/` or `targets/` and one line in a table here. What a pair does with a
table of data is its job's (`jobs.py`).
"""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from typing import Any

from elman.errors import InputError, unknown
from elman.options import split_names

# Kind of input -> what a row of it is, and its class. A series is read by the forecasting job as
# one sequence along the rows; by the others a row holds one.
INPUTS: dict[str, tuple[str, str]] = {
    "series": ("sequence", "measured:Measured"),
    "text": ("sequence", "text:Text"),
    "audio": ("sequence", "audio:Audio"),
    "dna": ("sequence", "dna:Dna"),
    "video": ("sequence", "video:Video"),
    "image": ("vector", "image:Image"),
    "vector": ("vector", "vector:Vector"),
}
# Kind of target -> what it asks of a row, and its class, where the job of examples serves it.
TARGETS: dict[str, tuple[str, str]] = {
    "forecast": ("ahead", ""),
    "next": ("next", ""),
    "number": ("vector", "number:Number"),
    "score": ("vector", "score:Score"),
    "category": ("vector", "category:Category"),
    "tags": ("steps", "tags:Tags"),
    "text": ("sequence", "text:TextTarget"),
    "image": ("sequence", "image:ImageTarget"),
}
# (what goes in, what is asked) -> topologies that fit, the default first.
TOPOLOGIES: dict[tuple[str, str], tuple[str, ...]] = {
    ("sequence", "ahead"): ("seq-to-seq", "seq-to-vector"),
    ("sequence", "next"): ("seq-to-seq",),
    ("sequence", "vector"): ("seq-to-vector",),
    ("sequence", "steps"): ("seq-to-seq",),
    ("sequence", "sequence"): ("encoder-decoder",),
    ("vector", "sequence"): ("vector-to-seq",),
}
# Pairs that a shape alone does not rule out: a target asks this of its inputs.
ONLY = {"forecast": ("series",), "next": ("text",), "tags": ("text",)}
_DEFAULT_COLUMNS = {"text": ("text",), "next": ()}  # of a book, whose table has one column


@dataclass(frozen=True)
class Declaration:
    """A kind and the columns it reads: `series:open,close`."""

    kind: str
    columns: tuple[str, ...]


def declare(text: str, option: str) -> Declaration:
    """Read `kind:column,column`; a column with a comma in its name is quoted as in CSV.

    Args:
        text: as the user wrote it.
        option: `input` or `target`.

    Raises:
        InputError: the kind is not known, no column is named, or one twice.
    """
    kinds = tuple(INPUTS if option == "input" else TARGETS)
    kind, colon, rest = text.partition(":")
    if kind.strip() not in kinds:
        error = unknown(f"--{option} {text!r}: the kind", kind.strip(), kinds)
        raise error if colon else InputError(f"{error}; for example --{option} {kinds[0]}:{text}")
    try:
        columns = split_names(rest)
    except InputError as error:
        raise InputError(f"--{option} {text!r}: {error}") from None
    if not columns and not colon and kind.strip() in _DEFAULT_COLUMNS:
        return Declaration(kind.strip(), _DEFAULT_COLUMNS[kind.strip()])
    if not columns:
        raise InputError(
            f"--{option} {text!r}: expected {kind}:COLUMN[,COLUMN...], such as {kind}:close"
        )
    if len(set(columns)) < len(columns):
        raise InputError(f"--{option} {text!r}: a column is named twice")
    return Declaration(kind.strip(), columns)


def topology_of(inputs: tuple[Declaration, ...], target: Declaration, asked: str) -> str:
    """Return the topology for what goes in and out: the one asked for, or with `auto` the default.

    Raises:
        InputError: the kinds do not go together, or the topology asked for does not fit them.
    """
    kinds = [each.kind for each in inputs]
    allowed = ONLY.get(target.kind)
    if allowed and (len(inputs) > 1 or kinds[0] not in allowed):
        got = ", ".join(kinds)
        raise InputError(
            f"--target {target.kind}: reads one input, of kind {' or '.join(allowed)}, got {got}"
        )
    shape = "sequence" if any(INPUTS[kind][0] == "sequence" for kind in kinds) else "vector"
    fitting = TOPOLOGIES.get((shape, TARGETS[target.kind][0]))
    if fitting is None:
        raise InputError(
            f"--input {', '.join(kinds)} --target {target.kind}: there is no sequence on either "
            "side, so nothing for a recurrent network; add a sequence, or use another tool"
        )
    if asked == "auto":
        return fitting[0]
    if asked not in fitting:
        raise unknown(f"--topology for {', '.join(kinds)} to {target.kind}", asked, fitting)
    return asked


def input_class(kind: str) -> Any:
    """Return the class of a kind of input, loading its file."""
    return _load("inputs", INPUTS[kind][1])


def target_class(kind: str) -> Any:
    """Return the class of a kind of target, loading its file."""
    return _load("targets", TARGETS[kind][1])


def _load(folder: str, place: str) -> Any:
    module, _, name = place.partition(":")
    return getattr(importlib.import_module(f"elman.kinds.{folder}.{module}"), name)
