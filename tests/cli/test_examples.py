"""Examples on the command line, as a user goes: fit, check, predict, evaluate, report, generate."""

from __future__ import annotations

import io
import json
import os
import signal
import time
from pathlib import Path

import polars as pl
import pytest

import elman as package

TINY = ["--split", "part", "--hidden", 4, "--epochs", 2, "--batch-size", 4, "--learning-rate", 0.02]
TEXT = ["--embedding", 4, "--min-count", 1]
SENTIMENT = ["--input", "text:text", "--target", "category:label", *TINY, *TEXT]
NEXT = ("--input", "text", "--target", "next", "--hidden", 4, "--epochs", 2, *TEXT,
        "--batch-size", 2, "--tbptt", 5, "--level", "character", "--test", 0)  # fmt: skip
LINES = ["the king is here", "the queen is gone", "is the king gone", "here is the queen"]


def frame_of(csv: str) -> pl.DataFrame:
    return pl.read_csv(io.StringIO(csv))


@pytest.fixture(scope="module")
def sentiment(elman, examples, tmp_path_factory) -> Path:
    """A finished run from text to a category, with its report; not to be changed."""
    run = tmp_path_factory.mktemp("sentiment") / "run"
    fitted = elman("fit", examples, *SENTIMENT, "--out", run)
    assert fitted.status == 0, fitted.err
    for words in ("accuracy", "macro F1", "majority class", f"run:    {run}", "report: "):
        assert words.lower() in fitted.out.lower()
    return run


class TestSentiment:
    def test_check_has_nothing_to_say(self, elman, examples) -> None:
        checked = elman("check", examples, *SENTIMENT)
        assert (checked.status, checked.err) == (0, "")
        assert "nothing found that would spoil training" in checked.out

    def test_predict_answers_each_row_with_probabilities(self, elman, examples, sentiment) -> None:
        predicted = elman("predict", sentiment, examples)
        assert predicted.status == 0
        frame = frame_of(predicted.out)
        assert frame.columns == ["row", "prediction", "probability", "p_neg", "p_pos"]
        assert frame["row"].to_list() == list(range(1, 25))
        assert (frame["p_neg"] + frame["p_pos"]).to_list() == pytest.approx([1] * 24)
        assert frame["prediction"].to_list() == [
            "pos" if p > 0.5 else "neg" for p in frame["p_pos"]
        ]

    def test_evaluate_prints_scores_and_writes_answers(
        self, elman, examples, sentiment, tmp_path
    ) -> None:
        pl.read_parquet(examples).tail(8).write_parquet(tmp_path / "new.parquet")
        out = tmp_path / "answers.csv"
        evaluated = elman("evaluate", sentiment, tmp_path / "new.parquet", "--out", out)
        assert evaluated.status == 0
        assert "this table: label" in evaluated.out
        assert f"answers: {out}" in evaluated.out
        assert "\n\n" not in evaluated.out  # no line of nothing where no verdict can be given
        frame = pl.read_csv(out)
        accuracy = (frame["prediction"] == frame["truth"]).mean()
        assert f"{100 * accuracy:.1f}" in evaluated.out
        assert frame["row"].to_list() == list(range(1, 9))

    def test_the_training_table_is_warned_of(self, elman, examples, sentiment) -> None:
        evaluated = elman("evaluate", sentiment, examples)
        assert "is the table that the model was trained on" in evaluated.err

    def test_the_report_is_written_again(self, elman, sentiment) -> None:
        page = sentiment / "report.html"
        assert "film" in page.read_text()
        before = page.read_bytes()
        page.unlink()
        assert elman("report", sentiment).status == 0
        assert page.read_bytes() == before

    def test_its_configuration_trains_the_same_model_again(
        self, elman, sentiment, tmp_path, no_report
    ) -> None:
        again = tmp_path / "again"
        assert elman("fit", "--config", sentiment / "config.yaml", "--out", again).status == 0
        for name in ("model.safetensors", "predictions.csv", "samples.json"):
            assert (again / name).read_bytes() == (sentiment / name).read_bytes()

    def test_a_table_without_the_column_is_refused(self, elman, sentiment, tmp_path) -> None:
        pl.DataFrame({"txt": ["a"]}).write_csv(tmp_path / "t.csv")
        refused = elman("predict", sentiment, tmp_path / "t.csv")
        assert refused.status == 2
        assert (
            "t.csv: no column 'text' (from the model's input); did you mean 'txt'?" in refused.line
        )

    def test_it_does_not_generate(self, elman, sentiment) -> None:
        refused = elman("generate", sentiment)
        assert refused.status == 2
        assert "this one's is category; use predict" in refused.line


def test_tags_come_a_word_a_row(elman, examples, tmp_path, no_report) -> None:
    run = tmp_path / "run"
    options = ["--input", "text:text", "--target", "tags:tags", *TINY, *TEXT]
    assert elman("fit", examples, *options, "--out", run).status == 0
    frame = frame_of(elman("predict", run, examples).out)
    words = [
        (row, place, word)
        for row, text in enumerate(pl.read_parquet(examples)["text"], start=1)
        for place, word in enumerate(text.split(), start=1)
    ]
    assert frame.select("row", "position", "word").rows() == words


def test_pictures_are_written_beside_the_table(elman, examples, tmp_path, no_report) -> None:
    run, out = tmp_path / "run", tmp_path / "drawn.csv"
    options = ["--input", "vector:kind", "--target", "image:image", *TINY, "--picture-size", 8]
    assert elman("fit", examples, *options, "--out", run).status == 0
    pl.DataFrame({"kind": ["a", "b"]}).write_csv(tmp_path / "names.csv")
    assert elman("predict", run, tmp_path / "names.csv", "--out", out).status == 0
    from PIL import Image

    for place in pl.read_csv(out)["prediction"]:
        with Image.open(tmp_path / place) as picture:
            assert picture.size == (8, 8)


def test_several_texts_come_best_first(elman, examples, tmp_path, no_report) -> None:
    run = tmp_path / "run"
    options = ["--input", "image:image", "--target", "text:caption", *TINY, *TEXT]
    options += ["--picture-size", 8, "--channels", 2, "--picture-features", 4, "--beam", 2]
    assert elman("fit", examples, *options, "--out", run).status == 0
    frame = frame_of(elman("predict", run, examples).out)
    assert frame.columns == ["row", "prediction", "prediction_2"]


@pytest.fixture(scope="module")
def book(elman, tmp_path_factory) -> Path:
    """A folder with a book and a finished run on it."""
    folder = tmp_path_factory.mktemp("book")
    (folder / "book.txt").write_text("\n".join(LINES * 5) + "\n")
    fitted = elman("fit", folder / "book.txt", *NEXT, "--out", folder / "run")
    assert fitted.status == 0, fitted.err
    assert "perplexity" in fitted.out
    return folder


class TestGenerate:
    def test_it_goes_on_from_a_prompt(self, elman, book) -> None:
        written = elman("generate", book / "run", "--prompt", "the k", "--length", 20, "--seed", 3)
        assert written.status == 0
        assert written.out.startswith("the k")
        assert len(written.out) == len("the k") + 20 + 1
        again = elman("generate", book / "run", "--prompt", "the k", "--length", 20, "--seed", 3)
        assert again.out == written.out
        loaded = package.load(book / "run")
        assert "the k" + loaded.generate("the k", length=20, temperature=0.8, seed=3)[0] == (
            written.out.removesuffix("\n")
        )

    def test_several_are_told_apart(self, elman, book) -> None:
        written = elman("generate", book / "run", "--count", 3, "--length", 5)
        assert written.out.count("\n=====\n") == 2

    def test_the_likeliest(self, elman, book) -> None:
        outs = {
            elman("generate", book / "run", "--temperature", 0, "--length", 9, "--seed", seed).out
            for seed in (0, 1)
        }
        assert len(outs) == 1

    def test_out_of_range(self, elman, book) -> None:
        refused = elman("generate", book / "run", "--top-p", 2)
        assert refused.status == 2
        assert refused.line == "top_p: expected above 0 and at most 1, got 2.0"

    def test_predict_tells_the_surprise_of_each_row(self, elman, book) -> None:
        frame = frame_of(elman("predict", book / "run", book / "book.txt").out)
        assert frame.columns == ["row", "tokens", "loss"]
        assert frame["tokens"].to_list() == [len(line) + 1 for line in LINES * 5]

    def test_the_report_shows_what_was_written(self, book) -> None:
        assert "temperature 0.5" in (book / "run/report.html").read_text()


class TestCrossValidation:
    OPTIONS = ("--input", "text:text", "--target", "score:score", "--folds", 2, "--hidden", 4,
               "--epochs", 2, "--batch-size", 4, *TEXT)  # fmt: skip

    def test_fit_trains_all_folds_and_prints_their_mean(self, elman, examples, tmp_path) -> None:
        run = tmp_path / "run"
        fitted = elman("fit", examples, *self.OPTIONS, "--out", run)
        assert fitted.status == 0, fitted.err
        assert "all folds: score" in fitted.out
        assert "fold 2 of 2" in fitted.err
        assert (run / "report.html").exists()
        document = json.loads((run / "model.json").read_text())
        assert document["verdict"] in fitted.out
        assert elman("predict", run, examples).status == 0
        # A finished one stays as it is.
        before = (run / "predictions.csv").read_bytes()
        assert elman("fit", "--resume", run).status == 0
        assert (run / "predictions.csv").read_bytes() == before
        changed = elman("fit", "--resume", run, "--epochs", 3)
        assert changed.status == 2
        assert "epochs cannot change in the middle of a cross-validation" in changed.line

    def test_one_fold_alone(self, elman, examples, tmp_path, no_report) -> None:
        fitted = elman("fit", examples, *self.OPTIONS, "--fold", 2, "--out", tmp_path / "run")
        assert fitted.status == 0, fitted.err
        assert not (tmp_path / "run/folds").exists()
        assert "test: score" in fitted.out


def wait_for(path: Path, process, lines: int) -> None:
    end = time.monotonic() + 120
    while not path.exists() or path.read_text().count("\n") < lines:
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < end
        time.sleep(0.005)


def same(run: Path, other: Path, names: tuple[str, ...]) -> None:
    for name in names:
        assert (run / name).read_bytes() == (other / name).read_bytes(), name


def test_a_generator_killed_in_an_epoch_ends_the_same(elman, start, tmp_path, no_report) -> None:
    """The carried state, averaged weights and dropout are where they were."""
    (tmp_path / "book.txt").write_text("\n".join(LINES * 5) + "\n")
    options = [*NEXT, "--epochs", 6, "--average", 0.9, "--dropout", 0.2,
               "--cell", "lstm", "--layers", 2, "--checkpoint-seconds", 0.05,
               "--patience", 0]  # fmt: skip
    process = start("fit", tmp_path / "book.txt", *options, "--out", tmp_path / "killed")
    wait_for(tmp_path / "killed/metrics.jsonl", process, 2)
    os.kill(process.pid, signal.SIGKILL)
    process.communicate()
    assert not (tmp_path / "killed/model.json").exists()
    resumed = elman("fit", "--resume", tmp_path / "killed")
    assert resumed.status == 0, resumed.err
    unbroken = elman("fit", tmp_path / "book.txt", *options, "--out", tmp_path / "unbroken")
    assert unbroken.status == 0, unbroken.err
    same(tmp_path / "killed", tmp_path / "unbroken",
         ("model.safetensors", "predictions.csv", "samples.json"))  # fmt: skip


def test_a_cross_validation_killed_in_a_fold_ends_the_same(
    elman, start, examples, tmp_path, no_report
) -> None:
    options = [*TestCrossValidation.OPTIONS, "--epochs", 6, "--dropout", 0.2, "--patience", 0,
               "--checkpoint-seconds", 0]  # fmt: skip
    process = start("fit", examples, *options, "--out", tmp_path / "killed")
    wait_for(tmp_path / "killed/folds/2/metrics.jsonl", process, 2)
    os.kill(process.pid, signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130
    hint = f"interrupted; `elman fit --resume {tmp_path / 'killed'}` goes on where it stopped"
    assert err.splitlines()[-1] == f"elman: {hint}"
    resumed = elman("fit", "--resume", tmp_path / "killed")
    assert resumed.status == 0, resumed.err
    assert elman("fit", examples, *options, "--out", tmp_path / "unbroken").status == 0
    same(tmp_path / "killed", tmp_path / "unbroken",
         ("model.safetensors", "predictions.csv", "samples.json",
          "folds/2/model.safetensors"))  # fmt: skip
