"""A run's diagnosis: rows of its validation part, or of another table, and its network on them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from elman.data.table import read_table
from elman.diagnosis.diagnose import Diagnosis, diagnose_probe
from elman.diagnosis.findings import Setup
from elman.errors import InputError
from elman.files import write_atomically
from elman.model import Model
from elman.run_folder import RunFolder
from elman.training.hardware import using_threads

ROWS, STEPS = 256, 1000
# Steps of all rows together: what autograd keeps of so many is some hundred MB at 128 units.
MOST = 32_768


def diagnose_run(
    run: Path | str, table: Any = None, *, rows: int = ROWS, steps: int = STEPS
) -> Diagnosis:
    """Look into a run's network, and keep what is found as `diagnosis.json` in its folder.

    Args:
        run: its folder.
        table: a path, or a pandas, polars or Arrow table; None: what the run was validated on.
        rows: rows, windows or stretches of text at most, evenly spread.
        steps: of each at most; longer rows are cut to their last steps.

    Raises:
        InputError: `run` is no finished run, its table is gone, or the table lacks what is needed.
    """
    for name, value in (("rows", rows), ("steps", steps)):
        if not isinstance(value, int) or value < 2:
            raise InputError(f"{name}: expected a whole number from 2, got {value!r}")
    folder, model = RunFolder(run), Model.load(run)
    config = model.config
    with using_threads(config.threads):
        probe = model.probe(table, rows=rows, steps=steps, most=MOST)
        assert model.network is not None
        found = diagnose_probe(model.network, probe, Setup(config.model_dump()))
    document = found.as_dict() | {
        "table": None if table is None else read_table(table).name,
        "weights_sha256": model.document["weights_sha256"],
    }
    write_atomically(folder.diagnosis, json.dumps(document, indent=1))
    return found
