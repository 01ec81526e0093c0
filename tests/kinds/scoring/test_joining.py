"""Details of several sets are those of the sets as one."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from elman.kinds.scoring.classification import exclusive_details, log_softmax, several_details
from elman.kinds.scoring.joining import join_details

NAMES = ("a", "b", "c")


@given(seed=st.integers(0, 1000), cuts=st.lists(st.integers(1, 29), min_size=1, max_size=3))
def test_classes_of_folds_are_those_of_all_rows(seed, cuts) -> None:
    rng = np.random.default_rng(seed)
    log_p, truth = log_softmax(rng.normal(size=(30, 3)) * 3), rng.integers(0, 3, 30)
    edges = [0, *sorted(set(cuts)), 30]
    parts = [
        exclusive_details(NAMES, log_p[start:stop], truth[start:stop])
        for start, stop in pairwise(edges)
    ]
    joined, whole = join_details(parts), exclusive_details(NAMES, log_p, truth)
    assert joined is not None
    assert joined["confusion"] == whole["confusion"]
    assert joined["classes"] == whole["classes"]
    for ours, theirs in zip(joined["per_class"], whole["per_class"], strict=True):
        assert ours == pytest.approx(theirs)
    assert [part["n"] for part in joined["calibration"]] == [p["n"] for p in whole["calibration"]]
    for ours, theirs in zip(joined["calibration"], whole["calibration"], strict=True):
        assert ours == pytest.approx(theirs)


def test_other_classes_in_a_fold_or_several_an_answer_are_not_joined() -> None:
    log_p, truth = np.log(np.full((2, 2), 0.5)), np.array([0, 1])
    one = exclusive_details(("a", "b"), log_p, truth)
    other = exclusive_details(("a", "c"), log_p, truth)
    assert join_details([one, other]) is None
    several = several_details(("a", "b"), np.ones((2, 2)), np.ones((2, 2)))
    assert join_details([several, several]) is None


def test_points_are_laid_together_and_ranges_cover_all() -> None:
    parts = [
        {"scatter": [[0.0, 0.1]], "range": [-1, 1]},
        {"scatter": [[1.0, 0.9], [0.5, 0.5]], "range": [-2, 0.5]},
    ]
    assert join_details(parts) == {
        "scatter": [[0.0, 0.1], [1.0, 0.9], [0.5, 0.5]], "range": [-2, 1],
    }  # fmt: skip
    lengths = [{"lengths": [[n, n]] * 1500, "signatures": {"bleu": "x"}} for n in (1, 2)]
    joined = join_details(lengths)
    assert joined is not None
    assert joined["signatures"] == {"bleu": "x"}
    assert len(joined["lengths"]) == 2000
    assert [joined["lengths"][0], joined["lengths"][-1]] == [[1, 1], [2, 2]]
