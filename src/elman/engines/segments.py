"""Exact backpropagation through time in less memory: a sequence in segments, run again backwards.

Forward, each segment of some √T steps runs as without gradients, and only the states between them
are kept; backward, from the last to the first, each runs again, with all that its gradients need.
So memory grows with √T (Chen et al., 2016; Gruslys et al., 2016), beside what goes in and out.
Shapes: T time, B batch, I input features, H output features.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from elman.cells import Cell, State
from elman.engines import native
from elman.errors import InputError

# Run the steps from `begin` to `end`: run(cells, x of these, the state before, begin, end).
Run = Callable[[Sequence[Cell], Tensor, State, int, int], tuple[Tensor, State]]


@dataclass(frozen=True)
class Plan:
    """What is run, in which segments, and with which tensors beside the input and the state.

    Attributes:
        run: one segment.
        cells: what it runs.
        more: further modules it computes with.
        spans: the segments' first steps and ends, in the order in which they run.
    """

    run: Run
    cells: Sequence[Cell]
    more: Sequence[nn.Module]
    spans: Sequence[tuple[int, int]]

    def tensors(self) -> list[Tensor]:
        """Return the tensors that are computed with."""
        return tensors_of(self.cells, self.more)

    def again(self) -> tuple[list[Cell], list[Tensor]]:
        """Return the cells, for running them again, and the tensors they then compute with.

        Weights that a cell names are leaves of their own: what they were made of, and the hooks on
        them, are the affair of the pass that this one is part of.
        """
        leaves: dict[int, Tensor] = {}
        cells = []
        for cell in self.cells:
            bound = {name: getattr(cell, name) for name in getattr(cell, "weight_names", ())}
            for tensor in bound.values():
                leaf = tensor.detach().requires_grad_(tensor.requires_grad)
                leaves.setdefault(id(tensor), leaf)
            cells.append(cell.bind({name: leaves[id(t)] for name, t in bound.items()}))
        return cells, [leaves.get(id(tensor), tensor) for tensor in self.tensors()]


def spans(num_steps: int, reverse: bool) -> list[tuple[int, int]]:
    """Return segments of about 2√T steps, in the order in which they run.

    What a segment costs beside its steps is so paid half as often as with √T of them, and memory
    grows no faster.
    """
    each = 2 * math.ceil(math.sqrt(num_steps))
    found = [(begin, min(begin + each, num_steps)) for begin in range(0, num_steps, each)]
    return found[::-1] if reverse else found


def lengths_within(lengths: Tensor | None, begin: int, end: int) -> Tensor | None:
    """Return how many steps of a segment are real in each row; None: all of them."""
    if lengths is None:
        return None
    within = (lengths - begin).clamp(0, end - begin)
    return None if bool((within == end - begin).all()) else within


def tensors_of(cells: Sequence[Cell], more: Sequence[nn.Module] = ()) -> list[Tensor]:
    """Return the tensors that cells compute with, bound ones or their own parameters, each once."""
    found = [tensor for cell in cells for tensor in getattr(cell, "weights", ())]
    for module in (*cells, *more):
        # A parameter that another tensor is bound over is not computed with.
        own = (p for name, p in module.named_parameters() if name not in vars(module))
        found.extend(own)
    return list({id(tensor): tensor for tensor in found}.values())


def run_in_segments(plan: Plan, x_TBI: Tensor, state: State) -> tuple[Tensor, State]:
    """Return the outputs (T, B, H) and the state after the last segment."""
    y_TBH, *last = _Segments.apply(plan, len(state), x_TBI, *state, *plan.tensors())
    return y_TBH, tuple(last)


class _Segments(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, plan: Plan, num_parts: int, *given: Tensor) -> tuple[Tensor, ...]:
        x_TBI, state, tensors = given[0], given[1 : 1 + num_parts], given[1 + num_parts :]
        ctx.plan, ctx.num_parts, ctx.tensors_given = plan, num_parts, tensors
        ctx.autocast, ctx.random = _autocast(x_TBI.device.type), []
        starts: list[State] = []
        y_TBH = None
        for begin, end in plan.spans:
            starts.append(state)
            ctx.random.append(_random_state(x_TBI.device))
            y_SBH, state = plan.run(plan.cells, x_TBI[begin:end], state, begin, end)
            if y_TBH is None:
                y_TBH = native.memory_like(y_SBH, len(x_TBI))
            y_TBH[begin:end] = y_SBH
        assert y_TBH is not None
        # The tensors are saved for torch to notice where one is changed before the backward pass.
        kept = (part for start in starts for part in start)
        ctx.save_for_backward(x_TBI, *kept, *tensors)
        ctx.set_materialize_grads(False)
        # An input must not be an output, too: of a row without a step, the state is as it was.
        mine = {id(tensor) for tensor in given}
        return y_TBH, *(part.clone() if id(part) in mine else part for part in state)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor | None) -> Any:
        d_y_TBH, *d_last = gradients
        plan: Plan = ctx.plan
        tensors = plan.tensors()
        same = zip(tensors, ctx.tensors_given, strict=True)
        if not all(now is then for now, then in same):
            raise InputError(
                "memory: the parameters are others than they were forward, as functional_call "
                "leaves them, so that nothing can be run again; use memory='all'"
            )
        x_TBI, *saved = ctx.saved_tensors
        needs_x, *needs_rest = ctx.needs_input_grad[2:]
        needs_state, needs_tensors = needs_rest[: ctx.num_parts], needs_rest[ctx.num_parts :]
        if torch.is_grad_enabled():
            # These gradients are to be differentiated: all at once, with a graph of their own.
            state = tuple(saved[: ctx.num_parts])
            with ctx.autocast(), _random(x_TBI.device, ctx.random[0]):
                y_TBH, last = plan.run(plan.cells, x_TBI, state, 0, len(x_TBI))
            inputs = [x_TBI, *state, *tensors]
            found = _gradients((y_TBH, *last), (d_y_TBH, *d_last), inputs, create_graph=True)
            return None, None, *found
        cells, tensors = plan.again()
        wanted = [t for t, needs in zip(tensors, needs_tensors, strict=True) if needs]
        d_x_TBI = torch.empty_like(x_TBI) if needs_x else None
        d_state: list[Tensor | None] = list(d_last)
        d_wanted: list[Tensor | None] = [None] * len(wanted)
        for index in reversed(range(len(plan.spans))):
            begin, end = plan.spans[index]
            start = saved[index * ctx.num_parts : (index + 1) * ctx.num_parts]
            needs_start = needs_state if index == 0 else [True] * ctx.num_parts
            d_y = None if d_y_TBH is None else d_y_TBH[begin:end]
            with torch.enable_grad(), ctx.autocast(), _random(x_TBI.device, ctx.random[index]):
                x_SBI = x_TBI[begin:end].detach().requires_grad_(needs_x)
                state = [
                    part.detach().requires_grad_(needs)
                    for part, needs in zip(start, needs_start, strict=True)
                ]
                y_SBH, last = plan.run(cells, x_SBI, tuple(state), begin, end)
            inputs = [x_SBI, *state, *wanted]
            found = _gradients((y_SBH, *last), (d_y, *d_state), inputs)
            if d_x_TBI is not None:
                d_x_TBI[begin:end] = 0 if found[0] is None else found[0]
            d_state = found[1 : 1 + ctx.num_parts]
            d_wanted = [
                _sum(*both) for both in zip(d_wanted, found[1 + ctx.num_parts :], strict=True)
            ]
        each = iter(d_wanted)
        return None, None, d_x_TBI, *d_state, *(next(each) if n else None for n in needs_tensors)


def _gradients(
    outputs: Sequence[Tensor],
    d_outputs: Sequence[Tensor | None],
    inputs: Sequence[Tensor],
    create_graph: bool = False,
) -> list[Tensor | None]:
    """Return the gradients of those inputs that have and want one, None of the others."""
    given = [
        (output, d_output)
        for output, d_output in zip(outputs, d_outputs, strict=True)
        if d_output is not None and output.requires_grad
    ]
    places = [place for place, tensor in enumerate(inputs) if tensor.requires_grad]
    found: list[Tensor | None] = [None] * len(inputs)
    if given and places:
        with _without_hooks(inputs):
            gradients = torch.autograd.grad(
                [output for output, _ in given],
                [inputs[place] for place in places],
                [d_output for _, d_output in given],
                allow_unused=True,
                create_graph=create_graph,
            )
        for place, gradient in zip(places, gradients, strict=True):
            found[place] = gradient
    return found


@contextmanager
def _without_hooks(tensors: Sequence[Tensor]) -> Iterator[None]:
    """Inside the block no hook of the tensors is called: theirs is the sum of all segments."""
    there = [tensor._backward_hooks for tensor in tensors if tensor._backward_hooks]
    kept = [dict(hooks) for hooks in there]
    for hooks in there:
        hooks.clear()
    try:
        yield
    finally:
        for hooks, before in zip(there, kept, strict=True):
            hooks.update(before)


def _sum(total: Tensor | None, more: Tensor | None) -> Tensor | None:
    # Not in place: what autograd returns may belong to somebody else, too.
    if total is None or more is None:
        return more if total is None else total
    return total + more


def _autocast(device: str) -> Callable[[], Any]:
    """Return what enters again the autocast there is now."""
    enabled = torch.is_autocast_enabled(device)
    if not enabled:
        return nullcontext
    return partial(torch.autocast, device, torch.get_autocast_dtype(device))


# A cell may draw random numbers in its step: run again, it is to draw the same.
def _random_state(device: torch.device) -> tuple[Tensor, ...]:
    cpu = torch.get_rng_state()
    if device.type == "cpu":
        return (cpu,)
    return cpu, torch.get_device_module(device).get_rng_state()


@contextmanager
def _random(device: torch.device, state: tuple[Tensor, ...]) -> Iterator[None]:
    """Inside the block random numbers go on from a state, and outside as if there were no block."""
    before = _random_state(device)
    _set_random_state(device, state)
    try:
        yield
    finally:
        _set_random_state(device, before)


def _set_random_state(device: torch.device, state: tuple[Tensor, ...]) -> None:
    torch.set_rng_state(state[0])
    if len(state) > 1:
        torch.get_device_module(device).set_rng_state(state[1])
