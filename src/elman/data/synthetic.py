"""Data made from an equation or a rule: no file, no download, the same numbers everywhere.

Random numbers are raw bits of PCG64, whose stream NumPy keeps from version to version (that of its
distributions it does not).

Legend: R rows, T steps, N symbols to copy.
"""

from __future__ import annotations

import numpy as np

COPIED = 10  # symbols that the copy task remembers
SYMBOLS = 8  # that there are
BLANK, DELIMITER = SYMBOLS, SYMBOLS + 1


def mackey_glass(
    num_steps: int,
    *,
    tau: float = 17.0,
    initial: float = 1.2,
    dt: float = 0.1,
    interval: float = 1.0,
    warmup: float = 250.0,
) -> np.ndarray:
    """Return the Mackey-Glass series (Mackey & Glass 1977), chaotic for `tau` above 16.8.

        dx/dt = 0.2 x(t - tau) / (1 + x(t - tau)^10) - 0.1 x(t)

    integrated by the classical Runge-Kutta method of fourth order; between the points of its grid
    the delayed value comes from the cubic that has the solution's values and slopes at both ends.

    Args:
        num_steps: values to return.
        tau: the delay, at least `dt`.
        initial: the value for all times up to 0.
        dt: length of an integration step.
        interval: time between returned values, a multiple of `dt`.
        warmup: time to run before the first returned value, to get onto the attractor.

    Returns:
        float64 `(num_steps,)`.
    """
    if tau < dt or dt <= 0:
        raise ValueError(f"mackey_glass: expected tau >= dt > 0, got tau={tau}, dt={dt}")
    stride = round(interval / dt)
    if stride < 1 or abs(stride * dt - interval) > 1e-9 * interval:
        raise ValueError(f"mackey_glass: interval={interval} is not a multiple of dt={dt}")
    first = round(warmup / dt)
    total = first + stride * max(0, num_steps - 1) + 1
    # Plain floats in lists: each step depends on the one before, and arrays would only be slower.
    x, slope = [initial], [0.0]

    def rate(now: float, delayed: float) -> float:
        return 0.2 * delayed / (1.0 + delayed**10) - 0.1 * now

    def delayed_at(position: float) -> float:
        """Return x at a time in units of dt, in the past of the points known so far."""
        if position <= 0.0:
            return initial
        left = min(int(position), len(x) - 2)
        s = position - left
        return (
            (1 + 2 * s) * (1 - s) ** 2 * x[left]
            + s * (1 - s) ** 2 * dt * slope[left]
            + s**2 * (3 - 2 * s) * x[left + 1]
            - s**2 * (1 - s) * dt * slope[left + 1]
        )

    lag = tau / dt
    slope[0] = rate(initial, initial)
    for n in range(total - 1):
        before, middle, after = (delayed_at(n + c - lag) for c in (0.0, 0.5, 1.0))
        k1 = rate(x[n], before)
        k2 = rate(x[n] + dt / 2 * k1, middle)
        k3 = rate(x[n] + dt / 2 * k2, middle)
        k4 = rate(x[n] + dt * k3, after)
        x.append(x[n] + dt / 6 * (k1 + 2 * k2 + 2 * k3 + k4))
        slope.append(rate(x[-1], after))
    return np.array(x[first::stride])


def adding_problem(
    num_rows: int, num_steps: int, *, seed: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return rows of the adding problem (Hochreiter & Schmidhuber 1997).

    A row is a sequence of pairs, a value and a marker; what is asked is the sum of the two values
    whose marker is 1. Values are uniform in [0, 1), one mark lies in the first half of the steps
    and one in the second (as of Arjovsky et al. 2016). Who always answers 1 has the mean squared
    error 1/6.

    Args:
        num_rows: how many rows.
        num_steps: length of each, at least 2.
        seed: decides every number.

    Returns:
        values, float32 multiples of 2^-24 `(R, T)`; markers, 0 or 1, uint8 `(R, T)`; and the sums,
        float64 `(R,)`, which are exact.
    """
    if num_steps < 2:
        raise ValueError(f"adding_problem: expected at least 2 steps, got {num_steps}")
    raw = _raw(seed, num_rows * (num_steps + 2)).reshape(num_rows, num_steps + 2)
    value_RT = ((raw[:, :num_steps] >> np.uint64(40)) / 2.0**24).astype(np.float32)
    half = num_steps // 2
    first_R = raw[:, num_steps] % np.uint64(half)
    second_R = half + raw[:, num_steps + 1] % np.uint64(num_steps - half)
    at_R2 = np.stack([first_R, second_R], axis=1).astype(np.int64)
    marker_RT = np.zeros((num_rows, num_steps), np.uint8)
    np.put_along_axis(marker_RT, at_R2, 1, axis=1)
    sum_R = np.take_along_axis(value_RT, at_R2, axis=1).astype(np.float64).sum(axis=1)
    return value_RT, marker_RT, sum_R


def copy_memory(num_rows: int, blanks: int, *, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Return rows of the copy task (Hochreiter & Schmidhuber 1997; as of Arjovsky et al. 2016).

    In: 10 symbols of 8, `blanks` - 1 blanks, a delimiter, 10 blanks. Out: a blank for each of the
    first `blanks` + 10 steps, then the 10 symbols. Who knows when to answer, but not what, has the
    mean cross entropy 10 ln 8 / (`blanks` + 20).

    Args:
        num_rows: how many rows.
        blanks: steps from the last symbol to the delimiter, T in the papers; at least 1.
        seed: decides every symbol.

    Returns:
        what goes in and what is asked, uint8 `(R, blanks + 20)`: symbols are 0 to 7, `BLANK` is 8
        and `DELIMITER` 9.
    """
    if blanks < 1:
        raise ValueError(f"copy_memory: expected at least 1 blank, got {blanks}")
    symbol_RN = (_raw(seed, num_rows * COPIED) >> np.uint64(61)).reshape(num_rows, COPIED)
    given_RT = np.full((num_rows, blanks + 2 * COPIED), BLANK, np.uint8)
    asked_RT = given_RT.copy()
    given_RT[:, :COPIED] = asked_RT[:, -COPIED:] = symbol_RN
    given_RT[:, COPIED + blanks - 1] = DELIMITER
    return given_RT, asked_RT


def permutation(length: int, *, seed: int) -> np.ndarray:
    """Return the numbers from 0 to `length` - 1 in a random order, int64 `(length,)`."""
    return np.argsort(_raw(seed, length), kind="stable")


def _raw(seed: int, number: int) -> np.ndarray:
    """Return random bits, uint64 `(number,)`."""
    return np.random.PCG64(seed).random_raw(number)
