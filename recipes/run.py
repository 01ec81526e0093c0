"""Run recipes over several seeds, as a user would, and set the results beside the published ones.

    python recipes/run.py                     every recipe, 5 seeds
    python recipes/run.py ridership_rail      one of them

Each run is `elman fit --config RECIPE --seed N`; a run that was interrupted is resumed, one that
is finished is not run again (its folder is below runs/recipes). Writes results/RECIPE.json, and
from all of these the table in README.md.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
from pathlib import Path

import polars as pl
import yaml

from elman.data.datasets import fetch

HERE = Path(__file__).resolve().parent
RUNS = HERE.parent / "runs" / "recipes"
BEGIN, END = "<!-- results -->", "<!-- end of results -->"
# The test span runs into the pandemic, which nothing before it foretells; both are stated.
CALM_UNTIL = "2019-12-31"


def main():
    published = yaml.safe_load((HERE / "published.yaml").read_text())
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("recipes", nargs="*", metavar="RECIPE", choices=[[], *published])
    parser.add_argument("--seeds", type=int, default=5)
    arguments = parser.parse_args()
    for name in arguments.recipes or published:
        models = [run(name, seed) for seed in range(arguments.seeds)]
        result = summarise(published[name], models)
        path = HERE / "results" / f"{name}.json"
        path.parent.mkdir(exist_ok=True)
        path.write_text(json.dumps(result, indent=1) + "\n")
        print("\n".join(rows(name, result)))
    write_table(published)


def run(name, seed):
    """Fit one recipe with one seed, or go on where that stopped; return its run folder."""
    folder = RUNS / name / str(seed)
    recipe = HERE / f"{name}.yaml"
    if not (folder / "model.json").exists():
        elman = [sys.executable, "-m", "elman", "fit"]
        if (folder / "config.yaml").exists():
            command = [*elman, "--resume", str(folder)]
        else:
            folder.parent.mkdir(parents=True, exist_ok=True)
            table = fetch(Path(yaml.safe_load(recipe.read_text())["table"]).stem, RUNS)
            command = [*elman, str(table), "--config", str(recipe), "--seed", str(seed)]
            command += ["--out", str(folder)]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return folder


def summarise(published, folders):
    models = [json.loads((folder / "model.json").read_text()) for folder in folders]
    predictions = [pl.read_csv(folder / "predictions.csv") for folder in folders]
    scores = []
    for wanted in published["scores"]:
        target, step = wanted["target"], wanted["step"]

        def errors(split, target=target, step=step):
            return [
                row["mae"]
                for model in models
                for row in model["scores"]
                if (row["kind"], row["split"], row["target"]) == ("model", split, target)
                and row["step"] == step
            ]

        calm = [
            frame.filter(
                (pl.col("split") == "test")
                & (pl.col("target") == target)
                & (pl.col("step") == step)
                & (pl.col("time") <= CALM_UNTIL)
            )
            for frame in predictions
        ]
        naive = {
            split: min(
                row["mae"]
                for row in models[0]["scores"]
                if (row["kind"], row["split"], row["target"]) == ("baseline", split, target)
                and row["step"] == step
            )
            for split in ("valid", "test")
        }
        scores.append(
            wanted
            | {
                "valid": errors("valid"),
                "test": errors("test"),
                "test_until_2019": [mean_error(frame, "forecast") for frame in calm],
                "baseline": naive | {"test_until_2019": mean_error(calm[0], "baseline")},
            }
        )
    training = [model["training"] for model in models]
    return {
        "what": published["what"],
        "network": models[0]["network"]["summary"],
        "seconds": [each["seconds"] for each in training],
        "epochs": [each["epochs"] for each in training],
        "scores": scores,
        "versions": models[0]["versions"],
        "cores": os.cpu_count(),
    }


def mean_error(frame, column):
    return float((frame["truth"] - frame[column]).abs().mean())


def rows(name, result):
    for index, score in enumerate(result["scores"]):
        first = f"[{result['what']}]({name}.yaml)" if index == 0 else ""
        step = f"{score['target']}, +{score['step']}"
        naive = score["baseline"]
        cells = [
            first,
            step,
            f"{score['mae']:,}",
            f"**{spread(score['valid'])}**",
            f"{naive['valid']:,.0f}",
            f"{spread(score['test_until_2019'])} ({naive['test_until_2019']:,.0f})",
            f"{spread(score['test'])} ({naive['test']:,.0f})",
            f"{statistics.mean(result['seconds']):.1f} s" if index == 0 else "",
        ]
        yield f"| {' | '.join(cells)} |"


def spread(values):
    return f"{statistics.mean(values):,.0f} ± {statistics.stdev(values):,.0f}"


def write_table(published):
    header = [
        "| recipe | target, step | published | validation MAE | best baseline | "
        "test until 2019-12 (baseline) | test until 2021-11 (baseline) | training |",
        "|---|---|---|---|---|---|---|---|",
    ]
    lines = []
    for name in published:
        path = HERE / "results" / f"{name}.json"
        if path.exists():
            lines += rows(name, json.loads(path.read_text()))
    page = HERE / "README.md"
    before, _, rest = page.read_text().partition(BEGIN)
    after = rest.partition(END)[2]
    page.write_text("\n".join([before + BEGIN, *header, *lines, END + after]))


if __name__ == "__main__":
    main()
