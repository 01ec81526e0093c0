"""Attention: a query looks over the steps of a memory, and takes their weighted mean.

    weights_s = softmax_s(score(q, m_s)) over a row's real steps;  context = Σ_s weights_s · m_s
    additive        score = v · tanh(W_q q + W_k m + b)     (Bahdanau et al., 2015)
    multiplicative  score = q · W_k m                       (Luong et al., 2015, "general")

Legend: B batch, U queries of a row, S steps of memory, Q features of a query, M of a memory's
step, A of a key.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from elman.errors import InputError, unknown
from elman.layers.padding import inside
from elman.layers.stack import Lengths

# Numbers in (B, U, S, A) that additive attention keeps for the backward pass: 64 MiB of float32.
KEPT_AT_MOST = 2**24


class Additive(nn.Module):
    """Scores of Bahdanau et al. (2015), `A` hidden units wide: query_BUQ, keys_BSA to BUS."""

    def __init__(self, query_size: int, memory_size: int, size: int) -> None:
        super().__init__()
        self.query = nn.Linear(query_size, size, bias=False)
        self.key = nn.Linear(memory_size, size)
        self.energy = nn.Linear(size, 1, bias=False)

    def forward(self, query_BUQ: Tensor, keys_BSA: Tensor) -> Tensor:
        """Return the score of each step for each query; much of it is computed in pieces."""
        query_BUA = self.query(query_BUQ)
        at_once = max(1, KEPT_AT_MOST // max(1, keys_BSA.numel()))
        if query_BUA.shape[1] <= at_once or not torch.is_grad_enabled():
            return self._scores(query_BUA, keys_BSA)
        parts = [
            checkpoint(self._scores, part, keys_BSA, use_reentrant=False, preserve_rng_state=False)
            for part in query_BUA.split(at_once, dim=1)
        ]
        return torch.cat(parts, dim=1)

    def _scores(self, query_BUA: Tensor, keys_BSA: Tensor) -> Tensor:
        hidden_BUSA = query_BUA.unsqueeze(2) + keys_BSA.unsqueeze(1)
        return self.energy(hidden_BUSA.tanh_()).squeeze(-1)


class Multiplicative(nn.Module):
    """Scores of Luong et al. (2015), "general": query_BUQ, keys_BSQ to BUS."""

    def __init__(self, query_size: int, memory_size: int, size: int) -> None:
        if size != query_size:
            raise InputError(
                f"size: keys of multiplicative attention are as wide as its queries, {query_size}; "
                f"got {size}; leave it out, or take additive"
            )
        super().__init__()
        self.key = nn.Linear(memory_size, query_size, bias=False)

    def forward(self, query_BUQ: Tensor, keys_BSQ: Tensor) -> Tensor:
        """Return the score of each step for each query."""
        return query_BUQ @ keys_BSQ.transpose(1, 2)


KINDS = {"additive": Additive, "multiplicative": Multiplicative}


class Attention(nn.Module):
    """Look over a memory with a query; see the file's beginning for the equations.

    Args:
        query_size: features of a query, `Q`.
        memory_size: features of a step of the memory, `M`.
        kind: "additive" (Bahdanau et al., 2015) or "multiplicative" (Luong et al., 2015).
        size: hidden units of additive attention, `A`; if None, `query_size`.

    Raises:
        InputError: the kind is unknown, or has no size of its own.
    """

    def __init__(
        self, query_size: int, memory_size: int, kind: str = "additive", size: int | None = None
    ) -> None:
        super().__init__()
        if kind not in KINDS:
            raise unknown("attention", kind, KINDS)
        self.query_size, self.memory_size, self.kind = query_size, memory_size, kind
        self.score = KINDS[kind](query_size, memory_size, size or query_size)

    def keys(self, memory_BSM: Tensor) -> Tensor:
        """Return `keys_BSA`, which `forward` takes: computed once for all queries of a batch."""
        return self.score.key(memory_BSM)

    def forward(
        self,
        query_BUQ: Tensor,
        keys_BSA: Tensor,
        memory_BSM: Tensor,
        lengths: Lengths | None = None,
        mask_BS: Tensor | None = None,
    ) -> tuple[Tensor, Tensor]:
        """Return what each query found, `context_BUM`, and where, `weights_BUS`.

        Args:
            query_BUQ: or `(B, Q)`, one query a row; the results then have no `U` either.
            keys_BSA: of this memory.
            memory_BSM: finite, past a row's end too (a layer's outputs are zero there).
            lengths: real steps of each row; 0 gives weights and context of zeros.
            mask_BS: in place of lengths, true where a step is real.
        """
        if query_BUQ.dim() == 2:
            context, weights = self(query_BUQ.unsqueeze(1), keys_BSA, memory_BSM, lengths, mask_BS)
            return context.squeeze(1), weights.squeeze(1)
        if lengths is not None:
            mask_BS = inside(lengths, memory_BSM.shape[1], memory_BSM.device)
        weights_BUS = masked_softmax(self.score(query_BUQ, keys_BSA), mask_BS)
        return weights_BUS @ memory_BSM, weights_BUS


def masked_softmax(scores_BxS: Tensor, mask_BS: Tensor | None) -> Tensor:
    """Return the softmax over `S` of `(B, ..., S)`, exactly 0 where the mask is false.

    A row whose mask is false everywhere has zeros only.
    """
    if mask_BS is None:
        return scores_BxS.softmax(-1)
    outside = ~mask_BS
    while outside.dim() < scores_BxS.dim():
        outside = outside.unsqueeze(1)
    # Not -inf, of which a row without a real step would make NaN; their exponentials are 0 alike.
    lowest = torch.finfo(scores_BxS.dtype).min
    return scores_BxS.masked_fill(outside, lowest).softmax(-1).masked_fill(outside, 0.0)
