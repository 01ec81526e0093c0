"""What a linear model sees of examples: counts of words, of letters and k-mers, and features.

Legend: R rows, F features, all kinds of input side by side.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from elman.kinds.targets.target import Examples

_FEW_WORDS = 2  # names and single words are told by their letters, not by being this word
_WORD = r"\w+"  # also of one letter, as in text that stands for symbols
_LOOKED_AT = 1000  # cells that tell words from names
_PLACES = 500  # letters of DNA that are looked at by their place
_LONGEST_KMER = 4
_WORDS = "bag of 1-2 grams"
_LETTERS = "bag of letter 1-4 grams"


class Design:
    """Turns examples into one sparse matrix `(R, F)`, as learnt from the training rows.

    Args:
        most_features: of each input, those that occur most are kept.
    """

    def __init__(self, most_features: int) -> None:
        self._most = most_features
        self._parts: list[Callable[[Examples], Any]] = []

    @staticmethod
    def describe(examples: Examples) -> str | None:
        """Return what would be seen of such examples, in words; None if nothing."""
        kinds = examples.kinds.items()
        names = [
            _WORDS if _has_words(examples.inputs[c]) else _LETTERS for c, k in kinds if k == "text"
        ]
        names += ["letters by place and k-mers" for _, kind in kinds if kind == "dna"]
        names += ["mean features"] * (examples.features is not None)
        return " and ".join(dict.fromkeys(names)) or None

    def fit(self, train: Examples) -> Any:
        """Learn from the training rows, and return them."""
        learn = {"text": self._words, "dna": self._letters}
        self._parts = [
            part
            for column, kind in train.kinds.items()
            if kind in learn
            for part in learn[kind](column, train.inputs[column])
        ]
        if train.features is not None:
            self._parts.append(_scaled(train.features))
        return self.of(train)

    def of(self, examples: Examples) -> Any:
        """Return rows as a sparse matrix."""
        from scipy import sparse

        return sparse.hstack([part(examples) for part in self._parts], format="csr")

    def _words(self, column: str, cells: Sequence[Any]) -> list[Callable[[Examples], Any]]:
        if _has_words(cells):
            return [self._counted(column, cells, ngram_range=(1, 2), token_pattern=_WORD)]
        return [self._counted(column, cells, analyzer="char_wb", ngram_range=(1, 4))]

    def _letters(self, column: str, cells: Sequence[Any]) -> list[Callable[[Examples], Any]]:
        longest = min(_PLACES, max(len(_text(cell)) for cell in cells))
        kmers = self._counted(column, cells, analyzer="char", ngram_range=(1, _LONGEST_KMER))
        return [lambda examples: _by_place(examples.inputs[column], longest), kmers]

    def _counted(self, column: str, cells: Sequence[Any], **how: Any) -> Callable[[Examples], Any]:
        from sklearn.feature_extraction.text import TfidfVectorizer

        # A rare word of a thousand counts more than the fourth occurrence of a common one.
        counts = TfidfVectorizer(
            preprocessor=lambda cell: _text(cell).lower(),
            max_features=self._most,
            sublinear_tf=True,
            dtype=np.float32,  # pyright: ignore[reportArgumentType] (its stub: float64 alone)
            **how,
        ).fit(cells)
        return lambda examples: counts.transform(examples.inputs[column])


def _scaled(features_RF: np.ndarray) -> Callable[[Examples], Any]:
    from scipy import sparse

    mean_F, scale_F = features_RF.mean(axis=0), features_RF.std(axis=0)
    scale_F = np.where(scale_F > 0, scale_F, 1.0)
    return lambda examples: sparse.csr_matrix(
        ((examples.features - mean_F) / scale_F).astype(np.float32)
    )


def _by_place(cells: Sequence[Any], longest: int) -> Any:
    """Return which of 256 letters stands at each of the first places, `(R, longest * 256)`.

    Rows are about of length 1, as those of counts are, so that one penalty does for both.
    """
    from scipy import sparse

    rows, columns = [], []
    for row, cell in enumerate(cells):
        letters = np.frombuffer(_text(cell).upper().encode("latin-1", "replace"), np.uint8)
        columns.append(np.arange(len(letters[:longest])) * 256 + letters[:longest])
        rows.append(np.full(len(columns[-1]), row))
    at = (np.concatenate(rows), np.concatenate(columns))
    there = np.full(len(at[0]), longest**-0.5, np.float32)
    return sparse.csr_matrix((there, at), shape=(len(cells), longest * 256))


def _has_words(cells: Sequence[Any]) -> bool:
    some = cells[:: max(1, len(cells) // _LOOKED_AT)]
    return bool(np.median([len(re.findall(_WORD, _text(cell))) for cell in some]) > _FEW_WORDS)


def _text(cell: Any) -> str:
    return "" if cell is None else str(cell)
