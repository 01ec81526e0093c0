"""Gradients by lag, against powers of a matrix by hand, and against autograd asked naively."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import elman
from elman.diagnosis import GradientFlow, gradient_flow
from elman.diagnosis.flow import LayerFlow
from elman.diagnosis.tape import Place

W = torch.tensor([[0.8, 0.3], [-0.2, 0.6]], dtype=torch.float64)
V = torch.tensor([1.0, 2.0], dtype=torch.float64)


class Linear(elman.Cell):
    """h' = W h + x, whose gradient over k steps is W^k."""

    def __init__(self, input_size: int, hidden_size: int) -> None:
        super().__init__(input_size, hidden_size)
        self.weight = nn.Parameter(W.clone())

    def step(self, x_BI: Tensor, state: tuple[Tensor, ...]) -> tuple[Tensor, tuple[Tensor, ...]]:
        h_BH = state[0] @ self.weight.T + x_BI
        return h_BH, (h_BH,)


def _x(*shape: int) -> Tensor:
    return torch.randn(*shape, dtype=torch.float64)


def _of_powers(count: int) -> list[float]:
    return [float((torch.linalg.matrix_power(W.T, k) @ V).norm()) for k in range(count)]


def test_linear_cell_gives_the_norms_of_the_powers_of_its_matrix() -> None:
    layer = elman.Recurrent(Linear(2, 2))
    flow = gradient_flow(layer, _x(9, 3, 2), lambda out: out[0] @ V, at=[8])
    (found,) = flow.layers
    np.testing.assert_allclose(found.curve_K, _of_powers(9), rtol=1e-12)
    np.testing.assert_allclose(found.map_QK[0], _of_powers(9), rtol=1e-12)
    assert (flow.rows, flow.questions, found.reach) == (3, 1, 8)


def test_the_loss_of_each_step_is_asked_about_by_itself() -> None:
    layer = elman.Recurrent(Linear(2, 2))
    flow = gradient_flow(layer, _x(9, 3, 2), lambda out: out[0] @ V, at=[2, 5, 8])
    (found,) = flow.layers
    np.testing.assert_allclose(found.curve_K, _of_powers(9), rtol=1e-12)
    np.testing.assert_allclose(found.map_QK[1][:6], _of_powers(6), rtol=1e-12)
    assert np.isnan(found.map_QK[1][6:]).all()
    assert found.asked.tolist() == [2, 5, 8]


def test_without_steps_named_eight_are_drawn_of_each_row_the_last_among_them() -> None:
    layer = elman.Recurrent(Linear(2, 2))
    first, again = (gradient_flow(layer, _x(40, 5, 2), lambda out: out[0] @ V) for _ in range(2))
    (found,) = first.layers
    assert (first.questions, found.reach, found.asked[-1]) == (8, 39, 39)
    assert (np.diff(found.asked) > 0).all()
    np.testing.assert_allclose(found.curve_K, _of_powers(40), rtol=1e-10)
    assert again.layers[0].asked.tolist() == found.asked.tolist()


def test_one_loss_a_row_is_that_of_its_end() -> None:
    layer = elman.Recurrent(Linear(2, 2), batch_first=True)
    flow = gradient_flow(layer, _x(3, 9, 2), lambda out: out[0][:, -1] @ V)
    np.testing.assert_allclose(flow.layers[0].curve_K, _of_powers(9), rtol=1e-12)


def test_lstm_whose_gates_stand_still_keeps_what_its_forget_gate_keeps() -> None:
    layer = elman.LSTM(1, 1, dtype=torch.float64)
    with torch.no_grad():
        for name, parameter in layer.named_parameters():
            parameter.zero_()
            if name == "bias_ih_l0":  # i, f, g, o
                gates = [0.0, math.log(9), 0.5, 0.0]
                parameter.copy_(torch.tensor(gates, dtype=torch.float64))
    flow = gradient_flow(layer, _x(30, 2, 1), lambda out: out[0][..., 0], at=[29])
    curve = flow.layers[0].curve_K
    # No gate sees h: from lag 1 on all goes through c, nine tenths of it a step.
    np.testing.assert_allclose(curve[2:] / curve[1:-1], 0.9, rtol=1e-12)
    assert curve[0] == pytest.approx(1.0)  # of h itself; the c at its side leads on only
    assert flow.layers[0].halved == 8  # 0.9^7 = 0.478


def _naive(layer: elman.GRU, x_TBI: Tensor, t: int, b: int) -> list[float]:
    """Return |dL/dh_s| of the top layer for each s up to t, by a loop of cells of torch's own."""
    cells = [nn.GRUCell(3 if n == 0 else 4, 4, dtype=torch.float64) for n in range(2)]
    for n, cell in enumerate(cells):
        for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh"):
            getattr(cell, name).data.copy_(getattr(layer, f"{name}_l{n}").data)
    hs = [torch.zeros(4, dtype=torch.float64) for _ in cells]
    kept = []
    for x in x_TBI[: t + 1, b]:
        for n, cell in enumerate(cells):
            hs[n] = cell(x if n == 0 else hs[0], hs[n])
        kept.append(hs[1])
    loss = (kept[-1] ** 2).sum() / 2
    return [float(g.norm()) for g in torch.autograd.grad(loss, kept)]


def test_two_layers_against_a_loop_over_torch_cells() -> None:
    layer, x_TBI = elman.GRU(3, 4, num_layers=2, dtype=torch.float64), _x(7, 3, 3)
    flow = gradient_flow(layer, x_TBI, at=[6])
    wanted = np.mean([_naive(layer, x_TBI, 6, b)[::-1] for b in range(3)], axis=0)
    np.testing.assert_allclose(flow["layer 2"].curve_K, wanted, rtol=1e-10)
    assert [each.place.name for each in flow.layers] == ["layer 1", "layer 2"]


def test_rows_of_different_lengths_are_asked_about_at_their_own_ends() -> None:
    layer, x_TBI = elman.GRU(3, 4, num_layers=2, dtype=torch.float64), _x(7, 3, 3)
    x_TBI[4:, 1] = math.nan
    lengths = torch.tensor([7, 4, 6])
    batch = {"input": x_TBI, "lengths": lengths}

    def loss(output: tuple[Tensor, Tensor]) -> Tensor:
        return output[1][-1].square().sum(-1) / 2

    found = gradient_flow(layer, batch, loss)["layer 2"].curve_K
    naive = [_naive(layer, x_TBI, int(n) - 1, b)[::-1] for b, n in enumerate(lengths)]
    wanted = [np.mean([row[k] for row in naive if k < len(row)]) for k in range(7)]
    np.testing.assert_allclose(found, wanted, rtol=1e-10)
    stepwise = gradient_flow(layer, batch, lengths=lengths, at=[5])["layer 2"].curve_K
    naive = [_naive(layer, x_TBI, 5, b)[::-1] for b in (0, 2)]
    np.testing.assert_allclose(stepwise, np.mean(naive, axis=0), rtol=1e-10)


def test_backward_direction_counts_its_lags_forward_in_time() -> None:
    forward = elman.RNN(3, 4, dtype=torch.float64)
    both = elman.RNN(3, 4, bidirectional=True, dtype=torch.float64)
    with torch.no_grad():
        for name, parameter in forward.named_parameters():
            getattr(both, f"{name}_reverse").copy_(parameter)
    x_TBI = _x(8, 2, 3)

    def last(output: tuple[Tensor, Tensor]) -> Tensor:
        return output[0][..., -4:].square().sum(-1)

    one = gradient_flow(forward, x_TBI, last, at=[7])
    two = gradient_flow(both, x_TBI.flip(0), last, at=[0])
    assert [each.ahead for each in two.layers] == [False, True]
    np.testing.assert_allclose(two["backward"].curve_K, one.layers[0].curve_K, rtol=1e-12)
    np.testing.assert_allclose(two["forward"].curve_K, [0.0], atol=0)


class Net(nn.Module):
    """A recurrent layer inside another module, with dropout, and answers at every step."""

    def __init__(self, layer: nn.Module) -> None:
        super().__init__()
        self.read = layer
        self.drop = nn.Dropout(0.5)
        self.head = nn.Linear(4, 1, dtype=torch.float64)

    def forward(self, x_BTI: Tensor) -> Tensor:
        return self.head(self.drop(self.read(x_BTI)[0]))


def test_a_module_is_left_as_it_was_and_dropout_is_off() -> None:
    net = Net(elman.LSTM(3, 4, batch_first=True, dtype=torch.float64))
    net.read.eval()
    before = {name: tensor.clone() for name, tensor in net.state_dict().items()}
    x_BTI = _x(3, 6, 3)
    flows = [gradient_flow(net, x_BTI, lambda y: y[..., 0].square()) for _ in range(2)]
    np.testing.assert_array_equal(flows[0].layers[0].curve_K, flows[1].layers[0].curve_K)
    assert (net.training, net.drop.training, net.read.training) == (True, True, False)
    assert all(torch.equal(before[name], tensor) for name, tensor in net.state_dict().items())
    assert all(parameter.grad is None for parameter in net.parameters())


def test_weights_that_are_not_trained_hinder_nothing() -> None:
    net = Net(elman.LSTM(3, 4, batch_first=True, dtype=torch.float64))
    x_BTI = _x(3, 6, 3)
    free = gradient_flow(net, x_BTI, lambda y: y[..., 0].square())
    net.read.requires_grad_(False)
    frozen = gradient_flow(net, x_BTI, lambda y: y[..., 0].square())
    with torch.no_grad():
        inside = gradient_flow(net, x_BTI, lambda y: y[..., 0].square())
    for found in (frozen, inside):
        np.testing.assert_allclose(found.layers[0].curve_K, free.layers[0].curve_K, rtol=1e-12)


class Stepper(nn.Module):
    """Calls its layer a step at a time."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = elman.GRU(3, 4, dtype=torch.float64)

    def forward(self, x_TBI: Tensor) -> Tensor:
        state, outputs = None, []
        for x_BI in x_TBI:
            y_BH, state = self.layer.step(x_BI, state)
            outputs.append(y_BH)
        return torch.stack(outputs)


def test_a_layer_called_step_by_step_gives_what_it_gives_at_once() -> None:
    net, x_TBI = Stepper(), _x(6, 2, 3)
    one = gradient_flow(net, x_TBI, at=[5]).layers[0].curve_K
    other = gradient_flow(net.layer, x_TBI, at=[5]).layers[0].curve_K
    np.testing.assert_allclose(one, other, rtol=1e-12)


@pytest.mark.parametrize(
    ("curve", "halved", "tenth"),
    [
        ([5.0, 1.0, 0.6, 0.5, 0.4], 3, None),
        ([1.0, 1.0, 0.4, 0.6, 0.05], 4, 4),  # once more above half: not forgotten before
        ([1.0, 1.0, 2.0, 3.0], None, None),
        ([1.0, 0.0, 0.0], None, None),
        ([1.0], None, None),
    ],
)
def test_halved(curve: list[float], halved: int | None, tenth: int | None) -> None:
    nothing = np.zeros((1, 1))
    place = Place("", "", 0, 0, 1, 1)
    flow = LayerFlow(place, False, np.array(curve), nothing, np.zeros(1), np.zeros(1))
    assert (flow.halved, flow.below(0.1)) == (halved, tenth)


def test_words() -> None:
    layer = elman.Recurrent(Linear(2, 2))
    flow = gradient_flow(layer, _x(30, 2, 2), lambda out: out[0] @ V, at=[29])
    assert isinstance(flow, GradientFlow)
    powers = _of_powers(30)
    halved = 1 + max(k for k, power in enumerate(powers) if power > powers[1] / 2)
    assert str(flow) == (
        f"the gradient has halved after {halved} steps, and is {powers[29] / powers[1]:.1g} of it "
        "after 29"
    )


def test_errors() -> None:
    layer, x_TBI = elman.GRU(3, 4), torch.randn(5, 2, 3)
    with pytest.raises(elman.InputError, match=r"has no recurrent layer.*elman.accelerate"):
        gradient_flow(nn.GRU(3, 4), x_TBI)
    with pytest.raises(elman.InputError, match=r"loss: expected.*got \(\); do not take their mean"):
        gradient_flow(layer, x_TBI, lambda out: out[0].mean())
    with pytest.raises(elman.InputError, match=r"at: expected steps from 0 to 4, got \[5\]"):
        gradient_flow(layer, x_TBI, at=[5])
    with pytest.raises(elman.InputError, match="lengths: expected one for each of 2 rows"):
        gradient_flow(layer, x_TBI, lengths=[5, 6])
    with pytest.raises(elman.InputError, match="does not depend on what the recurrent layers"):
        gradient_flow(layer, x_TBI, lambda out: torch.ones(5, 2))
