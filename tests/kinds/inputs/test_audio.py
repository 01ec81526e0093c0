"""Sound: the filters by hand, frames beside scipy's, what is learnt, what is refused."""

from __future__ import annotations

import io
import json
import sys

import numpy as np
import pytest
import scipy.fft
import scipy.signal
import soundfile
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from elman.config import Config
from elman.data.encoded import encode_rows
from elman.data.media import source
from elman.errors import BadCellError, InputError, MissingExtraError
from elman.kinds.inputs.audio import Audio, AudioFront, mel, mel_filters

RNG = np.random.default_rng(3)


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("ELMAN_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def wave(tmp_path):
    """Write a file of sound and return a row of it."""

    def write(name, samples, rate=8000, **options):
        soundfile.write(tmp_path / name, samples, rate, **options)
        return (source(name, tmp_path),)

    return write


def options(**given):
    return Config.parse({"inputs": "audio:file", "target": "category:y"} | given, "test")


def tone(hertz, seconds=0.5, rate=8000, amplitude=0.5):
    return amplitude * np.sin(2 * np.pi * hertz * np.arange(int(seconds * rate)) / rate)


def made(**given) -> Audio:
    return Audio(("file",), **{"rate": 8000, "sound": "logmel", "bands": 40} | given)  # pyright: ignore


def test_mel_by_hand() -> None:
    # 700 Hz is where log10(1 + f / 700) is log10 2; 1000 Hz is 1000 mel, as the scale was made.
    np.testing.assert_allclose(mel(700.0), 2595 * 0.30102999566398, rtol=1e-12)
    assert abs(mel(1000.0) - 1000) < 0.05


def test_filters_by_hand() -> None:
    # mel(4000) = 2146.06: edges at thirds of it, 0, 620.5 and 1,791.0 and 4,000 Hz.
    filters = mel_filters(8000, 8, 2)
    assert filters.shape == (5, 2)  # 0, 1000, 2000, 3000 and 4000 Hz
    low, high = 620.5, 1791.0
    expected = [
        [0, 0],
        [(high - 1000) / (high - low), (1000 - low) / (high - low)],
        [0, (4000 - 2000) / (4000 - high)],
        [0, (4000 - 3000) / (4000 - high)],
        [0, 0],
    ]
    np.testing.assert_allclose(filters, expected, atol=2e-4)


@given(st.integers(100, 200_000), st.integers(16, 4000), st.sampled_from([2, 13, 40, 80, 128, 512]))
@settings(max_examples=30, deadline=None)
def test_no_band_is_empty(rate, frame, bands) -> None:
    filters = mel_filters.__wrapped__(rate, frame, bands)
    points = 2 * (len(filters) - 1)
    assert points >= frame
    assert points & (points - 1) == 0
    assert filters.min() >= 0
    assert filters.max() <= 1
    assert (filters.sum(0) > 0).all()


@pytest.mark.parametrize(("frame", "hop", "rate"), [(200, 80, 8000), (401, 133, 16000)])
def test_power_beside_scipy(frame, hop, rate) -> None:
    samples = RNG.normal(0, 0.1, 5001).astype(np.float32)
    audio = made(rate=rate, frame=frame, hop=hop, bands=23)
    filters = mel_filters(rate, frame, 23)
    _, _, z_KT = scipy.signal.stft(
        samples.astype(np.float64), rate, "hann", frame, frame - hop, 2 * (len(filters) - 1),
        boundary=None, padded=False,
    )  # fmt: skip
    expected = np.log(np.maximum((np.abs(z_KT) ** 2).T @ filters, 1e-10))
    found = audio._features(samples)
    assert found.shape == (1 + (5001 - frame) // hop, 23)
    np.testing.assert_allclose(found, expected, atol=2e-4)


def test_cepstrum_beside_scipy(wave) -> None:
    row = wave("a.wav", RNG.normal(0, 0.1, 4000))
    logmel = made(frame=200, hop=80).encode(row)
    cepstrum = made(frame=200, hop=80, sound="mfcc", bands=13).encode(row)
    expected = scipy.fft.dct(logmel.astype(np.float64), axis=1, norm="ortho")[:, :13]
    np.testing.assert_allclose(cepstrum, expected, atol=2e-4)
    wide = made(frame=200, hop=80, sound="mfcc", bands=64).encode(row)
    assert wide.shape[1] == 64


@pytest.mark.parametrize("hertz", [300, 1000, 2345, 3700])
def test_a_tone_is_in_its_band(wave, hertz) -> None:
    frames = made(frame=200, hop=80).encode(wave("tone.wav", tone(hertz)))
    centres = 700 * (10 ** (np.linspace(0, mel(4000), 42)[1:-1] / 2595) - 1)
    assert set(frames.argmax(1)) == {int(np.abs(centres - hertz).argmin())}


def test_a_tone_has_its_power(wave) -> None:
    # At a point of the transform and the top of a triangle, amplitude^2 / 4 = 0.0625; two points
    # beside it hold a quarter each, weighed by the triangle's slopes.
    rate, frame, bands = 8000, 256, 40
    filters = mel_filters(rate, frame, bands)
    k = 32
    frames = made(frame=frame, hop=128).encode(wave("t.wav", tone(k * rate / frame)))
    power = 0.0625 * (filters[k] + (filters[k - 1] + filters[k + 1]) / 4)
    band = power.argmax()
    np.testing.assert_allclose(np.exp(frames[:, band]), power[band], rtol=1e-3)


def test_short_silent_and_stereo(wave) -> None:
    audio = made(frame=200, hop=80)
    short = RNG.normal(0, 0.1, 77)
    padded = np.pad(short, (0, 123))
    assert audio.encode(wave("short.wav", short)).shape == (1, 40)
    np.testing.assert_array_equal(
        audio.encode(wave("a.wav", short)), audio.encode(wave("b.wav", padded))
    )
    assert audio.encode(wave("one.wav", [0.5])).shape == (1, 40)
    silent = audio.encode(wave("silent.wav", np.zeros(1000)))
    np.testing.assert_allclose(silent, np.log(1e-10), rtol=1e-6)
    left, right = RNG.normal(0, 0.1, (2, 900))
    stereo = wave("st.wav", np.stack([left, right], 1), subtype="FLOAT")
    mono = wave("m.wav", (left + right) / 2, subtype="FLOAT")
    np.testing.assert_allclose(audio.encode(stereo), audio.encode(mono), atol=1e-4)


@pytest.mark.parametrize("name", ["a.wav", "a.flac", "a.ogg", "a.mp3"])
def test_formats_and_bytes(wave, tmp_path, name) -> None:
    audio = made(frame=200, hop=80)
    row = wave(name, tone(1000))
    frames = audio.encode(row)
    assert frames.argmax(1).tolist().count(18) > 0.8 * len(frames)
    content = {"bytes": (tmp_path / name).read_bytes(), "path": name}
    np.testing.assert_array_equal(audio.encode((source(content, tmp_path),)), frames)


def test_resampled_beside_scipy(wave) -> None:
    samples = tone(500, rate=11025, seconds=0.3)
    found = made(frame=200, hop=80)._samples(wave("a.wav", samples, 11025, subtype="FLOAT")[0])
    expected = scipy.signal.resample_poly(samples, 320, 441)
    np.testing.assert_allclose(found, expected, atol=1e-6)
    inner = slice(100, -100)
    np.testing.assert_allclose(found[inner], tone(500, seconds=0.3)[: len(found)][inner], atol=0.01)


def test_the_most_frequent_rate_is_learnt_and_told(wave) -> None:
    rows = [
        wave(f"{n}.wav", tone(500, rate=rate), rate) for n, rate in enumerate([8000, 16000] * 2)
    ]
    rows.append(wave("last.wav", tone(500, rate=16000), 16000))
    audio = Audio.learn(("file",), rows, options())
    assert (audio.rate, audio.frame, audio.hop, audio.bands) == (16000, 400, 160, 40)
    assert audio.notes == (
        "column 'file': of the training rows, 3 at 16,000 Hz, 2 at 8,000 Hz; all sound is "
        "resampled to 16,000 Hz",
    )
    assert audio.encode(rows[0]).argmax(1)[2] == audio.encode(rows[1]).argmax(1)[2]
    assert Audio.learn(("file",), rows[:1], options()).notes == ()
    assert Audio.learn(("file",), rows[:1], options(sample_rate=4000)).rate == 4000


def test_scales_are_those_of_the_training_rows(wave) -> None:
    rows = [wave(f"{n}.wav", RNG.normal(0, 0.1, 2000 + n)) for n in range(5)]
    audio = Audio.learn(("file",), rows, options(frame_ms=20, hop_ms=10, bands=7))
    frames = np.concatenate([audio.encode(row) for row in rows]).astype(np.float64)
    np.testing.assert_allclose(audio.mean, frames.mean(0), rtol=1e-6)
    np.testing.assert_allclose(audio.deviation, frames.std(0), rtol=1e-6)
    scaled = audio.front(options()).eval()(torch.from_numpy(audio.encode(rows[0]))[None], None)
    expected = (audio.encode(rows[0]) - frames.mean(0)) / frames.std(0)
    np.testing.assert_allclose(scaled[0].numpy(), expected, atol=1e-5)
    # What never moves stays finite.
    still = Audio.learn(("file",), [wave("s.wav", np.zeros(900))], options())
    assert set(still.deviation) == {1.0}


def test_features_are_kept_from_learning_on(wave, monkeypatch) -> None:
    rows = [wave(f"{n}.wav", RNG.normal(0, 0.1, 1500)) for n in range(4)]
    audio = Audio.learn(("file",), rows[:3], options())
    decoded = []
    encode = Audio.encode
    monkeypatch.setattr(
        Audio, "encode", lambda self, cells: decoded.append(cells[0].name) or encode(self, cells)
    )
    encode_rows(audio.encode, rows, 4, key=audio.key())
    assert decoded == ["3.wav"]
    assert Audio.learn(("file",), rows[1:], options()).key() == audio.key()  # another fold
    assert Audio.learn(("file",), rows, options(bands=20)).key() != audio.key()
    encode_rows(audio.encode, rows, 4, key=audio.key())
    assert len(decoded) == 1 + 4  # the other number of bands


def test_there_and_back_through_json(wave) -> None:
    row = wave("a.wav", RNG.normal(0, 0.1, 3000))
    audio = Audio.learn(("file",), [row], options(sound="mfcc", bands=13))
    again = Audio.from_dict(json.loads(json.dumps(audio.as_dict())))
    assert again == audio
    np.testing.assert_array_equal(again.encode(row), audio.encode(row))
    assert audio.summary() == "13 cepstral coefficients of 25 ms every 10 ms at 8,000 Hz"


def test_shown(wave) -> None:
    row = wave("a.wav", tone(440, seconds=3, amplitude=0.25))
    audio = Audio.learn(("file",), [row], options())
    shown = json.loads(json.dumps(audio.show(row, audio.encode(row))))
    assert {key: shown[key] for key in ("kind", "column", "name", "seconds", "rate")} == {
        "kind": "audio", "column": "file", "name": "a.wav", "seconds": 3.0, "rate": 8000,
    }  # fmt: skip
    assert np.array(shown["wave"]).shape == (400, 2)
    assert np.array(shown["wave"]).min() == -0.25
    assert np.array(shown["frames"]).shape == (200, 40)


def broken(kind, tmp_path):
    """Return the bytes of a file that is damaged in some way."""
    file = io.BytesIO()
    soundfile.write(file, tone(700), 8000, format=kind)
    content = bytearray(file.getvalue())
    content[len(content) // 3 :: 7] = bytes(len(content[len(content) // 3 :: 7]))
    return bytes(content)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"this is no sound", "no sound can be decoded from it (Format not recognised)"),
        (b"", "there are no bytes in it"),
        ("none.wav", "there is no sound in it (0 samples)"),
        ("nan.wav", "it holds samples that are not finite numbers"),
        ("FLAC", "no sound can be decoded from it"),
    ],
)
def test_what_cannot_be_used_says_so(wave, tmp_path, capfd, content, message) -> None:
    wave("none.wav", np.zeros(0))
    wave("nan.wav", np.array([0, np.nan, 1]), subtype="FLOAT")
    cell = broken(content, tmp_path) if content == "FLAC" else content
    with pytest.raises(BadCellError) as caught:
        made(frame=200, hop=80).encode((source(cell, tmp_path),))
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)
    assert capfd.readouterr() == ("", "")


@given(st.sampled_from(["WAV", "FLAC", "OGG", "MP3"]), st.randoms(use_true_random=False))
@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_damage_is_sound_or_said(tmp_path, capfd, kind, random) -> None:
    file = io.BytesIO()
    soundfile.write(file, tone(700, seconds=0.2), 8000, format=kind)
    content = bytearray(file.getvalue())[: random.randrange(1, len(file.getvalue()) + 1)]
    for _ in range(random.randrange(40)):
        content[random.randrange(len(content))] = random.randrange(256)
    message = ""
    try:
        frames = made(frame=200, hop=80).encode((source(bytes(content), tmp_path),))
        assert np.isfinite(frames).all()
        assert len(frames) >= 1
    except BadCellError as error:
        message = str(error)
    assert "\n" not in message
    assert capfd.readouterr() == ("", "")


def test_a_header_that_promises_more_than_memory(tmp_path) -> None:
    file = io.BytesIO()
    soundfile.write(file, tone(700), 8000, format="FLAC")
    content = bytearray(file.getvalue())
    content[21:26] = bytes([0xFF] * 5)  # 36 bits of total samples
    with pytest.raises(BadCellError):
        made(frame=200, hop=80).encode((source(bytes(content), tmp_path),))


@pytest.mark.parametrize(
    ("columns", "given", "message"),
    [
        (("a", "b"), {}, "audio:a,b: expected one column"),
        (("a",), {"frame_ms": 0.5}, "4 and 80 samples at 8,000 Hz; expected at least 16 and 1"),
        (("a",), {"hop_ms": 0.05}, "200 and 0 samples"),
    ],
)
def test_options_that_cannot_be_used(wave, columns, given, message) -> None:
    with pytest.raises(InputError, match=message):
        Audio.learn(columns, [wave("a.wav", tone(500))], options(**given))


def test_no_training_row_can_be_read(tmp_path, wave) -> None:
    gone = (source("gone.wav", tmp_path),)
    with pytest.raises(InputError, match=r"no training row has sound.*gone.wav: there is no"):
        Audio.learn(("file",), [gone], options())
    with pytest.raises(InputError, match="no training row"):
        Audio.learn(("file",), [], options())
    # One that cannot is left to be told with its row.
    assert Audio.learn(("file",), [gone, wave("a.wav", tone(500))], options()).rate == 8000
    with pytest.raises(InputError, match="can be decoded"):
        Audio.learn(("file",), [wave("empty.wav", np.zeros(0))], options())


@pytest.mark.parametrize("module", ["soundfile", "scipy.signal"])
def test_without_the_extra(wave, monkeypatch, module) -> None:
    row = wave("a.wav", tone(500, rate=16000), 16000)
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(MissingExtraError, match=r"pip install 'elman\[audio\]'"):
        made(frame=200, hop=80).encode(row)


def test_masks_lie_within_lengths() -> None:
    front = AudioFront([0.0] * 20, [1.0] * 20, masking=True)
    lengths = torch.tensor([50, 7, 1] * 80)
    values = torch.ones(240, 50, 20)
    for row, length in enumerate(lengths.tolist()):
        values[row, length:] = 5
    masked = front.train()(values, lengths)
    blank_BTI = masked == 0
    share = {50: [], 7: [], 1: []}
    for row, length in enumerate(lengths.tolist()):
        real = blank_BTI[row, :length]
        bands = real.all(0) if length > 1 else real[0]
        steps = real.all(1)
        assert (real == (bands[None] | steps[:, None])).all()
        assert bands.sum() <= 8
        assert steps.sum() <= 2 * (length // 5) or length == 1
        share[length].append(real.float().mean().item())
    assert blank_BTI[:, 8:, :][lengths == 7].float().mean() <= np.mean(share[7]) + 0.05
    # Two runs of up to a fifth: somewhat less than a fifth of bands, and of steps.
    assert 0.25 < np.mean(share[50]) < 0.38
    assert 0.1 < np.mean(share[1]) < 0.22
    assert (front.eval()(values, lengths) == values).all()
    again = [torch.manual_seed(1), front.train()(values, lengths), torch.manual_seed(1)]
    torch.testing.assert_close(again[1], front(values, lengths))


def test_gradients_reach_what_was_read() -> None:
    front = AudioFront([1.0, 2.0], [4.0, 0.5])
    x = torch.randn(2, 3, 2, requires_grad=True)
    front(x, None).sum().backward()
    torch.testing.assert_close(x.grad, torch.tensor([0.25, 2.0]).expand(2, 3, 2))
    assert list(front.state_dict()) == ["mean_I", "deviation_I"]
    assert not list(front.parameters())


def test_spoken_digits(public_data) -> None:
    folder = public_data / "spoken_digits" / "recordings"
    rows = [(source(path.name, folder),) for path in sorted(folder.glob("*.wav"))[:20]]
    audio = Audio.learn(("file",), rows, options())
    assert (audio.rate, audio.notes) == (8000, ())
    for row in rows:
        assert np.isfinite(audio.encode(row)).all()
