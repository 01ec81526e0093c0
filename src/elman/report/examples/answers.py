"""The section of what the target tells of a split: confusion, classes, calibration, lengths."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from elman.report.blocks import (
    Block,
    Facts,
    Gallery,
    Heading,
    Matrix,
    Paragraph,
    Section,
    Shade,
    Table,
)
from elman.report.examples.samples import ClassScore, Details
from elman.report.figures import answers as drawn
from elman.report.figures import residuals
from elman.report.formats import percent
from elman.report.run_data import RunData, of_split, shown_split

_MOST_CLASSES = 20  # of a confusion matrix that can be read
_MOST_IN_TABLE = 40
_SAID_CONFUSIONS = 3


@dataclass(frozen=True)
class _Confusion:
    """Counts by true and predicted class, rare classes merged; `merged` is how many those are."""

    names: list[str]
    counts: np.ndarray
    merged: int


def details(run: RunData) -> Section | None:
    """What stands behind the scores of the test split (else of the last there is)."""
    split = shown_split(run.samples.details)
    if split is None:
        return None
    known = run.samples.details[split]
    blocks = [block for build in _BUILDERS for block in build(run, known)]
    if not blocks:
        return None
    heading = "Answers by class" if known.classes else "Answers in detail"
    return Section(heading, [f"{of_split(split)}.", *blocks])


def _confusion(_run: RunData, known: Details) -> list[Block]:
    if not known.confusion:
        return []
    counts = np.array(known.confusion) if _is_square(known.confusion) else np.zeros((0, 0))
    if len(counts) != len(known.classes):
        words = "The confusion matrix does not fit the classes: it is not shown."
        return [Paragraph(words, "warning")]
    found = _merge(known.classes, counts)
    totals = found.counts.sum(axis=1, keepdims=True)
    shares = found.counts / np.maximum(totals, 1)
    cells = [
        [
            Shade(f"{n:,}" if n else "", _darkness(float(shares[i, j]), i != j), i != j,
                  f"{truth} taken for {answer}: {n:,}" if n and i != j else "")
            for j, (answer, n) in enumerate(zip(found.names, row.tolist(), strict=True))
        ]
        for i, (truth, row) in enumerate(zip(found.names, found.counts, strict=True))
    ]  # fmt: skip
    title = f"Confusion: {int(counts.sum()):,} answers"
    words = _confusion_words(found)
    return [Matrix(found.names, found.names, cells, "truth", "prediction", title, words)]


def _darkness(share: float, wrong: bool) -> float:
    """Return a share as a shade; errors, which are few, are drawn darker than in proportion."""
    return math.sqrt(share) if wrong else share


def _is_square(rows: list[list[int]]) -> bool:
    return all(len(row) == len(rows) for row in rows)


def _merge(names: list[str], counts: np.ndarray) -> _Confusion:
    """Return the matrix with all but the most frequent classes in one."""
    if len(names) <= _MOST_CLASSES:
        return _Confusion(names, counts, 0)
    size = counts.sum(axis=0) + counts.sum(axis=1)
    kept = np.sort(np.argsort(-size, kind="stable")[: _MOST_CLASSES - 1])
    place = np.full(len(names), len(kept))
    place[kept] = np.arange(len(kept))
    small = np.zeros((len(kept) + 1, len(kept) + 1), dtype=counts.dtype)
    np.add.at(small, (place[:, None], place[None, :]), counts)
    merged = len(names) - len(kept)
    return _Confusion([*(names[k] for k in kept), f"other ({merged:,})"], small, merged)


def _confusion_words(found: _Confusion) -> str:
    words = "A row is a true class, a column what was answered; colour is the share of the row."
    wrong = found.counts.copy()
    np.fill_diagonal(wrong, 0)
    places = np.argsort(-wrong, axis=None, kind="stable")[:_SAID_CONFUSIONS]
    said = []
    for i, j in zip(*np.unravel_index(places, wrong.shape), strict=True):
        if wrong[i, j]:
            total = found.counts[i].sum()
            said.append(
                f"{found.names[i]} taken for {found.names[j]} {wrong[i, j]:,}×"
                f" ({percent(wrong[i, j] / total)} of {found.names[i]})"
            )
    words += f" Most confused: {'; '.join(said)}." if said else " No answer is wrong."
    if found.merged:
        words += f" The {found.merged:,} rarest classes are one row and column, “other”."
    return words


def _classes(_run: RunData, known: Details) -> list[Block]:
    if not known.per_class:
        return []
    ranked = sorted(known.per_class, key=lambda each: -each.n)
    cut = len(ranked) > _MOST_IN_TABLE
    shown = ranked[:_MOST_IN_TABLE] if cut else list(known.per_class)
    title = "By class"
    title += f": the {_MOST_IN_TABLE} most frequent of {len(ranked):,}" if cut else ""
    rows = [_class_row(each) for each in shown]
    return [Table(("Class", "Rows", "Precision", "Recall", "F1"), rows, title, "lrrrr")]


def _class_row(each: ClassScore) -> list[str]:
    shares = (each.precision, each.recall, each.f1)
    return [each.name, f"{each.n:,}", *(_share(value) for value in shares)]


def _share(value: float) -> str:
    return f"{100 * value:.1f}%" if np.isfinite(value) else "–"


def _calibration(_run: RunData, known: Details) -> list[Block]:
    bins = [
        each
        for each in known.calibration
        if each.n and np.isfinite(each.confidence) and np.isfinite(each.accuracy)
    ]
    if not bins:
        return []
    columns = np.array([(each.confidence, each.accuracy, each.n) for each in bins]).T
    return [Gallery("", [drawn.calibration_picture(*columns, several=known.multi_label)])]


def _scatter(run: RunData, known: Details) -> list[Block]:
    points = np.array(known.scatter, dtype=float).reshape(-1, 2)
    points = points[np.isfinite(points).all(axis=1)]
    if len(points) < 3:
        return []
    truth, answer = points.T
    unit = " ".join(run.targets[:1])
    pictures = [
        residuals.scatter(truth, answer, unit, name="prediction"),
        residuals.histogram(truth - answer, name="prediction"),
    ]
    return [Gallery("", pictures)]


def _lengths(_run: RunData, known: Details) -> list[Block]:
    sizes = np.array(known.lengths, dtype=float).reshape(-1, 2)
    if not len(sizes):
        return []
    return [Gallery("", [drawn.lengths_picture(*sizes.T)])]


def _signatures(_run: RunData, known: Details) -> list[Block]:
    if not known.signatures:
        return []
    names = {"bleu": "BLEU", "chrf": "chrF"}
    rows = [(names.get(name, name), text) for name, text in known.signatures.items()]
    return [Heading("How the scores were taken (sacrebleu's signatures)"), Facts(rows)]


_BUILDERS: tuple[Callable[[RunData, Details], list[Block]], ...] = (
    _confusion,
    _classes,
    _calibration,
    _scatter,
    _lengths,
    _signatures,
)
