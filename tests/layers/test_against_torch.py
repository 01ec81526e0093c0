"""RNN, GRU and LSTM against torch.nn's: outputs, states and every gradient, by name."""

import itertools

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn.utils.rnn import PackedSequence, pack_padded_sequence

import elman.layers
from elman.engines import engine

# torch says of each projection that oneDNN has none.
pytestmark = pytest.mark.filterwarnings("ignore:LSTM with projections:UserWarning")

KINDS = {
    "tanh": ("RNN", {}),
    "relu": ("RNN", {"nonlinearity": "relu"}),
    "gru": ("GRU", {}),
    "lstm": ("LSTM", {}),
    "lstm proj": ("LSTM", {"proj_size": 2}),
}
# Sums that all but cancel lose digits: hypothesis finds 1.4e-13 for a bias of one unit.
TOLERANCE = {torch.float32: 1e-5, torch.float64: 1e-12}
FORMS = ["batch", "one sequence", "packed", "packed unsorted"]


def pair(kind, input_size, hidden_size, **options):
    """Return torch's layer and ours, drawn from the same seed."""
    name, more = KINDS[kind]
    if "proj_size" in more:
        more = {"proj_size": (hidden_size + 1) // 2 if hidden_size > 1 else 0}
    layers = []
    for module in (nn, elman.layers):
        torch.manual_seed(7)
        layers.append(getattr(module, name)(input_size, hidden_size, **options, **more))
    return layers


def everything(layer, x, hx, pack):
    """Return outputs, states and every gradient, by name."""
    layer.zero_grad()
    x = x.detach().clone().requires_grad_()
    hx = None if hx is None else tuple(part.detach().clone().requires_grad_() for part in hx)
    several = isinstance(layer, nn.LSTM | elman.layers.LSTM)
    y, state = layer(pack(x), hx if hx is None or several else hx[0])
    results = {}
    if isinstance(y, PackedSequence):
        results |= {k: v for k, v in y._asdict().items() if v is not None}
    else:
        results["y"] = y
    results |= dict(zip(("h", "c"), state if several else (state,), strict=False))
    generator = torch.Generator().manual_seed(0)
    loss = torch.zeros((), dtype=x.dtype, device=x.device)
    for value in results.values():
        if value.requires_grad:
            weights = torch.randn(value.shape, generator=generator)
            loss = loss + (value * weights.to(value)).sum()
    loss.backward()
    results["d_x"] = x.grad
    if hx is not None:
        results |= {f"d_{name}": part.grad for name, part in zip(("h", "c"), hx, strict=False)}
    results |= {f"d_{name}": parameter.grad for name, parameter in layer.named_parameters()}
    return {name: value.detach().cpu() for name, value in results.items()}


def assert_same(torchs, ours, x, hx=None, pack=lambda x: x):
    expected, results = everything(torchs, x, hx, pack), everything(ours, x, hx, pack)
    assert list(results) == list(expected)
    for name, value in expected.items():
        got = results[name]
        assert (got.shape, got.dtype) == (value.shape, value.dtype), name
        scale = max(value.abs().max().item(), 1e-30)
        error = (got - value).abs().max().item() / scale
        assert error <= TOLERANCE[x.dtype], f"{name}: relative error {error}"


def case(layer, form, num_steps, batch, with_state, dtype, device, lengths=None):
    """Return an input for this layer, its initial state, and how to pack it."""
    shape = (num_steps, batch, layer.input_size)
    if layer.batch_first:
        shape = (batch, num_steps, layer.input_size)
    middle = (batch,)
    pack = lambda x: x  # noqa: E731
    if form == "one sequence":
        shape, middle = (num_steps, layer.input_size), ()
    elif form != "batch":
        lengths = torch.tensor(lengths)
        unsorted = form == "packed unsorted"
        lengths = lengths if unsorted else lengths.sort(descending=True).values
        first = layer.batch_first
        pack = lambda x: pack_padded_sequence(x, lengths, first, enforce_sorted=not unsorted)  # noqa: E731
    hx = None
    if with_state:
        rows = layer.num_layers * (2 if layer.bidirectional else 1)
        sizes = [layer.proj_size or layer.hidden_size]
        sizes += [layer.hidden_size] if isinstance(layer, nn.LSTM) else []
        hx = [torch.randn(rows, *middle, s, dtype=dtype, device=device) for s in sizes]
    return torch.randn(shape, dtype=dtype, device=device), hx, pack


OPTIONS = list(itertools.product([1, 3], [False, True], [True, False], [False, True]))


@pytest.mark.parametrize("dtype", TOLERANCE)
@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("kind", KINDS)
def test_every_option(kind, form, dtype, device):
    if device == "mps" and dtype == torch.float64:
        pytest.skip("MPS has no float64")
    for num_layers, bidirectional, bias, batch_first in OPTIONS:
        torchs, ours = pair(
            kind,
            3,
            5,
            num_layers=num_layers,
            bidirectional=bidirectional,
            bias=bias,
            batch_first=batch_first,
            device=device,
            dtype=dtype,
        )
        for with_state in (False, True):
            x, hx, pack = case(torchs, form, 6, 4, with_state, dtype, device, [2, 6, 1, 2])
            assert_same(torchs, ours, x, hx, pack)


@given(
    kind=st.sampled_from(list(KINDS)),
    form=st.sampled_from(FORMS),
    num_steps=st.sampled_from([1, 2, 9]),
    lengths=st.lists(st.integers(1, 9), min_size=1, max_size=7),
    input_size=st.sampled_from([1, 4]),
    hidden_size=st.sampled_from([1, 2, 13]),
    num_layers=st.integers(1, 3),
    bidirectional=st.booleans(),
    forced=st.sampled_from(["aten", "reference"]),
)
@settings(max_examples=150, deadline=None)
def test_odd_sizes(
    kind, form, num_steps, lengths, input_size, hidden_size, num_layers, bidirectional, forced
):
    options = {"num_layers": num_layers, "bidirectional": bidirectional, "dtype": torch.float64}
    torchs, ours = pair(kind, input_size, hidden_size, **options)
    torch.manual_seed(num_steps)
    lengths = [min(length, num_steps) for length in lengths]
    x, hx, pack = case(
        torchs, form, num_steps, len(lengths), True, torch.float64, "cpu", [*lengths]
    )
    with engine(forced):
        assert_same(torchs, ours, x, hx, pack)


@pytest.mark.parametrize("kind", KINDS)
def test_positional_arguments_names_values_and_repr(kind):
    name, more = KINDS[kind]
    theirs, ours = getattr(nn, name), getattr(elman.layers, name)
    middle = ["relu"] if name == "RNN" else []
    positional = [4, 6, 2, *middle, False, True, 0.25, True]
    for args, kwargs in ((positional, {}), ([4, 6], more), ([4, 6, 3], {"dropout": 0.5, **more})):
        torch.manual_seed(1)
        torchs = theirs(*args, **kwargs)
        torch.manual_seed(1)
        mine = ours(*args, **kwargs)
        assert repr(mine) == repr(torchs)
        expected, got = torchs.state_dict(), mine.state_dict()
        assert list(got) == list(expected)
        assert all(torch.equal(got[key], expected[key]) for key in expected)
        assert [[w.shape for w in ws] for ws in mine.all_weights] == [
            [w.shape for w in ws] for ws in torchs.all_weights
        ]
        for attribute in ("input_size", "hidden_size", "num_layers", "bias", "batch_first"):
            assert getattr(mine, attribute) == getattr(torchs, attribute)
        for attribute in ("dropout", "bidirectional", "proj_size"):
            assert getattr(mine, attribute) == getattr(torchs, attribute)

        torch.manual_seed(2)
        torchs.reset_parameters()
        torch.manual_seed(2)
        mine.reset_parameters()
        assert all(torch.equal(mine.state_dict()[k], v) for k, v in torchs.state_dict().items())


@pytest.mark.parametrize("kind", KINDS)
def test_state_dict_goes_both_ways(kind):
    options = {"num_layers": 2, "bidirectional": True, "dtype": torch.float64}
    torchs, ours = pair(kind, 3, 5, **options)
    x = torch.randn(6, 4, 3, dtype=torch.float64)
    torchs.reset_parameters()
    ours.load_state_dict(torchs.state_dict())
    assert_same(torchs, ours, x)
    ours.reset_parameters()
    torchs.load_state_dict(ours.state_dict())
    assert_same(torchs, ours, x)


@pytest.mark.parametrize("kind", KINDS)
def test_dropout_drops_what_torchs_drops(kind):
    """In training, the same elements from the same seed; in evaluation, none."""
    torchs, ours = pair(kind, 3, 8, num_layers=3, dropout=0.5)
    x = torch.randn(6, 4, 3)
    outputs = []
    for layer in (torchs, ours):
        torch.manual_seed(3)
        outputs.append(layer(x)[0])
    torch.testing.assert_close(outputs[1], outputs[0], rtol=0, atol=1e-6)
    assert not torch.allclose(ours(x)[0], ours(x)[0])
    ours.eval()
    torchs.eval()
    assert_same(torchs, ours, x)
    torch.testing.assert_close(ours(x)[0], ours(x)[0], rtol=0, atol=0)


@pytest.mark.parametrize("kind", KINDS)
def test_autocast_in_bfloat16(kind):
    torchs, ours = pair(kind, 3, 8, num_layers=2, bidirectional=True)
    x = torch.randn(6, 4, 3)
    with torch.autocast("cpu", torch.bfloat16):
        expected, got = torchs(x)[0], ours(x)[0]
    exact = ours(x)[0]
    assert (got.float() - exact).abs().max() < 0.05
    torch.testing.assert_close(got.float(), expected.float(), rtol=0, atol=0.02)
    got.float().sum().backward()
    assert all(parameter.grad.isfinite().all() for parameter in ours.parameters())


def test_a_batch_of_no_rows():
    torchs, ours = pair("lstm", 3, 5)
    expected, got = torchs(torch.zeros(6, 0, 3))[0], ours(torch.zeros(6, 0, 3))[0]
    assert got.shape == expected.shape == (6, 0, 5)


def test_dropout_in_one_layer_warns_as_torch_does():
    with pytest.warns(UserWarning, match="dropout=0.5 acts between layers") as caught:
        elman.layers.GRU(3, 4, dropout=0.5)
    assert caught[0].filename == __file__
