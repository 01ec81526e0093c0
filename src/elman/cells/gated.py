"""What the three classical cells share: their parameters, named and drawn as torch.nn does."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from elman.cells.cell import Cell
from elman.errors import InputError

EPSILON = 1e-5  # added to a variance before its root is taken


class GatedCell(Cell):
    """A cell with one matrix from the input and one from the state, a block of rows per gate.

    Parameters, in torch's order: `weight_ih` (G·H, I), `weight_hh` (G·H, output size) and, with
    `bias`, `bias_ih` and `bias_hh` (G·H), the G gates' blocks in the order of `gates`; with
    `proj_size`, `weight_hr` (proj_size, H). All are drawn from U(-1/√H, 1/√H), in that order.

    With `layer_norm` (Ba, Kiros and Hinton, 2016, Layer Normalization), wherever a cell's equations
    say W_ih x + b_ih, it computes LN(W_ih x) + b_ih, and likewise LN(W_hh h) + b_hh:

        LN(a) = γ ⊙ (a - mean of a) / √(variance of a + 1e-5)

    with one mean and one variance a row of the batch, over the sums of all gates together (a GRU's
    candidate apart, as in the paper). The gains γ are `norm_ih` and `norm_hh` (G·H), 1 at first;
    the shifts of the paper are the biases. A cell with a memory c reads it through LN as well, with
    the gain `norm_c` and, with `bias`, the shift `bias_c` (H), 0 at first.

    Of one input feature (input_size=1), LN(W_ih x) tells hardly more than the sign.

    With `peepholes` (Gers and Schmidhuber, 2000), `peephole` (3·H), drawn as the weights are.
    """

    # Of this cell's parameters: torch's, in its order, and then the others.
    weight_names: tuple[str, ...]
    weight_ih: Tensor
    weight_hh: Tensor
    bias_ih: Tensor | None
    bias_hh: Tensor | None
    norm_ih: Tensor | None
    norm_hh: Tensor | None
    # (B, output size), bound by an engine: multiplies the state before the recurrent weights.
    recurrent_mask: Tensor | None = None

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        bias: bool = True,
        proj_size: int = 0,
        *,
        layer_norm: bool = False,
        peepholes: bool = False,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__(input_size, hidden_size)
        flags = {"bias": bias, "layer_norm": layer_norm, "peepholes": peepholes}
        for name, flag in flags.items():
            if not isinstance(flag, bool):
                raise InputError(f"{name}: expected True or False, got {flag!r}")
        if not isinstance(proj_size, int) or not 0 <= proj_size < hidden_size:
            raise InputError(
                f"proj_size: expected 0 (no projection) to hidden_size - 1 = {hidden_size - 1}, "
                f"got {proj_size!r}"
            )
        self.bias = bias
        self.proj_size = proj_size
        self.layer_norm = layer_norm
        self.peepholes = peepholes
        self.weight_names = self._names()
        rows = len(self.gates) * hidden_size
        shapes = {
            "weight_ih": (rows, input_size),
            "weight_hh": (rows, proj_size or hidden_size),
            "bias_ih": (rows,),
            "bias_hh": (rows,),
            "weight_hr": (proj_size, hidden_size),
            "norm_ih": (rows,),
            "norm_hh": (rows,),
            "norm_c": (hidden_size,),
            "bias_c": (hidden_size,),
            "peephole": (3 * hidden_size,),
        }
        for name, shape in shapes.items():
            weight = None
            if name in self.weight_names:
                weight = nn.Parameter(torch.empty(shape, device=device, dtype=dtype))
            self.register_parameter(name, weight)
        self.reset_parameters()

    def _names(self) -> tuple[str, ...]:
        memory = self.layer_norm and "c" in self.state_names
        has = {
            "bias_ih": self.bias,
            "bias_hh": self.bias,
            "weight_hr": self.proj_size > 0,
            "norm_ih": self.layer_norm,
            "norm_hh": self.layer_norm,
            "norm_c": memory,
            "bias_c": memory and self.bias,
            "peephole": self.peepholes,
        }
        return ("weight_ih", "weight_hh", *(name for name, there in has.items() if there))

    @property
    def weights(self) -> list[Tensor]:
        """The tensors this cell computes with, in the order of `weight_names`."""
        return [getattr(self, name) for name in self.weight_names]

    def masked(self, h_BH: Tensor) -> Tensor:
        """Return the state as the recurrent weights see it."""
        return h_BH if self.recurrent_mask is None else h_BH * self.recurrent_mask

    @property
    def norm_sizes(self) -> tuple[int, ...]:
        """How many sums, from the first gate's on, are normalised together; all of them."""
        return (len(self.gates) * self.hidden_size,)

    def input_sums(self, x_BI: Tensor) -> Tensor:
        """Return what the input adds to each gate's sum, (B, G·H): W_ih x + b_ih, or with LN."""
        return self._sums(x_BI, self.weight_ih, self.bias_ih, self.norm_ih)

    def state_sums(self, h_BH: Tensor) -> Tensor:
        """Return what the state adds to each gate's sum, (B, G·H): W_hh h + b_hh, or with LN."""
        return self._sums(self.masked(h_BH), self.weight_hh, self.bias_hh, self.norm_hh)

    def _sums(
        self, v_BF: Tensor, weight: Tensor, bias: Tensor | None, gain: Tensor | None
    ) -> Tensor:
        if gain is None:
            return F.linear(v_BF, weight, bias)
        parts = F.linear(v_BF, weight).split(self.norm_sizes, dim=-1)
        sums = gain * torch.cat([normalized(part) for part in parts], dim=-1)
        return sums if bias is None else sums + bias

    def reset_parameters(self) -> None:
        """Draw the weights anew from U(-1/√H, 1/√H); gains of LN become 1, its shift 0."""
        bound = 1 / math.sqrt(self.hidden_size)
        fixed = {"norm_ih": 1.0, "norm_hh": 1.0, "norm_c": 1.0, "bias_c": 0.0}
        for name, weight in zip(self.weight_names, self.weights, strict=True):
            if name in fixed:
                nn.init.constant_(weight, fixed[name])
            else:
                nn.init.uniform_(weight, -bound, bound)

    def extra_repr(self) -> str:
        """Return the sizes and what differs from the defaults, for `repr`."""
        options = {
            "bias": (self.bias, True),
            "proj_size": (self.proj_size, 0),
            "layer_norm": (self.layer_norm, False),
            "peepholes": (self.peepholes, False),
        }
        changed = [f", {k}={value}" for k, (value, usual) in options.items() if value != usual]
        return super().extra_repr() + "".join(changed)


def normalized(sums_BN: Tensor) -> Tensor:
    """Return each row with mean 0 and, but for `EPSILON`, variance 1."""
    return F.layer_norm(sums_BN, sums_BN.shape[-1:], eps=EPSILON)
