"""Say in plain words what a network's score is worth beside the best baseline's, and how sure.

Legend: R rows scored, M random signs of each.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from elman.kinds.scoring.metrics import METRICS, Metric

Row = dict[str, Any]

SPLITS = {"valid": "validation rows", "test": "test rows", "table": "rows given"}
HARDLY = 0.01  # a gain below this share of the baseline's error is said to hardly be one
NOISE = 0.05
_SIGNS = 1999  # random signs of all differences: p is known to 0.0005
_AT_ONCE = 4_000_000  # signs drawn at a time, to bound the memory


def significance(model_R: np.ndarray, baseline_R: np.ndarray, *, seed: int = 0) -> float:
    """Return how probable so large a difference is if neither answers better; NaN without rows.

    Of right and wrong answers McNemar's exact test (1947): of the rows that only one of the two
    has right, each is as likely to have had either. Of errors a permutation test (Fisher 1935):
    each row's difference is as likely to have had the other sign.

    Args:
        model_R: what the model had wrong, row by row, as bool; or its errors.
        baseline_R: the same of a baseline.
        seed: of the signs drawn.
    """
    if model_R.shape != baseline_R.shape:
        raise ValueError(f"rows differ: {model_R.shape} of the model, {baseline_R.shape}")
    if not len(model_R):
        return math.nan
    if model_R.dtype == bool:
        return _mcnemar(int((model_R & ~baseline_R).sum()), int((~model_R & baseline_R).sum()))
    difference_R = np.asarray(model_R, np.float64) - baseline_R
    difference_R = difference_R[difference_R != 0]
    if not len(difference_R):
        return 1.0
    size = abs(difference_R.sum()) * (1 - 1e-12)  # sums in another order round otherwise
    generator, larger, left = np.random.default_rng(seed), 0, _SIGNS
    while left:
        count = min(left, max(1, _AT_ONCE // len(difference_R)))
        signs_MR = 2.0 * generator.integers(0, 2, (count, len(difference_R)), np.int8) - 1
        larger += int((np.abs(signs_MR @ difference_R) >= size).sum())
        left -= count
    return (larger + 1) / (_SIGNS + 1)


def _mcnemar(only_model: int, only_baseline: int) -> float:
    from scipy.stats import binomtest

    different = only_model + only_baseline
    return float(binomtest(only_model, different).pvalue) if different else 1.0


def best_baseline(scores: Sequence[Row], *, split: str, target: str, metric: str) -> Row | None:
    """Return the row of the baseline that is best by a metric, or None if there is none."""
    rows = _overall(scores, split, target, metric, "baseline")
    return min(rows, key=lambda row: _loss(metric, row), default=None)


def verdict_of(
    scores: Sequence[Row],
    metric: str,
    noise: Mapping[tuple[str, str], float] | None = None,
    splits: Mapping[str, str] = SPLITS,
) -> str:
    """Say whether the model beats the best baseline, in a sentence for each split and target.

    Args:
        scores: rows with `split`, `forecaster`, `kind` ("model", "baseline"), `target`, `step`.
        metric: the score to compare by, a key of `METRICS`.
        noise: `significance` of model and best baseline by (split, target), where known.
        splits: what to call each split; the others are not spoken of.

    Returns:
        The sentences; empty without a model's and a baseline's score.
    """
    targets = list(dict.fromkeys(row["target"] for row in scores))
    return " ".join(
        _sentence(model, best, (noise or {}).get((split, target)), metric, where, len(targets) > 1)
        for split, where in splits.items()
        for target in targets
        if (best := best_baseline(scores, split=split, target=target, metric=metric))
        for model in _overall(scores, split, target, metric, "model")
    )


def _overall(scores: Sequence[Row], split: str, target: str, metric: str, kind: str) -> list[Row]:
    return [
        row
        for row in scores
        if (row["split"], row["target"], row["kind"], row["step"]) == (split, target, kind, 0)
        and row.get(metric) is not None
    ]


def _loss(metric: str, row: Row) -> float:
    return -row[metric] if METRICS[metric].better == "higher" else row[metric]


def _sentence(
    model: Row, best: Row, noise: float | None, key: str, where: str, name_target: bool
) -> str:
    metric, ours, theirs = METRICS[key], model[key], best[key]
    about = f" for {model['target']}" if name_target else ""
    subject = f"On the {where} {model['forecaster']}'s {metric.label}{about}"
    rival = f"the best baseline, {best['forecaster']} ({metric.write(theirs)})"
    doubt = _doubt(noise)
    if _loss(key, model) >= _loss(key, best):
        why = ": they are equal" if ours == theirs else f": the difference is {doubt}"
        known = ours == theirs or doubt
        return f"{subject} of {metric.write(ours)} does not beat {rival}{why if known else ''}."
    gain, share = _gain(metric, ours, theirs)
    verb = "hardly beats" if share < HARDLY else "beats"
    sure = f" (p {_probability(noise)})" if noise is not None and not doubt else ""
    but = f", but that is {doubt}" if doubt else ""
    return f"{subject} of {metric.write(ours)} {verb} {rival}, by {gain}{sure}{but}."


def _doubt(noise: float | None) -> str:
    if noise is None or noise <= NOISE:
        return ""
    if math.isnan(noise):
        return "not to be told from chance, with so few rows"
    return f"within noise (p {_probability(noise)})"


def _probability(p: float) -> str:
    return "< 0.001" if p < 0.001 else f"= {p:.2g}" if p < 0.1 else f"= {p:.2f}"


def _gain(metric: Metric, ours: float, theirs: float) -> tuple[str, float]:
    """Return how much better ours is, in words, and as a share of what theirs leaves to gain."""
    gain = abs(ours - theirs)
    if metric.form == "percent":
        left = 1 - theirs if metric.better == "higher" else theirs
        return _points(gain), gain / left
    if metric.better == "higher":
        return metric.write(gain), gain / abs(theirs) if theirs else 1.0
    share = gain / theirs
    return f"{100 * share:.0f}%" if share >= 0.1 else f"{100 * share:.2g}%", share


def _points(gain: float) -> str:
    written = f"{100 * gain:.1f}" if gain >= 0.001 else f"{100 * gain:.2g}"
    return f"{written} point{'' if written == '1.0' else 's'}"
