"""`elman diagnose`: how far a run's network remembers, what its gates do, and what would help."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

_LAGS = (1, 10, 100, 1000)
_BACK = (0, 1, 2, 4, 8, 16, 64, 256)
_ENDS = {"sigmoid": "below 0.1, above 0.9", "tanh": "below -0.95, above 0.95", "relu": "0"}
_LEGEND = (
    "gradient: beside that one step back. nats: log growth of a gradient a step, carried back "
    "along the data. radius, largest: spectral radius and largest singular value of dh(t)/dh(t-1). "
    "weights: spectral radius of the recurrent ones. output: beside the difference of two rows."
)
_STYLES = {"error": "red", "warning": "yellow", "note": "cyan"}


def register(app: typer.Typer, summary: str) -> None:
    """Add the verb."""
    epilog = (
        "Writes RUN/diagnosis.json, and the report with it. Gradients are those of the loss at a "
        "step with respect to the states before it, in evaluation mode; memory grows with ROWS "
        "times STEPS."
    )
    app.command("diagnose", help=summary, epilog=epilog)(diagnose)


def diagnose(
    run: Annotated[Path, typer.Argument(help="Run folder.")],
    table: Annotated[
        Path | None,
        typer.Argument(help="A table to look at.", show_default="what the run was validated on"),
    ] = None,
    rows: Annotated[
        int, typer.Option(min=2, help="Rows, windows or stretches of text, at most.")
    ] = 256,
    steps: Annotated[
        int, typer.Option(min=2, help="Steps of each at most; longer rows are cut to their last.")
    ] = 1000,
) -> None:
    """Measure, print what was found, worst first, and put it into the report."""
    from elman.cli.report import report
    from elman.diagnosis import diagnose_run

    found = diagnose_run(run, table, rows=rows, steps=steps).as_dict()
    print_diagnosis(found)
    print(f"diagnosis: {run / 'diagnosis.json'}")
    report(run)


def print_diagnosis(found: dict[str, Any]) -> None:
    """Print a diagnosis as `diagnosis.json` holds it."""
    from rich.console import Console
    from rich.text import Text

    # A file or a pipe has no width of its own.
    console = Console(highlight=False, width=None if sys.stdout.isatty() else 200)
    console.print(Text(found["headline"], "bold"))
    console.print(f"Loss: {found['loss']}; {found['rows']}.", markup=False)
    if found["cut"]:
        console.print(f"Longer rows were cut to their last {found['cut']:,} steps.")
    console.print()
    for finding in found["findings"]:
        severity = finding["severity"]
        console.print(Text.assemble((f"{severity}: ", _STYLES[severity]), finding["message"]))
        if finding["remedy"]:
            console.print(Text(f"  what helps: {finding['remedy']}"))
    if not found["findings"]:
        console.print("Nothing was found that stands in the way of learning.")
    console.print()
    _print_tables(console, found)


def _print_tables(console: Console, found: dict[str, Any]) -> None:
    layers = found["layers"]
    names = [layer["name"] or layer["cell"].removesuffix("Cell") for layer in layers]
    tables = [_flow(layers, names), _stretch(layers, names), _activations(layers, names)]
    if found["influences"]:
        tables.append(_influences(found["influences"]))
    for table in tables:
        console.print(table)
    console.print(_LEGEND, style="dim")


def _flow(layers: Sequence[dict[str, Any]], names: Sequence[str]) -> Table:
    reach = max(layer["reach"] for layer in layers)
    lags = [lag for lag in _LAGS if lag < reach]
    table = _table("gradient, steps back", ["halved", *(f"{lag:,}" for lag in lags), "longest"])
    for name, layer in zip(names, layers, strict=True):
        ratios, last = layer["ratios"], layer["reach"]
        cells = [_share(ratios.get(str(lag))) for lag in lags]
        longest = f"{_share(ratios.get(str(last)))} at {last:,}" if last else "-"
        halved = "not yet" if layer["halved"] is None else f"{layer['halved']:,}"
        table.add_row(f"  {name}", halved, *cells, longest)
    return table


def _stretch(layers: Sequence[dict[str, Any]], names: Sequence[str]) -> Table:
    table = _table("a step's stretch", ["nats", "radius", "largest", "weights", "dead units"])
    for name, layer in zip(names, layers, strict=True):
        stretch = layer["stretch"]
        cells = ["-" if stretch["growth"] is None else f"{stretch['growth']:+.2f}"]
        cells += [_fixed(stretch[key]) for key in ("radius", "singular")]
        radii = [each["radius"] for each in layer["weights"]]
        cells.append(_fixed(max(radii)) if radii else "-")
        table.add_row(f"  {name}", *cells, f"{layer['outputs']['dead']:.0%}")
    return table


def _activations(layers: Sequence[dict[str, Any]], names: Sequence[str]) -> Table:
    table = _table("saturation", ["low", "high", "counted as low, high"])
    for name, layer in zip(names, layers, strict=True):
        if len(layers) > 1:
            table.add_row(f"  {name}")
        for each in layer["activations"]:
            high = "-" if each["kind"] == "relu" else f"{each['high']:.0%}"
            table.add_row(f"    {each['name']}", f"{each['low']:.0%}", high, _ENDS[each["kind"]])
    return table


def _influences(influences: Sequence[dict[str, Any]]) -> Table:
    longest = max(max(each["lags"]) for each in influences)
    back = [lag for lag in _BACK if lag <= longest]
    table = _table("an input replaced, steps back", [f"{lag}" for lag in back])
    for each in influences:
        places = {lag: place for place, lag in enumerate(each["lags"])}
        known = [places.get(lag) for lag in back]
        if len(influences) > 1:
            table.add_row(f"  {each['label']}")
        changes = ["-" if at is None else _share(each["changed"][at]) for at in known]
        table.add_row("    output changes by", *changes)
        loss = each["loss"]
        rises = [None if at is None or not loss else each["rise"][at] / loss for at in known]
        table.add_row("    loss rises by", *map(_change, rises))
    return table


def _share(value: float | None) -> str:
    if value is None:
        return "-"
    if value and value < 0.0095:
        return f"{value:.0e}"
    return f"{value:.0%}" if value < 9.995 else f"{value:.3g}"


def _change(value: float | None) -> str:
    if value is None:
        return "-"
    return "0%" if abs(value) < 0.005 else f"{value:+.0%}"


def _fixed(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f}"


def _table(first: str, columns: Sequence[str]) -> Table:
    from rich.table import Table

    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column(first, no_wrap=True)
    for heading in columns:
        table.add_column(heading, justify="right", no_wrap=True)
    return table
