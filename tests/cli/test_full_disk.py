"""A disk that fills up while a run is written: one line, and afterwards the same weights.

A limit on the size of files (RLIMIT_FSIZE) stands in for the disk: writing past it fails with an
error of the system, after a part was written. Python ignores the signal that goes with it.
"""

from __future__ import annotations

import errno
import resource
import shlex
from contextlib import contextmanager
from pathlib import Path

import pytest

# With so many steps ahead, each file is larger than those written before it.
OPTIONS = shlex.split(
    "--input series:rides --target forecast:rides --time date --horizon 10 --lookback 10 "
    "--hidden 4 --epochs 3 --checkpoint-seconds 999"
)
# In the order in which they are written; the weights are never larger than a checkpoint.
FILES = (
    "config.yaml", "checkpoints/last.safetensors", "predictions.csv", "model.json", "report.html"
)  # fmt: skip


@contextmanager
def largest_file(size: int):
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.fixture(scope="module")
def unbroken(elman, trained, tmp_path_factory):
    run = tmp_path_factory.mktemp("unbroken") / "run"
    assert elman("fit", trained / "weekly.csv", *OPTIONS, "--out", run).status == 0
    return run


def go_on(elman, trained, run: Path) -> None:
    """Finish the run, or start it again if there is none."""
    if run.exists():
        outcome = elman("fit", "--resume", run)
    else:
        outcome = elman("fit", trained / "weekly.csv", *OPTIONS, "--out", run)
    assert outcome.status == 0, outcome.err


def assert_same(run: Path, unbroken: Path) -> None:
    for name in ("model.safetensors", "predictions.csv", "config.yaml"):
        assert (run / name).read_bytes() == (unbroken / name).read_bytes()
    assert len((run / "metrics.jsonl").read_text().splitlines()) == 3
    assert not [path for path in run.rglob("*") if path.name.endswith(".tmp")]


def test_files_grow_in_the_order_they_are_written(unbroken):
    sizes = [(unbroken / name).stat().st_size for name in FILES]
    assert sizes == sorted(sizes)


@pytest.mark.parametrize("name", FILES)
def test_no_room_for(elman, trained, unbroken, tmp_path, name, request):
    if name != "report.html":
        request.getfixturevalue("no_report")
    run = tmp_path / "run"
    with largest_file((unbroken / name).stat().st_size - 20):
        outcome = elman("fit", trained / "weekly.csv", *OPTIONS, "--out", run)
    assert outcome.status == 2
    assert outcome.line.startswith(f"{run if name == 'config.yaml' else run / name}: ")
    assert "(File too large)" in outcome.line
    assert not [path for path in tmp_path.rglob("*") if path.name.endswith(".tmp")]
    if name == "config.yaml":
        assert not list(tmp_path.iterdir())
    go_on(elman, trained, run)
    assert_same(run, unbroken)


def test_no_room_for_a_line_of_metrics(elman, trained, unbroken, tmp_path, no_report, monkeypatch):
    open_path = Path.open

    def full(path: Path, mode: str = "r", *arguments, **named):
        if mode == "a":
            raise OSError(errno.ENOSPC, "No space left on device", str(path))
        return open_path(path, mode, *arguments, **named)

    run = tmp_path / "run"
    with monkeypatch.context() as patch:
        patch.setattr(Path, "open", full)
        outcome = elman("fit", trained / "weekly.csv", *OPTIONS, "--out", run)
    assert outcome.status == 2
    assert outcome.line.startswith(f"{run / 'metrics.jsonl'}: no room left to write it")
    go_on(elman, trained, run)
    assert_same(run, unbroken)


def test_no_room_for_the_weights(elman, trained, unbroken, tmp_path, no_report, monkeypatch):
    write_bytes = Path.write_bytes

    def full(path: Path, data: bytes) -> int:
        if "model.safetensors" not in path.name:
            return write_bytes(path, data)
        write_bytes(path, data[: len(data) // 2])
        raise OSError(errno.ENOSPC, "No space left on device", str(path))

    run = tmp_path / "run"
    with monkeypatch.context() as patch:
        patch.setattr(Path, "write_bytes", full)
        outcome = elman("fit", trained / "weekly.csv", *OPTIONS, "--out", run)
    assert outcome.status == 2
    assert outcome.line.startswith(f"{run / 'model.safetensors'}: no room left to write it")
    assert not (run / "model.json").exists()
    assert not (run / "model.safetensors").exists()
    go_on(elman, trained, run)
    assert_same(run, unbroken)


def test_no_room_for_forecasts(elman, trained, unbroken, tmp_path):
    out = tmp_path / "scored.csv"
    with largest_file(300):
        outcome = elman("evaluate", unbroken, trained / "weekly.csv", "--out", out)
    assert outcome.status == 2
    _, line = outcome.err.splitlines()  # after the warning that the model knows this table
    assert line.startswith(f"elman: {out}: no room left")
    assert not list(tmp_path.iterdir())


class TestNoRoomForMoreEpochs:
    @pytest.fixture
    def run(self, elman, trained, tmp_path, no_report):
        run = tmp_path / "run"
        assert elman("fit", trained / "weekly.csv", *OPTIONS, "--out", run).status == 0
        return run

    def test_keeps_the_model_there_was(self, elman, trained, unbroken, run):
        with largest_file((run / "checkpoints/last.safetensors").stat().st_size - 20):
            assert elman("fit", "--resume", run, "--epochs", 4).status == 2
        weights = "model.safetensors"
        assert (run / weights).read_bytes() == (unbroken / weights).read_bytes()
        assert elman("evaluate", run, trained / "weekly.csv").status == 0

    def test_never_leaves_a_model_beside_other_weights(self, elman, trained, run):
        with largest_file((run / "predictions.csv").stat().st_size + 500):
            outcome = elman("fit", "--resume", run, "--epochs", 4)
        assert outcome.status == 2
        assert outcome.line.startswith(f"{run / 'model.json'}: no room left")
        refused = elman("evaluate", run, trained / "weekly.csv")
        assert refused.line.endswith(f"no model yet; finish it with `elman fit --resume {run}`")
        assert elman("fit", "--resume", run).status == 0
        assert elman("evaluate", run, trained / "weekly.csv").status == 0


def test_in_a_process_of_its_own(start, elman, trained, unbroken, tmp_path, no_report):
    run = tmp_path / "run"
    limit = (unbroken / "checkpoints/last.safetensors").stat().st_size - 1
    process = start(
        "fit", trained / "weekly.csv", *OPTIONS, "--checkpoint-seconds", 0, "--out", run,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit)),
    )  # fmt: skip
    _, err = process.communicate(timeout=60)
    assert process.returncode == 2
    assert err.startswith(f"elman: {run / 'checkpoints/last.safetensors'}: no room left")
    assert err.count("\n") == 1
    go_on(elman, trained, run)
    for file in ("model.safetensors", "predictions.csv"):
        assert (run / file).read_bytes() == (unbroken / file).read_bytes()
