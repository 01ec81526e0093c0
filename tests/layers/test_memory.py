"""Exact gradients in less memory: what is kept changes neither values nor gradients, nor masks."""

import gc
import itertools
import threading

import pytest
import torch
from torch import nn

from elman import engines
from elman.cells import Cell, GRUCell
from elman.engines import segments
from elman.errors import InputError
from elman.layers import GRU, LSTM, RNN, Recurrent


class Noisy(Cell):
    """A user's cell that draws random numbers in its step."""

    def __init__(self, input_size: int, hidden_size: int):
        super().__init__(input_size, hidden_size)
        self.mix = nn.Linear(input_size + hidden_size, hidden_size)
        self.drop = nn.Dropout(0.5)

    def step(self, x_BI, state):
        h_BH = torch.tanh(self.mix(torch.cat([self.drop(x_BI), state[0]], dim=-1)))
        return h_BH, (h_BH,)


LAYERS = {
    "rnn": lambda **o: RNN(3, 5, **o),
    "gru": lambda **o: GRU(3, 5, **o),
    "gru before": lambda **o: GRU(3, 5, reset_after=False, **o),
    "lstm": lambda **o: LSTM(3, 5, **o),
    "lstm proj": lambda **o: LSTM(3, 5, proj_size=2, **o),
    "own": lambda **o: Recurrent(Noisy(3, 5), **o),
    "gru cell": lambda **o: Recurrent(GRUCell(3, 5), **o),
}
SHAPES = {
    "one layer": {},
    "deep": {"num_layers": 3, "dropout": 0.4, "skip": "highway", "learn_state": True},
    "both directions": {"num_layers": 2, "bidirectional": True, "dropout": 0.3},
}
T, B = 37, 4


def everything(make, memory, x, lengths, engine=None, **options):
    """Return outputs, final states and every gradient by name, from the same seed."""
    torch.manual_seed(1)
    layer = make(memory=memory, **options).to(x.dtype)
    for parameter in layer.parameters():
        nn.init.normal_(parameter, std=0.5)
    if layer.num_layers > 1 and not layer.bidirectional:
        # What cells draw themselves, they draw when they run: layer by layer, or by segments.
        for drop in (module for module in layer.modules() if isinstance(module, nn.Dropout)):
            drop.p = 0.0
    x = x.clone().requires_grad_()
    torch.manual_seed(2)
    if engine is None:
        y, state = layer(x, lengths=lengths)
    else:
        with engines.engine(engine):
            y, state = layer(x, lengths=lengths)
    after = torch.rand(1)
    state = (state,) if isinstance(state, torch.Tensor) else state
    loss = sum(
        (part * torch.linspace(-1, 2, part.numel()).view_as(part)).sum() for part in (y, *state)
    )
    loss.backward()
    results = {"y": y, "x": x.grad, "after": after}
    results |= {f"final {place}": part for place, part in enumerate(state)}
    results |= {name: parameter.grad for name, parameter in layer.named_parameters()}
    return {name: value.detach() for name, value in results.items()}


def assert_near(found, expected, tolerance):
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        error = (found[name] - value).abs().max() / value.abs().max().clamp(min=1e-30)
        assert error <= tolerance, (name, error.item())


@pytest.mark.parametrize("lengths", [None, [37, 0, 14, 1], [3, 2, 0, 1]])
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("name", LAYERS)
def test_the_same_gradients_whatever_is_kept(name, shape, lengths):
    """In the engine that is chosen, and in reference in float64; noise of every kind is on."""
    options = dict(SHAPES[shape])
    if name == "own":
        # Its own draws come between those of the layers, or after them, as they run.
        options["dropout"] = 0.0
    else:
        options |= {
            "zoneout": 0.2,
            "recurrent_dropout": 0.3,
            "weight_drop": 0.2,
            "input_dropout": 0.2,
        }
    for dtype, tolerance in ((torch.float32, 1e-5), (torch.float64, 1e-12)):
        x = torch.randn(T, B, 3, dtype=dtype)
        if lengths is not None:
            for row, length in enumerate(lengths):
                x[length:, row] = torch.nan
        kept = everything(LAYERS[name], "all", x, lengths, **options)
        for memory in ("recompute", "sqrt"):
            found = everything(LAYERS[name], memory, x, lengths, **options)
            assert_near(found, kept, tolerance)
            if name != "own":
                # Not only near: a mask drawn anew would differ by much more than rounding.
                assert torch.equal(found["y"] == 0, kept["y"] == 0)


@pytest.mark.parametrize("engine", ["native", "aten", "reference"])  # scan: only linear cells
@pytest.mark.parametrize("name", ["rnn", "gru", "lstm"])
def test_in_every_engine(name, engine):
    if engines.available_engines()[engine] is not None:
        pytest.skip("not here")
    x = torch.randn(T, B, 3)
    for shape, lengths in itertools.product(SHAPES, (None, [37, 0, 14, 1])):
        kept = everything(LAYERS[name], "all", x, lengths, engine, **SHAPES[shape])
        for memory in ("recompute", "sqrt"):
            # The backward pass is outside the block that forces the engine.
            with engines.record() as ran:
                found = everything(LAYERS[name], memory, x, lengths, engine, **SHAPES[shape])
            assert ran == {engine}
            assert_near(found, kept, 1e-5)


@pytest.mark.parametrize("memory", ["recompute", "sqrt"])
def test_packed_and_batch_first(memory):
    x, lengths = torch.randn(B, T, 3), [5, 37, 20, 1]
    results = []
    for kept in ("all", memory):
        torch.manual_seed(1)
        layer = GRU(3, 5, num_layers=2, batch_first=True, memory=kept)
        leaf = x.clone().requires_grad_()
        packed = nn.utils.rnn.pack_padded_sequence(
            leaf, torch.tensor(lengths), batch_first=True, enforce_sorted=False
        )
        y, h = layer(packed)
        again, _ = layer(leaf, lengths=lengths)
        (y.data.square().sum() + h.sum() + again.sin().sum()).backward()
        results.append([y.data, again, h, leaf.grad, *(p.grad for p in layer.parameters())])
    for found, expected in zip(*reversed(results), strict=True):
        torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("name", ["rnn", "lstm", "own"])
def test_the_second_run_drops_what_the_first_did(name):
    """Against difference quotients, where the numbers drawn are the same in each run."""
    options = {} if name == "own" else {"zoneout": 0.3, "dropout": 0.3, "recurrent_dropout": 0.3}
    torch.manual_seed(4)
    layer = LAYERS[name](memory="sqrt", num_layers=2, **options).double()
    x = torch.randn(17, 2, 3, dtype=torch.float64, requires_grad=True)

    def run(x, *_):
        torch.manual_seed(5)
        return layer(x)[0][[3, 11, -1]].sum(0)

    assert torch.autograd.gradcheck(run, (x, *layer.parameters()), fast_mode=True)


def test_second_derivatives_are_those_of_what_keeps_all():
    results = []
    for memory in ("all", "recompute", "sqrt"):
        torch.manual_seed(1)
        layer = GRU(3, 5, num_layers=2, memory=memory).double()
        x = torch.randn(T, B, 3, dtype=torch.float64, requires_grad=True)
        (d_x,) = torch.autograd.grad(layer(x)[0].square().sum(), x, create_graph=True)
        results.append(torch.autograd.grad(d_x.square().sum(), [x, *layer.parameters()]))
    for expected, *found in zip(*results, strict=True):
        for gradient in found:
            torch.testing.assert_close(gradient, expected, rtol=1e-9, atol=1e-9)


def test_what_lives_between_forward_and_backward_grows_with_the_root():
    """Counted by the numbers that the graph holds, in a network that passes on its last state."""

    def held(memory, steps):
        layer, seen = LSTM(3, 8, num_layers=2, memory=memory), {}
        x = torch.randn(steps, 2, 3)

        def pack(tensor):
            seen[tensor.data_ptr()] = tensor.untyped_storage().nbytes()
            return tensor

        with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
            layer(x)[1][0].sum()
        own = {x.data_ptr(), *(p.data_ptr() for p in layer.parameters())}
        return sum(size for at, size in seen.items() if at not in own)

    assert held("all", 6400) > 3.5 * held("all", 1600)
    assert 1.5 < held("sqrt", 6400) / held("sqrt", 1600) < 2.5
    assert held("sqrt", 6400) < held("all", 6400) / 50


def test_nothing_is_left_behind():
    """Neither graphs nor segments outlive the step that they belong to."""
    layer, x = LSTM(3, 5, memory="sqrt"), torch.randn(T, B, 3)
    counts = []
    for _ in range(3):
        layer(x)[0].sum().backward()
        gc.collect()
        counts.append(sum(type(thing) is torch.Tensor for thing in gc.get_objects()))
    assert counts[1] == counts[-1]


def test_where_no_gradient_is_wanted_nothing_is_kept_or_run_twice():
    layer, x = LSTM(3, 5, memory="sqrt"), torch.randn(T, B, 3)
    plain = LSTM(3, 5)
    plain.load_state_dict(layer.state_dict())
    with torch.no_grad():
        torch.testing.assert_close(layer(x), plain(x), rtol=0, atol=0)
    layer.requires_grad_(False)
    assert not layer(x)[0].requires_grad
    layer.requires_grad_()
    frozen = [p for name, p in layer.named_parameters() if "bias" in name]
    for parameter in frozen:
        parameter.requires_grad_(False)
    y, _ = layer(x)
    y.sum().backward()
    assert all(parameter.grad is None for parameter in frozen)
    assert layer.weight_hh_l0.grad.abs().sum() > 0


def test_autocast_and_another_thread():
    torch.manual_seed(0)
    layer, x = GRU(3, 5, num_layers=2, memory="sqrt"), torch.randn(T, B, 3)
    kept = GRU(3, 5, num_layers=2)
    kept.load_state_dict(layer.state_dict())
    losses = []
    for one in (layer, kept):
        with torch.autocast("cpu", torch.bfloat16):
            losses.append(one(x)[0].float().square().sum())
    thread = threading.Thread(target=losses[0].backward)
    thread.start()
    thread.join()
    losses[1].backward()
    for mine, theirs in zip(layer.parameters(), kept.parameters(), strict=True):
        torch.testing.assert_close(mine.grad, theirs.grad, rtol=0.05, atol=0.05)


def test_changed_or_swapped_parameters_are_noticed():
    x = torch.randn(T, B, 3)
    layer = LSTM(3, 5, memory="sqrt")
    loss = layer(x)[0].sum()
    with torch.no_grad():
        layer.weight_hh_l0 += 1
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        loss.backward()
    own = Recurrent(Noisy(3, 5), memory="sqrt")
    swapped = {name: p.detach().clone().requires_grad_() for name, p in own.named_parameters()}
    y, _ = torch.func.functional_call(own, swapped, (x,))
    with pytest.raises(InputError, match="memory: the parameters are others"):
        y.sum().backward()
    # Layers that hand their parameters to the cells take the ones they were called with.
    swapped = {name: p.detach().clone().requires_grad_() for name, p in layer.named_parameters()}
    results = []
    for module in (layer, LSTM(3, 5)):
        y, _ = torch.func.functional_call(module, swapped, (x,))
        results.append(torch.autograd.grad(y.square().sum(), list(swapped.values())))
    for mine, theirs in zip(*results, strict=True):
        torch.testing.assert_close(mine, theirs, rtol=1e-5, atol=1e-5)


def test_hooks_see_the_whole_gradient_once():
    layer, x = GRU(3, 5, memory="sqrt"), torch.randn(T, B, 3)
    seen = []
    layer.weight_hh_l0.register_hook(lambda gradient: seen.append(gradient.clone()) or 2 * gradient)
    layer(x)[0].sum().backward()
    assert len(seen) == 1
    torch.testing.assert_close(layer.weight_hh_l0.grad, 2 * seen[0])


def test_torchs_transforms_and_compilers_get_the_same():
    layer, x = RNN(3, 5, memory="sqrt"), torch.randn(T, B, 3)
    expected = layer(x)[0]
    with engines.engine("reference"):
        batched = torch.func.vmap(lambda x: layer(x)[0])(torch.stack([x, x]))
    torch.testing.assert_close(batched[1], expected, rtol=1e-5, atol=1e-6)
    compiled = torch.compile(layer, backend="eager")
    found = torch.autograd.grad(compiled(x)[0].square().sum(), list(layer.parameters()))
    wanted = torch.autograd.grad(layer(x)[0].square().sum(), list(layer.parameters()))
    for mine, theirs in zip(found, wanted, strict=True):
        torch.testing.assert_close(mine, theirs, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("steps", [1, 2, 3, 4, 16, 17, 10_000, 99_999])
@pytest.mark.parametrize("reverse", [False, True])
def test_spans_cover_every_step_once(steps, reverse):
    spans = segments.spans(steps, reverse)
    assert [t for span in sorted(spans) for t in range(*span)] == list(range(steps))
    assert spans == sorted(spans, reverse=reverse)
    assert max(end - begin for begin, end in spans) <= 2 * steps**0.5 + 2


def test_an_unknown_word_is_refused():
    cell = GRUCell(3, 5)
    with pytest.raises(InputError, match="memory: 'sqr' is not known; did you mean 'sqrt'"):
        engines.unroll(cell, torch.zeros(2, 1, 3), cell.initial_state(1), memory="sqr")
