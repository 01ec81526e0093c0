"""Pooling: a sequence becomes one vector, from its real steps alone.

Legend: B batch, T time, H features, N real steps of all rows.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from elman.errors import unknown
from elman.layers.attention import masked_softmax
from elman.layers.padding import inside, padded, real_steps
from elman.layers.stack import Lengths

POOLINGS = ("last", "mean", "max", "attention")


class Pooling(nn.Module):
    """Make one vector of a sequence's hidden states.

    Args:
        kind: "last", what the layer ended with; "mean" or "max" of each feature over the steps;
            "attention", a weighted mean whose weights are learnt: softmax over time of
            v · tanh(W h + b) (Yang et al., 2016).
        size: features of a state, `H`; only attention needs it.

    Shapes: `hidden_BTH`, `final_BH` and lengths (None: every step is real) to `BH`. A row without
    a real step gives zeros, or under "last" its final state. What padding holds is not read.

    Raises:
        InputError: the kind is unknown.
    """

    def __init__(self, kind: str, size: int) -> None:
        super().__init__()
        if kind not in POOLINGS:
            raise unknown("pooling", kind, POOLINGS)
        self.kind = kind
        if kind == "attention":
            self.hidden = nn.Linear(size, size)
            self.energy = nn.Linear(size, 1, bias=False)

    def forward(self, hidden_BTH: Tensor, final_BH: Tensor, lengths: Lengths | None) -> Tensor:
        """Return one vector a row, `BH`."""
        if self.kind == "last":
            return final_BH
        batch, num_steps = hidden_BTH.shape[:2]
        every = [num_steps] * batch
        mask_BT = inside(every if lengths is None else lengths, num_steps, hidden_BTH.device)
        if self.kind == "max":
            lowest = torch.finfo(hidden_BTH.dtype).min
            highest_BH = hidden_BTH.masked_fill(~mask_BT.unsqueeze(-1), lowest).amax(1)
            return highest_BH.masked_fill(~mask_BT.any(1, keepdim=True), 0.0)
        hidden_BTH = hidden_BTH.masked_fill(~mask_BT.unsqueeze(-1), 0.0)
        if self.kind == "mean":
            return hidden_BTH.sum(1) / mask_BT.sum(1, keepdim=True).clamp(min=1)
        weights_BT = masked_softmax(self._energies(hidden_BTH, lengths), mask_BT)
        return (weights_BT.unsqueeze(1) @ hidden_BTH).squeeze(1)

    def _energies(self, hidden_BTH: Tensor, lengths: Lengths | None) -> Tensor:
        real_NH = real_steps(hidden_BTH, lengths)
        energies_N = self.energy(torch.tanh(self.hidden(real_NH))).squeeze(-1)
        return padded(energies_N, lengths, *hidden_BTH.shape[:2])
