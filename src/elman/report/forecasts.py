"""The sections that draw forecasts: against the truth, and where they were worst."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import polars as pl

from elman.report.about import MOST_TARGETS
from elman.report.blocks import Block, Gallery, Key, Paragraph, Picture, Section
from elman.report.figures.lines import (
    Lines,
    Window,
    error_picture,
    legend,
    overlay_picture,
    window_picture,
)
from elman.report.formats import count, label, moment, number, percent
from elman.report.run_data import SPLIT_NAMES, RunData, as_axis, as_float

_CLOSE_UP = 200  # steps: where a line at full width still shows each one
_FANS = 6
_WORST = 6
_AROUND = 10  # steps drawn on either side of a single wrong step


def forecasts(run: RunData) -> Section:
    """Forecasts against truth, with the baseline."""
    blocks: list[Block | str] = []
    if run.predictions is None:
        blocks.append(Paragraph("There are no forecasts in the run folder.", "warning"))
        return Section("Forecasts against the truth", blocks)
    for target in run.targets[:MOST_TARGETS]:
        for split in run.splits:
            baseline = run.baseline_name(split, target)
            picked = run.shown_groups(split, target)
            blocks.extend(_rolling(run, split, target, picked, baseline))
            if run.horizon > 1 and picked:
                blocks.extend(_fans(run, split, target, picked[len(picked) // 2][0], baseline))
    if len(run.targets) > MOST_TARGETS:
        rest = ", ".join(run.targets[MOST_TARGETS:])
        blocks.append(f"The first {MOST_TARGETS} targets are drawn; the others are: {rest}.")
    return Section("Forecasts against the truth", blocks)


def _lines(rows: pl.DataFrame, run: RunData, title: str = "") -> Lines:
    """Return rows of one group as lines; pairs of quantiles, outermost first, are the bands."""
    names = [name for _, name in run.quantiles]
    pairs = [(names[i], names[-1 - i]) for i in range(len(names) // 2)]
    known = rows["baseline"].null_count() < rows.height
    return Lines(
        x=as_axis(rows["time"]),
        truth=rows["truth"].to_numpy(),
        forecast=rows["forecast"].to_numpy(),
        baseline=rows["baseline"].to_numpy() if known else None,
        bands=[(rows[low].to_numpy(), rows[high].to_numpy()) for low, high in pairs],
        title=title,
    )


def _rolling(
    run: RunData, split: str, target: str, picked: Sequence[tuple[str, str]], baseline: str
) -> list[Picture]:
    """Draw the forecast of one step ahead as the origin rolls, and a close-up if it is long."""
    step = run.horizon
    panels = []
    for group, why in picked:
        rows = run.rows(split, target, group, step)
        if rows.height:
            name = f"{target} · {group}" if group else target
            panels.append(_lines(rows, run, f"{name} ({why})" if why else name))
    if not panels:
        return []
    ahead = f"{count(step, 'step')} ahead"
    error = np.concatenate([panel.truth - panel.forecast for panel in panels])
    span = SPLIT_NAMES.get(split, split)
    longest = max(len(panel.x) for panel in panels)
    words = (
        f"Forecasts {ahead} on the {span} span,"
        f" {moment(min(p.x[0] for p in panels))} to {moment(max(p.x[-1] for p in panels))}."
        f" MAE of what is drawn: {number(float(np.abs(error).mean()))} ({run.name})"
    )
    if all(panel.baseline is not None for panel in panels):
        other = np.concatenate([p.truth - p.baseline for p in panels if p.baseline is not None])
        words += f", {number(float(np.nanmean(np.abs(other))))} ({baseline})"
    words += "."
    if any(why for _, why in picked):
        words += " Groups: lowest, median and highest MAE relative to the baseline's."
    names = {"baseline_name": baseline, "band_name": _band_name(run), "name": run.name}
    title = f"{target}, {span}: {ahead}"
    if longest <= 2 * _CLOSE_UP:
        return [overlay_picture(title, words, panels, **names)]
    close = [_tail(panel) for panel in panels]
    return [
        error_picture(
            f"{title}, mean absolute error",
            f"{words} Each point is the mean of about {round(longest / 100):,} steps.",
            panels,
            baseline_name=baseline,
            name=run.name,
        ),
        overlay_picture(
            f"{title}, the last {_CLOSE_UP} steps",
            f"The forecasts close up, {moment(close[0].x[0])} to {moment(close[0].x[-1])}.",
            close,
            **names,
        ),
    ]


def _cut(lines: Lines, part: slice) -> Lines:
    return Lines(
        x=lines.x[part],
        truth=lines.truth[part],
        forecast=lines.forecast[part],
        baseline=None if lines.baseline is None else lines.baseline[part],
        bands=[(low[part], high[part]) for low, high in lines.bands],
        title=lines.title,
    )


def _tail(lines: Lines) -> Lines:
    return _cut(lines, slice(-_CLOSE_UP, None))


def _band_name(run: RunData) -> str:
    if len(run.quantiles) < 2:
        return ""
    low, high = run.quantiles[0][0], run.quantiles[-1][0]
    return f"{percent(low)} to {percent(high)} quantiles"


def _fans(run: RunData, split: str, target: str, group: str, baseline: str) -> list[Gallery]:
    """Draw what was forecast from several origins, evenly spread over the split."""
    rows = run.rows(split, target, group)
    whole = rows.group_by("origin").agg(pl.len()).filter(pl.col("len") == run.horizon)
    origins = whole["origin"].sort()
    if len(origins) == 0:
        return []
    # The first origins have no known past to draw, so the spread starts a little later.
    start = min(run.horizon, len(origins) // 3)
    places = np.unique(np.linspace(start, len(origins) - 1, _FANS).round().astype(int))
    windows = [_window(run, target, group, split, origins[int(place)]) for place in places]
    values = [np.concatenate([w.past, w.ahead.truth, w.ahead.forecast]) for w in windows]
    low = min(float(np.nanmin(v)) for v in values)
    high = max(float(np.nanmax(v)) for v in values)
    pad = (high - low) * 0.06 or 1.0
    limits = (low - pad, high + pad)
    span = SPLIT_NAMES.get(split, split)
    name = f"{target} · {group}" if group else target
    pictures = [
        window_picture(Window(w.past_x, w.past, w.ahead, w.origin, w.title, limits))
        for w in windows
    ]
    words = (
        f"{count(len(windows), 'origin')} spread evenly over the {span} span, each followed"
        f" {run.horizon} steps ahead; all on one scale. The dotted line is the origin, the last"
        " step the network saw."
    )
    keys = legend(windows[0].ahead, run.name, baseline, _band_name(run))
    return [Gallery(f"{name}, {span}: forecasts from single origins", pictures, words, keys)]


def _window(run: RunData, target: str, group: str, split: str, origin: Any) -> Window:
    """Return a fan-out with the truth before it, as far as the predictions know that."""
    ahead = run.rows(split, target, group).filter(pl.col("origin") == origin).sort("time")
    past = (
        run.rows(None, target, group)
        .filter(pl.col("time") <= origin)
        .unique("time", maintain_order=True)
        .sort("time")
        .tail(max(run.horizon, _AROUND))
    )
    at = as_axis(pl.Series([origin], dtype=ahead["origin"].dtype))[0]
    error = (ahead["truth"] - ahead["forecast"]).abs().mean()
    title = f"from {moment(origin)}: MAE {number(as_float(error))}"
    return Window(as_axis(past["time"]), past["truth"].to_numpy(), _lines(ahead, run), at, title)


def worst(run: RunData) -> Section:
    """The origins with the largest error."""
    blocks: list[Block | str] = []
    for target in run.targets[:MOST_TARGETS] if run.predictions is not None else []:
        gallery = _worst_gallery(run, target)
        if gallery:
            blocks.append(gallery)
    if not blocks:
        blocks.append(Paragraph("There are no forecasts with a known truth.", "warning"))
    return Section("Worst windows", blocks)


def _worst_gallery(run: RunData, target: str) -> Gallery | None:
    rows = run.rows(None, target)
    if rows.height == 0:
        return None
    error = (pl.col("truth") - pl.col("forecast")).abs().mean().alias("error")
    ranked = rows.group_by("split", "group", "origin", maintain_order=True).agg(error)
    usual = as_float(ranked["error"].mean())
    ranked = ranked.with_columns(
        pl.col("origin").rank("dense").over("split", "group").alias("place")
    ).sort("error", "split", "group", "origin", descending=[True, False, False, False])
    apart = run.horizon if run.horizon > 1 else 5
    taken: list[dict[str, Any]] = []
    for row in ranked.head(2000).iter_rows(named=True):
        # Windows that overlap one already shown would show the same failure again.
        clear = all(
            (row["split"], row["group"]) != (other["split"], other["group"])
            or abs(row["place"] - other["place"]) >= apart
            for other in taken
        )
        if clear:
            taken.append(row)
        if len(taken) == _WORST:
            break
    windows = [_worst_window(run, target, row, usual) for row in taken]
    words = (
        f"The {len(windows)} origins with the largest error over validation and test that do not"
        f" overlap; in brackets, how many times the mean error of {number(usual)}."
    )
    baselines = dict.fromkeys(run.baseline_name(row["split"], target) for row in taken)
    keys = legend(windows[0].ahead, run.name, " or ".join(baselines), _band_name(run))
    if run.horizon == 1:
        keys.append(Key("its error", "second", "bar"))
    return Gallery(target, [window_picture(window) for window in windows], words, keys)


def _worst_window(run: RunData, target: str, row: dict[str, Any], usual: float) -> Window:
    """Return a bad window: a fan-out, or for one step ahead the steps around the wrong one."""
    split, group, origin = row["split"], row["group"], row["origin"]
    times = f"{row['error'] / usual:.1f}×" if usual > 0 else ""
    where = f" · {label(group, 16)}" if group else ""
    words = f"{where} · {SPLIT_NAMES.get(split, split)}: error {number(row['error'])} ({times})"
    if run.horizon > 1:
        window = _window(run, target, group, split, origin)
        title = f"from {moment(origin)}{words}"
        return Window(window.past_x, window.past, window.ahead, window.origin, title)
    rows = run.rows(split, target, group)
    place = int((rows["origin"] == origin).arg_max() or 0)
    around = _lines(rows, run)
    start = max(place - _AROUND, 0)
    lines = _cut(around, slice(start, place + _AROUND + 1))
    empty = np.array([])
    title = f"at {moment(rows['time'][place])}{words}"
    return Window(empty, empty, lines, title=title, marked=around.x[place])
