"""exp, tanh and sigmoid: within 2 units in the last place, over all of float32."""

import numpy as np
import pytest

EXACT = {"exp": np.exp, "tanh": np.tanh, "sigmoid": lambda x: 1 / (1 + np.exp(-x))}
# Where the functions change their ways: ranges reduced, results that end, arguments that are tiny.
CORNERS = [
    0.000244, 0.001, 0.3465736, 0.625, 0.6931472, 1, 8.664, 9.01, 16.63, 17.32, 87.33655, 88.02,
    88.37626, 88.72284, 103.2789, 103.97208, 104,
]  # fmt: skip


def points():
    """Return one float32 in 1009 of all there are, and everything near the corners."""
    everywhere = np.arange(0, 2**32, 1009, dtype=np.uint64)
    corners = np.array(CORNERS, np.float32).view(np.uint32).astype(np.int64)
    near = (corners[:, None] + np.arange(-3000, 3000)).ravel()
    denormal = np.concatenate([np.arange(3000), np.arange(0, 2**23 + 3000, 257)])
    positive = np.concatenate([near, denormal, [0x7F7FFFFF]])
    bits = np.concatenate([everywhere, positive, positive + 2**31]).astype(np.uint32)
    x = bits.view(np.float32)
    return x[np.isfinite(x)]


def ulps(got, exact):
    """Return |got - exact| in units of float32's last place at `exact`, a float64.

    Below the smallest normal number the unit stays at 2^-149; an infinite result counts as 2^128,
    the number that would follow the largest.
    """
    exact = np.clip(exact, -(2.0**128), 2.0**128)
    got = np.clip(got.astype(np.float64), -(2.0**128), 2.0**128)
    _, exponent = np.frexp(exact)
    exponent[exact == 0] = -126
    return np.abs(got - exact) / np.ldexp(1.0, np.clip(exponent - 1, -126, 127) - 23)


def test_the_measure_by_hand():
    one, tiny, largest = np.float32(1), np.float32(2.0**-149), np.finfo(np.float32).max
    up = np.nextafter(one, np.float32(2))
    got = np.array([up, one, tiny, 0, np.inf, largest, 0], np.float32)
    exact = np.array([1, 1 - 2.0**-24, 0, 3 * 2.0**-149, float(largest), 1e300, 1e-39])
    expected = [1, 1, 1, 3, 1, 1, 1e-39 * 2.0**149]
    np.testing.assert_allclose(ulps(got, exact), expected, rtol=1e-12)


@pytest.mark.parametrize("name", EXACT)
def test_core_error_is_at_most_2_ulp(native, name):
    x = points()
    got = getattr(native, name)(x)
    with np.errstate(over="ignore", under="ignore"):
        error = ulps(got, EXACT[name](x.astype(np.float64)))
    assert got.dtype == np.float32
    assert not np.isnan(got).any(), x[np.isnan(got)][:5]
    worst = np.argsort(error)[-5:]
    assert error.max() <= 2, dict(zip(x[worst].tolist(), error[worst].tolist(), strict=True))
    low, high = {"exp": (0, np.inf), "tanh": (-1, 1), "sigmoid": (0, 1)}[name]
    assert low <= got.min() <= got.max() <= high


@pytest.mark.parametrize("name", EXACT)
def test_core_infinity_zero_and_nan(native, name):
    function = getattr(native, name)
    ends = {"exp": (0, 1, np.inf), "tanh": (-1, 0, 1), "sigmoid": (0, 0.5, 1)}[name]
    got = function(np.array([-np.inf, 0, np.inf], np.float32))
    assert got.tolist() == list(ends)
    if name == "tanh":
        assert np.signbit(function(np.array([-0.0], np.float32))).all()
    quiet = np.array([0x7FC00000, 0xFFC00000, 0x7FC12345, 0x7F800001], np.uint32)
    assert np.isnan(function(quiet.view(np.float32))).all()


@pytest.mark.parametrize("name", EXACT)
def test_core_a_value_does_not_depend_on_where_it_stands(native, name):
    """At the end of an array of any length, whatever else is in it."""
    function = getattr(native, name)
    x = np.random.default_rng(0).normal(0, 5, 70).astype(np.float32)
    whole = function(x)
    for size in range(71):
        assert function(x[:size]).tobytes() == whole[:size].tobytes()
        assert function(x[70 - size :].copy()).tobytes() == whole[70 - size :].tobytes()
    alone = np.concatenate([function(x[n : n + 1]) for n in range(70)])
    assert alone.tobytes() == whole.tobytes()
    x[::3] = np.nan
    keep = np.isfinite(x)
    assert function(x)[keep].tobytes() == whole[keep].tobytes()
