"""Watches training for gradients that explode, vanish or stop, and says so once, with what helps.

It is fed with what the loop knows of each step anyway, the loss and the gradient's norm. For what
the norm cannot show, that gradients do not reach early steps, it listens for two mini-batches an
epoch to the gradient that comes out of a recurrent layer at its input, which the backward pass
makes on its way: nothing is computed twice.

Legend: T steps, B rows, I input features.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from statistics import median
from typing import Any

import torch
from torch import Tensor, nn

from elman.layers import Stack
from elman.training.observer import Observer

# A thousandfold of the median outweighs all other steps' that Adam remembers; one may be one bad
# row, three are none.
_REMEMBERED, _ENOUGH = 100, 20
_EXPLODED, _TIMES = 1e3, 3
# Back through time: early steps' gradient beside that of the middle ones, and theirs beside that of
# the last; one step that matters more than others is no growth, and does not do both.
_GROWN = 30
# So small beside the loss, a gradient is lost in the rounding of float32 (6e-8) of what it changes.
_STOPPED = 1e-8
_STOPPED_STEPS = 50
# Less than this of the largest gradient reaches the first steps: over a run of 10,000 steps of
# Adam it does not add up to one of the others.
_VANISHED = 1e-7
_LONG = 20  # steps, below which nothing is far back
_LISTENED = 2  # mini-batches of an epoch
# Nothing is learnt: the training loss fell by less than 2% in 3 epochs, and by less than a fifth
# since the third epoch, by which a network without any memory answers the mean. One that has learnt
# what there is stands still as well, far below; whatever vanishes there is not needed.
_EPOCHS, _FALL, _FALL_IN_ALL = 3, 0.02, 0.2
_SILENT = 4  # mini-batches without any gradient at a layer's input


class Watch:
    """Hears of steps and epochs; tells the observer, each kind of trouble once.

    Args:
        network: whose recurrent layers are listened to.
        observer: is told.
        clip_norm: the limit on the gradient's norm that is in use, 0 or None for none.
    """

    def __init__(self, network: nn.Module, observer: Observer, clip_norm: float | None) -> None:
        self._stacks = [each for each in network.modules() if isinstance(each, Stack)]
        self._rnn = any(_is_plain(stack) for stack in self._stacks)
        self._observer, self._clip_norm = observer, clip_norm
        self._norms: deque[float] = deque(maxlen=_REMEMBERED)
        self._told: set[str] = set()
        self._exploded = self._grown = self._stopped = self._silent = 0
        self._losses: dict[int, float] = {}
        self._reached: list[tuple[float, int]] = []

    @contextmanager
    def listening(self, batch: int) -> Iterator[None]:
        """Listen to a mini-batch's backward pass, if it is one of the first of its epoch.

        Args:
            batch: its number in the epoch, from 0.
        """
        if batch >= _LISTENED or "vanish" in self._told or not self._stacks:
            yield
            return
        handles = [
            stack.register_forward_pre_hook(self._attach, with_kwargs=True)
            for stack in self._stacks
        ]
        try:
            yield
        finally:
            for handle in handles:
                handle.remove()

    def step(self, loss: float, norm: float) -> None:
        """Take note of one mini-batch: its loss, and the norm of its gradient before clipping."""
        if len(self._norms) >= _ENOUGH:
            usual = median(self._norms)
            self._exploded += norm > _EXPLODED * usual
            if self._exploded >= _TIMES:
                what = f"a norm of {norm:.3g} where {usual:.3g} is usual, {_TIMES} times so far"
                self._tell("explode", self._explosion(what))
        self._stopped = self._stopped + 1 if norm <= _STOPPED * abs(loss) and loss else 0
        if self._stopped >= _STOPPED_STEPS:
            self._tell("stop", _STOP.format(norm=norm, loss=loss, steps=_STOPPED_STEPS))
        self._norms.append(norm)

    def epoch(self, number: int, loss: float) -> None:
        """Take note of an epoch, counted from 1, and its training loss."""
        self._losses[number] = loss
        reached, self._reached = self._reached, []
        # A resumed run does not know where it began, and is told nothing.
        first, before = self._losses.get(_EPOCHS), self._losses.get(number - _EPOCHS)
        if not reached or first is None or before is None:
            return
        if loss < (1 - _FALL) * before or loss < (1 - _FALL_IN_ALL) * first:
            return
        # The layer that is reached best has the last word: the others read what it gave.
        share, steps = max(reached)
        if share < _VANISHED:
            self._tell("vanish", self._vanishing(share, steps))

    def _attach(self, module: nn.Module, args: Any, kwargs: Mapping[str, Any]) -> Any:
        """Ask for the gradient at a layer's input."""
        x = args[0] if args else None
        if not isinstance(x, Tensor) or x.dim() != 3 or not torch.is_grad_enabled():
            return None
        batch_first = bool(getattr(module, "batch_first", False))
        if not x.requires_grad:
            x = x.detach().requires_grad_()

        def hear(gradient: Tensor) -> None:
            g_TBI = gradient.detach().transpose(0, 1) if batch_first else gradient.detach()
            by_step_T = torch.linalg.vector_norm(g_TBI.double(), dim=(1, 2))
            largest, steps = float(by_step_T.max()), len(by_step_T)
            self._silent = 0 if largest else self._silent + 1
            if self._silent >= _SILENT:
                self._tell("stop", _DEAD)
            if steps < _LONG or not 0 < largest < math.inf:
                return
            both = getattr(module, "bidirectional", False)
            if not both:
                self._compare_thirds(by_step_T)
            # The middle is the furthest from both ends that two directions start from.
            start = (steps - steps // 10) // 2 if both else 0
            furthest = float(by_step_T[start : start + steps // 10].max())
            self._reached.append((furthest / largest, steps))

        x.register_hook(hear)
        return (x, *args[1:]), kwargs

    def _compare_thirds(self, by_step_T: Tensor) -> None:
        """Take note of whether the gradient grows all the way back."""
        early, middle, late = (
            float(third.clamp(min=torch.finfo(torch.double).tiny).log().mean())
            for third in by_step_T.tensor_split(3)
        )
        self._grown += min(early - middle, middle - late) > math.log(_GROWN)
        if self._grown >= _TIMES:
            times, steps = math.exp(min(early - late, 600.0)), len(by_step_T)
            what = f"of {steps} steps the first get {times:.0e} times the gradient of the last"
            self._tell("explode", self._explosion(what))

    def _explosion(self, what: str) -> str:
        if self._clip_norm:
            helps = f"--clip-norm {self._clip_norm:g} limits them; a lower --learning-rate"
        else:
            helps = "--clip-norm 1 limits them; also a lower --learning-rate"
        helps += ", --init orthogonal" + (" or --cell lstm" if self._rnn else "")
        return f"gradients explode: {what}; {helps} may help"

    def _vanishing(self, share: float, steps: int) -> str:
        helps = "--cell lstm or gru" if self._rnn else f"--chrono {steps} or --cell lru"
        return (
            f"gradients vanish: of {steps} steps the first get {share:.0e} of the gradient of the "
            f"others, and nothing is learnt; {helps}, --init orthogonal may help; `elman diagnose` "
            "shows more"
        )

    def _tell(self, kind: str, text: str) -> None:
        if kind not in self._told:
            self._told.add(kind)
            self._observer.message(text, warning=True)


_DEAD_UNITS = (
    "; units may be dead or saturated: start a new run with a lower --learning-rate, "
    "--nonlinearity tanh or --layer-norm; `elman diagnose` shows more"
)
_STOP = (
    "gradients stopped: for {steps} steps their norm was at most {norm:.1g} with a loss of "
    "{loss:.3g}, so nothing is learnt" + _DEAD_UNITS
)
_DEAD = "gradients stopped: none passes the recurrent layer, which learns no more" + _DEAD_UNITS


def _is_plain(stack: Stack) -> bool:
    return type(stack).__name__ == "RNN"
