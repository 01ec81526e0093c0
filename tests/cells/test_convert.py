"""Conversions, against torch and Keras themselves: the other library must give our outputs.

In float32, for Keras's torch backend multiplies matrices in it whatever their type; a gate out of
place shows as differences of 0.1 and more.
"""

import keras
import numpy as np
import pytest
import torch
from torch import nn

from elman.cells import Cell, GRUCell, LSTMCell, RNNCell
from elman.cells.convert import from_keras, from_torch, to_keras, to_torch
from elman.errors import InputError
from elman.layers import GRU, LSTM, RNN, Recurrent

# Keras's torch backend calls numpy as numpy 1 had it.
pytestmark = [
    pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning"),
    pytest.mark.filterwarnings("ignore:LSTM with projections:UserWarning"),
]

KERAS = {
    "rnn": (RNN, keras.layers.SimpleRNN, {}, {}),
    "relu": (RNN, keras.layers.SimpleRNN, {"nonlinearity": "relu"}, {"activation": "relu"}),
    "gru": (GRU, keras.layers.GRU, {}, {}),
    "gru-before": (GRU, keras.layers.GRU, {"reset_after": False}, {"reset_after": False}),
    "lstm": (LSTM, keras.layers.LSTM, {}, {}),
}


def drawn(layer):
    """Draw every weight, biases too: Keras starts them at values that hide mistakes."""
    rng = np.random.default_rng(5)
    layer.set_weights([rng.normal(size=w.shape, scale=0.5) for w in layer.get_weights()])


def keras_layer(kind, options, num_layers, bidirectional, bias):
    layers = []
    for _ in range(num_layers):
        one = kind(3, return_sequences=True, use_bias=bias, **options)
        layers.append(keras.layers.Bidirectional(one) if bidirectional else one)
    model = keras.Sequential(layers)
    model.build((None, 6, 2))
    drawn(model)
    return model


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize(("num_layers", "bidirectional"), [(1, False), (2, True)])
@pytest.mark.parametrize("name", KERAS)
def test_keras_both_ways(name, num_layers, bidirectional, bias):
    ours, kind, mine, theirs = KERAS[name]
    options = {"bidirectional": bidirectional, "bias": bias, **mine}
    layer = ours(2, 3, num_layers, batch_first=True, **options)
    model = keras_layer(kind, theirs, num_layers, bidirectional, bias)
    x = torch.randn(4, 6, 2)

    from_keras(layer, model.get_weights())
    with torch.no_grad():
        expected = model(x)
        torch.testing.assert_close(layer(x)[0], expected, rtol=0, atol=2e-6)

        layer.reset_parameters()
        assert not torch.allclose(layer(x)[0], expected)
        model.set_weights(to_keras(layer))
        torch.testing.assert_close(model(x), layer(x)[0], rtol=0, atol=2e-6)


def test_keras_into_a_cell_and_back():
    cell = GRUCell(2, 3)
    layer = keras.layers.GRU(3)
    layer.build((None, 6, 2))
    drawn(layer)
    from_keras(cell, layer.get_weights())
    half = GRUCell(2, 3, dtype=torch.bfloat16)
    from_keras(half, to_keras(half))
    for ours, theirs in zip(to_keras(cell), layer.get_weights(), strict=True):
        assert np.array_equal(ours, theirs)


@pytest.mark.parametrize(
    ("ours", "theirs", "options"),
    [(RNN, nn.RNN, {}), (GRU, nn.GRU, {}), (LSTM, nn.LSTM, {}), (LSTM, nn.LSTM, {"proj_size": 2})],
)
def test_torch_both_ways(ours, theirs, options):
    options = {"num_layers": 2, "bidirectional": True, **options}
    layer, torchs = ours(2, 3, **options), theirs(2, 3, **options)
    x = torch.randn(6, 4, 2)
    from_torch(layer, torchs.state_dict())
    torch.testing.assert_close(layer(x)[0], torchs(x)[0], rtol=0, atol=1e-6)
    layer.reset_parameters()
    torchs.load_state_dict(to_torch(layer))
    torch.testing.assert_close(layer(x)[0], torchs(x)[0], rtol=0, atol=1e-6)


def test_torch_into_cells_of_recurrent_and_a_cell():
    torchs = nn.LSTM(2, 3, num_layers=2, bidirectional=True)
    layer = Recurrent(LSTMCell(2, 3), num_layers=2, bidirectional=True)
    from_torch(layer, torchs.state_dict())
    x = torch.randn(6, 4, 2)
    torch.testing.assert_close(layer(x)[0], torchs(x)[0], rtol=0, atol=1e-6)

    cell, torchs_cell = RNNCell(2, 3), nn.RNNCell(2, 3)
    from_torch(cell, torchs_cell.state_dict())
    assert torch.equal(cell.weight_hh, torchs_cell.weight_hh)
    assert to_torch(cell).keys() == torchs_cell.state_dict().keys()


class Own(Cell):
    def step(self, x_BI, state):
        return x_BI, state


@pytest.mark.parametrize(
    ("convert", "message"),
    [
        (lambda: to_keras(LSTM(2, 3, proj_size=2)), "Keras has no LSTM with a projection"),
        (lambda: to_torch(GRU(2, 3, reset_after=False)), "torch has no GRU with reset_after=False"),
        (lambda: to_keras(Recurrent(Own(2, 2))), "Own has no counterpart"),
        (lambda: from_keras(LSTM(2, 3), to_keras(LSTM(2, 3, bias=False))), "expected 3 .* got 2"),
        (
            lambda: from_keras(GRU(2, 3), to_keras(GRU(2, 3, reset_after=False))),
            r"arrays\[2\] \(bias\): expected shape \(2, 9\), got \(9,\); is reset_after the same",
        ),
        (
            lambda: from_keras(RNN(2, 3), to_keras(RNN(4, 3))),
            r"arrays\[0\] \(kernel\): expected shape \(2, 3\), got \(4, 3\)",
        ),
        (
            lambda: from_torch(RNN(2, 3), nn.RNN(2, 3, bias=False).state_dict()),
            "missing: bias_hh_l0, bias_ih_l0; too many: none",
        ),
        (
            lambda: from_torch(RNN(2, 3), nn.RNN(4, 3).state_dict()),
            r"weight_ih_l0: expected shape \(3, 2\), got \(3, 4\)",
        ),
    ],
)
def test_what_does_not_fit_is_refused(convert, message):
    with pytest.raises(InputError, match=message):
        convert()


def test_a_computed_weight_is_not_silently_left():
    layer = RNN(2, 3)
    state = to_torch(layer)
    nn.utils.parametrizations.weight_norm(layer, "weight_hh_l0")
    with pytest.raises(InputError, match="weight_hh is computed"):
        from_torch(layer, state)
