"""What every engine must give: order, lengths, reverse, gradients, and nothing of the padding."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from elman.cells import Cell, GRUCell, LSTMCell, RNNCell
from elman.engines import ENGINES, How, aten, unroll
from elman.errors import InputError

# torch says of each projection that oneDNN has none.
pytestmark = pytest.mark.filterwarnings("ignore:LSTM with projections:UserWarning")

KINDS = {
    "tanh": RNNCell,
    "relu": lambda i, h: RNNCell(i, h, "relu"),
    "gru": GRUCell,
    "gru before": lambda i, h: GRUCell(i, h, reset_after=False),
    "lstm": LSTMCell,
    "lstm proj": lambda i, h: LSTMCell(i, h, proj_size=(h + 1) // 2 if h > 1 else 0),
}


def states(cell, batch, dtype=torch.float64, device="cpu"):
    return tuple(torch.randn(batch, size, dtype=dtype, device=device) for size in cell.state_sizes)


def everything(cell, x, state, **options):
    """Return outputs, final states and every gradient, by name."""
    x = x.detach().clone().requires_grad_()
    state = tuple(part.detach().clone().requires_grad_() for part in state)
    cell.zero_grad()
    y, final = unroll(cell, x, state, **options)
    generator = torch.Generator().manual_seed(0)
    loss = sum(
        (part * torch.randn(part.shape, generator=generator).to(part)).sum() for part in (y, *final)
    )
    loss.backward()
    results = {"y": y, "d_x": x.grad}
    for name, part, initial in zip(cell.state_names, final, state, strict=True):
        results |= {name: part, f"d_{name}": initial.grad}
    results |= {f"d_{name}": parameter.grad for name, parameter in cell.named_parameters()}
    return {name: value.detach().cpu().clone() for name, value in results.items()}


def assert_same(results, expected, tolerance):
    assert results.keys() == expected.keys()
    for name, value in expected.items():
        got = results[name].double()
        scale = max(value.double().abs().max().item(), 1e-30) if value.numel() else 1.0
        error = (got - value.double()).abs().max().item() / scale if value.numel() else 0.0
        assert got.shape == value.shape, name
        assert error <= tolerance, f"{name}: relative error {error}"


def test_two_steps_worked_by_hand():
    # W_ih = [1, -1], W_hh = [[0, 1], [2, 3]], relu, h0 = 0; x = 1, 3:
    #   forward: h1 = relu([1, -1]) = [1, 0], h2 = relu([3 + 0, -3 + 2]) = [3, 0]
    #   reverse: h2 = relu([3, -3]) = [3, 0], h1 = relu([1 + 0, -1 + 6]) = [1, 5]
    cell = RNNCell(1, 2, "relu", bias=False)
    with torch.no_grad():
        cell.weight_ih.copy_(torch.tensor([[1.0], [-1.0]]))
        cell.weight_hh.copy_(torch.tensor([[0.0, 1.0], [2.0, 3.0]]))
    x = torch.tensor([1.0, 3.0]).reshape(2, 1, 1)
    for name in ENGINES:
        if ENGINES[name].refuses(cell, x, How()):
            continue
        y, (h,) = unroll(cell, x, cell.initial_state(1), engine=name)
        assert y[:, 0].tolist() == [[1, 0], [3, 0]]
        assert h.tolist() == [[3, 0]]
        y, (h,) = unroll(cell, x, cell.initial_state(1), reverse=True, engine=name)
        assert y[:, 0].tolist() == [[1, 5], [3, 0]]
        assert h.tolist() == [[1, 5]]


@pytest.mark.parametrize("name", ENGINES)
@pytest.mark.parametrize("kind", KINDS)
@given(
    lengths=st.lists(st.integers(0, 5), min_size=1, max_size=7),
    extra=st.integers(0, 2),
    sizes=st.sampled_from([(1, 1), (3, 1), (1, 13), (4, 5)]),
    reverse=st.booleans(),
)
@settings(max_examples=15, deadline=None)
def test_a_padded_row_is_as_if_run_alone(name, kind, lengths, extra, sizes, reverse):
    torch.manual_seed(len(lengths))
    cell = KINDS[kind](*sizes).double()
    num_steps, batch = max([*lengths, 1]) + extra, len(lengths)
    x = torch.randn(num_steps, batch, sizes[0], dtype=torch.float64)
    for row, length in enumerate(lengths):
        x[length:, row] = torch.nan
    state = states(cell, batch)
    if ENGINES[name].refuses(cell, x, How(reverse=reverse)):
        return
    options = {"reverse": reverse, "engine": name}
    whole = everything(cell, x, state, lengths=torch.tensor(lengths), **options)

    assert all(value.isfinite().all() for value in whole.values())
    for row, length in enumerate(lengths):
        assert (whole["y"][length:, row] == 0).all()
        assert (whole["d_x"][length:, row] == 0).all()
        mine = tuple(part[row : row + 1] for part in state)
        if length == 0:
            final = mine
        else:
            y, final = unroll(cell, x[:length, row : row + 1], mine, **options)
            torch.testing.assert_close(whole["y"][:length, row], y[:, 0], rtol=0, atol=1e-12)
        for state_name, part in zip(cell.state_names, final, strict=True):
            torch.testing.assert_close(whole[state_name][row], part[0], rtol=0, atol=1e-12)


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("lengths", [None, [4, 0, 6, 1, 6, 3, 2], [0] * 7])
@pytest.mark.parametrize("kind", KINDS)
def test_gradients_through_lengths_are_those_of_the_rows(kind, lengths, reverse):
    """Every engine's gradients, against the sum over rows that reference runs one by one."""
    torch.manual_seed(1)
    cell = KINDS[kind](3, 5).double()
    x, state = torch.randn(6, 7, 3, dtype=torch.float64), states(cell, 7)
    options = {"lengths": None if lengths is None else torch.tensor(lengths), "reverse": reverse}

    # The same random weights on the outputs and states as in `everything`, row by row.
    generator = torch.Generator().manual_seed(0)
    weights = [
        torch.randn(*shape, generator=generator).double()
        for shape in ((6, 7, cell.output_size), *((7, size) for size in cell.state_sizes))
    ]
    cell.zero_grad()
    leaf = x.clone().requires_grad_()
    loss = torch.zeros((), dtype=torch.float64)
    for row, length in enumerate(lengths or [6] * 7):
        if length:
            mine = tuple(part[row : row + 1] for part in state)
            row_x = leaf[:length, row : row + 1]
            y, final = unroll(cell, row_x, mine, reverse=reverse, engine="reference")
            loss = loss + (y[:, 0] * weights[0][:length, row]).sum()
            for part, weight in zip(final, weights[1:], strict=True):
                loss = loss + (part[0] * weight[row]).sum()
    if loss.requires_grad:
        loss.backward()
    zeros = torch.zeros(())
    expected = {"d_x": leaf.grad if leaf.grad is not None else zeros.expand_as(x)}
    for name, parameter in cell.named_parameters():
        grad = parameter.grad
        expected[f"d_{name}"] = zeros.expand_as(parameter) if grad is None else grad.clone()

    for name in ENGINES:
        if ENGINES[name].refuses(cell, x, How(**options)):
            continue
        results = everything(cell, x, state, engine=name, **options)
        assert_same({key: results[key] for key in expected}, expected, 1e-12)


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("ragged", [False, True])
@pytest.mark.parametrize(
    "sizes", [(1, 1, 1, 1), (1, 7, 3, 13), (200, 3, 5, 16), (9, 1, 1, 13), (20, 8, 7, 1)]
)
@pytest.mark.parametrize("kind", KINDS)
def test_float32_engines_stay_within_1e_5_of_reference_in_float64(
    kind, sizes, ragged, reverse, device
):
    torch.manual_seed(2)
    num_steps, batch, input_size, hidden_size = sizes
    cell = KINDS[kind](input_size, hidden_size)
    x, state = torch.randn(num_steps, batch, input_size), states(cell, batch, torch.float32)
    lengths = torch.randint(0, num_steps + 1, (batch,)) if ragged else None
    if ragged:
        lengths[0] = num_steps
    options = {"lengths": lengths, "reverse": reverse}
    exact = everything(
        cell.double(), x.double(), tuple(s.double() for s in state), engine="reference", **options
    )
    cell, x, state = cell.float().to(device), x.to(device), tuple(s.to(device) for s in state)
    for name in ENGINES:
        if not ENGINES[name].refuses(cell, x, How(**options)):
            assert_same(everything(cell, x, state, engine=name, **options), exact, 1e-5)


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("lengths", [None, [3, 0, 2]])
@pytest.mark.parametrize("kind", KINDS)
def test_first_and_second_derivatives_of_reference(kind, lengths, reverse):
    # A seed with which no relu's sum is near its kink, where the difference quotient is wrong.
    torch.manual_seed(4)
    cell = KINDS[kind](2, 2 if kind == "lstm proj" else 1).double()
    leaves = [torch.randn(3, 3, 2, dtype=torch.float64), *states(cell, 3)]
    leaves = [leaf.requires_grad_() for leaf in leaves]
    parameters = list(cell.parameters())
    names = [name for name, _ in cell.named_parameters()]
    given = None if lengths is None else torch.tensor(lengths)

    def run(x, *rest):
        state, weights = rest[: len(cell.state_names)], rest[len(cell.state_names) :]
        bound = cell.bind(dict(zip(names, weights, strict=True)))
        y, final = unroll(bound, x, state, lengths=given, reverse=reverse, engine="reference")
        return y, *final

    assert torch.autograd.gradcheck(run, (*leaves, *parameters))
    assert torch.autograd.gradgradcheck(run, (*leaves, *parameters))


@pytest.mark.parametrize("kind", ["tanh", "gru", "lstm"])
def test_atens_second_derivatives_on_a_cpu_are_those_of_reference(kind):
    torch.manual_seed(5)
    results = {}
    cell = KINDS[kind](3, 4)
    x = torch.randn(5, 2, 3, requires_grad=True)
    for name in ("aten", "reference"):
        y, _ = unroll(cell, x, cell.initial_state(2), engine=name)
        (d_x,) = torch.autograd.grad(y.square().sum(), x, create_graph=True)
        results[name] = torch.autograd.grad(d_x.square().sum(), [x, *cell.parameters()])
    torch.testing.assert_close(results["aten"], results["reference"], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("kind", ["tanh", "gru", "lstm", "lstm proj"])
def test_the_packed_kernels_cudnn_gets_give_the_same(kind, reverse, monkeypatch):
    """On a CPU too, where ragged batches do not take them."""
    cell = KINDS[kind](3, 5).double()
    x, state = torch.randn(6, 7, 3, dtype=torch.float64), states(cell, 7)
    options = {"lengths": torch.tensor([4, 0, 6, 1, 6, 3, 2]), "reverse": reverse}
    expected = everything(cell, x, state, engine="aten", **options)
    monkeypatch.setattr(aten, "_call_in_stretches", aten._call)
    assert_same(everything(cell, x, state, engine="aten", **options), expected, 1e-13)


def test_bfloat16_and_autocast_stay_near_float32():
    torch.manual_seed(6)
    for kind in ("tanh", "gru", "lstm", "lstm proj"):
        cell = KINDS[kind](8, 16)
        x, state = torch.randn(12, 4, 8), states(cell, 4, torch.float32)
        lengths = torch.tensor([12, 3, 0, 7])
        for given_lengths in (None, lengths):
            exact, _ = unroll(cell, x, state, lengths=given_lengths)
            for name in ("aten", "reference"):
                with torch.autocast("cpu", torch.bfloat16):
                    y, _ = unroll(cell, x, state, lengths=given_lengths, engine=name)
                y.float().sum().backward()
                assert (y.float() - exact).abs().max() < 0.05, (kind, name)


class Sloppy(Cell):
    """A user's cell whose step returns what it is told to."""

    def __init__(self, result):
        super().__init__(2, 3)
        self.result = result

    def step(self, x_BI, state):
        return self.result(x_BI, state)


@pytest.mark.parametrize(
    ("result", "message"),
    [
        (lambda x, state: (state[0], state[0]), r"state a tuple of tensors \(h,\), got"),
        (lambda x, state: state[0], r"expected \(output, state\)"),
        (lambda x, state: (x, state), r"\[\(4, 3\), \(4, 3\)\], got \[\(4, 2\), \(4, 3\)\]"),
        (lambda x, state: (state[0], (*state, *state)), r"got \[\(4, 3\), \(4, 3\), \(4, 3\)\]"),
        (lambda x, state: (state[0], (state[0][:1],)), r"got \[\(4, 3\), \(1, 3\)\]"),
    ],
)
def test_a_step_that_returns_something_else_is_named(result, message):
    cell = Sloppy(result)
    with pytest.raises(InputError, match=rf"Sloppy\.step: .*{message}"):
        unroll(cell, torch.zeros(5, 4, 2), cell.initial_state(4))
