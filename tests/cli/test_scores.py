"""The table of scores on the terminal."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from elman.cli import scores
from elman.kinds.scoring.metrics import METRICS


def row(name, mae, step=0, **more):
    kind = "model" if name == "gru" else "baseline"
    place = {"split": "test", "target": "x[0]", "step": step, "forecaster": name, "kind": kind}
    return place | {"mae": mae, "rmse": 2 * mae, "mase": None, "smape": 1.5} | more


@pytest.fixture
def printed(monkeypatch):
    def printed(rows) -> list[list[str]]:
        file = io.StringIO()
        monkeypatch.setattr(scores, "_CONSOLE", Console(file=file, width=200, color_system=None))
        scores.print_scores(rows)
        return [line.split() for line in file.getvalue().splitlines()]

    return printed


def test_tiny_errors_are_not_zero(printed):
    lines = printed([row("gru", 1.234e-14), row("last value", 0.25)])
    assert lines[0] == [METRICS[key].label for key in ("mae", "rmse", "smape")]
    assert lines[1] == ["test:", "x[0]"]
    assert lines[2] == ["gru", "1.234e-14", "2.468e-14", "1.500"]
    assert lines[3] == ["last", "value", "0.25", "0.5", "1.500"]


def test_coverage_is_a_share(printed):
    lines = printed([row("gru", 3.0, pinball=1.0, coverage=0.8125), row("last value", 4.0)])
    assert lines[0][-3:] == ["pinball", "loss", "coverage"]
    assert lines[2][-1] == "81%"
    assert lines[3][-1] == "-"


def test_each_step_has_its_error(printed):
    lines = printed([row("gru", 3.0), row("gru", 2.0, 1), row("gru", 4.5, 2)])
    assert lines[-2:] == [["MAE", "by", "step", "+1", "+2"], ["test:", "x[0]", "2", "4.5"]]


def test_every_kind_of_score_is_printed_as_people_write_it(printed):
    place = {"split": "train", "target": "label", "step": 0}
    gru = {"forecaster": "gru", "kind": "model", "accuracy": 0.88948, "log_loss": 0.26}
    usual = {"forecaster": "majority class", "kind": "baseline", "accuracy": 0.5, "log_loss": 0.69}
    lines = printed([place | gru | {"roc_auc": None}, place | usual])
    assert lines[0] == ["accuracy", "log", "loss"]
    assert lines[1] == ["training:", "label"]
    assert lines[2] == ["gru", "88.9%", "0.2600"]
    assert lines[3] == ["majority", "class", "50.0%", "0.6900"]


def test_scores_stand_in_the_registrys_order(printed):
    place = {"split": "test", "target": "en", "step": 0, "forecaster": "gru", "kind": "model"}
    lines = printed([place | {"perplexity": 7.25, "wer": 0.5, "bleu": 33.5, "exact": 0.125}])
    assert lines[0] == ["exact", "match", "BLEU", "WER", "perplexity"]
    assert lines[2] == ["gru", "12.5%", "33.50", "50.0%", "7.250"]
