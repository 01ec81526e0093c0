"""Scores of a network and its baselines on rows kept apart, and the rows of predictions.csv.

Legend: R rows, T time, F features.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import polars as pl

from elman.data.media import Source
from elman.data.ragged import Ragged
from elman.kinds.examples.answers import answer, most_answers
from elman.kinds.examples.samples import Chosen, choose, make_samples
from elman.kinds.inputs.input import Cells, Input
from elman.kinds.scoring.verdict import best_baseline, significance, verdict_of
from elman.kinds.targets.target import Answers, Baseline, Examples

_MOST_TRAINING = 100_000  # rows that baselines learn from
_SIDE = 8  # pictures are this many patches high and wide for a baseline
_LETTERS = ("text", "dna")  # kinds whose baselines count words or letters
_READ_AS_THEY_ARE = (*_LETTERS, "vector")


@dataclass
class ExampleEvaluation:
    """Scores of a model and the baselines, and the answers behind them.

    Attributes:
        scores: rows as in model.json.
        predictions: rows as in predictions.csv.
        headline: the metric that the verdict is about.
        noise: by (split, target), how probable the difference to the best baseline is by chance.
        notes: what was left out.
        samples: what samples.json holds.
    """

    headline: str
    scores: list[dict[str, Any]] = field(default_factory=list)
    predictions: list[pl.DataFrame] = field(default_factory=list)
    noise: dict[tuple[str, str], float] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    samples: dict[str, Any] = field(
        default_factory=lambda: {"examples": [], "details": {}, "generated": [], "skipped": []}
    )

    @property
    def verdict(self) -> str:
        """Whether the model beats the best baseline, in words."""
        return verdict_of(self.scores, self.headline, self.noise)

    def frame(self) -> pl.DataFrame:
        """Return all predictions."""
        return (
            pl.concat(self.predictions, how="diagonal_relaxed")
            if self.predictions
            else pl.DataFrame()
        )


@dataclass(frozen=True)
class Evaluator:
    """Scores a network, called `name`, on parts of a job's rows."""

    job: Any
    network: Any
    name: str

    def run(self, splits: Sequence[str]) -> ExampleEvaluation:
        """Score every split that has rows, and choose examples of the last one to show."""
        job, target = self.job, self.job.learnt.target
        evaluation = ExampleEvaluation(target.headline)
        evaluation.samples["skipped"] = list(job.skipped)
        splits = [split for split in splits if len(job.parts.get(split, ()))]
        baselines = self._fitted(evaluation)
        for split in splits:
            chosen = self._add(split, baselines, evaluation)
            if split == splits[-1]:
                evaluation.samples["examples"] = make_samples(job, self.network, chosen)
        return evaluation

    def _fitted(self, evaluation: ExampleEvaluation) -> list[Baseline]:
        job = self.job
        train = job.parts.get("train", np.empty(0, np.int64))
        if not len(train):
            return []
        if len(train) > _MOST_TRAINING:
            evaluation.notes.append(
                f"the baselines learnt from {_MOST_TRAINING:,} of {len(train):,} training rows"
            )
            picked = np.random.default_rng(job.options.seed).choice(
                train, _MOST_TRAINING, replace=False
            )
            train = np.sort(picked)
        examples = examples_of(job, train, truths_of(job, train))
        return [each.fit(examples) for each in job.learnt.target.baselines(examples, job.options)]

    def _add(self, split: str, baselines: list[Baseline], evaluation: ExampleEvaluation) -> Chosen:
        job, target = self.job, self.job.learnt.target
        rows, truths = questions(job, job.parts[split])
        answers, metrics = self._answered(split, rows, truths)
        answered = {self.name: answers}
        scored = {self.name: metrics}
        examples = examples_of(job, rows, truths) if baselines else None
        for baseline in baselines:
            assert examples is not None
            answered[baseline.name] = baseline.answer(examples)
            scored[baseline.name] = target.score(answered[baseline.name], truths)
        column = target.columns[0]
        for name, found in scored.items():
            row: dict[str, Any] = {"split": split, "forecaster": name}
            row |= {"kind": "model" if name == self.name else "baseline", "target": column}
            evaluation.scores.append(row | {"step": 0, "n": len(rows)} | found)
        best = best_baseline(evaluation.scores, split=split, target=column, metric=target.headline)
        if best is not None:
            ours, theirs = (
                target.errors(answered[name], truths) for name in (self.name, best["forecaster"])
            )
            evaluation.noise[split, column] = significance(ours, theirs)
        evaluation.samples["details"][split] = target.details(answers, truths)
        frame = target.frame(answers, truths)
        numbers = job.asked.numbers(rows)
        places = pl.DataFrame({"split": [split] * len(rows), "row": numbers})
        if answers.losses is not None:
            frame = frame.with_columns(loss=pl.Series(answers.losses))
        evaluation.predictions.append(pl.concat([places, frame], how="horizontal"))
        return choose(target, split, rows, answers, truths)

    def _answered(
        self, split: str, rows: np.ndarray, truths: list[Any]
    ) -> tuple[Answers, dict[str, float | None]]:
        """Return the network's answers to some questions, and their scores."""
        job, target, every = self.job, self.job.learnt.target, self.job.parts[split]

        def answered(rows: np.ndarray, **how: Any) -> Answers:
            return answer(job.learnt, self.network, job.encoded, rows, job.options, **how)

        answers = answered(rows, n_best=most_answers(target, job.options))
        if len(rows) == len(every):
            return answers, target.score(answers, truths)
        # Each truth counts in the loss, not one of each question.
        answers = replace(answers, losses=None, counts=None)
        losses = answered(every, write=False)
        found = target.score(losses, truths_of(job, every))
        return answers, target.score(answers, truths) | found


def truths_of(job: Any, rows: np.ndarray) -> list[Any]:
    """Return what is right for each row, as the target's `score` takes it."""
    target = job.learnt.target
    if target.shape != "sequence":
        return job.encoded.truths_of(rows)
    if target.media:  # is decoded already
        return [[truth] for truth in job.encoded.truths_of(rows)]
    return [target.references(cells) for cells in job.asked.each(rows)]


def questions(job: Any, rows: np.ndarray) -> tuple[np.ndarray, list[Any]]:
    """Return the rows to answer, each with what is right.

    Rows of a text target whose inputs are the same are one question, to which the text of each row
    is a right answer: five captions of a picture, say.
    """
    truths = truths_of(job, rows)
    if job.learnt.target.kind != "text":
        return rows, truths
    cells = zip(*(source.each(rows) for source in job.sources), strict=True)
    asked: dict[str, int] = {}
    first: list[int] = []
    right: list[list[Any]] = []
    for row, key, truth in zip(rows.tolist(), map(_key, cells), truths, strict=True):
        place = asked.setdefault(key, len(first))
        if place == len(first):
            first.append(row)
            right.append([])
        right[place] += truth
    return np.array(first, np.int64), right


def _key(inputs: Sequence[Cells]) -> str:
    """Return what is alike for like inputs: of a file in the table a digest of its bytes."""
    return repr(
        [
            cell.digest()
            if isinstance(cell, Source) and cell.content is not None
            else cell.tobytes()  # a long array's text leaves its middle out
            if isinstance(cell, np.ndarray)
            else cell
            for cells in inputs
            for cell in cells
        ]
    )


def examples_of(job: Any, rows: np.ndarray, truths: list[Any]) -> Examples:
    """Return rows as baselines see them."""
    learnt = job.learnt
    inputs: dict[str, Sequence[Any]] = {}
    kinds: dict[str, str] = {}
    features = []
    steps: Sequence[Sequence[str]] = ()
    for kind, source, encoded in zip(learnt.inputs, job.sources, job.encoded.inputs, strict=True):
        if kind.kind in _READ_AS_THEY_ARE:
            cells = source.at(rows)
            for place, column in enumerate(kind.columns):
                inputs[column] = [one[place] for one in cells]
                kinds[column] = kind.kind
            if learnt.target.shape == "steps":
                steps = [kind.words(one[0]) for one in cells]
        if kind.kind not in _LETTERS:
            features.append(features_of(kind, encoded, rows))
    joined = np.concatenate(features, axis=1) if features else None
    return Examples(inputs, kinds, joined, truths, steps)


def features_of(kind: Input, encoded: Ragged, rows: np.ndarray) -> np.ndarray:
    """Return a fixed-size array a row `(R, F)`: means and deviations over time of what was read."""
    found = []
    for row in rows.tolist():
        values_T = np.asarray(encoded[row], np.float32)
        if values_T.ndim == 4:
            values_T = _patches(values_T)
        flat_TF = values_T.reshape(len(values_T), -1)
        parts = [flat_TF.mean(0), flat_TF.std(0)] if kind.sequence else [flat_TF[0]]
        found.append(np.concatenate(parts))
    return np.stack(found)


def _patches(frames_THWC: np.ndarray) -> np.ndarray:
    """Return pictures as means of patches."""
    for axis in (1, 2):
        edges = np.linspace(0, frames_THWC.shape[axis], _SIDE, endpoint=False).astype(int)
        widths = np.diff([*edges, frames_THWC.shape[axis]])
        shape = [1] * 4
        shape[axis] = -1
        frames_THWC = np.add.reduceat(frames_THWC, edges, axis) / widths.reshape(shape)
    return frames_THWC
