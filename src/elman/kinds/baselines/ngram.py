"""The n-gram that a generator has to beat: interpolated Kneser-Ney (Kneser & Ney 1995).

    P(w | h) = max(c(hw) - D, 0) / c(h) + D n(h) / c(h) P(w | h')

h' is h without its first token, n(h) the number of different tokens seen after h, D the discount
n1 / (n1 + 2 n2) of Ney, Essen & Kneser (1994). Below the highest order a count c is of the
different tokens seen before, and below the first order every token is equally likely.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import numpy as np

MOST = 6  # tokens of an n-gram; more tell little where texts are small enough for this


@dataclass(frozen=True)
class _Order:
    """Counts of one order: sorted keys of histories with what follows them."""

    grams: np.ndarray  # sorted keys of (h, w)
    counts: np.ndarray
    histories: np.ndarray  # sorted keys of h
    totals: np.ndarray  # c(h)
    kinds: np.ndarray  # n(h)
    discount: float


@dataclass(frozen=True)
class KneserNey:
    """An n-gram model of ids from 0 to `size` - 1; `orders[0]` is the unigram's."""

    size: int
    orders: tuple[_Order, ...]

    @classmethod
    def learn(cls, tokens: np.ndarray, size: int, order: int = MOST) -> Self:
        """Count the n-grams of a stream; of a large vocabulary, of as many tokens as a key holds.

        Args:
            tokens: ids, `(N,)`.
            size: of the vocabulary.
            order: tokens of an n-gram, the one foretold included.
        """
        order = max(1, min(order, len(tokens), int(62 / np.log2(max(size, 2)))))
        tokens = tokens.astype(np.int64)
        made = []
        longer: np.ndarray | None = None  # the different n-grams of one order more
        for n in range(order, 0, -1):
            if longer is None:
                grams, counts = np.unique(_keys(tokens, n, size), return_counts=True)
            else:  # how many different tokens come before each
                grams, counts = np.unique(longer % size**n, return_counts=True)
            made.append(_order(grams, counts, size))
            longer = grams
        return cls(size, tuple(reversed(made)))

    def nats(self, tokens: np.ndarray, start: int = 1) -> np.ndarray:
        """Return `-ln P(token | those before it)` of each token from the one at `start` on."""
        tokens = tokens.astype(np.int64)
        probability = np.full(len(tokens) - start, 1 / self.size)
        for n, order in enumerate(self.orders, start=1):
            # Of the first tokens there is too little history: they keep the lower order's.
            first = max(start, n - 1)
            if first >= len(tokens):
                break
            grams = _keys(tokens[first - n + 1 :], n, self.size)
            lower = probability[first - start :]
            probability[first - start :] = _interpolate(order, grams, lower, self.size)
        return -np.log(probability)


def _keys(tokens: np.ndarray, n: int, size: int) -> np.ndarray:
    """Return each n-gram as one number, its last token the lowest digit."""
    keys = np.zeros(len(tokens) - n + 1, np.int64)
    for place in range(n):
        keys = keys * size + tokens[place : place + len(keys)]
    return keys


def _order(grams: np.ndarray, counts: np.ndarray, size: int) -> _Order:
    histories, first, kinds = np.unique(grams // size, return_index=True, return_counts=True)
    once, twice = int((counts == 1).sum()), int((counts == 2).sum())
    discount = once / (once + 2 * twice) if once else 0.0
    # With no n-gram seen twice all mass would be given away.
    discount = min(max(discount, 0.1), 0.95)
    return _Order(grams, counts, histories, np.add.reduceat(counts, first), kinds, discount)


def _interpolate(order: _Order, grams: np.ndarray, lower: np.ndarray, size: int) -> np.ndarray:
    count = _look_up(order.grams, order.counts, grams)
    history = grams // size
    total = _look_up(order.histories, order.totals, history)
    kinds = _look_up(order.histories, order.kinds, history)
    known = np.maximum(total, 1)
    seen = np.maximum(count - order.discount, 0) / known
    return np.where(total > 0, seen + order.discount * kinds / known * lower, lower)


def _look_up(keys: np.ndarray, values: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    """Return the value of each wanted key, 0 where there is none."""
    at = np.minimum(np.searchsorted(keys, wanted), len(keys) - 1)
    return np.where(keys[at] == wanted, values[at], 0)
