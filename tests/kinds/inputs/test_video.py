"""Clips: which frames are read and how they look; frames encoded one by one; what is refused."""

from __future__ import annotations

import io
import json
import sys
from pathlib import Path

import av
import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from elman.config import Config
from elman.data.media import source
from elman.errors import BadCellError, InputError, MissingExtraError
from elman.kinds.inputs.video import Video, spread

RNG = np.random.default_rng(7)


def options(**given):
    return Config.parse({"inputs": "video:file", "target": "category:y"} | given, "test")


def clip(frames, codec="png", kind="mov", rotation=0) -> bytes:
    """Return a file of frames `(T, H, W, 3)`; as PNGs, without loss."""
    file = io.BytesIO()
    with av.open(file, "w", format=kind) as container:
        stream = container.add_stream(codec, rate=10)
        stream.height, stream.width = frames.shape[1:3]
        stream.pix_fmt = "rgb24" if codec == "png" else "yuv420p"
        if rotation:
            stream.set_display_rotation(rotation)
        for frame in frames:
            for packet in stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")):
                container.mux(packet)
        for packet in stream.encode():
            container.mux(packet)
    return file.getvalue()


def row(content):
    return (source({"bytes": content, "path": "a.mov"}, Path()),)


def numbered(count, height=8, width=12):
    """Return frames whose every pixel is the frame's number."""
    return (
        np.arange(count, dtype=np.uint8)[:, None, None, None]
        .repeat(height, 1)
        .repeat(width, 2)
        .repeat(3, 3)
    )


def made(frames=4, height=8, width=12, colors=3) -> Video:
    return Video(("file",), frames, (height, width), colors)


@given(st.integers(1, 500), st.integers(1, 60))
def test_spread_evenly(count, most) -> None:
    chosen = spread(count, most)
    assert len(chosen) == min(count, most)
    assert (np.diff(chosen) >= 1).all()
    assert chosen[0] >= 0
    assert chosen[-1] < count
    assert chosen[0] - (count - 1 - chosen[-1]) in (0, 1)  # as far from either end
    if len(chosen) > 1:
        assert np.ptp(np.diff(chosen)) <= 1


def test_spread_by_hand() -> None:
    assert spread(8, 4).tolist() == [1, 3, 5, 7]
    assert spread(9, 3).tolist() == [1, 4, 7]
    assert spread(3, 8).tolist() == [0, 1, 2]
    assert spread(10, 1).tolist() == [5]
    assert spread(0, 4).tolist() == []


@pytest.mark.parametrize(("count", "frames", "expected"), [(9, 3, [1, 4, 7]), (3, 8, [0, 1, 2])])
def test_frames_evenly_spaced(count, frames, expected) -> None:
    found = made(frames).encode(row(clip(numbered(count))))
    assert found.dtype == np.uint8
    assert found.shape == (len(expected), 8, 12, 3)
    assert found[:, 0, 0, 0].tolist() == expected
    assert (found == found[:, :1, :1, :1]).all()


def test_a_frame_of_the_right_size_is_itself() -> None:
    frames = RNG.integers(0, 256, (2, 8, 12, 3), dtype=np.uint8)
    np.testing.assert_array_equal(made().encode(row(clip(frames))), frames)


def test_resized_and_gray() -> None:
    frames = np.zeros((2, 40, 60, 3), np.uint8)
    frames[:, :20] = (200, 100, 50)
    small = made(height=4, width=6).encode(row(clip(frames)))
    np.testing.assert_allclose(small[:, 0].reshape(-1, 3), [[200, 100, 50]] * 12, atol=2)
    np.testing.assert_allclose(small[:, 3], 0, atol=2)
    gray = made(height=4, width=6, colors=1).encode(row(clip(frames)))
    assert gray.shape == (2, 4, 6, 1)
    luma = 0.299 * 200 + 0.587 * 100 + 0.114 * 50
    np.testing.assert_allclose(gray[:, 0], luma, atol=3)


@pytest.mark.parametrize(
    ("rotation", "corner"), [(0, (0, 0)), (90, (11, 0)), (-90, (0, 7)), (-180, (7, 11))]
)
def test_turned_as_the_camera_was_held(rotation, corner) -> None:
    frames = np.zeros((1, 8, 12, 3), np.uint8)
    frames[0, 0, 0] = 255
    size = (12, 8) if rotation in (90, -90) else (8, 12)
    content = clip(frames, rotation=rotation)
    with av.open(io.BytesIO(content)) as container:
        assert next(container.decode(video=0)).rotation == rotation
    found = made(1, *size).encode(row(content))
    assert [tuple(place) for place in np.argwhere(found[0, :, :, 0])] == [corner]


def sound() -> bytes:
    file = io.BytesIO()
    with av.open(file, "w", format="wav") as container:
        stream = container.add_stream("pcm_s16le", rate=8000)
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 800), np.int16), layout="mono")
        frame.sample_rate = 8000
        for packet in [*stream.encode(frame), *stream.encode()]:
            container.mux(packet)
    return file.getvalue()


def without_frames() -> bytes:
    file = io.BytesIO()
    with av.open(file, "w", format="avi") as container:
        stream = container.add_stream("mpeg4", rate=10)
        stream.height, stream.width = 16, 16
        stream.pix_fmt = "yuv420p"
        container.start_encoding()
    return file.getvalue()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"this is no clip", "no video can be decoded from it"),
        (b"", "there are no bytes in it"),
        (sound(), "there is no video in it"),
        (without_frames(), "no frame of it can be decoded"),
        (clip(numbered(5), "mpeg4", "mp4")[:300], "there is no video in it"),
    ],
)
def test_what_cannot_be_used_says_so(capfd, content, message) -> None:
    with pytest.raises(BadCellError) as caught:
        made().encode(row(content))
    assert message in str(caught.value)
    assert str(caught.value).startswith("a.mov: ")
    assert "\n" not in str(caught.value)
    assert capfd.readouterr() == ("", "")


@given(st.sampled_from(["mp4", "avi", "matroska"]), st.randoms(use_true_random=False))
@settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_damage_is_a_clip_or_said(capfd, kind, random) -> None:
    content = bytearray(clip(numbered(6, 16, 16), "mpeg4", kind))
    content = content[: random.randrange(1, len(content) + 1)]
    for _ in range(random.randrange(20)):
        content[random.randrange(len(content))] = random.randrange(256)
    message = ""
    try:
        found = made().encode(row(bytes(content)))
        assert found.shape[1:] == (8, 12, 3)
        assert 1 <= len(found) <= 4
    except BadCellError as error:
        message = str(error)
    assert "\n" not in message
    assert capfd.readouterr() == ("", "")


def test_learnt_from_options_and_back_through_json() -> None:
    video = Video.learn(("file",), [], options(frames=7, picture_size="16x32", color="gray"))
    assert video == made(7, 16, 32, 1)
    assert Video.from_dict(json.loads(json.dumps(video.as_dict()))) == video
    assert video.summary() == "7 frames of 16 x 32 pixels, gray"
    assert video.key() != made(8, 16, 32, 1).key()
    with pytest.raises(InputError, match="video:a,b: expected one column"):
        Video.learn(("a", "b"), [], options())


def test_shown() -> None:
    frames = numbered(20)
    shown = json.loads(json.dumps(made(20).show(row(b""), frames)))
    assert (shown["kind"], shown["column"], shown["name"]) == ("video", "file", "a.mov")
    assert len(shown["pngs"]) == 8


def padded(*lengths):
    """Return clips of some lengths, what lies past an end being noise that must not be seen."""
    return torch.from_numpy(
        RNG.integers(0, 256, (len(lengths), max(lengths), 8, 12, 3), dtype=np.uint8)
    ), torch.tensor(lengths)


def test_frames_are_encoded_one_by_one() -> None:
    front = made().front(options(picture_features=6)).eval()
    values, lengths = padded(3, 1, 4)
    x_BTF = front(values, lengths)
    assert x_BTF.shape == (3, 4, front.size) == (3, 4, 6)
    for row_number, length in enumerate(lengths.tolist()):
        expected = front.pictures.encode(values[row_number, :length])
        torch.testing.assert_close(x_BTF[row_number, :length], expected)
        assert not x_BTF[row_number, length:].any()
    torch.testing.assert_close(front(values, None)[:1], front(values[:1], None))


def test_no_padding_is_computed() -> None:
    counted = []

    class Own(torch.nn.Module):
        def forward(self, x):
            counted.append(len(x))
            return x.mean((2, 3))

    front = made().front(options(), Own())
    values, lengths = padded(2, 5)
    x_BTF = front.eval()(values, lengths)
    assert counted == [2, 7]  # the trial, then what is real
    expected = values[1].float().mean((1, 2)) / 255
    torch.testing.assert_close(x_BTF[1], expected)


def test_gradients_reach_every_parameter() -> None:
    front = made().front(options(channels=4, picture_features=5))
    values, lengths = padded(3, 2)
    weight = torch.rand(2, 3, 5)
    (front(values, lengths) * weight).sum().backward()
    found = {name: p.grad.clone() for name, p in front.named_parameters() if p.grad is not None}
    assert set(found) == {name for name, _ in front.named_parameters()}
    front.zero_grad()
    frames = torch.cat([values[0], values[1, :2]])
    flat = torch.cat([weight[0], weight[1, :2]])
    (front.pictures.encode(frames) * flat).sum().backward()
    for name, parameter in front.named_parameters():
        torch.testing.assert_close(found[name], parameter.grad, msg=name)


def test_a_clips_frames_are_moved_alike() -> None:
    front = made().front(options(shifting=True, mirroring=True)).train()
    still = torch.from_numpy(RNG.integers(0, 256, (6, 1, 8, 12, 3), dtype=np.uint8))
    x_BTF = front(still.repeat(1, 5, 1, 1, 1), torch.tensor([5] * 6))
    assert (x_BTF - x_BTF[:, :1]).abs().max() < 1e-5  # every frame of a still clip
    again = front(still.repeat(1, 5, 1, 1, 1), torch.tensor([5] * 6))
    assert (x_BTF - again).abs().max() > 1e-4


def test_without_the_extra(monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, "av", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'elman\[video\]'"):
        made().encode(row(b"x"))


def test_shapes_in_motion(public_data) -> None:
    folder = public_data / "video_shapes"
    for path in sorted(folder.rglob("*.mp4"))[::30]:
        found = made(16, 32, 32).encode((source(str(path), folder),))
        assert found.shape == (16, 32, 32, 3)
        assert (found[0] != found[8]).any()
