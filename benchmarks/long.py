"""The cells for long sequences: what a step costs in each engine, at 1,000 and at 10,000 steps.

One layer of each cell, B, I, H as asked for, in its engines, beside the native LSTM and GRU; batch
first, as networks have them. Inference, and training (forward and backward, with the gradients of
the input and of every weight). First all engines of a cell must agree, to 1e-4 of the largest
value. Then they are timed in turns (timing.py). "flat" is the time of a step at the most steps over
that at the fewest: 1 where time is linear in them.

Writes long.json.

    python benchmarks/long.py
    python benchmarks/long.py --cells mingru,lstm --steps 1000,10000 --engines native,scan
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import asdict
from typing import Any

import torch

import elman
import record
from elman import engines
from timing import alternate

CELLS: dict[str, Callable[..., Any]] = {
    "mingru": elman.MinGRU,
    "minlstm": elman.MinLSTM,
    "lru": elman.LRU,
    "indrnn": elman.IndRNN,
    "lstm": elman.LSTM,
    "gru": elman.GRU,
}
COMPARED = ("lstm", "gru")  # in the native engine only
MODES = ("inference", "training")


def main() -> None:
    parser = record.parser(__doc__)
    parser.add_argument("--cells", type=_words, default=list(CELLS))
    parser.add_argument("--engines", type=_words, default=["native", "scan", "reference"])
    parser.add_argument("--steps", type=_numbers, default=[1000, 10_000])
    parser.add_argument("--shape", type=_numbers, default=[8, 64, 128], help="B,I,H")
    parser.add_argument("--only", choices=MODES, help="one mode")
    parser.add_argument("--seconds", type=float, default=0.5, help="of each at each point")
    arguments = parser.parse_args()
    record.use_threads(arguments.threads)

    points = []
    for mode in [arguments.only] if arguments.only else MODES:
        for steps in arguments.steps:
            points += measure(arguments, mode, steps)
    print(report(points, arguments.steps))
    record.write(arguments.out, "long", shape=arguments.shape, points=points)


def measure(arguments: Any, mode: str, steps: int) -> list[dict[str, Any]]:
    """Return a point for each cell and engine, timed side by side."""
    batch, inputs, hidden = arguments.shape
    torch.manual_seed(0)
    x = torch.randn(batch, steps, inputs)
    calls = {}
    for cell in arguments.cells:
        layer = CELLS[cell](inputs, hidden, batch_first=True)
        right = None
        for engine in arguments.engines:
            if not runs(layer, x, engine) or (cell in COMPARED and engine != "native"):
                continue
            call = caller(layer, x, engine, mode == "training")
            found = call()
            right = found if right is None else right
            for got, expected in zip(found, right, strict=True):
                error = ((got - expected).abs().max() / expected.abs().max()).item()
                if error > 1e-4:
                    raise SystemExit(f"{cell}, {engine}, {mode}, T={steps}: differs by {error:.1e}")
            calls[cell, engine] = call
    print(f"{mode}, T={steps}: they agree", file=sys.stderr, flush=True)
    times = alternate(calls, arguments.seconds)
    return [
        {"mode": mode, "steps": steps, "cell": cell, "engine": engine}
        | {"microseconds_a_step": 1e6 * time.median / steps, "seconds": asdict(time)}
        for (cell, engine), time in times.items()
    ]


def runs(layer: Any, x: torch.Tensor, engine: str) -> bool:
    return engines.ENGINES[engine].refuses(layer.cells[0], x.transpose(0, 1), engines.How()) is None


def caller(layer: Any, x: torch.Tensor, engine: str, training: bool) -> Callable[[], Any]:
    """Return what computes the outputs, and in training the gradients, in that engine."""
    parameters = list(layer.parameters())
    d_y = torch.randn(*x.shape[:2], layer.hidden_size)

    def call() -> Any:
        with elman.engine(engine):
            if not training:
                with torch.inference_mode():
                    return [layer(x)[0]]
            here = x.detach().requires_grad_()
            y, _ = layer(here)
            return [y, *torch.autograd.grad(y, [here, *parameters], d_y)]

    return call


def report(points: list[dict[str, Any]], steps: list[int]) -> str:
    """Return the table as text: microseconds a step."""
    times = {
        (p["mode"], p["cell"], p["engine"], p["steps"]): p["microseconds_a_step"] for p in points
    }
    rows = []
    for mode, cell, engine in dict.fromkeys(key[:3] for key in times):
        costs = [times[mode, cell, engine, number] for number in steps]
        flat = f"{costs[-1] / costs[0]:.2f}"
        rows.append([mode, cell, engine, *(f"{cost:.1f}" for cost in costs), flat])
    headings = ["mode", "cell", "engine", *(f"µs a step, T={number}" for number in steps), "flat"]
    return record.table(headings, rows)


def _words(text: str) -> list[str]:
    return [word.strip() for word in text.split(",")]


def _numbers(text: str) -> list[int]:
    return [int(number) for number in text.split(",")]


if __name__ == "__main__":
    main()
