"""What is known of a data set: its record."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import polars as pl

from elman.data.named.sources import Contents, Source


@dataclass(frozen=True)
class Dataset:
    """A table that can be had by name, with the media that its cells name.

    Attributes:
        name: what users call it; the table is written as `<name><kind>`.
        description: what it holds, with rows and columns.
        origin: where it comes from: a URL, or words.
        licence: as its source states it.
        files: what it is made of; None if nothing is needed.
        make: makes the table of the files; None if the only file is the table.
        sha256: of the table's content (`content_sha256`) where it is made of files, or is large.
        kind: suffix of the table's file.
        media: whether the files are kept beside the table, in a folder `<name>`.
    """

    name: str
    description: str
    origin: str
    licence: str
    files: Source | None = None
    make: Callable[[Contents], pl.DataFrame] | None = None
    sha256: str = ""
    kind: str = ".csv"
    media: bool = False
