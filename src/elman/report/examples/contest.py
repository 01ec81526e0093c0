"""Which of the forecasters is ahead: scores compared in the direction in which each is better."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from elman.kinds.scoring.metrics import METRICS
from elman.report.formats import MINUS, MISSING, aligned
from elman.report.run_data import RunData, as_float, part

Row = dict[str, Any]

# The scores that are told first after the verdict's own, by the kind of target; of another kind
# the first of the table.
_FIRST = {
    "category": ("accuracy", "macro_f1"),
    "tags": ("accuracy", "sentence_accuracy"),
    "number": ("mae", "r2"),
    "score": ("mae", "correlation"),
    "text": ("bleu", "exact"),
    "next": ("nats", "bits", "perplexity"),
}
_MOST_FIRST = 2
# Scores without a unit have the decimals that papers give them; others those that their size asks.
_DECIMALS = {
    "roc_auc": 3, "log_loss": 3, "bleu": 2, "chrf": 2, "perplexity": 2, "bits": 3, "nats": 3,
    "r2": 3, "correlation": 3,
}  # fmt: skip
_ORDER = {"valid": 0, "test": 1}


def contests(run: RunData) -> list[tuple[str, str, list[Row]]]:
    """Return (split, target, score rows) of each contest; the model first, baselines by name."""
    places = {
        (str(row.get("split")), str(row.get("target") or ""))
        for row in run.scores
        if not row.get("step")
    }
    found = []
    for split, target in sorted(places, key=lambda p: (p[1], _ORDER.get(p[0], 2), p[0])):
        rows = [
            row
            for row in run.scores
            if (str(row.get("split")), str(row.get("target") or "")) == (split, target)
            and not row.get("step")
        ]
        found.append((split, target, sorted(rows, key=lambda row: row.get("kind") != "model")))
    return found


def metrics_of(rows: Sequence[Row]) -> list[str]:
    """Return the metrics that any of the rows has a value of, in the order of the registry."""
    return [key for key in METRICS if any(math.isfinite(as_float(row.get(key))) for row in rows)]


def first_metrics(run: RunData, rows: Sequence[Row]) -> list[str]:
    """Return the one or two metrics to tell first."""
    there = metrics_of([row for row in rows if row.get("kind") == "model"])
    asked = (part(run.model, "target").get("headline"), *_FIRST.get(run.target_kind, ()))
    first = [key for key in dict.fromkeys(asked) if key in there]
    return (first or there)[:_MOST_FIRST]


def best_place(key: str, values: Sequence[float]) -> int | None:
    """Return where the best of some values is; None if there is no better and worse among them."""
    known = np.array(values, dtype=float)
    if METRICS[key].better == "neither" or not np.isfinite(known).any():
        return None
    return int(np.nanargmax(known) if METRICS[key].better == "higher" else np.nanargmin(known))


def best_baseline(rows: Sequence[Row], key: str) -> Row | None:
    """Return the baseline that is best by a metric, if any has it."""
    others = [row for row in rows if row.get("kind") != "model"]
    place = best_place(key, [as_float(row.get(key)) for row in others])
    return None if place is None else others[place]


def is_ahead(key: str, own: float, other: float) -> bool:
    """Return whether the first value is the better one."""
    return own > other if METRICS[key].better == "higher" else own < other


def written(key: str, values: Sequence[float], digits: int = 3) -> list[str]:
    """Return a column of values as people read that metric; `digits` where its size decides."""
    metric, decimals = METRICS[key], _DECIMALS.get(key)
    if metric.form == "percent":
        return [metric.write(v) if math.isfinite(v) else MISSING for v in values]
    if decimals is None:
        return aligned(values, digits)
    return [
        f"{v:,.{decimals}f}".replace("-", MINUS) if math.isfinite(v) else MISSING for v in values
    ]


def gap(key: str, own: float, other: float) -> str:
    """Return how far a value is from another: `3.1 points higher`; `12% lower`."""
    side = "higher" if own > other else "lower"
    if METRICS[key].form == "percent":
        points = 100 * abs(own - other)
        return f"{points:.2g} points {side}" if points < 1 else f"{points:.1f} points {side}"
    if METRICS[key].better == "lower" and other > 0:
        share = 100 * abs(own / other - 1)
        return f"{share:.{0 if share >= 9.95 else 1}f}% {side}"
    return f"{written(key, [abs(own - other)])[0]} {side}"


def wins(run: RunData) -> list[bool]:
    """Return, for each contest, whether the model is ahead by the metric told first."""
    found = []
    for _, _, rows in contests(run):
        own = next((row for row in rows if row.get("kind") == "model"), None)
        for key in first_metrics(run, rows)[:1]:
            other = best_baseline(rows, key)
            if own is not None and other is not None:
                found.append(is_ahead(key, as_float(own.get(key)), as_float(other.get(key))))
    return found
