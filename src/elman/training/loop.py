"""Training by backpropagation through time: epochs of mini-batches, with early stopping.

The network is unrolled over the whole window, the loss is taken over every output that the task
uses, and autograd carries the gradient of each of them back through all earlier steps. What a
mini-batch is and what its loss is, the task knows; how training goes on, stops and comes back,
this file does. A run that is interrupted at any moment and resumed computes the same bits as one
that never was: order and dropout are drawn by (seed, epoch, batch), the rest is in the checkpoint.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import get_ema_multi_avg_fn

from elman.data.batch import Batch
from elman.errors import DivergenceError
from elman.training import checkpoint
from elman.training.checkpoint import Progress
from elman.training.clipping import clip_adaptive
from elman.training.observer import EpochMetrics, Observer
from elman.training.options import TrainingOptions
from elman.training.randomness import derive, generator, own_randomness, seed_device
from elman.training.watch import Watch

_PLATEAU = 5  # epochs without a better score, where patience does not say


class Task(Protocol):
    """What the loop must know of the job at hand."""

    score_name: str
    carried: dict[str, Tensor]
    """What a stream carries from one mini-batch to the next; empty where nothing is carried."""

    def begin_epoch(self, share: float) -> None:
        """An epoch begins, or goes on; `share` of all epochs lies behind it."""
        ...

    def order(self, batch_size: int, shuffle: torch.Generator) -> list[Any]:
        """Return one epoch's mini-batches, as names that `batch` understands."""
        ...

    def batch(self, name: Any) -> Batch:
        """Return one mini-batch."""
        ...

    def loss(self, network: nn.Module, batch: Batch) -> Tensor:
        """Return the mean loss over every output that is used."""
        ...

    def validate(self, network: nn.Module) -> tuple[float, float]:
        """Return the loss and the score (lower is better) on the validation span."""
        ...

    def name_input(self, batch: Batch) -> str:
        """Say which input of the batch is least like the others, for an error message."""
        ...


class Interrupted(KeyboardInterrupt):
    """Training was interrupted and has left a checkpoint."""


@dataclass
class Trainer:
    """Trains a network; `run` returns when the last epoch, or patience, is reached.

    Args:
        network: on the device it is trained on.
        task: its mini-batches, losses and scores.
        options: how to train.
        observer: hears of each step and epoch.
        folder: where checkpoints are kept; None keeps none.
        data: digest of the data and the options that a checkpoint must have been made with.
    """

    network: nn.Module
    task: Task
    options: TrainingOptions
    observer: Observer
    folder: Path | None = None
    data: str = ""

    def __post_init__(self) -> None:
        self.optimizer = make_optimizer(self.network, self.options)
        self._parameters = list(self.network.parameters())
        self._device = self._parameters[0].device
        self.progress = Progress()
        self._watch = Watch(self.network, self.observer, self.options.clip_norm)
        decay = self.options.average
        self.average = Average(self.network, decay) if decay else None
        self._carried: dict[str, Tensor] = {}
        self.best: dict[str, Tensor] = {}
        self.interrupted = False
        self._saved_at = time.monotonic()

    def resume(self) -> None:
        """Go back to the last checkpoint, if there is one."""
        if self.folder and (path := self.folder / checkpoint.FILE_NAME).exists():
            self.progress, groups = checkpoint.load(path, self.network, self.optimizer, self.data)
            self.best = groups["best"]
            if self.average is not None:
                self.average.weights = [
                    groups["average"][name].to(self._device) for name in self.average.names
                ]
            self._carried = groups["carried"]
            self.progress.stopped = self._why_stop()

    def run(self) -> Progress:
        """Train; the network ends with its best weights, or with the last ones if these are kept.

        Raises:
            DivergenceError: a loss or a gradient was not finite.
            Interrupted: Ctrl-C; a checkpoint was left.
        """
        progress = self.progress
        self.observer.begin(progress, self.options.epochs, self.task.score_name)
        if progress.step == 0:
            self._save()
        with own_randomness(self.options.seed, "training"), self._catching_interrupts():
            while not progress.stopped:
                self._epoch()
        self.network.load_state_dict(self.best)
        self.observer.end(progress)
        return progress

    def _epoch(self) -> None:
        options, progress = self.options, self.progress
        rate = options.learning_rate * _rate_factor(options, progress)
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        shuffle = generator(options.seed, "order", progress.epoch)
        names = self.task.order(options.batch_size, shuffle)
        self.task.begin_epoch(progress.epoch / max(1, options.epochs))
        if self._carried:  # the epoch goes on in a resumed run
            self.task.carried = {k: v.to(self._device) for k, v in self._carried.items()}
            self._carried = {}
        self.network.train()
        for name in names[progress.batch :]:
            started = time.monotonic()
            self._step(self.task.batch(name), len(names))
            progress.epoch_seconds += time.monotonic() - started
            if self.interrupted or self._checkpoint_is_due():
                self._save()
            if self.interrupted:
                raise Interrupted
        started = time.monotonic()
        self._finish_epoch(rate)
        progress.seconds += time.monotonic() - started
        self._lower_rate()
        progress.stopped = self._why_stop()
        if progress.stopped or self._checkpoint_is_due():
            self._save()

    def _checkpoint_is_due(self) -> bool:
        return time.monotonic() - self._saved_at >= self.options.checkpoint_seconds

    def _step(self, batch: Batch, num_batches: int) -> None:
        options, progress = self.options, self.progress
        seed = derive(options.seed, "dropout", progress.epoch, progress.batch)
        seed_device(self._device, seed)
        for parameter in self._parameters:
            parameter.grad = None
        with self._watch.listening(progress.batch):
            loss = self.task.loss(self.network, batch)
            loss.backward()
        norm = nn.utils.get_total_norm([p.grad for p in self._parameters if p.grad is not None])
        loss_value, norm_value = loss.item(), norm.item()
        if not math.isfinite(loss_value) or not math.isfinite(norm_value):
            raise DivergenceError(self._why_not_finite(batch, loss_value))
        self._watch.step(loss_value, norm_value)
        if options.clip_norm and norm_value > options.clip_norm:
            nn.utils.clip_grads_with_norm_(self._parameters, options.clip_norm, norm)
        if options.clip_adaptive:
            clip_adaptive(self._parameters, options.clip_adaptive)
        if options.clip_value:
            nn.utils.clip_grad_value_(self._parameters, options.clip_value)
        self.optimizer.step()
        if self.average is not None:
            self.average.update(progress.step)
        progress.batch += 1
        progress.step += 1
        progress.examples += len(batch)
        progress.loss_sum += loss_value * len(batch)
        progress.norm_sum += norm_value * len(batch)
        self.observer.step(progress, num_batches)

    def _finish_epoch(self, rate: float) -> None:
        progress = self.progress
        self.network.eval()
        with self.average.in_place() if self.average is not None else nullcontext():
            valid_loss, score = self.task.validate(self.network)
            state = {k: v.detach().clone() for k, v in self.network.state_dict().items()}
        if not math.isfinite(score):
            bad = [name for name, p in self.network.named_parameters() if not p.isfinite().all()]
            where = f"; not finite: {', '.join(bad)}" if bad else ""
            raise DivergenceError(
                f"training diverged: after epoch {progress.epoch + 1}, batch {progress.batch}, the "
                f"validation score is {score}{where}; {self._advice()}"
            )
        progress.epoch += 1
        best = progress.best_score is None or score < progress.best_score
        if best:
            progress.best_score, progress.best_epoch = score, progress.epoch
        if best or self.options.keep == "last":
            self.best = state
        train_loss = progress.loss_sum / progress.examples
        self._watch.epoch(progress.epoch, train_loss)
        self.observer.epoch(
            EpochMetrics(
                epoch=progress.epoch,
                step=progress.step,
                train_loss=train_loss,
                valid_loss=valid_loss,
                valid_score=score,
                gradient_norm=progress.norm_sum / progress.examples,
                learning_rate=rate,
                seconds=progress.epoch_seconds,
                examples_per_second=progress.examples / max(progress.epoch_seconds, 1e-9),
                best=best,
            )
        )
        progress.seconds += progress.epoch_seconds
        progress.batch = progress.examples = 0
        progress.loss_sum = progress.norm_sum = progress.epoch_seconds = 0.0

    def _lower_rate(self) -> None:
        options, progress = self.options, self.progress
        since_best = progress.epoch - max(progress.best_epoch, progress.reduced_at)
        enough = options.patience // 3 or _PLATEAU
        if options.schedule == "plateau" and since_best >= enough:
            progress.reductions, progress.reduced_at = progress.reductions + 1, progress.epoch

    def _why_stop(self) -> str | None:
        """Return why training is over, or None while it is not."""
        options, progress = self.options, self.progress
        if progress.epoch >= options.epochs:
            return f"all {options.epochs} epochs done"
        if options.patience and progress.epoch - progress.best_epoch >= options.patience:
            return f"no better validation score for {options.patience} epochs"
        return None

    def _save(self) -> None:
        # Where a step has just overflowed, the last good checkpoint stays; the next step tells.
        if self.folder and all(p.isfinite().all() for p in self._parameters):
            path = self.folder / checkpoint.FILE_NAME
            groups = {
                "network": self.network.state_dict(),
                "best": self.best,
                "average": self.average.named() if self.average is not None else {},
                "carried": self.task.carried if self.progress.batch else {},
            }
            checkpoint.save(path, self.progress, groups, self.optimizer, self.data)
        self._saved_at = time.monotonic()

    def _why_not_finite(self, batch: Batch, loss: float) -> str:
        bad = [
            name
            for name, parameter in self.network.named_parameters()
            if parameter.grad is not None and not parameter.grad.isfinite().all()
        ]
        gradients = f"; not finite: the gradient of {', '.join(bad)}" if bad else ""
        return (
            f"training diverged in epoch {self.progress.epoch + 1}, batch "
            f"{self.progress.batch + 1}: the loss is {loss:g}{gradients}; "
            f"{self.task.name_input(batch)}; {self._advice()}"
        )

    def _advice(self) -> str:
        kept = self.folder / checkpoint.FILE_NAME if self.folder else None
        left = "there is no checkpoint yet"
        if kept is not None and kept.exists():
            left = f"the last good checkpoint is {kept}"
        return (
            f"{left}; start a new run with a learning_rate below "
            f"{self.options.learning_rate:g} or a clip_norm of 1"
        )

    @contextmanager
    def _catching_interrupts(self) -> Iterator[None]:
        """Let Ctrl-C and SIGTERM end the step at hand first; a second Ctrl-C ends at once."""
        import signal
        import threading

        if threading.current_thread() is not threading.main_thread():
            yield
            return

        def note(number: int, frame: object) -> None:
            if self.interrupted:
                raise KeyboardInterrupt
            self.interrupted = True

        signals = (signal.SIGINT, signal.SIGTERM)
        previous = {number: signal.signal(number, note) for number in signals}
        try:
            yield
        finally:
            for number, handler in previous.items():
                signal.signal(number, handler)


class Average:
    """An exponential moving average of a network's parameters (Polyak & Juditsky 1992).

    Args:
        network: whose parameters are followed.
        decay: share of the average that a step keeps, once many steps are done; before, less, so
            that the first weights are soon forgotten.
    """

    def __init__(self, network: nn.Module, decay: float) -> None:
        named = dict(network.named_parameters())
        self.names = list(named)
        self._parameters: list[Tensor] = [*named.values()]
        self.weights = [parameter.detach().clone() for parameter in self._parameters]
        self._decay = decay

    def update(self, step: int) -> None:
        """Take the weights after one more step in."""
        keep = min(self._decay, (1 + step) / (10 + step))
        get_ema_multi_avg_fn(keep)(self.weights, self._parameters, step)

    def named(self) -> dict[str, Tensor]:
        """Return the averages by the parameters' names."""
        return dict(zip(self.names, self.weights, strict=True))

    @contextmanager
    def in_place(self) -> Iterator[None]:
        """Inside the block the network has the averaged weights."""
        with torch.no_grad():
            own = [parameter.detach().clone() for parameter in self._parameters]
            self._set(self.weights)
            try:
                yield
            finally:
                self._set(own)

    def _set(self, weights: list[Tensor]) -> None:
        for parameter, weight in zip(self._parameters, weights, strict=True):
            parameter.copy_(weight)


def make_optimizer(network: nn.Module, options: TrainingOptions) -> torch.optim.Optimizer:
    """Return the optimiser that `options` name, over the network's parameters."""
    rate, decay = options.learning_rate, options.weight_decay
    momentum = options.momentum
    make = {
        "adam": lambda p: torch.optim.Adam(p, rate, weight_decay=decay, fused=True),
        "adamw": lambda p: torch.optim.AdamW(p, rate, weight_decay=decay, fused=True),
        "sgd": lambda p: torch.optim.SGD(
            p, rate, momentum, weight_decay=decay, nesterov=momentum > 0, fused=True
        ),
        "rmsprop": lambda p: torch.optim.RMSprop(p, rate, momentum=momentum, weight_decay=decay),
    }
    return make[options.optimizer](list(network.parameters()))


def _rate_factor(options: TrainingOptions, progress: Progress) -> float:
    epoch, warmup = progress.epoch, options.warmup
    if epoch < warmup:
        return (epoch + 1) / (warmup + 1)
    if options.schedule == "cosine":
        done = (epoch - warmup) / max(1, options.epochs - warmup)
        return 0.5 * (1 + math.cos(math.pi * done))
    return 0.5**progress.reductions
