"""A job of examples: its parts, its losses without padding, what it tells of bad rows."""

from __future__ import annotations

import json

import numpy as np
import polars as pl
import pytest
import torch

from elman.config import Config
from elman.errors import InputError
from elman.kinds import declare, topology_of
from elman.kinds.examples.answers import answer
from elman.kinds.examples.learnt import Learnt

PAIRS = {
    "vector": ("text:text", "category:label"),
    "vector, pooled by attention": ("dna:dna", "category:label"),
    "steps": ("text:text", "tags:tags"),
    "sequence": ("text:text", "text:caption"),
    "sequence of a vector": ("vector:kind", "text:caption"),
    "sequence of two inputs": (["text:text", "series:trace"], "text:caption"),
    "vector of two inputs": (["text:text", "series:trace"], "number:number"),
    "pictures": ("vector:kind", "image:image"),
}
MORE = {
    "vector, pooled by attention": {"pooling": "attention", "bidirectional": True},
    "steps": {"bidirectional": True, "spelling": True},
    "sequence": {"input_feeding": True},
}


@pytest.fixture
def made(make_job, make_examples, options_for):
    """Return a job and a network for it."""

    def made(name: str, **more):
        inputs, target = PAIRS[name]
        options = options_for(inputs, target, **MORE.get(name, {}), **more)
        job = make_job(make_examples(), **options)
        config = Config.parse(options, "test")
        declared = tuple(declare(text, "input") for text in config.inputs)
        topology = topology_of(declared, declare(config.target, "target"), "auto")
        torch.manual_seed(1)
        return job, job.learnt.network(topology, config, {}).eval()

    return made


@pytest.mark.parametrize("name", PAIRS)
def test_a_row_has_the_same_loss_alone_and_beside_longer_ones(made, name) -> None:
    """Teacher-forced losses are of real steps: what a row is padded to changes none of them."""
    job, network = made(name)
    task = job.task("cpu", "float32")
    rows = job.parts["train"]
    with torch.no_grad():
        alone = [
            float(task.loss(network, task.batch(rows[at : at + 1]))) for at in range(len(rows))
        ]
        together = answer(
            job.learnt, network, job.encoded, rows, job.options, write=False
        )  # fmt: skip
    assert together.losses is not None
    np.testing.assert_allclose(together.losses, alone, rtol=2e-5)
    # The mean over answers, each step one: what a batch's loss is, and what validation measures.
    weights = together.counts
    with torch.no_grad():
        whole = float(task.loss(network, task.batch(rows)))
    assert whole == pytest.approx(np.average(alone, weights=weights), rel=1e-5)
    job.parts["valid"] = rows
    assert task.validate(network)[0] == pytest.approx(whole, rel=1e-5)


@pytest.mark.parametrize("name", ["steps", "sequence", "vector of two inputs"])
def test_outputs_come_in_the_order_asked_for(made, monkeypatch, name) -> None:
    """Whatever batches they were answered in."""
    job, network = made(name)
    rows = job.parts["train"][::-1].copy()
    whole = answer(job.learnt, network, job.encoded, rows, job.options)
    monkeypatch.setattr("elman.kinds.examples.answers.ROWS", 2)
    pieces = answer(job.learnt, network, job.encoded, rows, job.options)
    np.testing.assert_allclose(pieces.losses, whole.losses, rtol=1e-5)
    if whole.texts is not None:
        assert [row[0] for row in pieces.texts] == [row[0] for row in whole.texts]
    else:
        for ours, theirs in zip(pieces.outputs, whole.outputs, strict=True):
            np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("name", PAIRS)
def test_every_parameter_is_trained(made, name) -> None:
    job, network = made(name)
    task = job.task("cpu", "float32")
    task.loss(network.train(), task.batch(job.parts["train"])).backward()
    for parameter_name, parameter in network.named_parameters():
        assert parameter.grad is not None, parameter_name
        assert parameter.grad.abs().sum() > 0, parameter_name


@pytest.mark.parametrize("name", PAIRS)
def test_what_was_learnt_survives_being_written(made, name) -> None:
    job, network = made(name)
    again = Learnt.from_dict(json.loads(json.dumps(job.learnt.as_dict())))
    assert again.summary() == job.learnt.summary()
    batch = job.learnt.batch(job.parts["test"], job.encoded.inputs, job.encoded.truths)
    other = again.batch(job.parts["test"], job.encoded.inputs, job.encoded.truths)
    with torch.no_grad():
        assert torch.equal(network(batch), network(other))


def test_a_vocabulary_may_be_shared_whichever_input_is_text(made, make_job, make_examples) -> None:
    options = {
        "inputs": ["series:trace", "text:text"], "target": "text:caption", "tied": True,
        "shared_vocabulary": True, "split": "part", "hidden": 4, "embedding": 4,
    }  # fmt: skip
    job = make_job(make_examples(), **options)
    text, target = job.learnt.inputs[1], job.learnt.target
    assert text.vocabulary == target.vocabulary
    assert {"film", "left"} <= set(text.vocabulary.entries)
    network = job.learnt.network("encoder-decoder", job.options, {})
    embeddings = [name for name, _ in network.named_parameters() if "embed" in name]
    assert embeddings == ["fronts.1.embedding.weight"]  # one matrix: read, fed and written


def test_two_texts_of_a_list_are_two_sentences_to_share_words_of(make_job) -> None:
    frame = pl.DataFrame(
        {"a": ["ein Hund", "eine Katze"] * 4, "b": [["a dog", "the dog"], ["a cat", "the cat"]] * 4}
    )
    job = make_job(
        frame, inputs="text:a", target="text:b", shared_vocabulary=True, valid=0.5, test=0
    )
    assert {"dog", "cat", "the", "Hund"} <= set(job.learnt.inputs[0].vocabulary.entries)


class TestParts:
    def frame(self) -> pl.DataFrame:
        return pl.DataFrame({"a": [f"w{n} x" for n in range(20)], "b": ["p", "q"] * 10})

    def test_what_is_learnt_is_learnt_from_training_rows(self, make_job) -> None:
        frame = self.frame().with_columns(
            part=pl.Series(["train"] * 12 + ["valid"] * 4 + ["test"] * 4)
        )
        job = make_job(frame, inputs="text:a", target="category:b", split="part")
        assert {name: rows.tolist() for name, rows in job.parts.items()} == {
            "train": list(range(12)), "valid": list(range(12, 16)), "test": list(range(16, 20)),
        }  # fmt: skip
        assert set(job.learnt.inputs[0].vocabulary.entries) == {"x", *(f"w{n}" for n in range(12))}

    def test_another_table_validates_and_its_rows_have_its_numbers(self, make_job) -> None:
        other = self.frame().head(6).with_columns(a=pl.lit("w1 y"))
        job = make_job(self.frame(), other, inputs="text:a", target="category:b", test=0.2)
        assert job.parts["valid"].tolist() == list(range(20, 26))
        assert job.asked.numbers(job.parts["valid"]).tolist() == [1, 2, 3, 4, 5, 6]
        assert job.asked.place(22) == "table: row 3"
        assert len(job.parts["test"]) == 4
        assert "y" not in job.learnt.inputs[0].vocabulary.entries

    def test_classes_are_cut_in_proportion(self, make_job) -> None:
        frame = pl.DataFrame({"a": ["x y"] * 40, "b": ["p"] * 30 + ["q"] * 10})
        job = make_job(frame, inputs="text:a", target="category:b", valid=0.2, test=0.2)
        shares = {
            name: np.mean([frame["b"][int(row)] == "q" for row in rows])
            for name, rows in job.parts.items()
        }
        assert shares == {"train": 0.25, "valid": 0.25, "test": 0.25}

    def test_what_belongs_together_stays_together(self, make_job) -> None:
        frame = self.frame().with_columns(who=pl.Series([n // 2 for n in range(20)]))
        job = make_job(frame, inputs="text:a", target="category:b", together="who", valid=0.3)
        for rows in job.parts.values():
            assert set(rows.tolist()) == {row ^ 1 for row in rows.tolist()}

    @pytest.mark.parametrize(
        ("options", "message"),
        [
            ({"level": "character"}, "level 'character': tags stand one beside each word; use "
             "level=word, and spelling to read its letters as well"),
            ({"max_length": 5}, "max_length: would part tags from their words"),
        ],
    )  # fmt: skip
    def test_tags_stand_beside_words(self, make_job, options, message) -> None:
        frame = pl.DataFrame({"a": ["x y"] * 8, "b": ["P Q"] * 8})
        with pytest.raises(InputError) as error:
            make_job(frame, inputs="text:a", target="tags:b", **options)
        assert message in str(error.value)


class TestBadRows:
    def frame(self) -> pl.DataFrame:
        return pl.DataFrame(
            {
                "a": ["x y", "", None, "x y", "x y z", *["x y"] * 7],
                "b": ["P Q", "P", "P", "P", "P Q P", "P R", *["P Q"] * 6],
                "part": ["train"] * 5 + ["valid"] * 4 + ["test"] * 3,
            }
        )

    def prepare(self, make_job, **more):
        findings = []
        options = {"inputs": "text:a", "target": "tags:b", "split": "part"} | more
        return make_job(self.frame(), findings=findings, **options), findings

    def test_the_first_is_refused_and_the_others_counted(self, make_job) -> None:
        with pytest.raises(InputError) as error:
            self.prepare(make_job)
        said = str(error.value)
        assert said.startswith("table: row 2, column 'a': empty text")
        assert said.endswith("leave such rows out: --skip-bad (and 3 more: see `elman check`)")

    def test_skipped_they_are_in_no_part_and_told_with_their_reasons(self, make_job) -> None:
        job, findings = self.prepare(make_job, skip_bad=True)
        assert {name: rows.tolist() for name, rows in job.parts.items()} == {
            "train": [0, 4], "valid": [6, 7, 8], "test": [9, 10, 11],
        }  # fmt: skip
        (warning,) = [f for f in findings if f.severity == "warning"]
        assert warning.message.startswith("4 rows left out as bad; the first: table: row 2, column")
        assert len([f for f in findings if f.severity == "note"]) == 3
        reasons = {row: each["message"] for each in job.skipped for row in each["rows"]}
        assert sorted(reasons) == [2, 3, 4, 6]
        assert "missing text" in reasons[3]
        assert "2 words and 1 tag" in reasons[4]
        assert "'R'" in reasons[6]
        assert job.describe()["skipped"] == list(job.skipped)

    def test_rows_that_no_part_has_do_not_matter(self, make_job) -> None:
        frame = pl.DataFrame(
            {"a": ["x y"] * 8 + [""], "b": ["p", "q"] * 4 + ["p"], "n": [0] * 8 + [1]}
        )
        job = make_job(frame.head(8), frame.tail(1).with_columns(a=pl.lit("y")),
                       inputs="text:a", target="category:b", test=0)  # fmt: skip
        assert job.skipped == ()

    def test_a_part_of_nothing_but_bad_rows_is_refused(self, make_job) -> None:
        frame = self.frame().with_columns(
            a=pl.when(pl.col("part") == "valid").then(pl.lit("")).otherwise("a")
        )
        with pytest.raises(InputError, match="every row of the valid part was left out as bad"):
            make_job(frame, inputs="text:a", target="tags:b", split="part", skip_bad=True)
