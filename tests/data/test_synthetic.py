from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from elman.data.synthetic import (
    BLANK,
    DELIMITER,
    adding_problem,
    copy_memory,
    mackey_glass,
    permutation,
)


def test_before_the_delay_has_passed_the_solution_is_known():
    # With a constant past the delayed term is the constant c: x' = c - 0.1 x.
    start = 1.2
    c = 0.2 * start / (1 + start**10)
    t = np.arange(18.0)
    exact = c / 0.1 + (start - c / 0.1) * np.exp(-0.1 * t)
    np.testing.assert_allclose(mackey_glass(18, warmup=0), exact, rtol=1e-9)


def test_one_is_a_fixed_point():
    np.testing.assert_array_equal(mackey_glass(50, initial=1.0, warmup=0), np.ones(50))


@pytest.mark.parametrize("tau", [17.0, 10.05])
def test_fourth_order(tau):
    exact = mackey_glass(3, tau=tau, interval=10.0, warmup=0, dt=0.00625)[-1]
    errors = [
        abs(mackey_glass(3, tau=tau, interval=10.0, warmup=0, dt=dt)[-1] - exact)
        for dt in (0.2, 0.1, 0.05)
    ]
    order = np.log2(errors[0] / errors[2]) / 2
    assert order > 3.5, errors


def test_chaotic_at_17_and_steady_far_below():
    x = mackey_glass(1000)
    assert x.dtype == np.float64
    assert x.shape == (1000,)
    assert 0.2 < x.min() < 0.5
    assert 1.2 < x.max() < 1.5
    # A nearby start departs on the chaotic attractor, and returns to the steady state without.
    apart = np.abs(mackey_glass(1500, initial=1.2 + 1e-4, warmup=0) - mackey_glass(1500, warmup=0))
    assert apart[-500:].max() > 0.01
    np.testing.assert_allclose(mackey_glass(5, tau=1.0, warmup=500), 1.0, atol=1e-9)


def test_the_sampling_interval_and_warmup_choose_points_of_one_solution():
    fine = mackey_glass(41, interval=0.5, warmup=0)
    np.testing.assert_array_equal(mackey_glass(11, interval=1.0, warmup=10), fine[20::2][:11])


@pytest.mark.parametrize("options", [{"tau": 0.05}, {"dt": 0.0}, {"dt": 0.3}])
def test_what_cannot_be_integrated_is_refused(options):
    with pytest.raises(ValueError, match="mackey_glass"):
        mackey_glass(5, **options)


class TestAdding:
    @given(st.integers(1, 20), st.integers(2, 33), st.integers(0, 2**64))
    def test_the_answer_is_the_sum_of_the_two_marked_values(self, rows, steps, seed):
        value_RT, marker_RT, sum_R = adding_problem(rows, steps, seed=seed)
        assert value_RT.shape == marker_RT.shape == (rows, steps)
        assert (value_RT.dtype, marker_RT.dtype, sum_R.dtype) == (np.float32, np.uint8, np.float64)
        for values, markers, answer in zip(value_RT, marker_RT, sum_R, strict=True):
            first, second = np.flatnonzero(markers)
            assert set(markers.tolist()) <= {0, 1}
            assert first < steps // 2 <= second
            assert answer == float(values[first]) + float(values[second])

    def test_values_are_uniform_and_marks_lie_anywhere_in_their_half(self):
        value_RT, marker_RT, sum_R = adding_problem(4000, 9, seed=1)
        assert 0 <= value_RT.min() < 1e-3 < 1 - 1e-3 < value_RT.max() < 1
        # Of 36,000 values the mean's standard deviation is 0.0015, the variance's 0.0004.
        assert value_RT.mean() == pytest.approx(1 / 2, abs=0.008)
        assert value_RT.var() == pytest.approx(1 / 12, abs=0.002)
        assert np.mean((sum_R - 1) ** 2) == pytest.approx(1 / 6, abs=0.02)
        share_T = marker_RT.mean(axis=0)
        np.testing.assert_allclose(share_T, [1 / 4] * 4 + [1 / 5] * 5, atol=0.035)

    def test_the_first_row_of_a_seed_is_always_the_same(self):
        value_RT, marker_RT, sum_R = adding_problem(2, 4, seed=7)
        raw = np.random.PCG64(7).random_raw(12).reshape(2, 6).tolist()
        assert value_RT[1].tolist() == [bits // 2**40 / 2**24 for bits in raw[1][:4]]
        at = [raw[1][4] % 2, 2 + raw[1][5] % 2]
        assert np.flatnonzero(marker_RT[1]).tolist() == at
        assert sum_R[1] == sum(raw[1][place] // 2**40 / 2**24 for place in at)

    def test_one_step_is_refused(self):
        with pytest.raises(ValueError, match="adding_problem: expected at least 2 steps, got 1"):
            adding_problem(1, 1, seed=0)


class TestCopying:
    @given(st.integers(1, 9), st.integers(1, 40), st.integers(0, 2**64))
    def test_what_stands_first_is_asked_last(self, rows, blanks, seed):
        given_RT, asked_RT = copy_memory(rows, blanks, seed=seed)
        assert given_RT.shape == asked_RT.shape == (rows, blanks + 20)
        symbol_RN = given_RT[:, :10]
        assert symbol_RN.max() < 8
        rest = [BLANK] * (blanks - 1) + [DELIMITER] + [BLANK] * 10
        assert (given_RT[:, 10:] == rest).all()
        assert (asked_RT[:, : blanks + 10] == BLANK).all()
        assert (asked_RT[:, -10:] == symbol_RN).all()

    def test_who_remembers_nothing_has_the_loss_of_the_papers(self):
        """Symbols are alike in number: nothing is gained by guessing one of them."""
        _, asked_RT = copy_memory(2000, 200, seed=3)
        share = np.bincount(asked_RT[:, -10:].ravel(), minlength=8) / 20_000
        np.testing.assert_allclose(share, 1 / 8, atol=0.012)
        loss = -(share * np.log(share)).sum() * 10 / 220
        assert loss == pytest.approx(10 * math.log(8) / 220, rel=1e-3)

    def test_no_blank_is_refused(self):
        with pytest.raises(ValueError, match="copy_memory: expected at least 1 blank, got 0"):
            copy_memory(1, 0, seed=0)


@given(st.integers(1, 1000), st.integers(0, 2**64))
def test_a_permutation_has_each_place_once_and_is_always_the_same(length, seed):
    order = permutation(length, seed=seed)
    assert sorted(order.tolist()) == list(range(length))
    np.testing.assert_array_equal(order, permutation(length, seed=seed))


def test_permutations_of_two_seeds_differ():
    assert (permutation(784, seed=0) == permutation(784, seed=1)).mean() < 0.05
    # That of the data set, as published results of one order are not to become those of another.
    assert permutation(784, seed=0)[:5].tolist() == [269, 11, 403, 600, 196]
