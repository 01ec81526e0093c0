"""What finished runs scored, set beside what was published; and the table that says it.

A result, as in results/NAME.json: what, command, network, seconds and epochs (of each run, all
folds together), versions, platform, and a list of scores. A score is what published.yaml says of it
(metric, split, target, step, until, published, asked), and `values` (one a seed, or one a fold)
with `rows` (that each was taken on), `mean`, `sd`, and the best `baseline`: its name and value. All
are as in model.json: a share is a fraction, although published.yaml has it as a percentage.
"""

from __future__ import annotations

import json
import math
import statistics
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from elman.config import read_config
from elman.kinds.scoring.metrics import METRICS
from elman.kinds.scoring.verdict import best_baseline

HEADER = (
    "| recipe | command | metric | score | best baseline | published | asked | training |",
    "|---|---|---|---|---|---|---|---|",
)
_TO_A_HUNDRED = ("bleu", "chrf")  # what reaches from 0 to 100: one decimal, like a percentage
_SPLITS = {"valid": "validation", "test": "test", "folds": "folds"}


def summarise(published: dict[str, Any], folders: list[Path]) -> dict[str, Any]:
    """Return the result of a recipe from the folders of its finished runs.

    Args:
        published: the recipe's entry of published.yaml.
        folders: one a seed.
    """
    models = [json.loads((folder / "model.json").read_text()) for folder in folders]
    trainings = [_trainings(folder) for folder in folders]
    return {
        "what": published["what"],
        "data": Path(models[0]["data"]["name"]).stem,
        "network": models[0]["network"]["summary"],
        "parameters": models[0]["network"]["parameters"],
        "seeds": [read_config(folder / "config.yaml")["seed"] for folder in folders],
        "seconds": [sum(each["seconds"] for each in run) for run in trainings],
        "epochs": [sum(each["epochs"] for each in run) for run in trainings],
        "scores": [_score(wanted, models, folders) for wanted in published["scores"]],
        "versions": models[0]["versions"] | {"elman": models[0]["elman"]},
        "platform": models[0]["platform"],
    }


def _trainings(folder: Path) -> list[dict[str, Any]]:
    """Return how a run was trained and, of a cross-validation, how each of its folds was."""
    paths = [folder / "model.json", *sorted(folder.glob("folds/*/model.json"))]
    return [json.loads(path.read_text())["training"] for path in paths]


def _score(
    wanted: dict[str, Any], models: list[dict[str, Any]], folders: list[Path]
) -> dict[str, Any]:
    metric, split = wanted["metric"], wanted.get("split", "test")
    place = {"target": wanted.get("target", models[0]["scores"][0]["target"])}
    place |= {"step": wanted.get("step", 0)}
    if "until" in wanted:
        found = [_until(folder, wanted["until"], split, place) for folder in folders]
        values, baselines, rows = (list(each) for each in zip(*found, strict=True))
        baseline = {"name": "best on validation", "value": statistics.mean(baselines)}
    else:
        rows_of = [_rows(model["scores"], split, place, metric) for model in models]
        baseline = _baseline(rows_of, split, place["target"], metric)
        if split == "folds":
            rows_of = [_rows(model["folds"], "test", place, metric) for model in models]
        ours = [row for each in rows_of for row in each if row["kind"] == "model"]
        if not ours:
            raise ValueError(f"{folders[0]}: model.json has no {metric} of {split}, {place}")
        values, rows = [row[metric] for row in ours], [row["n"] for row in ours]
    return {
        **wanted,
        "split": split,
        **place,
        "values": values,
        "rows": rows,
        "mean": float(np.average(values, weights=rows)),
        "sd": statistics.stdev(values) if len(values) > 1 else None,
        "baseline": baseline,
    }


def _rows(
    scores: list[dict[str, Any]], split: str, place: dict[str, Any], metric: str
) -> list[dict[str, Any]]:
    """Return the rows of a split, target and step that have a metric."""
    place = {"split": split, **place}
    return [
        row
        for row in scores
        if all(row[key] == value for key, value in place.items()) and row.get(metric) is not None
    ]


def _baseline(
    rows_of: list[list[dict[str, Any]]], split: str, target: str, metric: str
) -> dict[str, Any] | None:
    """Return the baseline that is best in the first run, with its mean over all runs."""
    overall = [[row | {"step": 0} for row in rows] for rows in rows_of]
    best = best_baseline(overall[0], split=split, target=target, metric=metric)
    if best is None:
        return None
    same = [
        row[metric] for rows in rows_of for row in rows if row["forecaster"] == best["forecaster"]
    ]
    return {"name": best["forecaster"], "value": statistics.mean(same)}


def _until(folder: Path, last: str, split: str, place: dict[str, Any]) -> tuple[float, float, int]:
    """Return MAE of forecasts up to a day, that of the baseline beside them, and their number."""
    frame = pl.read_csv(folder / "predictions.csv", infer_schema_length=None).filter(
        (pl.col("split") == split)
        & (pl.col("target") == place["target"])
        & (pl.col("step") == place["step"])
        & (pl.col("time") <= last)
    )
    ours, theirs = (
        np.abs((frame["truth"] - frame[name]).to_numpy()).mean()
        for name in ("forecast", "baseline")
    )
    return float(ours), float(theirs), frame.height


def table_of(results: dict[str, dict[str, Any]]) -> list[str]:
    """Return the lines of the table of some recipes' results, by recipe."""
    lines = [line for name, result in results.items() for line in _lines(name, result)]
    return [*HEADER, *lines]


def _lines(name: str, result: dict[str, Any]) -> list[str]:
    lines = []
    for place, score in enumerate(result["scores"]):
        first = place == 0
        command = f"`elman data get {result['data']}; elman fit --config recipes/{name}.yaml`"
        cells = [
            f"[{result['what']}]({name}.yaml)" if first else "",
            command if first else "",
            _metric_name(score),
            _score_cell(score),
            _baseline_cell(score),
            score.get("published", ""),
            _asked_cell(score),
            duration(statistics.mean(result["seconds"])) if first else "",
        ]
        lines.append(f"| {' | '.join(cells)} |")
    return lines


def in_words(score: dict[str, Any]) -> str:
    """Return a score in one line: accuracy, %; folds: 96.2 ± 0.5."""
    return f"{_metric_name(score)}: {_score_cell(score).strip('*')}"


def _metric_name(score: dict[str, Any]) -> str:
    metric = METRICS[score["metric"]]
    name = f"{metric.label}, %" if metric.form == "percent" else metric.label
    where = [_SPLITS[score["split"]] + (f" until {score['until']}" if "until" in score else "")]
    if score["step"]:
        where.insert(0, f"{score['target']} +{score['step']}")
    return f"{name}; {', '.join(where)}"


def _score_cell(score: dict[str, Any]) -> str:
    """Return mean and spread; bold where it is as good as was asked."""
    metric, mean, sd = score["metric"], score["mean"], score["sd"]
    text = shown(metric, mean)
    rounded = float(text.replace(",", "")) / (100 if METRICS[metric].form == "percent" else 1)
    # Rounding must not make 95.96 the 96.0 that was asked.
    more = 1 if reached(score | {"mean": rounded}) and not reached(score) else 0
    text = shown(metric, mean, more=more)
    if sd is not None:
        text += f" ± {shown(metric, sd, like=mean, more=more)}"
    return f"**{text}**" if reached(score) else text


def _baseline_cell(score: dict[str, Any]) -> str:
    baseline = score["baseline"]
    if baseline is None:
        return ""
    return f"{shown(score['metric'], baseline['value'])} ({baseline['name']})"


def _asked_cell(score: dict[str, Any]) -> str:
    asked = score.get("asked", "")
    sign = "≤" if METRICS[score["metric"]].better == "lower" else "≥"
    if asked == "baseline":
        return "the baseline's"
    return f"{sign} {asked:,}" if asked != "" else ""


def reached(score: dict[str, Any]) -> bool:
    """Say whether a score is at least as good as asked (better than the baseline, if that is)."""
    asked, metric = score.get("asked"), METRICS[score["metric"]]
    if asked is None:
        return False
    sign = -1 if metric.better == "lower" else 1
    if asked == "baseline":
        return sign * score["mean"] > sign * score["baseline"]["value"]
    return sign * score["mean"] * (100 if metric.form == "percent" else 1) >= sign * asked


def shown(metric: str, value: float, *, like: float | None = None, more: int = 0) -> str:
    """Return a score for people: 96.2; 19,023.

    Args:
        metric: its key.
        value: the score, or its spread.
        like: what its size says the decimals, if not `value` itself.
        more: decimals beyond the usual.
    """
    if METRICS[metric].form == "percent":
        return f"{100 * value:.{1 + more}f}"
    size = abs(value if like is None else like)
    if size >= 1000:
        return f"{value:,.{more}f}"
    decimals = 1 if size >= 10 or metric in _TO_A_HUNDRED else 3
    if 0 < size < 0.01:
        decimals = 1 - math.floor(math.log10(size))  # two digits that say something
    return f"{value:.{more + decimals}f}"


def duration(seconds: float) -> str:
    """Return how long something took: 3.2 s, 14 min, 5.1 h."""
    if seconds < 100:
        return f"{seconds:.1f} s"
    return f"{seconds / 60:.0f} min" if seconds < 6000 else f"{math.ceil(seconds / 360) / 10:.1f} h"
