"""The parameters live in the layer: whatever replaces one there is what the layer computes with."""

import copy
import io
import pickle

import pytest
import torch
from torch import nn
from torch.func import functional_call, grad, vmap
from torch.nn.utils import parametrizations, parametrize, prune

import elman.layers
from elman.layers import GRU, LSTM, RNN


def pair(name="LSTM", **options):
    """Return torch's layer and ours with the same weights, in float64."""
    options = {"num_layers": 2, "bidirectional": True, "dtype": torch.float64, **options}
    torchs = getattr(nn, name)(3, 5, **options)
    ours = getattr(elman.layers, name)(3, 5, **options)
    ours.load_state_dict(torchs.state_dict())
    return torchs, ours


def same(torchs, ours):
    x = torch.randn(6, 4, 3, dtype=torch.float64)
    expected = torchs(x)[0]
    return torch.allclose(ours(x)[0], expected, rtol=0, atol=1e-12)


def through_torch_save(layer):
    file = io.BytesIO()
    torch.save(layer, file)
    file.seek(0)
    return torch.load(file, weights_only=False)


@pytest.mark.parametrize("name", ["RNN", "GRU", "LSTM"])
@pytest.mark.parametrize(
    "again", [copy.deepcopy, lambda layer: pickle.loads(pickle.dumps(layer)), through_torch_save]
)
def test_copies_compute_the_same_with_parameters_of_their_own(name, again):
    torchs, ours = pair(name)
    other = again(ours)
    assert same(torchs, other)
    with torch.no_grad():
        other.weight_hh_l1_reverse.zero_()
    assert not same(torchs, other)
    assert same(torchs, ours)


def test_a_shallow_copy_computes_with_what_it_is_given():
    """As torch.nn.DataParallel makes its replicas."""
    torchs, ours = pair()
    replica = copy.copy(ours)
    replica._parameters = ours._parameters.copy()
    replica.weight_hh_l0 = nn.Parameter(torch.zeros_like(ours.weight_hh_l0))
    assert not same(torchs, replica)
    assert same(torchs, ours)


def test_load_state_dict_assign():
    torchs, ours = pair()
    torchs.reset_parameters()
    state = torchs.state_dict()
    ours.load_state_dict(state, assign=True)
    assert ours.weight_ih_l0.data_ptr() == state["weight_ih_l0"].data_ptr()
    assert same(torchs, ours)


def test_from_meta_as_large_models_are_loaded():
    torchs, _ = pair()
    ours = LSTM(3, 5, num_layers=2, bidirectional=True, device="meta", dtype=torch.float64)
    ours.to_empty(device="cpu").load_state_dict(torchs.state_dict())
    assert same(torchs, ours)


def test_to_dtype_and_device(device):
    torchs, ours = pair("GRU", dtype=torch.float32)
    torchs, ours = torchs.to(device), ours.to(device)
    x = torch.randn(6, 4, 3, device=device)
    torch.testing.assert_close(ours(x)[0], torchs(x)[0], rtol=0, atol=1e-5)
    half = ours.to("cpu").bfloat16()
    assert half(torch.randn(6, 4, 3).bfloat16())[0].dtype == torch.bfloat16


def test_a_parameter_set_anew():
    torchs, ours = pair()
    weight = nn.Parameter(torch.randn(20, 3, dtype=torch.float64))
    torchs.weight_ih_l0, ours.weight_ih_l0 = weight, weight
    assert same(torchs, ours)


def test_functional_call_and_gradients_per_example():
    _, ours = pair(num_layers=1, bidirectional=False)
    x = torch.randn(7, 4, 3, dtype=torch.float64)
    weights = {name: torch.randn_like(p) for name, p in ours.named_parameters()}

    def loss(weights, x_BI):
        return functional_call(ours, weights, (x_BI,))[0].square().sum()

    per_example = vmap(grad(loss), in_dims=(None, 1))(weights, x)
    for row in range(4):
        leaves = {name: w.clone().requires_grad_() for name, w in weights.items()}
        loss(leaves, x[:, row]).backward()
        for name, leaf in leaves.items():
            torch.testing.assert_close(per_example[name][row], leaf.grad)
    assert all(p.grad is None for p in ours.parameters())


def test_parametrizations_and_weight_norm():
    class Half(nn.Module):
        def forward(self, weight):
            return weight / 2

    torchs, ours = pair()
    parametrize.register_parametrization(ours, "weight_hh_l0", Half())
    assert not same(torchs, ours)
    with torch.no_grad():
        torchs.weight_hh_l0.div_(2)
    assert same(torchs, ours)
    assert same(torchs, copy.deepcopy(ours))
    parametrize.remove_parametrizations(ours, "weight_hh_l0")
    assert same(torchs, ours)

    parametrizations.weight_norm(ours, "weight_hh_l1")
    assert same(torchs, ours)
    ours(torch.randn(6, 4, 3, dtype=torch.float64))[0].sum().backward()
    assert ours.parametrizations.weight_hh_l1.original0.grad.abs().sum() > 0


def test_pruning():
    torchs, ours = pair("RNN")
    mask = torch.rand(5, 5) < 0.5
    prune.custom_from_mask(ours, "weight_hh_l0", mask)
    assert not same(torchs, ours)
    with torch.no_grad():
        torchs.weight_hh_l0.mul_(mask)
    assert same(torchs, ours)


def test_only_parameters_that_require_gradients_get_one():
    _, ours = pair("GRU")
    ours.weight_ih_l0.requires_grad_(False)
    ours(torch.randn(6, 4, 3, dtype=torch.float64))[0].sum().backward()
    assert ours.weight_ih_l0.grad is None
    assert ours.weight_hh_l0.grad.abs().sum() > 0


def test_eval_mode_has_gradients_too():
    _, ours = pair("LSTM", dtype=torch.float32)
    ours.eval()
    ours(torch.randn(6, 4, 3))[0].sum().backward()
    assert all(p.grad.abs().sum() > 0 for p in ours.parameters())


def test_the_layer_has_no_other_parameters_and_no_submodules():
    layer = RNN(3, 5)
    assert list(layer.state_dict()) == ["weight_ih_l0", "weight_hh_l0", "bias_ih_l0", "bias_hh_l0"]
    assert list(layer.children()) == []
    assert layer.flatten_parameters() is None
    assert all(cell.weight_ih is layer.weight_ih_l0 for cell in layer.cells)


@pytest.mark.parametrize("layer", [elman.RNN, elman.GRU, elman.LSTM])
def test_torch_compile_trains_a_first_layer(layer):
    """As torch's own: its input needs no gradient, which oneDNN's traced LSTM cannot bear."""
    ours = layer(3, 5)
    compiled = torch.compile(ours, backend="aot_eager")
    x = torch.randn(7, 2, 3)
    expected = torch.autograd.grad(ours(x)[0].square().sum(), list(ours.parameters()))
    got = torch.autograd.grad(compiled(x)[0].square().sum(), list(ours.parameters()))
    for mine, theirs in zip(got, expected, strict=True):
        torch.testing.assert_close(mine, theirs)


def test_torch_compile_runs_around_it():
    _, ours = pair("GRU")
    x = torch.randn(6, 4, 3, dtype=torch.float64)
    compiled = torch.compile(ours, backend="eager")
    torch.testing.assert_close(compiled(x)[0], ours(x)[0])


def test_gru_before_has_torchs_parameters():
    before, after = GRU(3, 5, reset_after=False), GRU(3, 5)
    before.load_state_dict(after.state_dict())
    x = torch.randn(6, 4, 3)
    assert not torch.allclose(before(x)[0], after(x)[0])
