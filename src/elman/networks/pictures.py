"""A small convolutional network that turns a picture into features, and pictures moved at random.

Legend: N pictures, H height, W width, C colours (1 or 3), F features.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

_SMALL = 5  # a side that is not halved any more
_WIDEST = 16  # times the first convolution's channels, of the widest
_GROUP = 8  # channels normalised together, where that many divide them


class PictureEncoder(nn.Module):
    """Convolutions of 3 x 3, each normalised (Wu & He 2018), rectified and halved; then one linear.

    The linear sees the last maps, by which it knows where something is, and the maximum of each,
    by which it knows that it is there: what a thing is need not be learnt anew for every place.

    Sides longer than 5 are halved, so that a square picture ends at about 4 x 4; each convolution
    has twice as many channels as the one before, up to 16 times those of the first. Groups of
    channels are normalised within a picture: what a picture gives does not depend on the others.

    Args:
        height, width: of the pictures.
        colors: 1 or 3.
        channels: of the first convolution.
        features: `F`.
        mean, deviation: of an intensity, of each colour: pictures are standardised by them.

    Shapes: `(N, C, H, W)` of intensities from 0 to 1, to `(N, F)`.
    """

    mean_C11: Tensor
    deviation_C11: Tensor

    def __init__(
        self,
        height: int,
        width: int,
        colors: int,
        channels: int = 16,
        features: int = 128,
        mean: Sequence[float] = (0.5,),
        deviation: Sequence[float] = (0.5,),
    ) -> None:
        super().__init__()
        for name, values in (("mean_C11", mean), ("deviation_C11", deviation)):
            self.register_buffer(name, torch.tensor(values)[:, None, None], persistent=False)
        blocks: list[nn.Module] = []
        into, out = colors, channels
        while True:
            halved = (1 + (height > _SMALL), 1 + (width > _SMALL))
            groups = out // _GROUP if out % _GROUP == 0 else 1
            blocks += [
                nn.Conv2d(into, out, 3, padding=1, bias=False),
                nn.GroupNorm(groups, out),
                nn.ReLU(),
                nn.MaxPool2d(halved),
            ]
            height, width = height // halved[0], width // halved[1]
            if max(height, width) <= _SMALL:
                break
            into, out = out, min(2 * out, _WIDEST * channels)
        self.blocks = nn.Sequential(*blocks)
        self.head = nn.Linear(out * height * width + out, features)
        self.features = features

    def forward(self, pictures_NCHW: Tensor) -> Tensor:
        """Return features `(N, F)`."""
        maps = self.blocks((pictures_NCHW - self.mean_C11) / self.deviation_C11)
        seen_NX = torch.cat([maps.flatten(1), maps.amax((2, 3))], dim=1)
        return torch.relu(self.head(seen_NX))


def move(pictures_NHWC: Tensor, shifts_N2: Tensor, mirrored_N: Tensor) -> Tensor:
    """Return pictures moved, and some mirrored; what lies past an edge repeats the edge.

    Args:
        pictures_NHWC: of any type.
        shifts_N2: steps down and to the right, whole numbers.
        mirrored_N: which are mirrored left to right, before they are moved.
    """
    count, height, width = pictures_NHWC.shape[:3]
    device = pictures_NHWC.device
    down_NH = torch.arange(height, device=device) - shifts_N2[:, :1]
    right_NW = torch.arange(width, device=device) - shifts_N2[:, 1:]
    down_NH, right_NW = down_NH.clamp(0, height - 1), right_NW.clamp(0, width - 1)
    right_NW = torch.where(mirrored_N[:, None], width - 1 - right_NW, right_NW)
    number_N11 = torch.arange(count, device=device)[:, None, None]
    return pictures_NHWC[number_N11, down_NH[:, :, None], right_NW[:, None, :]]


def draw_moves(
    count: int, height: int, width: int, *, shifting: bool, mirroring: bool, device: torch.device
) -> tuple[Tensor, Tensor]:
    """Draw for `move`: shifts up to an eighth of each side, and a random half to be mirrored."""
    most_2 = torch.tensor([height // 8, width // 8], device=device) * shifting
    shifts_N2 = (torch.rand(count, 2, device=device) * (2 * most_2 + 1)).floor().long() - most_2
    mirrored_N = (torch.rand(count, device=device) < 0.5) & mirroring
    return shifts_N2, mirrored_N
