"""The table of scores on the terminal."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from elman.cli import scores
from elman.kinds.targets.scores import METRICS


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
    assert lines[0] == [METRICS["mae"], METRICS["rmse"], METRICS["smape"]]
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
