"""States of a recurrent layer as vectors: its final one as one, and its first one from one.

Legend: B batch, H output features (both directions), L layers, S width of one state tensor, F
features of a vector.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from elman.cells import State
from elman.layers import Stack


def final_output(recurrent: Any, state: Tensor | State, hidden_BTH: Tensor, lengths: Any) -> Tensor:
    """Return `final_BH`: what the top layer ended with; of both directions, side by side.

    It is the state, or of a cell that reads its output off the state, the output at the last step
    read, zeros where there is none.
    """
    if not recurrent.cells[0].output_is_state:
        return _last_read(recurrent, hidden_BTH, lengths)
    h_LBH = state[0] if isinstance(state, tuple) else state
    if recurrent.bidirectional:
        return torch.cat([h_LBH[-2], h_LBH[-1]], dim=-1)
    return h_LBH[-1]


def _last_read(recurrent: Stack, hidden_BTH: Tensor, lengths: Any) -> Tensor:
    if lengths is None:
        last_BH = hidden_BTH[:, -1]
    else:
        # Of a row without steps, the first, which is zero.
        steps_B = torch.as_tensor(lengths, device=hidden_BTH.device).long().clamp(min=1) - 1
        last_BH = hidden_BTH[torch.arange(len(steps_B), device=hidden_BTH.device), steps_B]
    if not recurrent.bidirectional:
        return last_BH
    size = last_BH.shape[-1] // 2
    return torch.cat([last_BH[:, :size], hidden_BTH[:, 0, size:]], dim=-1)


def with_vector(x_BTI: Tensor, also_BF: Tensor | None) -> Tensor:
    """Return each step with the row's vector appended, if there is one: `(B, T, I + F)`."""
    if also_BF is None:
        return x_BTI
    return torch.cat([x_BTI, also_BF.unsqueeze(1).expand(-1, x_BTI.shape[1], -1)], dim=-1)


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
