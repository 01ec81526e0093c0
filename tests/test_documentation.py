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
            if words[:3] == ["elman", "data", "get"] and words[3] in SMALL:
                SMALL[words[3]](tmp_path)
            elif words[:1] == ["elman"] and line.startswith("$ "):
                assert run(quick(words[1:])) == 0, line


def quick(words):
    """Train for two epochs where the reader would train for many."""
    trains = words[0] == "fit" and "--epochs" not in words
    return [*words, "--epochs", "2"] if trains else words


def sentences(count, seed=0):
    """Return sentences of a small grammar, and what their mood is."""
    rng = np.random.default_rng(seed)
    moods = rng.integers(0, 2, count)
    words = [["dull", "poor", "flat"], ["bright", "fine", "moving"]]
    return [
        f"the {rng.choice(['film', 'play', 'plot'])} is {rng.choice(words[mood])} ."
        for mood in moods
    ], moods


def small_reviews(folder):
    texts, moods = sentences(120)
    labels = np.array(["negative", "positive"])[moods]
    frame = pl.DataFrame({"text": texts, "label": labels, "score": 2 * moods - 1})
    frame.write_parquet(folder / "reviews.parquet")


def small_translations(folder):
    texts, _ = sentences(120)
    german = [text.replace("the", "das").replace("is", "ist") for text in texts]
    frame = pl.DataFrame({"de": german, "en": texts, "split": parts(120)})
    frame.write_parquet(folder / "multi30k.parquet")


def small_tags(folder):
    texts, _ = sentences(120)
    frame = pl.DataFrame({"words": texts, "tags": "DET NOUN AUX ADJ PUNCT", "split": parts(120)})
    frame.write_parquet(folder / "ud_english.parquet")


def small_play(folder):
    texts, _ = sentences(600)
    (folder / "shakespeare.txt").write_text("\n".join(texts) + "\n")


def parts(count):
    return np.array(["train"] * 8 + ["valid", "test"])[np.arange(count) % 10]


# Stand for sets that would be large to fetch and slow to train on.
SMALL = {
    "reviews": small_reviews,
    "multi30k": small_translations,
    "ud_english": small_tags,
    "shakespeare": small_play,
}


def make_tables(folder):
    """Write the tables that the examples read: prices.csv, rides.csv, shops.csv, reviews.csv."""
    texts, moods = sentences(120, seed=1)
    pl.DataFrame({"review": texts, "stars": 1 + 4 * moods}).write_csv(folder / "reviews.csv")
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
