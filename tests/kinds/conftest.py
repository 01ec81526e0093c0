"""Jobs made from small tables, and networks for them, for the tests of this folder."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date
from typing import Any

import numpy as np
import polars as pl
import pytest
import torch
from torch import nn

from elman.config import Config
from elman.data.findings import Finding
from elman.data.table import read_table
from elman.kinds import declare, topology_of
from elman.kinds.forecasting import prepare
from elman.kinds.forecasting.job import ForecastJob


@pytest.fixture
def make_job() -> Callable[..., ForecastJob]:
    """Prepare a job for a frame, or validated on another; fill a list given as `findings`."""

    def make(frame: Any, other: Any = None, findings: list[Finding] | None = None, **options: Any):
        options = {"inputs": "series:y", "target": "forecast:y"} | options
        config = Config.parse(options, "test")
        inputs = tuple(declare(text, "input") for text in config.inputs)
        target = declare(config.target, "target")
        return prepare(
            inputs,
            target,
            config,
            topology_of(inputs, target, config.topology),
            read_table(frame),
            None if other is None else read_table(other),
            [] if findings is None else findings,
        )

    return make


@pytest.fixture
def make_network() -> Callable[..., nn.Module]:
    """Build a network for a job, its parameters drawn by a seed; `zero` makes it answer nothing."""

    def make(job: ForecastJob, seed: int = 0, zero: bool = False) -> nn.Module:
        torch.manual_seed(seed)
        topology = "seq-to-vector" if job.forecaster.last_only else "seq-to-seq"
        options = Config.parse({"inputs": "series:y", "target": "forecast:y", "hidden": 6}, "test")
        network = job.learnt.network(topology, options, {})
        if zero:
            nn.init.zeros_(network.head.weight)  # pyright: ignore
            nn.init.zeros_(network.head.bias)  # pyright: ignore
        return network.eval()

    return make


@pytest.fixture
def rides() -> Callable[..., pl.DataFrame]:
    """Make a table of days: rides with a week in them, rain, and the kind of day, known ahead."""

    def make(num_days: int = 120, seed: int = 0, start: date = date(2020, 1, 6)) -> pl.DataFrame:
        rng = np.random.default_rng(seed)
        day = np.arange(num_days)
        weekend = np.isin(day % 7, (5, 6))
        return pl.DataFrame(
            {
                "day": pl.Series(np.datetime64(start) + day),
                "y": (1000 + 300 * weekend + rng.normal(0, 20, num_days)).round(),
                "rain": rng.uniform(0, 10, num_days).round(2),
                "kind": np.where(weekend, "end", "week"),
            }
        )

    return make
