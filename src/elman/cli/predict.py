"""`elman predict`: answer the rows of a table, or forecast what follows it."""

from __future__ import annotations

import base64
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from elman.errors import InputError

if TYPE_CHECKING:
    import polars as pl

_PNG = "data:image/png;base64,"


def register(app: typer.Typer, summary: str) -> None:
    """Add the verb."""
    epilog = (
        "Of a forecast, the table ends where it begins: what is known ahead stands in rows after "
        "the last value, whose other columns are left empty. Tags come a word a row; texts with "
        "the next best beside them; pictures are written into a folder beside --out."
    )
    app.command("predict", help=summary, epilog=epilog)(predict)


def predict(
    run: Annotated[Path, typer.Argument(help="Run folder.")],
    table: Annotated[Path, typer.Argument(help="CSV, TSV, JSONL, Parquet, text or FASTA.")],
    out: Annotated[
        Path | None, typer.Option(help="CSV to write.", show_default="standard output")
    ] = None,
    skip_bad: Annotated[
        bool, typer.Option("--skip-bad", help="Leave rows out that cannot be read.")
    ] = False,
) -> None:
    """Write the answers as CSV."""
    from elman.cli.progress import TerminalObserver
    from elman.files import write_atomically
    from elman.model import Model

    if out is not None and out.exists():
        raise InputError(f"{out}: exists already; name another file with --out")
    with TerminalObserver() as observer:
        frame = Model.load(run).predict(table, observer, skip_bad=skip_bad)
    if out is None:
        sys.stdout.write(frame.write_csv())
    else:
        write_atomically(out, _with_files(frame, out.with_suffix("")).write_csv())
        print(f"answers: {out}")


def _with_files(frame: pl.DataFrame, folder: Path) -> pl.DataFrame:
    """Write pictures among the answers into a folder, and name the files in their place."""
    import polars as pl

    for name in frame.columns:
        first = frame[name].drop_nulls().head(1).to_list()
        if not (first and isinstance(first[0], str) and first[0].startswith(_PNG)):
            continue
        folder.mkdir(exist_ok=True)
        places = []
        for row, cell in zip(frame["row"], frame[name], strict=True):
            place = folder / f"{row}.png"
            place.write_bytes(base64.b64decode(cell.removeprefix(_PNG)))
            places.append(f"{folder.name}/{place.name}")
        frame = frame.with_columns(pl.Series(name, places))
    return frame
