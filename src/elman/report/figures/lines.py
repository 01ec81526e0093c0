"""Lines over time: the data with its splits, forecasts against truth, fan-outs from an origin."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from elman.report.blocks import Key, Picture
from elman.report.figures.canvas import (
    colour,
    dress,
    picture,
    same_kind,
    thin,
)
from elman.report.formats import moment, number
from elman.report.run_data import SPLIT_NAMES

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from elman.report.run_data import Span


@dataclass(frozen=True)
class Lines:
    """Truth, forecast and baseline on one time axis; `bands` are (low, high), widest first."""

    x: np.ndarray
    truth: np.ndarray
    forecast: np.ndarray
    baseline: np.ndarray | None = None
    bands: Sequence[tuple[np.ndarray, np.ndarray]] = ()
    title: str = ""


@dataclass(frozen=True)
class Window:
    """A fan-out: the truth known before `origin`, and what was forecast from there."""

    past_x: np.ndarray
    past: np.ndarray
    ahead: Lines
    origin: Any = None
    title: str = ""
    limits: tuple[float, float] | None = None
    marked: Any = None


def data_picture(
    panels: Sequence[tuple[str, np.ndarray, np.ndarray]], spans: Sequence[Span], caption: str
) -> Picture:
    """Draw (title, x, values) one above the other with the splits shaded and named."""

    def draw(figure: Figure) -> None:
        grid = figure.subplots(len(panels), 1, squeeze=False)[:, 0]
        for row, (axes, (title, x, values)) in enumerate(zip(grid, panels, strict=True)):
            axes.plot(*thin(x, values), color=colour("truth"), linewidth=0.9)
            dress(axes, x, y_label=title)
            _shade(axes, x, spans, named=row == 0)

    keys = [Key(f"{SPLIT_NAMES[s.name]} span", s.name, "fill") for s in _shaded(spans)]
    height = 70 + 160 * len(panels) if len(panels) > 1 else 270
    return picture("The series", caption, draw, keys=keys, height=height)


def _shaded(spans: Sequence[Span]) -> list[Span]:
    return [span for span in spans if span.name != "train"]


def _shade(axes: Axes, x: np.ndarray, spans: Sequence[Span], *, named: bool) -> None:
    """Shade validation and test; write each split's name where it fits, else one line higher."""
    usable = [s for s in spans if same_kind(x, s.start) and same_kind(x, s.stop)]
    if not usable or len(x) == 0:
        return
    low, high = x.min(), x.max()
    usable = [s for s in usable if s.start <= high and s.stop > low]
    whole = _length(low, high) or 1.0
    pixels = axes.figure.get_figwidth() * 72 * 0.85  # type: ignore[union-attr]
    top, taken = 0.99, -1.0
    for span in usable:
        start, stop = max(span.start, low), min(span.stop, high)
        if span.name != "train":
            axes.axvspan(start, stop, color=colour(span.name), linewidth=0, zorder=0)
        if not named:
            continue
        text = SPLIT_NAMES[span.name]
        left = _length(low, start) / whole * pixels
        top = 0.99 if left >= taken else top - 0.09
        taken = left + 7 * len(text)
        flush = taken > pixels
        axes.annotate(
            text,
            (stop if flush else start, top),
            xycoords=("data", "axes fraction"),
            xytext=(-3 if flush else 3, 0),
            textcoords="offset points",
            ha="right" if flush else "left",
            va="top",
            color=colour("ink"),
            fontsize=10,
        )
    bottom, ceiling = axes.get_ylim()
    axes.set_ylim(bottom, ceiling + (ceiling - bottom) * 0.16 * named)


def _length(low: Any, high: Any) -> float:
    if isinstance(low, np.datetime64):
        return float((high - low) / np.timedelta64(1, "us"))
    return float(high - low)


def overlay_picture(
    title: str,
    caption: str,
    panels: Sequence[Lines],
    *,
    baseline_name: str,
    band_name: str,
    name: str,
) -> Picture:
    """Draw forecasts against truth with the baseline, one panel above the other."""

    def draw(figure: Figure) -> None:
        grid = figure.subplots(len(panels), 1, squeeze=False)[:, 0]
        for axes, panel in zip(grid, panels, strict=True):
            draw_lines(axes, panel)
            # One panel needs no name: the picture's title has it.
            dress(axes, panel.x, y_label=panel.title if len(panels) > 1 else "")

    keys = legend(panels[0], name, baseline_name, band_name)
    return picture(title, caption, draw, keys=keys, height=60 + 210 * len(panels))


def legend(lines: Lines, name: str, baseline_name: str, band_name: str) -> list[Key]:
    """Return the legend of what `draw_lines` draws."""
    keys = [Key("truth", "truth"), Key(name, "model")]
    if lines.baseline is not None:
        keys.append(Key(baseline_name, "baseline", "dash"))
    if lines.bands:
        keys.append(Key(band_name, "model", "band"))
    return keys


def draw_lines(axes: Axes, lines: Lines) -> None:
    """Draw truth, forecast, baseline and bands; few points are marked as points."""
    few = len(lines.x) <= 40
    marker: dict[str, Any] = {"marker": "o", "markersize": 3} if few else {}
    curves = [lines.truth, lines.forecast]
    if lines.baseline is not None:
        curves.append(lines.baseline)
    for low, high in lines.bands:
        x, low, high = thin(lines.x, low, high)
        axes.fill_between(x, low, high, color=colour("model"), alpha=0.18, linewidth=0)
    x, truth, forecast, *rest = thin(lines.x, *curves)
    for baseline in rest:
        axes.plot(x, baseline, color=colour("baseline"), linewidth=1.1, dashes=(4, 2))
    axes.plot(x, truth, color=colour("truth"), linewidth=1.2, **marker)
    axes.plot(x, forecast, color=colour("model"), linewidth=1.5, **marker)


def error_picture(
    title: str, caption: str, panels: Sequence[Lines], *, baseline_name: str, name: str
) -> Picture:
    """Draw the mean absolute error in successive stretches of spans too long to see each step."""

    def draw(figure: Figure) -> None:
        grid = figure.subplots(len(panels), 1, squeeze=False)[:, 0]
        for axes, panel in zip(grid, panels, strict=True):
            x, error = stretches(panel.x, np.abs(panel.truth - panel.forecast))
            if panel.baseline is not None:
                _, other = stretches(panel.x, np.abs(panel.truth - panel.baseline))
                axes.plot(x, other, color=colour("baseline"), linewidth=1.1, dashes=(4, 2))
            axes.plot(x, error, color=colour("model"), linewidth=1.5)
            axes.set_ylim(bottom=0)
            dress(axes, panel.x, y_label=panel.title if len(panels) > 1 else "")

    keys = [key for key in legend(panels[0], name, baseline_name, "") if key.colour != "truth"]
    keys = [key for key in keys if key.style != "band"]
    return picture(title, caption, draw, keys=keys, height=60 + 170 * len(panels))


def stretches(x: np.ndarray, values: np.ndarray, pieces: int = 100) -> tuple[np.ndarray, ...]:
    """Return the middle and the mean of `pieces` successive stretches of about equal length."""
    parts = [part for part in np.array_split(np.arange(len(x)), pieces) if len(part)]
    middles = np.array([x[part[len(part) // 2]] for part in parts])
    return middles, np.array([values[part].mean() for part in parts])


def window_picture(window: Window) -> Picture:
    """Draw one fan-out as a small panel."""

    def draw(figure: Figure) -> None:
        axes = figure.subplots()
        if len(window.past_x):
            # On to the first step ahead, so that the truth is one line through the origin.
            x = np.append(window.past_x, window.ahead.x[:1])
            past = np.append(window.past, window.ahead.truth[:1])
            axes.plot(x, past, color=colour("truth"), linewidth=1.2)
        if window.origin is not None:
            axes.axvline(window.origin, color=colour("soft"), linewidth=0.8, dashes=(2, 2))
        draw_lines(axes, window.ahead)
        if window.marked is not None:
            near = window.ahead.x == window.marked
            ends = window.ahead.truth[near], window.ahead.forecast[near]
            axes.vlines(window.ahead.x[near], *ends, color=colour("second"), linewidth=4, zorder=3)
        dress(axes, window.ahead.x)
        if window.limits is not None:
            axes.set_ylim(window.limits)

    ahead = window.ahead
    words = (
        f"From {moment(ahead.x[0])} to {moment(ahead.x[-1])} the truth lies between"
        f" {number(float(ahead.truth.min()))} and {number(float(ahead.truth.max()))}, the forecast"
        f" between {number(float(ahead.forecast.min()))} and {number(float(ahead.forecast.max()))}."
    )
    small = picture(window.title, "", draw, size="third", height=190)
    return replace(small, alt=words)
