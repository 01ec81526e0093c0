"""Pictures as answers: the loss by hand, drawing row by row, the mean pictures to beat."""

from __future__ import annotations

import base64
import io
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image as Pillow
from torch import nn

from elman.config import Config
from elman.data.media import source
from elman.errors import BadCellError, InputError
from elman.kinds.scoring.metrics import METRICS
from elman.kinds.targets.image import ImageTarget, MeanPicture
from elman.kinds.targets.target import Answers, Examples

RNG = np.random.default_rng(11)


def options(**given):
    return Config.parse({"inputs": "vector:digit", "target": "image:file"} | given, "test")


def row(values):
    file = io.BytesIO()
    Pillow.fromarray(values).save(file, "PNG")
    return (source({"bytes": file.getvalue(), "path": "a.png"}, Path()),)


def pictures(count, height=5, width=3):
    return RNG.integers(0, 256, (count, height, width), dtype=np.uint8)


def made(height=5, width=3, mean=(0.5, 0.25, 0.0)) -> ImageTarget:
    return ImageTarget(("file",), (height, width), mean)


def logit(p):
    return np.log(p / (1 - p))


def test_a_row_is_a_row_of_pixels() -> None:
    (values,) = pictures(1)
    target = made()
    np.testing.assert_array_equal(target.encode(row(values)), values)
    assert (target.output_size, target.steps, target.shape) == (3, 5, "sequence")
    np.testing.assert_array_equal(target.references(row(values))[0], values)
    color = np.full((5, 3, 3), (255, 0, 0), np.uint8)
    assert (target.encode(row(color)) == 76).all()  # 0.299 of 255
    assert target.encode(row(pictures(1, 50, 60)[0])).shape == (5, 3)
    with pytest.raises(BadCellError, match="no picture"):
        target.encode((source(b"nothing", Path()),))


def test_the_loss_by_hand() -> None:
    z = torch.tensor([[0.0, 2.0, -1.0], [3.0, 0.0, 0.0]], dtype=torch.float64)
    x = torch.tensor([[0, 255, 51], [255, 0, 0]], dtype=torch.uint8)
    soft = -0.2 * np.log(1 / (1 + np.e)) - 0.8 * np.log(1 - 1 / (1 + np.e))
    first = (np.log(2) - np.log(1 / (1 + np.exp(-2))) + soft) / 3
    second = (np.log1p(np.exp(-3)) + 2 * np.log(2)) / 3
    losses = made().losses(z, x, training=True)
    np.testing.assert_allclose(losses.numpy(), [first, second], rtol=1e-12)


def test_the_gradient_of_the_loss() -> None:
    z = torch.randn(4, 3, dtype=torch.float64, requires_grad=True)
    x = torch.from_numpy(pictures(1, 4)[0])
    made().losses(z, x, training=True).sum().backward()
    expected = (torch.sigmoid(z.detach()) - x.double() / 255) / 3
    torch.testing.assert_close(z.grad, expected)


def test_the_row_above_is_read() -> None:
    truth = torch.from_numpy(pictures(2))
    read = made().previous(truth)
    assert read.shape == (2, 5, 3)
    assert not read[:, 0].any()
    torch.testing.assert_close(read[:, 1:], truth[:, :-1] / 255)


class Rows(nn.Module):
    """A decoder that answers sure logits from what it read, and notes it."""

    def __init__(self) -> None:
        super().__init__()
        self.read: list[torch.Tensor] = []

    def step(self, element, state):
        self.read.append(element)
        turned = element.roll(1, dims=1)
        turned[:, 0] = 1 - element[:, 2]
        return 40 * turned - 20, state


class State:
    """As much of a decoder's state as drawing needs."""

    rows, recurrent = 2, (torch.zeros(1, 2, 4),)


def test_drawn_row_by_row() -> None:
    decoder = Rows()
    written = made().write(decoder, State(), options(), 2)  # pyright: ignore[reportArgumentType]
    assert [len(each) for each in written] == [2, 2]
    ones = 20 * (2 * np.tril(np.ones((5, 3)))[:, :3] - 1)
    ones[3], ones[4] = [-20, 20, 20], [-20, -20, 20]
    for each in written:
        np.testing.assert_array_equal(each[0].value, ones)
    # What is read: nothing, then the row drawn.
    torch.testing.assert_close(decoder.read[0], torch.zeros(2, 3))
    torch.testing.assert_close(decoder.read[3], torch.ones(2, 3))
    answers = made().gathered(written)
    np.testing.assert_array_equal(answers.outputs[1], ones)
    assert made().gathered(None, losses=np.ones(2)).outputs is None


def test_drawn_from_the_seed() -> None:
    class Even(Rows):
        def step(self, element, state):
            self.read.append(element)
            return torch.zeros_like(element), state

    read = []
    for seed in (1, 1, 2):
        decoder = Even()
        made(40).write(decoder, State(), options(seed=seed), 1)  # pyright: ignore
        read.append(torch.stack(decoder.read[1:]))
    assert set(read[0].unique().tolist()) == {0.0, 1.0}
    assert abs(read[0].mean() - 0.5) < 0.12
    torch.testing.assert_close(read[0], read[1])
    assert (read[0] != read[2]).any()


def test_a_decoder_begins_with_the_mean_and_learns() -> None:
    target = made()
    decoder = target.decoder(options(hidden=6), context_size=2)
    bias = decoder.output.bias
    expected = logit(np.array([0.5, 0.25, 1e-3]))
    np.testing.assert_allclose(bias.detach().numpy(), expected, rtol=1e-5)  # pyright: ignore
    np.testing.assert_allclose(target.initial_bias(), expected, rtol=1e-5)


def test_scores_of_answers() -> None:
    truths = [[picture] for picture in pictures(4)]
    outputs = [RNG.normal(size=(5, 3)) for _ in truths]
    target = made()
    p = [1 / (1 + np.exp(-z)) for z in outputs]
    x = [t[0] / 255 for t in truths]
    nats = [-(a * np.log(b) + (1 - a) * np.log(1 - b)).mean() for a, b in zip(x, p, strict=True)]
    mae = np.mean([np.abs(a - b).mean() for a, b in zip(x, p, strict=True)])
    scores = target.score(Answers(outputs), truths)
    assert scores == pytest.approx({"nats": np.mean(nats), "mae": mae})
    # A network's loss is that of the rows given the true ones above, not that of what it drew.
    known = Answers(outputs, losses=np.array([1.0, 2.0, 3.0, 4.0]))
    assert target.score(known, truths) == pytest.approx({"nats": 2.5, "mae": mae})
    assert target.score(Answers(losses=np.ones(4)), truths) == {"nats": 1.0}
    np.testing.assert_allclose(target.errors(Answers(outputs), truths), nats)
    assert {target.score_name, target.headline, *scores} <= set(METRICS)
    frame = target.frame(Answers(outputs), truths)
    assert {"intensity", "truth", "nats"} <= set(frame.columns)
    np.testing.assert_allclose(frame["intensity"], [each.mean() for each in p])
    np.testing.assert_allclose(frame["truth"], [each.mean() for each in x])
    assert not {"truth", "nats"} & set(target.frame(Answers(outputs), None).columns)


def examples(digits, truths) -> Examples:
    inputs = {"digit": digits, "words": [f"{n} words" for n in range(len(digits))]}
    return Examples(inputs, {"digit": "vector"}, None, [[picture] for picture in truths])


def test_mean_pictures() -> None:
    truths = pictures(20)
    digits = ["one", "two"] * 10
    train = examples(digits, truths)
    target = made()
    plain, by_digit = (baseline.fit(train) for baseline in target.baselines(train, options()))
    assert (plain.name, by_digit.name) == ("mean picture", "mean picture of each digit")
    asked = examples(["two", "three"], truths[:2])
    mean, twos = truths.mean(0) / 255, truths[1::2].mean(0) / 255
    for picture in plain.answer(asked).outputs:
        np.testing.assert_allclose(picture, logit(mean), rtol=1e-5)
    two, unknown = by_digit.answer(asked).outputs
    np.testing.assert_allclose(two, logit(twos), rtol=1e-5)
    np.testing.assert_allclose(unknown, logit(mean), rtol=1e-5)
    assert target.score(plain.answer(train), train.truths)["nats"] > 0


def test_a_mean_that_is_black_is_not_sure() -> None:
    black = examples(["a"] * 2, np.zeros((2, 5, 3), np.uint8))
    answers = MeanPicture().fit(black).answer(black)
    assert made().score(answers, black.truths)["nats"] == pytest.approx(-np.log(1 - 1e-3), rel=1e-4)


def test_learnt_and_back_through_json() -> None:
    values = pictures(9, 5, 4)
    bad = (source(b"bad", Path()),)
    rows = [*(row(picture) for picture in values), bad]
    target = ImageTarget.learn(("file",), rows, options(picture_size="5x4"))
    np.testing.assert_allclose(target.mean, values.mean((0, 1)) / 255)
    assert ImageTarget.from_dict(json.loads(json.dumps(target.as_dict()))) == target
    assert target.summary() == target.text(values[0]) == "5 rows of 4 pixels"
    assert target.key() == made(5, 4).key()
    assert target.key() != made(6, 4).key()
    with pytest.raises(InputError, match="no training row's picture can be read"):
        ImageTarget.learn(("file",), [bad], options())
    with pytest.raises(InputError, match="expected one column"):
        ImageTarget.learn(("a", "b"), [bad], options())


def test_drawn_as_png() -> None:
    def decoded(text):
        return np.asarray(Pillow.open(io.BytesIO(base64.b64decode(text))))[::32, ::32]

    (values,) = pictures(1)
    np.testing.assert_array_equal(decoded(made().draw_truth(values)), values)
    p = np.clip(values / 255, 0.01, 0.99)
    np.testing.assert_array_equal(decoded(made().draw(logit(p))), np.round(p * 255))
