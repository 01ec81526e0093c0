"""`text:COL`: a text of its own, not aligned with the input: a translation, a caption, a name.

The decoder is taught to say the text's words (or characters, bytes, subwords) and then END, each
from those before it. Answers are scored as texts against one reference or several.

Legend: B batch, T steps, N real steps of a batch, V vocabulary.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import polars as pl
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from elman.errors import InputError
from elman.kinds.baselines.texts import MostFrequentByValue, MostFrequentText, NearestText
from elman.kinds.inputs.input import BadCellError, Cells
from elman.kinds.inputs.text import plain_text, readable
from elman.kinds.scoring.texts import (
    References,
    signatures,
    text_errors,
    text_scores,
)
from elman.kinds.targets.target import Answers, Baseline, Examples, SequenceTarget, Written
from elman.kinds.vocabulary import END, START, UNKNOWN, Vocabulary, learn_vocabulary
from elman.networks import Decoder, beam, token_decoder
from elman.networks.decoder_state import DecoderState

_MOST_DRAWN = 2000
_CLOSED = 3  # times that a text occurs in training, on average, where answers are right or wrong


@dataclass(frozen=True)
class TextTarget(SequenceTarget):
    """Text as a target, as learnt from the training rows.

    A cell is a text, or a list of texts each of which is right: the first is the one trained on.

    Attributes:
        columns: the one column read.
        vocabulary: of what is answered at a step.
        longest: most steps of an answer.
        label_smoothing: share of each truth that is spread over the vocabulary in training.
        closed: whether training has few different texts, so that an answer is right or wrong.
    """

    kind = "text"
    score_name = "cross entropy"
    columns: tuple[str, ...]
    vocabulary: Vocabulary
    longest: int
    label_smoothing: float
    closed: bool

    @classmethod
    def learn(
        cls,
        columns: tuple[str, ...],
        rows: Iterable[Cells],
        options: Any,
        vocabulary: Vocabulary | None = None,
    ) -> Self:
        """Learn the vocabulary, unless one is given, and how long texts are.

        Raises:
            InputError: several columns, or no text.
        """
        if len(columns) != 1:
            raise InputError(
                f"--target text:{','.join(columns)}: text answers one column, got {len(columns)}; "
                "name one of them"
            )
        vocabulary = vocabulary or learn_vocabulary(all_texts(rows), options)
        longest = options.longest
        if longest is None:
            steps = max((len(vocabulary.encode(text)) for text in all_texts(rows)), default=0)
            longest = int(1.5 * steps) + 5
        counts = Counter(all_texts(rows))
        closed = len(counts) * _CLOSED <= counts.total()
        return cls(columns, vocabulary, longest, options.label_smoothing, closed)

    def references(self, cells: Cells) -> list[str]:
        """Return the texts that are right: what `score` takes as a row's truth.

        Raises:
            BadCellError: there is no text.
        """
        texts = [plain_text(text) for text in _texts(cells[0])]
        if not texts:
            raise BadCellError("empty list of texts; expected at least one right answer")
        return texts

    def encode(self, cells: Cells) -> np.ndarray:
        """Return a text's ids and END, `(T,)` int32."""
        ids = self.vocabulary.encode(self.references(cells)[0])
        return np.append(ids, np.int32(END))

    def previous(self, truth_BU: Tensor) -> Tensor:
        """Return what a decoder reads at each step of `truth`: the step before, at first START."""
        first = torch.full_like(truth_BU[..., :1], START)
        return torch.cat([first, truth_BU[..., :-1]], dim=-1).long()

    def decode(self, ids: np.ndarray | Sequence[int]) -> str:
        """Return the text that ids stand for, up to END."""
        return self.vocabulary.decode(ids)

    @property
    def headline(self) -> str:
        """BLEU, or the share of exact answers where few different ones are right."""
        return "exact" if self.closed else "bleu"

    def decoder(
        self,
        options: Any,
        *,
        memory_size: int = 0,
        context_size: int = 0,
        embed: nn.Embedding | None = None,
    ) -> Decoder:
        """Return a new decoder over the vocabulary."""
        return token_decoder(
            options,
            len(self.vocabulary),
            options.embedding,
            memory_size=memory_size,
            context_size=context_size,
            embed=embed,
            embedding_dropout=options.embedding_dropout,
        )

    def write(
        self, decoder: Decoder, state: DecoderState, options: Any, n_best: int
    ) -> list[list[Written]]:
        """Return each row's likeliest texts, by beam search."""
        found = beam(
            decoder,
            state,
            start=START,
            end=END,
            longest=self.longest,
            width=options.beam,
            length_penalty=options.length_penalty,
            n_best=n_best,
            never=(UNKNOWN, START),
        )
        return [
            [
                Written(self.decode(one.tokens), self.vocabulary.tokens(one.tokens), one.weights)
                for one in row
            ]
            for row in found
        ]

    def gathered(self, written: Sequence[Sequence[Written]] | None, **told: Any) -> Answers:
        """Return texts as answers."""
        if written is None:
            return Answers(**told)
        return Answers(texts=[[one.value for one in row] for row in written], **told)

    def errors(self, answers: Answers, truths: Sequence[References]) -> np.ndarray:
        """Return whether each text is wrong; where many are right, how far its chrF is from 100."""
        assert answers.texts is not None
        best = [texts[0] for texts in answers.texts]
        return text_errors(best, truths, exact=self.closed, lowercase=self.vocabulary.lowercase)

    def text(self, truth: References) -> str:
        """Return the first reference."""
        return truth[0]

    @property
    def output_size(self) -> int:
        """Size of the vocabulary, V."""
        return len(self.vocabulary)

    def losses(self, output_NO: Tensor, truth_N: Tensor, *, training: bool) -> Tensor:
        """Return each step's cross entropy in nats, `(N,)`; smoothed in training alone."""
        smoothing = self.label_smoothing if training else 0.0
        return F.cross_entropy(
            output_NO, truth_N.long(), reduction="none", label_smoothing=smoothing
        )

    def score(self, answers: Answers, truths: Sequence[References]) -> dict[str, float | None]:
        """Return how near the answers come to the references.

        `bleu` and `chrf` are sacrebleu's of the whole set, `wer` and `cer` jiwer's, by the
        reference that is nearest; `exact` is the share equal to one of them but for white space.
        Where losses are known, `perplexity` of a step, and `bits` of a character: where nothing is
        unknown at once, so not of words. An end counts as a character.

        Args:
            answers: with texts, or losses and counts, or both.
            truths: each row's references.
        """
        scores: dict[str, float | None] = {}
        if answers.texts is not None:
            best = [texts[0] for texts in answers.texts]
            scores |= text_scores(best, truths, lowercase=self.vocabulary.lowercase)
        if answers.losses is not None and answers.counts is not None:
            nats = float((answers.losses * answers.counts).sum())
            per_step = nats / max(1, int(answers.counts.sum()))
            scores["perplexity"] = math.exp(min(per_step, 700.0))
            if self.vocabulary.level != "word":
                characters = sum(len(references[0]) + 1 for references in truths)
                scores["bits"] = nats / math.log(2) / characters
        return scores

    def frame(self, answers: Answers, truths: Sequence[References] | None) -> pl.DataFrame:
        """Return the best answers as `prediction`, others as `prediction_2` ...; so `truth`."""
        columns = _numbered("prediction", answers.texts or [])
        return pl.DataFrame(columns | ({} if truths is None else _numbered("truth", truths)))

    def details(self, answers: Answers, truths: Sequence[References]) -> dict[str, Any]:
        """Return lengths of truths and answers in steps, and sacrebleu's signatures."""
        if answers.texts is None:
            return {}
        chosen = np.linspace(0, len(truths) - 1, min(len(truths), _MOST_DRAWN)).astype(int)
        lengths = [
            [len(self.vocabulary.encode(t)) for t in (truths[row][0], answers.texts[row][0])]
            for row in chosen.tolist()
        ]
        signed = signatures(truths, lowercase=self.vocabulary.lowercase)
        return {"lengths": lengths, "signatures": signed}

    def baselines(self, examples: Examples, options: Any) -> list[Baseline]:
        """Return the commonest answer, that of rows with the same values, the nearest text's."""
        vectors = tuple(column for column, kind in examples.kinds.items() if kind == "vector")
        texts = tuple(column for column, kind in examples.kinds.items() if kind in ("text", "dna"))
        found: list[Baseline] = [MostFrequentText()]
        if vectors:
            found.append(MostFrequentByValue(vectors))
        if texts:
            found.append(NearestText(texts))
        return found

    def as_dict(self) -> dict[str, Any]:
        """Return what `from_dict` takes, ready for JSON."""
        return {
            "kind": "text",
            "columns": list(self.columns),
            "vocabulary": self.vocabulary.as_dict(),
            "longest": self.longest,
            "label_smoothing": self.label_smoothing,
            "closed": self.closed,
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Self:
        """Return the target that `as_dict` described."""
        return cls(
            tuple(data["columns"]),
            Vocabulary.from_dict(data["vocabulary"]),
            data["longest"],
            data["label_smoothing"],
            data["closed"],
        )

    def summary(self) -> str:
        """Return what it answers: `text of 12,043 words`."""
        return f"text of {self.vocabulary.summary()}"


def _numbered(name: str, texts: Sequence[Sequence[str]]) -> dict[str, pl.Series]:
    """Return the first of each row as column `name`, the second as `name_2`, and so on."""
    most = max(map(len, texts), default=1)
    columns = {name if n == 0 else f"{name}_{n + 1}": n for n in range(max(1, most))}
    return {
        column: pl.Series([row[n] if n < len(row) else None for row in texts], dtype=pl.String)
        for column, n in columns.items()
    }


def _texts(cell: Any) -> list[Any]:
    return list(cell) if isinstance(cell, list | tuple | np.ndarray) else [cell]


def all_texts(rows: Iterable[Cells]) -> Iterator[str]:
    """Return every right text of rows, but for those that cannot be used: `encode` tells them."""
    for cells in rows:
        yield from readable(_texts(cells[0]), plain_text)
