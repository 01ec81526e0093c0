"""accelerate: what it replaces, what it leaves and says, and that results stay."""

import copy

import pytest
import torch
from torch import nn
from torch.ao.nn.quantized import dynamic
from torch.nn.utils import parametrizations
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

import elman.layers
from elman.layers import accelerate

# torch's, of a projection, and of its quantized layer.
pytestmark = [
    pytest.mark.filterwarnings("ignore:LSTM with projections:UserWarning"),
    pytest.mark.filterwarnings("ignore:torch.quantize_per_tensor:UserWarning:torch"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
]


class Tagger(nn.Module):
    """A model as people write them: nested, packed, with a state handed over."""

    def __init__(self):
        super().__init__()
        self.embed = nn.Embedding(20, 6)
        self.encoder = nn.LSTM(6, 5, num_layers=2, bidirectional=True, batch_first=True)
        self.blocks = nn.ModuleList([nn.GRU(10, 10), nn.Sequential(nn.RNN(10, 10, 1, "relu"))])
        self.head = nn.Linear(10, 3)

    def forward(self, tokens, lengths):
        self.encoder.flatten_parameters()
        packed = pack_padded_sequence(self.embed(tokens), lengths, True, enforce_sorted=False)
        y, (h, _) = self.encoder(packed)
        y, _ = pad_packed_sequence(y, batch_first=True)
        y = y.transpose(0, 1)
        y, _ = self.blocks[0](y, torch.cat([h[-2], h[-1]], dim=-1).unsqueeze(0))
        y, _ = self.blocks[1](y)
        return self.head(y)


def outcome(model, *inputs):
    model.zero_grad()
    y = model(*inputs)
    y.square().sum().backward()
    return y, [parameter.grad.clone() for parameter in model.parameters()]


def test_results_and_gradients_stay():
    torch.manual_seed(0)
    model = Tagger()
    inputs = (torch.randint(0, 20, (4, 7)), torch.tensor([3, 7, 1, 5]))
    expected = outcome(model, *inputs)
    before, names = list(model.parameters()), list(model.state_dict())
    random_state = torch.get_rng_state()
    lines = []
    assert accelerate(model, say=lines.append) is model
    assert lines == [
        "encoder (LSTM): replaced",
        "blocks.0 (GRU): replaced",
        "blocks.1.0 (RNN): replaced",
    ]
    assert torch.equal(torch.get_rng_state(), random_state)
    assert isinstance(model.encoder, elman.layers.LSTM)
    assert model.blocks[1][0].nonlinearity == "relu"
    assert all(a is b for a, b in zip(model.parameters(), before, strict=True))
    assert list(model.state_dict()) == names
    torch.testing.assert_close(outcome(model, *inputs), expected, rtol=1e-5, atol=1e-5)


def test_an_optimizer_goes_on():
    torch.manual_seed(0)
    model = nn.LSTM(3, 4)
    holder = nn.ModuleList([model])
    optimizer = torch.optim.SGD(holder.parameters(), lr=1.0)
    accelerate(holder, say=lambda line: None)
    x = torch.randn(5, 2, 3)
    before = holder[0](x)[0].detach()
    holder[0](x)[0].sum().backward()
    optimizer.step()
    assert not torch.allclose(holder[0](x)[0], before)


@pytest.mark.parametrize(
    "layer",
    [
        nn.RNN(3, 4, 2, "relu", bias=False, dropout=0.5),
        nn.GRU(3, 4, batch_first=True).double(),
        nn.LSTM(3, 4, 2, proj_size=2, bidirectional=True).eval(),
    ],
)
def test_a_layer_itself_gives_a_new_one(layer):
    layer.weight_ih_l0.requires_grad_(False)
    lines = []
    new = accelerate(layer, say=lines.append)
    assert lines == [f"the module itself ({type(layer).__name__}): replaced"]
    assert repr(new) == repr(layer)
    assert new.training == layer.training
    assert new.dropout == layer.dropout
    assert all(a is b for a, b in zip(new.parameters(), layer.parameters(), strict=True))
    layer.eval()
    new.eval()
    x = torch.randn(5, 2, 3, dtype=layer.weight_ih_l0.dtype)
    torch.testing.assert_close(new(x), layer(x), rtol=0, atol=1e-6)


def test_a_layer_in_two_places_stays_one():
    shared = nn.GRU(3, 3)
    model = nn.ModuleDict({"a": shared, "b": nn.ModuleDict({"c": shared})})
    lines = []
    accelerate(model, say=lines.append)
    assert lines == ["a (GRU): replaced"]
    assert isinstance(model["a"], elman.layers.GRU)
    assert model["b"]["c"] is model["a"]


class Own(nn.LSTM):
    def forward(self, x, hx=None):
        return super().forward(2 * x, hx)


def hooked():
    layer = nn.GRU(3, 4)
    layer.register_forward_hook(lambda module, inputs, output: output)
    return layer


def old_weight_norm():
    layer = nn.GRU(3, 4)
    with pytest.warns(FutureWarning):
        return nn.utils.weight_norm(layer, "weight_hh_l0")


def replaced_forward():
    layer = nn.GRU(3, 4)
    layer.forward = lambda x: x
    return layer


def dropped_weight():
    layer = nn.GRU(3, 4)
    weight = layer.weight_hh_l0
    del layer._parameters["weight_hh_l0"]
    layer.register_parameter("weight_hh_l0_raw", weight)
    layer.weight_hh_l0 = weight.detach()
    return layer


@pytest.mark.parametrize(
    ("make", "line"),
    [
        (lambda: Own(3, 4), "(Own): left, Own is a subclass, which may compute something else"),
        (hooked, "(GRU): left, it has hooks, which may change what it computes"),
        (old_weight_norm, "(GRU): left, it has hooks, which may change what it computes"),
        (
            lambda: parametrizations.weight_norm(nn.GRU(3, 4), "weight_hh_l0"),
            "(ParametrizedGRU): left, it is parametrized; remove the parametrization first",
        ),
        (lambda: dynamic.LSTM(3, 4), "(LSTM): left, it is quantized"),
        (replaced_forward, "(GRU): left, its forward was replaced"),
        (dropped_weight, "(GRU): left, its parameters are not the ones torch gave it"),
    ],
)
def test_what_is_left_is_named_with_the_reason(make, line):
    layer = make()
    model = nn.Sequential(layer)
    lines = []
    accelerate(model, say=lines.append)
    assert lines == [f"0 {line}"]
    assert model[0] is layer


def test_scripted_models_are_left_whole():
    model = nn.Sequential(torch.jit.script(nn.Sequential(nn.LSTM(3, 4))), nn.GRU(3, 4))
    lines = []
    accelerate(model, say=lines.append)
    assert lines == [
        "0 (RecursiveScriptModule): left, it is compiled by TorchScript",
        "1 (GRU): replaced",
    ]


def test_nothing_to_replace_is_said(capsys):
    model = nn.Sequential(nn.Linear(2, 2), elman.layers.GRU(2, 2))
    before = copy.deepcopy(model)
    accelerate(model)
    assert capsys.readouterr().out == "no torch.nn.RNN, GRU or LSTM found\n"
    assert repr(model) == repr(before)
