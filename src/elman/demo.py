"""The demonstration: three cells on two series, one that no forecast beats and one that all can.

Google's daily share prices hardly tell tomorrow's price beyond today's, and the page says so. The
Mackey-Glass series is chaotic but lawful: six steps ahead a recurrent network knows what the
naive forecasts cannot.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from elman.data.datasets import fetch
from elman.model import Model
from elman.report import (
    Section,
    Verdict,
    compare_forecasts,
    compare_training,
    read_run,
    score_table,
    write_comparison,
)
from elman.report.run_data import as_axis
from elman.training.observer import Observer

CELLS = ("rnn", "gru", "lstm")


@dataclass(frozen=True)
class Example:
    """A data set, what is asked of it, and what to expect of the answer."""

    dataset: str
    title: str
    about: str
    target: str
    options: dict[str, Any]


EXAMPLES = (
    Example(
        "goog",
        "Google's share price, one day ahead",
        "1,047 business days. At every day of a window of 20 the network forecasts the price of "
        "the next: the sequence goes in, and comes out shifted by a day. If the market is any "
        "good, today's price already holds what is known of tomorrow's, so the last value is hard "
        "to beat.",
        "close",
        {
            "inputs": "series:open,high,low,close,volume",
            "target": "forecast:close",
            "time": "date",
            "lookback": 20,
            "learning_rate": 1e-3,
            "epochs": 30,
            "patience": 8,
        },
    ),
    Example(
        "mackey_glass",
        "The Mackey-Glass series, one to six steps ahead",
        "3,000 steps of a chaotic series made from its equation: nothing repeats, yet what comes "
        "follows from what was. At every step of a window of 48 the network forecasts the next "
        "six.",
        "x",
        {
            "inputs": "series:x",
            "target": "forecast:x",
            "horizon": 6,
            "lookback": 48,
            "learning_rate": 4e-3,
            "batch_size": 64,
            "epochs": 20,
            "schedule": "cosine",
        },
    ),
)
SHARED = {"hidden": 32, "seed": 0}


def run_demo(
    folder: Path, observer: Observer, say: Callable[[Example, list[dict[str, Any]], str], None]
) -> Path:
    """Train every cell on every example below `folder`; return the path of the page.

    Args:
        folder: it must not exist.
        observer: hears how the training goes.
        say: hears of each example its scores on the test span and what they mean.
    """
    folder.mkdir(parents=True)
    sections = []
    for example in EXAMPLES:
        table = fetch(example.dataset, folder)
        models = dict(_fit(example, table, folder, observer))
        scores = _scores(models)
        words = _in_words(scores)
        say(example, scores, words)
        sections.append(_section(example, folder, scores, words))
    intro = (
        "Plain RNN, GRU and LSTM, each one layer of 32 units, trained by backpropagation through "
        "time, scored on the last 15% of each series, which none of them has seen. Each run has a "
        "folder beside this page; elman report FOLDER draws a page of its own."
    )
    return write_comparison(
        folder / "report.html", "Elman: two series, three cells", intro, sections
    )


def _fit(
    example: Example, table: Path, folder: Path, observer: Observer
) -> Iterator[tuple[str, Model]]:
    for cell in CELLS:
        run = folder / f"{example.dataset}-{cell}"
        model = Model(cell=cell, **SHARED, **example.options)
        yield cell, model.fit(table, run=run, observer=observer)


def _scores(models: dict[str, Model]) -> list[dict[str, Any]]:
    """Return the all-steps rows of the test span: one for each cell, then the baselines."""
    rows = [
        row
        for model in models.values()
        for row in model.document["scores"]
        if row["split"] == "test" and row["step"] == 0
    ]
    unique = {row["forecaster"]: row for row in rows}
    return sorted(unique.values(), key=lambda row: row["kind"] == "baseline")


def _in_words(scores: list[dict[str, Any]]) -> str:
    best = min((row for row in scores if row["kind"] == "model"), key=lambda row: row["mae"])
    naive = min((row for row in scores if row["kind"] == "baseline"), key=lambda row: row["mae"])
    ratio = best["mae"] / naive["mae"]
    pair = (
        f"{best['forecaster']} (MAE {best['mae']:.4g}), {naive['forecaster']} ({naive['mae']:.4g})"
    )
    if abs(ratio - 1) < 0.005:
        return (
            f"The best cell all but equals the {naive['forecaster']}, to within half a percent: it "
            f"has learnt to repeat today's price. Best of each: {pair}."
        )
    if ratio > 1:
        return f"No cell beats the {naive['forecaster']} here. Best of each: {pair}."
    if ratio > 0.95:
        return (
            f"The best cell hardly beats the {naive['forecaster']}: by {1 - ratio:.1%}, no reason "
            f"to trade on it. Best of each: {pair}."
        )
    return (
        f"A recurrent network clearly wins: its error is {ratio:.1%} of the best baseline's. "
        f"Best of each: {pair}."
    )


def _section(example: Example, folder: Path, scores: list[dict[str, Any]], words: str) -> Section:
    runs = {cell: read_run(folder / f"{example.dataset}-{cell}") for cell in CELLS}
    horizon = example.options.get("horizon", 1)
    frames = {
        cell: run.rows("test", example.target, step=horizon).tail(150) for cell, run in runs.items()
    }
    first = frames[CELLS[0]]
    ahead = f"{horizon} step{'s' if horizon > 1 else ''} ahead"
    return Section(
        example.title,
        [
            example.about,
            Verdict(words, "good" if "clearly" in words else ""),
            score_table(scores, f"{example.target}, test span"),
            compare_forecasts(
                f"The last {len(first)} forecasts, {ahead}",
                as_axis(first["time"]),
                first["truth"].to_numpy(),
                {cell: frame["forecast"].to_numpy() for cell, frame in frames.items()},
                baseline=("best baseline", first["baseline"].to_numpy()),
            ),
            compare_training(
                "Validation error by epoch",
                {cell: run.metrics for cell, run in runs.items()},
                column="valid_score",
            ),
        ],
    )
