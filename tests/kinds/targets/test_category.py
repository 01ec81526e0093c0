"""The kind of target `category`."""

from __future__ import annotations

import json
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from elman.errors import BadCellError, InputError
from elman.kinds.targets.category import Category
from elman.kinds.targets.target import Answers, Examples


def learn(cells: list[Any], **options: Any) -> Category:
    known = {"multi_label": None, "class_weights": "none", "label_smoothing": 0.0} | options
    return Category.learn(("kind",), [(cell,) for cell in cells], SimpleNamespace(**known))


LOGITS = np.array([[2.0, 0.0], [-1.0, 1.0], [0.5, 0.0]])


def test_classes_are_encoded_in_order() -> None:
    target = learn(["spam", "ham", None, " spam "])
    assert target.output_size == 2
    assert [target.encode((cell,)).item() for cell in ("ham", "spam ")] == [0, 1]
    assert target.encode(("ham",)).shape == ()
    assert target.text(target.encode(("spam",))) == "spam"
    assert target.summary() == "2 classes"


def test_digits_of_any_type_are_the_same_classes() -> None:
    target = learn(["0", "10", "9"])
    assert [target.encode((cell,)).item() for cell in (0, 9.0, "10")] == [0, 1, 2]


def test_bad_cells() -> None:
    target = learn(["a", "b"])
    with pytest.raises(BadCellError, match=r"'c' was not in the training rows, which had: a, b;"):
        target.encode(("c",))
    for cell in (None, "", "  ", float("nan")):
        with pytest.raises(BadCellError, match="the cell is empty; expected a category"):
            target.encode((cell,))


def test_two_columns_are_refused() -> None:
    options = SimpleNamespace(multi_label=None, class_weights="none", label_smoothing=0.0)
    with pytest.raises(InputError, match="expected one column, got 2"):
        Category.learn(("a", "b"), [("x", "y")], options)


def test_loss_is_cross_entropy() -> None:
    target = learn(["a", "b", "b", "b"], class_weights="balanced", label_smoothing=0.1)
    output, truth = torch.tensor(LOGITS), torch.tensor([0, 1, 1])
    by_hand = -np.log(np.exp(LOGITS[[0, 1, 2], [0, 1, 1]]) / np.exp(LOGITS).sum(1))
    plain = target.losses(output, truth, training=False)
    np.testing.assert_allclose(plain, by_hand)
    # Weights 2 and 2/3, also of what smoothing gives to the other class.
    log_p = torch.log_softmax(output, 1).numpy()
    soft = np.array([[0.95, 0.05], [0.05, 0.95], [0.05, 0.95]])
    expected = -(log_p * soft * [2, 2 / 3]).sum(1)
    np.testing.assert_allclose(target.losses(output, truth, training=True), expected)


def test_balanced_weights_leave_the_mean_loss_of_training_rows_alone() -> None:
    # Of an output that knows nothing, each row has the same loss; only the weights differ.
    target = learn(["a"] * 3 + ["b"] * 9, class_weights="balanced")
    output, truth = torch.zeros(12, 2), torch.tensor([0] * 3 + [1] * 9)
    losses = target.losses(output, truth, training=True)
    assert losses.mean().item() == pytest.approx(np.log(2))
    assert losses[:3].sum().item() == pytest.approx(losses[3:].sum().item())


def test_gradient_of_the_loss() -> None:
    target = learn(["a", "b", "b"], class_weights="balanced", label_smoothing=0.2)
    several = learn(["a;b", "b"], multi_label=";", class_weights="balanced", label_smoothing=0.2)
    output = torch.tensor(LOGITS, requires_grad=True)
    truth, there = torch.tensor([0, 1, 1]), torch.tensor([[1.0, 0.0], [0.0, 1.0], [1.0, 1.0]])
    assert torch.autograd.gradcheck(lambda o: target.losses(o, truth, training=True), (output,))
    assert torch.autograd.gradcheck(
        lambda o: several.losses(o, there.double(), training=True), (output,)
    )


def test_scores_errors_and_frame() -> None:
    target = learn(["ham", "spam"])
    answers, truths = Answers(outputs=LOGITS), [np.array(0), np.array(1), np.array(1)]
    scores = target.score(answers, truths)
    assert scores["accuracy"] == pytest.approx(2 / 3)
    assert set(scores) == {"accuracy", "macro_f1", "roc_auc", "log_loss", "calibration"}
    assert target.headline == "accuracy"
    assert target.errors(answers, truths).tolist() == [False, False, True]
    frame = target.frame(answers, truths)
    assert frame.columns == ["prediction", "probability", "p_ham", "p_spam", "truth"]
    assert frame["prediction"].to_list() == ["ham", "spam", "ham"]
    assert frame["truth"].to_list() == ["ham", "spam", "spam"]
    p = torch.softmax(torch.tensor(LOGITS), 1).numpy()
    np.testing.assert_allclose(frame[["p_ham", "p_spam"]].to_numpy(), p)
    np.testing.assert_allclose(frame["probability"], p.max(1))
    assert target.frame(Answers(outputs=np.zeros((0, 2))), None).height == 0
    assert target.details(answers, truths)["confusion"] == [[1, 0], [1, 1]]


def test_probabilities_of_many_classes_get_no_columns() -> None:
    target = learn([str(i) for i in range(21)])
    assert target.frame(Answers(outputs=np.eye(21)), None).columns == ["prediction", "probability"]


def test_several_classes_a_row() -> None:
    target = learn(["a; b", "b", "", None, "c;a;a"], multi_label=";")
    assert target.classes.names == ("a", "b", "c")
    np.testing.assert_allclose(target.classes.shares, [0.4, 0.4, 0.2])
    assert target.encode(("c;a",)).tolist() == [1, 0, 1]
    assert target.encode(("",)).tolist() == [0, 0, 0]
    assert target.encode((["b", "c"],)).tolist() == [0, 1, 1]
    with pytest.raises(BadCellError, match="'d' was not in the training rows"):
        target.encode(("a;d",))
    assert target.headline == "exact"
    assert target.summary() == "3 classes, several a row"
    output = np.array([[1.0, -1.0, 0.5], [-1.0, -1.0, -1.0]])
    truths = [target.encode(("c;a",)), target.encode(("b",))]
    frame = target.frame(Answers(outputs=output), truths)
    assert frame.columns == ["prediction", "p_a", "p_b", "p_c", "truth"]
    assert frame["prediction"].to_list() == ["a;c", ""]
    assert frame["truth"].to_list() == ["a;c", "b"]
    assert frame["p_a"][0] == pytest.approx(1 / (1 + np.exp(-1)))
    assert target.errors(Answers(outputs=output), truths).tolist() == [False, True]
    assert target.score(Answers(outputs=output), truths)["exact"] == 0.5
    assert target.details(Answers(outputs=output), truths)["multi_label"] is True


def test_loss_of_several_classes() -> None:
    target = learn(["a", "a", "a;b", "a", ""], multi_label=";", class_weights="balanced")
    output = torch.tensor([[1.0, -1.0]], dtype=torch.float64)
    truth = torch.tensor([[1.0, 0.0]], dtype=torch.float64)
    each = F.binary_cross_entropy_with_logits(output, truth, reduction="none")
    assert target.losses(output, truth, training=False).item() == pytest.approx(each.mean().item())
    # 4 of 5 have a: its presence counts 5/8; 1 of 5 has b: its absence counts 5/8.
    expected = (each * torch.tensor([[0.625, 0.625]])).mean().item()
    assert target.losses(output, truth, training=True).item() == pytest.approx(expected)
    truth = 1 - truth
    each = F.binary_cross_entropy_with_logits(output, truth, reduction="none")
    expected = (each * torch.tensor([[2.5, 2.5]])).mean().item()
    assert target.losses(output, truth, training=True).item() == pytest.approx(expected)


def test_a_head_starts_from_the_frequencies() -> None:
    def start(cells: list[str], **options: Any) -> np.ndarray:
        bias = learn(cells, **options).initial_bias()
        assert bias is not None
        return bias

    cells = ["a", "b", "b", "b"]
    np.testing.assert_allclose(start(cells), np.log([0.25, 0.75]))
    np.testing.assert_allclose(start(cells, class_weights="balanced"), [0, 0])
    odds = start(["a", "b", "b", "a;b"], multi_label=";")
    np.testing.assert_allclose(odds, np.log([1, 3]))
    assert np.isfinite(start(["a", "a"], multi_label=";")).all()


@pytest.mark.parametrize("separator", [None, "|"])
def test_what_is_learnt_survives_json(separator: str | None) -> None:
    target = learn(
        ["a", "b", "b"], multi_label=separator, class_weights="balanced", label_smoothing=0.1
    )
    data = json.loads(json.dumps(target.as_dict()))
    assert data["kind"] == "category"
    assert Category.from_dict(data) == target


def test_baselines_follow_the_inputs() -> None:
    target = learn(["a", "b", "b"])

    def names(**parts: Any) -> list[str]:
        known = {"inputs": {}, "kinds": {}, "features": None, "truths": []} | parts
        return [each.name for each in target.baselines(Examples(**known), None)]

    assert names() == ["majority class"]
    assert names(features=np.zeros((1, 2)))[1:] == ["mean features with logistic regression"]
    words = {"inputs": {"x": ["one two three"]}, "kinds": {"x": "text"}}
    assert names(**words)[1:] == ["bag of 1-2 grams with logistic regression"]
    letters = {"inputs": {"x": ["Ann", "Bo"]}, "kinds": {"x": "text"}}
    assert names(**letters)[1:] == ["bag of letter 1-4 grams with logistic regression"]
    dna = {"inputs": {"x": ["ACGT"]}, "kinds": {"x": "dna"}}
    assert names(**dna)[1:] == ["letters by place and k-mers with logistic regression"]


def test_the_majority_class_scores_its_share() -> None:
    target = learn(["a", "b", "b", "b"])
    truths = [np.array(place) for place in (0, 1, 1, 1)]
    rows = Examples({}, {}, None, truths)
    answers = target.baselines(rows, None)[0].fit(rows).answer(rows)
    scores = target.score(answers, truths)
    assert scores["accuracy"] == 0.75
    assert scores["log_loss"] == pytest.approx(-(0.25 * np.log(0.25) + 0.75 * np.log(0.75)))
    assert scores["calibration"] == pytest.approx(0)
    assert scores["roc_auc"] == 0.5
