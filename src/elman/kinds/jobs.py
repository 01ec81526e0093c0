"""Which package does the job of a kind of target.

Each has `prepare`, which returns a job (`chosen`, `learnt`, `task`, `evaluate`, `describe`);
`learnt_from_dict`, which reads back what `learnt.as_dict()` wrote; and `predict` and `evaluate`,
which take a network to another table; `probe` and `probe_table`, which cut rows out of a job or of
another table to look into a network with. What is learnt makes the network
(`learnt.network(topology, options)`).
"""

from __future__ import annotations

import importlib
from typing import Any

JOBS = {"forecast": "forecasting", "next": "generation"}
_DEFAULT = "examples"


def job_name(target_kind: str) -> str:
    """Return the name of the package that does the job."""
    return JOBS.get(target_kind, _DEFAULT)


def job_of(target_kind: str) -> Any:
    """Return the package that does the job."""
    return importlib.import_module(f"elman.kinds.{job_name(target_kind)}")
