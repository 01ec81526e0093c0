"""Sequence to vector: one answer, when all has been read.

Legend: B batch, T time, I input features, H output features of a recurrent layer, F features of a
vector, O values in the answer.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from elman.layers import Pooling, Stack
from elman.layers.stack import Lengths
from elman.networks.states import final_output


class SeqToVector(nn.Module):
    """Read a whole sequence, or several, then answer once.

    Args:
        recurrent: an Elman layer made with `batch_first=True`; or a list, one for each sequence
            that a row has. What each pooled is put side by side.
        recurrent_size: features of its output at a step, `H` (both directions together); for a
            list of layers a list of them, or one for all.
        output_size: values in the answer, `O`.
        dropout: share of what was pooled that is dropped before the head, in training.
        pooling: how a sequence becomes one vector: "last" (the final state of the top layer),
            "mean", "max" or "attention"; see `elman.layers.Pooling`.
        also_size: features of a vector that goes to the head beside them, `F`.

    Shapes: `x_BTI` to `y_BO`; with `lengths`, a row ends with its last real step. For a list of
    layers, `x` and `lengths` are lists.
    """

    def __init__(
        self,
        recurrent: Stack | Sequence[Stack],
        recurrent_size: int | Sequence[int],
        output_size: int,
        dropout: float = 0.0,
        pooling: str = "last",
        also_size: int = 0,
    ) -> None:
        super().__init__()
        one = isinstance(recurrent, Stack)
        layers = [recurrent] if isinstance(recurrent, Stack) else list(recurrent)
        sizes = recurrent_size
        sizes = [sizes] * len(layers) if isinstance(sizes, int) else list(sizes)
        # One layer goes by its own name: saved forecasters have `recurrent.weight_ih_l0`.
        self.recurrent = layers[0] if one else nn.ModuleList(layers)
        self.pooling = nn.ModuleList([Pooling(pooling, size) for size in sizes])
        self.dropout = nn.Dropout(dropout)
        self.head = nn.Linear(sum(sizes) + also_size, output_size)

    def forward(
        self,
        x_BTI: Tensor | Sequence[Tensor],
        lengths: Lengths | Sequence[Lengths | None] | None = None,
        also_BF: Tensor | None = None,
    ) -> Tensor:
        """Return `y_BO`."""
        if isinstance(self.recurrent, nn.ModuleList):
            layers, xs = list(self.recurrent), x_BTI
            each: Any = [None] * len(layers) if lengths is None else lengths
        else:
            layers, xs, each = [self.recurrent], [x_BTI], [lengths]
        parts = []
        for layer, x, real, pooling in zip(layers, xs, each, self.pooling, strict=True):
            hidden_BTH, state = layer(x, lengths=real)
            parts.append(pooling(hidden_BTH, final_output(layer, hidden_BTH, state, real), real))
        pooled_BX = self.dropout(torch.cat(parts, dim=-1))
        return self.head(pooled_BX if also_BF is None else torch.cat([pooled_BX, also_BF], dim=-1))
