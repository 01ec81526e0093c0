"""Engines: ways of running a cell through time, behind one door, `unroll`.

An engine is a module with three functions: `unavailable` and `refuses`, which answer with a
reason or None, and `unroll`; and RECOMPUTES, whether it honours memory="recompute" itself. Adding
one is adding its line to `ENGINES`.
Shapes: T time, B batch, I input features, H output features.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import replace
from typing import NamedTuple, Protocol

from torch import Tensor, is_grad_enabled
from torch import bool as bool_
from torch._C import (
    _are_functorch_transforms_active,
    _get_tracing_state,
    _is_any_autocast_enabled,
)
from torch._compile import _disable_dynamo  # torch.compiler.disable, but loaded when first called
from torch.autograd import forward_ad
from torch.compiler import is_compiling
from torch.nn import Module

from elman.cells import Cell, GatedCell, State
from elman.engines import aten, native, reference, scan, segments
from elman.engines.how import How, See
from elman.errors import InputError, unknown

__all__ = [
    "ENGINES",
    "MEMORIES",
    "Engine",
    "How",
    "See",
    "Watcher",
    "available_engines",
    "choose",
    "engine",
    "in_segments",
    "record",
    "steps_natively",
    "unroll",
    "watching",
]


class Engine(Protocol):
    """What an engine's module holds."""

    @property
    def RECOMPUTES(self) -> bool:  # noqa: N802 - a module's constant
        """Whether it honours memory="recompute" itself."""
        ...

    def unavailable(self) -> str | None:
        """Return why this machine cannot run the engine, or None."""
        ...

    def refuses(self, cell: Cell, x_TBI: Tensor, how: How) -> str | None:
        """Return why the engine cannot run this call, or None."""
        ...

    def unroll(self, cell: Cell, x_TBI: Tensor, state: State, how: How) -> tuple[Tensor, State]:
        """Run the cell over time."""
        ...


# Fastest first; the last one runs everything.
ENGINES: dict[str, Engine] = {
    "native": native,
    "aten": aten,
    "scan": scan,
    "reference": reference,
}


MEMORIES = ("all", "recompute", "sqrt")

# Hears of each unrolling, and returns what is to see its steps.
Watcher = Callable[[Cell, Tensor, State, How], See]


class Context(NamedTuple):
    """What `with` blocks around a call ask: the engine forced, records to write, who watches."""

    forced: str | None = None
    records: tuple[set[str], ...] = ()
    watcher: Watcher | None = None


_plain = Context()
_context: ContextVar[Context] = ContextVar("engines", default=_plain)


def unroll(
    cell: Cell,
    x_TBI: Tensor,
    state: State,
    *,
    lengths: Tensor | None = None,
    reverse: bool = False,
    recurrent_mask: Tensor | None = None,
    zoneout: tuple[Tensor | None, ...] | None = None,
    memory: str = "all",
    engine: str | None = None,
) -> tuple[Tensor, State]:
    """Run a cell over a batch of sequences, with the fastest engine that can.

    Args:
        cell: the recurrence.
        x_TBI: the input, time first, (T, B, I), with at least one step.
        state: the state before the first step, one tensor (B, size) for each state name.
        lengths: how many steps of each row are real, int64 (B) on the CPU, from 0 to T; the rest
            is padding, which may hold anything. None: all of them.
        reverse: read each row from its last real step to its first; the output of step t stays
            at t.
        recurrent_mask: (B, H), multiplies the old state where it meets the recurrent weights, the
            same at every step: variational recurrent dropout (Gal and Ghahramani, 2016). Before
            the GRU's reset gate, and not in its blend of old and new. A `GatedCell` only. It gets
            no gradient.
        zoneout: a mask (T, B, size), in the input's dtype or bool, or None for each state name: the
            state becomes mask * old + (1 - mask) * new, and the output is the first of it (Krueger
            et al., 2017), or what a `LinearCell` reads of it. An LSTM's new h comes from the new c
            before the mask. It gets no gradient.
        memory: what is kept for the backward pass. "all" of it; "recompute": the states, and the
            gates are computed again there; "sqrt": the states of every √T-th step, and all between
            is computed again, so that memory grows with √T, beside input and output (Chen et al.,
            2016). Less memory, more time, the same gradients to rounding. An engine that cannot
            recompute gates alone does "sqrt" instead.
        engine: the one to use; None takes the one forced by `engine(...)`, or chooses.

    Returns:
        The outputs (T, B, H), zero past a row's end, and the state after each row's last step
        read, which is its initial state where the length is 0.

    Raises:
        InputError: if the engine asked for is unknown or cannot run this, or if a user's cell,
            whose recurrent weights are not known, is given a `recurrent_mask`.
    """
    if memory != "all" and memory not in MEMORIES:
        raise unknown("memory", memory, MEMORIES)
    if recurrent_mask is not None or zoneout is not None:
        _check_masks(cell, x_TBI, recurrent_mask, zoneout)
    how = How(lengths, reverse, recurrent_mask, zoneout, memory)
    if (watcher := _watcher()) is not None:
        how = replace(how, zoneout=_masks(zoneout, x_TBI, 0, len(x_TBI)))
        how = replace(how, see=watcher(cell, x_TBI, state, how))
        return reference.unroll(cell, x_TBI, state, how)
    name = choose(cell, x_TBI, how, engine=engine)
    _note(name)
    module = ENGINES[name]
    if memory == "all" or (memory == "recompute" and module.RECOMPUTES):
        if zoneout is not None:
            how = replace(how, zoneout=_masks(zoneout, x_TBI, 0, len(x_TBI)))
        return module.unroll(cell, x_TBI, state, how)

    def run(
        cells: Sequence[Cell], x_SBI: Tensor, start: State, begin: int, end: int
    ) -> tuple[Tensor, State]:
        within = segments.lengths_within(lengths, begin, end)
        masks = _masks(zoneout, x_SBI, begin, end)
        return module.unroll(cells[0], x_SBI, start, How(within, reverse, recurrent_mask, masks))

    return in_segments(run, [cell], x_TBI, state, reverse=reverse)


def in_segments(
    run: segments.Run,
    cells: Sequence[Cell],
    x_TBI: Tensor,
    state: State,
    *,
    more: Sequence[Module] = (),
    reverse: bool = False,
) -> tuple[Tensor, State]:
    """Run something over time so that memory grows with √T alone: segment by segment.

    Where no backward pass follows, or torch's transforms and tracers or a watcher want to see all
    of it, it is one segment.

    Args:
        run: `run(cells, x, state, begin, end)` runs cells over the steps from `begin` to `end`,
            whose input `x` is, and returns outputs and state.
        cells: what is run.
        x_TBI: the input, time first.
        state: the state before the first step read.
        more: further modules that `run` computes with.
        reverse: begin with the last segment.

    Raises:
        InputError: at the backward pass, if the tensors are others than they were.
    """
    if is_compiling():
        return _in_segments_uncompiled(run, cells, x_TBI, state, more=more, reverse=reverse)
    context = _context.get()
    spans = segments.spans(len(x_TBI), reverse)
    if (
        len(spans) == 1
        or not is_grad_enabled()
        or not any(
            tensor.requires_grad for tensor in (x_TBI, *state, *segments.tensors_of(cells, more))
        )
        or context.watcher is not None
        or _are_functorch_transforms_active()
        or _get_tracing_state() is not None
        or forward_ad._current_level >= 0
    ):
        return run(cells, x_TBI, state, 0, len(x_TBI))

    def as_now(
        cells: Sequence[Cell], x_SBI: Tensor, start: State, begin: int, end: int
    ) -> tuple[Tensor, State]:
        # The backward pass comes when the `with` blocks are left, or in another thread.
        token = _context.set(context)
        try:
            return run(cells, x_SBI, start, begin, end)
        finally:
            _context.reset(token)

    plan = segments.Plan(as_now, cells, more, spans)
    return segments.run_in_segments(plan, x_TBI, state)


# A compiler would take the loop apart, and keep all.
_in_segments_uncompiled = _disable_dynamo(in_segments)


def _masks(
    zoneout: tuple[Tensor | None, ...] | None, x_SBI: Tensor, begin: int, end: int
) -> tuple[Tensor | None, ...] | None:
    """Return the masks of a segment, in the input's dtype."""
    if zoneout is None:
        return None
    return tuple(None if mask is None else mask[begin:end].to(x_SBI.dtype) for mask in zoneout)


def _check_masks(
    cell: Cell,
    x_TBI: Tensor,
    recurrent_mask: Tensor | None,
    zoneout: tuple[Tensor | None, ...] | None,
) -> None:
    num_steps, batch = x_TBI.shape[:2]
    expected: dict[str, tuple[Tensor | None, tuple[int, ...]]]
    expected = {"recurrent_mask": (recurrent_mask, (batch, cell.state_sizes[0]))}
    if recurrent_mask is not None and not isinstance(cell, GatedCell):
        raise InputError(
            f"recurrent_mask: {type(cell).__name__} is no GatedCell, so what of its state meets "
            "recurrent weights is not known; apply the mask in its step"
        )
    if zoneout is not None:
        names = cell.state_names
        if not isinstance(zoneout, tuple) or len(zoneout) != len(names):
            raise InputError(
                f"zoneout: expected a tuple of a mask or None for each of ({', '.join(names)}), "
                f"got {zoneout!r}"
            )
        for name, mask, size in zip(names, zoneout, cell.state_sizes, strict=True):
            expected[f"zoneout ({name})"] = (mask, (num_steps, batch, size))
    for name, (mask, shape) in expected.items():
        if mask is None:
            continue
        if tuple(mask.shape) != shape:
            raise InputError(f"{name}: expected shape {shape}, got {tuple(mask.shape)}")
        allowed = (x_TBI.dtype, bool_) if len(shape) == 3 else (x_TBI.dtype,)
        if mask.dtype not in allowed or mask.device != x_TBI.device:
            raise InputError(
                f"{name}: it is {mask.dtype} on {mask.device}, the input {x_TBI.dtype} on "
                f"{x_TBI.device}"
            )


def choose(cell: Cell, x_TBI: Tensor, how: How | None = None, *, engine: str | None = None) -> str:
    """Return the name of the engine that `unroll` would use; arguments and errors are its own."""
    how = How() if how is None else how
    wanted = _asked() if engine is None else engine
    for name in ENGINES if wanted is None else [_known(wanted)]:
        reason = ENGINES[name].unavailable() or ENGINES[name].refuses(cell, x_TBI, how)
        if reason is None:
            return name
        if name == wanted:
            raise InputError(f"engine {name!r} cannot run this: {reason}")
    raise AssertionError("the reference engine runs everything")


def steps_natively() -> bool:
    """Whether a layer's step may go straight to the native kernel, past this door.

    It may unless something here wants to know of it: gradients of either mode, a forced engine, a
    record, a compiler. Tensors that torch's other transforms wrap have no memory, which the kernel
    sees for itself.
    """
    return not (
        is_compiling()
        or is_grad_enabled()
        or _context.get() is not _plain
        or _is_any_autocast_enabled()
        or _get_tracing_state() is not None
        or forward_ad._current_level >= 0
    )


def _asked() -> str | None:
    return _context.get().forced


# torch.compile cannot trace a context variable: it calls this once, while it traces. So the engine
# forced then is the compiled program's for good.
_asked._dynamo_marked_constant = True  # pyright: ignore[reportFunctionMemberAccess]


def _watcher() -> Watcher | None:
    return None if is_compiling() else _context.get().watcher


def _note(name: str) -> None:
    if is_compiling():
        return
    for names in _context.get().records:
        names.add(name)


@contextmanager
def engine(name: str) -> Iterator[None]:
    """Force one engine, by name, for everything that runs inside the `with` block.

    Raises:
        InputError: if the engine is unknown or this machine cannot run it; and, inside the
            block, where it cannot run a call.
    """
    reason = ENGINES[_known(name)].unavailable()
    if reason is not None:
        raise InputError(f"engine {name!r} cannot run here: {reason}")
    token = _context.set(_context.get()._replace(forced=name))
    try:
        yield
    finally:
        _context.reset(token)


@contextmanager
def record() -> Iterator[set[str]]:
    """Collect the names of the engines that run inside the `with` block."""
    names: set[str] = set()
    context = _context.get()
    token = _context.set(context._replace(records=(*context.records, names)))
    try:
        yield names
    finally:
        _context.reset(token)


@contextmanager
def watching(watcher: Watcher) -> Iterator[None]:
    """Let `watcher` see every step of every unrolling inside the `with` block, and change it.

    It is called with the arguments of each unrolling, and returns a function that is called with
    each step's place in time, its output and the state after it, and returns what is to stand for
    the two. All runs in the reference engine, and everything is kept for the backward pass.
    """
    token = _context.set(_context.get()._replace(watcher=watcher))
    try:
        yield
    finally:
        _context.reset(token)


def available_engines() -> dict[str, str | None]:
    """Return each engine's name, fastest first, with why it cannot run here or None if it can."""
    return {name: module.unavailable() for name, module in ENGINES.items()}


def _known(name: str) -> str:
    if name not in ENGINES:
        raise unknown("engine", name, ENGINES)
    return name
