"""`elman report`: write a run's report again."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from elman.errors import InputError


def register(app: typer.Typer, summary: str) -> None:
    """Add the verb."""
    app.command("report", help=summary)(report)


def report(run: Annotated[Path, typer.Argument(help="Run folder.")]) -> None:
    """Write report.html from what the run's folder holds, and its table if it is still there."""
    from elman.model import Model
    from elman.report import write_report
    from elman.run_folder import RunFolder

    series = None
    if RunFolder(run).is_finished:
        model = Model.load(run)
        try:
            series = model.series(model.config.table)
        except InputError as error:
            print(f"elman: the page shows no raw series: {error}", file=sys.stderr)
    print(f"report: {write_report(run, series=series)}")
