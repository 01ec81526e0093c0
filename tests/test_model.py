"""`elman.Model` from a table to forecasts: the same bits however the table is given, no leakage."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import torch

import elman
from elman.errors import InputError
from elman.model import Model
from elman.training.observer import Observer

SMALL = {
    "inputs": "series:rides,rain", "target": "forecast:rides", "time": "date", "known": "day_type",
    "horizon": 2, "lookback": 9, "hidden": 5, "epochs": 2, "batch_size": 64, "device": "cpu",
}  # fmt: skip


def small(**options) -> Model:
    return Model(**{**SMALL, **options})


def typed(path: Path) -> pl.DataFrame:
    return pl.read_csv(path, try_parse_dates=True)


def bits(model: Model) -> dict[str, bytes]:
    return {name: value.numpy().tobytes() for name, value in model.network.state_dict().items()}


def ahead(path: Path) -> pl.DataFrame:
    """Return the table with two days to come, whose kind is known."""
    frame = typed(path)
    days = pl.date_range(pl.date(2020, 7, 24), pl.date(2020, 7, 25), eager=True)
    future = pl.DataFrame(
        {"date": days, "rides": [None] * 2, "rain": [None] * 2, "day_type": ["weekday", "weekend"]},
        frame.schema,
    )
    return pl.concat([frame, future])


class Recorder(Observer):
    def __init__(self) -> None:
        self.epochs, self.warnings = [], []

    def epoch(self, metrics) -> None:
        self.epochs.append(metrics)

    def message(self, text, *, warning=False) -> None:
        if warning:
            self.warnings.append(text)


class TestReproducibility:
    def test_every_way_to_give_a_table_gives_the_same_bits(self, weekly) -> None:
        frame = typed(weekly)
        parquet, lines = weekly.with_suffix(".parquet"), weekly.with_suffix(".jsonl")
        frame.write_parquet(parquet)
        frame.with_columns(pl.col("date").cast(pl.String)).write_ndjson(lines)
        sources = [
            weekly, str(weekly), parquet, lines, frame, frame.to_pandas(), frame.to_arrow(),
            frame.to_pandas().set_index("date"),
        ]  # fmt: skip
        models = [small().fit(source) for source in sources]
        first = models[0]
        for model in models[1:]:
            assert bits(model) == bits(first)
            assert model.document["scores"] == first.document["scores"]
            assert model.predict(ahead(weekly)).equals(first.predict(ahead(weekly)))

    def test_the_seed_alone_decides(self, weekly) -> None:
        torch.manual_seed(1)
        first = small(dropout=0.3, layers=2).fit(weekly)
        torch.manual_seed(2)
        expected = torch.get_rng_state()
        again = small(dropout=0.3, layers=2).fit(weekly)
        assert bits(again) == bits(first)
        assert again.document["scores"] == first.document["scores"]
        # The caller's own random numbers go on as if nothing had happened.
        assert torch.equal(torch.get_rng_state(), expected)
        # So small a step leaves the parameters as they were drawn.
        still = {"epochs": 1, "learning_rate": 1e-20}
        drawn, others = (bits(small(seed=seed, **still).fit(weekly)) for seed in (0, 1))
        assert all(drawn[name] != others[name] for name in drawn)
        other = small(dropout=0.3, layers=2, seed=1).fit(weekly)
        assert all(other != same for other, same in zip(
            bits(other).values(), bits(first).values(), strict=True))  # fmt: skip

    @pytest.mark.parametrize(
        "options",
        [
            {"cell": "lstm", "layers": 2, "dropout": 0.2, "topology": "seq-to-vector"},
            {"cell": "gru", "bidirectional": True, "topology": "seq-to-vector"},
            {"cell": "rnn", "nonlinearity": "relu", "quantiles": "0.1,0.9", "calendar": "weekday"},
            {"target": "forecast:rides,rain", "loss": "huber", "relative": "season"},
            {"precision": "bf16", "optimizer": "adamw", "schedule": "cosine", "relative": "none"},
        ],
        ids=lambda options: "-".join(map(str, options)),
    )
    def test_a_model_saved_and_loaded_says_the_same(self, weekly, tmp_path, options) -> None:
        model = small(**options).fit(weekly)
        before = model.predict(ahead(weekly))
        assert before.select(pl.col(pl.Float64).is_finite().all()).row(0) == (True,) * (
            1 + len(model.config.quantiles)
        )
        path = model.save(tmp_path / "saved")
        loaded = elman.load(path)
        assert bits(loaded) == bits(model)
        assert loaded.predict(ahead(weekly)).equals(before)
        assert loaded.config == model.config
        ours, theirs = loaded.evaluate(weekly), model.evaluate(weekly)
        assert ours.scores == theirs.scores
        assert ours.frame().equals(theirs.frame())
        assert loaded.document == json.loads((path / "model.json").read_text())
        # Saved once more, the weights keep their digest.
        loaded.save(tmp_path / "again")
        assert loaded.document["weights_sha256"] == model.document["weights_sha256"]

    def test_a_run_holds_what_memory_holds(self, weekly, tmp_path) -> None:
        kept = small().fit(weekly, run=tmp_path / "run")
        free = small().fit(weekly)
        assert bits(kept) == bits(free) == bits(elman.load(tmp_path / "run"))
        assert kept.document["scores"] == free.document["scores"]
        lines = (tmp_path / "run/metrics.jsonl").read_text().splitlines()
        assert [json.loads(line)["epoch"] for line in lines] == [1, 2]
        rows = pl.read_csv(tmp_path / "run/predictions.csv")
        assert rows["split"].unique().sort().to_list() == ["test", "valid"]
        for row in kept.document["scores"]:
            if row["kind"] == "model":
                own = rows.filter(split=row["split"])
                own = own if row["step"] == 0 else own.filter(step=row["step"])
                mae = (own["truth"] - own["forecast"]).abs().mean()
                assert row["mae"] == pytest.approx(mae, rel=1e-9)


class TestLeakage:
    def spoilt(self, weekly, after: int) -> pl.DataFrame:
        later = pl.int_range(pl.len()) >= after
        return typed(weekly).with_columns(
            pl.when(later).then(pl.col("rides") * -7 + 3).otherwise("rides"),
            pl.when(later).then(pl.col("rain") * 0 + 99).otherwise("rain"),
        )

    def test_values_after_the_training_span_change_nothing_that_is_learnt(self, weekly) -> None:
        """Of the epochs only the best is kept by validation; each one's loss has the same bits."""
        clean, dirty = Recorder(), Recorder()
        options = {"patience": 0, "epochs": 3, "relative": "season"}
        model = small(**options).fit(weekly, observer=clean)
        other = small(**options).fit(self.spoilt(weekly, 140), observer=dirty)
        assert other.document["learnt"] == model.document["learnt"]
        assert [e.train_loss for e in clean.epochs] == [e.train_loss for e in dirty.epochs]
        assert [e.gradient_norm for e in clean.epochs] == [e.gradient_norm for e in dirty.epochs]
        assert clean.epochs[0].valid_loss != dirty.epochs[0].valid_loss

    def test_values_of_the_test_span_change_no_weight(self, weekly) -> None:
        model, other = small().fit(weekly), small().fit(self.spoilt(weekly, 170))
        assert bits(other) == bits(model)
        assert other.document["training"]["best_score"] == model.document["training"]["best_score"]

        def valid(own):
            return [row for row in own.document["scores"] if row["split"] == "valid"]

        assert valid(other) == valid(model)

    def test_a_forecast_is_made_of_the_past_alone(self, weekly) -> None:
        """Forecasts from a table cut at each origin are those from the whole table."""
        model = small().fit(weekly)
        whole = model.evaluate(weekly).frame()
        table = typed(weekly)
        for end in (9, 57, 150, 197):
            cut = table.with_columns(
                pl.when(pl.int_range(pl.len()) < end).then(pl.col("rides", "rain")).name.keep()
            ).head(end + 2)
            rows = model.predict(cut)
            there = whole.filter(origin=rows["origin"][0])
            assert there["step"].to_list() == rows["step"].to_list() == [1, 2]
            np.testing.assert_allclose(rows["forecast"], there["forecast"], rtol=1e-6)


def series(values: np.ndarray) -> pl.DataFrame:
    return pl.DataFrame({"y": values})


def test_a_season_in_noise_is_learnt_better_than_the_naive_forecast() -> None:
    """Repeating last week repeats its noise; the mean of the weeks does not: 1 against √2."""
    rng = np.random.default_rng(1)
    t = np.arange(700)
    frame = series(10 + 5 * np.sin(2 * np.pi * t / 7) + rng.normal(size=700))
    model = Model(
        "series:y", "forecast:y", lookback=21, hidden=16, epochs=15, learning_rate=0.01,
        device="cpu",
    ).fit(frame)  # fmt: skip
    assert model.document["data"]["period"] == 7
    scores = {
        row["forecaster"]: row["mae"]
        for row in model.document["scores"]
        if (row["split"], row["step"]) == ("test", 0)
    }
    assert scores["gru"] < 0.85 * scores["seasonal naive (7 steps)"]
    assert " beats the best baseline, seasonal naive (7 steps)" in model.document["verdict"]
    assert "not beat" not in model.document["verdict"]


def test_a_random_walk_is_not_beaten_and_the_verdict_says_so() -> None:
    walk = np.random.default_rng(2).normal(size=500).cumsum()
    model = Model(
        "series:y", "forecast:y", lookback=12, hidden=8, epochs=4, device="cpu"
    ).fit(series(walk))  # fmt: skip
    assert model.document["data"]["period"] == 1
    sentences = model.document["verdict"].split(". On ")
    assert len(sentences) == 2
    for sentence in sentences:
        assert "last value" in sentence
        assert any(word in sentence for word in ("does not beat", "hardly beats", "within noise"))


def test_quantiles_cover_what_they_name() -> None:
    """Of noise alone the best quantiles are the distribution's own."""
    noise = 100 + 10 * np.random.default_rng(3).normal(size=1600)
    model = Model(
        "series:y", "forecast:y", lookback=4, hidden=4, epochs=12, learning_rate=0.02,
        batch_size=64, quantiles="0.1,0.5,0.9", relative="none", period=1, valid=0.2, test=0.3,
        device="cpu",
    ).fit(series(noise))  # fmt: skip
    (row,) = [
        row
        for row in model.document["scores"]
        if (row["forecaster"], row["split"], row["step"]) == ("gru", "test", 0)
    ]
    assert row["coverage"] == pytest.approx(0.8, abs=0.06)
    for level, share in row["quantile_coverage"].items():
        assert share == pytest.approx(float(level), abs=0.06)
    forecast = model.predict(series(noise)).row(0, named=True)
    for name, expected in (("q0.1", 87.2), ("q0.5", 100), ("q0.9", 112.8)):
        assert forecast[name] == pytest.approx(expected, abs=4)
    assert forecast["forecast"] == forecast["q0.5"]


def test_another_table_may_validate(weekly) -> None:
    train, valid = typed(weekly).head(140), typed(weekly).tail(60)
    model = small(test=0).fit(train, valid)
    own = [row for row in model.document["scores"] if row["kind"] == "model"]
    assert {row["split"] for row in own} == {"valid"}
    assert own[0]["n"] == 2 * (60 - 9 - 2 + 1)
    assert model.document["data"]["spans"] == {
        "train": {"from": "2020-01-06", "to": "2020-05-24", "steps": 140}
    }
    # Its values teach nothing but when to stop.
    other = small(test=0).fit(train, valid.with_columns(pl.col("rides") * 2))
    assert other.document["learnt"] == model.document["learnt"]


def test_forecasts_name_their_place(weekly) -> None:
    rows = small(target="forecast:rides,rain", quantiles="0.1,0.9").fit(weekly).predict(
        ahead(weekly)
    )  # fmt: skip
    assert rows.columns == ["origin", "step", "time", "target", "forecast", "q0.1", "q0.5", "q0.9"]
    assert rows.select("origin", "step", "time", "target").rows() == [
        ("2020-07-23", step, time, target)
        for step, time in ((1, "2020-07-24"), (2, "2020-07-25"))
        for target in ("rides", "rain")
    ]


def test_what_the_document_says(weekly) -> None:
    model = small(quantiles="0.1,0.9").fit(weekly)
    document = model.document
    assert document["data"]["rows"] == 200
    assert document["data"]["name"] == "weekly.csv"
    assert document["target"] == {
        "kind": "forecast", "columns": ["rides"], "horizon": 2, "quantiles": [0.1, 0.5, 0.9],
        "headline": "mae",
    }  # fmt: skip
    # rides and rain, day_type of the day itself and of the next two: 2 + 3 x 2 features.
    assert model.network.recurrent.weight_ih_l0.shape[1] == 8
    assert document["network"]["parameters"] == 3 * (5 * 8 + 5 * 5 + 2 * 5) + 6 * 5 + 6
    assert document["training"]["epochs"] == 2
    assert document["training"]["stopped"] == "all 2 epochs done"
    assert model.config.period == 7
    assert model.config.topology == "seq-to-seq"
    json.dumps(document)


def test_series_are_handed_to_figures_as_they_are(weekly) -> None:
    drawn = small().fit(weekly).series(weekly)
    assert drawn["columns"] == ["rides"]
    (group,) = drawn["groups"]
    assert group["key"] is None
    assert group["values"]["rides"].tolist() == typed(weekly)["rides"].to_list()
    assert group["time"][0] == np.datetime64("2020-01-06")


class TestCheck:
    def test_a_good_table_has_nothing_to_say(self, weekly) -> None:
        assert small().check(weekly) == []

    def test_findings_come_worst_first_and_nothing_is_trained(self, weekly) -> None:
        frame = pl.concat([typed(weekly).head(50), typed(weekly).tail(100)]).with_columns(
            rain=pl.lit(1.0), copy=pl.col("rides").shift(-1).fill_null(0)
        )
        model = small(inputs="series:rides,rain,copy")
        findings = model.check(frame)
        severities = [finding.severity for finding in findings]
        assert severities == sorted(severities, key=["error", "warning", "note"].index)
        assert findings[0].severity == "error"
        assert "'copy'" in findings[0].message
        messages = " ".join(finding.message for finding in findings)
        assert "'rain' is constant over the training span" in messages
        assert "1 gap in time" in messages
        assert model.network is None
        with pytest.raises(InputError, match="'copy'"):
            model.fit(frame)

    def test_what_fit_would_refuse_is_a_finding(self, weekly) -> None:
        (finding,) = small(horizon=500).check(weekly)
        assert finding.severity == "error"
        assert "horizon 500" in finding.message

    def test_fit_tells_the_warnings(self, weekly) -> None:
        heard = Recorder()
        model = small().fit(typed(weekly).with_columns(rain=pl.lit(1.0)), observer=heard)
        assert len(heard.warnings) == 1
        assert heard.warnings[0].startswith("table: column 'rain' is constant")
        (finding,) = model.document["data"]["findings"]
        assert finding["severity"] == "warning"


class TestErrors:
    @pytest.mark.parametrize("verb", ["predict", "evaluate", "save"])
    def test_a_model_must_be_fitted_first(self, weekly, tmp_path, verb) -> None:
        with pytest.raises(InputError, match="this model is not fitted: call fit first"):
            getattr(small(), verb)(tmp_path / "new" if verb == "save" else weekly)
        assert not (tmp_path / "new").exists()

    @pytest.mark.parametrize(
        ("options", "message"),
        [
            ({"horizn": 3}, "elman.Model: unknown option 'horizn'; did you mean 'horizon'?"),
            ({"cell": "gruu"}, "cell: 'gruu' is not known; did you mean 'gru'?"),
            ({"horizon": 0}, "horizon: expected a value greater than or equal to 1, got 0"),
            ({"quantiles": "0.5,1.5"}, "quantiles: quantiles lie between 0 and 1, got 0.5, 1.5"),
            ({"inputs": "tabel:a"}, "--input 'tabel:a': the kind: 'tabel' is not known"),
            ({"target": "forcast:a"}, "did you mean 'forecast'?"),
            ({"bidirectional": True}, "bidirectional: with topology seq-to-seq the backward"),
        ],
    )
    def test_options_are_refused_by_name(self, options, message) -> None:
        with pytest.raises(InputError) as error:
            small(**options)
        assert message in str(error.value)

    def test_an_unknown_column_is_refused_and_no_run_begun(self, weekly, tmp_path) -> None:
        with pytest.raises(InputError, match=r"no column 'ride' \(from --target\); did you mean"):
            small(target="forecast:ride").fit(weekly, run=tmp_path / "run")
        assert not (tmp_path / "run").exists()

    def test_a_table_with_other_columns_is_refused(self, weekly) -> None:
        model = small().fit(weekly)
        with pytest.raises(InputError, match="lacks 'rain', which the model was trained on"):
            model.predict(typed(weekly).drop("rain"))

    def test_a_run_in_the_way_is_refused(self, weekly, tmp_path) -> None:
        (tmp_path / "run").mkdir()
        with pytest.raises(InputError, match="exists already"):
            small().fit(weekly, run=tmp_path / "run")
        with pytest.raises(InputError, match="exists already"):
            small().fit(weekly).save(tmp_path / "run")
        assert list((tmp_path / "run").iterdir()) == []

    def test_a_run_from_memory_cannot_be_resumed_and_says_why(self, weekly, tmp_path) -> None:
        small().fit(typed(weekly), run=tmp_path / "run")
        with pytest.raises(InputError, match="was made from a table in memory"):
            Model.resume(tmp_path / "run")
        with pytest.raises(InputError, match="hidden cannot change in the middle of a run"):
            Model.resume(tmp_path / "run", {"hidden": 3})

    @pytest.mark.skipif(torch.cuda.is_available(), reason="a machine without a GPU")
    def test_a_device_that_is_not_there_is_refused(self, weekly) -> None:
        with pytest.raises(InputError, match="device cuda: torch finds none on this machine"):
            small(device="cuda").fit(weekly)
