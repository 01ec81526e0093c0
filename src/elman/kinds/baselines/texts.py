"""What a network that answers texts has to beat: the commonest text, and the nearest row's.

Legend: R training rows, Q rows to be answered, V different words.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Iterable
from typing import Any, Self

from elman.kinds.targets.target import Answers, Baseline, Examples


class MostFrequentText(Baseline):
    """The text that is right most often in training, whatever goes in."""

    name = "most frequent answer"

    def fit(self, train: Examples) -> Self:
        """Find it."""
        self._answer = _commonest(text for references in train.truths for text in references)
        return self

    def answer(self, examples: Examples) -> Answers:
        """Answer it, to every row."""
        return Answers(texts=[[self._answer]] * len(examples.truths))


class MostFrequentByValue(Baseline):
    """The text that is right most often in training for a row's values; if new, for all."""

    name = "most frequent by value"

    def __init__(self, columns: tuple[str, ...]) -> None:
        self._columns = columns

    def fit(self, train: Examples) -> Self:
        """Find it for each combination of values."""
        texts: dict[Hashable, list[str]] = {}
        for key, references in zip(self._keys(train), train.truths, strict=True):
            texts.setdefault(key, []).extend(references)
        self._usual = _commonest(text for references in train.truths for text in references)
        self._answers = {key: _commonest(listed) for key, listed in texts.items()}
        return self

    def answer(self, examples: Examples) -> Answers:
        """Answer by each row's values."""
        return Answers(texts=[[self._answers.get(k, self._usual)] for k in self._keys(examples)])

    def _keys(self, examples: Examples) -> list[Hashable]:
        columns = [examples.inputs[column] for column in self._columns]
        return [tuple(map(str, cells)) for cells in zip(*columns, strict=True)]


class NearestText(Baseline):
    """The answer to the training text whose words are most alike, by TF-IDF and cosine."""

    name = "nearest neighbour"
    _ROOM = 2**24  # numbers held at once

    def __init__(self, columns: tuple[str, ...]) -> None:
        self._columns = columns

    def fit(self, train: Examples) -> Self:
        """Weigh the words of the training texts."""
        from sklearn.feature_extraction.text import TfidfVectorizer

        self._weigh: Any = TfidfVectorizer(token_pattern=r"\w+|[^\w\s]")
        self._known_RV = self._weigh.fit_transform(self._sources(train))
        self._answers = [references[0] for references in train.truths]
        return self

    def answer(self, examples: Examples) -> Answers:
        """Answer what was right for the nearest; of equally near ones, the first."""
        rows_QV = self._weigh.transform(self._sources(examples))
        at_once = max(1, self._ROOM // sum(self._known_RV.shape))
        nearest: list[int] = []
        for start in range(0, rows_QV.shape[0], at_once):
            # Times dense rows: common words make the product dense, and a sparse one slow.
            likeness_RQ = self._known_RV @ rows_QV[start : start + at_once].toarray().T
            nearest += likeness_RQ.argmax(axis=0).tolist()
        return Answers(texts=[[self._answers[place]] for place in nearest])

    def _sources(self, examples: Examples) -> list[str]:
        columns = [examples.inputs[column] for column in self._columns]
        return [
            " ".join(cell if isinstance(cell, str) else " ".join(cell) for cell in cells)
            for cells in zip(*columns, strict=True)
        ]


def _commonest(texts: Iterable[str]) -> str:
    return Counter(texts).most_common(1)[0][0]  # of equally common ones, the first
