"""Every code block of the documentation runs, in order, in an empty folder with example tables.

Blocks of `console` are commands: those of `elman` run as a user runs them, with few epochs. A
block of `python` sees what the blocks before it in the same file made.
"""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from elman.cli import run
from elman.data.datasets import fetch

ROOT = Path(__file__).parent.parent
BLOCK = re.compile(r"^```(python|console)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
EVERY_PAGE = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")])
PAGES = [page for page in EVERY_PAGE if BLOCK.search(page.read_text())]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_code_blocks_run(page, tmp_path, monkeypatch):
    blocks = BLOCK.findall(page.read_text())
    monkeypatch.chdir(tmp_path)
    make_tables(tmp_path)
    names: dict[str, object] = {"__name__": page.stem}
    for language, code in blocks:
        if language == "python":
            exec(compile(code, str(page), "exec"), names)
            continue
        for line in code.replace("\\\n", " ").splitlines():
            words = shlex.split(line.removeprefix("$ "), comments=True)
            if words[:1] == ["elman"] and line.startswith("$ "):
                assert run(quick(words[1:])) == 0, line


def quick(words):
    """Train for two epochs where the reader would train for many."""
    trains = words[0] == "fit" and "--epochs" not in words
    return [*words, "--epochs", "2"] if trains else words


def make_tables(folder):
    """Write the tables that the examples read: prices.csv, rides.csv, shops.csv."""
    fetch("goog", folder).rename(folder / "prices.csv")
    rng = np.random.default_rng(0)
    days = pl.date_range(pl.date(2021, 1, 1), pl.date(2022, 12, 31), eager=True)
    weekend = np.isin(days.dt.weekday().to_numpy(), (6, 7))
    rides = pl.DataFrame(
        {
            "day": days,
            "day_type": np.where(weekend, "weekend", "weekday"),
            "bus": (900 - 300 * weekend + rng.normal(0, 30, len(days))).round(),
            "rail": (700 - 200 * weekend + rng.normal(0, 30, len(days))).round(),
        }
    )
    rides.write_csv(folder / "rides.csv")
    ahead = rides.tail(90).with_columns(
        [pl.when(pl.int_range(90) < 83).then(pl.col(c)).alias(c) for c in ("bus", "rail")]
    )
    ahead.write_csv(folder / "rides_ahead.csv")
    shops = pl.concat(
        [
            rides.select("day", pl.lit(shop).alias("shop"), (pl.col("bus") * size).alias("sales"))
            for shop, size in (("north", 1.0), ("south", 5.5))
        ]
    )
    shops.write_csv(folder / "shops.csv")
