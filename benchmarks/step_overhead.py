"""Where a training step's time goes: forward, backward, optimiser, and all that is not these.

Trains a recipe for a few epochs with a clock around each part; the rest is cutting the batch,
clipping, checking for what is not finite, counting. Prints medians over epochs.

    python benchmarks/step_overhead.py [recipes/ridership_rail.yaml] [--epochs 12]
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import tempfile
import time
from collections import defaultdict
from pathlib import Path

import torch

from elman.config import Config, read_config
from elman.data.datasets import fetch
from elman.kinds.forecasting.job import ForecastTask
from elman.model import Model
from elman.training import loop
from elman.training.observer import Observer

PARTS = ("forward", "backward", "optimiser")


class Clock(Observer):
    """Adds up the seconds of each part, and of whole epochs without their validation."""

    def __init__(self):
        self.now = defaultdict(float)
        self.epochs = []

    def around(self, part, function):
        def timed(*args, **kwargs):
            started = time.perf_counter()
            try:
                return function(*args, **kwargs)
            finally:
                self.now[part] += time.perf_counter() - started

        return timed

    def epoch(self, metrics):
        self.epochs.append({"total": metrics.seconds, "steps": metrics.step} | dict(self.now))
        self.now.clear()


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    recipes = Path(__file__).parent.parent / "recipes"
    parser.add_argument("recipe", type=Path, nargs="?", default=recipes / "ridership_rail.yaml")
    parser.add_argument("--epochs", type=int, default=12)
    arguments = parser.parse_args()

    clock = Clock()
    make_optimizer = loop.make_optimizer

    def timed_optimizer(network, options):
        optimizer = make_optimizer(network, options)
        optimizer.step = clock.around("optimiser", optimizer.step)
        return optimizer

    loop.make_optimizer = timed_optimizer
    torch.Tensor.backward = clock.around("backward", torch.Tensor.backward)
    with tempfile.TemporaryDirectory() as folder:
        values = read_config(arguments.recipe) | {"epochs": arguments.epochs, "patience": 0}
        config = Config.parse(values, str(arguments.recipe))
        table = fetch(Path(config.table).stem, Path(folder))
        model = Model.from_config(config)
        ForecastTask.loss = clock.around("forward", ForecastTask.loss)
        model.fit(table, observer=clock)

    epochs = clock.epochs[2:]  # the first ones warm up
    steps = epochs[1]["steps"] - epochs[0]["steps"]
    result = {
        part: statistics.median(epoch[part] / steps * 1e3 for epoch in epochs) for part in PARTS
    }
    result["total"] = statistics.median(epoch["total"] / steps * 1e3 for epoch in epochs)
    outside = statistics.median(1 - sum(e[p] for p in PARTS) / e["total"] for e in epochs)
    for name, value in result.items():
        print(f"{name:10} {value:8.3f} ms a step")
    print(f"outside forward, backward and optimiser: {outside:.1%} of a step ({steps} steps)")
    target = Path(__file__).parent / "results" / "step_overhead.json"
    target.parent.mkdir(exist_ok=True)
    document = {"recipe": arguments.recipe.name, "milliseconds": result, "outside": outside}
    document |= {"torch": torch.__version__, "cores": os.cpu_count()}
    target.write_text(json.dumps(document, indent=1) + "\n")


if __name__ == "__main__":
    main()
