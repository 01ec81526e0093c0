"""Curves of training and of error by horizon step."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from elman.report.blocks import Key, Picture
from elman.report.figures.canvas import colour, dress, picture, tick
from elman.report.formats import count, number

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# A loss that falls by more than this is drawn on a logarithmic axis.
_LOG_RATIO = 20
# How many baselines one picture tells apart; the score table has them all.
_BASELINES = {"dash": "--", "dot": ":", "dashdot": "-."}
# A baseline that is worse than this many times the others would press them flat.
_CUT_RATIO = 3


def loss_picture(
    metrics: Mapping[str, np.ndarray], best_epoch: int | None, where: str = ""
) -> Picture:
    """Draw training and validation loss by epoch with the best epoch marked.

    `where` says in a clause what the validation loss was taken at, if not at all of it.
    """
    epochs = metrics["epoch"].astype(int)
    curves = {name: metrics[name] for name in ("train_loss", "valid_loss") if has(metrics, name)}
    keys = [
        Key("training loss", "baseline"),
        Key("validation loss", "model"),
    ]
    keys = [key for key in keys if f"{key.label[:5]}_loss" in curves]

    def draw(figure: Figure) -> None:
        axes = figure.subplots()
        for name, shade in (("train_loss", "baseline"), ("valid_loss", "model")):
            if name in curves:
                axes.plot(epochs, curves[name], color=colour(shade), **dots(epochs, 1.8))
        axes.margins(y=0.12)
        log_if_wide(axes, list(curves.values()))
        _epoch_axis(axes, epochs)
        _mark_best(axes, best_epoch, epochs, named=True)

    return picture(
        "Loss",
        _loss_words(epochs, curves, best_epoch, where),
        draw,
        keys=keys,
        size="half",
        height=230,
    )


def _loss_words(
    epochs: np.ndarray, curves: dict[str, np.ndarray], best_epoch: int | None, where: str
) -> str:
    words = []
    if "train_loss" in curves:
        first, last = curves["train_loss"][[0, -1]]
        words.append(
            f"Training loss went from {number(first)} to {number(last)} over"
            f" {count(len(epochs), 'epoch')}."
        )
    if "valid_loss" in curves:
        valid = curves["valid_loss"]
        lowest = int(np.nanargmin(valid))
        words.append(
            f"Validation loss{where} was lowest at epoch {epochs[lowest]}: {number(valid[lowest])}."
        )
        rise = valid[-1] / valid[lowest] - 1 if valid[lowest] > 0 else 0.0
        if rise > 0.05:
            words.append(f"After that it rose by {rise:.0%}: the network began to overfit.")
    if best_epoch is not None:
        words.append(f"The weights of epoch {best_epoch} were kept.")
    return " ".join(words)


def metric_picture(
    metrics: Mapping[str, np.ndarray], name: str, title: str, best_epoch: int | None
) -> Picture:
    """Draw one column of the metrics by epoch."""
    epochs = metrics["epoch"].astype(int)
    values = metrics[name]

    def draw(figure: Figure) -> None:
        axes = figure.subplots()
        axes.plot(epochs, values, color=colour("model"), **dots(epochs, 1.5))
        log_if_wide(axes, [values])
        _epoch_axis(axes, epochs)
        _mark_best(axes, best_epoch, epochs)

    finite = values[np.isfinite(values)]
    low, high = number(float(finite.min())), number(float(finite.max()))
    reach = f"{low} throughout" if low == high else f"between {low} and {high}"
    words = f"{title} by epoch: {reach}, {number(float(finite[-1]))} at the end."
    if low == high:
        words = f"{title} by epoch: {reach}."
    return picture(title, words, draw, size="half", height=200)


def has(metrics: Mapping[str, np.ndarray], name: str) -> bool:
    """Return whether a column of the metrics holds anything to draw."""
    return name in metrics and bool(np.isfinite(metrics[name]).any())


def dots(x: np.ndarray, width: float) -> dict[str, Any]:
    """Return a line's style, with its points marked where they are few."""
    return {"linewidth": width} | ({"marker": "o", "markersize": 4} if len(x) <= 15 else {})


def log_if_wide(axes: Axes, curves: Sequence[np.ndarray]) -> None:
    """Make the axis logarithmic if the values span more than `_LOG_RATIO`."""
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

    values = np.concatenate([curve[np.isfinite(curve)] for curve in curves])
    if len(values) and values.min() > 0 and values.max() / values.min() > _LOG_RATIO:
        axes.set_yscale("log")
        axes.yaxis.set_major_locator(LogLocator(numticks=5))
        axes.yaxis.set_major_formatter(FuncFormatter(tick))
        axes.yaxis.set_minor_formatter(NullFormatter())


def _epoch_axis(axes: Axes, epochs: np.ndarray) -> None:
    dress(axes, epochs, x_label="epoch")


def _mark_best(
    axes: Axes, best_epoch: int | None, epochs: np.ndarray, *, named: bool = False
) -> None:
    if best_epoch is None:
        return
    axes.axvline(best_epoch, color=colour("soft"), linewidth=0.9, dashes=(3, 2))
    if not named:
        return
    late = best_epoch > (epochs[0] + epochs[-1]) / 2
    axes.annotate(
        f"best: epoch {best_epoch}",
        (best_epoch, 0.98),
        xycoords=("data", "axes fraction"),
        xytext=(-4 if late else 4, 0),
        textcoords="offset points",
        ha="right" if late else "left",
        va="top",
        fontsize=10,
        color=colour("ink"),
    )


def step_picture(
    title: str,
    steps: np.ndarray,
    model: tuple[str, np.ndarray],
    baselines: Mapping[str, np.ndarray],
    unit: str,
) -> Picture:
    """Draw MAE by horizon step, the model against the baselines."""
    shown = dict(list(baselines.items())[: len(_BASELINES)])
    styles = dict(zip(shown, _BASELINES, strict=False))
    keys = [Key(model[0], "model")]
    keys += [Key(name, "baseline", style) for name, style in styles.items()]  # type: ignore[arg-type]
    best = [float(values.max()) for values in (model[1], *list(shown.values())[:1])]
    top = max(best) * _CUT_RATIO
    cut = [name for name, values in shown.items() if values.max() > top]

    def draw(figure: Figure) -> None:
        axes = figure.subplots()
        for name, values in shown.items():
            line = _BASELINES[styles[name]]
            axes.plot(steps, values, linestyle=line, color=colour("baseline"))
        axes.plot(steps, model[1], color=colour("model"), linewidth=2, marker="o", markersize=4)
        axes.set_ylim(0, top * 0.7 if cut else None)
        dress(axes, steps, y_label=f"MAE, {unit}", x_label="steps ahead")

    first, last = model[1][[0, -1]]
    words = (
        f"{model[0]}'s MAE is {number(first)} at step {steps[0]} and {number(last)} at step"
        f" {steps[-1]}."
    )
    for name, values in list(shown.items())[:1]:
        better = int(np.sum(model[1] < values))
        words += (
            f" The best baseline, {name}: {number(values[0])} and {number(values[-1])};"
            f" {model[0]} is better at {better} of {len(steps)} steps."
        )
    for name in cut:
        words += f" Above the picture: {name}, up to {number(float(shown[name].max()))}."
    return picture(title, words, draw, keys=keys, size="half", height=250)
