"""The sections of scores: the tables, the groups, the error by horizon step, the residuals."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import polars as pl

from elman.kinds.scoring.forecasts import METRICS
from elman.report.about import MOST_TARGETS
from elman.report.blocks import Block, Cell, Gallery, Paragraph, Section, Table
from elman.report.figures import residuals as drawn
from elman.report.figures.curves import step_picture
from elman.report.formats import aligned, number, percent
from elman.report.run_data import SPLIT_NAMES, RunData, as_axis, as_float, listed, part

_LAGS = 30
_TOP = 5


def scores(run: RunData) -> Section:
    """The score table of each split and target, best in bold; then the groups."""
    blocks: list[Block | str] = []
    tables = score_tables(run)
    if not tables:
        blocks.append(Paragraph("There are no scores in model.json.", "warning"))
    else:
        with_quantiles = any("coverage" in row for row in run.scores)
        words = "In the target's own unit, over all steps ahead. The best of each column is bold."
        if with_quantiles and len(run.quantiles) > 1:
            wanted = run.quantiles[-1][0] - run.quantiles[0][0]
            words += f" Coverage should be {percent(wanted)}: the nearest is bold."
        blocks.append(words)
    blocks.extend(tables)
    if len(run.groups) > 1:
        blocks.extend(_group_tables(run))
    return Section("Scores", blocks)


def score_tables(run: RunData) -> list[Table]:
    """Return a table of scores over all steps for each split and target."""
    order = {"valid": 0, "test": 1}
    places = {(str(row.get("split")), str(row.get("target"))) for row in run.scores}
    tables = []
    for split, target in sorted(places, key=lambda p: (p[1], order.get(p[0], 2), p[0])):
        rows = [
            row
            for row in run.scores
            if (row.get("split"), row.get("target"), row.get("step")) == (split, target, 0)
        ]
        if rows:
            title = f"{target or 'all targets'}, {SPLIT_NAMES.get(split, split)} span"
            tables.append(score_table(rows, title, _nominal(run)))
    return tables


def _nominal(run: RunData) -> float:
    known = listed(part(run.model, "target"), "quantiles") or [q for q, _ in run.quantiles]
    return max(known) - min(known) if len(known) > 1 else np.nan


def score_table(rows: Sequence[dict[str, Any]], title: str, coverage: float = np.nan) -> Table:
    """Return score rows as a table, the model first, the best of each column in bold.

    Args:
        rows: rows as in `model.json`'s `scores`.
        title: the table's caption.
        coverage: the share the quantile band should cover, if there is one.
    """
    rows = sorted(rows, key=lambda r: (r.get("kind") != "model", as_float(r.get("mae"), np.inf)))
    metrics = {key: name for key, name in METRICS.items() if any(key in row for row in rows)}
    columns: list[list[Cell]] = []
    for key in metrics:
        values = [as_float(row.get(key)) for row in rows]
        columns.append(_bold_lowest(aligned(values), values))
    if any("coverage" in row for row in rows):
        metrics["coverage"] = "coverage"
        values = [as_float(row.get("coverage")) for row in rows]
        distance = [abs(value - coverage) for value in values]
        columns.append(_bold_lowest([percent(value) for value in values], distance))
    body = [
        [Cell(str(row.get("forecaster"))), *(column[index] for column in columns)]
        for index, row in enumerate(rows)
    ]
    sizes = sorted({row["n"] for row in rows if isinstance(row.get("n"), int)})
    number_of = f"; {sizes[0]:,} forecasts each" if len(sizes) == 1 else ""
    marked = frozenset(i for i, row in enumerate(rows) if row.get("kind") == "model")
    return Table(
        ("Forecaster", *metrics.values()), body, title + number_of, "l" + "r" * len(metrics), marked
    )


def _bold_lowest(texts: Sequence[str], values: Sequence[float]) -> list[Cell]:
    """Return cells with the lowest value bold, and those that read the same; one alone is not."""
    finite = [value for value in values if np.isfinite(value)]
    if len(finite) < 2:
        return [Cell(text) for text in texts]
    best = texts[list(values).index(min(finite))]
    return [Cell(text, strong=text == best) for text in texts]


def _group_tables(run: RunData) -> list[Block]:
    blocks: list[Block] = []
    for target in run.targets[:MOST_TARGETS]:
        for split in run.splits:
            frame = run.by_group(split, target)
            if frame.height < 2:
                continue
            cut = frame.height > 2 * _TOP
            shown = pl.concat([frame.head(_TOP), frame.tail(_TOP)]) if cut else frame
            both = aligned(shown["mae"].to_list() + shown["baseline_mae"].to_list())
            mae, other = both[: shown.height], both[shown.height :]
            change = [None if r is None else r - 1 for r in shown["ratio"].to_list()]
            rows = [
                [
                    group,
                    Cell(mae[i], strong=(change[i] or 0) < 0),
                    Cell(other[i], strong=(change[i] or 0) > 0),
                    Cell(_signed(change[i]), tone="bad" if (change[i] or 0) > 0 else "good"),
                ]
                for i, group in enumerate(shown["group"].to_list())
            ]
            beaten = frame.filter(pl.col("ratio") < 1).height
            which = f"the best and the worst {_TOP} of {frame.height}" if cut else "best first"
            blocks.append(
                Table(
                    ("Group", f"{run.name} MAE", "Baseline MAE", "Difference"),
                    rows,
                    f"{target} by group, {SPLIT_NAMES.get(split, split)} span: {which}."
                    f" {run.name} beats the baseline in {beaten} of {frame.height} groups.",
                    "lrrr",
                )
            )
    return blocks


def _signed(change: float | None) -> str:
    text = percent(change)
    return f"+{text}" if change is not None and change > 0 else text


def horizon(run: RunData) -> Section | None:
    """Error by horizon step; None when there is one step only."""
    pictures = []
    for target in run.targets[:MOST_TARGETS]:
        for split in ("valid", "test"):
            model = {
                row["step"]: as_float(row.get("mae"))
                for row in run.scores
                if (row.get("split"), row.get("target")) == (split, target)
                and row.get("kind") == "model"
                and row.get("step")
            }
            steps = np.array(sorted(model))
            if len(steps) < 2:
                continue
            baselines = {
                str(best["forecaster"]): np.array(
                    [_mae_of(run, split, target, int(step), best["forecaster"]) for step in steps]
                )
                for best in run.baselines(split, target)
            }
            baselines = {n: v for n, v in baselines.items() if np.isfinite(v).all()}
            values = np.array([model[step] for step in steps])
            title = f"{target}, {SPLIT_NAMES[split]}"
            pictures.append(step_picture(title, steps, (run.name, values), baselines, target))
    if not pictures:
        return None
    return Section("Error by horizon step", [Gallery("", pictures)])


def _mae_of(run: RunData, split: str, target: str, step: int, name: str) -> float:
    for row in run.baselines(split, target, step):
        if row["forecaster"] == name:
            return as_float(row.get("mae"))
    return np.nan


def residuals(run: RunData) -> Section:
    """The errors one step ahead, on the test span if there is one."""
    blocks: list[Block | str] = []
    split = "test" if "test" in run.splits else next(iter(run.splits), None)
    for target in run.targets[:MOST_TARGETS] if split else []:
        assert split is not None
        rows = run.rows(split, target, step=1)
        if rows.height < 3:
            blocks.append(Paragraph(f"{target}: too few forecasts to judge residuals.", "note"))
            continue
        blocks.append(_residual_gallery(run, split, target, rows))
    if not blocks:
        blocks.append(Paragraph("There are no forecasts with a known truth.", "warning"))
    return Section("Residuals", blocks)


def _residual_gallery(run: RunData, split: str, target: str, rows: pl.DataFrame) -> Gallery:
    rows = rows.with_columns((pl.col("truth") - pl.col("forecast")).alias("residual"))
    parts = [part["residual"].to_numpy() for part in rows.partition_by("group")]
    lags = min(_LAGS, max(len(part) for part in parts) // 3)
    residual, truth = rows["residual"].to_numpy(), rows["truth"].to_numpy()
    pictures = [drawn.over_time(as_axis(rows["time"]), residual), drawn.histogram(residual)]
    if lags >= 2:
        band = 1.96 / np.sqrt(len(residual))
        pictures.append(drawn.correlogram(drawn.autocorrelation(parts, lags), float(band)))
    pictures.append(drawn.scatter(truth, rows["forecast"].to_numpy(), target))
    mean, spread = float(residual.mean()), float(residual.std(ddof=1))
    # A mean beyond two standard errors is more than chance would give.
    biased = abs(mean) > 2 * spread / np.sqrt(len(residual))
    side = "low" if mean > 0 else "high"
    words = "One step ahead: truth minus forecast. " + (
        f"On average the forecast is too {side} by {number(abs(mean))}"
        f" ({percent(abs(mean) / spread)} of the residuals' standard deviation)."
        if biased and spread > 0
        else f"No bias to speak of: the mean residual is {number(mean)}."
    )
    return Gallery(f"{target}, {SPLIT_NAMES.get(split, split)} span", pictures, words)
