"""The minimal long short-term memory of Feng et al. (2024).

    f  = σ(W_f x + b_f),  i = σ(W_i x + b_i)   forget and input gate
    f' = f / (f + i),     i' = i / (f + i)     so that they sum to 1
    h~ = W_h x + b_h                           candidate
    h' = f' ⊙ h + i' ⊙ h~

Gate order: f, i, h. The output is h'. Neither gates nor candidate see the state, which is what
makes the recurrence linear in it. Shapes: B batch, I input features, H hidden features, "..." any
axes.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from elman.cells.minimal import MinimalCell


class MinLSTMCell(MinimalCell):
    """Minimal LSTM: a forget and an input gate of the input, normalised to sum to 1.

    Feng et al. (2024), Were RNNs All We Needed?

    Args:
        input_size: number of features in one step's input.
        hidden_size: number of hidden units.
        bias: whether a bias is added.
        chrono: if given, the longest time to remember, in steps: the gates' biases are drawn so
            that units start with memories of 1 to so many steps (Tallec and Ollivier, 2018).
        device: where the parameters are made.
        dtype: the parameters' floating-point type.

    Raises:
        InputError: if a size is not a positive integer, or `chrono` is below 2.
    """

    gates = ("f", "i", "h")

    def set_memory(self, log_H: Tensor) -> None:
        """Set the biases of f and i, which are each other's opposite."""
        assert self.bias_ih is not None
        self.bias_ih[: self.hidden_size] = log_H
        self.bias_ih[self.hidden_size : 2 * self.hidden_size] = -log_H

    def coefficients(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return f' and i' ⊙ h~, (..., H)."""
        f, i, h = self.sums(x)
        # f' = σ(log f - log i): the quotient would be 0 / 0 where both gates are shut.
        gate = F.softplus(-i) - F.softplus(-f)
        return torch.sigmoid(gate), torch.sigmoid(-gate) * h
