"""The moving average of weights, by hand, in place, and through an interrupted run."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from elman.data.batch import Batch
from elman.training.loop import Average, Interrupted, Trainer
from elman.training.observer import Observer
from elman.training.options import TrainingOptions


class Line:
    """Fits y = 3x by mini-batches of 5."""

    score_name = "loss"

    def __init__(self) -> None:
        self.x = torch.linspace(-1, 1, 20).reshape(20, 1, 1)
        self.carried: dict[str, torch.Tensor] = {}
        self.validated: list[float] = []

    def begin_epoch(self, share): ...

    def order(self, batch_size, shuffle):
        return list(torch.randperm(20, generator=shuffle).split(batch_size))

    def batch(self, name):
        return Batch(self.x[name], 3 * self.x[name])

    def loss(self, network, batch):
        return F.mse_loss(network(batch.x_BTI), batch.target)

    def validate(self, network):
        self.validated.append(network.weight.item())
        loss = F.mse_loss(network(self.x), 3 * self.x).item()
        return loss, loss

    def name_input(self, batch):
        return "x"


def options(**more) -> TrainingOptions:
    values = {"epochs": 3, "batch_size": 5, "learning_rate": 0.05, "average": 0.6} | more
    return TrainingOptions.parse(values, "test")


def network() -> nn.Linear:
    torch.manual_seed(3)
    return nn.Linear(1, 1)


def test_by_hand() -> None:
    layer = nn.Linear(1, 1, bias=False)
    with torch.no_grad():
        layer.weight.fill_(1.0)
    average = Average(layer, 0.6)
    expected = 1.0
    # At first a tenth is kept, then (1 + n) / (10 + n), until that is more than was asked for.
    for step, keep in enumerate([1 / 10, 2 / 11, 3 / 12, 4 / 13]):
        with torch.no_grad():
            layer.weight.fill_(float(step))
        average.update(step)
        expected = keep * expected + (1 - keep) * step
        assert average.weights[0].item() == pytest.approx(expected, rel=1e-6)
    average.update(10_000)
    assert average.weights[0].item() == pytest.approx(0.6 * expected + 0.4 * 3, rel=1e-6)
    assert average.named()["weight"].item() == average.weights[0].item()


def test_in_place_gives_the_own_weights_back_even_after_an_error() -> None:
    layer = network()
    average = Average(layer, 0.5)
    with torch.no_grad():
        layer.weight.add_(1)
    own = layer.weight.item()

    def use_it() -> None:
        with average.in_place():
            assert layer.weight.item() == pytest.approx(own - 1)
            raise RuntimeError("inside")

    with pytest.raises(RuntimeError, match="inside"):
        use_it()
    assert layer.weight.item() == own


def test_a_tied_weight_is_averaged_once() -> None:
    layer = nn.Sequential(nn.Linear(2, 2, bias=False), nn.Linear(2, 2, bias=False))
    layer[1].weight = layer[0].weight
    assert Average(layer, 0.5).names == ["0.weight"]


def test_what_is_validated_and_kept_is_the_average() -> None:
    """Followed here from the weights that each step leaves."""
    steps: list[float] = []

    class Follow(Observer):
        def step(self, progress, num_batches):
            steps.append(trainer.network.weight.item())

    layer, task = network(), Line()
    followed = layer.weight.item()
    trainer = Trainer(layer, task, options(), Follow())
    trainer.run()
    expected = []
    for step, weight in enumerate(steps):
        keep = min(0.6, (1 + step) / (10 + step))
        followed = keep * followed + (1 - keep) * weight
        if step % 4 == 3:
            expected.append(followed)
    assert task.validated == pytest.approx(expected, rel=1e-5)
    assert layer.weight.item() == pytest.approx(expected[trainer.progress.best_epoch - 1], rel=1e-5)
    # Of a line that is learnt from one side the average lags behind.
    assert abs(expected[0] - 3) > abs(steps[3] - 3)


@pytest.mark.parametrize("stop_at", [1, 4, 6, 11])
def test_interrupted_and_resumed_is_bit_for_bit_unbroken(tmp_path, stop_at) -> None:
    unbroken = Trainer(network(), Line(), options(average=0.9), Observer())
    unbroken.run()

    class Stop(Observer):
        def step(self, progress, num_batches):
            first.interrupted = progress.step == stop_at

    first = Trainer(network(), Line(), options(average=0.9), Stop(), tmp_path)
    with pytest.raises(Interrupted):
        first.run()
    second = Trainer(nn.Linear(1, 1), Line(), options(average=0.9), Observer(), tmp_path)
    second.resume()
    second.run()
    assert unbroken.average is not None
    assert second.average is not None
    assert torch.equal(unbroken.network.weight, second.network.weight)
    assert torch.equal(unbroken.average.weights[0], second.average.weights[0])
    assert second.progress.best_score == unbroken.progress.best_score
