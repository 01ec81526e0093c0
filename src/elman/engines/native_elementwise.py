"""The native engine's kernels for recurrences whose units do not see each other.

minGRU, minLSTM, IndRNN and LRU: all products are with the input, and torch takes them for all steps
at once; gate functions and recurrence are one pass over the sums, csrc/elementwise.cpp.
Shapes: T time, B batch, I input features, H hidden units, G sums a unit, S width of the state,
W weights a unit.
"""

from __future__ import annotations

import math
from importlib import import_module
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint

from elman.cells import IndRNNCell, LRUCell, MinGRUCell, MinLSTMCell, State
from elman.cells.linear import LinearCell
from elman.engines import pieces
from elman.engines.how import How
from elman.errors import InputError

try:
    _native: Any = import_module("elman._native")  # csrc/bindings.cpp
except ImportError:
    _native = None

# As csrc/elementwise.h numbers them: its ElementwiseKind.
MINGRU, MINLSTM, INDRNN_TANH, INDRNN_RELU, LRU = range(5)
# Memory this large comes from blocks used again: from the system it costs a fault for every page.
BORROW_FROM = 1 << 16  # floats


def kind(cell: Any) -> int | None:
    """Return the number of the recurrence that `cell.step` computes, or None."""
    step = vars(cell).get("step", type(cell).step)
    if step is IndRNNCell.step:
        return INDRNN_RELU if cell.nonlinearity == "relu" else INDRNN_TANH
    if step is not LinearCell.step:
        return None
    return KINDS.get(type(cell).coefficients)


KINDS = {
    MinGRUCell.coefficients: MINGRU,
    MinLSTMCell.coefficients: MINLSTM,
    LRUCell.coefficients: LRU,
}


def unroll(
    cell: Any, x_TBI: Tensor, state: State, how: How, team: tuple[int, bool], traced: bool
) -> tuple[Tensor, State]:
    """Run the cell over time; see `elman.engines.unroll`.

    Args:
        cell: one that `kind` knows.
        x_TBI: as there.
        state: as there.
        how: as there.
        team: how many threads, and whether they are to be OpenMP's.
        traced: whether the call must be an operator's, for a compiler to see.
    """

    def run(x_TBI: Tensor, state: State, how: How) -> tuple[Tensor, State]:
        if how.memory == "recompute" and torch.is_grad_enabled():
            # What it keeps for the backward pass are the pieces' input and state.
            return checkpoint(  # pyright: ignore[reportReturnType]
                _unroll, cell, x_TBI, state, how, team, traced, use_reentrant=False
            )
        return _unroll(cell, x_TBI, state, how, team, traced)

    # A compiler would write a program as long as there are pieces.
    return run(x_TBI, state, how) if traced else pieces.unroll(run, x_TBI, state, how, _memory)


def _unroll(
    cell: Any, x_TBI: Tensor, state: State, how: How, team: tuple[int, bool], traced: bool
) -> tuple[Tensor, State]:
    inside_TB1 = None
    if how.lengths is not None:
        steps_T1 = torch.arange(x_TBI.shape[0]).unsqueeze(1)
        inside_TB1 = (steps_T1 < how.lengths).unsqueeze(2)
        # What padding holds, such as NaN, must not reach a weight's gradient, not even times zero.
        x_TBI = x_TBI.masked_fill(~inside_TB1, 0)
    number = kind(cell)
    rows_first = x_TBI.stride(0) < x_TBI.stride(1)
    # Time and batch as they lie in memory: torch multiplies what is dense without copying it.
    x = x_TBI.transpose(0, 1) if rows_first else x_TBI
    weights = None
    if number == LRU:
        sums, weights = cell.drive(x), torch.stack(cell.decay())
    else:
        sums = F.linear(x, cell.weight_ih, cell.bias_ih)
        if number in (INDRNN_TANH, INDRNN_RELU):
            weights = cell.weight_hh.unsqueeze(0)
    zone = None if how.zoneout is None else how.zoneout[0]
    call = (
        sums.transpose(0, 1) if rows_first else sums,
        state[0],
        weights,
        None if zone is None else zone.detach(),
        how.lengths,
        number,
        how.reverse,
        *team,
    )
    learns = any(part is not None and part.requires_grad for part in call[:_DIFFERENTIABLE])
    plain: Any = _Elementwise.apply if learns and torch.is_grad_enabled() else _forward
    run: Any = torch.ops.elman.elementwise if traced else plain
    h_TBS, last_BS = run(*call)
    if cell.output_is_state:
        return h_TBS, (last_BS,)
    y = cell.read(h_TBS.transpose(0, 1) if rows_first else h_TBS, x)
    y_TBH = y.transpose(0, 1) if rows_first else y
    return y_TBH if inside_TB1 is None else y_TBH.masked_fill(~inside_TB1, 0), (last_BS,)


# --- the call, as plain function, autograd function and operator ---

_INPUTS = (
    "Tensor sums, Tensor h, Tensor? weights, Tensor? zone, Tensor? lengths, int kind, "
    "bool reverse, int threads, bool openmp"
)
_DIFFERENTIABLE = 3  # sums, h and weights come first


def _forward(
    sums, h, weights, zone, lengths, number, reverse, threads, openmp
):  # fmt: skip
    """Return all states and the last one."""
    states, last = _like(sums, h.shape[1]), _new(*h.shape)
    parts = (_rows(sums), _dense(weights), _dense(h), _dense(zone), _dense(lengths), states)
    _native.elementwise_forward(number, reverse, threads, openmp, parts, last)
    return states, last


def _backward(
    d_states, d_last, states, sums, h, weights, zone, lengths, number, reverse, threads, openmp
):  # fmt: skip
    """Return the gradients of sums, h and weights, the last empty where there are none."""
    d_sums, d_h = _like(sums, sums.shape[2]), _new(*h.shape)
    d_rows = None if weights is None else _new(len(h), *weights.shape)
    parts = (_rows(sums), _dense(weights), _dense(h), _dense(zone), _dense(lengths), states)
    gradients = (_rows(d_states), _dense(d_last), d_sums, d_h, d_rows)
    _native.elementwise_backward(number, reverse, threads, openmp, parts, gradients)
    return d_sums, d_h, _new(0) if d_rows is None else d_rows.sum(0)


def _save(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, Tensor]) -> None:
    *tensors, number, reverse, threads, openmp = inputs
    ctx.save_for_backward(output[0], *tensors)
    ctx.options = (number, reverse, threads, openmp)
    ctx.set_materialize_grads(False)


def _differentiate(ctx: Any, d_states: Tensor | None, d_last: Tensor | None) -> tuple[Any, ...]:
    saved = ctx.saved_tensors
    traced = torch.compiler.is_compiling() or torch._C._len_torch_dispatch_stack() > 0
    # With a graph asked for (create_graph), the operator's, which says what there is not.
    operator = traced or torch.is_grad_enabled()
    run: Any = torch.ops.elman.elementwise_backward if operator else _backward
    found = run(d_states, d_last, *saved, *ctx.options)
    needed = ctx.needs_input_grad
    wanted = [grad if needs else None for grad, needs in zip(found, needed, strict=False)]
    return (*wanted, *([None] * (len(needed) - _DIFFERENTIABLE)))


class _Elementwise(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, *call: Any) -> tuple[Tensor, Tensor]:
        output = _forward(*call)
        _save(ctx, call, output)
        return output

    @staticmethod
    def backward(ctx: Any, *gradients: Any) -> tuple[Any, ...]:
        return _differentiate(ctx, *gradients)


def _dense(tensor: Tensor | None) -> Tensor | None:
    return None if tensor is None else tensor.contiguous()


def _rows(tensor: Tensor | None) -> Tensor | None:
    """Return it with the features side by side in memory, whatever the order of time and batch."""
    return tensor if tensor is None or tensor.stride(2) == 1 else tensor.contiguous()


def _new(*shape: int) -> Tensor:
    return torch.empty(shape, dtype=torch.float32, device="cpu")


def _memory(*shape: int) -> Tensor:
    """Return a new tensor, on memory used before if it is large."""
    floats = math.prod(shape)
    return _new(*shape) if floats < BORROW_FROM else _native.borrow(floats).view(shape)


def _like(like_TBX: Tensor, size: int, new: Any = _memory) -> Tensor:
    """Return new memory (T, B, size), batch first in memory where the other is."""
    num_steps, batch, _ = like_TBX.shape
    if like_TBX.stride(0) < like_TBX.stride(1):
        return new(batch, num_steps, size).transpose(0, 1)
    return new(num_steps, batch, size)


def _forward_shapes(sums, h, *_: Any) -> tuple[Tensor, Tensor]:
    return _like(sums, h.shape[1], _new), _new(*h.shape)


def _backward_shapes(d_states, d_last, states, sums, h, weights, *_: Any) -> tuple[Tensor, ...]:
    d_weights = _new(0) if weights is None else _new(*weights.shape)
    return _like(sums, sums.shape[2], _new), _new(*h.shape), d_weights


def _refuse_twice(ctx: Any, *_: Any) -> None:
    raise InputError(
        "the native engine has no second derivative; compute it in the scan engine, or of a cell "
        "that is not linear in its state, in the reference engine: with elman.engine('scan'): ..."
    )


_library = torch.library.Library("elman", "FRAGMENT")
_library.define(f"elementwise({_INPUTS}) -> (Tensor, Tensor)")
_library.define(
    f"elementwise_backward(Tensor? d_states, Tensor? d_last, Tensor states, {_INPUTS}) "
    "-> (Tensor, Tensor, Tensor)"
)
_library.impl("elementwise", _forward, "CPU")
_library.impl("elementwise_backward", _backward, "CPU")
torch.library.register_fake("elman::elementwise", _forward_shapes, lib=_library)
torch.library.register_fake("elman::elementwise_backward", _backward_shapes, lib=_library)
torch.library.register_autograd(
    "elman::elementwise", _differentiate, setup_context=_save, lib=_library
)
torch.library.register_autograd("elman::elementwise_backward", _refuse_twice, lib=_library)
