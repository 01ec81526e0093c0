"""`series` in, `forecast` out: the whole job, from a checked table to scored forecasts.

`prepare` reads a table as the options say, checks it, chooses what was left open (season,
lookback) and learns scales and categories from the training span. The `ForecastJob` it returns
gives the training loop its mini-batches and losses, and scores the trained network.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl
import torch
from torch import Tensor, nn

from elman.data.batch import Batch
from elman.data.checks import check_panel
from elman.data.findings import Finding, raise_errors
from elman.data.options import DataOptions
from elman.data.panel import Panel, make_panel
from elman.data.splits import Splits, make_splits
from elman.data.steps import Step
from elman.data.table import Table
from elman.data.windows import Track, Windows
from elman.errors import InputError
from elman.kinds import Declaration
from elman.kinds.evaluation import Evaluation, Evaluator, ahead_frame
from elman.kinds.forecaster import (
    Forecaster,
    Part,
    answer,
    in_batches,
    make_parts,
    of_group,
    rolling_forecasts,
    whole_spans,
)
from elman.kinds.inputs.series import SeriesInput
from elman.kinds.options import ForecastOptions
from elman.kinds.period import calendar_periods, find_period
from elman.kinds.scaling import Scaling
from elman.kinds.targets.baselines import (
    MAX_FITS,
    Arima,
    Baseline,
    LastValue,
    SeasonalNaive,
    default_baselines,
)
from elman.kinds.targets.forecast import Forecast
from elman.kinds.targets.scores import naive_scale

TABLE = "table"  # the one split of a table that is scored whole
_LEAST_LOOKBACK = 32
_SEASONS_ASKED = 20  # of a panel's longest series
_UNSEEN = "write it as one of these, or train with it"


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
    def input_size(self) -> int:
        """Features that a step reads."""
        return self.forecaster.input_size

    @property
    def output_size(self) -> int:
        """Values that the network answers."""
        return self.forecaster.target.output_size

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
            self.forecaster.period,
            stats=self.options.stats,
            num_fits=len(self.parts) * len(columns),
            unit=_unit(self.panel.step),
        )
        histories = self._histories()
        for baseline in baselines:
            baseline.fit(histories)
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


def prepare(
    inputs: Declaration,
    target: Declaration,
    options: Any,
    topology: str,
    table: Table,
    valid: Table | None,
    findings: list[Finding],
) -> ForecastJob:
    """Read and check a table, and learn from its training span.

    Args:
        inputs, target: what goes in and what comes out.
        options: how; `valid` in there is ignored if a table is given for it.
        topology: seq-to-seq or seq-to-vector.
        table: the table, cut into spans by `options`.
        valid: a table of its own to validate on.
        findings: what is noticed on the way is added to it.

    Raises:
        InputError: the data cannot be used; if it is one of several errors, all are in `findings`.
    """
    panel = _read(table, inputs, target, options)
    findings += panel.findings
    raise_errors(findings)
    horizon = options.horizon
    cuts = {"valid": None if valid is not None else options.valid, "test": options.test}
    first = make_splits(panel, **cuts, lookback=options.lookback or 1, horizon=horizon)
    training = {
        series.key: series.frame[slice(*span)]
        for series, span in zip(panel.series, first.of("train"), strict=True)
    }
    period = options.period or _find_season(training, target.columns, panel.step)
    lookback = options.lookback or _default_lookback(period, horizon, training)
    splits = make_splits(panel, **cuts, lookback=lookback, horizon=horizon)
    findings += splits.findings
    findings += check_panel(
        panel,
        splits,
        inputs=list(inputs.columns),
        targets=list(target.columns),
        known=list(options.known),
        lookback=lookback,
        horizon=horizon,
    )
    raise_errors(findings)
    parts = make_parts(panel, splits.spans)
    by_group = options.scaling != "none" and (
        options.scaling_by == "group"
        or (options.scaling_by == "auto" and options.group is not None)
    )
    unscaled = [key for key, span in training.items() if not span.height] if by_group else []
    if unscaled:
        findings.append(_no_scale(panel, unscaled))
        parts = [part for part in parts if part.key not in unscaled]
    learnt_inputs = SeriesInput.learn(
        training,
        inputs.columns,
        options.known,
        options.calendar,
        options.scaling,
        by_group=by_group,
    )
    if valid is not None:
        other = _read(valid, inputs, target, options)
        findings += other.findings
        raise_errors(findings)
        added = make_parts(other, whole_spans(other, "valid"))
        findings += [
            Finding("warning", f"{other.name}: {problem}", _UNSEEN)
            for problem in _unseen(learnt_inputs, added)
        ]
        parts += added
    values = {key: span.select(target.columns).to_numpy() for key, span in training.items()}
    forecaster = Forecaster(
        inputs=learnt_inputs,
        target=Forecast(
            target.columns,
            horizon,
            options.quantiles,
            options.loss,
            {"none": None, "last": 1, "season": period}[options.relative],
            Scaling.learn(options.scaling, target.columns, values, by_group=by_group),
        ),
        lookback=lookback,
        last_only=topology == "seq-to-vector",
        period=period,
        mase_scale={key: naive_scale(v, period) for key, v in values.items()},
        time=options.time,
        group=options.group,
        missing=options.missing,
    )
    return ForecastJob(forecaster, parts, panel, splits, options)


learnt_from_dict = Forecaster.from_dict


def predict(network: nn.Module, forecaster: Forecaster, table: Table) -> pl.DataFrame:
    """Forecast the steps that follow the last values of each series of a table.

    Returns:
        Columns group (for a panel), origin, step, time, target, forecast, and one for each
        quantile (`q0.1`).

    Raises:
        InputError: the table lacks what the model needs, is too short, or has a category that
            the training span did not have in the rows that these forecasts read.
    """
    parts, panel = forecaster.parts(table, ahead=True)
    _must_look_back(forecaster, parts, panel.name)
    for part in parts:
        read = part.frame.slice(part.known - forecaster.lookback)
        for problem in forecaster.inputs.unseen(read):
            raise InputError(f"{panel.name}{of_group(part.key)}: {problem}; {_UNSEEN}")
    target, track = forecaster.target, forecaster.track(parts)
    windows = forecaster.last_windows(track, parts)
    values = rolling_forecasts(network, target, windows, [part.key for part in parts])
    frame = ahead_frame(parts, windows, track, target, values)
    return frame if forecaster.group else frame.drop("group")


def read_series(forecaster: Forecaster, options: Any, table: Table) -> dict[str, Any]:
    """Return a table's series as figures want them: columns, and by group times and values."""
    parts, _ = forecaster.parts(table, since=options.since, until=options.until)
    columns = list(forecaster.target.columns)
    groups = [
        {
            "key": part.key,
            "time": None if part.times is None else part.times[: part.known],
            "values": dict(zip(columns, part.values(columns)[: part.known].T, strict=True)),
        }
        for part in parts
    ]
    return {"columns": columns, "groups": groups}


def evaluate(network: nn.Module, forecaster: Forecaster, name: str, table: Table) -> Evaluation:
    """Score forecasts from every step of a table beside the naive baselines.

    A category that the training span did not have is told in the notes.

    Raises:
        InputError: the table lacks what the model needs, or is too short.
    """
    parts, panel = forecaster.parts(table, split=TABLE)
    _must_look_back(forecaster, parts, panel.name, ahead=forecaster.target.horizon)
    baselines: list[Baseline] = [LastValue()]
    if forecaster.period > 1:
        baselines.append(SeasonalNaive(forecaster.period, _unit(panel.step)))
    evaluation = Evaluation(
        notes=[f"{panel.name}: {problem}" for problem in _unseen(forecaster.inputs, parts)]
    )
    track = forecaster.track(parts)
    Evaluator(forecaster, network, name, parts, track, baselines, fitted=False, within=True).add(
        TABLE, evaluation
    )
    return evaluation


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
        return losses / count, scores / count

    def name_input(self, batch: Batch) -> str:
        """Name the input feature of the batch that lies furthest from zero."""
        size_I = batch.x_BTI.abs().nan_to_num(torch.inf).amax((0, 1))
        index = int(size_I.argmax())
        name = self._forecaster.feature_names[index]
        return f"the largest input of the batch is {name!r} at {size_I[index]:.4g} (scaled)"


def _read(table: Table, inputs: Declaration, target: Declaration, options: Options) -> Panel:
    asked = dict.fromkeys(inputs.columns, "--input") | dict.fromkeys(target.columns, "--target")
    for column, option in asked.items():
        table.require(column, option)
    for column in options.categories:
        table.require(column, "--categories")
    plain = [c for c in inputs.columns if c not in target.columns]
    numbers = [c for c in plain if c not in options.categories and table.is_number(c)]
    return make_panel(
        table,
        time=options.time,
        group=options.group,
        numbers=[*target.columns, *numbers],
        categories=[*options.categories, *(c for c in plain if c not in numbers)],
        known=list(options.known),
        missing=options.missing,
        since=options.since,
        until=options.until,
        options=asked,
    )


def _find_season(
    training: Mapping[str | None, pl.DataFrame], columns: Sequence[str], step: Step | None
) -> int:
    """Return the season that most of the series have, or 1."""
    candidates = calendar_periods(_seconds(step)) if step and step.unit != "integer" else ()
    longest = sorted(training.values(), key=len, reverse=True)[:_SEASONS_ASKED]
    lengths = [
        find_period(span[column].to_numpy(), candidates=candidates).length
        for span in longest
        for column in columns
    ]
    return max(set(lengths), key=lambda length: (lengths.count(length), length))


def _seconds(step: Step) -> float:
    """Return how long a step is on average: months and business days differ in length."""
    start, steps = np.datetime64("2001-01-01", "us"), 120
    return (step.after(start, steps)[-1] - start) / np.timedelta64(1, "s") / steps


def _default_lookback(
    period: int, horizon: int, training: Mapping[str | None, pl.DataFrame]
) -> int:
    """Two horizons and at least 32 steps, in whole seasons, but at most a third of the data.

    Of a panel, that is of the middle one of its series: one that has hardly begun must not take
    the others' past away.
    """
    wanted = max(2 * horizon, _LEAST_LOOKBACK, period + 1)
    wanted = -(-wanted // period) * period
    typical = np.median([span.height for span in training.values() if span.height])
    return max(1, min(wanted, int(typical) // 3))


def _unit(step: Step | None) -> str:
    return f"{step.unit}s" if step and step.count == 1 and step.unit != "integer" else "steps"


def _no_scale(panel: Panel, keys: Sequence[str | None]) -> Finding:
    return Finding(
        "warning",
        f"{panel.name}: {len(keys):,} of {len(panel.series):,} series have no row in the training "
        f"span, so no scale, and are left out of validation and test; the first is {keys[0]!r}",
        "start validation later, or scale all alike with --scaling-by column",
    )


def _unseen(inputs: SeriesInput, parts: Sequence[Part]) -> list[str]:
    return inputs.unseen(pl.concat(part.frame.head(part.known) for part in parts))


def _must_look_back(forecaster: Forecaster, parts: list[Part], name: str, ahead: int = 0) -> None:
    for part in parts:
        if part.known < forecaster.lookback + ahead:
            more = f", and {ahead} more to be scored on" if ahead else ""
            raise InputError(
                f"{name}{of_group(part.key)}: {part.known} rows with values; the model reads "
                f"{forecaster.lookback}{more}; give a longer table"
            )
