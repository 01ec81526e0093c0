"""Bad examples as users have them: one line that names file and row, and `--skip-bad`."""

from __future__ import annotations

import io
import json
import wave
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

pytestmark = pytest.mark.usefixtures("no_report")
BAD = 5  # the row that is spoilt, from 0; it trains
TINY = ["--split", "part", "--hidden", 3, "--epochs", 1, "--batch-size", 4]
TEXT = ["--embedding", 3, "--min-count", 1]
PICTURES = ["--picture-size", 8, "--channels", 2, "--picture-features", 3]


@dataclass(frozen=True)
class Case:
    """What is declared, what the bad row holds, and what is said of it.

    `spoil` returns the row's new cells; where files lie is its argument.
    """

    inputs: str
    target: str
    spoil: Callable[[Path], dict[str, Any]]
    says: list[str]
    options: list[Any] = field(default_factory=list)
    row: int = BAD


def write(folder: Path, name: str, content: bytes) -> str:
    (folder / name).write_bytes(content)
    return name


def silence(seconds: float, rate: int = 8000) -> bytes:
    file = io.BytesIO()
    with wave.open(file, "wb") as sound:
        sound.setnchannels(1)
        sound.setsampwidth(2)
        sound.setframerate(rate)
        sound.writeframes(np.zeros(int(seconds * rate), "<i2").tobytes())
    return file.getvalue()


def no_frames() -> bytes:
    """Return a file of video with sound and no picture in it."""
    import av

    file = io.BytesIO()
    with av.open(file, "w", format="mov") as container:
        stream = container.add_stream("pcm_s16le", rate=8000, layout="mono")
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 800), np.int16), "s16", "mono")
        frame.sample_rate = 8000
        for packet in [*stream.encode(frame), *stream.encode()]:
            container.mux(packet)
    return file.getvalue()


CASES = {
    "a sound that cannot be decoded": Case(
        "audio:sound", "category:label", lambda to: {"sound": write(to, "x.wav", b"RIFF no sound")},
        ["column 'sound'", "x.wav"],
    ),
    "an empty file of sound": Case(
        "audio:sound", "category:label", lambda to: {"sound": write(to, "x.wav", b"")},
        ["column 'sound'", "x.wav: the file is empty (0 bytes)"],
    ),
    "a file that is not there": Case(
        "audio:sound", "category:label", lambda to: {"sound": "gone.wav"},
        ["column 'sound'", "gone.wav: there is no such file"],
    ),
    "a sound of no samples": Case(
        "audio:sound", "category:label", lambda to: {"sound": write(to, "x.wav", silence(0))},
        ["column 'sound'", "x.wav"],
    ),
    "an empty cell of sound": Case(
        "audio:sound", "category:label", lambda to: {"sound": None},
        ["column 'sound'", "the cell is empty; expected a file's path"],
    ),
    "a folder for a picture": Case(
        "image:image", "text:caption", lambda to: {"image": str(to)},
        ["column 'image'", "is a folder; expected a file"], [*TEXT, *PICTURES],
    ),
    "a picture cut short": Case(
        "image:image", "text:caption",
        lambda to: {"image": write(to, "x.png", b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR")},
        ["column 'image'", "x.png"], [*TEXT, *PICTURES],
    ),
    "a clip of no frames": Case(
        "video:video", "category:label", lambda to: {"video": write(to, "x.mov", no_frames())},
        ["column 'video'", "x.mov"], [*PICTURES, "--frames", 2],
    ),
    "a clip that is none": Case(
        "video:video", "category:label", lambda to: {"video": write(to, "x.mov", b"no clip")},
        ["column 'video'", "x.mov"], [*PICTURES, "--frames", 2],
    ),
    "an empty text": Case(
        "text:text", "category:label", lambda to: {"text": "  "},
        ["column 'text'", "empty text"], TEXT,
    ),
    "a text that is null": Case(
        "text:text", "category:label", lambda to: {"text": None},
        ["column 'text'", "missing text"], TEXT,
    ),
    "a letter outside the DNA alphabet": Case(
        "dna:dna", "category:label", lambda to: {"dna": "ACGTXA"},
        ["column 'dna'", "'X'", "5"],
    ),
    "DNA of no letters": Case(
        "dna:dna", "category:label", lambda to: {"dna": ""}, ["column 'dna'", "empty"],
    ),
    "DNA shorter than a k-mer": Case(
        "dna:dna", "category:label", lambda to: {"dna": "AC"}, ["column 'dna'"], ["--kmer", 3],
    ),
    "a series of no steps": Case(
        "series:trace", "category:label", lambda to: {"trace": []},
        ["column 'trace': series of no steps"],
    ),
    "a series with a hole": Case(
        "series:trace", "category:label", lambda to: {"trace": [1.0, None]},
        ["column 'trace': step 2: expected a finite number, got None"],
    ),
    "tags fewer than words": Case(
        "text:text", "tags:tags", lambda to: {"text": "a b c", "tags": "T T"},
        ["'text', 'tags'", "3 words and 2 tags", "begins a/T b/T"], TEXT,
    ),
    "no tags": Case(
        "text:text", "tags:tags", lambda to: {"tags": None}, ["column 'tags'", "empty"], TEXT,
    ),
    "a category that is missing": Case(
        "text:text", "category:label", lambda to: {"label": None},
        ["column 'label'", "the cell is empty; expected a category"], TEXT,
    ),
    "a label seen only in validation": Case(
        "text:text", "category:label", lambda to: {"label": "never"},
        ["column 'label'", "'never'", "neg, pos"], TEXT, row=4,
    ),
    "a tag seen only in validation": Case(
        "text:text", "tags:tags", lambda to: {"text": "good", "tags": "Q"},
        ["column 'tags'", "'Q'"], TEXT, row=4,
    ),
    "a number that is none": Case(
        "text:text", "number:number", lambda to: {"number": None}, ["column 'number'"], TEXT,
    ),
    "a score outside its range": Case(
        "text:text", "score:score", lambda to: {"score": 3.0},
        ["column 'score'", "3"], [*TEXT, "--score-range", "-1,1"],
    ),
    "an answer of no words": Case(
        "text:text", "text:caption", lambda to: {"caption": ""},
        ["column 'caption'", "empty text"], TEXT,
    ),
    "a picture to be drawn that is none": Case(
        "vector:kind", "image:image", lambda to: {"image": write(to, "x.png", b"no picture")},
        ["column 'image'", "x.png"], ["--picture-size", 8],
    ),
}  # fmt: skip
# The row that "seen only in validation" spoils validates; all others' trains.
PARTS = ["train"] * 4 + ["valid", "train", "valid", "train"]


@pytest.fixture
def spoilt(make_examples, tmp_path):
    """Write a table of files with one row spoilt; return it."""

    def spoilt(case: Case) -> Path:
        frame = make_examples(16).with_columns(part=pl.Series(PARTS * 2))
        media = {"sound": "wav", "image": "png", "video": "mov"}
        rows = frame.to_dicts()
        for number, row in enumerate(rows):
            for column, ending in media.items():
                row[column] = write(tmp_path, f"{column}{number}.{ending}", row[column])
        rows[case.row] |= case.spoil(tmp_path)
        pl.DataFrame(rows, infer_schema_length=None).write_parquet(tmp_path / "t.parquet")
        return tmp_path / "t.parquet"

    return spoilt


def declared(case: Case) -> list[Any]:
    return ["--input", case.inputs, "--target", case.target, *TINY, *case.options]


@pytest.mark.parametrize("name", CASES)
def test_it_is_refused_checked_and_skipped(elman, spoilt, tmp_path, name) -> None:
    case = CASES[name]
    table, run = spoilt(case), tmp_path / "run"
    place = f"t.parquet: row {case.row + 1}, "
    refused = elman("fit", table, *declared(case), "--out", run)
    assert refused.status == 2
    assert refused.line.startswith(place), refused.line
    for words in [*case.says, "--skip-bad"]:
        assert words in refused.line
    assert not run.exists()

    checked = elman("check", table, *declared(case))
    assert checked.status == 1
    assert f"error: {place}" in checked.out

    skipped = elman("fit", table, *declared(case), "--skip-bad", "--out", run)
    assert skipped.status == 0, skipped.err
    assert "Traceback" not in skipped.err
    first = f"warning: t.parquet: 1 row left out as bad; the first: {place}"
    assert first.replace("t.parquet: 1", "1") in skipped.err
    document = json.loads((run / "model.json").read_text())
    (left_out,) = document["data"]["skipped"]
    assert left_out["rows"] == [case.row + 1]
    assert json.loads((run / "samples.json").read_text())["skipped"] == [left_out]
    parts = document["data"]["parts"]
    part = PARTS[case.row % 8]
    whole = {"train": 12, "valid": 4, "test": 0}
    assert parts == whole | {part: whole[part] - 1}


def test_predict_and_evaluate_say_the_same(elman, spoilt, tmp_path) -> None:
    case = CASES["a letter outside the DNA alphabet"]
    table = spoilt(case)
    good = pl.read_parquet(table).filter(pl.int_range(pl.len()) != case.row)
    good.write_parquet(tmp_path / "good.parquet")
    run = tmp_path / "run"
    assert elman("fit", tmp_path / "good.parquet", *declared(case), "--out", run).status == 0
    for verb in ("predict", "evaluate"):
        refused = elman(verb, run, table)
        assert refused.status == 2
        assert refused.line.startswith("t.parquet: row 6, column 'dna': ")
        skipped = elman(verb, run, table, "--skip-bad")
        assert skipped.status == 0
        assert "warning: 1 row left out as bad; the first: t.parquet: row 6" in skipped.err
    rows = pl.read_csv(io.StringIO(elman("predict", run, table, "--skip-bad").out))["row"].to_list()
    assert rows == [row for row in range(1, 17) if row != 6]


def test_several_are_counted_and_check_lists_each(elman, spoilt) -> None:
    case = CASES["an empty text"]
    table = spoilt(case)
    frame = pl.read_parquet(table)
    texts = frame["text"].to_list()
    texts[1] = texts[9] = None
    frame.with_columns(text=pl.Series(texts)).write_parquet(table)
    refused = elman("fit", table, *declared(case))
    assert refused.status == 2
    assert refused.line.startswith("t.parquet: row 2, column 'text': missing text")
    assert refused.line.endswith("(and 2 more: see `elman check`)")
    checked = elman("check", table, *declared(case))
    for row in (2, 6, 10):
        assert f"error: t.parquet: row {row}, column 'text': " in checked.out
    assert "3 errors" in checked.out


def test_many_are_listed_up_to_a_number_and_all_counted(elman, make_examples, tmp_path) -> None:
    frame = make_examples(160).with_columns(
        text=pl.when(pl.int_range(pl.len()) % 2 == 0).then(pl.lit("")).otherwise("text"),
        part=pl.lit(None, pl.String),
    )
    frame.select("text", "label").write_csv(tmp_path / "t.csv")
    options = ["--input", "text:text", "--target", "category:label", "--test", 0]
    checked = elman("check", tmp_path / "t.csv", *options)
    assert checked.status == 1
    assert "(one of 80 rows that cannot be used)" in checked.out
    assert checked.out.count("error: t.csv: row") == 50


def test_mixed_sample_rates_are_resampled_and_said_once(elman, spoilt, tmp_path) -> None:
    case = Case("audio:sound", "category:label",
                lambda to: {"sound": write(to, "x.wav", silence(0.2, 16000))}, [])  # fmt: skip
    table = spoilt(case)
    fitted = elman("fit", table, *declared(case), "--out", tmp_path / "run")
    assert fitted.status == 0, fitted.err
    said = [line for line in fitted.err.splitlines() if "16,000" in line or "8,000" in line]
    assert len(said) == 1, fitted.err
    assert "resampled" in said[0]
    assert json.loads((tmp_path / "run/model.json").read_text())["data"]["skipped"] == []
