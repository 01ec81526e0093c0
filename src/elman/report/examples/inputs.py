"""An example's inputs as blocks, each shown as what it is; one function a kind of payload.

Steps may be shaded: by the running answer (`Scale`), or by how much each weighs.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from elman.report.blocks import (
    Block,
    Facts,
    Letters,
    Paragraph,
    Photo,
    Photos,
    Said,
    Sayings,
    Token,
    Tokens,
)
from elman.report.examples.samples import (
    AudioInput,
    DnaInput,
    ImageInput,
    SeriesInput,
    TextInput,
    VectorInput,
    VideoInput,
)
from elman.report.figures.media import series_picture, sound_picture
from elman.report.formats import count, label, number

_MOST_TOKENS = 600
_MOST_CHARACTERS = 6000
_MOST_LETTERS = 600
_GROUP = 10  # letters of DNA between two place numbers
_SUBWORD = "▁"  # sentencepiece's mark of a space


@dataclass(frozen=True)
class Scale:
    """From the lowest to the highest running answer; `middle` is where it says neither."""

    low: float
    high: float
    middle: float | None = None

    def shade(self, value: float) -> float | None:
        """Return a value as a shade: -1 to 1 around a middle, else 0 to 1."""
        if not math.isfinite(value) or self.high <= self.low:
            return None
        if self.middle is None:
            return min(max((value - self.low) / (self.high - self.low), 0.0), 1.0)
        reach = self.high - self.middle if value > self.middle else self.middle - self.low
        return min(max((value - self.middle) / reach, -1.0), 1.0) if reach else 0.0


def shown(payload: Any) -> list[Block]:
    """Return an input as it was given."""
    return _SHOWN[type(payload)](payload)


def _text(payload: TextInput) -> list[Block]:
    text = payload.text or _between(payload.tokens).join(payload.tokens)
    cut = len(text) - _MOST_CHARACTERS
    text = f"{text[:_MOST_CHARACTERS]} … ({cut:,} characters more)" if cut > 0 else text
    return [Sayings([Said(payload.column or "text", text)])]


def _dna(payload: DnaInput) -> list[Block]:
    return dna_letters(payload, None)


def _audio(payload: AudioInput) -> list[Block]:
    facts = f"{label(payload.name, 60)}: {number(payload.seconds)} s"
    facts += f" at {payload.rate:,.0f} Hz" if payload.rate else ""
    words = f"Waveform and spectrogram of {payload.name or 'the sound'}, {facts}."
    drawn = sound_picture("", payload.seconds, payload.wave, payload.frames, words)
    return (
        [Paragraph(facts), drawn] if drawn else [Paragraph(f"{facts}; there is nothing to draw.")]
    )


def _image(payload: ImageInput) -> list[Block]:
    name = payload.name or payload.column or "picture"
    return [Photos([Photo(payload.png, f"The picture {name}", label(name, 60))])]


def _video(payload: VideoInput) -> list[Block]:
    name = payload.name or payload.column or "clip"
    frames = [
        Photo(png, f"Frame {n} of {len(payload.pngs)} of {name}", str(n))
        for n, png in enumerate(payload.pngs, 1)
    ]
    words = f"{label(name, 60)}: {count(len(frames), 'frame')} of what the network sees, in order"
    return [Photos(frames, words, sequence=True)]


def _vector(payload: VectorInput) -> list[Block]:
    rows = [
        (name, number(value) if isinstance(value, float) else str(value))
        for name, value in payload.values.items()
    ]
    return [Facts(rows)]


def _series(payload: SeriesInput) -> list[Block]:
    return [series_picture("", payload.columns)]


_SHOWN: dict[type, Any] = {
    TextInput: _text,
    DnaInput: _dna,
    AudioInput: _audio,
    ImageInput: _image,
    VideoInput: _video,
    VectorInput: _vector,
    SeriesInput: _series,
}


def shaded_text(payload: TextInput, shades: Sequence[float | None], hints: Sequence[str]) -> Tokens:
    """Return a text with its tokens shaded; a long one without its middle."""
    known = min(len(payload.tokens), len(shades))
    tokens = [Token(_visible(payload.tokens[n]), shades[n], hint=hints[n]) for n in range(known)]
    tokens += [Token(_visible(token)) for token in payload.tokens[known:]]
    if payload.text.endswith("…"):
        tokens.append(Token(" …"))
    if (left_out := len(tokens) - _MOST_TOKENS) > 0:
        half = _MOST_TOKENS // 2
        tokens = [*tokens[:half], Token(f"… {left_out:,} left out …"), *tokens[-half:]]
    return Tokens(tokens, payload.column or "text", _between(payload.tokens))


def _between(tokens: Sequence[str]) -> str:
    """Return what stood between two tokens: nothing between characters, bytes and subwords."""
    joined = any(_SUBWORD in token for token in tokens) or all(len(t) == 1 for t in tokens)
    return "" if joined else " "


def _visible(token: str) -> str:
    return token.replace(_SUBWORD, " ")


def dna_letters(payload: DnaInput, values: Sequence[float] | None, every: int = 1) -> list[Block]:
    """Return letters in groups of ten, with bars where it is known how much they weigh.

    `values` are of steps, of which one begins `every` so many letters: a letter takes the value of
    the last step that began. Of a long sequence only the stretch around the heaviest letter is
    shown (the first, without weights), and a paragraph says so.
    """
    letters, total = payload.letters, len(payload.letters)
    shades: list[float | None] = [None] * total
    if values is not None and total:
        steps = np.nan_to_num(np.asarray(values, dtype=float), posinf=0.0, neginf=0.0)
        weights = steps[np.minimum(np.arange(total) // every, len(steps) - 1)]
        shades = (weights / (np.abs(weights).max() or 1.0)).tolist()
    start = 0
    if total > _MOST_LETTERS:
        top = int(np.argmax([abs(shade or 0.0) for shade in shades]))
        start = min(max(top - _MOST_LETTERS // 2, 0), total - _MOST_LETTERS) // _GROUP * _GROUP
    stop = min(start + _MOST_LETTERS, total)
    groups = [
        (
            first + 1,
            [Token(letters[n], shades[n]) for n in range(first, min(first + _GROUP, stop))],
        )
        for first in range(start, stop, _GROUP)
    ]
    words = f"{payload.column or 'sequence'}, {count(total, 'letter')}"
    blocks: list[Block] = [Letters(groups, words)]
    if stop - start < total:
        words = f"Letters {start + 1:,} to {stop:,} of {total:,} are shown."
        blocks.append(Paragraph(words, "note"))
    return blocks
