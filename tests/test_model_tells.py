"""What `elman.Model` refuses and tells, rather than to answer wrongly without a word."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest

import elman
from elman.errors import InputError
from elman.model import Model
from elman.training.observer import Observer


class TestRefusals:
    def test_a_table_of_another_step(self, weekly, tmp_path):
        model = quick().fit(weekly)
        weeks = pl.DataFrame(
            {
                "date": pl.date_range(pl.date(2020, 1, 6), pl.date(2021, 12, 31), "1w", eager=True),
            }
        ).with_columns(rides=pl.int_range(pl.len()) + 0.5)
        with pytest.raises(InputError, match=r"1 week apart.*trained on 1 day"):
            model.predict(weeks)
        business = pl.read_csv(weekly, try_parse_dates=True).filter(pl.col("date").dt.weekday() < 6)
        assert len(model.predict(business)) == 1

    def test_options_that_nothing_reads(self, weekly):
        with pytest.raises(InputError, match=r"nonlinearity 'relu'.*cell=rnn"):
            quick(cell="gru", nonlinearity="relu")
        for options, message in (
            ({"cell": "rnn", "forget_bias": 1.0}, "forget_bias=1.0: RNNCell has no forget gate"),
            ({"cell": "gru", "zoneout_cell": 0.1}, "zoneout_cell=0.1: GRUCell has no state c"),
            ({"skip": "highway"}, "skip='highway': .* num_layers is 1"),
            ({"init": "identity"}, "init='identity': for a plain RNN"),
            ({"recurrent_dropot": 0.1}, "did you mean 'recurrent_dropout'"),
            ({"memory": "less"}, "memory: 'less' is not known"),
        ):
            with pytest.raises(InputError, match=message):
                quick(**options)
        findings = quick(categories="day_type").check(weekly)
        assert "--categories day_type" in str(findings[0])

    def test_check_finds_what_fit_would_refuse(self, weekly):
        model = quick(windows="within", lookback=40, valid="30", test="30")
        (finding, *_) = model.check(weekly)
        assert finding.severity == "error"
        assert "no window of lookback 40" in str(finding)
        with pytest.raises(InputError, match="no window of lookback 40"):
            model.fit(weekly)

    def test_fitting_again_chooses_again(self, weekly, tmp_path):
        model = quick(lookback=None).fit(weekly)
        assert model.config.lookback == 35
        short = tmp_path / "short.csv"
        pl.read_csv(weekly).head(60).write_csv(short)
        assert model.fit(short).config.lookback == 14


def quick(**options):
    values = {"inputs": "series:rides", "target": "forecast:rides", "time": "date"}
    values |= {"hidden": 4, "epochs": 1, "lookback": 14} | options
    return elman.Model(**{name: value for name, value in values.items() if value is not None})


class Heard(Observer):
    def __init__(self):
        self.warnings, self.notes = [], []

    def message(self, text, *, warning=False):
        (self.warnings if warning else self.notes).append(text)


class TestOverlooked:
    def test_times_that_nobody_named(self, weekly):
        told = [str(f) for f in quick(time=None).check(weekly) if f.severity == "warning"]
        assert any("column 'date' holds times and is not used" in text for text in told)
        assert any("--time date" in text for text in told)
        assert not any("holds times" in str(f) for f in quick().check(weekly))

    def test_a_season_too_short_to_be_found_is_still_a_baseline(self):
        months = pl.date_range(pl.date(2018, 1, 1), pl.date(2021, 12, 1), "1mo", eager=True)
        rng = np.random.default_rng(1)
        sales = 100 + 25 * np.sin(np.arange(48) * np.pi / 6) + rng.normal(0, 2, 48)
        table = pl.DataFrame({"date": months, "rides": sales})
        model = quick(lookback=6).fit(table)
        assert model.config.period == 1
        names = {row["forecaster"] for row in model.document["scores"]}
        assert "seasonal naive (12 months)" in names

    def test_a_model_says_what_it_is(self, weekly):
        model = quick()
        assert repr(model) == "Model('series:rides', 'forecast:rides', cell='gru'): not fitted"
        assert repr(model.fit(weekly)).endswith("fitted")


class TestTold:
    """What a review found to go without a word, or wrong."""

    def test_a_table_to_validate_on_that_training_sees(self, weekly, tmp_path):
        model = quick()
        with pytest.raises(InputError, match="is the table that is trained on"):
            model.fit(weekly, weekly)
        part = tmp_path / "part.csv"
        pl.read_csv(weekly)[100:160].write_csv(part)
        with pytest.raises(InputError, match=r"60 rows at times that weekly.csv trains on.*row 1;"):
            model.fit(weekly, part)

    def test_a_season_that_reaches_back_behind_the_table(self, weekly):
        model = quick(relative="season", period=21, lookback=7).fit(weekly)
        with pytest.raises(InputError, match="20 rows with values; the model reads 21"):
            model.predict(pl.read_csv(weekly, try_parse_dates=True).tail(20))

    def test_scores_leave_out_values_that_were_filled_in(self, weekly):
        frame = pl.read_csv(weekly, try_parse_dates=True)
        gaps = frame.with_columns(
            rides=pl.when(pl.int_range(pl.len()).is_in([180, 181, 190]))
            .then(None)
            .otherwise("rides")
        )
        full = quick(missing="forward").fit(frame)
        holes = quick(missing="forward").fit(gaps)
        counts = [
            next(row["n"] for row in model.document["scores"] if row["split"] == "test")
            for model in (full, holes)
        ]
        assert counts == [30, 27]

    def test_evaluating_on_the_training_table_and_short_series(self, weekly):
        heard = Heard()
        quick().fit(weekly).evaluate(weekly, heard)
        assert "is the table that the model was trained on" in heard.warnings[-1]
        frame = pl.read_csv(weekly, try_parse_dates=True)
        shops = pl.concat(
            [frame.with_columns(shop=pl.lit("a")), frame.head(9).with_columns(shop=pl.lit("b"))]
        )
        model = quick(group="shop", valid="2020-06-01", test="2020-07-01").fit(shops)
        heard = Heard()
        assert model.predict(shops, heard)["group"].to_list() == ["a"]
        assert "1 of 2 series are left out; the first is 'b': 9 rows" in heard.warnings[-1]

    def test_more_epochs_of_a_cosine_are_another_run(self, weekly, tmp_path):
        quick(schedule="cosine").fit(weekly, run=tmp_path / "run")
        with pytest.raises(InputError, match=r"epochs cannot change.*schedule=cosine"):
            Model.resume(tmp_path / "run", {"epochs": 3})

    def test_the_time_itself_and_too_many_categories(self, weekly):
        for given in ({"known": "date"}, {"inputs": "series:date"}):
            with pytest.raises(InputError, match="'date' is the time column"):
                quick(**given).fit(weekly)
        days = pl.date_range(pl.date(2020, 1, 1), pl.date(2022, 12, 31), eager=True)
        codes = pl.DataFrame({"date": days, "rides": pl.int_range(len(days), eager=True) % 7 + 0.5})
        codes = codes.with_columns(code=pl.format("n{}", pl.int_range(pl.len())))
        with pytest.raises(InputError, match=r"column 'code': 768 different values"):
            quick(inputs="series:rides,code").fit(codes)

    def test_a_group_that_stands_still_in_training_does_not_outweigh_the_others(self, weekly):
        frame = pl.read_csv(weekly, try_parse_dates=True)
        still = frame.with_columns(
            rides=pl.when(pl.int_range(pl.len()) < 156).then(0.0).otherwise("rides"),
            shop=pl.lit("still"),
        )
        panel = pl.concat([frame.with_columns(shop=pl.lit("moves")), still])
        model = quick(group="shop", valid="2020-06-10", test="2020-07-01").fit(panel)
        scales = model.document["learnt"]["target"]["scaling"]["values"]
        train = frame["rides"][:156]
        assert scales["moves"] == [
            [pytest.approx(train.mean())],
            [pytest.approx(train.std(ddof=0))],
        ]
        assert scales["still"] == [[0.0], scales["moves"][1]]
