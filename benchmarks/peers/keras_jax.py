"""Keras 3 on JAX: its layer inside jit, called without state as Keras's own training does."""

from __future__ import annotations

import os
from typing import Any

os.environ["KERAS_BACKEND"] = "jax"  # read once, when Keras is imported

import jax
import jax.numpy as jnp
import keras
import numpy as np

from elman.cells import convert
from peers import WEIGHTS, Problem, Run

LAYERS = {"rnn": keras.layers.SimpleRNN, "gru": keras.layers.GRU, "lstm": keras.layers.LSTM}


def prepare(problem: Problem, training: bool) -> Run:
    layer = LAYERS[problem.cell](problem.hidden_size, return_sequences=True)
    layer.build((problem.batch, problem.steps, problem.input_size))
    layer.set_weights(convert.to_keras(problem.elman_layer()))
    weights = [variable.value for variable in layer.trainable_variables]
    others = [variable.value for variable in layer.non_trainable_variables]
    x_BTI = _batch_first(problem.x_TBI)

    def forward(weights: Any, x_BTI: Any) -> Any:
        return layer.stateless_call(weights, others, x_BTI, training=training)[0]

    if not training:
        jitted = jax.jit(forward)
        return Run(
            lambda: jitted(weights, x_BTI).block_until_ready(), lambda y: {"y": _time_first(y)}
        )

    @jax.jit
    def forward_and_backward(weights: Any, x_BTI: Any, d_y_BTH: Any) -> Any:
        y_BTH, pull_back = jax.vjp(forward, weights, x_BTI)
        return y_BTH, pull_back(d_y_BTH)

    d_y_BTH = _batch_first(problem.d_y_TBH)

    def read(result: Any) -> dict[str, np.ndarray]:
        y_BTH, (d_weights, d_x_BTI) = result
        arrays = {"y": _time_first(y_BTH), "x": _time_first(d_x_BTI)}
        return arrays | _torch_gradients(problem, [np.asarray(d) for d in d_weights])

    return Run(lambda: jax.block_until_ready(forward_and_backward(weights, x_BTI, d_y_BTH)), read)


def _torch_gradients(problem: Problem, d_weights: list[np.ndarray]) -> dict[str, np.ndarray]:
    """Return the gradients in torch's names, gate order and layout, which are those of weights."""
    holder = problem.elman_layer()
    convert.from_keras(holder, d_weights)
    named = {name: getattr(holder, f"{name}_l0").detach().numpy() for name in WEIGHTS}
    if problem.cell != "gru":  # Keras has one bias there: its gradient is that of both
        named["bias_hh"] = named["bias_ih"]
    return named


def _batch_first(tensor_TBX: Any) -> Any:
    return jnp.asarray(np.ascontiguousarray(tensor_TBX.transpose(0, 1).numpy()))


def _time_first(array_BTX: Any) -> np.ndarray:
    return np.asarray(array_BTX).swapaxes(0, 1)
