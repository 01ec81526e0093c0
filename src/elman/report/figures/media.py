"""Sound and measurements drawn as what they are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from elman.report.blocks import Key, Picture
from elman.report.figures.canvas import RUN_COLOURS, colour, dress, picture
from elman.report.formats import number

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def sound_picture(
    title: str,
    seconds: float,
    wave: Sequence[tuple[float, float]],
    frames: Sequence[Sequence[float]],
    words: str,
) -> Picture | None:
    """Draw a waveform over the spectrogram that the network reads; None if there is neither."""
    ends = np.asarray(wave, dtype=float).reshape(-1, 2)
    bands = min((len(frame) for frame in frames), default=0)
    pixels = np.array([frame[:bands] for frame in frames], dtype=float)
    parts = [len(ends) > 1, pixels.size > 0]
    if not any(parts):
        return None

    def draw(figure: Figure) -> None:
        shares = [share for share, there in zip((1, 1.6), parts, strict=True) if there]
        rows = np.atleast_1d(figure.subplots(len(shares), sharex=True, height_ratios=shares))
        if parts[0]:
            x = np.linspace(0, seconds, len(ends))
            rows[0].fill_between(x, ends[:, 0], ends[:, 1], color=colour("model"), linewidth=0.4)
            rows[0].grid(visible=False)
            dress(rows[0], x)
            rows[0].set_yticks([])
        if parts[1]:
            # Unscaled, the image in the page has a pixel a number; the browser makes it larger.
            rows[-1].imshow(
                pixels.T, origin="lower", aspect="auto", cmap="magma", interpolation="none",
                extent=(0, seconds, 0.5, bands + 0.5),
            )  # fmt: skip
            rows[-1].grid(visible=False)
            dress(rows[-1], np.array([0.0, seconds]), x_label="seconds")
            rows[-1].set_ylabel("band")
        rows[-1].set_xlim(0, seconds)

    drawn = picture(title, "", draw, size="half", height=190 if all(parts) else 120)
    return replace(drawn, alt=words, pixels=True)


def series_picture(title: str, columns: Mapping[str, Sequence[float]]) -> Picture:
    """Draw measurements by step, all columns in one picture."""
    shown = list(columns.items())[: len(RUN_COLOURS)]

    def draw(figure: Figure) -> None:
        axes = figure.subplots()
        longest = max((len(values) for _, values in shown), default=0)
        for shade, (_, values) in zip(RUN_COLOURS, shown, strict=False):
            y = np.asarray(values, dtype=float)
            axes.plot(np.arange(1, len(y) + 1), y, color=colour(shade), linewidth=1.3)
        dress(axes, np.arange(1, longest + 1), x_label="step")

    keys = [Key(name, shade) for shade, (name, _) in zip(RUN_COLOURS, shown, strict=False)]
    steps = max((len(values) for _, values in shown), default=0)
    words = f"{number(steps)} steps of {', '.join(name for name, _ in shown)}."
    if len(columns) > len(shown):
        words += f" The first {len(shown)} of {len(columns)} columns are drawn."
    return picture(title, words, draw, keys=keys, size="half", height=180)
