"""Whether a step of a long sequence costs what a step of a short one does, in each engine.

The time of a training step (forward and backward, with every weight's gradient) over T = 10,000
time steps, by ten times that over T = 1,000: 1 is flat. Both lie in one process and take turns
(timing.py); medians count. Writes flatness.json.

    python benchmarks/flatness.py [--cells rnn,gru,lstm] [--engines native,aten,reference]
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import torch

import elman
import record
from elman import engines
from timing import alternate

CELLS: dict[str, Callable[..., Any]] = {"rnn": elman.RNN, "gru": elman.GRU, "lstm": elman.LSTM}
SHORT, LONG = 1_000, 10_000
BATCH, INPUT, HIDDEN = 8, 16, 32
MOST = 1.15


def main() -> None:
    parser = record.parser(__doc__)
    parser.add_argument("--cells", type=lambda text: text.split(","), default=list(CELLS))
    parser.add_argument("--engines", type=lambda text: text.split(","), default=None)
    parser.add_argument("--seconds", type=float, default=10.0, help="of each contender")
    arguments = parser.parse_args()
    record.use_threads(arguments.threads)

    there = engines.available_engines()
    wanted = arguments.engines or [name for name, reason in there.items() if reason is None]
    points = []
    for cell in arguments.cells:
        for engine in wanted:
            point = measure(cell, engine, arguments.seconds)
            if point is not None:
                points.append(point)
                print("  ".join(row(point)), file=sys.stderr, flush=True)
    headings = ["cell", "engine", f"us a step, T = {SHORT:,}", f"T = {LONG:,}", "ratio", ""]
    print(f"B = {BATCH}, I = {INPUT}, H = {HIDDEN}; flat: a ratio of at most {MOST}")
    print(record.table(headings, [row(point) for point in points]))
    record.write(arguments.out, "flatness", points=points)


def measure(cell: str, engine: str, seconds: float) -> dict[str, Any] | None:
    """Return the point, or None where the engine cannot run the cell."""
    torch.manual_seed(0)
    layer = CELLS[cell](INPUT, HIDDEN)
    x_TBI = torch.randn(LONG, BATCH, INPUT)
    if engines.ENGINES[engine].refuses(layer.cells[0], x_TBI, engines.How()) is not None:
        return None
    calls = {str(steps): training_step(layer, x_TBI[:steps], engine) for steps in (SHORT, LONG)}
    times = alternate(calls, seconds)
    short, long = (times[str(steps)].median for steps in (SHORT, LONG))
    return {
        "cell": cell,
        "engine": engine,
        "microseconds": {SHORT: short / SHORT * 1e6, LONG: long / LONG * 1e6},
        "ratio": long / short * SHORT / LONG,
        "timings": times,
    }


def training_step(layer: Any, x_TBI: torch.Tensor, engine: str) -> Callable[[], object]:
    parameters = list(layer.parameters())
    gradient = torch.randn(len(x_TBI), BATCH, HIDDEN)

    def step() -> object:
        with engines.engine(engine):
            y_TBH, _ = layer(x_TBI)
            return torch.autograd.grad(y_TBH, parameters, gradient)

    return step


def row(point: dict[str, Any]) -> list[str]:
    microseconds = point["microseconds"]
    return [
        point["cell"],
        point["engine"],
        f"{microseconds[SHORT]:.2f}",
        f"{microseconds[LONG]:.2f}",
        f"{point['ratio']:.2f}",
        "" if point["ratio"] <= MOST else "not flat",
    ]


if __name__ == "__main__":
    main()
