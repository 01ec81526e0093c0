"""`elman evaluate`: score a run's model on another table."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from elman.errors import InputError


def register(app: typer.Typer, summary: str) -> None:
    """Add the verb."""
    app.command("evaluate", help=summary)(evaluate)


def evaluate(
    run: Annotated[Path, typer.Argument(help="Run folder.")],
    table: Annotated[Path, typer.Argument(help="CSV, TSV, JSONL or Parquet.")],
    out: Annotated[
        Path | None, typer.Option(help="CSV to write the forecasts to, beside the truth.")
    ] = None,
) -> None:
    """Print the scores of forecasts from every step of the table."""
    from elman.cli.progress import TerminalObserver
    from elman.cli.scores import print_scores
    from elman.files import write_atomically
    from elman.model import Model

    if out is not None and out.exists():
        raise InputError(f"{out}: exists already; name another file with --out")
    with TerminalObserver() as observer:
        evaluation = Model.load(run).evaluate(table, observer)
    print_scores(evaluation.scores)
    print(evaluation.verdict)
    if out is not None:
        write_atomically(out, evaluation.frame().write_csv())
        print(f"forecasts: {out}")
