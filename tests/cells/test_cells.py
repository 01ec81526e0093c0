"""The three classical cells: numbers worked by hand, and torch's own cells."""

import pytest
import torch
from torch import nn

from elman.cells import GRUCell, LSTMCell, RNNCell
from elman.errors import InputError


def filled(cell, **weights):
    """Return the cell in float64 with these weights, the others zero."""
    cell = cell.double()
    with torch.no_grad():
        for name, parameter in cell.named_parameters():
            values = torch.tensor(weights.get(name, 0.0), dtype=torch.float64)
            parameter.copy_(values.reshape(parameter.shape) if values.dim() else values)
    return cell


def column(*values):
    return torch.tensor([[value] for value in values], dtype=torch.float64)


def test_single_neuron_over_two_steps():
    # h1 = tanh(0.5·1 - 1·0 + 0.1 + 0.2) = tanh(0.8)                 = 0.6640367702678491
    # h2 = tanh(0.5·2 - 1·h1 + 0.1 + 0.2) = tanh(0.6359632297321509)  = 0.5621446952832613
    cell = filled(RNNCell(1, 1), weight_ih=[0.5], weight_hh=[-1.0], bias_ih=[0.1], bias_hh=[0.2])
    h1, state = cell(column(1.0))
    h2, _ = cell(column(2.0), state)
    assert h1.item() == pytest.approx(0.6640367702678491, abs=1e-15)
    assert h2.item() == pytest.approx(0.5621446952832613, abs=1e-15)

    # L = h1 + h2, and h' = 1 - h² at each step. The weight on the state acts in step 2 only
    # (h0 = 0); the weight on the input in both, and in step 1 also through step 2:
    #   dL/dw_hh = h2'·h1,    dL/dw_ih = h1'·1 + h2'·(2 - 1·h1'·1)
    (h1 + h2).sum().backward()
    h1_slope, h2_slope = 1 - 0.6640367702678491**2, 1 - 0.5621446952832613**2
    assert cell.weight_hh.grad.item() == pytest.approx(h2_slope * 0.6640367702678491, abs=1e-14)
    assert cell.weight_ih.grad.item() == pytest.approx(
        h1_slope + h2_slope * (2 - h1_slope), abs=1e-14
    )


def test_two_relu_neurons_over_two_steps():
    # W_ih = [1, -1], W_hh = [[0, 1], [2, 3]]
    # x1 = 1:  h1 = relu([1, -1])                         = [1, 0]
    # x2 = 3:  h2 = relu([3 + 0·1 + 1·0, -3 + 2·1 + 3·0]) = relu([3, -1]) = [3, 0]
    # x3 = -1: h3 = relu([-1 + 0·3, 1 + 2·3])             = relu([-1, 7]) = [0, 7]
    cell = filled(RNNCell(1, 2, "relu"), weight_ih=[1.0, -1.0], weight_hh=[[0.0, 1.0], [2.0, 3.0]])
    state = None
    for x, expected in ((1.0, [1, 0]), (3.0, [3, 0]), (-1.0, [0, 7])):
        y, state = cell(column(x), state)
        assert y.tolist() == [expected]


def lstm_neuron(**options):
    # x = 1, h = 0.5, c = -1; rows in the order i, f, g, o:
    #   i = σ(0.5·1 + 0.1·0.5)  = σ(0.55)    = 0.6341355910108007
    #   f = σ(-0.5·1 + 0.2·0.5) = σ(-0.4)    = 0.401312339887548
    #   g = tanh(1·1 + 0.3·0.5) = tanh(1.15) = 0.8177540779702877
    #   o = σ(2·1 + 0.4·0.5)    = σ(2.2)     = 0.9002495108803148
    #   c' = f·c + i·g = -0.401312339887548 + 0.518566965535181 = 0.117254625647633
    #   h' = o·tanh(c') = 0.9002495108803148·0.116720200343725  = 0.105077303269291
    return filled(
        LSTMCell(1, 1, **options),
        weight_ih=[0.5, -0.5, 1.0, 2.0],
        weight_hh=[0.1, 0.2, 0.3, 0.4],
    )


def test_lstm_neuron():
    y, (h, c) = lstm_neuron()(column(1.0), (column(0.5), column(-1.0)))
    assert c.item() == pytest.approx(0.117254625647633, abs=1e-14)
    assert h.item() == pytest.approx(0.105077303269291, abs=1e-14)
    assert torch.equal(y, h)


def test_lstm_projection_narrows_h_and_not_c():
    # Two equal neurons, each as in lstm_neuron: h' = 0.5·o·tanh(c') + 2·o·tanh(c').
    cell = filled(
        LSTMCell(1, 2, proj_size=1),
        weight_ih=[0.5, 0.5, -0.5, -0.5, 1.0, 1.0, 2.0, 2.0],
        weight_hh=[0.1, 0.1, 0.2, 0.2, 0.3, 0.3, 0.4, 0.4],
        weight_hr=[0.5, 2.0],
    )
    c = torch.full((1, 2), -1.0, dtype=torch.float64)
    y, (h, c) = cell(column(1.0), (column(0.5), c))
    assert y.item() == pytest.approx(2.5 * 0.105077303269291, abs=1e-14)
    assert torch.equal(y, h)
    assert c.tolist() == [pytest.approx([0.117254625647633] * 2, abs=1e-14)]


@pytest.mark.parametrize(
    ("reset_after", "expected"), [(True, 0.5655268353003244), (False, 0.578774598317479)]
)
def test_gru_neuron(reset_after, expected):
    # x = 1, h = 0.5; rows in the order r, z, n:
    #   r = σ(0.5·1 + 1·0.5)  = σ(1)   = 0.7310585786300049
    #   z = σ(-0.5·1 + 2·0.5) = σ(0.5) = 0.6224593312018546
    #   reset after the product:   n = tanh(1 + r·(-1·0.5 + 0.25)) = tanh(0.817235355342499)
    #                                = 0.6735623224616332
    #   reset before the product:  n = tanh(1 - 1·(r·0.5) + 0.25)  = tanh(0.884470710684998)
    #                                = 0.7086519541543652
    #   h' = (1 - z)·n + z·0.5
    cell = filled(
        GRUCell(1, 1, reset_after=reset_after),
        weight_ih=[0.5, -0.5, 1.0],
        weight_hh=[1.0, 2.0, -1.0],
        bias_hh=[0.0, 0.0, 0.25],
    )
    y, (h,) = cell(column(1.0), (column(0.5),))
    assert y.item() == pytest.approx(expected, abs=1e-14)
    assert torch.equal(y, h)


PAIRS = [
    (RNNCell, nn.RNNCell, {}),
    (RNNCell, nn.RNNCell, {"nonlinearity": "relu"}),
    (GRUCell, nn.GRUCell, {}),
    (LSTMCell, nn.LSTMCell, {}),
]


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize(("ours", "theirs", "options"), PAIRS)
def test_draws_and_computes_as_torchs_cell(ours, theirs, options, bias):
    torch.manual_seed(3)
    mine = ours(4, 5, bias=bias, dtype=torch.float64, **options)
    torch.manual_seed(3)
    torchs = theirs(4, 5, bias=bias, dtype=torch.float64, **options)
    assert list(mine.state_dict()) == list(torchs.state_dict())
    for name, value in torchs.state_dict().items():
        assert torch.equal(mine.state_dict()[name], value), name

    x = torch.randn(3, 4, dtype=torch.float64)
    state = tuple(torch.randn(3, 5, dtype=torch.float64) for _ in mine.state_names)
    y, new = mine.step(x, state)
    expected = torchs(x, state if len(state) > 1 else state[0])
    expected = expected if isinstance(expected, tuple) else (expected,)
    torch.testing.assert_close(new, expected, rtol=0, atol=1e-14)
    assert torch.equal(y, new[0])


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: RNNCell(0, 3), "input_size: expected a positive integer, got 0"),
        (lambda: GRUCell(2, 2.5), "hidden_size: expected a positive integer, got 2.5"),
        (lambda: RNNCell(2, 3, "tnah"), "did you mean 'tanh'"),
        (lambda: LSTMCell(2, 3, proj_size=3), "proj_size: expected 0 .* to hidden_size - 1 = 2"),
        (lambda: LSTMCell(2, 3, bias=4), "bias: expected True or False, got 4"),
    ],
)
def test_wrong_options_are_refused(make, message):
    with pytest.raises(InputError, match=message):
        make()
