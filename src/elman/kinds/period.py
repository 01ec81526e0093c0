"""Find the length of a series' season, in steps: 7 for daily rides, 12 for monthly sales, else 1.

For a candidate length m the series is freed of its trend by a centred moving average over m steps
and cut into cycles of m steps. With a season, a cycle resembles the ones before it. The strength is
the mean inner product of cycles at most `REACH` apart, over their mean energy: the intraclass
correlation of the cycles, 1 for an exact repetition and 0 on average for white noise and for a
random walk alike, whose detrended cycles have nothing in common. Its spread without a season falls
with the number of pairs of cycles and of free numbers in a cycle, so the evidence for a season is
`strength * sqrt(pairs * freedom)`, the freedom being 1 from five steps on. Only cycles close to
each other count, since the sun's season of about eleven years keeps no phase.

Lengths that the calendar suggests are tried first and need less evidence than a search of all.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

DAY, WEEK, YEAR = 86_400.0, 604_800.0, 365.2425 * 86_400.0
REACH = 3
# Evidence needed. Of 6,750 simulated random walks, autoregressions and white noises of 60 to 1,500
# steps, three calendar lengths found a season in 1 of 200 and a search found one in 1 of 700.
EVIDENCE_CALENDAR, EVIDENCE_SEARCH = 1.5, 2.6
WEAKEST = 0.2  # a season weaker than this helps no forecast, however sure it is
LONGEST_SEARCHED = 1_000
LONGEST_HISTORY = 20_000  # the most recent steps say what the season is now, in bounded time


@dataclass(frozen=True)
class Period:
    """A season's length in steps (1: no season) and its strength, from 0 to 1."""

    length: int
    strength: float


def calendar_periods(step_seconds: float) -> tuple[int, ...]:
    """Return the seasons, in steps, that a step of this many seconds suggests, shortest first.

    They are the day, the week and the year: 24, 168 and 8,766 for hours; 7 and 365 for days; 12 for
    months. A cycle that the step does not divide to within 1% is left out.
    """
    steps = [cycle / step_seconds for cycle in (DAY, WEEK, YEAR)]
    whole = [round(n) for n in steps if round(n) >= 2 and abs(n - round(n)) <= 0.01 * n]
    return tuple(dict.fromkeys(whole))


def find_period(
    values: np.ndarray, *, max_period: int | None = None, candidates: Sequence[int] = ()
) -> Period:
    """Return the season of one series, or a length of 1 if the series shows none.

    Of the calendar's lengths with enough evidence the one whose seasonal naive forecast errs least
    on `values` is taken, or the shortest within noise of it (5% at least): 168 hours rather than
    24 only where weekends differ. A search takes the length with the most evidence, so 7 and not
    its multiple 14.

    Args:
        values: the series, in time order, `(T,)`; give the training span alone. Values that are
            not finite are interpolated.
        max_period: the longest length in steps to consider; None for all that fit.
        candidates: lengths to try first, as `calendar_periods` gives them.
    """
    x_T = _interpolated(np.asarray(values, dtype=np.float64)[-LONGEST_HISTORY:])
    limit = len(x_T) if max_period is None else max_period
    calendar = [m for m in candidates if 2 <= m <= limit]
    # Five cycles are the fewest that could pass.
    search = range(2, min(limit, len(x_T) // 5, LONGEST_SEARCHED) + 1)
    found = _seasons(x_T, calendar, EVIDENCE_CALENDAR)
    if found:
        errors = [float(np.abs(x_T[s.length :] - x_T[: -s.length]).mean()) for s in found]
        near = min(errors) * (1 + max(0.05, 2 / len(x_T) ** 0.5))
        good = [s for s, error in zip(found, errors, strict=True) if error <= near]
        best = min(good, key=lambda s: s.length)
    elif found := _seasons(x_T, search, EVIDENCE_SEARCH):
        best = max(found, key=lambda s: s.evidence)
        # Half a season often resembles the other half; the whole one resembles the next more.
        whole = [
            s for s in found if s.length % best.length == 0 and s.strength > 1.15 * best.strength
        ]
        best = max(whole, key=lambda s: s.evidence, default=best)
    else:
        return Period(1, 0.0)
    return Period(best.length, min(1.0, best.strength))


def _interpolated(x_T: np.ndarray) -> np.ndarray:
    known_T = np.isfinite(x_T)
    if known_T.all() or not known_T.any():
        return x_T if known_T.all() else x_T[:0]
    at_T = np.arange(len(x_T))
    return np.interp(at_T, at_T[known_T], x_T[known_T])


def _strength(x_T: np.ndarray, m: int) -> tuple[float, int]:
    """Return the intraclass correlation of the cycles of m steps, and the number of pairs used."""
    half = m // 2
    total_T = np.concatenate([[0.0], np.cumsum(x_T)])
    window_T = total_T[m:] - total_T[:-m]
    # An even season has no middle step: take the mean of the two windows next to it.
    mean_T = (window_T if m % 2 else (window_T[1:] + window_T[:-1]) / 2) / m
    rest_T = x_T[half : len(x_T) - half] - mean_T
    cycles = len(rest_T) // m
    if cycles < 3:
        return 0.0, 0
    rest_CM = rest_T[len(rest_T) - cycles * m :].reshape(cycles, m)
    rest_CM = rest_CM - rest_CM.mean(axis=1, keepdims=True)
    energy = float((rest_CM**2).sum()) / cycles
    if energy <= 1e-20 * float((x_T**2).mean()):  # a constant or a straight line: rounding is left
        return 0.0, 0
    reach = range(1, min(REACH, cycles - 1) + 1)
    pairs = sum(cycles - lag for lag in reach)
    alike = sum(float((rest_CM[lag:] * rest_CM[:-lag]).sum()) for lag in reach)
    return alike / pairs / energy, pairs


@dataclass(frozen=True)
class _Season:
    length: int
    strength: float
    evidence: float


def _seasons(x_T: np.ndarray, lengths: Iterable[int], evidence: float) -> list[_Season]:
    found = []
    for m in lengths:
        strength, pairs = _strength(x_T, m) if m < len(x_T) else (0.0, 0)
        freedom = min(1.0, (m - 1) / 4)
        found.append(_Season(m, strength, strength * (pairs * freedom) ** 0.5))
    return [s for s in found if s.evidence >= evidence and s.strength >= WEAKEST]
