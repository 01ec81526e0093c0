"""Named data sets: fetched from their public source, checked, and written as one table each.

Nothing of them is part of Elman. A set is one record of `DATASETS`: where its files lie, their
SHA-256, and what makes a table of them. Some sets need no file: one ships inside matplotlib, some
follow from an equation or a rule.
"""

from __future__ import annotations

import hashlib
import io
from pathlib import Path

import polars as pl

from elman.data.named.dataset import Dataset
from elman.data.named.records import DATASETS
from elman.data.named.sources import Contents
from elman.data.table import read_table
from elman.errors import InputError, unknown
from elman.files import write_atomically

__all__ = ["DATASETS", "Dataset", "content_sha256", "fetch"]

_ROW_GROUP = 8192  # rows of a Parquet file that are read together


def fetch(name: str, to: Path) -> Path:
    """Write a named data set as a table into the folder `to`, and return its path.

    The table is `<name>.csv`, `.parquet` or `.txt`, as `elman data list` says; media that its
    cells name lie in a folder `<name>` beside it. Files that are there already, with the same
    content, are left as they are.

    Raises:
        InputError: the name is unknown, `to` cannot be written, another file of that name is
            there, or the local copy in `ELMAN_DATA` is not the published file.
        ElmanError: the download failed, or is not the published file; nothing is left behind.
    """
    if name not in DATASETS:
        raise unknown("data set", name, DATASETS)
    dataset = DATASETS[name]
    path = Path(to) / f"{name}{dataset.kind}"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        _write(dataset, path)
    except OSError as error:
        raise InputError(f"{error.filename or path}: cannot be written: {error.strerror}") from None
    return path


def content_sha256(frame: pl.DataFrame) -> str:
    """Return the SHA-256 of a table's content: the same for any kind of file it is kept in."""
    digest = hashlib.sha256()
    for column in frame:
        if isinstance(column.dtype, pl.List):  # of numbers
            digest.update(
                f"{column.name}\n{column.dtype}\n{column.list.len().to_list()}\n".encode()
            )
            digest.update(column.explode().to_numpy().tobytes())
            continue
        cells = column if column.dtype == pl.Binary else column.cast(pl.String).cast(pl.Binary)
        sizes = cells.bin.size().fill_null(0)
        digest.update(f"{column.name}\n{','.join(map(str, sizes))}\n".encode())
        digest.update(b"".join(cell for cell in cells if cell))
    return digest.hexdigest()


def _write(dataset: Dataset, path: Path) -> None:
    there = path.exists()
    if there and not _is_right(dataset, path):
        raise InputError(f"{path}: another file of that name is there; move it, or choose a folder")
    if there and _has_media(dataset, path.parent):
        return
    files = {} if dataset.files is None else dataset.files.read()
    if dataset.media:
        for name, content in files.items():
            place = path.parent / dataset.name / name
            place.parent.mkdir(parents=True, exist_ok=True)
            if not place.exists() or place.read_bytes() != content:
                place.write_bytes(content)  # not one by one to the disk: thousands take minutes
    # Last: where the table is, its media are too.
    if not there:
        write_atomically(path, _as_file(dataset, files))


def _is_right(dataset: Dataset, path: Path) -> bool:
    if dataset.files is None and not dataset.sha256:
        return path.read_bytes() == _as_file(dataset, {})
    if dataset.files is not None and dataset.make is None:
        return not dataset.files.wrong(dict.fromkeys(dataset.files.names, path.read_bytes()))
    try:
        return content_sha256(read_table(path).frame) == dataset.sha256
    except InputError:
        return False


def _has_media(dataset: Dataset, folder: Path) -> bool:
    if dataset.files is None or not dataset.media:
        return True
    found = dataset.files.found_in(folder / dataset.name)
    return found is not None and not dataset.files.wrong(found)


def _as_file(dataset: Dataset, files: Contents) -> bytes:
    if dataset.make is None:
        (content,) = files.values()
        return content
    frame, buffer = dataset.make(files), io.BytesIO()
    if dataset.kind == ".parquet":
        frame.write_parquet(buffer, row_group_size=_ROW_GROUP)
    else:
        frame.write_csv(buffer)
    return buffer.getvalue()
