"""The linear recurrent unit of Orvieto et al. (2023).

    λ  = exp(-exp(ν) + i exp(θ))               N complex numbers within the unit circle
    h' = λ ⊙ h + exp(γ) ⊙ (B x)                N complex units
    y  = Re(C h') + D x
    o  = u_1 ⊙ σ(u_2),   u = W GELU(y) + b     with `glu`: the paper's block, the nonlinearity

|λ| and its angle are drawn uniformly from a ring in the complex plane, and exp(γ) starts as
√(1 - |λ|²), so that every unit's state is about as large as its input whatever it remembers.

The state is real: all real parts of h, then all imaginary ones. Shapes: B batch, I input features,
N complex units, H output features, "..." any axes.
"""

from __future__ import annotations

import math
import numbers

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from elman.cells.linear import LinearCell
from elman.errors import InputError


class LRUCell(LinearCell):
    """Linear recurrent unit: complex units that turn and fade, and a nonlinearity only after them.

    Orvieto et al. (2023), Resurrecting Recurrent Neural Networks for Long Sequences. Of the paper's
    block, `glu` is what follows the recurrence (GELU and a gated linear unit, without which a stack
    of these would be linear); the skip connection around it is the stack's.

    Parameters: `nu_log`, `theta_log`, `gamma_log` (N), `weight_ih` (2N, I), the real rows of B
    before the imaginary ones, `weight_out` (H, 2N), the columns of C's real part before those of
    its negative imaginary part, `weight_skip` (H, I), D; and with `glu`, `weight_glu` (2H, H) and
    `bias_glu` (2H).

    Args:
        input_size: number of features in one step's input.
        hidden_size: number of output features, and of complex units, N, which the state has.
        r_min: the least |λ| drawn.
        r_max: the greatest |λ| drawn, below 1: a unit remembers about 1 / (1 - |λ|) steps.
        max_phase: the greatest angle drawn, in radians a step: a unit turns once in 2π / angle
            steps. For long memories, a small one.
        glu: whether the output goes through GELU and a gated linear unit.
        device: where the parameters are made.
        dtype: the parameters' floating-point type.

    Raises:
        InputError: if a size is not a positive integer, or the ring is none.
    """

    complex_units = True
    nu_log: Tensor
    theta_log: Tensor
    gamma_log: Tensor
    weight_ih: Tensor
    weight_out: Tensor
    weight_skip: Tensor
    weight_glu: Tensor
    bias_glu: Tensor

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        r_min: float = 0.9,
        r_max: float = 0.999,
        max_phase: float = math.pi / 10,
        glu: bool = True,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__(input_size, hidden_size)
        for name, value in (("r_min", r_min), ("r_max", r_max), ("max_phase", max_phase)):
            if not isinstance(value, numbers.Real) or isinstance(value, bool):
                raise InputError(f"{name}: expected a number, got {value!r}")
        if not 0 <= r_min < r_max < 1:
            raise InputError(
                f"r_min, r_max: expected 0 <= r_min < r_max < 1, the ring's radii, got {r_min!r} "
                f"and {r_max!r}"
            )
        if not 0 < max_phase <= 2 * math.pi:
            raise InputError(f"max_phase: expected above 0, to 2π, got {max_phase!r}")
        if not isinstance(glu, bool):
            raise InputError(f"glu: expected True or False, got {glu!r}")
        self.r_min, self.r_max, self.max_phase = float(r_min), float(r_max), float(max_phase)
        self.glu = glu
        size = hidden_size
        shapes = {
            "nu_log": (size,),
            "theta_log": (size,),
            "gamma_log": (size,),
            "weight_ih": (2 * size, input_size),
            "weight_out": (size, 2 * size),
            "weight_skip": (size, input_size),
        }
        if glu:
            shapes |= {"weight_glu": (2 * size, size), "bias_glu": (2 * size,)}
        for name, shape in shapes.items():
            weight = nn.Parameter(torch.empty(shape, device=device, dtype=dtype))
            self.register_parameter(name, weight)
        self.reset_parameters()

    @property
    def state_sizes(self) -> tuple[int, ...]:
        """Twice the complex units."""
        return (2 * self.hidden_size,)

    @property
    def output_size(self) -> int:
        """The width of the output."""
        return self.hidden_size

    @torch.no_grad()
    def reset_parameters(self) -> None:
        """Draw every parameter anew, as the paper does."""
        # The area of the ring uniformly: |λ|² is uniform between the squares of its radii.
        u1, u2 = torch.rand_like(self.nu_log), torch.rand_like(self.nu_log)
        square = self.r_min**2 + u1 * (self.r_max**2 - self.r_min**2)
        self.nu_log.copy_(torch.log(-0.5 * torch.log(square)))
        self.theta_log.copy_(torch.log(self.max_phase * u2))
        self.gamma_log.copy_(0.5 * torch.log1p(-square))
        nn.init.normal_(self.weight_ih, std=1 / math.sqrt(2 * self.input_size))
        nn.init.normal_(self.weight_out, std=1 / math.sqrt(self.hidden_size))
        nn.init.normal_(self.weight_skip, std=1 / math.sqrt(self.input_size))
        if self.glu:
            bound = 1 / math.sqrt(self.hidden_size)
            nn.init.uniform_(self.weight_glu, -bound, bound)
            nn.init.uniform_(self.bias_glu, -bound, bound)

    def decay(self) -> tuple[Tensor, Tensor]:
        """Return λ (N), its real and its imaginary part."""
        radius_N, angle_N = torch.exp(-torch.exp(self.nu_log)), torch.exp(self.theta_log)
        return radius_N * torch.cos(angle_N), radius_N * torch.sin(angle_N)

    def drive(self, x: Tensor) -> Tensor:
        """Return exp(γ) ⊙ (B x), (..., 2N), real parts first."""
        scale_N = torch.exp(self.gamma_log).repeat(2)
        return F.linear(x, self.weight_ih * scale_N.unsqueeze(1)).to(self.nu_log.dtype)

    def coefficients(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return λ (N) and exp(γ) ⊙ (B x), (..., N)."""
        return torch.complex(*self.decay()), torch.complex(*self.drive(x).chunk(2, dim=-1))

    def read(self, h: Tensor, x: Tensor) -> Tensor:
        """Return y (..., H), or with `glu` what the block makes of it."""
        y = F.linear(h, self.weight_out) + F.linear(x, self.weight_skip)
        return F.glu(F.linear(F.gelu(y), self.weight_glu, self.bias_glu), -1) if self.glu else y

    def extra_repr(self) -> str:
        """Return the sizes and the ring, for `repr`."""
        ring = f", r_min={self.r_min:g}, r_max={self.r_max:g}, max_phase={self.max_phase:g}"
        return super().extra_repr() + ring + ("" if self.glu else ", glu=False")
