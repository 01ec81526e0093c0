"""Batches of rows of like length, so that padding costs little.

For training, rows are shuffled first and sorted within pools of many batches, by lengths that are
blurred: each epoch has other batches, and a batch's rows differ little in length, but they are not
alike in all that goes with it. Were they of one exact length, where the length tells something of
the answer each batch would be of one answer, and training hardly learn. For scoring they are sorted
once, exactly.
"""

from __future__ import annotations

import numpy as np
import torch

_POOL = 100  # batches whose rows are sorted together
# By how much a row may be taken to be shorter or longer than it is: steps, or a share of them.
_BLUR_STEPS, _BLUR_SHARE = 4, 0.05


def bucketed(lengths: np.ndarray, batch_size: int, generator: torch.Generator) -> list[np.ndarray]:
    """Return one epoch's batches as row numbers: every row once, like lengths together, shuffled.

    Args:
        lengths: steps of each row, `(R,)`.
        batch_size: rows of a batch; one batch of the epoch may have fewer.
        generator: decides the order; the same state gives the same batches.
    """
    order = torch.randperm(len(lengths), generator=generator).numpy()
    blurs = 2 * torch.rand(len(lengths), generator=generator, dtype=torch.float64).numpy() - 1
    blurred = lengths + blurs * np.maximum(_BLUR_STEPS, _BLUR_SHARE * lengths)
    batches = []
    for start in range(0, len(order), _POOL * batch_size):
        pool = order[start : start + _POOL * batch_size]
        pool = pool[np.argsort(blurred[pool], kind="stable")]
        batches += [pool[at : at + batch_size] for at in range(0, len(pool), batch_size)]
    shuffled = torch.randperm(len(batches), generator=generator).tolist()
    return [batches[place] for place in shuffled]


def in_order(lengths: np.ndarray, batch_size: int, most_steps: int) -> list[np.ndarray]:
    """Return batches as row numbers, every row once, from the shortest to the longest.

    Args:
        lengths: steps of each row, `(R,)`.
        batch_size: rows of a batch at most.
        most_steps: steps of a batch at most, padding counted; a row longer than that is a batch
            of its own.
    """
    order = np.argsort(lengths, kind="stable")
    batches, start = [], 0
    for stop, row in enumerate(order.tolist()):
        rows = stop - start
        # Rows come sorted, so that this one is the longest of the batch it joins.
        if rows and (rows == batch_size or (rows + 1) * int(lengths[row]) > most_steps):
            batches.append(order[start:stop])
            start = stop
    return [*batches, order[start:]] if len(order) else []
