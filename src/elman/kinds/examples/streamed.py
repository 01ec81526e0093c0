"""Rows read in chunks with the state carried on, for an answer at every step: `--tbptt`.

Each row is a sequence of its own: where one ends, the next in its stream begins with the first
state. The answers are those of whole rows; what a chunk takes does not grow with a row's length.

Legend: B streams, N real steps of all rows of a chunk, R rows, O values of an output.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from elman.data.ragged import Ragged
from elman.data.streams import Chunk, Streams
from elman.kinds.examples.encoded import Encoded
from elman.kinds.examples.learnt import Learnt
from elman.kinds.examples.network import ExampleBatch
from elman.kinds.targets.target import Answers
from elman.layers import padded
from elman.networks.states import carried_of, carry_on

# Without gradients: streams, and steps of a mini-batch at most.
_STREAMS = 64
_STEPS = 4_096


@dataclass(frozen=True)
class RowChunk:
    """A chunk of every stream; `begins` tells which rows begin with the first state, `(B,)`."""

    batch: ExampleBatch
    begins: np.ndarray

    def __len__(self) -> int:
        real = self.batch.lengths[0]
        assert real is not None
        return int(real.sum())

    @property
    def rows(self) -> np.ndarray:
        """The numbers of the rows that it is of, `(B,)`."""
        return self.batch.rows


def read_chunk(learnt: Learnt, encoded: Encoded, rows: np.ndarray, chunk: Chunk) -> RowChunk:
    """Return a chunk of some rows.

    Args:
        learnt: inputs and target.
        encoded: every row.
        rows: the numbers of those that the chunk is of.
        chunk: its steps.
    """
    row_N, place_N = chunk.places()
    numbers_B = rows[chunk.sequences]
    real = torch.from_numpy(chunk.lengths)
    values, lengths = [], []
    for kind, ragged in zip(learnt.inputs, encoded.inputs, strict=True):
        if kind.sequence:
            steps = torch.from_numpy(ragged.steps(numbers_B[row_N], place_N))
            values.append(padded(steps, real, len(chunk), chunk.longest))
        else:
            values.append(ragged.pad(numbers_B)[0][:, 0])
        lengths.append(real if kind.sequence else None)
    batch = ExampleBatch(numbers_B, tuple(values), tuple(lengths))
    if encoded.truths is not None:
        assert isinstance(encoded.truths, Ragged)
        truth = torch.from_numpy(encoded.truths.steps(numbers_B[row_N], place_N))
        batch = replace(batch, truth=truth.long())
    return RowChunk(batch, chunk.begins)


def advance(
    network: Any, chunk: RowChunk, carried: Mapping[str, Tensor], precision: str
) -> tuple[Tensor, dict[str, Tensor]]:
    """Return the output at each real step, `y_NO` in float32, and what the network carries on.

    Args:
        network: an `ExampleNetwork` whose body is a `SeqToSeq`.
        chunk: what it reads.
        carried: what it carried from the chunk before.
        precision: of the forward pass.
    """
    state = carry_on(network.body.recurrent, carried, chunk.begins)
    device = chunk.batch.values[0].device.type
    with torch.autocast(device, torch.bfloat16, enabled=precision == "bf16"):
        y_NO, state = network.advance(chunk.batch, state)
    return y_NO.float(), carried_of(state)


def outputs_along(
    learnt: Learnt, network: Any, encoded: Encoded, rows: np.ndarray, precision: str
) -> Iterator[tuple[Chunk, RowChunk, Tensor]]:
    """Read some rows, without gradients; yield each chunk, what was read, and `y_NO`."""
    device = next(network.parameters()).device
    streams = Streams(encoded.inputs[0].lengths[rows], _STREAMS, _STEPS // _STREAMS)
    carried: dict[str, Tensor] = {}
    for number in range(len(streams)):
        chunk = streams[number]
        with torch.inference_mode():
            read = read_chunk(learnt, encoded, rows, chunk)
            read = replace(read, batch=read.batch.to(device))
            output_NO, carried = advance(network, read, carried, precision)
        yield chunk, read, output_NO


def answer_along(learnt: Learnt, network: Any, encoded: Encoded, rows: np.ndarray) -> Answers:
    """Return a network's answers to some rows, as `answers.answer` does."""
    outputs = [
        np.empty((int(length), learnt.target.output_size), np.float32)
        for length in encoded.inputs[0].lengths[rows]
    ]
    losses, counts = np.zeros(len(rows)), np.zeros(len(rows), np.int64)
    for chunk, read, output_NO in outputs_along(learnt, network, encoded, rows, "float32"):
        ends_B = np.cumsum(chunk.lengths)
        parts = np.split(output_NO.cpu().numpy(), ends_B[:-1])
        for at, start, part in zip(chunk.sequences, chunk.starts, parts, strict=True):
            outputs[at][start : start + len(part)] = part
        if encoded.truths is not None:
            assert read.batch.truth is not None
            losses_N = learnt.target.losses(output_NO, read.batch.truth, training=False)
            sums_B = np.add.reduceat(losses_N.double().cpu().numpy(), ends_B - chunk.lengths)
            losses[chunk.sequences] += sums_B
            counts[chunk.sequences] += chunk.lengths
    if encoded.truths is None:
        return Answers(outputs=outputs)
    return Answers(outputs=outputs, losses=losses / np.maximum(counts, 1), counts=counts)
