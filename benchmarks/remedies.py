"""What a remedy for long sequences costs in training: its time by that of the plain layer.

A training step (forward and backward, with the gradients of the input and of every weight) of a
layer with one option, and of the layer without, over the same numbers, in turns (timing.py);
medians count. Random masks are drawn anew in each step, as in training. Writes remedies.json.

    python benchmarks/remedies.py [--remedies zoneout,weight_drop] [--shapes 32,100,64,64]
"""

from __future__ import annotations

import math
import sys
from collections.abc import Callable
from typing import Any

import torch

import elman
import record
from elman import engines
from timing import alternate

LAYERS: dict[str, Callable[..., Any]] = {"rnn": elman.RNN, "gru": elman.GRU, "lstm": elman.LSTM}
# Each remedy: the layers it is for, and the options that turn it on.
REMEDIES: dict[str, tuple[tuple[str, ...], dict[str, Any]]] = {
    "input_dropout": (("rnn", "gru", "lstm"), {"input_dropout": 0.25}),
    "recurrent_dropout": (("rnn", "gru", "lstm"), {"recurrent_dropout": 0.25}),
    "zoneout": (("rnn", "gru", "lstm"), {"zoneout": 0.1}),
    "zoneout of h and c": (("lstm",), {"zoneout": 0.1, "zoneout_cell": 0.1}),
    "weight_drop": (("rnn", "gru", "lstm"), {"weight_drop": 0.5}),
    "learn_state": (("rnn", "gru", "lstm"), {"learn_state": True}),
}
SHAPES = [(32, 100, 64, 64), (32, 400, 64, 128), (32, 200, 128, 256)]  # B, T, I, H
MOST = 1.3


def main() -> None:
    parser = record.parser(__doc__)
    parser.add_argument("--remedies", type=lambda text: text.split(","), default=list(REMEDIES))
    parser.add_argument("--shapes", type=_shapes, default=SHAPES, help="B,T,I,H/...")
    parser.add_argument("--seconds", type=float, default=2.0, help="of each contender")
    arguments = parser.parse_args()
    record.use_threads(arguments.threads)

    points = []
    for cell in LAYERS:
        for shape in arguments.shapes:
            point = measure(cell, shape, arguments.remedies, arguments.seconds)
            points.append(point)
            print(cell, shape, point["ratios"], file=sys.stderr, flush=True)
    rows = []
    for name in arguments.remedies:
        for cell in REMEDIES[name][0]:
            ratios = [point["ratios"][name] for point in points if point["cell"] == cell]
            mean = math.exp(sum(map(math.log, ratios)) / len(ratios))
            rows.append([name, cell, *(f"{ratio:.2f}" for ratio in (*ratios, mean))])
    headings = ["remedy", "layer", *(", ".join(map(str, shape)) for shape in arguments.shapes)]
    print(f"time by the plain layer's, at B, T, I, H; wanted: at most {MOST}")
    print(record.table([*headings, "mean"], rows))
    record.write(arguments.out, "remedies", points=points)


def measure(
    cell: str, shape: tuple[int, ...], remedies: list[str], seconds: float
) -> dict[str, Any]:
    batch, num_steps, input_size, hidden = shape
    torch.manual_seed(0)
    x_TBI = torch.randn(num_steps, batch, input_size, requires_grad=True)
    gradient = torch.randn(num_steps, batch, hidden)
    wanted = {"plain": {}} | {
        name: options
        for name, (layers, options) in REMEDIES.items()
        if name in remedies and cell in layers
    }
    with engines.record() as ran:
        calls = {
            name: training_step(LAYERS[cell](input_size, hidden, **options), x_TBI, gradient)
            for name, options in wanted.items()
        }
        times = alternate(calls, seconds)
    return {
        "cell": cell,
        "shape": shape,
        "engines": sorted(ran),
        "ratios": {
            name: timing.median / times["plain"].median
            for name, timing in times.items()
            if name != "plain"
        },
        "timings": times,
    }


def training_step(layer: Any, x_TBI: torch.Tensor, gradient: torch.Tensor) -> Callable[[], object]:
    leaves = [x_TBI, *layer.parameters()]
    return lambda: torch.autograd.grad(layer(x_TBI)[0], leaves, gradient)


def _shapes(text: str) -> list[tuple[int, ...]]:
    return [tuple(map(int, shape.split(","))) for shape in text.split("/")]


if __name__ == "__main__":
    main()
