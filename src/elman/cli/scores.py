"""Scores as a table on the terminal: the model and the baselines beside each other."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from elman.cli.numbers import aligned, number
from elman.kinds.scoring.metrics import METRICS

SPLITS = {
    "train": "training",
    "valid": "validation",
    "test": "test",
    "table": "this table",
    "folds": "all folds",
}
_MOST_TARGETS = 6
_STEPS = (1, 2, 3, 7, 14, 28, 56)
# A file or a pipe has no width of its own: nothing is cut off there.
_CONSOLE = Console(highlight=False, width=None if sys.stdout.isatty() else 200)


def print_scores(scores: Sequence[dict[str, Any]]) -> None:
    """Print for each split and target a row a forecaster, all horizon steps together.

    With a horizon of more than one step, the model's error step by step follows.
    """
    overall = [row for row in scores if row["step"] == 0]
    shown = [key for key in METRICS if any(row.get(key) is not None for row in overall)]
    targets = list(dict.fromkeys(row["target"] for row in overall))[:_MOST_TARGETS]
    table = _table("", [METRICS[key].label for key in shown])
    for split in dict.fromkeys(row["split"] for row in overall):
        for target in targets:
            table.add_row(f"[bold]{SPLITS[split]}: {escape(target)}[/]")
            rows = [row for row in overall if (row["split"], row["target"]) == (split, target)]
            columns = [_written(key, [row.get(key) for row in rows]) for key in shown]
            for row, *cells in zip(rows, *columns, strict=True):
                style = "green" if row["kind"] == "model" else None
                table.add_row("  " + escape(row["forecaster"]), *cells, style=style)
    _CONSOLE.print(table)
    left_out = len({row["target"] for row in overall}) - len(targets)
    if left_out:
        _CONSOLE.print(f"... and {left_out} more targets, in the report")
    _print_steps([row for row in scores if row["kind"] == "model" and row["target"] in targets])


def _print_steps(rows: Sequence[dict[str, Any]]) -> None:
    last = max((row["step"] for row in rows), default=0)
    if last <= 1:
        return
    steps = sorted({step for step in (*_STEPS, last) if step <= last})
    table = _table("MAE by step", [f"+{step}" for step in steps])
    lines: dict[str, dict[int, float]] = {}
    for row in rows:
        name = f"  {SPLITS[row['split']]}: {row['target']}"
        lines.setdefault(name, {})[row["step"]] = row["mae"]
    for name, errors in lines.items():
        table.add_row(escape(name), *(number(errors[step]) for step in steps))
    _CONSOLE.print(table)


def _written(metric: str, values: Sequence[float | None]) -> list[str]:
    form = METRICS[metric]
    return [form.write(value) for value in values] if form.form == "percent" else aligned(values)


def _table(first: str, columns: Iterable[str]) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column(first, no_wrap=True)
    for heading in columns:
        table.add_column(heading, justify="right", no_wrap=True)
    return table
