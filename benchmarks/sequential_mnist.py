"""An epoch of sequential MNIST: 60,000 digits, a pixel a step, 784 steps, read by one layer.

Elman's RNN, GRU and LSTM beside torch.nn's, in the same training step: 100 rows, the layer, a
linear head on the last state, cross entropy, backward, clipping, Adam. Agreement first: from the
same weights the same loss and the same gradient of every parameter. Then both train on the same
batches, a batch in turns in an order drawn anew, so that what else the machine does meets both; an
epoch is the median batch times 600. Writes sequential_mnist.json.

    python benchmarks/sequential_mnist.py [--cells gru,lstm] [--hidden 128] [--batches 40]
"""

from __future__ import annotations

import random
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

import elman
import record
from elman.data.datasets import fetch
from elman.data.table import read_table
from timing import Timing, wait_until_idle

RUNS = Path(__file__).parent.parent / "runs"
CELLS = {
    "rnn": (torch.nn.RNN, elman.RNN),
    "gru": (torch.nn.GRU, elman.GRU),
    "lstm": (torch.nn.LSTM, elman.LSTM),
}
WHO = ("torch", "elman")
BATCH, ROWS = 100, 60_000
TOLERANCE = 1e-4  # of the largest value of each gradient
WARM_UP = 2


def main() -> None:
    parser = record.parser(__doc__)
    parser.add_argument("--cells", type=lambda text: text.split(","), default=list(CELLS))
    parser.add_argument("--hidden", type=int, default=128)
    parser.add_argument("--batches", type=int, default=40, help="that each contender trains on")
    arguments = parser.parse_args()
    record.use_threads(arguments.threads)

    x_BTI, digit_B = digits((WARM_UP + arguments.batches) * BATCH)
    points = []
    for cell in arguments.cells:
        points.append(measure(cell, arguments.hidden, x_BTI, digit_B))
        print(cell, file=sys.stderr, flush=True)
    print(f"seconds of an epoch of {ROWS:,} digits, batches of {BATCH}, {arguments.hidden} units")
    rows = []
    for point in points:
        seconds = [f"{point['epoch_seconds'][who]:.0f}" for who in WHO]
        rows.append([point["cell"], *seconds, f"{point['ratio']:.2f}", f"{point['error']:.1e}"])
    print(record.table(["cell", *WHO, "ratio", "error"], rows))
    record.write(arguments.out, "sequential_mnist", batch=BATCH, rows=ROWS, points=points)


def digits(count: int) -> tuple[Tensor, Tensor]:
    """Return the first training digits, pixels `(B, 784, 1)` from 0 to 1, and what they are."""
    table = read_table(fetch("mnist_pixels", RUNS / "data"))
    frame = table.rows(np.arange(count), ["pixels", "digit"])
    pixels = np.stack(frame["pixels"].to_list()).astype(np.float32) / 255
    return torch.from_numpy(pixels)[..., None], torch.tensor(frame["digit"].to_list())


def measure(cell: str, hidden: int, x_BTI: Tensor, digit_B: Tensor) -> dict[str, Any]:
    contenders = {}
    for who, layer in zip(WHO, CELLS[cell], strict=True):
        torch.manual_seed(0)
        contenders[who] = Contender(layer(1, hidden, batch_first=True), hidden)
    contenders["elman"].load_state_dict(contenders["torch"].state_dict())
    error = check(contenders, x_BTI[:BATCH], digit_B[:BATCH], cell)
    optimizers = {
        who: torch.optim.Adam(c.parameters(), fused=True) for who, c in contenders.items()
    }
    seconds: dict[str, list[float]] = {who: [] for who in WHO}
    order, chance = list(WHO), random.Random(0)
    for place, start in enumerate(range(0, len(x_BTI), BATCH)):
        at = slice(start, start + BATCH)
        chance.shuffle(order)
        for who in order:
            wait_until_idle()
            began = time.perf_counter()
            contenders[who].train_on(x_BTI[at], digit_B[at], optimizers[who])
            if place >= WARM_UP:
                seconds[who].append(time.perf_counter() - began)
    times = {who: Timing.of(seconds[who]) for who in WHO}
    epoch = {who: times[who].median * ROWS / BATCH for who in WHO}
    return {
        "cell": cell,
        "hidden": hidden,
        "error": error,
        "epoch_seconds": epoch,
        "ratio": epoch["torch"] / epoch["elman"],
        "times": times,
    }


class Contender(nn.Module):
    """A layer and a head on its last state."""

    def __init__(self, recurrent: nn.Module, hidden: int) -> None:
        super().__init__()
        self.recurrent, self.head = recurrent, nn.Linear(hidden, 10)

    def loss(self, x_BTI: Tensor, digit_B: Tensor) -> Tensor:
        """Return the mean cross entropy."""
        h_BTH, _ = self.recurrent(x_BTI)
        return F.cross_entropy(self.head(h_BTH[:, -1]), digit_B)

    def train_on(self, x_BTI: Tensor, digit_B: Tensor, optimizer: torch.optim.Optimizer) -> None:
        """Take one step of training."""
        optimizer.zero_grad()
        self.loss(x_BTI, digit_B).backward()
        nn.utils.clip_grad_norm_(self.parameters(), 1.0)
        optimizer.step()


def check(contenders: dict[str, Contender], x_BTI: Tensor, digit_B: Tensor, cell: str) -> float:
    """Return the largest relative error of the loss and of all gradients."""
    found = {}
    for who, contender in contenders.items():
        loss = contender.loss(x_BTI, digit_B)
        gradients = torch.autograd.grad(loss, list(contender.parameters()))
        names = [name for name, _ in contender.named_parameters()]
        found[who] = dict(zip(["loss", *names], [loss.detach(), *gradients], strict=True))
    errors = {
        name: ((found["elman"][name] - right).abs().max() / right.abs().max()).item()
        for name, right in found["torch"].items()
    }
    worst = max(errors, key=lambda name: errors[name])
    if not errors[worst] <= TOLERANCE:
        raise SystemExit(f"{cell}: {worst}: relative error {errors[worst]:.1e}")
    return errors[worst]


if __name__ == "__main__":
    main()
