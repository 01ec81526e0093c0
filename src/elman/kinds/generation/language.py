"""What a generator learnt of its text, and how the rows of a table become one stream of tokens."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from torch import nn

from elman import networks
from elman.data.table import Table
from elman.errors import InputError
from elman.kinds.vocabulary import Vocabulary


@dataclass(frozen=True)
class Stream:
    """Rows of text, one behind the other.

    Attributes:
        tokens: of all rows, `(N,)`.
        lengths: tokens of each row, `(R,)`.
        numbers: of each row in its table, from 1, `(R,)`.
    """

    tokens: np.ndarray
    lengths: np.ndarray
    numbers: np.ndarray


@dataclass(frozen=True)
class Language:
    """A vocabulary, and the column it was learnt from.

    Every row ends with a line end, which is a token like any other: in lists of sentences it plays
    the part of `<eos>`.
    """

    column: str
    vocabulary: Vocabulary

    @classmethod
    def learn(cls, column: str, rows: Iterator[str], options: Any) -> Self:
        """Learn the vocabulary of the training rows."""
        vocabulary = Vocabulary.learn(
            (f"{row}\n" for row in rows),
            level=options.level,
            size=options.vocabulary,
            min_count=options.min_count,
            lowercase=options.lowercase,
            split_words=options.split_words,
            lines=True,
        )
        return cls(column, vocabulary)

    def stream(self, rows: Sequence[str], numbers: np.ndarray) -> Stream:
        """Return the tokens of rows, whose numbers in their table are given."""
        parts = [self.vocabulary.encode(f"{row}\n") for row in rows]
        lengths = np.array([len(part) for part in parts], np.int64)
        return Stream(np.concatenate(parts), lengths, numbers)

    def network(self, topology: str, options: Any, modules: Mapping[str, nn.Module]) -> nn.Module:
        """Return a new network: a decoder that is told nothing but what came before."""
        return networks.token_decoder(
            options,
            len(self.vocabulary),
            options.embedding,
            embedding_dropout=options.embedding_dropout,
        )

    def summary(self) -> str:
        """Return what is read and written, in words."""
        return f"{len(self.vocabulary):,} {self.vocabulary.level}s"

    def as_dict(self) -> dict[str, Any]:
        """Return what `from_dict` takes, ready for JSON."""
        return {"column": self.column, "vocabulary": self.vocabulary.as_dict()}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Self:
        """Return the language that `as_dict` described."""
        return cls(data["column"], Vocabulary.from_dict(data["vocabulary"]))


def read_rows(table: Table, column: str) -> list[str]:
    """Return a column's rows of text; an empty cell is an empty line.

    Raises:
        InputError: there is no such column, or it holds no text.
    """
    table.require(column, "--input")
    values = table.select([column])[column]
    rows = ["" if value is None else str(value) for value in values.to_list()]
    if not any(row.strip() for row in rows):
        raise InputError(f"{table.name}: column {column!r} holds no text")
    return rows
