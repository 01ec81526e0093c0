"""The registry of scores: what each is called, which way is better, and how it is written.

Scores rows, tables, verdicts and pages take names, order and direction from here.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Metric:
    """One score.

    Attributes:
        label: what tables and sentences call it.
        better: which way is better; "neither" of one that should come near a share asked for.
        form: "percent" for a share that is kept as a fraction, "number" for all else.
        decimals: of a percentage.
    """

    label: str
    better: Literal["higher", "lower", "neither"]
    form: Literal["percent", "number"] = "number"
    decimals: int = 1

    def write(self, value: float | None) -> str:
        """Return a score for people: 88.9%; 0.2213; a dash for one that is not defined."""
        if value is None or not math.isfinite(value):
            return "-"
        if self.form == "number":
            return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4g}"
        # Of a share close to all, what is missing counts: 99.96% is not 100.0%.
        close = self.decimals > 0 and 0.99 < value < 1
        return f"{100 * value:.{self.decimals + close}f}%"


METRICS: dict[str, Metric] = {
    "accuracy": Metric("accuracy", "higher", "percent"),
    "exact": Metric("exact match", "higher", "percent"),
    "macro_f1": Metric("macro F1", "higher", "percent"),
    "sentence_accuracy": Metric("sentence accuracy", "higher", "percent"),
    "roc_auc": Metric("ROC AUC", "higher"),
    "log_loss": Metric("log loss", "lower"),
    "calibration": Metric("calibration error", "lower", "percent"),
    "bleu": Metric("BLEU", "higher"),
    "chrf": Metric("chrF", "higher"),
    "wer": Metric("WER", "lower", "percent"),
    "cer": Metric("CER", "lower", "percent"),
    "perplexity": Metric("perplexity", "lower"),
    "bits": Metric("bits a character", "lower"),
    "nats": Metric("nats", "lower"),
    "mae": Metric("MAE", "lower"),
    "rmse": Metric("RMSE", "lower"),
    "mase": Metric("MASE", "lower"),
    "smape": Metric("sMAPE", "lower"),
    "pinball": Metric("pinball loss", "lower"),
    "r2": Metric("R²", "higher"),
    "correlation": Metric("correlation", "higher"),
    "coverage": Metric("coverage", "neither", "percent", decimals=0),
}
"""By key of a score row, in the order of a table's columns."""
