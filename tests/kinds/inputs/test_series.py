"""Features of a series: one-hot, calendar and scaled numbers, each value by hand."""

from __future__ import annotations

import datetime
import json
import math

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from elman.errors import InputError
from elman.kinds.inputs.series import CALENDAR, SeriesInput

FRAME = pl.DataFrame(
    {
        "sales": [10.0, 20.0, 30.0, 40.0],
        "price": [1.0, 1.0, 3.0, 3.0],
        "day": ["wed", "thu", "fri", "thu"],
        "promo": ["no", "no", "yes", "no"],
    }
)


def learn(columns=("sales", "day"), known=("promo", "price"), calendar=(), **options):
    options = {"by_group": False} | options
    return SeriesInput.learn({None: FRAME}, columns, known, calendar, "minmax", **options)


def test_columns_stand_in_the_order_of_their_names_and_hold_what_those_say() -> None:
    inputs = learn()
    assert inputs.feature_names == [
        "sales", "day=fri", "day=thu", "day=wed", "promo=no", "promo=yes", "price",
    ]  # fmt: skip
    x_TI, known_TK = inputs.encode(None, FRAME, None)
    np.testing.assert_allclose(x_TI, [
        [0, 0, 0, 1, 1, 0, 0],
        [1 / 3, 0, 1, 0, 1, 0, 0],
        [2 / 3, 1, 0, 0, 0, 1, 1],
        [1, 0, 1, 0, 1, 0, 1],
    ])  # fmt: skip
    np.testing.assert_array_equal(known_TK, x_TI[:, 4:])
    assert inputs.ahead_names(2) == [
        "promo=no, 1 ahead", "promo=yes, 1 ahead", "price, 1 ahead",
        "promo=no, 2 ahead", "promo=yes, 2 ahead", "price, 2 ahead",
    ]  # fmt: skip


def test_a_column_both_read_and_known_is_one_feature() -> None:
    inputs = learn(columns=("price", "sales"), known=("price",))
    assert inputs.feature_names == ["price", "sales"]
    x_TI, known_TK = inputs.encode(None, FRAME, None)
    assert x_TI.shape == (4, 2)
    assert known_TK[:, 0].tolist() == x_TI[:, 0].tolist() == [0, 0, 1, 1]


def test_categories_alone_need_no_numbers() -> None:
    inputs = learn(columns=("day",), known=())
    x_TI, known_TK = inputs.encode(None, FRAME, None)
    assert x_TI.tolist() == [[0, 0, 1], [0, 1, 0], [1, 0, 0], [0, 1, 0]]
    assert known_TK.shape == (4, 0)


def test_a_category_never_seen_is_all_zeros_and_told() -> None:
    inputs = learn()
    later = FRAME.with_columns(day=pl.Series(["sun", "thu", "sat", "sun"]))
    x_TI, _ = inputs.encode(None, later, None)
    assert x_TI[:, 1:4].tolist() == [[0, 0, 0], [0, 1, 0], [0, 0, 0], [0, 0, 0]]
    assert inputs.unseen(later) == [
        "column 'day': 'sat', 'sun' were not in the training span, which had fri, thu, wed; the "
        "model cannot tell what it means"
    ]
    one = FRAME.with_columns(promo=pl.lit("maybe"))
    assert inputs.unseen(one)[0].startswith(
        "column 'promo': 'maybe' was not in the training span, which had no, yes;"
    )
    assert inputs.unseen(FRAME) == []


def test_rows_of_the_future_have_blanks() -> None:
    inputs = learn()
    future = pl.DataFrame(
        {"sales": [None], "price": [2.0], "day": [None], "promo": ["yes"]}, FRAME.schema
    )
    x_TI, known_TK = inputs.encode(None, future, None)
    assert np.isnan(x_TI[0, 0])
    assert x_TI[0, 1:4].tolist() == [0, 0, 0]
    assert known_TK.tolist() == [[0, 1, 0.5]]
    assert inputs.unseen(future) == []


def test_categories_and_scales_are_learnt_over_all_groups() -> None:
    spans = {"a": FRAME[:2], "b": FRAME[2:]}
    inputs = SeriesInput.learn(spans, ["price", "day"], [], [], "minmax", by_group=True)
    assert inputs.categories == {"day": ("fri", "thu", "wed")}
    assert inputs.scaling.of("a").tolist() == [[1], [1]]
    assert inputs.scaling.of("b").tolist() == [[3], [1]]
    x_TI, _ = inputs.encode("b", FRAME[2:], None)
    assert x_TI.tolist() == [[0, 1, 0, 0], [0, 0, 1, 0]]


def at(text: str) -> np.ndarray:
    return np.array([text], "M8[us]")


# (feature, time, the values worked by hand)
DATES = [
    ("weekday", "2020-01-06", [1, 0, 0, 0, 0, 0, 0]),  # a Monday
    ("weekday", "2024-02-29T23:59", [0, 0, 0, 1, 0, 0, 0]),  # a Thursday
    ("weekday", "1969-12-28T12:00", [0, 0, 0, 0, 0, 0, 1]),  # a Sunday before 1970
    ("month", "2020-01-31", [1] + [0] * 11),
    ("month", "1968-12-01T01:00", [0] * 11 + [1]),
    ("hour", "2020-01-06T00:00", [0, 1]),
    ("hour", "2020-01-06T06:00", [1, 0]),
    ("hour", "1969-12-31T18:00", [-1, 0]),
    ("hour", "2020-01-06T01:30", [math.sin(math.pi / 8), math.cos(math.pi / 8)]),
    ("monthday", "2020-03-01", [0, 1]),
    ("monthday", "2020-03-31", [math.sin(2 * math.pi * 30 / 31), math.cos(2 * math.pi * 30 / 31)]),
    ("yearday", "2021-01-01T10:00", [0, 1]),
    ("yearday", "2020-12-31", [math.sin(2 * math.pi * 365 / 366), math.cos(2 * math.pi / 366)]),
]


@pytest.mark.parametrize(("feature", "time", "expected"), DATES)
def test_calendar_by_hand(feature, time, expected) -> None:
    np.testing.assert_allclose(CALENDAR[feature](at(time)), [expected], atol=1e-15)


@given(st.datetimes(datetime.datetime(1900, 1, 1), datetime.datetime(2100, 1, 1)))
def test_calendar_agrees_with_the_standard_library(moment) -> None:
    times = np.array([moment], "M8[us]")
    assert CALENDAR["weekday"](times)[0].argmax() == moment.weekday()
    assert CALENDAR["month"](times)[0].argmax() == moment.month - 1
    day = moment.timetuple().tm_yday - 1
    expected = math.sin(2 * math.pi * day / 366), math.cos(2 * math.pi * day / 366)
    np.testing.assert_allclose(CALENDAR["yearday"](times)[0], expected, atol=1e-12)


def test_calendar_features_stand_behind_the_columns_and_are_known_ahead() -> None:
    inputs = learn(columns=("sales",), known=("price",), calendar=("weekday", "hour"))
    times = np.array(["2020-01-06", "2020-01-07", "2020-01-08", "2020-01-12T12"], "M8[us]")
    x_TI, known_TK = inputs.encode(None, FRAME, times)
    days = [f"weekday[{i}]" for i in range(7)]
    assert inputs.feature_names == ["sales", "price", *days, "hour[0]", "hour[1]"]
    assert len(inputs.ahead_names(3)) == 3 * known_TK.shape[1] == 3 * 10
    assert inputs.ahead_names(1)[:2] == ["price, 1 ahead", "weekday[0], 1 ahead"]
    assert x_TI[0].tolist() == [0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 1]
    np.testing.assert_allclose(x_TI[3], [1, 1, 0, 0, 0, 0, 0, 0, 1, 0, -1], atol=1e-15)
    np.testing.assert_array_equal(known_TK, x_TI[:, 1:])


@pytest.mark.parametrize("times", [None, np.arange(4)])
def test_calendar_without_dates_is_refused(times) -> None:
    with pytest.raises(InputError, match="calendar=weekday needs a time column of dates"):
        learn(calendar=("weekday",)).encode(None, FRAME, times)


def test_json_there_and_back_encodes_alike() -> None:
    inputs = learn(calendar=("month",))
    again = SeriesInput.from_dict(json.loads(json.dumps(inputs.as_dict())))
    times = np.arange("2020-03-01", "2020-03-05", dtype="M8[D]").astype("M8[us]")
    assert again.feature_names == inputs.feature_names
    for ours, theirs in zip(
        again.encode(None, FRAME, times), inputs.encode(None, FRAME, times), strict=True
    ):
        np.testing.assert_array_equal(ours, theirs)
