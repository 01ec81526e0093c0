"""The scan engine: against plain loops, in float32 over 100,000 steps, and its derivatives.

Shapes: T time, B batch, S width of the state.
"""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from elman import engines
from elman.cells import (
    GRUCell,
    IndRNNCell,
    LinearCell,
    LRUCell,
    LSTMCell,
    MinGRUCell,
    MinLSTMCell,
)
from elman.engines import pieces
from elman.engines import scan as engine
from elman.engines.scan import scan
from elman.errors import InputError


class Decay(LinearCell):
    """A user's, whose decay is the same at each step, and whose output is wider than the state."""

    def __init__(self, input_size, hidden_size):
        super().__init__(input_size, hidden_size)
        self.rate = nn.Parameter(torch.randn(hidden_size))
        self.mix = nn.Linear(input_size, hidden_size)

    @property
    def output_size(self):
        return self.hidden_size + self.input_size

    def coefficients(self, x):
        return torch.sigmoid(self.rate), self.mix(x)

    def read(self, h, x):
        return torch.cat([torch.tanh(h), x], dim=-1)


KINDS = {"mingru": MinGRUCell, "minlstm": MinLSTMCell, "lru": LRUCell, "users": Decay}
# Every way through the chunks: none, one level, several, with and without steps left over.
LONGEST = 20 * 20 * 3 + 7


def looped(a, b, h, reverse=False):
    """Return all states by the definition, in numpy."""
    a, b = np.broadcast_to(a, b.shape), np.asarray(b)
    states = np.empty_like(b)
    for t in reversed(range(len(b))) if reverse else range(len(b)):
        h = a[t] * h + b[t]
        states[t] = h
    return states


def drawn(shape, dtype, seed):
    generator = torch.Generator().manual_seed(seed)
    b, h = (torch.randn(size, dtype=dtype, generator=generator) for size in (shape, shape[1:]))
    a = torch.rand(shape, dtype=b.real.dtype, generator=generator)
    if dtype.is_complex:
        a = torch.polar(a, 6 * torch.rand(shape, dtype=a.dtype, generator=generator))
    return a, b, h


@given(
    num_steps=st.one_of(st.integers(1, 130), st.integers(1, LONGEST)),
    batch=st.integers(0, 3),
    size=st.integers(1, 4),
    reverse=st.booleans(),
    dtype=st.sampled_from([torch.float64, torch.complex128]),
    axes=st.sampled_from(["all", "over time", "of features", "one"]),
    seed=st.integers(0, 99),
)
@settings(max_examples=60, deadline=None)
def test_it_is_the_loop(num_steps, batch, size, reverse, dtype, axes, seed):
    a, b, h = drawn((num_steps, batch, size), dtype, seed)
    if batch:
        a = {"all": a, "over time": a[:, :1], "of features": a[:1, :1], "one": a[:1, :1, :1]}[axes]
    states, last = scan(a, b, h, reverse)
    expected = looped(a.numpy(), b.numpy(), h.numpy(), reverse)
    np.testing.assert_allclose(states.numpy(), expected, rtol=0, atol=1e-13)
    assert torch.equal(last, states[0 if reverse else -1])


def test_wide_steps_are_looped_over_on_a_cpu_and_give_the_same(monkeypatch):
    a, b, h = drawn((200, 3, 5), torch.float64, 0)
    chunked, _ = scan(a, b, h)
    monkeypatch.setattr(engine, "WIDE", 15)
    wide, _ = scan(a, b, h)
    np.testing.assert_allclose(wide.numpy(), looped(a, b, h.numpy()), rtol=0, atol=1e-14)
    torch.testing.assert_close(chunked, wide, rtol=0, atol=1e-13)
    assert not torch.equal(chunked, wide)


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("constant", [False, True])
@pytest.mark.parametrize("dtype", [torch.float64, torch.complex128])
def test_first_and_second_derivatives(monkeypatch, dtype, constant, reverse):
    # Chunks for a few steps already, of lengths 2 and 3, on two levels, with some left over.
    monkeypatch.setattr(engine, "SHORT", 1)
    monkeypatch.setattr(engine, "CHUNKS", (3, 2))
    a, b, h = drawn((5, 1, 2), dtype, 1)
    leaves = [part.requires_grad_() for part in (a[:1] if constant else a, b, h)]
    assert torch.autograd.gradcheck(lambda *parts: scan(*parts, reverse), leaves)
    assert torch.autograd.gradgradcheck(lambda *parts: scan(*parts, reverse), leaves)


# |a| of one unit each, or the range it is drawn from: forgotten at once, halfway, and hardly over
# 100,000 steps; never; and all of these by turns.
DECAYS = {
    "near 0": (0, 1e-3),
    "halfway": (0.4, 0.6),
    "near 1": (1 - 1e-4, 1 - 1e-6),
    "1": (1, 1),
    "any": (0, 1),
}


@pytest.mark.parametrize("complex_units", [False, True])
@pytest.mark.parametrize("decay", DECAYS)
def test_100_000_steps_in_float32(decay, complex_units):
    num_steps, low_high = 100_000, DECAYS[decay]
    rng = np.random.default_rng(3)
    a = rng.uniform(*low_high, (num_steps, 1, 2)).astype(np.float32)
    b = rng.normal(size=(num_steps, 1, 2)).astype(np.float32)
    d = rng.normal(size=(num_steps, 1, 2)).astype(np.float32)
    h = np.ones((1, 2), np.float32)
    if complex_units:
        turn = np.exp(1j * rng.uniform(0, 1, a.shape)).astype(np.complex64)
        # Rounded, a number of magnitude 1 may be larger, and 100,000 of them larger still.
        a = (a * turn * np.float32(1 - 2**-23)).astype(np.complex64)
        b, d = (part * np.complex64(1 + 1j) for part in (b, d))
    wide = np.complex128 if complex_units else np.float64
    a64, b64, d64 = (part.astype(wide) for part in (a, b, d))
    exact = looped(a64, b64, h)
    ones = np.ones_like(a64[:1])
    exact_d = looped(np.concatenate([a64.conj()[1:], ones]), d64, np.zeros_like(h), reverse=True)

    leaves = [torch.from_numpy(part).requires_grad_() for part in (a, b, h.astype(b.dtype))]
    states, _ = scan(*leaves)
    states.backward(torch.from_numpy(d))
    before = np.concatenate([h[None], exact[:-1]])
    results = {
        "h": (states.detach().numpy(), exact),
        "d_b": (leaves[1].grad.numpy(), exact_d),
        "d_a": (leaves[0].grad.numpy(), exact_d * before.conj()),
    }
    for name, (got, expected) in results.items():
        error = np.abs(got - expected).max() / np.abs(expected).max()
        assert error < TOLERANCES[decay], (name, error)
    if decay != "near 1":
        # No worse than adding up one by one in float32 is.
        loop_error = np.abs(looped(a, b, h.astype(b.dtype)) - exact).max()
        assert np.abs(states.detach().numpy() - exact).max() <= 2 * loop_error


# Of the largest value. Each step rounds, and what is remembered for n steps has been rounded n
# times, up and down: some √n times 2^-24, 2e-5 for 100,000. Products of numbers just below 1 are
# rounded up, by some 2e-9 each here, through 20,000 steps that are remembered: far less than what a
# gate's own rounding, up to 3e-8 a step, changes.
TOLERANCES = {"near 0": 5e-7, "halfway": 5e-7, "near 1": 1e-4, "1": 2e-5, "any": 5e-7}


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("lengths", [None, [70, 0, 1, 33]])
@pytest.mark.parametrize("zoned", [False, True])
@pytest.mark.parametrize("kind", KINDS)
def test_it_is_reference_in_float64_by_name(kind, zoned, lengths, reverse):
    torch.manual_seed(5)
    if kind == "lru" and zoned:
        return
    cell = KINDS[kind](3, 5).double()
    x = torch.randn(70, 4, 3, dtype=torch.float64)
    options = {"reverse": reverse}
    if lengths is not None:
        options["lengths"] = torch.tensor(lengths)
        x[torch.arange(70).unsqueeze(1) >= options["lengths"]] = torch.nan
    if zoned:
        options["zoneout"] = (torch.rand(70, 4, 5, dtype=torch.float64),)
    (size,) = cell.state_sizes
    h = torch.randn(4, size, dtype=torch.float64)
    expected = everything(cell, x, h, engine="reference", **options)
    found = everything(cell, x, h, engine="scan", **options)
    assert found.keys() == expected.keys()
    assert len(found) >= 6
    for name, value in expected.items():
        assert value.isfinite().all(), name
        torch.testing.assert_close(found[name], value, rtol=0, atol=1e-11, msg=name)


def everything(cell, x, h, **options):
    """Return outputs, the final state and every gradient, by name."""
    x, h = (part.clone().requires_grad_() for part in (x, h))
    cell.zero_grad()
    y, (last,) = engines.unroll(cell, x, (h,), **options)
    generator = torch.Generator().manual_seed(0)
    weights = (torch.randn(part.shape, generator=generator).to(part) for part in (y, last))
    sum((part * w).sum() for part, w in zip((y, last), weights, strict=True)).backward()
    grads = {f"d_{name}": parameter.grad for name, parameter in cell.named_parameters()}
    return {"y": y, "h": last, "d_x": x.grad, "d_h": h.grad} | {
        name: grad.clone() for name, grad in grads.items()
    }


@pytest.mark.parametrize("num_steps", [1, 200])
@pytest.mark.parametrize("kind", KINDS)
def test_float32_stays_within_1e_5_of_reference_in_float64(kind, num_steps, device):
    torch.manual_seed(6)
    cell = KINDS[kind](5, 13)
    (size,) = cell.state_sizes
    x, h = torch.randn(num_steps, 3, 5), torch.randn(3, size)
    exact = everything(cell.double(), x.double(), h.double(), engine="reference")
    cell = cell.float().to(device)
    found = everything(cell, x.to(device), h.to(device), engine="scan")
    for name, value in exact.items():
        error = (found[name].cpu().double() - value).abs().max() / value.abs().max()
        assert error < 1e-5, (name, error)


@pytest.mark.parametrize("rows_first", [False, True])
@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("ragged", [False, True])
@pytest.mark.parametrize("engine", ["scan", "native"])
def test_in_pieces_it_is_the_same(monkeypatch, engine, ragged, reverse, rows_first):
    if engines.available_engines()[engine] is not None:
        pytest.skip("no native engine")
    torch.manual_seed(8)
    x = torch.randn(23, 4, 3)
    if rows_first:
        x = x.transpose(0, 1).contiguous().transpose(0, 1)
    options = {"reverse": reverse, "engine": engine}
    options["lengths"] = torch.tensor([23, 0, 7, 14]) if ragged else None
    for cell, zoned in ((MinGRUCell(3, 5), True), (LRUCell(3, 5), False)):
        (size,) = cell.state_sizes
        options["zoneout"] = (torch.rand(23, 4, size),) if zoned else None
        h = torch.randn(4, size)
        whole = everything(cell, x, h, **options)
        # Three pieces of 7 steps and one of 2.
        with monkeypatch.context() as patch:
            patch.setattr(pieces, "NUMBERS", 7 * h.numel())
            found = everything(cell, x, h, **options)
        assert (found["y"].stride(0) < found["y"].stride(1)) == rows_first
        for name, value in whole.items():
            torch.testing.assert_close(found[name], value, rtol=1e-5, atol=1e-5, msg=name)


def test_recompute_gives_the_same():
    torch.manual_seed(7)
    cell, x, h = MinLSTMCell(3, 5), torch.randn(100, 4, 3), torch.randn(4, 5)
    plain = everything(cell, x, h, engine="scan")
    again = everything(cell, x, h, engine="scan", memory="recompute")
    for name, value in plain.items():
        torch.testing.assert_close(again[name], value, rtol=0, atol=1e-5)


def test_it_is_called_a_few_times_only():
    """Not once a step: on a GPU each call costs as much as thousands of numbers."""
    from torch.utils._python_dispatch import TorchDispatchMode

    class Count(TorchDispatchMode):
        calls = 0

        def __torch_dispatch__(self, func, types, args=(), kwargs=None):
            self.calls += 1
            return func(*args, **(kwargs or {}))

    counts = {}
    for num_steps in (1000, 100_000):
        a, b, h = drawn((num_steps, 1, 2), torch.float32, 0)
        with Count() as count:
            scan(a, b, h)
        counts[num_steps] = count.calls
    assert counts[1000] < 500
    assert counts[100_000] < counts[1000] + 60 * 5 * math.log(100, 16)


class Odd(LinearCell):
    def coefficients(self, x):
        return torch.zeros(2), x

    def step(self, x_BI, state):
        return x_BI, state


class Two(LinearCell):
    state_names = ("h", "c")


@pytest.mark.parametrize(
    ("cell", "reason"),
    [
        (GRUCell(2, 2), "GRUCell is not known to be linear in its state"),
        (LSTMCell(2, 2), "LSTMCell is not known to be linear"),
        (IndRNNCell(2, 2), "IndRNNCell is not known to be linear"),
        (Odd(2, 2), "Odd is not known to be linear"),
        (Two(2, 2), r"Two has several states \(h, c\)"),
    ],
)
def test_what_it_refuses(cell, reason):
    state = tuple(torch.zeros(1, size) for size in cell.state_sizes)
    with pytest.raises(InputError, match=f"engine 'scan' cannot run this: {reason}"):
        engines.unroll(cell, torch.zeros(3, 1, 2), state, engine="scan")


def test_masks_it_cannot_have():
    cell = LRUCell(2, 3)
    call = (cell, torch.zeros(3, 1, 2), cell.initial_state(1))
    zone = (torch.zeros(3, 1, 6),)
    with pytest.raises(InputError, match="'scan' cannot run this: zoneout parts the real from"):
        engines.unroll(*call, zoneout=zone, engine="scan")
    with pytest.raises(InputError, match="recurrent_mask: LRUCell is no GatedCell"):
        engines.unroll(*call, recurrent_mask=torch.ones(1, 6))


def test_transforms_go_to_reference():
    cell, x = MinGRUCell(2, 3), torch.randn(4, 5, 2)

    def run(x_BI):
        return engines.unroll(cell, x_BI.unsqueeze(1), cell.initial_state(1))[0]

    mapped = torch.func.vmap(run, in_dims=1, out_dims=1)(x)
    expected, _ = engines.unroll(cell, x, cell.initial_state(5), engine="reference")
    torch.testing.assert_close(mapped.squeeze(2), expected)


def test_autocast_keeps_gates_in_float32():
    """In bfloat16, 1 - 1/1000 is 1: nothing would be forgotten."""
    cell = MinGRUCell(1, 4)
    with torch.no_grad():
        cell.weight_ih.zero_()
        cell.bias_ih.zero_()
        cell.bias_ih[:4] = -math.log(1000)
    x, h = torch.zeros(500, 1, 1), torch.ones(1, 4)
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16), engines.record() as ran:
        _, (last,) = engines.unroll(cell, x, (h,))
    assert ran == {"scan"}
    assert last.float().flatten().tolist() == pytest.approx([(1000 / 1001) ** 500] * 4, rel=0.01)
