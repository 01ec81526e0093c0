"""A stream, one step at a time: what a single step of one sequence takes.

`layer.step` of Elman's layers, with a new state each time and overwriting the one it is given,
against torch's cells (the state passed on) and its layers with one step, and against JAX and ONNX
Runtime with one step of their own. All under `torch.inference_mode`, B = 1; agreement first. In
turns, medians (timing.py). Writes steps.json.

    python benchmarks/steps.py [--cells rnn,gru,lstm] [--hidden 32,128]
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import nn

import peers
import record
from timing import alternate

CELLS = ("rnn", "gru", "lstm")
INPUT = 64
OWN = "elman step, in place"


def main() -> None:
    parser = record.parser(__doc__)
    parser.add_argument("--cells", type=lambda text: text.split(","), default=CELLS)
    parser.add_argument("--hidden", type=lambda text: text.split(","), default=(32, 128))
    parser.add_argument("--seconds", type=float, default=0.5, help="of each contender")
    arguments = parser.parse_args()
    record.use_threads(arguments.threads)

    points = [
        measure(cell, int(hidden), arguments.seconds)
        for cell in arguments.cells
        for hidden in arguments.hidden
    ]
    names = list(points[0]["microseconds"])
    rows = [
        [point["cell"], str(point["hidden"])]
        + [f"{point['microseconds'][name]:.1f} ({point['ratios'][name]:.1f})" for name in names]
        for point in points
    ]
    print(f"microseconds a step, I = {INPUT} (times those of {OWN!r})")
    print(record.table(["cell", "H", *names], rows))
    record.write(arguments.out, "steps", points=points)


def measure(cell: str, hidden: int, seconds: float) -> dict[str, Any]:
    problem = peers.Problem(cell, 1, 1, INPUT, hidden)
    calls = contenders(problem)
    with torch.inference_mode():
        right = problem.torch_layer()(problem.x_TBI)[0].numpy()
        for name, call in calls.items():
            got = torch.as_tensor(call()).numpy().reshape(right.shape)
            peers.check_agreement({"y": right}, {"y": got}, f"{name}, {cell} {hidden}")
        times = alternate(calls, seconds)
    own = times[OWN].median
    return {
        "cell": cell,
        "hidden": hidden,
        "microseconds": {name: timing.median * 1e6 for name, timing in times.items()},
        "ratios": {name: timing.median / own for name, timing in times.items()},
        "timings": times,
    }


def contenders(problem: Any) -> dict[str, Callable[[], Any]]:
    """Return a call for each, which returns the output of one step from a state of zeros.

    Where the state goes from call to call, it is so only from the second on.
    """
    x_TBI = problem.x_TBI
    x_BI = x_TBI[0]
    layer, nn_layer = problem.elman_layer(), problem.torch_layer()
    nn_cell = {"rnn": nn.RNNCell, "gru": nn.GRUCell, "lstm": nn.LSTMCell}[problem.cell](
        problem.input_size, problem.hidden_size
    )
    nn_cell.load_state_dict({k.removesuffix("_l0"): v for k, v in problem.weights.items()})
    several = problem.cell == "lstm"

    def zeros(*leading: int) -> Any:
        h = torch.zeros(*leading, 1, problem.hidden_size)
        return (h, h.clone()) if several else h

    nn_state, new_state, own_state, layer_state = zeros(), zeros(1), zeros(1), zeros(1)

    def step_nn_cell() -> Any:
        nonlocal nn_state
        nn_state = nn_cell(x_BI, nn_state)
        return nn_state[0] if several else nn_state

    def step_nn_layer() -> Any:
        nonlocal layer_state
        y_TBH, layer_state = nn_layer(x_TBI, layer_state)
        return y_TBH

    def step() -> Any:
        nonlocal new_state
        y_BH, new_state = layer.step(x_BI, new_state)
        return y_BH

    def step_in_place() -> Any:
        return layer.step(x_BI, own_state, inplace=True)[0]

    return {
        OWN: step_in_place,
        "elman step": step,
        "torch cell": step_nn_cell,
        "torch layer": step_nn_layer,
        **{name: peers.prepare(name, problem, False).call for name in ("jax", "onnxruntime")},
    }


if __name__ == "__main__":
    main()
