"""Which questions are asked, what counts as right, and what the report is given to show."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import torch

from elman.data.media import source
from elman.data.table import read_table
from elman.kinds.examples.evaluation import examples_of, features_of, questions, truths_of
from elman.kinds.examples.rows import Rows
from elman.model import Model


class TestRows:
    def test_cells_come_in_the_order_asked_for_from_every_table(self) -> None:
        tables = tuple(read_table(pl.DataFrame({"a": list(part)})) for part in ("abcd", "efg"))
        rows = Rows(tables, ("a",))
        assert [cells[0] for cells in rows] == list("abcdefg")
        asked = np.array([6, 0, 4, 3, 0])
        assert [cells[0] for cells in rows.at(asked)] == list("gaeda")
        assert [cells[0] for cells in rows.each(asked)] == list("gaeda")
        assert [cells[0] for cells in rows.only(asked)] == list("adeg")
        assert rows.numbers(asked).tolist() == [3, 1, 1, 4, 1]
        assert rows.place(4) == "table: row 1"
        assert rows.count == 7

    def test_no_more_than_some_are_held_at_once(self, monkeypatch) -> None:
        monkeypatch.setattr("elman.kinds.examples.rows._AT_ONCE", 2)
        rows = Rows((read_table(pl.DataFrame({"a": list("abcde")})),), ("a",))
        assert [cells[0] for cells in rows.each(np.arange(5))] == list("abcde")

    def test_media_cells_are_files_of_the_tables_folder(self, tmp_path) -> None:
        pl.DataFrame({"a": ["x.wav"]}).write_csv(tmp_path / "t.csv")
        (cells,) = list(Rows((read_table(tmp_path / "t.csv"),), ("a",), media=True))
        assert cells[0].path == tmp_path / "x.wav"

    def test_lists_of_numbers_come_as_arrays_where_they_are_asked_for(self) -> None:
        frame = pl.DataFrame({"a": [[1, 2], [3]], "b": ["x", "y"], "c": [["p"], ["q"]]})
        cells = list(Rows((read_table(frame),), ("a", "b", "c"), arrays=True))
        assert [(a.tolist(), b, list(c)) for a, b, c in cells] == frame.rows()
        assert isinstance(cells[0][0], np.ndarray)
        rows = Rows((read_table(frame),), ("a",), arrays=True)
        assert [a.tolist() for (a,) in rows.at([1, 0, 1])] == [[3], [1, 2], [3]]
        (plain, _) = Rows((read_table(frame),), ("a",))
        assert type(plain[0]) is list

    @pytest.mark.parametrize("cells", [[[1, None], [3]], [[1], None], [[1], []]], ids=repr)
    def test_where_something_is_missing_the_cells_stay_as_they_are(self, cells) -> None:
        frame = pl.DataFrame({"a": pl.Series(cells, dtype=pl.List(pl.Int64))})
        assert [a for (a,) in Rows((read_table(frame),), ("a",), arrays=True)] == cells


class TestQuestions:
    def test_long_series_are_told_apart_by_their_middle(self, make_job) -> None:
        values = np.zeros((3, 3000))
        values[1, 1500] = 1
        frame = pl.DataFrame({"x": values.tolist(), "caption": ["A", "B", "C"]})
        job = self.job(make_job, frame, inputs="series:x", valid=0.4)
        rows, truths = questions(job, np.arange(3))
        assert rows.tolist() == [0, 1]
        assert truths == [["A", "C"], ["B"]]

    def job(self, make_job, frame, **more):
        options = {"target": "text:caption", "valid": 0.5, "test": 0} | more
        return make_job(frame, **options)

    def test_rows_of_the_same_input_are_one_with_several_right_answers(self, make_job) -> None:
        frame = pl.DataFrame(
            {"text": ["a a", "b b", "a a", "c c"], "caption": ["A", "B", "another A", "C"]}
        )
        job = self.job(make_job, frame, inputs="text:text")
        rows, truths = questions(job, np.arange(4))
        assert rows.tolist() == [0, 1, 3]
        assert truths == [["A", "another A"], ["B"], ["C"]]
        assert truths_of(job, np.array([2, 0])) == [["another A"], ["A"]]

    def test_a_cell_may_list_several_right_answers(self, make_job) -> None:
        frame = pl.DataFrame({"text": ["a a", "a a", "b b", "b b"],
                              "caption": [["A", "one A"], ["A too"], ["B"], ["B"]]})  # fmt: skip
        job = self.job(make_job, frame, inputs="text:text")
        _, truths = questions(job, np.arange(3))
        assert truths == [["A", "one A", "A too"], ["B"]]

    def test_files_in_the_table_are_told_apart_by_their_bytes(
        self, make_job, make_examples
    ) -> None:
        frame = make_examples(8)
        assert str(source(frame["image"][0], Path())) == str(source(frame["image"][1], Path()))
        job = self.job(make_job, frame, inputs="image:image", picture_size=8)
        rows, truths = questions(job, np.arange(8))
        assert rows.tolist() == [0, 1]
        assert truths == [["the right one"] * 4, ["left is white"] * 4]

    def test_all_inputs_together_make_a_question(self, make_job) -> None:
        frame = pl.DataFrame(
            {"text": ["a a"] * 4, "kind": ["x", "x", "y", "y"], "caption": ["1", "2", "3", "4"]}
        )
        job = self.job(make_job, frame, inputs=["text:text", "vector:kind"])
        rows, truths = questions(job, np.arange(4))
        assert rows.tolist() == [0, 2]
        assert truths == [["1", "2"], ["3", "4"]]

    def test_each_picture_to_be_drawn_is_scored_for_itself(self, make_job, make_examples) -> None:
        """There is no best answer to a name: the loss is that of every picture."""
        job = make_job(make_examples(8), inputs="vector:kind", target="image:image",
                       picture_size=8, valid=0.5, test=0)  # fmt: skip
        rows, truths = questions(job, np.arange(8))
        assert rows.tolist() == list(range(8))
        assert truths[0][0].shape == (8, 8)
        assert (truths[1][0] == truths[3][0]).all()
        assert (truths[0][0] != truths[1][0]).any()

    def test_every_truth_counts_in_the_loss(self, make_examples, options_for) -> None:
        """Five captions of a picture: BLEU by the best, perplexity of all of them."""
        frame = make_examples(24).with_columns(
            caption=pl.Series([f"number {n % 5}" for n in range(24)])
        )
        model = Model(**options_for("image:image", "text:caption", epochs=1)).fit(frame)
        (score,) = [
            r for r in model.document["scores"] if (r["split"], r["kind"]) == ("test", "model")
        ]
        assert score["n"] == 2
        test = frame.filter(part="test")
        assert model.network is not None
        alone = [
            model.evaluate(test[at : at + 1]).scores[0]["perplexity"] for at in range(test.height)
        ]
        assert score["perplexity"] == pytest.approx(np.exp(np.log(alone).mean()), rel=1e-4)


class TestFeatures:
    def test_means_and_deviations_over_time(self, make_job, make_examples) -> None:
        frame = make_examples(8)
        job = make_job(frame, inputs=["series:trace", "vector:number"], target="category:label",
                       valid=0.5, test=0)  # fmt: skip
        examples = examples_of(job, np.array([3, 0]), truths_of(job, np.array([3, 0])))
        encoded = job.encoded.inputs[0][3]
        assert examples.features is not None
        assert examples.features.shape == (2, 3)
        assert examples.features[0, :2] == pytest.approx([encoded.mean(), encoded.std()], rel=1e-6)
        assert examples.inputs == {"number": [frame["number"][3], frame["number"][0]]}

    def test_pictures_are_means_of_patches(self, make_job, make_examples) -> None:
        job = make_job(make_examples(8), inputs="image:image", target="text:caption",
                       picture_size=16, color="gray", valid=0.5, test=0)  # fmt: skip
        kind, encoded = job.learnt.inputs[0], job.encoded.inputs[0]
        found = features_of(kind, encoded, np.array([1, 2]))
        assert found.shape == (2, 64)
        picture = np.asarray(encoded[1][0], np.float32)[..., 0]
        expected = picture.reshape(8, 2, 8, 2).mean((1, 3)).ravel()
        np.testing.assert_allclose(found[0], expected, rtol=1e-5)


class TestSamples:
    def samples(self, examples, options_for, tmp_path, inputs, target, **more) -> list[dict]:
        Model(**options_for(inputs, target, **more)).fit(examples, run=tmp_path / "run")
        return json.loads((tmp_path / "run/samples.json").read_text())["examples"]

    def test_the_running_answer_is_that_of_each_beginning(self, examples, options_for, tmp_path):
        options = options_for("text:text", "category:label", pooling="mean", bidirectional=True)
        model = Model(**options).fit(examples, run=tmp_path / "run")
        shown = json.loads((tmp_path / "run/samples.json").read_text())["examples"]
        for example in shown:
            tokens = example["inputs"][0]["tokens"]
            running = example["running"]
            assert len(running["values"]) == len(tokens)
            said = running["label"].removeprefix("probability of ")
            assert said == example["prediction"]
            beginnings = [" ".join(tokens[:n]) for n in range(1, len(tokens) + 1)]
            answers = model.predict(pl.DataFrame({"text": beginnings}))
            assert running["values"] == pytest.approx(answers[f"p_{said}"].to_list(), abs=1e-4)
            assert example["probabilities"][said] == pytest.approx(running["values"][-1], abs=1e-4)

    def test_the_worst_have_the_highest_loss(self, examples, options_for, tmp_path) -> None:
        shown = self.samples(examples, options_for, tmp_path, "text:text", "category:label")
        losses = {
            why: [each["loss"] for each in shown if each["why"] == why]
            for why in ("worst", "best", "typical")
        }
        told = pl.read_csv(tmp_path / "run/predictions.csv").filter(split="test")
        assert losses["worst"] == sorted(losses["worst"], reverse=True)
        assert losses["worst"][0] == pytest.approx(told["loss"].max(), abs=1e-4)
        assert losses["best"][0] == pytest.approx(told["loss"].min(), abs=1e-4)
        rows = [each["row"] for each in shown]
        assert len(set(rows)) == len(rows) == 6  # all that test, each once

    def test_saliency_is_the_gradient_by_differences(self, examples, options_for, tmp_path) -> None:
        """A letter's weight is the slope of the answer along its features, times those."""
        options = options_for("dna:dna", "number:number", epochs=1)
        model = Model(**options).fit(examples, run=tmp_path / "run")
        (example, *_) = json.loads((tmp_path / "run/samples.json").read_text())["examples"]
        values = example["saliency"]["values"]
        letters = example["inputs"][0]["letters"]
        assert len(values) == len(letters)
        network = model.network
        assert network is not None
        network.double()
        ids = torch.from_numpy(model._learnt.inputs[0].encode((letters,)))[None]
        lengths = torch.tensor([len(letters)])
        with torch.no_grad():
            x = network.fronts[0](ids, lengths).double()  # pyright: ignore

            def answer(step: int, change: float) -> float:
                moved = x.clone()
                moved[0, step] *= 1 + change
                return float(network.body(moved, lengths, None)[0, 0])  # pyright: ignore

            slopes = [(answer(t, 1e-4) - answer(t, -1e-4)) / 2e-4 for t in range(len(letters))]
        assert values == pytest.approx(slopes, abs=2e-5)

    def test_alignments_fit_answer_and_input(self, examples, options_for, tmp_path) -> None:
        shown = self.samples(examples, options_for, tmp_path, "text:text", "text:caption", beam=2)
        aligned = [each["alignment"] for each in shown if "alignment" in each]
        assert aligned
        for each in aligned:
            assert len(each["weights"]) == len(each["answer"])
            for row in each["weights"]:
                assert len(row) == len(each["read"])
                assert sum(row) == pytest.approx(1, abs=0.02)
        assert all(len(each["n_best"]) == 2 for each in shown)

    def test_tags_stand_beside_their_words(self, examples, options_for, tmp_path) -> None:
        shown = self.samples(examples, options_for, tmp_path, "text:text", "tags:tags")
        texts = pl.read_parquet(examples)["text"].to_list()
        for each in shown:
            assert each["tags"]["words"] == texts[each["row"] - 1].split()
            assert [w[0].upper() for w in each["tags"]["words"]] == each["tags"]["truth"]
            assert len(each["tags"]["prediction"]) == len(each["tags"]["words"])

    def test_pictures_are_drawn_and_not_said(self, examples, options_for, tmp_path) -> None:
        shown = self.samples(examples, options_for, tmp_path, "vector:kind", "image:image")
        for each in shown:
            assert each["prediction"] == ""
            assert each["drawn"]["truth_png"].startswith("iVBORw0KGgo")
            assert each["drawn"]["prediction_png"].startswith("iVBORw0KGgo")
