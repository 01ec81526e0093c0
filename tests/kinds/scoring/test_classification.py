"""Scores of classes, worked by hand and against scikit-learn."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics

from elman.kinds.scoring import classification as c

# Four answers of three classes; the third is wrong.
P = np.array([[0.7, 0.2, 0.1], [0.1, 0.8, 0.1], [0.6, 0.3, 0.1], [0.25, 0.25, 0.5]])
TRUTH = np.array([0, 1, 1, 2])


def test_scores_worked_by_hand() -> None:
    scores = c.exclusive_scores(np.log(P), TRUTH)
    assert scores["accuracy"] == 0.75
    # F1 of the first: 1 hit of 2 answered and 1 there; the second: of 1 and 2; the third: 1.
    assert scores["macro_f1"] == pytest.approx((2 / 3 + 2 / 3 + 1) / 3)
    assert scores["log_loss"] == pytest.approx(-np.log([0.7, 0.8, 0.3, 0.5]).mean())
    # First against the rest: 0.7 above 0.1, 0.6, 0.25. Second: 0.8 and 0.3 above 0.2 and 0.25.
    assert scores["roc_auc"] == pytest.approx(1.0)
    # Each answer is alone in its bin.
    assert scores["calibration"] == pytest.approx((0.3 + 0.2 + 0.6 + 0.5) / 4)


def test_details_worked_by_hand() -> None:
    details = c.exclusive_details(("a", "b", "c"), np.log(P), TRUTH)
    assert details["classes"] == ["a", "b", "c"]
    assert details["confusion"] == [[1, 0, 0], [1, 1, 0], [0, 0, 1]]
    assert details["per_class"] == [
        {"class": "a", "precision": 0.5, "recall": 1.0, "f1": pytest.approx(2 / 3), "n": 1},
        {"class": "b", "precision": 1.0, "recall": 0.5, "f1": pytest.approx(2 / 3), "n": 2},
        {"class": "c", "precision": 1.0, "recall": 1.0, "f1": 1.0, "n": 1},
    ]
    assert [bin_["n"] for bin_ in details["calibration"]] == [1, 1, 1, 1]
    assert details["multi_label"] is False
    json.dumps(details)


def test_calibration_bins_hold_their_upper_edge() -> None:
    bins = c.calibration_bins(np.array([1 / 15, 2 / 15, 0.1, 1.0]), np.array([1, 1, 0, 1], bool))
    assert [(part["n"], part["accuracy"]) for part in bins] == [(1, 1.0), (2, 0.5), (1, 1.0)]
    assert bins[1]["confidence"] == pytest.approx((2 / 15 + 0.1) / 2)
    expected = (1 * (14 / 15) + 2 * abs(0.5 - (2 / 15 + 0.1) / 2) + 0) / 4
    assert c.calibration_error(bins) == pytest.approx(expected)


def test_answers_as_sure_as_they_are_right_are_calibrated() -> None:
    generator = np.random.default_rng(0)
    p_N = generator.uniform(0.5, 1, 200_000)
    truth_N = (generator.random(200_000) > p_N).astype(int)
    scores = c.exclusive_scores(np.log(np.stack([p_N, 1 - p_N], axis=1)), truth_N)
    assert scores["calibration"] == pytest.approx(0, abs=0.005)
    assert scores["accuracy"] == pytest.approx(0.75, abs=0.005)


@settings(deadline=None, max_examples=40)
@given(st.integers(0, 10_000), st.integers(2, 5), st.integers(1, 30))
def test_as_scikit_learn_has_it(seed: int, num_classes: int, rows: int) -> None:
    generator = np.random.default_rng(seed)
    logits_NK = generator.normal(size=(rows, num_classes)) * 3
    truth_N = generator.integers(0, num_classes, rows)
    log_p_NK = c.log_softmax(logits_NK)
    scores = c.exclusive_scores(log_p_NK, truth_N)
    p_NK, labels = np.exp(log_p_NK), range(num_classes)
    answer_N = p_NK.argmax(axis=1)
    np.testing.assert_allclose(p_NK.sum(axis=1), 1)
    assert scores["accuracy"] == pytest.approx(metrics.accuracy_score(truth_N, answer_N))
    assert scores["log_loss"] == pytest.approx(metrics.log_loss(truth_N, p_NK, labels=labels))
    # Without labels to choose from, those that occur or are answered.
    each = [metrics.f1_score(truth_N == k, answer_N == k) for k in set(truth_N) | set(answer_N)]
    assert scores["macro_f1"] == pytest.approx(np.mean(each))
    if len(set(truth_N)) == num_classes:
        if num_classes == 2:
            area = metrics.roc_auc_score(truth_N, p_NK[:, 1])
        else:
            area = metrics.roc_auc_score(truth_N, p_NK, multi_class="ovr", average="macro")
        assert scores["roc_auc"] == pytest.approx(area)
    details = c.exclusive_details(tuple(map(str, labels)), log_p_NK, truth_N)
    confusion = metrics.confusion_matrix(truth_N, answer_N, labels=list(labels))
    assert details["confusion"] == confusion.tolist()


def test_a_score_that_is_not_defined_is_none() -> None:
    one = c.exclusive_scores(np.log(P[:2]), np.array([0, 0]))
    assert one["roc_auc"] is None
    assert one["accuracy"] == 0.5
    assert set(c.exclusive_scores(np.zeros((0, 3)), np.zeros(0, int)).values()) == {None}
    assert set(c.several_scores(np.zeros((0, 3)), np.zeros((0, 3))).values()) == {None}


def test_roc_auc_is_over_the_classes_that_occur() -> None:
    # No answer is of the third class: the mean is over the first two, one of them half right.
    p = np.log(np.array([[0.5, 0.3, 0.2], [0.4, 0.5, 0.1], [0.45, 0.35, 0.2], [0.3, 0.4, 0.3]]))
    scores = c.exclusive_scores(p, np.array([0, 1, 1, 0]))
    first = metrics.roc_auc_score([1, 0, 0, 1], [0.5, 0.4, 0.45, 0.3])
    second = metrics.roc_auc_score([0, 1, 1, 0], [0.3, 0.5, 0.35, 0.4])
    assert scores["roc_auc"] == pytest.approx((first + second) / 2)


def test_many_classes_have_no_confusion_matrix() -> None:
    names = tuple(map(str, range(101)))
    details = c.exclusive_details(names, np.log(np.full((3, 101), 1 / 101)), np.array([0, 1, 100]))
    assert details["confusion"] == []
    assert [row["n"] for row in details["per_class"]] == [1, 1, *[0] * 98, 1]


def test_extreme_logits_stay_finite() -> None:
    log_p = c.log_softmax(np.array([[1e4, -1e4], [0.0, 0.0]], np.float32))
    np.testing.assert_allclose(log_p, [[0, -2e4], [np.log(0.5)] * 2])
    np.testing.assert_allclose(c.log_sigmoid(np.array([-1e4, 0.0, 1e4])), [-1e4, np.log(0.5), 0])


SEVERAL = np.array([[2.0, -1.0, -3.0], [0.5, 1.0, -3.0], [-1.0, -2.0, -3.0]])
THERE = np.array([[1, 0, 0], [0, 1, 0], [1, 1, 0]], np.float32)


def test_scores_of_several_classes_worked_by_hand() -> None:
    scores = c.several_scores(SEVERAL, THERE)
    assert scores["exact"] == pytest.approx(1 / 3)
    # First: 1 hit of 2 answered and 2 there; second: of 1 and 2; the third never comes up.
    assert scores["macro_f1"] == pytest.approx((0.5 + 2 / 3) / 2)
    p = 1 / (1 + np.exp(-SEVERAL))
    losses = -np.where(THERE > 0, np.log(p), np.log(1 - p))
    assert scores["log_loss"] == pytest.approx(losses.mean())
    # First: 2.0 and -1.0 against 0.5: half. Second: 1.0 and -2.0 against -1.0: half.
    assert scores["roc_auc"] == pytest.approx(0.5)


def test_details_of_several_classes() -> None:
    details = c.several_details(("a", "b", "c"), SEVERAL, THERE)
    assert details["confusion"] == []
    assert details["multi_label"] is True
    assert details["per_class"][1] == {
        "class": "b", "precision": 1.0, "recall": 0.5, "f1": pytest.approx(2 / 3), "n": 2,
    }  # fmt: skip
    assert details["per_class"][2]["f1"] == 0
    assert sum(part["n"] for part in details["calibration"]) == 9
    json.dumps(details)
