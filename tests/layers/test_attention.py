"""Attention against the papers' equations, step by step: values, and every gradient by name."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from elman.errors import InputError
from elman.layers import Attention, attention

B, U, S, Q, M, A = 4, 3, 5, 6, 7, 5
LENGTHS = torch.tensor([5, 1, 0, 3])


def made(kind, size=None):
    torch.manual_seed(1)
    return Attention(Q, M, kind, size).double()


def inputs(lengths=LENGTHS, queries=U):
    generator = torch.Generator().manual_seed(2)
    query = torch.randn(len(lengths), queries, Q, dtype=torch.float64, generator=generator)
    memory = torch.randn(len(lengths), S, M, dtype=torch.float64, generator=generator)
    return query.requires_grad_(), memory.requires_grad_()


def score(layer, q, m):
    """The score of one step for one query, as the papers have it."""
    names = dict(layer.score.named_parameters())
    if layer.kind == "additive":  # Bahdanau et al. (2015), appendix A.1.2
        hidden = names["query.weight"] @ q + names["key.weight"] @ m + names["key.bias"]
        return names["energy.weight"][0] @ torch.tanh(hidden)
    return q @ names["key.weight"] @ m  # Luong et al. (2015), eq. 8, "general"


def looked(layer, q, memory):
    """One query over one row's real steps: what it found, and where."""
    scores = [score(layer, q, m) for m in memory]
    total = sum(s.exp() for s in scores)
    weights = [s.exp() / total for s in scores]
    found = sum((w * m for w, m in zip(weights, memory, strict=True)), torch.zeros(M).double())
    return found, weights


@pytest.mark.parametrize("kind", attention.KINDS)
def test_each_query_against_the_equations_and_every_gradient(kind) -> None:
    layer = made(kind, A if kind == "additive" else None)
    query, memory = inputs()
    context, weights = layer(query, layer.keys(memory), memory, lengths=LENGTHS)
    expected = torch.stack(
        [
            torch.stack([looked(layer, q, memory[row, :length])[0] for q in query[row]])
            for row, length in enumerate(LENGTHS)
        ]
    )
    torch.testing.assert_close(context, expected, rtol=1e-12, atol=1e-14)
    for row, length in enumerate(LENGTHS):
        for at, q in enumerate(query[row]):
            where = looked(layer, q, memory[row, :length])[1]
            torch.testing.assert_close(
                weights[row, at, :length].tolist(), [float(w.detach()) for w in where]
            )
        assert (weights[row, :, length:] == 0).all()
    mix = torch.arange(float(expected.numel()), dtype=torch.float64).view_as(expected)
    leaves = {"query": query, "memory": memory, **dict(layer.named_parameters())}
    ours = torch.autograd.grad((context * mix).sum(), leaves.values(), retain_graph=True)
    theirs = torch.autograd.grad((expected * mix).sum(), leaves.values())
    for name, got, wanted in zip(leaves, ours, theirs, strict=True):
        torch.testing.assert_close(got, wanted, rtol=1e-10, atol=1e-12, msg=name)


@pytest.mark.parametrize("kind", attention.KINDS)
@given(st.lists(st.integers(0, S), min_size=1, max_size=5))
@settings(max_examples=20, deadline=None)
def test_what_lies_past_a_row_s_end_has_no_part_in_it(kind, lengths) -> None:
    layer, lengths = made(kind), torch.tensor(lengths)
    query, memory = inputs(lengths)
    context, weights = layer(query, layer.keys(memory), memory, lengths=lengths)
    torch.testing.assert_close(weights.sum(-1), (lengths > 0).double().unsqueeze(1).expand(-1, U))
    other = memory.detach().clone()
    for row, length in enumerate(lengths):
        other[row, length:] = 1e6
        assert (context[row] == 0).all() == (length == 0)
    again, again_weights = layer(query, layer.keys(other), other, lengths=lengths)
    assert torch.equal(again, context)
    assert torch.equal(again_weights, weights)
    (gradient,) = torch.autograd.grad(context.sum(), memory)
    assert gradient.isfinite().all()
    assert all((gradient[row, length:] == 0).all() for row, length in enumerate(lengths))


@pytest.mark.parametrize("kind", attention.KINDS)
def test_one_query_a_row_and_a_mask_in_place_of_lengths(kind) -> None:
    layer = made(kind)
    query, memory = inputs()
    keys = layer.keys(memory)
    context, weights = layer(query, keys, memory, lengths=LENGTHS)
    mask = torch.arange(S) < LENGTHS.unsqueeze(1)
    for at in range(U):
        one, where = layer(query[:, at], keys, memory, mask_BS=mask)
        torch.testing.assert_close(one, context[:, at])
        torch.testing.assert_close(where, weights[:, at])
    whole, _ = layer(query, keys, memory)
    torch.testing.assert_close(whole, layer(query, keys, memory, lengths=[S] * B)[0])


def test_additive_attention_in_pieces_is_the_same(monkeypatch) -> None:
    layer = made("additive")
    results = []
    for most in (10**9, 1):
        monkeypatch.setattr(attention, "KEPT_AT_MOST", most)
        query, memory = inputs()
        context, _ = layer(query, layer.keys(memory), memory, lengths=LENGTHS)
        leaves = [query, memory, *layer.parameters()]
        results.append([context, *torch.autograd.grad(context.square().sum(), leaves)])
    for whole, pieces in zip(*results, strict=True):
        torch.testing.assert_close(pieces, whole, rtol=1e-12, atol=1e-14)


def test_a_hand_worked_case() -> None:
    layer = Attention(2, 2, "multiplicative").double()
    layer.score.key.weight.data = torch.tensor([[1.0, 0.0], [0.0, 2.0]]).double()
    memory = torch.tensor([[[math.log(3.0), 0.0], [0.0, 0.0], [9.0, 9.0]]]).double()
    query = torch.tensor([[1.0, 0.0]]).double()
    context, weights = layer(query, layer.keys(memory), memory, lengths=[2])
    torch.testing.assert_close(weights, torch.tensor([[0.75, 0.25, 0.0]]).double())
    torch.testing.assert_close(context, torch.tensor([[0.75 * math.log(3.0), 0.0]]).double())


def test_what_is_refused() -> None:
    with pytest.raises(InputError, match="did you mean 'additive'"):
        Attention(Q, M, "aditive")
    with pytest.raises(InputError, match="as wide as its queries, 6; got 5"):
        Attention(Q, M, "multiplicative", 5)
