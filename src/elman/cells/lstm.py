"""Long short-term memory: Hochreiter and Schmidhuber (1997), forget gate of Gers et al. (2000).

    i  = σ(W_ii x + b_ii + W_hi h + b_hi)        input gate
    f  = σ(W_if x + b_if + W_hf h + b_hf)        forget gate
    g  = tanh(W_ig x + b_ig + W_hg h + b_hg)     candidate
    o  = σ(W_io x + b_io + W_ho h + b_ho)        output gate
    c' = f ⊙ c + i ⊙ g
    h' = o ⊙ tanh(c')                            or W_hr (o ⊙ tanh(c')) with a projection

With layer_norm=True (Ba et al., 2016, appendix), the memory itself stays as it is:

    (i, f, g, o)  from  LN(W_ih x; γ_ih) + b_ih + LN(W_hh h; γ_hh) + b_hh,  one mean for all four
    h' = o ⊙ tanh(LN(c'; γ_c) + b_c)

With peepholes=True (Gers and Schmidhuber, 2000, Recurrent Nets that Time and Count), gates see the
memory, each unit its own:

    i  = σ(... + p_i ⊙ c),    f = σ(... + p_f ⊙ c),    o = σ(... + p_o ⊙ c')

Gate order: i, f, g, o. The output is h'. Shapes: B batch, I input features, H hidden features.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from elman.cells.cell import State
from elman.cells.gated import GatedCell, normalized


class LSTMCell(GatedCell):
    """Long short-term memory: a memory that gates write to, keep, and read from.

    Hochreiter and Schmidhuber (1997), Long Short-Term Memory; the forget gate from Gers,
    Schmidhuber and Cummins (2000); the projection from Sak, Senior and Beaufays (2014).

    Args:
        input_size: number of features in one step's input.
        hidden_size: number of hidden units, the width of the memory c.
        bias: whether the two biases are added.
        proj_size: if not 0, the width that h is projected to; below `hidden_size`.
        device: where the parameters are made.
        dtype: the parameters' floating-point type.
        layer_norm: whether both sums and the memory that is read are normalised (Ba et al., 2016);
            see `GatedCell`.
        peepholes: whether the gates see the memory: `peephole` (3·H), of i, f and o in turn.

    Raises:
        InputError: if a size is not a positive integer or `proj_size` is out of range.
    """

    gates = ("i", "f", "g", "o")
    state_names = ("h", "c")
    weight_hr: Tensor | None
    norm_c: Tensor | None
    bias_c: Tensor | None
    peephole: Tensor | None

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        bias: bool = True,
        proj_size: int = 0,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
        *,
        layer_norm: bool = False,
        peepholes: bool = False,
    ) -> None:
        super().__init__(
            input_size,
            hidden_size,
            bias,
            proj_size,
            layer_norm=layer_norm,
            peepholes=peepholes,
            device=device,
            dtype=dtype,
        )

    @property
    def state_sizes(self) -> tuple[int, ...]:
        """The widths of h, which a projection narrows, and of c."""
        return (self.proj_size or self.hidden_size, self.hidden_size)

    def step(self, x_BI: Tensor, state: State) -> tuple[Tensor, State]:
        """Return h' as the output, and (h', c') as the state."""
        h_BH, c_BH = state
        sums = self.input_sums(x_BI) + self.state_sums(h_BH)
        i_BH, f_BH, g_BH, o_BH = sums.chunk(4, dim=-1)
        p_i, p_f, p_o = (None,) * 3 if self.peephole is None else self.peephole.chunk(3)
        if p_i is not None and p_f is not None:
            i_BH, f_BH = i_BH + p_i * c_BH, f_BH + p_f * c_BH
        c_BH = torch.sigmoid(f_BH) * c_BH + torch.sigmoid(i_BH) * torch.tanh(g_BH)
        if p_o is not None:
            o_BH = o_BH + p_o * c_BH
        h_BH = torch.sigmoid(o_BH) * torch.tanh(self._read(c_BH))
        if self.weight_hr is not None:
            h_BH = F.linear(h_BH, self.weight_hr)
        return h_BH, (h_BH, c_BH)

    def _read(self, c_BH: Tensor) -> Tensor:
        """Return the memory as the output sees it."""
        if self.norm_c is None:
            return c_BH
        c_BH = self.norm_c * normalized(c_BH)
        return c_BH if self.bias_c is None else c_BH + self.bias_c
