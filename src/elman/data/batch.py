"""One mini-batch: where every reader ends."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True, slots=True)
class Batch:
    """Right-padded sequences and what is to be said of them.

    Attributes:
        x_BTI: input features.
        target: what the loss compares with; its shape is the target kind's.
        anchor: what the network's output is added to, in the target's shape; None for nothing.
        lengths: real steps of each row, `(B,)` on the CPU, or None where all rows are full.
    """

    x_BTI: Tensor
    target: Tensor
    anchor: Tensor | None = None
    lengths: Tensor | None = None

    def __len__(self) -> int:
        return self.x_BTI.shape[0]
