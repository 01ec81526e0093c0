"""`image:COLUMN`: files of pictures (PNG, JPEG, ...), read by a small convolutional network.

A picture is turned as its camera noted (EXIF), laid on white where it is transparent, resized to
one size (stretched, if its shape is another) and kept as bytes. Of an animation the first frame is
read.

Legend: B batch, N pictures, H height, W width, C colours, F features.
"""

from __future__ import annotations

import base64
import io
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar, Self

import numpy as np
import torch
from torch import Tensor, nn

from elman.data.media import Source, quiet
from elman.errors import BadCellError, InputError, MissingExtraError
from elman.kinds.inputs.input import Cells, Front, Input
from elman.networks.pictures import PictureEncoder, draw_moves, move

MOST_PIXELS = 100_000_000
"""Of a picture: more take gigabytes of memory, out of a file that may be small."""

_LEARNT_FROM = 100  # pictures or clips
_LEAST_DEVIATION = 0.01
_SHOWN = 96  # pixels of a side in a report, at least
_MODES = {1: "L", 3: "RGB"}
_ORIENTATION = 0x0112


@dataclass(frozen=True)
class PictureScale:
    """Mean and standard deviation of an intensity (0 to 1), of each colour.

    What is drawn in few pixels on a plain ground is seen only if the ground is taken off.
    """

    mean: tuple[float, ...] = (0.5,)
    deviation: tuple[float, ...] = (0.5,)

    @classmethod
    def learn(cls, encode: Callable[[Cells], np.ndarray], rows: Iterable[Cells]) -> Self:
        """Learn from the first rows that can be read; what cannot is told when all are encoded."""
        sums, squares, count, readable = np.zeros(1), np.zeros(1), 0, 0
        for cells in rows:
            try:
                pixels_NC = encode(cells).astype(np.float64) / 255
            except BadCellError:
                continue
            pixels_NC = pixels_NC.reshape(-1, pixels_NC.shape[-1])
            sums, squares = sums + pixels_NC.sum(0), squares + (pixels_NC**2).sum(0)
            count += len(pixels_NC)
            readable += 1
            if readable == _LEARNT_FROM:
                break
        if not count:
            return cls()
        mean_C = sums / count
        deviation_C = np.sqrt(np.maximum(squares / count - mean_C**2, _LEAST_DEVIATION**2))
        return cls(tuple(mean_C.tolist()), tuple(deviation_C.tolist()))

    def as_dict(self) -> dict[str, Any]:
        """Return the two, ready for JSON."""
        return {"mean": list(self.mean), "deviation": list(self.deviation)}


@dataclass(frozen=True)
class Image(Input):
    """Pictures, resized alike.

    Attributes:
        columns: the one column of files.
        size: height and width.
        colors: 3, or 1 for gray.
        scale: of intensities, in the training rows.
    """

    kind: ClassVar[str] = "image"
    sequence: ClassVar[bool] = False
    media: ClassVar[bool] = True
    columns: tuple[str, ...]
    size: tuple[int, int]
    colors: int
    scale: PictureScale = field(default=PictureScale(), compare=False)

    @classmethod
    def learn(cls, columns: tuple[str, ...], rows: Iterable[Cells], options: Any) -> Self:
        """Take size and colours from the options, and intensities' scale from rows."""
        bare = cls(one_column("image", columns), *picture_options(options))
        return replace(bare, scale=PictureScale.learn(bare.encode, rows))

    def encode(self, cells: Cells) -> np.ndarray:
        """Return a picture `(H, W, C)` of bytes."""
        return read_picture(cells[0], self.size, self.colors)

    def front(self, options: Any, module: nn.Module | None = None) -> Front:
        """Return the network that reads pictures, standardised as training's were.

        Args:
            options: of which `channels`, `picture_features`, `shifting` and `mirroring`.
            module: a network of your own instead of `PictureEncoder`: from `(N, C, H, W)`,
                intensities from 0 to 1, to `(N, F)`.
        """
        return PictureFront(self.size, self.colors, self.scale, options, module)

    def show(self, cells: Cells, encoded: np.ndarray) -> dict[str, Any]:
        """Return the picture as the network sees it."""
        return {
            "kind": self.kind,
            "column": self.columns[0],
            "name": cells[0].name,
            "png": png(encoded.reshape(*self.size, self.colors)),
        }

    def as_dict(self) -> dict[str, Any]:
        """Return what `from_dict` takes, ready for JSON."""
        return {
            "kind": self.kind,
            "columns": list(self.columns),
            "size": list(self.size),
            "colors": self.colors,
            "scale": self.scale.as_dict(),
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Self:
        """Return the input that `as_dict` described."""
        height, width = data["size"]
        scale = PictureScale(**data["scale"])
        return cls(tuple(data["columns"]), (height, width), data["colors"], scale)

    def summary(self) -> str:
        """Return size and colours."""
        return f"{self.size[0]} x {self.size[1]} pixels, {'rgb' if self.colors == 3 else 'gray'}"

    def key(self) -> str:
        """Return what `encode` depends on."""
        return repr(("image", self.size, self.colors))


class PictureFront(Front):
    """Turns bytes into intensities, moves pictures at random in training, and encodes them.

    Args:
        size: height and width.
        colors: `C`.
        scale: of intensities.
        options: of which `channels`, `picture_features`, `shifting` and `mirroring`.
        module: an encoder instead of `PictureEncoder`.

    Raises:
        InputError: the module does not take such pictures, or does not answer `(N, F)`.
    """

    def __init__(
        self,
        size: tuple[int, int],
        colors: int,
        scale: PictureScale,
        options: Any,
        module: nn.Module | None = None,
    ) -> None:
        super().__init__()
        self._shape = (*size, colors)
        self._moves = {"shifting": options.shifting, "mirroring": options.mirroring}
        if module is None:
            features = options.picture_features
            self.encoder: nn.Module = PictureEncoder(
                *size, colors, options.channels, features, scale.mean, scale.deviation
            )
            self.size = features
        else:
            self.encoder, self.size = module, _features(module, (colors, *size))

    def forward(self, values: Tensor, lengths: Tensor | None) -> Tensor:
        """Return features `v_BF` for pictures `(B, H, W, C)`."""
        pictures_NHWC = values.reshape(-1, *self._shape)
        if self.training:
            pictures_NHWC = move(pictures_NHWC, *self.draw(len(pictures_NHWC), values.device))
        return self.encode(pictures_NHWC)

    def draw(self, count: int, device: torch.device) -> tuple[Tensor, Tensor]:
        """Draw how so many pictures are moved."""
        height, width, _ = self._shape
        return draw_moves(count, height, width, **self._moves, device=device)

    def encode(self, pictures_NHWC: Tensor) -> Tensor:
        """Return features `(N, F)`."""
        intensities = pictures_NHWC.permute(0, 3, 1, 2).to(torch.get_default_dtype()) / 255
        return self.encoder(intensities.contiguous())


def _features(module: nn.Module, shape_CHW: tuple[int, ...]) -> int:
    """Return `F` of a user's own encoder, by a trial."""
    trial = torch.zeros(2, *shape_CHW)
    training = module.training
    try:
        with torch.no_grad():
            found = module.eval()(trial)
    except Exception as error:
        raise InputError(
            f"{type(module).__name__}: given pictures {tuple(trial.shape)}, it raised "
            f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}"
        ) from error
    finally:
        module.train(training)
    if not isinstance(found, Tensor) or found.dim() != 2 or len(found) != 2:
        got = tuple(found.shape) if isinstance(found, Tensor) else type(found).__name__
        raise InputError(
            f"{type(module).__name__}: given pictures {tuple(trial.shape)}, it answered {got}; "
            "expected features (2, F)"
        )
    return found.shape[1]


def one_column(kind: str, columns: tuple[str, ...]) -> tuple[str, ...]:
    """Return the columns of a kind of media, if there is one.

    Raises:
        InputError: there are several, or none.
    """
    if len(columns) != 1:
        raise InputError(f"{kind}:{','.join(columns)}: expected one column, of files")
    return columns


def picture_options(options: Any) -> tuple[tuple[int, int], int]:
    """Return size and number of colours, as the options say them."""
    height, width = options.picture_size
    return (int(height), int(width)), {"gray": 1, "rgb": 3}[options.color]


def read_picture(source: Source, size: tuple[int, int], colors: int) -> np.ndarray:
    """Return a file's picture, `(H, W, C)` of bytes.

    Raises:
        BadCellError: it cannot be decoded, is cut off, or too large.
    """
    pillow = _pillow()
    with source.open() as file, quiet():
        try:
            with pillow.open(file) as picture:
                width, height = picture.size
                if width * height <= MOST_PIXELS:
                    return _resized(picture, size, colors)
        except pillow.DecompressionBombError:
            width = height = 0
        except Exception as error:  # of a damaged file, any
            why = "" if type(error).__name__ == "UnidentifiedImageError" else f" ({error})"
            raise BadCellError(
                f"{source.name}: no picture can be decoded from it{why}; expected PNG, JPEG, GIF, "
                "TIFF, WebP or another that Pillow reads"
            ) from None
    shape = f"{width:,} x {height:,} pixels, " if width else ""
    raise BadCellError(
        f"{source.name}: the picture is too large ({shape}more than {MOST_PIXELS:,} in all); "
        "make it smaller"
    )


def _resized(picture: Any, size: tuple[int, int], colors: int) -> np.ndarray:
    from PIL import Image as Pillow
    from PIL import ImageOps

    mode = _MODES[colors]
    # Of a JPEG, decodes no more detail than is wanted; of others, does nothing.
    picture.draft(mode, (2 * max(size), 2 * max(size)))
    picture.load()
    with suppress(Exception):  # damaged EXIF data: as it lies
        if picture.getexif().get(_ORIENTATION, 1) != 1:
            picture = ImageOps.exif_transpose(picture)
    if picture.has_transparency_data:
        picture = picture.convert("RGBA")
        white = Pillow.new("RGBA", picture.size, "white")
        picture = Pillow.alpha_composite(white, picture)
    if picture.mode.startswith("I;16"):  # 16 bits of gray
        picture = Pillow.fromarray((np.asarray(picture) // 257).astype(np.uint8))
    picture = picture.convert(mode)
    height, width = size
    if picture.size != (width, height):
        picture = picture.resize((width, height), Pillow.Resampling.BILINEAR)
    return np.asarray(picture, np.uint8).reshape(height, width, colors)


def png(picture: np.ndarray, least: int = _SHOWN) -> str:
    """Return a picture `(H, W, C)` or `(H, W)` of bytes as PNG in base64.

    A smaller one is enlarged, each pixel to so many, until neither side is below `least`.
    """
    pillow = _pillow()
    if picture.ndim == 3 and picture.shape[2] == 1:
        picture = picture[:, :, 0]
    times = -(-least // min(picture.shape[:2]))
    picture = picture.repeat(times, 0).repeat(times, 1)
    file = io.BytesIO()
    pillow.fromarray(np.ascontiguousarray(picture)).save(file, "PNG")
    return base64.b64encode(file.getvalue()).decode()


def _pillow() -> Any:
    try:
        from PIL import Image as Pillow
    except ImportError as error:
        raise MissingExtraError(
            "pictures are read by Pillow, which is not installed: pip install 'elman[image]'"
        ) from error
    return Pillow
