"""What answers look like together: how sure they are and how right, how long, how far off."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from elman.report.blocks import Key, Picture
from elman.report.figures.canvas import colour, dress, picture
from elman.report.formats import number, percent

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# A mean gap between confidence and accuracy below this is called none.
_CLOSE = 0.02


def calibration_picture(
    confidence: np.ndarray, accuracy: np.ndarray, n: np.ndarray, *, several: bool
) -> Picture:
    """Draw how often answers of each confidence are right, and how many there are of each.

    Args:
        confidence: mean confidence of each bin, from 0 to 1.
        accuracy: share of right answers of each bin.
        n: answers of each bin, at least one.
        several: whether a row may have several classes: then it is of each class by itself.
    """

    def draw(figure: Figure) -> None:
        upper, lower = figure.subplots(2, sharex=True, height_ratios=(3, 1))
        upper.plot([0, 1], [0, 1], color=colour("soft"), linewidth=0.9, dashes=(3, 2))
        sizes = 12 + 90 * n / n.max()
        upper.plot(confidence, accuracy, color=colour("model"), linewidth=1)
        upper.scatter(confidence, accuracy, s=sizes, color=colour("model"), linewidths=0)
        upper.set_ylim(-0.03, 1.03)
        upper.set_xlim(-0.03, 1.03)
        dress(upper, y_label="share that is right" if not several else "share that is there")
        lower.bar(confidence, n, width=0.035, color=colour("baseline"))
        dress(lower, confidence, y_label="answers", x_label="confidence")
        lower.yaxis.set_major_locator(_few())

    gaps = confidence - accuracy
    mean = float((gaps * n).sum() / n.sum())
    words = "On the dashed line confidence is what it says."
    if abs(mean) < _CLOSE:
        words += f" On average confidence and accuracy differ by {_points(mean)} only."
    else:
        side = "surer than it should be" if mean > 0 else "less sure than it could be"
        words += f" On average the network is {side}, by {_points(mean)}."
    most = int(np.argmax(n))
    words += (
        f" Most answers ({int(n[most]):,} of {int(n.sum()):,}) have a confidence of about"
        f" {percent(float(confidence[most]))}; of those {percent(float(accuracy[most]))} are"
        f" {'there' if several else 'right'}."
    )
    return picture("Calibration", words, draw, size="half", height=330)


def _points(gap: float) -> str:
    return f"{100 * abs(gap):.1f} points"


def _few() -> object:
    from matplotlib.ticker import MaxNLocator

    return MaxNLocator(nbins=2, integer=True)


def lengths_picture(truth: np.ndarray, answer: np.ndarray) -> Picture:
    """Draw how long true texts and answers are, as two histograms."""
    longest = int(max(truth.max(), answer.max()))
    step = max(1, -(-longest // 40))
    edges = np.arange(-0.5, longest + step + 0.5, step)

    def draw(figure: Figure) -> None:
        axes = figure.subplots()
        shade = colour("baseline")
        axes.stairs(np.histogram(truth, edges)[0], edges, fill=True, color=shade, alpha=0.5)
        axes.stairs(np.histogram(answer, edges)[0], edges, color=colour("model"), linewidth=1.8)
        dress(axes, truth.astype(int), y_label="texts", x_label="length, in tokens")

    means = float(truth.mean()), float(answer.mean())
    words = (
        f"{len(truth):,} texts. True ones are {number(means[0])} tokens long on average, answers"
        f" {number(means[1])}"
    )
    ratio = means[1] / means[0] if means[0] else float("nan")
    if np.isfinite(ratio):
        words += f", {percent(ratio)} of that"
        words += "; BLEU takes off for brevity" if ratio < 0.97 else ""
    keys = [Key("truth", "baseline", "fill"), Key("answers", "model")]
    return picture("Lengths", f"{words}.", draw, keys=keys, size="half", height=240)


def running_picture(
    values: Sequence[float],
    ends: tuple[float, float],
    middle: float | None,
    name: str,
    unit: str,
    tokens: Sequence[str] = (),
) -> Picture:
    """Draw the answer, called `name`, as it would be if the input ended at each step.

    Args:
        values: the answer after each step.
        ends: the lowest and the highest answer there can be.
        middle: the answer that says neither, if there is one.
        name: what the answer is.
        unit: what a step is: word, frame.
        tokens: the steps in words, if they have any.
    """
    low, high = ends
    y = np.asarray(values, dtype=float)
    x = np.arange(1, len(y) + 1)

    def draw(figure: Figure) -> None:
        axes = figure.subplots()
        if middle is not None:
            axes.axhline(middle, color=colour("soft"), linewidth=0.9, dashes=(3, 2))
        marks = {"marker": "o", "markersize": 3} if len(x) <= 60 else {}
        axes.plot(x, y, color=colour("model"), linewidth=1.5, **marks)
        pad = (high - low) * 0.06 or 0.1
        if np.isfinite(pad):
            axes.set_ylim(low - pad, high + pad)
        dress(axes, x, y_label=name, x_label=unit)

    known = y[np.isfinite(y)]
    reach = f", from {number(float(known[0]))} to {number(float(known[-1]))}" if len(known) else ""
    words = f"{name[:1].upper()}{name[1:]} at each {unit}{reach}."
    change = np.abs(np.diff(y))
    if np.isfinite(change).any() and np.nanmax(change) > 0:
        place = int(np.nanargmax(change)) + 1
        said = f" (“{tokens[place].strip()}”)" if place < len(tokens) else ""
        words += f" It changes most at {unit} {place + 1}{said}."
    return picture("", words, draw, size="half", height=120)


def saliency_picture(values: Sequence[float], unit: str) -> Picture:
    """Draw how much each step weighs in the answer."""
    y = np.asarray(values, dtype=float)
    x = np.arange(1, len(y) + 1)

    def draw(figure: Figure) -> None:
        axes = figure.subplots()
        axes.fill_between(x, 0, np.nan_to_num(y), color=colour("model"), alpha=0.6, linewidth=0)
        dress(axes, x, y_label="weight in the answer", x_label=unit)

    top = int(np.nanargmax(np.abs(y))) + 1 if np.isfinite(y).any() else 0
    words = f"How much each {unit} weighs in the answer; most at {unit} {top}."
    return picture("", words, draw, size="half", height=110)
