from __future__ import annotations

import numpy as np
import pytest

from elman.data.synthetic import mackey_glass


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
