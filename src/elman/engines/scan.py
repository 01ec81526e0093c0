"""The scan engine: all steps of a linear recurrence side by side, in torch, on any device.

    h_t = a_t ⊙ h_{t-1} + b_t                          forward
    s_t = d_t + a_{t+1} ⊙ s_{t+1}                      backward: the same from the other end
    d_b_t = s_t,  d_a_t = s_t ⊙ h_{t-1}

Steps are cut into short chunks. Each chunk is composed to one step, (a2 a1, a2 b1 + b2), all chunks
side by side; the chunks' own recurrence, many times shorter, gives the state before each; from
there all are run side by side. Work and memory are linear in T, and torch is called some 60 times
for each power of 16 in T. There is no division and no logarithm: with |a| <= 1 nothing overflows,
and the error is that of the plain loop, whatever T.

Shapes: T time, B batch, I input features, S width of the state, N complex units.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch._compile import _disable_dynamo  # torch.compiler.disable, but loaded when first called
from torch.autograd import forward_ad

from elman.cells import Cell, LinearCell, State
from elman.cells.linear import to_complex, to_real
from elman.engines import pieces
from elman.engines.how import How

RECOMPUTES = False
SHORT = 48  # steps that are run one by one
CHUNKS = range(20, 11, -1)  # lengths of a chunk; the one that leaves the fewest steps over
# Numbers of a step from which, on a CPU, a loop over the steps is faster: it reads all only once.
WIDE = 1 << 13


def unavailable() -> str | None:
    """Return why this machine cannot run the engine: wherever torch runs, it can."""
    return None


def refuses(cell: Cell, x_TBI: Tensor, how: How) -> str | None:
    """Return why this call cannot run here, or None if it can."""
    step = vars(cell).get("step", type(cell).step)
    if not isinstance(cell, LinearCell) or step is not LinearCell.step:
        return f"{type(cell).__name__} is not known to be linear in its state (a LinearCell is)"
    if len(cell.state_names) != 1:
        return f"{type(cell).__name__} has several states ({', '.join(cell.state_names)})"
    if cell.complex_units and how.zoneout is not None:
        return "zoneout parts the real from the imaginary numbers of a complex unit"
    if torch._C._are_functorch_transforms_active() or forward_ad._current_level >= 0:
        return "the scan has no rules for torch.func's transforms and forward derivatives"
    if torch._C._get_tracing_state() is not None:
        return "torch.jit.trace records torch's own operators only"
    return None


def unroll(cell: Any, x_TBI: Tensor, state: State, how: How) -> tuple[Tensor, State]:
    """Run the cell over time; see `elman.engines.unroll`."""
    return pieces.unroll(lambda *call: _unroll(cell, *call), x_TBI, state, how)


def _unroll(cell: Any, x_TBI: Tensor, state: State, how: How) -> tuple[Tensor, State]:
    (h_BS,) = state
    inside_TB1 = None
    if how.lengths is not None:
        steps_T1 = torch.arange(x_TBI.shape[0], device=x_TBI.device).unsqueeze(1)
        inside_TB1 = (steps_T1 < how.lengths.to(x_TBI.device)).unsqueeze(2)
        # What padding holds, such as NaN, must not reach a gradient, not even times zero.
        x_TBI = x_TBI.masked_fill(~inside_TB1, 0)
    a, b_TBS = cell.coefficients(x_TBI)
    a = a.view((1,) * (3 - a.dim()) + a.shape)
    if how.zoneout is not None and how.zoneout[0] is not None:
        keep_TBS = how.zoneout[0].detach()
        a, b_TBS = keep_TBS + (1 - keep_TBS) * a, (1 - keep_TBS) * b_TBS
    if inside_TB1 is not None:
        a, b_TBS = torch.where(inside_TB1, a, 1), torch.where(inside_TB1, b_TBS, 0)
    h = to_complex(h_BS) if cell.complex_units else h_BS
    dtype = torch.promote_types(torch.promote_types(a.dtype, b_TBS.dtype), h.dtype)
    h_TBS, last = scan(a.to(dtype), b_TBS.to(dtype), h.to(dtype), how.reverse)
    if cell.complex_units:
        h_TBS, last = to_real(h_TBS), to_real(last)
    y_TBH = cell.read(h_TBS, x_TBI)
    return y_TBH if inside_TB1 is None else y_TBH.masked_fill(~inside_TB1, 0), (last,)


def scan(a: Tensor, b_TBS: Tensor, h_BS: Tensor, reverse: bool = False) -> tuple[Tensor, Tensor]:
    """Return all states (T, B, S) of h_t = a_t ⊙ h_{t-1} + b_t, and the last one (B, S).

    Differentiable any number of times.

    Args:
        a: (T, B, S), or 1 in place of T and B; real or complex, at most 1 in magnitude.
        b_TBS: with at least one step.
        h_BS: the state before the first step.
        reverse: from the last step to the first.
    """
    # A compiler would trace hundreds of small operations; the detour would load it for everybody.
    run = _apply_uncompiled if torch.compiler.is_compiling() else _apply
    return run(a, b_TBS, h_BS, reverse)


def _apply(a: Tensor, b: Tensor, h: Tensor, reverse: bool) -> tuple[Tensor, Tensor]:
    return _Scan.apply(a, b, h, reverse)  # pyright: ignore[reportReturnType]


_apply_uncompiled = _disable_dynamo(_apply)


class _Scan(torch.autograd.Function):
    """From a, b and the state before to all states and the last."""

    @staticmethod
    def forward(ctx: Any, a: Tensor, b: Tensor, h: Tensor, reverse: bool) -> tuple[Tensor, Tensor]:
        states = torch.empty_like(b)
        _run(a, b, h, states, reverse)
        ctx.save_for_backward(a, h, states)
        ctx.reverse = reverse
        return states, states[0 if reverse else -1].clone()

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        d_states, d_last = gradients
        a, h, states = ctx.saved_tensors
        s, d_h = _Adjoint.apply(a.conj(), d_states, d_last, ctx.reverse)  # pyright: ignore
        d_a = None
        if ctx.needs_input_grad[0]:
            d_a = (s * _before(h, states, ctx.reverse).conj()).sum_to_size(a.shape)
        return d_a, s, d_h, None


class _Adjoint(torch.autograd.Function):
    """From a, the gradients of all states and of the last, to those of b and the state before.

    Its own derivative is `_Scan` again.
    """

    @staticmethod
    def forward(ctx: Any, a: Tensor, d: Tensor, d_last: Tensor, reverse: bool) -> Any:
        s = torch.empty_like(d)
        first, last = (-1, 0) if reverse else (0, -1)
        torch.add(d[last], d_last, out=s[last])
        if len(d) > 1:
            # Step t is multiplied by the coefficient of the step after it.
            earlier, later = slice(None, -1), slice(1, None)
            if reverse:
                earlier, later = later, earlier
            _run(a[later] if len(a) > 1 else a, d[earlier], s[last], s[earlier], not reverse)
        ctx.save_for_backward(a, s)
        ctx.reverse = reverse
        return s, a[first if len(a) > 1 else 0] * s[first]

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        d_s, d_first = gradients
        a, s = ctx.saved_tensors
        p, p_last = _Scan.apply(a.conj(), d_s, d_first, ctx.reverse)  # pyright: ignore
        d_a = None
        if ctx.needs_input_grad[0]:
            d_a = (_before(d_first, p, ctx.reverse) * s.conj()).sum_to_size(a.shape)
        return d_a, p, p_last, None


def _before(h: Tensor, states: Tensor, reverse: bool) -> Tensor:
    """Return the state before each step."""
    h = h.unsqueeze(0)
    return torch.cat([states[1:], h] if reverse else [h, states[:-1]])


def _run(a: Tensor, b: Tensor, h: Tensor, states: Tensor, reverse: bool) -> None:
    """Write all states to `states`. Time comes first, and is 1 in `a` where it does not change."""
    num_steps = len(b)
    if num_steps <= SHORT or (b.device.type == "cpu" and h.numel() >= WIDE):
        _loop(a, b, h, states, range(num_steps)[:: -1 if reverse else 1])
        return
    length = min(CHUNKS, key=lambda length: num_steps % length)
    over = num_steps % length
    # The steps left over come last.
    whole = slice(over, None) if reverse else slice(None, num_steps - over)
    b_CL = b[whole].unflatten(0, (-1, length))
    states_CL = states[whole].unflatten(0, (-1, length))
    constant = len(a) == 1
    a_CL = a.unsqueeze(0) if constant else a[whole].unflatten(0, (-1, length))
    a_of = [a_CL[:, 0 if constant else step] for step in range(length)]
    steps = range(length)[:: -1 if reverse else 1]

    many, sums = a_of[steps[0]], b_CL[:, steps[0]]
    for step in steps[1:]:
        many = a_of[step] * many
        sums = torch.addcmul(b_CL[:, step], a_of[step], sums)
    ends = torch.empty_like(sums)
    _run(many, sums, h, ends, reverse)
    state = _before(h, ends, reverse)
    for step in steps:
        state = torch.addcmul(b_CL[:, step], a_of[step], state, out=states_CL[:, step])
    rest = range(over)[::-1] if reverse else range(num_steps - over, num_steps)
    _loop(a, b, ends[0 if reverse else -1], states, rest)


def _loop(a: Tensor, b: Tensor, h: Tensor, states: Tensor, steps: Sequence[int]) -> None:
    """Take the steps one by one."""
    constant = len(a) == 1
    for step in steps:
        h = torch.addcmul(b[step], a[0 if constant else step], h, out=states[step])
