"""States of a recurrent layer: as vectors, and carried on from one chunk of a stream to the next.

Legend: B batch, H output features (both directions), L layers, S width of one state tensor, F
features of a vector.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from elman.cells import State
from elman.layers import Stack
from elman.layers.stack import Lengths


def final_output(
    recurrent: Any, hidden_BTH: Tensor, state: Tensor | State, lengths: Lengths | None
) -> Tensor:
    """Return `final_BH`: what the top layer ended with; of both directions, side by side.

    That is its h; or with skips, which go past the state, and of a cell that reads its output off
    the state, the output of its last step read.
    """
    if recurrent.skips is not None or not recurrent.cells[0].output_is_state:
        return _last_outputs(hidden_BTH, lengths, recurrent.num_directions)
    h_LBH = state[0] if isinstance(state, tuple) else state
    if recurrent.bidirectional:
        return torch.cat([h_LBH[-2], h_LBH[-1]], dim=-1)
    return h_LBH[-1]


def _last_outputs(hidden_BTH: Tensor, lengths: Lengths | None, num_directions: int) -> Tensor:
    last_BH = hidden_BTH[:, -1]
    if lengths is not None:
        last_B = torch.as_tensor(lengths, device=hidden_BTH.device).clamp(min=1) - 1
        rows_B = torch.arange(len(last_B), device=last_B.device)
        last_BH = hidden_BTH[rows_B, last_B]
    if num_directions == 1:
        return last_BH
    size = hidden_BTH.shape[-1] // 2
    return torch.cat([last_BH[:, :size], hidden_BTH[:, 0, size:]], dim=-1)


def with_vector(x_BTI: Tensor, also_BF: Tensor | None) -> Tensor:
    """Return each step with the row's vector appended, if there is one: `(B, T, I + F)`."""
    if also_BF is None:
        return x_BTI
    return torch.cat([x_BTI, also_BF.unsqueeze(1).expand(-1, x_BTI.shape[1], -1)], dim=-1)


def tupled(state: Tensor | State) -> State:
    """Return the state's tensors as a tuple, of a cell that has one only too."""
    return (state,) if isinstance(state, Tensor) else tuple(state)


def bare(state: State) -> Tensor | State:
    """Return a state as layers take it: a lone tensor without its tuple."""
    return state[0] if len(state) == 1 else state


def first_state(recurrent: Any, batch: int) -> State:
    """Return the state before anything was read, of all layers: `(L, B, S)` for each name."""
    like = next(recurrent.parameters())
    return recurrent.initial_state(batch, device=like.device, dtype=like.dtype)


def carried_of(state: Tensor | State) -> dict[str, Tensor]:
    """Return a state's tensors by name, without their history: gradients go back no further.

    As a checkpoint keeps them, and `carry_on` takes them back.
    """
    return {str(place): part.detach() for place, part in enumerate(tupled(state))}


def carry_on(recurrent: Any, carried: Mapping[str, Tensor], begins_B: np.ndarray) -> State | None:
    """Return the state with which the next chunk of a stream begins; None: the layer's first.

    Args:
        recurrent: the layer.
        carried: what `carried_of` made of the state after the chunk before. It may have more rows:
            streams end from the last row up.
        begins_B: rows whose sequence begins, so that they have the layer's first state.
    """
    if not carried or begins_B.all():
        return None
    rows = len(begins_B)
    parts = tuple(carried[name][:, :rows] for name in sorted(carried))
    if not begins_B.any():
        return parts
    mask_B1 = torch.from_numpy(begins_B).to(parts[0].device).unsqueeze(-1)
    firsts = first_state(recurrent, rows)
    return tuple(
        torch.where(mask_B1, first.to(part.dtype), part)
        for first, part in zip(firsts, parts, strict=True)
    )


class Bridge(nn.Module):
    """From a vector to the first state of every layer: linear, then tanh (Bahdanau et al., 2015).

    An LSTM's h and c come from weights of their own.

    Args:
        size: features of the vector, `F`.
        recurrent: the layer whose state it is; in one direction.

    Shapes: `v_BF` to a tuple of `(L, B, S)`, a tensor for each name of the cell's state.
    """

    def __init__(self, size: int, recurrent: Stack) -> None:
        super().__init__()
        self._layers = recurrent.num_layers
        self._sizes = tuple(recurrent.cells[0].state_sizes)
        self.linear = nn.Linear(size, self._layers * sum(self._sizes))

    def forward(self, v_BF: Tensor) -> State:
        """Return the state."""
        states_BX = torch.tanh(self.linear(v_BF))
        parts = states_BX.split([self._layers * size for size in self._sizes], dim=-1)
        return tuple(
            part.unflatten(-1, (self._layers, size)).transpose(0, 1).contiguous()
            for part, size in zip(parts, self._sizes, strict=True)
        )
