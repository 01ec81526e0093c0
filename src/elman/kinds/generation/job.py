"""The generator's job: a text read in chunks, trained with the state carried on; its scores.

Legend: B streams side by side, T steps of a chunk, V vocabulary, N real tokens of a chunk.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from elman.data.findings import Finding
from elman.data.parts import PARTS, assign
from elman.data.streams import Streams
from elman.data.table import Table
from elman.errors import InputError
from elman.kinds import Declaration
from elman.kinds.baselines.ngram import KneserNey
from elman.kinds.generation.language import Language, Stream, read_rows
from elman.kinds.generation.use import TextEvaluation, evaluate_stream, nats_of
from elman.layers import padded
from elman.networks.states import carried_of, carry_on

_NGRAMS = (1, 6)
_TBPTT = 100  # steps of a chunk, where options do not say


@dataclass(frozen=True)
class GenerationJob:
    """A text made ready: what was learnt of it, its streams by the name of their part, how.

    `chosen` are options that were left open.
    """

    language: Language
    streams: dict[str, Stream]
    options: Any
    chosen: dict[str, Any]

    @property
    def learnt(self) -> Language:
        """What a network needs beside its weights."""
        return self.language

    def task(self, device: str, precision: str) -> StreamTask:
        """Return the training loop's view of the job."""
        train, valid = self.streams["train"].tokens, self.streams["valid"].tokens
        return StreamTask(train, valid, self.chosen["tbptt"], device, precision, self.language)

    def evaluate(self, network: nn.Module, name: str, task: StreamTask) -> TextEvaluation:
        """Score the network, called `name`, and n-grams on what validates and tests."""
        train = self.streams["train"].tokens
        size = len(self.language.vocabulary)
        baselines = {}
        for order in _NGRAMS:
            model = KneserNey.learn(train, size, order)
            baselines[f"{len(model.orders)}-gram" if order > 1 else "token frequencies"] = model
        evaluation = TextEvaluation()
        for split in ("valid", "test"):
            if split in self.streams:
                stream = self.streams[split]
                evaluate_stream(network, self.language, name, split, stream, baselines, evaluation)
        evaluation.add_samples(network, self.language, self.options)
        return evaluation

    def describe(self) -> dict[str, Any]:
        """Return what model.json says of the data."""
        return {
            "columns": [self.language.column],
            "parts": {name: int(stream.lengths.size) for name, stream in self.streams.items()},
            "tokens": {name: int(stream.tokens.size) for name, stream in self.streams.items()},
        }

    def describe_target(self) -> dict[str, Any]:
        """Return what model.json says of the target beside its columns."""
        return {"vocabulary": len(self.language.vocabulary), "headline": "perplexity"}


def prepare(
    inputs: tuple[Declaration, ...],
    target: Declaration,
    options: Any,
    topology: str,
    table: Table,
    valid: Table | None,
    findings: list[Finding],
) -> GenerationJob:
    """Read a text, learn its vocabulary from the part that trains, and cut it into parts.

    A column named by `split` says of each row what it is for; without one, the end of the text
    tests and what comes before that validates, by shares of its characters.

    Raises:
        InputError: there is no text, or too little of it.
    """
    column = inputs[0].columns[0]
    if len(inputs[0].columns) > 1:
        raise InputError(
            f"--input text:{','.join(inputs[0].columns)}: a generator reads one column"
        )
    rows = read_rows(table, column)
    if options.split:
        told = table.column(options.split).values
        cut = assign(len(rows), options, split=told, seed=options.seed, name=table.name,
                     own_valid=valid is None)  # fmt: skip
        parts = {name: cut.of(name) for name in PARTS}
    else:
        parts = _by_position(rows, options, valid)
    texts = {name: [rows[row] for row in part] for name, part in parts.items() if len(part)}
    numbers = {name: part + 1 for name, part in parts.items()}
    if valid is not None:
        if valid.sha256 == table.sha256:
            raise InputError(f"{valid.name}: is the table that is trained on; give another")
        texts["valid"] = read_rows(valid, column)
        numbers["valid"] = np.arange(len(texts["valid"])) + 1
    if "train" not in texts or "valid" not in texts:
        absent = "trains" if "train" not in texts else "validates"
        raise InputError(f"{table.name}: no row {absent}; change --valid, --test or --split")
    language = Language.learn(column, iter(texts["train"]), options)
    streams = {name: language.stream(part, numbers[name]) for name, part in texts.items()}
    for name, stream in streams.items():
        if len(stream.tokens) < 2:
            raise InputError(f"{table.name}: the {name} part has {len(stream.tokens)} tokens only")
    if len(streams["train"].tokens) < 2 * options.batch_size:
        raise InputError(
            f"{table.name}: {len(streams['train'].tokens):,} tokens train, too few for "
            f"{options.batch_size} streams side by side; choose a smaller --batch-size"
        )
    unknown = float((streams["valid"].tokens == 0).mean())
    if unknown > 0.05:
        findings.append(
            Finding(
                "warning",
                f"{table.name}: {unknown:.0%} of the validation part's tokens are unknown",
                "raise --vocabulary, lower --min-count, or read --level subword or character",
            )
        )
    return GenerationJob(language, streams, options, {"tbptt": options.tbptt or _TBPTT})


def _by_position(rows: Sequence[str], options: Any, valid: Table | None) -> dict[str, np.ndarray]:
    ends = np.cumsum([len(row) + 1 for row in rows])
    shares = {}
    for name, cut in (
        ("valid", "0" if valid is not None else options.valid),
        ("test", options.test),
    ):
        try:
            shares[name] = float(cut)
        except ValueError:
            raise InputError(
                f"{name} {cut!r}: expected a share such as 0.1; a text has no times"
            ) from None
        if not 0 <= shares[name] < 1:
            raise InputError(f"{name} {cut}: expected a share of the text, from 0 to below 1")
    train_end = ends[-1] * (1 - shares["valid"] - shares["test"])
    valid_end = ends[-1] * (1 - shares["test"])
    first = np.searchsorted(ends, train_end - 0.5)
    second = np.searchsorted(ends, valid_end - 0.5)
    every = np.arange(len(rows))
    found = {
        "train": every[: first + 1],
        "valid": every[first + 1 : second + 1],
        "test": every[second + 1 :],
    }
    return {name: numbers for name, numbers in found.items() if len(numbers)}


@dataclass(frozen=True)
class TextChunk:
    """One mini-batch.

    Attributes:
        read_BT: what is read.
        next_N: what follows each real token, row by row.
        lengths: real tokens of each row; None: all are.
        begins: rows that begin with the first state, `(B,)`.
    """

    read_BT: Tensor
    next_N: Tensor
    lengths: Tensor | None
    begins: np.ndarray

    def __len__(self) -> int:
        return len(self.next_N)


class StreamTask:
    """The training loop's view of a text (`training.loop.Task`), cut into streams side by side."""

    score_name = "nats a token"

    def __init__(
        self,
        train: np.ndarray,
        valid: np.ndarray,
        tbptt: int,
        device: str,
        precision: str,
        language: Language,
    ) -> None:
        self.carried: dict[str, Tensor] = {}
        self._train, self._valid = torch.from_numpy(train).long(), valid
        self._tbptt, self._device, self._precision = tbptt, device, precision
        self._language = language

    def begin_epoch(self, share: float) -> None:
        """Nothing is carried from one epoch to the next."""
        self.carried = {}

    def order(self, batch_size: int, shuffle: torch.Generator) -> range:
        """Lay out an epoch's mini-batches; return their numbers."""
        lengths = np.array([len(self._train) - 1])
        self._streams = Streams(lengths, batch_size, self._tbptt, cut=True, generator=shuffle)
        return range(len(self._streams))

    def batch(self, name: int) -> TextChunk:
        """Return one mini-batch: the next chunk of every stream."""
        chunk = self._streams[name]
        place_N = torch.from_numpy(chunk.places()[1])
        lengths = torch.from_numpy(chunk.lengths) if chunk.ragged else None
        read_BT = padded(self._train[place_N], lengths, len(chunk), chunk.longest)
        next_N = self._train[place_N + 1]
        return TextChunk(read_BT.to(self._device), next_N.to(self._device), lengths, chunk.begins)

    def loss(self, network: Any, batch: TextChunk) -> Tensor:
        """Return the mean loss of every token of the chunk; the state is carried on."""
        begun = carry_on(network.recurrent, self.carried, batch.begins)
        state = network.begin(begun, batch=len(batch.begins))
        with torch.autocast(self._device, torch.bfloat16, enabled=self._precision == "bf16"):
            y_NV, state = network(batch.read_BT, state, batch.lengths)
        self.carried = carried_of(state.recurrent)
        return F.cross_entropy(y_NV.float(), batch.next_N)

    def validate(self, network: nn.Module) -> tuple[float, float]:
        """Return the nats a token of the validation part, twice: they are loss and score."""
        nats = float(nats_of(network, self._valid).mean())
        return nats, nats

    def name_input(self, batch: TextChunk) -> str:
        """Say where the batch stands."""
        text = self._language.vocabulary.decode(batch.read_BT[0, :20].cpu().numpy())
        return f"the first stream of the batch reads {text!r}"
