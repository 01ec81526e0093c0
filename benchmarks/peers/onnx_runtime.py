"""ONNX Runtime: one recurrent operator as a model, weights stored in it. Inference only.

Its gate orders: i, o, f, c in the LSTM; z, r, h in the GRU, whose `linear_before_reset` is torch's
convention. Both biases lie one behind the other; an axis of directions goes before everything.
"""

from __future__ import annotations

import numpy as np
import onnxruntime
import torch
from onnx import TensorProto, helper, numpy_helper

from peers import WEIGHTS, Problem, Run

OPERATORS = {"rnn": "RNN", "gru": "GRU", "lstm": "LSTM"}
ORDERS = {"rnn": [0], "gru": [1, 0, 2], "lstm": [0, 3, 1, 2]}  # of torch's gates
OPTIONS = {"rnn": {}, "gru": {"linear_before_reset": 1}, "lstm": {}}
_OPSET, _IR = 21, 10


def prepare(problem: Problem, training: bool) -> Run | None:
    if training:
        return None
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    session = onnxruntime.InferenceSession(
        _model(problem).SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    feed = {"x": problem.x_TBI.numpy()}
    return Run(lambda: session.run(["y"], feed)[0], lambda y_TDBH: {"y": y_TDBH[:, 0]})


def _model(problem: Problem):
    order = ORDERS[problem.cell]

    def reordered(name: str) -> np.ndarray:
        blocks = np.split(problem.weights[f"{name}_l0"].numpy(), len(order))
        return np.concatenate([blocks[gate] for gate in order])

    weight_ih, weight_hh, *biases = (reordered(name) for name in WEIGHTS)
    stored = {"w": weight_ih, "r": weight_hh, "b": np.concatenate(biases)}
    node = helper.make_node(
        OPERATORS[problem.cell],
        ["x", "w", "r", "b"],
        ["y"],
        hidden_size=problem.hidden_size,
        **OPTIONS[problem.cell],
    )
    steps, batch = problem.steps, problem.batch
    shapes = {
        "x": [steps, batch, problem.input_size],
        "y": [steps, 1, batch, problem.hidden_size],
    }
    x, y = (
        helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)
        for name, shape in shapes.items()
    )
    weights = [numpy_helper.from_array(array[None], name) for name, array in stored.items()]
    graph = helper.make_graph([node], "layer", [x], [y], weights)
    opsets = [helper.make_opsetid("", _OPSET)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=_IR)
