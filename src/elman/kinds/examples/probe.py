"""Rows of examples for a diagnosis, with the loss of what is answered at each step, or at the end.

Legend: B rows, T steps, N things answered in all, O values of an answer.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from elman.data.ragged import Ragged
from elman.data.table import Table
from elman.kinds.examples.job import ExampleJob
from elman.kinds.examples.learnt import Learnt
from elman.kinds.examples.use import table_job
from elman.kinds.probe import Probe, evenly, most_rows
from elman.layers import padded

_LOSS = {
    "vector": "the answer, after the last step",
    "steps": "what is answered at step t",
    "sequence": "what is written at step t",
}


def probe(job: ExampleJob, rows: int, steps: int, most: int) -> Probe:
    """Return rows of the validation part.

    Args:
        job: a run's table made ready.
        rows: at most.
        steps: of a row at most; longer ones are cut to their last, and what is written to its
            first.
        most: steps of all rows together at most.
    """
    return _probe(job, job.parts["valid"], "rows of the validation part", rows, steps, most)


def probe_table(
    learnt: Learnt, table: Table, options: Any, rows: int, steps: int, most: int
) -> Probe:
    """Return rows of another table; see `probe`.

    Raises:
        InputError: a column is absent, or a row cannot be read and `skip_bad` is not set.
    """
    job, _ = table_job(learnt, table, options)
    return _probe(job, job.parts["table"], f"rows of {table.name}", rows, steps, most)


def _probe(
    job: ExampleJob, usable: np.ndarray, words: str, rows: int, steps: int, most: int
) -> Probe:
    learnt, encoded, target = job.learnt, job.encoded, job.learnt.target
    sequences = [each for each in (*encoded.inputs, encoded.truths) if isinstance(each, Ragged)]
    lengths_R = np.max([each.lengths[usable] for each in sequences], axis=0)
    long = min(steps, int(np.quantile(lengths_R, 0.9)))
    chosen = usable[evenly(len(usable), most_rows(long, rows, most))]
    truths: Any = encoded.truths
    if isinstance(truths, Ragged):
        # A decoder that goes step by step drops rows as they end: the longest come first.
        chosen = chosen[np.argsort(-truths.lengths[chosen], kind="stable")]
        end = slice(-steps, None) if target.shape == "steps" else slice(steps)
        truths = Ragged.of([truths[row][end] for row in chosen])
    else:
        truths = truths[chosen]
    inputs = tuple(Ragged.of([each[row][-steps:] for row in chosen]) for each in encoded.inputs)
    batch = learnt.batch(np.arange(len(chosen)), inputs, truths)
    along = {"vector": None, "steps": batch.lengths[0], "sequence": batch.steps}[target.shape]
    assert batch.truth is not None
    truth_N = batch.truth

    def losses(network: Any) -> Tensor:
        each_N = target.losses(network(batch).float(), truth_N, training=False)
        if along is None:
            return each_N.unsqueeze(1)
        return padded(each_N.unsqueeze(-1), along, len(along), int(along.max())).squeeze(-1)

    longest = int(lengths_R.max())
    return Probe(
        losses,
        along if along is None else torch.as_tensor(along),
        answers="body.decoder" if target.shape == "sequence" else None,
        rows=f"{len(chosen):,} {words}, up to {min(steps, longest):,} steps",
        loss=_LOSS[target.shape],
        cut=steps if longest > steps else None,
    )
