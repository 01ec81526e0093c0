"""What layer normalisation and peepholes cost: a layer with them against the plain layer.

Layer normalisation (RNN, GRU, LSTM) and peepholes (LSTM), each at a cell, a shape (batch B, steps
T, input I, hidden H) and a mode: inference, or training (forward and backward, with the gradients
of the input and of every weight). First the layer, on the engine that it runs on, must agree with
the reference engine in float64 to 1e-4 of the largest value of each output and gradient; then it
is timed in turns with the plain layer (timing.py). Ratios of medians. Writes layer_norm.json.

    python benchmarks/layer_norm.py [--shapes 32,100,64,64/64,100,256,256] [--seconds 0.5]
"""

from __future__ import annotations

import math
import sys
from collections.abc import Callable
from dataclasses import asdict
from typing import Any

import torch

import elman
import record
from timing import alternate

SHAPES = [  # B, T, I, H
    (32, 100, 64, 64),
    (64, 100, 64, 128),
    (32, 200, 8, 128),
    (32, 400, 1, 64),
    (64, 100, 256, 256),
]
LAYERS = {"rnn": elman.RNN, "gru": elman.GRU, "lstm": elman.LSTM}
VARIANTS: dict[str, tuple[tuple[str, ...], dict[str, Any]]] = {
    "layer_norm": (("rnn", "gru", "lstm"), {"layer_norm": True}),
    "peepholes": (("lstm",), {"peepholes": True}),
    "both": (("lstm",), {"layer_norm": True, "peepholes": True}),
}
MODES = ("inference", "training")
TOLERANCE = 1e-4


def main() -> None:
    parser = record.parser(__doc__)
    parser.add_argument("--shapes", type=_shapes, default=SHAPES, help="B,T,I,H/...")
    parser.add_argument("--seconds", type=float, default=0.5, help="of each layer at each point")
    arguments = parser.parse_args()
    record.use_threads(arguments.threads)

    points = []
    for shape in arguments.shapes:
        for cell in LAYERS:
            for mode in MODES:
                points.append(measure(cell, shape, mode, arguments.seconds))
                print(points[-1]["cell"], shape, mode, points[-1]["ratios"], file=sys.stderr)
    names = list(VARIANTS)
    rows = [
        [
            point["cell"],
            ", ".join(map(str, point["shape"])),
            point["mode"],
            f"{point['seconds']['plain']['median'] * 1e3:.2f}",
            *(f"{point['ratios'][name]:.2f}" if name in point["ratios"] else "" for name in names),
        ]
        for point in points
    ]
    print(record.table(["cell", "B, T, I, H", "mode", "plain, ms", *names], rows))
    means = summarize(points)
    for mode, found in means.items():
        print(f"{mode}, geometric means:", ", ".join(f"{k} {v:.2f}" for k, v in found.items()))
    record.write(arguments.out, "layer_norm", points=points, means=means)


def measure(cell: str, shape: tuple[int, ...], mode: str, seconds: float) -> dict[str, Any]:
    """Return the plain layer's time and each remedied one's ratio to it, after all agree."""
    batch, num_steps, input_size, hidden_size = shape
    torch.manual_seed(0)
    x_TBI = torch.randn(num_steps, batch, input_size)
    calls, errors, engines = {}, {}, set()
    for name, (cells, options) in {"plain": (tuple(LAYERS), {}), **VARIANTS}.items():
        if cell not in cells:
            continue
        layer = LAYERS[cell](input_size, hidden_size, **options)
        _calm(layer)
        with elman.engines.record() as used:
            errors[name] = check(layer, x_TBI[:, :4], f"{name}, {cell} {shape}")
        engines |= used
        calls[name] = _call(layer, x_TBI, mode)
    times = alternate(calls, seconds)
    plain = times["plain"].median
    return {
        "cell": cell,
        "shape": shape,
        "mode": mode,
        "engines": sorted(engines - {"reference"}),
        "ratios": {name: t.median / plain for name, t in times.items() if name != "plain"},
        "errors": errors,
        "seconds": {name: asdict(t) for name, t in times.items()},
    }


def check(layer: torch.nn.Module, x_TBI: torch.Tensor, label: str) -> float:
    """Return the largest relative error of an output or gradient; end the program if too large."""
    found = _everything(layer, x_TBI)
    with elman.engine("reference"):
        right = _everything(layer.double(), x_TBI.double())
    layer.float()
    errors = {
        name: ((found[name].double() - value).abs().max() / value.abs().max()).item()
        for name, value in right.items()
    }
    worst = max(errors, key=lambda name: errors[name])
    if not errors[worst] <= TOLERANCE:
        raise SystemExit(f"{label}: {worst} is off by {errors[worst]:.1e}")
    return errors[worst]


def _everything(layer: Any, x_TBI: torch.Tensor) -> dict[str, torch.Tensor]:
    x_TBI = x_TBI.clone().requires_grad_()
    y, _ = layer(x_TBI)
    weights = dict(layer.named_parameters())
    gradients = torch.autograd.grad(y.square().sum(), [x_TBI, *weights.values()])
    return {"y": y.detach()} | dict(zip(["x", *weights], gradients, strict=True))


def _calm(layer: torch.nn.Module) -> None:
    """Make the gains of the state small: with those of 1 long recurrences are chaotic."""
    with torch.no_grad():
        for name, parameter in layer.named_parameters():
            if name.startswith("norm_hh"):
                parameter.fill_(0.3)


def _call(layer: Any, x_TBI: torch.Tensor, mode: str) -> Callable[[], object]:
    if mode == "inference":

        def infer() -> object:
            with torch.inference_mode():
                return layer(x_TBI)

        return infer
    x_TBI = x_TBI.clone().requires_grad_()
    wanted = [x_TBI, *layer.parameters()]

    def train() -> object:
        y, _ = layer(x_TBI)
        return torch.autograd.grad(y, wanted, torch.ones_like(y))

    return train


def summarize(points: list[dict[str, Any]]) -> dict[str, dict[str, float]]:
    """Return geometric means of the ratios over cells and shapes, by mode."""
    means: dict[str, dict[str, float]] = {mode: {} for mode in MODES}
    for mode in MODES:
        for name in VARIANTS:
            logs = [
                math.log(p["ratios"][name])
                for p in points
                if p["mode"] == mode and name in p["ratios"]
            ]
            means[mode][name] = math.exp(sum(logs) / len(logs))
    return means


def _shapes(text: str) -> list[tuple[int, ...]]:
    return [tuple(map(int, shape.split(","))) for shape in text.split("/")]


if __name__ == "__main__":
    main()
