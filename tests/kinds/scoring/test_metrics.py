"""The registry of scores."""

from __future__ import annotations

import math

import pytest

from elman.kinds.scoring import forecasts as scores
from elman.kinds.scoring.metrics import METRICS, Metric


@pytest.mark.parametrize(
    ("key", "value", "written"),
    [
        ("accuracy", 0.88948, "88.9%"),
        ("accuracy", 0.9996, "99.96%"),
        ("accuracy", 1.0, "100.0%"),
        ("accuracy", 0.0, "0.0%"),
        ("wer", 1.25, "125.0%"),
        ("coverage", 0.8125, "81%"),
        ("log_loss", 0.26034, "0.2603"),
        ("perplexity", 114.53, "114.5"),
        ("mae", 22062.4, "22,062"),
        ("mae", 1.2e-7, "1.2e-07"),
        ("r2", -0.25, "-0.25"),
        ("accuracy", None, "-"),
        ("mae", math.nan, "-"),
    ],
)
def test_a_value_is_written_for_people(key: str, value: float | None, written: str) -> None:
    assert METRICS[key].write(value) == written


def test_every_metric_says_which_way_is_better() -> None:
    higher = {key for key, metric in METRICS.items() if metric.better == "higher"}
    assert higher == {
        *("accuracy", "exact", "macro_f1", "sentence_accuracy", "roc_auc", "bleu", "chrf"),
        *("r2", "correlation"),
    }
    assert [key for key, metric in METRICS.items() if metric.better == "neither"] == ["coverage"]


def test_labels_are_unique_and_forecasts_use_them() -> None:
    labels = [metric.label for metric in METRICS.values()]
    assert len(set(labels)) == len(labels)
    assert all(METRICS[key].label == label for key, label in scores.METRICS.items())
    assert list(scores.METRICS.values()) == ["MAE", "RMSE", "MASE", "sMAPE", "pinball loss"]


def test_a_metric_cannot_be_changed() -> None:
    with pytest.raises(AttributeError):
        Metric("x", "lower").label = "y"  # pyright: ignore
