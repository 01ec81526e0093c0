"""Run every recipe on a small slice of its data: does the whole path work, and are scores finite?

Each recipe's table is cut to some rows of each part, its network made tiny and trained for one
epoch by `elman fit`; then `elman predict` (and of a generator `elman generate`) answers the slice.
All of it in one process, which loads torch once.
"""

from __future__ import annotations

import io
import math
import os
import tempfile
import time
import traceback
from contextlib import chdir, redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import yaml
from summary import in_words, summarise

from elman.cli import run
from elman.config import Config, read_config
from elman.data.datasets import fetch
from elman.data.table import read_table
from elman.errors import ElmanError

ROWS = 160  # of the training part; others have a quarter of it
VALUES = 2  # of a column that folds are made by
LETTERS = 20_000
# What a recipe sets is made as small as this, if it is larger.
_SMALL = {
    "epochs": 1, "hidden": 8, "embedding": 8, "channels": 4, "picture_features": 8, "frames": 4,
    "folds": 2, "vocabulary": 200, "max_length": 40, "tbptt": 20, "batch_size": 16, "beam": 2,
}  # fmt: skip
_BY_TIME = ("forecast",)


def smoke(recipes: dict[Path, dict[str, Any]], data: Path) -> int:
    """Run recipes on slices of data sets; return the exit status.

    Args:
        recipes: their files, each with its entry of published.yaml.
        data: the folder that data sets are fetched into.
    """
    failed, skipped = [], []
    for recipe, published in recipes.items():
        started = time.monotonic()
        try:
            table = fetch(Path(read_config(recipe)["table"]).stem, data)
        except ElmanError as error:
            if "ELMAN_DATA" in os.environ:
                raise
            print(f"{recipe.stem:28} skipped: {error}", flush=True)
            skipped.append(recipe.stem)
            continue
        said = io.StringIO()
        with tempfile.TemporaryDirectory() as folder, redirect_stdout(said), redirect_stderr(said):
            try:
                problem, score = try_out(recipe, published, table, Path(folder))
            except Exception:  # the other recipes are to be tried, too
                problem, score = traceback.format_exc(), ""
        seconds = time.monotonic() - started
        print(f"{recipe.stem:28} {seconds:5.1f} s  {problem or score}", flush=True)
        if problem:
            print(said.getvalue())
            failed.append(recipe.stem)
    done = len(recipes) - len(failed) - len(skipped)
    print(f"{done} recipes ran, {len(skipped)} skipped, {len(failed)} failed {' '.join(failed)}")
    return 1 if failed else 0


def try_out(recipe: Path, published: dict[str, Any], table: Path, folder: Path) -> tuple[str, str]:
    """Fit and predict in a folder; return what went wrong, if anything, and a score."""
    options = smaller(read_config(recipe))
    config = Config.parse(options, str(recipe))
    small = slice_of(table, config, folder)
    (folder / "recipe.yaml").write_text(yaml.safe_dump(options))
    new = to_predict(small, config)
    with chdir(folder):
        steps = [
            ["fit", str(small), "--config", "recipe.yaml", "--out", "run"],
            ["predict", "run", str(new), "--out", "answers.csv"],
        ]
        if config.target == "next":
            steps.append(["generate", "run", "--length", "20"])
        for step in steps:
            if status := run(step):
                return f"elman {step[0]} ended with {status}", ""
        return judge(folder, published)


def smaller(options: dict[str, Any]) -> dict[str, Any]:
    """Return a recipe's options, but tiny."""
    return options | {
        name: min(options[name], most) for name, most in _SMALL.items() if name in options
    }


def judge(folder: Path, published: dict[str, Any]) -> tuple[str, str]:
    """Return what is wrong with the files of a run, if anything, and its first score in words."""
    for name in ("run/report.html", "run/predictions.csv", "answers.csv"):
        if not (folder / name).exists() or not (folder / name).stat().st_size:
            return f"{name} is missing or empty", ""
    scores = summarise(published, [folder / "run"])["scores"]
    wrong = [f"{score['metric']} {score['values']}" for score in scores if not _is_finite(score)]
    return f"not finite: {', '.join(wrong)}" if wrong else "", in_words(scores[0])


def _is_finite(score: dict[str, Any]) -> bool:
    baseline = score["baseline"]
    return all(map(math.isfinite, [*score["values"], *([baseline["value"]] if baseline else [])]))


def slice_of(table: Path, config: Config, folder: Path) -> Path:
    """Write some rows of a table into a folder, with its media beside it; return the path.

    Of each part that `split` names some rows, of `folds_by` some values; the beginning of a text;
    and the whole of a series, which cannot be cut without moving its spans.
    """
    path = folder / table.name
    if table.suffix == ".txt":
        path.write_text(table.read_text()[:LETTERS])
        return path
    if config.target.startswith(_BY_TIME):
        path.write_bytes(table.read_bytes())
        return path
    frame = read_table(table).frame
    if config.folds_by:
        some = frame[config.folds_by].unique().sort().head(VALUES)
        frame = frame.filter(pl.col(config.folds_by).is_in(some.implode()))
    parts = frame[config.split].to_numpy() if config.split else np.full(frame.height, "train")
    rows = [_some(np.flatnonzero(parts == part), str(part)) for part in np.unique(parts)]
    frame = frame[np.sort(np.concatenate(rows))]
    if path.suffix == ".parquet":
        frame.write_parquet(path)
    else:
        frame.write_csv(path)
    media = table.with_suffix("")
    if media.is_dir():
        (folder / media.name).symlink_to(media.resolve())
    return path


def _some(rows: np.ndarray, part: str) -> np.ndarray:
    """Return some rows at random: tables are often sorted by class."""
    most = ROWS if part == "train" else ROWS // 4
    return np.random.default_rng(0).permutation(rows)[:most]


def to_predict(table: Path, config: Config) -> Path:
    """Return what is to be answered: the slice; of a series, with its last values not known yet."""
    if not config.target.startswith(_BY_TIME):
        return table
    assert config.time is not None
    series = read_table(table)
    measured = [name for name in series.columns if name not in (config.time, *config.known)]
    times, _ = series.column(config.time).times()
    known = times <= times.unique().sort()[-config.horizon - 1]
    path = table.with_stem(f"{table.stem}_ahead")
    series.frame.with_columns(
        pl.when(known).then(pl.col(name)).alias(name) for name in measured
    ).write_csv(path)
    return path
