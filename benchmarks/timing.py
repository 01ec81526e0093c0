"""Time several contenders side by side in one process, in turns, and take medians.

A turn is one contender's: a wait, a call that is not counted, then calls that are, for some
milliseconds. The wait is for the others' threads, which go on spinning after their work is done
(OpenMP's for 10 ms, ONNX Runtime's for 40, on the machine of the published results) and would take
a core from whoever comes next: it lasts until the process uses no more processor time. The call
that is not counted wakes the contender's own threads and fills the caches. The order is drawn anew
in every round, so that nobody always follows the same neighbour; what else the machine does meets
all.
"""

from __future__ import annotations

import random
import statistics
import time
import timeit
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

Call = Callable[[], object]

_TURN = 0.01  # seconds of counted calls in a turn, of at least one call
_LONG = 0.1  # seconds; a call that takes longer does not notice how it starts
_ROUNDS = 5, 40  # fewest and most
_LOOK = 0.01  # seconds; other threads' time is counted in ticks of up to 4 ms
_PATIENCE = 0.2  # seconds


@dataclass(frozen=True)
class Timing:
    """Seconds a call: the median over turns, and the quartiles around it."""

    median: float
    low: float
    high: float
    turns: int

    @classmethod
    def of(cls, seconds: Sequence[float]) -> Timing:
        low, median, high = statistics.quantiles(seconds, n=4, method="inclusive")
        return cls(median, low, high, len(seconds))


def alternate(calls: Mapping[str, Call], seconds: float = 0.5) -> dict[str, Timing]:
    """Return the time of each call, measured in turns of about `seconds` in total for each."""
    once = {name: _once(call) for name, call in calls.items()}
    numbers = {name: max(1, round(_TURN / once[name])) for name in calls}
    longest = max(once[name] * numbers[name] for name in calls) + _LOOK
    least, most = _ROUNDS
    order, chance = list(calls), random.Random(0)
    samples: dict[str, list[float]] = {name: [] for name in calls}
    for _ in range(min(most, max(least, round(seconds / longest)))):
        chance.shuffle(order)
        for name in order:
            wait_until_idle()
            if once[name] < _LONG:
                calls[name]()
            samples[name].append(timeit.timeit(calls[name], number=numbers[name]) / numbers[name])
    return {name: Timing.of(values) for name, values in samples.items()}


def wait_until_idle() -> None:
    """Return when no thread of this process is running on, spinning, after its work."""
    deadline, used = time.monotonic() + _PATIENCE, _LOOK
    while used > _LOOK / 10 and time.monotonic() < deadline:
        before = time.process_time()
        time.sleep(_LOOK)
        used = time.process_time() - before


def _once(call: Call) -> float:
    """Return about how long a call takes, after one that compiles whatever is to be compiled."""
    call()
    seconds = timeit.timeit(call, number=1)
    return min(seconds, *timeit.repeat(call, number=1, repeat=2)) if seconds < _LONG else seconds
