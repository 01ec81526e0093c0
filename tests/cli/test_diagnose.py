"""`elman diagnose` as a user runs it: on a run of each job, on another table, and on bad input."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import polars as pl
import pytest

import elman as package

TINY = ["--hidden", 4, "--epochs", 1, "--batch-size", 4]
TEXT = ["--split", "part", "--embedding", 4, "--min-count", 1]
JOBS: dict[str, list[Any]] = {
    "category": ["--input", "text:text", "--target", "category:label", "--bidirectional", *TEXT],
    "tags": ["--input", "text:text", "--target", "tags:tags", "--cell", "lstm", *TEXT],
    "text": ["--input", "text:text", "--target", "text:caption", "--input-feeding", *TEXT],
    "sound": ["--input", "audio:sound", "--target", "number:number", "--split", "part"],
    "from a vector": ["--input", "vector:number", "--target", "text:caption", *TEXT],
}


def _diagnosis(run: Path) -> dict[str, Any]:
    return json.loads((run / "diagnosis.json").read_text())


@pytest.fixture(scope="module")
def forecast(trained: Path, tmp_path_factory) -> Path:
    """A run of its own, to be written into."""
    return Path(shutil.copytree(trained / "run", tmp_path_factory.mktemp("diagnosed") / "run"))


def test_a_forecast(elman, forecast: Path) -> None:
    found = elman("diagnose", forecast)
    assert (found.status, found.err) == (0, "")
    assert found.out.startswith("This network remembers about ")
    for words in (
        "the forecast made at step t",
        "windows of the validation span, 10 steps each",
        "gradient, steps back",
        "update gate",
        "an input replaced, steps back",
        f"diagnosis: {forecast / 'diagnosis.json'}",
        f"report: {forecast / 'report.html'}",
    ):
        assert words in found.out
    document = _diagnosis(forecast)
    (layer,) = document["layers"]
    assert (layer["cell"], layer["reach"], document["table"]) == ("GRUCell", 9, None)
    page = (forecast / "report.html").read_text()
    assert '<section id="diagnosis">' in page
    assert document["headline"] in page
    assert "was trained on since" not in page
    package.load(forecast)  # whole as before


@pytest.mark.usefixtures("no_report")
def test_the_same_numbers_each_time(elman, forecast: Path) -> None:
    first, document = elman("diagnose", forecast), _diagnosis(forecast)
    assert elman("diagnose", forecast).out == first.out
    assert _diagnosis(forecast) == document


def test_a_diagnosis_of_other_weights_says_so_in_the_report(elman, forecast: Path) -> None:
    document = _diagnosis(forecast) | {"weights_sha256": "other"}
    (forecast / "diagnosis.json").write_text(json.dumps(document))
    assert elman("report", forecast).status == 0
    assert "was trained on since it was looked at" in (forecast / "report.html").read_text()
    (forecast / "diagnosis.json").write_text("{")
    assert elman("report", forecast).status == 0
    page = (forecast / "report.html").read_text()
    assert "diagnosis.json is damaged" in page
    assert '<section id="diagnosis">' not in page


@pytest.mark.usefixtures("no_report")
def test_rows_are_cut_and_it_says_so(elman, forecast: Path, trained: Path) -> None:
    found = elman("diagnose", forecast, trained / "weekly.csv", "--steps", 6, "--rows", 9)
    assert found.status == 0, found.err
    assert "9 windows of weekly, 6 steps each" in found.out.replace(".csv", "")
    assert "Longer rows were cut to their last 6 steps." in found.out
    assert _diagnosis(forecast)["layers"][0]["reach"] == 5
    assert _diagnosis(forecast)["table"]


@pytest.mark.usefixtures("no_report")
@pytest.mark.parametrize("job", JOBS)
def test_examples(elman, examples: Path, tmp_path: Path, job: str) -> None:
    run = tmp_path / "run"
    fitted = elman("fit", examples, *JOBS[job], *TINY, "--out", run)
    assert fitted.status == 0, fitted.err
    found = elman("diagnose", run)
    assert (found.status, found.err) == (0, "")
    names = [layer["name"] for layer in _diagnosis(run)["layers"]]
    assert names == {
        "category": ["forward", "backward"],
        "text": ["encoder", "decoder"],
    }.get(job, [""])
    found = elman("diagnose", run, examples, "--rows", 5)
    assert found.status == 0, found.err
    assert "5 rows of " in found.out


@pytest.mark.usefixtures("no_report")
def test_a_text_that_goes_on(elman, tmp_path: Path) -> None:
    (tmp_path / "lines.txt").write_text("the king is here\nthe queen is gone\n" * 12)
    run = tmp_path / "run"
    fitted = elman(
        "fit", tmp_path / "lines.txt", "--input", "text", "--target", "next", *TINY,
        "--embedding", 4, "--min-count", 1, "--level", "character", "--out", run, "--tbptt", 5,
    )  # fmt: skip
    assert fitted.status == 0, fitted.err
    found = elman("diagnose", run)
    assert found.status == 0, found.err
    assert "the token that follows step t" in found.out
    assert "15 tokens each" in found.out  # three chunks
    found = elman("diagnose", run, tmp_path / "lines.txt")
    assert "stretches of lines" in found.out


@pytest.mark.usefixtures("no_report")
class TestBadInput:
    def test_no_run(self, elman, tmp_path: Path) -> None:
        assert (
            elman("diagnose", tmp_path / "none").line == f"{tmp_path / 'none'}: no such run folder"
        )
        assert "not a run folder" in elman("diagnose", tmp_path).line

    def test_a_run_that_has_not_ended(self, elman, forecast: Path, tmp_path: Path) -> None:
        shutil.copytree(forecast, tmp_path / "run")
        (tmp_path / "run" / "model.json").unlink()
        assert "this run has no model yet" in elman("diagnose", tmp_path / "run").line

    def test_a_table_without_the_columns(self, elman, forecast: Path, tmp_path: Path) -> None:
        pl.DataFrame({"date": ["2020-01-01"], "x": [1.0]}).write_csv(tmp_path / "other.csv")
        found = elman("diagnose", forecast, tmp_path / "other.csv")
        assert found.status == 2
        assert "lacks 'rides'" in found.line

    def test_a_table_that_is_too_short(
        self, elman, forecast: Path, trained: Path, tmp_path
    ) -> None:
        pl.read_csv(trained / "weekly.csv").head(7).write_csv(tmp_path / "short.csv")
        found = elman("diagnose", forecast, tmp_path / "short.csv")
        assert found.status == 2
        assert "no window of 10 steps" in found.line

    def test_a_table_that_was_changed_since(self, elman, trained: Path, small, tmp_path) -> None:
        run, table = tmp_path / "run", tmp_path / "own.csv"
        shutil.copy(trained / "weekly.csv", table)
        assert elman("fit", table, *small, "--out", run).status == 0
        pl.read_csv(table).head(140).write_csv(table)
        assert "was changed since the model was trained" in elman("diagnose", run).line
        table.unlink()
        assert "own.csv" in elman("diagnose", run).line
        assert elman("diagnose", run, trained / "weekly.csv").status == 0

    def test_numbers_out_of_range(self, elman, forecast: Path) -> None:
        assert "--rows" in elman("diagnose", forecast, "--rows", 1).line
