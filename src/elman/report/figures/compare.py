"""Several runs in one picture: their forecasts over the same truth, their training curves."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from elman.report.blocks import Key, Picture
from elman.report.figures.canvas import RUN_COLOURS, colour, dress, picture, thin
from elman.report.figures.curves import dots, has, log_if_wide
from elman.report.formats import aligned, count, moment, number

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def compare_forecasts(
    title: str,
    x: np.ndarray,
    truth: np.ndarray,
    forecasts: Mapping[str, np.ndarray],
    *,
    baseline: tuple[str, np.ndarray] | None = None,
    unit: str = "",
) -> Picture:
    """Draw the forecasts of several runs over the same truth.

    Args:
        title: what the picture is called.
        x: times (datetime64) or step numbers.
        truth: what happened, as long as `x`.
        forecasts: each run's name and forecast, as long as `x`.
        baseline: name and forecast of the baseline to draw in grey.
        unit: what the values are, written above the axis.
    """
    keys = [Key("truth", "truth")]
    if baseline is not None:
        keys.append(Key(baseline[0], "baseline", "dash"))
    styles = run_styles(forecasts)
    keys += [Key(name, shade, style) for name, (shade, style) in styles.items()]

    def draw(figure: Figure) -> None:
        axes = figure.subplots()
        if baseline is not None:
            axes.plot(*thin(x, baseline[1]), color=colour("baseline"), dashes=(4, 2), linewidth=1.1)
        axes.plot(*thin(x, truth), color=colour("truth"), linewidth=1.8)
        for name, forecast in forecasts.items():
            shade, style = styles[name]
            line = "--" if style == "dash" else "-"
            axes.plot(*thin(x, forecast), line, color=colour(shade), linewidth=1.2)
        dress(axes, x, y_label=unit)

    drawn = dict(forecasts) | (dict([baseline]) if baseline else {})
    errors = {name: float(np.nanmean(np.abs(line - truth))) for name, line in drawn.items()}
    ranked = sorted(errors, key=lambda name: errors[name])
    values = aligned([errors[name] for name in ranked])
    listed = "; ".join(f"{name} {value}" for name, value in zip(ranked, values, strict=True))
    caption = (
        f"{count(len(x), 'step')} from {moment(x[0])} to {moment(x[-1])}."
        f" MAE of what is drawn, best first: {listed}."
    )
    return picture(title, caption, draw, keys=keys, height=280)


def compare_training(
    title: str, runs: Mapping[str, Mapping[str, np.ndarray]], *, column: str = "valid_loss"
) -> Picture:
    """Draw one column of the metrics of several runs by epoch, each run's lowest point marked.

    Args:
        title: what the picture is called.
        runs: each run's name and its metrics by column, `epoch` among them.
        column: the column to draw, such as `valid_loss` or `valid_score`.
    """
    styles = run_styles(runs)
    drawn = {name: metrics for name, metrics in runs.items() if has(metrics, column)}
    keys = [Key(name, *styles[name]) for name in drawn]

    def draw(figure: Figure) -> None:
        axes = figure.subplots()
        for name, metrics in drawn.items():
            shade, style = styles[name]
            epochs, values = metrics["epoch"].astype(int), metrics[column]
            line = "--" if style == "dash" else "-"
            axes.plot(epochs, values, line, color=colour(shade), **dots(epochs, 1.5))
            lowest = int(np.nanargmin(values))
            axes.plot(epochs[lowest], values[lowest], "o", color=colour(shade), markersize=6)
        log_if_wide(axes, [metrics[column] for metrics in drawn.values()])
        longest = max((m["epoch"].astype(int) for m in drawn.values()), key=len)
        dress(axes, longest, x_label="epoch")

    lows = "; ".join(
        f"{name} {number(float(np.nanmin(m[column])))}"
        f" at epoch {int(m['epoch'][int(np.nanargmin(m[column]))])}"
        for name, m in drawn.items()
    )
    what = column.replace("valid", "validation").replace("_", " ")
    return picture(title, f"Lowest {what} (marked): {lows}.", draw, keys=keys, height=260)


def run_styles(names: Mapping[str, Any]) -> dict[str, tuple[str, Any]]:
    """Return each run's palette colour and line style, told apart without colour from the sixth."""
    size = len(RUN_COLOURS)
    return {
        name: (RUN_COLOURS[index % size], "line" if index < size else "dash")
        for index, name in enumerate(names)
    }
