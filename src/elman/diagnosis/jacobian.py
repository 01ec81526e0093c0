"""By how much a step stretches a state: Jacobians along real data, and the recurrent weights.

The Jacobian of a step is J_t = dh_t/dh_{t-1}, of all tensors of a state together, at the inputs and
states that real data gave. Its spectral radius says what a step repeated would do, its largest
singular value the most that one step can do; what happens in fact along the data is the product of
them, whose mean log growth a step is measured by carrying a random vector back through all steps
(the largest Lyapunov exponent; Engelken, Wolf and Abbott, 2023).

Legend: B rows, N steps looked at, S numbers of a state, H units.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from elman.cells import Cell, State
from elman.diagnosis.flow import joined
from elman.diagnosis.tape import Track
from elman.training.randomness import own_randomness

_MOST_STATE = 512  # numbers of a state up to which whole Jacobians are made
_WORK = 3e8  # so many S^3 for their eigenvalues, some seconds
_MOST_POINTS = 32
_GROWTH_ROWS = 16
_SETTLING = 10  # steps until a random vector has turned the way that gradients turn
_LEAST = (
    1e-12  # a vector that one step shrinks further than this counts as so much, and starts anew
)


@dataclass(frozen=True)
class Stretch:
    """What a step does to a state.

    Attributes:
        growth: mean log growth of a gradient a step, back along the data, in nats; below 0 it
            shrinks. None: there is one step only.
        radius, singular: medians over steps of the Jacobian's spectral radius and of its largest
            singular value; None: the state is too large for whole Jacobians.
    """

    growth: float | None
    radius: float | None
    singular: float | None


@dataclass(frozen=True)
class Weights:
    """A gate's recurrent weights: spectral radius and largest singular value."""

    gate: str
    radius: float
    singular: float


def stretch(track: Track, x_NI: Tensor, state: State) -> Stretch:
    """Return what a cell's step does to a state.

    Args:
        track: its steps in order.
        x_NI: what it read at some steps, for whole Jacobians.
        state: the states it had then.
    """
    jacobians_NSS = _jacobians(track.cell, x_NI, state)
    if jacobians_NSS is None:
        return Stretch(_growth(track), None, None)
    radii_N = np.abs(np.linalg.eigvals(jacobians_NSS)).max(axis=1)
    singular_N = np.linalg.norm(jacobians_NSS, ord=2, axis=(1, 2))
    return Stretch(_growth(track), float(np.median(radii_N)), float(np.median(singular_N)))


def recurrent_weights(cell: Cell) -> list[Weights]:
    """Return each gate's recurrent weights; none where they are not known, as of a user's cell."""
    weight = getattr(cell, "weight_hh", None)
    if not isinstance(weight, Tensor):
        return []
    found = weight.detach().double().cpu()
    if found.dim() == 1:  # a weight a unit, with itself alone
        largest = float(found.abs().max())
        return [Weights("h", largest, largest)]
    gates = cell.gates or ("h",)
    projection = getattr(cell, "weight_hr", None)
    blocks = found.chunk(len(gates))
    if isinstance(projection, Tensor):
        blocks = [block @ projection.detach().double().cpu() for block in blocks]
    return [
        Weights(
            gate,
            float(np.abs(np.linalg.eigvals(block.numpy())).max()),
            float(np.linalg.norm(block.numpy(), ord=2)),
        )
        for gate, block in zip(gates, blocks, strict=True)
    ]


def _jacobians(cell: Cell, x_NI: Tensor, state: State) -> np.ndarray | None:
    """Return whole Jacobians `(N, S, S)` at some of the steps."""
    size = joined(state).shape[1]
    if size > _MOST_STATE:
        return None
    points = max(2, min(_MOST_POINTS, int(_WORK / size**3), len(x_NI)))
    chosen = np.linspace(0, len(x_NI) - 1, points).round().astype(int)
    x_NI = x_NI[chosen]
    with torch.enable_grad():
        leaves = tuple(part[chosen].clone().requires_grad_() for part in state)
        new_NS = joined(cell.step(x_NI, leaves)[1])
        rows = []
        for unit in range(size):
            rows.append(_back(new_NS[:, unit].sum(), leaves))
    return torch.stack(rows, dim=1).double().cpu().numpy()


def _growth(track: Track) -> float | None:
    """Return the mean log growth a step of a vector carried back through all steps."""
    real_TB = track.real()[:, :_GROWTH_ROWS]
    steps, rows = real_TB.shape
    if steps < 2:
        return None
    size = joined(track.before[0]).shape[1]
    with own_randomness(0, "growth"):
        v_BS = torch.randn(rows, size, dtype=torch.float64)
    v_BS = v_BS / v_BS.norm(dim=1, keepdim=True)
    like = joined(track.before[0])
    v_BS = v_BS.to(like)
    total, count = 0.0, 0
    settling = min(_SETTLING, steps // 4)
    passed_B = torch.zeros(rows, dtype=torch.long)
    for step in reversed(range(1, steps)):
        running = min(rows, len(track.inputs[step]))
        leaves = tuple(part[:running].clone().requires_grad_() for part in track.before[step])
        with torch.enable_grad():
            new_BS = joined(track.cell.step(track.inputs[step][:running], leaves)[1])
            back_BS = _back((new_BS * v_BS[:running]).sum(), leaves)
        norm_B = back_BS.norm(dim=1)
        real_B = real_TB[step, :running].to(norm_B.device)
        log_B = norm_B.double().clamp(min=_LEAST).log()
        counted_B = real_B & (passed_B[:running] >= settling).to(norm_B.device)
        total += float(log_B[counted_B].sum())
        count += int(counted_B.sum())
        passed_B[:running] += real_B.cpu()
        alive_B = real_B & (norm_B > _LEAST)
        turned_BS = back_BS / norm_B.clamp(min=_LEAST).unsqueeze(1)
        v_BS[:running] = torch.where(alive_B.unsqueeze(1), turned_BS, v_BS[:running])
    return total / count if count and math.isfinite(total) else None


def _back(value: Tensor, leaves: State) -> Tensor:
    """Return the gradient of a number with respect to a state, as one vector a row, `(N, S)`."""
    if not value.requires_grad:  # the step forgets its state
        return torch.zeros_like(joined(leaves))
    found = torch.autograd.grad(value, leaves, retain_graph=True, allow_unused=True)
    return joined(tuple(
        torch.zeros_like(leaf) if part is None else part
        for leaf, part in zip(leaves, found, strict=True)
    ))  # fmt: skip
