"""torch.compile without a break in the graph, torch.export, and the operators they meet.

Shapes: T time, B batch, I input features.
"""

import io
import shutil

import pytest
import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode

from elman import engines
from elman.cells import GRUCell, LSTMCell, RNNCell
from elman.errors import InputError
from elman.layers import GRU, LSTM, RNN, Recurrent

LAYERS = {
    "tanh": lambda *s, **o: RNN(*s, **o),
    "relu": lambda *s, **o: RNN(*s, nonlinearity="relu", **o),
    "gru": lambda *s, **o: GRU(*s, **o),
    "gru before": lambda *s, **o: GRU(*s, reset_after=False, **o),
    "lstm": lambda *s, **o: LSTM(*s, **o),
    "lstm proj": lambda *s, **o: LSTM(*s, proj_size=3, **o),
    "lstm without bias": lambda *s, **o: LSTM(*s, bias=False, **o),
    "recompute": lambda *s, **o: LSTM(*s, memory="recompute", **o),
    "stack": lambda *s, **o: GRU(*s, num_layers=2, bidirectional=True, **o),
    "recurrent": lambda *s, **o: Recurrent(GRUCell(*s), **o),
}
every_layer = pytest.mark.parametrize("name", LAYERS)


@pytest.fixture(autouse=True)
def native():
    """The native engine, without which there is nothing here to test; a compiler's clean slate."""
    reason = engines.available_engines().get("native", "this tree has no such engine")
    if reason is not None:
        pytest.skip(f"no native engine: {reason}")
    torch.compiler.reset()
    yield
    torch.compiler.reset()


def parts(state):
    return (state,) if isinstance(state, torch.Tensor) else state


def everything(run, layer, x, hx=None):
    """Return outputs, states and gradients."""
    x = x.detach().requires_grad_()
    y, state = run(x, hx)
    loss = y.sin().sum() + sum(part.cos().sum() for part in parts(state))
    grads = torch.autograd.grad(loss, [x, *layer.parameters()])
    return [part.detach() for part in (y, *parts(state), *grads)]


def state_of(layer, batch):
    with torch.no_grad():
        _, state = layer(torch.zeros(1, batch, 3))
    drawn = [torch.randn_like(part) for part in parts(state)]
    return drawn[0] if isinstance(state, torch.Tensor) else tuple(drawn)


def elman_nodes(graph):
    return [node for node in graph.nodes if str(node.target).startswith("elman.")]


@every_layer
def test_compiled_in_one_graph_it_gives_the_same(name):
    layer, x = LAYERS[name](3, 5), torch.randn(6, 4, 3)
    hx = state_of(layer, 4)
    compiled = torch.compile(layer, backend="aot_eager", fullgraph=True)
    for given in (None, hx):
        expected = everything(layer, layer, x, given)
        for got, value in zip(everything(compiled, layer, x, given), expected, strict=True):
            torch.testing.assert_close(got, value, rtol=1e-5, atol=1e-6)
    with torch.no_grad():
        torch.testing.assert_close(compiled(x)[0], layer(x)[0], rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("name", ["tanh", "gru before", "lstm"])
def test_it_is_the_native_engine_that_was_compiled(name):
    graphs = []

    def backend(module, inputs):
        graphs.append(module.graph)
        return module.forward

    layer, x = LAYERS[name](3, 5), torch.randn(6, 4, 3)
    torch.compile(layer, backend=backend, fullgraph=True)(x)
    assert len(graphs) == 1
    assert len(elman_nodes(graphs[0])) == 1


@pytest.mark.parametrize("name", ["tanh", "gru", "lstm proj", "stack"])
def test_one_compilation_for_all_sizes(name):
    layer = LAYERS[name](3, 5)
    compilations = []

    def backend(module, inputs):
        compilations.append(module)
        return module.forward

    compiled = torch.compile(layer, backend=backend, fullgraph=True, dynamic=True)
    for num_steps, batch in ((6, 4), (9, 2), (3, 7), (30, 5)):
        x = torch.randn(num_steps, batch, 3)
        expected = everything(layer, layer, x)
        for got, value in zip(everything(compiled, layer, x), expected, strict=True):
            torch.testing.assert_close(got, value, rtol=1e-5, atol=1e-6)
    assert len(compilations) == 1


def test_dynamic_sizes_through_autograds_tracing():
    layer = LSTM(3, 5, num_layers=2)
    compiled = torch.compile(layer, backend="aot_eager", fullgraph=True, dynamic=True)
    for num_steps, batch in ((6, 4), (9, 2)):
        x = torch.randn(num_steps, batch, 3)
        expected = everything(layer, layer, x)
        for got, value in zip(everything(compiled, layer, x), expected, strict=True):
            torch.testing.assert_close(got, value, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("memory", ["all", "recompute"])
@pytest.mark.parametrize("cell", [RNNCell(3, 5), GRUCell(3, 5), LSTMCell(3, 5, proj_size=2)])
def test_lengths_inside_a_compiled_program(cell, memory):
    """The layers look into their lengths, which ends a graph; whoever calls unroll need not."""

    def run(x, lengths):
        state = cell.initial_state(x.shape[1])
        y, final = engines.unroll(cell, x, state, lengths=lengths, memory=memory, engine="native")
        return y.sin().sum() + sum(part.cos().sum() for part in final)

    compiled = torch.compile(run, backend="aot_eager", fullgraph=True, dynamic=True)
    for num_steps, given in ((6, [6, 2, 0, 5]), (9, [1, 9, 3])):
        x = torch.randn(num_steps, len(given), 3, requires_grad=True)
        leaves, lengths = [x, *cell.parameters()], torch.tensor(given)
        loss, expected = compiled(x, lengths), run(x, lengths)
        torch.testing.assert_close(loss, expected, rtol=1e-5, atol=1e-5)
        grads = torch.autograd.grad(loss, leaves)
        for got, value in zip(grads, torch.autograd.grad(expected, leaves), strict=True):
            torch.testing.assert_close(got, value, rtol=1e-5, atol=1e-5)


class Tagger(nn.Module):
    """A model around the layer, as people write them."""

    def __init__(self, make=LSTM, **options):
        super().__init__()
        self.embed = nn.Linear(2, 3)
        self.rnn = make(3, 5, batch_first=True, **options)
        self.norm = nn.LayerNorm(5)
        self.head = nn.Linear(5, 4)

    def forward(self, x_BTI):
        y, _ = self.rnn(self.embed(x_BTI).relu())
        return self.head(self.norm(y))


def test_training_a_compiled_model_is_training_the_model():
    losses = []
    for compiled in (False, True):
        torch.manual_seed(5)
        model = Tagger()
        x, target = torch.randn(8, 6, 2), torch.randint(0, 4, (8, 6))
        run = torch.compile(model, backend="aot_eager", fullgraph=True) if compiled else model
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
        mine = []
        for _ in range(10):
            loss = nn.functional.cross_entropy(run(x).transpose(1, 2), target)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            mine.append(loss.item())
        losses.append(mine)
    assert losses[1] == pytest.approx(losses[0], rel=1e-5)
    assert losses[0][-1] < losses[0][0]


@pytest.mark.skipif(shutil.which("c++") is None, reason="inductor needs a C++ compiler")
def test_inductor():
    model, x = Tagger(), torch.randn(8, 6, 2)
    compiled = torch.compile(model, fullgraph=True)
    expected = torch.autograd.grad(model(x).square().sum(), list(model.parameters()))
    got = torch.autograd.grad(compiled(x).square().sum(), list(model.parameters()))
    torch.testing.assert_close(compiled(x), model(x), rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(got, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("make", [RNN, GRU, LSTM])
def test_export_runs_agrees_and_is_saved(make):
    model, x = Tagger(make, num_layers=2).eval(), torch.randn(8, 6, 2)
    batch, steps = torch.export.Dim("batch", min=1), torch.export.Dim("steps", min=1)
    program = torch.export.export(model, (x,), dynamic_shapes=({0: batch, 1: steps},))
    assert len(elman_nodes(program.graph)) == 2
    file = io.BytesIO()
    torch.export.save(program, file)
    file.seek(0)
    loaded = torch.export.load(file)
    for shape in ((8, 6, 2), (3, 11, 2)):
        x = torch.randn(shape)
        torch.testing.assert_close(program.module()(x), model(x), rtol=1e-5, atol=1e-6)
        torch.testing.assert_close(loaded.module()(x), model(x), rtol=1e-5, atol=1e-6)


def test_a_program_exported_without_gradients_is_right_or_refuses_to_train():
    """What backward reads was not kept; it must not be read."""
    model, x = Tagger(), torch.randn(8, 6, 2)
    with torch.no_grad():
        program = torch.export.export(model, (x,)).module()
    torch.testing.assert_close(program(x), model(x), rtol=1e-5, atol=1e-6)
    expected = torch.autograd.grad(model(x).square().sum(), list(model.parameters()))
    weights = dict(program.named_parameters())
    leaves = [weights[name] for name, _ in model.named_parameters()]
    try:
        results = torch.autograd.grad(program(x).square().sum(), leaves)
    except (InputError, RuntimeError):
        return
    torch.testing.assert_close(results, expected, rtol=1e-4, atol=1e-5)


class Calls(TorchDispatchMode):
    """Note every call of one of Elman's operators."""

    def __init__(self):
        super().__init__()
        self.noted = []

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        if func.namespace == "elman":
            self.noted.append((func, args, kwargs or {}))
        return func(*args, **(kwargs or {}))


def unshared(value, needs_gradient):
    """Return a copy of an argument, tensors as leaves."""
    if isinstance(value, torch.Tensor):
        leaf = value.detach().clone()
        return leaf.requires_grad_(needs_gradient and leaf.is_floating_point())
    if isinstance(value, list | tuple):
        return type(value)(unshared(part, needs_gradient) for part in value)
    return value


@every_layer
def test_operators_pass_torchs_own_check(name):
    layer, x = LAYERS[name](3, 5), torch.randn(6, 4, 3)
    hx = state_of(layer, 4)
    with Calls() as training:
        everything(layer, layer, x, hx)
        everything(lambda x, hx: layer(x, hx, lengths=[6, 2, 0, 5]), layer, x)
    assert {func._schema.name for func, *_ in training.noted} == {
        "elman::unroll",
        "elman::unroll_backward",
    }
    with torch.no_grad(), Calls() as using:
        _, state = layer(x)
        layer(x, lengths=[6, 2, 0, 5])
        if not getattr(layer, "bidirectional", False):
            layer.step(x[0], state)
            layer.step(x[0], state, inplace=True)
    for calls in (training, using):
        for func, args, kwargs in calls.noted:
            # Backward has no derivative; and where none is wanted, nothing is kept for one.
            trained = calls is training and func._schema.name == "elman::unroll"
            options = {key: unshared(value, trained) for key, value in kwargs.items()}
            # The tracing of gradients is tested above; here, that of what is kept for backward
            # would be compared too, which has gaps that are never read.
            torch.library.opcheck(
                func,
                unshared(args, trained),
                options,
                test_utils=["test_schema", "test_autograd_registration", "test_faketensor"],
            )
