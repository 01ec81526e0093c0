"""Named data sets: fetched from their public source, checked, and written as a table.

Nothing of them is part of Elman. A set is one record of `DATASETS`; it is downloaded from the
commit its record names, or taken from the folder that the environment variable `ELMAN_DATA`
names, and in both cases its SHA-256 must be that of the record. Some sets need no file: one ships
inside matplotlib, one follows from its equation.
"""

from __future__ import annotations

import hashlib
import logging
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl

from elman.data.synthetic import mackey_glass
from elman.errors import ElmanError, InputError, unknown
from elman.files import sha256, write_atomically

_TIMEOUT = 30  # seconds without an answer


@dataclass(frozen=True)
class Dataset:
    """A table that can be had by name.

    Attributes:
        name: what users call it; the table is written as `<name>.csv`.
        description: what it holds, with rows and columns.
        source: where it comes from: a URL of the file, or words if it is made.
        licence: as its source states it.
        sha256: of the file at `source`; empty if the table is made.
        local: path below `ELMAN_DATA`; empty if the table is made.
        make: makes the table, instead of a download.
    """

    name: str
    description: str
    source: str
    licence: str
    sha256: str = ""
    local: str = ""
    make: Callable[[], pl.DataFrame] | None = None


def _goog() -> pl.DataFrame:
    import matplotlib

    with np.load(Path(matplotlib.get_data_path(), "sample_data", "goog.npz")) as archive:
        prices = archive["price_data"]
    return pl.DataFrame({field: prices[field] for field in prices.dtype.names})


def _mackey_glass() -> pl.DataFrame:
    return pl.DataFrame({"x": mackey_glass(3000)})


_GITHUB = "https://raw.githubusercontent.com"

DATASETS = {
    dataset.name: dataset
    for dataset in (
        Dataset(
            "goog",
            "Google's daily share prices, 2004-08-19 to 2008-10-14: 1,047 business days of date, "
            "open, high, low, close, volume, adj_close",
            "matplotlib's sample_data/goog.npz, installed with Elman",
            "part of matplotlib (PSF-based)",
            make=_goog,
        ),
        Dataset(
            "mackey_glass",
            "the chaotic Mackey-Glass series with a delay of 17: 3,000 steps of x",
            "its equation (Mackey & Glass 1977)",
            "none: numbers from an equation",
            make=_mackey_glass,
        ),
        Dataset(
            "ridership",
            "Chicago bus and rail boardings by day, 2001-01-01 to 2021-11-30: 7,701 rows (62 of "
            "them repeated) of service_date, day_type, bus, rail_boardings, total_rides",
            f"{_GITHUB}/ageron/data/2ea73147454d2ff8c8a933913be4606f05b352ca/ridership/"
            "CTA_-_Ridership_-_Daily_Boarding_Totals.csv",
            "none stated in the repository; from the Chicago Data Portal, under the City of "
            "Chicago's terms of use",
            "34faaba085ca21434b7dd3e0abcbaf8cde5be3a4f170dda1c8caef72c5c4bd06",
            "ridership/CTA_-_Ridership_-_Daily_Boarding_Totals.csv",
        ),
        Dataset(
            "stocks",
            "daily closes of MSFT, IBM, SBUX, AAPL and the S&P 500 (GSPC), 2007-01-03 to "
            "2016-03-01: 2,306 business days, with Date",
            f"{_GITHUB}/plotly/datasets/0c447c47b757ad74edecab31f0d72f849d2e67c2/stockdata.csv",
            "MIT (Plotly Technologies Inc.)",
            "60bf505fec160ce05ba959382adee32ea6e53ce14fe22886db27c58fe1b0d26b",
            "stocks/stockdata.csv",
        ),
        Dataset(
            "sunspots",
            "monthly numbers of sunspots, 1749-01 to 1983-12: 2,820 rows of Month, Sunspots",
            f"{_GITHUB}/jbrownlee/Datasets/d20fcb6402ae34e653d4513b00f39257bb37ed7f/"
            "monthly-sunspots.csv",
            "none stated in the repository; from Andrews & Herzberg",
            "c4ec8cc57d9f6fb6ecdb3e1f37f25b6f4badd5124c55931052b0cd2fc3bc71f3",
            "series/monthly-sunspots.csv",
        ),
        Dataset(
            "temperatures",
            "daily minimum temperatures in Melbourne, 1981 to 1990, without 31 December of leap "
            "years: 3,650 rows of Date, Temp (degrees Celsius)",
            f"{_GITHUB}/jbrownlee/Datasets/d20fcb6402ae34e653d4513b00f39257bb37ed7f/"
            "daily-min-temperatures.csv",
            "none stated in the repository; from the Australian Bureau of Meteorology",
            "8b9de63ed6789492bf497625e7f9beb96a63d367b4b0a21754006f749fa5e5da",
            "series/daily-min-temperatures.csv",
        ),
    )
}


def fetch(name: str, to: Path) -> Path:
    """Write a named data set as `<name>.csv` into the folder `to`, and return its path.

    A file of that name with the same content is left as it is.

    Raises:
        InputError: the name is unknown, `to` cannot be written, another file of that name is
            there, or the local copy in `ELMAN_DATA` is not the published file.
        ElmanError: the download failed, or is not the published file; nothing is left behind.
    """
    if name not in DATASETS:
        raise unknown("data set", name, DATASETS)
    dataset = DATASETS[name]
    path = Path(to) / f"{name}.csv"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        if dataset.make is not None:
            _write_made(dataset.make(), path)
        elif not path.exists():
            _copy_or_download(dataset, path)
        elif sha256(path) != dataset.sha256:
            raise _other_file(path)
    except OSError as error:
        raise InputError(f"{error.filename or path}: cannot be written: {error.strerror}") from None
    return path


def _write_made(frame: pl.DataFrame, path: Path) -> None:
    content = frame.write_csv().encode()
    if not path.exists():
        write_atomically(path, content)
    elif path.read_bytes() != content:
        raise _other_file(path)


def _other_file(path: Path) -> InputError:
    return InputError(f"{path}: another file of that name is there; move it, or choose a folder")


def _copy_or_download(dataset: Dataset, path: Path) -> None:
    root = os.environ.get("ELMAN_DATA")
    if root and not Path(root).is_dir():
        raise InputError(f"ELMAN_DATA: expected a folder, got {root!r}, which is none; correct it")
    copy = Path(root) / dataset.local if root else None
    if copy is None or not copy.exists():
        _download(dataset, path)
        return
    content = copy.read_bytes()
    if (got := hashlib.sha256(content).hexdigest()) != dataset.sha256:
        raise InputError(
            f"{copy} (from ELMAN_DATA): expected SHA-256 {dataset.sha256}, got {got}; "
            "it is not the published file: remove it to download that"
        )
    write_atomically(path, content)


def _download(dataset: Dataset, path: Path) -> None:
    import pooch
    import requests

    pooch.get_logger().setLevel(logging.WARNING)  # it announces each download on its own
    try:
        # Into a temporary file, which is renamed only once its checksum is right.
        pooch.retrieve(
            dataset.source,
            known_hash=f"sha256:{dataset.sha256}",
            fname=path.name,
            path=path.parent,
            downloader=pooch.HTTPDownloader(timeout=_TIMEOUT),  # pyright: ignore  (pooch's stub)
        )
    except requests.RequestException as error:
        raise ElmanError(
            f"{dataset.name}: {dataset.source} cannot be downloaded ({_reason(error)}); check the "
            "network and try again, or set ELMAN_DATA to a folder that holds "
            f"{dataset.local}"
        ) from None
    except ValueError:  # what pooch raises for a checksum
        raise ElmanError(
            f"{dataset.name}: what {dataset.source} sent is not the published file (its SHA-256 "
            f"differs from {dataset.sha256}); nothing was kept; try again later"
        ) from None


def _reason(error: Exception) -> str:
    response = getattr(error, "response", None)
    return f"status {response.status_code}" if response is not None else type(error).__name__
