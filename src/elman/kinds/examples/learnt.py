"""What was learnt of the inputs and the target of examples, and the network that goes with them."""

from __future__ import annotations

from collections.abc import Mapping
from copy import deepcopy
from dataclasses import dataclass, replace
from typing import Any, Self

import numpy as np
import torch
from torch import nn

from elman import networks
from elman.data.ragged import Ragged
from elman.kinds import input_class, target_class
from elman.kinds.examples.network import ExampleBatch, ExampleNetwork
from elman.kinds.inputs.input import Front, Input
from elman.kinds.targets.target import SequenceTarget, Target


@dataclass(frozen=True)
class Learnt:
    """All that a network needs beside its weights to answer another table's rows."""

    inputs: tuple[Input, ...]
    target: Target

    def network(
        self, topology: str, options: Any, modules: Mapping[str, nn.Module]
    ) -> ExampleNetwork:
        """Return a new network; `modules` read pictures instead of Elman's, by their column."""
        fronts = [self._front(each, options, modules) for each in self.inputs]
        sequences = [each.sequence for each in self.inputs]
        along = [front.size for front, is_one in zip(fronts, sequences, strict=True) if is_one]
        beside = sum(
            front.size for front, is_one in zip(fronts, sequences, strict=True) if not is_one
        )
        body: Any = _BODIES[topology](self, options, fronts, along, beside)
        bias = self.target.initial_bias()
        if bias is not None and hasattr(body, "head"):
            with torch.no_grad():
                body.head.bias.copy_(torch.as_tensor(bias))
        return ExampleNetwork(fronts, sequences, body)

    def batch(
        self,
        rows: np.ndarray,
        inputs: tuple[Ragged, ...],
        truths: np.ndarray | Ragged | None = None,
    ) -> ExampleBatch:
        """Return some encoded rows as a batch.

        Args:
            rows: their numbers.
            inputs: every row of each input, encoded.
            truths: every row's truth: an array for a vector target, else ragged.
        """
        values, lengths = [], []
        for kind, encoded in zip(self.inputs, inputs, strict=True):
            padded, real = encoded.pad(rows)
            values.append(padded if kind.sequence else padded[:, 0])
            lengths.append(real if kind.sequence else None)
        batch = ExampleBatch(rows, tuple(values), tuple(lengths))
        if truths is None:
            return batch
        if isinstance(truths, np.ndarray):
            return replace(batch, truth=torch.from_numpy(truths[rows]))
        truth = torch.from_numpy(np.ascontiguousarray(truths.flat(rows)))
        truth = truth if truth.is_floating_point() else truth.long()
        if self.target.shape == "steps":
            return replace(batch, truth=truth)
        padded, steps = truths.pad(rows)
        return replace(
            batch, truth=truth, previous_BU=self.sequence_target.previous(padded), steps=steps
        )

    @property
    def sequence_target(self) -> SequenceTarget:
        """The target, of a topology whose decoder writes it."""
        assert isinstance(self.target, SequenceTarget)
        return self.target

    def summary(self) -> str:
        """Return what goes in and comes out, in words."""
        ins = " and ".join(each.summary() for each in self.inputs)
        return f"{ins} in, {self.target.summary()} out"

    def as_dict(self) -> dict[str, Any]:
        """Return what `from_dict` takes, ready for JSON."""
        return {
            "inputs": [each.as_dict() for each in self.inputs],
            "target": self.target.as_dict(),
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Self:
        """Return what `as_dict` described."""
        inputs = [input_class(each["kind"]).from_dict(each) for each in data["inputs"]]
        target = data["target"]
        return cls(tuple(inputs), target_class(target["kind"]).from_dict(target))

    def _front(self, kind: Input, options: Any, modules: Mapping[str, nn.Module]) -> Front:
        module = modules.get(kind.columns[0])
        if module is None:
            return kind.front(options)
        # A copy: the next network begins with the weights that were given, as this one does.
        return kind.front(options, deepcopy(module))  # pyright: ignore[reportCallIssue]


def _seq_to_vector(
    learnt: Learnt, options: Any, fronts: list[Front], along: list[int], beside: int
) -> nn.Module:
    layers = [networks.recurrent_layer(options, size) for size in along]
    one = len(layers) == 1
    return networks.SeqToVector(
        layers[0] if one else layers,
        networks.decoder_width(options),
        learnt.target.output_size,
        options.dropout,
        options.pooling,
        also_size=beside,
    )


def _seq_to_seq(
    learnt: Learnt, options: Any, fronts: list[Front], along: list[int], beside: int
) -> nn.Module:
    return networks.SeqToSeq(
        networks.recurrent_layer(options, along[0] + beside),
        networks.decoder_width(options),
        learnt.target.output_size,
        options.dropout,
    )


def _vector_to_seq(
    learnt: Learnt, options: Any, fronts: list[Front], along: list[int], beside: int
) -> nn.Module:
    context = 0 if options.start_with == "state" else beside
    decoder = learnt.sequence_target.decoder(options, context_size=context)
    return networks.VectorToSeq(beside, decoder, options.start_with)


def _encoder_decoder(
    learnt: Learnt, options: Any, fronts: list[Front], along: list[int], beside: int
) -> nn.Module:
    size = networks.decoder_width(options)
    encoders = [networks.Encoder(networks.recurrent_layer(options, each), size) for each in along]
    embed: Any = None
    if options.shared_vocabulary:
        kinds = [each.kind for each in learnt.inputs]
        embed = fronts[kinds.index("text")].embedding  # pyright: ignore[reportAttributeAccessIssue]
    decoder = learnt.sequence_target.decoder(options, memory_size=size, embed=embed)
    return networks.EncoderDecoder(encoders, decoder, also_size=beside)


_BODIES = {
    "seq-to-vector": _seq_to_vector,
    "seq-to-seq": _seq_to_seq,
    "vector-to-seq": _vector_to_seq,
    "encoder-decoder": _encoder_decoder,
}
