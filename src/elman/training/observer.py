"""Who hears how training goes: a progress display, the metrics file, a test."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:  # it brings torch, which a listener need not
    from elman.training.checkpoint import Progress


@dataclass(frozen=True)
class EpochMetrics:
    """One epoch, as it stands in a line of `metrics.jsonl`.

    `gradient_norm` is the mean over mini-batches before clipping; `seconds` is the time spent on
    this epoch's mini-batches; `best` tells whether its score is the lowest so far.
    """

    epoch: int
    step: int
    train_loss: float
    valid_loss: float
    valid_score: float
    gradient_norm: float
    learning_rate: float
    seconds: float
    examples_per_second: float
    best: bool

    def as_dict(self) -> dict[str, Any]:
        """Return the fields by name."""
        return asdict(self)


class Observer:
    """Hears nothing in particular; a subclass says what it does with what it hears."""

    def message(self, text: str, *, warning: bool = False) -> None:
        """Something worth telling the user happened."""

    def begin(self, progress: Progress, epochs: int, score_name: str) -> None:
        """Training starts or goes on: `epochs` in total; what the validation score measures."""

    def step(self, progress: Progress, num_batches: int) -> None:
        """A mini-batch is done; an epoch has `num_batches`."""

    def epoch(self, metrics: EpochMetrics) -> None:
        """An epoch is done and validated."""

    def end(self, progress: Progress) -> None:
        """Training has ended."""


class Observers(Observer):
    """Passes on what it hears to several."""

    def __init__(self, *observers: Observer) -> None:
        self._observers = observers

    def message(self, text: str, *, warning: bool = False) -> None:
        """Pass on."""
        for observer in self._observers:
            observer.message(text, warning=warning)

    def begin(self, progress: Progress, epochs: int, score_name: str) -> None:
        """Pass on."""
        for observer in self._observers:
            observer.begin(progress, epochs, score_name)

    def step(self, progress: Progress, num_batches: int) -> None:
        """Pass on."""
        for observer in self._observers:
            observer.step(progress, num_batches)

    def epoch(self, metrics: EpochMetrics) -> None:
        """Pass on."""
        for observer in self._observers:
            observer.epoch(metrics)

    def end(self, progress: Progress) -> None:
        """Pass on."""
        for observer in self._observers:
            observer.end(progress)
