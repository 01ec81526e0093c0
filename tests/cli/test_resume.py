"""Interrupted, killed, diverged, resumed: what a run is afterwards, bit for bit."""

from __future__ import annotations

import json
import os
import random
import shlex
import signal
import time
from pathlib import Path

import pytest
from safetensors.numpy import load_file

# Dropout, so that random numbers matter; long enough to be caught in the middle.
OPTIONS = shlex.split(
    "--input series:rides,rain --target forecast:rides --time date --horizon 2 --lookback 10 "
    "--hidden 8 --layers 2 --dropout 0.3 --patience 0 --schedule cosine"
)
EPOCHS = 40
LONG = [*OPTIONS, "--epochs", EPOCHS, "--checkpoint-seconds", "0.05"]

pytestmark = pytest.mark.usefixtures("no_report")


def metrics(run: Path) -> list[dict]:
    """The lines of metrics.jsonl without what time took."""
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    return [{k: v for k, v in line.items() if "second" not in k} for line in lines]


def assert_same(run: Path, other: Path) -> None:
    for name in ("model.safetensors", "predictions.csv"):
        assert (run / name).read_bytes() == (other / name).read_bytes()
    assert metrics(run) == metrics(other)
    scores = [json.loads((r / "model.json").read_text())["scores"] for r in (run, other)]
    assert scores[0] == scores[1]


@pytest.fixture(scope="module")
def unbroken(elman, trained, tmp_path_factory):
    """A run that was never stopped, and the seconds it trained."""
    run = tmp_path_factory.mktemp("unbroken") / "run"
    outcome = elman("fit", trained / "weekly.csv", *LONG, "--out", run)
    assert outcome.status == 0, outcome.err
    return run, json.loads((run / "model.json").read_text())["training"]["seconds"]


def wait_for(path: Path, process, lines: int = 0) -> None:
    end = time.monotonic() + 60
    while not path.exists() or path.read_text().count("\n") < lines:
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < end
        time.sleep(0.002)


class TestMoreEpochs:
    def test_later_equal_more_epochs_at_once(self, elman, trained, tmp_path):
        table = trained / "weekly.csv"
        # A cosine schedule depends on the total, so a constant one here.
        options = [*OPTIONS, "--schedule", "constant"]
        for name, epochs in (("two", 2), ("four", 4)):
            outcome = elman("fit", table, *options, "--epochs", epochs, "--out", tmp_path / name)
            assert outcome.status == 0
        assert elman("fit", "--resume", tmp_path / "two", "--epochs", 4).status == 0
        assert_same(tmp_path / "two", tmp_path / "four")
        assert "epochs: 4\n" in (tmp_path / "two/config.yaml").read_text()

    def test_none_leave_the_finished_run_as_it_is(self, elman, own_run):
        before = {
            name: (own_run / name).read_bytes()
            for name in ("model.safetensors", "predictions.csv", "metrics.jsonl", "config.yaml")
        }
        assert elman("fit", "--resume", own_run).status == 0
        assert {name: (own_run / name).read_bytes() for name in before} == before


class TestInterrupted:
    @pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
    def test_leaves_a_checkpoint_from_which_it_ends_the_same(
        self, start, elman, trained, unbroken, tmp_path, number
    ):
        run = tmp_path / "run"
        process = start("fit", trained / "weekly.csv", *LONG, "--checkpoint-seconds", 999,
                        "--out", run)  # fmt: skip
        wait_for(run / "metrics.jsonl", process, lines=3)
        process.send_signal(number)
        out, err = process.communicate(timeout=60)
        assert process.returncode == 130
        assert out == ""
        hint = f"`elman fit --resume {run}` goes on where it stopped"
        assert err == f"elman: interrupted; {hint}\n"
        assert (run / "checkpoints/last.safetensors").is_file()
        assert not (run / "model.json").exists()
        assert len(metrics(run)) < EPOCHS
        outcome = elman("evaluate", run, trained / "weekly.csv")
        assert outcome.status == 2
        assert outcome.line.endswith(f"no model yet; finish it with `elman fit --resume {run}`")
        assert elman("fit", "--resume", run).status == 0
        assert_same(run, unbroken[0])

    def test_before_there_is_a_run_leaves_nothing(self, elman, trained, tmp_path, monkeypatch):
        def stop(*_):
            raise KeyboardInterrupt

        monkeypatch.setattr("elman.model.read_table", stop)
        run = tmp_path / "run"
        outcome = elman("fit", trained / "weekly.csv", *LONG, "--out", run)
        assert outcome.status == 130
        assert outcome.line == "interrupted"
        assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("attempt", range(3))
def test_killed_at_any_moment_ends_the_same(start, elman, trained, unbroken, tmp_path, attempt):
    run, (expected, seconds) = tmp_path / "run", unbroken
    process = start("fit", trained / "weekly.csv", *LONG, "--out", run)
    wait_for(run / "config.yaml", process)
    time.sleep(random.Random(attempt).uniform(0, 0.8 * seconds))
    os.kill(process.pid, signal.SIGKILL)
    process.communicate()
    assert process.returncode == -signal.SIGKILL
    outcome = elman("fit", "--resume", run)
    assert outcome.status == 0, outcome.err
    assert_same(run, expected)


def test_killed_in_the_middle_of_a_stream_ends_the_same(start, elman, tmp_path):
    """One series of 6,000 steps in two streams: the state they carry is in the checkpoint."""
    import numpy as np
    from safetensors import safe_open

    values = np.sin(np.arange(6_000) / 5) + np.random.default_rng(0).normal(0, 0.1, 6_000)
    table = tmp_path / "long.csv"
    table.write_text("y\n" + "".join(f"{value:.4f}\n" for value in values))
    options = shlex.split(
        "--input series:y --target forecast:y --tbptt 5 --batch-size 2 --hidden 6 --layers 2 "
        "--dropout 0.2 --cell lstm --epochs 2 --checkpoint-seconds 0"
    )
    assert elman("fit", table, *options, "--out", tmp_path / "unbroken").status == 0
    process = start("fit", table, *options, "--out", tmp_path / "killed")
    path = tmp_path / "killed/checkpoints/last.safetensors"
    batch, carried = 0, []
    end = time.monotonic() + 120
    while not batch:
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < end
        if path.exists():  # it is replaced as a whole
            with safe_open(path, framework="np") as file:
                batch = json.loads(file.metadata()["progress"])["batch"]
        time.sleep(0.002)
    os.kill(process.pid, signal.SIGKILL)
    process.communicate()
    assert not (tmp_path / "killed/model.json").exists()
    with safe_open(path, framework="np") as file:
        names = [name for name in file.keys() if name.startswith("carried/")]  # noqa: SIM118
        carried = [file.get_tensor(name) for name in names]
    assert [array.shape for array in carried] == [(2, 2, 6), (2, 2, 6)]
    outcome = elman("fit", "--resume", tmp_path / "killed")
    assert outcome.status == 0, outcome.err
    assert_same(tmp_path / "killed", tmp_path / "unbroken")


class TestDiverged:
    @pytest.fixture
    def diverged(self, elman, trained, tmp_path):
        run = tmp_path / "run"
        outcome = elman(
            "fit", trained / "weekly.csv", *OPTIONS, "--epochs", 3, "--learning-rate", "1e38",
            "--checkpoint-seconds", 0, "--out", run,
        )  # fmt: skip
        return run, outcome

    def test_names_epoch_batch_and_parameter(self, diverged):
        run, outcome = diverged
        assert outcome.status == 3
        assert outcome.line.startswith("training diverged in epoch 1, batch ")
        assert "the gradient of recurrent.weight_ih_l0" in outcome.line
        assert "'rides'" in outcome.line or "'rain'" in outcome.line
        assert f"{run / 'checkpoints/last.safetensors'}" in outcome.line
        assert "learning_rate below 1e+38" in outcome.line

    def test_leaves_the_last_good_checkpoint(self, diverged):
        import numpy as np

        arrays = load_file(diverged[0] / "checkpoints/last.safetensors")
        for array in arrays.values():
            assert np.isfinite(array).all()
        assert not (diverged[0] / "model.json").exists()

    def test_resumed_diverges_in_the_same_place(self, elman, diverged):
        run, outcome = diverged
        again = elman("fit", "--resume", run)
        assert again.status == 3
        assert again.line == outcome.line

    def test_has_no_model(self, elman, trained, diverged):
        outcome = elman("evaluate", diverged[0], trained / "weekly.csv")
        assert outcome.status == 2
        assert "this run has no model yet" in outcome.line

    def test_has_a_report_of_how_it_went(self, elman, diverged, monkeypatch):
        monkeypatch.undo()
        assert elman("report", diverged[0]).status == 0
        assert (diverged[0] / "report.html").is_file()


def test_a_forecast_that_is_far_off_is_still_shown(elman, trained, tmp_path, monkeypatch):
    """Nothing is infinite here, only absurd: the page must take any finite number."""
    monkeypatch.undo()
    outcome = elman("fit", trained / "weekly.csv", *OPTIONS, "--epochs", 1,
                    "--learning-rate", "1e30", "--out", tmp_path / "run")  # fmt: skip
    assert outcome.status == 0
    assert (tmp_path / "run/report.html").is_file()


def test_the_number_of_threads_is_the_runs_own_whatever_the_machine_has(elman, trained, tmp_path):
    """Matrix products may round differently for another number, so it is kept with the run."""
    run = tmp_path / "run"
    assert elman("fit", trained / "weekly.csv", *OPTIONS, "--epochs", 1, "--out", run).status == 0
    # A small network's is left open: torch uses one thread for it on any machine.
    assert "\nthreads: null\n" in (run / "config.yaml").read_text()
    outcome = elman("fit", "--resume", run, "--epochs", 2, "--threads", 2)
    assert outcome.status == 2
    assert "threads cannot change in the middle of a run" in outcome.line
