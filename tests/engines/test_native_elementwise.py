"""The native kernels of minGRU, minLSTM, IndRNN and LRU against `reference` in float64, by name.

The tests with `core` in their names are run again under each instruction set, by
test_native_isa.py. Shapes: T time, B batch, I input features, H hidden units.
"""

import itertools
import random

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from elman import engines
from elman.cells import IndRNNCell, LRUCell, MinGRUCell, MinLSTMCell
from elman.engines import native as native_engine
from elman.errors import InputError

KINDS = {
    "mingru": MinGRUCell,
    "minlstm": MinLSTMCell,
    "indrnn": IndRNNCell,
    "indrnn tanh": lambda i, h: IndRNNCell(i, h, "tanh"),
    "lru": LRUCell,
    "lru without glu": lambda i, h: LRUCell(i, h, 0.0, 0.9, 6.28, glu=False),
}
FACTORS = {
    "kind": list(KINDS),
    # (B, T, I, H): ones, odd sizes, more units than a vector.
    "sizes": [(1, 1, 1, 1), (7, 5, 13, 50), (3, 90, 2, 7), (5, 17, 4, 16), (2, 60, 3, 65)],
    "reverse": [False, True],
    "lengths": [None, "ragged", "empty"],
    "zoneout": [None, "binary", "fractional"],
    "loss": ["y", "last", "y and last"],
    "memory": ["time first", "batch first", "strided"],
    "keep": ["all", "recompute", "sqrt"],
}
CASES = [
    {name: draw.choice(values) for name, values in FACTORS.items()} | {"kind": kind}
    for kind, seed in itertools.product(KINDS, range(14))
    for draw in [random.Random(f"{kind} {seed}")]
]


def everything(cell, x, h, loss, **options):
    """Return outputs, the final state and every gradient, by name."""
    x, h = x.detach().requires_grad_(), h.detach().clone().requires_grad_()
    cell.zero_grad()
    y, (last,) = engines.unroll(cell, x, (h,), **options)
    generator = torch.Generator().manual_seed(0)
    parts = {"y": y, "last": last}
    weights = {n: torch.randn(p.shape, generator=generator) for n, p in parts.items()}
    sum((parts[name] * weights[name].to(y)).sum() for name in loss.split(" and ")).backward()
    found = parts | {"d_x": x.grad, "d_h": h.grad}
    found |= {f"d_{name}": p.grad for name, p in cell.named_parameters()}
    return {name: None if v is None else v.detach().clone() for name, v in found.items()}


def lay_out(x, memory):
    if memory == "batch first":
        return x.transpose(0, 1).contiguous().transpose(0, 1)
    if memory == "strided":
        return torch.stack([x, torch.full_like(x, torch.nan)], dim=-1)[..., 0]
    return x.clone()


@pytest.mark.parametrize("case", CASES, ids=[f"{n}-{c['kind']}" for n, c in enumerate(CASES)])
def test_core_agrees_with_reference(native, case):
    # A seed with which the only gradient of a case with one number is no difference of large ones.
    torch.manual_seed(100 + CASES.index(case))
    batch, num_steps, input_size, hidden_size = case["sizes"]
    cell = KINDS[case["kind"]](input_size, hidden_size)
    if "indrnn" in case["kind"]:
        # Near 1, the sum of 700 inputs: where tanh is flat no digits are left of its derivative.
        cell.weight_hh.data.uniform_(-0.95, 0.95)
    (size,) = cell.state_sizes
    x, h = torch.randn(num_steps, batch, input_size), torch.randn(batch, size)
    options = {"reverse": case["reverse"]}
    if case["lengths"] is not None:
        lengths = torch.randint(0, num_steps + 1, (batch,)) * (case["lengths"] == "ragged")
        x[torch.arange(num_steps).unsqueeze(1) >= lengths] = torch.nan
        options["lengths"] = lengths
    mask = torch.rand(num_steps, batch, size)
    mask = (mask < 0.3).float() if case["zoneout"] == "binary" else mask
    zone, zone64 = (None, None) if case["zoneout"] is None else ((mask,), (mask.double(),))
    exact = everything(
        cell.double(), x.double(), h.double(), case["loss"], zoneout=zone64, engine="reference",
        **options,
    )  # fmt: skip
    found = everything(
        cell.float(), lay_out(x, case["memory"]), h, case["loss"], zoneout=zone, engine="native",
        memory=case["keep"], **options,
    )  # fmt: skip
    assert found.keys() == exact.keys()
    for name, value in exact.items():
        if value is None:
            assert found[name] is None or not found[name].any(), name
            continue
        got = found[name].double()
        assert got.shape == value.shape, name
        assert got.isfinite().all(), name
        scale = max(value.abs().max().item(), 1e-30)
        assert (got - value).abs().max().item() <= 1e-5 * scale, name


@pytest.mark.parametrize("kind", KINDS)
def test_core_a_number_does_not_depend_on_threads_or_layout(native, kind):
    """Sums given, all that follows is the same bits: work is parted by units, never along time."""
    torch.manual_seed(1)
    cell = KINDS[kind](4, 50)
    (size,) = cell.state_sizes
    x = torch.randn(150, 9, 4)
    h, lengths = torch.randn(9, size), torch.randint(0, 151, (9,))
    results = {}
    for threads in (1, 2, 3, 5):
        for memory in ("time first", "batch first"):
            with native_engine.using_threads(threads):
                found = everything(
                    cell, lay_out(x, memory), h, "y and last", lengths=lengths, engine="native"
                )
            for name, value in found.items():
                first = results.setdefault((memory, name), value)
                assert torch.equal(value, first), (threads, memory, name)
    for name in ("y", "last"):
        assert torch.equal(results["time first", name], results["batch first", name])


@pytest.mark.parametrize("kind", KINDS)
def test_core_nan_and_extreme_sums(native, kind):
    """A NaN spreads over its row from its step on; gates far out are shut or open."""
    torch.manual_seed(2)
    cell = KINDS[kind](1, 20)
    (size,) = cell.state_sizes
    x, h = torch.randn(6, 3, 1), torch.randn(3, size)
    x[2, 1] = torch.nan
    y, (last,) = engines.unroll(cell, x, (h,), engine="native")
    assert y[2:, 1].isnan().all()
    assert last[1].isnan().all()
    assert y[:, [0, 2]].isfinite().all()
    assert y[:2].isfinite().all()
    for value in (300.0, -300.0):
        x = torch.full((3, 3, 1), value)
        exact, _ = engines.unroll(cell.double(), x.double(), (h.double(),), engine="reference")
        y, _ = engines.unroll(cell.float(), x, (h,), engine="native")
        scale = exact.abs().max().item()
        torch.testing.assert_close(y.double(), exact, rtol=0, atol=1e-5 * scale)


def test_core_both_gates_of_a_minlstm_shut(native):
    """f / (f + i) would be 0 / 0; their logarithms' difference decides."""
    cell = MinLSTMCell(1, 1)
    with torch.no_grad():
        cell.weight_ih.copy_(torch.tensor([[-1.0], [-1.01], [0.0]]))
        cell.bias_ih.copy_(torch.tensor([0.0, 0.0, 3.0]))
    x = torch.tensor([50.0, 100.0, 200.0, 1000.0]).reshape(4, 1, 1)
    exact = everything(cell.double(), x.double(), torch.ones(1, 1).double(), "y", engine="scan")
    found = everything(cell.float(), x, torch.ones(1, 1), "y", engine="native")
    for name in ("y", "d_x", "d_weight_ih", "d_bias_ih"):
        torch.testing.assert_close(found[name].double(), exact[name], rtol=2e-5, atol=1e-9)


@pytest.mark.parametrize("kind", KINDS)
def test_no_rows(native, kind):
    cell = KINDS[kind](3, 4)
    (size,) = cell.state_sizes
    found = everything(cell, torch.zeros(5, 0, 3), torch.zeros(0, size), "y", engine="native")
    assert found["y"].shape == (5, 0, 4)
    assert not found["d_weight_ih"].any()


def test_long_sequences(native):
    torch.manual_seed(3)
    for kind in ("mingru", "minlstm", "indrnn", "lru"):
        cell = KINDS[kind](1, 3)
        (size,) = cell.state_sizes
        x, h = torch.randn(30_000, 1, 1), torch.zeros(1, size)
        engine = "reference" if kind == "indrnn" else "scan"
        if kind == "indrnn":
            x = x[:3000]
            cell.weight_hh.data.uniform_(0.99, 1)
        exact = everything(cell.double(), x.double(), h.double(), "y", engine=engine)
        found = everything(cell.float(), x, h, "y", engine="native")
        for name, value in exact.items():
            error = (found[name].double() - value).abs().max() / value.abs().max()
            assert error < 5e-5, (kind, name, error)


@pytest.mark.parametrize("kind", KINDS)
def test_the_operator_a_compiler_sees(native, kind):
    """Its shapes are those of what it gives, and it gives what the plain call does."""
    torch.manual_seed(4)
    cell = KINDS[kind](3, 5)
    (size,) = cell.state_sizes
    x, h = torch.randn(7, 2, 3), torch.randn(2, size)

    class Names(TorchDispatchMode):
        def __init__(self):
            super().__init__()
            self.names = set()

        def __torch_dispatch__(self, func, types, args=(), kwargs=None):
            self.names.add(func.name())
            return func(*args, **(kwargs or {}))

    plain = everything(cell, x, h, "y and last", engine="native")
    with Names() as names:
        traced = everything(cell, x, h, "y and last", engine="native")
    assert {"elman::elementwise", "elman::elementwise_backward"} <= names.names
    for name, value in plain.items():
        assert torch.equal(traced[name], value), name
    sums = {"mingru": 2, "minlstm": 3, "indrnn": 1, "indrnn tanh": 1}.get(kind, 2)
    weights = {"mingru": None, "minlstm": None, "indrnn": 1, "indrnn tanh": 1}.get(kind, 2)
    weights = None if weights is None else torch.randn(weights, 5, requires_grad=True)
    number = {"mingru": 0, "minlstm": 1, "indrnn tanh": 2, "indrnn": 3}.get(kind, 4)
    call = (torch.randn(7, 2, sums * 5, requires_grad=True), h.requires_grad_(), weights)
    torch.library.opcheck(
        torch.ops.elman.elementwise, (*call, None, None, number, False, 1, False)
    )  # fmt: skip


def test_a_second_derivative_raises_and_names_the_scan(native):
    cell, x = MinGRUCell(2, 3), torch.randn(4, 1, 2, requires_grad=True)
    y, _ = engines.unroll(cell, x, cell.initial_state(1), engine="native")
    (d_x,) = torch.autograd.grad(y.square().sum(), x, create_graph=True)
    with pytest.raises(InputError, match=r"no second derivative; .* elman.engine\('scan'\)"):
        d_x.sum().backward()


def test_what_goes_to_it_and_what_does_not(native):
    cell, x = MinGRUCell(2, 3), torch.zeros(4, 1, 2)
    assert engines.choose(cell, x) == "native"
    assert engines.choose(cell.double(), x.double()) == "scan"
    assert engines.choose(IndRNNCell(2, 3).double(), x.double()) == "reference"

    class Halved(MinGRUCell):
        def coefficients(self, x):
            a, b = super().coefficients(x)
            return a / 2, b

    assert engines.choose(Halved(2, 3), x) == "scan"


@pytest.mark.parametrize(
    ("index", "part", "message"),
    [
        (0, torch.zeros(4, 2, 7), "sums: expected 3 axes, the last a multiple of 2"),
        (0, torch.zeros(4, 2, 6, dtype=torch.float64), "sums: expected a dense float32"),
        (1, torch.zeros(1, 3), "weights: expected for this kind, or not"),
        (2, torch.zeros(2, 4), r"h: expected .* of shape \(2, 3\), got shape \(2, 4\)"),
        (3, torch.zeros(4, 2, 4), r"zoneout \(h\): expected .* \(4, 2, 3\)"),
        (4, torch.tensor([5, 0]), r"lengths\[0\]: expected 0 to 4, got 5"),
        (5, torch.zeros(4, 1, 3), r"states: expected .* \(4, 2, 3\)"),
    ],
)
def test_wrong_parts_never_reach_the_kernel(native, index, part, message):
    parts = [torch.zeros(4, 2, 6), None, torch.zeros(2, 3), None, None, torch.zeros(4, 2, 3)]
    parts[index] = part
    with pytest.raises(RuntimeError, match=message):
        native.elementwise_forward(0, False, 1, False, tuple(parts), torch.zeros(2, 3))
    with pytest.raises(RuntimeError, match="kind: expected 0 to 4, got 5"):
        native.elementwise_forward(5, False, 1, False, tuple(parts), torch.zeros(2, 3))
