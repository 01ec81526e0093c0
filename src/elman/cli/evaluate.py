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
    table: Annotated[Path, typer.Argument(help="CSV, TSV, JSONL, Parquet, text or FASTA.")],
    out: Annotated[
        Path | None, typer.Option(help="CSV to write the answers to, beside the truth.")
    ] = None,
    skip_bad: Annotated[
        bool, typer.Option("--skip-bad", help="Leave rows out that cannot be read.")
    ] = False,
) -> None:
    """Print the scores of the answers to a table's rows; of series, from every step."""
    from elman.cli.progress import TerminalObserver
    from elman.cli.scores import print_scores
    from elman.files import write_atomically
    from elman.model import Model

    if out is not None and out.exists():
        raise InputError(f"{out}: exists already; name another file with --out")
    with TerminalObserver() as observer:
        evaluation = Model.load(run).evaluate(table, observer, skip_bad=skip_bad)
    print_scores(evaluation.scores)
    if evaluation.verdict:
        print(evaluation.verdict)
    if out is not None:
        write_atomically(out, evaluation.frame().write_csv())
        print(f"answers: {out}")
