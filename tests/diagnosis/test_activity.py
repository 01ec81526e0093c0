"""Saturation by biases set by hand, names of gates, and units that are dead."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor, nn

import elman
from elman.cells import Cell
from elman.diagnosis.activity import Activation, activations, outputs, sampled
from elman.diagnosis.flow import as_probe, flow_of
from elman.diagnosis.tape import Track


def _gates(cell: Cell, count: int = 7) -> dict[str, Activation]:
    state = cell.initial_state(count)
    return {each.name: each for each in activations(cell, torch.randn(count, 3), state)}


def _still(cell: Cell, biases: list[float]) -> Cell:
    """Return a cell whose sums are its biases, a value a gate."""
    with torch.no_grad():
        for parameter in cell.parameters():
            parameter.zero_()
        cell.bias_ih.copy_(torch.tensor(biases).repeat_interleave(cell.hidden_size))
    return cell


def test_each_gate_of_an_lstm_by_its_bias() -> None:
    cell = _still(elman.LSTMCell(3, 4), [-5.0, 5.0, 3.0, 0.0])  # i, f, g, o
    found = _gates(cell)
    assert list(found) == ["forget gate", "input gate", "candidate", "output gate", "memory read"]
    assert (found["input gate"].low, found["input gate"].high) == (1, 0)
    assert (found["forget gate"].low, found["forget gate"].high) == (0, 1)
    assert (found["candidate"].low, found["candidate"].high) == (0, 1)
    assert found["output gate"].saturated == found["memory read"].saturated == 0
    assert sum(found["output gate"].counts) == 28
    assert found["output gate"].counts[12] == 28  # 0.5, of 24 bins from 0 to 1


def test_each_gate_of_a_gru_by_its_bias() -> None:
    for reset_after in (True, False):
        found = _gates(_still(elman.GRUCell(3, 4, reset_after=reset_after), [-5.0, 5.0, -3.0]))
        assert list(found) == ["reset gate", "update gate", "candidate"]
        assert [each.low for each in found.values()] == [1, 0, 1]
        assert [each.high for each in found.values()] == [0, 1, 0]


def test_units_of_a_plain_rnn() -> None:
    found = _gates(_still(elman.RNNCell(3, 4), [3.0]))["units"]
    assert (found.kind, found.low, found.high, found.edges) == ("tanh", 0, 1, (-1.0, 1.0))
    cell = elman.RNNCell(3, 4, "relu")
    with torch.no_grad():
        cell.weight_ih.zero_()
        cell.weight_hh.zero_()
        cell.bias_ih.copy_(torch.tensor([1.0, -1.0, -1.0, 2.0]))
        cell.bias_hh.zero_()
    found = _gates(cell)["units"]
    assert (found.kind, found.low, found.edges) == ("relu", 0.5, (0.0, 2.0))


class Mixed(Cell):
    """Calls activations in several ways."""

    def __init__(self, input_size: int, hidden_size: int) -> None:
        super().__init__(input_size, hidden_size)
        self.squash = nn.Sequential(nn.Linear(input_size, hidden_size), nn.Sigmoid())

    def step(self, x_BI: Tensor, state: tuple[Tensor, ...]) -> tuple[Tensor, tuple[Tensor, ...]]:
        (h_BH,) = state
        keep = self.squash(x_BI)
        h_BH = keep * h_BH.tanh() + (1 - keep) * nn.functional.relu(h_BH).sigmoid()
        return h_BH, (h_BH,)


def test_activations_of_a_users_cell_are_named_by_their_order() -> None:
    found = _gates(Mixed(3, 4))
    assert list(found) == ["sigmoid 1", "tanh", "relu", "sigmoid 2"]
    assert found["sigmoid 2"].low == found["sigmoid 2"].high == 0
    assert sum(found["sigmoid 2"].counts) == 28


class Renamed(elman.LSTMCell):
    """A cell of a class of the user's, whose step is the LSTM's."""


def test_a_subclass_has_its_parents_gates_unless_its_step_is_another() -> None:
    assert "forget gate" in _gates(Renamed(3, 4))


def _track(layer: nn.Module, x_TBI: Tensor, lengths: Tensor | None = None) -> Track:
    batch = {"input": x_TBI} | ({} if lengths is None else {"lengths": lengths})
    return flow_of(layer, as_probe(layer, batch, None, lengths, None))[1][0]


def test_dead_units() -> None:
    layer = elman.RNN(3, 4, nonlinearity="relu")
    with torch.no_grad():
        layer.bias_hh_l0.copy_(torch.tensor([-50.0, 0.0, 50.0, 0.0]))
        layer.weight_ih_l0[2] = 0
        layer.weight_hh_l0.zero_()
    found = outputs(_track(layer, torch.randn(9, 5, 3)))
    # One is 0 throughout; another stands still at 50; the others vary.
    assert (found.units, found.zero, found.dead) == (4, 0.25, 0.5)
    assert sum(found.counts) == 9 * 5 * 4


def test_steps_past_a_rows_end_are_not_counted() -> None:
    layer, x_TBI = elman.GRU(3, 4), torch.randn(9, 5, 3)
    lengths = torch.tensor([9, 2, 4, 9, 1])
    x_TBI[5:, 2] = math.nan
    track = _track(layer, x_TBI, lengths)
    assert sum(outputs(track).counts) == 25 * 4
    x_NI, state = sampled(track)
    assert (x_NI.shape, state[0].shape) == ((25, 3), (25, 4))
    assert bool(x_NI.isfinite().all())


@pytest.mark.parametrize("reverse", [False, True])
def test_states_that_were_sampled_are_those_before_the_step(reverse: bool) -> None:
    layer, x_TBI = (
        elman.GRU(3, 4, bidirectional=True, dtype=torch.float64),
        torch.randn(6, 2, 3).double(),
    )
    lengths = torch.tensor([6, 3])
    batch = {"input": x_TBI, "lengths": lengths}
    track = flow_of(layer, as_probe(layer, batch, None, lengths, None))[1][int(reverse)]
    y_TBH = layer(x_TBI, lengths=lengths)[0][..., 4 * reverse : 4 * reverse + 4]
    real_TB = track.real()
    for step, time in enumerate(track.times):
        for row in range(2):
            if not real_TB[step, row]:
                continue
            earlier = time + 1 if reverse else time - 1
            begins = earlier in (-1, int(lengths[row]))
            wanted = torch.zeros(4) if begins else y_TBH[earlier, row]
            torch.testing.assert_close(track.before[step][0][row], wanted.double())
