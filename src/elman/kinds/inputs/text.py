"""`text:COL`: words, characters, bytes or subwords, each a vector that is learnt.

Read with `spelling`, a word's letters are read as well, by a small LSTM in both directions, whose
last states stand beside the word's vector (Ling et al. 2015; Lample et al. 2016): so an unknown
word still has its ending and its capitals.

Legend: B batch, T time, E features, U different words of a batch, L letters of a word.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Self, TypeVar

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from elman.errors import InputError
from elman.kinds.inputs.input import BadCellError, Cells, Front, Input
from elman.kinds.vocabulary import (
    UNKNOWN,
    Vocabulary,
    Words,
    WordVocabulary,
    learn_vocabulary,
)
from elman.layers import LSTM
from elman.options import shown

LONGEST_WORD = 20  # letters read of a word: of a longer one the first and the last ten
_LETTER_SIZE = 32  # of a letter's vector, and of each direction's state
_MOST_LETTERS = 10_000
_SHOWN_TOKENS, _SHOWN_CHARACTERS = 400, 3000
Read = TypeVar("Read")
_REMEDY = "fill it in, or leave such rows out with --skip-bad"


@dataclass(frozen=True)
class Text(Input):
    """Text as learnt from the training rows.

    Attributes:
        columns: the one column read.
        vocabulary: of what stands at a step.
        letters: of the spelling of words, if that is read.
        max_length: steps read at most; of a longer text the first and the last half.
    """

    kind = "text"
    columns: tuple[str, ...]
    vocabulary: Vocabulary
    letters: Vocabulary | None
    max_length: int | None

    @classmethod
    def learn(
        cls,
        columns: tuple[str, ...],
        rows: Iterable[Cells],
        options: Any,
        vocabulary: Vocabulary | None = None,
    ) -> Self:
        """Learn the vocabulary, unless one is given, from the training rows that hold text.

        Raises:
            InputError: several columns, no text, or spelling of what is not words.
        """
        if len(columns) != 1:
            each = " ".join(f"--input text:{column}" for column in columns)
            raise InputError(
                f"--input text:{','.join(columns)}: text reads one column, got {len(columns)}; "
                f"expected an input for each: {each}"
            )
        if options.spelling and options.level != "word":
            raise InputError(
                f"--spelling reads the letters of words, got --level {options.level}; leave one out"
            )
        read = text_or_words if options.level == "word" else plain_text
        if vocabulary is None:
            texts = readable((cells[0] for cells in rows), read)
            vocabulary = learn_vocabulary(texts, options)
        letters = None
        if options.spelling and isinstance(vocabulary, WordVocabulary):
            texts = readable((cells[0] for cells in rows), read)
            spelt = ("".join(vocabulary.words(text)) for text in texts)
            letters = Vocabulary.learn(spelt, level="character", size=_MOST_LETTERS)
        return cls(columns, vocabulary, letters, options.max_length)

    def encode(self, cells: Cells) -> np.ndarray:
        """Return a row's ids, `(T,)` int32; with spelling `(T, 1 + L)`, a word and its letters.

        A letter is its id plus one; 0 follows the last.
        """
        if self.letters is None:
            return self._cut(self.vocabulary.encode(self._read(cells[0])))
        words = self.tokens(cells)
        spelt_TL = np.stack([self._spell(word) for word in words])
        return np.concatenate([self.vocabulary.encode(words)[:, None], spelt_TL], axis=1)

    def words(self, cell: str | Words) -> list[str]:
        """Return the words of a cell in their own case, one for each step, none cut off."""
        text = self._read(cell)
        if isinstance(self.vocabulary, WordVocabulary):
            return self.vocabulary.words(text)
        return self.vocabulary.split(plain_text(text))

    def tokens(self, cells: Cells) -> list[str]:
        """Return what stands at each step of `encode`'s answer, as it was read."""
        return self._cut(np.array(self.words(cells[0]), dtype=object)).tolist()

    def front(self, options: Any) -> TextFront:
        """Return a new embedding, and the reader of letters if spelling is read."""
        return TextFront(
            len(self.vocabulary),
            options.embedding,
            num_letters=0 if self.letters is None else len(self.letters),
            embedding_dropout=options.embedding_dropout,
            word_dropout=options.word_dropout,
        )

    def show(self, cells: Cells, encoded: np.ndarray) -> dict[str, Any]:
        """Return the text and its tokens, of a long one the beginning."""
        cell = cells[0]
        text = cell if isinstance(cell, str) else " ".join(cell)
        if len(text) > _SHOWN_CHARACTERS:
            text = text[:_SHOWN_CHARACTERS] + "…"
        tokens = self.tokens(cells)[:_SHOWN_TOKENS]
        return {"kind": "text", "column": self.columns[0], "text": text, "tokens": tokens}

    def as_dict(self) -> dict[str, Any]:
        """Return what `from_dict` takes, ready for JSON."""
        return {
            "kind": "text",
            "columns": list(self.columns),
            "vocabulary": self.vocabulary.as_dict(),
            "letters": None if self.letters is None else self.letters.as_dict(),
            "max_length": self.max_length,
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Self:
        """Return the input that `as_dict` described."""
        letters = None if data["letters"] is None else Vocabulary.from_dict(data["letters"])
        vocabulary = Vocabulary.from_dict(data["vocabulary"])
        return cls(tuple(data["columns"]), vocabulary, letters, data["max_length"])

    def summary(self) -> str:
        """Return what it reads: `12,043 words, spelt with 87 characters`."""
        spelt = "" if self.letters is None else f", spelt with {self.letters.summary()}"
        return self.vocabulary.summary() + spelt

    def _read(self, cell: Any) -> str | Words:
        return (text_or_words if self.vocabulary.level == "word" else plain_text)(cell)

    def _cut(self, steps: np.ndarray) -> np.ndarray:
        if self.max_length is None or len(steps) <= self.max_length:
            return steps
        tail = self.max_length // 2
        return np.concatenate([steps[: self.max_length - tail], steps[len(steps) - tail :]])

    @cached_property
    def _spelt(self) -> dict[str, np.ndarray]:
        return {}  # words met: text repeats its words, and a word is spelt in Python

    def _spell(self, word: str) -> np.ndarray:
        if word not in self._spelt:
            assert self.letters is not None
            half = LONGEST_WORD // 2
            read = word if len(word) <= LONGEST_WORD else word[:half] + word[-half:]
            row = np.zeros(LONGEST_WORD, np.int32)
            row[: len(read)] = self.letters.encode(read) + 1
            self._spelt[word] = row
        return self._spelt[word]


class TextFront(Front):
    """Embed each step's id; with letters, read each word's spelling too.

    Vectors start uniform within ±0.1 (Zaremba et al. 2014): small beside the recurrent state, and
    fit to be tied to an output matrix.

    Args:
        num_tokens: ids of the vocabulary.
        embedding_size: E, of a token's vector.
        num_letters: ids of the letters' vocabulary; 0 if spelling is not read.
        embedding_dropout: probability that a feature is zeroed in training, at all steps of a row
            alike (Gal & Ghahramani 2016).
        word_dropout: probability that a token is read as unknown in training.

    Attributes:
        embedding: the tokens' vectors.
    """

    def __init__(
        self,
        num_tokens: int,
        embedding_size: int,
        *,
        num_letters: int = 0,
        embedding_dropout: float = 0.0,
        word_dropout: float = 0.0,
    ) -> None:
        super().__init__()
        self.embedding = nn.Embedding(num_tokens, embedding_size)
        nn.init.uniform_(self.embedding.weight, -0.1, 0.1)
        self.spelling = SpellingReader(num_letters) if num_letters else None
        self.embedding_dropout = embedding_dropout
        self.word_dropout = word_dropout
        self.size = embedding_size + (self.spelling.size if self.spelling else 0)

    def forward(self, values: Tensor, lengths: Tensor | None) -> Tensor:
        """Return `x_BTE` for ids `(B, T)`, or `(B, T, 1 + L)` with spelling."""
        ids_BT = values if self.spelling is None else values[..., 0]
        if self.training and self.word_dropout:
            kept = torch.rand(ids_BT.shape, device=ids_BT.device) >= self.word_dropout
            ids_BT = torch.where(kept, ids_BT, UNKNOWN)
        x_BTE = self.embedding(ids_BT)
        if self.spelling is not None:
            x_BTE = torch.cat([x_BTE, self.spelling(values[..., 1:], lengths)], dim=-1)
        if self.training and self.embedding_dropout:
            mask = x_BTE.new_ones(len(x_BTE), 1, x_BTE.shape[-1])
            x_BTE = x_BTE * F.dropout(mask, self.embedding_dropout)
        return x_BTE


class SpellingReader(nn.Module):
    """Read each different word of a batch once, letter by letter, from both ends.

    Args:
        num_letters: ids of the letters' vocabulary.

    Attributes:
        size: features of a word: the last state of each direction.
    """

    def __init__(self, num_letters: int) -> None:
        super().__init__()
        self.embedding = nn.Embedding(num_letters + 1, _LETTER_SIZE)  # 0 is no letter
        nn.init.uniform_(self.embedding.weight, -0.1, 0.1)
        self.layer = LSTM(_LETTER_SIZE, _LETTER_SIZE, bidirectional=True, batch_first=True)
        self.size = 2 * _LETTER_SIZE

    def forward(self, letters_BTL: Tensor, lengths: Tensor | None) -> Tensor:
        """Return each word's features `(B, T, 2H)`, zeros past a row's end."""
        num_rows, num_steps, _ = letters_BTL.shape
        real_BT = torch.ones(num_rows, num_steps, dtype=torch.bool, device=letters_BTL.device)
        if lengths is not None:
            steps = torch.arange(num_steps, device=letters_BTL.device)
            real_BT = steps < lengths.to(letters_BTL.device)[:, None]
        words_UL, which = torch.unique(letters_BTL[real_BT], dim=0, return_inverse=True)
        counts_U = (words_UL > 0).sum(1)
        longest = int(counts_U.max()) if len(counts_U) else 0
        x_ULE = self.embedding(words_UL[:, :longest])
        _, (h_DUH, _) = self.layer(x_ULE, lengths=counts_U.cpu())
        features_UE = h_DUH.transpose(0, 1).flatten(1)
        read_BTE = features_UE.new_zeros(num_rows, num_steps, self.size)
        return read_BTE.masked_scatter(real_BT.unsqueeze(-1), features_UE[which])


def plain_text(cell: Any) -> str:
    """Return a cell's text.

    Raises:
        BadCellError: it holds none.
    """
    if isinstance(cell, str):
        if not cell.strip():
            raise BadCellError(f"empty text, got {shown(cell)}; {_REMEDY}")
        return cell
    if isinstance(cell, list | tuple | np.ndarray):
        raise BadCellError(f"expected one text, got the list {shown(list(cell))}; join its words")
    if cell is None or cell != cell:  # NaN is what pandas has for missing text
        raise BadCellError(f"missing text; {_REMEDY}")
    raise BadCellError(f"expected text, got {shown(cell)} ({type(cell).__name__}); turn it to text")


def text_or_words(cell: Any) -> str | Words:
    """Return a cell's text, or the words that it lists.

    Raises:
        BadCellError: it holds neither.
    """
    if not isinstance(cell, list | tuple | np.ndarray):
        return plain_text(cell)
    words = list(cell)
    if not words or not all(isinstance(word, str) and word for word in words):
        raise BadCellError(f"expected a text or a list of words, got {shown(words)}; {_REMEDY}")
    return words


def readable(cells: Iterable[Any], read: Callable[[Any], Read]) -> Iterator[Read]:
    """Return what `read` makes of cells, without those that it cannot use: `encode` tells them."""
    for cell in cells:
        try:
            yield read(cell)
        except BadCellError:
            continue
