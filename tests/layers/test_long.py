"""MinGRU, MinLSTM, LRU and IndRNN as layers: streams, lengths, both directions, in networks."""

import pytest
import torch

import elman
from elman import engines, networks
from elman.layers import LRU, IndRNN, MinGRU, MinLSTM
from elman.networks.options import NetworkOptions

LAYERS = {"mingru": MinGRU, "minlstm": MinLSTM, "lru": LRU, "indrnn": IndRNN}


@pytest.mark.parametrize("batch_first", [False, True])
@pytest.mark.parametrize("name", LAYERS)
def test_step_by_step_is_forward(name, batch_first):
    layer = LAYERS[name](3, 7, num_layers=2, batch_first=batch_first)
    x_TBI, state = torch.randn(9, 4, 3), None
    with torch.no_grad():
        y, last = layer(x_TBI.transpose(0, 1) if batch_first else x_TBI)
        steps = []
        for x_BI in x_TBI:
            y_BH, state = layer.step(x_BI, state)
            steps.append(y_BH)
    y = y.transpose(0, 1) if batch_first else y
    torch.testing.assert_close(torch.stack(steps), y, rtol=0, atol=2e-6)
    torch.testing.assert_close(state, last, rtol=0, atol=2e-6)
    assert last.shape == (2, 4, 14 if name == "lru" else 7)


@pytest.mark.parametrize("name", LAYERS)
def test_rows_are_as_if_run_alone_in_both_directions(name):
    layer = LAYERS[name](3, 5, num_layers=2, bidirectional=True).double()
    x = torch.randn(8, 3, 3, dtype=torch.float64)
    lengths = [8, 0, 3]
    y, last = layer(x, lengths=lengths)
    assert y.shape == (8, 3, 10)
    for row in (0, 2):
        alone, end = layer(x[: lengths[row], row])
        torch.testing.assert_close(y[: lengths[row], row], alone)
        torch.testing.assert_close(last[:, row], end)
        assert not y[lengths[row] :, row].any()
    assert not y[:, 1].any()
    assert not last[:, 1].any()


@pytest.mark.parametrize("name", LAYERS)
def test_a_state_dict_goes_into_another_and_dtype_and_memory_change_nothing(name):
    first = LAYERS[name](3, 5, num_layers=2)
    second = LAYERS[name](3, 5, num_layers=2, memory="recompute")
    second.load_state_dict(first.state_dict())
    x = torch.randn(30, 2, 3)
    results = []
    for layer in (first, second, LAYERS[name](3, 5, num_layers=2, dtype=torch.float64)):
        layer.load_state_dict(first.state_dict())
        here = x.to(next(layer.parameters()).dtype, copy=True).requires_grad_()
        y, _ = layer(here)
        y.square().sum().backward()
        results.append((y.detach().double(), here.grad.double()))
    for other in results[1:]:
        torch.testing.assert_close(other, results[0], rtol=1e-4, atol=1e-5)


def test_options_reach_every_cell():
    assert [cell.chrono for cell in MinGRU(2, 3, 2, chrono=9).cells] == [9, 9]
    assert [cell.chrono for cell in MinLSTM(2, 3, 2, bidirectional=True, chrono=9).cells] == [9] * 4
    assert [cell.nonlinearity for cell in IndRNN(2, 3, 2, "tanh").cells] == ["tanh"] * 2
    for cell in LRU(2, 3, 2, r_min=0.5, r_max=0.6, max_phase=1.0, glu=False).cells:
        assert (cell.r_min, cell.r_max, cell.max_phase, cell.glu) == (0.5, 0.6, 1.0, False)
    for layer in (MinGRU(2, 3, bias=False), MinLSTM(2, 3, bias=False), IndRNN(2, 3, bias=False)):
        assert layer.cells[0].bias_ih is None
        assert (layer.input_size, layer.hidden_size) == (2, 3)
        layer(torch.zeros(4, 1, 2))


@pytest.mark.parametrize("name", ["mingru", "lru"])
def test_torch_compile(name):
    """Compiled, in the native engine as one operator, and in the scan outside the graph."""
    layer = LAYERS[name](2, 4)
    x = torch.randn(60, 2, 2)
    expected = layer(x)[0]
    for engine in ("native", "scan"):
        if engines.available_engines()[engine] is not None:
            continue
        torch._dynamo.reset()
        with elman.engine(engine):
            y = torch.compile(layer, backend="eager")(x)[0]
        torch.testing.assert_close(y, expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize("bidirectional", [False, True])
@pytest.mark.parametrize("pooling", ["last", "mean"])
@pytest.mark.parametrize("name", LAYERS)
def test_networks_answer_from_the_last_output(name, pooling, bidirectional):
    torch.manual_seed(1)
    options = NetworkOptions(cell=name, hidden=5, pooling=pooling, bidirectional=bidirectional)
    network = networks.build("seq-to-vector", options, 3, 2)
    x = torch.randn(4, 6, 3)
    y = network(x, [6, 2, 1, 0])
    hidden, _ = network.recurrent(x, lengths=[6, 2, 1, 0])
    if pooling == "last":
        # Forwards at the last real step, backwards at the first.
        last = torch.stack([hidden[row, max(n - 1, 0)] for row, n in enumerate([6, 2, 1, 0])])
        last[:, 5:] = hidden[:, 0, 5:]
        torch.testing.assert_close(y, network.head(last))
    alone = network(x[1:2, :2])
    torch.testing.assert_close(y[1:2], alone, rtol=0, atol=1e-6)


@pytest.mark.parametrize("name", LAYERS)
def test_a_decoder_writes_step_by_step_what_it_writes_at_once(name):
    torch.manual_seed(2)
    options = type("Options", (), {})()
    for key, value in {
        **NetworkOptions(cell=name, hidden=6, layers=2).model_dump(),
        "attention": "none", "input_feeding": False, "tied": False,
    }.items():  # fmt: skip
        setattr(options, key, value)
    decoder = networks.token_decoder(options, 9, 4).eval()
    tokens = torch.randint(0, 9, (3, 7))
    with torch.no_grad():
        whole, end = decoder(tokens, decoder.begin(batch=3))
        state = decoder.begin(batch=3)
        for step in range(7):
            y, state = decoder.step(tokens[:, step], state)
            torch.testing.assert_close(y, whole.view(3, 7, -1)[:, step], rtol=0, atol=1e-5)
    torch.testing.assert_close(state.recurrent[0], end.recurrent[0], rtol=0, atol=1e-5)
