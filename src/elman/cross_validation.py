"""Cross-validation: as many runs as there are folds, each an ordinary run, and a model of all rows.

    RUN/                    the run: its model is trained on all rows but those that validate
    RUN/folds/01, 02, ...   a run for each fold, whose test is that fold's rows

The run's scores are those of the folds: of each row, by a model that did not see it. An interrupted
cross-validation goes on where it stopped, in the middle of a fold if need be.
"""

from __future__ import annotations

import json
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from torch import nn

from elman.config import Config
from elman.data.table import Table, read_table
from elman.errors import InputError
from elman.files import write_atomically
from elman.kinds.scoring.joining import join_details
from elman.kinds.scoring.metrics import METRICS
from elman.kinds.scoring.verdict import best_baseline, significance, verdict_of
from elman.model import Model
from elman.run_folder import RunFolder
from elman.training.observer import Observer

FOLDS = "folds"
_SPLITS = {FOLDS: "rows of each fold"}
_SHOWN = 4  # examples of all folds, of each reason


def cross_validate(
    model: Model, table: Path | str, run: Path | str, observer: Observer | None = None
) -> Model:
    """Train a network for each fold and one on all rows; return the latter, scored by the folds.

    Args:
        model: not fitted, with `folds` or `folds_by`.
        table: a path; the folds are read from it anew where they go on after an interruption.
        run: the folder to make.
        observer: hears how it goes.

    Raises:
        InputError: the table cannot be used as the options say, or `run` exists.
        DivergenceError: as `Model.fit`.
        Interrupted: Ctrl-C; `resume_cross_validation` goes on.
    """
    if not isinstance(table, Path | str):
        raise InputError(
            f"cross-validation reads its table from a file, got {type(table).__name__} in memory; "
            "write it to a file, such as one of Parquet"
        )
    if not (model.config.folds or model.config.folds_by):
        raise InputError("cross-validation: expected folds=10, say, or folds_by=COLUMN")
    changes = {"fold": 0, "table": str(Path(table).expanduser().resolve())}
    config = model.config.model_copy(update=changes)
    _number_of_folds(config, read_table(table))
    RunFolder.create(run, config)
    return resume_cross_validation(run, observer, model.modules)


def resume_cross_validation(
    run: Path | str,
    observer: Observer | None = None,
    modules: Mapping[str, nn.Module] | None = None,
) -> Model:
    """Go on with a cross-validation where it stopped; see `cross_validate`."""
    observer = observer or Observer()
    folder = RunFolder(run)
    config = folder.read_config()
    assert config.table is not None
    total = _number_of_folds(config, read_table(config.table))
    folds = [
        _fold(folder, config, number, total, observer, modules) for number in range(1, total + 1)
    ]
    observer.message("all rows, for the model to keep")
    model = Model.resume(run, observer=observer, modules=modules)
    scores, spread = summarise([fold.document for fold in folds])
    headline = model.document["target"]["headline"]
    model.document |= {
        "scores": scores,
        "folds": spread,
        "verdict": verdict_of(scores, headline, _noise(spread, scores, headline), _SPLITS),
    }
    frames = [fold.predictions() for fold in folds]
    write_atomically(folder.predictions, pl.concat(frames, how="diagonal_relaxed").write_csv())
    write_atomically(folder.samples, json.dumps(_samples(folds, model)))
    model.rewrite(run)
    return model


def _number_of_folds(config: Config, table: Table) -> int:
    if config.folds_by is None:
        assert config.folds is not None
        return config.folds
    table.require(config.folds_by, "--folds-by")
    return table.select([config.folds_by])[config.folds_by].n_unique()


@dataclass(frozen=True)
class Fold:
    """One fold's run, finished."""

    number: int
    folder: RunFolder
    document: dict[str, Any]

    def predictions(self) -> pl.DataFrame:
        """Return the answers to the fold's test rows, all columns as text."""
        frame = pl.read_csv(self.folder.predictions, infer_schema=False)
        fold = pl.lit(str(self.number)).alias("fold")
        return frame.filter(pl.col("split") == "test").with_columns(fold)


def _fold(
    folder: RunFolder,
    config: Config,
    number: int,
    total: int,
    observer: Observer,
    modules: Mapping[str, nn.Module] | None,
) -> Fold:
    path = folder.path / FOLDS / f"{number:0{len(str(total))}}"
    if not (path.exists() and RunFolder(path).is_finished):
        observer.message(f"fold {number} of {total}")
        if path.exists():
            Model.resume(path, observer=observer, modules=modules)
        else:
            path.parent.mkdir(exist_ok=True)
            model = Model.from_config(config.model_copy(update={"fold": number}), modules)
            model.fit(config.table, run=path, observer=observer)
    run = RunFolder(path)
    return Fold(number, run, run.read_model()[0])


def summarise(
    documents: Sequence[Mapping[str, Any]],
) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Return score rows of all folds together, and a row a fold and forecaster.

    A score of all is the mean of the folds' scores, `<score>_sd` their standard deviation; `n` the
    rows of all.
    """
    spread = [
        {"fold": number} | row
        for number, document in enumerate(documents, start=1)
        for row in document["scores"]
        if row["split"] == "test"
    ]
    together = []
    for name in dict.fromkeys(row["forecaster"] for row in spread):
        rows = [row for row in spread if row["forecaster"] == name]
        joined: dict[str, Any] = {
            "split": FOLDS,
            "forecaster": name,
            "kind": rows[0]["kind"],
            "target": rows[0]["target"],
            "step": 0,
            "n": sum(row["n"] for row in rows),
        }
        for metric in METRICS:
            values = [row.get(metric) for row in rows]
            if all(value is not None for value in values):
                joined[metric] = statistics.fmean(values)
                joined[f"{metric}_sd"] = statistics.stdev(values) if len(values) > 1 else 0.0
        together.append(joined)
    return together, spread


def _noise(
    spread: list[dict[str, Any]], scores: list[dict[str, Any]], metric: str
) -> dict[tuple[str, str], float]:
    """Return how probable so large a difference to the best baseline is by chance, fold by fold."""
    target = scores[0]["target"]
    best = best_baseline(scores, split=FOLDS, target=target, metric=metric)
    if best is None:
        return {}
    sign = -1 if METRICS[metric].better == "higher" else 1
    ours, theirs = (
        np.array([sign * row[metric] for row in spread if fits(row)])
        for fits in (
            lambda row: row["kind"] == "model",
            lambda row: row["forecaster"] == best["forecaster"],
        )
    )
    return {(FOLDS, target): significance(ours, theirs)} if len(ours) == len(theirs) else {}


def _samples(folds: Sequence[Fold], model: Model) -> dict[str, Any]:
    """Return the worst, best and typical examples of all folds, and how all were answered."""
    parts = [json.loads(fold.folder.samples.read_text(encoding="utf-8")) for fold in folds]
    examples = [example for part in parts for example in part["examples"]]
    shown = []
    for why, order in (("worst", -1), ("best", 1), ("typical", 0)):
        ranked = [example for example in examples if example["why"] == why]
        ranked.sort(key=lambda example: order * (example["loss"] or 0))
        shown += ranked[:_SHOWN]
    details = [part["details"]["test"] for part in parts]
    joined = join_details(details)
    return {
        "examples": shown,
        "details": {"test": joined} if joined is not None else {"fold 1": details[0]},
        "generated": [],
        "skipped": model.document["data"].get("skipped", []),
    }
