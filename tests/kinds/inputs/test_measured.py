"""Series of examples: what a cell may hold, how channels are scaled, what is refused."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from elman.errors import BadCellError, InputError
from elman.kinds.inputs.measured import Measured


def learnt(rows, columns=("a",)) -> Measured:
    return Measured.learn(columns, rows, None)


@pytest.mark.parametrize(
    "cell",
    ["1 2 4", " 1\t2  4.0\n", "[1, 2, 4]", "[1. 2. 4.]", [1, 2, 4], (1, 2.0, 4),
     np.array([1, 2, 4]), np.array([1, 2, 4], np.uint8), np.array([1, 2, 4], np.float32),
     ["1", "2", "4"]],
    ids=repr,
)  # fmt: skip
def test_however_the_numbers_are_written_they_are_the_same(cell) -> None:
    # Mean 2, variance ((2-2)² + (0-2)² + (4-2)²) / 3 = 8/3.
    series = learnt([([2, 0, 4],)])
    expected = (np.array([1, 2, 4]) - 2) / np.sqrt(8 / 3)
    encoded = series.encode((cell,))
    assert encoded.dtype == np.float32
    np.testing.assert_allclose(encoded[:, 0], expected, rtol=1e-6)


@given(
    st.lists(
        st.integers(1, 7).flatmap(
            lambda steps: arrays.arrays(np.float64, (steps, 2), elements=st.floats(-1e6, 1e6))
        ),
        min_size=1,
        max_size=6,
    )
)
def test_scales_are_those_of_all_steps_together(rows) -> None:
    series = learnt([(row[:, 0].tolist(), row[:, 1].tolist()) for row in rows], ("a", "b"))
    every = np.concatenate(rows)
    np.testing.assert_allclose(series.means, every.mean(0), rtol=1e-9, atol=1e-6)
    deviation = every.std(0)
    moves = deviation > 1e-6 * np.abs(every).max() + 1e-12
    np.testing.assert_allclose(np.array(series.scales)[moves], deviation[moves], rtol=1e-6)


def test_a_channel_that_does_not_move_is_zero() -> None:
    series = learnt([("3 3", "1 2"), ("3", "3")], ("still", "moving"))
    assert series.encode(("3 3", "2 2"))[:, 0].tolist() == [0, 0]
    assert series.scales[0] == 1


def test_far_from_zero_little_moves_are_not_lost() -> None:
    """One pass over sums of squares would lose them to rounding."""
    rows = [([1e8 + n, 1e8 + n + 1],) for n in range(10)]
    series = learnt(rows)
    values = np.concatenate([np.array(row[0]) for row in rows])
    assert series.scales[0] == pytest.approx(values.std(), rel=1e-6)


@pytest.mark.parametrize(
    ("cell", "message"),
    [
        (None, "missing series"),
        (float("nan"), "missing series"),
        ("", "series of no steps"),
        ("[]", "series of no steps"),
        ([], "series of no steps"),
        ("1 x 3", "step 2: expected a finite number, got 'x'"),
        ("1,5 2,5", "step 1: expected a finite number, got '1,5'"),
        ([1, None], "step 2: expected a finite number, got None"),
        ([1, float("inf")], "step 2: expected a finite number, got inf"),
        ("1 nan", "step 2: expected a finite number, got 'nan'"),
        ([True], "step 1: expected a finite number, got True"),
        ([1, True], "step 2: expected a finite number, got True"),
        ([10**400], "step 1: expected a finite number, got 1000"),
        ([1, 1e31], "step 2: expected a finite number, got 1e+31"),
        (np.array([1.0, np.nan], np.float32), "step 2: expected a finite number, got nan"),
        (3.5, "expected a series, got 3.5"),
    ],
)
def test_what_is_no_series_is_refused_by_column_and_step(cell, message) -> None:
    with pytest.raises(BadCellError) as error:
        learnt([("1 2",)]).encode((cell,))
    assert str(error.value).startswith("column 'a': ")
    assert message in str(error.value)


def test_channels_must_be_equally_long() -> None:
    series = learnt([("1 2", "3 4")], ("a", "b"))
    with pytest.raises(BadCellError, match=r"differ in length \(a 2, b 3\)"):
        series.encode(("1 2", "1 2 3"))


def test_bad_rows_teach_nothing_and_none_at_all_are_refused() -> None:
    assert learnt([("1 x",), ("2 4",), (None,)]).means == (3.0,)
    with pytest.raises(InputError, match=r"--input series:a: no training row can be read; column"):
        learnt([("1 x",)])


def test_survives_being_written_and_is_handed_on_as_it_is() -> None:
    series = learnt([("1 2 3", "4 5 7")], ("a", "b"))
    again = Measured.from_dict(json.loads(json.dumps(series.as_dict())))
    assert again == series
    assert again.summary() == "series of 2 channels"
    front = again.front(None)
    values = torch.randn(2, 3, 2)
    assert front.size == 2
    assert torch.equal(front(values, None), values)


def test_a_page_is_shown_the_numbers_as_they_were_given() -> None:
    series = learnt([("1 2 3",)])
    shown = series.show(("10 20",), series.encode(("10 20",)))
    assert shown == {"kind": "series", "columns": {"a": [10.0, 20.0]}}
    long = " ".join(map(str, range(5000)))
    (drawn,) = series.show((long,), series.encode((long,)))["columns"].values()
    assert (len(drawn), drawn[0], drawn[-1]) == (1000, 0.0, 4999.0)
