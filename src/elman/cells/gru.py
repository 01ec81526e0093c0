"""The gated recurrent unit of Cho et al. (2014), in both conventions.

    r  = σ(W_ir x + b_ir + W_hr h + b_hr)                    reset gate
    z  = σ(W_iz x + b_iz + W_hz h + b_hz)                    update gate
    n  = tanh(W_in x + b_in + r ⊙ (W_hn h + b_hn))           reset_after=True: torch, cuDNN
    n  = tanh(W_in x + b_in + W_hn (r ⊙ h) + b_hn)           reset_after=False: the paper
    h' = (1 - z) ⊙ n + z ⊙ h

With layer_norm=True (Ba et al., 2016, appendix), W a becomes LN(W a; γ) everywhere, with one mean
and variance for r and z together and one for n:

    (r, z) = σ(LN(W_irz x; γ_ih) + b_ih + LN(W_hrz h; γ_hh) + b_hh)
    n      = tanh(LN(W_in x; γ_ih) + b_in + r ⊙ (LN(W_hn h; γ_hh) + b_hn))

Gate order: r, z, n. The output is h'. Shapes: B batch, I input features, H hidden features,
G gates side by side.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from elman.cells.cell import State
from elman.cells.gated import GatedCell
from elman.errors import InputError


class GRUCell(GatedCell):
    """Gated recurrent unit: an update gate mixes the old state with a candidate.

    Cho et al. (2014), Learning Phrase Representations using RNN Encoder-Decoder. Trained
    weights fit one convention only: the reset gate acts after the matrix product in torch and
    cuDNN, before it in the paper.

    Args:
        input_size: number of features in one step's input.
        hidden_size: number of hidden units.
        bias: whether the two biases are added.
        reset_after: True for torch's and cuDNN's convention, False for the paper's.
        device: where the parameters are made.
        dtype: the parameters' floating-point type.
        layer_norm: whether the sums are normalised (Ba et al., 2016); see `GatedCell`. Only with
            reset_after=True, which is the paper's equation.

    Raises:
        InputError: if a size is not a positive integer, or layer_norm is asked for with
            reset_after=False.
    """

    gates = ("r", "z", "n")

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        bias: bool = True,
        reset_after: bool = True,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
        *,
        layer_norm: bool = False,
    ) -> None:
        if layer_norm and not reset_after:
            raise InputError(
                "layer_norm: got True with reset_after=False; the normalised GRU of Ba et al. "
                "(2016) resets after the product: use reset_after=True"
            )
        super().__init__(
            input_size, hidden_size, bias, layer_norm=layer_norm, device=device, dtype=dtype
        )
        self.reset_after = reset_after

    @property
    def norm_sizes(self) -> tuple[int, ...]:
        """How many sums are normalised together: those of r and z, and those of n."""
        return (2 * self.hidden_size, self.hidden_size)

    def step(self, x_BI: Tensor, state: State) -> tuple[Tensor, State]:
        """Return h' (B, H) as the output and as the state."""
        (h_BH,) = state
        size = self.hidden_size
        r_x, z_x, n_x = self.input_sums(x_BI).chunk(3, dim=-1)
        if self.reset_after:
            r_h, z_h, n_h = self.state_sums(h_BH).chunk(3, dim=-1)
            n_h = torch.sigmoid(r_x + r_h) * n_h
        else:
            seen_BH = self.masked(h_BH)
            weight_rz, weight_n = self.weight_hh.split([2 * size, size])
            bias_rz, bias_n = (
                (None, None) if self.bias_hh is None else self.bias_hh.split([2 * size, size])
            )
            r_h, z_h = F.linear(seen_BH, weight_rz, bias_rz).chunk(2, dim=-1)
            n_h = F.linear(torch.sigmoid(r_x + r_h) * seen_BH, weight_n, bias_n)
        z_BH = torch.sigmoid(z_x + z_h)
        h_BH = (1 - z_BH) * torch.tanh(n_x + n_h) + z_BH * h_BH
        return h_BH, (h_BH,)

    def extra_repr(self) -> str:
        """Return the sizes and what differs from the defaults, for `repr`."""
        return super().extra_repr() + ("" if self.reset_after else ", reset_after=False")
