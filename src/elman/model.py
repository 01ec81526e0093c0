"""`Model`: what goes in, what comes out, and a network between them, from fit to predict.

    model = elman.Model(inputs="series:open,close", target="forecast:close", horizon=5)
    model.fit("prices.csv", run="runs/prices")
    model.predict("new.csv")

What a pair of kinds does with tables is in `kinds`, how a network is trained in `training`; this
file joins them, and writes what happened into the run's folder.
"""

from __future__ import annotations

import json
import platform
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any, Self

import polars as pl
import torch
from torch import nn

from elman import engines
from elman.config import RESUMABLE, Config
from elman.data.findings import Finding, count
from elman.data.table import Table, read_table
from elman.errors import InputError, unknown
from elman.files import write_atomically
from elman.kinds import declare, topology_of
from elman.kinds.evaluation import Evaluation
from elman.kinds.jobs import job_name, job_of
from elman.kinds.options import check_truncation, meant_for
from elman.kinds.probe import Probe
from elman.networks.assembly import check_layer
from elman.run_folder import MetricsFile, RunFolder
from elman.training.hardware import device_for, threads_for, using_threads
from elman.training.loop import Trainer
from elman.training.observer import Observer, Observers
from elman.training.randomness import own_randomness

_VERSIONS = ("torch", "numpy", "polars", "safetensors", "pydantic", "matplotlib")
_WORST_FIRST = ("error", "warning", "note")
_PICTURES = ("image", "video")


class Model:
    """A network for one kind of input and one kind of target, with all that belongs to it.

    Args:
        inputs: what goes in, as `kind:column,column`, such as `series:open,close`; several in a
            list.
        target: what comes out, such as `forecast:close`.
        modules: torch modules of your own that read pictures, by the column they read, instead of
            Elman's: from `(N, C, H, W)`, values from 0 to 1, to `(N, F)`. `load` wants them again.
        options: everything `elman fit` takes, in the same words: `horizon=5`, `cell="lstm"`.

    Attributes:
        config: the options; after `fit`, with what was chosen filled in.
        modules: your own, as given: a network has copies of them.
        network: the torch module, once fitted or loaded.
        document: what `model.json` holds, once fitted or loaded: data, training, scores, verdict.

    Raises:
        InputError: an option is not known, or its value cannot be used.
    """

    def __init__(
        self,
        inputs: str | Sequence[str],
        target: str,
        *,
        modules: Mapping[str, nn.Module] | None = None,
        **options: Any,
    ) -> None:
        values = {"inputs": inputs, "target": target} | options
        self.modules = dict(modules or {})
        self._set_config(Config.parse(values, "elman.Model"))
        pictures = [each.columns[0] for each in self._inputs if each.kind in _PICTURES]
        if strange := [column for column in self.modules if column not in pictures]:
            raise unknown("modules: a column of pictures", strange[0], pictures)
        self._asked = self.config
        self.network: nn.Module | None = None
        self.document: dict[str, Any] = {}
        self._learnt: Any = None

    def __repr__(self) -> str:
        """Say what goes in, what comes out, and whether it is fitted."""
        state = "fitted" if self.network is not None else "not fitted"
        config = self.config
        kinds = ", ".join(map(repr, (*config.inputs, config.target)))
        return f"Model({kinds}, cell={config.cell!r}): {state}"

    @classmethod
    def from_config(cls, config: Config, modules: Mapping[str, nn.Module] | None = None) -> Self:
        """Return the model that a configuration describes, not fitted."""
        given = {name: getattr(config, name) for name in config.model_fields_set}
        return cls(**given, modules=modules)

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

        With `folds` this trains one fold (option `fold`); `elman.cross_validate` all of them.

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
        if (self.config.folds or self.config.folds_by) and self.config.fold is None:
            raise InputError(
                "folds: Model.fit trains one network; name one of the folds with fold=1, or train "
                "all of them with elman.cross_validate"
            )
        return self._fit(read_table(table), _read(valid), run, observer, resumed=False)

    def predict(
        self, table: Any, observer: Observer | None = None, *, skip_bad: bool = False
    ) -> pl.DataFrame:
        """Answer each row of a table; of series, forecast the steps that follow their last values.

        Args:
            table: a path, or a pandas, polars or Arrow table.
            observer: hears of what was noticed about the table.
            skip_bad: leave rows out that cannot be read, as if the model had that option.

        Returns:
            Of a forecast, columns group (for a panel), origin, step, time, target, forecast, and
            one for each quantile (`q0.1`). Of examples, a row each: row, prediction, and what goes
            with it (probabilities, further answers).

        Raises:
            InputError: the table lacks what the model needs, or is too short.
        """
        network, source = self._ready_network(), read_table(table)
        options = self._with_skipping(skip_bad)
        with using_threads(self.config.threads):
            frame, findings = self._job().predict(network, self._learnt, source, options)
        _tell(findings, observer)
        return frame

    def evaluate(
        self, table: Any, observer: Observer | None = None, *, skip_bad: bool = False
    ) -> Evaluation:
        """Score the answers to a table; of series, from every step, beside the naive baselines.

        Args:
            table: a path, or a pandas, polars or Arrow table.
            observer: hears of what was noticed about the table.
            skip_bad: leave rows out that cannot be read, as if the model had that option.

        Raises:
            InputError: the table lacks what the model needs, or is too short.
        """
        network, source = self._ready_network(), read_table(table)
        options = self._with_skipping(skip_bad)
        with using_threads(self.config.threads):
            evaluation, findings = self._job().evaluate(
                network, self._learnt, self.config.cell, source, options
            )
        if source.sha256 == self.document["data"]["sha256"]:
            known = "is the table that the model was trained on"
            remedy = "its scores say nothing of new data; the test span's do"
            findings.append(Finding("warning", f"{source.name}: {known}", remedy))
        _tell(findings, observer)
        for note in evaluation.notes:
            (observer or Observer()).message(note)
        return evaluation

    def generate(self, prompt: str = "", **how: Any) -> list[str]:
        """Go on with a text, with a model whose target is `next`.

        Args:
            prompt: how the text begins.
            how: what `kinds.generation.generate` takes: `length`, `count`, `temperature`, `top_k`,
                `top_p`, `seed`.

        Raises:
            InputError: the model is of another kind, or an argument is out of range.
        """
        network = self._ready_network()
        if job_name(self._target.kind) != "generation":
            raise InputError(
                f"generate: goes on with a text, by a model whose target is next; this one's is "
                f"{self._target.kind}; use predict"
            )
        with using_threads(self.config.threads):
            return self._job().generate(network, self._learnt, prompt, **how)

    def probe(self, table: Any = None, **how: int) -> Probe:
        """Return rows to look into the network with, and what its answers to them cost.

        Args:
            table: what to look at; None: what `config.table` gave to validate on.
            how: `rows` at most, `steps` of a row at most, and at `most` of all together.

        Raises:
            InputError: the table lacks what the model needs, or is gone.
        """
        self._ready_network()
        if table is not None:
            return self._job().probe_table(self._learnt, read_table(table), self.config, **how)
        source = _read(self.config.table)
        if source is None:
            raise InputError("this model was fitted on a table in memory; name a table to look at")
        if source.sha256 != self.document["data"]["sha256"]:
            raise InputError(
                f"{source.name}: was changed since the model was trained on it, so what it was "
                "validated on is not known; name a table to look at"
            )
        return self._job().probe(self._prepare(source, _read(self.config.valid_table), []), **how)

    def series(self, table: Any) -> dict[str, Any] | None:
        """Return a table's series as the report draws them; None if the model reads no series."""
        if job_name(self._target.kind) != "forecasting":
            return None
        return self._job().read_series(self._learnt, self.config, read_table(table))

    def rewrite(self, run: Path | str) -> None:
        """Write the model's document into its run's folder again."""
        self._write(RunFolder(run))

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
    def load(cls, path: Path | str, modules: Mapping[str, nn.Module] | None = None) -> Self:
        """Return the model of a run folder; `modules` are those it was made with, if any.

        Raises:
            InputError: `path` is no run folder, or one that is incomplete or was changed.
        """
        folder = RunFolder(path)
        document, weights = folder.read_model()
        model = cls.from_config(folder.read_config(), modules)
        try:
            model._learnt = model._job().learnt_from_dict(document["learnt"])
            model.network = model._new_network(model._learnt)
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
        modules: Mapping[str, nn.Module] | None = None,
    ) -> Self:
        """Go on with a run from its last checkpoint; return its model, fitted.

        The result has the same bits as that of a run that never stopped.

        Args:
            run: its folder.
            changes: options to change: more `epochs` (a total), another `device` (which rounds
                differently).
            observer: hears how it goes.
            modules: those that the run was made with, if any, as they were then.

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
        return cls.from_config(config, modules)._fit(table, valid, run, observer, resumed=True)

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
        device = device_for(self.config.device)
        task = job.task(device, self.config.precision)
        places = {"table": _place(table), "valid_table": _place(valid)}
        network = self._new_network(job.learnt).to(device)
        chosen = {"topology": self._topology, "threads": threads_for(self.config, network)}
        chosen |= job.chosen | places
        self._set_config(self.config.model_copy(update=chosen))
        config = self.config
        digests = [config.sha256, *(part.sha256 for part in (table, valid) if part)]
        folder = None
        if run is not None:
            folder = RunFolder(run) if resumed else RunFolder.create(run, config)
        held = folder.held() if folder is not None else nullcontext()
        with held, using_threads(config.threads), engines.record() as ran:
            if folder is None:
                trainer = Trainer(network, task, config, observer)
            else:
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
            folder.write_predictions(evaluation.frame())
            if evaluation.samples is not None:
                write_atomically(folder.samples, json.dumps(evaluation.samples))
            self._write(folder)
        return self

    def _set_config(self, config: Config) -> None:
        self._inputs = tuple(declare(text, "input") for text in config.inputs)
        self._target = declare(config.target, "target")
        self._topology = topology_of(self._inputs, self._target, config.topology)
        kinds = tuple(each.kind for each in self._inputs)
        check_truncation(config, self._topology)
        if idle := config.without_effect(kinds, self._target.kind, self._topology):
            raise InputError(
                f"{', '.join(idle)}: without effect from {', '.join(kinds)} to "
                f"{self._target.kind} ({self._topology}); {idle[0]} is for {meant_for(idle[0])}; "
                f"leave {'it' if len(idle) == 1 else 'them'} out"
            )
        check_layer(config)
        if config.input_feeding and config.attention == "none":
            raise InputError(
                "input_feeding: feeds what attention found into the next step, and attention is "
                "none; choose additive or multiplicative, or leave input_feeding out"
            )
        if config.fold is not None and not (config.folds or config.folds_by):
            raise InputError(
                f"fold {config.fold}: there are no folds; give their number with folds, or the "
                "column that tells them apart with folds_by"
            )
        ahead = self._target.kind in ("forecast", "next")
        if config.bidirectional and ahead and self._topology == "seq-to-seq":
            raise InputError(
                "bidirectional: with topology seq-to-seq the backward direction would read the "
                "very values that the earlier steps are to forecast"
                + ("; use topology=seq-to-vector" if self._target.kind == "forecast" else "")
            )
        self.config = config

    def _job(self) -> Any:
        return job_of(self._target.kind)

    def _prepare(self, table: Table, valid: Table | None, findings: list[Finding]) -> Any:
        return self._job().prepare(
            self._inputs, self._target, self.config, self._topology, table, valid, findings
        )

    def _new_network(self, learnt: Any) -> nn.Module:
        with own_randomness(self.config.seed, "parameters"):
            return learnt.network(self._topology, self.config, self.modules)

    def _describe(
        self, table: Table, job: Any, findings: list[Finding], evaluation: Evaluation
    ) -> dict[str, Any]:
        config = self.config
        assert self.network is not None
        return {
            "elman": version("elman"),
            "job": job_name(self._target.kind),
            "created": datetime.now(UTC).isoformat(timespec="seconds"),
            "versions": {"python": platform.python_version()}
            | {name: version(name) for name in _VERSIONS},
            "platform": f"{platform.platform()}, {torch.get_num_threads()} threads",
            "data": {
                "name": table.name,
                "path": _place(table),
                "sha256": table.sha256,
                "rows": table.height,
                "findings": [vars(finding) for finding in findings],
            }
            | job.describe(),
            "target": {"kind": self._target.kind, "columns": list(self._target.columns)}
            | job.describe_target(),
            "network": {
                "topology": config.topology,
                "cell": config.cell,
                "parameters": sum(p.numel() for p in self.network.parameters()),
                "summary": f"{count(config.layers, 'layer')} of {config.hidden} {config.cell} "
                f"units, {job.learnt.summary()}",
            },
            "scores": evaluation.scores,
            "notes": evaluation.notes,
            "verdict": evaluation.verdict,
            "learnt": job.learnt.as_dict(),
        }

    def _write(self, folder: RunFolder) -> None:
        self.document = folder.write_model(self.document, self._ready_network())

    def _with_skipping(self, skip_bad: bool) -> Config:
        return self.config.model_copy(update={"skip_bad": skip_bad or self.config.skip_bad})

    def _ready_network(self) -> nn.Module:
        if self.network is None:
            raise InputError("this model is not fitted: call fit first, or elman.load a run")
        return self.network


def _tell(findings: list[Finding], observer: Observer | None) -> None:
    for finding in findings:
        if observer is not None and finding.severity == "warning":
            observer.message(str(finding), warning=True)


def _read(source: Any) -> Table | None:
    return None if source is None else read_table(source)


def _place(table: Table | None) -> str | None:
    """Return where a table's file is, wherever the run is resumed from."""
    return str(table.path.resolve()) if table is not None and table.path else None
