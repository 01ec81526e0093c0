"""`video:COLUMN`: files of clips; frames evenly spaced over each, read by a convolutional network.

Legend: B batch, T frames, N frames of all rows of a batch together, H height, W width, C colours,
F features.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar, Self

import numpy as np
import torch
from torch import Tensor, nn

from elman.data.media import Source
from elman.errors import BadCellError, MissingExtraError
from elman.kinds.inputs.image import (
    PictureFront,
    PictureScale,
    one_column,
    picture_options,
    png,
)
from elman.kinds.inputs.input import Cells, Front, Input
from elman.networks.pictures import move

_SHOWN = 8
_FORMATS = {1: "gray", 3: "rgb24"}


@dataclass(frozen=True)
class Video(Input):
    """Clips, their frames resized alike.

    Attributes:
        columns: the one column of files.
        frames: read of a clip at most, evenly spaced.
        size: height and width.
        colors: 3, or 1 for gray.
        scale: of intensities, in the training rows.
    """

    kind: ClassVar[str] = "video"
    media: ClassVar[bool] = True
    columns: tuple[str, ...]
    frames: int
    size: tuple[int, int]
    colors: int
    scale: PictureScale = field(default=PictureScale(), compare=False)

    @classmethod
    def learn(cls, columns: tuple[str, ...], rows: Iterable[Cells], options: Any) -> Self:
        """Take frames, size and colours from the options, and intensities' scale from rows."""
        bare = cls(one_column("video", columns), options.frames, *picture_options(options))
        return replace(bare, scale=PictureScale.learn(bare.encode, rows))

    def encode(self, cells: Cells) -> np.ndarray:
        """Return a clip's frames `(T, H, W, C)` of bytes."""
        source: Source = cells[0]
        with _opened(source) as (container, stream):
            count = sum(1 for packet in container.demux(stream) if packet.size)
        chosen, met = self._chosen(source, count)
        if met != count:  # the file counts frames that cannot be decoded, or fewer than there are
            chosen, met = self._chosen(source, met)
        if not chosen:
            raise BadCellError(f"{source.name}: no frame of it can be decoded")
        return np.stack(chosen)

    def _chosen(self, source: Source, count: int) -> tuple[list[np.ndarray], int]:
        """Return frames evenly spaced over so many, and how many there were."""
        wanted = set(spread(count, self.frames).tolist())
        chosen, met = [], 0
        with _opened(source) as (container, stream):
            for frame in container.decode(stream):
                if met in wanted:
                    chosen.append(self._resized(frame))
                met += 1
        return chosen, met

    def _resized(self, frame: Any) -> np.ndarray:
        height, width = self.size
        turns = round(frame.rotation / 90) % 4  # as the camera was held
        if turns % 2:
            height, width = width, height
        pixels = frame.to_ndarray(
            format=_FORMATS[self.colors], width=width, height=height, interpolation="AREA"
        )
        return np.rot90(pixels.reshape(height, width, self.colors), turns)

    def front(self, options: Any, module: nn.Module | None = None) -> Front:
        """Return the network that reads each frame; `module` as for `Image.front`."""
        return VideoFront(PictureFront(self.size, self.colors, self.scale, options, module))

    def show(self, cells: Cells, encoded: np.ndarray) -> dict[str, Any]:
        """Return some frames as the network sees them."""
        chosen = spread(len(encoded), _SHOWN)
        return {
            "kind": self.kind,
            "column": self.columns[0],
            "name": cells[0].name,
            "pngs": [png(encoded[step]) for step in chosen.tolist()],
        }

    def as_dict(self) -> dict[str, Any]:
        """Return what `from_dict` takes, ready for JSON."""
        return {
            "kind": self.kind,
            "columns": list(self.columns),
            "frames": self.frames,
            "size": list(self.size),
            "colors": self.colors,
            "scale": self.scale.as_dict(),
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Self:
        """Return the input that `as_dict` described."""
        height, width = data["size"]
        scale = PictureScale(**data["scale"])
        return cls(tuple(data["columns"]), data["frames"], (height, width), data["colors"], scale)

    def summary(self) -> str:
        """Return frames, size and colours."""
        colors = "rgb" if self.colors == 3 else "gray"
        return f"{self.frames} frames of {self.size[0]} x {self.size[1]} pixels, {colors}"

    def key(self) -> str:
        """Return what `encode` depends on."""
        return repr(("video", self.frames, self.size, self.colors))


class VideoFront(Front):
    """Encodes each frame as a picture; in training a clip's frames are moved alike.

    Args:
        pictures: encodes one frame.
    """

    def __init__(self, pictures: PictureFront) -> None:
        super().__init__()
        self.pictures, self.size = pictures, pictures.size

    def forward(self, values: Tensor, lengths: Tensor | None) -> Tensor:
        """Return features `x_BTF` of frames `(B, T, H, W, C)`; zeros past a row's length."""
        batch, steps = values.shape[:2]
        if lengths is None:
            lengths = torch.full((batch,), steps)
        real_BT = (torch.arange(steps) < lengths[:, None]).to(values.device)
        frames_NHWC = values[real_BT]
        if self.training:
            row_N = real_BT.nonzero()[:, 0]
            shifts_B2, mirrored_B = self.pictures.draw(batch, values.device)
            frames_NHWC = move(frames_NHWC, shifts_B2[row_N], mirrored_B[row_N])
        features_NF = self.pictures.encode(frames_NHWC)
        x_BTF = features_NF.new_zeros(batch, steps, self.size)
        return x_BTF.masked_scatter(real_BT[:, :, None], features_NF)


def spread(count: int, most: int) -> np.ndarray:
    """Return up to `most` of the numbers below `count`: the middles of as many equal parts."""
    take = min(count, most)
    return ((np.arange(take) + 0.5) * count / max(take, 1)).astype(int)


@contextmanager
def _opened(source: Source) -> Iterator[tuple[Any, Any]]:
    """Give a container and its video stream; whatever goes wrong is said in one line."""
    try:
        import av
        import av.logging
    except ImportError as error:
        raise MissingExtraError(
            "clips are read by PyAV, which is not installed: pip install 'elman[video]'"
        ) from error
    av.logging.set_level(av.logging.PANIC)
    with source.open() as file:
        try:
            with av.open(file) as container:
                if not container.streams.video:
                    raise BadCellError(f"{source.name}: there is no video in it")
                yield container, container.streams.video[0]
        except BadCellError:
            raise
        except Exception as error:  # of a damaged file, any
            why = getattr(error, "strerror", None) or error
            raise BadCellError(
                f"{source.name}: no video can be decoded from it ({why}); expected MP4, WebM, AVI "
                "or another that FFmpeg reads"
            ) from None
