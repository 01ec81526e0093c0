"""What the errors look like: over time, in a histogram, against themselves, against the truth."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from elman.report.blocks import Picture
from elman.report.figures.canvas import MOST_SHAPES, colour, dress, picture
from elman.report.formats import label, moment, number

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


def autocorrelation(series: list[np.ndarray], lags: int) -> np.ndarray:
    """Return the autocorrelation at lags 1 to `lags`, pooled over the series.

    Each series is centred on its own mean; lags longer than a series get nothing from it.
    """
    over = np.zeros(lags)
    under = 0.0
    for values in series:
        centred = values - values.mean()
        under += float(centred @ centred)
        for lag in range(1, min(lags, len(centred) - 1) + 1):
            over[lag - 1] += float(centred[:-lag] @ centred[lag:])
    return over / under if under > 0 else over


def over_time(x: np.ndarray, residual: np.ndarray) -> Picture:
    """Draw the residuals as points over time."""

    def draw(figure: Figure) -> None:
        axes = figure.subplots()
        axes.axhline(0, color=colour("soft"), linewidth=0.9)
        _points(axes, x, residual)
        dress(axes, x)

    largest = int(np.argmax(np.abs(residual)))
    words = (
        f"Truth minus forecast, {len(x):,} forecasts; the largest error,"
        f" {number(float(residual[largest]))}, is at {moment(x[largest])}."
    )
    return picture("Residuals over time", words, draw, size="half", height=220)


def histogram(residual: np.ndarray, name: str = "forecast") -> Picture:
    """Draw the residuals' histogram with the mean marked; `name` is what the answer is called."""
    mean = float(residual.mean())
    low, high = np.quantile(residual, [0.05, 0.95])

    def draw(figure: Figure) -> None:
        axes = figure.subplots()
        bins = int(np.clip(np.sqrt(len(residual)) * 1.5, 6, 40))
        size = float(np.abs(residual).max())
        if np.ptp(residual) > 1e-9 * size:
            counts, edges = np.histogram(residual, bins=bins)
        else:  # errors that differ in their last digits leave no room for bins between them
            counts, edges = np.array([len(residual)]), mean + (size or 1) * np.array([-0.1, 0.1])
        axes.stairs(counts, edges, fill=True, color=colour("model"), alpha=0.55)
        axes.axvline(0, color=colour("soft"), linewidth=0.9)
        axes.axvline(mean, color=colour("second"), linewidth=1.4, dashes=(4, 2))
        dress(axes, residual, x_label=f"truth − {name}")

    words = (
        f"Mean {number(mean)} (dashed); 90% of the residuals lie between {number(float(low))}"
        f" and {number(float(high))}."
    )
    return picture("Histogram of residuals", words, draw, size="half", height=220)


def correlogram(correlations: np.ndarray, band: float) -> Picture:
    """Draw the autocorrelation by lag with the band that noise would stay in 95% of the time."""

    def draw(figure: Figure) -> None:
        axes = figure.subplots()
        lags = np.arange(1, len(correlations) + 1)
        axes.axhspan(-band, band, color=colour("grid"), linewidth=0, zorder=0)
        axes.axhline(0, color=colour("soft"), linewidth=0.9)
        axes.vlines(lags, 0, correlations, color=colour("model"), linewidth=3)
        reach = max(0.25, float(np.abs(correlations).max()) * 1.15, band * 1.3)
        axes.set_ylim(-reach, reach)
        axes.set_xlim(0, len(lags) + 1)
        dress(axes, lags, x_label="lag, steps")

    return picture(
        "Autocorrelation of residuals",
        autocorrelation_words(correlations, band),
        draw,
        size="half",
        height=220,
    )


def autocorrelation_words(correlations: np.ndarray, band: float) -> str:
    """Return the reading of a correlogram in a sentence or two."""
    outside = np.flatnonzero(np.abs(correlations) > band)
    total = len(correlations)
    expected = 0.05 * total
    words = (
        f"{len(outside)} of {total} lags lie outside the grey 95% band of ±{band:.2g}"
        f" (noise: about {expected:.1g})."
    )
    # Chance crosses the band now and then: two standard deviations more often, or once by far,
    # is no chance.
    usual = expected + 2 * np.sqrt(0.95 * expected)
    if len(outside) <= usual and np.abs(correlations).max() <= 2 * band:
        return f"{words} The residuals look like noise: little is left to learn from their past."
    worst = int(np.argmax(np.abs(correlations)))
    return (
        f"{words} The largest, {number(float(correlations[worst]))}, is at lag {worst + 1}:"
        " errors repeat, so there is structure that the model has not used."
    )


def scatter(truth: np.ndarray, forecast: np.ndarray, unit: str, name: str = "forecast") -> Picture:
    """Draw the forecasts (called `name`) against the truth, with the line where they are exact."""

    def draw(figure: Figure) -> None:
        axes = figure.subplots()
        both = np.concatenate([truth, forecast])
        ends = [float(both.min()), float(both.max())]
        axes.plot(ends, ends, color=colour("soft"), linewidth=0.9, dashes=(3, 2))
        _points(axes, truth, forecast)
        dress(axes, both, y_label=name, x_label=f"truth, {label(unit, 24)}")

    words = "Points on the dashed line are exact."
    if len(truth) > 2 and truth.std() > 0 and forecast.std() > 0:
        correlation = float(np.corrcoef(truth, forecast)[0, 1])
        slope = float(np.polyfit(truth, forecast, 1)[0])
        words += f" Correlation {correlation:.3f}, slope {slope:.2f}"
        words += (
            f": a {name} of a large value is too low, of a small one too high."
            if slope < 0.9
            else "."
        )
    return picture(f"Truth against {name}", words.replace("-", "−"), draw, size="half", height=260)


def _points(axes: Axes, x: np.ndarray, y: np.ndarray) -> None:
    """Draw a cloud; a large one as an image, so that the page stays small."""
    many = len(x) > MOST_SHAPES
    style: dict[str, Any] = {"markersize": 2.8, "alpha": 0.5} if many else {"markersize": 3.2}
    axes.plot(x, y, "o", color=colour("model"), markeredgewidth=0, rasterized=many, **style)
