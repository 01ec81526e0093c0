"""`score:COL`: a number in a bounded range, such as a sentiment from -1 to +1.

The range is read as -1 to +1, and the answer is `tanh` of the head's output, which cannot leave
it. The loss is the squared error of that answer: its least is at the mean score of alike rows,
which is what a score between two opinions should be, and a row that contradicts its words costs 4
at most, while a cross entropy would let the network chase it without bound.

Legend: N rows of a batch, R rows of answers.
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
from elman.kinds.scoring.regression import as_number, number_scores, scatter
from elman.kinds.targets.target import Answers, Baseline, Examples, Target

_INSIDE = 1 - 1e-6  # as close to an end as a baseline's answer is carried over by `arctanh`
_MOST_START = 0.9  # where `tanh` still has a slope to learn by


@dataclass(frozen=True)
class Score(Target):
    """A score as learnt.

    Attributes:
        columns: the one column.
        low: the lowest score.
        high: the highest.
        given: whether the range was asked for; one learnt may be left by a later truth.
        mean: of the training rows, in -1 to +1.
    """

    kind = "score"
    shape = "vector"
    score_name = "squared error (-1 to 1)"

    columns: tuple[str, ...]
    low: float
    high: float
    given: bool
    mean: float

    @classmethod
    def learn(cls, columns: tuple[str, ...], rows: Iterable[Cells], options: Any) -> Self:
        """Learn the range, unless `score_range` gives it, and the mean.

        Raises:
            InputError: not one column is declared, or there are no scores, or they do not vary.
        """
        if len(columns) != 1:
            raise InputError(
                f"target score:{','.join(columns)}: expected one column, got {len(columns)}; for "
                "several numbers declare number"
            )
        values = np.array(list(_usable(rows)))
        if not len(values):
            raise InputError(
                f"column {columns[0]!r}: no training row has a number; expected scores; for "
                "classes declare category"
            )
        low, high = options.score_range or (float(values.min()), float(values.max()))
        if low == high:
            raise InputError(
                f"column {columns[0]!r}: every training row has {low:g}; expected scores that vary"
            )
        mean = float((np.clip(values, low, high).mean() - low) / (high - low) * 2 - 1)
        return cls(columns, float(low), float(high), bool(options.score_range), mean)

    @property
    def headline(self) -> str:
        """The score that a verdict is about."""
        return "mae"

    @property
    def output_size(self) -> int:
        """One value."""
        return 1

    def encode(self, cells: Cells) -> np.ndarray:
        """Return the score in -1 to +1, `()`.

        Raises:
            BadCellError: the cell has no number, or one outside the range that was given.
        """
        value = as_number(cells[0])
        if self.given and not self.low <= value <= self.high:
            raise BadCellError(
                f"expected a score from {self.low:g} to {self.high:g}, got {value:g}; correct it, "
                "or give another --score-range"
            )
        return np.array((value - self.low) / (self.high - self.low) * 2 - 1, np.float32)

    def losses(self, output_NO: Tensor, truth_N: Tensor, *, training: bool) -> Tensor:
        """Return each row's squared error, `(N,)`."""
        return (output_NO.squeeze(1).tanh() - truth_N) ** 2

    def score(self, answers: Answers, truths: Sequence[Any]) -> dict[str, float | None]:
        """Return MAE, RMSE and correlation in the score's own unit, and accuracy.

        Accuracy: of the truths on either side of the range's middle, the share whose answer is on
        the same side. None where all truths are on one side.
        """
        truth_R, answer_R = self._decode(truths), self._answer(answers)
        scores = number_scores(truth_R, answer_R)
        middle = (self.low + self.high) / 2
        side_R = np.sign(truth_R - middle)
        same_R = np.sign(answer_R - middle)[side_R != 0] == side_R[side_R != 0]
        both = {-1, 1} <= set(side_R)
        return {"accuracy": float(same_R.mean()) if both else None} | {
            key: scores[key] for key in ("mae", "rmse", "correlation")
        }

    def errors(self, answers: Answers, truths: Sequence[Any]) -> np.ndarray:
        """Return each row's absolute error, `(R,)`: what a verdict's test compares."""
        return np.abs(self._answer(answers) - self._decode(truths))

    def details(self, answers: Answers, truths: Sequence[Any]) -> dict[str, Any]:
        """Return truths beside predictions, for the report."""
        points = scatter(self._decode(truths), self._answer(answers))
        return {"scatter": points, "range": [self.low, self.high]}

    def frame(self, answers: Answers, truths: Sequence[Any] | None) -> pl.DataFrame:
        """Return `prediction` and `truth`, in the score's own unit."""
        columns = {"prediction": self._answer(answers)}
        if truths is not None:
            columns["truth"] = self._decode(truths)
        return pl.DataFrame(columns)

    def text(self, truth: Any) -> str:
        """Return what an encoded truth says."""
        return f"{self._decode(truth)[0]:.6g}"

    def baselines(self, examples: Examples, options: Any) -> list[Baseline]:
        """Return mean, median, and ridge regression on what can be counted."""
        return [
            Constant("mean", lambda truth_R: _head(truth_R.mean(keepdims=True))),
            Constant("median", lambda truth_R: _head(np.median(truth_R, keepdims=True))),
            *Ridge.fitting(examples, 1, link=_head),
        ]

    def initial_bias(self) -> np.ndarray | None:
        """Return the output whose `tanh` is the training rows' mean score, `(1,)`."""
        return np.arctanh(np.clip([self.mean], -_MOST_START, _MOST_START))

    def summary(self) -> str:
        """Return its range."""
        return f"a score from {self.low:g} to {self.high:g}"

    def as_dict(self) -> dict[str, Any]:
        """Return what `from_dict` takes, ready for JSON."""
        return {
            "kind": self.kind,
            "columns": list(self.columns),
            "low": self.low,
            "high": self.high,
            "given": self.given,
            "mean": self.mean,
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Self:
        """Return the score that `as_dict` described."""
        names = ("low", "high", "given", "mean")
        return cls(tuple(data["columns"]), *(data[name] for name in names))

    def _answer(self, answers: Answers) -> np.ndarray:
        return self._decode(np.tanh(np.asarray(answers.outputs, np.float64)))

    def _decode(self, values: Any) -> np.ndarray:
        share_R = (np.asarray(values, np.float64).reshape(-1) + 1) / 2
        # float32 keeps 1 of -1 to 1 as it is, and 0.3 as 0.30000001: nobody wrote these digits.
        return np.round(self.low + share_R * (self.high - self.low), self._decimals)

    @property
    def _decimals(self) -> int:
        return 6 - int(np.floor(np.log10(self.high - self.low)))


def _head(values: Any) -> np.ndarray:
    """Return the head's outputs whose `tanh` are these."""
    return np.arctanh(np.clip(values, -_INSIDE, _INSIDE))


def _usable(rows: Iterable[Cells]) -> Iterable[float]:
    """Return the rows that are numbers: the others are refused, with their place, by `encode`."""
    for cells in rows:
        try:
            yield as_number(cells[0])
        except BadCellError:
            continue
