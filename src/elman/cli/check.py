"""`elman check`: what would spoil training, found before it starts."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Annotated, Any

import typer

from elman.cli.fit import gather
from elman.cli.options import with_options
from elman.config import GROUPS, Config

_STYLES = {"error": "red", "warning": "yellow", "note": "cyan"}


def register(app: typer.Typer, summary: str) -> None:
    """Add the verb."""
    epilog = "Takes what `elman fit` takes, and trains nothing. Exit status 1: there are errors."
    app.command("check", help=summary, epilog=epilog)(
        with_options(check, [*GROUPS, Config], leave_out=["table"])
    )


def check(
    table: Annotated[
        Path | None, typer.Argument(help="CSV, TSV, JSONL, Parquet, text or FASTA.")
    ] = None,
    config: Annotated[
        Path | None, typer.Option(help="YAML file of options; those given here win.")
    ] = None,
    *,
    given: dict[str, Any],
) -> int:
    """Print the findings, worst first."""
    from rich.console import Console
    from rich.text import Text

    from elman.model import Model

    options = gather(table, config, given)
    findings = Model.from_config(options).check(options.table, options.valid_table)
    console = Console(highlight=False, soft_wrap=True)
    for finding in findings:
        console.print(Text(f"{finding.severity}: ", _STYLES[finding.severity]) + str(finding))
    counts = Counter(finding.severity for finding in findings)
    total = ", ".join(
        f"{counts[severity]} {severity}{'' if counts[severity] == 1 else 's'}"
        for severity in _STYLES
    )
    console.print(
        f"{options.table}: {total if findings else 'nothing found that would spoil training'}"
    )
    return 1 if counts["error"] else 0
