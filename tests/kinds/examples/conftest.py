"""Jobs made from small tables, for the tests of this folder."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from elman.config import Config
from elman.data.findings import Finding
from elman.data.table import read_table
from elman.kinds import declare, topology_of
from elman.kinds.examples import prepare
from elman.kinds.examples.job import ExampleJob


@pytest.fixture
def make_job() -> Callable[..., ExampleJob]:
    """Prepare a job for a frame, or validated on another; fill a list given as `findings`."""

    def make(frame: Any, other: Any = None, findings: list[Finding] | None = None, **options: Any):
        config = Config.parse({"min_count": 1} | options, "test")
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
