"""`image:COLUMN` as a target: a gray picture drawn row by row, from the top.

A step is a row of W pixels. The network is given the row above (of the first, zeros) and answers a
logit z for each pixel; with x the pixel's intensity from 0 to 1, the loss of a row is the mean over
its pixels of the cross entropy

    -x log sigmoid(z) - (1 - x) log(1 - sigmoid(z))    nats,

which, as intensities lie between, is above 0 for a perfect answer too. A picture has as many rows
as any other: nothing says that it ends.

Legend: N rows of all pictures together, R pictures, H height, W width.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any, ClassVar, Self

import numpy as np
import polars as pl
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from elman.errors import BadCellError, InputError
from elman.kinds.inputs.image import one_column, png, read_picture
from elman.kinds.inputs.input import Cells
from elman.kinds.targets.target import Answers, Baseline, Examples, SequenceTarget, Shape, Written
from elman.networks import Decoder, rollout, vector_decoder
from elman.networks.decoder_state import DecoderState

_LEARNT_FROM = 200  # pictures
_LEAST = 1e-3  # intensity of a pixel that a baseline takes for possible, and 1 less it at most


@dataclass(frozen=True)
class ImageTarget(SequenceTarget):
    """Pictures to be drawn, resized alike.

    Attributes:
        columns: the one column of files.
        size: height (the steps of an answer) and width (the values in one).
        mean: intensity of each column of pixels in the training rows, `(W,)`.
    """

    kind: ClassVar[str] = "image"
    shape: ClassVar[Shape] = "sequence"
    media: ClassVar[bool] = True
    score_name: ClassVar[str] = "nats"
    columns: tuple[str, ...]
    size: tuple[int, int]
    mean: tuple[float, ...]

    @classmethod
    def learn(cls, columns: tuple[str, ...], rows: Iterable[Cells], options: Any) -> Self:
        """Learn the mean intensity of each column of pixels, from which an answer starts."""
        height, width = options.picture_size
        bare = cls(one_column("image", columns), (int(height), int(width)), ())
        pictures, problem = [], "there are none"
        for cells in islice(rows, _LEARNT_FROM):
            try:
                pictures.append(bare.encode(cells).mean(0) / 255)
            except BadCellError as error:
                problem = str(error)
        if not pictures:
            raise InputError(
                f"column {columns[0]!r}: no training row's picture can be read; {problem}"
            )
        return cls(bare.columns, bare.size, tuple(np.mean(pictures, 0).tolist()))

    def encode(self, cells: Cells) -> np.ndarray:
        """Return a picture's rows, `(H, W)` of bytes."""
        return read_picture(cells[0], self.size, 1)[:, :, 0]

    @property
    def output_size(self) -> int:
        """Pixels of a row."""
        return self.size[1]

    @property
    def steps(self) -> int:
        """Rows of every answer."""
        return self.size[0]

    @property
    def headline(self) -> str:
        """Nats a pixel."""
        return "nats"

    def previous(self, truth_BU: Tensor) -> Tensor:
        """Return the row above each, `(B, H, W)`, as intensities from 0 to 1; at first, black."""
        rows = truth_BU.to(torch.get_default_dtype()) / 255
        return torch.cat([torch.zeros_like(rows[:, :1]), rows[:, :-1]], dim=1)

    def decoder(
        self,
        options: Any,
        *,
        memory_size: int = 0,
        context_size: int = 0,
        embed: nn.Embedding | None = None,
    ) -> Decoder:
        """Return a new decoder over rows, which begins with the training rows' mean intensity."""
        decoder = vector_decoder(
            options, self.output_size, memory_size=memory_size, context_size=context_size
        )
        with torch.no_grad():
            decoder.output.bias.copy_(torch.as_tensor(self.initial_bias()))  # pyright: ignore
        return decoder

    def write(
        self, decoder: Decoder, state: DecoderState, options: Any, n_best: int
    ) -> list[list[Written]]:
        """Return each row's pictures, `(H, W)` of logits: every row given those drawn above it.

        What is fed on is drawn black or white by each pixel's probability: fed with probabilities
        themselves, a decoder draws the mean of all pictures.
        """
        device = state.recurrent[0].device
        generator = torch.Generator(device).manual_seed(options.seed)
        drawn = []
        for _ in range(n_best):
            logits: list[Tensor] = []

            def draw(output_RO: Tensor, kept: list[Tensor] = logits) -> Tensor:
                kept.append(output_RO)
                return torch.bernoulli(torch.sigmoid(output_RO), generator=generator)

            start = torch.zeros(state.rows, self.output_size, device=device)
            rollout(decoder, state, start_BW=start, steps=self.steps, read=draw)
            drawn.append(torch.stack(logits, dim=1).float().cpu().numpy())
        return [[Written(one[row]) for one in drawn] for row in range(state.rows)]

    def gathered(self, written: Sequence[Sequence[Written]] | None, **told: Any) -> Answers:
        """Return pictures as answers."""
        if written is None:
            return Answers(**told)
        return Answers(outputs=[row[0].value for row in written], **told)

    def references(self, cells: Cells) -> list[Any]:
        """Return a row's picture."""
        return [self.encode(cells)]

    def errors(self, answers: Answers, truths: Sequence[Any]) -> np.ndarray:
        """Return each picture's nats a pixel."""
        return self._losses(answers, truths)

    def text(self, truth: Any) -> str:
        """Return its size: a picture is not said in words."""
        return self.summary()

    def losses(self, output_NO: Tensor, truth_N: Tensor, *, training: bool) -> Tensor:
        """Return each row's mean cross entropy, `(N,)`; `truth_N` is `(N, W)`, in bytes."""
        truth_NO = truth_N.to(output_NO.dtype) / 255
        return F.binary_cross_entropy_with_logits(output_NO, truth_NO, reduction="none").mean(-1)

    def score(self, answers: Answers, truths: Sequence[Any]) -> dict[str, float | None]:
        """Return nats a pixel and, where pictures were drawn, the mean error of an intensity."""
        losses = self._losses(answers, truths)
        scores: dict[str, float | None] = {"nats": float(np.mean(losses))}
        if answers.outputs is not None:
            pairs = zip(answers.outputs, truths, strict=True)
            errors = [np.abs(_intensity(z) - np.asarray(x[0]) / 255).mean() for z, x in pairs]
            scores["mae"] = float(np.mean(errors))
        return scores

    def frame(self, answers: Answers, truths: Sequence[Any] | None) -> pl.DataFrame:
        """Return pictures as data URIs, their mean intensities, and their truths'."""
        columns: dict[str, Any] = {}
        if answers.outputs is not None:
            pictures = [f"data:image/png;base64,{_png(z, least=1)}" for z in answers.outputs]
            if truths is None:  # a part's pictures would make predictions.csv very large
                columns["prediction"] = pictures
            columns["intensity"] = [float(_intensity(z).mean()) for z in answers.outputs]
        if truths is not None:
            columns["truth"] = [float(np.mean(x[0]) / 255) for x in truths]
            columns["nats"] = self._losses(answers, truths)
        return pl.DataFrame(columns)

    def _losses(self, answers: Answers, truths: Sequence[Any]) -> np.ndarray:
        """Return each picture's loss as it was found, or else that of its answer."""
        if answers.losses is not None:
            return np.asarray(answers.losses)
        with torch.no_grad():
            pairs = zip(answers.outputs, truths, strict=True)
            losses = [
                self.losses(torch.as_tensor(z), torch.as_tensor(np.array(x[0])), training=False)
                for z, x in pairs
            ]
        return np.array([float(loss.mean()) for loss in losses])

    def baselines(self, examples: Examples, options: Any) -> list[Baseline]:
        """Return the mean picture and, of an input that is a category, the mean of each value."""
        by = [column for column, cells in examples.inputs.items() if _is_category(cells)]
        return [MeanPicture(), *(MeanPicture(column) for column in by)]

    def draw(self, output: Any) -> str:
        """Return an answer `(H, W)`, of logits, as PNG in base64, large enough for a page."""
        return _png(output)

    def draw_truth(self, truth: np.ndarray) -> str:
        """Return an encoded row as PNG in base64."""
        return png(truth)

    def as_dict(self) -> dict[str, Any]:
        """Return what `from_dict` takes, ready for JSON."""
        return {
            "kind": self.kind,
            "columns": list(self.columns),
            "size": list(self.size),
            "mean": list(self.mean),
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Self:
        """Return the target that `as_dict` described."""
        height, width = data["size"]
        return cls(tuple(data["columns"]), (height, width), tuple(data["mean"]))

    def initial_bias(self) -> np.ndarray:
        """Return the logit of each column's mean intensity, `(W,)`."""
        return _logit(np.array(self.mean)).astype(np.float32)

    def summary(self) -> str:
        """Return the size of a picture."""
        return f"{self.size[0]} rows of {self.size[1]} pixels"

    def key(self) -> str:
        """Return what `encode` depends on besides the cells."""
        return repr(("image target", self.size))


class MeanPicture(Baseline):
    """The mean of the training pictures; or of those with the same value in a column.

    Args:
        column: whose values tell pictures apart; a value that training did not have is answered by
            the mean of all.
    """

    def __init__(self, column: str | None = None) -> None:
        self._column = column
        self.name = "mean picture" if column is None else f"mean picture of each {column}"
        self._means: dict[Any, np.ndarray] = {}

    def fit(self, train: Examples) -> Self:
        """Average the training pictures."""
        sums: dict[Any, np.ndarray] = {}
        counts: dict[Any, int] = {}
        for value, references in zip(self._values(train), train.truths, strict=True):
            for key in {None, value}:
                sums[key] = sums.get(key, 0) + np.asarray(references[0], np.float64) / 255
                counts[key] = counts.get(key, 0) + 1
        self._means = {
            key: _logit(total / counts[key]).astype(np.float32) for key, total in sums.items()
        }
        return self

    def answer(self, examples: Examples) -> Answers:
        """Answer each row with a mean."""
        everything = self._means[None]
        return Answers([self._means.get(value, everything) for value in self._values(examples)])

    def _values(self, examples: Examples) -> Sequence[Any]:
        if self._column is None:
            return [None] * len(examples.truths)
        return examples.inputs[self._column]


def _is_category(cells: Sequence[Any]) -> bool:
    """Say whether values come back often enough for a mean of each."""
    try:
        return 2 <= len(set(cells)) <= len(cells) / 5
    except TypeError:  # lists
        return False


def _logit(intensity: np.ndarray) -> np.ndarray:
    bounded = np.clip(intensity, _LEAST, 1 - _LEAST)
    return np.log(bounded / (1 - bounded))


def _png(output: Any, **how: Any) -> str:
    return png((_intensity(output) * 255).round().astype(np.uint8), **how)


def _intensity(output: Any) -> np.ndarray:
    return 1 / (1 + np.exp(-np.asarray(output, np.float64)))
