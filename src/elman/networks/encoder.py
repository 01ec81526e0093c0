"""Encoder: reads a sequence, and keeps what it read for a decoder to look at.

Legend: B batch, S time, I input features, M features of a step of memory, F of a vector.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from elman.layers import Stack, padded, real_steps
from elman.layers.stack import Lengths
from elman.networks.states import final_output, with_vector


@dataclass(frozen=True)
class Memory:
    """What was read.

    Attributes:
        states_BSM: the top layer's output at each step, zero past a row's end.
        lengths: real steps of each row, on the CPU; None: all are.
        final_BF: the top layer's final state, of both directions side by side.
    """

    states_BSM: Tensor
    lengths: Tensor | None
    final_BF: Tensor

    @classmethod
    def joined(cls, memories: Sequence[Memory]) -> Memory:
        """Return several as one: their real steps behind each other, final states side by side.

        All have the same `M`.
        """
        if len(memories) == 1:
            return memories[0]
        batch = len(memories[0].final_BF)
        lengths_EB = torch.stack([memory._lengths() for memory in memories])
        # Cut into pieces of one row of one memory, row-major by (row, memory), and padded anew.
        steps_N = torch.cat([real_steps(m.states_BSM, m.lengths) for m in memories])
        order = torch.arange(lengths_EB.numel()).view_as(lengths_EB).T.flatten()
        pieces = torch.arange(len(steps_N)).split(lengths_EB.flatten().tolist())
        index_N = torch.cat([pieces[piece] for piece in order.tolist()]).to(steps_N.device)
        lengths_B = lengths_EB.sum(0)
        steps_N = steps_N.index_select(0, index_N)
        states_BSM = padded(steps_N, lengths_B, batch, max(1, int(lengths_B.max())))
        return cls(states_BSM, lengths_B, torch.cat([m.final_BF for m in memories], dim=-1))

    def _lengths(self) -> Tensor:
        if self.lengths is not None:
            return self.lengths
        return torch.full((self.states_BSM.shape[0],), self.states_BSM.shape[1])


class Encoder(nn.Module):
    """Read a sequence, and keep each step and the end.

    Args:
        recurrent: an Elman layer made with `batch_first=True`.
        recurrent_size: features of its output at a step, `M` (both directions together).

    Shapes: `x_BTI` and lengths to a `Memory`.
    """

    def __init__(self, recurrent: Stack, recurrent_size: int) -> None:
        super().__init__()
        self.recurrent, self.size = recurrent, recurrent_size

    def forward(
        self, x_BTI: Tensor, lengths: Lengths | None = None, also_BF: Tensor | None = None
    ) -> Memory:
        """Return what was read; `also_BF` is appended to every step, and in `I` of the layer."""
        states_BSM, state = self.recurrent(with_vector(x_BTI, also_BF), lengths=lengths)
        kept = None if lengths is None else torch.as_tensor(lengths, device="cpu")
        final_BF = final_output(self.recurrent, state, states_BSM, lengths)
        return Memory(states_BSM, kept, final_BF)
