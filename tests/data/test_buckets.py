from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from elman.data.buckets import bucketed, in_order


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def padding(batches: list[np.ndarray], lengths: np.ndarray) -> float:
    """Return the share of padding in all steps of the batches."""
    return 1 - lengths.sum() / sum(len(rows) * lengths[rows].max() for rows in batches)


LENGTHS = st.lists(st.integers(1, 60), max_size=400).map(np.array)


@given(LENGTHS, st.integers(1, 9), st.integers(0, 5))
def test_an_epoch_has_every_row_once(lengths, batch_size, seed):
    batches = bucketed(lengths, batch_size, generator(seed))
    assert sorted(np.concatenate([[], *batches])) == list(range(len(lengths)))
    sizes = sorted(len(rows) for rows in batches)
    assert all(size == batch_size for size in sizes[1:])
    assert all(0 < size <= batch_size for size in sizes)


@given(LENGTHS, st.integers(1, 9), st.integers(1, 200))
def test_scoring_has_every_row_once_in_few_steps(lengths, batch_size, most_steps):
    batches = in_order(lengths, batch_size, most_steps)
    rows = np.concatenate([np.empty(0, int), *batches])
    assert sorted(rows) == list(range(len(lengths)))
    assert (np.diff(lengths[rows]) >= 0).all() if len(rows) else True
    for batch in batches:
        assert 0 < len(batch) <= batch_size
        assert len(batch) == 1 or len(batch) * lengths[batch].max() <= most_steps
    # None could have taken the first row of the next.
    for batch, following in itertools.pairwise(batches):
        longest = lengths[following[0]]
        assert len(batch) == batch_size or (len(batch) + 1) * longest > most_steps


def test_scoring_by_hand():
    lengths = np.array([5, 1, 9, 2, 2])
    batches = in_order(lengths, 3, 8)
    assert [rows.tolist() for rows in batches] == [[1, 3, 4], [0], [2]]


@pytest.mark.parametrize(("rows", "batch_size"), [(25_000, 64), (25_000, 32), (2_000, 16)])
def test_little_padding(rows, batch_size):
    lengths = np.random.default_rng(0).lognormal(5, 0.5, rows).astype(int) + 1
    batches = bucketed(lengths, batch_size, generator())
    assert padding(batches, lengths) < 0.08
    assert padding(np.array_split(np.arange(rows), len(batches)), lengths) > 0.4
    assert padding(in_order(lengths, batch_size, 10**9), lengths) < 0.04


def test_a_length_that_tells_the_answer_does_not_make_batches_of_one_answer():
    # Captions of 23 to 26 steps, whose length says the colour: an epoch of few batches.
    lengths = np.repeat([23, 24, 25, 26], 21)
    batches = [rows for seed in range(20) for rows in bucketed(lengths, 4, generator(seed))]
    alike = np.mean([len(set(lengths[rows])) == 1 for rows in batches])
    assert alike < 0.1  # by chance 0.014, sorted exactly 0.86


def test_the_generator_alone_decides():
    lengths = np.random.default_rng(0).integers(1, 50, 500)

    def epoch(seed):
        return [rows.tolist() for rows in bucketed(lengths, 8, generator(seed))]

    assert epoch(1) == epoch(1)
    assert epoch(1) != epoch(2)
    drawn = generator(1)
    first, second = (bucketed(lengths, 8, drawn) for _ in range(2))
    assert [rows.tolist() for rows in first] != [rows.tolist() for rows in second]


def test_batches_come_in_no_order_of_length():
    lengths = np.arange(1, 801)
    longest = [lengths[rows].max() for rows in bucketed(lengths, 8, generator())]
    assert abs(np.corrcoef(longest, np.arange(100))[0, 1]) < 0.3
    assert len({tuple(sorted(rows)) for rows in bucketed(lengths, 8, generator(1))}) == 100


def test_rows_of_one_length_are_shuffled():
    batches = bucketed(np.full(64, 7), 8, generator())
    assert any(np.ptp(rows) > 20 for rows in batches)
