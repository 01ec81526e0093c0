"""`Model`: what goes in, what comes out, and a network between them, from fit to predict.

    model = elman.Model(inputs="series:open,close", target="forecast:close", horizon=5)
    model.fit("prices.csv", run="runs/prices")
    model.predict("new.csv")

What a pair of kinds does with tables is in `kinds`, how a network is trained in `training`; this
file joins them, and writes what happened into the run's folder.
"""

from __future__ import annotations

import platform
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any, Self

import polars as pl
import torch
from torch import nn

from elman import engines, networks
from elman.config import RESUMABLE, Config
from elman.data.findings import Finding, count
from elman.data.table import Table, read_table
from elman.errors import InputError
from elman.files import write_atomically
from elman.kinds import INPUT_KINDS, TARGET_KINDS, declare, topology_of
from elman.kinds.forecasting.evaluation import Evaluation
from elman.kinds.jobs import JOBS
from elman.run_folder import MetricsFile, RunFolder
from elman.training.loop import Trainer
from elman.training.observer import Observer, Observers
from elman.training.randomness import own_randomness

_VERSIONS = ("torch", "numpy", "polars", "safetensors", "pydantic", "matplotlib")
_WORTH_THREADS = 10_000_000  # multiplications a time step, some 0.2 ms of one core
_WORST_FIRST = ("error", "warning", "note")


class Model:
    """A network for one kind of input and one kind of target, with all that belongs to it.

    Args:
        inputs: what goes in, as `kind:column,column`, such as `series:open,close`.
        target: what comes out, such as `forecast:close`.
        options: everything `elman fit` takes, in the same words: `horizon=5`, `cell="lstm"`.

    Attributes:
        config: the options; after `fit`, with what was chosen filled in.
        network: the torch module, once fitted or loaded.
        document: what `model.json` holds, once fitted or loaded: data, training, scores, verdict.

    Raises:
        InputError: an option is not known, or its value cannot be used.
    """

    def __init__(self, inputs: str, target: str, **options: Any) -> None:
        values = {"inputs": inputs, "target": target} | options
        self._set_config(Config.parse(values, "elman.Model"))
        self._asked = self.config
        self.network: nn.Module | None = None
        self.document: dict[str, Any] = {}
        self._learnt: Any = None

    def __repr__(self) -> str:
        """Say what goes in, what comes out, and whether it is fitted."""
        state = "fitted" if self.network is not None else "not fitted"
        config = self.config
        return f"Model({config.inputs!r}, {config.target!r}, cell={config.cell!r}): {state}"

    @classmethod
    def from_config(cls, config: Config) -> Self:
        """Return the model that a configuration describes, not fitted."""
        return cls(**{name: getattr(config, name) for name in config.model_fields_set})

    def check(self, table: Any, valid: Any = None) -> list[Finding]:
        """Return what would spoil training on a table, worst first, without training.

        Args:
            table: a path, or a pandas, polars or Arrow table.
            valid: another one to validate on, instead of a span of `table`.
        """
        findings: list[Finding] = []
        try:
            job = self._prepare(read_table(table), _read(valid), findings)
            job.task("cpu", self.config.precision)
        except InputError as error:
            if not any(finding.severity == "error" for finding in findings):
                findings.append(Finding("error", str(error)))
        return sorted(findings, key=lambda finding: _WORST_FIRST.index(finding.severity))

    def fit(
        self,
        table: Any,
        valid: Any = None,
        *,
        run: Path | str | None = None,
        observer: Observer | None = None,
    ) -> Self:
        """Train on a table, and score the result beside the baselines.

        Args:
            table: a path, or a pandas, polars or Arrow table.
            valid: another one to validate on, instead of a span of `table`.
            run: a folder to make and to keep the run in, with checkpoints; None keeps nothing.
            observer: hears how it goes.

        Raises:
            InputError: the table cannot be used as the options say; nothing was written.
            DivergenceError: a loss or a gradient was not finite.
            Interrupted: Ctrl-C; a run left a checkpoint.
        """
        return self._fit(read_table(table), _read(valid), run, observer, resumed=False)

    def predict(self, table: Any, observer: Observer | None = None) -> pl.DataFrame:
        """Forecast the steps that follow the last values of each series of a table.

        Args:
            table: a path, or a pandas, polars or Arrow table.
            observer: hears of what was noticed about the table.

        Returns:
            Columns group (for a panel), origin, step, time, target, forecast, and one for each
            quantile (`q0.1`).

        Raises:
            InputError: the table lacks what the model needs, or is too short.
        """
        network, source = self._ready_network(), read_table(table)
        with _using_threads(self.config.threads):
            frame, findings = self._job().predict(network, self._learnt, source)
        _tell(findings, observer)
        return frame

    def evaluate(self, table: Any, observer: Observer | None = None) -> Evaluation:
        """Score forecasts from every step of a table beside the naive baselines.

        Args:
            table: a path, or a pandas, polars or Arrow table.
            observer: hears of what was noticed about the table.

        Raises:
            InputError: the table lacks what the model needs, or is too short.
        """
        network, source = self._ready_network(), read_table(table)
        with _using_threads(self.config.threads):
            evaluation, findings = self._job().evaluate(
                network, self._learnt, self.config.cell, source
            )
        if source.sha256 == self.document["data"]["sha256"]:
            known = "is the table that the model was trained on"
            remedy = "its scores say nothing of new data; the test span's do"
            findings.append(Finding("warning", f"{source.name}: {known}", remedy))
        _tell(findings, observer)
        for note in evaluation.notes:
            (observer or Observer()).message(note)
        return evaluation

    def series(self, table: Any) -> dict[str, Any]:
        """Return a table's series as the report draws them."""
        return self._job().read_series(self._learnt, self.config, read_table(table))

    def save(self, path: Path | str) -> Path:
        """Write the model as a run folder at `path`, which must not exist.

        Raises:
            InputError: the model is not fitted, or `path` exists or cannot be written.
        """
        self._ready_network()
        folder = RunFolder.create(path, self.config)
        self._write(folder)
        return folder.path

    @classmethod
    def load(cls, path: Path | str) -> Self:
        """Return the model of a run folder.

        Raises:
            InputError: `path` is no run folder, or one that is incomplete or was changed.
        """
        folder = RunFolder(path)
        document, weights = folder.read_model()
        model = cls.from_config(folder.read_config())
        try:
            model._learnt = model._job().learnt_from_dict(document["learnt"])
            sizes = document["network"]["input_size"], document["network"]["output_size"]
            model.network = model._new_network(*sizes)
            model.network.load_state_dict(weights)
        except (KeyError, TypeError, ValueError, RuntimeError) as error:
            problem = " ".join(str(error).split())[:200]
            raise InputError(
                f"{folder.path}: config.yaml, model.json and the weights do not fit together "
                f"({problem}); was one of them replaced?"
            ) from None
        model.network.eval()
        model.document = document
        return model

    @classmethod
    def resume(
        cls,
        run: Path | str,
        changes: Mapping[str, Any] | None = None,
        observer: Observer | None = None,
    ) -> Self:
        """Go on with a run from its last checkpoint; return its model, fitted.

        The result has the same bits as that of a run that never stopped.

        Args:
            run: its folder.
            changes: options to change: more `epochs` (a total), another `device` (which rounds
                differently).
            observer: hears how it goes.

        Raises:
            InputError: `run` is no run folder, its table is gone or was changed, or an option
                cannot change in the middle of a run.
        """
        folder = RunFolder(run)
        config, changes = folder.read_config(), dict(changes or {})
        if fixed := [name for name in changes if name not in RESUMABLE]:
            raise InputError(
                f"{', '.join(fixed)} cannot change in the middle of a run; what can: "
                f"{', '.join(RESUMABLE)}"
            )
        changed = Config.parse(config.model_dump() | changes, str(folder.config_path))
        if changed.schedule == "cosine" and changed.epochs != config.epochs:
            raise InputError(
                "epochs cannot change in the middle of a run with schedule=cosine, whose learning "
                f"rate was to reach zero after {config.epochs}; start a new run"
            )
        config = changed
        table, valid = _read(config.table), _read(config.valid_table)
        if table is None:
            raise InputError(f"{folder.path}: was made from a table in memory, not from a file")
        return cls.from_config(config)._fit(table, valid, run, observer, resumed=True)

    def _fit(
        self,
        table: Table,
        valid: Table | None,
        run: Path | str | None,
        observer: Observer | None,
        *,
        resumed: bool,
    ) -> Self:
        observer = observer or Observer()
        self._set_config(self._asked)  # what an earlier fit chose was for its table
        findings: list[Finding] = []
        job = self._prepare(table, valid, findings)
        _tell(findings, observer)
        device = _device(self.config.device)
        task = job.task(device, self.config.precision)
        places = {"table": _place(table), "valid_table": _place(valid)}
        network = self._new_network(job.input_size, job.output_size).to(device)
        chosen = {"topology": self._topology, "threads": _threads(self.config, network)}
        chosen |= job.chosen | places
        self._set_config(self.config.model_copy(update=chosen))
        config = self.config
        with _using_threads(config.threads), engines.record() as ran:
            digests = [config.sha256, *(part.sha256 for part in (table, valid) if part)]
            folder = None
            if run is None:
                trainer = Trainer(network, task, config, observer)
            else:
                folder = RunFolder(run) if resumed else RunFolder.create(run, config)
                heard = Observers(MetricsFile(folder.metrics), observer)
                trainer = Trainer(
                    network, task, config, heard, folder.checkpoints, " ".join(digests)
                )
                if resumed:
                    trainer.resume()
                    folder.write_config(config)
                    if trainer.progress.stopped:
                        observer.message(f"nothing is left to train: {trainer.progress.stopped}")
            progress = trainer.run()
            network.eval()
            evaluation = job.evaluate(network, config.cell, task)
        for note in evaluation.notes:
            observer.message(note)
        self.network, self._learnt = network.cpu(), job.learnt
        self.document = self._describe(table, job, findings, evaluation) | {
            "engine": ", ".join(sorted(ran)),
            "training": {
                "epochs": progress.epoch,
                "best_epoch": progress.best_epoch,
                "best_score": progress.best_score,
                "score": task.score_name,
                "seconds": progress.seconds,
                "stopped": progress.stopped,
            },
        }
        if folder is not None:
            write_atomically(folder.predictions, evaluation.frame().write_csv())
            self._write(folder)
        return self

    def _set_config(self, config: Config) -> None:
        self._inputs = declare(config.inputs, "input", INPUT_KINDS)
        self._target = declare(config.target, "target", TARGET_KINDS)
        self._topology = topology_of(self._inputs.kind, self._target.kind, config.topology)
        if config.bidirectional and self._topology == "seq-to-seq":
            raise InputError(
                "bidirectional: with topology seq-to-seq the backward direction would read the "
                "very values that the earlier steps are to forecast; use topology=seq-to-vector"
            )
        if config.nonlinearity != "tanh" and config.cell != "rnn":
            raise InputError(
                f"nonlinearity {config.nonlinearity!r}: only the plain RNN has a choice of it; "
                f"use cell=rnn, or leave it out with {config.cell}"
            )
        self.config = config

    def _job(self) -> Any:
        return JOBS[self._inputs.kind, self._target.kind]

    def _prepare(self, table: Table, valid: Table | None, findings: list[Finding]) -> Any:
        return self._job().prepare(
            self._inputs, self._target, self.config, self._topology, table, valid, findings
        )

    def _new_network(self, input_size: int, output_size: int) -> nn.Module:
        with own_randomness(self.config.seed, "parameters"):
            return networks.build(self._topology, self.config, input_size, output_size)

    def _describe(
        self, table: Table, job: Any, findings: list[Finding], evaluation: Evaluation
    ) -> dict[str, Any]:
        config = self.config
        assert self.network is not None
        return {
            "elman": version("elman"),
            "created": datetime.now(UTC).isoformat(timespec="seconds"),
            "versions": {"python": platform.python_version()}
            | {name: version(name) for name in _VERSIONS},
            "platform": f"{platform.platform()}, {torch.get_num_threads()} threads",
            "data": {
                "name": table.name,
                "path": _place(table),
                "sha256": table.sha256,
                "rows": table.frame.height,
                "findings": [vars(finding) for finding in findings],
            }
            | job.describe(),
            "target": {"columns": list(self._target.columns)}
            | {"horizon": config.horizon, "quantiles": list(config.quantiles)},
            "network": {
                "topology": config.topology,
                "cell": config.cell,
                "parameters": sum(p.numel() for p in self.network.parameters()),
                "input_size": job.input_size,
                "output_size": job.output_size,
                "summary": f"{count(config.layers, 'layer')} of {config.hidden} {config.cell} "
                f"units, {count(job.input_size, 'feature')} in, "
                f"{count(job.output_size, 'value')} out",
            },
            "scores": evaluation.scores,
            "notes": evaluation.notes,
            "verdict": evaluation.verdict,
            "learnt": job.learnt.as_dict(),
        }

    def _write(self, folder: RunFolder) -> None:
        self.document = folder.write_model(self.document, self._ready_network())

    def _ready_network(self) -> nn.Module:
        if self.network is None:
            raise InputError("this model is not fitted: call fit first, or elman.load a run")
        return self.network


def _threads(config: Config, network: nn.Module) -> int | None:
    """Return the CPU threads to use: those asked for; of a large network all; else None.

    The number is kept with the run, since torch's matrix products may round differently for
    another. None, for a small network, is the same everywhere; see `_using_threads`.
    """
    products = config.batch_size * sum(parameter.numel() for parameter in network.parameters())
    return config.threads or (torch.get_num_threads() if products > _WORTH_THREADS else None)


@contextmanager
def _using_threads(number: int | None) -> Iterator[None]:
    """Let torch and the native engine use so many threads; None: torch one, the engine all.

    Torch's threads meet at every operation. Where one takes a fraction of a millisecond they
    spend their time meeting, and on a busy machine lose tenfold. The native engine's meet rarely,
    and its results are the same for any number.
    """
    before = torch.get_num_threads()
    torch.set_num_threads(number or 1)
    try:
        with engines.native.using_threads(number or before):
            yield
    finally:
        torch.set_num_threads(before)


def _tell(findings: list[Finding], observer: Observer | None) -> None:
    for finding in findings:
        if observer is not None and finding.severity == "warning":
            observer.message(str(finding), warning=True)


def _read(source: Any) -> Table | None:
    return None if source is None else read_table(source)


def _place(table: Table | None) -> str | None:
    """Return where a table's file is, wherever the run is resumed from."""
    return str(table.path.resolve()) if table is not None and table.path else None


def _device(asked: str) -> str:
    has = {
        "cuda": torch.cuda.is_available(),
        "cpu": True,
        "mps": torch.backends.mps.is_available(),
    }
    if asked == "auto":
        return next(name for name, usable in has.items() if usable)
    if not has[asked]:
        usable = ", ".join(name for name, there in has.items() if there)
        raise InputError(f"device {asked}: torch finds none on this machine; it has: {usable}")
    return asked
