"""Sequence to sequence, aligned: an output at every step."""

from __future__ import annotations

from torch import Tensor, nn


class SeqToSeq(nn.Module):
    """Read a sequence and answer at every step, from what has been read so far.

    Args:
        recurrent: an Elman layer made with `batch_first=True`.
        recurrent_size: features of its output at a step, `H` (both directions together).
        output_size: values in each step's answer, `O`.
        dropout: share of the layer's outputs dropped before the head, in training.

    Shapes: `x_BTI` to `y_BTO`; with `lengths` (one a row), steps past a row's end carry no meaning.
    """

    def __init__(
        self, recurrent: nn.Module, recurrent_size: int, output_size: int, dropout: float = 0.0
    ) -> None:
        super().__init__()
        self.recurrent = recurrent
        self.dropout = nn.Dropout(dropout)
        self.head = nn.Linear(recurrent_size, output_size)

    def forward(self, x_BTI: Tensor, lengths: Tensor | None = None) -> Tensor:
        """Return `y_BTO`."""
        hidden_BTH, _ = self.recurrent(x_BTI, lengths=lengths)
        return self.head(self.dropout(hidden_BTH))
