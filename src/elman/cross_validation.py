"""Cross-validation: as many runs as there are folds, each an ordinary run, and a model of all rows.

    RUN/                    the run: its model is trained on all rows but those that validate
    RUN/folds/01, 02, ...   a run for each fold, whose test is that fold's rows

The run's scores are those of the folds: of each row, by a model that did not see it. An interrupted
cross-validation goes on where it stopped, in the middle of a fold if need be.
"""

from __future__ import annotations

import json
import statistics
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from elman.config import Config
from elman.data.table import Table, read_table
from elman.errors import InputError
from elman.files import write_atomically
from elman.kinds.targets.metrics import METRICS
from elman.kinds.targets.verdict import best_baseline, significance, verdict_of
from elman.model import Model
from elman.run_folder import RunFolder
from elman.training.observer import Observer

FOLDS = "folds"
_SPLITS = {FOLDS: "rows of each fold"}


def cross_validate(
    config: Config, run: Path | str, observer: Observer | None = None, *, resumed: bool = False
) -> Model:
    """Train a network for each fold and one on all rows; return the latter, scored by the folds.

    Args:
        config: with `table` and with `folds` or `folds_by`.
        run: the folder to make; if `resumed`, the one to go on with.
        observer: hears how it goes.
        resumed: whether `run` is there.

    Raises:
        InputError: there is no table or too little of it; or `run` exists.
        DivergenceError: as `Model.fit`.
        Interrupted: Ctrl-C; `elman fit --resume` goes on.
    """
    observer = observer or Observer()
    if config.table is None:
        raise InputError("cross-validation reads its table from a file; give its path as table=")
    whole = Config.parse(config.model_dump() | {"fold": 0}, "cross-validation")
    table = read_table(config.table)
    total = number_of_folds(config, table)
    if not resumed:
        whole = whole.model_copy(update={"table": str(Path(config.table).resolve())})
        RunFolder.create(run, whole)
    folder = RunFolder(run)
    folds = [_fold(folder, whole, number, total, observer) for number in range(1, total + 1)]
    observer.message(f"fold 0 of {total}: all rows, for the model to keep")
    model = Model.resume(run, observer=observer)
    scores, spread = summarise([fold.document for fold in folds])
    headline = model.document["target"]["headline"]
    model.document |= {
        "scores": scores,
        "folds": spread,
        "verdict": verdict_of(scores, headline, _noise(folds, scores, headline), _SPLITS),
    }
    frames = [fold.predictions() for fold in folds]
    write_atomically(folder.predictions, pl.concat(frames, how="diagonal_relaxed").write_csv())
    write_atomically(folder.samples, json.dumps(_samples(folds, model)))
    model.rewrite(run)
    return model


def number_of_folds(config: Config, table: Table) -> int:
    """Return how many folds there will be."""
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
        """Return the answers to the fold's test rows."""
        frame = pl.read_csv(self.folder.predictions, infer_schema_length=None)
        return frame.filter(pl.col("split") == "test").with_columns(fold=pl.lit(self.number))


def _fold(folder: RunFolder, config: Config, number: int, total: int, observer: Observer) -> Fold:
    path = folder.path / FOLDS / f"{number:0{len(str(total))}}"
    own = config.model_copy(update={"fold": number})
    if not (path.exists() and RunFolder(path).is_finished):
        observer.message(f"fold {number} of {total}")
        if path.exists():
            Model.resume(path, observer=observer)
        else:
            path.parent.mkdir(exist_ok=True)
            Model.from_config(own).fit(own.table, run=path, observer=observer)
    run = RunFolder(path)
    return Fold(number, run, run.read_model()[0])


def summarise(
    documents: list[Mapping[str, Any]],
) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Return score rows of all folds together, and a row a fold and forecaster.

    A score of all is the mean of the folds', weighted by their rows; `<score>_sd` is the standard
    deviation between folds.
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
        counts = np.array([row["n"] for row in rows], float)
        joined: dict[str, Any] = {
            "split": FOLDS,
            "forecaster": name,
            "kind": rows[0]["kind"],
            "target": rows[0]["target"],
            "step": 0,
            "n": int(counts.sum()),
        }
        for metric in METRICS:
            values = [row.get(metric) for row in rows]
            if all(value is not None for value in values):
                joined[metric] = float(np.average(np.array(values, float), weights=counts))
                joined[f"{metric}_sd"] = statistics.stdev(values) if len(values) > 1 else 0.0
        together.append(joined)
    return together, spread


def _noise(
    folds: list[Fold], scores: list[dict[str, Any]], metric: str
) -> dict[tuple[str, str], float]:
    """Return how probable so large a difference to the best baseline is by chance, fold by fold."""
    target = scores[0]["target"]
    best = best_baseline(scores, split=FOLDS, target=target, metric=metric)
    if best is None:
        return {}
    sign = -1 if METRICS[metric].better == "higher" else 1
    errors: dict[bool, list[float]] = {True: [], False: []}
    for fold in folds:
        for row in fold.document["scores"]:
            is_model = row["kind"] == "model"
            if row["split"] == "test" and (is_model or row["forecaster"] == best["forecaster"]):
                errors[is_model].append(sign * row[metric])
    if len(errors[True]) != len(errors[False]):
        return {}
    return {(FOLDS, target): significance(np.array(errors[True]), np.array(errors[False]))}


def _samples(folds: list[Fold], model: Model) -> dict[str, Any]:
    """Return the worst, best and typical examples of all folds, and how folds were answered."""
    parts = [json.loads(fold.folder.samples.read_text()) for fold in folds]
    examples = [example for part in parts for example in part["examples"]]
    shown = []
    for why, order in (("worst", -1), ("best", 1), ("typical", 0)):
        ranked = [example for example in examples if example["why"] == why]
        ranked.sort(key=lambda example: order * (example["loss"] or 0))
        shown += ranked[:4]
    details = {
        f"fold {fold.number}": part["details"]["test"]
        for fold, part in zip(folds, parts, strict=True)
        if fold.number == 1
    }
    return {
        "examples": shown,
        "details": details,
        "generated": [],
        "skipped": model.document["data"].get("skipped", []),
    }
