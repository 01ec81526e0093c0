"""Variational recurrent dropout and zoneout: what the masks mean, written out cell by cell.

Gal and Ghahramani (2016) for the recurrent mask, Krueger et al. (2017) for zoneout.
"""

import pytest
import torch
from torch.nn import functional as F

from elman.cells import Cell, GRUCell, LSTMCell, RNNCell
from elman.engines import How, choose, unroll
from elman.errors import InputError

SIZES = (5, 4, 3, 6)  # T, B, I, H

KINDS = {
    "tanh": lambda **o: RNNCell(3, 6, **o),
    "relu": lambda **o: RNNCell(3, 6, "relu", **o),
    "gru": lambda **o: GRUCell(3, 6, **o),
    "gru before": lambda **o: GRUCell(3, 6, reset_after=False, **o),
    "lstm": lambda **o: LSTMCell(3, 6, **o),
    "lstm proj": lambda **o: LSTMCell(3, 6, proj_size=2, **o),
}


def new_state(kind, cell, x, state, mask):
    """Return the state after one step without zoneout; the mask meets the recurrent weights."""
    h = state[0]
    masked = h * mask
    from_x = F.linear(x, cell.weight_ih, cell.bias_ih)
    from_h = F.linear(masked, cell.weight_hh, cell.bias_hh)
    if kind in ("tanh", "relu"):
        return (getattr(torch, kind)(from_x + from_h),)
    if kind.startswith("gru"):
        r_x, z_x, n_x = from_x.chunk(3, dim=-1)
        r_h, z_h, n_h = from_h.chunk(3, dim=-1)
        r, z = torch.sigmoid(r_x + r_h), torch.sigmoid(z_x + z_h)
        if kind == "gru before":
            n_h = F.linear(r * masked, cell.weight_hh[12:], cell.bias_hh[12:])
            n = torch.tanh(n_x + n_h)
        else:
            n = torch.tanh(n_x + r * n_h)
        return ((1 - z) * n + z * h,)
    i, f, g, o = (from_x + from_h).chunk(4, dim=-1)
    c = torch.sigmoid(f) * state[1] + torch.sigmoid(i) * torch.tanh(g)
    h = torch.sigmoid(o) * torch.tanh(c)
    return (h if cell.weight_hr is None else h @ cell.weight_hr.T, c)


def by_hand(kind, cell, x_TBI, state, lengths, reverse, mask, zoneout):
    """Return what `unroll` must; zoneout's step t belongs to input t, in either direction."""
    y_TBH = torch.zeros(*x_TBI.shape[:2], cell.output_size, dtype=x_TBI.dtype)
    rows = []
    for row in range(x_TBI.shape[1]):
        now = tuple(part[row] for part in state)
        steps = range(x_TBI.shape[0] if lengths is None else int(lengths[row]))
        outputs = {}
        for t in reversed(steps) if reverse else steps:
            new = new_state(kind, cell, x_TBI[t, row], now, mask[row])
            keep = [0 if part is None else part[t, row] for part in zoneout]
            now = tuple(m * old + (1 - m) * n for m, old, n in zip(keep, now, new, strict=True))
            outputs[t] = now[0]
        pieces = [outputs.get(t, y_TBH[t, row]) for t in range(len(x_TBI))]
        rows.append((torch.stack(pieces), now))
    y_TBH = torch.stack([y for y, _ in rows], dim=1)
    return y_TBH, tuple(torch.stack(parts) for parts in zip(*(s for _, s in rows), strict=True))


@pytest.mark.parametrize("engine", ["reference", "native"])
@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("lengths", [None, [5, 0, 2, 4]])
@pytest.mark.parametrize("masks", ["recurrent", "zoneout", "zoneout of h", "both"])
@pytest.mark.parametrize("kind", KINDS)
def test_masks_mean_what_the_papers_say(request, kind, masks, lengths, reverse, engine):
    if engine == "native":
        request.getfixturevalue("native")
    torch.manual_seed(3)
    dtype, tolerance = (torch.float64, 1e-13) if engine == "reference" else (torch.float32, 1e-5)
    num_steps, batch, _, _ = SIZES
    exact = KINDS[kind](dtype=torch.float64)
    cell = KINDS[kind](dtype=dtype)
    with torch.no_grad():
        for mine, theirs in zip(exact.parameters(), cell.parameters(), strict=True):
            mine.copy_(theirs)
    x = torch.randn(num_steps, batch, 3)
    state = tuple(torch.randn(batch, size) for size in cell.state_sizes)
    mask = torch.ones(batch, cell.output_size)
    if masks in ("recurrent", "both"):
        mask = (torch.rand_like(mask) < 0.6).float() / 0.6
    zoneout = tuple(torch.rand(num_steps, batch, size) for size in cell.state_sizes)
    if masks == "recurrent":
        zoneout = None
    elif masks == "zoneout of h":
        zoneout = (zoneout[0], *(None for _ in zoneout[1:]))
    given = None if lengths is None else torch.tensor(lengths)

    def grads(run, cell, dtype):
        leaves = [part.to(dtype).requires_grad_() for part in (x.clone(), *state)]
        kept = zoneout and tuple(part if part is None else part.to(dtype) for part in zoneout)
        y, final = run(cell, leaves[0], tuple(leaves[1:]), mask.to(dtype), kept)
        loss = y.square().sum() + sum(part.sum() for part in final)
        found = torch.autograd.grad(loss, [*leaves, *cell.parameters()])
        return [part.detach().double() for part in (y, *final, *found)]

    results = grads(
        lambda cell, x, state, mask, kept: unroll(
            cell, x, state, lengths=given, reverse=reverse, engine=engine, zoneout=kept,
            recurrent_mask=None if masks.startswith("zoneout") else mask,
        ),
        cell,
        dtype,
    )  # fmt: skip
    expected = grads(
        lambda cell, x, state, mask, kept: by_hand(
            kind, cell, x, state, given, reverse, mask, kept or (None,) * len(state)
        ),
        exact,
        torch.float64,
    )
    for got, value in zip(results, expected, strict=True):
        error = (got - value).abs().max() / value.abs().max()
        assert error <= tolerance


@pytest.mark.parametrize("engine", ["reference", "native"])
@pytest.mark.parametrize("kind", KINDS)
def test_masks_that_change_nothing_give_the_same(request, kind, engine):
    if engine == "native":
        request.getfixturevalue("native")
    cell = KINDS[kind]()
    x = torch.randn(5, 4, 3)
    state = tuple(torch.randn(4, size) for size in cell.state_sizes)
    nothing = tuple(torch.zeros(5, 4, size) for size in cell.state_sizes)
    expected = unroll(cell, x, state, engine=engine)
    for masks in ({"recurrent_mask": torch.ones(4, cell.output_size)}, {"zoneout": nothing}):
        torch.testing.assert_close(unroll(cell, x, state, engine=engine, **masks), expected)
    everything = tuple(torch.ones(5, 4, size) for size in cell.state_sizes)
    y, final = unroll(cell, x, state, engine=engine, zoneout=everything)
    torch.testing.assert_close(final, state, rtol=0, atol=0)
    torch.testing.assert_close(y, state[0].expand(5, -1, -1), rtol=0, atol=0)


@pytest.mark.parametrize("engine", ["reference", "native"])
def test_no_gradient_flows_into_a_mask(request, engine):
    if engine == "native":
        request.getfixturevalue("native")
    cell = LSTMCell(3, 6)
    mask = torch.ones(4, 6, requires_grad=True)
    zoneout = tuple(torch.rand(5, 4, 6, requires_grad=True) for _ in range(2))
    y, _ = unroll(
        cell, torch.randn(5, 4, 3), cell.initial_state(4), recurrent_mask=mask, zoneout=zoneout,
        engine=engine,
    )  # fmt: skip
    y.sum().backward()
    assert cell.weight_hh.grad.abs().sum() > 0
    assert all(part.grad is None or (part.grad == 0).all() for part in (mask, *zoneout))


def test_masks_never_go_to_aten():
    cell, x = LSTMCell(3, 6), torch.randn(5, 4, 3)
    state = cell.initial_state(4)
    for masks in ({"recurrent_mask": torch.ones(4, 6)}, {"zoneout": (torch.rand(5, 4, 6), None)}):
        assert choose(cell, x, How(**masks)) != "aten"
        assert choose(cell.double(), x.double(), How(**masks)) == "reference"
        cell.float()
        with pytest.raises(InputError, match="engine 'aten' cannot run this"):
            unroll(cell, x, state, engine="aten", **masks)


class Own(Cell):
    """A user's cell, whose recurrent weights nobody else knows."""

    def step(self, x_BI, state):
        (h_BH,) = state
        return h_BH + x_BI, (h_BH + x_BI,)


def test_a_users_cell_has_zoneout_but_no_recurrent_mask():
    cell, x = Own(2, 2), torch.ones(2, 1, 2)
    with pytest.raises(InputError, match="recurrent_mask"):
        unroll(cell, x, cell.initial_state(1), recurrent_mask=torch.ones(1, 2))
    # h0 = 0; h1 = 0.5 * 0 + 0.5 * (0 + 1) = 0.5; h2 = 0.5 * 0.5 + 0.5 * (0.5 + 1) = 1
    y, (h,) = unroll(cell, x, cell.initial_state(1), zoneout=(torch.full((2, 1, 2), 0.5),))
    assert y[:, 0].tolist() == [[0.5, 0.5], [1, 1]]
    assert h.tolist() == [[1, 1]]


@pytest.mark.parametrize("engine", [None, "reference", "native"])
@pytest.mark.parametrize(
    "masks",
    [
        {"recurrent_mask": torch.ones(4, 3)},
        {"recurrent_mask": torch.ones(3, 6)},
        {"recurrent_mask": torch.ones(6)},
        {"zoneout": (torch.ones(5, 4, 6),)},
        {"zoneout": (torch.ones(5, 4, 6), torch.ones(5, 4, 5))},
        {"zoneout": (torch.ones(4, 4, 6), None)},
        {"zoneout": (torch.ones(4, 6), None)},
    ],
)
def test_a_mask_of_another_shape_is_refused(request, engine, masks):
    if engine == "native":
        request.getfixturevalue("native")
    cell = LSTMCell(3, 6)
    (name,) = masks
    with pytest.raises(InputError, match=name):
        unroll(cell, torch.zeros(5, 4, 3), cell.initial_state(4), engine=engine, **masks)
