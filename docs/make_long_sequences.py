"""Make the pictures of long_sequences.md: how far gradients reach in three networks on one task.

A plain RNN, an LSTM and a GRU of 64 units learn the adding problem of 200 steps, with the same
rows in the same order. Two pictures: the norm of the gradient of the answer's loss with respect to
the state k steps before it, before and after training; and the error on rows not trained on, while
they learn. Takes some minutes on one core, writes two SVGs beside the page, and prints what they
show.

    python docs/make_long_sequences.py [--steps 3000] [--length 200] [--out FOLDER]

Legend: B rows, T steps, K lags.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import matplotlib.style
import numpy as np
import torch
from matplotlib.figure import Figure
from torch import Tensor, nn

import elman
from elman.data.synthetic import adding_problem
from elman.diagnosis import gradient_flow
from elman.networks import SeqToVector

HERE = Path(__file__).parent
LAYERS = {"plain RNN": elman.RNN, "LSTM": elman.LSTM, "GRU": elman.GRU}
HIDDEN, BATCH = 64, 50
TRAIN, TEST = 20_000, 1000
SHOWN = 64  # rows that the gradient is measured on
EVERY = 100  # steps from one measurement of the error to the next
INK, GRID = "#1d2126", "#d9dde2"
BEFORE, AFTER = "#8b929c", "#0072b2"
COLOURS = {"plain RNN": "#d55e00", "LSTM": "#0072b2", "GRU": "#009e73"}


@dataclass
class Story:
    """What happened to one network: the gradient by lag before and after, the error by step."""

    before_K: np.ndarray
    after_K: np.ndarray = field(default_factory=lambda: np.empty(0))
    steps: list[int] = field(default_factory=list)
    errors: list[float] = field(default_factory=list)


def main() -> None:
    """Train the three, and draw."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--steps", type=int, default=3000, help="of training")
    parser.add_argument("--length", type=int, default=200, help="steps of a sequence")
    parser.add_argument("--out", type=Path, default=HERE, help="folder for the pictures")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    x_BTI, y_B = rows(arguments.length)
    stories = {}
    for name in LAYERS:
        stories[name] = story(name, x_BTI, y_B, arguments.steps)
        print(told(name, stories[name]), flush=True)
    reach(stories).savefig(arguments.out / "long_sequences_reach.svg", metadata={"Date": None})
    learning(stories).savefig(arguments.out / "long_sequences_error.svg", metadata={"Date": None})


def rows(length: int) -> tuple[Tensor, Tensor]:
    """Return the adding problem: what is read, each channel scaled, and the sums."""
    value_BT, marker_BT, sum_B = adding_problem(TRAIN + TEST, length, seed=length)
    x_BTI = np.stack([value_BT, marker_BT.astype(np.float32)], axis=-1)
    x_BTI = (x_BTI - x_BTI.mean((0, 1))) / x_BTI.std((0, 1))
    return torch.from_numpy(x_BTI), torch.from_numpy(sum_B.astype(np.float32))


def story(name: str, x_BTI: Tensor, y_B: Tensor, steps: int) -> Story:
    """Train a network, and measure it before, meanwhile and after."""
    torch.manual_seed(0)
    layer = LAYERS[name](x_BTI.shape[-1], HIDDEN, batch_first=True)
    network = SeqToVector(layer, HIDDEN, 1)
    nn.init.ones_(network.head.bias)  # the mean of all sums: nobody has to learn that first
    found = Story(by_lag(network, x_BTI[TRAIN:], y_B[TRAIN:]))
    optimizer = torch.optim.Adam(network.parameters())
    for step in range(steps):
        for group in optimizer.param_groups:
            group["lr"] = 1.5e-3 * (1 + np.cos(np.pi * step / steps))
        at = torch.arange(step * BATCH, (step + 1) * BATCH) % TRAIN
        optimizer.zero_grad()
        squares(network, x_BTI[at], y_B[at]).mean().backward()
        nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimizer.step()
        if (step + 1) % EVERY == 0:
            with torch.inference_mode():
                found.errors.append(squares(network, x_BTI[TRAIN:], y_B[TRAIN:]).mean().item())
            found.steps.append(step + 1)
    found.after_K = by_lag(network, x_BTI[TRAIN:], y_B[TRAIN:])
    return found


def squares(network: nn.Module, x_BTI: Tensor, y_B: Tensor) -> Tensor:
    """Return each row's squared error."""
    return (network(x_BTI)[:, 0] - y_B) ** 2


def by_lag(network: nn.Module, x_BTI: Tensor, y_B: Tensor) -> np.ndarray:
    """Return the norm of the gradient of a row's loss with respect to the state k steps before.

    The mean over rows, by lag; the loss is taken at the last step.
    """

    def loss(answer_BO: Tensor) -> Tensor:
        return (answer_BO[:, 0] - y_B[:SHOWN]) ** 2

    return gradient_flow(network, x_BTI[:SHOWN], loss).layers[0].curve_K


def told(name: str, found: Story) -> str:
    """Return what the pictures show of one network, in numbers."""

    def left(curve_K: np.ndarray) -> str:
        lags = (10, len(curve_K) // 4, len(curve_K) - 1)
        return ", ".join(f"{curve_K[k] / curve_K[0]:.1e} at {k}" for k in lags)

    return (
        f"{name}: of the gradient is left before training {left(found.before_K)}; after it "
        f"{left(found.after_K)}; squared error {found.errors[-1]:.4f}"
    )


def reach(stories: dict[str, Story]) -> Any:
    """Draw the gradient by lag, a panel for each network."""
    figure, panels = _figure(3)
    for axes, (name, found) in zip(panels, stories.items(), strict=True):
        for curve_K, colour, when in (
            (found.before_K, BEFORE, "before training"),
            (found.after_K, AFTER, "after training"),
        ):
            seen_K = np.maximum(curve_K, 1e-45)  # zero has no logarithm
            axes.plot(np.arange(len(seen_K)), seen_K, color=colour, label=when)
        axes.set_title(name)
        axes.set_yscale("log")
        axes.set_ylim(1e-16, 1e2)
        axes.set_xlabel("steps back from the answer")
    panels[0].set_ylabel("norm of the gradient")
    panels[0].legend(frameon=False)
    return figure


def learning(stories: dict[str, Story]) -> Any:
    """Draw the error on rows not trained on, by step."""
    figure, (axes,) = _figure(1)
    for name, found in stories.items():
        axes.plot(found.steps, found.errors, color=COLOURS[name], label=name)
    axes.axhline(1 / 6, color=INK, linestyle=":", label="always answering 1")
    axes.set_yscale("log")
    axes.set_xlabel("training steps")
    axes.set_ylabel("mean squared error")
    axes.legend(frameon=False)
    return figure


_STYLE = {
    "svg.fonttype": "none",
    "svg.hashsalt": "elman",
    "font.family": "sans-serif",
    "font.size": 11,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.color": GRID,
    "figure.facecolor": "white",
    "savefig.facecolor": "white",
}


def _figure(panels: int) -> tuple[Any, list[Any]]:
    matplotlib.style.use(["default", _STYLE])
    figure = Figure(figsize=(12, 3.6) if panels > 1 else (8, 3.6), layout="constrained")
    made = figure.subplots(1, panels, sharey=True, squeeze=False)
    return figure, list(made[0])


if __name__ == "__main__":
    main()
