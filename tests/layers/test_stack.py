"""What the layers do beyond torch: lengths, streams, any cell; and what they refuse."""

import copy

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from elman.cells import Cell, GRUCell, LSTMCell, RNNCell
from elman.engines import engine, record
from elman.errors import InputError
from elman.layers import GRU, LSTM, RNN, Recurrent

# torch says of each projection that oneDNN has none.
pytestmark = pytest.mark.filterwarnings("ignore:LSTM with projections:UserWarning")


class Leaky(Cell):
    """A user's cell: a leaky integrator."""

    def __init__(self, input_size: int, hidden_size: int):
        super().__init__(input_size, hidden_size)
        self.mix = nn.Linear(input_size + hidden_size, hidden_size)

    def step(self, x_BI, state):
        (h_BH,) = state
        h_BH = 0.9 * h_BH + 0.1 * torch.tanh(self.mix(torch.cat([x_BI, h_BH], dim=-1)))
        return h_BH, (h_BH,)


class Counter(Cell):
    """A user's cell without parameters, and with two states: a sum, and how many steps."""

    state_names = ("sum", "steps")

    @property
    def state_sizes(self):
        return (self.hidden_size, 1)

    def step(self, x_BI, state):
        sum_BH, steps_B1 = state
        state = (sum_BH + x_BI, steps_B1 + 1)
        return state[0], state


LAYERS = {
    "rnn": lambda **o: RNN(3, 5, **o),
    "gru": lambda **o: GRU(3, 5, **o),
    "gru before": lambda **o: GRU(3, 5, reset_after=False, **o),
    "lstm": lambda **o: LSTM(3, 5, **o),
    "lstm proj": lambda **o: LSTM(3, 5, proj_size=2, **o),
    "recurrent lstm": lambda **o: Recurrent(LSTMCell(3, 5, proj_size=2), **o),
    "recurrent own": lambda **o: Recurrent(Leaky(3, 5), **o),
}


def parts(state):
    return (state,) if isinstance(state, torch.Tensor) else state


@pytest.mark.parametrize("name", LAYERS)
@given(
    lengths=st.lists(st.integers(0, 6), min_size=1, max_size=7),
    num_layers=st.sampled_from([1, 2]),
    bidirectional=st.booleans(),
    batch_first=st.booleans(),
)
@settings(max_examples=20, deadline=None)
def test_each_row_is_as_if_run_alone(name, lengths, num_layers, bidirectional, batch_first):
    torch.manual_seed(0)
    options = {"bidirectional": bidirectional, "batch_first": batch_first}
    layer = LAYERS[name](num_layers=num_layers, **options).double()
    num_steps, batch = 6, len(lengths)
    x = torch.randn(num_steps, batch, 3, dtype=torch.float64)
    for row, length in enumerate(lengths):
        x[length:, row] = torch.nan
    leaf = x.clone().requires_grad_()
    _, like = layer(x.transpose(0, 1) if batch_first else x, lengths=lengths)
    hx = tuple(torch.randn_like(part) for part in parts(like))
    given_hx = hx if len(hx) > 1 else hx[0]

    y, state = layer(leaf.transpose(0, 1) if batch_first else leaf, given_hx, lengths=lengths)
    y = y.transpose(0, 1) if batch_first else y
    (y.sum() + sum(part.sum() for part in parts(state))).backward()
    assert all(p.grad.isfinite().all() for p in (leaf, *layer.parameters()))
    for row, length in enumerate(lengths):
        assert (y[length:, row] == 0).all()
        mine = tuple(part[:, row] for part in hx)
        if length:
            alone, final = layer(x[:length, row], mine if len(hx) > 1 else mine[0])
            torch.testing.assert_close(y[:length, row], alone, rtol=0, atol=1e-12)
        else:
            final = mine
        for got, expected in zip(parts(state), parts(final), strict=True):
            torch.testing.assert_close(got[:, row], expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize("name", LAYERS)
def test_lengths_and_packing_agree(name):
    layer = LAYERS[name](num_layers=2, bidirectional=True).double()
    x = torch.randn(6, 4, 3, dtype=torch.float64)
    lengths = [2, 6, 1, 2]
    packed = pack_padded_sequence(x, torch.tensor(lengths), enforce_sorted=False)
    y, state = layer(packed)
    padded, row_lengths = pad_packed_sequence(y)
    expected, expected_state = layer(x, lengths=lengths)
    assert row_lengths.tolist() == lengths
    torch.testing.assert_close(padded, expected, rtol=0, atol=1e-12)
    torch.testing.assert_close(state, expected_state, rtol=0, atol=1e-12)


@pytest.mark.parametrize(
    "lengths",
    [
        [2, 6, 0],
        (2, 6, 0),
        torch.tensor([2, 6, 0]),
        torch.tensor([2, 6, 0], dtype=torch.int32),
        np.array([2, 6, 0]),
    ],
    ids=lambda lengths: type(lengths).__name__,
)
def test_lengths_come_as_any_integers(lengths):
    layer = GRU(3, 5)
    x = torch.randn(6, 3, 3)
    y, h = layer(x, lengths=lengths)
    torch.testing.assert_close(h[0, 0], layer(x[:2])[1][0, 0])
    torch.testing.assert_close(h[0, 1], layer(x)[1][0, 1])
    assert torch.equal(h[0, 2], torch.zeros(5))
    assert (y[2:, 0] == 0).all()


@pytest.mark.parametrize("name", LAYERS)
def test_steps_of_a_stream_give_the_whole_sequence(name):
    layer = LAYERS[name](num_layers=2).double()
    x = torch.randn(6, 4, 3, dtype=torch.float64)
    expected, expected_state = layer(x)
    for whole, wanted, wanted_state in (
        (x, expected, expected_state),
        (x[:, 1], expected[:, 1], tuple(part[:, 1] for part in parts(expected_state))),
    ):
        state, outputs = None, []
        for x_t in whole:
            y_t, state = layer.step(x_t, state)
            outputs.append(y_t)
        torch.testing.assert_close(torch.stack(outputs), wanted, rtol=0, atol=1e-13)
        for got, part in zip(parts(state), parts(wanted_state), strict=True):
            torch.testing.assert_close(got, part, rtol=0, atol=1e-13)


@pytest.mark.parametrize(("layer", "cell"), [(RNN, RNNCell), (GRU, GRUCell), (LSTM, LSTMCell)])
def test_recurrent_over_a_known_cell_is_the_layer_of_that_name(layer, cell):
    known = layer(3, 5, num_layers=2, bidirectional=True, batch_first=True)
    any_cell = Recurrent(cell(3, 5), num_layers=2, bidirectional=True, batch_first=True)
    with torch.no_grad():
        for mine, theirs in zip(any_cell.parameters(), known.parameters(), strict=True):
            mine.copy_(theirs)
    x = torch.randn(4, 6, 3)
    with record() as names:
        torch.testing.assert_close(any_cell(x), known(x))
    assert names <= {"native", "aten"}


def test_recurrent_starts_from_the_users_own_cell_and_draws_the_others():
    cell = Leaky(3, 5).double()
    layer = Recurrent(cell, num_layers=2, bidirectional=True)
    assert layer.cells[0] is cell
    assert [c.input_size for c in layer.cells] == [3, 3, 10, 10]
    assert all(p.dtype == torch.float64 for p in layer.parameters())
    drawn = [c.mix.bias[0].item() for c in layer.cells]
    assert len(set(drawn)) == 4


def test_a_users_cell_by_hand_both_ways():
    # Running sums of 1, 2, 4, from the start and from the end; the row of length 2 ignores 4.
    layer = Recurrent(Counter(1, 1), bidirectional=True)
    x = torch.tensor([[1.0, 1.0], [2.0, 2.0], [4.0, 4.0]]).unsqueeze(-1)
    y, (sums, steps) = layer(x, lengths=[3, 2])
    assert y[:, 0].tolist() == [[1, 7], [3, 6], [7, 4]]
    assert y[:, 1].tolist() == [[1, 3], [3, 2], [0, 0]]
    assert sums[:, :, 0].tolist() == [[7, 3], [7, 3]]
    assert steps[:, :, 0].tolist() == [[3, 2], [3, 2]]


class Warm(Leaky):
    """A cell with a learnt initial state."""

    def __init__(self, input_size: int, hidden_size: int):
        super().__init__(input_size, hidden_size)
        self.start = nn.Parameter(torch.randn(hidden_size))

    def initial_state(self, batch, *, device=None, dtype=None):
        return (self.start.expand(batch, -1),)


def test_a_cells_own_initial_state_is_where_the_layer_starts():
    layer = Recurrent(Warm(3, 5))
    x = torch.randn(6, 4, 3)
    y, h = layer(x)
    hx = layer.cells[0].start.expand(1, 4, 5)
    torch.testing.assert_close((y, h), layer(x, hx))
    assert not torch.allclose(y, layer(x, torch.zeros(1, 4, 5))[0])
    y.sum().backward()
    assert layer.cells[0].start.grad.abs().min() > 0


def test_dropout_of_recurrent_acts_between_layers_in_training_only():
    torch.manual_seed(0)
    layer = Recurrent(Leaky(3, 50), num_layers=2, dropout=0.5)
    x = torch.randn(6, 4, 3)
    assert not torch.equal(layer(x)[0], layer(x)[0])
    one = Recurrent(layer.cells[0])
    hidden = one(x)[0]
    expected = Recurrent(layer.cells[1])(hidden)[0]
    torch.testing.assert_close(layer.eval()(x)[0], expected)


def test_copies_share_nothing():
    layer = Recurrent(Leaky(3, 5), num_layers=2)
    other = copy.deepcopy(layer)
    x = torch.randn(6, 4, 3)
    before = layer(x)[0]
    with torch.no_grad():
        for parameter in other.parameters():
            parameter.zero_()
    assert torch.equal(layer(x)[0], before)


def test_the_engine_can_be_forced_through_a_layer():
    layer, x = GRU(3, 5, reset_after=False), torch.randn(6, 4, 3)
    with engine("aten"), pytest.raises(InputError, match="resets after the matrix product"):
        layer(x)
    with engine("reference"), record() as names:
        LSTM(3, 5)(x)
    assert names == {"reference"}


def test_reprs():
    assert repr(GRU(3, 5, 2, reset_after=False)) == "GRU(3, 5, num_layers=2, reset_after=False)"
    text = repr(Recurrent(GRUCell(3, 5, False), bidirectional=True, batch_first=True))
    assert text.startswith("Recurrent(\n  bidirectional=True, batch_first=True\n")
    assert "(0-1): 2 x GRUCell(3, 5, bias=False)" in text


ZEROS = torch.zeros(6, 4, 3)
PACKED = pack_padded_sequence(ZEROS, torch.tensor([6, 6, 6, 6]))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: RNN(3, 5)(ZEROS[0, 0]), r"expected 3 dimensions .* got shape \(3,\)"),
        (lambda: RNN(4, 5)(ZEROS), r"expected 4 features \(input_size\) .* got 3"),
        (lambda: RNN(3, 5)(ZEROS[:0]), "at least one time step"),
        (lambda: RNN(3, 5)(ZEROS.double()), r"torch.float64, .* are torch.float32.*x.to\("),
        (lambda: RNN(3, 5)(ZEROS.to("meta")), "it is on meta, the layer on cpu"),
        (
            lambda: RNN(3, 5)(ZEROS, torch.zeros(1, 3, 5)),
            r"expected shape \(1, 4, 5\).*\(1, 3, 5\)",
        ),
        (lambda: RNN(3, 5)(ZEROS[:, 0], torch.zeros(1, 4, 5)), r"expected shape \(1, 5\)"),
        (lambda: RNN(3, 5)(ZEROS, (torch.zeros(1, 4, 5),)), r"expected a tensor, got \(Tensor\)"),
        (
            lambda: LSTM(3, 5)(ZEROS, torch.zeros(1, 4, 5)),
            r"a tuple of tensors \(h, c\), got Tensor",
        ),
        (lambda: LSTM(3, 5)(ZEROS, (torch.zeros(1, 4, 5), None)), r"got \(Tensor, NoneType\)"),
        (
            lambda: LSTM(3, 5, proj_size=2)(ZEROS, (torch.zeros(1, 4, 5), torch.zeros(1, 4, 5))),
            r"hx \(h\): expected shape \(1, 4, 2\)",
        ),
        (lambda: RNN(3, 5)(ZEROS, lengths=[6, 6]), r"each of the 4 rows .* got shape \(2,\)"),
        (lambda: RNN(3, 5)(ZEROS, lengths=[6, 7, 6, 6]), r"lengths\[1\]: expected 0 to 6.* got 7"),
        (
            lambda: RNN(3, 5)(ZEROS, lengths=[6, 6, 6, -1]),
            r"lengths\[3\]: expected 0 to 6.* got -1",
        ),
        (lambda: RNN(3, 5)(ZEROS, lengths=[1.0] * 4), "expected integers, got torch.float32"),
        (lambda: RNN(3, 5)(ZEROS, lengths=ZEROS[..., 0].bool()), r"pass mask.sum\(1\)"),
        (lambda: RNN(3, 5)(ZEROS[:, 0], lengths=[6]), "only for a batch"),
        (lambda: RNN(3, 5)(PACKED, lengths=[6] * 4), "a PackedSequence carries its own"),
        (lambda: RNN(3, 5, bidirectional=True).step(ZEROS[0]), "a bidirectional layer"),
        (lambda: RNN(3, 5).step(ZEROS), r"expected shape \(B, I\) or \(I,\), got \(6, 4, 3\)"),
        (lambda: RNN(3, 5, 0), "num_layers: expected a positive integer, got 0"),
        (lambda: RNN(3, 5, dropout=1.5), "dropout: expected a probability"),
        (lambda: RNN(3, 5, dropout=True), "dropout: expected a probability"),
        (lambda: RNN(3, 5, batch_first=1), "batch_first: expected True or False, got 1"),
        (lambda: RNN(3, 5, nonlinearity="rleu"), "did you mean 'relu'"),
        (lambda: Recurrent(Leaky), r"make one first, as in Leaky\(8, 64\)"),
        (lambda: Recurrent(nn.LSTMCell(3, 5)), r"expected an elman.Cell, got LSTMCell\(3, 5\)"),
    ],
)
def test_what_does_not_fit_is_refused(call, message):
    with pytest.raises(InputError, match=message):
        call()
