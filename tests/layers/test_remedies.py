"""Dropouts, zoneout, weight drop and skips: values and every gradient, written out step by step.

Whatever was drawn in a call is caught on its way to the engine, and a stack written anew here, in
float64, computes with the same masks.
Shapes: T time, B batch, I input features, H hidden features.
"""

import copy
import itertools
import pickle

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from elman import engines
from elman.cells import Cell, GRUCell
from elman.errors import InputError
from elman.layers import GRU, LSTM, RNN, Recurrent
from elman.layers.noise import dropped_at

KINDS = {"rnn": RNN, "gru": GRU, "lstm": LSTM}
EVERYTHING = {
    "dropout": 0.3, "input_dropout": 0.2, "recurrent_dropout": 0.4, "zoneout": 0.25,
    "weight_drop": 0.35, "skip": "highway", "learn_state": True,
}  # fmt: skip
OPTIONS = {
    "input_dropout": {"input_dropout": 0.4},
    "recurrent_dropout": {"recurrent_dropout": 0.4},
    "zoneout": {"zoneout": 0.3},
    "zoneout_cell": {"zoneout_cell": 0.3},
    "weight_drop": {"weight_drop": 0.5},
    "residual": {"skip": "residual"},
    "highway": {"skip": "highway"},
    "learn_state": {"learn_state": True},
    "everything": EVERYTHING,
}
T, B, I, H = 9, 4, 3, 5  # noqa: E741


def a_layer(kind, options, dtype=torch.float64, **more):
    torch.manual_seed(1)
    layer = KINDS[kind](I, H, num_layers=3, **options, **more).to(dtype)
    for parameter in layer.parameters():
        nn.init.normal_(parameter, std=0.6)
    return layer


class Caught:
    """What the layers handed to the engine: for each cell its input, weights and masks."""

    def __init__(self, monkeypatch):
        self.calls = []
        unroll = engines.unroll

        def catch(cell, x, state, **options):
            self.calls.append({"cell": cell, "x": x, **options})
            return unroll(cell, x, state, **options)

        monkeypatch.setattr(engines, "unroll", catch)


def by_hand(layer, kind, caught, x, parameters):
    """Return outputs and final states of a stack in one direction, with the masks caught."""
    options, finals = layer.options, []
    for index, call in enumerate(caught):
        below = x
        scale = 1.0
        if layer.training:
            scale /= (1 - options.input_dropout) * (1 - (layer.dropout if index else 0))
        x = below * (call["x"] != 0) * scale
        torch.testing.assert_close(x, call["x"].double(), rtol=1e-5, atol=1e-6)
        w_ih, w_hh, b_ih, b_hh = (
            parameters[f"{name}_l{index}"]
            for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
        )
        if options.weight_drop and layer.training:
            kept = (call["cell"].weight_hh != 0).double()
            w_hh = w_hh * kept / (1 - options.weight_drop)
        names = ("h", "c") if kind == "lstm" else ("h",)
        state = [x.new_zeros(B, H) for _ in names]
        if options.learn_state:
            state = [parameters[f"{name}_0"][index].expand(B, H) for name in names]
        mask = call["recurrent_mask"]
        mask = torch.ones(B, H).double() if mask is None else mask.double()
        zones = call["zoneout"] or (None,) * len(names)
        outputs = []
        for t in range(len(x)):
            h = state[0]
            from_x, from_h = F.linear(x[t], w_ih, b_ih), F.linear(h * mask, w_hh, b_hh)
            if kind == "rnn":
                new = [torch.tanh(from_x + from_h)]
            elif kind == "gru":
                (r_x, z_x, n_x), (r_h, z_h, n_h) = from_x.chunk(3, -1), from_h.chunk(3, -1)
                z = torch.sigmoid(z_x + z_h)
                n = torch.tanh(n_x + torch.sigmoid(r_x + r_h) * n_h)
                new = [(1 - z) * n + z * h]
            else:
                i, f, g, o = (from_x + from_h).chunk(4, -1)
                c = torch.sigmoid(f) * state[1] + torch.sigmoid(i) * torch.tanh(g)
                new = [torch.sigmoid(o) * torch.tanh(c), c]
            keep = [torch.zeros(()) if zone is None else zone[t].double() for zone in zones]
            state = [k * old + (1 - k) * n for k, old, n in zip(keep, state, new, strict=True)]
            outputs.append(state[0])
        x = torch.stack(outputs)
        finals.append(state)
        if index and options.skip == "residual":
            x = x + below
        elif index and options.skip == "highway":
            gate, bias = (
                parameters[f"skips.{index - 1}.gate.{name}"] for name in ("weight", "bias")
            )
            t = torch.sigmoid(F.linear(below, gate, bias))
            x = t * x + (1 - t) * below
    return x, [torch.stack(parts) for parts in zip(*finals, strict=True)]


def weighted(tensors):
    return sum((t.double() * torch.linspace(-1, 2, t.numel()).view_as(t)).sum() for t in tensors)


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("name", OPTIONS)
@pytest.mark.parametrize("kind", KINDS)
def test_values_and_every_gradient(kind, name, dtype, training, monkeypatch):
    options = dict(OPTIONS[name])
    if name == "zoneout_cell" and kind != "lstm":
        return
    if name == "everything" and kind == "lstm":
        options["zoneout_cell"] = 0.2
    layer = a_layer(kind, options, dtype).train(training)
    x = torch.randn(T, B, I, dtype=dtype).requires_grad_()
    caught = Caught(monkeypatch)
    y, state = layer(x)
    state = (state,) if isinstance(state, torch.Tensor) else state
    found = torch.autograd.grad(weighted([y, *state]), [x, *layer.parameters()])
    names = ["x", *(name for name, _ in layer.named_parameters())]
    found = dict(zip(names, found, strict=True)) | {"y": y.detach()}
    found |= {f"final {place}": part.detach() for place, part in enumerate(state)}

    exact = {name: p.detach().double().requires_grad_() for name, p in layer.named_parameters()}
    exact_x = x.detach().double().requires_grad_()
    y, finals = by_hand(layer, kind, caught.calls, exact_x, exact)
    expected = torch.autograd.grad(weighted([y, *finals]), [exact_x, *exact.values()])
    expected = dict(zip(names, expected, strict=True)) | {"y": y.detach()}
    expected |= {f"final {place}": part.detach() for place, part in enumerate(finals)}

    assert found.keys() == expected.keys()
    tolerance = 1e-5 if dtype == torch.float32 else 1e-11
    for key, value in expected.items():
        error = (found[key].double() - value).abs().max() / value.abs().max()
        assert error < tolerance, (key, error)
        assert value.abs().max() > 0, key


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_dropped_when(kind, monkeypatch):
    """Shares and scales; a row keeps its masks at all steps, another row and call has others."""
    layer = KINDS[kind](
        40, 50, input_dropout=0.4, recurrent_dropout=0.3, weight_drop=0.6, zoneout=0.2
    )
    x = torch.rand(30, 64, 40) + 1
    caught = Caught(monkeypatch)
    layer(x), layer(x), layer.eval()(x)
    first, second, evaluated = caught.calls
    inputs = first["x"] / x
    assert torch.allclose(inputs, inputs[:1].expand_as(inputs))
    assert (inputs - 1 / 0.6).abs()[inputs != 0].max() < 1e-6
    for tensor, share in (
        (inputs[0], 0.4),
        (first["recurrent_mask"], 0.3),
        (first["cell"].weight_hh, 0.6),
        (~first["zoneout"][0], 0.2),
    ):
        dropped = (tensor == 0).double().mean().item()
        assert abs(dropped - share) < 4 * (share * (1 - share) / tensor.numel()) ** 0.5
    assert first["recurrent_mask"][first["recurrent_mask"] != 0].unique().tolist() == pytest.approx(
        [1 / 0.7]
    )
    kept = first["cell"].weight_hh != 0
    torch.testing.assert_close(first["cell"].weight_hh[kept], layer.weight_hh_l0[kept] / 0.4)
    assert not torch.equal(inputs[0, 0], inputs[0, 1])
    for name in ("x", "recurrent_mask"):
        assert not torch.equal(first[name], second[name])
    assert not torch.equal(first["cell"].weight_hh, second["cell"].weight_hh)
    assert not torch.equal(first["zoneout"][0][0], first["zoneout"][0][1])
    assert evaluated["recurrent_mask"] is None
    assert torch.equal(evaluated["x"], x)
    assert evaluated["cell"].weight_hh is layer.weight_hh_l0
    assert (evaluated["zoneout"][0] == 0.2).all()


def test_layers_and_directions_drop_each_their_own(monkeypatch):
    layer = LSTM(50, 50, num_layers=2, bidirectional=True, recurrent_dropout=0.5, zoneout=0.5)
    caught = Caught(monkeypatch)
    layer(torch.randn(3, 4, 50))
    for name, get in (("mask", lambda c: c["recurrent_mask"]), ("zone", lambda c: c["zoneout"][0])):
        for one, other in itertools.combinations(caught.calls, 2):
            assert not torch.equal(get(one), get(other)), name


@pytest.mark.parametrize("share", [0.0, 0.001, 0.3, 0.5, 0.97])
def test_bits_are_drawn_with_the_share_asked_for_and_independently(share):
    torch.manual_seed(2)
    at = dropped_at((101, 999, 7), share, torch.device("cpu")).flatten().double()
    deviation = (share * (1 - share)) ** 0.5
    for lane in range(4):  # of a word of 64 bits
        mine = at[lane::4]
        assert abs(mine.mean() - share) <= 4 * deviation / len(mine) ** 0.5 + 1e-5
    if share:
        for apart in (1, 2, 3, 4, 7):
            both = (at[:-apart] * at[apart:]).mean()
            assert abs(both - share**2) < 5 * share / len(at) ** 0.5 + 2e-5


def test_the_same_seed_drops_the_same():
    layer, x = a_layer("lstm", EVERYTHING), torch.randn(T, B, I).double()
    outputs = []
    for seed in (3, 3, 4):
        torch.manual_seed(seed)
        outputs.append(layer(x)[0])
    assert torch.equal(outputs[0], outputs[1])
    assert not torch.allclose(outputs[0], outputs[2])


COMBINED = [
    dict(zip(("skip", "zoneout", "learn_state", "input_dropout", "memory"), values, strict=True))
    for values in itertools.product(
        ("none", "residual", "highway"), (0.0, 0.3), (False, True), (0.0, 0.5), ("all", "sqrt")
    )
]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("kind", KINDS)
def test_steps_give_what_forward_gives(kind, dtype):
    tolerance = 1e-5 if dtype == torch.float32 else 1e-12
    for options in COMBINED:
        extra = {"zoneout_cell": 0.2} if kind == "lstm" and options["zoneout"] else {}
        layer = a_layer(kind, options | extra, dtype, recurrent_dropout=0.3, weight_drop=0.2).eval()
        x = torch.randn(T, B, I, dtype=dtype)
        with torch.no_grad():
            expected, final = layer(x)
            for inplace in (False, True):
                state, outputs = None, []
                for x_t in x:
                    y_t, state = layer.step(x_t, state, inplace=inplace and state is not None)
                    outputs.append(y_t.clone())
                torch.testing.assert_close(
                    torch.stack(outputs), expected, rtol=tolerance, atol=tolerance
                )
                torch.testing.assert_close(state, final, rtol=tolerance, atol=tolerance)


def test_learnt_state_of_one_sequence_lengths_and_directions():
    layer = LSTM(I, H, bidirectional=True, learn_state=True)
    assert [tuple(layer.get_parameter(name).shape) for name in ("h_0", "c_0")] == [(2, H), (2, H)]
    assert (layer.h_0 == 0).all()
    assert (layer.c_0 == 0).all()
    nn.init.normal_(layer.h_0)
    nn.init.normal_(layer.c_0)
    x = torch.randn(T, B, I)
    given = tuple(part.unsqueeze(1).expand(2, B, H) for part in (layer.h_0, layer.c_0))
    lengths = [9, 0, 3, 1]
    expected = layer(x, given, lengths=lengths)
    torch.testing.assert_close(layer(x, lengths=lengths), expected, rtol=0, atol=0)
    torch.testing.assert_close(layer(x[:, 0])[0], layer(x)[0][:, 0])
    zeros = tuple(torch.zeros(2, B, H) for _ in range(2))
    assert not torch.allclose(layer(x, zeros)[0], layer(x)[0])


class Start(Cell):
    """A user's cell that begins elsewhere, and whose state has names of its own."""

    state_names = ("memory", "trace")

    def __init__(self, input_size: int, hidden_size: int):
        super().__init__(input_size, hidden_size)
        self.mix = nn.Linear(input_size + hidden_size, hidden_size)

    def initial_state(self, batch, *, device=None, dtype=None):
        return tuple(
            part + 0.5 for part in super().initial_state(batch, device=device, dtype=dtype)
        )

    def step(self, x_BI, state):
        new = torch.tanh(self.mix(torch.cat([x_BI, state[0]], -1)))
        return new, (new, 0.5 * state[1] + new)


def test_a_users_cell_learns_its_own_first_state_and_zones_out():
    layer = Recurrent(Start(3, 3), num_layers=2, learn_state=True, skip="residual", zoneout=0.5)
    assert (layer.memory_0 == 0.5).all()
    plain = Recurrent(Start(3, 3), num_layers=2)
    plain.cells.load_state_dict(layer.cells.state_dict())
    x = torch.randn(T, B, 3)
    half = layer.eval()(x)[0]
    assert not torch.allclose(half, plain(x)[0])
    state = [torch.full((B, 3), 0.5), torch.full((B, 3), 0.5)]
    below = []
    for x_t in x:
        _, new = plain.cells[0].step(x_t, tuple(state))
        state = [0.5 * state[0] + 0.5 * new[0], new[1]]
        below.append(state[0])
    state, outputs = [torch.full((B, 3), 0.5), torch.full((B, 3), 0.5)], []
    for x_t in below:
        _, new = plain.cells[1].step(x_t, tuple(state))
        state = [0.5 * state[0] + 0.5 * new[0], new[1]]
        outputs.append(state[0] + x_t)
    torch.testing.assert_close(half, torch.stack(outputs))


def test_a_highway_begins_by_carrying():
    layer = GRU(H, H, num_layers=4, skip="highway")
    x = torch.randn(T, B, H)
    plain = GRU(H, H)
    plain.load_state_dict({k: v for k, v in layer.state_dict().items() if k.endswith("_l0")})
    carried = (layer(x)[0] - plain(x)[0]).abs().mean() / plain(x)[0].abs().mean()
    assert carried < 0.5
    assert (layer.skips[0].gate.bias == -2).all()
    nn.init.zeros_(layer.skips[0].gate.bias)
    torch.manual_seed(5)
    layer.reset_parameters()
    assert (layer.skips[0].gate.bias == -2).all()


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda m: pickle.loads(pickle.dumps(m))])
def test_copies_and_state_dicts_hold_all_of_it(copied):
    layer = a_layer("lstm", EVERYTHING).eval()
    x = torch.randn(T, B, I).double()
    torch.testing.assert_close(copied(layer)(x), layer(x), rtol=0, atol=0)
    other = LSTM(I, H, num_layers=3, **EVERYTHING).double().eval()
    other.load_state_dict(layer.state_dict())
    torch.testing.assert_close(other(x), layer(x), rtol=0, atol=0)
    assert "zoneout=0.25" in repr(layer)
    assert set(LSTM(I, H, zoneout=0.5, weight_drop=0.5).state_dict()) == set(
        nn.LSTM(I, H).state_dict()
    )


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            lambda: RNN(3, 5, zoneot=0.1),
            r"elman.RNN: unknown option 'zoneot'; did you mean 'zoneout'",
        ),
        (lambda: LSTM(3, 5, batchfirst=True), "did you mean 'batch_first'"),
        (lambda: LSTM(3, 5, recompute=True), r"elman.LSTM: unknown option 'recompute'"),
        (lambda: LSTM(3, 5, zoneout=1.0), "elman.LSTM: zoneout: expected a value less than 1"),
        (lambda: LSTM(3, 5, learn_state=2), "learn_state: expected"),
        (lambda: LSTM(3, 5, skip="residul"), "did you mean 'residual'"),
        (lambda: LSTM(3, 5, skip="residual"), "skip='residual': .* num_layers is 1"),
        (lambda: GRU(3, 5, zoneout_cell=0.1), "zoneout_cell=0.1: GRUCell has no state c"),
        (lambda: GRU(3, 5, forget_bias=1.0), "forget_bias=1.0: GRUCell has no forget gate"),
        (lambda: RNN(3, 5, chrono=100), "chrono=100: RNNCell has no gates"),
        (lambda: LSTM(3, 5, chrono=2), "chrono: expected a value greater than or equal to 3"),
        (lambda: LSTM(3, 5, chrono=9, forget_bias=1), "leave one of them out"),
        (lambda: LSTM(3, 5, bias=False, chrono=9), "chrono: a bias, and the cell has none"),
        (lambda: LSTM(3, 5, init="identity"), "for a plain RNN with nonlinearity='relu', got LSTM"),
        (lambda: RNN(3, 5, init="identity"), "got RNNCell with tanh"),
        (lambda: Recurrent(Start(3, 5), recurrent_dropout=0.1), "recurrent_dropout=0.1: of Start"),
        (lambda: Recurrent(Start(3, 5), weight_drop=0.1), "weight_drop=0.1: of Start"),
        (lambda: Recurrent(Start(3, 5), init="orthogonal"), "init='orthogonal': of Start"),
        (
            lambda: Recurrent(Start(3, 5), zoneout_cell=0.1),
            "zoneout_cell=0.1: Start has no state c",
        ),
        (lambda: Recurrent(GRUCell(3, 5), memory="some"), "elman.Recurrent: memory: 'some'"),
    ],
)
def test_what_means_nothing_is_refused(call, message):
    with pytest.raises(InputError, match=message):
        call()
