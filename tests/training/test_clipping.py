"""Adaptive gradient clipping, worked by hand."""

import pytest
import torch
from torch import nn

from elman.training.clipping import clip_adaptive


def parameter(weights, gradient):
    made = nn.Parameter(torch.tensor(weights))
    made.grad = torch.tensor(gradient)
    return made


def test_unit_by_unit():
    # Norms of the rows' weights: 5, 1, 0 (counted as 0.001); of their gradients: 10, 0.05, 3.
    matrix = parameter([[3.0, 4.0], [0.0, 1.0], [0.0, 0.0]], [[6.0, 8.0], [0.03, 0.04], [0.0, 3.0]])
    # Of a vector as a whole: 13 and 26.
    vector = parameter([5.0, 12.0], [10.0, 24.0])
    none = nn.Parameter(torch.ones(2))
    clip_adaptive([matrix, vector, none], 0.1)
    # 10 -> 0.5, 0.05 below 0.1 as it is, 3 -> 0.0001.
    expected = [[0.3, 0.4], [0.03, 0.04], [0.0, 1e-4]]
    torch.testing.assert_close(matrix.grad, torch.tensor(expected))
    torch.testing.assert_close(vector.grad, torch.tensor([0.5, 1.2]))  # 26 -> 1.3
    assert none.grad is None


def test_more_axes_a_single_number_and_nothing():
    stack = parameter([[[3.0], [4.0]]], [[[0.0], [50.0]]])  # 5 and 50
    number = parameter(2.0, -8.0)
    zero = parameter([[1.0, 1.0]], [[0.0, 0.0]])
    clip_adaptive([stack, number, zero], 0.5)
    torch.testing.assert_close(stack.grad, torch.tensor([[[0.0], [2.5]]]))
    assert number.grad.item() == pytest.approx(-1.0)
    assert zero.grad.tolist() == [[0.0, 0.0]]
    assert stack.detach().tolist() == [[[3.0], [4.0]]]
