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
    """Write report.html from what the run's folder holds; of forecasts, also from its table."""
    from elman.kinds import declare
    from elman.kinds.jobs import job_name
    from elman.report import write_report
    from elman.run_folder import RunFolder

    folder, series = RunFolder(run), None
    target = declare(folder.read_config().target, "target")
    # Only a page of forecasts draws the table: the others stand on the folder alone.
    if folder.is_finished and job_name(target.kind) == "forecasting":
        from elman.model import Model

        model = Model.load(run)
        try:
            series = model.series(model.config.table)
        except InputError as error:
            print(f"elman: the page shows no raw series: {error}", file=sys.stderr)
    print(f"report: {write_report(run, series=series)}")
