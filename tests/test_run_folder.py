"""A run's folder: made whole or not at all, and verified when it is read."""

from __future__ import annotations

import hashlib
import json
import os

import pytest
import torch
from torch import nn

from elman.config import Config
from elman.errors import InputError
from elman.run_folder import MetricsFile, RunFolder, new_folder
from elman.training.checkpoint import Progress
from elman.training.observer import EpochMetrics

CONFIG = Config.parse({"inputs": "series:a", "target": "forecast:a"}, "test")


def epoch(number: int) -> EpochMetrics:
    return EpochMetrics(number, 4 * number, 0.5, 0.4, 30.0, 1.0, 1e-3, 0.1, 100.0, True)


@pytest.fixture
def folder(tmp_path) -> RunFolder:
    return RunFolder.create(tmp_path / "run", CONFIG)


@pytest.fixture
def network() -> nn.Module:
    network = nn.Linear(2, 1)
    with torch.no_grad():
        network.weight.copy_(torch.tensor([[0.1, -2.5]]))
        network.bias.fill_(7)
    return network


class TestCreate:
    def test_makes_it_with_its_configuration_and_nothing_beside_it(self, tmp_path):
        folder = RunFolder.create(tmp_path / "deep/run", CONFIG)
        assert sorted(p.name for p in folder.path.iterdir()) == ["checkpoints", "config.yaml"]
        assert list((tmp_path / "deep").iterdir()) == [folder.path]
        assert folder.read_config() == CONFIG
        assert not folder.is_finished

    def test_refuses_what_exists(self, folder):
        with pytest.raises(InputError, match="exists already; name another folder with --out"):
            RunFolder.create(folder.path, CONFIG)

    def test_leaves_nothing_if_it_cannot_be_finished(self, tmp_path, monkeypatch):
        def full(*_):
            raise OSError(28, "No space left on device")

        monkeypatch.setattr("pathlib.Path.rename", full)
        with pytest.raises(InputError) as caught:
            RunFolder.create(tmp_path / "run", CONFIG)
        assert str(caught.value).startswith(f"{tmp_path / 'run'}: no room left")
        assert not list(tmp_path.iterdir())

    def test_default_names_are_numbered(self, tmp_path, monkeypatch):
        monkeypatch.chdir(tmp_path)
        for expected in ("runs/prices", "runs/prices-2", "runs/prices-3"):
            place = new_folder(None, "prices")
            assert str(place) == expected
            place.mkdir(parents=True)


class TestOpen:
    def test_refuses_what_is_no_run(self, tmp_path):
        with pytest.raises(InputError, match="no: no such run folder"):
            RunFolder(tmp_path / "no")
        with pytest.raises(InputError, match=r"not a run folder \(it has no config.yaml\)"):
            RunFolder(tmp_path)

    def test_changed_options_are_kept(self, folder):
        folder.write_config(Config.parse(CONFIG.model_dump() | {"epochs": 7}, "test"))
        assert folder.read_config().epochs == 7


class TestModel:
    def test_comes_back_to_the_bit(self, folder, network):
        written = folder.write_model({"scores": [0.1 + 0.2, None], "wörter": "ü"}, network)
        document, weights = folder.read_model()
        assert document == written
        assert document["scores"] == [0.1 + 0.2, None]
        assert document["format"] == 1
        data = (folder.path / "model.safetensors").read_bytes()
        assert document["weights_sha256"] == hashlib.sha256(data).hexdigest()
        for name, value in network.state_dict().items():
            assert torch.equal(weights[name], value)
        assert folder.is_finished

    def test_its_digest_is_over_all_but_itself(self, folder, network):
        document = folder.write_model({"a": [1, {"b": 2}]}, network)
        rest = {name: value for name, value in document.items() if name != "sha256"}
        text = json.dumps(rest, sort_keys=True)
        assert document["sha256"] == hashlib.sha256(text.encode()).hexdigest()

    def test_is_not_there_before_training_ended(self, folder):
        with pytest.raises(InputError, match=r"no model yet; finish it with `elman fit --resume"):
            folder.read_model()

    def test_another_format_is_refused(self, folder, network, monkeypatch):
        monkeypatch.setattr("elman.run_folder.FORMAT", 2)
        folder.write_model({}, network)
        monkeypatch.undo()
        with pytest.raises(InputError, match="format 2, this Elman reads format 1"):
            folder.read_model()

    def test_options_that_may_change_do_not_spoil_it(self, folder, network):
        folder.write_model({}, network)
        folder.write_config(Config.parse(CONFIG.model_dump() | {"epochs": 7}, "test"))
        folder.read_model()
        folder.write_config(Config.parse(CONFIG.model_dump() | {"hidden": 7}, "test"))
        with pytest.raises(InputError, match=r"config\.yaml: was changed after training"):
            folder.read_model()

    def test_a_kill_between_its_two_files_leaves_no_model(self, folder, network, monkeypatch):
        from elman import run_folder

        folder.write_model({}, network)
        write = run_folder.write_atomically

        def killed(path, content):
            if path.name == "model.json":
                raise KeyboardInterrupt
            write(path, content)

        monkeypatch.setattr(run_folder, "write_atomically", killed)
        with pytest.raises(KeyboardInterrupt):
            folder.write_model({}, nn.Linear(2, 1))
        assert not folder.is_finished


class TestMetrics:
    def begin(self, folder: RunFolder, done: int) -> MetricsFile:
        metrics = MetricsFile(folder.metrics)
        metrics.begin(Progress(epoch=done), 9, "MAE")
        return metrics

    def test_a_line_an_epoch(self, folder):
        metrics = self.begin(folder, 0)
        assert folder.metrics.read_text() == ""
        metrics.epoch(epoch(1))
        metrics.epoch(epoch(2))
        lines = [json.loads(line) for line in folder.metrics.read_text().splitlines()]
        assert lines == [epoch(1).as_dict(), epoch(2).as_dict()]

    @pytest.mark.parametrize("torn", ["", '{"epoch": 4, "st'])
    def test_epochs_done_again_are_dropped_and_half_a_line_too(self, folder, torn):
        metrics = self.begin(folder, 0)
        for number in (1, 2, 3):
            metrics.epoch(epoch(number))
        with folder.metrics.open("a") as file:
            file.write(torn)
        metrics = self.begin(folder, 2)
        metrics.epoch(epoch(3))
        lines = [json.loads(line)["epoch"] for line in folder.metrics.read_text().splitlines()]
        assert lines == [1, 2, 3]

    @pytest.mark.skipif(not os.path.exists("/dev/full"), reason="no /dev/full here")
    def test_a_full_disk_is_told(self):
        from pathlib import Path

        with pytest.raises(InputError, match="/dev/full: no room left"):
            MetricsFile(Path("/dev/full")).epoch(epoch(1))


def test_a_run_is_trained_by_one_process_at_a_time(folder):
    busy = pytest.raises(InputError, match="another process is training this run")
    with folder.held(), busy, RunFolder(folder.path).held():
        pass
    with folder.held():  # it was let go
        pass
