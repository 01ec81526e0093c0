"""Where a decoder stands in each row: what it carries on from one step to the next.

Legend: R rows, B batch of memories, L layers, S steps of memory (or the width of a state), M
features of memory, A of its keys, H of the decoder, C of a vector fed at every step.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Self

import torch
from torch import Tensor

from elman.cells import State

Rows = Tensor | slice
"""Which rows: an index, or (without a copy) a slice."""


@dataclass(frozen=True)
class Attended:
    """A memory made ready for attention.

    Attributes:
        states_BSM: what was read.
        keys_BSA: the keys of it.
        mask_BS: true at real steps; None: all are.
    """

    states_BSM: Tensor
    keys_BSA: Tensor
    mask_BS: Tensor | None

    def select(self, rows: Rows) -> Self:
        """Return those of some rows."""
        mask_BS = None if self.mask_BS is None else _select(self.mask_BS, rows)
        return type(self)(_select(self.states_BSM, rows), _select(self.keys_BSA, rows), mask_BS)


@dataclass(frozen=True)
class DecoderState:
    """What a decoder carries on, of `R` rows.

    Several rows may look at one memory (beams of one sentence do): then rows `b*k` to `b*k + k-1`
    look at memory `b`, of which there is one copy.

    Attributes:
        recurrent: the layer's state, `(L, R, S)` for each of its names.
        attended: the memory, if it has one to look at.
        context_RC: the vector fed at every step, if there is one.
        fed_RH: what attention made of the step before, if that is fed.
        weights_BS: where the last step looked, `(R, S)`, zeros before the first; None without
            attention.
    """

    recurrent: State
    attended: Attended | None = None
    context_RC: Tensor | None = None
    fed_RH: Tensor | None = None
    weights_BS: Tensor | None = None

    @property
    def rows(self) -> int:
        """How many rows there are."""
        return self.recurrent[0].shape[1]

    def select(self, rows: Rows, memories: Rows | None = None) -> Self:
        """Return the state whose row r is this one's row `rows[r]`: reordered, repeated, left out.

        Args:
            rows: int64, on this state's device; or a slice.
            memories: which memories to keep, where several rows share one; `rows` then has as many
                for each of them, in their order. None: each row gets its own copy.
        """
        attended = self.attended
        if attended is not None:
            shared = self.rows // len(attended.states_BSM)
            if memories is None and shared > 1:
                every = torch.arange(self.rows, device=self.recurrent[0].device)
                memories = _select(every, rows) // shared
            attended = attended.select(rows if memories is None else memories)
        return replace(
            self,
            attended=attended,
            recurrent=tuple(_select(part, rows, dim=1) for part in self.recurrent),
            context_RC=_optional(self.context_RC, rows),
            fed_RH=_optional(self.fed_RH, rows),
            weights_BS=_optional(self.weights_BS, rows),
        )

    def detach(self) -> Self:
        """Return the state without its history: gradients go back no further (truncated BPTT)."""
        fed_RH = None if self.fed_RH is None else self.fed_RH.detach()
        return replace(
            self, recurrent=tuple(part.detach() for part in self.recurrent), fed_RH=fed_RH
        )


def _optional(tensor: Tensor | None, rows: Rows) -> Tensor | None:
    return None if tensor is None else _select(tensor, rows)


def _select(tensor: Tensor, rows: Rows, dim: int = 0) -> Tensor:
    if isinstance(rows, slice):
        start, stop, _ = rows.indices(tensor.shape[dim])
        return tensor.narrow(dim, start, stop - start)
    return tensor.index_select(dim, rows)
