"""Vocabularies: text as numbers and back, by words, characters, bytes or subwords.

The ids of every vocabulary begin with UNKNOWN, START and END. A vocabulary is learnt from the
training rows alone, and kept with the model.
"""

from __future__ import annotations

import base64
import io
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar

import numpy as np

from elman.data.findings import count
from elman.errors import InputError, MissingExtraError, unknown
from elman.kinds.words import join_words, split_words

UNKNOWN, START, END = 0, 1, 2
UNKNOWN_TEXT = "⁇"
_SPECIAL = (UNKNOWN_TEXT, "<s>", "</s>")
_FIRST = len(_SPECIAL)  # id of a vocabulary's first own entry

Words = Sequence[str]
"""Text that is split into words already."""


@dataclass(frozen=True)
class Vocabulary(ABC):
    """What is known of a kind of text; immutable.

    Attributes:
        level: what an id stands for: "word", "character", "byte" or "subword".
        lowercase: whether text is read in lower case.
    """

    level: ClassVar[str]
    lowercase: bool

    @staticmethod
    def learn(
        texts: Iterable[str | Words],
        *,
        level: str,
        size: int,
        min_count: int = 1,
        lowercase: bool = False,
        split_words: str = "punctuation",
        lines: bool = False,
    ) -> Vocabulary:
        r"""Learn from training texts: the most frequent, those first that come first in order.

        Args:
            texts: gone through once; of words, a text may be a sequence of words.
            level: word, character, byte or subword.
            size: most entries, the three special ones apart. Bytes are always all 256.
            min_count: least occurrences of a word; other levels know whatever occurs.
            lowercase: read text in lower case.
            split_words: words end at "punctuation", or at "spaces" alone.
            lines: whether the end of a line is a word, "\n". The other levels keep it anyway.

        Raises:
            InputError: there is nothing to learn from, or the level is not known.
            MissingExtraError: subwords need sentencepiece, and it is not installed.
        """
        if level == "word":
            return _learn_words(texts, size, min_count, lowercase, split_words, lines)
        plain = (str(text).lower() if lowercase else str(text) for text in texts)
        if level == "character":
            return _learn_characters(plain, size, lowercase)
        if level == "subword":
            return SubwordVocabulary(lowercase, _train_subwords(plain, size))
        if level == "byte":
            return ByteVocabulary(lowercase)
        raise unknown("level", level, _LEVELS)

    @abstractmethod
    def __len__(self) -> int:
        """Return how many ids there are, the special ones included."""

    @abstractmethod
    def _split(self, text: Any) -> list[str]:
        """Return the tokens of a text that is in lower case if it is to be."""

    @abstractmethod
    def _encode(self, text: Any) -> np.ndarray:
        """Return the ids of a text that is in lower case if it is to be."""

    @abstractmethod
    def _entries(self, ids: list[int]) -> list[str]:
        """Return the tokens of ids that are not special ones, for display."""

    @abstractmethod
    def _join(self, ids: list[int]) -> str:
        """Return the text of ids, START and END not among them."""

    def split(self, text: str | Words) -> list[str]:
        """Return a text's tokens, one for each id of `encode`, as they are looked up."""
        return self._split(self._lowered(text))

    def encode(self, text: str | Words) -> np.ndarray:
        """Return a text's ids, `(T,)` int32; what is not known is UNKNOWN."""
        return self._encode(self._lowered(text))

    def tokens(self, ids: np.ndarray | Sequence[int]) -> list[str]:
        """Return what each id stands for; UNKNOWN is `⁇`, START and END `<s>` and `</s>`."""
        listed = [int(i) for i in ids]
        entries = iter(self._entries([i for i in listed if i >= _FIRST]))
        return [_SPECIAL[i] if i < _FIRST else next(entries) for i in listed]

    def decode(self, ids: np.ndarray | Sequence[int]) -> str:
        """Return the text that ids stand for, up to the first END; START is left out."""
        listed = [int(i) for i in ids]
        if END in listed:
            listed = listed[: listed.index(END)]
        return self._join([i for i in listed if i != START])

    def as_dict(self) -> dict[str, Any]:
        """Return what `from_dict` takes, ready for JSON."""
        fields = {k: list(v) if isinstance(v, tuple) else v for k, v in self._fields().items()}
        return {"level": self.level} | fields

    @staticmethod
    def from_dict(data: Mapping[str, Any]) -> Vocabulary:
        """Return the vocabulary that `as_dict` described."""
        fields = {k: tuple(v) if isinstance(v, list) else v for k, v in data.items()}
        del fields["level"]
        return _LEVELS[data["level"]](**fields)

    def _lowered(self, text: str | Words) -> str | Words:
        if not self.lowercase:
            return text
        return text.lower() if isinstance(text, str) else [word.lower() for word in text]

    def _fields(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in self.__dataclass_fields__}

    def summary(self) -> str:
        """Return its size in a few words: `12,043 words`."""
        return count(len(self) - _FIRST, self.level)


@dataclass(frozen=True)
class WordVocabulary(Vocabulary):
    """Words, the most frequent first.

    Attributes:
        entries: the words known.
        split_words: words end at "punctuation", or at "spaces" alone. With spaces, a text may
            hold the word `<unk>` or `⁇`, which is UNKNOWN.
        lines: whether the end of a line is a word.
    """

    level = "word"
    entries: tuple[str, ...]
    split_words: str
    lines: bool

    def __len__(self) -> int:
        return _FIRST + len(self.entries)

    @cached_property
    def _ids(self) -> dict[str, int]:
        return {word: _FIRST + place for place, word in enumerate(self.entries)}

    def words(self, text: str | Words) -> list[str]:
        """Return a text's words in their own case."""
        if not isinstance(text, str):
            return list(text)
        return split_words(text, self.split_words, lines=self.lines)

    def _split(self, text: Any) -> list[str]:
        return self.words(text)

    def _encode(self, text: Any) -> np.ndarray:
        find = self._ids.get
        return np.array([find(word, UNKNOWN) for word in self.words(text)], np.int32)

    def _entries(self, ids: list[int]) -> list[str]:
        return [self.entries[i - _FIRST] for i in ids]

    def _join(self, ids: list[int]) -> str:
        return join_words(self.tokens(ids), self.split_words)


@dataclass(frozen=True)
class CharacterVocabulary(Vocabulary):
    """Characters (Unicode code points).

    Attributes:
        entries: the characters known, in the order of their code points.
    """

    level = "character"
    entries: tuple[str, ...]

    def __len__(self) -> int:
        return _FIRST + len(self.entries)

    @cached_property
    def _points(self) -> np.ndarray:
        return _code_points("".join(self.entries))

    def _split(self, text: Any) -> list[str]:
        return list(text)

    def _encode(self, text: Any) -> np.ndarray:
        points = _code_points(text)
        place = np.searchsorted(self._points, points).clip(max=len(self._points) - 1)
        known = self._points[place] == points
        return np.where(known, place + _FIRST, UNKNOWN).astype(np.int32)

    def _entries(self, ids: list[int]) -> list[str]:
        return [self.entries[i - _FIRST] for i in ids]

    def _join(self, ids: list[int]) -> str:
        return "".join(self.tokens(ids))


@dataclass(frozen=True)
class ByteVocabulary(Vocabulary):
    """The 256 bytes of UTF-8: nothing is ever unknown."""

    level = "byte"

    def __len__(self) -> int:
        return _FIRST + 256

    def _split(self, text: Any) -> list[str]:
        return self.tokens(self._encode(text))

    def _encode(self, text: Any) -> np.ndarray:
        content = text.encode("utf-8", "surrogatepass")
        return np.frombuffer(content, np.uint8).astype(np.int32) + _FIRST

    def _entries(self, ids: list[int]) -> list[str]:
        points = [i - _FIRST for i in ids]
        return [chr(p) if 32 <= p < 127 or p == 10 else f"<0x{p:02X}>" for p in points]

    def _join(self, ids: list[int]) -> str:
        # What is unknown cannot have been read, but a network may answer it.
        unknown_bytes = UNKNOWN_TEXT.encode()
        parts = (bytes([i - _FIRST]) if i >= _FIRST else unknown_bytes for i in ids)
        return b"".join(parts).decode("utf-8", "replace")


@dataclass(frozen=True)
class SubwordVocabulary(Vocabulary):
    """Subwords by byte-pair encoding (Sennrich et al. 2016), as sentencepiece learns them.

    Of the two models that sentencepiece has, byte pairs gave shorter sequences than unigrams on
    29,000 captions (14.6 and 15.4 steps at 8,000 subwords), and were learnt in a sixth of the time.
    Spaces are kept as they are; the character U+2581 (▁), which stands for them, becomes one.

    Attributes:
        model: sentencepiece's model, base64.
    """

    level = "subword"
    model: str

    @cached_property
    def _processor(self) -> Any:
        return _sentencepiece().SentencePieceProcessor(model_proto=base64.b64decode(self.model))

    def __len__(self) -> int:
        return self._processor.get_piece_size()

    def _split(self, text: Any) -> list[str]:
        return self._processor.encode(text, out_type=str)

    def _encode(self, text: Any) -> np.ndarray:
        return np.array(self._processor.encode(text), np.int32)

    def _entries(self, ids: list[int]) -> list[str]:
        return self._processor.id_to_piece(ids)

    def _join(self, ids: list[int]) -> str:
        return self._processor.decode(ids)


_LEVELS: dict[str, type[Any]] = {
    kind.level: kind
    for kind in (WordVocabulary, CharacterVocabulary, ByteVocabulary, SubwordVocabulary)
}


def learn_vocabulary(
    texts: Iterable[str | Words], options: Any, *, lines: bool = False
) -> Vocabulary:
    """Learn a vocabulary from training texts as the options of text say."""
    return Vocabulary.learn(
        texts,
        level=options.level,
        size=options.vocabulary,
        min_count=options.min_count,
        lowercase=options.lowercase,
        split_words=options.split_words,
        lines=lines,
    )


def _code_points(text: str) -> np.ndarray:
    return np.frombuffer(text.encode("utf-32-le", "surrogatepass"), "<u4")


def _most_frequent(counts: Counter[str], size: int, min_count: int, what: str) -> list[str]:
    # By count, then by name: the same rows in another order give the same ids.
    known = sorted((-n, entry) for entry, n in counts.items() if n >= min_count)
    if not known:
        least = f" at least {min_count} times" if counts else ""
        raise InputError(
            f"no {what} occurs{least} in the training rows; expected some text to learn from"
            + ("; lower --min-count" if counts else "")
        )
    return [entry for _, entry in known[:size]]


def _learn_words(
    texts: Iterable[str | Words],
    size: int,
    min_count: int,
    lowercase: bool,
    split_words: str,
    lines: bool,
) -> WordVocabulary:
    empty = WordVocabulary(lowercase, (), split_words, lines)
    counts: Counter[str] = Counter()
    for text in texts:
        counts.update(empty.split(text))
    for word in (UNKNOWN_TEXT, "<unk>") if split_words == "spaces" else (UNKNOWN_TEXT,):
        counts.pop(word, None)
    known = _most_frequent(counts, size, min_count, "word")
    return WordVocabulary(lowercase, tuple(known), split_words, lines)


def _learn_characters(texts: Iterable[str], size: int, lowercase: bool) -> CharacterVocabulary:
    counts: Counter[str] = Counter()
    for text in texts:
        counts.update(text)
    counts.pop(UNKNOWN_TEXT, None)
    return CharacterVocabulary(
        lowercase, tuple(sorted(_most_frequent(counts, size, 1, "character")))
    )


def _sentencepiece() -> Any:
    try:
        import sentencepiece
    except ImportError:
        raise MissingExtraError(
            "subwords need sentencepiece; install it with: pip install 'elman[text]'"
        ) from None
    return sentencepiece


def _train_subwords(texts: Iterable[str], size: int) -> str:
    library, model = _sentencepiece(), io.BytesIO()
    try:
        library.SentencePieceTrainer.train(
            sentence_iterator=iter(texts),
            model_writer=model,
            model_type="bpe",
            vocab_size=size + _FIRST,
            hard_vocab_limit=False,  # small data have fewer subwords than asked for
            character_coverage=1.0,
            byte_fallback=False,
            normalization_rule_name="identity",
            remove_extra_whitespaces=False,
            max_sentence_length=2**30,  # longer texts would be left out in silence
            unk_id=UNKNOWN,
            bos_id=START,
            eos_id=END,
            pad_id=-1,
            unk_surface=UNKNOWN_TEXT,
            num_threads=1,
            minloglevel=3,
        )
    except RuntimeError as error:
        raise InputError(
            f"subwords cannot be learnt from the training rows: {' '.join(str(error).split())}; "
            "give more text, another --vocabulary, or --level word"
        ) from None
    return base64.b64encode(model.getvalue()).decode("ascii")
