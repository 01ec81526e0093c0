"""Long sequences piece by piece, so that what torch makes on the way stays in the cache.

A recurrence whose products are taken for all steps at once makes several arrays as long as the
sequence. Beyond the cache, and beyond what the allocator keeps for its next use, a step of 10,000
took two to three times as long as one of 1,000. In pieces it takes the same.

Shapes: T time, B batch, I input features, H output features.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from elman.cells import State
from elman.engines.how import How

NUMBERS = 1 << 19  # of a state over all steps of a piece

Run = Callable[[Tensor, State, How], tuple[Tensor, State]]
New = Callable[..., Tensor]


def unroll(
    run: Run, x_TBI: Tensor, state: State, how: How, new: New | None = None
) -> tuple[Tensor, State]:
    """Return outputs and last state of `run(x_TBI, state, how)`, called for pieces of the steps.

    The outputs lie on memory from `new(*shape)`, if given.
    """
    num_steps = len(x_TBI)
    length = max(1, NUMBERS // max(1, state[0].numel()))
    if x_TBI.device.type != "cpu" or num_steps < 2 * length:
        return run(x_TBI, state, how)
    rows_first = x_TBI.stride(0) < x_TBI.stride(1)
    outputs: list[Tensor] = []
    # Not by slices: the gradient of each would be as long as the whole.
    pieces = list(zip(range(0, num_steps, length), x_TBI.split(length), strict=True))
    for begin, x in reversed(pieces) if how.reverse else pieces:
        end = begin + len(x)
        lengths, zoneout = how.lengths, how.zoneout
        if lengths is not None:
            lengths = (lengths - begin).clamp(0, len(x))
        if zoneout is not None:
            zoneout = tuple(None if mask is None else mask[begin:end] for mask in zoneout)
        y, state = run(x, state, replace(how, lengths=lengths, zoneout=zoneout))
        outputs.append(y.transpose(0, 1) if rows_first else y)
    if how.reverse:
        outputs.reverse()
    # As the input lies in memory.
    axis = 1 if rows_first else 0
    y: Any = torch.cat(outputs, axis) if new is None else _Join.apply(new, axis, *outputs)
    return y.transpose(0, 1) if rows_first else y, state


class _Join(torch.autograd.Function):
    """`torch.cat`, on memory from somewhere else."""

    @staticmethod
    def forward(ctx: Any, new: New, axis: int, *parts: Tensor) -> Tensor:
        ctx.axis, ctx.lengths = axis, [part.shape[axis] for part in parts]
        shape = list(parts[0].shape)
        shape[axis] = sum(ctx.lengths)
        return torch.cat(parts, axis, out=new(*shape))

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        return None, None, *gradients[0].split(ctx.lengths, ctx.axis)
