"""Rolling-origin scores: an idle network against the baselines it starts from, row by row."""

from __future__ import annotations

from datetime import date

import numpy as np
import polars as pl
import pytest

from elman.kinds.forecasting import evaluation as module
from elman.kinds.forecasting.evaluation import Evaluation, Evaluator, show_times

TASK = ("cpu", "float32")


def evaluate(job, network) -> Evaluation:
    return job.evaluate(network, "net", job.task(*TASK))


def overall(evaluation, forecaster, split, column="mae", step=0):
    (row,) = [
        row
        for row in evaluation.scores
        if (row["forecaster"], row["split"], row["step"]) == (forecaster, split, step)
    ]
    return row[column]


@pytest.mark.parametrize("topology", ["seq-to-seq", "seq-to-vector"])
@pytest.mark.parametrize(
    ("relative", "naive"), [("last", "last value"), ("season", "seasonal naive (7 days)")]
)
@pytest.mark.parametrize("horizon", [1, 9])
def test_a_network_that_answers_nothing_is_the_naive_forecast(
    make_job, make_network, rides, relative, naive, topology, horizon
) -> None:
    """Whole numbers, unscaled, are exact in float32: the scores have the same bits."""
    job = make_job(
        rides(150), time="day", horizon=horizon, lookback=10, relative=relative, scaling="none",
        topology=topology, period=7,
    )  # fmt: skip
    evaluation = evaluate(job, make_network(job, zero=True))
    for split in ("valid", "test"):
        for step in range(horizon + 1):
            for metric in ("mae", "rmse", "mase", "smape", "n"):
                ours = overall(evaluation, "net", split, metric, step)
                assert ours == overall(evaluation, naive, split, metric, step)
    if relative == "season":
        rows = evaluation.frame()
        assert rows["forecast"].equals(rows["baseline"])
        assert "does not beat the best baseline" in evaluation.verdict
        assert "they are equal" in evaluation.verdict


@pytest.mark.parametrize("scaling", ["standard", "robust", "minmax"])
def test_so_it_is_whatever_the_scaling_to_seven_digits(
    make_job, make_network, rides, scaling
) -> None:
    frame = pl.concat(
        [
            rides(120, seed=1).with_columns(shop=pl.lit("a")),
            rides(120, seed=2).with_columns(shop=pl.lit("b"), y=pl.col("y") * 1000),
        ]
    )
    job = make_job(
        frame, time="day", group="shop", horizon=3, lookback=8, relative="season", scaling=scaling,
        quantiles="0.3,0.5",
    )  # fmt: skip
    evaluation = evaluate(job, make_network(job, zero=True))
    rows = evaluation.frame().filter(split="test")
    truth = {key: frame.filter(shop=key)["y"].to_numpy() for key in "ab"}
    days = {str(day): row for row, day in enumerate(frame.filter(shop="a")["day"])}
    expected = [
        truth[group][days[origin] + step - 7]
        for group, origin, step in rows.select("group", "origin", "step").rows()
    ]
    for name in ("forecast", "q0.3", "q0.5"):
        np.testing.assert_allclose(rows[name], expected, rtol=2e-6)


def test_an_idle_network_without_an_anchor_is_the_mean(make_job, make_network, rides) -> None:
    job = make_job(rides(150), time="day", lookback=10, relative="none")
    evaluation = evaluate(job, make_network(job, zero=True))
    for split in ("valid", "test"):
        assert overall(evaluation, "net", split) == pytest.approx(
            overall(evaluation, "mean", split), rel=1e-6
        )


def test_rows_of_predictions_against_a_slow_loop(make_job, make_network, rides) -> None:
    frame = pl.concat(
        [
            rides(60, seed=1).with_columns(shop=pl.lit("a")),
            rides(50, seed=2, start=date(2020, 3, 2)).with_columns(shop=pl.lit("b")),
        ]
    )
    job = make_job(
        frame, target="forecast:y,rain", inputs="series:y,rain", time="day", group="shop",
        horizon=2, lookback=4, valid=8, test=6, period=1,
    )  # fmt: skip
    rows = evaluate(job, make_network(job)).frame()
    expected = []
    for split, back, rest in (("valid", 14, 6), ("test", 6, 0)):
        for key in "ab":
            own = frame.filter(shop=key)
            for origin in range(own.height - back - 1, own.height - rest - 2):
                for step in (1, 2):
                    for target in ("y", "rain"):
                        at = origin + step
                        expected.append((
                            split, key, str(own["day"][origin]), step, str(own["day"][at]),
                            target, own[target][at],
                        ))  # fmt: skip
    columns = ["split", "group", "origin", "step", "time", "target", "truth"]
    assert rows.select(columns).rows() == expected
    assert rows.columns == [*columns, "forecast", "baseline"]


def test_scores_are_those_of_the_rows(make_job, make_network, rides) -> None:
    job = make_job(
        rides(150), time="day", horizon=3, lookback=10, quantiles="0.1,0.5,0.9", relative="last"
    )
    evaluation = evaluate(job, make_network(job, seed=3))
    for split in ("valid", "test"):
        rows = evaluation.frame().filter(split=split)
        best = min(
            (r for r in evaluation.scores
             if r["kind"] == "baseline" and r["split"] == split and r["step"] == 0),
            key=lambda r: r["mae"],
        )["forecaster"]  # fmt: skip
        for step in range(4):
            own = rows if step == 0 else rows.filter(step=step)
            truth = own["truth"].to_numpy()
            for name, column in (("net", "forecast"), (best, "baseline")):
                error = truth - own[column].to_numpy()
                got = {m: overall(evaluation, name, split, m, step) for m in ("n", "mae", "rmse")}
                assert got["n"] == len(own)
                assert got["mae"] == pytest.approx(np.abs(error).mean(), rel=1e-9)
                assert got["rmse"] == pytest.approx(np.sqrt((error**2).mean()), rel=1e-9)
            scale = job.forecaster.mase_scale[None][0]
            mase = np.abs(truth - own["forecast"].to_numpy()).mean() / scale
            assert overall(evaluation, "net", split, "mase", step) == pytest.approx(mase, rel=1e-9)
            losses = [
                np.maximum(q * e, (q - 1) * e).mean()
                for q in (0.1, 0.5, 0.9)
                for e in [truth - own[f"q{q}"].to_numpy()]
            ]
            assert overall(evaluation, "net", split, "pinball", step) == pytest.approx(
                np.mean(losses), rel=1e-9
            )
            inside = (own["q0.1"].to_numpy() <= truth) & (truth <= own["q0.9"].to_numpy())
            assert overall(evaluation, "net", split, "coverage", step) == pytest.approx(
                inside.mean(), rel=1e-9
            )
        assert rows.select((pl.col("q0.1") <= pl.col("q0.5")).all()).item()
        assert rows["q0.5"].equals(rows["forecast"])


def test_many_rows_are_thinned_and_told_but_all_are_scored(
    make_job, make_network, rides, monkeypatch
) -> None:
    job = make_job(rides(150), time="day", horizon=2, lookback=10, valid=30, test=0)
    network = make_network(job)
    whole = evaluate(job, network)
    monkeypatch.setattr(module, "_MOST_ROWS", 20)
    thin = evaluate(job, network)
    assert thin.scores == whole.scores
    origins = whole.frame()["origin"].unique(maintain_order=True)
    assert len(origins) == 29
    # 58 rows in at most 20: every third origin.
    assert thin.frame().equals(whole.frame().filter(pl.col("origin").is_in(origins[::3].to_list())))
    assert thin.notes == [
        "predictions.csv holds one origin in 3 of the valid span; all of them are in the scores"
    ]


def test_a_baselines_note_is_told_once(make_job, make_network, rides) -> None:
    job = make_job(rides(120), time="day", lookback=10)
    task, evaluation = job.task(*TASK), Evaluation()

    class Stubborn(module.Baseline):
        name = "stubborn"

        def _forecast(self, values_TC, origins_N, horizon, series):
            self.notes.append("could not be fitted")
            return np.zeros((len(origins_N), horizon, 1))

    baseline = Stubborn().fit([np.zeros((5, 1))])
    own = (job.forecaster, make_network(job), "net", job.parts, task.track, [baseline])
    for split in ("valid", "test"):
        Evaluator(*own).add(split, evaluation)
    assert evaluation.notes == ["could not be fitted"]
    assert len({row["split"] for row in evaluation.scores}) == 2


def test_a_split_without_a_window_adds_nothing(make_job, make_network, rides) -> None:
    job = make_job(rides(120), time="day", lookback=10, test=0)
    evaluation = evaluate(job, make_network(job))
    assert {row["split"] for row in evaluation.scores} == {"valid"}
    assert evaluation.frame()["split"].unique().to_list() == ["valid"]
    assert Evaluation().frame().is_empty()
    assert Evaluation().verdict == ""


@pytest.mark.parametrize(
    ("times", "shown"),
    [
        (np.array(["2020-01-06", "2020-01-07"], "M8[us]"), ["2020-01-06", "2020-01-07"]),
        (np.array(["2020-01-06T00:00", "2020-01-06T01:30"], "M8[us]"),
         ["2020-01-06T00:00:00", "2020-01-06T01:30:00"]),
        (np.array(["2020-01-06T00:00:00.25"], "M8[us]"), ["2020-01-06T00:00:00.250000"]),
        (np.array([3, 4]), [3, 4]),
    ],
)  # fmt: skip
def test_times_as_they_are_shown(times, shown) -> None:
    assert show_times(times).tolist() == shown


def test_without_times_places_are_numbers_of_rows(make_job, make_network, rides) -> None:
    job = make_job(rides(100).drop("day"), lookback=10, valid=10, test=0, horizon=2)
    rows = evaluate(job, make_network(job)).frame()
    assert rows["origin"].to_list() == [n for n in range(90, 99) for _ in (1, 2)]
    assert rows["time"].to_list() == [n + k for n in range(90, 99) for k in (1, 2)]
    assert rows["group"].unique().to_list() == [""]
