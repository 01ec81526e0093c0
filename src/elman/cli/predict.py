"""`elman predict`: forecast what follows a table."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from elman.errors import InputError


def register(app: typer.Typer, summary: str) -> None:
    """Add the verb."""
    epilog = (
        "The table ends where the forecast begins. What is known ahead stands in rows after the "
        "last value, whose other columns are left empty."
    )
    app.command("predict", help=summary, epilog=epilog)(predict)


def predict(
    run: Annotated[Path, typer.Argument(help="Run folder.")],
    table: Annotated[Path, typer.Argument(help="CSV, TSV, JSONL or Parquet.")],
    out: Annotated[
        Path | None, typer.Option(help="CSV to write.", show_default="standard output")
    ] = None,
) -> None:
    """Write the forecasts as CSV."""
    from elman.cli.progress import TerminalObserver
    from elman.files import write_atomically
    from elman.model import Model

    if out is not None and out.exists():
        raise InputError(f"{out}: exists already; name another file with --out")
    with TerminalObserver() as observer:
        text = Model.load(run).predict(table, observer).write_csv()
    if out is None:
        sys.stdout.write(text)
    else:
        write_atomically(out, text)
        print(f"forecasts: {out}")
