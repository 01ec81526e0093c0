from __future__ import annotations

from contextlib import suppress

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from elman.data.ragged import Ragged, RaggedFile

ROWS = st.integers(1, 3).flatmap(
    lambda features: st.lists(
        st.integers(0, 6).flatmap(
            lambda length: hnp.arrays(
                np.float32, (length, features), elements=st.floats(-9, 9, width=32)
            )
        ),
        min_size=1,
        max_size=8,
    )
)


@settings(deadline=None)
@given(ROWS, st.data())
def test_rows_come_back_from_memory_and_disk(tmp_path_factory, rows, data):
    folder = tmp_path_factory.mktemp("ragged")
    with RaggedFile(folder) as file:
        file.extend(rows)
    stored = RaggedFile.open(folder)
    assert stored is not None
    picks = np.array(data.draw(st.lists(st.integers(0, len(rows) - 1), max_size=9)), np.int64)
    for ragged in (Ragged.of(rows), stored):
        assert len(ragged) == len(rows)
        assert ragged.lengths.tolist() == [len(row) for row in rows]
        for r, row in enumerate(rows):
            np.testing.assert_array_equal(ragged[r], row)
        flat = ragged.flat(picks)
        expected = [rows[pick] for pick in picks] or [rows[0][:0]]
        np.testing.assert_array_equal(flat, np.concatenate(expected))


def test_padding_by_hand():
    ragged = Ragged.of([np.array([1, 2, 3]), np.array([], np.int64), np.array([4])])
    padded, lengths = ragged.pad(np.array([2, 0, 1]))
    assert padded.dtype == torch.int64
    assert padded.tolist() == [[4, 0, 0], [1, 2, 3], [0, 0, 0]]
    assert lengths.tolist() == [1, 3, 0]
    padded, lengths = ragged.pad(np.array([2]))
    assert padded.tolist() == [[4]]
    assert ragged.pad(np.array([], np.int64))[0].shape == (0, 0)


def test_padding_keeps_the_shape_of_elements():
    rows = [np.full((length, 2, 3), length, np.float32) for length in (3, 1)]
    padded, _ = Ragged.of(rows).pad(np.array([1, 0]))
    assert padded.shape == (2, 3, 2, 3)
    assert padded[0, 0].eq(1).all()
    assert padded[0, 1:].eq(0).all()
    assert padded[1].eq(3).all()


def test_no_rows(tmp_path):
    assert len(Ragged.of([])) == 0
    with RaggedFile(tmp_path):
        pass
    stored = RaggedFile.open(tmp_path)
    assert stored is not None
    assert len(stored) == 0


def test_what_is_stored_is_read_where_it_lies(tmp_path):
    with RaggedFile(tmp_path) as file:
        file.append(np.arange(10, dtype=np.uint8))
    stored = RaggedFile.open(tmp_path)
    assert stored is not None
    assert isinstance(stored.values, np.memmap)
    assert stored.values.dtype == np.uint8
    with pytest.raises(ValueError, match="read-only"):
        stored.values[0] = 1
    padded, _ = stored.pad(np.array([0]))
    padded[0, 0] = 7  # a batch is a copy
    assert stored[0][0] == 0


def test_a_row_of_another_kind_is_refused(tmp_path):
    with RaggedFile(tmp_path) as file:
        file.append(np.zeros((2, 3), np.float32))
        for other in (np.zeros((2, 4), np.float32), np.zeros((2, 3)), np.zeros(2, np.float32)):
            with pytest.raises(ValueError, match="expected elements of"):
                file.append(other)


def test_what_was_left_unfinished_is_no_rows(tmp_path):
    assert RaggedFile.open(tmp_path) is None
    with suppress(KeyboardInterrupt), RaggedFile(tmp_path) as file:
        file.append(np.zeros(3))
        raise KeyboardInterrupt
    assert RaggedFile.open(tmp_path) is None
    with RaggedFile(tmp_path) as file:
        file.append(np.zeros(3))
    assert RaggedFile.open(tmp_path) is not None
    RaggedFile(tmp_path)  # begun again: what it replaces is gone
    assert RaggedFile.open(tmp_path) is None


@pytest.mark.parametrize("damage", ["values", "index", "gone"])
def test_a_damaged_folder_is_no_rows(tmp_path, damage):
    with RaggedFile(tmp_path) as file:
        file.append(np.zeros(3))
    if damage == "gone":
        (tmp_path / "values.bin").unlink()
    else:
        path = tmp_path / {"values": "values.bin", "index": "index.npz"}[damage]
        path.write_bytes(path.read_bytes()[:-5])
    assert RaggedFile.open(tmp_path) is None
