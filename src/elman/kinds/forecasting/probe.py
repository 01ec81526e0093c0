"""Windows of a forecast for a diagnosis, with the loss of the forecast made at each step.

Legend: B windows, S steps at which the network answers (1 if once), O values of an answer.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor, nn

from elman.data.table import Table
from elman.errors import InputError
from elman.kinds.forecasting.forecaster import Forecaster, Part, answer
from elman.kinds.forecasting.job import ForecastJob
from elman.kinds.probe import Probe, evenly, most_rows


def probe(job: ForecastJob, rows: int, steps: int, most: int) -> Probe:
    """Return windows whose forecasts lie in the validation span.

    Args:
        job: a run's table made ready.
        rows: windows at most.
        steps: of a window at most; longer ones are cut to their last.
        most: steps of all windows together at most.

    Raises:
        InputError: no window fits.
    """
    words = "windows of the validation span"
    return _probe(job.forecaster, job.parts, "valid", job.panel.name, words, rows, steps, most)


def probe_table(
    forecaster: Forecaster, table: Table, options: object, rows: int, steps: int, most: int
) -> Probe:
    """Return windows of another table; see `probe`."""
    parts, panel = forecaster.parts(table, split="table")
    words = f"windows of {panel.name}"
    return _probe(forecaster, parts, "table", panel.name, words, rows, steps, most)


def _probe(
    forecaster: Forecaster,
    parts: Sequence[Part],
    split: str,
    name: str,
    words: str,
    rows: int,
    steps: int,
    most: int,
) -> Probe:
    lookback = forecaster.lookback
    if forecaster.tbptt is not None:  # it reads from the beginning: as far as is looked at
        spans = [part.spans[split] for part in parts if split in part.spans]
        # What lies before the span, or half of what there is, so that many windows fit.
        longest = max((max(start, stop // 2) for start, stop in spans), default=0)
        lookback = max(lookback, min(steps, longest - forecaster.target.horizon))
    length = min(lookback, steps)
    own = replace(forecaster, lookback=length, tbptt=None)
    track = own.track(parts)
    windows = own.windows(track, parts, split, within=False, score=False)
    if not len(windows):
        raise InputError(
            f"{name}: no window of {length} steps with {own.target.horizon} more to forecast fits "
            "into it; give a longer table"
        )
    chosen = torch.from_numpy(evenly(len(windows), most_rows(length, rows, most)))
    batch = windows.batch(chosen)
    target = forecaster.target

    def losses(network: nn.Module) -> Tensor:
        return target.losses(answer(network, batch, "float32"), batch)

    return Probe(
        losses,
        rows=f"{len(chosen):,} {words}, {length:,} steps each",
        loss="the forecast made at step t",
        cut=length if length < lookback else None,
    )
