"""`elman demo`: the whole trip on real share prices."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated, Any

import typer


def register(app: typer.Typer, summary: str) -> None:
    """Add the verb."""
    app.command("demo", help=summary)(demo)


def demo(
    out: Annotated[
        Path | None, typer.Option(help="Folder to make.", show_default="runs/demo")
    ] = None,
) -> None:
    """Train RNN, GRU and LSTM on two series and show them beside the naive forecasts."""
    from elman.cli.progress import TerminalObserver
    from elman.cli.scores import print_scores
    from elman.demo import Example, run_demo
    from elman.run_folder import new_folder

    started = time.monotonic()
    folder = new_folder(out, "demo")
    print("Training RNN, GRU and LSTM on two series; this takes less than a minute.\n")

    def say(example: Example, scores: list[dict[str, Any]], words: str) -> None:
        print(example.title)
        print_scores(scores)
        print(f"{words}\n")

    with TerminalObserver() as observer:
        page = run_demo(folder, observer, say)
    print(f"{time.monotonic() - started:.0f} s; report: {page}")
