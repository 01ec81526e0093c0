"""Engines: ways of running a cell through time, behind one door, `unroll`.

An engine is a module with three functions: `unavailable` and `refuses`, which answer with a
reason or None, and `unroll`. Adding one is adding its line to `ENGINES`.
Shapes: T time, B batch, I input features, H output features.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Protocol

from torch import Tensor

from elman.cells import Cell, State
from elman.engines import aten, reference
from elman.errors import InputError, unknown

__all__ = ["ENGINES", "Engine", "available_engines", "choose", "engine", "record", "unroll"]


class Engine(Protocol):
    """What an engine's module holds."""

    def unavailable(self) -> str | None:
        """Return why this machine cannot run the engine, or None."""
        ...

    def refuses(
        self, cell: Cell, x_TBI: Tensor, *, lengths: Tensor | None, reverse: bool
    ) -> str | None:
        """Return why the engine cannot run this call, or None."""
        ...

    def unroll(
        self, cell: Cell, x_TBI: Tensor, state: State, *, lengths: Tensor | None, reverse: bool
    ) -> tuple[Tensor, State]:
        """Run the cell over time."""
        ...


# Fastest first; the last one runs everything.
ENGINES: dict[str, Engine] = {"aten": aten, "reference": reference}

_forced: ContextVar[str | None] = ContextVar("forced engine", default=None)
_records: ContextVar[tuple[set[str], ...]] = ContextVar("records of engines", default=())


def unroll(
    cell: Cell,
    x_TBI: Tensor,
    state: State,
    *,
    lengths: Tensor | None = None,
    reverse: bool = False,
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
        engine: the one to use; None takes the one forced by `engine(...)`, or chooses.

    Returns:
        The outputs (T, B, H), zero past a row's end, and the state after each row's last step
        read, which is its initial state where the length is 0.

    Raises:
        InputError: if the engine asked for is unknown or cannot run this.
    """
    name = choose(cell, x_TBI, lengths=lengths, reverse=reverse, engine=engine)
    for names in _records.get():
        names.add(name)
    return ENGINES[name].unroll(cell, x_TBI, state, lengths=lengths, reverse=reverse)


def choose(
    cell: Cell,
    x_TBI: Tensor,
    *,
    lengths: Tensor | None = None,
    reverse: bool = False,
    engine: str | None = None,
) -> str:
    """Return the name of the engine that `unroll` would use; arguments and errors are its own."""
    wanted = _forced.get() if engine is None else engine
    for name in ENGINES if wanted is None else [_known(wanted)]:
        reason = ENGINES[name].unavailable() or ENGINES[name].refuses(
            cell, x_TBI, lengths=lengths, reverse=reverse
        )
        if reason is None:
            return name
        if name == wanted:
            raise InputError(f"engine {name!r} cannot run this: {reason}")
    raise AssertionError("the reference engine runs everything")


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
    token = _forced.set(name)
    try:
        yield
    finally:
        _forced.reset(token)


@contextmanager
def record() -> Iterator[set[str]]:
    """Collect the names of the engines that run inside the `with` block."""
    names: set[str] = set()
    token = _records.set((*_records.get(), names))
    try:
        yield names
    finally:
        _records.reset(token)


def available_engines() -> dict[str, str | None]:
    """Return each engine's name, fastest first, with why it cannot run here or None if it can."""
    return {name: module.unavailable() for name, module in ENGINES.items()}


def _known(name: str) -> str:
    if name not in ENGINES:
        raise unknown("engine", name, ENGINES)
    return name
