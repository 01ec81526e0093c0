"""What every job's `evaluate` returns, as `Model`, the command line and the report read it."""

from __future__ import annotations

from typing import Any, Protocol

import polars as pl


class Evaluation(Protocol):
    """Scores of a model and of its baselines, and the answers behind them."""

    scores: list[dict[str, Any]]
    """Rows as in model.json: split, forecaster, kind (model or baseline), target, n, metrics."""
    notes: list[str]
    """What was left out, or stands for something else."""

    @property
    def samples(self) -> dict[str, Any] | None:
        """What samples.json holds, for a job whose report shows examples."""
        ...

    @property
    def verdict(self) -> str:
        """Whether the model beats the best baseline, in words."""
        ...

    def frame(self) -> pl.DataFrame:
        """Return the rows of predictions.csv."""
        ...
