"""Runs on examples and on text, interrupted within an epoch, end as if they never were."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path

import pytest

from elman.model import Model
from elman.training.loop import Interrupted
from elman.training.observer import Observer

RUNS = {
    "own words fed, averaged weights": (
        "series:trace", "text:caption", {"scheduled_sampling": 0.8, "average": 0.9},
    ),
    "one matrix for words in and out": (
        "text:text", "text:caption", {"tied": True, "shared_vocabulary": True, "dropout": 0.3},
    ),
    "words dropped": (
        "text:text", "tags:tags",
        {"word_dropout": 0.3, "embedding_dropout": 0.2, "bidirectional": True, "keep": "last"},
    ),
    "strands turned": ("dna:dna", "category:label", {"reverse_complement": True}),
    "sound blanked": ("audio:sound", "category:label", {"spectrum_masking": True}),
    "pictures shifted": ("image:image", "text:caption", {"shifting": True, "mirroring": True}),
    "rows in chunks": (
        "text:text", "tags:tags",
        {"tbptt": 3, "batch_size": 2, "cell": "lstm", "layers": 2, "dropout": 0.3},
    ),
    "a carried state": ("text:text", "next", {"tbptt": 4, "batch_size": 2, "cell": "lstm"}),
    "a carried state, averaged, tied": (
        "text:text", "next",
        {"tbptt": 4, "batch_size": 2, "average": 0.8, "tied": True, "layers": 2, "dropout": 0.3},
    ),
}  # fmt: skip
FILES = ("model.safetensors", "predictions.csv", "samples.json")


class Stop(Observer):
    """Presses Ctrl-C at some optimiser steps, of all sessions together."""

    def __init__(self, *at: int) -> None:
        self.at = at

    def step(self, progress, num_batches) -> None:
        if progress.step in self.at:
            os.kill(os.getpid(), signal.SIGINT)


def metrics(run: Path) -> list[dict]:
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    return [{k: v for k, v in line.items() if "second" not in k} for line in lines]


@pytest.mark.parametrize("name", RUNS)
def test_the_same_bits(name, examples, options_for, tmp_path, monkeypatch) -> None:
    monkeypatch.setattr("elman.kinds.generation.use._SAMPLES", ((0.5, 5),))
    inputs, target, more = RUNS[name]
    options = options_for(inputs, target, epochs=3, patience=0, **more)
    Model(**options).fit(examples, run=tmp_path / "unbroken")
    steps = 3 if target != "next" else 10  # of an epoch, about
    broken = tmp_path / "broken"
    with pytest.raises(Interrupted):
        Model(**options).fit(examples, run=broken, observer=Stop(1))
    assert not (broken / "model.json").exists()
    for step in (steps + 1, 2 * steps + 2):
        with pytest.raises(Interrupted):
            Model.resume(broken, observer=Stop(step))
    Model.resume(broken)
    for file in FILES:
        assert (broken / file).read_bytes() == (tmp_path / "unbroken" / file).read_bytes(), file
    assert metrics(broken) == metrics(tmp_path / "unbroken")
