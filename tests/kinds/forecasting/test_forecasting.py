"""From a table to a job: what is learnt from which rows, and what is told."""

from __future__ import annotations

from datetime import date

import numpy as np
import polars as pl
import pytest
import torch

from elman.data.table import read_table
from elman.errors import InputError
from elman.kinds import forecasting
from elman.kinds.forecasting.evaluation import Evaluation, Evaluator
from elman.kinds.scoring.forecasts import naive_scale

TASK = ("cpu", "float32")
PANEL = {"time": "day", "group": "shop", "valid": "2020-04-15", "test": "2020-05-05"}


def replaced_after(frame: pl.DataFrame, row: int, value: float) -> pl.DataFrame:
    return frame.with_columns(
        pl.when(pl.int_range(pl.len()) < row).then(pl.col("y", "rain")).otherwise(value).name.keep()
    )


def test_all_that_is_learnt_comes_from_the_training_span(make_job, rides) -> None:
    table = rides(200)
    options = {"inputs": "series:y,rain,kind", "time": "day", "horizon": 2}
    job = make_job(table, **options)
    stop = job.splits.of("train")[0][1]
    assert stop == 140
    assert [job.splits.of(split)[0] for split in ("valid", "test")] == [(140, 170), (170, 200)]
    spoilt = replaced_after(table, stop, 77.0).with_columns(
        kind=pl.when(pl.int_range(pl.len()) < stop).then("kind").otherwise(pl.lit("new"))
    )
    again = make_job(spoilt, **options)
    assert again.forecaster.as_dict() == job.forecaster.as_dict()
    train = table[:stop]
    own = job.forecaster
    assert own.inputs.scaling.columns == ("y", "rain")
    for scaling in (own.inputs.scaling, own.target.scaling):
        for c, name in enumerate(scaling.columns):
            expected = [train[name].mean(), train[name].std(ddof=0)]
            np.testing.assert_allclose(scaling.of(None)[:, c], expected, rtol=1e-12)
    assert own.inputs.categories == {"kind": ("end", "week")}
    assert own.period == 7
    y = train["y"].to_numpy()
    assert own.mase_scale[None][0] == pytest.approx(np.abs(y[7:] - y[:-7]).mean(), rel=1e-12)


@pytest.mark.parametrize("relative", ["none", "season"])
def test_training_sees_no_value_after_its_span(make_job, make_network, rides, relative) -> None:
    """Every training window and loss keeps its bits when all later values change."""
    table = rides(150)
    options = {"inputs": "series:y,rain", "time": "day", "horizon": 3, "relative": relative}
    losses = []
    for frame in (table, replaced_after(table, 105, -3e5)):
        job = make_job(frame, **options)
        task = job.task(*TASK)
        network = make_network(job)
        (name,) = task.order(10_000, torch.Generator().manual_seed(0))
        loss = task.loss(network, task.batch(name))
        loss.backward()
        losses.append([loss, *(parameter.grad for parameter in network.parameters())])
    assert all(map(torch.equal, *losses))


@pytest.mark.parametrize("windows", ["across", "within"])
def test_targets_of_each_split_lie_inside_its_span(make_job, rides, windows) -> None:
    """With y the row's number, every value in a window says which row it is of."""
    table = rides(120).with_columns(y=pl.int_range(pl.len()).cast(pl.Float64))
    job = make_job(
        table, scaling="none", relative="none", horizon=3, lookback=10, windows=windows, valid=24,
        test=20, time="day", period=1,
    )  # fmt: skip
    task = job.task(*TASK)
    train = task._train.batch(slice(None))
    assert (train.target.min(), train.target.max()) == (1, 75)
    assert (train.x_BTI.min(), train.x_BTI.max()) == (0, 72)
    valid = task._valid.batch(slice(None))
    first = 76 if windows == "across" else 86
    assert (valid.target.min(), valid.target.max()) == (first, 99)
    assert valid.x_BTI.min() == first - 10
    assert len(valid) == 99 - 3 + 1 - first + 1
    # Each window ends where its target begins.
    assert torch.equal(valid.x_BTI[:, -1, 0] + 1, valid.target[:, 0, 0, 0])


def test_loss_is_taken_over_every_step_and_validation_at_the_last(
    make_job, make_network, rides
) -> None:
    job = make_job(rides(100), time="day", horizon=2, lookback=9, relative="last", loss="mse")
    task, network = job.task(*TASK), make_network(job)
    batch = task.batch(torch.arange(5))
    assert batch.target.shape == (5, 9, 2, 1)
    answers = network(batch.x_BTI) + batch.anchor[..., 0]
    expected = ((answers - batch.target[..., 0]) ** 2).mean()
    assert task.loss(network, batch).item() == pytest.approx(expected.item(), rel=1e-6)

    loss, score = task.validate(network)
    valid = job.forecaster.windows(task.track, job.parts, "valid", within=False, score=True)
    batch = valid.batch(slice(None))
    answers = network(batch.x_BTI)[:, -1:] + batch.anchor[..., 0]
    error = answers - batch.target[..., 0]
    assert loss == pytest.approx((error**2).mean().item(), rel=1e-5)
    unit = job.forecaster.target.scaling.of(None)[1, 0]
    assert score == pytest.approx(error.abs().mean().item() * unit, rel=1e-5)
    assert task.score_name == "MAE"


def test_the_largest_input_is_named(make_job, rides) -> None:
    task = make_job(rides(100), inputs="series:y,rain", time="day", lookback=9).task(*TASK)
    batch = task.batch(torch.arange(3))
    batch.x_BTI[1, 4, 1] = -80.0
    assert task.name_input(batch) == "the largest input of the batch is 'rain' at 80 (scaled)"
    batch.x_BTI[2, 0, 0] = torch.nan
    assert "'y'" in task.name_input(batch)


@pytest.mark.parametrize(
    ("rows", "options", "lookback"),
    [
        (400, {}, 35),  # at least 32, in whole weeks
        (400, {"horizon": 20}, 42),  # two horizons
        (100, {"period": 7}, 23),  # a third of the 70 rows that train
        (400, {"period": 1}, 32),
        (400, {"period": 60}, 60),  # a whole season
        (400, {"period": 120}, 93),  # but a third of 280
        (400, {"lookback": 5}, 5),
    ],
)
def test_lookback_is_chosen_by_its_rule(make_job, rides, rows, options, lookback) -> None:
    job = make_job(rides(rows), time="day", **options)
    assert job.chosen == {"lookback": lookback, "period": options.get("period", 7)}


def test_a_span_without_a_window_is_named(make_job, rides) -> None:
    job = make_job(rides(100), time="day", lookback=20, windows="within")
    with pytest.raises(InputError, match=r"no window of lookback 20 \+ horizon 1 fits into the "
                       r"validation span; .* windows=across"):  # fmt: skip
        job.task(*TASK)


class TestPanels:
    def panel(self, rides, late: int = 0) -> pl.DataFrame:
        a = rides(150, seed=1)
        b = rides(110, seed=2, start=date(2020, 2, 10)).with_columns(pl.col("y") * 50)
        frames = [a.with_columns(shop=pl.lit("a")), b.with_columns(shop=pl.lit("b"))]
        if late:
            c = rides(late, seed=3, start=date(2020, 5, 15))
            frames.append(c.with_columns(shop=pl.lit("late")))
        return pl.concat(frames)

    def test_each_group_has_its_own_scale_unless_asked_otherwise(self, make_job, rides) -> None:
        frame = self.panel(rides)
        job = make_job(frame, **PANEL)
        spans = dict(zip("ab", job.splits.of("train"), strict=True))
        assert spans == {"a": (0, 100), "b": (0, 65)}
        both = []
        for key, (_, stop) in spans.items():
            y = frame.filter(shop=key)["y"].to_numpy()[:stop]
            both.append(y)
            np.testing.assert_allclose(
                job.forecaster.target.scaling.of(key)[:, 0], [y.mean(), y.std()], rtol=1e-12
            )
            np.testing.assert_array_equal(
                job.forecaster.mase_scale[key], naive_scale(y[:, None], job.forecaster.period)
            )
        one = make_job(frame, scaling_by="column", **PANEL).forecaster.target.scaling
        y = np.concatenate(both)
        np.testing.assert_allclose(one.of("any")[:, 0], [y.mean(), y.std()], rtol=1e-12)

    def test_a_series_that_begins_after_the_training_span(
        self, make_job, make_network, rides
    ) -> None:
        """It has no scale of its own: left out and told, or scored with the scale of all."""
        frame, findings = self.panel(rides, late=21), []
        job = make_job(frame, findings=findings, lookback=10, **PANEL)
        assert [part.key for part in job.parts] == ["a", "b"]
        told = [str(finding) for finding in findings if "no scale" in finding.message]
        assert told == [
            "table: 1 of 3 series have no row in the training span, so no scale, and are left out "
            "of validation and test; the first is 'late'; start validation later, or scale all "
            "alike with --scaling-by column"
        ]
        job.evaluate(make_network(job), "gru", job.task(*TASK))
        for options in ({"scaling_by": "column"}, {"scaling": "none"}):
            job = make_job(frame, lookback=10, **PANEL, **options)
            evaluation = job.evaluate(make_network(job), "gru", job.task(*TASK))
            rows = evaluation.frame().filter(group="late", split="test")
            assert rows.height == 11
            scores = [row["mae"] for row in evaluation.scores]
            assert np.isfinite(scores).all()

    def test_it_takes_nothing_from_the_others_lookback(self, make_job, rides) -> None:
        whole = make_job(self.panel(rides), **PANEL)
        late = make_job(self.panel(rides, late=21), **PANEL)
        # A third of the middle of 65 and 100 rows.
        assert late.chosen == whole.chosen == {"lookback": 27, "period": 7}

    def test_a_group_that_never_trained_is_refused(self, make_job, make_network, rides) -> None:
        job = make_job(self.panel(rides), lookback=10, **PANEL)
        other = rides(40).with_columns(shop=pl.lit("z"))
        with pytest.raises(InputError, match="group 'z' was not in the training data"):
            forecasting.predict(make_network(job), job.forecaster, read_table(other))

    def test_forecasts_are_those_of_each_group_alone(self, make_job, make_network, rides) -> None:
        frame = self.panel(rides)
        job = make_job(frame, lookback=9, horizon=3, known="kind", relative="season", **PANEL)
        network = make_network(job)
        future = frame.with_columns(
            y=pl.when(pl.int_range(pl.len()).over("shop") < pl.len().over("shop") - 3).then("y")
        )
        whole = [
            forecasting.predict(network, job.forecaster, read_table(future))[0],
            forecasting.evaluate(network, job.forecaster, "gru", read_table(frame))[0].frame(),
        ]
        for key in "ab":
            alone = [
                forecasting.predict(
                    network, job.forecaster, read_table(future.filter(shop=key))
                )[0],
                forecasting.evaluate(
                    network, job.forecaster, "gru", read_table(frame.filter(shop=key))
                )[0].frame(),
            ]  # fmt: skip
            for ours, theirs in zip(whole, alone, strict=True):
                ours = ours.filter(group=key)
                assert ours.height == theirs.height > 0
                assert ours.drop("forecast", "baseline", strict=False).equals(
                    theirs.drop("forecast", "baseline", strict=False)
                )
                np.testing.assert_allclose(ours["forecast"], theirs["forecast"], rtol=1e-6)

    def test_groups_predict_from_their_own_ends(self, make_job, make_network, rides) -> None:
        job = make_job(self.panel(rides), lookback=10, **PANEL)
        table = read_table(self.panel(rides))
        rows, _ = forecasting.predict(make_network(job), job.forecaster, table)
        assert rows.select("group", "origin", "step", "time").rows() == [
            ("a", "2020-06-03", 1, "2020-06-04"),
            ("b", "2020-05-29", 1, "2020-05-30"),
        ]


def test_predict_at_each_end_is_the_rolling_forecast_there(make_job, make_network, rides) -> None:
    """No value after the origin is even in the table: the whole path agrees with the scored one."""
    table = rides(120)
    job = make_job(
        table, inputs="series:y,rain", target="forecast:y,rain", time="day", known="kind",
        horizon=2, lookback=9, quantiles="0.1,0.5,0.9", calendar="monthday",
    )  # fmt: skip
    network, own = make_network(job), job.forecaster
    scored = job.evaluate(network, "gru", job.task(*TASK)).frame()
    for end in (86, 100, 115):
        row = pl.int_range(pl.len())
        cut = table.with_columns(
            pl.when(row < end).then(pl.col("y", "rain")).name.keep()
        ).head(end + 2)  # fmt: skip
        ahead, _ = forecasting.predict(network, own, read_table(cut))
        assert ahead["origin"].unique().to_list() == [str(table["day"][end - 1])]
        there = scored.filter(origin=ahead["origin"][0])
        names = ["step", "time", "target"]
        assert ahead.select(names).equals(there.select(names))
        for name in ("forecast", "q0.1", "q0.5", "q0.9"):
            np.testing.assert_allclose(ahead[name], there[name], rtol=1e-5)


class TestUnseenCategories:
    def job(self, make_job, rides):
        return make_job(rides(100), time="day", known="kind", horizon=2, lookback=9)

    def holiday(self, frame: pl.DataFrame, *rows: int) -> pl.DataFrame:
        at = pl.int_range(pl.len()).is_in(list(rows))
        return frame.with_columns(kind=pl.when(at).then(pl.lit("feast")).otherwise("kind"))

    def table(self, rides, *rows: int):
        frame = rides(32).with_columns(y=pl.when(pl.int_range(pl.len()) < 30).then("y"))
        return read_table(self.holiday(frame, *rows))

    @pytest.mark.parametrize("row", [31, 30, 29, 21])
    def test_a_forecast_that_would_read_one_is_refused(
        self, make_job, make_network, rides, row
    ) -> None:
        job = self.job(make_job, rides)
        with pytest.raises(InputError) as error:
            forecasting.predict(make_network(job), job.forecaster, self.table(rides, row))
        assert str(error.value) == (
            "table: column 'kind': 'feast' was not in the training span, which had end, week; the "
            "model cannot tell what it means; write it as one of these, or train with it"
        )

    def test_one_that_lies_further_back_does_no_harm(self, make_job, make_network, rides) -> None:
        job = self.job(make_job, rides)
        clean, other = (
            forecasting.predict(make_network(job), job.forecaster, self.table(rides, *rows))[0]
            for rows in ((), (20,))
        )
        assert clean.equals(other)

    def test_evaluation_tells_it(self, make_job, make_network, rides) -> None:
        job = self.job(make_job, rides)
        frame = read_table(self.holiday(rides(40), 15))
        _, findings = forecasting.evaluate(make_network(job), job.forecaster, "gru", frame)
        (told,) = (finding for finding in findings if finding.severity == "warning")
        assert str(told).startswith("table: column 'kind': 'feast' was not in the training span")

    def test_fit_warns_of_one_in_the_table_to_validate_on(self, make_job, rides) -> None:
        findings = []
        make_job(
            rides(100),
            self.holiday(rides(40, start=date(2021, 1, 4)), 3),
            findings,
            time="day",
            known="kind",
            lookback=9,
        )
        told = [finding for finding in findings if "'feast'" in finding.message]
        assert [finding.severity for finding in told] == ["warning"]


class TestTableToValidateOn:
    def test_its_rows_validate_and_those_of_the_first_train_and_test(self, make_job, rides) -> None:
        table, other = rides(100), rides(40, seed=5, start=date(2021, 1, 4))
        job = make_job(table, other, time="day", horizon=2, lookback=9, valid=0.9)
        assert job.splits.spans == [{"train": (0, 85), "valid": (85, 85), "test": (85, 100)}]
        alone = make_job(table, time="day", horizon=2, lookback=9, valid=2, test=13)
        assert job.forecaster.target.scaling.of(None).tolist() == (
            alone.forecaster.target.scaling.of(None).tolist()
        )
        valid = job.task(*TASK)._valid
        assert set(valid.series) == {1}
        # No window looks back before the table's own beginning.
        assert (valid.origins.numpy() - 100).tolist() == list(range(8, 38))

    def test_baselines_learn_nothing_from_it(self, make_job, make_network, rides) -> None:
        table = rides(100)
        other = rides(40, seed=5, start=date(2021, 1, 4)).with_columns(pl.col("y") + 5000)
        job = make_job(table, other, time="day", horizon=2, lookback=9, quantiles="0.1,0.9")
        evaluation = job.evaluate(make_network(job), "gru", job.task(*TASK))
        rows = {
            row["forecaster"]: row
            for row in evaluation.scores
            if (row["split"], row["step"]) == ("valid", 0)
        }
        mean = table["y"][:85].mean()
        truth = np.array([other["y"][o + 1 : o + 3].to_list() for o in range(8, 38)])
        assert rows["mean"]["mae"] == pytest.approx(np.abs(truth - mean).mean(), rel=1e-12)


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (8, "table: 8 rows with values; the model reads 9; give a longer table"),
        (10, "table: 10 rows with values; the model reads 9, and 2 more to be scored on"),
    ],
)
def test_a_table_that_is_too_short_is_refused(make_job, make_network, rides, rows, message) -> None:
    job = make_job(rides(100), time="day", horizon=2, lookback=9)
    verb = forecasting.predict if rows < 9 else forecasting.evaluate
    args = (make_network(job), job.forecaster) + (("gru",) if rows >= 9 else ())
    with pytest.raises(InputError) as error:
        verb(*args, read_table(rides(rows)))
    assert message in str(error.value)


def test_the_evaluator_scores_what_evaluate_scores(make_job, make_network, rides) -> None:
    """A table of its own is the span of all its rows, with windows wholly inside."""
    job, other = make_job(rides(100), time="day", lookback=9), rides(50, seed=9)
    network, own = make_network(job), job.forecaster
    evaluation, _ = forecasting.evaluate(network, own, "gru", read_table(other))
    parts, _ = own.parts(read_table(other), split="table")
    again = Evaluation()
    Evaluator(own, network, "gru", parts, own.track(parts), [], fitted=False, within=True).add(
        "table", again
    )
    model = [row for row in evaluation.scores if row["kind"] == "model"]
    assert again.scores == model
    assert model[0]["n"] == 50 - 9
    names = list(dict.fromkeys(row["forecaster"] for row in evaluation.scores))
    assert names == ["gru", "last value", "seasonal naive (7 days)"]


def test_what_model_json_says_of_the_data(make_job, rides) -> None:
    job = make_job(rides(200), inputs="series:rain,y", time="day", known="kind")
    described = job.describe()
    assert described["columns"] == ["rain", "y", "kind"]
    assert (described["series"], described["step"], described["period"]) == (1, "1 day", 7)
    assert described["spans"]["valid"] == {"from": "2020-05-25", "to": "2020-06-23", "steps": 30}
