"""How far an answer still depends on an input k steps back: that input is replaced, and one sees.

What a recurrent layer reads at the step is replaced by what another row reads there, so that an
embedding or a convolution before it need not be known. Two things are measured, by lag: by how much
the layer's output changes at the step asked about, beside the difference between two rows' outputs
there (1: as much as if all were another row's); and by how much the loss of that step rises.

Legend: B rows, T steps, I input features, H output features, U steps of the losses, K lags.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from elman.diagnosis.flow import evaluating, questions
from elman.diagnosis.tape import stacks_of
from elman.kinds.probe import Probe
from elman.layers import Stack

_ASKED = (-1, -3, -5)  # of the questions, late ones, before which there is much to forget


@dataclass(frozen=True)
class Influence:
    """How a layer's answers depend on its input k steps back.

    Attributes:
        stack, label: the layer's name in the network, and in words.
        lags: how many steps back, 0 the step itself.
        changed: change of its output at the step asked about, beside the difference between rows.
        rise: by how much the loss rises.
        loss: the loss as it is.
    """

    stack: str
    label: str
    lags: tuple[int, ...]
    changed: tuple[float, ...]
    rise: tuple[float, ...]
    loss: float

    def reach(self, share: float) -> int | None:
        """Return the longest lag at which the output changes by this share; None: at none."""
        lags = [lag for lag, change in zip(self.lags, self.changed, strict=True) if change >= share]
        return max(lags, default=None)


@dataclass
class _Listener:
    """Sits at a stack's door: replaces an input, keeps what comes out, in `(B, T, ...)`."""

    stack: Stack
    place_B: Tensor | None = None  # the step of each row whose input is replaced; -1: none
    shape: tuple[int, int] | None = None
    output_BTH: Tensor | None = None
    calls: int = 0
    lengths: Any = field(default=None)

    def before(self, module: nn.Module, args: Any, kwargs: Any) -> Any:
        self.calls += 1
        x = args[0] if args else kwargs["input"]
        if not isinstance(x, Tensor) or x.dim() != 3:
            return None
        x_BTI = x if self.stack.batch_first else x.transpose(0, 1)
        self.shape, self.lengths = (x_BTI.shape[0], x_BTI.shape[1]), kwargs.get("lengths")
        if self.place_B is None:
            return None
        x_BTI = _replaced(x_BTI, self.place_B.to(x.device), self.lengths)
        x = x_BTI if self.stack.batch_first else x_BTI.transpose(0, 1)
        if args:
            return (x, *args[1:]), kwargs
        return args, {**kwargs, "input": x}

    def after(self, module: nn.Module, args: Any, output: Any) -> None:
        if isinstance(output[0], Tensor) and output[0].dim() == 3:
            y = output[0].detach()
            self.output_BTH = y if self.stack.batch_first else y.transpose(0, 1)


def influences(network: nn.Module, probe: Probe) -> list[Influence]:
    """Measure each layer that is run once, over whole sequences; others are left out."""
    found = []
    for name, label, stack in stacks_of(network):
        with torch.no_grad(), evaluating(network), _listening(stack) as listener:
            influence = _of(network, probe, name, label, listener)
        if influence is not None:
            found.append(influence)
    return found


def _of(
    network: nn.Module, probe: Probe, name: str, label: str, listener: _Listener
) -> Influence | None:
    plain_BU = probe.losses(network)
    output_BTH, shape = listener.output_BTH, listener.shape
    if listener.calls != 1 or output_BTH is None or shape is None:
        return None
    batch, steps = shape
    if batch < 2 or steps < 2 or len(plain_BU) != batch:
        return None
    asked_QB = questions(plain_BU, probe.lengths, None)
    asked_QB = asked_QB[[place for place in _ASKED if -place <= len(asked_QB)]]
    aligned = _is_aligned(probe, name, steps, plain_BU.shape[1])
    lengths_B = torch.full((batch,), steps)
    if listener.lengths is not None:
        lengths_B = torch.as_tensor(listener.lengths).cpu().long()
    lags = _lags(steps)
    sums: list[list[float]] = [[0.0, 0.0, 0.0] for _ in lags]
    other_B = torch.arange(batch).roll(-1)
    apart = 0.0
    for asked_B in asked_QB:
        anchor_B = asked_B if aligned else lengths_B - 1
        known_B = (asked_B >= 0) & (anchor_B >= 0)
        shown_BH = _at(output_BTH, anchor_B)
        # The other row's output at that step, or where it ends, if it ends before.
        others = _at(output_BTH[other_B], torch.minimum(anchor_B, lengths_B[other_B] - 1))
        apart += float((shown_BH - others).norm(dim=1)[known_B].sum()) / max(1, int(known_B.sum()))
        for place, lag in enumerate(lags):
            counted_B = known_B & (anchor_B >= lag)
            if not bool(counted_B.any()):
                continue
            listener.place_B = torch.where(counted_B, anchor_B - lag, -1)
            losses_BU = probe.losses(network)
            assert listener.output_BTH is not None
            change_B = (_at(listener.output_BTH, anchor_B) - shown_BH).norm(dim=1)
            rise_B = _at(losses_BU, asked_B) - _at(plain_BU, asked_B)
            sums[place][0] += float(change_B[counted_B].sum())
            sums[place][1] += float(rise_B[counted_B].sum())
            sums[place][2] += int(counted_B.sum())
        listener.place_B = None
    apart /= len(asked_QB)
    measured = [(lag, *each) for lag, each in zip(lags, sums, strict=True) if each[2]]
    if not measured or not apart > 0:
        return None
    late = [float(_at(plain_BU, asked_B)[asked_B >= 0].mean()) for asked_B in asked_QB]
    return Influence(
        name,
        label,
        tuple(lag for lag, *_ in measured),
        tuple(change / count / apart for _, change, _, count in measured),
        tuple(rise / count for _, _, rise, count in measured),
        sum(late) / len(late),
    )


def _is_aligned(probe: Probe, name: str, steps: int, asked: int) -> bool:
    if probe.answers is None:
        return steps == asked
    return f"{name}.".startswith(f"{probe.answers}.")


def _lags(steps: int) -> list[int]:
    """Return 0, 1, 2, 3, 4, 6, 8, 12, ... below the number of steps."""
    doubled = {2**power for power in range(steps.bit_length())}
    between = {3 * 2**power for power in range(steps.bit_length())}
    return [lag for lag in sorted({0} | doubled | between) if lag < steps]


def _at(values_BT: Tensor, place_B: Tensor) -> Tensor:
    place_B = place_B.clamp(min=0).to(values_BT.device)
    return values_BT[torch.arange(len(values_BT), device=values_BT.device), place_B]


def _replaced(x_BTI: Tensor, place_B: Tensor, lengths: Any) -> Tensor:
    """Return the batch with each row's input at a step replaced by the next row's there."""
    batch, steps = x_BTI.shape[:2]
    ends_B = torch.full((batch,), steps - 1, device=x_BTI.device)
    if lengths is not None:
        ends_B = (torch.as_tensor(lengths, device=x_BTI.device).long() - 1).clamp(min=0)
    rows_B = (place_B >= 0).nonzero().squeeze(1)
    other_B = (rows_B + 1) % batch
    there_B = torch.minimum(place_B[rows_B], ends_B[other_B])
    x_BTI = x_BTI.clone()
    x_BTI[rows_B, place_B[rows_B]] = x_BTI[other_B, there_B].clone()
    return x_BTI


@contextmanager
def _listening(stack: Stack) -> Iterator[_Listener]:
    listener = _Listener(stack)
    handles = [
        stack.register_forward_pre_hook(listener.before, with_kwargs=True),
        stack.register_forward_hook(listener.after),
    ]
    try:
        yield listener
    finally:
        for handle in handles:
            handle.remove()
