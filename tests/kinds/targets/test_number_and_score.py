"""The kinds of target `number` and `score`."""

from __future__ import annotations

import json
import math
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats
from sklearn import metrics

from elman.errors import BadCellError, InputError
from elman.kinds.scoring.regression import as_number, number_scores, scatter
from elman.kinds.targets.number import Number
from elman.kinds.targets.score import Score
from elman.kinds.targets.target import Answers, Examples


def number(*columns: list[Any]) -> Number:
    names = ("a", "b", "c")[: len(columns)]
    return Number.learn(names, list(zip(*columns, strict=True)), SimpleNamespace())


def score(cells: list[Any], given_range: tuple[float, ...] = ()) -> Score:
    options = SimpleNamespace(score_range=given_range)
    return Score.learn(("stars",), [(cell,) for cell in cells], options)


@pytest.mark.parametrize(
    ("cell", "value"), [("1.5", 1.5), (" -2 ", -2), (3, 3), ("1e3", 1000), (True, 1)]
)
def test_a_number_is_read(cell: Any, value: float) -> None:
    assert as_number(cell) == value


@pytest.mark.parametrize(
    ("cell", "said"),
    [
        ("", "the cell is empty; expected a number"),
        (None, "the cell is empty; expected a number"),
        ("many", "expected a number, got 'many'"),
        ("nan", "expected a number, got 'nan'"),
        (float("inf"), "expected a number, got 'inf'"),
        ("x" * 99, f"expected a number, got '{'x' * 40}'"),
    ],
)
def test_a_cell_without_a_number(cell: Any, said: str) -> None:
    with pytest.raises(BadCellError, match=said):
        as_number(cell)


def test_number_scores_worked_by_hand() -> None:
    scores = number_scores(np.array([1.0, 2.0, 6.0]), np.array([2.0, 2.0, 4.0]))
    assert scores["mae"] == pytest.approx(1)
    assert scores["rmse"] == pytest.approx(math.sqrt(5 / 3))
    assert scores["r2"] == pytest.approx(1 - 5 / 14)
    # Differences from the means: -2, -1, 3 and -2/3, -2/3, 4/3.
    assert scores["correlation"] == pytest.approx(6 / math.sqrt(14 * 24 / 9))


@given(st.integers(0, 1000), st.integers(3, 40))
def test_number_scores_as_other_libraries_have_them(seed: int, rows: int) -> None:
    truth, answer = np.random.default_rng(seed).normal(size=(2, rows))
    scores = number_scores(truth, answer)
    assert scores["mae"] == pytest.approx(metrics.mean_absolute_error(truth, answer))
    assert scores["rmse"] == pytest.approx(metrics.root_mean_squared_error(truth, answer))
    assert scores["r2"] == pytest.approx(metrics.r2_score(truth, answer))
    assert scores["correlation"] == pytest.approx(stats.pearsonr(truth, answer)[0])


def test_number_scores_that_are_not_defined() -> None:
    alike = number_scores(np.array([1.0, 2.0]), np.array([0.1 + 0.2, 0.3]))
    assert alike["correlation"] is None
    assert alike["r2"] is not None
    assert number_scores(np.array([2.0, 2.0]), np.array([1.0, 3.0]))["r2"] is None
    assert set(number_scores(np.zeros(0), np.zeros(0)).values()) == {None}


def test_scatter_keeps_ends_and_a_bounded_number() -> None:
    points = scatter(np.arange(5001.0), np.arange(5001.0) / 3)
    assert len(points) == 2000
    assert points[0] == [0, 0]
    assert points[-1] == [5000, 1666.67]
    assert scatter(np.arange(3.0), np.ones(3)) == [[0, 1], [1, 1], [2, 1]]
    assert scatter(np.zeros(0), np.zeros(0)) == []


def test_a_number_is_standardised_by_the_training_rows() -> None:
    target = number(["1", "3", None, "x", "5"])
    deviation = math.sqrt(8 / 3)
    np.testing.assert_allclose(target.encode(("7",)), [4 / deviation], rtol=1e-6)
    assert target.encode(("7",)).dtype == np.float32
    assert target.output_size == 1
    assert target.headline == "mae"
    output = torch.tensor([[1.0], [2.0]])
    losses = target.losses(output, torch.tensor([[0.0], [4.0]]), training=True)
    assert losses.tolist() == [1, 4]
    # An answer of zero is the mean, whose squared error on the training rows is one.
    truths = torch.tensor(np.stack([target.encode((cell,)) for cell in (1, 3, 5)]))
    assert target.losses(truths * 0, truths, training=False).mean().item() == pytest.approx(1)


def test_a_number_is_scored_in_its_own_unit() -> None:
    target = number([10, 30])
    answers = Answers(outputs=np.array([[0.0], [2.0]]))
    truths = [target.encode((cell,)) for cell in (25, 30)]
    assert target.score(answers, truths) == pytest.approx(
        number_scores(np.array([25.0, 30]), np.array([20.0, 40])), rel=1e-6
    )
    assert target.errors(answers, truths) == pytest.approx([5, 10], rel=1e-6)
    frame = target.frame(answers, truths)
    assert frame["prediction"].to_list() == [20, 40]
    assert frame["truth"].to_list() == pytest.approx([25, 30])
    assert target.details(answers, truths) == {"scatter": [[25, 20], [30, 40]], "range": [20, 40]}
    assert target.text(truths[0]) == "25"


def test_several_numbers() -> None:
    target = number([0, 2], [100, 300])
    assert target.encode((2, 100)).tolist() == [1, -1]
    outputs, truths = np.array([[0.0, 0.0], [1.0, 2.0]]), [np.array([1.0, 0]), np.array([1.0, 1])]
    answers = Answers(outputs=outputs)
    frame = target.frame(answers, truths)
    assert frame.columns == ["prediction_a", "prediction_b", "truth_a", "truth_b"]
    assert frame["prediction_b"].to_list() == [200, 400]
    scores = target.score(answers, truths)
    assert scores["mae"] == pytest.approx((0.5 + 0.5) / 2)
    assert scores["r2"] is None
    assert target.errors(answers, truths).tolist() == [0.5, 0.5]
    output = torch.tensor([[1.0, 3.0]])
    assert target.losses(output, torch.zeros(1, 2), training=True).tolist() == [5]
    with pytest.raises(BadCellError, match=r"column 'b': expected a number, got 'x'"):
        target.encode((1, "x"))


def test_numbers_that_cannot_be_learnt() -> None:
    with pytest.raises(InputError, match="no training row has a number"):
        number(["x", None])
    with pytest.raises(InputError, match="column 'a': every training row has 3;"):
        number([3, "3.0"])


def test_what_is_learnt_survives_json() -> None:
    target = number([1, 2, 4], [3, 5, 8])
    data = json.loads(json.dumps(target.as_dict()))
    assert data["kind"] == "number"
    back = Number.from_dict(data)
    assert back.as_dict() == target.as_dict()
    np.testing.assert_array_equal(back.encode((7, 8)), target.encode((7, 8)))
    other = score([1, 10], (0, 10))
    data = json.loads(json.dumps(other.as_dict()))
    assert data["kind"] == "score"
    assert Score.from_dict(data) == other


def test_a_score_is_encoded_in_its_range() -> None:
    target = score(["1", "10", None, "4"])
    assert [target.encode((cell,)).item() for cell in (1, "5.5", 10)] == [-1, 0, 1]
    assert target.encode((1,)).shape == ()
    assert target.summary() == "a score from 1 to 10"
    # A learnt range can be left: the truth is what it is.
    assert target.encode((19,)).item() == 3
    assert target.text(target.encode((7.3,))) == "7.3"


def test_a_range_that_is_given_is_held() -> None:
    target = score([0, 1], (-1, 1))
    assert target.encode((-1,)).item() == -1
    with pytest.raises(BadCellError, match=r"expected a score from -1 to 1, got 1\.5;"):
        target.encode(("1.5",))
    with pytest.raises(BadCellError, match="expected a number, got 'good'"):
        target.encode(("good",))


def test_scores_that_cannot_be_learnt() -> None:
    with pytest.raises(InputError, match="every training row has 3; expected scores that vary"):
        score([3, 3])
    with pytest.raises(InputError, match="'stars': no training row has a number"):
        score(["good"])
    with pytest.raises(InputError, match="expected one column, got 2"):
        Score.learn(("a", "b"), [], SimpleNamespace(score_range=()))


def test_loss_of_a_score_and_its_gradient() -> None:
    target = score([-1, 1])
    output = torch.tensor([[0.5], [-3.0], [0.0]], dtype=torch.float64, requires_grad=True)
    truth = torch.tensor([1.0, 1.0, -1.0], dtype=torch.float64)
    losses = target.losses(output, truth, training=True)
    expected = (np.tanh([0.5, -3, 0]) - [1, 1, -1]) ** 2
    np.testing.assert_allclose(losses.detach(), expected)
    assert losses.max() < 4
    assert torch.autograd.gradcheck(lambda o: target.losses(o, truth, training=True), (output,))


def test_a_head_starts_from_the_mean_score() -> None:
    bias = score([-1, 1, 1, 1]).initial_bias()
    assert bias is not None
    np.testing.assert_allclose(np.tanh(bias), [0.5])
    far = score([0, *[100] * 999]).initial_bias()
    assert far is not None
    assert np.tanh(far[0]) == pytest.approx(0.9)


def test_scores_of_a_score_worked_by_hand() -> None:
    target = score([1, 5])
    answers = Answers(outputs=np.arctanh([[-0.5], [0.25], [0.5], [-0.25]]))
    truths = [target.encode((cell,)) for cell in (1, 2, 5, 3)]
    scores = target.score(answers, truths)
    # The answers are 2, 3.5, 4, 2.5; a 3 is on no side of the middle.
    assert scores["accuracy"] == pytest.approx(2 / 3)
    assert scores["mae"] == pytest.approx((1 + 1.5 + 1 + 0.5) / 4)
    assert list(scores) == ["accuracy", "mae", "rmse", "correlation"]
    assert target.errors(answers, truths) == pytest.approx([1, 1.5, 1, 0.5])
    frame = target.frame(answers, truths)
    assert frame["prediction"].to_list() == pytest.approx([2, 3.5, 4, 2.5])
    assert frame["truth"].to_list() == [1, 2, 5, 3]
    assert target.details(answers, truths)["range"] == [1, 5]
    one_side = target.score(Answers(outputs=np.zeros((2, 1))), [np.array(0.5), np.array(1.0)])
    assert one_side["accuracy"] is None


@given(
    st.floats(-1e3, 1e3),
    st.floats(1e-2, 1e3),
    st.lists(st.floats(0, 1), min_size=1, max_size=20),
)
def test_a_score_comes_back(low: float, width: float, shares: list[float]) -> None:
    target = score([low, low + width])
    values = [low + share * width for share in shares]
    truths = [target.encode((value,)) for value in values]
    frame = target.frame(Answers(outputs=np.zeros((len(values), 1))), truths)
    np.testing.assert_allclose(frame["truth"], values, rtol=1e-5, atol=1e-5 * width)
    np.testing.assert_allclose(frame["prediction"], low + width / 2, atol=1e-5 * width)


@pytest.mark.parametrize("kind", ["number", "score"])
def test_baselines_answer_in_the_targets_own_unit(kind: str) -> None:
    cells = [1, 2, 2, 10]
    target = number(cells) if kind == "number" else score(cells)
    texts = ["bad bad film", "so so film", "so so film", "good good film"]
    truths = [target.encode((cell,)) for cell in cells]
    rows = Examples({"x": texts}, {"x": "text"}, None, truths)
    mean, median, ridge = target.baselines(rows, None)
    assert [mean.name, median.name] == ["mean", "median"]
    assert ridge.name == "bag of 1-2 grams with ridge regression"

    def answered(baseline: Any) -> list[float]:
        return target.frame(baseline.fit(rows).answer(rows), None)["prediction"].to_list()

    assert answered(mean) == pytest.approx([3.75] * 4, rel=1e-4)
    assert answered(median) == pytest.approx([2] * 4, rel=1e-4)
    bad, so, same, good = answered(ridge)
    assert bad < so < good
    assert so == pytest.approx(same)
    assert target.score(mean.answer(rows), truths)["correlation"] is None
