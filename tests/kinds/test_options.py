"""Options that mean nothing where they are given are refused; the message says where they do."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from elman.config import Config
from elman.errors import InputError
from elman.kinds import options as kinds_options
from elman.kinds.options import PLACES, meant_for
from elman.model import Model

RECIPES = sorted((Path(__file__).parents[2] / "recipes").glob("*.yaml"))


@pytest.mark.parametrize(
    ("inputs", "target", "option", "message"),
    [
        ("text:a", "category:b", {"bands": 3}, "bands: without effect from text to category"),
        ("text:a", "category:b", {"bands": 3}, "bands is for --input audio; leave it out"),
        ("text:a", "category:b", {"horizon": 2}, "horizon is for --target forecast"),
        ("text:a", "category:b", {"score_range": "-1,1"}, "is for --target score"),
        ("text:a", "tags:b", {"pooling": "mean"}, "pooling is for --topology seq-to-vector"),
        ("series:a", "forecast:b", {"pooling": "mean"}, "from series to forecast (seq-to-seq)"),
        ("text:a", "number:b", {"class_weights": "balanced"}, "--target category or tags"),
        ("text:a", "score:b", {"label_smoothing": 0.1}, "--target category or tags or text"),
        ("text:a", "tags:b", {"multi_label": ";"}, "multi_label is for --target category"),
        ("text:a", "next", {"spelling": True}, "spelling is for --input text"),
        ("text:a", "next", {"word_dropout": 0.1}, "word_dropout is for --input text"),
        ("text:a", "next", {"folds": 3}, "folds is for --target number"),
        ("text:a", "next", {"beam": 2}, "beam is for --target text"),
        ("audio:a", "text:b", {"kmer": 2}, "kmer is for --input dna"),
        ("audio:a", "text:b", {"frames": 2}, "frames is for --input video"),
        ("audio:a", "text:b", {"shared_vocabulary": True}, "--input text and --target text"),
        ("image:a", "text:b", {"attention": "none"}, "is for --topology encoder-decoder"),
        ("image:a", "text:b", {"bidirectional": True}, "seq-to-seq or seq-to-vector or encoder"),
        ("vector:a", "image:b", {"scheduled_sampling": 0.5}, "is for --target text"),
        ("vector:a", "image:b", {"tied": True}, "tied is for --target text or next"),
        ("text:a", "text:b", {"start_with": "state"}, "start_with is for --topology vector-to-seq"),
        ("vector:a", "text:b", {"embedding_dropout": 0.1, "level": "byte"}, ""),
        ("text:a", "next", {"tied": True, "embedding_dropout": 0.1, "tbptt": 5}, ""),
        ("text:a", "category:b", {"horizon": 2, "kmer": 2}, "horizon, kmer: without effect"),
        ("text:a", "category:b", {"fold": 2}, "fold 2: there are no folds"),
        ("text:a", "text:b", {"attention": "none", "input_feeding": True}, "attention is none"),
    ],
)  # fmt: skip
def test_without_effect(inputs, target, option, message) -> None:
    if not message:
        Model(inputs, target, **option)
        return
    with pytest.raises(InputError) as error:
        Model(inputs, target, **option)
    assert message in str(error.value)
    assert "\n" not in str(error.value)


def test_every_option_is_for_something() -> None:
    for name in kinds_options._of_some_kind() | set(PLACES):
        assert name in Config.model_fields
        assert meant_for(name).startswith("--"), name


def test_a_default_given_in_words_is_not_refused() -> None:
    """A configuration that was written out has every option in it."""
    whole = Config.parse({"inputs": "text:a", "target": "category:b"}, "test")
    again = Config.parse(yaml.safe_load(whole.to_yaml()), "test")
    assert Model.from_config(again).config == whole


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_recipes_ask_for_nothing_in_vain(path) -> None:
    values = yaml.safe_load(path.read_text())
    if "inputs" in values:  # else it is the table of published results
        Model(**values)
