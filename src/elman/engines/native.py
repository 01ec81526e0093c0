"""The native engine: Elman's own C++ kernels (csrc), for float32 on a CPU.

A whole sequence is one call of a torch operator, so that autograd, torch.compile and torch.export
see one node with known shapes.
Shapes: T time, B batch, I input features, H hidden units, P features of h (H, or the projection's).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from importlib import import_module
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.autograd import forward_ad

from elman.cells import Cell, GatedCell, GRUCell, LSTMCell, RNNCell, State
from elman.engines.how import How
from elman.errors import InputError

_native: Any = None  # csrc/bindings.cpp
_why_missing = ""
try:
    _native = import_module("elman._native")
except ImportError as error:
    _why_missing = str(error)

RECOMPUTES = True
_PLAIN = (Tensor, torch.nn.Parameter, type(None))
# As csrc/problem.h numbers them: its CellKind.
KINDS = ("rnn_tanh", "rnn_relu", "gru_reset_after", "gru_reset_before", "lstm")
# As csrc/bindings.cpp takes a cell's weights; None for one it does not have.
WEIGHTS = (
    "weight_ih", "weight_hh", "bias_ih", "bias_hh", "weight_hr", "norm_ih", "norm_hh", "norm_c",
    "bias_c", "peephole",
)  # fmt: skip
# Memory this large comes from blocks used again: from the system it costs a fault for every page.
BORROW_FROM = 1 << 16  # floats


def _reason_unavailable() -> str | None:
    if _native is None:
        return (
            f"its extension module is not here ({_why_missing}); reinstall Elman with a C++20 "
            "compiler on the path"
        )
    if _native.refusal():
        return _native.refusal()
    if not _native.connect(Tensor, torch.nn.Parameter):
        return f"torch {torch.__version__} has no DLPack exchange table; torch 2.10 has"
    for path in (Path(torch.__file__).parent / "lib").glob("libgomp*"):
        _native.connect_openmp(str(path))
    return None


_unavailable = _reason_unavailable()
# step(kind, names, parameters, x, state, fresh, y): one step of a stack of layers, without
# gradients and without allocating anything; where in memory the last layer's h lies, or 0 where it
# was not done. It is not unless all is float32, dense and of the right shape. `names` has, for each
# layer, those of its WEIGHTS in the module's dictionary `parameters`, None for one it does not
# have; the new state goes to `fresh`, which may be `state`, and the last layer's h to `y` unless
# that is None. Python in between would take as long as the step.
step: Callable[..., int] = (lambda *_: 0) if _native is None else _native.step


def unavailable() -> str | None:
    """Return why this machine cannot run the engine, or None."""
    return _unavailable


_threads: ContextVar[int | None] = ContextVar("threads", default=None)


@contextmanager
def using_threads(number: int) -> Iterator[None]:
    """Let the engine use so many threads inside the block, whatever torch.get_num_threads() is.

    Its results are the same for any number, and its threads cost nothing where they cannot help;
    of torch's neither is true.
    """
    token = _threads.set(number)
    try:
        yield
    finally:
        _threads.reset(token)


def _team() -> tuple[int, bool]:
    """Return how many threads, and whether they are to be OpenMP's, which torch then keeps busy."""
    torchs = torch.get_num_threads()
    number = _threads.get() or torchs
    return number, 1 < number <= torchs


def isa() -> str:
    """Return the instruction set the kernels use: "avx512", "avx2", "neon" or "plain"."""
    return _native.isa()


def refuses(cell: Cell, x_TBI: Tensor, how: How) -> str | None:
    """Return why the kernels cannot compute this call, or None if they can."""
    if kind(cell) is None or not isinstance(cell, GatedCell):
        return f"{type(cell).__name__} has a step of its own, for which there is no kernel"
    if x_TBI.dtype != torch.float32 or cell.weight_ih.dtype != torch.float32:
        return f"it computes in float32; input is {x_TBI.dtype}, parameters {cell.weight_ih.dtype}"
    if x_TBI.device.type != "cpu":
        return f"it runs on a CPU; input is on {x_TBI.device}"
    if torch.is_autocast_enabled("cpu"):
        return "autocast asks for another precision"
    if torch._C._are_functorch_transforms_active() or forward_ad._current_level >= 0:
        return "the kernels have no rules for torch.func's transforms and forward derivatives"
    if torch._C._get_tracing_state() is not None:
        return "torch.jit.trace records torch's own operators only"
    return None


def unroll(cell: Any, x_TBI: Tensor, state: State, how: How) -> tuple[Tensor, State]:
    """Run the cell over time; see `elman.engines.unroll`."""
    h_BP, c_BH = (*state, None)[:2]
    zone_h, zone_c = (*(how.zoneout or ()), None, None)[:2]
    has = cell.weight_names
    tensors = (
        x_TBI,
        h_BP,
        c_BH,
        *(getattr(cell, name) if name in has else None for name in WEIGHTS),
        how.lengths,
        how.recurrent_mask,
        zone_h,
        zone_c,
    )
    given = [tensor for tensor in tensors if tensor is not None]
    keep = torch.is_grad_enabled() and any(tensor.requires_grad for tensor in given)
    call = (*tensors, kind(cell), how.reverse, how.recompute, keep)
    run: Any = _Unroll.apply if keep else _unroll
    if _is_traced(given):
        run = torch.ops.elman.unroll
    y_TBP, *last, _ = run(*call)
    return y_TBP, tuple(last[: len(state)])


def _is_traced(tensors: Iterable[Tensor | None]) -> bool:
    """Whether the call must be an operator's, for a compiler or a mode of torch's to see.

    Without one, torch's way to a Python operator and back would take longer than a small layer.
    """
    return (
        torch.compiler.is_compiling()
        or torch._C._len_torch_dispatch_stack() > 0
        or not all(type(tensor) in _PLAIN for tensor in tensors)
    )


def kind(cell: Any) -> int | None:
    """Return the number of the recurrence that `cell.step` computes, or None."""
    step = vars(cell).get("step", type(cell).step)
    if step is LSTMCell.step:
        return 4
    if step is GRUCell.step:
        return 2 if cell.reset_after else 3
    if step is RNNCell.step:
        return 0 if cell.nonlinearity == "tanh" else 1
    return None


# --- the call, as plain function, autograd function and operator ---

NUM_DIFFERENTIABLE = 3 + len(WEIGHTS)  # x, h, c and the weights come first
_INPUTS = (
    "Tensor x, Tensor h, Tensor? c, Tensor weight_ih, Tensor weight_hh, "
    + "".join(f"Tensor? {name}, " for name in WEIGHTS[2:])
    + "Tensor? lengths, Tensor? mask, Tensor? zone_h, Tensor? zone_c, int cell, bool reverse, "
    "bool recompute"
)


def _unroll(*call: Any, traced: bool = False) -> tuple[Tensor | None, ...]:
    """Return y, the last h and c, and what the backward pass reads; None for what there is not."""
    x, h, c, *weights = call[:NUM_DIFFERENTIABLE]
    lengths, mask, zone_h, zone_c, cell, reverse, recompute, keep = call[NUM_DIFFERENTIABLE:]
    y = _like_rows(x, h.shape[1])
    h_last = _new(*h.shape)
    c_last = None if c is None else _new(*c.shape)
    kept = None
    if keep:
        sizes = (x.shape[2], h.shape[1], weights, cell, recompute, mask, zone_h)
        # A compiler must know the size from the shapes: there, padding is counted as well.
        real_steps = x.shape[0] * x.shape[1]
        if lengths is not None and not traced:
            real_steps = int(lengths.sum())
        kept = _memory(_kept_size(real_steps, *sizes))
    parts = _parts(x, y, lengths, h, c, mask, zone_h, zone_c, kept, weights)
    _native.forward(cell, reverse, recompute, *_team(), parts, h_last, c_last)
    return y, h_last, c_last, kept


def _unroll_backward(d_y, d_h, d_c, y, kept, *call: Any) -> list[Tensor | None]:
    """Return the gradients wanted, of x, h, c and the weights."""
    x, h, c, *weights = call[:NUM_DIFFERENTIABLE]
    lengths, mask, zone_h, zone_c, cell, reverse, recompute, wanted = call[NUM_DIFFERENTIABLE:]
    d_x = _like_rows(x, x.shape[2]) if wanted[0] else None
    d_h0 = _new(*h.shape)
    d_c0 = None if c is None else _new(*c.shape)
    d_weights = [
        _new(*weight.shape) if want else None
        for weight, want in zip(weights, wanted[3:], strict=True)
    ]
    parts = _parts(x, y, lengths, h, c, mask, zone_h, zone_c, kept, weights)
    gradients = (_rows(d_y), _dense(d_h), _dense(d_c), d_x, d_h0, d_c0, d_weights)
    _native.backward(cell, reverse, recompute, *_team(), parts, gradients)
    every = (d_x, d_h0, d_c0, *d_weights)
    return [grad for grad, want in zip(every, wanted, strict=True) if want]


def _save(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor | None, ...]) -> None:
    y, _, _, kept = output
    *tensors, cell, reverse, recompute, ctx.keep = inputs
    ctx.save_for_backward(y, kept, *tensors)
    ctx.options = (cell, reverse, recompute)
    ctx.set_materialize_grads(False)


def _differentiate(ctx: Any, d_y, d_h, d_c, d_kept) -> tuple[Tensor | None, ...]:
    if not ctx.keep:
        raise InputError(
            "this program was traced where no gradients were recorded, and kept nothing for a "
            "backward pass; trace it with gradients enabled to train it"
        )
    needed = ctx.needs_input_grad
    y, kept, *tensors = ctx.saved_tensors
    wanted = [
        tensor is not None and needs
        for tensor, needs in zip(tensors, needed[:NUM_DIFFERENTIABLE], strict=False)
    ]
    if tensors[2] is None:
        d_c = None
    # With a graph asked for (create_graph), the operator's, which says what there is not.
    differentiated = torch.is_grad_enabled() or _is_traced(tensors)
    run: Any = torch.ops.elman.unroll_backward if differentiated else _unroll_backward
    gradients = iter(run(d_y, d_h, d_c, y, kept, *tensors, *ctx.options, wanted))
    found = [next(gradients) if want else None for want in wanted]
    return (*found, *([None] * (len(needed) - NUM_DIFFERENTIABLE)))


class _Unroll(torch.autograd.Function):
    # Not with setup_context of its own: torch would look up forward's signature at every call.
    @staticmethod
    def forward(ctx: Any, *call: Any) -> tuple[Tensor | None, ...]:
        output = _unroll(*call)
        _save(ctx, call, output)
        return output

    @staticmethod
    def backward(ctx: Any, *gradients: Any) -> tuple[Tensor | None, ...]:
        return _differentiate(ctx, *gradients)


def _parts(x, y, lengths, h, c, mask, zone_h, zone_c, kept, weights) -> tuple[Any, ...]:
    """Return what csrc/bindings.cpp takes as the description of a call."""
    return (
        _rows(x), y, _dense(lengths), _dense(h), _dense(c), _dense(mask), _dense(zone_h),
        _dense(zone_c), kept, [_dense(weight) for weight in weights],
    )  # fmt: skip


def _dense(tensor: Tensor | None) -> Tensor | None:
    return None if tensor is None else tensor.contiguous()


def _rows(x_TBI: Tensor | None) -> Tensor | None:
    """Return it with the features side by side in memory, whatever the order of time and batch."""
    return x_TBI if x_TBI is None or x_TBI.stride(2) == 1 else x_TBI.contiguous()


def _new(*shape: int) -> Tensor:
    """Return a new tensor, whatever torch's defaults are."""
    return torch.empty(shape, dtype=torch.float32, device="cpu")


def _memory(*shape: int) -> Tensor:
    """Return a new tensor, on memory used before if it is large."""
    floats = math.prod(shape)
    return _new(*shape) if floats < BORROW_FROM else _native.borrow(floats).view(shape)


def _like_rows(x_TBI: Tensor, size: int, new: Callable[..., Tensor] = _memory) -> Tensor:
    """Return new memory (T, B, size), batch first in memory where x is."""
    num_steps, batch, _ = x_TBI.shape
    if x_TBI.stride(0) < x_TBI.stride(1):
        return new(batch, num_steps, size).transpose(0, 1)
    return new(num_steps, batch, size)


def _kept_size(real_steps: Any, features, size, weights, cell, recompute, mask, zone_h) -> Any:
    """Return how many floats the backward pass reads; it grows linearly with the real steps."""
    hidden = weights[1].shape[0] // (4 if cell == 4 else 3 if cell > 1 else 1)
    has = (mask is not None, zone_h is not None, weights[WEIGHTS.index("norm_hh")] is not None)
    none, one = (
        _native.kept_size(cell, features, hidden, size, steps, recompute, *has) for steps in (0, 1)
    )
    return none + (one - none) * real_steps


def _operator(*call: Any) -> tuple[Tensor, ...]:
    """Return the same with empty tensors for None, which an operator cannot return."""
    output = _unroll(*call, traced=True)
    return tuple(_new(0) if part is None else part for part in output)


def _operator_shapes(*call: Any) -> tuple[Tensor, ...]:
    x, h, c, *weights = call[:NUM_DIFFERENTIABLE]
    _, mask, zone_h, _, cell, _, recompute, keep = call[NUM_DIFFERENTIABLE:]
    sizes = (int(x.shape[2]), int(h.shape[1]), weights, cell, recompute, mask, zone_h)
    kept = _kept_size(x.shape[0] * x.shape[1], *sizes) if keep else 0
    return (
        _like_rows(x, h.shape[1], _new),
        _new(*h.shape),
        _new(0) if c is None else _new(*c.shape),
        _new(kept),
    )


def _backward_shapes(d_y, d_h, d_c, y, kept, *call: Any) -> list[Tensor]:
    x, *others = call[:NUM_DIFFERENTIABLE]
    wanted = call[-1]
    dense = [_new(*part.shape) for part, want in zip(others, wanted[1:], strict=True) if want]
    return [_like_rows(x, x.shape[2], _new), *dense] if wanted[0] else dense


def _refuse_twice(ctx: Any, *_: Any) -> None:
    raise InputError(
        "the native engine has no second derivative; compute it in the reference engine: "
        "with elman.engine('reference'): ..."
    )


_library = torch.library.Library("elman", "DEF")
_library.define(f"unroll({_INPUTS}, bool keep) -> (Tensor, Tensor, Tensor, Tensor)")
_library.define(
    "unroll_backward(Tensor? d_y, Tensor? d_h, Tensor? d_c, Tensor y, Tensor kept, "
    f"{_INPUTS}, bool[] wanted) -> Tensor[]"
)
_library.impl("unroll", _operator, "CPU")
_library.impl("unroll_backward", _unroll_backward, "CPU")
torch.library.register_fake("elman::unroll", _operator_shapes, lib=_library)
torch.library.register_fake("elman::unroll_backward", _backward_shapes, lib=_library)
torch.library.register_autograd("elman::unroll", _differentiate, setup_context=_save, lib=_library)
torch.library.register_autograd("elman::unroll_backward", _refuse_twice, lib=_library)
