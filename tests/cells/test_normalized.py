"""Layer normalisation and peepholes: numbers worked by hand, and the papers' equations anew.

Ba, Kiros and Hinton (2016); Gers and Schmidhuber (2000). Shapes: B batch, I input, H hidden.
"""

import numpy as np
import pytest
import torch
from torch import nn

from elman import engines
from elman.cells import GRUCell, LSTMCell, RNNCell, convert
from elman.errors import InputError
from elman.layers import GRU, LSTM, RNN

CELLS = {
    "tanh": lambda i, h, **o: RNNCell(i, h, layer_norm=True, **o),
    "relu": lambda i, h, **o: RNNCell(i, h, "relu", layer_norm=True, **o),
    "gru": lambda i, h, **o: GRUCell(i, h, layer_norm=True, **o),
    "lstm": lambda i, h, **o: LSTMCell(i, h, layer_norm=True, **o),
    "lstm peep": lambda i, h, **o: LSTMCell(i, h, peepholes=True, **o),
    "lstm norm peep": lambda i, h, **o: LSTMCell(i, h, layer_norm=True, peepholes=True, **o),
    "lstm proj": lambda i, h, **o: LSTMCell(i, h, proj_size=2, layer_norm=True, **o),
}


def filled(cell, **weights):
    """Return the cell in float64 with these weights, the others zero."""
    cell = cell.double()
    with torch.no_grad():
        for name, parameter in cell.named_parameters():
            values = torch.tensor(weights.get(name, 0.0), dtype=torch.float64)
            parameter.copy_(values.reshape(parameter.shape) if values.dim() else values)
    return cell


def drawn(kind, input_size=3, hidden_size=4, **options):
    torch.manual_seed(5)
    cell = CELLS[kind](input_size, hidden_size, dtype=torch.float64, **options)
    with torch.no_grad():
        for parameter in cell.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.4)
    return cell


def test_two_normalised_neurons_over_two_steps():
    # Of two sums a and b, half their difference d: LN(a, b) = ±d / √(d² + 1e-5).
    # x = 1:  W_ih x = (3, 1), d = 1:    LN = ±0.9999950000374997;    h = 0: LN(0, 0) = (0, 0)
    #   h1 = tanh(0.5·0.99999… + 0.25), tanh(-0.99999… - 0.5)
    # x = -2: W_ih x = (-6, -2), d = -2: LN = ∓0.9999987500023437
    #         W_hh h1 = (h1_2, -h1_1), d = (-0.90514… + 0.63514…) / 2: LN = ∓0.9997257642014713
    #   h2 = tanh(-0.5·0.99999… + 0.25 - 2·0.99972…), tanh(0.99999… + 0.99972… - 0.5)
    cell = filled(
        RNNCell(1, 2, layer_norm=True),
        weight_ih=[3.0, 1.0],
        weight_hh=[[0.0, 1.0], [-1.0, 0.0]],
        norm_ih=[0.5, 1.0],
        norm_hh=[2.0, 1.0],
        bias_ih=[0.25, -0.5],
    )
    y, state = cell(torch.tensor([[1.0]], dtype=torch.float64))
    assert y.tolist() == [pytest.approx([0.6351474609315844, -0.9051473501143592], abs=1e-14)]
    y, _ = cell(torch.tensor([[-2.0]], dtype=torch.float64), state)
    assert y.tolist() == [pytest.approx([-0.9780022354783127, 0.9050984591172877], abs=1e-13)]


def test_a_neuron_with_peepholes_over_two_steps():
    # x = 1, h = 0.5, c = -1; peepholes of i, f, o: 0.3, -0.2, 0.7
    #   i = σ(0.5·1 + 0.1·0.5 + 0.3·-1)  = σ(0.25)     = 0.5621765008857981
    #   f = σ(-0.5·1 + 0.2·0.5 - 0.2·-1) = σ(-0.2)     = 0.45016600268752216
    #   g = tanh(1·1 + 0.3·0.5)          = tanh(1.15)  = 0.8177540779702877
    #   c' = f·c + i·g                                 = 0.009556123450906229
    #   o = σ(2·1 + 0.4·0.5 + 0.7·c')    = σ(2.20668…) = 0.900848604763388
    #   h' = o·tanh(c')                                = 0.008608358442307744
    # and with x = -2 likewise: c'' = -0.25293904003139556, h'' = -0.003755577335129362
    cell = filled(
        LSTMCell(1, 1, peepholes=True),
        weight_ih=[0.5, -0.5, 1.0, 2.0],
        weight_hh=[0.1, 0.2, 0.3, 0.4],
        peephole=[0.3, -0.2, 0.7],
    )
    state = tuple(torch.tensor([[v]], dtype=torch.float64) for v in (0.5, -1.0))
    for x, h, c in (
        (1.0, 0.008608358442307744, 0.009556123450906229),
        (-2.0, -0.003755577335129362, -0.25293904003139556),
    ):
        y, state = cell(torch.tensor([[x]], dtype=torch.float64), state)
        assert [part.item() for part in (y, *state)] == pytest.approx([h, h, c], abs=1e-15)


def sigmoid(a):
    return 1 / (1 + np.exp(-a))


def ln(a, gain):
    """LN of each row, of numpy's own mean and variance."""
    return gain * (a - a.mean(-1, keepdims=True)) / np.sqrt(a.var(-1, keepdims=True) + 1e-5)


def papers_step(kind, w, x, state):
    """Return the new state by the papers' equations, in numpy; `w` are the weights by name."""
    size = state[-1].shape[1]
    from_x, from_h = x @ w["weight_ih"].T, state[0] @ w["weight_hh"].T
    if kind == "gru":
        groups = (slice(0, 2 * size), slice(2 * size, None))
        from_x, from_h = (
            np.concatenate([ln(a[:, g], gain[g]) for g in groups], axis=1)
            for a, gain in ((from_x, w["norm_ih"]), (from_h, w["norm_hh"]))
        )
    elif kind != "lstm peep":
        from_x, from_h = ln(from_x, w["norm_ih"]), ln(from_h, w["norm_hh"])
    from_x, from_h = from_x + w["bias_ih"], from_h + w["bias_hh"]
    if kind in ("tanh", "relu"):
        return (np.tanh(from_x + from_h) if kind == "tanh" else np.maximum(from_x + from_h, 0),)
    if kind == "gru":
        (r_x, z_x, n_x), (r_h, z_h, n_h) = np.split(from_x, 3, 1), np.split(from_h, 3, 1)
        z = sigmoid(z_x + z_h)
        return ((1 - z) * np.tanh(n_x + sigmoid(r_x + r_h) * n_h) + z * state[0],)
    i, f, g, o = np.split(from_x + from_h, 4, 1)
    p_i, p_f, p_o = np.split(w.get("peephole", np.zeros(3 * size)), 3)
    c = sigmoid(f + p_f * state[1]) * state[1] + sigmoid(i + p_i * state[1]) * np.tanh(g)
    read = c if kind == "lstm peep" else ln(c, w["norm_c"]) + w["bias_c"]
    h = sigmoid(o + p_o * c) * np.tanh(read)
    return (h @ w["weight_hr"].T if "weight_hr" in w else h, c)


@pytest.mark.parametrize("kind", CELLS)
def test_steps_are_the_papers(kind):
    cell = drawn(kind)
    weights = {name: weight.detach().numpy() for name, weight in cell.named_parameters()}
    x = torch.randn(5, 6, 3, dtype=torch.float64)
    state = tuple(torch.randn(6, size, dtype=torch.float64) for size in cell.state_sizes)
    expected = tuple(part.numpy() for part in state)
    for x_BI in x:
        y, state = cell.step(x_BI, state)
        expected = papers_step(kind, weights, x_BI.numpy(), expected)
        for got, right in zip(state, expected, strict=True):
            np.testing.assert_allclose(got.detach().numpy(), right, rtol=0, atol=1e-12)
        assert torch.equal(y, state[0])


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("kind", CELLS)
def test_first_and_second_derivatives(kind, bias):
    cell = drawn(kind, 2, 3, bias=bias)
    names = cell.weight_names

    def run(x_TBI, *weights):
        bound = cell.bind(dict(zip(names, weights, strict=True)))
        y, final = engines.unroll(bound, x_TBI, state, engine="reference")
        return y, *final

    state = tuple(torch.randn(2, size, dtype=torch.float64) for size in cell.state_sizes)
    x_TBI = torch.randn(3, 2, 2, dtype=torch.float64, requires_grad=True)
    weights = tuple(w.detach().clone().requires_grad_() for w in cell.weights)
    assert torch.autograd.gradcheck(run, (x_TBI, *weights))
    assert torch.autograd.gradgradcheck(run, (x_TBI, *weights))


def test_parameters_their_names_shapes_and_first_values():
    cell = LSTMCell(3, 4, layer_norm=True, peepholes=True)
    shapes = {name: tuple(parameter.shape) for name, parameter in cell.named_parameters()}
    assert shapes == {
        "weight_ih": (16, 3), "weight_hh": (16, 4), "bias_ih": (16,), "bias_hh": (16,),
        "norm_ih": (16,), "norm_hh": (16,), "norm_c": (4,), "bias_c": (4,), "peephole": (12,),
    }  # fmt: skip
    assert torch.equal(cell.norm_ih, torch.ones(16))
    assert torch.equal(cell.norm_hh, torch.ones(16))
    assert torch.equal(cell.norm_c, torch.ones(4))
    assert torch.equal(cell.bias_c, torch.zeros(4))
    assert 0 < cell.peephole.abs().max() <= 0.5  # 1 / √4
    names = [name for name, _ in GRUCell(3, 4, bias=False, layer_norm=True).named_parameters()]
    assert names == ["weight_ih", "weight_hh", "norm_ih", "norm_hh"]
    names = [name for name, _ in LSTMCell(3, 4, bias=False, layer_norm=True).named_parameters()]
    assert names == ["weight_ih", "weight_hh", "norm_ih", "norm_hh", "norm_c"]


def test_a_layer_owns_them_and_without_them_is_torchs():
    layer = LSTM(3, 4, 2, bidirectional=True, layer_norm=True, peepholes=True)
    own = ("norm_ih", "norm_hh", "norm_c", "bias_c", "peephole")
    suffixes = ("_l0", "_l0_reverse", "_l1", "_l1_reverse")
    theirs = nn.LSTM(3, 4, 2, bidirectional=True).state_dict().keys()
    assert layer.state_dict().keys() == {*theirs, *(n + s for n in own for s in suffixes)}
    assert repr(layer) == (
        "LSTM(3, 4, num_layers=2, bidirectional=True, layer_norm=True, peepholes=True)"
    )
    again = LSTM(3, 4, 2, bidirectional=True, layer_norm=True, peepholes=True)
    again.load_state_dict(layer.state_dict())
    x = torch.randn(5, 2, 3)
    assert torch.equal(again(x)[0], layer(x)[0])
    for ours, torchs in ((RNN, nn.RNN), (GRU, nn.GRU), (LSTM, nn.LSTM)):
        assert list(ours(3, 4, 2).state_dict()) == list(torchs(3, 4, 2).state_dict())


@pytest.mark.parametrize("inplace", [False, True])
@pytest.mark.parametrize("make", [RNN, GRU, LSTM])
@pytest.mark.parametrize("rows", [None, 1, 3])
def test_steps_of_a_stream_give_what_forward_gives(make, rows, inplace):
    torch.manual_seed(2)
    options = {"peepholes": True} if make is LSTM else {}
    layer = make(3, 20, 2, layer_norm=True, **options)
    x = torch.randn(6, 3) if rows is None else torch.randn(6, rows, 3)
    with torch.no_grad():
        expected, final = layer(x)
        _, state = layer.step(x[0])
        for t in range(1, 6):
            y, state = layer.step(x[t], state, inplace=inplace)
            torch.testing.assert_close(y, expected[t])
        torch.testing.assert_close(state, final)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: GRUCell(2, 3, reset_after=False, layer_norm=True), "use reset_after=True"),
        (lambda: GRU(2, 3, reset_after=False, layer_norm=True), "use reset_after=True"),
        (lambda: RNNCell(2, 3, layer_norm=1), "layer_norm: expected True or False, got 1"),
        (lambda: LSTM(2, 3, peepholes="i"), "peepholes: expected True or False, got 'i'"),
        (lambda: convert.to_torch(RNN(2, 3, layer_norm=True)), "RNNCell with layer_norm=True"),
        (lambda: convert.to_keras(LSTM(2, 3, peepholes=True)), "LSTMCell with peepholes=True"),
        (lambda: convert.from_torch(GRUCell(2, 3, layer_norm=True), {}), "GRUCell with layer_norm"),
    ],
)
def test_what_makes_no_sense_is_refused(make, message):
    with pytest.raises(InputError, match=message):
        make()


@pytest.mark.parametrize("kind", CELLS)
def test_torchs_kernels_are_never_taken_for_it(kind):
    cell = drawn(kind)
    x = torch.randn(4, 2, 3, dtype=torch.float64)
    assert engines.choose(cell, x) == "reference"
    with pytest.raises(InputError, match="torch's kernels have no layer norm"):
        engines.unroll(cell, x, cell.initial_state(2, dtype=torch.float64), engine="aten")
