"""`audio:COLUMN`: files of sound (WAV, FLAC, OGG, MP3, ...) as mel bands of short frames.

Channels are averaged and resampled to one rate. A frame of N samples x[n], one every hop (what is
left at the end is not read; less than one frame is padded with zeros), has the power

    P[k] = |sum_n w[n] x[n] exp(-2 pi i k n / K)|^2 / (sum_n w[n])^2
    w[n] = (1 - cos(2 pi n / N)) / 2

(a sine of amplitude a peaks at a^2 / 4). The M bands are triangles in frequency, of height 1, on
the scale mel(f) = 2595 log10(1 + f / 700) (HTK; O'Shaughnessy 1987): M + 2 points equally far
apart from 0 to mel(rate / 2), band m rising from point m - 1 to m and falling to m + 1.

    logmel[m] = log max(sum_k triangle_m(f_k) P[k], 1e-10)
    mfcc[c] = sqrt((2 - [c = 0]) / M) sum_m logmel[m] cos(pi c (m + 1/2) / M)

(DCT-II, orthonormal).

Each band is standardised by mean and standard deviation of the training rows (of up to 500 files).

Legend: B batch, T frames, I bands, N samples of a frame, K points of the transform, M mel bands.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import lru_cache
from math import gcd
from typing import Any, ClassVar, Self

import numpy as np
import torch
from torch import Tensor

from elman.data.encoded import encode_rows
from elman.data.media import Source, quiet
from elman.errors import BadCellError, InputError, MissingExtraError
from elman.kinds.inputs.input import Cells, Front, Input

_FLOOR = 1e-10
_LEARNT_FROM = 500  # files, of which more would change means and deviations little
_AT_ONCE = 4096  # frames transformed together, or samples (times 256) read together
_LEAST_SAMPLES = 16  # of a frame
_LEAST_MELS = 40  # beneath cepstral coefficients, however few of them are kept
_MASKS = 2


@dataclass(frozen=True)
class Audio(Input):
    """Sound, as learnt from the training rows.

    Attributes:
        columns: the one column of files.
        rate: hertz that all sound is resampled to.
        sound: logmel or mfcc.
        bands: features of a frame.
        frame, hop: in samples.
        mean, deviation: of each band in the training rows.
        notes: what the user should be told about the training rows.
    """

    kind: ClassVar[str] = "audio"
    media: ClassVar[bool] = True
    columns: tuple[str, ...]
    rate: int
    sound: str
    bands: int
    frame: int
    hop: int
    mean: tuple[float, ...] = ()
    deviation: tuple[float, ...] = ()
    notes: tuple[str, ...] = field(default=(), compare=False)

    @classmethod
    def learn(cls, columns: tuple[str, ...], rows: Iterable[Cells], options: Any) -> Self:
        """Learn the rate that most files have, and each band's mean and standard deviation."""
        if len(columns) != 1:
            raise InputError(f"audio:{','.join(columns)}: expected one column, of files of sound")
        name = f"column {columns[0]!r}"
        rates, problem = _rates(rows)
        if not rates:
            raise InputError(f"{name}: no training row has sound that can be read; {problem}")
        rate = options.sample_rate or rates.most_common(1)[0][0]
        frame, hop = (round(ms * rate / 1000) for ms in (options.frame_ms, options.hop_ms))
        if frame < _LEAST_SAMPLES or hop < 1:
            raise InputError(
                f"frame_ms={options.frame_ms:g}, hop_ms={options.hop_ms:g}: {frame} and {hop} "
                f"samples at {rate:,} Hz; expected at least {_LEAST_SAMPLES} and 1"
            )
        bare = cls(columns, rate, options.sound, options.bands, frame, hop)
        mean, deviation = bare._scale(rows, rates.total())
        return replace(bare, mean=mean, deviation=deviation, notes=_mixed(name, rates, rate))

    def _scale(self, rows: Iterable[Cells], count: int) -> tuple[tuple[float, ...], ...]:
        # Every so many of them: tables are often sorted.
        step = -(-count // _LEARNT_FROM)
        chosen = [cells for row, cells in enumerate(rows) if row % step == 0]
        found, _ = encode_rows(self.encode, chosen, len(chosen), key=self.key())
        values = np.asarray(found.values)
        if not len(values):
            raise InputError(f"column {self.columns[0]!r}: no training row's sound can be decoded")
        mean, deviation = values.mean(0, dtype=np.float64), values.std(0, dtype=np.float64)
        # A band that never moves (above what a recording holds) stays at zero.
        deviation = np.where(deviation > 1e-6, deviation, 1.0)
        return tuple(mean.tolist()), tuple(deviation.tolist())

    def encode(self, cells: Cells) -> np.ndarray:
        """Return a file's frames `(T, I)`, not standardised yet: the front does."""
        return self._features(self._samples(cells[0]))

    def _samples(self, source: Source) -> np.ndarray:
        samples, rate = _read(source)
        if rate == self.rate:
            return samples
        resample = _scipy_signal().resample_poly
        shared = gcd(rate, self.rate)
        return resample(samples, self.rate // shared, rate // shared).astype(np.float32)

    def _features(self, samples: np.ndarray) -> np.ndarray:
        samples = np.pad(samples, (0, max(0, self.frame - len(samples))))
        filters_KM = self._filters()
        points = 2 * (len(filters_KM) - 1)
        window = _hann(self.frame)
        frames_TN = np.lib.stride_tricks.sliding_window_view(samples, self.frame)[:: self.hop]
        parts = []
        for start in range(0, len(frames_TN), _AT_ONCE):
            spectrum_TK = np.fft.rfft(frames_TN[start : start + _AT_ONCE] * window, points)
            power_TK = (spectrum_TK.real**2 + spectrum_TK.imag**2) / window.sum() ** 2
            parts.append(np.log(np.maximum(power_TK @ filters_KM, _FLOOR)))
        logmel_TM = np.concatenate(parts)
        if self.sound == "mfcc":
            logmel_TM = logmel_TM @ _dct(logmel_TM.shape[1])[:, : self.bands]
        return logmel_TM.astype(np.float32)

    def _filters(self) -> np.ndarray:
        bands = max(self.bands, _LEAST_MELS) if self.sound == "mfcc" else self.bands
        return mel_filters(self.rate, self.frame, bands)

    def front(self, options: Any) -> Front:
        """Return what standardises bands and, if so asked, blanks some of it in training."""
        return AudioFront(self.mean, self.deviation, masking=options.spectrum_masking)

    def show(self, cells: Cells, encoded: np.ndarray) -> dict[str, Any]:
        """Return a recording's outline and its standardised frames."""
        samples, rate = _read(cells[0])
        frames = (encoded - np.array(self.mean)) / np.array(self.deviation)
        outline = [[float(part.min()), float(part.max())] for part in _parts(samples, 400)]
        return {
            "kind": self.kind,
            "column": self.columns[0],
            "name": cells[0].name,
            "seconds": round(len(samples) / rate, 3),
            "rate": rate,
            "wave": [[round(low, 3), round(high, 3)] for low, high in outline],
            "frames": [np.round(part.mean(0), 2).tolist() for part in _parts(frames, 200)],
        }

    def as_dict(self) -> dict[str, Any]:
        """Return what `from_dict` takes, ready for JSON."""
        return {
            "kind": self.kind,
            "columns": list(self.columns),
            "rate": self.rate,
            "sound": self.sound,
            "bands": self.bands,
            "frame": self.frame,
            "hop": self.hop,
            "mean": list(self.mean),
            "deviation": list(self.deviation),
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Self:
        """Return the input that `as_dict` described."""
        numbers = (data["rate"], data["sound"], data["bands"], data["frame"], data["hop"])
        return cls(tuple(data["columns"]), *numbers, tuple(data["mean"]), tuple(data["deviation"]))

    def summary(self) -> str:
        """Return the features of a frame and what it spans."""
        words = "mel bands" if self.sound == "logmel" else "cepstral coefficients"
        frame, hop = (f"{1000 * n / self.rate:g}" for n in (self.frame, self.hop))
        return f"{self.bands} {words} of {frame} ms every {hop} ms at {self.rate:,} Hz"

    def key(self) -> str:
        """Return what `encode` depends on: not the scale, which differs from fold to fold."""
        return repr(("audio", self.rate, self.sound, self.bands, self.frame, self.hop))


class AudioFront(Front):
    """Standardises bands; in training, may set random bands and stretches to their mean.

    With `masking` (SpecAugment, Park 2019): two runs of up to a fifth of the bands, and two of up
    to a fifth of a row's frames, within its length.

    Args:
        mean, deviation: of each band, `(I,)`.
        masking: whether to mask.
    """

    mean_I: Tensor
    deviation_I: Tensor

    def __init__(
        self, mean: Iterable[float], deviation: Iterable[float], *, masking: bool = False
    ) -> None:
        super().__init__()
        self.register_buffer("mean_I", torch.tensor(list(mean)))
        self.register_buffer("deviation_I", torch.tensor(list(deviation)))
        self.size, self.masking = len(self.mean_I), masking

    def forward(self, values: Tensor, lengths: Tensor | None) -> Tensor:
        """Return standardised frames `x_BTI`."""
        x_BTI = (values - self.mean_I) / self.deviation_I
        if not (self.training and self.masking):
            return x_BTI
        batch, steps, bands = x_BTI.shape
        rows_B = torch.full((batch,), steps) if lengths is None else lengths
        rows_B = rows_B.to(x_BTI.device)
        blank_BT = _runs(rows_B, steps)
        blank_BI = _runs(torch.full_like(rows_B, bands), bands)
        return x_BTI.masked_fill(blank_BT[:, :, None] | blank_BI[:, None, :], 0.0)


def _runs(sizes_B: Tensor, width: int) -> Tensor:
    """Return `(B, width)`: two runs a row of up to a fifth of its size, somewhere within it."""
    draws_2BR = torch.rand(2, len(sizes_B), _MASKS, device=sizes_B.device)
    long_BR = (draws_2BR[0] * (sizes_B[:, None] // 5 + 1)).floor()
    start_BR = (draws_2BR[1] * (sizes_B[:, None] - long_BR + 1)).floor()
    place_1R = torch.arange(width, device=sizes_B.device)[None, None]
    inside = (place_1R >= start_BR[..., None]) & (place_1R < (start_BR + long_BR)[..., None])
    return inside.any(1)


def mel(hertz: np.ndarray | float) -> Any:
    """Return the mel scale's value of a frequency (HTK)."""
    return 2595 * np.log10(1 + np.asarray(hertz) / 700)


@lru_cache(maxsize=8)
def mel_filters(rate: int, frame: int, bands: int) -> np.ndarray:
    """Return the triangles as a matrix `(K // 2 + 1, bands)`.

    K is a power of two, at least the frame, and as large as it takes for every triangle to hold a
    point of the transform (zeros behind a frame give more points).
    """
    edges = 700 * (10 ** (np.linspace(0, mel(rate / 2), bands + 2) / 2595) - 1)
    points = 1 << (frame - 1).bit_length()
    while True:
        f_K1 = np.fft.rfftfreq(points, 1 / rate)[:, None]
        rising = (f_K1 - edges[:-2]) / (edges[1:-1] - edges[:-2])
        falling = (edges[2:] - f_K1) / (edges[2:] - edges[1:-1])
        filters = np.maximum(0, np.minimum(rising, falling))
        if filters.any(0).all():
            return filters.astype(np.float32)
        points *= 2


def _hann(size: int) -> np.ndarray:
    return (0.5 - 0.5 * np.cos(2 * np.pi * np.arange(size) / size)).astype(np.float32)


def _dct(size: int) -> np.ndarray:
    """Return the orthonormal DCT-II as a matrix `(size, size)`, a coefficient a column."""
    cosines = np.cos(np.pi * np.outer(np.arange(size) + 0.5, np.arange(size)) / size)
    scales = np.sqrt(np.where(np.arange(size) == 0, 1, 2) / size)
    return (cosines * scales).astype(np.float32)


def _parts(values: np.ndarray, most: int) -> list[np.ndarray]:
    return np.array_split(values, min(most, len(values)))


@contextmanager
def _sound_file(source: Source) -> Iterator[Any]:
    """Give an open `SoundFile`; whatever it finds wrong is said in one line."""
    try:
        import soundfile
    except ImportError as error:
        raise MissingExtraError(
            "sound is read by soundfile, which is not installed: pip install 'elman[audio]'"
        ) from error
    with source.open() as file, quiet():
        try:
            with soundfile.SoundFile(file) as sound:
                yield sound
        except BadCellError:
            raise
        except Exception as error:  # of a damaged file, any
            why = str(getattr(error, "error_string", error)).strip().rstrip(".")
            raise BadCellError(
                f"{source.name}: no sound can be decoded from it ({why}); expected WAV, FLAC, OGG "
                "or MP3"
            ) from None


def _read(source: Source) -> tuple[np.ndarray, int]:
    """Return a file's samples, channels averaged, `(n,)`, and its rate."""
    parts = []
    with _sound_file(source) as sound:
        # Piece by piece: a damaged header may promise more than memory holds.
        while len(part := sound.read(256 * _AT_ONCE, "float32", always_2d=True)):
            parts.append(part.mean(1))
        rate = sound.samplerate
    if not parts:
        raise BadCellError(f"{source.name}: there is no sound in it (0 samples)")
    samples = np.concatenate(parts)
    if not np.isfinite(samples).all():
        raise BadCellError(f"{source.name}: it holds samples that are not finite numbers")
    return samples, rate


def _rates(rows: Iterable[Cells]) -> tuple[Counter[int], str]:
    """Return how many rows have each rate, by their headers; and what was wrong with the first."""
    rates: Counter[int] = Counter()
    problem = "there are none"
    for cells in rows:
        try:
            with _sound_file(cells[0]) as sound:
                rates[sound.samplerate] += 1
        except BadCellError as error:
            problem = str(error) if problem == "there are none" else problem
    return rates, problem


def _mixed(name: str, rates: Counter[int], rate: int) -> tuple[str, ...]:
    if set(rates) == {rate}:
        return ()
    listed = ", ".join(f"{n:,} at {hertz:,} Hz" for hertz, n in rates.most_common())
    return (f"{name}: of the training rows, {listed}; all sound is resampled to {rate:,} Hz",)


def _scipy_signal() -> Any:
    try:
        import scipy.signal
    except ImportError as error:
        raise MissingExtraError(
            "sound is resampled by scipy, which is not installed: pip install 'elman[audio]'"
        ) from error
    return scipy.signal
