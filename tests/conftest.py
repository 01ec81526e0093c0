"""Shared by all tests: one thread, quiet libraries, public data where it is, small tables."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import polars as pl
import pytest

# Before torch and Keras are imported anywhere: tests run side by side on few cores.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("KERAS_BACKEND", "torch")


@pytest.fixture(autouse=True)
def _calm_torch() -> None:
    """One thread for small tensors, and the same random numbers in every test."""
    import torch

    torch.set_num_threads(1)
    torch.manual_seed(0)


def devices() -> list[str]:
    """Every kind of device there is: a layer is tested on each."""
    import torch

    there = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    return ["cpu", *(name for name, usable in there.items() if usable)]


@pytest.fixture(params=devices())
def device(request: pytest.FixtureRequest) -> str:
    """One of the devices there are."""
    return request.param


@pytest.fixture(scope="session")
def public_data() -> Path:
    """The folder of public data sets; tests that need it skip where it is absent."""
    folder = os.environ.get("ELMAN_DATA")
    if not folder or not Path(folder).is_dir():
        pytest.skip("ELMAN_DATA names no folder of public data sets")
    return Path(folder)


@pytest.fixture
def weekly(tmp_path: Path) -> Path:
    """A table of 200 days with a week in it, a day type known ahead, and a little noise."""
    rng = np.random.default_rng(7)
    day = np.arange(200)
    rides = 1000 + 300 * np.isin(day % 7, (5, 6)) + rng.normal(0, 20, 200)
    frame = pl.DataFrame(
        {
            "date": pl.date_range(pl.date(2020, 1, 6), pl.date(2020, 7, 23), eager=True),
            "rides": rides.round(3),
            "rain": rng.uniform(0, 10, 200).round(3),
            "day_type": np.where(np.isin(day % 7, (5, 6)), "weekend", "weekday"),
        }
    )
    path = tmp_path / "weekly.csv"
    frame.write_csv(path)
    return path
