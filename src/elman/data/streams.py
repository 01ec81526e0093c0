"""Long sequences in chunks: streams side by side, each going on where its last chunk ended.

Truncated backpropagation through time reads a sequence a chunk at a time: the state is carried on
from chunk to chunk, the gradient ends at a chunk's edge. A mini-batch is one chunk of every stream.
A sequence that ends makes room for the next one in its stream, which begins with the layer's first
state; one that is far longer than the others can be cut into pieces that lie side by side, each of
which begins so too.

Legend: R sequences, P pieces of them, N chunks of all streams, B streams that a mini-batch reads.
"""

from __future__ import annotations

import heapq
from dataclasses import dataclass

import numpy as np
import torch


@dataclass(frozen=True)
class Chunk:
    """One mini-batch: of each stream that still has something to read, its next steps.

    Streams stand in one order in all mini-batches, and those that end first stand last: row b is
    the same stream as row b of the mini-batch before.

    Attributes:
        sequences: which sequence each row is of, `(B,)`.
        starts: the first step of it that is read, `(B,)`.
        lengths: steps that are read, `(B,)`, each at least 1.
        begins: whether the row begins with the first state, not the one carried on, `(B,)`.
    """

    sequences: np.ndarray
    starts: np.ndarray
    lengths: np.ndarray
    begins: np.ndarray

    def __len__(self) -> int:
        return len(self.sequences)

    @property
    def longest(self) -> int:
        """Steps of the longest row."""
        return int(self.lengths.max())

    @property
    def ragged(self) -> bool:
        """Whether rows differ in length."""
        return int(self.lengths.min()) < self.longest

    def places(self) -> tuple[np.ndarray, np.ndarray]:
        """Return of every real step, row by row, its row and its place in the sequence, `(N,)`."""
        rows = np.repeat(np.arange(len(self)), self.lengths)
        begins = np.cumsum(self.lengths) - self.lengths
        return rows, np.arange(len(rows)) + (self.starts - begins)[rows]


class Streams:
    """Sequences laid out over streams, as mini-batches in the order in which they are read.

    Every step of every sequence is read exactly once.

    Args:
        lengths: steps of each sequence, `(R,)`; one of none is passed over.
        streams: how many lie side by side, at most.
        steps: of a chunk, at most.
        cut: whether to cut a sequence that is longer than an even share of all steps into equal
            pieces, so that no stream is left with far more than the others.
        generator: draws how long the first chunk of each sequence is that needs more than one (the
            same number for all, 1 to `steps`, so that chunks meet at other places in each epoch),
            and, where there are more pieces than streams, their order. None: first chunks are
            full, and the longest piece comes first.
    """

    def __init__(
        self,
        lengths: np.ndarray,
        streams: int,
        steps: int,
        *,
        cut: bool = False,
        generator: torch.Generator | None = None,
    ) -> None:
        sequence_P, begin_P, length_P = _pieces(np.asarray(lengths), streams if cut else None)
        first = steps
        if generator is not None:
            first = 1 + int(torch.randint(steps, (), generator=generator))
        # The first chunk is shortened only where there is more than one anyway.
        first_P = np.where(length_P > steps, first, np.minimum(length_P, steps))
        count_P = 1 + -(-(length_P - first_P) // steps)
        stream_P, batch_P = _placed(count_P, min(streams, len(count_P)), generator)

        piece_N = np.repeat(np.arange(len(count_P)), count_P)
        nth_N = np.arange(len(piece_N)) - (np.cumsum(count_P) - count_P)[piece_N]
        within_N = np.where(nth_N, first_P[piece_N] + (nth_N - 1) * steps, 0)
        length_N = np.where(nth_N, np.minimum(length_P[piece_N] - within_N, steps),
                            first_P[piece_N])  # fmt: skip
        batch_N = batch_P[piece_N] + nth_N
        order_N = np.lexsort((stream_P[piece_N], batch_N))
        self._sequences = sequence_P[piece_N][order_N]
        self._starts = (begin_P[piece_N] + within_N)[order_N]
        self._lengths = length_N[order_N]
        self._begins = (nth_N == 0)[order_N]
        self._offsets = np.concatenate([[0], np.cumsum(np.bincount(batch_N))])

    def __len__(self) -> int:
        return len(self._offsets) - 1

    def __getitem__(self, batch: int) -> Chunk:
        at = slice(self._offsets[batch], self._offsets[batch + 1])
        return Chunk(self._sequences[at], self._starts[at], self._lengths[at], self._begins[at])


def _pieces(lengths: np.ndarray, share_of: int | None) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return each piece's sequence, where in it it begins, and its steps.

    Args:
        lengths: of the sequences.
        share_of: cut those that are longer than one of so many equal shares; None: none of them.
    """
    parts_R = (lengths > 0).astype(np.int64)
    if share_of is not None and lengths.sum():
        share = -(-int(lengths.sum()) // share_of)
        parts_R = -(-lengths // share)
    sequence_P = np.repeat(np.arange(len(lengths)), parts_R)
    nth_P = np.arange(len(sequence_P)) - (np.cumsum(parts_R) - parts_R)[sequence_P]
    begin_P = nth_P * lengths[sequence_P] // parts_R[sequence_P]
    end_P = (nth_P + 1) * lengths[sequence_P] // parts_R[sequence_P]
    return sequence_P, begin_P, end_P - begin_P


def _placed(
    count_P: np.ndarray, streams: int, generator: torch.Generator | None
) -> tuple[np.ndarray, np.ndarray]:
    """Return of each piece, which has so many chunks, its stream and its first mini-batch."""
    order_P = np.argsort(-count_P, kind="stable")
    if generator is not None:
        crowded = len(count_P) > streams
        order_P = np.arange(len(count_P))
        if crowded:
            order_P = torch.randperm(len(count_P), generator=generator).numpy()
    stream_P, batch_P = np.empty_like(count_P), np.empty_like(count_P)
    ends = [(0, stream) for stream in range(streams)]  # where each stream ends by now: a heap
    for piece in order_P.tolist():
        end, stream = heapq.heappop(ends)
        stream_P[piece], batch_P[piece] = stream, end
        heapq.heappush(ends, (end + int(count_P[piece]), stream))
    # The stream that ends last becomes the first row, so that rows end from the last one up.
    end_B = np.zeros(streams, np.int64)
    for end, stream in ends:
        end_B[stream] = end
    row_B = np.empty(streams, np.int64)
    row_B[np.argsort(-end_B, kind="stable")] = np.arange(streams)
    return row_B[stream_P], batch_P
