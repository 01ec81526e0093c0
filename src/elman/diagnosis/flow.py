"""How far gradients reach: the gradient of the loss at step t with respect to the state k before.

In a recurrent network that gradient is a product of k Jacobians, so it shrinks or grows by a factor
a step (Hochreiter, 1991; Bengio, Simard and Frasconi, 1994; Pascanu, Mikolov and Bengio, 2013).
Here it is measured, row by row: one backward pass from the losses of a step of each row gives the
gradients with respect to all states before it at once.

Legend: B rows, T steps of a layer, U steps of the losses, Q questions (a step of each row, whose
loss is asked about), K lags.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from elman.cells import State
from elman.diagnosis.tape import Place, Tape, Track
from elman.errors import InputError
from elman.kinds.probe import Probe
from elman.layers import Stack
from elman.training.randomness import own_randomness

QUESTIONS = 8  # steps of each row whose loss is asked about
_FEWEST = 0.02  # of all pairs of question and row that a lag needs to be counted
_SHOWN = 120  # lags of a heat map


@dataclass(frozen=True)
class LayerFlow:
    """Gradients with respect to one cell's states.

    Attributes:
        place: which cell.
        ahead: whether lags count steps from a row's end backwards in the order of reading, because
            the cell reads backwards.
        curve_K: mean over rows and questions of the gradient's norm, by lag, from lag 0.
        map_QK: the same of each question alone, early steps first; NaN where none reaches so far.
        map_lags: the lags of `map_QK`'s columns.
        asked: the mean step of each question, of `map_QK`'s rows.
    """

    place: Place
    ahead: bool
    curve_K: np.ndarray
    map_QK: np.ndarray
    map_lags: np.ndarray
    asked: np.ndarray

    @property
    def reach(self) -> int:
        """The longest lag that was measured."""
        return len(self.curve_K) - 1

    @property
    def halved(self) -> int | None:
        """The first lag from which on the gradient stays at most half of that at lag 1.

        The state at lag 1 is the one that the step asked about was handed: what came before that
        it can only know through this one. None: it does not stay below half as far as measured.
        """
        return self.below(0.5)

    def below(self, share: float) -> int | None:
        """Return the first lag from which on at most this share of the gradient at lag 1 is left.

        None: more is left at the longest lag, or there is no lag 1.
        """
        if self.reach < 1 or not self.curve_K[1] > 0:
            return None
        above = np.flatnonzero(self.curve_K > share * self.curve_K[1])
        last = int(above[-1])
        return None if last == self.reach else max(last + 1, 1)

    def ratio(self, lag: int) -> float | None:
        """Return the gradient at a lag as a multiple of that at lag 1; None if not measured."""
        if not 1 <= lag <= self.reach or not self.curve_K[1] > 0:
            return None
        return float(self.curve_K[lag] / self.curve_K[1])


@dataclass(frozen=True)
class GradientFlow:
    """How far gradients reach in a network.

    Attributes:
        layers: of each cell, in the order of the network's modules.
        rows, questions: of how many rows, how many steps each, the loss was asked about.
    """

    layers: tuple[LayerFlow, ...]
    rows: int
    questions: int

    def __getitem__(self, name: str) -> LayerFlow:
        """Return the cell of that name, as `place.name` says it."""
        names = {layer.place.name: layer for layer in self.layers}
        if name not in names:
            raise KeyError(f"{name!r}; there are {', '.join(map(repr, names))}")
        return names[name]

    def __str__(self) -> str:
        """Say of each cell how far its gradients reach, a line each."""
        return "\n".join(describe(layer) for layer in self.layers)


def describe(layer: LayerFlow) -> str:
    """Return how far a cell's gradients reach, in words."""
    name = f"{layer.place.name}: " if layer.place.name else ""
    if layer.reach < 1:
        return f"{name}one step: there is nothing to remember"
    if not layer.curve_K[1] > 0:
        return f"{name}no gradient reaches the step before"
    if layer.halved is None:
        left = layer.ratio(layer.reach)
        return f"{name}the gradient has not halved after {layer.reach} steps ({left:.2g} of it)"
    return (
        f"{name}the gradient has halved after {layer.halved} step{'s' * (layer.halved > 1)}, and "
        f"is {layer.ratio(layer.reach):.1g} of it after {layer.reach}"
    )


def gradient_flow(
    module: nn.Module,
    batch: Any,
    loss: Callable[[Any], Tensor] | None = None,
    *,
    lengths: Tensor | Sequence[int] | None = None,
    at: Sequence[int] | None = None,
    batch_first: bool | None = None,
) -> GradientFlow:
    """Measure how far gradients reach back through a network's states.

    All runs in the reference engine, in evaluation mode (without dropout), in the network's dtype,
    and nothing of the network is changed. Memory: what autograd keeps of T steps of B rows, some
    ten times their states; time: a forward pass and one backward pass for each step asked about.

    Args:
        module: any torch module with layers of Elman's in it, user cells in `elman.Recurrent`
            among them.
        batch: what it takes: a tensor, a tuple of arguments, or a mapping of keywords.
        loss: from what the module returns to losses: `(T, B)` or, batch first, `(B, T)`, one a
            step; or `(B,)`, one a row, at its end. Not given: half the squared norm of the
            module's (first) output at each step.
        lengths: real steps of each row's losses, `(B,)`; not given: all are.
        at: steps whose loss is asked about, the same of each row. Not given: 8 of each row,
            spread over it, the last one among them, drawn by a generator of their own.
        batch_first: whether losses are `(B, T)`; not given: as the first recurrent layer has it.

    Raises:
        InputError: there is no layer of Elman's, or the losses or `at` do not fit.
    """
    probe = as_probe(module, batch, loss, lengths, batch_first)
    return flow_of(module, probe, at=at)[0]


def as_probe(
    module: nn.Module,
    batch: Any,
    loss: Callable[[Any], Tensor] | None,
    lengths: Tensor | Sequence[int] | None,
    batch_first: bool | None,
) -> Probe:
    """Return the probe that the arguments of `gradient_flow` describe."""
    if batch_first is None:
        stacks = (each for each in module.modules() if isinstance(each, Stack))
        batch_first = any(stack.batch_first for stack in stacks)
    judge = _half_square if loss is None else loss

    def losses(network: nn.Module) -> Tensor:
        match batch:
            case Mapping():
                output = network(**batch)
            case tuple():
                output = network(*batch)
            case _:
                output = network(batch)
        found = judge(output)
        if not isinstance(found, Tensor) or found.dim() not in (1, 2):
            got = tuple(found.shape) if isinstance(found, Tensor) else type(found).__name__
            raise InputError(
                f"loss: expected losses of shape {'(B, T)' if batch_first else '(T, B)'}, one a "
                f"step, or (B,), one a row; got {got}; do not take their mean"
            )
        if found.dim() == 1:
            return found.unsqueeze(1)
        return found if batch_first else found.T

    return Probe(losses, None if lengths is None else torch.as_tensor(lengths).cpu())


def _half_square(output: Any) -> Tensor:
    while isinstance(output, tuple | list):
        output = output[0]
    if not isinstance(output, Tensor) or output.dim() < 2:
        raise InputError("loss: the module returns no tensor of features a step; pass a loss")
    return output.square().sum(-1) / 2


def flow_of(
    network: nn.Module, probe: Probe, *, at: Sequence[int] | None = None
) -> tuple[GradientFlow, list[Track]]:
    """Measure, and return what each layer did beside it; see `gradient_flow`."""
    tape = Tape(network)
    with evaluating(network), torch.enable_grad():
        with tape.running():
            losses_BU = probe.losses(network)
        asked_QB = questions(losses_BU, probe.lengths, at)
        tracks = tape.tracks
        if not tracks:
            raise InputError(f"{type(network).__name__}: none of its recurrent layers was run")
        tallies = [_Tally(track, losses_BU, probe) for track in tracks]
        for asked_B in asked_QB:
            rows_R = (asked_B >= 0).nonzero().squeeze(1)
            loss = losses_BU[rows_R, asked_B[rows_R].to(losses_BU.device)].sum()
            wanted = [node for track in tracks for state in track.states for node in state]
            gradients = iter(_gradients(loss, wanted))
            for track, tally in zip(tracks, tallies, strict=True):
                norms = [_norm([next(gradients) for _ in state]) for state in track.states]
                tally.add(asked_B, torch.stack([_filled(norm, track.rows) for norm in norms]))
    flow = GradientFlow(tuple(tally.layer() for tally in tallies), *reversed(asked_QB.shape))
    return flow, tracks


@contextmanager
def evaluating(network: nn.Module) -> Any:
    """Put a network into evaluation mode for the block, and each of its modules back after it."""
    modes = [(module, module.training) for module in network.modules()]
    network.eval()
    try:
        yield
    finally:
        for module, mode in modes:
            module.training = mode


def questions(losses_BU: Tensor, lengths: Tensor | None, at: Sequence[int] | None) -> Tensor:
    """Return the steps asked about, `(Q, B)`, on the CPU; -1 of a row without any."""
    batch, steps = losses_BU.shape
    every = torch.full((batch,), steps)
    if lengths is not None and (lengths.shape != (batch,) or int(lengths.max()) > steps):
        raise InputError(
            f"lengths: expected one for each of {batch} rows, up to {steps} steps, "
            f"got {lengths.tolist()}"
        )
    lengths_B = every if lengths is None else lengths
    if at is not None:
        wrong = [step for step in at if not 0 <= step < steps]
        if wrong or not len(at):
            raise InputError(f"at: expected steps from 0 to {steps - 1}, got {list(at)}")
        asked_QB = torch.as_tensor(list(at)).unsqueeze(1).expand(-1, batch)
        return torch.where(asked_QB < lengths_B, asked_QB, -1)
    number = min(QUESTIONS, steps)
    with own_randomness(0, "questions"):
        within_QB = torch.rand(number, batch, dtype=torch.float64)
    within_QB[-1] = 1.0
    place_QB = (torch.arange(number).unsqueeze(1) + within_QB) / number * lengths_B
    return torch.minimum(place_QB.floor().long(), lengths_B - 1)


def _gradients(loss: Tensor, nodes: Sequence[Tensor]) -> Sequence[Tensor | None]:
    if not loss.requires_grad:
        raise InputError("loss: does not depend on what the recurrent layers answer")
    return torch.autograd.grad(loss, nodes, retain_graph=True, allow_unused=True)


def _norm(gradients: Sequence[Tensor | None]) -> Tensor:
    """Return each row's norm over all parts of a state, `(B,)`, in float64 on the CPU."""
    norms = [
        torch.linalg.vector_norm(part.to(torch.complex128 if part.is_complex() else torch.double),
                                 dim=-1).cpu()
        for part in gradients
        if part is not None
    ]  # fmt: skip
    return torch.linalg.vector_norm(torch.stack(norms), dim=0) if norms else torch.zeros(0)


def _filled(norm_R: Tensor, rows: int) -> Tensor:
    missing = rows - len(norm_R)
    return torch.cat([norm_R, norm_R.new_zeros(missing)]) if missing else norm_R


class _Tally:
    """Sums norms by lag, of one cell."""

    def __init__(self, track: Track, losses_BU: Tensor, probe: Probe) -> None:
        self._track = track
        batch, steps = losses_BU.shape
        self._real_TB = track.real()
        if track.rows != batch:
            raise InputError(
                f"{track.place.name or 'the recurrent layer'}: reads {track.rows} rows and the "
                f"losses are of {batch}; expected a loss for each row"
            )
        # A layer whose steps are those of the losses is asked about at the same step; another one
        # has only its end to tell what it read.
        if probe.answers is None:
            self._aligned = len(track.times) == steps
        else:
            self._aligned = f"{track.place.stack}.".startswith(f"{probe.answers}.")
        self._sums: list[Tensor] = []
        self._counts: list[Tensor] = []
        self._asked: list[float] = []

    def add(self, asked_B: Tensor, norm_TB: Tensor) -> None:
        """Count one question."""
        track = self._track
        anchor_B = asked_B if self._aligned else track.ends()
        times_T1 = torch.tensor(track.times).unsqueeze(1)
        lag_TB = times_T1 - anchor_B if track.reverse else anchor_B - times_T1
        valid_TB = self._real_TB & (lag_TB >= 0) & (asked_B >= 0) & (anchor_B >= 0)
        size = len(track.times)
        lags_N = lag_TB[valid_TB]
        self._sums.append(torch.zeros(size).double().index_add(0, lags_N, norm_TB[valid_TB]))
        self._counts.append(torch.bincount(lags_N, minlength=size))
        known = asked_B[asked_B >= 0].double()
        self._asked.append(float(known.mean()) if len(known) else math.nan)

    def layer(self) -> LayerFlow:
        """Return what was summed up."""
        sums_QK, counts_QK = torch.stack(self._sums), torch.stack(self._counts)
        count_K = counts_QK.sum(0)
        enough = count_K >= max(1, math.ceil(_FEWEST * int(count_K.max())))
        reach = int(enough.nonzero().max()) + 1 if bool(enough.any()) else 1
        curve_K = (sums_QK.sum(0) / count_K.clamp(min=1))[:reach]
        lags = np.unique(np.linspace(0, reach - 1, min(reach, _SHOWN)).round().astype(np.int64))
        map_QK = torch.where(counts_QK > 0, sums_QK / counts_QK.clamp(min=1), math.nan)[:, lags]
        return LayerFlow(
            self._track.place,
            self._track.reverse,
            curve_K.numpy(),
            map_QK.numpy(),
            lags,
            np.array(self._asked),
        )


def joined(parts: State) -> Tensor:
    """Return a state as one real vector a row, `(B, S)`: its tensors side by side."""
    real = [torch.view_as_real(p).flatten(1) if p.is_complex() else p for p in parts]
    return torch.cat(real, dim=1)
