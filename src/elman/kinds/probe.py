"""A probe: some rows of a job's data, and what a network's answer to each costs.

Legend: B rows, U steps of the losses (1 where a row is answered once).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from torch import Tensor, nn


@dataclass(frozen=True)
class Probe:
    """What a diagnosis needs of data and loss.

    Attributes:
        losses: runs a network over the rows, and returns each row's loss at each step `(B, U)`;
            what stands past a row's end is not read.
        lengths: real steps of these losses, `(B,)`; None: all are.
        answers: the module, by its name in the network, along whose steps the losses lie, such as
            `body.decoder`; None: every layer that takes as many steps as there are losses.
        rows: words for what the rows are.
        loss: words for what the loss is of.
        cut: steps that each row was cut to, if it was.
    """

    losses: Callable[[nn.Module], Tensor]
    lengths: Tensor | None = None
    answers: str | None = None
    rows: str = ""
    loss: str = ""
    cut: int | None = None


def evenly(count: int, most: int) -> np.ndarray:
    """Return up to `most` of `count` places, evenly spread, the first and the last among them."""
    return np.unique(np.linspace(0, count - 1, min(count, most)).round().astype(np.int64))


def most_rows(steps: int, rows: int, most_steps: int) -> int:
    """Return how many rows of so many steps are looked at: at most `rows`, and `most_steps` in all.

    What each step computes is kept until its gradients are known, so memory grows with both.
    """
    return max(1, min(rows, most_steps // max(1, steps)))
