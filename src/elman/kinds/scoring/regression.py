"""Scores of numbers, and reading them: shared by `number` and `score`.

Legend: R rows.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from elman.errors import BadCellError

MOST_POINTS = 2000


def as_number(cell: Any) -> float:
    """Return the number in a cell.

    Raises:
        BadCellError: there is none, or one that is not finite.
    """
    if cell is None or (isinstance(cell, str) and not cell.strip()):
        raise BadCellError("the cell is empty; expected a number; fill it in")
    try:
        value = float(cell)
    except (TypeError, ValueError):
        value = math.nan
    if not math.isfinite(value):
        raise BadCellError(f"expected a number, got {str(cell)[:40]!r}; correct it")
    return value


def number_scores(truth_R: np.ndarray, answer_R: np.ndarray) -> dict[str, float | None]:
    """Return MAE, RMSE, R² and Pearson's correlation; None where one is not defined."""
    if not len(truth_R):
        return dict.fromkeys(("mae", "rmse", "r2", "correlation"))
    error_R = answer_R - truth_R
    spread = float(((truth_R - truth_R.mean()) ** 2).sum())
    return {
        "mae": float(np.abs(error_R).mean()),
        "rmse": float(np.sqrt((error_R**2).mean())),
        "r2": 1 - float((error_R**2).sum()) / spread if spread > 0 else None,
        "correlation": _correlation(truth_R, answer_R),
    }


def _correlation(a_R: np.ndarray, b_R: np.ndarray) -> float | None:
    # Of answers that are all alike rounding alone is left, which correlates with anything.
    if any(np.ptp(x_R) <= 1e-12 * np.abs(x_R).max() for x_R in (a_R, b_R)):
        return None
    return float(np.corrcoef(a_R, b_R)[0, 1])


def scatter(truth_R: np.ndarray, answer_R: np.ndarray) -> list[list[float]]:
    """Return truth and answer of each row, or of `MOST_POINTS` evenly spaced ones, for a page."""
    at = np.unique(np.linspace(0, len(truth_R) - 1, min(len(truth_R), MOST_POINTS)).astype(int))
    return [
        [float(f"{value:.6g}") for value in pair]
        for pair in zip(truth_R[at], answer_R[at], strict=True)
    ]
