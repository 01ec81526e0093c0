"""The classes learnt from training rows."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from elman.errors import BadCellError, InputError
from elman.kinds.targets.classes import MOST_CLASSES, Classes, as_label


def learn(*labels: str) -> Classes:
    return Classes.learn(([label] for label in labels), "kind")


@pytest.mark.parametrize(
    ("cell", "label"),
    [
        (" spam ", "spam"),
        (3, "3"),
        (3.0, "3"),
        (0.5, "0.5"),
        (True, "True"),
        (None, ""),
        (float("nan"), ""),
        ("  ", ""),
    ],
)
def test_a_cell_names_a_class(cell: object, label: str) -> None:
    assert as_label(cell) == label


def test_classes_are_in_order_with_their_shares_and_weights() -> None:
    classes = learn("b", "a", "b", "b")
    assert classes.names == ("a", "b")
    assert classes.counts == (1, 3)
    np.testing.assert_allclose(classes.shares, [0.25, 0.75])
    np.testing.assert_allclose(classes.weights, [2, 2 / 3])
    assert [classes.index(name) for name in ("a", "b")] == [0, 1]


def test_numbers_are_in_the_order_of_their_values() -> None:
    assert learn("10", "9", "-1", "2.5").names == ("-1", "2.5", "9", "10")
    assert learn("10", "9", "x").names == ("10", "9", "x")
    assert learn("nan", "10", "9").names == ("10", "9", "nan")


@given(st.lists(st.sampled_from("abcde"), min_size=2, max_size=50))
def test_the_mean_weight_of_the_rows_is_one(labels: list[str]) -> None:
    if len(set(labels)) < 2:
        return
    classes = learn(*labels)
    assert np.mean([classes.weights[classes.index(x)] for x in labels]) == pytest.approx(1)
    # Each class weighs the same in all.
    np.testing.assert_allclose(
        classes.weights * classes.counts, len(labels) / len(classes) * np.ones(len(classes))
    )


def test_a_class_that_training_did_not_have() -> None:
    with pytest.raises(BadCellError, match=r"'c' was not in the training rows, which had: a, b;"):
        learn("a", "b").index("c")
    with pytest.raises(BadCellError, match=r"which had: 0, 1, 2, 3, 4, 5, 6, 7, \.\.\.;"):
        learn(*map(str, range(20))).index("20")


def test_too_few_and_too_many_classes() -> None:
    with pytest.raises(InputError, match=r"'kind': expected at least 2 classes .* got only 'a'"):
        learn("a", "a")
    with pytest.raises(InputError, match=r"got none"):
        learn()
    assert len(learn(*map(str, range(MOST_CLASSES)))) == 1000
    with pytest.raises(InputError, match=r"1,001 different classes .* at most 1,000"):
        learn(*map(str, range(MOST_CLASSES + 1)))


def test_classes_survive_json() -> None:
    classes = learn("ä", "b", "ä")
    assert Classes.from_dict(json.loads(json.dumps(classes.as_dict()))) == classes
