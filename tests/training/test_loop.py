"""The training loop on a task small enough to be followed by hand."""

from __future__ import annotations

import json
import math

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from elman.data.batch import Batch
from elman.errors import DivergenceError, InputError
from elman.training import checkpoint
from elman.training.loop import Interrupted, Trainer, make_optimizer
from elman.training.observer import Observer
from elman.training.options import TrainingOptions
from elman.training.randomness import derive, generator


class Line:
    """Fits y = 3x + dropout noise; the score is how far the weight is from 3."""

    score_name = "distance"

    def __init__(self, scores: list[float] | None = None) -> None:
        self.x = torch.linspace(-1, 1, 40).reshape(40, 1, 1)
        self.scores = scores
        self.seen: list[list[int]] = []
        self.carried = {}

    def begin_epoch(self, share):
        self.share = share

    def order(self, batch_size, shuffle):
        picks = torch.randperm(40, generator=shuffle)
        self.seen.append(picks.tolist())
        return list(picks.split(batch_size))

    def batch(self, name):
        return Batch(self.x[name], 3 * self.x[name])

    def loss(self, network, batch):
        return F.mse_loss(F.dropout(network(batch.x_BTI), 0.2, network.training), batch.target)

    def validate(self, network):
        distance = (network.weight.detach() - 3).abs().item()
        return distance, self.scores.pop(0) if self.scores else distance

    def name_input(self, batch):
        return "the largest input is 'x'"


def make_network():
    torch.manual_seed(3)
    return nn.Linear(1, 1)


class Recorder(Observer):
    def __init__(self):
        self.epochs = []

    def epoch(self, metrics):
        self.epochs.append(metrics)


class StopAt(Observer):
    """Interrupts the trainer at one optimiser step, as Ctrl-C does."""

    def __init__(self, step):
        self.at, self.trainer = step, None

    def step(self, progress, num_batches):
        if progress.step == self.at:
            self.trainer.interrupted = True


def options(**given):
    values = {"epochs": 4, "batch_size": 8, "learning_rate": 0.05, "clip_norm": 0} | given
    return TrainingOptions.parse(values, "test")


@pytest.mark.parametrize("optimizer", ["adam", "adamw", "sgd", "rmsprop"])
@pytest.mark.parametrize("stop_at", [1, 5, 7, 13, 19])
def test_interrupted_and_resumed_is_bit_for_bit_unbroken(tmp_path, optimizer, stop_at):
    chosen = options(optimizer=optimizer, schedule="cosine", warmup=1)
    unbroken = Trainer(make_network(), Line(), chosen, Observer())
    unbroken.run()

    stop = StopAt(stop_at)
    first = Trainer(make_network(), Line(), chosen, stop, tmp_path, "data")
    stop.trainer = first
    with pytest.raises(Interrupted):
        first.run()
    torch.manual_seed(99)  # whatever else has drawn numbers since
    second = Trainer(nn.Linear(1, 1), Line(), chosen, Observer(), tmp_path, "data")
    second.resume()
    assert second.progress.step == stop_at
    second.run()
    assert second.progress.best_epoch == unbroken.progress.best_epoch
    assert second.progress.best_score == unbroken.progress.best_score
    for name, value in unbroken.network.state_dict().items():
        assert torch.equal(value, second.network.state_dict()[name])


def test_more_epochs_later_equal_more_epochs_at_once(tmp_path):
    at_once = Trainer(make_network(), Line(), options(epochs=6), Observer())
    at_once.run()
    Trainer(make_network(), Line(), options(epochs=2), Observer(), tmp_path).run()
    later = Trainer(make_network(), Line(), options(epochs=6), Observer(), tmp_path)
    later.resume()
    assert later.progress.epoch == 2
    later.run()
    assert torch.equal(at_once.network.weight, later.network.weight)


def test_the_callers_random_numbers_are_left_alone():
    trainer = Trainer(make_network(), Line(), options(epochs=1), Observer())
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    trainer.run()
    assert torch.equal(torch.rand(3), expected)


def test_early_stopping_keeps_the_best_weights():
    recorder = Recorder()
    scores = [5.0, 2.0, 3.0, 2.0, 4.0, 1.0]  # an equal score is no better one
    weights = []
    task = Line(scores)
    score = task.validate

    def remember(network):
        weights.append(network.weight.detach().clone())
        return score(network)

    task.validate = remember
    trainer = Trainer(make_network(), task, options(epochs=50, patience=3), recorder)
    progress = trainer.run()
    assert (progress.epoch, progress.best_epoch, progress.best_score) == (5, 2, 2.0)
    assert "no better validation score for 3 epochs" in progress.stopped
    assert [metrics.best for metrics in recorder.epochs] == [True, True, False, False, False]
    assert torch.equal(trainer.network.weight, weights[1])


def test_the_last_weights_are_kept_where_that_is_asked():
    task = Line([5.0, 2.0, 3.0])
    last = []
    score = task.validate

    def remember(network):
        last.append(network.weight.detach().clone())
        return score(network)

    task.validate = remember
    trainer = Trainer(make_network(), task, options(epochs=3, keep="last"), Observer())
    progress = trainer.run()
    assert (progress.best_epoch, progress.best_score) == (2, 2.0)
    assert torch.equal(trainer.network.weight, last[2])


def test_every_epoch_sees_every_window_once_in_a_new_order():
    task = Line()
    Trainer(make_network(), task, options(epochs=3, batch_size=7), Observer()).run()
    assert [sorted(order) for order in task.seen] == [list(range(40))] * 3
    assert task.seen[0] != task.seen[1] != task.seen[2]


def test_schedules():
    def rates(scores=None, **given):
        recorder = Recorder()
        task = Line(scores)
        Trainer(make_network(), task, options(learning_rate=1.0, **given), recorder).run()
        return [metrics.learning_rate for metrics in recorder.epochs]

    assert rates(epochs=3) == [1.0, 1.0, 1.0]
    expected = [0.5 * (1 + math.cos(math.pi * epoch / 4)) for epoch in range(4)]
    assert rates(epochs=4, schedule="cosine") == pytest.approx(expected)
    assert rates(epochs=4, warmup=3) == pytest.approx([0.25, 0.5, 0.75, 1.0])
    worse = [1.0, 2.0, 2.0, 2.0, 2.0, 2.0]
    halved = rates(worse, epochs=6, schedule="plateau", patience=6)
    assert halved == [1.0, 1.0, 1.0, 0.5, 0.5, 0.25]


def test_clipping_by_norm_by_value_and_adaptively():
    def step(**given):
        network = make_network()
        before = network.weight.item(), network.bias.item()
        chosen = options(epochs=1, batch_size=40, optimizer="sgd", momentum=0.0, **given)
        recorder = Recorder()
        task = Line()
        task.loss = lambda net, batch: 100 * net.weight.sum() + 10 * net.bias.sum()
        trainer = Trainer(network, task, chosen, recorder)
        trainer.run()
        norm = recorder.epochs[0].gradient_norm
        moved = before[0] - network.weight.item(), before[1] - network.bias.item()
        return norm, [value / 0.05 for value in moved]

    norm, free = step()
    assert norm == pytest.approx(math.hypot(100, 10))
    assert free == pytest.approx([100, 10], rel=1e-3)
    norm, by_norm = step(clip_norm=1.0)
    assert norm == pytest.approx(math.hypot(100, 10))  # what is told is before clipping
    assert math.hypot(*by_norm) == pytest.approx(1.0, rel=1e-3)
    _, by_value = step(clip_value=20.0)
    assert by_value == pytest.approx([20, 10], rel=1e-3)
    _, adaptively = step(clip_adaptive=0.5)
    halves = [abs(parameter.item()) / 2 for parameter in make_network().parameters()]
    assert adaptively == pytest.approx(halves, rel=1e-3)


def test_a_loss_that_is_not_finite_stops_training_and_names_where(tmp_path):
    task = Line()
    calm = task.loss

    def explode(network, batch):
        explode.calls += 1
        return calm(network, batch) * (math.inf if explode.calls == 8 else 1)

    explode.calls = 0
    task.loss = explode
    chosen = options(checkpoint_seconds=0)
    trainer = Trainer(make_network(), task, chosen, Observer(), tmp_path)
    with pytest.raises(DivergenceError) as caught:
        trainer.run()
    words = str(caught.value)
    assert "epoch 2, batch 3" in words
    assert "the gradient of weight, bias" in words
    assert "'x'" in words
    assert str(tmp_path / checkpoint.FILE_NAME) in words
    network = nn.Linear(1, 1)
    optimizer = make_optimizer(network, chosen)
    progress, _ = checkpoint.load(tmp_path / checkpoint.FILE_NAME, network, optimizer, "")
    assert progress.step == 7
    assert all(p.isfinite().all() for p in network.parameters())


def test_a_checkpoint_of_other_data_or_of_another_network_is_refused(tmp_path):
    Trainer(make_network(), Line(), options(), Observer(), tmp_path, "old").run()
    changed = Trainer(make_network(), Line(), options(), Observer(), tmp_path, "new")
    with pytest.raises(InputError, match="table or the options"):
        changed.resume()
    other = Trainer(nn.Linear(2, 1), Line(), options(), Observer(), tmp_path, "old")
    with pytest.raises(InputError, match="not a checkpoint of this run"):
        other.resume()
    path = tmp_path / checkpoint.FILE_NAME
    path.write_bytes(path.read_bytes()[:100])
    broken = Trainer(make_network(), Line(), options(), Observer(), tmp_path, "old")
    with pytest.raises(InputError, match="damaged"):
        broken.resume()


def test_a_checkpoint_holds_no_pickle(tmp_path):
    Trainer(make_network(), Line(), options(), Observer(), tmp_path).run()
    raw = (tmp_path / checkpoint.FILE_NAME).read_bytes()
    size = int.from_bytes(raw[:8], "little")
    header = json.loads(raw[8 : 8 + size])
    assert json.loads(header["__metadata__"]["progress"])["epoch"] == 4
    assert "network/weight" in header


def test_seeds_differ_by_purpose_and_place_and_not_by_history():
    places = [("order", 0), ("order", 1), ("dropout", 0, 0), ("dropout", 0, 1), ("dropout", 1, 0)]
    assert len({derive(1, *place) for place in places} | {derive(2, *places[0])}) == 6
    first = torch.rand(2, generator=generator(1, "order", 4))
    torch.rand(100)
    assert torch.equal(first, torch.rand(2, generator=generator(1, "order", 4)))
