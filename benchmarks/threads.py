"""Threads: whether Elman's and OpenMP's get along, and what a second one is worth.

1. A training loop that mixes both: an embedding and linear layers (torch, OpenMP) around an Elman
   layer (threads of its own), and Adam. Its time against the sum of its two parts, each timed
   alone; the same with torch's layer in place of Elman's, for comparison. 1 is no quarrel.
2. Small networks with one thread and with two: undisturbed, and while another process keeps one
   core busy; a training step (forward and backward) of Elman's and of torch's layer.

In turns, medians (timing.py). Writes threads.json.

    python benchmarks/threads.py [--cells rnn,gru,lstm]
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn
from torch.nn import functional as F

import peers
import record
from timing import alternate

CELLS = ("rnn", "gru", "lstm")
MIXED = [(32, 50, 64, 64), (64, 100, 256, 256)]  # B, T, I, H
SMALL = [(32, 50, 1, 32), (32, 56, 5, 32), (64, 100, 64, 128)]


def main() -> None:
    parser = record.parser(__doc__)
    parser.add_argument("--cells", type=lambda text: text.split(","), default=CELLS)
    parser.add_argument("--seconds", type=float, default=0.5, help="of each contender")
    arguments = parser.parse_args()
    record.use_threads(arguments.threads)

    mixed = [mix(cell, shape, arguments.seconds) for cell in arguments.cells for shape in MIXED]
    print("a mixed training step, milliseconds")
    rows = [
        [point["cell"], ", ".join(map(str, point["shape"])), point["layer"]]
        + [f"{value * 1e3:.2f}" for value in point["seconds"].values()]
        + [f"{point['quarrel']:.2f}"]
        for points in mixed
        for point in points
    ]
    headings = ["cell", "B, T, I, H", "layer", "mixed", "layer alone", "rest alone", "mixed / sum"]
    print(record.table(headings, rows))

    small = [share(cell, shape, arguments) for cell in arguments.cells for shape in SMALL]
    print("\na training step, milliseconds (quiet; busy: another process on one core)")
    names = list(small[0]["seconds"])
    rows = [
        [point["cell"], ", ".join(map(str, point["shape"]))]
        + [f"{point['seconds'][name] * 1e3:.2f}" for name in names]
        for point in small
    ]
    print(record.table(["cell", "B, T, I, H", *names], rows))
    record.write(
        arguments.out, "threads", mixed=[point for points in mixed for point in points], small=small
    )


def mix(cell: str, shape: tuple[int, ...], seconds: float) -> list[dict[str, Any]]:
    """Return the mixed step and its parts, with Elman's layer and with torch's."""
    problem = peers.Problem(cell, *shape)
    batch, steps, inputs, hidden = shape
    tokens = torch.randint(1000, (steps, batch))
    d_y_TBH = problem.d_y_TBH
    points = []
    for name, recurrent in (
        ("elman", problem.elman_layer()),
        ("torch", problem.torch_layer()),
    ):
        outside = nn.ModuleList(
            [nn.Embedding(1000, 4 * inputs), nn.Linear(4 * inputs, inputs), nn.Linear(hidden, 1000)]
        )
        optimizers = [
            torch.optim.Adam(part, fused=True)
            for part in (
                [*outside.parameters(), *recurrent.parameters()],
                recurrent.parameters(),
                outside.parameters(),
            )
        ]

        def step(middle: Callable[..., Any], optimizer: Any, outside: Any = outside) -> None:
            optimizer.zero_grad()
            embed, narrow, answer = outside
            y_TBH = middle(torch.relu(narrow(embed(tokens))))
            F.cross_entropy(answer(y_TBH).flatten(0, 1), tokens.flatten()).backward()
            optimizer.step()

        def alone(optimizer: Any, recurrent: Any = recurrent) -> None:
            optimizer.zero_grad()
            x_TBI = problem.x_TBI.clone().requires_grad_()
            recurrent(x_TBI)[0].backward(d_y_TBH)
            optimizer.step()

        def skip(x_TBI: Any) -> Any:
            return x_TBI if hidden == inputs else F.pad(x_TBI, (0, hidden - inputs))

        whole, own, rest = optimizers
        times = alternate(
            {
                "mixed": lambda step=step, r=recurrent, o=whole: step(lambda x: r(x)[0], o),
                "layer": lambda alone=alone, o=own: alone(o),
                "rest": lambda step=step, skip=skip, o=rest: step(skip, o),
            },
            seconds,
        )
        medians = {key: timing.median for key, timing in times.items()}
        points.append(
            {
                "cell": cell,
                "shape": shape,
                "layer": name,
                "seconds": medians,
                "quarrel": medians["mixed"] / (medians["layer"] + medians["rest"]),
            }
        )
    return points


def share(cell: str, shape: tuple[int, ...], arguments: Any) -> dict[str, Any]:
    """Return the time of a training step, by layer, threads and what else the machine does."""
    problem = peers.Problem(cell, *shape)
    runs = {name: peers.prepare(name, problem, True) for name in ("elman", "torch")}

    def threaded(run: Any, number: int) -> Callable[[], Any]:
        def call() -> Any:
            torch.set_num_threads(number)
            return run.call()

        return call

    calls = {
        f"{name} {number}": threaded(run, number)
        for name, run in runs.items()
        for number in (1, arguments.threads)
    }
    quiet = alternate(calls, arguments.seconds)
    with a_busy_core():
        busy = alternate(calls, arguments.seconds)
    torch.set_num_threads(arguments.threads)
    seconds = {
        f"{name}, {mood}": times[name].median
        for name in calls
        for mood, times in (("quiet", quiet), ("busy", busy))
    }
    return {"cell": cell, "shape": shape, "seconds": seconds}


@contextmanager
def a_busy_core() -> Iterator[None]:
    process = subprocess.Popen([sys.executable, "-c", "while True: pass"])
    try:
        yield
    finally:
        process.kill()
        process.wait()


if __name__ == "__main__":
    main()
