"""Gradient clipping by each unit's own weights (Brock et al., 2021, adaptive gradient clipping).

Clipping by norm (Pascanu et al., 2013) and by value are torch's own, and stand in the loop.
"""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor

_LEAST = 1e-3  # norm of weights, so that what begins at zero can be learnt


@torch.no_grad()
def clip_adaptive(parameters: Iterable[Tensor], ratio: float) -> None:
    """Scale down, in place, the gradients that are large for the weights they belong to.

    A unit is a row of a matrix, all that it reads; or a whole vector, such as a bias. Where the
    norm of its gradient is above `ratio` times that of its weights (or of 0.001, if that is more),
    it is brought down to it.

    Args:
        parameters: those without a gradient are left.
        ratio: the paper's λ, such as 0.01 to 0.1.
    """
    for parameter in parameters:
        if parameter.grad is None:
            continue
        dims = tuple(range(1, parameter.dim())) or None
        weights = torch.linalg.vector_norm(parameter, dim=dims, keepdim=True).clamp(min=_LEAST)
        gradients = torch.linalg.vector_norm(parameter.grad, dim=dims, keepdim=True)
        # Of a gradient of zero the quotient is infinite: nothing is to be scaled.
        parameter.grad.mul_((ratio * weights / gradients).clamp(max=1))
