"""Run recipes as a user would, over their seeds, and set the scores beside the published ones.

    python recipes/run.py                     every recipe: days
    python recipes/run.py splice imdb         two of them
    python recipes/run.py --threads 1 imdb    each run on one thread
    python recipes/run.py --smoke             each on a slice of its data, to prove that it runs

A run is `elman fit --config recipes/NAME.yaml --seed N` into runs/recipes/NAME/N. One that was
interrupted goes on, one that is finished is not run again, and one that was made with other options
than the recipe's now is refused. Data sets are fetched into runs/data (a local copy is taken where
ELMAN_DATA names a folder). Writes results/NAME.json, and from all of these the table in README.md.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import yaml

from elman.config import FREE, Config, read_config
from elman.data.datasets import fetch
from elman.errors import InputError

sys.path.insert(0, str(Path(__file__).parent))  # also where a test loads this file
from smoke import smoke
from summary import summarise, table_of

HERE = Path(__file__).resolve().parent
RUNS = HERE.parent / "runs"
SEEDS = 3
BEGIN, END = "<!-- results -->", "<!-- end of results -->"
# What a run fills in or may be given anew; the rest is as the recipe says.
_OWN = {*FREE, "threads", "fold"} - {"epochs"}


def main() -> None:
    published = read_published()
    parser = argparse.ArgumentParser(description="Run recipes as a user would.")
    parser.add_argument("recipes", nargs="*", metavar="RECIPE", choices=[[], *published])
    parser.add_argument("--threads", type=int, help="of each run; else as elman fit has it")
    parser.add_argument("--smoke", action="store_true", help="small slices, to prove that it runs")
    parser.add_argument("--table", action="store_true", help="only write the table anew")
    arguments = parser.parse_args()
    names = arguments.recipes or list(published)
    if arguments.smoke:
        chosen = {HERE / f"{name}.yaml": published[name] for name in names}
        sys.exit(smoke(chosen, RUNS / "data"))
    for name in [] if arguments.table else names:
        write_result(name, published[name], arguments.threads)
    write_table(published)


def read_published() -> dict[str, dict[str, Any]]:
    """Return what each recipe is held against, by its name."""
    return yaml.safe_load((HERE / "published.yaml").read_text())


def write_result(name: str, published: dict[str, Any], threads: int | None) -> None:
    folders = [run(name, seed, threads) for seed in range(published.get("seeds", SEEDS))]
    result = summarise(published, folders) | {"cores": os.cpu_count()}
    path = HERE / "results" / f"{name}.json"
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(result, indent=1, ensure_ascii=False) + "\n")
    print("\n".join(table_of({name: result})[2:]), flush=True)


def run(name: str, seed: int, threads: int | None) -> Path:
    """Fit one recipe with one seed, or go on where that stopped; return its run folder."""
    folder, recipe = RUNS / "recipes" / name / str(seed), HERE / f"{name}.yaml"
    if (folder / "config.yaml").exists():
        refuse_other_options(recipe, seed, folder)
    if not (folder / "model.json").exists():
        command = [sys.executable, "-m", "elman", "fit"]
        if (folder / "config.yaml").exists():
            command += ["--resume", str(folder)]
        else:
            folder.parent.mkdir(parents=True, exist_ok=True)
            table = fetch(dataset_of(recipe), RUNS / "data")
            command += [str(table), "--config", str(recipe), "--seed", str(seed)]
            command += ["--out", str(folder)]
            command += [] if threads is None else ["--threads", str(threads)]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return folder


def dataset_of(recipe: Path) -> str:
    """Return the name of the data set that a recipe reads."""
    return Path(read_config(recipe)["table"]).stem


def refuse_other_options(recipe: Path, seed: int, folder: Path) -> None:
    """Raise `InputError` if a run was made with other options than its recipe has now."""
    asked = Config.parse(read_config(recipe) | {"seed": seed}, str(recipe)).model_dump()
    made = Config.parse(read_config(folder / "config.yaml"), str(folder)).model_dump()
    other = [
        f"{name} {made[name]}, now {value}"
        for name, value in asked.items()
        if name not in _OWN and value not in (None, "auto") and made[name] != value
    ]
    if other:
        raise InputError(
            f"{folder}: was made with {'; '.join(other)}; remove it to run {recipe.name} again, or "
            "give the recipe those options"
        )


def write_table(published: dict[str, dict[str, Any]]) -> None:
    """Write the results of all recipes that have any into README.md."""
    results = {}
    for name in published:
        path = HERE / "results" / f"{name}.json"
        if path.exists():
            results[name] = json.loads(path.read_text())
    page = HERE / "README.md"
    before, _, rest = page.read_text().partition(BEGIN)
    after = rest.partition(END)[2]
    page.write_text("\n".join([before + BEGIN, *table_of(results), END + after]))


if __name__ == "__main__":
    main()
