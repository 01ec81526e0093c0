"""Recurrent layers against what a user would take instead: agreement first, then time.

Each point is a cell (rnn, gru, lstm), a shape (batch B, steps T, input I, hidden H) and a mode:
inference, or training (forward and backward, with the gradients of the input and of every weight).
All peers get the same numbers, and must give torch's outputs and gradients to 1e-4 of the largest
value; one that does not ends the program. Then they are timed in turns (timing.py), each with the
same number of threads; so is torch.mm of two 1024 x 1024 matrices, in the turns of each point: what
the machine's units can do at that moment. Medians count.

GFLOP/s are of the matrix products, 2·G·B·T·H·(I+H) with G gates, three times that in training.
Writes engines.json and engines.svg.

    python benchmarks/engines.py
    python benchmarks/engines.py --cells lstm,gru --shapes 32,50,1,32 --only inference --seconds 1
"""

from __future__ import annotations

import math
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch

import peers
import record
from timing import alternate

SHAPES = [  # B, T, I, H
    (32, 50, 1, 32),
    (64, 100, 64, 128),
    (20, 35, 200, 200),
    (128, 784, 1, 128),
    (64, 100, 256, 256),
    (64, 64, 512, 512),
    (1, 1000, 256, 256),
    (32, 1000, 64, 64),
]
ODD_SHAPES = [(7, 35, 13, 50)]  # in the table, not in the means
CELLS = ("rnn", "gru", "lstm")
MODES = ("inference", "training")
GROUPS = {cell: (cell,) for cell in CELLS} | {"rnn and gru": ("rnn", "gru"), "all": CELLS}
MM_SIZE = 1024
LARGE = 32, 256  # batch and hidden size from which the share of torch.mm's rate is asked for


def main() -> None:
    parser = record.parser(__doc__)
    parser.add_argument("--cells", type=_words, default=CELLS, help="such as rnn,gru")
    parser.add_argument("--shapes", type=_shapes, default=SHAPES + ODD_SHAPES, help="B,T,I,H/...")
    parser.add_argument("--only", choices=MODES, help="one mode")
    parser.add_argument("--peers", type=_words, help="such as torch,jax; torch is always there")
    parser.add_argument("--seconds", type=float, default=0.5, help="of each peer at each point")
    arguments = parser.parse_args()
    record.use_threads(arguments.threads)

    points = []
    for mode in [arguments.only] if arguments.only else MODES:
        for cell in arguments.cells:
            for shape in arguments.shapes:
                point = measure(cell, shape, mode, arguments.peers, arguments.seconds)
                points.append(point)
                print(say(point), file=sys.stderr, flush=True)
    means = summarize(points)
    print(report(points, means))
    record.write(arguments.out, "engines", points=points, means=means)
    draw(points, arguments.out / "engines.svg")


def measure(
    cell: str, shape: tuple[int, ...], mode: str, names: Any, seconds: float
) -> dict[str, Any]:
    """Return one point: every peer's time, rate and error, after all were found to agree."""
    training = mode == "training"
    problem = peers.Problem(cell, *shape)
    wanted = [name for name in peers.PEERS if names is None or name in {"torch", *names}]
    runs = {name: peers.prepare(name, problem, training) for name in wanted}
    runs = {name: run for name, run in runs.items() if run is not None}
    right = runs["torch"].read(runs["torch"].call())
    errors = {
        name: peers.check_agreement(right, run.read(run.call()), f"{name}, {cell} {shape}, {mode}")
        for name, run in runs.items()
    }
    square = torch.rand(MM_SIZE, MM_SIZE)
    calls = {name: run.call for name, run in runs.items()}
    times = alternate({"torch.mm": lambda: torch.mm(square, square)} | calls, seconds)
    mm_rate = 2 * MM_SIZE**3 / times.pop("torch.mm").median / 1e9
    rates = {name: problem.operations(training) / t.median / 1e9 for name, t in times.items()}
    point = {"cell": cell, "shape": shape, "mode": mode, "torch.mm": mm_rate, "gflops": rates}
    if "elman" in runs:
        others = {name: rate for name, rate in rates.items() if name != "elman"}
        fastest = max(others, key=lambda name: others[name])
        point |= {
            "engine": runs["elman"].engine,
            "fastest_peer": fastest,
            "ratio": rates["elman"] / others[fastest],
            "share": rates["elman"] / mm_rate,
        }
    return point | {"errors": errors, "seconds": {name: asdict(t) for name, t in times.items()}}


def summarize(points: list[dict[str, Any]]) -> dict[str, Any]:
    """Return geometric means of the ratio to the fastest peer, over the table's shapes."""
    means: dict[str, Any] = {}
    compared = [p for p in points if "ratio" in p and p["shape"] not in ODD_SHAPES]
    for mode in MODES:
        for label, cells in GROUPS.items():
            ratios = [p["ratio"] for p in compared if p["mode"] == mode and p["cell"] in cells]
            if ratios:
                means.setdefault(mode, {})[label] = {
                    "mean": math.exp(sum(map(math.log, ratios)) / len(ratios)),
                    "least": min(ratios),
                }
    return means


def say(point: dict[str, Any]) -> str:
    rates = ", ".join(f"{name} {rate:.0f}" for name, rate in point["gflops"].items())
    return f"{point['mode']} {point['cell']} {point['shape']}: {rates}"


def report(points: list[dict[str, Any]], means: dict[str, Any]) -> str:
    """Return the table and the means as text."""
    names = list(dict.fromkeys(name for point in points for name in point["gflops"]))
    parts = []
    for mode in dict.fromkeys(point["mode"] for point in points):
        rows = [_row(point, names) for point in points if point["mode"] == mode]
        headings = ["cell", "B, T, I, H", *names, "engine", "ratio to", "", "torch.mm", "share"]
        parts.append(f"{mode}, GFLOP/s\n" + record.table(headings, rows))
    for mode, labels in means.items():
        said = ", ".join(f"{k} {v['mean']:.2f} (least {v['least']:.2f})" for k, v in labels.items())
        parts.append(f"{mode}: ratio to the fastest peer, geometric means: {said}")
    batch, hidden = LARGE
    compared = [p for p in points if "share" in p]
    large = [p for p in compared if p["shape"][0] >= batch and p["shape"][3] >= hidden]
    for mode in MODES:
        shares = [p["share"] for p in large if p["mode"] == mode]
        if shares:
            parts.append(
                f"{mode}: least share of torch.mm's rate at B ≥ {batch}, H ≥ {hidden}: "
                f"{min(shares):.0%}"
            )
    return "\n\n".join(parts)


def _row(point: dict[str, Any], names: list[str]) -> list[str]:
    rates = [f"{point['gflops'][name]:.1f}" if name in point["gflops"] else "" for name in names]
    compared = ["", "", ""]
    if "ratio" in point:
        compared = [point["engine"], point["fastest_peer"], f"{point['ratio']:.2f}"]
    share = f"{point['share']:.0%}" if "share" in point else ""
    shape = ", ".join(map(str, point["shape"]))
    return [point["cell"], shape, *rates, *compared, f"{point['torch.mm']:.0f}", share]


def draw(points: list[dict[str, Any]], path: Path) -> None:
    """Draw the rates: a panel for each mode and cell, a group of bars for each shape."""
    import matplotlib

    matplotlib.use("svg")
    matplotlib.rcParams["svg.hashsalt"] = "elman"
    from matplotlib import pyplot

    modes = list(dict.fromkeys(point["mode"] for point in points))
    cells = list(dict.fromkeys(point["cell"] for point in points))
    names = list(dict.fromkeys(name for point in points for name in point["gflops"]))
    figure, axes = pyplot.subplots(
        len(cells), len(modes), figsize=(7 * len(modes), 2.6 * len(cells)), squeeze=False,
        sharey=True, layout="constrained",
    )  # fmt: skip
    for row, cell in enumerate(cells):
        for column, mode in enumerate(modes):
            chosen = [p for p in points if (p["cell"], p["mode"]) == (cell, mode)]
            _panel(axes[row, column], chosen, names)
            axes[row, column].set_title(f"{cell.upper()}, {mode}", loc="left")
        axes[row, 0].set_ylabel("GFLOP/s")
    handles, labels = axes[0, 0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=len(labels), frameon=False)
    figure.savefig(path, metadata={"Date": None})
    pyplot.close(figure)


def _panel(axes: Any, points: list[dict[str, Any]], names: list[str]) -> None:
    width = 0.84 / len(names)
    for index, name in enumerate(names):
        colour = "#c2410c" if name == "elman" else str(0.25 + 0.12 * index)
        places = [group + (index - (len(names) - 1) / 2) * width for group in range(len(points))]
        heights = [point["gflops"].get(name, 0) for point in points]
        axes.bar(places, heights, width, color=colour, label=name)
    rates = [point["torch.mm"] for point in points]
    groups = range(len(points))
    axes.hlines(
        rates, [g - 0.45 for g in groups], [g + 0.45 for g in groups], colors="black", lw=1,
        label="torch.mm",
    )  # fmt: skip
    shapes = ["{}·{}\n{}→{}".format(*point["shape"]) for point in points]
    axes.set_xticks(groups, shapes, fontsize=8)
    axes.spines[["top", "right"]].set_visible(False)


def _words(text: str) -> list[str]:
    return [word.strip() for word in text.split(",")]


def _shapes(text: str) -> list[tuple[int, ...]]:
    return [tuple(map(int, shape.split(","))) for shape in text.split("/")]


if __name__ == "__main__":
    main()
