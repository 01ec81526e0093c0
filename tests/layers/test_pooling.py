"""Pooling and padding against each row alone: values and gradients."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from elman.errors import InputError
from elman.layers import Pooling, padded, real_steps
from elman.layers.pooling import POOLINGS

T, H = 6, 5


def pooled_alone(layer, hidden_TH, final_H):
    """One row's real steps, as the definition has it."""
    if layer.kind == "last":
        return final_H
    if not len(hidden_TH):
        return torch.zeros(H, dtype=torch.float64)
    if layer.kind == "mean":
        return sum(hidden_TH) / len(hidden_TH)
    if layer.kind == "max":
        return torch.stack(
            [max(column, key=lambda value: float(value.detach())) for column in hidden_TH.T]
        )
    names = dict(layer.named_parameters())
    energies = [
        names["energy.weight"][0] @ torch.tanh(names["hidden.weight"] @ h + names["hidden.bias"])
        for h in hidden_TH
    ]
    total = sum(e.exp() for e in energies)
    return sum(e.exp() / total * h for e, h in zip(energies, hidden_TH, strict=True))


@pytest.mark.parametrize("kind", POOLINGS)
@given(st.lists(st.integers(0, T), min_size=1, max_size=5) | st.none())
@settings(max_examples=20, deadline=None)
def test_each_row_is_as_if_it_stood_alone(kind, lengths) -> None:
    torch.manual_seed(3)
    layer = Pooling(kind, H).double()
    rows = [T] * 3 if lengths is None else lengths
    hidden = torch.randn(len(rows), T, H, dtype=torch.float64)
    for row, length in enumerate(rows):
        hidden[row, length:] = torch.nan
    hidden.requires_grad_()
    final = torch.randn(len(rows), H, dtype=torch.float64, requires_grad=True)
    pooled = layer(hidden, final, None if lengths is None else torch.tensor(lengths))
    alone = torch.stack(
        [pooled_alone(layer, hidden[row, :length], final[row]) for row, length in enumerate(rows)]
    )
    torch.testing.assert_close(pooled, alone, rtol=1e-12, atol=1e-14)
    mix = torch.arange(float(alone.numel()), dtype=torch.float64).view_as(alone)
    leaves = {"hidden": hidden, "final": final, **dict(layer.named_parameters())}
    (pooled * mix).sum().backward()
    ours = {name: leaf.grad for name, leaf in leaves.items()}
    for leaf in leaves.values():
        leaf.grad = None
    if alone.requires_grad:
        (alone * mix).sum().backward()
    for name, leaf in leaves.items():
        got, wanted = (
            torch.zeros_like(leaf) if each is None else each for each in (ours[name], leaf.grad)
        )
        torch.testing.assert_close(got, wanted, rtol=1e-10, atol=1e-12, msg=name)


@given(st.lists(st.integers(0, T), min_size=1, max_size=6), st.sampled_from([(), (H,), (2, 3)]))
@settings(max_examples=30, deadline=None)
def test_real_steps_and_back(lengths, shape) -> None:
    batch = torch.randn(len(lengths), T, *shape)
    steps = real_steps(batch, lengths)
    expected = torch.cat([batch[row, :length] for row, length in enumerate(lengths)])
    assert torch.equal(steps, expected)
    back = padded(steps, torch.tensor(lengths), len(lengths), T)
    for row, length in enumerate(lengths):
        assert torch.equal(back[row, :length], batch[row, :length])
        assert (back[row, length:] == 0).all()
    assert torch.equal(padded(real_steps(batch, None), None, len(lengths), T), batch)


def test_an_unknown_kind_is_refused() -> None:
    with pytest.raises(InputError, match="pooling: 'avg' is not known"):
        Pooling("avg", H)
