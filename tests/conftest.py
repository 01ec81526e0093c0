"""Shared by all tests: one thread, quiet libraries, public data where it is, small tables."""

from __future__ import annotations

import io
import os
import wave
from collections.abc import Callable
from pathlib import Path

import numpy as np
import polars as pl
import pytest

# Before torch and Keras are imported anywhere: tests run side by side on few cores.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("KERAS_BACKEND", "torch")


@pytest.fixture(autouse=True, scope="session")
def _own_cache(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Features of media are kept in a folder of this session, also by processes it starts."""
    os.environ["ELMAN_CACHE"] = str(tmp_path_factory.mktemp("features"))


@pytest.fixture(autouse=True)
def _calm_torch() -> None:
    """One thread for small tensors, and the same random numbers in every test."""
    import torch

    torch.set_num_threads(1)
    torch.manual_seed(0)


def devices() -> list[str]:
    """Every kind of device there is: a layer is tested on each."""
    import torch

    there = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    return ["cpu", *(name for name, usable in there.items() if usable)]


@pytest.fixture(params=devices())
def device(request: pytest.FixtureRequest) -> str:
    """One of the devices there are."""
    return request.param


@pytest.fixture(scope="session")
def public_data() -> Path:
    """The folder of public data sets; tests that need it skip where it is absent."""
    folder = os.environ.get("ELMAN_DATA")
    if not folder or not Path(folder).is_dir():
        pytest.skip("ELMAN_DATA names no folder of public data sets")
    return Path(folder)


@pytest.fixture
def weekly(tmp_path: Path) -> Path:
    """A table of 200 days with a week in it, a day type known ahead, and a little noise."""
    rng = np.random.default_rng(7)
    day = np.arange(200)
    rides = 1000 + 300 * np.isin(day % 7, (5, 6)) + rng.normal(0, 20, 200)
    frame = pl.DataFrame(
        {
            "date": pl.date_range(pl.date(2020, 1, 6), pl.date(2020, 7, 23), eager=True),
            "rides": rides.round(3),
            "rain": rng.uniform(0, 10, 200).round(3),
            "day_type": np.where(np.isin(day % 7, (5, 6)), "weekend", "weekday"),
        }
    )
    path = tmp_path / "weekly.csv"
    frame.write_csv(path)
    return path


def _sound(high: bool, rate: int = 8000) -> bytes:
    seconds = np.arange(rate // 5) / rate
    samples = 0.3 * np.sin(2 * np.pi * (900 if high else 300) * seconds)
    file = io.BytesIO()
    with wave.open(file, "wb") as sound:
        sound.setnchannels(1)
        sound.setsampwidth(2)
        sound.setframerate(rate)
        sound.writeframes((samples * 32767).astype("<i2").tobytes())
    return file.getvalue()


def _picture(left: bool) -> bytes:
    from PIL import Image

    pixels = np.zeros((8, 8), np.uint8)
    pixels[:, :4] = 255 * left
    pixels[:, 4:] = 255 * (not left)
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    return file.getvalue()


def _clip(rightwards: bool) -> bytes:
    import av

    file = io.BytesIO()
    with av.open(file, "w", format="mov") as container:
        stream = container.add_stream("png", rate=10)
        stream.height, stream.width, stream.pix_fmt = 8, 8, "rgb24"
        for step in range(4):
            pixels = np.zeros((8, 8, 3), np.uint8)
            pixels[:, 2 * (step if rightwards else 3 - step)] = 255
            for packet in stream.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24")):
                container.mux(packet)
        for packet in stream.encode():
            container.mux(packet)
    return file.getvalue()


@pytest.fixture(scope="session")
def make_examples() -> Callable[..., pl.DataFrame]:
    """Return examples of every kind, of two classes by turns that each kind tells apart."""

    def make(count: int = 24, seed: int = 3) -> pl.DataFrame:
        rng = np.random.default_rng(seed)
        yes = np.arange(count) % 2 == 1
        words = [
            [*rng.choice(["the", "film", "was", "rather", "dull", "Long"], rng.integers(1, 6)), end]
            for end in np.where(yes, "good", "bad")
        ]
        media = {kind: (make(False), make(True)) for kind, make in _MEDIA.items()}
        return pl.DataFrame(
            {
                "text": [" ".join(row) for row in words],
                "tags": [" ".join(word[0].upper() for word in row) for row in words],
                "caption": ["left is white" if y else "the right one" for y in yes],
                "dna": [
                    "".join(rng.choice(list("ACGT"), rng.integers(4, 9))) + ("GG" if y else "TT")
                    for y in yes
                ],
                "trace": [
                    np.sin(np.arange(6 + i % 3) * (1 + y)).tolist() for i, y in enumerate(yes)
                ],
                "number": yes + rng.normal(0, 0.1, count),
                "kind": np.where(yes, "b", "a"),
                "label": np.where(yes, "pos", "neg"),
                "labels": np.where(yes, "x;y", "x"),
                "score": np.where(yes, 1.0, -1.0),
                "part": ["train", "train", "train", "train", "valid", "valid", "test", "test"]
                * (count // 8),
            }
            | {kind: [both[int(y)] for y in yes] for kind, both in media.items()}
        )

    return make


_MEDIA = {"sound": _sound, "image": _picture, "video": _clip}


@pytest.fixture(scope="session")
def examples(make_examples, tmp_path_factory) -> Path:
    """A table of 24 examples of every kind, as Parquet."""
    path = tmp_path_factory.mktemp("examples") / "examples.parquet"
    make_examples().write_parquet(path)
    return path


@pytest.fixture(scope="session")
def options_for() -> Callable[..., dict]:
    """Return options of a tiny network for a pair of kinds."""

    def options_for(inputs, target: str, **more) -> dict:
        kinds = {
            each.partition(":")[0] for each in ([inputs] if isinstance(inputs, str) else inputs)
        }
        kinds.add(target.partition(":")[0])
        found = {"hidden": 4, "epochs": 2, "batch_size": 4, "learning_rate": 0.01, "device": "cpu"}
        if target != "next":
            found["split"] = "part"
        if kinds & {"text", "next"}:
            found |= {"embedding": 4, "min_count": 1}
        if kinds & {"image", "video"}:
            found |= {"picture_size": 8}
        if kinds & {"image", "video"} and target.partition(":")[0] != "image":
            found |= {"channels": 2, "picture_features": 4}
        if "audio" in kinds:
            found |= {"bands": 6}
        return {"inputs": inputs, "target": target} | found | more

    return options_for
