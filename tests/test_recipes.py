"""Recipes: their files are whole, and what is made of finished runs has the right values."""

from __future__ import annotations

import importlib.util
import json
import math
import sys
from pathlib import Path

import polars as pl
import pytest
import yaml

from elman.config import Config, read_config
from elman.data.named.records import DATASETS
from elman.errors import InputError
from elman.kinds.scoring.metrics import METRICS
from elman.model import Model

RECIPES = Path(__file__).parent.parent / "recipes"
PUBLISHED = yaml.safe_load((RECIPES / "published.yaml").read_text())


def load(name):
    spec = importlib.util.spec_from_file_location(name, RECIPES / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = sys.modules[name] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


summary, smoke = load("summary"), load("smoke")
runner = load("run")


A_RESULT = {"what": "sites", "data": "splice", "seconds": [1.0]}


def recipe_files():
    return sorted(path for path in RECIPES.glob("*.yaml") if path.stem != "published")


@pytest.mark.parametrize("path", recipe_files(), ids=lambda path: path.stem)
def test_recipe_has_known_options_all_with_effect(path):
    options = read_config(path)
    Model.from_config(Config.parse(options, str(path)))
    name, dataset = Path(options["table"]).stem, DATASETS[Path(options["table"]).stem]
    assert options["table"] == f"{name}{dataset.kind}"
    assert path.read_text().startswith("# ")


def test_every_recipe_has_its_entry_and_every_entry_its_recipe():
    assert set(PUBLISHED) == {path.stem for path in recipe_files()}


@pytest.mark.parametrize("name", PUBLISHED)
def test_entry_says_what_can_be_looked_up(name):
    entry = PUBLISHED[name]
    assert set(entry) <= {"what", "seeds", "scores"}
    config = Config.parse(read_config(RECIPES / f"{name}.yaml"), name)
    by_folds = bool(config.folds or config.folds_by)
    for score in entry["scores"]:
        known = {"metric", "split", "target", "step", "until", "published", "asked"}
        assert set(score) <= known
        assert score["metric"] in METRICS
        assert (score.get("split", "test") == "folds") == by_folds
        assert isinstance(score.get("published", ""), str)
        if score.get("split", "test") == "test":
            assert config.test != "0"


def test_results_are_of_recipes():
    for path in (RECIPES / "results").glob("*.json"):
        result = json.loads(path.read_text())
        asked = [
            (score["metric"], score.get("split", "test"))
            for score in PUBLISHED[path.stem]["scores"]
        ]
        assert [(score["metric"], score["split"]) for score in result["scores"]] == asked
        assert all(map(math.isfinite, [*result["seconds"], *(s["mean"] for s in result["scores"])]))


def a_row(split, forecaster, accuracy, n=100, **more):
    kind = "baseline" if forecaster in ("majority class", "logistic") else "model"
    row = {"split": split, "forecaster": forecaster, "kind": kind, "target": "site", "step": 0}
    return row | {"n": n, "accuracy": accuracy} | more


def a_model(scores, seconds=10.0, **more):
    return {
        "elman": "0.1.0",
        "versions": {"torch": "2"},
        "platform": "a machine",
        "data": {"name": "splice.csv"},
        "network": {"summary": "1 layer", "parameters": 5},
        "scores": scores,
        "training": {"seconds": seconds, "epochs": 3},
    } | more


def write_run(folder, model, seed=0):
    folder.mkdir(parents=True)
    (folder / "model.json").write_text(json.dumps(model))
    (folder / "config.yaml").write_text(f"seed: {seed}\n")
    return folder


def test_scores_of_seeds(tmp_path):
    folders = []
    for seed, (ours, theirs) in enumerate([(0.9, 0.7), (0.8, 0.72), (0.94, 0.74)]):
        scores = [
            a_row("valid", "gru", 0.1),
            a_row("test", "majority class", 0.5),
            a_row("test", "gru", ours),
            a_row("test", "logistic", theirs),
        ]
        model = a_model(scores, seconds=10.0 + seed)
        folders.append(write_run(tmp_path / str(seed), model, seed))
    asked = {"metric": "accuracy", "published": "85", "asked": 88}
    result = summary.summarise({"what": "sites", "scores": [asked]}, folders)
    assert result["seeds"] == [0, 1, 2]
    assert result["seconds"] == [10, 11, 12]
    (score,) = result["scores"]
    assert score["values"] == [0.9, 0.8, 0.94]
    assert score["mean"] == pytest.approx(0.88)
    assert score["sd"] == pytest.approx(math.sqrt((0.02**2 + 0.08**2 + 0.06**2) / 2))
    assert score["baseline"]["name"] == "logistic"
    assert score["baseline"]["value"] == pytest.approx(0.72)
    assert summary.table_of({"sites": result})[2:] == [
        "| [sites](sites.yaml) | `elman data get splice; elman fit --config recipes/sites.yaml` | "
        "accuracy, %; test | **88.0 ± 7.2** | 72.0 (logistic) | 85 | ≥ 88 | 11.0 s |"
    ]


def test_scores_of_folds_weigh_by_rows_and_add_up_the_time(tmp_path):
    folds = [
        {"fold": 1} | a_row("test", "gru", 0.9, 300),
        {"fold": 1} | a_row("test", "logistic", 0.95, 300),
        {"fold": 2} | a_row("test", "gru", 0.5, 100),
        {"fold": 2} | a_row("test", "logistic", 0.55, 100),
    ]
    together = [a_row("folds", "gru", 0.8, 400), a_row("folds", "logistic", 0.85, 400)]
    folder = write_run(tmp_path / "0", a_model(together, folds=folds))
    for number in (1, 2):
        write_run(folder / "folds" / f"{number}", a_model([], seconds=20.0))
    asked = {"metric": "accuracy", "split": "folds", "asked": "baseline"}
    result = summary.summarise({"what": "sites", "scores": [asked]}, [folder])
    (score,) = result["scores"]
    assert score["values"] == [0.9, 0.5]
    assert score["mean"] == pytest.approx(0.8)
    assert score["sd"] == pytest.approx(0.4 / math.sqrt(2))
    assert score["baseline"] == {"name": "logistic", "value": 0.85}
    assert not summary.reached(score)
    assert result["seconds"] == [50]
    assert result["epochs"] == [9]


def test_score_of_a_step_and_until_a_day(tmp_path):
    place = {"target": "rail", "mae": 100.0}
    scores = [
        a_row("valid", "gru", None, **place) | {"step": 1},
        a_row("valid", "logistic", None, **place | {"mae": 150.0}) | {"step": 1},
        a_row("valid", "gru", None, **place | {"mae": 900.0}) | {"step": 2},
    ]
    folder = write_run(tmp_path / "0", a_model(scores))
    pl.DataFrame(
        {
            "split": ["test"] * 4,
            "target": ["rail"] * 4,
            "step": [1, 1, 2, 1],
            "time": ["2019-12-30", "2019-12-31", "2019-12-31", "2020-01-01"],
            "truth": [10.0, 20.0, 0.0, 0.0],
            "forecast": [13.0, 19.0, 99.0, 500.0],
            "baseline": [16.0, 22.0, 99.0, 0.0],
        }
    ).write_csv(folder / "predictions.csv")
    wanted = [
        {"metric": "mae", "split": "valid", "target": "rail", "step": 1, "asked": 100},
        {"metric": "mae", "target": "rail", "step": 1, "until": "2019-12-31"},
    ]
    valid, until = summary.summarise({"what": "rides", "scores": wanted}, [folder])["scores"]
    assert (valid["mean"], valid["sd"], valid["baseline"]["value"]) == (100, None, 150)
    assert summary.reached(valid)
    assert (until["mean"], until["baseline"]["value"], until["rows"]) == (2, 4, [2])
    assert summary.in_words(until) == "MAE; rail +1, test until 2019-12-31: 2.000"


def test_a_metric_that_no_run_has_is_an_error(tmp_path):
    folder = write_run(tmp_path / "0", a_model([a_row("test", "gru", 0.5)]))
    with pytest.raises(ValueError, match="no bleu of test"):
        summary.summarise({"what": "", "scores": [{"metric": "bleu"}]}, [folder])


@pytest.mark.parametrize(
    ("metric", "value", "like", "text"),
    [
        ("accuracy", 0.96149, None, "96.1"),
        ("mae", 19023.4, None, "19,023"),
        ("mae", 101.2, 19023.4, "101"),
        ("perplexity", 110.26, None, "110.3"),
        ("nats", 1.4321, None, "1.432"),
        ("nats", 0.0953, None, "0.095"),
        ("log_loss", 0.0093851, None, "0.0094"),
        ("log_loss", 0.00002, None, "0.000020"),
        ("log_loss", 0.0, None, "0.000"),
        ("bleu", 0.214, 35.2, "0.2"),
        ("bleu", 8.295, None, "8.3"),
    ],
)
def test_numbers_for_people(metric, value, like, text):
    assert summary.shown(metric, value, like=like) == text


@pytest.mark.parametrize(
    ("mean", "asked", "text"),
    [(0.9596, 96, "95.96 ± 1.70"), (0.96, 96, "**96.0 ± 1.7**"), (0.951, 96, "95.1 ± 1.7")],
)
def test_rounding_does_not_reach_what_was_asked(mean, asked, text):
    score = {"metric": "accuracy", "split": "folds", "mean": mean, "sd": 0.017, "asked": asked}
    lines = summary.table_of(
        {"splice": {"scores": [score | {"step": 0, "baseline": None}]} | A_RESULT}
    )
    assert lines[-1].split(" | ")[3] == text


@pytest.mark.parametrize(
    ("seconds", "text"), [(3.21, "3.2 s"), (840, "14 min"), (7200, "2.0 h"), (7201, "2.1 h")]
)
def test_durations(seconds, text):
    assert summary.duration(seconds) == text


def test_table_stands_between_its_marks(tmp_path, monkeypatch):
    monkeypatch.setattr(runner, "HERE", tmp_path)
    page = tmp_path / "README.md"
    page.write_text(f"before\n\n{runner.BEGIN}\nold\n{runner.END}\n\nafter\n")
    runner.write_table({"splice": {}})
    expected = "\n".join(["before", "", runner.BEGIN, *summary.HEADER, runner.END, "", "after", ""])
    assert page.read_text() == expected


def test_a_run_with_other_options_is_refused(tmp_path):
    recipe = tmp_path / "splice.yaml"
    recipe.write_text(
        "table: splice.csv\ninputs: dna:sequence\ntarget: category:site\nhidden: 32\n"
    )
    made = Config.parse(read_config(recipe) | {"seed": 1, "threads": 2}, "test")
    run = tmp_path / "1"
    run.mkdir()
    (run / "config.yaml").write_text(
        made.model_copy(update={"topology": "seq-to-vector"}).to_yaml()
    )
    runner.refuse_other_options(recipe, 1, run)
    with pytest.raises(InputError, match=r"was made with seed 1, now 2; remove it to run splice"):
        runner.refuse_other_options(recipe, 2, run)
    recipe.write_text(recipe.read_text().replace("32", "64"))
    with pytest.raises(InputError, match="was made with hidden 32, now 64"):
        runner.refuse_other_options(recipe, 1, run)


def a_config(**options):
    return Config.parse({"inputs": "text:text", "target": "category:label"} | options, "test")


def test_slice_takes_some_rows_of_every_part_and_the_media_beside(tmp_path):
    (tmp_path / "data" / "clips").mkdir(parents=True)
    (tmp_path / "data" / "clips" / "a.mp4").write_bytes(b"film")
    parts = ["train"] * 500 + ["test"] * 200 + ["valid"] * 7
    frame = pl.DataFrame({"text": [str(row) for row in range(707)], "split": parts})
    frame.write_csv(tmp_path / "data" / "clips.csv")
    folder = tmp_path / "small"
    folder.mkdir()
    path = smoke.slice_of(tmp_path / "data" / "clips.csv", a_config(split="split"), folder)
    small = pl.read_csv(path)
    counts = dict(small["split"].value_counts().iter_rows())
    assert counts == {"train": smoke.ROWS, "test": smoke.ROWS // 4, "valid": 7}
    assert small["text"].is_sorted()
    assert (folder / "clips" / "a.mp4").read_bytes() == b"film"


def test_slice_of_folds_by_has_a_few_values(tmp_path):
    frame = pl.DataFrame({"text": ["a"] * 9, "who": ["x", "y", "z"] * 3})
    frame.write_parquet(tmp_path / "voices.parquet")
    folder = tmp_path / "small"
    folder.mkdir()
    path = smoke.slice_of(tmp_path / "voices.parquet", a_config(folds_by="who"), folder)
    assert pl.read_parquet(path)["who"].to_list() == ["x", "y"] * 3


def test_options_are_made_small_but_not_larger():
    options = {"hidden": 512, "epochs": 12, "batch_size": 8, "cell": "lstm", "target": "next"}
    expected = options | {"hidden": 8, "epochs": 1}
    assert smoke.smaller(options) == expected


def test_the_end_of_a_series_is_not_known_when_it_is_forecast(tmp_path):
    days = ["02/01/2021", "01/31/2021", "02/02/2021", "01/30/2021"]
    frame = pl.DataFrame({"day": days, "kind": list("abcd"), "rides": [3, 2, 4, 1]})
    frame.write_csv(tmp_path / "rides.csv")
    config = a_config(
        inputs="series:rides", target="forecast:rides", time="day", known="kind", horizon=2
    )
    ahead = pl.read_csv(smoke.to_predict(tmp_path / "rides.csv", config))
    assert ahead.rows() == [
        ("02/01/2021", "a", None), ("01/31/2021", "b", 2), ("02/02/2021", "c", None),
        ("01/30/2021", "d", 1),
    ]  # fmt: skip


def test_sets_that_cannot_be_fetched_are_skipped_unless_they_should_be_there(
    tmp_path, monkeypatch, capsys
):
    def fail(name, to):
        raise InputError(f"{name}: no network")

    monkeypatch.setattr(smoke, "fetch", fail)
    monkeypatch.delenv("ELMAN_DATA", raising=False)
    recipes = {RECIPES / "splice.yaml": PUBLISHED["splice"]}
    assert smoke.smoke(recipes, tmp_path) == 0
    assert "splice: no network" in capsys.readouterr().out
    monkeypatch.setenv("ELMAN_DATA", str(tmp_path))
    with pytest.raises(InputError, match="no network"):
        smoke.smoke(recipes, tmp_path)
