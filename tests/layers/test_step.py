"""`step`: a stream read one step at a time, in every engine, in place or not."""

import copy
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
from torch import nn
from torch.nn.utils import parametrize

from elman import engines
from elman.cells import Cell, GRUCell, LSTMCell
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


KNOWN = {
    "tanh": lambda *s, **o: RNN(*s, **o),
    "relu": lambda *s, **o: RNN(*s, nonlinearity="relu", **o),
    "gru": lambda *s, **o: GRU(*s, **o),
    "gru before": lambda *s, **o: GRU(*s, reset_after=False, **o),
    "lstm": lambda *s, **o: LSTM(*s, **o),
    "lstm proj": lambda *s, **o: LSTM(*s, proj_size=2, **o),
    "lstm without bias": lambda *s, **o: LSTM(*s, bias=False, **o),
    "recurrent gru": lambda *s, **o: Recurrent(GRUCell(*s), **o),
    "recurrent lstm": lambda *s, **o: Recurrent(LSTMCell(*s, proj_size=2), **o),
}
LAYERS = KNOWN | {"recurrent own": lambda *s, **o: Recurrent(Leaky(*s), **o)}
every_layer = pytest.mark.parametrize("name", LAYERS)
in_place_or_not = pytest.mark.parametrize("inplace", [False, True])


def parts(state):
    return (state,) if isinstance(state, torch.Tensor) else state


def like(state, tensors):
    """Return the tensors as the layer holds its state: bare if there is one."""
    return tensors[0] if isinstance(state, torch.Tensor) else tuple(tensors)


def stream(layer, x, state=None, **options):
    """Return all outputs and the state after the last step."""
    outputs = []
    for x_t in x:
        y_t, state = layer.step(x_t, state, **options)
        outputs.append(y_t.clone())
    return torch.stack(outputs), state


def random_state(layer, batch, dtype=torch.float32):
    """Return a state for this many rows, or for one stream if `batch` is None."""
    size = layer.cells[0].input_size
    x = torch.zeros(1, size, dtype=dtype) if batch is None else torch.zeros(1, batch, size)
    with torch.no_grad():
        _, state = layer(x.to(dtype))
    return like(state, [torch.randn_like(part) for part in parts(state)])


def clone(state):
    return like(state, [part.clone() for part in parts(state)])


@in_place_or_not
@pytest.mark.parametrize("batch", [None, 1, 4, 33])
@pytest.mark.parametrize("num_layers", [1, 3])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@every_layer
def test_steps_give_what_forward_gives_on_the_whole(name, dtype, num_layers, batch, inplace):
    layer = LAYERS[name](5, 21, num_layers=num_layers).to(dtype)
    x = torch.randn(7, 5) if batch is None else torch.randn(7, batch, 5)
    x, tolerance = x.to(dtype), 1e-6 if dtype == torch.float32 else 1e-13
    with torch.no_grad():
        for start in (None, random_state(layer, batch, dtype)):
            expected = layer(x, start)
            given = start if start is None else clone(start)
            torch.testing.assert_close(
                stream(layer, x, given, inplace=inplace), expected, rtol=tolerance, atol=tolerance
            )
            if start is not None and not inplace:
                torch.testing.assert_close(given, start, rtol=0, atol=0)


@pytest.mark.parametrize("context", [torch.no_grad, torch.inference_mode])
@pytest.mark.parametrize("batch", [None, 1, 4])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@every_layer
def test_in_place_overwrites_the_state_given_and_returns_it(name, dtype, batch, context):
    layer = LAYERS[name](5, 21, num_layers=2).to(dtype)
    x = (torch.randn(7, 5) if batch is None else torch.randn(7, batch, 5)).to(dtype)
    with context():
        start = random_state(layer, batch, dtype)
        state = clone(start)
        pointers = [part.data_ptr() for part in parts(state)]
        expected = start
        for x_t in x:
            y_expected, expected = layer.step(x_t, expected)
            y, new = layer.step(x_t, state, inplace=True)
            torch.testing.assert_close(y, y_expected, rtol=0, atol=0)
            torch.testing.assert_close(new, expected, rtol=0, atol=0)
            assert all(a is b for a, b in zip(parts(new), parts(state), strict=True))
        assert [part.data_ptr() for part in parts(state)] == pointers


@every_layer
def test_what_is_done_to_an_output_leaves_the_stream_alone(name):
    """As in y.relu_(); unless the step was in place, where the output may be part of the state."""
    layer, x = LAYERS[name](5, 21), torch.randn(7, 5)
    with torch.no_grad():
        state, expected = None, layer(x)[0]
        for x_t, wanted in zip(x, expected, strict=True):
            y, state = layer.step(x_t, state)
            torch.testing.assert_close(y, wanted, rtol=1e-6, atol=1e-6)
            y.fill_(torch.nan)


@every_layer
def test_plain_steps_return_tensors_of_their_own(name):
    """A beam search keeps old states and goes on from several."""
    layer, x = LAYERS[name](5, 21, num_layers=2), torch.randn(2, 5)
    with torch.no_grad():
        first = layer.step(x[0])
        kept = copy.deepcopy(first)
        second = layer.step(x[1], first[1])
        again = layer.step(x[1], first[1])
    torch.testing.assert_close(first, kept, rtol=0, atol=0)
    torch.testing.assert_close(second, again, rtol=0, atol=0)
    pointers = [t.data_ptr() for y, state in (first, second, again) for t in (y, *parts(state))]
    assert len(set(pointers)) == len(pointers)


def drawn_like(tensor):
    """Return other weights, small enough that a relu's sums do not explode."""
    return torch.randn_like(tensor) * 0.3


def by_optimizer(layer):
    for parameter in layer.parameters():
        parameter.grad = torch.ones_like(parameter)
    torch.optim.SGD(layer.parameters(), lr=0.1).step()
    layer.zero_grad()


def by_loading(layer, **options):
    drawn = {key: drawn_like(value) for key, value in layer.state_dict().items()}
    layer.load_state_dict(drawn, **options)


def by_data(layer):
    for parameter in layer.parameters():
        parameter.data.copy_(drawn_like(parameter))


def by_one_element(layer):
    """A change that no sample of a few elements would notice."""
    *_, parameter = (p for p in layer.parameters() if p.dim() == 2)
    parameter.data[-1, -1] += 5


def by_new_data(layer):
    for parameter in layer.parameters():
        parameter.data = drawn_like(parameter)


def by_numpy(layer):
    for parameter in layer.parameters():
        parameter.detach().numpy()[...] += 0.25


def by_new_parameters(layer):
    for module in layer.modules():
        for key, parameter in list(module._parameters.items()):
            if parameter is not None:
                setattr(module, key, nn.Parameter(drawn_like(parameter)))


def by_parametrizing(layer):
    class Half(nn.Module):
        def forward(self, weight):
            return weight / 2

    owner = next(module for module in layer.modules() if module._parameters)
    parametrize.register_parametrization(owner, next(iter(owner._parameters)), Half())


CHANGES = {
    "an optimizer's step": by_optimizer,
    "load_state_dict": by_loading,
    "load_state_dict, assigned": lambda layer: by_loading(layer, assign=True),
    "no_grad": lambda layer: [
        nn.init.normal_(parameter, 0, 0.3) for parameter in layer.parameters()
    ],
    ".data.copy_": by_data,
    ".data, one element": by_one_element,
    ".data =": by_new_data,
    "numpy": by_numpy,
    "new parameters": by_new_parameters,
    "a parametrization": by_parametrizing,
}


@in_place_or_not
@pytest.mark.parametrize("change", CHANGES)
@every_layer
def test_changed_weights_are_seen_at_the_next_step(name, change, inplace):
    layer, x = LAYERS[name](5, 21, num_layers=2), torch.randn(3, 4, 5)
    with torch.no_grad():
        _, state = stream(layer, x, inplace=inplace)
        start = clone(state)
        before = layer.step(x[0], clone(start), inplace=inplace)[0].clone()
    CHANGES[change](layer)
    with torch.no_grad():
        got = stream(layer, x, state, inplace=inplace)
        with engines.engine("reference"):
            expected = layer(x, start)
        torch.testing.assert_close(got, expected, rtol=1e-5, atol=1e-6)
        torch.testing.assert_close(layer(x, start), expected, rtol=1e-5, atol=1e-6)
    assert not torch.allclose(got[0][0], before, rtol=1e-3)


@in_place_or_not
def test_a_new_layer_where_an_old_one_lay(inplace):
    """What is kept for a layer must not be found again by its address."""
    x = torch.randn(2, 4, 5)
    for _ in range(30):
        layer = LSTM(5, 21)
        with torch.no_grad():
            got = stream(layer, x, inplace=inplace)
            with engines.engine("reference"):
                expected = layer(x)
        torch.testing.assert_close(got, expected, rtol=1e-5, atol=1e-6)
        del layer


@in_place_or_not
@every_layer
def test_copies_step_on_their_own(name, inplace):
    layer, x = LAYERS[name](5, 21), torch.randn(3, 4, 5)
    with torch.no_grad():
        expected, _ = stream(layer, x, inplace=inplace)
        other = copy.deepcopy(layer)
        for parameter in other.parameters():
            parameter.zero_()
        zeros, _ = stream(other, x, inplace=inplace)
        again, _ = stream(layer, x, inplace=inplace)
    assert torch.equal(again, expected)
    assert not torch.allclose(zeros, expected)


@every_layer
def test_gradients_flow_where_they_are_wanted(name):
    """Through every step, as through forward on the whole."""
    layer = LAYERS[name](3, 5, num_layers=2)
    x, start = torch.randn(6, 4, 3, requires_grad=True), random_state(layer, 4)
    hx = tuple(part.requires_grad_() for part in parts(start))
    leaves = [x, *hx, *layer.parameters()]
    found = {}
    for run in (stream, lambda layer, x, state: layer(x, state)):
        y, state = run(layer, x, like(start, hx))
        loss = y.square().sum() + sum(part.sum() for part in parts(state))
        found[run] = torch.autograd.grad(loss, leaves)
    for got, expected in zip(*found.values(), strict=True):
        torch.testing.assert_close(got, expected, rtol=1e-4, atol=1e-5)


@every_layer
def test_no_graph_where_none_is_wanted(name):
    layer, x = LAYERS[name](3, 5), torch.randn(4, 3)
    with torch.no_grad():
        y, state = layer.step(x)
    assert not any(part.requires_grad for part in (y, *parts(state)))
    with torch.inference_mode():
        y, state = layer.step(x, state)
    assert not any(part.requires_grad for part in (y, *parts(state)))
    layer.requires_grad_(False)
    y, _ = layer.step(x)
    assert not y.requires_grad
    y, _ = layer.step(x.requires_grad_())
    assert y.requires_grad


def test_in_place_where_gradients_are_wanted_is_right_or_refused():
    layer, x = LSTM(3, 5), torch.randn(6, 4, 3)
    expected = torch.autograd.grad(layer(x)[0].sum(), list(layer.parameters()))
    state, total = (torch.zeros(1, 4, 5), torch.zeros(1, 4, 5)), torch.zeros(())
    try:
        for x_t in x:
            y, state = layer.step(x_t, state, inplace=True)
            total = total + y.sum()
        results = torch.autograd.grad(total, list(layer.parameters()))
    except (InputError, RuntimeError):
        return
    torch.testing.assert_close(results, expected, rtol=1e-4, atol=1e-5)


def test_in_place_is_seen_by_autograd():
    """A graph that kept the state must not go on with what was written over it."""
    layer, weight = GRU(3, 5), torch.ones(5, requires_grad=True)
    h = torch.randn(1, 4, 5)
    loss = (weight * h).sum()
    with torch.no_grad():
        layer.step(torch.randn(4, 3), h, inplace=True)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        loss.backward()


@pytest.mark.parametrize("name", KNOWN)
def test_without_gradients_it_is_the_native_engine(name):
    reason = engines.available_engines().get("native", "this tree has no such engine")
    if reason is not None:
        pytest.skip(f"no native engine: {reason}")
    layer, x = KNOWN[name](3, 5), torch.randn(4, 3)
    with engines.record() as names:
        for context in (torch.no_grad, torch.inference_mode):
            for inplace in (False, True):
                with context():
                    _, state = layer.step(x)
                    layer.step(x, state, inplace=inplace)
                    layer.step(x[0], inplace=inplace)
    assert names == {"native"}


@in_place_or_not
@every_layer
def test_the_engine_forced_is_the_one_that_runs(name, inplace):
    layer, x = LAYERS[name](3, 5), torch.randn(4, 3)
    with torch.no_grad(), engines.record() as names, engines.engine("reference"):
        _, state = layer.step(x, inplace=inplace)
        layer.step(x, state, inplace=inplace)
    assert names == {"reference"}
    with torch.no_grad(), engines.engine("aten"):
        if name in ("gru before", "recurrent own"):
            with pytest.raises(InputError, match="engine 'aten' cannot run this"):
                layer.step(x, inplace=inplace)
        else:
            layer.step(x, inplace=inplace)


@in_place_or_not
def test_autocast_steps_in_its_own_dtype(inplace):
    layer, x = LSTM(3, 5), torch.randn(4, 3)
    with torch.no_grad():
        exact, _ = layer.step(x)
        with torch.autocast("cpu", torch.bfloat16):
            y, state = layer.step(x, inplace=inplace)
            layer.step(x, state)
    assert (y.float() - exact).abs().max() < 0.05


@in_place_or_not
@every_layer
def test_input_and_state_however_they_lie_in_memory(name, inplace):
    layer, batch_first = LAYERS[name](3, 5, num_layers=2), torch.randn(4, 7, 6)[..., ::2]
    with torch.no_grad():
        expected = layer(batch_first.transpose(0, 1))
        torch.testing.assert_close(
            stream(layer, batch_first.transpose(0, 1), inplace=inplace), expected
        )
        start = random_state(layer, 4)
        expected = layer(batch_first[:, :1].transpose(0, 1).contiguous(), start)[1]
        for lay_out in (
            lambda part: part.transpose(0, 2).contiguous().transpose(0, 2),
            lambda part: torch.cat([part, part], dim=2)[..., : part.shape[2]],
            lambda part: torch.cat([part.new_zeros(1), part.flatten()])[1:].view(part.shape),
        ):
            state = like(start, [lay_out(part) for part in parts(start)])
            _, new = layer.step(batch_first[:, 0], state, inplace=inplace)
            torch.testing.assert_close(new, expected)
            if inplace:
                torch.testing.assert_close(state, expected)


def test_one_state_for_all_rows_cannot_be_overwritten():
    layer, h = GRU(3, 5), torch.zeros(1, 1, 5).expand(1, 4, 5)
    with torch.no_grad():
        torch.testing.assert_close(layer.step(torch.ones(4, 3), h), layer.step(torch.ones(4, 3)))
        with pytest.raises((InputError, RuntimeError)):
            layer.step(torch.ones(4, 3), h, inplace=True)
    assert (h == 0).all()


def test_one_tensor_as_both_states_cannot_be_overwritten():
    """The h and the c of an LSTM, given as the same zeros."""
    layer, zeros, x = LSTM(3, 5), torch.zeros(1, 4, 5), torch.randn(4, 3)
    with torch.no_grad():
        torch.testing.assert_close(layer.step(x, (zeros, zeros)), layer.step(x))
        assert (zeros == 0).all()
        with pytest.raises((InputError, RuntimeError)):
            layer.step(x, (zeros, zeros), inplace=True)


@in_place_or_not
def test_dropout_acts_between_layers_in_training_only(inplace):
    layer, x = LSTM(3, 5, num_layers=2, dropout=1.0), torch.randn(4, 3)
    with torch.no_grad():
        y, _ = layer.step(x, inplace=inplace)
        _, (h, _) = layer(x.unsqueeze(0))
        torch.testing.assert_close(y, h[1])
        layer.eval()
        torch.testing.assert_close(layer.step(x, inplace=inplace)[0], layer(x.unsqueeze(0))[0][0])
    assert not torch.allclose(layer.step(x)[0], y)


@every_layer
def test_a_batch_of_no_rows(name):
    layer = LAYERS[name](3, 5)
    with torch.no_grad():
        for inplace in (False, True):
            y, state = layer.step(torch.zeros(0, 3), inplace=inplace)
            assert y.shape == (0, parts(state)[0].shape[-1])
            assert all(part.shape[:2] == (1, 0) for part in parts(state))


@in_place_or_not
def test_the_batch_may_change_from_call_to_call(inplace):
    layer, x = LSTM(3, 21), torch.randn(40, 3)
    with torch.no_grad():
        expected, _ = layer(x.unsqueeze(0))
        for rows in (1, 40, 3, 17, 1):
            y, _ = layer.step(x[:rows], inplace=inplace)
            torch.testing.assert_close(y, expected[0, :rows], rtol=1e-6, atol=1e-6)
            y, _ = layer.step(x[0], inplace=inplace)
            torch.testing.assert_close(y, expected[0, 0], rtol=1e-6, atol=1e-6)


@in_place_or_not
@every_layer
def test_several_python_threads_step_one_layer(name, inplace):
    """Each its own stream; in place, the output may be another's by the time it is read."""
    layer, x = LAYERS[name](5, 21, num_layers=2), torch.randn(4, 40, 3, 5)
    with torch.no_grad():
        expected = [stream(layer, mine) for mine in x]
    start = threading.Barrier(4)

    def work(number):
        start.wait()
        with torch.no_grad():
            return [stream(layer, x[number], inplace=inplace) for _ in range(3)]

    with ThreadPoolExecutor(4) as pool:
        for wanted, runs in zip(expected, pool.map(work, range(4)), strict=True):
            for y, state in runs:
                torch.testing.assert_close(state, wanted[1], rtol=1e-6, atol=1e-6)
                if not inplace:
                    torch.testing.assert_close(y, wanted[0], rtol=1e-6, atol=1e-6)


X, H = torch.zeros(4, 3), torch.zeros(1, 4, 5)


@in_place_or_not
@pytest.mark.parametrize("mode", [torch.no_grad, torch.enable_grad])
@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda **o: RNN(3, 5).step(torch.zeros(4, 2), **o), "expected 3 features"),
        (lambda **o: RNN(3, 5).step(torch.zeros(2), **o), "expected 3 features"),
        (lambda **o: RNN(3, 5).step(torch.zeros(()), **o), r"got \(\)"),
        (lambda **o: RNN(3, 5).step(torch.zeros(1, 4, 3), **o), r"got \(1, 4, 3\)"),
        (lambda **o: RNN(3, 5).step(X.double(), **o), "torch.float64.* torch.float32"),
        (lambda **o: RNN(3, 5).double().step(X, **o), "torch.float32.* torch.float64"),
        (lambda **o: RNN(3, 5).step(X.long(), **o), "torch.int64"),
        (lambda **o: RNN(3, 5).step(X.to("meta"), **o), "on meta"),
        (lambda **o: GRU(3, 5).step(X, H[:, :3], **o), r"expected shape \(1, 4, 5\).*\(1, 3, 5\)"),
        (lambda **o: GRU(3, 5).step(X, H[..., :4], **o), r"expected shape \(1, 4, 5\)"),
        (lambda **o: GRU(3, 5).step(X, H[0], **o), r"expected shape \(1, 4, 5\) .* got \(4, 5\)"),
        (lambda **o: GRU(3, 5).step(X[0], H, **o), r"expected shape \(1, 5\)"),
        (lambda **o: GRU(3, 5, 2).step(X, H, **o), r"expected shape \(2, 4, 5\)"),
        (lambda **o: GRU(3, 5).step(X, (H,), **o), r"expected a tensor, got \(Tensor\)"),
        (lambda **o: GRU(3, 5).step(X, [H], **o), r"expected a tensor, got \(Tensor\)"),
        (lambda **o: GRU(3, 5).step(X, H.numpy(), **o), "expected a tensor, got ndarray"),
        (lambda **o: GRU(3, 5).step(X, H.double(), **o), "hx.*torch.float64"),
        (lambda **o: GRU(3, 5).step(X, H.long(), **o), "hx.*torch.int64"),
        (lambda **o: GRU(3, 5).step(X, H.to("meta"), **o), "hx.*meta"),
        (lambda **o: LSTM(3, 5).step(X, H, **o), r"a tuple of tensors \(h, c\), got Tensor"),
        (lambda **o: LSTM(3, 5).step(X, (H,), **o), r"a tuple of tensors \(h, c\), got"),
        (lambda **o: LSTM(3, 5).step(X, (H, None), **o), r"got \(Tensor, NoneType\)"),
        (lambda **o: LSTM(3, 5).step(X, (H, H.double()), **o), r"hx \(c\).*torch.float64"),
        (lambda **o: LSTM(3, 5, proj_size=2).step(X, (H, H), **o), r"hx \(h\).*\(1, 4, 2\)"),
        (lambda **o: RNN(3, 5, bidirectional=True).step(X, **o), "a bidirectional layer"),
    ],
)
def test_what_does_not_fit_is_refused(call, message, mode, inplace):
    with mode(), pytest.raises(InputError, match=message):
        call(inplace=inplace)


def test_a_layer_moved_to_float64_steps_there_and_back():
    layer, x = LSTM(3, 5, num_layers=2), torch.randn(6, 4, 3)
    with torch.no_grad():
        single = stream(layer, x)
        layer.double()
        y, state = stream(layer, x.double(), inplace=True)
        assert y.dtype == state[0].dtype == torch.float64
        torch.testing.assert_close(y.float(), single[0], rtol=1e-5, atol=1e-6)
        layer.float()
        torch.testing.assert_close(stream(layer, x), single, rtol=0, atol=0)
