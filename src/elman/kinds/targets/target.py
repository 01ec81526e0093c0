"""What every kind of target is: how it is encoded, its loss, how an output is read, its scores.

Whatever the topology, a loss sees rows: `output_NO`, one row for each thing to be answered (an
example of a vector target; a real step of one with steps, or of a sequence), and `truth_N` beside
it. Padding never gets here.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal, Self

import numpy as np
import polars as pl
from torch import Tensor, nn

from elman.kinds.inputs.input import Cells
from elman.networks import Decoder
from elman.networks.decoder_state import DecoderState

Shape = Literal["vector", "steps", "sequence"]


@dataclass(frozen=True)
class Answers:
    """What was answered for some examples, by a network or by a baseline.

    Attributes:
        outputs: of a vector target `(R, O)`; of one with steps a list of `(T, O)`, one a row. The
            same space as the network's head: logits of classes, values in the network's scale.
        texts: of a sequence, each row's answer as text, best first where there are several.
        losses: mean loss of each row, `(R,)`, where it is known.
        counts: tokens in each row's loss, `(R,)`, for sequences.
    """

    outputs: Any = None
    texts: Sequence[Sequence[str]] | None = None
    losses: np.ndarray | None = None
    counts: np.ndarray | None = None


@dataclass(frozen=True)
class Examples:
    """Rows as a baseline sees them.

    Attributes:
        inputs: by column, the raw cells of an input that is text, numbers or letters.
        kinds: by column, the kind of its input.
        features: a fixed-size array a row `(R, F)` for inputs that are media or numbers: means and
            standard deviations over time of what was encoded.
        truths: encoded targets.
        steps: words of each row, for targets with steps.
    """

    inputs: Mapping[str, Sequence[Any]]
    kinds: Mapping[str, str]
    features: np.ndarray | None
    truths: Sequence[Any]
    steps: Sequence[Sequence[str]] = field(default_factory=tuple)


class Baseline(ABC):
    """An answer that needs no network; `name` is what scores and reports call it."""

    name: str

    @abstractmethod
    def fit(self, train: Examples) -> Self:
        """Learn from the training rows."""

    @abstractmethod
    def answer(self, examples: Examples) -> Answers:
        """Answer other rows."""


class Target(ABC):
    """One kind of target as declared, and as learnt from the training rows; immutable.

    Attributes:
        kind: its name in `--target kind:column`.
        shape: vector: one answer a row; steps: one for each step of the input; sequence: a sequence
            of its own.
        columns: the columns that it reads.
        score_name: what validation is measured by; lower is better there.
        headline: the score that a verdict is about.
    """

    kind: ClassVar[str]
    shape: ClassVar[Shape]
    media: ClassVar[bool] = False
    columns: tuple[str, ...]
    score_name: ClassVar[str]

    @property
    @abstractmethod
    def headline(self) -> str:
        """The key of `METRICS` that a verdict is about."""

    @classmethod
    @abstractmethod
    def learn(cls, columns: tuple[str, ...], rows: Iterable[Cells], options: Any) -> Self:
        """Learn what there is to learn (classes, scale, vocabulary) from the training rows."""

    @abstractmethod
    def encode(self, cells: Cells) -> np.ndarray:
        """Return a row's truth: `()` or `(C,)` for a vector, `(T,)` for steps or a sequence.

        Raises:
            BadCellError: the cells cannot be used, or name a class that training did not have.
        """

    @property
    @abstractmethod
    def output_size(self) -> int:
        """Values in one row of the network's output."""

    @abstractmethod
    def losses(self, output_NO: Tensor, truth_N: Tensor, *, training: bool) -> Tensor:
        """Return each row's loss, `(N,)`; `training` adds class weights and label smoothing."""

    @abstractmethod
    def score(self, answers: Answers, truths: Sequence[Any]) -> dict[str, float | None]:
        """Return the scores by name (see `scoring/metrics.py`) of answers to some rows."""

    @abstractmethod
    def errors(self, answers: Answers, truths: Sequence[Any]) -> np.ndarray:
        """Return each row's error, `(R,)`, or as bool whether it is wrong: for a verdict's test."""

    @abstractmethod
    def text(self, truth: Any) -> str:
        """Return what a truth says, as `score` takes it."""

    @abstractmethod
    def frame(self, answers: Answers, truths: Sequence[Any] | None) -> pl.DataFrame:
        """Return answers as columns of predictions.csv: prediction, probabilities, ..."""

    @abstractmethod
    def baselines(self, examples: Examples, options: Any) -> list[Baseline]:
        """Return what the network has to beat, not fitted, for inputs as of these examples."""

    @abstractmethod
    def as_dict(self) -> dict[str, Any]:
        """Return what `from_dict` takes, ready for JSON; `kind` is among it."""

    @classmethod
    @abstractmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Self:
        """Return the target that `as_dict` described."""

    def details(self, answers: Answers, truths: Sequence[Any]) -> dict[str, Any]:
        """Return what the report draws of a split: confusion, per-class table, calibration."""
        return {}

    def initial_bias(self) -> np.ndarray | None:
        """Return what the head's bias starts from, `(O,)`: log frequencies, a mean; or None."""
        return None

    def key(self) -> str:
        """Return what `encode` depends on besides the cells; pictures are cached by it."""
        return repr(sorted(self.as_dict().items()))

    def summary(self) -> str:
        """Return what it answers, in a few words: `10 classes`."""
        return self.kind


class SequenceTarget(Target):
    """A target that is a sequence of its own, which a decoder writes element by element."""

    shape = "sequence"

    @abstractmethod
    def previous(self, truth_BU: Tensor) -> Tensor:
        """Return what a decoder reads at each step of padded truths: the element before."""

    @abstractmethod
    def decoder(
        self,
        options: Any,
        *,
        memory_size: int = 0,
        context_size: int = 0,
        embed: nn.Embedding | None = None,
    ) -> Decoder:
        """Return a new decoder.

        Args:
            options: the configuration.
            memory_size: features of a step of what an encoder read; 0: there is none.
            context_size: features of a vector fed at every step; 0: there is none.
            embed: the encoder's embedding, of a vocabulary that both share.
        """

    @abstractmethod
    def write(
        self, decoder: Decoder, state: DecoderState, options: Any, n_best: int
    ) -> list[list[Written]]:
        """Return what a decoder writes from a state: each row's `n_best` answers, best first."""

    @abstractmethod
    def gathered(self, written: Sequence[Sequence[Written]] | None, **told: Any) -> Answers:
        """Return what was written to rows as answers; `told` are losses and counts."""

    @abstractmethod
    def references(self, cells: Cells) -> list[Any]:
        """Return what is right for a row, as `score` takes it; several where several are."""


@dataclass(frozen=True)
class Written:
    """One answer that a decoder wrote.

    Attributes:
        value: the answer: text, or an array.
        tokens: its tokens, if it has such.
        weights: where each was looked at, `weights[token][step read]`; None without attention.
    """

    value: Any
    tokens: list[str] | None = None
    weights: list[list[float]] | None = None
