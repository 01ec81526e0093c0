"""Which rows of a table of examples train, validate and test.

Three ways: a column says so; or shares are drawn at random, each class in proportion; or folds, of
which each is the test once. Rows of one group (`together`) always stay in one part.

Legend: R rows, P parts, C classes.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
import polars as pl

from elman.data.allotment import by_class, by_group
from elman.data.findings import Finding, count
from elman.errors import InputError, nearest

PARTS = ("train", "valid", "test")

_WORDS = {
    "train": "train", "training": "train",
    "valid": "valid", "validation": "valid", "val": "valid", "dev": "valid",
    "test": "test",
}  # fmt: skip
_NAMES = {"train": "training", "valid": "validation", "test": "test"}


class PartOptions(Protocol):
    """What of the options decides the parts: `DataOptions` and `ExampleOptions` have it."""

    @property
    def valid(self) -> str: ...  # noqa: D102
    @property
    def test(self) -> str: ...  # noqa: D102
    @property
    def folds(self) -> int | None: ...  # noqa: D102


@dataclass(frozen=True)
class Parts:
    """Row numbers, from 0 and ascending, of each part; no row is in two.

    Attributes:
        train: rows that train.
        valid: rows that validate; empty only if another table does.
        test: rows that test; may be empty.
        name: of a fold: the value or number that its test has; else empty.
        findings: what was noticed.
    """

    train: np.ndarray
    valid: np.ndarray
    test: np.ndarray
    name: str = ""
    findings: list[Finding] = field(default_factory=list)

    def of(self, part: str) -> np.ndarray:
        """Return the rows of the part of that name."""
        return {"train": self.train, "valid": self.valid, "test": self.test}[part]


@dataclass(frozen=True)
class _Rows:
    """The rows to share out, with class and group of each row of the table."""

    class_R: np.ndarray
    group_R: np.ndarray | None
    seed: int
    name: str

    def share_out(
        self, rows: np.ndarray, shares_P: list[float], purpose: str, *, training: bool
    ) -> list[np.ndarray]:
        """Return the rows of each part; if part 0 is for training, it has some of every class."""
        generator = np.random.default_rng(_derive(self.seed, purpose))
        classes = np.unique(self.class_R[rows], return_inverse=True)[1]
        if self.group_R is None:
            part_R = by_class(classes, np.array(shares_P), generator, training)
        else:
            groups = np.unique(self.group_R[rows], return_inverse=True)[1]
            part_R = by_group(classes, groups, np.array(shares_P), generator)
        return [rows[part_R == part] for part in range(len(shares_P))]


def assign(
    height: int,
    options: PartOptions,
    *,
    split: pl.Series | None = None,
    together: pl.Series | None = None,
    strata: np.ndarray | None = None,
    seed: int,
    name: str = "table",
    own_valid: bool = True,
) -> Parts:
    """Return which rows train, validate and test.

    Args:
        height: rows of the table.
        options: `valid` and `test`, each a share of the rows (`0.15`) or their number (`200`);
            `test` may be `0`.
        split: a column that says it of each row: train, valid or test (also training,
            validation, val, dev). Where it names no row valid, `options.valid` is cut from its
            training rows; `options.test` is not looked at.
        together: a column whose equal values stay in one part.
        strata: the class of each row, of any type, `(R,)`: each class is cut in proportion, as
            near as whole rows allow, and a class of one row trains. None for no classes.
        seed: decides which rows are drawn.
        name: of the table, for messages.
        own_valid: False where another table validates, and none of these rows is to.

    Raises:
        InputError: a word of `split` is unknown, an option is neither share nor number, a value
            of `together` is missing, or a part would have no rows.
    """
    rows = _Rows(_classes(height, strata), _groups(together, name), seed, name)
    findings: list[Finding] = []
    if split is None:
        parts = _draw(rows, np.arange(height), options, options.test, own_valid)
        if together is None and strata is not None:
            findings += _single_rows(strata, name)
    else:
        parts = _as_told(split, name)
        if not len(parts["valid"]) and own_valid:
            parts |= _draw(rows, parts["train"], options, "0", own_valid) | {"test": parts["test"]}
        if rows.group_R is not None and together is not None:
            findings += _torn(parts, rows.group_R, together, split.name, name)
    _check(parts, name, {"train", "valid"} if own_valid else {"train"})
    return Parts(parts["train"], parts["valid"], parts["test"], findings=findings)


def folds(
    height: int,
    options: PartOptions,
    *,
    by: pl.Series | None = None,
    together: pl.Series | None = None,
    strata: np.ndarray | None = None,
    seed: int,
    name: str = "table",
) -> list[Parts]:
    """Return the folds of cross-validation: every row is in the test of exactly one.

    Args:
        height: rows of the table.
        options: `folds`, their number, looked at without `by`; `valid`, a share or number of the
            rows that are not the fold's test.
        by: a column of which each value is the test of one fold, in the order of its values.
        together: as in `assign`.
        strata: as in `assign`; each fold's test has each class in proportion.
        seed: decides which rows are drawn.
        name: of the table, for messages.

    Raises:
        InputError: as in `assign`, or there are fewer rows, groups or values than folds.
    """
    rows = _Rows(_classes(height, strata), _groups(together, name), seed, name)
    everything = np.arange(height)
    if by is not None:
        fold_R = _codes(by, name)
        if rows.group_R is not None:
            torn = _first_torn(rows.group_R, fold_R)
            if torn is not None and together is not None:
                raise InputError(
                    f"{name}: column {together.name!r}: the rows of {together[torn]!r} lie in "
                    f"several values of {by.name!r}, so that folds by that would part them; leave "
                    "--together out, or choose another column for --folds-by"
                )
        labels = [str(by[int((fold_R == fold).argmax())]) for fold in range(fold_R.max() + 1)]
        tests = [np.flatnonzero(fold_R == fold) for fold in range(len(labels))]
    else:
        number = options.folds or 1
        labels = [str(fold + 1) for fold in range(number)]
        units = height if rows.group_R is None else int(rows.group_R.max()) + 1
        if units < number:
            of = "" if together is None else f" of {together.name!r}"
            what = count(units, "row" if together is None else "value")
            raise InputError(f"{name}: {number} folds of {what}{of}; choose fewer --folds")
        tests = rows.share_out(everything, [1 / number] * number, "folds", training=False)
    if len(tests) < 2:
        raise InputError(f"{name}: cross-validation needs two folds or more, got {len(tests)}")
    made = []
    for label, test in zip(labels, tests, strict=True):
        rest = np.setdiff1d(everything, test, assume_unique=True)
        parts = _draw(rows, rest, options, "0", True, f"fold/{label}") | {"test": test}
        _check(parts, f"{name}: fold {label}", set(PARTS))
        made.append(Parts(parts["train"], parts["valid"], test, label))
    return made


def _derive(seed: int, purpose: str) -> int:
    """Return the seed of one purpose, as `training.randomness` derives it."""
    digest = hashlib.blake2b(f"{seed}/{purpose}/".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "little") >> 1


def _classes(height: int, strata: np.ndarray | None) -> np.ndarray:
    if strata is None:
        return np.zeros(height, np.int64)
    return np.unique(strata, return_inverse=True)[1].reshape(-1)


def _groups(together: pl.Series | None, name: str) -> np.ndarray | None:
    return None if together is None else _codes(together, name)


def _codes(column: pl.Series, name: str) -> np.ndarray:
    """Return the number of each row's value among the column's values in order."""
    text = column.cast(pl.String).str.strip_chars()
    missing = text.is_null() | (text == "").fill_null(True)
    if missing.any():
        raise InputError(
            f"{name}: row {(missing.arg_max() or 0) + 1:,}, column {column.name!r}: the value is "
            "missing; every row needs one: fill it in"
        )
    return (column.rank("dense") - 1).to_numpy().astype(np.int64)


def _draw(
    rows: _Rows,
    among: np.ndarray,
    options: PartOptions,
    test: str,
    own_valid: bool,
    purpose: str = "parts",
) -> dict[str, np.ndarray]:
    sizes_C = np.bincount(rows.class_R[among])
    # A class of one row trains; of groups, whatever their classes, all are drawn.
    drawn_C = sizes_C if rows.group_R is not None else sizes_C[sizes_C > 1]
    height = int(drawn_C.sum())
    shares = {
        "valid": _share("--valid", options.valid, height) if own_valid else 0.0,
        "test": _share("--test", test, height),
    }
    if own_valid and not shares["valid"]:
        raise InputError("--valid: validation rows are needed; expected for example 0.15")
    if sum(shares.values()) >= 1:
        raise InputError(
            f"{rows.name}: --valid {options.valid} and --test {test} leave none of "
            f"{count(len(among), 'row')} for training; choose smaller ones"
        )
    wanted = [part for part in ("valid", "test") if shares[part]]
    if rows.group_R is not None:
        units = len(np.unique(rows.group_R[among]))
        if units <= len(wanted):
            raise InputError(
                f"{rows.name}: --together leaves {count(units, 'group')} of rows for "
                f"{len(wanted) + 1} parts; choose another column, or --test 0"
            )
    sizes = [1 - sum(shares.values()), *(shares[part] for part in wanted)]
    drawn = rows.share_out(among, sizes, purpose, training=True)
    return dict.fromkeys(PARTS, among[:0]) | dict(zip(("train", *wanted), drawn, strict=True))


def _share(option: str, text: str, height: int) -> float:
    """Return the share of the rows that `0.15` or `200` says; 0 for none."""
    text = text.strip()
    if text.lower() in ("none", "0", "0.0"):
        return 0.0
    if re.fullmatch(r"0?\.\d+", text):
        return float(text)
    if text.isdecimal():
        return int(text) / max(1, height)
    raise InputError(
        f"{option}: expected a share such as 0.15 or a number of rows such as 200, got {text!r}; "
        "times cut series only: name a column with --split to say which rows are which"
    )


def _as_told(split: pl.Series, name: str) -> dict[str, np.ndarray]:
    words = split.cast(pl.String).str.strip_chars()
    told = words.str.to_lowercase().replace_strict(_WORDS, default=None, return_dtype=pl.String)
    if told.null_count():
        row = told.is_null().arg_max() or 0
        got = "nothing" if words[row] in (None, "") else repr(words[row])
        raise InputError(
            f"{name}: row {row + 1:,}, column {split.name!r}: expected train, valid or test, got "
            f"{got}{nearest(words[row] or '', _WORDS)}"
        )
    return {part: np.flatnonzero((told == part).to_numpy()) for part in PARTS}


def _single_rows(strata: np.ndarray, name: str) -> list[Finding]:
    alone = int((np.unique(strata, return_counts=True)[1] == 1).sum())
    if not alone:
        return []
    what = "1 class has" if alone == 1 else f"{alone:,} classes have"
    return [Finding("note", f"{name}: {what} a single row, which trains", "")]


def _torn(
    parts: dict[str, np.ndarray],
    group_R: np.ndarray,
    together: pl.Series,
    split: str,
    name: str,
) -> list[Finding]:
    part_R = np.empty(len(group_R), np.int64)
    for place, part in enumerate(PARTS):
        part_R[parts[part]] = place
    row = _first_torn(group_R, part_R)
    if row is None:
        return []
    return [
        Finding(
            "warning",
            f"{name}: column {split!r} parts what column {together.name!r} holds together, the "
            f"rows of {together[row]!r} among them",
            "leave --split out to have them cut anew, or expect scores that are too good",
        )
    ]


def _first_torn(group_R: np.ndarray, part_R: np.ndarray) -> int | None:
    """Return the first row whose group has rows in another part, or None."""
    low = np.full(group_R.max() + 1, np.iinfo(np.int64).max)
    high = np.full(group_R.max() + 1, -1)
    np.minimum.at(low, group_R, part_R)
    np.maximum.at(high, group_R, part_R)
    torn = np.flatnonzero((low != high)[group_R])
    return int(torn[0]) if len(torn) else None


def _check(parts: dict[str, np.ndarray], name: str, needed: set[str]) -> None:
    for part in PARTS:
        if part in needed and not len(parts[part]):
            sizes = ", ".join(f"{len(parts[each]):,} {each}" for each in PARTS)
            raise InputError(
                f"{name}: no row is left for {_NAMES[part]} (rows: {sizes}); give more rows, or "
                "other --valid and --test"
            )
