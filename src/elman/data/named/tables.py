"""What becomes of the files of a data set: one table each, with the columns users name.

Each function takes the files by name and returns the table; its column `split`, where the set has
an official split, says train, valid or test.
"""

from __future__ import annotations

import csv
import io
import itertools
import re
import struct
import zlib
from collections.abc import Iterator
from pathlib import PurePosixPath

import numpy as np
import polars as pl

from elman.data.named.sources import Contents
from elman.data.synthetic import adding_problem, copy_memory, mackey_glass, permutation

_DIGITS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
_MOTIONS = {
    "circular": "in a circle",
    "horizontal": "from side to side",
    "vertical": "up and down",
}
_BLANK, _DELIMITER = "_", ">"
_SYMBOLS = np.array([*"abcdefgh", _BLANK, _DELIMITER])
_SPLITS = {"train": "train", "val": "valid", "valid": "valid", "dev": "valid", "test": "test"}


def goog(_: Contents) -> pl.DataFrame:
    """Google's share prices, which come with matplotlib."""
    import matplotlib

    with np.load(f"{matplotlib.get_data_path()}/sample_data/goog.npz") as archive:
        prices = archive["price_data"]
    return pl.DataFrame({field: prices[field] for field in prices.dtype.names})


def chaos(_: Contents) -> pl.DataFrame:
    """The Mackey-Glass series, from its equation."""
    return pl.DataFrame({"x": mackey_glass(3000)})


def adding(_: Contents, *, num_steps: int) -> pl.DataFrame:
    """The adding problem: a row's values and markers, and the sum of the values marked."""
    split = _shares(train=20_000, valid=1000, test=2000)
    value_RT, marker_RT, sum_R = adding_problem(len(split), num_steps, seed=num_steps)
    return pl.DataFrame(
        {"value": _lists(value_RT), "marker": _lists(marker_RT), "sum": sum_R, "split": split}
    )


def copying(_: Contents, *, blanks: int) -> pl.DataFrame:
    """The copy task, symbols as the letters a to h: what is read, what is asked step by step."""
    split = _shares(train=20_000, valid=1000, test=2000)
    texts = [
        [" ".join(row) for row in _SYMBOLS[symbol_RT].tolist()]
        for symbol_RT in copy_memory(len(split), blanks, seed=blanks)
    ]
    return pl.DataFrame({"symbols": texts[0], "answer": texts[1], "split": split})


def imdb(files: Contents) -> pl.DataFrame:
    """Lines of label, number, stars and text."""
    rows = []
    for part in ("train", "test"):
        for line in _lines(files[f"{part}.tsv"]):
            label, _, stars, text = line.split("\t")
            rows.append((text, "pos" if label == "1" else "neg", int(stars), part))
    return pl.DataFrame(rows, ["text", "label", "stars", "split"], orient="row")


def imdb_lines(files: Contents) -> Contents:
    """Put reviews, files such as `train/pos/0_9.txt` (number, stars), into lines, neg first."""
    lines: dict[str, list[tuple[int, int, bytes]]] = {"train": [], "test": []}
    for name, text in files.items():
        part, label, numbers = PurePosixPath(name).with_suffix("").parts
        number, stars = numbers.split("_")
        positive = int(label == "pos")
        line = f"{positive}\t{number}\t{stars}\t".encode() + re.sub(rb"[\t\r\n]", b" ", text)
        lines[part].append((positive, int(number), line + b"\n"))
    return {
        f"{part}.tsv": b"".join(line for *_, line in sorted(found)) for part, found in lines.items()
    }


def reviews(files: Contents) -> pl.DataFrame:
    """One sentence a line, of a file for each class."""
    rows = [
        {"text": line.strip(" "), "label": label, "score": score}
        for name, label, score in (
            ("rt-polarity.neg", "negative", -1),
            ("rt-polarity.pos", "positive", 1),
        )
        for line in _lines(files[name])
    ]
    return pl.DataFrame(rows)


def spoken_digits(files: Contents) -> pl.DataFrame:
    """What names like `7_jackson_32.wav` say; the first five takes of each digit test."""
    rows = []
    for name in files:
        digit, speaker, take = PurePosixPath(name).stem.split("_")
        split = "test" if int(take) < 5 else "train"
        rows.append((f"spoken_digits/{name}", int(digit), speaker, int(take), split))
    columns = ["file", "digit", "speaker", "take", "split"]
    return pl.DataFrame(rows, columns, orient="row").sort("digit", "speaker", "take")


def splice(files: Contents) -> pl.DataFrame:
    """Lines of name, sixty nucleotides and class, after `@data`."""
    lines = iter(_lines(files["splice.arff"]))
    fields = [
        line.strip().split(",")
        for line in itertools.dropwhile(lambda line: line.strip().lower() != "@data", lines)
        if "," in line
    ]
    rows = [(name, "".join(letters), site) for name, *letters, site in fields]
    return pl.DataFrame(rows, ["name", "sequence", "site"], orient="row")


def video_shapes(files: Contents) -> pl.DataFrame:
    """What names like `circular/dark_blue_star_4.mp4` say, and a caption made of it."""
    rows = []
    for name in files:
        action, clip = PurePosixPath(name).with_suffix("").parts
        colour, shape, take = clip.rsplit("_", 2)
        caption = f"a {colour.replace('_', ' ')} {shape} moving {_MOTIONS[action]}"
        split = "test" if take == "5" else "train"
        path = f"video_shapes/{name}"
        rows.append((path, action, colour, shape, int(take), caption, split))
    columns = ["file", "action", "colour", "shape", "take", "caption", "split"]
    return pl.DataFrame(rows, columns, orient="row").sort("file")


def ud_english(files: Contents) -> pl.DataFrame:
    """Words and their universal parts of speech, of sentences in CoNLL-U."""
    rows = []
    for name, content in files.items():
        split = _SPLITS[PurePosixPath(name).stem.rsplit("-", 1)[1]]
        for sentence in content.decode().split("\n\n"):
            # Ranges (1-2) repeat words that follow, and places such as 8.1 were never written.
            fields = [line.split("\t") for line in sentence.split("\n") if line[:1].isdigit()]
            words = [(field[1], field[3]) for field in fields if field[0].isdecimal()]
            if words:
                spelled, tags = zip(*words, strict=True)
                rows.append((" ".join(spelled), " ".join(tags), split))
    return pl.DataFrame(rows, ["words", "tags", "split"], orient="row")


def flickr8k(files: Contents) -> pl.DataFrame:
    """Captions, five of each image; the last hundred images test."""
    captions = list(csv.DictReader(io.StringIO(files["captions.txt"].decode())))
    images = list(dict.fromkeys(row["image"] for row in captions))
    test = set(images[-100:])
    rows = [
        (
            f"flickr8k/images/{row['image']}",
            row["caption"],
            "test" if row["image"] in test else "train",
        )
        for row in captions
    ]
    return pl.DataFrame(rows, ["image", "caption", "split"], orient="row")


def mnist(files: Contents) -> pl.DataFrame:
    """Handwritten digits as PNG, each with its digit and its English name."""
    parts = []
    for prefix, split in (("train", "train"), ("t10k", "test")):
        digits = _idx(files[f"{prefix}-labels-idx1-ubyte"])
        images = _idx(files[f"{prefix}-images-idx3-ubyte"])
        parts.append(
            pl.DataFrame(
                {
                    "image": [_png(image) for image in images],
                    "digit": digits.astype(np.int64),
                    "name": [_DIGITS[digit] for digit in digits],
                    "split": [split] * len(digits),
                }
            )
        )
    return pl.concat(parts)


def mnist_pixels(files: Contents, *, seed: int | None = None) -> pl.DataFrame:
    """Handwritten digits as their pixels, row by row from the top, or permuted all alike."""
    parts = []
    for prefix, split in (("train", "train"), ("t10k", "test")):
        digits = _idx(files[f"{prefix}-labels-idx1-ubyte"])
        images = _idx(files[f"{prefix}-images-idx3-ubyte"])
        pixel_RT = images.reshape(len(images), -1)
        if seed is not None:
            pixel_RT = pixel_RT[:, permutation(pixel_RT.shape[1], seed=seed)]
        parts.append(
            pl.DataFrame(
                {
                    "pixels": _lists(pixel_RT),
                    "digit": digits.astype(np.int64),
                    "split": [split] * len(digits),
                }
            )
        )
    return pl.concat(parts)


def multi30k(files: Contents) -> pl.DataFrame:
    """Pairs of lines, English and German."""
    parts = [
        pl.DataFrame(
            {
                "en": _lines(files[f"{name}.en"]),
                "de": _lines(files[f"{name}.de"]),
                "split": _SPLITS[name.partition("_")[0]],
            }
        )
        for name in ("train", "val", "test_2016_flickr")
    ]
    return pl.concat(parts)


def ptb(files: Contents) -> pl.DataFrame:
    """Lines without the spaces at their ends; the end of a line plays `<eos>`."""
    parts = [
        pl.DataFrame({"text": [line.strip(" ") for line in _lines(files[name])], "split": split})
        for name, split in (
            ("ptb.train.txt", "train"),
            ("ptb.valid.txt", "valid"),
            ("ptb.test.txt", "test"),
        )
    ]
    return pl.concat(parts)


def _shares(**rows: int) -> list[str]:
    return [part for part, number in rows.items() for _ in range(number)]


def _lists(values_RT: np.ndarray) -> pl.Series:
    """Return rows as a column of lists."""
    column = pl.Series(np.ascontiguousarray(values_RT))
    return column.arr.to_list()


def _lines(content: bytes) -> list[str]:
    """Return a file's lines; not by splitlines(), which also ends them at marks of the text."""
    return content.decode().removesuffix("\n").split("\n")


def _idx(content: bytes) -> np.ndarray:
    """Return the array of bytes that a file in MNIST's format holds."""
    dimensions = content[3]
    shape = struct.unpack_from(f">{dimensions}I", content, 4)
    return np.frombuffer(content, np.uint8, offset=4 + 4 * dimensions).reshape(shape)


def _png(image: np.ndarray) -> bytes:
    """Return a grey image as PNG, the pixels stored as they are: the same bytes everywhere."""
    height, width = image.shape
    rows = np.concatenate([np.zeros((height, 1), np.uint8), image], axis=1).tobytes()

    def chunks() -> Iterator[bytes]:
        yield b"IHDR" + struct.pack(">2I5B", width, height, 8, 0, 0, 0, 0)
        yield b"IDAT" + zlib.compress(rows, 0)
        yield b"IEND"

    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(chunk) - 4) + chunk + struct.pack(">I", zlib.crc32(chunk))
        for chunk in chunks()
    )
