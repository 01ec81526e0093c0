"""What a network answers to rows, in batches without gradients, in the order they were asked for.

Legend: R rows, O values of an output, N outputs of a batch.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from elman.data.buckets import in_order
from elman.data.ragged import Ragged
from elman.kinds.examples.encoded import Encoded
from elman.kinds.examples.learnt import Learnt
from elman.kinds.examples.network import ExampleBatch, ExampleNetwork
from elman.kinds.examples.streamed import answer_along
from elman.kinds.targets.target import Answers, Target

ROWS = 256  # of a batch without gradients
STEPS = 50_000  # of one, padding counted
_N_BEST = 3


def most_answers(target: Target, options: Any) -> int:
    """Return how many answers a row gets: of text the best few that a beam found, else one."""
    return min(_N_BEST, options.beam) if target.kind == "text" else 1


def answer(
    learnt: Learnt,
    network: ExampleNetwork,
    encoded: Encoded,
    rows: np.ndarray,
    options: Any,
    *,
    n_best: int = 1,
    write: bool = True,
) -> Answers:
    """Return a network's answers to some rows.

    Args:
        learnt: inputs and target.
        network: in `eval()` mode.
        encoded: every row; with truths, each row's loss is told as well.
        rows: which to answer.
        options: how a sequence is written (`beam`, `length_penalty`), and whether rows are read in
            chunks (`tbptt`).
        n_best: how many sequences a row.
        write: whether sequences are written; else only their losses are told.
    """
    if options.tbptt is not None:
        return answer_along(learnt, network, encoded, rows)
    target, device = learnt.target, next(network.parameters()).device
    known = encoded.truths is not None
    losses, counts = np.zeros(len(rows)), np.zeros(len(rows), np.int64)
    outputs: list[Any] = [None] * len(rows)
    texts: list[Any] = [None] * len(rows)
    lengths = encoded.lengths([each.sequence for each in learnt.inputs])
    with torch.inference_mode():
        for at in in_order(lengths[rows], ROWS, STEPS):
            batch = learnt.batch(rows[at], encoded.inputs, encoded.truths).to(device)
            if target.shape != "sequence" or known:
                output_NO = network(batch).float()
                pieces = _pieces(learnt, encoded, batch)
                if known:
                    assert batch.truth is not None
                    losses_N = target.losses(output_NO, batch.truth, training=False)
                    sums = np.add.reduceat(losses_N.double().cpu().numpy(), pieces[:-1])
                    counts[at] = np.diff(pieces)
                    losses[at] = sums / np.maximum(counts[at], 1)
                if target.shape != "sequence":
                    parts = np.split(output_NO.cpu().numpy(), pieces[1:-1])
                    for place, part in zip(at.tolist(), parts, strict=True):
                        outputs[place] = part[0] if target.shape == "vector" else part
            if target.shape == "sequence" and write:
                body: Any = network.body
                found = learnt.sequence_target.write(
                    body.decoder, network.begin(batch), options, n_best
                )
                for place, one in zip(at.tolist(), found, strict=True):
                    texts[place] = one
    told = {"losses": losses, "counts": counts} if known else {}
    if target.shape == "vector":
        return Answers(outputs=np.stack(outputs) if outputs else np.zeros((0, 1)), **told)
    if target.shape == "steps":
        return Answers(outputs=outputs, **told)
    return learnt.sequence_target.gathered(texts if write else None, **told)


def _pieces(learnt: Learnt, encoded: Encoded, batch: ExampleBatch) -> np.ndarray:
    """Return where each row's outputs begin among those of the batch, and where they end."""
    if learnt.target.shape == "vector":
        return np.arange(len(batch) + 1)
    if isinstance(encoded.truths, Ragged) and learnt.target.shape == "sequence":
        return np.concatenate([[0], np.cumsum(encoded.truths.lengths[batch.rows])])
    real = batch.lengths[0]
    assert real is not None
    return np.concatenate([[0], np.cumsum(real.numpy())])
