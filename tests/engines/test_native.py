"""The native engine against `reference` in float64: every output and gradient, by name.

The tests with `core` in their names are run again under each instruction set, by
test_native_isa.py. Shapes: T time, B batch, I input features, H hidden features.
"""

from __future__ import annotations

import os
import random
import zlib
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from itertools import combinations, product

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from elman import engines
from elman.cells import Cell, GRUCell, LSTMCell, RNNCell
from elman.errors import InputError

TOLERANCE = 1e-5

KINDS = {
    "tanh": lambda i, h, bias: RNNCell(i, h, "tanh", bias),
    "relu": lambda i, h, bias: RNNCell(i, h, "relu", bias),
    "gru": GRUCell,
    "gru before": lambda i, h, bias: GRUCell(i, h, bias, reset_after=False),
    "lstm": LSTMCell,
    "lstm proj": lambda i, h, bias: LSTMCell(i, h, bias, (h + 1) // 2 if h > 1 else 0),
    "lstm peep": lambda i, h, bias: LSTMCell(i, h, bias, peepholes=True),
}
NORMALIZED = {
    "tanh norm": lambda i, h, bias: RNNCell(i, h, "tanh", bias, layer_norm=True),
    "relu norm": lambda i, h, bias: RNNCell(i, h, "relu", bias, layer_norm=True),
    "gru norm": lambda i, h, bias: GRUCell(i, h, bias, layer_norm=True),
    "lstm norm": lambda i, h, bias: LSTMCell(i, h, bias, layer_norm=True),
    "lstm norm peep": lambda i, h, bias: LSTMCell(i, h, bias, layer_norm=True, peepholes=True),
    "lstm proj norm": lambda i, h, bias: LSTMCell(i, h, bias, (h + 1) // 2, layer_norm=True),
}
FACTORS = {
    # (B, T, I, H): ones, odd sizes, and sizes above any block of rows, units or steps.
    "sizes": [
        (1, 1, 1, 1), (7, 5, 13, 50), (3, 9, 1, 32), (33, 4, 5, 17), (1, 40, 70, 130),
        (20, 3, 100, 100), (65, 6, 2, 65), (5, 200, 8, 24), (2, 1, 300, 3), (1, 300, 2, 7),
    ],
    "bias": [True, False],
    "reverse": [False, True],
    "lengths": [None, "ragged", "equal", "full", "empty"],
    "state": ["with gradient", "without"],
    "recurrent_mask": [False, True],
    "zoneout": [None, "binary", "fractional", "last state only"],
    "kept": ["all", "recompute", "sqrt"],
    "loss": ["y", "final", "last state", "y and final"],
    "wanted": ["all", "all but x", "x only"],
    "memory": ["plain", "poisoned", "strided"],
}  # fmt: skip


# One or two numbers, and one feature (or unit left by a mask) times some weights, hardly depend on
# it once they are normalised: what is left of their gradients has no digits in float32.
NORMALIZED_FACTORS = FACTORS | {
    "sizes": [
        (1, 1, 9, 11), (7, 5, 13, 50), (3, 9, 4, 32), (33, 4, 5, 17), (1, 40, 70, 130),
        (20, 3, 100, 100), (65, 6, 3, 65), (5, 90, 8, 24), (1, 60, 5, 12),
    ],
}  # fmt: skip


@dataclass(frozen=True)
class Case:
    """One call; the names are those of `FACTORS`."""

    kind: str
    sizes: tuple[int, int, int, int]
    bias: bool
    reverse: bool
    lengths: str | None
    state: str
    recurrent_mask: bool
    zoneout: str | None
    kept: str
    loss: str
    wanted: str
    memory: str


def covering(**factors):
    """Return cases in which every value of each factor meets every value of every other."""
    draws = random.Random(0)
    missing = {
        ((a, first), (b, second))
        for a, b in combinations(factors, 2)
        for first, second in product(factors[a], factors[b])
    }
    cases = []

    def candidate(pair):
        return {name: draws.choice(values) for name, values in factors.items()} | dict(pair)

    def pairs_of(case):
        return set(combinations(case.items(), 2))

    while missing:
        pairs = draws.sample(sorted(missing, key=repr), min(30, len(missing)))
        candidates = [candidate(pair) for pair in pairs]
        cases.append(max(candidates, key=lambda case: len(pairs_of(case) & missing)))
        missing -= pairs_of(cases[-1])
    return [Case(**case) for case in cases]


def numbered(cases):
    return [pytest.param(case, id=f"{n}-{case.kind}") for n, case in enumerate(cases)]


def draw(case):
    """Return the cell and all that goes in, in float32: {name: tensor or None}."""
    torch.manual_seed(zlib.crc32(repr(case).encode()))
    batch, num_steps, input_size, hidden_size = case.sizes
    cell = (KINDS | NORMALIZED)[case.kind](input_size, hidden_size, case.bias)
    gains = {"norm_ih": 1.0, "norm_hh": 0.2, "norm_c": 1.0, "bias_c": 0.0}
    with torch.no_grad():
        for name in [name for name in cell.weight_names if name in gains]:
            # With larger gains of the state the recurrence is chaotic: in float32, reference too
            # is off by 1e-3 after 200 steps.
            drawn = torch.randn(getattr(cell, name).shape) * 0.3 * (gains[name] or 1)
            getattr(cell, name).copy_(gains[name] + drawn)
    lengths = {
        None: lambda: None,
        "ragged": lambda: torch.randint(0, num_steps + 1, (batch,)),
        "equal": lambda: torch.full((batch,), max(num_steps - 1, 1)),
        "full": lambda: torch.full((batch,), num_steps),
        "empty": lambda: torch.zeros(batch, dtype=torch.int64),
    }[case.lengths]()
    if case.lengths == "ragged" and batch > 1:
        lengths[0], lengths[-1] = num_steps, 0
    # Sums of order 1: where tanh is flat, its derivative 1 - h² has no digits left in float32.
    x = torch.randn(num_steps, batch, input_size) * min(1, (hidden_size / input_size) ** 0.5)
    if lengths is not None:
        x[torch.arange(num_steps).unsqueeze(1) >= lengths] = torch.nan
    tensors = {"lengths": lengths, "x": x}
    for name, size in zip(cell.state_names, cell.state_sizes, strict=True):
        given_state = case.state == "with gradient"
        tensors[name] = torch.randn(batch, size) if given_state else torch.zeros(batch, size)
        kept = torch.rand(num_steps, batch, size)
        if case.zoneout in ("binary", "last state only"):
            kept = (kept < 0.3).float()
        skipped = case.zoneout == "last state only" and name != cell.state_names[-1]
        tensors[f"zoneout {name}"] = None if case.zoneout is None or skipped else kept
    mask = (torch.rand(batch, cell.output_size) < 0.7).float() / 0.7
    tensors["recurrent_mask"] = mask if case.recurrent_mask else None
    return cell, tensors | {name: p.detach() for name, p in cell.named_parameters()}


def lay_out(tensor, memory):
    """Return the tensor in memory of its own: plain, strided, or unaligned with NaN around it."""
    if memory == "strided" and tensor.dim() > 1:
        return tensor.transpose(0, 1).clone(memory_format=torch.contiguous_format).transpose(0, 1)
    if memory != "poisoned":
        return tensor.clone()
    around = 17
    buffer = tensor.new_full((tensor.numel() + 2 * around,), torch.nan)
    return buffer[around:-around].view(tensor.shape).copy_(tensor)


@contextmanager
def nan_in_new_memory(on):
    """Fill what torch.empty returns with NaN."""
    torch.use_deterministic_algorithms(on)
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(False)


def everything(case, cell, tensors, dtype, engine):
    """Run one call in `dtype`; return outputs, final states and every gradient, by name."""
    wanted = {"x": case.wanted != "all but x"}
    wanted |= dict.fromkeys(cell.state_names, case.state == "with gradient")
    wanted |= dict.fromkeys(cell.weight_names, case.wanted != "x only")
    leaves = {
        name: lay_out(tensors[name].to(dtype), case.memory).requires_grad_(needed)
        for name, needed in wanted.items()
    }
    zoneout = None
    if case.zoneout is not None:
        masks = [tensors[f"zoneout {name}"] for name in cell.state_names]
        zoneout = tuple(m if m is None else lay_out(m.to(dtype), case.memory) for m in masks)
    mask = tensors["recurrent_mask"]
    with nan_in_new_memory(case.memory == "poisoned"):
        y, final = engines.unroll(
            cell.bind({name: leaves[name] for name in cell.weight_names}),
            leaves["x"],
            tuple(leaves[name] for name in cell.state_names),
            lengths=tensors["lengths"],
            reverse=case.reverse,
            recurrent_mask=mask if mask is None else lay_out(mask.to(dtype), case.memory),
            zoneout=zoneout,
            memory=case.kept,
            engine=engine,
        )
        results = {"y": y} | {f"final {n}": s for n, s in zip(cell.state_names, final, strict=True)}
        if any(wanted.values()):
            _backward(case, cell, results)
    results |= {f"d_{name}": leaf.grad for name, leaf in leaves.items() if wanted[name]}
    # Where nothing depends on a leaf, one engine may leave its gradient out, another give zeros.
    return {
        name: torch.zeros_like(leaves[name.removeprefix("d_")]) if value is None else value.detach()
        for name, value in results.items()
    }


def _backward(case, cell, outputs):
    chosen = {
        "y": ["y"],
        "final": [f"final {name}" for name in cell.state_names],
        "last state": [f"final {cell.state_names[-1]}"],
        "y and final": list(outputs),
    }[case.loss]
    generator = torch.Generator().manual_seed(0)
    loss = torch.zeros(())
    for name in chosen:
        weights = torch.randn(outputs[name].shape, generator=generator)
        loss = loss + (outputs[name] * weights.to(outputs[name])).sum()
    if loss.requires_grad:
        loss.backward()


def check(case):
    cell, tensors = draw(case)
    expected = everything(case, cell, tensors, torch.float64, "reference")
    results = everything(case, cell, tensors, torch.float32, "native")
    assert results.keys() == expected.keys()
    wrong = {}
    for name, value in expected.items():
        got = results[name]
        assert (got.shape, got.dtype) == (value.shape, torch.float32), name
        if not value.numel():
            continue
        # A gradient far below the smallest float32 may come out as zero.
        scale = max(value.abs().max().item(), 1e-30)
        error = (got.double() - value).abs().max().item() / scale
        if not error <= TOLERANCE:
            wrong[name] = error
    assert not wrong, f"relative errors {wrong} in {case}"
    past = torch.arange(case.sizes[1]).unsqueeze(1) >= (
        case.sizes[1] if tensors["lengths"] is None else tensors["lengths"]
    )
    for name in {"y", "d_x"} & results.keys():
        assert (results[name][past.expand(case.sizes[1], case.sizes[0])] == 0).all(), name


def test_core_it_runs_where_it_must(native_must_be_there):
    reason = engines.available_engines().get("native", "this tree has no such engine")
    if reason is not None and not native_must_be_there:
        pytest.skip(f"no native engine: {reason}")
    assert reason is None
    assert next(iter(engines.ENGINES)) == "native"


def test_core_the_instruction_set_is_the_one_forced(native):
    isa, isas = native.isa(), native.isas()
    assert isas[isa] is True
    assert isas["plain"] is True
    assert set(isas) <= {"avx512", "avx2", "neon", "plain"}
    assert os.environ.get("ELMAN_ISA") in (None, "", isa)


@pytest.mark.parametrize("case", numbered(covering(kind=list(KINDS), **FACTORS)))
def test_core_agrees_with_reference(native, case):
    check(case)


@pytest.mark.parametrize(
    "case", numbered([case for kind in KINDS for case in covering(kind=[kind], **FACTORS)])
)
def test_each_kind_agrees_with_reference(native, case):
    check(case)


@pytest.mark.parametrize("case", numbered(covering(kind=list(NORMALIZED), **NORMALIZED_FACTORS)))
def test_core_normalized_it_agrees_with_reference(native, case):
    check(case)


@pytest.mark.parametrize(
    "case",
    numbered([c for kind in NORMALIZED for c in covering(kind=[kind], **NORMALIZED_FACTORS)]),
)
def test_each_normalized_kind_agrees_with_reference(native, case):
    check(case)


def few(upper):
    """Sizes from 1 on, mostly small, sometimes around a power of two."""
    powers = [p + d for p in (8, 16, 32, 48, 64) for d in (-1, 0, 1) if p + d <= upper]
    return st.integers(1, 6) | st.integers(1, upper) | st.sampled_from(powers)


DRAWN = {name: st.sampled_from(values) for name, values in FACTORS.items()}
DRAWN["sizes"] = st.tuples(few(40), few(17), few(65), few(65))


@given(case=st.builds(Case, kind=st.sampled_from(list(KINDS)), **DRAWN))
@settings(max_examples=60, deadline=None, derandomize=True)
def test_drawn_calls_agree_with_reference(native, case):
    check(case)


@given(
    case=st.builds(
        Case,
        kind=st.sampled_from(list(NORMALIZED)),
        **DRAWN
        | {
            "sizes": st.tuples(
                few(40), few(17), few(65).map(lambda i: i + 2), few(65).map(lambda h: h + 3)
            )
        },
    )
)
@settings(max_examples=60, deadline=None, derandomize=True)
def test_drawn_normalized_calls_agree_with_reference(native, case):
    check(case)


def plain(kind, **changes):
    """Return the simplest case of a kind, with changes."""
    simple = {name: values[0] for name, values in FACTORS.items()}
    return Case(kind=kind, **{**simple, "sizes": (3, 9, 4, 21), "loss": "y and final", **changes})


@pytest.mark.parametrize("kind", KINDS | NORMALIZED)
def test_no_rows(native, kind):
    check(plain(kind, sizes=(0, 5, 3, 4)))
    check(plain(kind, sizes=(0, 5, 3, 4), lengths="full", kept="recompute"))


@pytest.mark.parametrize("kind", KINDS | NORMALIZED)
def test_core_recompute_gives_the_very_same(native, kind):
    for sizes in ((3, 9, 4, 21), (70, 5, 33, 40)):
        case = plain(kind, sizes=sizes, lengths="ragged")
        cell, tensors = draw(case)
        kept = everything(case, cell, tensors, torch.float32, "native")
        again = Case(**{**asdict(case), "kept": "recompute"})
        results = everything(again, cell, tensors, torch.float32, "native")
        assert all(torch.equal(results[name], value) for name, value in kept.items())


@pytest.mark.parametrize("rows", [1, 4, 33])
@pytest.mark.parametrize("kind", KINDS | NORMALIZED)
def test_core_nan_spreads_over_its_row_from_its_step_on(native, kind, rows):
    torch.manual_seed(1)
    cell = (KINDS | NORMALIZED)[kind](3, 21, True)
    x = torch.randn(6, rows, 3)
    state = tuple(torch.randn(rows, size) for size in cell.state_sizes)
    with torch.no_grad():
        clean, _ = engines.unroll(cell, x, state, engine="native")
        x[2, rows // 2, 1] = torch.nan
        y, final = engines.unroll(cell, x, state, engine="native")
    hit = torch.zeros(6, rows, dtype=torch.bool)
    hit[2:, rows // 2] = True
    assert y[hit].isnan().all()
    assert torch.equal(y[~hit], clean[~hit])
    for part in final:
        assert part[rows // 2].isnan().all()
        assert part.isfinite().all(dim=1).sum() == rows - 1


@pytest.mark.parametrize("value", [torch.inf, -torch.inf, 1e30, -1e30, 1e-42])
@pytest.mark.parametrize("kind", KINDS | NORMALIZED)
def test_core_extreme_values_go_where_reference_has_them(native, kind, value):
    torch.manual_seed(2)
    cell = (KINDS | NORMALIZED)[kind](3, 21, True)
    x = torch.randn(6, 4, 3)
    x[2, 1, 1] = value
    state = cell.initial_state(4)
    results = {}
    with torch.no_grad():
        for name in ("reference", "native"):
            y, final = engines.unroll(cell, x, state, engine=name)
            results[name] = (y, *final)
    torch.testing.assert_close(
        results["native"], results["reference"], rtol=1e-5, atol=1e-6, equal_nan=True
    )


class Own(Cell):
    def step(self, x_BI, state):
        (h_BH,) = state
        return h_BH + x_BI, (h_BH + x_BI,)


class Doubling(LSTMCell):
    """A known cell with another step."""

    def step(self, x_BI, state):
        return super().step(2 * x_BI, state)


@pytest.mark.parametrize(
    ("cell", "dtype"),
    [
        (RNNCell(3, 2).double(), torch.float64),
        (GRUCell(3, 2).bfloat16(), torch.bfloat16),
        (LSTMCell(3, 2).half(), torch.float16),
        (Own(3, 3), torch.float32),
        (Doubling(3, 2), torch.float32),
        (LSTMCell(3, 2, device="meta"), torch.float32),
    ],
)
def test_what_it_refuses_goes_to_another(native, cell, dtype):
    device = "cpu" if isinstance(cell, Own) else cell.weight_ih.device
    x = torch.zeros(4, 2, 3, dtype=dtype, device=device)
    state = cell.initial_state(2, dtype=dtype, device=device)
    assert engines.choose(cell, x) != "native"
    with engines.record() as names:
        engines.unroll(cell, x, state)
    assert "native" not in names
    with pytest.raises(InputError, match="engine 'native' cannot run this: "):
        engines.unroll(cell, x, state, engine="native")


def test_autocast_and_transforms_go_to_another(native):
    cell, x = LSTMCell(3, 2), torch.randn(4, 2, 3)
    assert engines.choose(cell, x) == "native"
    with torch.autocast("cpu", torch.bfloat16):
        assert engines.choose(cell, x) != "native"
    chosen = []

    def run(x_TBI):
        chosen.append(engines.choose(cell, x_TBI))
        return engines.unroll(cell, x_TBI, cell.initial_state(2))[0]

    tangent = torch.randn_like(x)
    y, d_y = torch.func.jvp(run, (x,), (tangent,))
    _, expected = torch.func.jvp(
        lambda v: engines.unroll(cell, v, cell.initial_state(2), engine="reference")[0],
        (x,),
        (tangent,),
    )
    torch.testing.assert_close(y, run(x))
    torch.testing.assert_close(d_y, expected)
    torch.testing.assert_close(torch.vmap(run)(x.unsqueeze(0)), y.unsqueeze(0))
    assert chosen == ["reference", "native", "reference"]


@pytest.mark.parametrize(
    "part", ["x", "h", "c", "weight_ih", "weight_hh", "bias_hh", "lengths", "recurrent_mask"]
)
def test_another_dtype_or_shape_inside_a_call_never_reaches_the_kernel(native, part):
    """It is refused, or raises in torch, or is converted; it is not read as what it is not."""
    cell = LSTMCell(3, 21)
    call = {"x": torch.randn(4, 2, 3), "h": torch.randn(2, 21), "c": torch.randn(2, 21)}
    call |= {name: weight.detach() for name, weight in cell.named_parameters()}
    call |= {"recurrent_mask": torch.rand(2, 21), "lengths": torch.tensor([2, 4])}

    def run(**changes):
        now = {**call, **changes}
        bound = cell.bind({name: now[name] for name in cell.weight_names})
        y, _ = engines.unroll(
            bound,
            now["x"],
            (now["h"], now["c"]),
            lengths=now["lengths"],
            recurrent_mask=now["recurrent_mask"],
            engine="native",
        )
        return y

    right, expected = call[part], run()
    longer = torch.cat([right, right], dim=-1)
    for wrong in (right[..., :1], longer, right.unsqueeze(0), right.to("meta")):
        with pytest.raises((ValueError, RuntimeError)):
            run(**{part: wrong})
    for wrong in (right.double(), right.int(), right.to_sparse()):
        if part != "lengths" and wrong.dtype == torch.int32:
            continue
        try:
            y = run(**{part: wrong})
        except (ValueError, RuntimeError):
            continue
        torch.testing.assert_close(y, expected)


@pytest.mark.parametrize("lengths", [[2, 5], [-1, 4], [-100, 4], [100_000, 1]])
def test_lengths_out_of_range_never_reach_the_kernel(native, lengths):
    cell, x = GRUCell(3, 21), torch.randn(4, 2, 3)
    with pytest.raises((ValueError, RuntimeError)):
        engines.unroll(
            cell, x, cell.initial_state(2), lengths=torch.tensor(lengths), engine="native"
        )
