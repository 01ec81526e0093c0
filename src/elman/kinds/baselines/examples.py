"""What a network has to beat on examples: constants, linear models, each word's usual tag.

Legend: R rows, F features, O values of an output, K classes, T steps.
"""

from __future__ import annotations

import warnings
from abc import abstractmethod
from collections import Counter, defaultdict
from collections.abc import Callable
from dataclasses import replace
from typing import Any, Self

import numpy as np

from elman.kinds.baselines.design import Design
from elman.kinds.targets.target import Answers, Baseline, Examples

MOST_FEATURES = 500_000  # of a column of text: of IMDB's, about those of two reviews or more
MOST_WEIGHTS = 20_000_000  # of a linear model: features times outputs
MOST_WORK = 200_000_000  # values of all rows times outputs: some 20 s of fitting
MOST_LETTERS = 60_000_000  # of text that is counted: twice the 25,000 reviews of IMDB
_PENALTY = 0.2  # of the logistic regression's squared weights: 1 / C
_NEVER = -30.0  # the logit of a class that no training row had


class Constant(Baseline):
    """The same answer for every row, or for every step of every row.

    Args:
        name: what scores call it.
        summary: returns the output, `(O,)`, from the training rows' (or steps') truths.
        each_step: whether a truth is an array of a step each.
    """

    def __init__(
        self, name: str, summary: Callable[[np.ndarray], np.ndarray], *, each_step: bool = False
    ) -> None:
        self.name, self._summary, self._each_step = name, summary, each_step
        self._output_O = np.zeros(0)

    def fit(self, train: Examples) -> Self:
        """Learn the one answer."""
        join = np.concatenate if self._each_step else np.asarray
        self._output_O = np.asarray(self._summary(join(train.truths)), np.float64)
        return self

    def answer(self, examples: Examples) -> Answers:
        """Give it for each row, or step."""
        if self._each_step:
            return Answers(outputs=[np.tile(self._output_O, (len(t), 1)) for t in examples.truths])
        return Answers(outputs=np.tile(self._output_O, (len(examples.truths), 1)))


class Linear(Baseline):
    """A linear model on what `Design` sees.

    So that fitting takes a bounded time, it may see a random part of the training rows; its name
    then says of how many.

    Args:
        seen: what it sees, in words.
        num_outputs: O.
    """

    model_name: str

    def __init__(self, seen: str, num_outputs: int) -> None:
        self.name = f"{seen} with {self.model_name}"
        self._num_outputs = num_outputs
        self._design = Design(min(MOST_FEATURES, MOST_WEIGHTS // num_outputs))

    def fit(self, train: Examples) -> Self:
        """Learn from the training rows."""
        order = np.random.default_rng(0).permutation(len(train.truths))
        letters = sum(
            (np.array([len(str(cell)) for cell in cells]) for cells in train.inputs.values()),
            np.zeros(len(order)),
        )
        order = order[: max(1, int((np.cumsum(letters[order]) <= MOST_LETTERS).sum()))]
        x_RF = self._design.fit(_rows(train, order))
        share = MOST_WORK / max(1, x_RF.nnz * self._num_outputs)
        order = order[: max(1, int(len(order) * min(1.0, share)))]
        if len(order) < len(train.truths):
            self.name += f" of {len(order):,} rows"
        self._fit(x_RF[: len(order)], np.asarray([train.truths[row] for row in order]))
        return self

    def answer(self, examples: Examples) -> Answers:
        """Answer other rows."""
        return Answers(outputs=self._answer(self._design.of(examples)))

    @abstractmethod
    def _fit(self, x_RF: Any, truths: np.ndarray) -> None: ...

    @abstractmethod
    def _answer(self, x_RF: Any) -> np.ndarray: ...


class LogisticRegression(Linear):
    """Multinomial logistic regression; for several classes a row one for each class."""

    model_name = "logistic regression"

    @classmethod
    def fitting(cls, examples: Examples, num_classes: int, *, several: bool) -> list[Self]:
        """Return one for such examples, or none if it would see nothing of them."""
        seen = Design.describe(examples)
        return [cls(seen, num_classes, several)] if seen else []

    def __init__(self, seen: str, num_classes: int, several: bool) -> None:
        super().__init__(seen, num_classes)
        self._several = several
        self._models: list[Callable[[Any], np.ndarray]] = []

    def _fit(self, x_RF: Any, truths: np.ndarray) -> None:
        if self._several:
            self._models = [_logits(x_RF, truth_R.astype(int), 2) for truth_R in truths.T]
        else:
            self._models = [_logits(x_RF, truths, self._num_outputs)]

    def _answer(self, x_RF: Any) -> np.ndarray:
        if not self._several:
            return self._models[0](x_RF)
        pairs = [model(x_RF) for model in self._models]
        return np.stack([pair_R2[:, 1] - pair_R2[:, 0] for pair_R2 in pairs], axis=1)


def _logits(x_RF: Any, truth_R: np.ndarray, num_classes: int) -> Callable[[Any], np.ndarray]:
    """Return what gives the logits of rows, `(R, K)`, fitted to these; only classes seen differ."""
    from sklearn import linear_model
    from sklearn.exceptions import ConvergenceWarning

    seen_S = np.unique(truth_R)
    model = linear_model.LogisticRegression(C=1 / _PENALTY, max_iter=200)
    if len(seen_S) > 1:
        with warnings.catch_warnings():
            # Cut short it is still a model that has to be beaten.
            warnings.simplefilter("ignore", ConvergenceWarning)
            model.fit(x_RF, truth_R)

    def logits(x_RF: Any) -> np.ndarray:
        output_RK = np.full((x_RF.shape[0], num_classes), _NEVER)
        output_RK[:, seen_S] = 0.0
        if len(seen_S) > 2:
            output_RK[:, seen_S] = model.decision_function(x_RF)
        elif len(seen_S) == 2:
            output_RK[:, seen_S[1]] = model.decision_function(x_RF)
        return output_RK

    return logits


class Ridge(Linear):
    """Linear regression with squared weights penalised.

    Args:
        link: returns the head's outputs from answers in the truths' scale.
    """

    model_name = "ridge regression"

    @classmethod
    def fitting(
        cls, examples: Examples, num_outputs: int, link: Callable[[np.ndarray], np.ndarray]
    ) -> list[Self]:
        """Return one for such examples, or none if it would see nothing of them."""
        seen = Design.describe(examples)
        return [cls(seen, num_outputs, link)] if seen else []

    def __init__(
        self, seen: str, num_outputs: int, link: Callable[[np.ndarray], np.ndarray]
    ) -> None:
        super().__init__(seen, num_outputs)
        self._link = link
        self._model: Any = None

    def _fit(self, x_RF: Any, truths: np.ndarray) -> None:
        from sklearn import linear_model

        self._model = linear_model.Ridge(solver="sparse_cg")
        self._model.fit(x_RF, truths.reshape(len(truths), -1).astype(np.float64))

    def _answer(self, x_RF: Any) -> np.ndarray:
        return self._link(self._model.predict(x_RF).reshape(x_RF.shape[0], -1))


class TagOfWord(Baseline):
    """Each word's most frequent tag; of a word not seen, that of words seen once.

    Its probabilities are the shares of tags that a word had, beside which the shares of all words
    count as one more occurrence.
    """

    name = "most frequent tag per word"

    def __init__(self, num_tags: int) -> None:
        self._num_tags = num_tags
        self._known: dict[str, np.ndarray] = {}
        self._unknown_K = np.zeros(num_tags)

    def fit(self, train: Examples) -> Self:
        """Count the tags of each word."""
        counts: dict[str, Counter[int]] = defaultdict(Counter)
        for words, truth_T in zip(train.steps, train.truths, strict=True):
            for word, tag in zip(words, truth_T.tolist(), strict=True):
                counts[word][tag] += 1
        tables = {word: self._table(tags) for word, tags in counts.items()}
        every_K = sum(tables.values(), np.zeros(self._num_tags))
        once_K = sum((t for t in tables.values() if t.sum() == 1), np.zeros(self._num_tags))
        share_K = (every_K + 1) / (every_K + 1).sum()
        self._known = {
            word: np.log((table + share_K) / (table.sum() + 1)) for word, table in tables.items()
        }
        self._unknown_K = np.log((once_K + share_K) / (once_K.sum() + 1))
        return self

    def answer(self, examples: Examples) -> Answers:
        """Answer the words of other rows."""
        return Answers(
            outputs=[
                np.stack([self._known.get(word, self._unknown_K) for word in words])
                for words in examples.steps
            ]
        )

    def _table(self, tags: Counter[int]) -> np.ndarray:
        table_K = np.zeros(self._num_tags)
        table_K[list(tags)] = list(tags.values())
        return table_K


def _rows(examples: Examples, rows: np.ndarray) -> Examples:
    return replace(
        examples,
        inputs={name: [cells[row] for row in rows] for name, cells in examples.inputs.items()},
        features=None if examples.features is None else examples.features[rows],
        truths=[examples.truths[row] for row in rows],
    )
