"""Pictures: what is decoded, beside Pillow; the encoder beside torch; what is refused."""

from __future__ import annotations

import base64
import io
import json
import struct
import sys
import zlib
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image as Pillow
from torch import nn
from torch.nn import functional as F

from elman.config import Config
from elman.data.media import source
from elman.errors import BadCellError, InputError, MissingExtraError
from elman.kinds.inputs.image import Image, PictureScale, png
from elman.networks.pictures import PictureEncoder, draw_moves, move

RNG = np.random.default_rng(5)


def options(**given):
    return Config.parse({"inputs": "image:file", "target": "category:y"} | given, "test")


def row(picture, kind="PNG", **how):
    """Return a row whose cell is the picture's file."""
    file = io.BytesIO()
    picture.save(file, kind, **how)
    return (source({"bytes": file.getvalue(), "path": f"a.{kind.lower()}"}, Path()),)


def pixels(height, width, colors=3):
    return RNG.integers(0, 256, (height, width, colors), dtype=np.uint8)


def made(height, width, colors=3) -> Image:
    return Image(("file",), (height, width), colors)


def decoded(text: str) -> np.ndarray:
    return np.asarray(Pillow.open(io.BytesIO(base64.b64decode(text))))


@pytest.mark.parametrize("kind", ["PNG", "BMP", "TIFF", "PPM"])
def test_a_picture_of_the_right_size_is_itself(kind) -> None:
    values = pixels(7, 11)
    np.testing.assert_array_equal(made(7, 11).encode(row(Pillow.fromarray(values), kind)), values)
    gray = made(7, 11, 1).encode(row(Pillow.fromarray(values), kind))
    luma = values @ [0.299, 0.587, 0.114]
    np.testing.assert_allclose(gray[:, :, 0], luma, atol=1)
    assert (gray.dtype, gray.shape) == (np.uint8, (7, 11, 1))


def test_resized_as_pillow_does() -> None:
    values = pixels(40, 60)
    found = made(10, 20).encode(row(Pillow.fromarray(values)))
    expected = np.asarray(Pillow.fromarray(values).resize((20, 10), Pillow.Resampling.BILINEAR))
    np.testing.assert_array_equal(found, expected)
    constant = made(10, 20).encode(row(Pillow.new("RGB", (1000, 700), (9, 80, 200)), "JPEG"))
    np.testing.assert_allclose(constant.reshape(-1, 3), [[9, 80, 200]] * 200, atol=2)


def test_a_large_jpeg_is_decoded_no_finer_than_needed() -> None:
    smooth = Pillow.fromarray(pixels(8, 8)).resize((800, 800), Pillow.Resampling.BICUBIC)
    found = made(32, 32).encode(row(smooth, "JPEG", quality=95))
    expected = np.asarray(smooth.resize((32, 32), Pillow.Resampling.BILINEAR))
    assert np.abs(found.astype(int) - expected).mean() < 2


def test_turned_as_the_camera_noted() -> None:
    values = np.zeros((6, 10, 3), np.uint8)
    values[0, 0] = 255
    for orientation, corner in {1: (0, 0), 3: (5, 9), 6: (0, 5), 8: (9, 0), 2: (0, 9)}.items():
        exif = Pillow.Exif()
        exif[0x0112] = orientation
        size = (6, 10) if orientation < 5 else (10, 6)
        found = made(*size).encode(row(Pillow.fromarray(values), exif=exif))
        assert [tuple(place) for place in np.argwhere(found[:, :, 0])] == [corner]


def test_transparency_is_laid_on_white() -> None:
    red = (255, 0, 0)
    half = Pillow.new("RGBA", (4, 4), (*red, 128))
    np.testing.assert_allclose(made(4, 4).encode(row(half))[0, 0], [255, 127, 127], atol=1)
    clear = Pillow.new("LA", (4, 4), (0, 0))
    assert (made(4, 4, 1).encode(row(clear)) == 255).all()
    palette = Pillow.new("P", (4, 4), 1)
    palette.putpalette([0, 0, 0, *red])
    np.testing.assert_array_equal(made(4, 4).encode(row(palette, "GIF"))[0, 0], red)
    assert (made(4, 4).encode(row(palette, "PNG", transparency=1)) == 255).all()


@pytest.mark.parametrize(
    ("picture", "kind", "expected"),
    [
        (Pillow.new("1", (4, 4), 1), "PNG", 255),
        (Pillow.new("L", (4, 4), 77), "PNG", 77),
        (Pillow.fromarray(np.full((4, 4), 40_000, np.uint16)), "PNG", 40_000 // 257),
        (Pillow.new("CMYK", (4, 4), (0, 0, 0, 100)), "TIFF", 155),
    ],
)
def test_every_mode(picture, kind, expected) -> None:
    np.testing.assert_allclose(made(4, 4, 1).encode(row(picture, kind)), expected, atol=1)
    np.testing.assert_allclose(made(4, 4, 3).encode(row(picture, kind)), expected, atol=1)


def test_the_first_frame_of_an_animation() -> None:
    frames = [Pillow.new("L", (5, 5), value) for value in (10, 200)]
    file = row(frames[0], "GIF", save_all=True, append_images=frames[1:])
    assert (made(5, 5, 1).encode(file) == 10).all()


def bomb() -> bytes:
    """Return a PNG of 60 bytes that says it is 50,000 pixels square."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return (
            struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        )

    header = struct.pack(">IIBBBBB", 50_000, 50_000, 8, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", b"") + chunk(b"IEND", b"")


def cut(kind: str) -> bytes:
    content = row(Pillow.fromarray(pixels(50, 50)), kind)[0].read()
    return content[: len(content) // 2]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"this is no picture", "no picture can be decoded from it; expected PNG"),
        (b"", "there are no bytes in it"),
        (cut("PNG"), "no picture can be decoded from it (image file is truncated"),
        (cut("JPEG"), "no picture can be decoded from it (image file is truncated"),
        (bomb(), "the picture is too large"),
        ("gone.png", "there is no such file"),
    ],
)
def test_what_cannot_be_used_says_so(tmp_path, capfd, recwarn, content, message) -> None:
    with pytest.raises(BadCellError) as caught:
        made(8, 8).encode((source(content, tmp_path),))
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)
    assert capfd.readouterr() == ("", "")
    assert not recwarn.list


def test_large_by_its_header() -> None:
    wide = row(Pillow.new("1", (11_000, 10_000)))
    with pytest.raises(BadCellError, match="11,000 x 10,000 pixels, more than 100,000,000 in all"):
        made(8, 8).encode(wide)


@given(
    st.sampled_from(["PNG", "JPEG", "GIF", "TIFF", "BMP", "WEBP"]),
    st.randoms(use_true_random=False),
)
@settings(
    max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_damage_is_a_picture_or_said(tmp_path, capfd, kind, random) -> None:
    values = np.random.default_rng(random.randrange(99)).integers(0, 255, (9, 9, 3), np.uint8)
    content = bytearray(row(Pillow.fromarray(values), kind)[0].read())
    content = content[: random.randrange(1, len(content) + 1)]
    for _ in range(random.randrange(20)):
        content[random.randrange(len(content))] = random.randrange(256)
    message = ""
    try:
        found = made(8, 6).encode((source(bytes(content), tmp_path),))
        assert (found.shape, found.dtype) == ((8, 6, 3), np.uint8)
    except BadCellError as error:
        message = str(error)
    assert "\n" not in message
    assert capfd.readouterr() == ("", "")


def test_learnt_from_options_and_back_through_json() -> None:
    image = Image.learn(("file",), [], options(picture_size="48x64", color="gray"))
    assert image == made(48, 64, 1)
    assert Image.from_dict(json.loads(json.dumps(image.as_dict()))) == image
    assert (image.summary(), made(8, 8).summary()) == ("48 x 64 pixels, gray", "8 x 8 pixels, rgb")
    assert len({made(8, 8).key(), made(8, 9).key(), made(8, 8, 1).key()}) == 3
    assert made(8, 8).key() == Image(("other",), (8, 8), 3).key()
    with pytest.raises(InputError, match="image:a,b: expected one column"):
        Image.learn(("a", "b"), [], options())


def test_shown_as_the_network_sees_it() -> None:
    values = pixels(28, 30)
    shown = made(28, 30).show(row(Pillow.fromarray(values)), values[None])
    assert (shown["kind"], shown["column"], shown["name"]) == ("image", "file", "a.png")
    np.testing.assert_array_equal(decoded(shown["png"])[::4, ::4], values)
    assert decoded(shown["png"]).shape == (112, 120, 3)
    assert decoded(png(pixels(100, 200, 1))).shape == (100, 200)


def test_the_encoder_beside_torch() -> None:
    torch.manual_seed(2)
    mean, deviation = (0.1, 0.2, 0.3), (0.5, 0.25, 2.0)
    encoder = PictureEncoder(12, 9, 3, 8, 5, mean, deviation).double()
    x = torch.rand(3, 3, 12, 9, dtype=torch.float64)
    weights = dict(encoder.named_parameters())
    standard = torch.stack([(x[:, c] - mean[c]) / deviation[c] for c in range(3)], dim=1)
    first = F.conv2d(standard, weights["blocks.0.weight"], padding=1)
    first = F.group_norm(first, 1, weights["blocks.1.weight"], weights["blocks.1.bias"])
    first = F.max_pool2d(F.relu(first), 2)
    second = F.conv2d(first, weights["blocks.4.weight"], padding=1)
    second = F.group_norm(second, 2, weights["blocks.5.weight"], weights["blocks.5.bias"])
    second = F.max_pool2d(F.relu(second), (2, 1))
    assert second.shape == (3, 16, 3, 4)
    seen = torch.cat([second.flatten(1), second.flatten(2).max(2).values], dim=1)
    expected = F.relu(F.linear(seen, weights["head.weight"], weights["head.bias"]))
    # The scale was given in float32.
    torch.testing.assert_close(encoder(x), expected, rtol=1e-6, atol=1e-6)


def test_the_scale_is_that_of_the_pictures_that_can_be_read() -> None:
    pictures = [np.full((2, 2, 1), 51, np.uint8), np.full((2, 2, 1), 153, np.uint8)]

    def encode(cells):
        if cells[0] is None:
            raise BadCellError("no picture")
        return pictures[cells[0]]

    scale = PictureScale.learn(encode, [(0,), (None,), (1,)])
    assert scale.mean == pytest.approx((0.4,))  # of 0.2 and 0.6
    assert scale.deviation == pytest.approx((0.2,))
    flat = PictureScale.learn(encode, [(0,)])
    assert flat.deviation == pytest.approx((0.01,))  # a plain ground is not blown up without end
    assert PictureScale.learn(encode, [(None,)]) == PictureScale()


@given(st.integers(4, 70), st.integers(4, 70), st.sampled_from([1, 3]), st.integers(1, 12))
@settings(max_examples=25, deadline=None)
def test_the_encoder_takes_every_size(height, width, colors, channels) -> None:
    encoder = PictureEncoder(height, width, colors, channels, 7)
    assert encoder(torch.rand(2, colors, height, width)).shape == (2, 7)


def test_channels_double_up_to_sixteen_times() -> None:
    found = [m.out_channels for m in PictureEncoder(512, 8, 1, 2, 3).blocks if hasattr(m, "groups")]
    assert found == [2, 4, 8, 16, 32, 32, 32]


def test_every_gradient_of_the_encoder() -> None:
    encoder = PictureEncoder(8, 8, 1, channels=2, features=3).double()
    x = torch.rand(2, 1, 8, 8, dtype=torch.float64, requires_grad=True)
    names = [name for name, _ in encoder.named_parameters()]

    def answer(x, *weights):
        given = dict(zip(names, weights, strict=True))
        return torch.func.functional_call(encoder, given, (x,))

    weights = tuple(p.detach().requires_grad_() for p in encoder.parameters())
    with torch.no_grad():
        weights[names.index("head.bias")].fill_(2)  # away from where the features end
    assert torch.autograd.gradcheck(answer, (x, *weights), eps=1e-7, atol=1e-5)


def test_a_picture_depends_on_no_other() -> None:
    front = made(16, 16).front(options(picture_features=6))
    values = torch.from_numpy(pixels(16, 16)[None].repeat(3, 0))
    values[1:] = torch.from_numpy(RNG.integers(0, 256, (2, 16, 16, 3), dtype=np.uint8))
    torch.testing.assert_close(front(values, None)[:1], front(values[:1], None))
    torch.testing.assert_close(front(values, None), front(values[:, None], None))
    assert front(values, None).shape == (3, front.size) == (3, 6)


def test_moved_by_hand() -> None:
    picture = torch.arange(6).view(1, 2, 3, 1)  # 0 1 2 / 3 4 5
    none = torch.tensor([False])

    def moved(down, right, mirrored=none):
        return move(picture, torch.tensor([[down, right]]), mirrored)[0, :, :, 0].tolist()

    assert moved(0, 0) == [[0, 1, 2], [3, 4, 5]]
    assert moved(1, 0) == [[0, 1, 2], [0, 1, 2]]
    assert moved(0, 1) == [[0, 0, 1], [3, 3, 4]]
    assert moved(-1, -2) == [[5, 5, 5], [5, 5, 5]]
    assert moved(0, 0, ~none) == [[2, 1, 0], [5, 4, 3]]
    assert moved(0, 1, ~none) == [[2, 2, 1], [5, 5, 4]]


def test_moves_are_drawn_evenly_and_from_the_seed() -> None:
    device = torch.device("cpu")
    both = {"shifting": True, "mirroring": True, "device": device}
    torch.manual_seed(0)
    shifts, mirrored = draw_moves(9000, 16, 28, **both)
    assert torch.bincount(shifts[:, 0] + 2).shape == (5,)
    assert torch.bincount(shifts[:, 1] + 3).shape == (7,)
    assert (torch.bincount(shifts[:, 1] + 3) / 9000 - 1 / 7).abs().max() < 0.02
    assert abs(mirrored.float().mean() - 0.5) < 0.02
    torch.manual_seed(0)
    torch.testing.assert_close(draw_moves(9000, 16, 28, **both)[0], shifts)
    still, straight = draw_moves(9, 16, 28, shifting=False, mirroring=False, device=device)
    assert not still.any()
    assert not straight.any()


def test_pictures_are_moved_in_training_alone() -> None:
    front = made(16, 16).front(options(shifting=True, mirroring=True))
    values = torch.from_numpy(pixels(16, 16)[None].repeat(8, 0))
    trained, asked = front.train()(values, None), front.eval()(values, None)
    assert (asked - asked[:1]).abs().max() < 1e-5
    assert (trained - trained[:1]).abs().max() > 1e-3


class Own(nn.Module):
    """A user's own encoder."""

    def __init__(self, features=4) -> None:
        super().__init__()
        self.head = nn.LazyLinear(features)
        self.norm = nn.BatchNorm2d(3)
        self.seen = None

    def forward(self, x):
        self.seen = x
        return self.head(self.norm(x).flatten(1))


def test_a_module_of_your_own() -> None:
    module = Own()
    front = made(6, 7).front(options(), module)
    assert front.size == 4
    assert module.training
    assert module.norm.num_batches_tracked == 0  # by the trial
    values = torch.from_numpy(pixels(6, 7)[None])
    assert front(values, None).shape == (1, 4)
    torch.testing.assert_close(module.seen, values.permute(0, 3, 1, 2) / 255)


@pytest.mark.parametrize(
    ("module", "message"),
    [
        (nn.Identity(), r"Identity: .*answered \(2, 3, 6, 7\); expected features \(2, F\)"),
        (nn.Linear(5, 2), r"Linear: given pictures \(2, 3, 6, 7\), it raised RuntimeError"),
        (nn.LSTM(7, 2), "LSTM: given pictures"),
    ],
)
def test_a_module_that_does_not_fit(module, message) -> None:
    with pytest.raises(InputError, match=message) as caught:
        made(6, 7).front(options(), module)
    assert "\n" not in str(caught.value)


def test_without_the_extra(monkeypatch) -> None:
    file = row(Pillow.new("L", (4, 4)))
    monkeypatch.setitem(sys.modules, "PIL", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'elman\[image\]'"):
        made(4, 4).encode(file)


def test_photographs(public_data) -> None:
    folder = public_data / "flickr8k" / "images"
    for path in sorted(folder.glob("*.jpg"))[:10]:
        found = made(64, 64).encode((source(path.name, folder),))
        whole = Pillow.open(path).convert("RGB").resize((64, 64), Pillow.Resampling.BILINEAR)
        assert np.abs(found.astype(int) - np.asarray(whole)).mean() < 3
