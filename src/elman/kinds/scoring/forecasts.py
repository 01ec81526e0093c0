"""Score forecasts in the target's own unit, and say in one sentence what the score is worth.

N origins, K horizon steps, C target columns, Q quantiles. A truth of NaN is not known yet: it is
left out of every score and of the count `n`. The scores are means over the axes named (all of them
by default), so that `mae(truth_NKC, forecast_NKC, axis=(0, 2))` is the error by horizon step.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from elman.kinds.scoring import metrics

Axis = int | tuple[int, ...] | None
Row = dict[str, Any]

SPLITS = {"valid": "validation span", "test": "test span", "table": "table given"}
METRICS = {key: metrics.METRICS[key].label for key in ("mae", "rmse", "mase", "smape", "pinball")}
HARDLY = 0.01  # a gain below this share of the baseline's error is said to hardly be one
NOISE = 0.05
MANY_TARGETS = 3  # more than these are summed up in one sentence


def mae(truth: np.ndarray, forecast: np.ndarray, axis: Axis = None) -> np.ndarray:
    """Return the mean absolute error, `mean |y - f|`, in the target's unit."""
    return _mean_where_known(truth, np.abs(truth - forecast), axis)


def rmse(truth: np.ndarray, forecast: np.ndarray, axis: Axis = None) -> np.ndarray:
    """Return the root of the mean squared error, in the target's unit."""
    return np.sqrt(_mean_where_known(truth, (truth - forecast) ** 2, axis))


def smape(truth: np.ndarray, forecast: np.ndarray, axis: Axis = None) -> np.ndarray:
    """Return `mean 200 |y - f| / (|y| + |f|)` in percent, 0 to 200 (Makridakis 1993); 0/0 is 0."""
    size = np.abs(truth) + np.abs(forecast)
    error = 200 * np.abs(truth - forecast)
    # A NaN of the forecast stays one: only an exact zero is given a meaning.
    return _mean_where_known(truth, np.where(size == 0, 0.0, error / _nonzero(size)), axis)


def mase(
    truth: np.ndarray, forecast: np.ndarray, scale: np.ndarray, axis: Axis = None
) -> np.ndarray:
    """Return the mean absolute scaled error, `mean |y - f| / scale` (Hyndman & Koehler 2006).

    Below 1 the forecast errs less than the seasonal naive forecast did one step ahead on the
    training span. `scale` (see `naive_scale`) broadcasts against the truth, so that each series of
    a panel has its own. Where it is 0 or NaN the score is not defined, and these are left out.
    """
    usable = np.broadcast_to(np.isfinite(scale) & (np.asarray(scale) > 0), np.shape(truth))
    error = np.abs(truth - forecast) / _nonzero(np.asarray(scale, dtype=np.float64))
    return _mean_where_known(np.where(usable, truth, np.nan), error, axis)


def naive_scale(history_TC: np.ndarray, period: int = 1) -> np.ndarray:
    """Return `mean |y(t) - y(t - period)|` of each column of a training span, MASE's unit, `(C,)`.

    NaN for a span that is not longer than a period.
    """
    history_TC = np.asarray(history_TC, dtype=np.float64)
    if len(history_TC) <= period:
        return np.full(history_TC.shape[1], np.nan)
    return mae(history_TC[period:], history_TC[:-period], axis=0)


def pinball(
    truth: np.ndarray, forecast_Q: np.ndarray, quantiles: Sequence[float], axis: Axis = None
) -> np.ndarray:
    """Return the quantile loss `mean max(q (y - f), (q - 1) (y - f))` (Koenker & Bassett 1978).

    `forecast_Q` has the shape of `truth` and a last axis of quantiles, over which the mean is
    taken as well. For the median alone it is half the mean absolute error.
    """
    error_Q = truth[..., None] - forecast_Q
    loss_Q = np.maximum(np.asarray(quantiles) * error_Q, (np.asarray(quantiles) - 1) * error_Q)
    return _mean_where_known(truth, loss_Q.mean(axis=-1), axis)


def coverage(
    truth: np.ndarray, forecast_Q: np.ndarray, quantiles: Sequence[float], axis: Axis = None
) -> np.ndarray:
    """Return the share of truths from the lowest to the highest quantile's forecast, both included.

    It should come near the difference of these quantiles: 0.8 for 0.1 and 0.9.
    """
    low, high = int(np.argmin(quantiles)), int(np.argmax(quantiles))
    inside = (forecast_Q[..., low] <= truth) & (truth <= forecast_Q[..., high])
    return _mean_where_known(truth, inside.astype(np.float64), axis)


def quantile_coverage(truth: np.ndarray, forecast_Q: np.ndarray, axis: Axis = None) -> np.ndarray:
    """Return the share of truths at or below each quantile's forecast, on a last axis of Q.

    It should come near each quantile itself.
    """
    shares = [
        _mean_where_known(truth, (truth <= forecast_Q[..., q]).astype(np.float64), axis)
        for q in range(forecast_Q.shape[-1])
    ]
    return np.stack(shares, axis=-1)


def score_table(
    truth_NKC: np.ndarray,
    forecast_NKC: np.ndarray,
    *,
    columns: Sequence[str],
    scale_NC: np.ndarray,
    quantiles: Sequence[float] | None = None,
    quantile_forecast_NKCQ: np.ndarray | None = None,
) -> list[Row]:
    """Return a row of scores for each target column and step; step 0 is all steps together.

    Keys: target, step, n, mae, rmse, mase, smape, and with quantiles pinball, coverage (with two
    quantiles or more) and quantile_coverage (by quantile). A score that is not defined is None.

    Args:
        truth_NKC: what came, NaN where it is not known yet.
        forecast_NKC: the forecasts.
        columns: the C targets' names.
        scale_NC: MASE's unit for each origin's series, `(N, C)`, or `(C,)` for a single series.
        quantiles: the Q quantiles forecast, if any.
        quantile_forecast_NKCQ: their forecasts.

    Raises:
        ValueError: a forecast is not finite where the truth is known, or shapes differ.
    """
    if truth_NKC.shape != forecast_NKC.shape or truth_NKC.shape[2] != len(columns):
        raise ValueError(
            f"shapes differ: truth {truth_NKC.shape}, forecast {forecast_NKC.shape}, "
            f"{len(columns)} columns"
        )
    if not np.isfinite(forecast_NKC[~np.isnan(truth_NKC)]).all():
        raise ValueError("a forecast is not finite where the truth is known")
    N, K, C = truth_NKC.shape
    scale_NKC = np.broadcast_to(np.atleast_2d(scale_NC)[:, None, :], (N, K, C))
    rows = []
    for c, column in enumerate(columns):
        for step in range(K + 1):
            at = np.s_[:, slice(None) if step == 0 else slice(step - 1, step), c]
            truth, forecast = truth_NKC[at], forecast_NKC[at]
            row: Row = {
                "target": column,
                "step": step,
                "n": int((~np.isnan(truth)).sum()),
                "mae": _plain(mae(truth, forecast)),
                "rmse": _plain(rmse(truth, forecast)),
                "mase": _plain(mase(truth, forecast, scale_NKC[at])),
                "smape": _plain(smape(truth, forecast)),
            }
            if quantiles is not None and quantile_forecast_NKCQ is not None:
                row |= _quantile_scores(truth, quantile_forecast_NKCQ[at], quantiles)
            rows.append(row)
    return rows


def _quantile_scores(truth: np.ndarray, forecast_Q: np.ndarray, quantiles: Sequence[float]) -> Row:
    row: Row = {"pinball": _plain(pinball(truth, forecast_Q, quantiles))}
    if len(quantiles) > 1:
        row["coverage"] = _plain(coverage(truth, forecast_Q, quantiles))
    shares = quantile_coverage(truth, forecast_Q)
    row["quantile_coverage"] = {
        f"{q:g}": _plain(share) for q, share in zip(quantiles, shares, strict=True)
    }
    return row


def noise_probability(
    model_NK: np.ndarray, baseline_NK: np.ndarray, times_N: np.ndarray | None = None
) -> float:
    """Return how probable so large a difference of mean errors is if neither forecast is better.

    The two-sided test of Diebold & Mariano (1995) on the difference of the errors at each origin.
    Origins overlap and errors come in spells; the variance of their mean is therefore taken from
    the slowest cosines of the differences (Lazarus, Lewis, Stock & Watson 2018), which keeps the
    test honest for few origins, with as many degrees of freedom as cosines. NaN if fewer than two
    cosines are slow enough: too few origins to tell.

    Args:
        model_NK: the model's absolute errors (or another loss) by origin, in time order, and step;
            NaN where the truth is not known.
        baseline_NK: the baseline's for the same origins and steps.
        times_N: the origins' times. A panel's series share their times and their shocks, so
            origins of the same time count as one; None if each origin has its own.
    """
    difference_NK = model_NK - baseline_NK
    difference_N = _mean_where_known(difference_NK, difference_NK, 1)
    known_N = ~np.isnan(difference_N)
    difference_N = difference_N[known_N]
    if times_N is not None:
        _, at = np.unique(np.asarray(times_N)[known_N], return_inverse=True)
        difference_N = np.bincount(at, difference_N) / np.bincount(at)
    n, horizon = len(difference_N), model_NK.shape[1]
    # A cosine must swing slower than the windows of neighbouring origins overlap.
    freedom = int(min(0.4 * n ** (2 / 3), n / (2 * horizon)))
    if freedom < 2:
        return float("nan")
    # The products with cos(pi j (t + 1/2) / n): the cosines themselves would be n^(5/3) numbers.
    turned_J = np.exp(-0.5j * np.pi * np.arange(1, freedom + 1) / n)
    product_J = (np.fft.rfft(difference_N, 2 * n)[1 : freedom + 1] * turned_J).real
    variance = 2 / n**2 * float((product_J**2).mean())
    mean = float(difference_N.mean())
    # Rounding alone is left of differences that are all the same: they are certain, or nothing.
    if variance <= 1e-24 * mean**2:
        return 0.0 if mean else 1.0
    return _student_tails(mean / variance**0.5, freedom)


def _student_tails(t: float, freedom: int) -> float:
    """Return the probability beyond ±t of Student's distribution, which is cos^(freedom - 1)."""
    start, middles = np.arctan(abs(t) / freedom**0.5), (np.arange(20_000) + 0.5) / 20_000
    tail = (np.pi / 2 - start) * np.cos(start + (np.pi / 2 - start) * middles) ** (freedom - 1)
    return float(tail.mean() / (np.pi / 2 * np.cos(np.pi / 2 * middles) ** (freedom - 1)).mean())


def best_baseline(
    scores: Iterable[Row], *, split: str, target: str, metric: str = "mae"
) -> Row | None:
    """Return the all-steps row of the baseline that errs least, or None if there is none."""
    rows = _overall(scores, split, target, metric, "baseline")
    return min(rows, key=lambda row: row[metric], default=None)


def verdict(
    scores: Sequence[Row],
    metric: str = "mae",
    *,
    noise: Mapping[tuple[str, str], float] | None = None,
) -> str:
    """Say in plain words whether the model beats the best baseline, on each span scored.

    Args:
        scores: rows of `score_table` with `split`, `forecaster` and `kind` ("model", "baseline").
        metric: the score to compare by; smaller is better.
        noise: `noise_probability` of model and best baseline by (split, target), where known.

    Returns:
        A sentence for each span and target, one for all if there are more than three targets;
        empty without a model's and a baseline's score.
    """
    targets = list(dict.fromkeys(row["target"] for row in scores))
    sentences = []
    for split in SPLITS:
        pairs = [
            (model, best, (noise or {}).get((split, target)))
            for target in targets
            if (best := best_baseline(scores, split=split, target=target, metric=metric))
            for model in _overall(scores, split, target, metric, "model")
        ]
        if len(targets) > MANY_TARGETS:
            sentences += _summary(pairs, split, metric)
        else:
            sentences += [_sentence(*pair, metric, len(targets) > 1) for pair in pairs]
    return " ".join(sentences)


def _overall(scores: Iterable[Row], split: str, target: str, metric: str, kind: str) -> list[Row]:
    return [
        row
        for row in scores
        if (row["split"], row["target"], row["kind"], row["step"]) == (split, target, kind, 0)
        and row.get(metric) is not None
    ]


def _sentence(model: Row, best: Row, noise: float | None, metric: str, name_target: bool) -> str:
    ours, theirs = model[metric], best[metric]
    about = f" for {model['target']}" if name_target else ""
    subject = (
        f"On the {SPLITS[model['split']]} {model['forecaster']}'s {METRICS[metric]}{about} "
        f"of {_number(ours)}"
    )
    doubt = "" if noise is None or noise <= NOISE else f"within noise (p = {noise:.2f})"
    if noise is not None and noise != noise:
        doubt = "not to be told from chance, with so few origins"
    gain = 1 - ours / theirs if theirs else 0.0
    if ours >= theirs:
        rest = ": they are equal" if ours == theirs else f": the difference is {doubt}"
        known = ours == theirs or doubt
        return (
            f"{subject} does not beat the best baseline, {best['forecaster']} "
            f"({_number(theirs)}){rest if known else ''}."
        )
    doubt = f", but that is {doubt}" if doubt else ""
    if gain < HARDLY:
        return (
            f"{subject} hardly beats the best baseline, {best['forecaster']} "
            f"({_number(theirs)}): by {_percent(gain)}{doubt}."
        )
    return (
        f"{subject} beats the best baseline, {best['forecaster']} with {_number(theirs)}, "
        f"by {_percent(gain)}{doubt}."
    )


def _summary(pairs: list[tuple[Row, Row, float | None]], split: str, metric: str) -> list[str]:
    sentences = []
    for name in dict.fromkeys(model["forecaster"] for model, _, _ in pairs):
        own = [pair for pair in pairs if pair[0]["forecaster"] == name]
        groups: dict[str, list[str]] = {"beats": [], "hardly beats": [], "does not beat": []}
        for model, best, _ in own:
            ours, theirs = model[metric], best[metric]
            clear = ours <= (1 - HARDLY) * theirs
            word = "does not beat" if ours >= theirs else "beats" if clear else "hardly beats"
            groups[word].append(model["target"])
        words = [
            f"{word} the best baseline for {len(found)} of {len(own)} targets"
            + (f" ({', '.join(found)})" if word != "beats" else "")
            for word, found in groups.items()
            if found
        ]
        sentences.append(f"On the {SPLITS[split]} {name}'s {METRICS[metric]} {', '.join(words)}.")
    return sentences


def _mean_where_known(truth: np.ndarray, values: np.ndarray, axis: Axis) -> np.ndarray:
    known = ~np.isnan(truth)
    n = known.sum(axis=axis)
    total = np.where(known, values, 0.0).sum(axis=axis)
    return np.where(n > 0, total / np.maximum(n, 1), np.nan)


def _nonzero(x: np.ndarray) -> np.ndarray:
    return np.where(x == 0, 1.0, x)


def _plain(x: np.ndarray) -> float | None:
    """Return a plain number, which JSON can hold, or None for one that is not defined."""
    return float(x) if np.isfinite(x) else None


def _number(x: float) -> str:
    return f"{x:,.0f}" if abs(x) >= 1000 else f"{x:.4g}"


def _percent(share: float) -> str:
    return f"{100 * share:.0f}%" if share >= 0.1 else f"{100 * share:.2g}%"
