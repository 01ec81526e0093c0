"""torch.compile of PyTorch's layers. By default it leaves them to eager mode, and says nothing."""

from __future__ import annotations

import torch

from peers import WEIGHTS, Problem, Run
from peers.torch_eager import torch_run


def prepare(problem: Problem, training: bool) -> Run:
    torch.compiler.reset()
    layer = problem.torch_layer()
    weights = [getattr(layer, f"{name}_l0") for name in WEIGHTS]
    return torch_run(problem, torch.compile(layer), weights, training)
