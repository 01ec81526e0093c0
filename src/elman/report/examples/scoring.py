"""The sections of scores: a table for each split, and the folds of a cross-validation."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from elman.kinds.scoring.metrics import METRICS
from elman.report.blocks import Block, Cell, Paragraph, Section, Table
from elman.report.examples import contest
from elman.report.formats import MISSING, count
from elman.report.run_data import SPLIT_NAMES, RunData, as_float, listed

_MOST_FOLDS = 50


def scores(run: RunData) -> Section:
    """The score table of each split, the best of each column in bold."""
    found = contest.contests(run)
    if not found:
        words = Paragraph("There are no scores in model.json.", "warning")
        return Section("Scores", [words])
    several = len({target for _, target, _ in found}) > 1
    tables: list[Block | str] = []
    used: list[str] = []
    for split, target, rows in found:
        title = SPLIT_NAMES.get(split, split)
        tables.append(score_table(rows, f"{target}, {title}" if several and target else title))
        used += [key for key in contest.metrics_of(rows) if key not in used]
    ways = {"higher": [], "lower": []}
    for key in used:
        if METRICS[key].better in ways:
            ways[METRICS[key].better].append(METRICS[key].label)
    words = "; ".join(
        f"{way} is better: {', '.join(names)}" for way, names in ways.items() if names
    )
    words = f"The best of each column is bold. {words[:1].upper()}{words[1:]}."
    return Section("Scores", [words, *tables])


def score_table(rows: Sequence[dict[str, Any]], title: str) -> Table:
    """Return score rows as a table, in their order, the best of each column in bold."""
    keys = contest.metrics_of(rows)
    columns = [_column(key, [as_float(row.get(key)) for row in rows]) for key in keys]
    body = [
        [Cell(str(row.get("forecaster", "?"))), *(column[index] for column in columns)]
        for index, row in enumerate(rows)
    ]
    sizes = sorted({row["n"] for row in rows if isinstance(row.get("n"), int)})
    title += f"; {sizes[0]:,} answers each" if len(sizes) == 1 else ""
    marked = frozenset(i for i, row in enumerate(rows) if row.get("kind") == "model")
    heads = ("Answered by", *(METRICS[key].label for key in keys))
    return Table(heads, body, title, "l" + "r" * len(keys), marked)


def _column(key: str, values: Sequence[float]) -> list[Cell]:
    """Return cells with the best value bold, and those that read the same; one alone is not."""
    texts, best = contest.written(key, values), contest.best_place(key, values)
    if best is None or np.isfinite(values).sum() < 2:
        return [Cell(text) for text in texts]
    return [Cell(text, strong=text == texts[best]) for text in texts]


def folds(run: RunData) -> Section | None:
    """The scores of each fold with mean and spread; None without cross-validation."""
    by_name = _folds(run)
    if not by_name:
        return None
    own = next(iter(by_name.values()))
    keys = contest.metrics_of(own)
    rows: list[list[str | Cell]] = [
        [Cell(name, strong=place == 0), *(_spread(key, rows) for key in keys)]
        for place, (name, rows) in enumerate(by_name.items())
    ]
    heads = [METRICS[key].label for key in keys]
    align = "l" + "r" * len(keys)
    blocks: list[Block | str] = [
        f"Each of {count(len(own), 'fold')} was the test once, for a network trained on the others."
        " Mean ± standard deviation over folds:",
        Table(("Answered by", *heads), rows, "", align, frozenset({0})),
    ]
    shown = own[:_MOST_FOLDS]
    columns = [contest.written(key, [as_float(row.get(key)) for row in shown]) for key in keys]
    each = [
        [str(row.get("fold", place + 1)), f"{row['n']:,}" if isinstance(row.get("n"), int) else "",
         *(column[place] for column in columns)]
        for place, row in enumerate(shown)
    ]  # fmt: skip
    title = f"{run.name}, by fold"
    title += f"; the first {_MOST_FOLDS} of {len(own):,}" if len(own) > len(shown) else ""
    blocks.append(Table(("Fold", "Rows", *heads), each, title, "lr" + "r" * len(keys)))
    return Section("Folds", blocks)


def _folds(run: RunData) -> dict[str, list[dict[str, Any]]]:
    """Return the folds' scores by forecaster, the model first."""
    found: dict[str, list[dict[str, Any]]] = {}
    rows = [row for row in listed(run.model, "folds") if isinstance(row, dict)]
    for row in sorted(rows, key=lambda row: row.get("kind", "model") != "model"):
        found.setdefault(str(row.get("forecaster") or run.name), []).append(row)
    return found


def _spread(key: str, rows: Sequence[dict[str, Any]]) -> str:
    """Return mean, weighted by the folds' rows, and standard deviation."""
    values = np.array([as_float(row.get(key)) for row in rows])
    known = np.isfinite(values)
    if not known.any():
        return MISSING
    weights = np.array([as_float(row.get("n"), 1.0) for row in rows])[known]
    values = values[known]
    mean = float(np.average(values, weights=weights)) if weights.sum() > 0 else float(values.mean())
    spread = float(values.std(ddof=1)) if len(values) > 1 else float("nan")
    return " ± ".join(contest.written(key, [mean, spread], digits=2))
