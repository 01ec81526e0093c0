"""The minimal gated recurrent unit of Feng et al. (2024).

    z  = σ(W_z x + b_z)                        update gate
    h~ = g(W_h x + b_h)                        candidate
    h' = (1 - z) ⊙ h + z ⊙ h~

Gate order: z, h. The output is h'. Neither gate nor candidate sees the state, which is what makes
the recurrence linear in it. Shapes: B batch, I input features, H hidden features, "..." any axes.
"""

from __future__ import annotations

import torch
from torch import Tensor

from elman.cells.minimal import MinimalCell


class MinGRUCell(MinimalCell):
    """Minimal gated recurrent unit: an update gate of the input mixes state and candidate.

    Feng et al. (2024), Were RNNs All We Needed?

    Args:
        input_size: number of features in one step's input.
        hidden_size: number of hidden units.
        bias: whether a bias is added.
        chrono: if given, the longest time to remember, in steps: the gate's biases are drawn so
            that units start with memories of 1 to so many steps (Tallec and Ollivier, 2018).
        device: where the parameters are made.
        dtype: the parameters' floating-point type.

    Raises:
        InputError: if a size is not a positive integer, or `chrono` is below 2.
    """

    gates = ("z", "h")

    def set_memory(self, log_H: Tensor) -> None:
        """Set the bias of z."""
        assert self.bias_ih is not None
        self.bias_ih[: self.hidden_size] = -log_H

    def coefficients(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return 1 - z and z ⊙ h~, (..., H)."""
        z, h = self.sums(x)
        # σ(-z) rather than 1 - σ(z), which would round away what a long memory forgets.
        return torch.sigmoid(-z), torch.sigmoid(z) * h
