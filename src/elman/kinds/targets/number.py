"""`number:COL[,COL...]`: one or several numbers, in standard deviations of the training rows.

The loss is the squared error, whose least is at the mean: a validation score of 1 is what the
training rows' mean would get, and 0.2 is about an R² of 0.8.

Legend: N rows of a batch, R rows of answers, C target columns.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import polars as pl
from torch import Tensor

from elman.errors import BadCellError, InputError
from elman.kinds.baselines.examples import Constant, Ridge
from elman.kinds.inputs.input import Cells
from elman.kinds.scaling import Scaling
from elman.kinds.scoring.regression import as_number, number_scores, scatter
from elman.kinds.targets.target import Answers, Baseline, Examples, Target


@dataclass(frozen=True)
class Number(Target):
    """Numbers as learnt.

    Attributes:
        columns: the number columns.
        scaling: mean and standard deviation of each in the training rows.
    """

    kind = "number"
    shape = "vector"
    score_name = "squared error (scaled)"

    columns: tuple[str, ...]
    scaling: Scaling

    @classmethod
    def learn(cls, columns: tuple[str, ...], rows: Iterable[Cells], options: Any) -> Self:
        """Learn each column's scale from the training rows.

        Raises:
            InputError: there is no number, or a column does not vary.
        """
        values_RC = np.array(list(_usable(rows))).reshape(-1, len(columns))
        if not len(values_RC):
            raise InputError(
                f"target number:{','.join(columns)}: no training row has a number; expected "
                "numbers; for classes declare category"
            )
        for column, low, high in zip(columns, values_RC.min(0), values_RC.max(0), strict=True):
            if low == high:
                raise InputError(
                    f"column {column!r}: every training row has {low:g}; expected numbers that "
                    "vary; leave the column out"
                )
        scaling = Scaling.learn("standard", columns, {None: values_RC}, by_group=False)
        return cls(columns, scaling)

    @property
    def headline(self) -> str:
        """The score that a verdict is about."""
        return "mae"

    @property
    def output_size(self) -> int:
        """The number of columns."""
        return len(self.columns)

    def encode(self, cells: Cells) -> np.ndarray:
        """Return a row's scaled numbers, `(C,)`.

        Raises:
            BadCellError: a cell has no number.
        """
        values_C = np.array([_number(*named) for named in zip(self._said, cells, strict=True)])
        return self.scaling.scale(None, values_C).astype(np.float32)

    def losses(self, output_NO: Tensor, truth_N: Tensor, *, training: bool) -> Tensor:
        """Return each row's squared error, the mean over its columns, `(N,)`."""
        return ((output_NO - truth_N) ** 2).mean(1)

    def score(self, answers: Answers, truths: Sequence[Any]) -> dict[str, float | None]:
        """Return MAE, RMSE, R² and correlation in the column's own unit.

        Of several columns, each with a unit of its own: the means of the scaled columns' scores.
        """
        truth_RC, answer_RC = self._comparable(answers, truths)
        each = [number_scores(*both) for both in zip(truth_RC.T, answer_RC.T, strict=True)]
        known = {key: [scores[key] for scores in each] for key in each[0]}
        return {
            key: None if None in values else float(np.mean(np.array(values, np.float64)))
            for key, values in known.items()
        }

    def errors(self, answers: Answers, truths: Sequence[Any]) -> np.ndarray:
        """Return each row's absolute error, `(R,)`: what a verdict's test compares."""
        truth_RC, answer_RC = self._comparable(answers, truths)
        return np.abs(answer_RC - truth_RC).mean(axis=1)

    def details(self, answers: Answers, truths: Sequence[Any]) -> dict[str, Any]:
        """Return truths beside predictions, for the report; of several columns the scaled ones."""
        truth_RC, answer_RC = self._comparable(answers, truths)
        both = np.concatenate([truth_RC.ravel(), answer_RC.ravel()])
        bounds = [float(both.min()), float(both.max())] if len(both) else [0.0, 1.0]
        return {"scatter": scatter(truth_RC.ravel(), answer_RC.ravel()), "range": bounds}

    def frame(self, answers: Answers, truths: Sequence[Any] | None) -> pl.DataFrame:
        """Return `prediction` and `truth`; of several columns `prediction_COL` and `truth_COL`."""
        parts = {"prediction": self._decode(answers.outputs)}
        if truths is not None:
            parts["truth"] = self._decode(truths)
        several = len(self.columns) > 1
        return pl.DataFrame(
            {
                f"{part}_{column}" if several else part: values_RC[:, c]
                for part, values_RC in parts.items()
                for c, column in enumerate(self.columns)
            }
        )

    def text(self, truth: Any) -> str:
        """Return what an encoded truth says."""
        return ", ".join(f"{value:.6g}" for value in self._decode(truth)[0])

    def baselines(self, examples: Examples, options: Any) -> list[Baseline]:
        """Return mean, median, and ridge regression on what can be counted."""
        return [
            Constant("mean", lambda truth_RC: truth_RC.mean(axis=0)),
            Constant("median", lambda truth_RC: np.median(truth_RC, axis=0)),
            *Ridge.fitting(examples, len(self.columns), link=np.asarray),
        ]

    def summary(self) -> str:
        """Return how many numbers there are."""
        return "a number" if len(self.columns) == 1 else f"{len(self.columns)} numbers"

    def as_dict(self) -> dict[str, Any]:
        """Return what `from_dict` takes, ready for JSON."""
        return {
            "kind": self.kind,
            "columns": list(self.columns),
            "scaling": self.scaling.as_dict(),
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Self:
        """Return the numbers that `as_dict` described."""
        return cls(tuple(data["columns"]), Scaling.from_dict(data["scaling"]))

    @property
    def _said(self) -> tuple[str, ...]:
        """What a message calls each cell: nothing where the column needs no telling."""
        several = len(self.columns) > 1
        return tuple(f"column {column!r}: " if several else "" for column in self.columns)

    def _decode(self, outputs: Any) -> np.ndarray:
        shift_C, scale_C = self.scaling.of(None)
        return np.asarray(outputs, np.float64).reshape(-1, len(self.columns)) * scale_C + shift_C

    def _comparable(self, answers: Answers, truths: Sequence[Any]) -> tuple[np.ndarray, np.ndarray]:
        if len(self.columns) == 1:
            return self._decode(truths), self._decode(answers.outputs)
        shape = (-1, len(self.columns))
        return (
            np.asarray(truths, np.float64).reshape(shape),
            np.asarray(answers.outputs, np.float64).reshape(shape),
        )


def _number(said: str, cell: Any) -> float:
    try:
        return as_number(cell)
    except BadCellError as error:
        raise BadCellError(f"{said}{error}") from None


def _usable(rows: Iterable[Cells]) -> Iterable[list[float]]:
    """Return the rows that are numbers: the others are refused, with their place, by `encode`."""
    for cells in rows:
        try:
            yield [as_number(cell) for cell in cells]
        except BadCellError:
            continue
