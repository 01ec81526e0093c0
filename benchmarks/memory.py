"""What backpropagation through time takes in memory, by what it keeps: all, recompute, sqrt.

Each measurement is a process of its own: it imports, makes the layer and its input, runs a step on
a few time steps, and notes what is resident (VmRSS); then a training step (forward and backward,
with every weight's gradient) and the most that was ever resident (VmHWM). The difference is
what the step took beyond the parameters, the input and the gradient of the outputs, which are
there before; the outputs themselves, which no way of computing saves, are in it. The gradient comes
to the last state alone, as in a classifier, or to every step's output, as in a tagger.

Times are of one process, in turns (timing.py), and so are the gradients, compared with those of
`all`: the largest difference by the largest value of each array. Writes memory.json.

    python benchmarks/memory.py [--cells rnn,gru,lstm] [--steps 1000,10000] [--layers 1]
"""

from __future__ import annotations

import json
import resource
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

import elman
import record
from timing import alternate

CELLS: dict[str, Callable[..., Any]] = {"rnn": elman.RNN, "gru": elman.GRU, "lstm": elman.LSTM}
MEMORIES = ("all", "recompute", "sqrt")
LOSSES = ("last state", "every step")
BATCH, INPUT, HIDDEN = 32, 32, 128
MIB = 1 << 20


def main() -> None:
    parser = record.parser(__doc__)
    parser.add_argument("--cells", type=lambda text: text.split(","), default=list(CELLS))
    parser.add_argument("--steps", type=lambda text: [*map(int, text.split(","))])
    parser.add_argument("--layers", type=int, default=1)
    parser.add_argument("--seconds", type=float, default=10.0, help="of each contender")
    parser.add_argument("--child", help="measure one case, as JSON; what this script runs itself")
    parser.set_defaults(steps=[1_000, 10_000])
    arguments = parser.parse_args()
    record.use_threads(arguments.threads)
    if arguments.child:
        print(measure_peak(**json.loads(arguments.child)))
        return

    points = []
    for cell in arguments.cells:
        for num_steps in arguments.steps:
            for loss in LOSSES:
                case = {"cell": cell, "layers": arguments.layers, "steps": num_steps, "loss": loss}
                points.append(measure(case, arguments))
                print(say(points[-1]), file=sys.stderr, flush=True)
    headings = ["cell", "T", "loss at", *(f"{m}, MiB" for m in MEMORIES), "sqrt/all"]
    headings += ["recompute, time", "sqrt, time", "gradients"]
    print(f"{arguments.layers} layers, B = {BATCH}, I = {INPUT}, H = {HIDDEN}")
    print(record.table(headings, [row(point) for point in points]))
    record.write(arguments.out, "memory", points=points)


def measure(case: dict[str, Any], arguments: Any) -> dict[str, Any]:
    mebibytes = {memory: peak_of(case | {"memory": memory}, arguments) for memory in MEMORIES}
    calls = {memory: training_step(**case, memory=memory) for memory in MEMORIES}
    gradients = {memory: call() for memory, call in calls.items()}
    errors = {
        memory: max(
            ((mine - exact).abs().max() / exact.abs().max()).item()
            for mine, exact in zip(found, gradients["all"], strict=True)
        )
        for memory, found in gradients.items()
    }
    times = alternate(calls, arguments.seconds)
    return case | {
        "mebibytes": mebibytes,
        "errors": errors,
        "time_ratios": {memory: times[memory].median / times["all"].median for memory in MEMORIES},
        "timings": times,
    }


def peak_of(case: dict[str, Any], arguments: Any) -> float:
    """Return the MiB of one case, measured in a process of its own."""
    command = [sys.executable, __file__, "--threads", str(arguments.threads)]
    done = subprocess.run(
        [*command, "--child", json.dumps(case)], capture_output=True, text=True, check=True
    )
    return float(done.stdout)


def measure_peak(steps: int, **case: Any) -> float:
    training_step(steps=10, **case)()
    step = training_step(steps=steps, **case)
    before = resident()
    step()
    return peak() - before


def training_step(
    cell: str, layers: int, steps: int, loss: str, memory: str
) -> Callable[[], list[torch.Tensor]]:
    """Return a call of one training step, which returns the gradients of all weights."""
    torch.manual_seed(0)
    layer = CELLS[cell](INPUT, HIDDEN, num_layers=layers, memory=memory)
    x_TBI = torch.randn(steps, BATCH, INPUT)
    shape = (1 if loss == "last state" else steps, BATCH, HIDDEN)
    gradient = torch.randn(shape)
    parameters = list(layer.parameters())

    def step() -> list[torch.Tensor]:
        y_TBH, state = layer(x_TBI)
        h_LBH = state[0] if isinstance(state, tuple) else state
        looked_at = h_LBH[-1:] if loss == "last state" else y_TBH
        del y_TBH
        return list(torch.autograd.grad(looked_at, parameters, gradient))

    return step


def resident() -> float:
    """Return the MiB of this process in memory now."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize() / MIB


def peak() -> float:
    """Return the most MiB of this process that were ever in memory."""
    # Not getrusage: its number begins with what the parent had when it made this process.
    status = Path("/proc/self/status").read_text().splitlines()
    (high,) = [line for line in status if line.startswith("VmHWM:")]
    return int(high.split()[1]) / 1024


def say(point: dict[str, Any]) -> str:
    return "  ".join(row(point))


def row(point: dict[str, Any]) -> list[str]:
    mebibytes, times = point["mebibytes"], point["time_ratios"]
    return [
        point["cell"],
        f"{point['steps']:,}",
        point["loss"],
        *(f"{mebibytes[memory]:.1f}" for memory in MEMORIES),
        f"{mebibytes['sqrt'] / mebibytes['all']:.3f}",
        f"{times['recompute']:.2f}",
        f"{times['sqrt']:.2f}",
        f"{max(point['errors'].values()):.0e}",
    ]


if __name__ == "__main__":
    main()
