"""Run folders as read: whole, short, damaged."""

from __future__ import annotations

import json

import numpy as np
import pytest

from elman.errors import InputError
from elman.report import read_run
from elman.report.run_data import parse_moment

HEAD = "split,group,origin,step,time,target,truth,forecast,baseline\n"


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "config.yaml").write_text("horizon: 2\ntarget: forecast:a,b\n")
    return tmp_path


def test_a_whole_run(tmp_path, makers):
    run = read_run(makers["fortnight"]().write(tmp_path / "run"))
    assert run.notes == []
    assert (run.name, run.targets, run.horizon) == ("lstm", ["bus", "rail"], 14)
    assert (run.splits, run.groups) == (["valid", "test"], [""])
    assert run.quantiles == [(0.1, "q0.1"), (0.5, "q0.5"), (0.9, "q0.9")]
    assert run.metrics["epoch"].tolist() == list(range(1, 41))
    assert run.baseline_name("valid", "rail") == "seasonal naive (7 days)"
    rows = run.rows("valid", "bus", step=14)
    assert rows.height == 125 - 14 + 1
    assert (rows["time"] - rows["origin"]).dt.total_days().unique().to_list() == [14]


def test_spans_reach_to_the_next(tmp_path, makers):
    run = read_run(makers["single"]().write(tmp_path / "run"))
    ends = [(s.name, str(s.start)[:10], str(s.stop)[:10]) for s in run.spans]
    assert ends == [
        ("train", "2001-01-01", "2002-08-24"),
        ("valid", "2002-08-24", "2003-01-21"),
        ("test", "2003-01-21", "2003-06-19"),
    ]


def test_groups_are_ranked_relative_to_the_baseline(tmp_path, makers):
    run = read_run(makers["panel"]().write(tmp_path / "run"))
    ranked = run.by_group("valid", "sales")
    part = run.rows("valid", "sales", "shop 05")
    mae = np.abs(part["truth"].to_numpy() - part["forecast"].to_numpy()).mean()
    other = np.abs(part["truth"].to_numpy() - part["baseline"].to_numpy()).mean()
    row = ranked.row(ranked["group"].to_list().index("shop 05"), named=True)
    assert (row["mae"], row["ratio"]) == pytest.approx((mae, mae / other))
    assert ranked["ratio"].is_sorted()
    assert [why for _, why in run.shown_groups("valid", "sales")] == ["best", "median", "worst"]
    assert run.shown_groups("valid", "sales")[-1][0] == ranked["group"][-1]


def test_a_stopped_run_says_what_is_missing(tmp_path, makers):
    run = read_run(makers["aborted"](tmp_path / "run"))
    assert run.notes == [
        "model.json is absent: the run has not finished, so there are no scores.",
        "metrics.jsonl: 1 unreadable line(s) were left out.",
        "predictions.csv is absent: there are no forecasts to show.",
    ]
    assert run.metrics["epoch"].tolist() == [1]
    assert run.targets == ["rail"]


def test_a_resumed_epoch_counts_once_and_last(folder):
    lines = [{"epoch": 1, "valid_loss": 3.0}, {"epoch": 2, "valid_loss": 2.0}]
    lines += [{"epoch": 2, "valid_loss": 1.0}, {"epoch": 3, "valid_loss": None}]
    (folder / "metrics.jsonl").write_text("\n".join(json.dumps(line) for line in lines))
    metrics = read_run(folder).metrics
    assert metrics["epoch"].tolist() == [1, 2, 3]
    assert metrics["valid_loss"][:2].tolist() == [3.0, 1.0]
    assert np.isnan(metrics["valid_loss"][2])


def test_a_torn_row_is_left_out_and_counted(folder):
    rows = "test,,5,1,6,a,1.0,2.0,3.0\ntest,,5,2,7,a,,2.5,3.5\ntest,,6,1,7,a,nan,inf,1\ntest,,6"
    (folder / "predictions.csv").write_text(HEAD + rows)
    run = read_run(folder)
    assert "predictions.csv: 2 unreadable row(s) were left out." in run.notes
    assert run.predictions is not None
    assert run.predictions["time"].to_list() == [6, 7]
    assert run.rows("test", "a")["step"].to_list() == [1]


@pytest.mark.parametrize(
    ("text", "note"),
    [
        ("", "predictions.csv cannot be read"),
        (HEAD, "predictions.csv holds no forecast."),
        ("split,group\ntest,\n", "predictions.csv lacks origin, step, time, target"),
    ],
)
def test_useless_predictions_are_noted(folder, text, note):
    (folder / "predictions.csv").write_text(text)
    run = read_run(folder)
    assert run.predictions is None
    assert any(line.startswith(note) for line in run.notes)


def test_times_that_are_none_are_numbered(folder):
    rows = "test,,mon,1,tue,a,1,2,3\ntest,,tue,1,wed,a,1,2,3\n"
    (folder / "predictions.csv").write_text(HEAD + rows)
    frame = read_run(folder).predictions
    assert frame is not None
    assert (frame["time"].to_list(), frame["origin"].to_list()) == ([1, 2], [0, 1])


def test_parse_moment():
    day = np.datetime64("2001-02-03", "us")
    assert parse_moment("2001-02-03") == parse_moment("2001-02-03T00:00:00Z") == day
    assert parse_moment("2001-02-03 04:05:06.5") == np.datetime64("2001-02-03T04:05:06.5", "us")
    assert (parse_moment(12), parse_moment("12"), parse_moment("soon")) == (12, 12, None)
    assert parse_moment(None) is None


def test_what_is_no_run_is_refused(tmp_path):
    with pytest.raises(InputError, match="no such run folder"):
        read_run(tmp_path / "absent")
    with pytest.raises(InputError, match=r"neither model\.json nor config\.yaml"):
        read_run(tmp_path)


def test_damaged_files_are_named_with_the_line(folder):
    (folder / "model.json").write_text('{\n "format": 1,\n "scores": [')
    with pytest.raises(InputError, match=r"model\.json, line 3: not valid JSON"):
        read_run(folder)
    (folder / "model.json").write_text("[1]")
    with pytest.raises(InputError, match="expected a JSON object, got list"):
        read_run(folder)
    (folder / "model.json").unlink()
    (folder / "config.yaml").write_text("a: [1")
    with pytest.raises(InputError, match=r"config\.yaml: not valid YAML"):
        read_run(folder)
