"""A job of examples: mini-batches and losses for the training loop, scores for the report."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from elman.data.buckets import bucketed, in_order
from elman.data.streams import Streams
from elman.kinds.examples.answers import ROWS, STEPS
from elman.kinds.examples.encoded import Encoded
from elman.kinds.examples.evaluation import Evaluator, ExampleEvaluation
from elman.kinds.examples.learnt import Learnt
from elman.kinds.examples.network import ExampleBatch
from elman.kinds.examples.rows import Rows
from elman.kinds.examples.streamed import RowChunk, advance, outputs_along, read_chunk


@dataclass(frozen=True)
class ExampleJob:
    """A table made ready: what was learnt of it, its parts, and its rows as numbers.

    Attributes:
        learnt: inputs and target.
        parts: row numbers by the name of their part, without bad rows.
        encoded: every row.
        sources, asked: the cells of each input, and of the target.
        options: how.
        skipped: reasons for rows left out, with their numbers.
        name: of the table.
    """

    learnt: Learnt
    parts: dict[str, np.ndarray]
    encoded: Encoded
    sources: tuple[Rows, ...]
    asked: Rows
    options: Any
    skipped: tuple[dict[str, Any], ...]
    name: str
    chosen: dict[str, Any] = field(default_factory=dict)

    def task(self, device: str, precision: str) -> ExampleTask | StreamTask:
        """Return the training loop's view of the job."""
        kind = ExampleTask if self.options.tbptt is None else StreamTask
        return kind(self, device, precision)

    def evaluate(self, network: nn.Module, name: str, task: Task) -> ExampleEvaluation:
        """Score the network, called `name`, and the baselines on what validates and tests."""
        return Evaluator(self, network, name).run(("valid", "test"))

    def describe(self) -> dict[str, Any]:
        """Return what model.json says of the data."""
        sequences = [each.sequence for each in self.learnt.inputs]
        columns = [column for rows in (*self.sources, self.asked) for column in rows.columns]
        described: dict[str, Any] = {
            "columns": list(dict.fromkeys(columns)),
            "parts": {name: len(rows) for name, rows in self.parts.items()},
            "inputs": [each.summary() for each in self.learnt.inputs],
            "skipped": list(self.skipped),
        }
        used = np.concatenate(list(self.parts.values()))
        for source, ragged, is_one in zip(
            self.sources, self.encoded.inputs, sequences, strict=True
        ):
            if is_one:
                low, middle, high = np.quantile(ragged.lengths[used], [0, 0.5, 1])
                described.setdefault("lengths", {})[", ".join(source.columns)] = {
                    "shortest": int(low),
                    "median": float(middle),
                    "longest": int(high),
                }
        truths, classes = self.encoded.truths, getattr(self.learnt.target, "classes", None)
        if classes is not None and isinstance(truths, np.ndarray) and truths.ndim == 1:
            described["classes"] = {
                name: {
                    label: int(n)
                    for label, n in zip(
                        classes.names,
                        np.bincount(truths[rows], minlength=len(classes)),
                        strict=True,
                    )
                }
                for name, rows in self.parts.items()
            }
        return described

    def describe_target(self) -> dict[str, Any]:
        """Return what model.json says of the target beside its columns."""
        target = self.learnt.target
        return {"summary": target.summary(), "headline": target.headline}


class Task:
    """What both views that the training loop has of examples share (`training.loop.Task`)."""

    def __init__(self, job: ExampleJob, device: str, precision: str) -> None:
        self.carried: dict[str, Tensor] = {}
        self.score_name = job.learnt.target.score_name
        self._job, self._device, self._precision = job, device, precision

    def name_input(self, batch: ExampleBatch | RowChunk) -> str:
        """Name a row of the batch."""
        return f"the first row of the batch is {self._job.sources[0].place(int(batch.rows[0]))}"


class ExampleTask(Task):
    """The training loop's view of examples: whole rows in a mini-batch."""

    def __init__(self, job: ExampleJob, device: str, precision: str) -> None:
        super().__init__(job, device, precision)
        sequences = [each.sequence for each in job.learnt.inputs]
        self._lengths = job.encoded.lengths(sequences)
        self._own_share = 0.0

    def begin_epoch(self, share: float) -> None:
        """Feed the decoder the more of its own words the longer it was trained."""
        self._own_share = share * self._job.options.scheduled_sampling

    def order(self, batch_size: int, shuffle: torch.Generator) -> list[np.ndarray]:
        """Return one epoch's mini-batches: rows of like length together, in a random order."""
        rows = self._job.parts["train"]
        return [rows[at] for at in bucketed(self._lengths[rows], batch_size, shuffle)]

    def batch(self, name: np.ndarray) -> ExampleBatch:
        """Return one mini-batch."""
        encoded = self._job.encoded
        batch = self._job.learnt.batch(name, encoded.inputs, encoded.truths)
        return batch.to(self._device)

    def loss(self, network: nn.Module, batch: ExampleBatch) -> Tensor:
        """Return the mean loss over every answer of the batch."""
        return self._losses(network, batch, training=True).mean()

    def validate(self, network: nn.Module) -> tuple[float, float]:
        """Return the mean loss of the validation rows, twice: it is the score as well."""
        rows = self._job.parts["valid"]
        total, number = 0.0, 0
        with torch.inference_mode():
            for at in in_order(self._lengths[rows], ROWS, STEPS):
                losses_N = self._losses(network, self.batch(rows[at]), training=False)
                total += losses_N.double().sum().item()
                number += losses_N.numel()
        return total / number, total / number

    def _losses(self, network: Any, batch: ExampleBatch, *, training: bool) -> Tensor:
        with torch.autocast(self._device, torch.bfloat16, enabled=self._precision == "bf16"):
            if self._own_share and training:
                output_NO = network(batch, own_share=self._own_share)
            else:
                output_NO = network(batch)
        assert batch.truth is not None
        return self._job.learnt.target.losses(output_NO.float(), batch.truth, training=training)


class StreamTask(Task):
    """The training loop's view of rows that are read in chunks, the state carried on."""

    def begin_epoch(self, share: float) -> None:
        """Nothing is carried from one epoch to the next."""
        self.carried = {}

    def order(self, batch_size: int, shuffle: torch.Generator) -> range:
        """Lay out an epoch's mini-batches; return their numbers."""
        lengths = self._job.encoded.inputs[0].lengths[self._job.parts["train"]]
        self._streams = Streams(lengths, batch_size, self._job.options.tbptt, generator=shuffle)
        return range(len(self._streams))

    def batch(self, name: int) -> RowChunk:
        """Return one mini-batch: the next chunk of every stream."""
        job = self._job
        read = read_chunk(job.learnt, job.encoded, job.parts["train"], self._streams[name])
        return replace(read, batch=read.batch.to(self._device))

    def loss(self, network: nn.Module, batch: RowChunk) -> Tensor:
        """Return the mean loss over every step of the chunk; the state is carried on."""
        output_NO, self.carried = advance(network, batch, self.carried, self._precision)
        assert batch.batch.truth is not None
        return self._job.learnt.target.losses(output_NO, batch.batch.truth, training=True).mean()

    def validate(self, network: nn.Module) -> tuple[float, float]:
        """Return the mean loss of the validation rows, twice: it is the score as well."""
        job, total, number = self._job, 0.0, 0
        along = outputs_along(job.learnt, network, job.encoded, job.parts["valid"], self._precision)
        for _, read, output_NO in along:
            assert read.batch.truth is not None
            losses_N = job.learnt.target.losses(output_NO, read.batch.truth, training=False)
            total += losses_N.double().sum().item()
            number += losses_N.numel()
        return total / number, total / number
