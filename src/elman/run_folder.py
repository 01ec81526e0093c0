"""A run's folder, which explains itself: what is in it, how it is written and verified.

config.yaml         the options, resolved and complete
model.safetensors   the weights
model.json          preprocessing, data and versions, scores; with the digests of both
metrics.jsonl       a line an epoch
checkpoints/        where training stands
predictions.csv     answers over what validates and tests
samples.json        examples with what the network made of them, for the report (not of forecasts)
diagnosis.json      what `elman diagnose` found in the network, once it was asked
report.html         the page that shows all of it
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import polars as pl
from torch import Tensor, nn

from elman.config import Config, read_config
from elman.errors import InputError
from elman.files import explain, sha256, write_atomically
from elman.training.checkpoint import Progress
from elman.training.observer import EpochMetrics, Observer

FORMAT = 1
_ROWS = 10_000  # of predictions, written in one go


class RunFolder:
    """The folder at `path`; `create` makes a new one, `RunFolder(path)` opens one.

    Raises:
        InputError: on opening, `path` is not the folder of a run.
    """

    def __init__(self, path: Path | str) -> None:
        self.path = Path(path)
        if not self.path.exists():
            raise InputError(f"{self.path}: no such run folder")
        if not self.config_path.is_file():
            raise InputError(
                f"{self.path}: not a run folder (it has no config.yaml); a run is made by "
                "`elman fit`"
            )

    @classmethod
    def create(cls, path: Path | str, config: Config) -> RunFolder:
        """Make the folder, with its configuration in it, whole or not at all.

        Raises:
            InputError: `path` exists, or cannot be written.
        """
        path = new_folder(path, "")
        temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
        try:
            (temporary / "checkpoints").mkdir(parents=True)
            (temporary / "config.yaml").write_text(config.to_yaml(), encoding="utf-8")
            temporary.rename(path)
        except OSError as error:
            raise explain(error, path) from error
        finally:
            shutil.rmtree(temporary, ignore_errors=True)
        return cls(path)

    @property
    def config_path(self) -> Path:
        """The resolved options."""
        return self.path / "config.yaml"

    @property
    def checkpoints(self) -> Path:
        """The folder of checkpoints, made if somebody removed it."""
        path = self.path / "checkpoints"
        path.mkdir(exist_ok=True)
        return path

    @property
    def metrics(self) -> Path:
        """A line an epoch."""
        return self.path / "metrics.jsonl"

    @property
    def predictions(self) -> Path:
        """Forecasts over the validation and test spans."""
        return self.path / "predictions.csv"

    @property
    def samples(self) -> Path:
        """Examples as the report shows them."""
        return self.path / "samples.json"

    @property
    def diagnosis(self) -> Path:
        """What was found in the network."""
        return self.path / "diagnosis.json"

    @property
    def is_finished(self) -> bool:
        """Whether training ended and the model was written."""
        return (self.path / "model.json").exists()

    @contextmanager
    def held(self) -> Iterator[None]:
        """Keep other processes from training this run; the system lets go when this one ends.

        Raises:
            InputError: one of them does.
        """
        try:
            import fcntl
        except ImportError:  # Windows has no such locks
            yield
            return
        handle = os.open(self.checkpoints, os.O_RDONLY)
        try:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise InputError(
                    f"{self.path}: another process is training this run; let it end, or stop it"
                ) from None
            yield
        finally:
            os.close(handle)

    def read_config(self) -> Config:
        """Return the run's options."""
        return Config.parse(read_config(self.config_path), str(self.config_path))

    def write_config(self, config: Config) -> None:
        """Replace the run's options (a resumed run may have more epochs)."""
        write_atomically(self.config_path, config.to_yaml())

    def write_predictions(self, frame: pl.DataFrame) -> None:
        """Write the answers over what validates and tests; some rows at a time, not all as text."""
        parts = list(frame.iter_slices(_ROWS)) or [frame]

        def write(path: Path) -> None:
            with path.open("w", encoding="utf-8", newline="") as file:
                for place, part in enumerate(parts):
                    file.write(part.write_csv(include_header=place == 0))

        write_atomically(self.predictions, write)

    def write_model(self, document: dict[str, Any], network: nn.Module) -> dict[str, Any]:
        """Write the weights and the document that describes them; return it with its digests."""
        from safetensors.torch import save

        weights = {k: v.detach().cpu().contiguous() for k, v in network.state_dict().items()}
        data = save(weights)
        document = {"format": FORMAT} | document
        document["config_sha256"] = self.read_config().sha256
        document["weights_sha256"] = hashlib.sha256(data).hexdigest()
        document["sha256"] = _digest(document)
        # The document goes first and comes last: a folder that has one has the weights it names.
        (self.path / "model.json").unlink(missing_ok=True)
        write_atomically(self.path / "model.safetensors", data)
        write_atomically(self.path / "model.json", json.dumps(document, indent=1))
        return document

    def read_model(self) -> tuple[dict[str, Any], dict[str, Tensor]]:
        """Return model.json and the weights.

        Raises:
            InputError: training has not ended, or a file is absent, truncated or was changed.
        """
        from safetensors import SafetensorError
        from safetensors.torch import load

        path, weights_path = self.path / "model.json", self.path / "model.safetensors"
        if not path.exists():
            raise InputError(
                f"{self.path}: this run has no model yet; finish it with "
                f"`elman fit --resume {self.path}`"
            )
        try:
            document = json.loads(path.read_text(encoding="utf-8"))
            names = ("sha256", "weights_sha256", "format", "config_sha256")
            stated = tuple(document[name] for name in names)
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise InputError(f"{path}: damaged ({type(error).__name__}: {error})") from None
        if stated[2] != FORMAT:
            raise InputError(f"{path}: format {stated[2]!r}, this Elman reads format {FORMAT}")
        if _digest(document) != stated[0]:
            raise InputError(f"{path}: was changed after it was written (its digest differs)")
        if self.read_config().sha256 != stated[3]:
            raise InputError(
                f"{self.config_path}: was changed after training (its digest differs from that in "
                "model.json); bring the old one back, or train anew with `elman fit --config`"
            )
        if not weights_path.exists():
            raise InputError(f"{weights_path}: missing; the run folder is not complete")
        if sha256(weights_path) != stated[1]:
            raise InputError(
                f"{weights_path}: truncated or changed after it was written (its digest differs "
                "from that in model.json)"
            )
        try:
            return document, load(weights_path.read_bytes())
        except (SafetensorError, OSError) as error:
            raise InputError(f"{weights_path}: damaged ({error})") from None


def new_folder(path: Path | str | None, name: str) -> Path:
    """Return `path`, which must be free, or if it is None the first free one of `runs/name`, -2...

    Raises:
        InputError: `path` exists.
    """
    if path is None:
        path, number = Path("runs") / name, 1
        while path.exists():
            number += 1
            path = path.with_name(f"{name}-{number}")
    elif Path(path).exists():
        raise InputError(
            f"{path}: exists already; name another folder with --out, or go on with that run by "
            f"`elman fit --resume {path}`"
        )
    return Path(path)


def _digest(document: dict[str, Any]) -> str:
    content = {name: value for name, value in document.items() if name != "sha256"}
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


class MetricsFile(Observer):
    """Appends a line an epoch; on a resumed run, first drops the epochs that are done again."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def begin(self, progress: Progress, epochs: int, score_name: str) -> None:
        """Keep the lines of the epochs that are done."""
        lines = self._path.read_text().splitlines() if self._path.exists() else []
        write_atomically(self._path, "".join(f"{line}\n" for line in lines[: progress.epoch]))

    def epoch(self, metrics: EpochMetrics) -> None:
        """Append one line."""
        try:
            with self._path.open("a") as file:
                file.write(json.dumps(metrics.as_dict()) + "\n")
        except OSError as error:
            raise explain(error, self._path) from error
