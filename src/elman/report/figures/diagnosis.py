"""Figures of a diagnosis: gradients by lag, what gates gave, what replaced inputs did."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from elman.report.blocks import Key, Picture
from elman.report.figures.canvas import (
    RUN_COLOURS,
    colour,
    dress,
    picture,
    plain,
    thin,
    tick,
)
from elman.report.formats import count, number, percent
from elman.report.run_data import as_float, listed, part

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Gradients below this share of the nearest are drawn at it: nothing there is learnt.
FLOOR = 1e-8
_SHADES = ("#f2f4f7", "#58b6ee", "#0072b2", "#07304d")


def flow_picture(layers: Sequence[Mapping[str, Any]], names: Sequence[str]) -> Picture | None:
    """Draw each layer's gradient by lag, as a share of that at lag 1."""
    curves = {}
    for name, layer in zip(names, layers, strict=True):
        norms_K = np.array([as_float(value) for value in listed(layer, "curve")])
        if len(norms_K) > 2 and norms_K[1] > 0:
            curves[name] = norms_K[1:] / norms_K[1]
    if not curves:
        return None
    shades = dict(zip(curves, _colours(len(curves)), strict=True))

    def draw(figure: Figure) -> None:
        axes = figure.subplots()
        longest = max(len(curve) for curve in curves.values())
        lags = np.arange(1, longest + 1)
        axes.set_yscale("log")
        axes.axhline(0.5, color=colour("soft"), linewidth=0.9, dashes=(3, 2))
        for name, curve in curves.items():
            x, y = thin(lags[: len(curve)], np.where(curve >= FLOOR, curve, np.nan))
            shade, dashes = shades[name]
            axes.plot(x, y, color=colour(shade), linewidth=1.8, linestyle=dashes)
        axes.set_xlim(1, longest)
        dress(axes, lags, y_label="share of the gradient at lag 1", x_label="steps back (lag)")
        _decades(axes)

    keys = [
        Key(name, shade, "line" if dashes == "-" else "dash")
        for name, (shade, dashes) in shades.items()
    ]
    words = [_flow_words(name, layer) for name, layer in zip(names, layers, strict=True)]
    words.append("The dashed line is one half; below 1e−8 nothing is drawn.")
    return picture("Gradient by lag", " ".join(words), draw, keys=keys if len(keys) > 1 else ())


def _flow_words(name: str, layer: Mapping[str, Any]) -> str:
    halved, reach = layer.get("halved"), int(as_float(layer.get("reach"), 0))
    ratio = as_float(part(layer, "ratios").get(str(reach)))
    left = "nothing" if ratio == 0 else f"{number(ratio, 2)} of it"
    begins = (
        "it has not halved" if halved is None else f"it has halved after {count(halved, 'step')}"
    )
    return f"{name}: {begins}; {left} is left after {count(reach, 'step')}."


def map_picture(layer: Mapping[str, Any], name: str) -> Picture | None:
    """Draw a layer's gradient by step and lag; None where one step was asked about."""
    found, curve = part(layer, "map"), listed(layer, "curve")
    lags, asked = listed(found, "lags"), listed(found, "asked")
    if len(lags) < 3 or len(asked) < 2 or not as_float(curve[1]) > 0:
        return None
    norms_QK = np.array([[as_float(value) for value in row] for row in listed(found, "norms")])
    words = (
        f"Each row is a step t at which the loss was taken (from {asked[0]:.0f} to "
        f"{asked[-1]:.0f}, means over stretches), each column how far back the state lies. Dark is "
        "a large gradient, light a small one, 1 the mean one step back; where there is nothing, no "
        "state lies so far before."
    )
    title = f"Gradient by step and lag{f': {name}' if name else ''}"
    labels = [f"{step:.0f}" for step in asked]
    return _heat(title, words, norms_QK / curve[1], lags, labels, "step t of the loss")


def layers_picture(layers: Sequence[Mapping[str, Any]], names: Sequence[str]) -> Picture | None:
    """Draw the gradient by layer and lag, of several layers; None of one."""
    rows = {}
    for name, layer in zip(names, layers, strict=True):
        curve = np.array([as_float(value) for value in listed(layer, "curve")])
        if len(curve) > 2 and curve[1] > 0:
            rows[name] = curve / curve[1]
    if len(rows) < 2:
        return None
    longest = max(len(row) for row in rows.values())
    lags = np.unique(np.linspace(0, longest - 1, min(longest, 120)).round().astype(int))
    shares = np.full((len(rows), longest), np.nan)
    for place, row in enumerate(rows.values()):
        shares[place, : len(row)] = row
    words = "Dark is a large gradient, light a small one; 1 is that one step back."
    return _heat("Gradient by layer and lag", words, shares[:, lags], lags.tolist(), list(rows), "")


def _heat(
    title: str,
    words: str,
    shares: np.ndarray,
    lags: Sequence[int],
    labels: Sequence[str],
    y_label: str,
) -> Picture:
    known = np.where(np.isfinite(shares), np.maximum(shares, FLOOR), 1.0)
    logs = np.ma.masked_array(np.log10(known), ~np.isfinite(shares))

    def draw(figure: Figure) -> None:
        from matplotlib.colors import LinearSegmentedColormap
        from matplotlib.ticker import FuncFormatter

        axes = figure.subplots()
        low, high = float(logs.min()), max(0.0, float(logs.min()) + 1)
        shades = LinearSegmentedColormap.from_list("flow", _SHADES)
        # A cell lies around its lag; the outermost ones are as wide as their neighbours.
        middles = (np.array(lags[1:]) + np.array(lags[:-1])) / 2
        edges = [lags[0] - 0.5, *middles, lags[-1] + 0.5]
        drawn = axes.pcolormesh(
            edges, np.arange(len(labels) + 1), logs, cmap=shades, vmin=low, vmax=high,
            rasterized=True,
        )  # fmt: skip
        dress(axes, np.array(lags), y_label=y_label, x_label="steps back (lag)")
        axes.set_yticks(np.arange(len(labels)) + 0.5, labels)
        axes.grid(visible=False)
        bar = figure.colorbar(drawn, ax=axes, pad=0.01, aspect=12)
        bar.outline.set_visible(False)  # type: ignore[operator]
        whole = np.arange(math.ceil(low), math.floor(high) + 1)
        bar.set_ticks(whole[:: max(1, len(whole) // 4)].tolist())
        bar.ax.yaxis.set_major_formatter(FuncFormatter(lambda power, _: _power(power)))

    height = 75 + 22 * len(labels)
    return replace(picture(title, words, draw, height=height), pixels=True)


def activation_pictures(layer: Mapping[str, Any], prefix: str) -> list[Picture]:
    """Draw a histogram of what each of a layer's gates gave."""
    found = []
    for each in listed(layer, "activations"):
        counts = np.array(each["counts"], float)
        low, high = each["edges"]
        if not counts.sum() > 0:
            continue
        name = f"{prefix}{each['name']}"
        words = f"{percent(each['low'])} low, {percent(each['high'])} high."
        found.append(_histogram(name, words, counts / counts.sum(), low, high))
    return found


def _histogram(name: str, words: str, shares: np.ndarray, low: float, high: float) -> Picture:
    edges = np.linspace(low, high, len(shares) + 1)

    def draw(figure: Figure) -> None:
        axes = figure.subplots()
        axes.bar(edges[:-1], shares, np.diff(edges), align="edge", color=colour("model"))
        dress(axes, edges)

    return replace(picture(name, words, draw, size="third", height=130), alt=f"{name}: {words}")


def influence_picture(influences: Sequence[Mapping[str, Any]]) -> Picture | None:
    """Draw by how much outputs change where an input some steps back is replaced."""
    shown = [each for each in influences if len(each["lags"]) > 2]
    if not shown:
        return None
    names = [str(each["label"]) or "output" for each in shown]
    shades = _colours(len(shown))

    def draw(figure: Figure) -> None:
        from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

        axes = figure.subplots()
        for each, (shade, dashes) in zip(shown, shades, strict=True):
            changed = np.array(each["changed"], float)
            axes.plot(
                each["lags"], changed, color=colour(shade), linewidth=1.8, linestyle=dashes,
                marker="o", markersize=4,
            )  # fmt: skip
        axes.set_xscale("symlog", linthresh=1, linscale=0.3)
        longest = max(max(each["lags"]) for each in shown)
        ticks = [0, *(2**power for power in range(int(longest).bit_length()))]
        axes.xaxis.set_major_locator(FixedLocator(ticks))
        axes.xaxis.set_minor_locator(NullLocator())
        axes.xaxis.set_major_formatter(FuncFormatter(plain))
        axes.set_ylim(bottom=0)
        dress(axes, y_label="change of the output", x_label="steps back (lag)")

    keys = [
        Key(name, shade, "line" if dashes == "-" else "dash")
        for name, (shade, dashes) in zip(names, shades, strict=True)
    ]
    words = [
        "An input was replaced by another row's, so many steps before the one asked about; the "
        "change is beside the difference of two rows' outputs.",
        *(_influence_words(name, each) for name, each in zip(names, shown, strict=True)),
    ]
    return picture(
        "What a replaced input changes", " ".join(words), draw, keys=keys if len(keys) > 1 else ()
    )


def _influence_words(name: str, each: Mapping[str, Any]) -> str:
    changed = dict(zip(each["lags"], each["changed"], strict=True))
    told = [lag for lag in (0, 1, 8, 64, 512) if lag in changed]
    said = ", ".join(f"{percent(changed[lag])} at lag {lag}" for lag in told)
    return f"{name[:1].upper()}{name[1:]} changes by {said}."


def _colours(amount: int) -> list[tuple[str, str]]:
    """Return a colour and a dash pattern for each of several curves."""
    size = len(RUN_COLOURS)
    return [(RUN_COLOURS[at % size], "-" if at < size else "--") for at in range(amount)]


def _decades(axes: Axes) -> None:
    from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

    low, high = np.log10(axes.get_ylim())
    every = 1 if high - low < 4 else 2
    axes.yaxis.set_major_locator(FixedLocator([10.0**power for power in range(-8, 9, every)]))
    axes.yaxis.set_minor_locator(NullLocator())
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: _power(np.log10(value))))


def _power(power: float) -> str:
    plainly = tick(float(f"{10.0**power:.0e}")) if -3 < power < 4 else ""
    return plainly or f"1e{power:.0f}".replace("-", "−")
