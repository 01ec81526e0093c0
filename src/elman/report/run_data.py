"""A run as the pages see it: one record that answers the questions they ask of it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from elman.kinds.jobs import job_name
from elman.options import split_names
from elman.report.examples.samples import Samples

SPLIT_NAMES = {"train": "training", "valid": "validation", "test": "test"}
# The part to show where one is enough: what was kept apart longest, if it is there.
_SHOWN_FIRST = ("test", "valid")
_TIME_FORMATS = ("%Y-%m-%d", "%Y-%m-%d %H:%M:%S%.f", "%Y-%m-%d %H:%M")


@dataclass(frozen=True)
class Span:
    """A stretch of time that one split covers, in the axis' own unit (time or row number)."""

    name: str
    start: Any
    stop: Any


@dataclass(frozen=True)
class RunData:
    """A run folder as read, whatever its job.

    Attributes:
        metrics: of each epoch, by column.
        predictions: forecasts with parsed times; None without, and for another job.
        answers: the rows of predictions.csv for a job of examples, as text; None without.
        samples: what samples.json holds; empty for forecasts.
        diagnosis: what diagnosis.json holds; empty where nobody asked for one.
        series: the raw data for the data plot of forecasts (see `write_report`).
        notes: what is missing or damaged.
    """

    folder: Path
    config: dict[str, Any]
    config_text: str
    model: dict[str, Any]
    metrics: dict[str, np.ndarray]
    predictions: pl.DataFrame | None
    notes: list[str] = field(default_factory=list)
    answers: pl.DataFrame | None = None
    samples: Samples = field(default_factory=Samples)
    diagnosis: dict[str, Any] = field(default_factory=dict)
    series: Mapping[str, Any] | None = None

    @cached_property
    def job(self) -> str:
        """What the run does: `forecasting`, `examples` or `generation`."""
        return job_of(self.model, self.config)

    @cached_property
    def target_kind(self) -> str:
        """The kind of target, such as `category`; empty if the folder does not say."""
        return target_kind_of(self.model, self.config)

    @cached_property
    def inputs(self) -> list[str]:
        """The inputs as declared: `text:review`."""
        known = self.config.get("inputs")
        return [str(each) for each in known] if isinstance(known, list) else [str(known or "")]

    @cached_property
    def name(self) -> str:
        """What the forecaster is called in the scores; its cell's name otherwise."""
        for row in self.scores:
            if row.get("kind") == "model":
                return str(row.get("forecaster"))
        return str(part(self.model, "network").get("cell") or self.config.get("cell") or "model")

    @cached_property
    def scores(self) -> list[dict[str, Any]]:
        """The score rows of `model.json`."""
        return [row for row in listed(self.model, "scores") if isinstance(row, dict)]

    @cached_property
    def targets(self) -> list[str]:
        """The columns forecast."""
        if known := listed(part(self.model, "target"), "columns"):
            return [str(name) for name in known]
        if self.predictions is not None:
            return self.predictions["target"].unique(maintain_order=True).to_list()
        asked = str(self.config.get("target") or "").partition(":")[2]
        return list(split_names(asked))

    @cached_property
    def horizon(self) -> int:
        """How many steps ahead were forecast."""
        known = part(self.model, "target").get("horizon") or self.config.get("horizon")
        if known:
            return int(known)
        return 1 if self.predictions is None else int(self.predictions["step"].max() or 1)  # type: ignore[arg-type]

    @cached_property
    def splits(self) -> list[str]:
        """The splits that have forecasts, in the order valid, test, others."""
        if self.predictions is None:
            return []
        present = self.predictions["split"].unique(maintain_order=True).to_list()
        first = [name for name in ("valid", "test") if name in present]
        return first + [name for name in present if name not in first]

    @cached_property
    def groups(self) -> list[str]:
        """The groups that have forecasts; `[""]` for a single series."""
        if self.predictions is None:
            return []
        return self.predictions["group"].unique(maintain_order=True).to_list()

    @cached_property
    def quantiles(self) -> list[tuple[float, str]]:
        """The quantiles forecast, ascending, each with its column in the predictions."""
        if self.predictions is None:
            return []
        names = [c for c in self.predictions.columns if c[:1] == "q" and is_number(c[1:])]
        return sorted((float(name[1:]), name) for name in names)

    @cached_property
    def spans(self) -> list[Span]:
        """The splits' spans in time order, each reaching to the next one's start."""
        raw = part(part(self.model, "data"), "spans")
        found = [
            Span(name, parse_moment(raw[name].get("from")), parse_moment(raw[name].get("to")))
            for name in ("train", "valid", "test")
            if isinstance(raw.get(name), dict)
        ]
        found = [span for span in found if span.start is not None and span.stop is not None]
        nexts = [span.start for span in found[1:]]
        for index, start in enumerate(nexts):
            span = found[index]
            if type(start) is type(span.start) and start > span.start:
                found[index] = Span(span.name, span.start, start)
        return found

    def rows(
        self, split: str | None, target: str, group: str | None = None, step: int | None = None
    ) -> pl.DataFrame:
        """Return the forecasts with a known truth that match, in time order."""
        assert self.predictions is not None
        wanted = (pl.col("target") == target) & pl.col("truth").is_not_null()
        for column, value in (("split", split), ("group", group), ("step", step)):
            if value is not None:
                wanted &= pl.col(column) == value
        return self.predictions.filter(wanted).sort("group", "time", "origin")

    def baselines(self, split: str, target: str, step: int = 0) -> list[dict[str, Any]]:
        """Return the baselines' score rows, best MAE first."""
        rows = [
            row
            for row in self.scores
            if (row.get("split"), row.get("target"), row.get("step")) == (split, target, step)
            and row.get("kind") == "baseline"
        ]
        return sorted(rows, key=lambda row: as_float(row.get("mae"), np.inf))

    def model_score(self, split: str, target: str, step: int = 0) -> dict[str, Any] | None:
        """Return the model's own score row, if there is one."""
        for row in self.scores:
            place = (row.get("split"), row.get("target"), row.get("step"))
            if place == (split, target, step) and row.get("kind") == "model":
                return row
        return None

    def baseline_name(self, split: str, target: str) -> str:
        """Return the baseline that the predictions carry: the split's best over all steps."""
        rows = self.baselines(split, target)
        return str(rows[0]["forecaster"]) if rows else "best baseline"

    def by_group(self, split: str, target: str) -> pl.DataFrame:
        """Return each group's `mae`, `baseline_mae` and `ratio`, best first.

        The order is by MAE relative to the baseline's, so that groups of different size compare.
        """
        error = (pl.col("truth") - pl.col("forecast")).abs().mean()
        other = (pl.col("truth") - pl.col("baseline")).abs().mean()
        frame = (
            self.rows(split, target)
            .group_by("group", maintain_order=True)
            .agg(error.alias("mae"), other.alias("baseline_mae"))
        )
        ratio = pl.when(pl.col("baseline_mae") > 0).then(pl.col("mae") / pl.col("baseline_mae"))
        return frame.with_columns(ratio.alias("ratio")).sort(
            "ratio", "mae", "group", nulls_last=True
        )

    def shown_groups(self, split: str, target: str) -> list[tuple[str, str]]:
        """Return (group, why) for the groups to draw: all of three, else best, median, worst."""
        if len(self.groups) <= 3:
            return [(group, "") for group in self.groups]
        ranked = self.by_group(split, target)["group"].to_list()
        if len(ranked) <= 3:
            return [(group, "") for group in ranked]
        return [(ranked[0], "best"), (ranked[len(ranked) // 2], "median"), (ranked[-1], "worst")]


def target_kind_of(model: Mapping[str, Any], config: Mapping[str, Any]) -> str:
    """Return the kind of target of a run's model.json and config.yaml; empty if neither says."""
    known = part(model, "target").get("kind")
    return str(known or str(config.get("target") or "").partition(":")[0]).strip()


def job_of(model: Mapping[str, Any], config: Mapping[str, Any]) -> str:
    """Return the job of a run: that of model.json, or of the kind of its target."""
    known = model.get("job")
    if known in ("forecasting", "examples", "generation"):
        return str(known)
    # Runs older than the key are forecasts; a run that has not finished has no model.json.
    return "forecasting" if model else job_name(target_kind_of(model, config) or "forecast")


def shown_split(names: Iterable[str]) -> str | None:
    """Return which of some splits is shown where one is enough; None of none."""
    there = list(names)
    return next((name for name in _SHOWN_FIRST if name in there), there[0] if there else None)


def of_split(name: str) -> str:
    """Return where something is from, in words: `Of the test part`; `Of fold 1`."""
    return f"Of the {SPLIT_NAMES[name]} part" if name in SPLIT_NAMES else f"Of {name}"


def as_float(value: Any, default: float = np.nan) -> float:
    """Return a number from JSON as a float; `default` for null or anything else."""
    return float(value) if isinstance(value, (int, float)) else default


def parse_moment(value: Any) -> np.datetime64 | int | None:
    """Return a time or a row number as the time axes use it; None if it is neither."""
    if isinstance(value, int):
        return value
    parsed = parse_times(pl.Series([None if value is None else str(value)], dtype=pl.String))
    if parsed is None or parsed[0] is None:
        return None
    return int(parsed[0]) if parsed.dtype == pl.Int64 else np.datetime64(parsed[0], "us")


def part(record: Mapping[str, Any], name: str) -> dict[str, Any]:
    """Return an object of a JSON document; empty if it is absent or none."""
    value = record.get(name)
    return value if isinstance(value, dict) else {}


def listed(record: Mapping[str, Any], name: str) -> list[Any]:
    """Return a list of a JSON document; empty if it is absent or none."""
    value = record.get(name)
    return value if isinstance(value, list) else []


def as_count(value: Any) -> int:
    """Return a count from JSON; 0 for anything else."""
    return value if isinstance(value, int) and value > 0 else 0


def is_number(text: str) -> bool:
    """Return whether `text` is a finite number."""
    try:
        return bool(np.isfinite(float(text)))
    except ValueError:
        return False


def parse_times(texts: pl.Series) -> pl.Series | None:
    """Return a column of times as Int64 or Datetime; None if some of it is neither."""
    if texts.null_count() == len(texts):
        return None
    whole = texts.cast(pl.Int64, strict=False)
    if whole.null_count() == texts.null_count():
        return whole
    # Offsets are dropped, not applied: the page shows the times as the table wrote them.
    plain = texts.str.replace(r"(Z|[+-]\d\d:?\d\d)$", "").str.replace("T", " ", literal=True)
    tries = [
        plain.str.to_datetime(text_format, strict=False, time_unit="us")
        for text_format in _TIME_FORMATS
    ]
    parsed = pl.select(pl.coalesce(*tries)).to_series()
    return parsed if parsed.null_count() == texts.null_count() else None


def as_axis(column: pl.Series) -> np.ndarray:
    """Return a parsed time column as an array a figure can draw."""
    if column.dtype == pl.Int64:
        return column.to_numpy()
    return column.cast(pl.Datetime("us")).to_numpy().astype("datetime64[us]")
