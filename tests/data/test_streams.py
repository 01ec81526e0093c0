"""Sequences laid out over streams: every step once, in order, begun where a sequence begins."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from elman.data.streams import Chunk, Streams


def seeded(seed: int | None) -> torch.Generator | None:
    return None if seed is None else torch.Generator().manual_seed(seed)


def chunks(streams: Streams) -> list[Chunk]:
    return [streams[number] for number in range(len(streams))]


@given(
    lengths=st.lists(st.integers(0, 60), max_size=9),
    streams=st.integers(1, 6),
    steps=st.integers(1, 25),
    cut=st.booleans(),
    seed=st.one_of(st.none(), st.integers(0, 9)),
)
def test_every_step_is_read_once_and_in_order(lengths, streams, steps, cut, seed) -> None:
    laid = Streams(np.array(lengths, int), streams, steps, cut=cut, generator=seeded(seed))
    read = [np.zeros(length, int) for length in lengths]
    at: list[tuple[int, int]] = []  # of each stream, what it reads next if it goes on
    before = streams
    for number, chunk in enumerate(chunks(laid)):
        assert 1 <= len(chunk) <= before
        assert all(1 <= length <= steps for length in chunk.lengths)
        for row in range(len(chunk)):
            sequence, start = int(chunk.sequences[row]), int(chunk.starts[row])
            if number == 0:
                at.append((sequence, start))
                assert chunk.begins[row]
            if not chunk.begins[row]:
                assert at[row] == (sequence, start)
            elif not cut:
                assert start == 0
            stop = start + int(chunk.lengths[row])
            read[sequence][start:stop] += 1
            at[row] = (sequence, stop)
        before = len(chunk)
    assert all((times == 1).all() for times in read)


@given(
    lengths=st.lists(st.integers(1, 60), min_size=1, max_size=9),
    streams=st.integers(1, 6),
    seed=st.integers(0, 9),
)
def test_chunks_longer_than_a_sequence_are_the_whole_of_it(lengths, streams, seed) -> None:
    laid = chunks(Streams(np.array(lengths), streams, 60, generator=seeded(seed)))
    assert all(chunk.begins.all() for chunk in laid)
    assert sum(len(chunk) for chunk in laid) == len(lengths)


@given(length=st.integers(1, 500), streams=st.integers(1, 9), steps=st.integers(1, 60))
def test_one_sequence_is_cut_into_equal_streams_side_by_side(length, streams, steps) -> None:
    laid = chunks(Streams(np.array([length]), streams, steps, cut=True))
    rows = len(laid[0])
    assert rows <= streams
    total = [sum(int(c.lengths[row]) for c in laid if row < len(c)) for row in range(rows)]
    assert max(total) - min(total) <= 1
    assert max(total) == -(-length // rows)
    assert sum(int(chunk.begins.sum()) for chunk in laid) == rows
    assert len(laid) == -(-max(total) // steps)  # as few mini-batches as there can be


def test_by_hand() -> None:
    """Lengths 5, 12 and 7 on two streams, four steps a chunk, the longest first."""
    laid = chunks(Streams(np.array([5, 0, 12, 7]), 2, 4))
    as_lists = [
        [each.tolist() for each in (c.sequences, c.starts, c.lengths, c.begins)] for c in laid
    ]
    # Sequence 2 has three chunks, the others two: the stream of 0 and 3 is the longer one.
    assert as_lists == [
        [[0, 2], [0, 0], [4, 4], [True, True]],
        [[0, 2], [4, 4], [1, 4], [False, False]],
        [[3, 2], [0, 8], [4, 4], [True, False]],
        [[3], [4], [3], [False]],
    ]
    assert [chunk.ragged for chunk in laid] == [False, True, False, False]
    assert [chunk.longest for chunk in laid] == [4, 4, 4, 3]
    rows, places = laid[1].places()
    assert rows.tolist() == [0, 1, 1, 1, 1]
    assert places.tolist() == [4, 4, 5, 6, 7]


def test_a_sequence_far_longer_than_the_others_is_cut() -> None:
    laid = chunks(Streams(np.array([100, 3, 3]), 4, 1000, cut=True))
    found = {
        (int(s), int(b), int(n))
        for c in laid
        for s, b, n in zip(c.sequences, c.starts, c.lengths, strict=True)
    }
    assert found == {(0, 0, 25), (0, 25, 25), (0, 50, 25), (0, 75, 25), (1, 0, 3), (2, 0, 3)}


def test_chunks_meet_at_other_places_in_each_epoch() -> None:
    firsts = {
        int(Streams(np.array([50]), 1, 4, generator=seeded(seed))[0].lengths[0])
        for seed in range(30)
    }
    assert firsts == {1, 2, 3, 4}


@pytest.mark.parametrize("lengths", [[], [0], [0, 0]])
def test_nothing_to_read(lengths) -> None:
    assert len(Streams(np.array(lengths, int), 3, 5, cut=True)) == 0


def test_the_order_is_that_of_the_generator() -> None:
    lengths = np.arange(1, 40)

    def order(seed: int) -> list[list[int]]:
        return [
            c.sequences.tolist() for c in chunks(Streams(lengths, 4, 9, generator=seeded(seed)))
        ]

    assert order(1) == order(1)
    assert order(1) != order(2)
