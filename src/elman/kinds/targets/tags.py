"""`tags:COL`: one tag for each step of the input, such as a part of speech for each word.

Legend: N steps of a batch, R rows, T steps of a row, K tags.
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
from elman.kinds.baselines.examples import Constant, TagOfWord
from elman.kinds.inputs.input import Cells
from elman.kinds.scoring import classification
from elman.kinds.targets.classes import Classes, as_label
from elman.kinds.targets.target import Answers, Baseline, Examples, Target

_SURE = 1e-4  # the least share that a bias starts from
_SHOWN = 6  # words and tags that a message shows


@dataclass(frozen=True)
class Tags(Target):
    """Tags as learnt.

    Attributes:
        columns: the one column.
        classes: the tags, with how often each occurred in training.
        balanced: whether each tag weighs the same in training's loss.
        smoothing: share of each truth spread over all tags in training (Szegedy 2016).
    """

    kind = "tags"
    shape = "steps"
    score_name = "log loss"

    columns: tuple[str, ...]
    classes: Classes
    balanced: bool = False
    smoothing: float = 0.0

    @classmethod
    def learn(cls, columns: tuple[str, ...], rows: Iterable[Cells], options: Any) -> Self:
        """Learn the tags of the training rows.

        Raises:
            InputError: not one column is declared, or there are no tags to tell apart, or too many.
        """
        if len(columns) != 1:
            raise InputError(
                f"target tags:{','.join(columns)}: expected one column, got {len(columns)}"
            )
        classes = Classes.learn(([tag] for cells in rows for tag in split(cells[0])), columns[0])
        return cls(columns, classes, options.class_weights == "balanced", options.label_smoothing)

    @property
    def headline(self) -> str:
        """The score that a verdict is about."""
        return "accuracy"

    @property
    def output_size(self) -> int:
        """The number of tags."""
        return len(self.classes)

    def encode(self, cells: Cells) -> np.ndarray:
        """Return the tags' places, `(T,)`.

        Raises:
            BadCellError: there is no tag, or one that the training rows did not have.
        """
        tags = split(cells[0])
        if not tags:
            raise BadCellError("the cell is empty; expected a tag for each word; fill it in")
        return np.array([self.classes.index(tag) for tag in tags], np.int64)

    def losses(self, output_NO: Tensor, truth_N: Tensor, *, training: bool) -> Tensor:
        """Return each step's cross entropy, `(N,)`."""
        weights = None
        if training and self.balanced:
            weights = torch.as_tensor(
                self.classes.weights, dtype=output_NO.dtype, device=output_NO.device
            )
        smoothing = self.smoothing if training else 0.0
        return F.cross_entropy(
            output_NO, truth_N, weights, reduction="none", label_smoothing=smoothing
        )

    def score(self, answers: Answers, truths: Sequence[Any]) -> dict[str, float | None]:
        """Return accuracy over all steps, macro F1, log loss, and the share of rows all right."""
        log_p_NK, truth_N = self._flat(answers, truths)
        scores = classification.exclusive_scores(log_p_NK, truth_N)
        wrong_R = self.errors(answers, truths)
        whole = float((wrong_R == 0).mean()) if len(wrong_R) else None
        return {
            "accuracy": scores["accuracy"],
            "macro_f1": scores["macro_f1"],
            "sentence_accuracy": whole,
            "log_loss": scores["log_loss"],
        }

    def errors(self, answers: Answers, truths: Sequence[Any]) -> np.ndarray:
        """Return each row's number of wrong tags, `(R,)`: what a verdict's test compares.

        Steps of a row depend on each other; rows, it is taken, do not.
        """
        pairs = zip(answers.outputs, truths, strict=True)
        return np.array([float((output.argmax(1) != truth).sum()) for output, truth in pairs])

    def details(self, answers: Answers, truths: Sequence[Any]) -> dict[str, Any]:
        """Return confusion matrix, per-tag table and calibration, for the report."""
        return classification.exclusive_details(self.classes.names, *self._flat(answers, truths))

    def tags(self, answers: Answers) -> list[list[str]]:
        """Return each row's tags."""
        return [self._names(np.asarray(output_TK).argmax(1)) for output_TK in answers.outputs]

    def frame(self, answers: Answers, truths: Sequence[Any] | None) -> pl.DataFrame:
        """Return a row's tags in one cell as `prediction` and `truth`, and the share correct."""
        columns: dict[str, Any] = {"prediction": [" ".join(tags) for tags in self.tags(answers)]}
        if truths is not None:
            lengths = np.array([len(truth_T) for truth_T in truths])
            columns["truth"] = [self.text(truth_T) for truth_T in truths]
            columns["correct"] = 1 - self.errors(answers, truths) / np.maximum(lengths, 1)
        return pl.DataFrame(columns)

    def aligned(self, words: Sequence[Sequence[str]], answers: Answers) -> pl.DataFrame:
        """Return the tags word by word: row, position (both from 0), word, tag, probability."""
        lengths = [len(row) for row in words]
        tags = self.tags(answers)
        p_N = np.exp(classification.log_softmax(self._concatenate(answers)).max(axis=1))
        return pl.DataFrame(
            {
                "row": np.repeat(np.arange(len(lengths)), lengths),
                "position": [place for length in lengths for place in range(length)],
                "word": [word for row in words for word in row],
                "tag": [tag for row in tags for tag in row],
                "probability": p_N,
            }
        )

    def text(self, truth: Any) -> str:
        """Return what an encoded truth says."""
        return " ".join(self._names(truth))

    def baselines(self, examples: Examples, options: Any) -> list[Baseline]:
        """Return the most frequent tag, and if there are words the most frequent of each."""
        usual = Constant("most frequent tag", lambda truth_N: self._start(), each_step=True)
        return [usual, TagOfWord(len(self.classes))] if examples.steps else [usual]

    def initial_bias(self) -> np.ndarray | None:
        """Return log frequencies, from which a head starts; 0 if balanced."""
        return np.zeros(len(self.classes)) if self.balanced else self._start()

    def summary(self) -> str:
        """Return how many tags there are."""
        return f"{len(self.classes)} tags"

    def as_dict(self) -> dict[str, Any]:
        """Return what `from_dict` takes, ready for JSON."""
        return {
            "kind": self.kind,
            "columns": list(self.columns),
            "classes": self.classes.as_dict(),
            "balanced": self.balanced,
            "smoothing": self.smoothing,
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Self:
        """Return the tags that `as_dict` described."""
        classes = Classes.from_dict(data["classes"])
        return cls(tuple(data["columns"]), classes, data["balanced"], data["smoothing"])

    def _start(self) -> np.ndarray:
        return np.log(np.maximum(self.classes.shares, _SURE))

    def _names(self, places_T: np.ndarray) -> list[str]:
        return [self.classes.names[place] for place in np.asarray(places_T).tolist()]

    def _flat(self, answers: Answers, truths: Sequence[Any]) -> tuple[np.ndarray, np.ndarray]:
        truth_N = np.concatenate([np.zeros(0, np.int64), *truths])
        return classification.log_softmax(self._concatenate(answers)), truth_N

    def _concatenate(self, answers: Answers) -> np.ndarray:
        """Return the outputs of all rows' steps, `(N, K)`; there may be no row."""
        return np.concatenate([np.zeros((0, len(self.classes))), *answers.outputs])


def split(cell: Any) -> list[str]:
    """Return the tags in a cell: text with spaces between them, or a list."""
    parts = cell if isinstance(cell, list | tuple) else as_label(cell).split()
    return [as_label(part) for part in parts]


def disagree(words: Sequence[str], tags: Sequence[str]) -> BadCellError:
    """Return the error for a row that has not as many tags as words."""
    pairs = zip(words[:_SHOWN], tags[:_SHOWN], strict=False)
    begins = " ".join(f"{word}/{tag}" for word, tag in pairs)
    return BadCellError(
        f"{_count(words, 'word')} and {_count(tags, 'tag')}; expected a tag for each word, with "
        f"spaces between them; the row begins {begins}"
    )


def _count(items: Sequence[str], noun: str) -> str:
    return f"{len(items):,} {noun}{'' if len(items) == 1 else 's'}"
