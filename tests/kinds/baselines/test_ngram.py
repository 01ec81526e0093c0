"""Kneser-Ney n-grams: worked by hand, sums to one, and as good as published on Penn Treebank."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from elman.kinds.baselines.ngram import MOST, KneserNey


def probability(model: KneserNey, history: list[int], token: int) -> float:
    stream = np.array([*history, token])
    return math.exp(-model.nats(stream, start=len(history))[0])


def test_a_bigram_worked_by_hand() -> None:
    """Tokens a b a b a c d, as 0 1 0 1 0 2 3, of a vocabulary of 4."""
    model = KneserNey.learn(np.array([0, 1, 0, 1, 0, 2, 3]), 4, order=2)
    # Bigrams: ab 2, ba 2, ac 1, cd 1. Two are seen once, two twice: D2 = 2 / (2 + 4) = 1/3.
    # Below, a token counts how many different ones come before it: a 1 (b), b 1, c 1, d 1: four
    # are seen once, none twice: D1 = 1, kept at 0.95 at most; four kinds, four in all.
    d2, d1 = 1 / 3, 0.95
    assert [order.discount for order in model.orders] == pytest.approx([d1, d2])
    unigram = (1 - d1) / 4 + d1 * 4 / 4 * 1 / 4  # the same for every token: 1/4
    assert unigram == pytest.approx(0.25)
    # a is followed by b twice and c once: c(a) = 3, two kinds.
    assert probability(model, [0], 1) == pytest.approx((2 - d2) / 3 + d2 * 2 / 3 * unigram)
    assert probability(model, [0], 2) == pytest.approx((1 - d2) / 3 + d2 * 2 / 3 * unigram)
    assert probability(model, [0], 3) == pytest.approx(d2 * 2 / 3 * unigram)
    assert probability(model, [2], 3) == pytest.approx((1 - d2) / 1 + d2 * 1 / 1 * unigram)
    # d was never followed by anything: the lower order alone.
    assert probability(model, [3], 0) == pytest.approx(unigram)


def test_a_unigram_is_frequencies_discounted() -> None:
    model = KneserNey.learn(np.array([0, 0, 0, 1, 1, 2]), 4, order=1)
    discount = 1 / (1 + 2 * 1)  # one token once, one twice
    rest = discount * 3 / 6 / 4
    expected = [
        (3 - discount) / 6 + rest,
        (2 - discount) / 6 + rest,
        (1 - discount) / 6 + rest,
        rest,
    ]
    found = [probability(model, [0], token) for token in range(4)]
    assert found == pytest.approx(expected)


@settings(max_examples=40, deadline=None)
@given(
    tokens=st.lists(st.integers(0, 4), min_size=2, max_size=60),
    order=st.integers(1, 4),
    history=st.lists(st.integers(0, 5), max_size=5),
)
def test_probabilities_of_all_tokens_sum_to_one(tokens, order, history) -> None:
    model = KneserNey.learn(np.array(tokens), 6, order)
    total = sum(probability(model, history, token) for token in range(6))
    assert total == pytest.approx(1, abs=1e-9)


@given(st.lists(st.integers(0, 3), min_size=3, max_size=40))
def test_a_stream_is_scored_as_its_tokens_one_by_one(tokens) -> None:
    model = KneserNey.learn(np.array([0, 1, 2, 3, 0, 1, 1, 2, 0, 3]), 4, order=3)
    stream = np.array(tokens)
    alone = [model.nats(stream[max(0, at - 2) : at + 1], start=min(at, 2))[0]
             for at in range(1, len(stream))]  # fmt: skip
    np.testing.assert_allclose(model.nats(stream), alone, rtol=1e-12)


def test_of_a_large_vocabulary_fewer_tokens_fit_a_key() -> None:
    tokens = np.arange(100)
    assert len(KneserNey.learn(tokens, 10_000).orders) == 4
    assert len(KneserNey.learn(tokens, 50, MOST).orders) == MOST
    assert len(KneserNey.learn(np.array([1, 2]), 50).orders) == 2


def test_penn_treebank_is_as_published(public_data) -> None:
    """About 145 by Kneser-Ney of order 5 (Mikolov et al. 2011: 141.2); of order 4 a little more."""
    from elman.kinds.generation.language import Language

    class Options:
        level, vocabulary, min_count, lowercase, split_words = "word", 10_010, 1, False, "spaces"

    parts = {
        name: [line.strip() for line in (public_data / f"ptb/ptb.{name}.txt").open()]
        for name in ("train", "test")
    }
    language = Language.learn("text", iter(parts["train"]), Options)
    train, test = (language.stream(rows, np.arange(len(rows))).tokens for rows in parts.values())
    assert len(train) == 929_589
    assert len(test) == 82_430
    model = KneserNey.learn(train, len(language.vocabulary), 4)
    perplexity = math.exp(model.nats(test).mean())
    assert perplexity == pytest.approx(145, abs=4)
