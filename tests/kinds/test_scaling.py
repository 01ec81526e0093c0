"""Each rule by hand; by group; there and back through JSON."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from elman.errors import InputError
from elman.kinds.scaling import Scaling

VALUES = np.array([[1.0, 10.0], [2.0, 10.0], [4.0, 30.0], [9.0, 50.0]])
BY_HAND = {
    # mean and standard deviation: 16/4; (9 + 4 + 0 + 25)/4 = 9.5, (225 + 225 + 25 + 625)/4 = 275
    "standard": [[4, 25], [9.5**0.5, 275**0.5]],
    # median, and the quartiles at rows 0.75 and 2.25: 1.75 to 5.25, 10 to 35
    "robust": [[3, 20], [3.5, 25]],
    "minmax": [[1, 10], [8, 40]],
    "none": [[0, 0], [1, 1]],
}


def learn(rule, values, **options):
    columns = tuple("abcdefg"[: values.shape[1]])
    return Scaling.learn(rule, columns, {None: values}, **{"by_group": False} | options)


@pytest.mark.parametrize("rule", BY_HAND)
def test_rules_by_hand(rule) -> None:
    scaling = learn(rule, VALUES)
    np.testing.assert_allclose(scaling.of(None), BY_HAND[rule], rtol=1e-15)
    shift, scale = np.array(BY_HAND[rule])
    np.testing.assert_allclose(
        scaling.scale(None, np.array([[7.0, -3.0]])), [([7, -3] - shift) / scale], rtol=1e-15
    )


@pytest.mark.parametrize("rule", BY_HAND)
@pytest.mark.parametrize("value", [0.0, 5.0, 0.1, -1e9])
def test_a_constant_column_is_shifted_and_not_blown_up(rule, value) -> None:
    scaling = learn(rule, np.full((7, 1), value))
    assert scaling.of(None)[1, 0] == 1.0
    expected = value if rule == "none" else 0.0
    assert scaling.scale(None, np.array([[value]]))[0, 0] == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize("rule", ["standard", "robust", "minmax"])
def test_small_numbers_have_a_scale_as_well(rule) -> None:
    """What a column is measured in must not matter: metres or light years."""
    tiny = learn(rule, VALUES * 1e-20).scale(None, VALUES * 1e-20)
    np.testing.assert_allclose(tiny, learn(rule, VALUES).scale(None, VALUES), atol=1e-12)


def test_a_column_alike_in_most_rows_has_a_robust_scale() -> None:
    values = np.array([[0.0], [0], [0], [0], [0], [0], [0], [1000]])
    shift, scale = learn("robust", values).of(None)[:, 0]
    assert (shift, scale) == (0, pytest.approx(values.std()))


def test_by_group_each_has_its_own_and_others_are_refused() -> None:
    spans = {"a": VALUES, "b": VALUES * 10 + 1, "late": VALUES[:0]}
    scaling = Scaling.learn("minmax", ("x", "y"), spans, by_group=True)
    assert scaling.of("a").tolist() == [[1, 10], [8, 40]]
    assert scaling.of("b").tolist() == [[11, 101], [80, 400]]
    np.testing.assert_array_equal(scaling.scale("b", spans["b"]), scaling.scale("a", VALUES))
    for absent in ("c", "late", None):
        with pytest.raises(InputError, match=rf"group {absent!r} was not in .*\(groups: a, b"):
            scaling.of(absent)


def test_one_scale_for_all_groups_is_that_of_their_rows_together() -> None:
    spans = {"a": VALUES[:1], "b": VALUES[1:], "empty": VALUES[:0]}
    scaling = Scaling.learn("standard", ("x", "y"), spans, by_group=False)
    for key in ("a", "b", "empty", "never seen", None):
        np.testing.assert_allclose(scaling.of(key), BY_HAND["standard"], rtol=1e-15)


def test_a_group_may_be_called_anything() -> None:
    spans = {"*": VALUES, "None": VALUES + 1, "b": VALUES + 2}
    scaling = Scaling.learn("minmax", ("x", "y"), spans, by_group=True)
    assert [scaling.of(key)[0, 0] for key in spans] == [1, 2, 3]


def test_no_columns_to_scale() -> None:
    scaling = Scaling.learn("standard", (), {None: np.empty((4, 0))}, by_group=False)
    assert scaling.scale(None, np.empty((3, 0))).shape == (3, 0)


@given(
    hnp.arrays(np.float64, (6, 2), elements=st.floats(-1e9, 1e9)),
    st.sampled_from(list(BY_HAND)),
    st.booleans(),
)
def test_json_gives_the_same_bits_and_scaling_can_be_undone(values, rule, by_group) -> None:
    spans = {"one": values, "two": values[:3] * 2 + 1}
    scaling = Scaling.learn(rule, ("x", "y"), spans, by_group=by_group)
    again = Scaling.from_dict(json.loads(json.dumps(scaling.as_dict())))
    assert again.columns == scaling.columns
    for key, span in spans.items():
        np.testing.assert_array_equal(again.of(key), scaling.of(key))
        scaled = scaling.scale(key, span)
        assert np.isfinite(scaled).all()
        shift, scale = scaling.of(key)
        assert (scale > 0).all()
        np.testing.assert_allclose(scaled * scale + shift, span, rtol=1e-9, atol=1e-6)
