"""Warnings while training: networks that explode, vanish and stop, and some that do neither."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import elman
from elman.training.loop import Trainer
from elman.training.observer import Observer
from elman.training.options import TrainingOptions
from elman.training.watch import Watch


class Ear(Observer):
    """Keeps the warnings."""

    def __init__(self) -> None:
        self.heard: list[str] = []

    def message(self, text: str, *, warning: bool = False) -> None:
        assert warning
        self.heard.append(text)


class AtEnd(nn.Module):
    """Answers after the last step."""

    def __init__(self, layer: Any) -> None:
        super().__init__()
        self.layer, self.head = layer, nn.Linear(16 * layer.num_directions, 1)

    def forward(self, x_BTI: Tensor) -> Tensor:
        return self.head(self.layer(x_BTI)[0][:, -1])[:, 0]


@dataclass
class Pair:
    """Rows and what is to be answered."""

    x_BTI: Tensor
    y_B: Tensor

    def __len__(self) -> int:
        return len(self.y_B)


class Early:
    """The task of saying what the first step held (`training.loop.Task`)."""

    score_name = "mse"

    def __init__(self, steps: int, rows: int = 256) -> None:
        self.carried: dict[str, Tensor] = {}
        generator = torch.Generator().manual_seed(1)
        self.x_BTI = torch.rand(rows, steps, 2, generator=generator)
        self.y_B = self.x_BTI[:, 0, 0] + self.x_BTI[:, 0, 1]

    def begin_epoch(self, share: float) -> None:
        """Do nothing."""

    def order(self, batch_size: int, shuffle: torch.Generator) -> list[slice]:
        """Return the rows in order."""
        return [slice(at, at + batch_size) for at in range(0, len(self.x_BTI), batch_size)]

    def batch(self, name: slice) -> Pair:
        """Return some rows."""
        return Pair(self.x_BTI[name], self.y_B[name])

    def loss(self, network: nn.Module, batch: Pair) -> Tensor:
        """Return the mean squared error."""
        return (network(batch.x_BTI) - batch.y_B).square().mean()

    def validate(self, network: nn.Module) -> tuple[float, float]:
        """Return it over all rows."""
        with torch.no_grad():
            loss = self.loss(network, Pair(self.x_BTI, self.y_B)).item()
        return loss, loss

    def name_input(self, batch: Pair) -> str:
        """Return nothing."""
        return ""


def _train(layer: Any, steps: int, **options: Any) -> list[str]:
    ear = Ear()
    chosen = TrainingOptions(**{"epochs": 12, "learning_rate": 0.01, "patience": 0} | options)
    Trainer(AtEnd(layer), Early(steps), chosen, ear).run()
    return ear.heard


def test_a_tanh_rnn_that_would_have_to_look_far_back_vanishes() -> None:
    (text,) = _train(elman.RNN(2, 16, batch_first=True), 150)
    assert text.startswith("gradients vanish: of 150 steps the first get ")
    assert "--cell lstm or gru" in text
    assert "elman diagnose" in text


def test_rectified_units_with_large_weights_explode() -> None:
    layer = elman.RNN(2, 16, nonlinearity="relu", batch_first=True)
    with torch.no_grad():
        layer.weight_hh_l0.copy_(1.4 * torch.eye(16))
    heard = _train(layer, 40, epochs=2, clip_norm=0.0, learning_rate=1e-6)
    assert len(heard) == 1  # once, though each step explodes
    assert heard[0].startswith("gradients explode: of 40 steps the first get ")
    assert "--clip-norm 1 limits them" in heard[0]
    with torch.no_grad():
        layer.weight_hh_l0.copy_(1.4 * torch.eye(16))
    assert "--clip-norm 2 limits them" in _train(layer, 40, epochs=2, clip_norm=2.0)[0]


def test_units_that_are_all_dead_stop() -> None:
    layer = elman.RNN(2, 16, nonlinearity="relu", batch_first=True)
    with torch.no_grad():
        layer.bias_hh_l0.fill_(-50)
    (text,) = _train(layer, 10, epochs=3)
    assert text.startswith("gradients stopped: none passes the recurrent layer")


@pytest.mark.parametrize(
    ("layer", "steps"),
    [
        (elman.GRU(2, 16, batch_first=True), 24),
        (elman.LSTM(2, 16, num_layers=2, batch_first=True), 40),
        (elman.GRU(2, 16, bidirectional=True, batch_first=True), 40),
        (elman.RNN(2, 16, batch_first=True), 8),
    ],
    ids=["gru", "lstm", "bidirectional", "rnn"],
)
def test_others_are_left_in_peace(layer: nn.Module, steps: int) -> None:
    assert _train(layer, steps) == []


def test_listening_changes_no_bit() -> None:
    found = []
    for listened in (True, False):
        torch.manual_seed(3)
        network, task = AtEnd(elman.LSTM(2, 16, batch_first=True)), Early(30)
        watch = Watch(network, Observer(), 1.0)
        with watch.listening(0 if listened else 9):
            task.loss(network, task.batch(slice(0, 32))).backward()
        found.append([p.grad for p in network.parameters()])
        assert not network.layer._forward_pre_hooks
    assert all(torch.equal(one, other) for one, other in zip(*found, strict=True))


def _fed(losses_and_norms: list[tuple[float, float]]) -> list[str]:
    ear = Ear()
    watch = Watch(nn.Linear(1, 1), ear, 1.0)
    for loss, norm in losses_and_norms:
        watch.step(loss, norm)
    return ear.heard


def test_one_outlier_is_no_explosion() -> None:
    usual = [(1.0, 0.5)] * 30
    assert _fed([*usual, (1.0, 5000.0), *usual, (1.0, 5000.0), *usual]) == []
    assert len(_fed([*usual, (1.0, 5000.0), (1.0, 6000.0), (1.0, 7000.0)])) == 1


def test_what_is_usual_is_learnt_and_large_losses_have_large_gradients() -> None:
    assert _fed([(1.0, 0.5)] * 20 + [(1.0, 450.0)] * 9) == []  # 900 times, not 1,000
    assert _fed([(1e6, 1e7)] * 50) == []
    (text,) = _fed([(1e6, 1e7)] * 50 + [(1e9, 2e10)] * 3)
    assert text.startswith("gradients explode: a norm of 2e+10 where 1e+07 is usual, 3 times")


def test_a_step_that_matters_more_than_others_is_no_growth() -> None:
    ear = Ear()
    watch = Watch(nn.Linear(1, 1), ear, 1.0)
    by_step_T = torch.full((60,), 1e-9, dtype=torch.double)
    by_step_T[:5] = 1.0
    for _ in range(9):
        watch._compare_thirds(by_step_T)
    assert ear.heard == []


def test_a_gradient_lost_in_rounding_is_told_after_fifty_steps() -> None:
    assert _fed([(0.7, 1e-10)] * 49 + [(0.7, 1e-3)] + [(0.7, 1e-10)] * 49) == []
    (text,) = _fed([(0.7, 1e-10)] * 120)
    assert text.startswith("gradients stopped: for 50 steps their norm was at most 1e-10")
    assert _fed([(0.0, 0.0)] * 120) == []  # all is learnt


def test_one_that_has_learnt_stands_still_in_peace() -> None:
    ear = Ear()
    watch = Watch(AtEnd(elman.RNN(2, 16, batch_first=True)), ear, 1.0)
    watch._reached = [(1e-30, 100)]
    for number, loss in enumerate([1.0, 0.9, 0.8, 0.4, 0.3, 0.3, 0.3, 0.3], 1):
        watch._reached = [(1e-30, 100)]
        watch.epoch(number, loss)
    assert ear.heard == []
    late = Watch(AtEnd(elman.RNN(2, 16, batch_first=True)), ear, 1.0)
    for number in range(50, 60):  # resumed: where it began is not known
        late._reached = [(1e-30, 100)]
        late.epoch(number, 0.3)
    assert ear.heard == []
