from __future__ import annotations

from datetime import date, datetime, timedelta, timezone

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from elman.data.steps import Step, infer_step, parse_bound, parse_times, show_time


def times(*texts: str) -> np.ndarray:
    return np.array(texts, "M8[us]")


@pytest.mark.parametrize(
    ("text", "expected", "layout"),
    [
        ("2001-02-13", "2001-02-13", "YYYY-MM-DD"),
        ("2001-2-3", "2001-02-03", "YYYY-MM-DD"),
        ("2001/02/13", "2001-02-13", "YYYY/MM/DD"),
        ("20010213", "2001-02-13", "YYYYMMDD"),
        ("1749-01", "1749-01-01", "YYYY-MM"),
        ("02/13/2001", "2001-02-13", "MM/DD/YYYY"),
        ("13/02/2001", "2001-02-13", "DD/MM/YYYY"),
        ("13.2.2001", "2001-02-13", "DD.MM.YYYY"),
        ("13-02-2001", "2001-02-13", "DD-MM-YYYY"),
        ("13-Feb-2001", "2001-02-13", "DD-Mon-YYYY"),
        ("2001-02-13 04:05", "2001-02-13T04:05", "YYYY-MM-DD HH:MM"),
        ("2001-02-13T04:05:06", "2001-02-13T04:05:06", "YYYY-MM-DD HH:MM:SS"),
        ("2001-02-13 04:05:06.25", "2001-02-13T04:05:06.25", "YYYY-MM-DD HH:MM:SS"),
        ("13.02.2001 04:05", "2001-02-13T04:05", "DD.MM.YYYY HH:MM"),
        ("2/13/2001 4:05 PM", "2001-02-13T16:05", "MM/DD/YYYY HH:MM AM"),
        ("2001-02-13T04:05:06Z", "2001-02-13T04:05:06", "YYYY-MM-DD HH:MM:SS+HH:MM"),
        ("2001-02-13T04:05:06+02:00", "2001-02-13T02:05:06", "YYYY-MM-DD HH:MM:SS+HH:MM"),
    ],
)
def test_text_in_each_layout(text, expected, layout):
    read = parse_times(pl.Series([text]))
    assert read.values.to_numpy().dtype == "M8[us]"
    np.testing.assert_array_equal(read.values.to_numpy(), times(expected))
    assert (read.layout, read.note) == (layout, "")


@pytest.mark.parametrize("text", ["x", "2001-13-01", "1/2/01", "2001-02-30", "04:05", "1.5"])
def test_what_is_no_time_is_null(text):
    read = parse_times(pl.Series([text]))
    assert read.values.to_list() == [None]


def test_one_stray_value_is_null_and_the_layout_is_that_of_the_others():
    read = parse_times(pl.Series(["2001-01-01", "01/02/2001", "2001-01-03"]))
    assert read.values.is_null().to_list() == [False, True, False]
    assert read.layout == "YYYY-MM-DD"


def test_a_layout_rare_in_a_long_column_is_still_only_a_stray_value():
    texts = ["2001-01-01"] * 5000
    texts[1234] = "2001-01-01 10:00"
    assert parse_times(pl.Series(texts)).values.is_null().arg_max() == 1234


def test_typed_columns():
    zone = timezone(timedelta(hours=2))
    stamps = pl.Series([datetime(2001, 1, 1, 1, tzinfo=zone)])
    np.testing.assert_array_equal(parse_times(stamps).values, times("2000-12-31T23:00"))
    np.testing.assert_array_equal(
        parse_times(pl.Series([date(2001, 1, 2)])).values, times("2001-01-02")
    )
    nanoseconds = pl.Series([datetime(2001, 1, 2)]).cast(pl.Datetime("ns"))
    np.testing.assert_array_equal(parse_times(nanoseconds).values, times("2001-01-02"))
    np.testing.assert_array_equal(parse_times(pl.Series([20010102])).values, times("2001-01-02"))


def test_whole_numbers_stay_numbers():
    for column in (pl.Series(["2001", "2002"]), pl.Series([2001, 2002]), pl.Series([2001.0, 2002])):
        read = parse_times(column)
        assert read.values.dtype == pl.Int64
        assert read.values.to_list() == [2001, 2002]
    assert parse_times(pl.Series([2001.0, 2002.5])).values.to_list() == [2001, None]
    assert parse_times(pl.Series([True])).values.to_list() == [None]


@pytest.mark.parametrize(
    ("texts", "second", "layout"),
    [
        # Days in a row if read month first, as many months in a row if day first: month first.
        (["01/01/2001", "01/02/2001", "01/03/2001"], "2001-01-02", "MM/DD/YYYY"),
        # The first of each month over two years: month first would leave a gap of a year.
        (
            [f"01/{m:02}/{y}" for y in (2001, 2002) for m in range(1, 13)],
            "2001-02-01",
            "DD/MM/YYYY",
        ),
        # The fifth of five months, or the first five days of May: month first.
        ([f"{m:02}/05/2001" for m in range(1, 6)], "2001-02-05", "MM/DD/YYYY"),
    ],
)
def test_day_and_month_in_doubt(texts, second, layout):
    read = parse_times(pl.Series(texts))
    assert read.values.to_numpy()[1] == np.datetime64(second)
    assert read.layout == layout
    assert read.note.startswith(f"times such as {texts[0]!r} fit {layout} and ")


def test_one_day_above_twelve_leaves_no_doubt():
    read = parse_times(pl.Series(["01/02/2001", "13/02/2001"]))
    assert (read.layout, read.note) == ("DD/MM/YYYY", "")


def grid(start: str, count: int, unit: str, every: int = 1) -> np.ndarray:
    return (np.datetime64(start) + np.arange(count) * np.timedelta64(every, unit)).astype("M8[us]")


def month_ends(start: str, count: int) -> np.ndarray:
    months = np.datetime64(start, "M") + np.arange(1, count + 1)
    return (months.astype("M8[D]") - 1).astype("M8[us]")


WORKDAYS = np.busday_offset("2024-01-01", np.arange(40)).astype("M8[us]")


@pytest.mark.parametrize(
    ("moments", "step", "text"),
    [
        (grid("2001-01-01T00:00:00.000001", 5, "us"), Step(1, "microsecond"), "1 microsecond"),
        (grid("2001-01-01", 5, "ms", 250), Step(250, "millisecond"), "250 milliseconds"),
        (grid("2001-01-01", 5, "s"), Step(1, "second"), "1 second"),
        (grid("2001-01-01T00:00", 9, "m", 15), Step(15, "minute"), "15 minutes"),
        (grid("2001-01-01T00", 50, "h"), Step(1, "hour"), "1 hour"),
        (grid("2001-01-01", 30, "D"), Step(1, "day"), "1 day"),
        (grid("2001-01-01", 4, "D"), Step(1, "day"), "1 day"),
        (grid("2001-01-01", 30, "D", 7), Step(1, "week"), "1 week"),
        (grid("2001-01-01", 60, "D", 28), Step(4, "week"), "4 weeks"),
        (WORKDAYS, Step(1, "business day"), "business day"),
        (grid("2001-01", 30, "M").astype("M8[us]"), Step(1, "month"), "1 month"),
        (grid("2001-01", 9, "M", 3).astype("M8[us]"), Step(3, "month"), "3 months"),
        (grid("2001", 3, "Y").astype("M8[us]"), Step(12, "month"), "1 year"),
        (month_ends("2001-01", 14), Step(1, "month end"), "1 month"),
        (np.arange(2001, 2030), Step(1, "integer"), "1"),
        (np.arange(0, 90, 10), Step(10, "integer"), "10"),
    ],
)
def test_a_regular_step_is_found_and_continued(moments, step, text):
    found = infer_step(moments[:-1], moments[1:])
    assert found == step
    assert str(found) == text
    np.testing.assert_array_equal(found.between(moments[:-1], moments[1:]), 1)
    half = len(moments) // 2
    following = found.after(moments[half - 1], len(moments) - half)
    assert following.dtype == moments.dtype
    np.testing.assert_array_equal(following, moments[half:])


def test_missing_rows_do_not_hide_the_step():
    days = grid("2001-01-01", 100, "D")
    kept = np.delete(days, [3, 10, 11, 12, 50])
    step = infer_step(kept[:-1], kept[1:])
    assert step == Step(1, "day")
    steps = step.between(kept[:-1], kept[1:])
    np.testing.assert_array_equal(steps[steps > 1], [2, 4, 2])


def test_last_business_days_of_months_are_monthly():
    ends = np.busday_offset(
        np.arange("2001-02", "2004-02", dtype="M8[M]").astype("M8[D]"), -1, roll="forward"
    ).astype("M8[us]")
    step = infer_step(ends[:-1], ends[1:])
    assert step == Step(1, "month")
    np.testing.assert_array_equal(step.between(ends[:-1], ends[1:]), 1)


def test_weekends_are_no_gaps_in_business_days_but_holidays_are():
    step = Step(1, "business day")
    friday, monday, tuesday = times("2024-01-05", "2024-01-08", "2024-01-09")
    np.testing.assert_array_equal(
        step.between(np.array([friday, friday]), np.array([monday, tuesday])), [1, 2]
    )


def test_a_rare_saturday_does_not_make_business_days_a_week():
    days = np.sort(np.append(WORKDAYS, np.datetime64("2024-01-20")))
    step = infer_step(days[:-1], days[1:])
    assert step == Step(1, "business day")
    steps = step.between(days[:-1], days[1:])
    np.testing.assert_array_equal(steps[13:17], [1, 1, 0, 1])  # Thursday, Friday, Saturday, Monday


def test_irregular_times_have_no_step():
    moments = np.cumsum([1, 7, 3, 11, 5, 2, 13])
    assert infer_step(moments[:-1], moments[1:]) is None
    assert infer_step(moments[:0], moments[:0]) is None


def test_the_31st_is_clipped_where_a_month_has_none():
    following = Step(1, "month").after(np.datetime64("2023-12-31T06:00"), 3)
    np.testing.assert_array_equal(
        following, times("2024-01-31T06:00", "2024-02-29T06:00", "2024-03-31T06:00")
    )


def test_steps_off_the_grid_are_fractions():
    before, after = times("2001-01-01", "2001-01-02"), times("2001-01-01T12:00", "2001-01-04")
    np.testing.assert_array_equal(Step(1, "day").between(before, after), [0.5, 2])


@given(
    st.sampled_from(["second", "minute", "hour", "day", "week", "month", "month end"]),
    st.integers(1, 40),
    st.datetimes(min_value=datetime(1900, 1, 1), max_value=datetime(2100, 1, 28)),
    st.integers(1, 30),
)
def test_after_and_between_agree(unit, count, start, n):
    step = Step(count, unit)
    moments = step.after(np.datetime64(start), n)
    assert len(moments) == n
    np.testing.assert_array_equal(step.between(moments[:-1], moments[1:]), 1)
    assert moments[0] > np.datetime64(start)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2019", np.datetime64("2019", "Y")),
        ("2019-02", np.datetime64("2019-02", "M")),
        (" 2019-02-03 ", np.datetime64("2019-02-03", "D")),
        ("2019-02-03 04:05", np.datetime64("2019-02-03T04:05", "m")),
        ("02/03/2019", None),
        ("2019-02-31", None),
        ("today", None),
        ("", None),
    ],
)
def test_bounds_keep_their_precision(text, expected):
    bound = parse_bound(text, times("2001-01-01"))
    assert bound == expected
    assert expected is None or bound.dtype == expected.dtype


def test_bounds_of_whole_numbers():
    assert parse_bound("2019", np.array([1, 2])) == 2019
    assert parse_bound("2019-01-01", np.array([1, 2])) is None


@pytest.mark.parametrize(
    ("time", "text"),
    [
        (np.datetime64("2019-01-31"), "2019-01-31"),
        (np.datetime64("2019-01-31T09:30"), "2019-01-31 09:30"),
        (np.datetime64("2019-01-31T00:00:05"), "2019-01-31 00:00:05"),
        (np.datetime64("2019-01-31T00:00:00.5"), "2019-01-31 00:00:00.500000"),
        (np.int64(17), "17"),
    ],
)
def test_times_are_shown_no_longer_than_needed(time, text):
    assert show_time(time) == text
