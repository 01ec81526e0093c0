"""Sequence to vector: one answer, after the last step."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class SeqToVector(nn.Module):
    """Read a whole sequence, then answer once, from the final state of the top layer.

    Args:
        recurrent: an Elman layer made with `batch_first=True`.
        recurrent_size: features of its output at a step, `H` (both directions together).
        output_size: values in the answer, `O`.
        dropout: share of the final state dropped before the head, in training.

    Shapes: `x_BTI` to `y_BO`; with `lengths`, a row's final state is that of its last real step.
    """

    def __init__(
        self, recurrent: nn.Module, recurrent_size: int, output_size: int, dropout: float = 0.0
    ) -> None:
        super().__init__()
        self.recurrent = recurrent
        self.dropout = nn.Dropout(dropout)
        self.head = nn.Linear(recurrent_size, output_size)

    def forward(self, x_BTI: Tensor, lengths: Tensor | None = None) -> Tensor:
        """Return `y_BO`."""
        _, state = self.recurrent(x_BTI, lengths=lengths)
        h_LBH = state[0] if isinstance(state, tuple) else state
        final_BH = h_LBH[-1]
        if self.recurrent.bidirectional:
            final_BH = torch.cat([h_LBH[-2], final_BH], dim=-1)
        return self.head(self.dropout(final_BH))
