"""The native engine in autograd: graphs, errors, hooks, copies, odd memory, other engines' work."""

import copy
import gc
import io
import pickle
import weakref

import pytest
import torch
from torch import nn
from torch.autograd import forward_ad
from torch.utils.checkpoint import checkpoint

from elman import engines
from elman.errors import InputError
from elman.layers import GRU, LSTM, RNN, accelerate

LAYERS = {
    "tanh": lambda *s, **o: RNN(*s, **o),
    "relu": lambda *s, **o: RNN(*s, nonlinearity="relu", **o),
    "gru": lambda *s, **o: GRU(*s, **o),
    "gru before": lambda *s, **o: GRU(*s, reset_after=False, **o),
    "lstm": lambda *s, **o: LSTM(*s, **o),
    "lstm proj": lambda *s, **o: LSTM(*s, proj_size=3, **o),
    "recompute": lambda *s, **o: LSTM(*s, memory="recompute", **o),
    "sqrt": lambda *s, **o: LSTM(*s, memory="sqrt", **o),
}

pytestmark = pytest.mark.usefixtures("forced")
every_layer = pytest.mark.parametrize("name", LAYERS)


def parts(state):
    return (state,) if isinstance(state, torch.Tensor) else state


def loss_of(outcome):
    y, state = outcome
    return y.sin().sum() + sum(part.cos().sum() for part in parts(state))


def gradients(layer, x, leaf=None, forward=None):
    """Return the gradients of a loss over all outputs: of x (or of `leaf`), and of each weight."""
    leaves = [x if leaf is None else leaf, *layer.parameters()]
    return torch.autograd.grad(loss_of((forward or layer)(x)), leaves)


def reference_gradients(layer, x, leaf=None, forward=None):
    with engines.engine("reference"):
        return gradients(layer, x, leaf, forward)


def assert_near(results, expected):
    for got, value in zip(results, expected, strict=True):
        torch.testing.assert_close(got, value, rtol=1e-5, atol=1e-5 * value.abs().max().item())


def outcome_or_error(call):
    try:
        return call()
    except RuntimeError as error:
        return error


def assert_equal(results, expected):
    torch.testing.assert_close(tuple(results), tuple(expected), rtol=0, atol=0)


def given_x(*shape):
    return torch.randn(shape or (6, 4, 3), requires_grad=True)


@every_layer
def test_no_graph_where_none_is_wanted(name):
    layer, x = LAYERS[name](3, 5), given_x()
    for context in (torch.no_grad(), torch.inference_mode()):
        with context:
            y, state = layer(x)
        assert all(part.grad_fn is None for part in (y, *parts(state)))
        assert not any(part.requires_grad for part in (y, *parts(state)))
    assert y.is_inference()
    layer.requires_grad_(False)
    y, state = layer(x.detach())
    assert not any(part.requires_grad for part in (y, *parts(state)))
    y, state = layer(x)
    assert all(part.requires_grad for part in (y, *parts(state)))


@every_layer
def test_gradients_accumulate(name):
    layer, x = LAYERS[name](3, 5), given_x()
    leaves = [x, *layer.parameters()]
    loss_of(layer(x)).backward()
    once = [leaf.grad.clone() for leaf in leaves]
    loss_of(layer(x)).backward()
    assert all(torch.equal(leaf.grad, 2 * grad) for leaf, grad in zip(leaves, once, strict=True))


@pytest.mark.parametrize("loss", [torch.sum, lambda y: y.square().sum()])
@every_layer
def test_a_second_derivative_raises_and_names_reference(name, loss):
    """With a gradient of the output that depends on the leaves, and with one that does not."""
    layer, x = LAYERS[name](3, 5), given_x()

    def differentiate_twice():
        (d_x,) = torch.autograd.grad(loss(layer(x)[0]), x, create_graph=True)
        leaves = [x, *layer.parameters()]
        return torch.autograd.grad(d_x.square().sum(), leaves, allow_unused=True)

    with pytest.raises((RuntimeError, InputError), match="reference"):
        differentiate_twice()
    with engines.engine("reference"):
        assert differentiate_twice()[2].abs().sum() > 0


@every_layer
def test_backward_twice(name):
    layer, x = LAYERS[name](3, 5), given_x()
    leaves = [x, *layer.parameters()]
    loss = loss_of(layer(x))
    first = torch.autograd.grad(loss, leaves, retain_graph=True)
    second = torch.autograd.grad(loss, leaves)
    assert_equal(first, second)
    with pytest.raises(RuntimeError, match="backward through the graph a second time"):
        torch.autograd.grad(loss, leaves)


@every_layer
def test_parts_of_one_graph(name):
    """The gradients of y alone and of the state alone add up to those of both."""
    layer, x = LAYERS[name](3, 5), given_x()
    leaves = [x, *layer.parameters()]
    y, state = layer(x)
    terms = [y.sin().sum(), *(part.cos().sum() for part in parts(state))]
    apart = [torch.autograd.grad(t, leaves, retain_graph=True) for t in terms]
    assert_near([sum(grads) for grads in zip(*apart, strict=True)], gradients(layer, x))


@pytest.mark.parametrize("changed", ["weight_ih_l0", "weight_hh_l0", "x", "y", "state", "hx"])
@every_layer
def test_a_change_in_place_before_backward_is_noticed(name, changed):
    """As torch notices it: an error. Where backward does not read what was changed: no harm."""
    layer, x = LAYERS[name](3, 5), given_x()
    hx = tuple(torch.randn(1, 4, part.shape[-1]) for part in parts(layer(x)[1]))
    leaves = [x, *layer.parameters()]
    weights = torch.randn(6, 4, 3 if name == "lstm proj" else 5)

    def run(change):
        inner = x * 1
        inner_hx = tuple(part.clone().requires_grad_() for part in hx)
        y, state = layer(inner, inner_hx if len(hx) > 1 else inner_hx[0])
        # A linear loss keeps nothing of y for itself.
        loss = (y * weights).sum() + sum(part.sum() for part in parts(state))
        if change:
            there = {"x": inner, "y": y, "state": parts(state)[0], "hx": inner_hx[0]}
            with torch.no_grad():
                there.get(changed, getattr(layer, changed, None)).mul_(1.5)
        return torch.autograd.grad(loss, leaves)

    expected = run(change=False)
    results = outcome_or_error(lambda: run(change=True))
    if changed in ("x", "weight_hh_l0") or isinstance(results, RuntimeError):
        assert "modified by an inplace operation" in str(results)
    else:
        assert_near(results, expected)


@every_layer
def test_writing_on_the_output_inside_the_graph(name):
    """Right, or refused as torch's own LSTM refuses it."""
    layer, x = LAYERS[name](3, 5), given_x()
    leaves = [x, *layer.parameters()]
    expected = torch.autograd.grad(layer(x)[0].mul(2).sum(), leaves)
    results = outcome_or_error(lambda: torch.autograd.grad(layer(x)[0].mul_(2).sum(), leaves))
    if isinstance(results, RuntimeError):
        assert "inplace" in str(results)
    else:
        assert_near(results, expected)


@every_layer
def test_hooks_see_what_reference_would_show(name):
    seen = {}
    for engine in ("native", "reference"):
        torch.manual_seed(1)
        layer, x = LAYERS[name](3, 5), given_x()
        here = seen.setdefault(engine, [])
        layer.register_forward_hook(lambda _, args, out, here=here: here.extend([*args, out[0]]))
        layer.register_full_backward_hook(
            lambda _, d_in, d_out, here=here: here.extend([*d_in, d_out[0]])
        )
        x.register_hook(here.append)
        layer.weight_hh_l0.register_hook(lambda grad: 2 * grad)
        layer.bias_ih_l0.register_post_accumulate_grad_hook(lambda p, here=here: here.append(p))
        with engines.engine(engine):
            layer(x)[0].square().sum().backward()
        here += [parameter.grad for parameter in layer.parameters()]
    assert len(seen["native"]) == 2 + 2 + 1 + 1 + len(list(layer.parameters()))
    key = lambda tensor: (tensor.shape, tensor.double().abs().sum().item())  # noqa: E731
    # The order of the leaves' own hooks is autograd's affair.
    assert_near(sorted(seen["native"], key=key), sorted(seen["reference"], key=key))


def through_pickle(layer):
    return pickle.loads(pickle.dumps(layer))


def through_torch_save(layer):
    file = io.BytesIO()
    torch.save(layer, file)
    file.seek(0)
    return torch.load(file, weights_only=False)


def through_state_dict(layer):
    file = io.BytesIO()
    torch.save(layer.state_dict(), file)
    file.seek(0)
    other = copy.deepcopy(layer)
    other.reset_parameters()
    other.load_state_dict(torch.load(file, weights_only=True))
    return other


@pytest.mark.parametrize(
    "again", [copy.deepcopy, through_pickle, through_torch_save, through_state_dict]
)
@every_layer
def test_copies_of_a_layer_in_use(name, again):
    layer, x = LAYERS[name](3, 5), given_x()
    gradients(layer, x)
    with torch.no_grad():
        layer.step(x[0])
    other = again(layer)
    assert_equal(gradients(other, x), gradients(layer, x))
    before = layer(x)[0]
    with torch.no_grad():
        other.weight_hh_l0.zero_()
    assert not torch.allclose(other(x)[0], before)
    assert torch.equal(layer(x)[0], before)
    assert_near(gradients(other, x), reference_gradients(other, x))


@every_layer
def test_functional_call(name):
    layer, x = LAYERS[name](3, 5), given_x()
    weights = {k: torch.randn_like(p, requires_grad=True) for k, p in layer.named_parameters()}
    before = layer(x)[0]

    def run():
        loss = loss_of(torch.func.functional_call(layer, weights, (x,)))
        return torch.autograd.grad(loss, [x, *weights.values()])

    results = run()
    with engines.engine("reference"):
        assert_near(results, run())
    assert torch.equal(layer(x)[0], before)


@every_layer
def test_frozen_weights(name):
    """Each subset's gradients are the same bits as when all are wanted."""
    layer, x = LAYERS[name](3, 5), given_x()
    names = [key for key, _ in layer.named_parameters()]
    loss_of(layer(x)).backward()
    full = {key: p.grad for key, p in layer.named_parameters()} | {"x": x.grad}
    for wanted in [{"x"}, *({key} for key in names), {"x", "weight_hh_l0"}, {*names} - {names[0]}]:
        layer.zero_grad()
        for key, parameter in layer.named_parameters():
            parameter.requires_grad_(key in wanted)
        leaf = x.detach().requires_grad_("x" in wanted)
        loss_of(layer(leaf)).backward()
        found = {key: p.grad for key, p in layer.named_parameters()} | {"x": leaf.grad}
        for key, grad in found.items():
            assert (grad is None) == (key not in wanted), key
            assert grad is None or torch.equal(grad, full[key]), key


MEMORY = {
    "batch first": lambda: torch.randn(4, 6, 3).transpose(0, 1),
    "one row expanded": lambda: torch.randn(6, 1, 3).expand(-1, 4, -1),
    "one step expanded": lambda: torch.randn(1, 4, 3).expand(6, -1, -1),
    "every second feature": lambda: torch.randn(6, 4, 6)[..., ::2],
    "every second step": lambda: torch.randn(12, 4, 3)[::2],
    "middle rows": lambda: torch.randn(6, 9, 3)[:, 2:6],
    "features first": lambda: torch.randn(3, 6, 4).permute(1, 2, 0),
    "overlapping windows": lambda: torch.randn(40).as_strided((6, 4, 3), (1, 7, 2)),
    "at an odd address": lambda: torch.randn(73)[1:].view(6, 4, 3),
}


@pytest.mark.parametrize("memory", MEMORY)
@every_layer
def test_input_however_it_lies_in_memory(name, memory):
    layer, x = LAYERS[name](3, 5), MEMORY[memory]()
    contiguous = x.clone(memory_format=torch.contiguous_format).requires_grad_()
    outcome, expected = layer(x), layer(contiguous)
    torch.testing.assert_close(outcome, expected, rtol=0, atol=0)
    view = x.detach().requires_grad_()
    assert_equal(gradients(layer, view), gradients(layer, contiguous))


@every_layer
def test_weights_and_gradients_however_they_lie_in_memory(name):
    layer, x = LAYERS[name](3, 5), given_x()
    expected = gradients(layer, x)
    for key, parameter in list(layer.named_parameters()):
        around = torch.full((parameter.numel() + 7,), torch.nan)
        if parameter.dim() == 2:
            strided = around[7:].view(parameter.shape[::-1]).t()
        else:
            strided = torch.full((len(parameter), 3), torch.nan)[:, 1]
        strided.copy_(parameter.detach())
        setattr(layer, key, nn.Parameter(strided))
    assert not layer.weight_ih_l0.is_contiguous()
    assert_near(gradients(layer, x), expected)

    y, _ = layer(x)
    for d_y in (
        torch.ones(1, 1, 1).expand(y.shape),
        torch.randn(y.shape[::-1]).permute(2, 1, 0),
        torch.randn(6, 4, 2 * y.shape[2])[..., ::2],
    ):
        results = torch.autograd.grad(y, x, d_y, retain_graph=True)
        assert_near(results, torch.autograd.grad(y, x, d_y.contiguous(), retain_graph=True))


@every_layer
def test_input_inside_a_graph(name):
    layer, leaf = LAYERS[name](3, 5), given_x()
    results = gradients(layer, leaf.exp(), leaf)
    assert_near(results, reference_gradients(layer, leaf.exp(), leaf))


@every_layer
def test_one_layer_used_twice(name):
    layer, x = LAYERS[name](5, 5), given_x(6, 4, 5)

    def twice(x):
        y, state = layer(x)
        wide = nn.functional.pad(y, (0, 5 - y.shape[-1]))
        return layer(wide.flip(0), state)

    assert_near(gradients(layer, x, None, twice), reference_gradients(layer, x, None, twice))


@every_layer
def test_carried_state_backpropagates_through_both_calls(name):
    layer, x = LAYERS[name](3, 5), given_x()

    def halves(x):
        y1, state = layer(x[:2])
        y2, state = layer(x[2:], state)
        return torch.cat([y1, y2]), state

    assert_near(gradients(layer, x, None, halves), gradients(layer, x))


@every_layer
def test_a_stack_in_both_directions(name):
    layer, x = LAYERS[name](3, 5, num_layers=2, bidirectional=True), given_x()

    def ragged(x):
        return layer(x, lengths=[6, 2, 0, 5])

    assert_near(gradients(layer, x), reference_gradients(layer, x))
    assert_near(gradients(layer, x, None, ragged), reference_gradients(layer, x, None, ragged))


@every_layer
def test_checkpoint_and_saved_tensor_hooks(name):
    layer, x = LAYERS[name](3, 5), given_x()
    expected = gradients(layer, x)

    def checkpointed(x):
        return checkpoint(layer, x, use_reentrant=False)

    assert_equal(gradients(layer, x, None, checkpointed), expected)
    packed = []

    def pack(tensor):
        packed.append(tensor.numel())
        return tensor.clone()

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        assert_equal(gradients(layer, x), expected)
    assert packed


@every_layer
def test_a_graph_dropped_frees_what_it_kept(name):
    layer, x = LAYERS[name](3, 5), given_x()
    inner = x * 1
    outcome = layer(inner)
    kept = weakref.ref(inner)
    del inner, outcome
    gc.collect()
    assert kept() is None


def test_forward_mode_is_right_or_refused(native):
    layer, x, tangent = LSTM(3, 5), given_x().detach(), torch.randn(6, 4, 3)
    with engines.engine("reference"), forward_ad.dual_level():
        expected = forward_ad.unpack_dual(layer(forward_ad.make_dual(x, tangent))[0]).tangent
    with forward_ad.dual_level():
        dual = forward_ad.make_dual(x, tangent)
        try:
            got = forward_ad.unpack_dual(layer(dual)[0]).tangent
        except (RuntimeError, ValueError):  # torch's "not implemented", or the engine's refusal
            return
    torch.testing.assert_close(got, expected)


@every_layer
def test_a_training_run_ends_where_references_ends(name):
    losses = {}
    for engine in ("native", "reference"):
        torch.manual_seed(4)
        layer, head = LAYERS[name](3, 8), nn.LazyLinear(1)
        x, target = torch.randn(12, 16, 3), torch.randn(16)
        head(layer(x)[0][-1])
        optimizer = torch.optim.Adam([*layer.parameters(), *head.parameters()], lr=0.02)
        with engines.engine(engine):
            for _ in range(30):
                loss = nn.functional.mse_loss(head(layer(x)[0][-1]).squeeze(-1), target)
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                losses.setdefault(engine, []).append(loss.item())
    assert losses["native"][-1] < losses["native"][0] / 2
    assert losses["native"] == pytest.approx(losses["reference"], rel=1e-3)


def test_accelerated_models_run_on_it():
    class Tagger(nn.Module):
        def __init__(self):
            super().__init__()
            self.rnn = nn.LSTM(3, 5, num_layers=2, bidirectional=True, batch_first=True)
            self.head = nn.Linear(10, 2)

        def forward(self, x):
            return self.head(self.rnn(x)[0])

    model, x = Tagger(), torch.randn(4, 6, 3)
    expected = model(x)
    accelerate(model, say=lambda line: None)
    with engines.record() as names:
        torch.testing.assert_close(model(x), expected, rtol=1e-5, atol=1e-6)
    assert names == {"native"}
