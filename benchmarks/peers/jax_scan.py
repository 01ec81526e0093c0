"""JAX as one writes it: the input product for all steps at once, `lax.scan` over the rest, jitted.

Weights are arguments, time comes first. Training is the vector-Jacobian product with respect to
input and weights, output included.
"""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.nn import sigmoid

from peers import WEIGHTS, Problem, Run


def prepare(problem: Problem, training: bool) -> Run:
    layer = LAYERS[problem.cell]
    x_TBI = jnp.asarray(problem.x_TBI.numpy())
    # Kept as (I, G·H) and (H, G·H): the products then read them as they lie.
    weights = [jnp.asarray(problem.weights[f"{name}_l0"].numpy().T) for name in WEIGHTS]
    if not training:
        forward = jax.jit(layer)
        return Run(
            lambda: forward(x_TBI, *weights).block_until_ready(), lambda y: {"y": np.asarray(y)}
        )

    @jax.jit
    def forward_and_backward(x_TBI: Any, weights: Any, d_y_TBH: Any) -> Any:
        y_TBH, pull_back = jax.vjp(layer, x_TBI, *weights)
        return y_TBH, pull_back(d_y_TBH)

    d_y_TBH = jnp.asarray(problem.d_y_TBH.numpy())

    def read(result: Any) -> dict[str, np.ndarray]:
        y_TBH, (d_x_TBI, *d_weights) = result
        named = {name: np.asarray(d).T for name, d in zip(WEIGHTS, d_weights, strict=True)}
        return {"y": np.asarray(y_TBH), "x": np.asarray(d_x_TBI)} | named

    return Run(lambda: jax.block_until_ready(forward_and_backward(x_TBI, weights, d_y_TBH)), read)


def rnn(x_TBI: Any, w_ih: Any, w_hh: Any, b_ih: Any, b_hh: Any) -> Any:
    def step(h: Any, x: Any) -> Any:
        h = jnp.tanh(x + h @ w_hh)
        return h, h

    return jax.lax.scan(step, _zeros(x_TBI, w_hh), x_TBI @ w_ih + (b_ih + b_hh))[1]


def gru(x_TBI: Any, w_ih: Any, w_hh: Any, b_ih: Any, b_hh: Any) -> Any:
    def step(h: Any, x: Any) -> Any:
        r_x, z_x, n_x = jnp.split(x, 3, axis=-1)
        r_h, z_h, n_h = jnp.split(h @ w_hh + b_hh, 3, axis=-1)
        z = sigmoid(z_x + z_h)
        n = jnp.tanh(n_x + sigmoid(r_x + r_h) * n_h)
        h = (1 - z) * n + z * h
        return h, h

    return jax.lax.scan(step, _zeros(x_TBI, w_hh), x_TBI @ w_ih + b_ih)[1]


def lstm(x_TBI: Any, w_ih: Any, w_hh: Any, b_ih: Any, b_hh: Any) -> Any:
    def step(state: Any, x: Any) -> Any:
        h, c = state
        i, f, g, o = jnp.split(x + h @ w_hh, 4, axis=-1)
        c = sigmoid(f) * c + sigmoid(i) * jnp.tanh(g)
        h = sigmoid(o) * jnp.tanh(c)
        return (h, c), h

    zeros = _zeros(x_TBI, w_hh)
    return jax.lax.scan(step, (zeros, zeros), x_TBI @ w_ih + (b_ih + b_hh))[1]


def _zeros(x_TBI: Any, w_hh: Any) -> Any:
    return jnp.zeros((x_TBI.shape[1], w_hh.shape[0]), x_TBI.dtype)


LAYERS = {"rnn": rnn, "gru": gru, "lstm": lstm}
