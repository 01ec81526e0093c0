"""Series made from an equation: no file, no download, the same numbers everywhere."""

from __future__ import annotations

import numpy as np


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
