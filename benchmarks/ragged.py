"""Ragged batches: rows of 1/10 to 10/10 of the longest, in one padded batch.

Elman's layers are given the padded batch with `lengths`, and once a PackedSequence; torch's layers
a PackedSequence, made before the clock runs. Agreement first: outputs and the gradients of the
input and of all weights. Then, in turns (timing.py), the time against that of Elman's full batch,
divided by the share of steps that are real: 1 is no loss to raggedness. Writes ragged.json.

    python benchmarks/ragged.py [--cells rnn,gru,lstm] [--shapes B,T,I,H/...] [--only training]
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import torch
from torch.nn.utils.rnn import PackedSequence, pack_padded_sequence, pad_packed_sequence

import peers
import record
from timing import alternate

SHAPES = [(64, 100, 64, 128), (64, 100, 256, 256), (32, 1000, 64, 64)]  # B, T, I, H
CELLS = ("rnn", "gru", "lstm")
MODES = ("inference", "training")


def main() -> None:
    parser = record.parser(__doc__)
    parser.add_argument("--cells", type=lambda text: text.split(","), default=CELLS)
    parser.add_argument("--shapes", type=_shapes, default=SHAPES)
    parser.add_argument("--only", choices=MODES, help="one mode")
    parser.add_argument("--seconds", type=float, default=0.5, help="of each contender")
    arguments = parser.parse_args()
    record.use_threads(arguments.threads)

    points = []
    for mode in [arguments.only] if arguments.only else MODES:
        for cell in arguments.cells:
            for shape in arguments.shapes:
                points.append(measure(cell, shape, mode, arguments.seconds))
                print(mode, cell, shape, file=sys.stderr, flush=True)
    print("milliseconds; loss: time / full time / share of real steps; ratio: to torch, packed")
    names = list(points[0]["milliseconds"])
    rows = [
        [point["mode"], point["cell"], ", ".join(map(str, point["shape"])), f"{point['real']:.2f}"]
        + [f"{point['milliseconds'][name]:.2f}" for name in names]
        + [f"{point['loss']:.2f}", f"{point['ratio']:.1f}"]
        for point in points
    ]
    print(record.table(["mode", "cell", "B, T, I, H", "real", *names, "loss", "ratio"], rows))
    record.write(arguments.out, "ragged", points=points)


def measure(cell: str, shape: tuple[int, ...], mode: str, seconds: float) -> dict[str, Any]:
    problem = peers.Problem(cell, *shape)
    generator = torch.Generator().manual_seed(3)
    steps = problem.steps
    lengths = torch.randint(steps // 10, steps + 1, (problem.batch,), generator=generator)
    lengths[0] = steps  # the batch is as long as its longest row
    calls, results = contenders(problem, lengths, mode == "training")
    right = results["torch, packed"]()
    for name in ("elman, lengths", "elman, packed"):
        peers.check_agreement(right, results[name](), f"{name}, {cell} {shape}, {mode}")
    times = alternate(calls, seconds)
    medians = {name: timing.median for name, timing in times.items()}
    real = lengths.sum().item() / (problem.batch * steps)
    own = medians["elman, lengths"]
    return {
        "mode": mode,
        "cell": cell,
        "shape": shape,
        "real": real,
        "milliseconds": {name: median * 1e3 for name, median in medians.items()},
        "loss": own / medians["elman, full"] / real,
        "ratio": medians["torch, packed"] / own,
        "timings": times,
    }


def contenders(
    problem: Any, lengths: Any, training: bool
) -> tuple[dict[str, Callable[[], Any]], dict[str, Callable[[], dict[str, Any]]]]:
    """Return the calls to time, and for each of the ragged ones what it gives, by name."""
    x_TBI, d_y_TBH = problem.x_TBI.clone(), problem.d_y_TBH
    inside_TB1 = (torch.arange(problem.steps)[:, None] < lengths)[..., None]
    x_TBI *= inside_TB1

    def pack(tensor: Any) -> PackedSequence:
        return pack_padded_sequence(tensor, lengths, enforce_sorted=False)

    packed, d_packed = pack(x_TBI), pack(d_y_TBH).data
    x_NI = packed.data.requires_grad_(training)
    packed = PackedSequence(x_NI, *packed[1:])
    x_TBI.requires_grad_(training)
    layer, nn_layer = problem.elman_layer(), problem.torch_layer()

    def run(module: Any, forward: Callable[[], Any], leaf: Any, d_y: Any) -> Callable[[], Any]:
        leaves = [leaf, *module.parameters()]

        def infer() -> Any:
            with torch.inference_mode():
                return (forward(),)

        def train() -> Any:
            y = forward()
            return (y, *torch.autograd.grad(y, leaves, d_y))

        return train if training else infer

    calls = {
        "torch, packed": run(nn_layer, lambda: nn_layer(packed)[0].data, x_NI, d_packed),
        "elman, packed": run(layer, lambda: layer(packed)[0].data, x_NI, d_packed),
        "elman, lengths": run(layer, lambda: layer(x_TBI, lengths=lengths)[0], x_TBI, d_y_TBH),
        "elman, full": run(layer, lambda: layer(x_TBI)[0], x_TBI, d_y_TBH),
    }

    def padded(data: Any) -> Any:
        return pad_packed_sequence(PackedSequence(data, *packed[1:]))[0]

    def read(name: str) -> dict[str, Any]:
        y, *gradients = calls[name]()
        in_time = padded if name.endswith("packed") else lambda tensor: tensor
        arrays = {"y": in_time(y)}
        if training:
            arrays["x"] = in_time(gradients[0])
            arrays |= zip((k for k, _ in layer.named_parameters()), gradients[1:], strict=True)
        return {key: tensor.detach().numpy() for key, tensor in arrays.items()}

    ragged = [name for name in calls if name != "elman, full"]
    return calls, {name: lambda name=name: read(name) for name in ragged}


def _shapes(text: str) -> list[tuple[int, ...]]:
    return [tuple(map(int, shape.split(","))) for shape in text.split("/")]


if __name__ == "__main__":
    main()
