"""One epoch of the published ridership network: `elman fit` against Keras 3 on JAX and plain torch.

Géron, Hands-On Machine Learning (3rd edition), chapter 15, multivariate: bus and rail boardings and
the next day's type over 56 days, one recurrent layer of 32, one dense unit, the next day's rail
boardings; trained on 2016-2018 (33 batches of 32), validated on January to May 2019. All train with
Adam on the mean absolute error. The contenders:

- elman: `Model.fit` with the recipe's options as `elman fit` calls it, into a run folder: reading
  batches, clipping, checking for what is not finite, metrics file, checkpoints, validation. Once as
  the network above (topology seq-to-vector), once as the recipe has it, which answers and learns at
  every step (seq-to-seq).
- keras: `model.fit` on arrays, JAX backend, silent.
- torch: nn.RNN, GRU or LSTM and nn.Linear in a plain loop over slices of a shuffled index, without
  a DataLoader; with all threads, and with one.

An epoch's time runs from the end of the epoch before to its own, its validation included; they are
trained in turns, the first two epochs of each turn left out, medians. Beside it: the whole of a
contender's first training in this process, over what its epochs take (compilation, reading the
table, scores), and the import in a process of its own. Writes ridership.json.

    python benchmarks/ridership.py [--cells rnn,gru,lstm] [--epochs 15] [--turns 4]
"""

from __future__ import annotations

import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from datetime import date
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import torch
from torch import nn

import record
from elman.cli.progress import TerminalObserver
from elman.config import Config, read_config
from elman.data.datasets import fetch
from elman.model import Model
from elman.training.observer import Observer, Observers
from peers import TORCH_LAYERS
from timing import wait_until_idle

os.environ["KERAS_BACKEND"] = "jax"

CELLS = ("rnn", "gru", "lstm")
RECIPE = Path(__file__).parent.parent / "recipes" / "ridership_rail.yaml"
LOOKBACK, HIDDEN, BATCH, RATE = 56, 32, 32, 0.003  # the recipe's
TRAIN, VALID = (date(2016, 1, 1), date(2018, 12, 31)), (date(2019, 1, 1), date(2019, 5, 31))
WARM = 2  # epochs
IMPORTS = {"elman": "import elman.model", "keras": "import keras", "torch": "import torch"}

# Trains for some epochs; returns when training began, each epoch ended, and everything was done.
Fit = Callable[[int], list[float]]


def main() -> None:
    parser = record.parser(__doc__)
    parser.add_argument("--cells", type=lambda text: text.split(","), default=CELLS)
    parser.add_argument("--epochs", type=int, default=15, help=f"of a turn; {WARM} are left out")
    parser.add_argument("--turns", type=int, default=4)
    arguments = parser.parse_args()
    record.use_threads(arguments.threads)

    imports = {name: import_seconds(code) for name, code in IMPORTS.items()}
    with tempfile.TemporaryDirectory() as folder:
        points = [
            measure(cell, arguments.epochs, arguments.turns, Path(folder))
            for cell in arguments.cells
        ]
    names = list(points[0]["epoch"])
    print("milliseconds an epoch (seconds of the first training beside its epochs)")
    rows = [
        [point["cell"]]
        + [f"{point['epoch'][name] * 1e3:.1f} ({point['beside'][name]:.2f})" for name in names]
        + [f"{point['ratio']:.2f}"]
        for point in points
    ]
    print(record.table(["cell", *names, "keras / elman"], rows))
    print("import: " + ", ".join(f"{name} {value:.2f} s" for name, value in imports.items()))
    record.write(arguments.out, "ridership", points=points, imports=imports)


def measure(cell: str, epochs: int, turns: int, folder: Path) -> dict[str, Any]:
    fits = contenders(cell, folder)
    lasted: dict[str, list[float]] = {name: [] for name in fits}
    beside: dict[str, float] = {}
    for _ in range(turns):
        for name, fit in fits.items():
            wait_until_idle()
            begun, *ends, done = fit(epochs)
            # The first lasts from the beginning, and compiles.
            seconds = [after - before for before, after in pairwise(ends)]
            lasted[name] += seconds[WARM - 1 :]
            beside.setdefault(name, done - begun - epochs * statistics.median(seconds))
    medians = {name: statistics.median(values) for name, values in lasted.items()}
    return {
        "cell": cell,
        "epoch": medians,
        "ratio": medians["keras"] / medians["elman"],
        "beside": beside,
        "epochs": lasted,
    }


def contenders(cell: str, folder: Path) -> dict[str, Fit]:
    """Return how each trains the network with a cell."""
    table = fetch("ridership", folder)
    train, valid = (windows(table, *span) for span in (TRAIN, VALID))
    return {
        "elman": partial(fit_elman, table, cell, "seq-to-vector", folder / "run"),
        "elman, every step": partial(fit_elman, table, cell, "seq-to-seq", folder / "run"),
        "keras": keras_fit(cell, train, valid),
        "torch": partial(fit_torch, cell, train, valid, torch.get_num_threads()),
        "torch, 1 thread": partial(fit_torch, cell, train, valid, 1),
    }


def windows(table: Path, first: date, last: date) -> tuple[Any, Any]:
    """Return the windows of a span, (W, 56, 5), and the boardings that follow, (W, 1)."""
    day = pl.col("service_date").str.to_date("%m/%d/%Y")
    frame = pl.read_csv(table).with_columns(day).unique().sort("service_date")
    frame = frame.filter(pl.col("service_date").is_between(first, last))
    next_type = frame["day_type"].shift(-1)
    features = [frame["bus"] / 1e6, frame["rail_boardings"] / 1e6]
    features += [(next_type == kind).cast(pl.Float64) for kind in "AUW"]
    values = np.stack([column.fill_null(0).to_numpy() for column in features], 1).astype("f4")
    views = np.lib.stride_tricks.sliding_window_view(values, LOOKBACK, axis=0)[:-1]
    return np.ascontiguousarray(views.swapaxes(1, 2)), values[LOOKBACK:, 1:2].copy()


def fit_elman(table: Path, cell: str, topology: str, run: Path, epochs: int) -> list[float]:
    class Clock(Observer):
        def epoch(self, metrics: Any) -> None:
            times.append(time.perf_counter())

    changes = {"cell": cell, "topology": topology, "epochs": epochs, "patience": 0}
    shutil.rmtree(run, ignore_errors=True)
    times = [time.perf_counter()]
    model = Model.from_config(Config.parse(read_config(RECIPE) | changes, str(RECIPE)))
    with TerminalObserver() as terminal:
        model.fit(str(table), run=run, observer=Observers(terminal, Clock()))
    return [*times, time.perf_counter()]


def keras_fit(cell: str, train: tuple[Any, Any], valid: tuple[Any, Any]) -> Fit:
    import keras

    class Clock(keras.callbacks.Callback):
        def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
            times.append(time.perf_counter())

    layer = {"rnn": "SimpleRNN", "gru": "GRU", "lstm": "LSTM"}[cell]
    recurrent = getattr(keras.layers, layer)(HIDDEN)
    model = keras.Sequential([keras.Input(train[0].shape[1:]), recurrent, keras.layers.Dense(1)])
    model.compile(keras.optimizers.Adam(RATE), "mae")
    times: list[float] = []

    def fit(epochs: int) -> list[float]:
        times[:] = [time.perf_counter()]
        model.fit(
            *train, batch_size=BATCH, epochs=epochs, validation_data=valid, verbose=0,
            callbacks=[Clock()],
        )  # fmt: skip
        return [*times, time.perf_counter()]

    return fit


def fit_torch(
    cell: str, train: tuple[Any, Any], valid: tuple[Any, Any], threads: int, epochs: int
) -> list[float]:
    usual = torch.get_num_threads()
    torch.set_num_threads(threads)
    times = [time.perf_counter()]
    x_WTI, y_W1, x_valid, y_valid = map(torch.from_numpy, (*train, *valid))
    recurrent = TORCH_LAYERS[cell](x_WTI.shape[2], HIDDEN, batch_first=True)
    network = nn.ModuleList([recurrent, nn.Linear(HIDDEN, 1)])
    optimizer = torch.optim.Adam(network.parameters(), RATE)
    loss_of = nn.L1Loss()

    def answer(x_BTI: Any) -> Any:
        return network[1](network[0](x_BTI)[0][:, -1])

    for _ in range(epochs):
        for picks in torch.randperm(len(x_WTI)).split(BATCH):
            optimizer.zero_grad()
            loss = loss_of(answer(x_WTI[picks]), y_W1[picks])
            loss.backward()
            optimizer.step()
        with torch.no_grad():
            loss_of(answer(x_valid), y_valid).item()
        times.append(time.perf_counter())
    torch.set_num_threads(usual)
    return [*times, time.perf_counter()]


def import_seconds(code: str) -> float:
    """Return what an import takes in a process of its own; the second of two, from warm caches."""
    for _ in range(2):
        started = time.perf_counter()
        subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)
    return time.perf_counter() - started


if __name__ == "__main__":
    main()
