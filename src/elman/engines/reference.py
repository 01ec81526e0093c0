"""The reference engine: a loop over `cell.step`. Every other engine is measured against it.

It runs any cell on any device in any dtype, and whatever autograd can do goes through it.
Shapes: T time, B batch, I input features, H output features.
"""

from __future__ import annotations

import torch
from torch import Tensor

from elman.cells import Cell, LinearCell, State
from elman.engines.how import How
from elman.errors import InputError

RECOMPUTES = False


def unavailable() -> str | None:
    """Return why this machine cannot run the engine: it always can."""
    return None


def refuses(cell: Cell, x_TBI: Tensor, how: How) -> str | None:
    """Return why this call cannot run here: it always can."""
    return None


def unroll(cell: Cell, x_TBI: Tensor, state: State, how: How) -> tuple[Tensor, State]:
    """Run the cell over time; see `elman.engines.unroll`."""
    num_steps = x_TBI.shape[0]
    inside_TB1 = None
    if how.lengths is not None:
        steps_T1 = torch.arange(num_steps, device=x_TBI.device).unsqueeze(1)
        inside_TB1 = (steps_T1 < how.lengths.to(x_TBI.device)).unsqueeze(2)
        # Selecting after the step is not enough: the gradient of what is not selected is zero
        # times the step's derivative, which is NaN where the padding is NaN.
        x_TBI = x_TBI.masked_fill(~inside_TB1, 0)
    if how.recurrent_mask is not None:
        cell = cell.bind({"recurrent_mask": how.recurrent_mask.detach()})

    outputs = []
    for t in reversed(range(num_steps)) if how.reverse else range(num_steps):
        output_BH, new_state = _step(cell, x_TBI[t], state)
        if how.zoneout is not None:
            new_state = _zone_out(new_state, state, how.zoneout, t)
            output_BH = new_state[0]
        if how.see is not None:
            output_BH, new_state = how.see(t, output_BH, new_state)
        if isinstance(cell, LinearCell) and (how.zoneout is not None or how.see is not None):
            output_BH = cell.read(new_state[0], x_TBI[t])
        if inside_TB1 is not None:
            inside_B1 = inside_TB1[t]
            output_BH = output_BH.masked_fill(~inside_B1, 0)
            new_state = tuple(
                torch.where(inside_B1, new, old) for new, old in zip(new_state, state, strict=True)
            )
        outputs.append(output_BH)
        state = new_state
    return torch.stack(outputs[::-1] if how.reverse else outputs), state


def _zone_out(new_state: State, state: State, masks: tuple[Tensor | None, ...], t: int) -> State:
    """Return the new state, some of it kept as it was."""
    return tuple(
        new if mask is None else torch.lerp(new, old, mask[t].detach())
        for new, old, mask in zip(new_state, state, masks, strict=True)
    )


def _step(cell: Cell, x_BI: Tensor, state: State) -> tuple[Tensor, State]:
    """Take one step, and hold a user's cell to what it promises: a slip would broadcast."""
    result = cell.step(x_BI, state)
    match result:
        case (Tensor() as output_BH, tuple() as new_state) if all(
            isinstance(part, Tensor) for part in new_state
        ):
            batch = x_BI.shape[0]
            got = [tuple(part.shape) for part in (output_BH, *new_state)]
            expected = [(batch, size) for size in (cell.output_size, *cell.state_sizes)]
            if got == expected:
                return output_BH, new_state
            problem = f"shapes (output, *state) {expected}, got {got}"
        case _:
            names = ", ".join(cell.state_names)
            problem = f"(output, state), with state a tuple of tensors ({names},), got {result!r}"
    raise InputError(f"{type(cell).__name__}.step: expected {problem}")
