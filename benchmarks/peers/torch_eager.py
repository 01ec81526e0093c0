"""PyTorch's layers as they are: torch.nn.RNN, GRU and LSTM."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor

from peers import WEIGHTS, Problem, Run


def prepare(problem: Problem, training: bool) -> Run:
    layer = problem.torch_layer()
    return torch_run(problem, layer, [getattr(layer, f"{name}_l0") for name in WEIGHTS], training)


def torch_run(
    problem: Problem, layer: Callable[..., Any], weights: list[Tensor], training: bool
) -> Run:
    """Return the run of any layer that is called as torch's are."""
    return _training_run(problem, layer, weights) if training else _inference_run(problem, layer)


def _inference_run(problem: Problem, layer: Callable[..., Any]) -> Run:
    x_TBI = problem.x_TBI

    @torch.inference_mode()
    def call() -> Tensor:
        return layer(x_TBI)[0]

    return Run(call, lambda y_TBH: {"y": y_TBH.numpy()})


def _training_run(problem: Problem, layer: Callable[..., Any], weights: list[Tensor]) -> Run:
    x_TBI = problem.x_TBI.clone().requires_grad_()
    leaves, d_y_TBH = [x_TBI, *weights], problem.d_y_TBH

    def call() -> tuple[Tensor, ...]:
        y_TBH = layer(x_TBI)[0]
        return (y_TBH, *torch.autograd.grad(y_TBH, leaves, d_y_TBH))

    def read(result: tuple[Tensor, ...]) -> dict[str, np.ndarray]:
        arrays = (tensor.detach().numpy() for tensor in result)
        return dict(zip(("y", "x", *WEIGHTS), arrays, strict=True))

    return Run(call, read)
