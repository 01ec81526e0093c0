"""Draws with matplotlib into SVG text that lives inside the page: its colours, its size, no state.

Figures are made directly, never through pyplot, under matplotlib's defaults and nothing of the
user's own settings, so that the same run gives the same bytes. Every colour is one of `PALETTE`
and leaves as a CSS variable, which is how a drawing follows the light and the dark scheme.
"""

from __future__ import annotations

import io
import itertools
import re
import warnings
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from elman.report.blocks import Key, Picture
from elman.report.formats import label

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# name: (drawn and shown on light, shown on dark). The lines are Okabe and Ito's, told apart by
# colour-blind eyes; the light ones are what matplotlib is given, so no two may be equal.
PALETTE = {
    "ink": ("#1d2126", "#e6e8eb"),
    "soft": ("#5c6570", "#a3abb5"),
    "grid": ("#e3e6ea", "#30363d"),
    "paper": ("#fffffe", "#15181c"),
    "truth": ("#1e2227", "#f0f1f3"),
    "model": ("#0072b2", "#58b6ee"),
    "baseline": ("#8b929c", "#8c949e"),
    "second": ("#d55e00", "#ff8b3d"),
    "third": ("#009e73", "#2fc79a"),
    "fourth": ("#b5608f", "#e59cc4"),
    "fifth": ("#b98500", "#e8b830"),
    "valid": ("#f6e7bd", "#4a3f1c"),
    "test": ("#cfe6da", "#1d4233"),
}
# Colours of several runs drawn together, in order; a sixth run starts again with dashes.
RUN_COLOURS = ("model", "second", "third", "fourth", "fifth")

WIDTHS = {"wide": 900, "half": 440, "third": 300}
NARROW = 380
# A panel of 900 pixels shows no more points than this, ends of every bucket included.
MOST_POINTS = 1200
# Above this, a cloud of points is smaller as an image than as shapes.
MOST_SHAPES = 400

_STYLE: dict[str, Any] = {
    "svg.fonttype": "none",
    "svg.hashsalt": "elman",
    "text.parse_math": False,
    "font.size": 11,
    "axes.titlesize": 11,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.labelsize": 11,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": PALETTE["soft"][0],
    "axes.labelcolor": PALETTE["soft"][0],
    "axes.titlecolor": PALETTE["ink"][0],
    "axes.facecolor": "none",
    "axes.grid": True,
    "axes.grid.axis": "y",
    "axes.axisbelow": True,
    "axes.linewidth": 0.8,
    "axes.xmargin": 0.01,
    "grid.color": PALETTE["grid"][0],
    "grid.linewidth": 0.8,
    "text.color": PALETTE["ink"][0],
    "xtick.color": PALETTE["soft"][0],
    "ytick.color": PALETTE["soft"][0],
    "xtick.labelsize": 11,
    "ytick.labelsize": 11,
    "ytick.major.size": 0,
    "lines.linewidth": 1.4,
    "lines.solid_joinstyle": "round",
    "figure.facecolor": "none",
    "savefig.facecolor": "none",
    "path.simplify_threshold": 0.3,
}
_STEPS = (1, 2, 2.5, 5, 10)  # between ticks: numbers people count in
_VARIABLE = {light: f"var(--{name})" for name, (light, _) in PALETTE.items()}
_TAG = re.compile(r"<[^<>]+>")
_HEX = re.compile(r"#[0-9a-f]{6}\b")
_FONT = re.compile(r"font-family: [^;\"]*;? ?|font: ([\d.]+px) [^;\"]*")
_REFERENCE = re.compile(r'(\bid="|href="#|url\(#)')
_DROPPED = re.compile(r"<defs>\s*<style.*?</style>\s*</defs>|<metadata>.*?</metadata>", re.DOTALL)


def colour(name: str) -> str:
    """Return the palette's colour as matplotlib is given it."""
    return PALETTE[name][0]


def picture(
    title: str,
    caption: str,
    draw: Callable[[Figure], None],
    *,
    keys: Sequence[Key] = (),
    size: Literal["wide", "half", "third"] = "wide",
    height: int = 250,
) -> Picture:
    """Draw a picture `height` pixels high; a wide one also as narrow as a phone."""
    svg = render(draw, WIDTHS[size], height)
    narrow = render(draw, NARROW, height) if size == "wide" else ""
    return Picture(title, caption, svg, narrow, keys, size)


def render(draw: Callable[[Figure], None], width: int, height: int) -> str:
    """Return what `draw` puts on a figure of `width` by `height` pixels, as SVG text."""
    import matplotlib.style
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure

    with matplotlib.style.context(["default", _STYLE]), warnings.catch_warnings():
        # The browser has the fonts; matplotlib's own lacks many scripts and only measures.
        warnings.filterwarnings("ignore", message="Glyph .* missing from font")
        # A point is a pixel of the viewBox; the dots only matter to what is rasterised.
        figure = Figure(figsize=(width / 72, height / 72), dpi=144, layout="constrained")
        draw(figure)
        buffer = io.StringIO()
        hidden = {"Date": None, "Creator": None, "Format": None, "Type": None}
        FigureCanvasSVG(figure).print_svg(buffer, metadata=hidden)
    return _tidy(buffer.getvalue())


def _tidy(svg: str) -> str:
    """Keep the drawing alone: no prologue, no style that would leak into the page, no fonts."""
    svg = _DROPPED.sub("", svg[svg.index("<svg") :])
    svg = _TAG.sub(_restyle, svg)
    svg = re.sub(r"\s*\n\s*", "\n", svg)
    head = re.search(r'viewBox="[^"]*"', svg)
    assert head is not None
    body = svg[svg.index(">") + 1 : svg.rindex("</svg>")]
    return f'<svg {head[0]} xmlns:xlink="http://www.w3.org/1999/xlink">{body}</svg>'


def _restyle(tag: re.Match[str]) -> str:
    """Turn colours into variables inside tags only: a column's name may look like a colour."""
    text = _HEX.sub(lambda found: _VARIABLE.get(found[0], found[0]), tag[0])
    return _FONT.sub(lambda found: f"font-size: {found[1]}" if found[1] else "", text)


def with_prefix(svg: str, prefix: str) -> str:
    """Return the drawing with its ids made unique in the page by `prefix`."""
    return _TAG.sub(lambda tag: _REFERENCE.sub(rf"\1{prefix}", tag[0]), svg)


def thin(x: np.ndarray, *ys: np.ndarray, points: int = MOST_POINTS) -> tuple[np.ndarray, ...]:
    """Return fewer points that look the same: of each bucket those with the extremes of any y."""
    if len(x) <= points:
        return (x, *ys)
    buckets = max(points // (2 * len(ys)), 1)
    edges = np.linspace(0, len(x), buckets + 1).astype(int)
    kept: set[int] = {0, len(x) - 1}
    for start, stop in itertools.pairwise(edges):
        for y in ys:
            part = y[start:stop]
            if np.isfinite(part).any():
                kept.update((start + int(np.nanargmin(part)), start + int(np.nanargmax(part))))
    order = np.array(sorted(kept))
    return (x[order], *(y[order] for y in ys))


def dress(axes: Axes, x: np.ndarray | None = None, *, y_label: str = "", x_label: str = "") -> None:
    """Label the axes: dates written shortly, values with thousands separators."""
    from matplotlib.dates import AutoDateLocator, ConciseDateFormatter
    from matplotlib.ticker import FuncFormatter, MaxNLocator

    pixels = axes.figure.get_figwidth() * 72  # type: ignore[union-attr]
    pixels /= axes.get_subplotspec().get_gridspec().ncols  # type: ignore[union-attr]
    ticks = 3 if pixels < 320 else 5 if pixels < 500 else 9
    if x is not None and np.issubdtype(x.dtype, np.datetime64):
        dates = AutoDateLocator(minticks=2, maxticks=max(ticks, 5))
        ends = (x.min().item(), x.max().item())
        # A lone tick on a round date would be taken for a clock time: start at the data instead.
        if ends[0] < ends[1] and len(dates.tick_values(*ends)) < 2:
            dates = AutoDateLocator(minticks=2, maxticks=5, interval_multiples=False)
        axes.xaxis.set_major_locator(dates)
        # A day names its month and the corner only its year: ticks of two months stay clear.
        words = ConciseDateFormatter(
            dates,
            formats=["%Y", "%b", "%d %b", "%H:%M", "%H:%M", "%S.%f"],
            offset_formats=["", "%Y", "%Y", "%Y-%m-%d", "%Y-%m-%d", "%Y-%m-%d %H:%M"],
        )
        axes.xaxis.set_major_formatter(words)
    elif x is not None:
        whole = np.issubdtype(x.dtype, np.integer)
        axes.xaxis.set_major_locator(MaxNLocator(nbins=ticks, steps=_STEPS, integer=bool(whole)))
        axes.xaxis.set_major_formatter(FuncFormatter(plain if whole else tick))
    if axes.get_yscale() == "linear":
        axes.yaxis.set_major_locator(MaxNLocator(nbins=5, steps=_STEPS, min_n_ticks=3))
        axes.yaxis.set_major_formatter(FuncFormatter(tick))
    if y_label:
        axes.set_title(label(y_label), pad=6)
    if x_label:
        axes.set_xlabel(x_label)


def tick(value: float, _position: int | None = None) -> str:
    """Return a tick's text: 20,000 or 0.25 or 12 M."""
    if abs(value) >= 1e7:
        return f"{value / 1e6:,.6g} M".replace("-", "−")
    return f"{value:,.7g}".replace("-", "−")


def plain(value: float, _position: int | None = None) -> str:
    """Return a whole tick without separators: a year must not read 1,995."""
    return f"{value:.0f}".replace("-", "−")


def same_kind(x: np.ndarray, value: Any) -> bool:
    """Return whether `value` can stand on the axis of `x`."""
    return np.issubdtype(x.dtype, np.datetime64) == isinstance(value, np.datetime64)
