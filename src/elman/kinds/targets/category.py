"""`category:COL`: one of the classes that the training rows had, or with `multi_label` several.

One class a row: softmax and cross entropy. Several: a sigmoid and binary cross entropy for each
class, and those above a probability of 0.5 are answered.

Legend: N rows of a batch, R rows of answers, K classes.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import polars as pl
import torch
from torch import Tensor
from torch.nn import functional as F

from elman.errors import BadCellError, InputError
from elman.kinds.baselines.examples import Constant, LogisticRegression
from elman.kinds.inputs.input import Cells
from elman.kinds.scoring import classification
from elman.kinds.targets.classes import Classes, as_label
from elman.kinds.targets.target import Answers, Baseline, Examples, Target

MOST_COLUMNS = 20  # classes whose probabilities get columns of their own
_SURE = 1e-4  # the least share that a bias starts from: a logit of 9 is hard to unlearn


@dataclass(frozen=True)
class Category(Target):
    """A category as learnt.

    Attributes:
        columns: the one column.
        classes: with how often each occurred in training.
        balanced: whether each class weighs the same in training's loss.
        separator: between a row's classes; None for one class a row.
        smoothing: share of each truth spread over all classes in training (Szegedy 2016).
    """

    kind = "category"
    shape = "vector"
    score_name = "log loss"

    columns: tuple[str, ...]
    classes: Classes
    balanced: bool = False
    separator: str | None = None
    smoothing: float = 0.0

    @classmethod
    def learn(cls, columns: tuple[str, ...], rows: Iterable[Cells], options: Any) -> Self:
        """Learn the classes of the training rows.

        Raises:
            InputError: not one column is declared, or there are no classes to tell apart, or too
                many.
        """
        if len(columns) != 1:
            raise InputError(
                f"target category:{','.join(columns)}: expected one column, got {len(columns)}; "
                "for several classes a row put them into one column, and see --multi-label"
            )
        separator = options.multi_label
        labels = (_labels(cells[0], separator) for cells in rows)
        # A row without a class is left out here, and refused with its number when it is encoded.
        usable = (names for names in labels if names or separator)
        classes = Classes.learn(usable, columns[0], least=1 if separator else 2)
        balanced = options.class_weights == "balanced"
        return cls(columns, classes, balanced, separator, options.label_smoothing)

    @property
    def headline(self) -> str:
        """The score that a verdict is about."""
        return "exact" if self.separator else "accuracy"

    @property
    def output_size(self) -> int:
        """The number of classes."""
        return len(self.classes)

    def encode(self, cells: Cells) -> np.ndarray:
        """Return the class's place, `()`; with several classes a row 0 or 1 for each, `(K,)`.

        Raises:
            BadCellError: there is no class, or one that the training rows did not have.
        """
        places = [self.classes.index(label) for label in _labels(cells[0], self.separator)]
        if self.separator:
            truth_K = np.zeros(len(self.classes), np.float32)
            truth_K[places] = 1
            return truth_K
        if not places:
            raise BadCellError("the cell is empty; expected a category; fill it in")
        return np.array(places[0], np.int64)

    def losses(self, output_NO: Tensor, truth_N: Tensor, *, training: bool) -> Tensor:
        """Return each row's cross entropy, `(N,)`; of several classes the mean over classes."""
        smoothing = self.smoothing if training else 0.0
        if not self.separator:
            weights = self._weights(output_NO) if training and self.balanced else None
            return F.cross_entropy(
                output_NO, truth_N, weights, reduction="none", label_smoothing=smoothing
            )
        soft_NK = truth_N * (1 - smoothing) + smoothing / 2
        losses_NK = F.binary_cross_entropy_with_logits(output_NO, soft_NK, reduction="none")
        if training and self.balanced:
            losses_NK = losses_NK * torch.where(truth_N > 0, *self._both_weights(output_NO))
        return losses_NK.mean(1)

    def score(self, answers: Answers, truths: Sequence[Any]) -> dict[str, float | None]:
        """Return accuracy (or exact match), macro F1, ROC AUC, log loss and calibration error."""
        output_RK, truth = np.asarray(answers.outputs), self._stack(truths)
        if self.separator:
            return classification.several_scores(output_RK, truth)
        return classification.exclusive_scores(classification.log_softmax(output_RK), truth)

    def errors(self, answers: Answers, truths: Sequence[Any]) -> np.ndarray:
        """Return which rows are answered wrongly, `(R,)` bools: what a verdict's test compares."""
        output_RK, truth = np.asarray(answers.outputs), self._stack(truths)
        if self.separator:
            return ((output_RK > 0) != (truth > 0)).any(axis=1)
        return output_RK.argmax(axis=1) != truth

    def details(self, answers: Answers, truths: Sequence[Any]) -> dict[str, Any]:
        """Return confusion matrix, per-class table and calibration, for the report."""
        output_RK, truth = np.asarray(answers.outputs), self._stack(truths)
        if self.separator:
            return classification.several_details(self.classes.names, output_RK, truth)
        log_p_RK = classification.log_softmax(output_RK)
        return classification.exclusive_details(self.classes.names, log_p_RK, truth)

    def probabilities(self, answers: Answers) -> np.ndarray:
        """Return the probability of each class, `(R, K)`, in float64."""
        log_p = classification.log_sigmoid if self.separator else classification.log_softmax
        return np.exp(log_p(np.asarray(answers.outputs)))

    def frame(self, answers: Answers, truths: Sequence[Any] | None) -> pl.DataFrame:
        """Return prediction, its probability, that of each class if they are few, and truth."""
        p_RK = self.probabilities(answers)
        columns: dict[str, Any] = {}
        if self.separator:
            columns["prediction"] = [self._join(p_K > 0.5) for p_K in p_RK]
        else:
            columns["prediction"] = [self.classes.names[k] for k in p_RK.argmax(axis=1)]
            columns["probability"] = p_RK.max(axis=1)
        if len(self.classes) <= MOST_COLUMNS:
            columns |= {f"p_{name}": p_RK[:, k] for k, name in enumerate(self.classes.names)}
        if truths is not None:
            columns["truth"] = [self.text(truth) for truth in truths]
        return pl.DataFrame(columns)

    def text(self, truth: Any) -> str:
        """Return what an encoded truth says."""
        return self._join(truth > 0) if self.separator else self.classes.names[int(truth)]

    def baselines(self, examples: Examples, options: Any) -> list[Baseline]:
        """Return the majority class, and logistic regression on what can be counted."""
        name = "class frequencies" if self.separator else "majority class"
        several = bool(self.separator)
        return [
            Constant(name, lambda truths: self._start()),
            *LogisticRegression.fitting(examples, len(self.classes), several=several),
        ]

    def initial_bias(self) -> np.ndarray | None:
        """Return log frequencies (or log odds), from which a head starts; 0 if balanced."""
        return np.zeros(len(self.classes)) if self.balanced else self._start()

    def summary(self) -> str:
        """Return how many classes there are."""
        return f"{len(self.classes)} classes" + (", several a row" if self.separator else "")

    def as_dict(self) -> dict[str, Any]:
        """Return what `from_dict` takes, ready for JSON."""
        return {
            "kind": self.kind,
            "columns": list(self.columns),
            "classes": self.classes.as_dict(),
            "balanced": self.balanced,
            "separator": self.separator,
            "smoothing": self.smoothing,
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Self:
        """Return the category that `as_dict` described."""
        return cls(
            tuple(data["columns"]),
            Classes.from_dict(data["classes"]),
            data["balanced"],
            data["separator"],
            data["smoothing"],
        )

    def _start(self) -> np.ndarray:
        share_K = np.clip(self.classes.shares, _SURE, 1 - _SURE)
        return np.log(share_K) - (np.log1p(-share_K) if self.separator else 0.0)

    def _weights(self, like: Tensor) -> Tensor:
        return torch.as_tensor(self.classes.weights, dtype=like.dtype, device=like.device)

    def _both_weights(self, like: Tensor) -> tuple[Tensor, Tensor]:
        """Return weights of each class's presence and absence, each half of its loss."""
        share_K = np.clip(self.classes.shares, _SURE, 1 - _SURE)
        both = torch.as_tensor(np.stack([0.5 / share_K, 0.5 / (1 - share_K)]), dtype=like.dtype)
        there_K, absent_K = both.to(like.device)
        return there_K, absent_K

    def _stack(self, truths: Sequence[Any]) -> np.ndarray:
        if self.separator:
            return np.asarray(truths, np.float32).reshape(-1, len(self.classes))
        return np.asarray(truths, np.int64)

    def _join(self, there_K: np.ndarray) -> str:
        return (self.separator or "").join(self.classes.names[k] for k in np.flatnonzero(there_K))


def _labels(cell: Any, separator: str | None) -> list[str]:
    """Return the classes that a cell names, each once, in order."""
    if separator is None:
        return [label] if (label := as_label(cell)) else []
    parts = cell if isinstance(cell, list | tuple) else as_label(cell).split(separator)
    return list(dict.fromkeys(label for part in parts if (label := as_label(part))))
