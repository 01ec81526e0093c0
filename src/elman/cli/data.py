"""`elman data`: list and fetch public data sets."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def register(app: typer.Typer, summary: str) -> None:
    """Add the verb and its two own."""
    data = typer.Typer(help=summary, rich_markup_mode=None)
    data.command("list", help="Name, content, source and licence of each set.")(list_sets)
    data.command("get", help="Write a set as one table, its media beside it.")(get)
    app.add_typer(data, name="data", help=summary)


def list_sets() -> None:
    """Print every set."""
    from elman.data.datasets import DATASETS

    for dataset in DATASETS.values():
        media = f" and the folder {dataset.name}" if dataset.media else ""
        print(
            f"{dataset.name}\n    {dataset.description}\n"
            f"    file: {dataset.name}{dataset.kind}{media}\n"
            f"    from: {dataset.origin}\n    licence: {dataset.licence}"
        )


def get(
    name: Annotated[str, typer.Argument(help="As in `elman data list`.")],
    to: Annotated[Path, typer.Option(help="Folder to write it into.")] = Path("."),
) -> None:
    """Fetch one set; a local copy serves where ELMAN_DATA names a folder that has it."""
    from elman.data.datasets import fetch

    print(fetch(name, to))
