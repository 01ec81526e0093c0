"""A network for examples: a front for each input, and the body of a topology behind them.

Legend: B batch, T time, I features of a step, F of a vector, N rows of the head's output (examples,
or real steps), O values in one, U steps of an answer.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from elman.cells import State
from elman.kinds.inputs.input import Front
from elman.networks import EncoderDecoder, SeqToSeq, SeqToVector, VectorToSeq
from elman.networks.decoder_state import DecoderState


@dataclass(frozen=True)
class ExampleBatch:
    """Some rows, encoded and padded.

    Attributes:
        rows: their numbers.
        values: of each input, padded `(B, T, ...)`, or `(B, ...)` of a vector.
        lengths: of each input, real steps on the CPU; None of a vector.
        truth: what the loss compares with, of real places only; None where it is not known.
        previous_BU: of a sequence to be answered, the element before each step.
        steps: real steps of the answer.
    """

    rows: np.ndarray
    values: tuple[Tensor, ...]
    lengths: tuple[Tensor | None, ...]
    truth: Tensor | None = None
    previous_BU: Tensor | None = None
    steps: Tensor | None = None

    def __len__(self) -> int:
        return len(self.rows)

    def to(self, device: str | torch.device) -> ExampleBatch:
        """Return the batch on a device; lengths stay on the CPU."""
        return replace(
            self,
            values=tuple(value.to(device) for value in self.values),
            truth=None if self.truth is None else self.truth.to(device),
            previous_BU=None if self.previous_BU is None else self.previous_BU.to(device),
        )


class ExampleNetwork(nn.Module):
    """Fronts, and the body of a topology.

    Args:
        fronts: one for each input.
        sequences: whether each input is a sequence.
        body: a network of `elman.networks`.
    """

    def __init__(
        self,
        fronts: Sequence[Front],
        sequences: Sequence[bool],
        body: SeqToVector | SeqToSeq | VectorToSeq | EncoderDecoder,
    ) -> None:
        super().__init__()
        self.fronts = nn.ModuleList(fronts)
        self._sequences = tuple(sequences)
        self.body = body

    def read(self, batch: ExampleBatch) -> tuple[list[Tensor], list[Tensor], Tensor | None]:
        """Return what the fronts make of a batch: `x_BTI`s, their lengths, and vectors as one."""
        xs: list[Tensor] = []
        lengths: list[Tensor] = []
        vectors: list[Tensor] = []
        each = zip(self.fronts, self._sequences, batch.values, batch.lengths, strict=True)
        for front, is_sequence, values, real in each:
            features = front(values, real)
            if is_sequence:
                assert real is not None
                xs.append(features)
                lengths.append(real)
            else:
                vectors.append(features)
        return xs, lengths, torch.cat(vectors, dim=-1) if vectors else None

    def forward(self, batch: ExampleBatch, *, own_share: float = 0.0) -> Tensor:
        """Return `y_NO`; `own_share` is that of a decoder's own words fed to it."""
        return self.answer(*self.read(batch), batch, own_share=own_share)

    def answer(
        self,
        xs: list[Tensor],
        lengths: list[Tensor],
        also_BF: Tensor | None,
        batch: ExampleBatch,
        *,
        own_share: float = 0.0,
    ) -> Tensor:
        """Return `y_NO` for what `read` returned."""
        body: Any = self.body
        if isinstance(body, SeqToVector):
            one = len(xs) == 1
            return body(xs[0] if one else xs, lengths[0] if one else lengths, also_BF)
        if isinstance(body, SeqToSeq):
            return body.real_steps(xs[0], lengths[0], also_BF)
        if isinstance(body, VectorToSeq):
            return body(also_BF, batch.previous_BU, batch.steps, own_share=own_share)
        return body(
            xs, lengths, batch.previous_BU, batch.steps, also_BF=also_BF, own_share=own_share
        )

    def advance(self, batch: ExampleBatch, state: State | None) -> tuple[Tensor, State]:
        """Return `y_NO` for the next chunk of a stream of steps, and the state to go on from."""
        assert isinstance(self.body, SeqToSeq)
        xs, lengths, also_BF = self.read(batch)
        return self.body.advance(xs[0], state, lengths[0], also_BF)

    def begin(self, batch: ExampleBatch) -> DecoderState:
        """Return where the decoder begins to write its answers to a batch."""
        xs, lengths, also_BF = self.read(batch)
        if isinstance(self.body, VectorToSeq):
            assert also_BF is not None
            return self.body.begin(also_BF)
        assert isinstance(self.body, EncoderDecoder)
        return self.body.begin(xs, lengths, also_BF=also_BF)
