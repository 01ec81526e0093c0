"""Reads a run folder.

Only a folder without both `model.json` and `config.yaml` is refused: a run that was stopped early
still has something to show, and the record's `notes` say what is missing.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import yaml

from elman.errors import InputError
from elman.report.examples.samples import Samples, read_samples
from elman.report.run_data import RunData, as_float, is_number, job_of, parse_times

_DIAGNOSIS = 1  # the format of diagnosis.json
_NEEDED = ("split", "origin", "step", "time", "target", "truth", "forecast")


def read_run(folder: Path) -> RunData:
    """Read a run folder.

    Raises:
        InputError: if the folder is not a run, or `model.json` or `config.yaml` cannot be read.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise InputError(f"{folder}: no such run folder; expected a folder written by elman fit")
    notes: list[str] = []
    model_path, config_path = folder / "model.json", folder / "config.yaml"
    if not model_path.exists() and not config_path.exists():
        raise InputError(
            f"{folder}: not a run folder (neither model.json nor config.yaml is there);"
            " expected a folder written by elman fit"
        )
    model = _read_model(model_path) if model_path.exists() else {}
    if not model:
        notes.append("model.json is absent: the run has not finished, so there are no scores.")
    config_text = _read_text(config_path) if config_path.exists() else ""
    if not config_text:
        notes.append("config.yaml is absent: the options of the run are not known.")
    config = _read_config(config_path, config_text)
    metrics = _read_metrics(folder / "metrics.jsonl", notes)
    job, predictions = job_of(model, config), folder / "predictions.csv"
    forecasts, answers, samples = None, None, Samples()
    if job == "forecasting":
        forecasts = _read_forecasts(predictions, notes)
    else:
        if job == "examples":
            answers = _read_answers(predictions, notes)
        samples = read_samples(folder / "samples.json", notes)
    return RunData(
        folder, config, config_text, model, metrics, forecasts, notes, answers, samples,
        _read_diagnosis(folder / "diagnosis.json", notes),
    )  # fmt: skip


def _read_text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: cannot be read ({error})") from None


def _read_model(path: Path) -> dict[str, Any]:
    try:
        model = json.loads(_read_text(path))
    except json.JSONDecodeError as error:
        raise InputError(
            f"{path}, line {error.lineno}: not valid JSON ({error.msg}); the run folder is"
            " damaged, fit again or restore the file"
        ) from None
    if not isinstance(model, dict):
        raise InputError(f"{path}: expected a JSON object, got {type(model).__name__}")
    return model


def _read_diagnosis(path: Path, notes: list[str]) -> dict[str, Any]:
    if not path.exists():
        return {}
    try:
        found = json.loads(_read_text(path))
    except json.JSONDecodeError as error:
        notes.append(f"diagnosis.json is damaged ({error.msg}): ask `elman diagnose` again.")
        return {}
    if not isinstance(found, dict) or found.get("format") != _DIAGNOSIS:
        notes.append("diagnosis.json is of another version: ask `elman diagnose` again.")
        return {}
    return found


def _read_config(path: Path, text: str) -> dict[str, Any]:
    try:
        config = yaml.safe_load(text) if text else {}
    except yaml.YAMLError as error:
        raise InputError(f"{path}: not valid YAML ({str(error).splitlines()[0]})") from None
    return config if isinstance(config, dict) else {}


def _read_metrics(path: Path, notes: list[str]) -> dict[str, np.ndarray]:
    if not path.exists():
        notes.append("metrics.jsonl is absent: how training went cannot be shown.")
        return {}
    records, broken = [], 0
    for line in _read_text(path).splitlines():
        try:
            record = json.loads(line)
        except json.JSONDecodeError:
            broken += 1
            continue
        if isinstance(record, dict) and isinstance(record.get("epoch"), int):
            records.append(record)
    if broken:
        notes.append(f"metrics.jsonl: {broken} unreadable line(s) were left out.")
    if not records:
        notes.append("metrics.jsonl holds no finished epoch: how training went cannot be shown.")
        return {}
    # A resumed run writes an epoch again: the last line of an epoch is the one that counts.
    latest = {record["epoch"]: record for record in records}
    names = {name for record in records for name in record}
    return {
        name: np.array([as_float(latest[epoch].get(name)) for epoch in sorted(latest)])
        for name in sorted(names)
    }


def _read_table(
    path: Path, needed: tuple[str, ...], what: str, notes: list[str]
) -> pl.DataFrame | None:
    """Return a CSV as text, or None with the reason noted; `what` is what it holds."""
    if not path.exists():
        notes.append(f"{path.name} is absent: there are no {what} to show.")
        return None
    try:
        frame = pl.read_csv(path, infer_schema=False, truncate_ragged_lines=True)
    except (pl.exceptions.PolarsError, OSError) as error:
        reason = str(error).splitlines()[0] if str(error) else "empty"
        notes.append(f"{path.name} cannot be read ({reason}): there are no {what} to show.")
        return None
    absent = [name for name in needed if name not in frame.columns]
    if absent:
        notes.append(f"{path.name} lacks {', '.join(absent)}: {what} are not shown.")
        return None
    return frame


def _read_answers(path: Path, notes: list[str]) -> pl.DataFrame | None:
    frame = _read_table(path, ("split",), "answers", notes)
    if frame is None:
        return None
    for name in ("row", "truth", "prediction", "loss"):
        if name not in frame.columns:
            # Of several columns there is one each: truth_COLUMN.
            own = [pl.col(column) for column in frame.columns if column.startswith(f"{name}_")]
            joined = pl.concat_str(own, separator=", ", ignore_nulls=True) if own else pl.lit(None)
            frame = frame.with_columns(joined.cast(pl.String).alias(name))
    return frame.with_columns(_finite("loss"))


def _read_forecasts(path: Path, notes: list[str]) -> pl.DataFrame | None:
    frame = _read_table(path, _NEEDED, "forecasts", notes)
    if frame is None:
        return None
    for name in ("group", "baseline"):
        if name not in frame.columns:
            frame = frame.with_columns(pl.lit(None, dtype=pl.String).alias(name))
    numbers = ["truth", "forecast", "baseline"]
    numbers += [c for c in frame.columns if c[:1] == "q" and is_number(c[1:])]
    frame = frame.with_columns(
        pl.col("group").fill_null(""),
        pl.col("step").cast(pl.Int64, strict=False),
        *(_finite(name) for name in numbers),
    )
    whole = frame.filter(pl.all_horizontal(pl.col("step", "forecast", "time").is_not_null()))
    if whole.height < frame.height:
        lost = frame.height - whole.height
        notes.append(f"predictions.csv: {lost} unreadable row(s) were left out.")
    if whole.height == 0:
        notes.append("predictions.csv holds no forecast.")
        return None
    return _with_times(whole)


def _finite(name: str) -> pl.Expr:
    value = pl.col(name).cast(pl.Float64, strict=False)
    return pl.when(value.is_finite()).then(value).alias(name)


def _with_times(frame: pl.DataFrame) -> pl.DataFrame:
    """Parse `time` and `origin` alike; text that is no time is numbered in order of appearance."""
    times, origins = parse_times(frame["time"]), parse_times(frame["origin"])
    if times is None or origins is None or times.dtype != origins.dtype:
        order = {text: n for n, text in enumerate(frame["time"].unique(maintain_order=True), 1)}
        times = pl.Series([order[text] for text in frame["time"]], dtype=pl.Int64)
        origins = times - frame["step"]
    return frame.with_columns(times.alias("time"), origins.alias("origin"))
