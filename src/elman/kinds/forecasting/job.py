"""A forecast's job: mini-batches and losses for the training loop, scores for the report."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from elman.data.batch import Batch
from elman.data.options import DataOptions
from elman.data.panel import Panel
from elman.data.splits import Splits
from elman.data.windows import Track, Windows
from elman.errors import InputError
from elman.kinds.baselines.forecasts import MAX_FITS, Arima, default_baselines
from elman.kinds.forecasting.evaluation import Evaluation, Evaluator
from elman.kinds.forecasting.forecaster import Forecaster, Part, answer, in_batches
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
        return {"lookback": self.forecaster.lookback, "period": self.forecaster.period}

    def task(self, device: str, precision: str) -> ForecastTask:
        """Return the training loop's view of the job.

        Raises:
            InputError: a span has no window.
        """
        forecaster, track = self.forecaster, self.forecaster.track(self.parts, device)
        train = forecaster.windows(track, self.parts, "train", within=True, score=False)
        valid = forecaster.windows(track, self.parts, "valid", within=self._within, score=True)
        for name, windows in (("training", train), ("validation", valid)):
            if not len(windows):
                raise InputError(
                    f"{self.panel.name}: no window of lookback {forecaster.lookback} + horizon "
                    f"{forecaster.target.horizon} fits into the {name} span; choose a smaller "
                    "lookback or a longer span" + (", or windows=across" if self._within else "")
                )
        return ForecastTask(forecaster, track, train, valid, precision)

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
    """The training loop's view of a forecast (`training.loop.Task`)."""

    def __init__(
        self,
        forecaster: Forecaster,
        track: Track,
        train: Windows,
        valid: Windows,
        precision: str,
    ) -> None:
        self.track = track
        self.score_name = forecaster.target.score_name
        self._forecaster, self._train, self._valid = forecaster, train, valid
        self._precision = precision
        self.carried: dict[str, Tensor] = {}

    def begin_epoch(self, share: float) -> None:
        """Nothing of a forecast changes from epoch to epoch."""

    def order(self, batch_size: int, shuffle: torch.Generator) -> list[Tensor]:
        """Return one epoch's mini-batches."""
        return self._train.order(batch_size, shuffle)

    def batch(self, name: Tensor) -> Batch:
        """Return one mini-batch."""
        return self._train.batch(name)

    def loss(self, network: nn.Module, batch: Batch) -> Tensor:
        """Return the mean loss over every step at which the network answers."""
        return self._forecaster.target.loss(answer(network, batch, self._precision), batch)

    def validate(self, network: nn.Module) -> tuple[float, float]:
        """Return loss and score of the validation windows, each at its last step."""
        target = self._forecaster.target
        losses, scores, count = 0.0, 0.0, len(self._valid)
        with torch.inference_mode():
            for batch in in_batches(self._valid):
                output_BSO = answer(network, batch, self._precision)[:, -1:]
                losses += target.loss(output_BSO, batch).item() * len(batch)
                scores += target.score(output_BSO, batch).item()
        return losses / count, scores / count * target.unit

    def name_input(self, batch: Batch) -> str:
        """Name the input feature of the batch that lies furthest from zero."""
        size_I = batch.x_BTI.abs().nan_to_num(torch.inf).amax((0, 1))
        index = int(size_I.argmax())
        name = self._forecaster.feature_names[index]
        return f"the largest input of the batch is {name!r} at {size_I[index]:.4g} (scaled)"
