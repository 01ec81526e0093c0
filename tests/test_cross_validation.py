"""Cross-validation: each row answered once by a model that did not see it; means; interruptions."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from torch import nn

import elman
from elman.cross_validation import cross_validate, resume_cross_validation, summarise
from elman.errors import InputError
from elman.model import Model
from elman.training.loop import Interrupted
from elman.training.observer import Observer


class Heard(Observer):
    def __init__(self) -> None:
        self.messages: list[str] = []

    def message(self, text, *, warning=False) -> None:
        self.messages.append(text)


class StopAt(Observer):
    """Presses Ctrl-C at one of all optimiser steps, whatever fold it is in."""

    def __init__(self, number: int) -> None:
        self.left = number

    def step(self, progress, num_batches) -> None:
        self.left -= 1
        if not self.left:
            os.kill(os.getpid(), signal.SIGINT)


@pytest.fixture
def options(options_for):
    def options(**more):
        given = options_for("text:text", "category:label", folds=3, valid=0.25, dropout=0.2)
        del given["split"]
        return given | more

    return options


def files(run: Path) -> dict[str, bytes]:
    """What must be the same however often a run was interrupted."""
    names = [Path("model.safetensors"), Path("predictions.csv"), Path("samples.json")]
    names += [Path("folds") / f"{n}" / name for n in (1, 2, 3) for name in names[:2]]
    return {str(name): (run / name).read_bytes() for name in names}


@pytest.fixture
def validated(examples, options, tmp_path):
    heard = Heard()
    model = cross_validate(Model(**options()), examples, tmp_path / "run", heard)
    return model, tmp_path / "run", heard


def test_every_row_is_answered_once_by_a_model_that_did_not_see_it(validated, examples) -> None:
    _, run, heard = validated
    assert heard.messages == [*(f"fold {n} of 3" for n in (1, 2, 3)),
                              "all rows, for the model to keep"]  # fmt: skip
    told = pl.read_csv(run / "predictions.csv")
    assert sorted(told["row"].to_list()) == list(range(1, 25))
    assert told["fold"].value_counts(sort=True)["count"].to_list() == [8, 8, 8]
    labels = pl.read_parquet(examples)["label"].to_list()
    assert [labels[row - 1] for row in told["row"]] == told["truth"].to_list()
    for number in (1, 2, 3):
        fold = elman.load(run / f"folds/{number}")
        own = told.filter(fold=number)
        answers = fold.predict(pl.read_parquet(examples)[own["row"].to_numpy() - 1])
        assert answers["prediction"].to_list() == own["prediction"].to_list()
        assert answers["probability"].to_list() == pytest.approx(
            own["probability"].to_list(), rel=1e-5
        )
        # Each class in proportion.
        assert sorted(own["truth"].to_list()) == ["neg"] * 4 + ["pos"] * 4


def test_scores_are_means_of_the_folds_and_their_spread(validated) -> None:
    model, run, _ = validated
    told = pl.read_csv(run / "predictions.csv")
    each = [
        (own["prediction"] == own["truth"]).mean()
        for own in (told.filter(fold=number) for number in (1, 2, 3))
    ]
    (score,) = [row for row in model.document["scores"] if row["kind"] == "model"]
    assert score["split"] == "folds"
    assert score["n"] == 24
    assert score["accuracy"] == pytest.approx(np.mean(each))
    assert score["accuracy_sd"] == pytest.approx(np.std(each, ddof=1))
    folds = [row for row in model.document["folds"] if row["kind"] == "model"]
    assert [row["accuracy"] for row in folds] == pytest.approx(each)
    assert [row["fold"] for row in folds] == [1, 2, 3]
    assert "On the rows of each fold" in model.document["verdict"]
    samples = json.loads((run / "samples.json").read_text())
    assert np.sum(samples["details"]["test"]["confusion"]) == 24
    assert {example["split"] for example in samples["examples"]} == {"test"}
    # The model that is kept was trained on all rows but those that validate.
    assert model.document["data"]["parts"] == {"train": 18, "valid": 6, "test": 0}
    assert elman.load(run).document == model.document


def test_a_metric_that_a_fold_lacks_has_no_mean() -> None:
    row = {"split": "test", "forecaster": "gru", "kind": "model", "target": "y", "step": 0}
    documents = [
        {"scores": [row | {"n": 1, "accuracy": 0.5, "roc_auc": None}, row | {"split": "valid"}]},
        {"scores": [row | {"n": 3, "accuracy": 1.0, "roc_auc": 0.7}]},
    ]
    (joined,), spread = summarise(documents)
    assert joined["accuracy"] == 0.75
    assert joined["n"] == 4
    assert "roc_auc" not in joined
    assert [each["fold"] for each in spread] == [1, 2]


@pytest.mark.parametrize("step", [2, 9, 20])
def test_interrupted_in_any_fold_it_ends_as_if_it_never_was(
    validated, examples, options, tmp_path, step
) -> None:
    """Each fold trains 2 epochs of 3 steps, and all rows 2 of 5."""
    run = tmp_path / "again"
    with pytest.raises(Interrupted):
        cross_validate(Model(**options()), examples, run, StopAt(step))
    model = resume_cross_validation(run)
    assert files(run) == files(validated[1])
    assert model.document["scores"] == validated[0].document["scores"]
    # What is finished stays as it is.
    assert resume_cross_validation(run).document["scores"] == model.document["scores"]
    assert files(run) == files(validated[1])


def test_one_fold_alone_is_that_of_the_cross_validation(validated, examples, options) -> None:
    _, run, _ = validated
    alone = Model(**options(fold=2)).fit(examples)
    assert alone.document["scores"] == elman.load(run / "folds/2").document["scores"]


def test_folds_by_a_column(examples, options, tmp_path) -> None:
    model = cross_validate(
        Model(**options(folds=None, folds_by="part", epochs=1)), examples, tmp_path / "run"
    )
    told = pl.read_csv(tmp_path / "run/predictions.csv")
    parts = pl.read_parquet(examples)["part"].to_list()
    for number, part in enumerate(["test", "train", "valid"], start=1):
        assert {parts[row - 1] for row in told.filter(fold=number)["row"]} == {part}
    assert [row["n"] for row in model.document["folds"] if row["kind"] == "model"] == [6, 12, 6]


def test_a_network_of_ones_own_begins_every_fold_as_it_was_given(
    examples, options_for, tmp_path
) -> None:
    own = nn.Sequential(nn.Flatten(), nn.Linear(3 * 8 * 8, 3))
    given = {name: value.clone() for name, value in own.state_dict().items()}
    options = options_for("image:image", "text:caption", folds=2, valid=0.25, epochs=1)
    del options["split"], options["channels"], options["picture_features"]
    model = Model(**options, modules={"image": own})
    fitted = cross_validate(model, examples, tmp_path / "run")
    assert all((value == given[name]).all() for name, value in own.state_dict().items())
    loaded = elman.load(tmp_path / "run", modules={"image": own})
    assert loaded.predict(examples).equals(fitted.predict(examples))
    one = Model(**options | {"fold": 1}, modules={"image": own}).fit(examples)
    assert one.document["scores"] == elman.load(
        tmp_path / "run/folds/1", modules={"image": own}
    ).document["scores"]  # fmt: skip


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ({"folds": 30}, "30 folds of 24 rows; choose fewer --folds"),
        ({"folds": None}, "expected folds=10, say, or folds_by=COLUMN"),
        ({"folds": None, "folds_by": "parts"}, "no column 'parts' (from --folds-by); did you mean"),
        ({"split": "part"}, "folds share all rows out; leave --split and --valid-table out"),
        ({"fold": 5}, "fold 5: there are 3 folds"),
    ],
)
def test_what_cannot_be_is_refused(examples, options, tmp_path, more, message) -> None:
    model, run = Model(**options(**more)), tmp_path / "run"
    train = model.fit if "fold" in more else lambda table: cross_validate(model, table, run)
    with pytest.raises(InputError) as error:
        train(examples)
    assert message in str(error.value)


def test_fit_trains_one_network_and_says_where_folds_are_trained(examples, options) -> None:
    with pytest.raises(InputError, match=r"elman\.cross_validate"):
        Model(**options()).fit(examples)
    with pytest.raises(InputError, match="reads its table from a file, got DataFrame in memory"):
        cross_validate(Model(**options()), pl.read_parquet(examples), "nowhere")  # pyright: ignore
