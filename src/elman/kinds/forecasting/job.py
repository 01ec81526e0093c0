"""A forecast's job: mini-batches and losses for the training loop, scores for the report."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from elman.data.batch import Batch
from elman.data.options import DataOptions
from elman.data.panel import Panel
from elman.data.splits import Splits
from elman.data.streams import Streams
from elman.data.windows import Track, Windows
from elman.errors import InputError
from elman.kinds.baselines.forecasts import MAX_FITS, Arima, default_baselines
from elman.kinds.forecasting.evaluation import Evaluation, Evaluator
from elman.kinds.forecasting.forecaster import Forecaster, Part, answer
from elman.kinds.forecasting.streamed import SeriesChunk, advance, read_chunk
from elman.kinds.options import ForecastOptions


class Options(DataOptions, ForecastOptions):
    """The options that a forecast reads."""


@dataclass(frozen=True)
class ForecastJob:
    """A table made ready: what was learnt of it, its parts, its splits, and how it is scored."""

    forecaster: Forecaster
    parts: list[Part]
    panel: Panel
    splits: Splits
    options: Options

    @property
    def learnt(self) -> Forecaster:
        """What a network needs beside its weights."""
        return self.forecaster

    @property
    def chosen(self) -> dict[str, Any]:
        """The options that were left open, as they were chosen."""
        window = {} if self.forecaster.tbptt else {"lookback": self.forecaster.lookback}
        return window | {"period": self.forecaster.period}

    def task(self, device: str, precision: str) -> ForecastTask:
        """Return the training loop's view of the job.

        Raises:
            InputError: a span has no window.
        """
        forecaster, track = self.forecaster, self.forecaster.track(self.parts, device)
        valid = forecaster.windows(track, self.parts, "valid", within=self._within, score=True)
        if forecaster.tbptt is None:
            train = forecaster.windows(track, self.parts, "train", within=True, score=False)
            task = WindowTask(forecaster, track, valid, precision, train)
        else:
            task = StreamTask(forecaster, track, valid, precision, self.parts)
        for name, number in (("training", task.num_trained), ("validation", len(valid))):
            if not number:
                raise InputError(
                    f"{self.panel.name}: no window of lookback {forecaster.lookback} + horizon "
                    f"{forecaster.target.horizon} fits into the {name} span; choose a smaller "
                    "lookback or a longer span" + (", or windows=across" if self._within else "")
                )
        return task

    def evaluate(self, network: nn.Module, name: str, task: ForecastTask) -> Evaluation:
        """Score the network, called `name`, and the baselines on the validation and test spans."""
        columns = self.forecaster.target.columns
        baselines = default_baselines(
            self.forecaster.naive_period,
            stats=self.options.stats,
            num_fits=len(self.parts) * len(columns),
            unit=self.panel.step.noun if self.panel.step else "steps",
        )
        histories = self._histories()
        elsewhere = [i for i, part in enumerate(self.parts) if "train" not in part.spans]
        for baseline in baselines:
            baseline.fit(histories, elsewhere)
        evaluator = Evaluator(
            self.forecaster, network, name, self.parts, task.track, baselines, within=self._within
        )
        evaluation = Evaluation()
        if self.options.stats and not any(isinstance(each, Arima) for each in baselines):
            evaluation.notes.append(
                f"ARIMA and ETS were left out: more than {MAX_FITS} series and targets to fit"
            )
        for split in ("valid", "test"):
            evaluator.add(split, evaluation)
        return evaluation

    def describe(self) -> dict[str, Any]:
        """Return what model.json says of the data."""
        inputs, target = self.forecaster.inputs, self.forecaster.target
        return {
            "series": len(self.panel.series),
            "columns": list(dict.fromkeys([*inputs.columns, *inputs.known, *target.columns])),
            "step": str(self.panel.step) if self.panel.step else None,
            "spans": self.splits.describe(self.panel),
            "period": self.forecaster.period,
        }

    def describe_target(self) -> dict[str, Any]:
        """Return what model.json says of the target beside its columns."""
        target = self.forecaster.target
        return {
            "horizon": target.horizon,
            "quantiles": list(target.quantiles),
            "headline": "mae",
        }

    def _histories(self) -> list[np.ndarray]:
        """Return what the baselines may learn from, for each part: its group's training span.

        A part that has none (it is of another table, read to validate on, or begins after the
        training span) and whose group has none either stands with all of them together.
        """
        columns = self.forecaster.target.columns
        spans = {
            part.key: (part, part.spans["train"]) for part in self.parts if "train" in part.spans
        }
        training = {
            key: part.values(columns)[start:stop]
            for key, (part, (start, stop)) in spans.items()
            if stop > start
        }
        every = np.concatenate(list(training.values()))
        return [training.get(part.key, every) for part in self.parts]

    @property
    def _within(self) -> bool:
        return self.options.windows == "within"


class ForecastTask:
    """The training loop's view of a forecast (`training.loop.Task`), but for what it trains on."""

    def __init__(
        self, forecaster: Forecaster, track: Track, valid: Windows, precision: str
    ) -> None:
        self.track = track
        self.score_name = forecaster.target.score_name
        self.carried: dict[str, Tensor] = {}
        self._forecaster, self._valid, self._precision = forecaster, valid, precision

    def begin_epoch(self, share: float) -> None:
        """Nothing of a forecast changes from epoch to epoch, and nothing is carried on."""
        self.carried = {}

    def validate(self, network: nn.Module) -> tuple[float, float]:
        """Return loss and score of the validation windows, each at its last step."""
        target = self._forecaster.target
        losses, scores, count = 0.0, 0.0, len(self._valid)
        for _, output_B1O, batch in self._forecaster.answers(network, self._valid, self._precision):
            losses += target.loss(output_B1O, batch).item() * len(batch)
            scores += target.score(output_B1O, batch).item()
        return losses / count, scores / count * target.unit

    def name_input(self, batch: Batch | SeriesChunk) -> str:
        """Name the input feature of the batch that lies furthest from zero."""
        size_I = batch.x_BTI.abs().nan_to_num(torch.inf).amax((0, 1))
        index = int(size_I.argmax())
        name = self._forecaster.feature_names[index]
        return f"the largest input of the batch is {name!r} at {size_I[index]:.4g} (scaled)"


class WindowTask(ForecastTask):
    """A forecast trained on windows in a random order.

    Attributes:
        num_trained: windows.
    """

    def __init__(
        self,
        forecaster: Forecaster,
        track: Track,
        valid: Windows,
        precision: str,
        train: Windows,
    ) -> None:
        super().__init__(forecaster, track, valid, precision)
        self._train, self.num_trained = train, len(train)

    def order(self, batch_size: int, shuffle: torch.Generator) -> list[Tensor]:
        """Return one epoch's mini-batches."""
        return self._train.order(batch_size, shuffle)

    def batch(self, name: Tensor) -> Batch:
        """Return one mini-batch."""
        return self._train.batch(name)

    def loss(self, network: nn.Module, batch: Batch) -> Tensor:
        """Return the mean loss over every step at which the network answers."""
        return self._forecaster.target.loss(answer(network, batch, self._precision), batch)


class StreamTask(ForecastTask):
    """A forecast trained on chunks of each series' training span, with the state carried on.

    Attributes:
        num_trained: steps that have their targets in the span.
    """

    def __init__(
        self,
        forecaster: Forecaster,
        track: Track,
        valid: Windows,
        precision: str,
        parts: Sequence[Part],
    ) -> None:
        super().__init__(forecaster, track, valid, precision)
        spans = [part.spans.get("train", (0, 0)) for part in parts]
        start_R, stop_R = np.array(spans, np.int64).reshape(-1, 2).T
        self._first_R = track.offsets[:-1] + start_R
        self._lengths_R = np.maximum(stop_R - start_R - forecaster.target.horizon, 0)
        self.num_trained = int(self._lengths_R.sum())

    def order(self, batch_size: int, shuffle: torch.Generator) -> range:
        """Lay out an epoch's mini-batches; return their numbers."""
        assert self._forecaster.tbptt is not None
        self._streams = Streams(
            self._lengths_R, batch_size, self._forecaster.tbptt, cut=True, generator=shuffle
        )
        return range(len(self._streams))

    def batch(self, name: int) -> SeriesChunk:
        """Return one mini-batch: the next chunk of every stream."""
        return read_chunk(self._valid, self._first_R, self._streams[name])

    def loss(self, network: nn.Module, batch: SeriesChunk) -> Tensor:
        """Return the mean loss over every step of the chunk; the state is carried on."""
        output_N1O, self.carried = advance(network, batch, self.carried, self._precision)
        return self._forecaster.target.loss(output_N1O, batch.steps)
