"""Scores of classes: right or wrong, by class, and how far probabilities can be believed.

Legend: N answers, K classes. Probabilities are in float64; a truth is a class's place, or with
several classes an answer 0 or 1 for each class.
"""

from __future__ import annotations

from typing import Any

import numpy as np

BINS = 15
MOST_IN_CONFUSION = 100  # beyond, the table is neither read by anybody nor small


def log_softmax(output_NK: np.ndarray) -> np.ndarray:
    """Return log probabilities of exclusive classes from logits, in float64."""
    logits_NK = np.asarray(output_NK, dtype=np.float64)
    logits_NK = logits_NK - logits_NK.max(axis=1, keepdims=True)
    return logits_NK - np.log(np.exp(logits_NK).sum(axis=1, keepdims=True))


def log_sigmoid(output_NK: np.ndarray) -> np.ndarray:
    """Return log probabilities of independent classes from logits, in float64."""
    return -np.logaddexp(0.0, -np.asarray(output_NK, dtype=np.float64))


def exclusive_scores(log_p_NK: np.ndarray, truth_N: np.ndarray) -> dict[str, float | None]:
    """Return the scores of one class an answer: accuracy, macro F1, ROC AUC, log loss, calibration.

    ROC AUC with more than two classes is the mean of each against the rest, over those that both
    occur and do not. The calibration error is the mean gap between confidence and accuracy over
    `BINS` bins of equal width (Naeini 2015, Guo 2017).
    """
    if not len(truth_N):
        return dict.fromkeys(("accuracy", "macro_f1", "roc_auc", "log_loss", "calibration"))
    p_NK, answer_N = np.exp(log_p_NK), log_p_NK.argmax(axis=1)
    right_N = answer_N == truth_N
    is_NK = truth_N[:, None] == np.arange(p_NK.shape[1])
    # Of two classes one against the other says it all.
    first = 1 if p_NK.shape[1] == 2 else 0
    return {
        "accuracy": float(right_N.mean()),
        "macro_f1": float(np.mean(_f1(truth_N, answer_N))),
        "roc_auc": _roc_auc(p_NK[:, first:], is_NK[:, first:]),
        "log_loss": float(-log_p_NK[np.arange(len(truth_N)), truth_N].mean()),
        "calibration": calibration_error(calibration_bins(p_NK.max(axis=1), right_N)),
    }


def several_scores(output_NK: np.ndarray, truth_NK: np.ndarray) -> dict[str, float | None]:
    """Return the scores of several classes an answer: exact match, macro F1, ROC AUC, log loss.

    A class is answered where its probability is above 0.5. The log loss is the mean over answers
    and classes.
    """
    if not len(truth_NK):
        return dict.fromkeys(("exact", "macro_f1", "roc_auc", "log_loss"))
    is_NK, answer_NK = truth_NK > 0, output_NK > 0
    log_p_NK = np.where(is_NK, log_sigmoid(output_NK), log_sigmoid(-output_NK))
    f1_K = _f1(is_NK, answer_NK)
    # As with one class an answer, a class that neither occurs nor is answered has no part in it.
    f1 = f1_K[(is_NK | answer_NK).any(axis=0)]
    return {
        "exact": float((is_NK == answer_NK).all(axis=1).mean()),
        "macro_f1": float(f1.mean()) if len(f1) else None,
        "roc_auc": _roc_auc(output_NK, is_NK),
        "log_loss": float(-log_p_NK.mean()),
    }


def _f1(truth: np.ndarray, answer: np.ndarray) -> np.ndarray:
    """Return F1 of each class that occurs or is answered; of 0/1 columns, of every column."""
    from sklearn.metrics import f1_score

    # Its stub knows of strings only.
    return np.asarray(f1_score(truth, answer, average=None, zero_division=0))  # pyright: ignore


def _roc_auc(score_NK: np.ndarray, is_NK: np.ndarray) -> float | None:
    from sklearn.metrics import roc_auc_score

    share_K = is_NK.mean(axis=0)
    defined = np.flatnonzero((share_K > 0) & (share_K < 1))
    areas = [roc_auc_score(is_NK[:, k], score_NK[:, k]) for k in defined]
    return float(np.mean(areas)) if areas else None


def calibration_bins(confidence_N: np.ndarray, right_N: np.ndarray) -> list[dict[str, Any]]:
    """Return mean confidence, accuracy and n of each bin of confidence that is not empty."""
    # A bin holds its upper edge: (0, 1/15], (1/15, 2/15], ...
    bin_N = np.clip(np.ceil(confidence_N * BINS).astype(int) - 1, 0, BINS - 1)
    return [
        {
            "confidence": float(confidence_N[at].mean()),
            "accuracy": float(right_N[at].mean()),
            "n": int(at.sum()),
        }
        for place in range(BINS)
        if (at := bin_N == place).any()
    ]


def calibration_error(bins: list[dict[str, Any]]) -> float:
    """Return the expected calibration error: the bins' mean |accuracy - confidence|, by size."""
    gaps = sum(part["n"] * abs(part["accuracy"] - part["confidence"]) for part in bins)
    return gaps / sum(part["n"] for part in bins)


def exclusive_details(
    names: tuple[str, ...], log_p_NK: np.ndarray, truth_N: np.ndarray
) -> dict[str, Any]:
    """Return what the report draws of one class an answer.

    The confusion matrix is empty where there are more than `MOST_IN_CONFUSION` classes.
    """
    answer_N, K = log_p_NK.argmax(axis=1), len(names)
    counts_KK = np.bincount(truth_N * K + answer_N, minlength=K * K).reshape(K, K)
    return {
        "classes": list(names),
        "confusion": counts_KK.tolist() if K <= MOST_IN_CONFUSION else [],
        "per_class": _per_class(
            names, counts_KK.diagonal(), counts_KK.sum(axis=0), counts_KK.sum(axis=1)
        ),
        "calibration": calibration_bins(np.exp(log_p_NK.max(axis=1)), answer_N == truth_N),
        "multi_label": False,
    }


def several_details(
    names: tuple[str, ...], output_NK: np.ndarray, truth_NK: np.ndarray
) -> dict[str, Any]:
    """Return what the report draws of several classes an answer: there is no confusion matrix.

    Calibration is that of each class's own probability: how often it is there, not how often the
    answer is right.
    """
    is_NK, answer_NK = truth_NK > 0, output_NK > 0
    p_NK = np.exp(log_sigmoid(output_NK))
    return {
        "classes": list(names),
        "confusion": [],
        "per_class": _per_class(
            names, (is_NK & answer_NK).sum(axis=0), answer_NK.sum(axis=0), is_NK.sum(axis=0)
        ),
        "calibration": calibration_bins(p_NK.ravel(), is_NK.ravel()),
        "multi_label": True,
    }


def _per_class(
    names: tuple[str, ...], hit_K: np.ndarray, answered_K: np.ndarray, there_K: np.ndarray
) -> list[dict[str, Any]]:
    """Return precision, recall, F1 (0 where there is nothing to divide by) and n of each class."""
    precision_K = hit_K / np.maximum(answered_K, 1)
    recall_K = hit_K / np.maximum(there_K, 1)
    f1_K = 2 * hit_K / np.maximum(answered_K + there_K, 1)
    return [
        {
            "class": name,
            "precision": float(precision_K[k]),
            "recall": float(recall_K[k]),
            "f1": float(f1_K[k]),
            "n": int(there_K[k]),
        }
        for k, name in enumerate(names)
    ]
