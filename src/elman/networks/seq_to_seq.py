"""Sequence to sequence, aligned: an output at every step.

Legend: B batch, T time, I input features, H output features of the recurrent layer, L layers, S
width of one state tensor, O values in an answer, N real steps of all rows, F features of a vector.
"""

from __future__ import annotations

from torch import Tensor, nn

from elman.cells import State
from elman.layers import Stack, real_steps
from elman.layers.stack import Lengths
from elman.networks.states import bare, tupled, with_vector


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
        self, recurrent: Stack, recurrent_size: int, output_size: int, dropout: float = 0.0
    ) -> None:
        super().__init__()
        self.recurrent = recurrent
        self.dropout = nn.Dropout(dropout)
        self.head = nn.Linear(recurrent_size, output_size)

    def forward(self, x_BTI: Tensor, lengths: Lengths | None = None) -> Tensor:
        """Return `y_BTO`."""
        hidden_BTH, _ = self.recurrent(x_BTI, lengths=lengths)
        return self.head(self.dropout(hidden_BTH))

    def real_steps(
        self, x_BTI: Tensor, lengths: Lengths | None = None, also_BF: Tensor | None = None
    ) -> Tensor:
        """Return the answers at real steps alone, `y_NO`: row 0's, then row 1's, and so on.

        Args:
            x_BTI: padded on the right.
            lengths: real steps of each row; None: all are.
            also_BF: a vector a row, appended to every step; `I` of the layer counts it.
        """
        return self.advance(x_BTI, None, lengths, also_BF)[0]

    def advance(
        self,
        x_BTI: Tensor,
        state: State | None = None,
        lengths: Lengths | None = None,
        also_BF: Tensor | None = None,
    ) -> tuple[Tensor, State]:
        """Read the next chunk of a stream: `y_NO` as of `real_steps`, and the state to go on from.

        Args:
            x_BTI: padded on the right.
            state: after the chunk before, `(L, B, S)` for each name; None: a sequence begins.
            lengths: real steps of each row; None: all are.
            also_BF: a vector a row, appended to every step; `I` of the layer counts it.
        """
        begun = None if state is None else bare(state)
        hidden_BTH, state_LBS = self.recurrent(with_vector(x_BTI, also_BF), begun, lengths=lengths)
        y_NO = self.head(self.dropout(real_steps(hidden_BTH, lengths)))
        return y_NO, tupled(state_LBS)
