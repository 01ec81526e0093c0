"""`elman fit`: from a table to a run folder, each of whose files is checked by value."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import yaml
from safetensors.numpy import load_file

import elman as package


def weights(run: Path) -> bytes:
    return (run / "model.safetensors").read_bytes()


def document(run: Path) -> dict:
    return json.loads((run / "model.json").read_text())


def input_size(run: Path) -> int:
    return load_file(run / "model.safetensors")["recurrent.weight_ih_l0"].shape[1]


def metrics(run: Path) -> list[dict]:
    """The lines of metrics.jsonl without what time took."""
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    return [{k: v for k, v in line.items() if "second" not in k} for line in lines]


@pytest.fixture
def fit(elman, tmp_path, no_report):
    def fit(table: Path, *arguments, out: str = "run") -> Path:
        outcome = elman("fit", table, *arguments, "--out", tmp_path / out)
        assert outcome.status == 0, outcome.err
        return tmp_path / out

    return fit


class TestTheRunFolder:
    def test_has_the_files_of_the_contract_and_no_other(self, trained):
        names = {path.name for path in (trained / "run").iterdir()}
        assert names == {
            "config.yaml", "model.safetensors", "model.json", "metrics.jsonl", "checkpoints",
            "predictions.csv", "report.html",
        }  # fmt: skip
        assert [p.name for p in (trained / "run/checkpoints").iterdir()] == ["last.safetensors"]

    def test_scores_are_those_of_the_predictions(self, trained, weekly_frame):
        scores = document(trained / "run")["scores"]
        frame = pl.read_csv(trained / "run/predictions.csv")
        rides = weekly_frame["rides"].to_numpy()
        # 150 days less twice 15%: 22.5, rounded up. MASE's unit is the naive error of a week.
        assert document(trained / "run")["data"]["spans"]["train"]["steps"] == 104
        scale = np.abs(rides[7:104] - rides[: 104 - 7]).mean()
        compared = 0
        for row in scores:
            if row["kind"] != "model":
                continue
            mine = frame.filter(pl.col("split") == row["split"])
            if row["step"]:
                mine = mine.filter(pl.col("step") == row["step"])
            y, f = mine["truth"].to_numpy(), mine["forecast"].to_numpy()
            assert row["n"] == len(y)
            assert row["mae"] == pytest.approx(np.abs(y - f).mean(), rel=1e-9)
            assert row["rmse"] == pytest.approx(np.sqrt(((y - f) ** 2).mean()), rel=1e-9)
            assert row["mase"] == pytest.approx(np.abs(y - f).mean() / scale, rel=1e-9)
            smape = 200 * (np.abs(y - f) / (np.abs(y) + np.abs(f))).mean()
            assert row["smape"] == pytest.approx(smape, rel=1e-9)
            compared += 1
        assert compared == 6  # two spans of all steps together, step 1 and step 2

    def test_predictions_hold_truth_times_and_the_best_baseline(self, trained, weekly_frame):
        frame = pl.read_csv(trained / "run/predictions.csv", try_parse_dates=True)
        assert frame.columns == [
            "split", "group", "origin", "step", "time", "target", "truth", "forecast", "baseline",
        ]  # fmt: skip
        days = (frame["time"] - frame["origin"]).dt.total_days()
        assert days.to_list() == frame["step"].to_list()
        by_day = dict(weekly_frame.select("date", "rides").iter_rows())
        assert [by_day[day] for day in frame["time"]] == frame["truth"].to_list()
        # A week in it: the value seven days before the day being forecast is the best naive one.
        week = pl.duration(days=7)
        before = [by_day[day] for day in frame.select(pl.col("time") - week).to_series()]
        assert before == frame["baseline"].to_list()
        # Every origin whose two steps ahead lie inside the span: 23 - 1 of each.
        assert frame.group_by("split").len().sort("split")["len"].to_list() == [44, 44]

    def test_metrics_have_one_line_an_epoch(self, trained):
        lines = metrics(trained / "run")
        assert [line["epoch"] for line in lines] == [1, 2]
        windows = 104 - 10 - 2 + 1
        assert [line["step"] for line in lines] == [-(-windows // 32), 2 * -(-windows // 32)]
        assert all(line["learning_rate"] == 0.001 for line in lines)
        training = document(trained / "run")["training"]
        best = min(lines, key=lambda line: line["valid_score"])
        assert training["epochs"] == 2
        assert training["best_epoch"] == best["epoch"]
        assert training["best_score"] == best["valid_score"]
        # The score that chose the weights is the MAE that is reported.
        row = next(r for r in document(trained / "run")["scores"] if r["split"] == "valid")
        assert row["mae"] == pytest.approx(best["valid_score"], rel=1e-5)

    def test_document_tells_of_the_data_and_the_network(self, trained):
        import hashlib

        about = document(trained / "run")
        table = trained / "weekly.csv"
        assert about["format"] == 1
        assert about["elman"] == package.__version__
        assert about["data"]["sha256"] == hashlib.sha256(table.read_bytes()).hexdigest()
        assert about["data"]["path"] == str(table.resolve())
        assert about["data"]["rows"] == 150
        assert about["data"]["step"] == "1 day"
        assert about["data"]["period"] == 7
        assert about["data"]["spans"]["test"] == {
            "from": "2020-05-12", "to": "2020-06-03", "steps": 23,
        }  # fmt: skip
        arrays = load_file(trained / "run/model.safetensors")
        assert about["network"]["parameters"] == sum(array.size for array in arrays.values())
        assert about["network"]["topology"] == "seq-to-seq"
        assert about["target"] == {
            "kind": "forecast", "columns": ["rides"], "horizon": 2, "quantiles": [],
            "headline": "mae",
        }  # fmt: skip
        assert about["weights_sha256"] == hashlib.sha256(weights(trained / "run")).hexdigest()
        assert about["verdict"].startswith("On the validation span gru's MAE of ")

    def test_scaling_is_that_of_the_training_span_alone(self, trained, weekly_frame):
        learnt = document(trained / "run")["learnt"]
        span = weekly_frame.head(104)
        ((shift, scale),) = learnt["inputs"]["scaling"]["values"].values()
        assert learnt["inputs"]["scaling"]["columns"] == ["rides", "rain"]
        assert shift == pytest.approx([span["rides"].mean(), span["rain"].mean()], rel=1e-12)
        assert scale == pytest.approx(
            [span["rides"].std(ddof=0), span["rain"].std(ddof=0)], rel=1e-12
        )

    def test_report_is_one_page_of_this_run(self, trained):
        page = (trained / "run/report.html").read_text()
        assert "weekly.csv" in page
        assert document(trained / "run")["data"]["sha256"][:12] in page
        assert "http://" not in page.replace("http://www.w3.org/", "")
        assert "<script src" not in page

    def test_its_configuration_trains_the_same_model_again(self, fit, elman, trained, tmp_path):
        run = trained / "run"
        again = tmp_path / "again"
        outcome = elman("fit", "--config", run / "config.yaml", "--out", again)
        assert outcome.status == 0, outcome.err
        assert weights(again) == weights(run)
        assert metrics(again) == metrics(run)
        assert (again / "predictions.csv").read_text() == (run / "predictions.csv").read_text()
        assert (again / "config.yaml").read_text() == (run / "config.yaml").read_text()

    def test_what_is_printed_names_scores_run_and_report(self, elman, weekly, small, tmp_path):
        outcome = elman("fit", weekly, *small, "--epochs", 1, "--out", tmp_path / "run")
        assert outcome.status == 0
        assert outcome.err == ""  # quiet where there is no terminal
        words = outcome.out.split()
        assert {"MAE", "RMSE", "MASE", "gru", "last", "seasonal"} <= set(words)
        assert document(tmp_path / "run")["verdict"] in outcome.out
        assert f"run:    {tmp_path / 'run'}" in outcome.out
        assert f"report: {tmp_path / 'run/report.html'}" in outcome.out
        assert (tmp_path / "run/report.html").is_file()


class TestWhatCanBeAsked:
    def test_columns_known_ahead_are_read_from_the_step_being_forecast(self, fit, weekly, small):
        run = fit(weekly, *small)
        learnt = document(run)
        # rides, rain and two day types now; two day types for each of two steps ahead.
        assert input_size(run) == 4 + 2 * 2
        assert learnt["learnt"]["inputs"]["known"] == ["day_type"]
        assert learnt["learnt"]["inputs"]["categories"] == {"day_type": ["weekday", "weekend"]}

    def test_several_inputs_and_targets(self, fit, weekly, small):
        run = fit(weekly, *small, "--target", "forecast:rides,rain")
        frame = pl.read_csv(run / "predictions.csv")
        assert frame["target"].unique(maintain_order=True).to_list() == ["rides", "rain"]
        for target in ("rides", "rain"):
            mine = frame.filter(pl.col("target") == target, pl.col("split") == "test")
            mae = (mine["truth"] - mine["forecast"]).abs().mean()
            row = next(
                r
                for r in document(run)["scores"]
                if (r["target"], r["split"], r["step"], r["kind"]) == (target, "test", 0, "model")
            )
            assert row["mae"] == pytest.approx(mae, rel=1e-9)
        assert frame.filter(pl.col("target") == "rain")["truth"].max() <= 10

    def test_category_input_alone(self, fit, weekly, small, reading):
        run = fit(weekly, *reading(small, "series:rides,day_type"), "--known", "")
        assert input_size(run) == 3

    def test_quantiles_are_in_order_and_scored_with_coverage(self, fit, weekly, small):
        run = fit(weekly, *small, "--quantiles", "0.9,0.1,0.5")
        frame = pl.read_csv(run / "predictions.csv")
        low, middle, high = (frame[f"q{q}"].to_numpy() for q in (0.1, 0.5, 0.9))
        assert (low <= middle).all()
        assert (middle <= high).all()
        assert (low < high).any()
        assert (frame["forecast"].to_numpy() == middle).all()
        mine = frame.filter(pl.col("split") == "valid")
        inside = (mine["q0.1"] <= mine["truth"]) & (mine["truth"] <= mine["q0.9"])
        row = next(r for r in document(run)["scores"] if r["split"] == "valid")
        assert row["coverage"] == pytest.approx(inside.mean(), abs=1e-12)
        error = {q: (mine["truth"] - mine[f"q{q}"]).to_numpy() for q in (0.1, 0.5, 0.9)}
        pinball = np.mean([np.maximum(q * e, (q - 1) * e).mean() for q, e in error.items()])
        assert row["pinball"] == pytest.approx(pinball, rel=1e-9)

    def test_the_median_joins_the_quantiles(self, fit, elman, weekly, small):
        run = fit(weekly, *small, "--quantiles", "0.1,0.9", "--known", "")
        columns = ["q0.1", "q0.5", "q0.9"]
        frame = pl.read_csv(run / "predictions.csv")
        assert frame.columns[-3:] == columns
        assert frame["forecast"].equals(frame["q0.5"])
        header = elman("predict", run, weekly).out.splitlines()[0]
        assert header == "origin,step,time,target,forecast," + ",".join(columns)

    def test_a_column_with_a_comma_in_its_name(self, fit, elman, weekly, small, reading, tmp_path):
        table = tmp_path / "comma.csv"
        names = {"rides": "rides, daily", "day_type": "day, type"}
        pl.read_csv(weekly).rename(names).write_csv(table)
        run = fit(
            table, *reading(small, 'series:"rides, daily",rain'),
            "--target", 'forecast:"rides, daily"', "--known", '"day, type"',
        )  # fmt: skip
        assert weights(run) == weights(fit(weekly, *small, out="plain"))
        assert document(run)["target"]["columns"] == ["rides, daily"]
        again = tmp_path / "again"
        assert elman("fit", "--config", run / "config.yaml", "--out", again).status == 0
        assert weights(again) == weights(run)

    @pytest.mark.parametrize("cell", ["rnn", "lstm"])
    def test_sequence_to_vector_and_other_cells(self, fit, weekly, small, cell):
        run = fit(weekly, *small, "--topology", "seq-to-vector", "--cell", cell, "--bidirectional")
        about = document(run)
        assert about["network"]["topology"] == "seq-to-vector"
        assert about["network"]["cell"] == cell
        arrays = load_file(run / "model.safetensors")
        gates = {"rnn": 1, "lstm": 4}[cell]
        assert arrays["recurrent.weight_hh_l0_reverse"].shape == (4 * gates, 4)
        assert arrays["head.weight"].shape == (2, 8)

    def test_a_panel(self, fit, weekly, small, tmp_path):
        one = pl.read_csv(weekly)
        both = pl.concat(
            [
                one.with_columns(station=pl.lit("north")),
                one.with_columns(station=pl.lit("south"), rides=pl.col("rides") * 10 + 5),
            ]
        )
        both.write_csv(tmp_path / "panel.csv")
        run = fit(tmp_path / "panel.csv", *small, "--group", "station")
        frame = pl.read_csv(run / "predictions.csv")
        assert frame["group"].unique().sort().to_list() == ["north", "south"]
        # The same series at another scale, and scaled by group: the same forecasts at that scale.
        north, south = (frame.filter(pl.col("group") == g) for g in ("north", "south"))
        np.testing.assert_allclose(south["forecast"], north["forecast"] * 10 + 5, rtol=1e-6)
        assert document(run)["data"]["series"] == 2

    @pytest.mark.parametrize("kind", ["tsv", "jsonl", "parquet", "csv.gz"])
    def test_every_kind_of_table_gives_the_same_model(self, fit, weekly, small, tmp_path, kind):
        import gzip

        frame = pl.read_csv(weekly)
        path = tmp_path / f"weekly.{kind}"
        write = {
            "tsv": lambda: frame.write_csv(path, separator="\t"),
            "jsonl": lambda: frame.write_ndjson(path),
            "parquet": lambda: frame.write_parquet(path),
            "csv.gz": lambda: path.write_bytes(gzip.compress(weekly.read_bytes())),
        }
        write[kind]()
        assert weights(fit(path, *small, out="other")) == weights(fit(weekly, *small, out="csv"))

    def test_a_table_of_its_own_to_validate_on(self, fit, weekly, small, tmp_path):
        frame = pl.read_csv(weekly)
        frame.head(150).write_csv(tmp_path / "past.csv")
        frame.tail(50).write_csv(tmp_path / "later.csv")
        run = fit(tmp_path / "past.csv", *small, "--valid-table", tmp_path / "later.csv")
        predictions = pl.read_csv(run / "predictions.csv").filter(pl.col("split") == "valid")
        first = frame["date"][150]
        assert predictions["origin"].min() >= first

    def test_seed_decides(self, fit, weekly, small):
        first = weights(fit(weekly, *small, "--seed", 1, out="a"))
        assert weights(fit(weekly, *small, "--seed", 1, out="b")) == first
        assert weights(fit(weekly, *small, "--seed", 2, out="c")) != first

    def test_each_run_without_a_name_has_a_folder_of_its_own(
        self, elman, no_report, weekly, small, tmp_path, monkeypatch
    ):
        monkeypatch.chdir(tmp_path)
        for _ in range(2):
            assert elman("fit", weekly.name, *small, "--epochs", 1).status == 0
        assert sorted(p.name for p in (tmp_path / "runs").iterdir()) == ["weekly", "weekly-2"]


class TestConfigurationFiles:
    def test_takes_everything_and_the_command_line_wins(self, fit, weekly, tmp_path):
        path = tmp_path / "fit.yaml"
        options = {
            "inputs": "series:rides", "target": "forecast:rides", "time": "date", "horizon": 2,
            "lookback": 10, "hidden": 4, "epochs": 3, "known": ["day_type"], "table": str(weekly),
            "learning-rate": 0.01, "test": None,
        }  # fmt: skip
        path.write_text(yaml.safe_dump(options))
        run = fit(weekly, "--config", path, "--epochs", 1, "--hidden", 5)
        resolved = yaml.safe_load((run / "config.yaml").read_text())
        assert resolved["epochs"] == 1
        assert resolved["hidden"] == 5
        assert resolved["known"] == ["day_type"]
        assert resolved["learning_rate"] == 0.01
        assert set(document(run)["data"]["spans"]) == {"train", "valid"}
        assert len(metrics(run)) == 1

    def test_resolved_configuration_is_complete(self, trained):
        from elman.config import Config

        resolved = yaml.safe_load((trained / "run/config.yaml").read_text())
        assert set(resolved) == set(Config.model_fields)
        assert resolved["period"] == 7
        assert resolved["topology"] == "seq-to-seq"
