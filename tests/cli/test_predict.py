"""`elman predict`, `evaluate` and `report`: what they say, checked against numbers of its own."""

from __future__ import annotations

import json
import shlex
from io import StringIO

import numpy as np
import polars as pl
import pytest
from safetensors.numpy import load_file

from elman.model import Model

AHEAD = pl.DataFrame(
    {
        "date": ["2020-06-04", "2020-06-05"],
        "rides": [None, None],
        "rain": [None, None],
        "day_type": ["weekday", "weekend"],
    },
    schema={"date": pl.String, "rides": pl.Float64, "rain": pl.Float64, "day_type": pl.String},
)


def as_text(frame: pl.DataFrame) -> pl.DataFrame:
    return frame.with_columns(pl.col("date").cast(pl.String))


@pytest.fixture
def with_future(tmp_path, weekly_frame):
    """The table, followed by two days of which only the day type is known."""
    path = tmp_path / "ahead.csv"
    pl.concat([as_text(weekly_frame), AHEAD]).write_csv(path)
    return path


def read(text: str) -> pl.DataFrame:
    return pl.read_csv(StringIO(text), infer_schema_length=None)


def test_forecasts_the_two_days_that_follow(elman, trained, with_future):
    outcome = elman("predict", trained / "run", with_future)
    assert outcome.status == 0, outcome.err
    frame = read(outcome.out)
    assert frame.columns == ["origin", "step", "time", "target", "forecast"]
    assert frame["origin"].to_list() == ["2020-06-03"] * 2
    assert frame["time"].to_list() == ["2020-06-04", "2020-06-05"]
    assert frame["step"].to_list() == [1, 2]
    assert frame.equals(Model.load(trained / "run").predict(with_future))


def test_agrees_with_the_equations_on_the_last_window(elman, trained, with_future, weekly_frame):
    """The network's answer worked out by hand, from nothing but the files of the run."""
    learnt = json.loads((trained / "run/model.json").read_text())["learnt"]
    W = {k: v.astype(np.float64) for k, v in load_file(trained / "run/model.safetensors").items()}
    ((shift, scale),) = learnt["inputs"]["scaling"]["values"].values()
    ((target_shift, target_scale),) = learnt["target"]["scaling"]["values"].values()
    rows = pl.concat([as_text(weekly_frame), AHEAD]).tail(12)
    numbers = (rows.select("rides", "rain").to_numpy().astype(float) - shift) / scale
    day = rows["day_type"].to_numpy()
    types = np.stack([day == "weekday", day == "weekend"], axis=1).astype(float)
    h = np.zeros(4)
    for t in range(10):
        x = np.concatenate([numbers[t], types[t], types[t + 1], types[t + 2]])
        gates_x = W["recurrent.weight_ih_l0"] @ x + W["recurrent.bias_ih_l0"]
        gates_h = W["recurrent.weight_hh_l0"] @ h + W["recurrent.bias_hh_l0"]
        r, z = (1 / (1 + np.exp(-(gates_x[i] + gates_h[i]))) for i in (slice(4), slice(4, 8)))
        n = np.tanh(gates_x[8:] + r * gates_h[8:])
        h = (1 - z) * n + z * h
    answer = W["head.weight"] @ h + W["head.bias"]
    last = (weekly_frame["rides"][-1] - target_shift[0]) / target_scale[0]  # --relative last
    expected = (answer + last) * target_scale[0] + target_shift[0]
    forecast = read(elman("predict", trained / "run", with_future).out)["forecast"]
    np.testing.assert_allclose(forecast, expected, rtol=1e-6)


def test_writes_to_a_file_that_is_not_there_yet(elman, trained, with_future, tmp_path):
    out = tmp_path / "forecasts.csv"
    outcome = elman("predict", trained / "run", with_future, "--out", out)
    assert outcome.out == f"answers: {out}\n"
    assert out.read_text() == elman("predict", trained / "run", with_future).out
    refused = elman("predict", trained / "run", with_future, "--out", out)
    assert refused.status == 2
    assert refused.line.startswith(f"{out}: exists already")


def test_without_a_time_column_steps_are_row_numbers(
    elman, trained, weekly_frame, tmp_path, no_report
):
    table = tmp_path / "plain.csv"
    weekly_frame.select("rides").write_csv(table)
    options = shlex.split("--input series:rides --target forecast:rides --lookback 5 --horizon 3")
    run = tmp_path / "run"
    assert elman("fit", table, *options, "--epochs", 1, "--out", run).status == 0
    frame = read(elman("predict", run, table).out)
    assert frame["origin"].to_list() == [150] * 3
    assert frame["time"].to_list() == [151, 152, 153]


def test_a_panel_is_forecast_group_by_group(elman, weekly_frame, tmp_path, no_report):
    north = weekly_frame.select("date", "rides", station=pl.lit("north"))
    south = north.with_columns(station=pl.lit("south"), rides=2 * pl.col("rides")).head(140)
    pl.concat([north, south]).write_csv(tmp_path / "panel.csv")
    options = shlex.split("--input series:rides --target forecast:rides --time date")
    run = tmp_path / "run"
    fit = elman("fit", tmp_path / "panel.csv", *options, "--group", "station",
                "--lookback", 8, "--epochs", 1, "--hidden", 4, "--out", run)  # fmt: skip
    assert fit.status == 0, fit.err
    frame = read(elman("predict", run, tmp_path / "panel.csv").out)
    assert frame["group"].to_list() == ["north", "south"]
    assert frame["time"].to_list() == ["2020-06-04", "2020-05-25"]
    # A group alone is forecast as it was beside the other.
    south.write_csv(tmp_path / "south.csv")
    alone = read(elman("predict", run, tmp_path / "south.csv").out)
    assert alone["forecast"][0] == pytest.approx(frame["forecast"][1], rel=1e-6)


def test_evaluate_scores_every_step_of_the_table(elman, trained, tmp_path):
    out = tmp_path / "scored.csv"
    outcome = elman("evaluate", trained / "run", trained / "weekly.csv", "--out", out)
    assert outcome.status == 0, outcome.err
    # The observer hears what the model found, as in training.
    (line,) = outcome.err.splitlines()
    assert line.startswith("warning: weekly.csv: is the table that the model was trained on")
    frame = pl.read_csv(out)
    assert frame.height == (150 - 10 - 2 + 1) * 2
    mae = (frame["truth"] - frame["forecast"]).abs().mean()
    assert f"{mae:.4g}" in outcome.out
    assert "gru's MAE of" in outcome.out
    # Where the run scored the same origins, the forecasts are the same.
    test = pl.read_csv(trained / "run/predictions.csv").filter(pl.col("split") == "test")
    both = test.join(frame, on=["origin", "step", "target"], suffix="_here")
    assert both.height == test.height
    np.testing.assert_allclose(both["forecast_here"], both["forecast"], rtol=1e-6)


def test_evaluate_tells_of_categories_it_does_not_know(elman, trained, weekly_frame, tmp_path):
    new = pl.when(pl.col("date") > pl.date(2020, 6, 1)).then(pl.lit("holiday"))
    weekly_frame.with_columns(day_type=new.otherwise("day_type")).write_csv(tmp_path / "new.csv")
    outcome = elman("evaluate", trained / "run", tmp_path / "new.csv")
    assert outcome.status == 0
    (line,) = outcome.err.splitlines()
    assert line.startswith("warning: new.csv: column 'day_type': 'holiday' was not in the training")


class TestReport:
    def test_is_written_again(self, elman, own_run):
        before = (own_run / "report.html").read_text()
        (own_run / "report.html").unlink()
        outcome = elman("report", own_run)
        assert outcome.status == 0
        assert outcome.out == f"report: {own_run / 'report.html'}\n"
        assert (own_run / "report.html").read_text() == before

    def test_is_written_when_the_table_is_gone(self, elman, weekly, small, tmp_path, no_report):
        run = tmp_path / "run"
        assert elman("fit", weekly, *small, "--epochs", 1, "--out", run).status == 0
        weekly.unlink()
        (run / "report.html").unlink(missing_ok=True)
        outcome = elman("report", run)
        assert outcome.status == 0
        assert outcome.line.startswith(f"the page shows no raw series: {weekly}: no such file")

    def test_is_written_of_an_unfinished_run(self, elman, own_run):
        for name in ("model.json", "model.safetensors", "predictions.csv", "report.html"):
            (own_run / name).unlink()
        assert elman("report", own_run).status == 0
        assert (own_run / "report.html").is_file()
