"""Run folders with something missing or damaged: a page with notes, and never a traceback."""

from __future__ import annotations

import copy
import json

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from elman.report import read_run, write_report
from elman.report.examples.samples import read_samples
from elman.report.run_data import job_of


def test_a_run_without_samples_shows_its_worst_answers(tmp_path, makers):
    folder = makers["audio"]().write(tmp_path / "run")
    (folder / "samples.json").unlink()
    text = write_report(folder).read_text()
    assert "samples.json is absent: examples and details cannot be shown." in text
    assert "The answers of predictions.csv with the largest loss" in text
    assert '<td class="l">nine</td><td class="l">one</td>' in text


def test_a_stopped_run_has_a_page(tmp_path, makers):
    folder = makers["sentiment"]().write(tmp_path / "run")
    for name in ("model.json", "samples.json", "predictions.csv"):
        (folder / name).unlink()
    run = read_run(folder)
    assert run.job == "examples"
    text = write_report(folder).read_text()
    assert "model.json is absent: the run has not finished" in text
    assert "predictions.csv is absent: there are no answers to show." in text
    assert "This run has no verdict: it holds no scores." in text
    assert "There are no examples in the run folder." in text


def test_the_job_follows_from_model_or_target():
    assert job_of({"job": "generation"}, {}) == "generation"
    assert job_of({"format": 1}, {"target": "category:x"}) == "forecasting"
    assert job_of({}, {"target": "next"}) == "generation"
    assert job_of({}, {"target": "tags:pos"}) == "examples"
    assert job_of({}, {}) == "forecasting"


@pytest.mark.parametrize(
    ("content", "note"),
    [
        ("", "samples.json cannot be read (Expecting value"),
        ("[1]", "samples.json: expected a JSON object, got list."),
        ('{"examples": 3}', "samples.json: examples: expected a list, got int."),
        ('{"examples": [1]}', "samples.json: examples no. 1: left out, unreadable"),
        (
            '{"examples": [{"split": "test", "row": 1, "saliency": {"values": []}}]}',
            "samples.json: examples no. 1: saliency left out, unreadable (saliency.values:",
        ),
        (
            '{"details": {"test": {"confusion": "x", "classes": ["a"]}}}',
            "samples.json: details of test: confusion left out, unreadable",
        ),
    ],
)
def test_damage_is_noted(tmp_path, content, note):
    (tmp_path / "samples.json").write_text(content)
    notes = []
    read_samples(tmp_path / "samples.json", notes)
    assert [each for each in notes if each.startswith(note)], notes


def test_what_is_whole_in_a_damaged_example_is_kept(tmp_path):
    sample = {
        "split": "test",
        "row": 3,
        "truth": 5,
        "prediction": "4.9",
        "alignment": {"answer": ["a"], "read": ["b", "c"], "weights": []},
        "inputs": [{"kind": "smell"}],
        "loss": None,
        "n_best": ["x"],
    }
    (tmp_path / "samples.json").write_text(json.dumps({"examples": [sample, sample]}))
    notes = []
    kept = read_samples(tmp_path / "samples.json", notes).examples[0]
    assert (kept.truth, kept.alignment, list(kept.inputs), kept.n_best) == ("5", None, [], ["x"])
    assert len(notes) == 1
    assert "alignment, inputs left out" in notes[0]
    assert notes[0].endswith("(and 1 more like it)")


def test_a_picture_that_is_none_is_left_out(tmp_path):
    bad = '<svg onload="x">'
    sample = {"split": "a", "row": 1, "inputs": [{"kind": "image", "png": bad}]}
    (tmp_path / "samples.json").write_text(json.dumps({"examples": [sample]}))
    notes = []
    assert not read_samples(tmp_path / "samples.json", notes).examples[0].inputs
    assert "expected a PNG in base64" in notes[0]


def places(value, path=()):
    """Return the path of every value in a JSON document, few of each list."""
    found = [path] if path else []
    if isinstance(value, dict):
        for name, part in value.items():
            found += places(part, (*path, name))
    elif isinstance(value, list):
        for index, part in enumerate(value[:2]):
            found += places(part, (*path, index))
    return found


def changed(document, path, value):
    """Return a copy of a document with the value at a path replaced, or dropped."""
    document = copy.deepcopy(document)
    part = document
    for name in path[:-1]:
        part = part[name]
    if value is DROP:
        del part[path[-1]]
    else:
        part[path[-1]] = value
    return document


DROP = object()
WHOLE = {}  # the undamaged document of each folder
JUNK = st.sampled_from(
    [DROP, None, -1, 10**9, 0.5, float("nan"), float("inf"), "", "x", True, [], [[]], {}, [None],
     {"a": 1}, [1, 2, 3], [[1.0, 2.0]], ["a", "b"]]
)  # fmt: skip


QUICK = settings(
    max_examples=6, deadline=None, phases=[Phase.explicit, Phase.reuse, Phase.generate],
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)  # fmt: skip


@pytest.fixture
def bare(tmp_path, makers, request):
    """A run's folder with one example of each kind, and no curves to draw."""
    maker = makers[request.param]()
    maker.samples["examples"] = maker.samples["examples"][:1]
    folder = maker.write(tmp_path / "run")
    (folder / "metrics.jsonl").unlink()
    return folder


@pytest.mark.parametrize(
    "bare", ["sentiment", "score", "audio", "translation", "tags", "dna"], indirect=True
)
@QUICK
@given(data=st.data())
def test_damaged_samples_never_break_the_page(bare, data):
    original = json.loads(WHOLE.setdefault(bare, (bare / "samples.json").read_text()))
    path = data.draw(st.sampled_from(places(original)))
    document = changed(original, path, data.draw(JUNK))
    (bare / "samples.json").write_text(json.dumps(document))
    write_report(bare)


@pytest.mark.parametrize("bare", ["sentiment", "score", "language"], indirect=True)
@QUICK
@given(data=st.data())
def test_damaged_model_values_never_break_the_page(bare, data):
    (bare / "samples.json").unlink(missing_ok=True)
    original = json.loads(WHOLE.setdefault(bare, (bare / "model.json").read_text()))
    parts = [p for p in places(original) if p[0] in ("data", "scores", "folds", "notes", "target")]
    document = changed(original, data.draw(st.sampled_from(parts)), data.draw(JUNK))
    (bare / "model.json").write_text(json.dumps(document))
    write_report(bare)
