"""What a step does to a state, against numpy, a diagonal worked by hand, and torch."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import elman
from elman.cells import GatedCell
from elman.diagnosis.activity import sampled
from elman.diagnosis.flow import as_probe, flow_of
from elman.diagnosis.jacobian import Stretch, recurrent_weights, stretch
from elman.diagnosis.tape import Track


class Scaled(elman.Cell):
    """Two tensors of state, each unit scaled by its own factor."""

    state_names = ("h", "c")

    def __init__(self, input_size: int, hidden_size: int) -> None:
        super().__init__(input_size, hidden_size)
        self.factors = nn.Parameter(torch.tensor([0.5, 0.25], dtype=torch.float64))

    def step(self, x_BI: Tensor, state: tuple[Tensor, ...]) -> tuple[Tensor, tuple[Tensor, ...]]:
        h_BH, c_BH = state
        h_BH = self.factors * h_BH + x_BI
        return h_BH, (h_BH, 0.75 * c_BH)


class Forgetful(elman.Cell):
    """Reads its input and nothing else."""

    def step(self, x_BI: Tensor, state: tuple[Tensor, ...]) -> tuple[Tensor, tuple[Tensor, ...]]:
        h_BH = x_BI.tanh()
        return h_BH, (h_BH,)


def _track(layer: nn.Module, x_TBI: Tensor) -> Track:
    return flow_of(layer, as_probe(layer, x_TBI, None, None, None))[1][0]


def _stretch(layer: nn.Module, x_TBI: Tensor) -> Stretch:
    track = _track(layer, x_TBI)
    return stretch(track, *sampled(track))


def _x(*shape: int) -> Tensor:
    return torch.randn(*shape, dtype=torch.float64)


def test_a_diagonal_step_stretches_by_its_largest_factor() -> None:
    found = _stretch(elman.Recurrent(Scaled(2, 2)), _x(200, 3, 2))
    assert found.radius == pytest.approx(0.75, rel=1e-12)
    assert found.singular == pytest.approx(0.75, rel=1e-12)
    assert found.growth == pytest.approx(math.log(0.75), abs=1e-3)


def test_growth_is_the_rate_at_which_products_of_jacobians_grow() -> None:
    layer = elman.RNN(2, 5, dtype=torch.float64)
    with torch.no_grad():
        layer.weight_hh_l0.mul_(3)
    x_TBI = _x(300, 2, 2)
    h_BH, logs, product = torch.zeros(2, 5, dtype=torch.float64), [], None
    for x_BI in x_TBI:
        h_BH = layer.step(x_BI, h_BH[None])[0]
        jacobians = (1 - h_BH[:, :, None] ** 2) * layer.weight_hh_l0
        product = jacobians if product is None else jacobians @ product
        size_B = torch.linalg.matrix_norm(product, ord=2)
        logs.append(size_B.log())
        product = product / size_B[:, None, None]
    rate = torch.stack(logs[1:]).mean().item()
    found = _stretch(layer, x_TBI)
    assert found.growth == pytest.approx(rate, abs=0.02)


@pytest.mark.parametrize("make", [elman.RNN, elman.GRU, elman.LSTM])
def test_jacobians_against_torchs_own(make: type[elman.RNN | elman.GRU | elman.LSTM]) -> None:
    layer = make(2, 3, dtype=torch.float64)
    track = _track(layer, _x(6, 2, 2))
    x_NI, state = sampled(track)

    def step(flat_S: Tensor, x_I: Tensor) -> Tensor:
        parts = flat_S.split(3)
        return torch.cat(track.cell.step(x_I[None], tuple(p[None] for p in parts))[1], dim=1)[0]

    whole = [
        torch.autograd.functional.jacobian(lambda s, x=x_I: step(s, x), torch.cat(parts)).detach()
        for x_I, *parts in zip(x_NI, *state, strict=True)
    ]
    radii = [float(np.abs(np.linalg.eigvals(each.numpy())).max()) for each in whole]
    largest = [float(np.linalg.svd(each.numpy())[1][0]) for each in whole]
    found = stretch(track, x_NI, state)
    assert found.radius == pytest.approx(np.median(radii), rel=1e-9)
    assert found.singular == pytest.approx(np.median(largest), rel=1e-9)


def test_a_step_that_forgets_all_counts_as_the_least_there_is() -> None:
    found = _stretch(elman.Recurrent(Forgetful(2, 2)), _x(30, 2, 2))
    assert (found.radius, found.singular) == (0, 0)
    assert found.growth == pytest.approx(math.log(1e-12))


def test_one_step_has_no_growth_and_a_large_state_no_whole_jacobian() -> None:
    assert _stretch(elman.GRU(2, 3), torch.randn(1, 2, 2)).growth is None
    found = _stretch(elman.LSTM(2, 257), torch.randn(3, 2, 2))  # 514 numbers
    assert (found.radius, found.singular) == (None, None)
    assert found.growth is not None


def test_padding_is_not_looked_at() -> None:
    layer = elman.GRU(2, 3, bidirectional=True, dtype=torch.float64)
    x_TBI = _x(40, 2, 2)
    lengths = torch.tensor([25, 40])
    found = []
    for filling in (0.0, 1e6):
        x_TBI[25:, 0] = filling
        batch = {"input": x_TBI, "lengths": lengths}
        probe = as_probe(layer, batch, None, lengths, None)
        tracks = flow_of(layer, probe)[1]
        found.append([stretch(track, *sampled(track)) for track in tracks])
    assert found[0] == found[1]


def test_recurrent_weights_against_numpy() -> None:
    layer = elman.LSTM(2, 6, proj_size=4, dtype=torch.float64)
    found = recurrent_weights(layer.cells[0])
    assert [each.gate for each in found] == ["i", "f", "g", "o"]
    for each, block in zip(found, layer.weight_hh_l0.detach().chunk(4), strict=True):
        square = (block @ layer.weight_hr_l0.detach()).numpy()
        assert each.radius == pytest.approx(np.abs(np.linalg.eigvals(square)).max(), rel=1e-12)
        assert each.singular == pytest.approx(np.linalg.svd(square)[1][0], rel=1e-12)
    assert recurrent_weights(Scaled(2, 2)) == []


class Own(GatedCell):
    """A weight a unit, as of IndRNN."""

    gates = ("h",)

    def __init__(self) -> None:
        super().__init__(2, 2)
        self.weight_hh = nn.Parameter(torch.tensor([0.5, -2.0]))


def test_a_weight_a_unit() -> None:
    (found,) = recurrent_weights(Own())
    assert (found.radius, found.singular) == (2.0, 2.0)
