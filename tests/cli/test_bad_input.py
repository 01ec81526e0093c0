"""Bad input: one line that names the place, what was got and what was expected; nothing written."""

from __future__ import annotations

import json
import os
import shlex
import shutil
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import torch


def with_cell(text: str, row: int, column: str, value: str) -> bytes:
    """Return the table with one cell replaced, rows counted from 1 without the header."""
    lines = [line.split(",") for line in text.splitlines()]
    lines[row][lines[0].index(column)] = value
    return "\n".join(map(",".join, lines)).encode()


def cell(row, column, value):
    return lambda text: with_cell(text, row, column, value)


def same(text: str) -> bytes:
    return text.encode()


# What the table is made into, options after the usual ones, and what the line must hold.
REFUSED = {
    "an empty file": (lambda text: b"", "", ["weekly.csv", "the file is empty"]),
    "a header alone": (
        lambda text: text.splitlines()[0].encode(), "", ["weekly.csv", "a header but no rows"],
    ),
    "an input misspelt": (
        same, "--input series:rides,rane", ["weekly.csv", "'rane'", "--input", "mean 'rain'?"],
    ),
    "a target misspelt": (
        same, "--target forecast:ride", ["weekly.csv", "'ride'", "--target", "mean 'rides'?"],
    ),
    "a time column misspelt": (same, "--time dat", ["'dat'", "--time", "mean 'date'?"]),
    "a known column misspelt": (same, "--known daytype", ["'daytype'", "--known", "'day_type'?"]),
    "a group column absent": (
        same, "--group shop", ["'shop'", "--group", "columns: date, rides, rain, day_type"],
    ),
    "text in a number column": (
        cell(17, "rides", "lots"), "", ["weekly.csv", "row 17", "'rides'", "finite number", "lots"],
    ),
    "text in an input": (cell(40, "rain", "wet"), "", ["row 40", "'rain'", "number", "'wet'"]),
    "a date that is none": (
        cell(17, "date", "2020-13-45"), "", ["row 17", "'date'", "YYYY-MM-DD", "'2020-13-45'"],
    ),
    "a date missing": (cell(3, "date", ""), "", ["row 3", "'date'", "the time is missing"]),
    "NaN": (cell(9, "rides", "NaN"), "", ["row 9", "'rides'", "finite number, got NaN"]),
    "infinity": (cell(9, "rain", "-inf"), "", ["row 9", "'rain'", "finite number, got infinity"]),
    "a value missing": (cell(9, "rain", ""), "", ["row 9", "'rain'", "1 value missing"]),
    "a row too short": (
        lambda text: text.replace("2020-01-10,", "", 1).encode(), "",
        ["weekly.csv", "row 5", "expected 4 fields", "got 3"],
    ),
    "a column twice": (
        lambda text: text.replace("rain", "rides", 1).encode(), "", ["same name", "'rides'"],
    ),
    "a time twice": (cell(2, "date", "2020-01-06"), "", ["rows 1 and 2", "2020-01-06"]),
    "binary garbage": (
        lambda text: bytes(range(256)) * 20, "", ["weekly.csv", "byte 0x80", "UTF-8"],
    ),
    "zeros": (lambda text: b"\0" * 500, "", ["weekly.csv"]),
    "a horizon longer than the data": (
        same, "--horizon 500", ["weekly.csv", "150 rows", "horizon 500", "--horizon"],
    ),
    "a horizon longer than the training span": (
        same, "--horizon 100", ["the training span has 104 rows", "110"],
    ),
    "a lookback longer than the data": (same, "--lookback 500", ["150 rows", "lookback 500"]),
    "an unknown input kind": (same, "--input serie:rides", ["--input", "'serie'", "'series'?"]),
    "an unknown target kind": (
        same, "--target forcast:rides", ["--target", "'forcast'", "mean 'forecast'?"],
    ),
    "a kind without columns": (same, "--input series:", ["--input", "series:COLUMN"]),
    "a column named twice": (same, "--input series:rides,rides", ["--input", "named twice"]),
    "an unknown cell": (
        same, "--cell gruu", ["--cell", "'gruu'", "mean 'gru'?", "rnn, gru, lstm"],
    ),
    "an unknown option": (same, "--hiden 4", ["--hiden", "--hidden", "elman fit --help"]),
    "an unknown value": (
        same, "--optimizer adamm", ["--optimizer", "'adamm'", "mean 'adam'?", "rmsprop"],
    ),
    "more units than any network has": (
        same, "--hidden 1000000000", ["--hidden", "less than or equal to 65536", "'1000000000'"],
    ),
    "a number of thirty digits": (
        same, f"--batch-size 1{'0' * 30}", ["--batch-size", "less than or equal to 1000000"],
    ),
    "a quote that is not closed": (
        same, '--input series:"rides', ["--input", "expected names as in CSV"],
    ),
    "a list that is no CSV": (same, '--known "day_type', ["--known", "expected names as in CSV"]),
    "text for an integer": (same, "--epochs many", ["--epochs", "a valid integer", "'many'"]),
    "a fraction for an integer": (same, "--hidden 4.5", ["--hidden", "integer", "'4.5'"]),
    "text for a number": (
        same, "--learning-rate fast", ["--learning-rate", "a valid number", "'fast'"],
    ),
    "too small a number": (
        same, "--hidden -3", ["--hidden", "a value greater than or equal to 1", "'-3'"],
    ),
    "an infinite number": (same, "--learning-rate inf", ["--learning-rate", "finite", "'inf'"]),
    "a value out of range": (same, "--dropout 1.5", ["--dropout", "less than 1", "'1.5'"]),
    "a quantile above one": (same, "--quantiles 0.1,1.5", ["--quantiles", "0 and 1", "0.1, 1.5"]),
    "a quantile that is text": (same, "--quantiles half", ["--quantiles", "number", "'half'"]),
    "an unknown calendar feature": (
        same, "--calendar weekda", ["--calendar", "'weekda'", "mean 'weekday'?"],
    ),
    "both directions at every step": (
        same, "--bidirectional", ["bidirectional", "seq-to-seq", "seq-to-vector"],
    ),
    "a split that is no split": (same, "--valid soon", ["--valid", "'soon'", "0.15"]),
    "a split outside the data": (
        same, "--valid 1999-01-01", ["--valid", "1999-01-01", "2020-01-06 to 2020-06-03"],
    ),
    "nothing to validate on": (same, "--valid 0", ["--valid", "0.15"]),
    "a time that is none": (same, "--since soon", ["--since", "'soon'", "ISO date"]),
    "no rows in the range": (same, "--since 2031", ["no rows since 2031", "2020-06-03"]),
    "a table to validate on that is not there": (
        same, "--valid-table nope.csv", ["nope.csv", "no such file"],
    ),
    "a target known ahead": (same, "--known rides", ["'rides'", "the target"]),
    "a device that is not there": (same, "--device mps", ["mps", "cpu"]),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED)
def test_fit_refuses(elman, trained, small, reading, tmp_path, case):
    spoil, extra, expected = REFUSED[case]
    table = tmp_path / "weekly.csv"
    table.write_bytes(spoil((trained / "weekly.csv").read_text()))
    options = [*small, *extra.split()]
    if extra.startswith("--input "):
        options = reading(small, extra.removeprefix("--input "))
    outcome = elman("fit", table, *options, "--out", tmp_path / "run")
    assert outcome.status == 2
    for words in expected:
        assert words in outcome.line
    assert [path.name for path in tmp_path.iterdir()] == ["weekly.csv"]


@pytest.mark.parametrize("kind", ["parquet", "jsonl", "csv.gz"])
def test_fit_refuses_garbage_of_any_kind(elman, small, tmp_path, kind):
    garbage = np.random.default_rng(3).integers(0, 256, 4000, np.uint8).tobytes()
    table = tmp_path / f"table.{kind}"
    table.write_bytes(garbage)
    outcome = elman("fit", table, *small, "--out", tmp_path / "run")
    assert outcome.status == 2
    assert table.name in outcome.line
    assert len(outcome.line) < 300
    assert list(tmp_path.iterdir()) == [table]


def test_a_missing_file_names_the_nearest(elman, trained, small, tmp_path):
    outcome = elman("fit", trained / "weekli.csv", *small, "--out", tmp_path / "run")
    assert outcome.status == 2
    assert outcome.line == f"{trained / 'weekli.csv'}: no such file; did you mean 'weekly.csv'?"
    assert not list(tmp_path.iterdir())


def test_a_calendar_needs_a_time_column(elman, weekly, tmp_path):
    options = shlex.split("--input series:rides --target forecast:rides --calendar weekday")
    outcome = elman("fit", weekly, *options, "--out", tmp_path / "run")
    assert outcome.status == 2
    told, line = outcome.err.splitlines()
    assert "column 'date' holds times and is not used" in told
    assert line.startswith("elman: calendar=weekday needs a time column")
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ([], "--input is missing"),
        (["--input", "series:rides"], "--target is missing"),
        (["--input", "series:rides", "--target", "forecast:rides"], "no table given"),
        (["--config", "nope.yaml"], "nope.yaml: no such file (from --config)"),
        (["--resume", "nope"], "nope: no such run folder"),
    ],
)
def test_fit_says_what_is_missing(elman, given, words):
    outcome = elman("fit", *given)
    assert outcome.status == 2
    assert words in outcome.line


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("hiden: 3\n", ["unknown option 'hiden'; did you mean 'hidden'?"]),
        ("cell: gruu\n", ["cell: 'gruu' is not known; did you mean 'gru'?"]),
        ("epochs: yes\n", ["epochs: expected no switch, got True"]),
        ("batch-size: 1\nbatch_size: 2\n", ["'batch-size' and 'batch_size' are one option"]),
        ("epochs: many\n", ["epochs: expected a valid integer, got 'many'"]),
        ("epochs: [1]\nhidden: 0\n", ["epochs: expected a valid integer, got [1]", "hidden:"]),
        ("epochs: 3\nepochs: 4\n", ["'epochs' stands there twice"]),
        ("epochs: [1\n", ["not YAML", "line 1"]),
        ("- epochs\n", ["expected lines of `option: value`, got list"]),
        ("", ["expected lines of `option: value`, got NoneType"]),
        ("!!python/object:os.system {}\n", ["not YAML"]),
    ],
)
def test_a_configuration_file_is_checked(elman, weekly, small, tmp_path, content, words):
    config = tmp_path / "fit.yaml"
    config.write_text(content)
    outcome = elman("fit", weekly, *small[:8], "--config", config, "--out", tmp_path / "run")
    assert outcome.status == 2
    for word in [str(config), *words]:
        assert word in outcome.line
    assert not (tmp_path / "run").exists()


def test_a_wrong_value_is_blamed_on_where_it_stands(elman, weekly, tmp_path):
    config = tmp_path / "fit.yaml"
    config.write_text("inputs: series:rides\ntarget: forecast:rides\nhidden: x\n")
    both = elman("fit", weekly, "--config", config, "--learning-rate", "fast")
    assert f"{config}: hidden: expected a valid integer, got 'x'" in both.line
    assert "; --learning-rate: expected a valid number, got 'fast'" in both.line
    ours = elman("fit", weekly, "--config", config, "--learning-rate", "fast", "--hidden", 3)
    assert ours.line == "--learning-rate: expected a valid number, got 'fast'"


def test_an_unknown_verb_names_the_nearest(elman):
    outcome = elman("fitt", "table.csv")
    assert outcome.status == 2
    assert outcome.line.startswith("'fitt' is not a verb; did you mean 'fit'?")


def test_an_unknown_data_set_names_the_nearest(elman):
    outcome = elman("data", "get", "gogo")
    assert outcome.status == 2
    assert "'gogo' is not known; did you mean 'goog'?" in outcome.line


def test_the_line_is_one_even_where_a_name_is_not(elman, small):
    assert "a b.csv: no such file" in elman("fit", "a\nb.csv", *small).line


def test_too_large_a_network_is_said_in_one_line(elman, weekly, small, tmp_path, monkeypatch):
    def full(*_):
        # As torch does, of a size that no machine has.
        torch.empty(2**60, dtype=torch.uint8)

    monkeypatch.setattr("elman.networks.assembly.build", full)
    outcome = elman("fit", weekly, *small, "--out", tmp_path / "run")
    assert outcome.status == 2
    assert outcome.line.startswith("not enough memory; try a smaller --hidden")
    assert not (tmp_path / "run").exists()


class TestOutput:
    def test_a_folder_that_exists_is_left_alone(self, elman, weekly, small, own_run):
        before = {path: path.stat().st_mtime_ns for path in own_run.rglob("*")}
        outcome = elman("fit", weekly, *small, "--out", own_run)
        assert outcome.status == 2
        assert outcome.line.startswith(f"{own_run}: exists already; name another folder")
        assert f"elman fit --resume {own_run}" in outcome.line
        assert {path: path.stat().st_mtime_ns for path in own_run.rglob("*")} == before

    @pytest.mark.parametrize("verb", ["fit", "predict", "evaluate", "demo", "data"])
    def test_a_place_that_cannot_be_written(self, elman, trained, small, tmp_path, verb):
        # Below a file there is no folder to make, for root neither.
        (tmp_path / "file").write_text("mine")
        out, table, run = tmp_path / "file/out", trained / "weekly.csv", trained / "run"
        plain = tmp_path / "ahead.csv"
        if verb == "evaluate":  # of its own table it would be warned
            plain = tmp_path / "later.csv"
            plain.write_text(table.read_text().replace("\n2020-01-06,", "\n2020-01-06,1", 1))
        if verb == "predict":
            ahead = "2020-06-04,,,weekday\n2020-06-05,,,weekday\n"
            plain.write_text(table.read_text() + ahead)
        commands = {
            "fit": ["fit", table, *small, "--out", out],
            "predict": ["predict", run, plain, "--out", out],
            "evaluate": ["evaluate", run, plain, "--out", out],
            "demo": ["demo", "--out", out],
            "data": ["data", "get", "goog", "--to", out],
        }
        outcome = elman(*commands[verb])
        assert outcome.status == 2
        assert str(out) in outcome.line
        assert "Not a directory" in outcome.line
        assert (tmp_path / "file").read_text() == "mine"

    @pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
    def test_a_folder_without_permission(self, elman, weekly, small, tmp_path):
        locked = tmp_path / "locked"
        locked.mkdir(mode=0o500)
        outcome = elman("fit", weekly, *small, "--out", locked / "run")
        assert outcome.status == 2
        assert str(locked / "run") in outcome.line
        assert not list(locked.iterdir())

    def test_a_name_too_long(self, elman, weekly, small, tmp_path):
        outcome = elman("fit", weekly, *small, "--out", tmp_path / ("x" * 300))
        assert outcome.status == 2
        assert "File name too long" in outcome.line


def replace(name: str, old: str, new: str):
    def change(run: Path) -> None:
        text = (run / name).read_text()
        assert old in text
        (run / name).write_text(text.replace(old, new, 1))

    return change


def cut(name: str, size: int):
    return lambda run: (run / name).write_bytes((run / name).read_bytes()[:size])


def without(name: str):
    return lambda run: (run / name).unlink()


def flip_a_bit(run: Path) -> None:
    data = bytearray((run / "model.safetensors").read_bytes())
    data[-1] ^= 1
    (run / "model.safetensors").write_bytes(data)


def replace_weights(run: Path) -> None:
    """Put whole weights of the right shapes there that are those of another run."""
    from safetensors.numpy import load_file, save_file

    arrays = load_file(run / "model.safetensors")
    save_file({name: array + 1 for name, array in arrays.items()}, run / "model.safetensors")


DAMAGED = {
    "weights truncated": (cut("model.safetensors", 500), ["model.safetensors", "truncated"]),
    "weights missing": (without("model.safetensors"), ["model.safetensors", "missing"]),
    "one bit of the weights": (flip_a_bit, ["model.safetensors", "changed"]),
    "weights of another run": (replace_weights, ["model.safetensors", "changed"]),
    "a score changed": (replace("model.json", '"mae": ', '"mae": 1'), ["model.json", "changed"]),
    "model.json truncated": (cut("model.json", 900), ["model.json", "damaged"]),
    "model.json empty": (cut("model.json", 0), ["model.json", "damaged"]),
    "model.json a list": (lambda run: (run / "model.json").write_text("[]"), ["damaged"]),
    "no model.json": (without("model.json"), ["no model yet", "elman fit --resume"]),
    "another width": (replace("config.yaml", "hidden: 4", "hidden: 5"), ["config.yaml", "changed"]),
    "another nonlinearity": (
        replace("config.yaml", "nonlinearity: tanh", "nonlinearity: relu"),
        ["config.yaml", "changed"],
    ),
    "another target": (
        replace("config.yaml", "target: forecast:rides", "target: forecast:rain"),
        ["config.yaml", "changed"],
    ),
    "an unknown option": (
        replace("config.yaml", "horizon: 2", "horizn: 2"),
        ["config.yaml", "'horizn'", "mean 'horizon'?"],
    ),
    "config.yaml truncated": (cut("config.yaml", 9), ["config.yaml"]),
    "no config.yaml": (without("config.yaml"), ["not a run folder", "no config.yaml"]),
}


@pytest.mark.parametrize("case", DAMAGED)
@pytest.mark.parametrize("verb", ["predict", "evaluate"])
def test_a_damaged_run_is_refused(elman, trained, own_run, verb, case):
    damage, expected = DAMAGED[case]
    damage(own_run)
    outcome = elman(verb, own_run, trained / "weekly.csv")
    assert outcome.status == 2
    assert outcome.out == ""
    for words in [str(own_run), *expected]:
        assert words in outcome.line


def test_a_document_made_to_fit_still_betrays_weights_that_do_not(elman, trained, own_run):
    """A tamperer who corrects the digests as well: shapes are checked besides."""
    from elman import run_folder

    document = json.loads((own_run / "model.json").read_text())
    document["learnt"]["inputs"]["calendar"] = ["weekday"]  # seven features more
    document["sha256"] = run_folder._digest(document)
    (own_run / "model.json").write_text(json.dumps(document))
    outcome = elman("evaluate", own_run, trained / "weekly.csv")
    assert outcome.status == 2
    assert "do not fit together" in outcome.line


@pytest.mark.parametrize("verb", ["predict", "evaluate", "report"])
@pytest.mark.parametrize("what", ["nothing", "folder", "file"])
def test_what_is_no_run_folder(elman, trained, tmp_path, verb, what):
    place = {"nothing": tmp_path / "no", "folder": tmp_path, "file": trained / "weekly.csv"}[what]
    outcome = elman(verb, place, *([trained / "weekly.csv"] if verb != "report" else []))
    assert outcome.status == 2
    assert outcome.line.startswith(f"{place}: n")
    assert "run folder" in outcome.line


class TestOtherTables:
    @pytest.mark.parametrize("verb", ["predict", "evaluate"])
    def test_a_column_is_missing(self, elman, trained, weekly_frame, tmp_path, verb):
        weekly_frame.rename({"rain": "rian"}).write_csv(tmp_path / "other.csv")
        outcome = elman(verb, trained / "run", tmp_path / "other.csv")
        assert outcome.status == 2
        for words in ("other.csv", "lacks 'rain'", "rides, rain, day_type", "rian"):
            assert words in outcome.line

    @pytest.mark.parametrize("verb", ["predict", "evaluate"])
    def test_a_column_is_of_another_kind(self, elman, trained, weekly_frame, tmp_path, verb):
        names = pl.lit("much").alias("rain")
        weekly_frame.with_columns(names).write_csv(tmp_path / "other.csv")
        outcome = elman(verb, trained / "run", tmp_path / "other.csv")
        assert outcome.status == 2
        for words in ("other.csv", "row 1", "'rain'", "finite number", "'much'"):
            assert words in outcome.line

    def test_too_short_to_score(self, elman, trained, weekly_frame, tmp_path):
        weekly_frame.head(11).write_csv(tmp_path / "short.csv")
        outcome = elman("evaluate", trained / "run", tmp_path / "short.csv")
        assert outcome.status == 2
        assert "11 rows" in outcome.line
        assert "reads 10, and 2 more" in outcome.line

    def test_what_is_known_ahead_must_be_there(self, elman, trained):
        outcome = elman("predict", trained / "run", trained / "weekly.csv")
        assert outcome.status == 2
        assert "'day_type' must be known for the 2 steps to forecast" in outcome.line

    def test_a_category_not_trained_on_is_refused_where_it_is_read(self, elman, trained, tmp_path):
        ahead = "2020-06-04,,,holiday\n2020-06-05,,,weekday\n"
        table = tmp_path / "ahead.csv"
        table.write_text((trained / "weekly.csv").read_text() + ahead)
        outcome = elman("predict", trained / "run", table)
        assert outcome.status == 2
        assert outcome.out == ""
        for words in ("ahead.csv", "'day_type'", "'holiday'", "weekday, weekend"):
            assert words in outcome.line


class TestResume:
    def test_other_options_are_refused(self, elman, own_run):
        outcome = elman("fit", "--resume", own_run, "--hidden", 8)
        assert outcome.status == 2
        assert "hidden cannot change in the middle of a run; what can: epochs" in outcome.line

    @pytest.mark.parametrize("other", ["TABLE", "--config", "--out"])
    def test_nothing_else_is_given(self, elman, own_run, other):
        given = ["table.csv"] if other == "TABLE" else [other, "x"]
        outcome = elman("fit", *given, "--resume", own_run)
        assert outcome.status == 2
        assert outcome.line.endswith(f"leave out {other}")

    def test_the_table_was_changed(self, elman, weekly, small, tmp_path, no_report):
        run = tmp_path / "run"
        assert elman("fit", weekly, *small, "--epochs", 1, "--out", run).status == 0
        weekly.write_bytes(with_cell(weekly.read_text(), 5, "rides", "1234.5"))
        before = (run / "model.safetensors").read_bytes()
        outcome = elman("fit", "--resume", run, "--epochs", 2)
        assert outcome.status == 2
        assert (
            "the table or the options in config.yaml have changed since this checkpoint"
            in outcome.line
        )
        assert (run / "model.safetensors").read_bytes() == before

    def test_the_table_is_gone(self, elman, weekly, small, tmp_path, no_report):
        run = tmp_path / "run"
        assert elman("fit", weekly, *small, "--epochs", 1, "--out", run).status == 0
        weekly.unlink()
        outcome = elman("fit", "--resume", run, "--epochs", 2)
        assert outcome.status == 2
        assert outcome.line.startswith(f"{weekly}: no such file")

    @pytest.mark.parametrize("size", [0, 7, 500])
    def test_the_checkpoint_is_truncated(self, elman, own_run, size):
        cut("checkpoints/last.safetensors", size)(own_run)
        outcome = elman("fit", "--resume", own_run, "--epochs", 3)
        assert outcome.status == 2
        assert f"{own_run}/checkpoints/last.safetensors: not a checkpoint" in outcome.line

    def test_the_checkpoint_is_of_another_network(self, elman, own_run, weekly, small, tmp_path):
        other = tmp_path / "other"
        shutil.copytree(own_run, other)
        replace("config.yaml", "hidden: 4", "hidden: 5")(other)
        outcome = elman("fit", "--resume", other, "--epochs", 3)
        assert outcome.status == 2
        assert str(other) in outcome.line

    @pytest.mark.parametrize(
        ("old", "new"),
        [
            ("learning_rate: 0.001", "learning_rate: 0.01"),
            ("target: forecast:rides", "target: forecast:rain"),
        ],
    )
    def test_the_options_were_changed_behind_its_back(self, elman, own_run, no_report, old, new):
        replace("config.yaml", old, new)(own_run)
        outcome = elman("fit", "--resume", own_run, "--epochs", 3)
        assert outcome.status == 2
        assert str(own_run) in outcome.line
