"""Elman's layers, with the engine that it chooses by itself."""

from __future__ import annotations

from dataclasses import replace

from elman import engines
from peers import WEIGHTS, Problem, Run
from peers.torch_eager import torch_run


def prepare(problem: Problem, training: bool) -> Run:
    layer = problem.elman_layer()
    weights = [getattr(layer, f"{name}_l0") for name in WEIGHTS]
    run = torch_run(problem, layer, weights, training)
    with engines.record() as names:
        run.call()
    return replace(run, engine=", ".join(sorted(names)))
