"""The options of kinds of input: how text, sound, letters of DNA and pictures become numbers."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AfterValidator, BeforeValidator

from elman.options import Options, option


def _pair(value: object) -> object:
    """Return what `64` or `64x48` says, as height and width."""
    if isinstance(value, int):
        return (value, value)
    if isinstance(value, str):
        parts = value.lower().split("x")
        return tuple(parts * 2 if len(parts) == 1 else parts)
    return value


def _sizes(value: tuple[int, ...]) -> tuple[int, ...]:
    if len(value) != 2 or not all(4 <= side <= 2048 for side in value):
        raise ValueError("expected HEIGHTxWIDTH, each from 4 to 2048, such as 64x64")
    return value


class VocabularyOptions(Options):
    """Text, read or written."""

    level: Literal["word", "character", "byte", "subword"] = option(
        "word",
        "What a step of text is: a word (or punctuation mark), a character, a byte, or a subword "
        "(sentencepiece, learnt from the training rows; extra `text`).",
    )
    lowercase: bool = option(False, "Read text in lower case.")
    split_words: Literal["punctuation", "spaces"] = option(
        "punctuation",
        "Where words end: punctuation marks are words of their own, or at spaces alone (text that "
        "is tokenised already; always so for tags).",
    )
    vocabulary: int = option(
        20_000, "Most words, characters or subwords known; the rest is unknown.", ge=4, le=1_000_000
    )
    min_count: int = option(2, "Least occurrences of a known word in the training rows.", ge=1)
    embedding: int = option(128, "Size of the vector of a word, character or subword.", ge=1)
    embedding_dropout: float = option(
        0.0,
        "Share of the features of word vectors dropped in training, the same ones at all steps of "
        "a row (variational: Gal & Ghahramani 2016); whole words go by word_dropout.",
        ge=0,
        lt=1,
    )


class TextOptions(Options):
    """Text that is read."""

    max_length: int | None = option(
        None, "Steps of an input read at most: of a longer one the beginning and the end.", ge=1
    )
    spelling: bool = option(
        False, "Also read each word letter by letter, by a small recurrent network."
    )
    word_dropout: float = option(
        0.0, "Share of an input's words read as unknown in training.", ge=0, lt=1
    )


class AudioOptions(Options):
    """Audio."""

    sample_rate: int | None = option(
        None, "Hertz to resample to; if not given, that of most files.", ge=100, le=1_000_000
    )
    sound: Literal["logmel", "mfcc"] = option("logmel", "Features of a frame of sound.")
    bands: int = option(40, "Mel bands (or cepstral coefficients) of a frame.", ge=2, le=512)
    frame_ms: float = option(25.0, "Length of a frame of sound, in milliseconds.", gt=0, le=10_000)
    hop_ms: float = option(10.0, "From one frame to the next, in milliseconds.", gt=0, le=10_000)
    spectrum_masking: bool = option(
        False, "In training, blank random bands and stretches (SpecAugment, Park 2019)."
    )


class DnaOptions(Options):
    """DNA."""

    kmer: int = option(1, "Letters read at a step.", ge=1, le=8)
    kmer_step: int = option(1, "Letters from one k-mer to the next.", ge=1, le=8)
    reverse_complement: bool = option(
        False, "In training, read a random half of the sequences on the other strand."
    )


class PictureOptions(Options):
    """Images and video."""

    picture_size: Annotated[tuple[int, ...], BeforeValidator(_pair), AfterValidator(_sizes)] = (
        option((64, 64), "Height and width that pictures and frames are resized to: 64, or 48x64.")
    )
    color: Literal["rgb", "gray"] = option("rgb", "Channels of pictures and frames.")
    frames: int = option(16, "Frames read of a clip, evenly spaced.", ge=1, le=10_000)
    channels: int = option(
        16,
        "Channels of the first convolution of a picture; each further one has twice as many, up to "
        "16 times.",
        ge=1,
        le=1024,
    )
    picture_features: int = option(128, "Features of a picture or frame.", ge=1, le=65_536)
    shifting: bool = option(False, "In training, move pictures by a random eighth of their size.")
    mirroring: bool = option(False, "In training, mirror a random half of the pictures.")
