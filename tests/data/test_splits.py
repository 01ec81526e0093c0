from __future__ import annotations

import datetime

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from elman.data.findings import Finding
from elman.data.panel import Panel, Series, make_panel
from elman.data.splits import make_splits
from elman.data.table import read_table
from elman.errors import InputError


def daily(rows: int, start: str = "2024-01-01", key: str = "") -> str:
    days = np.datetime64(start) + np.arange(rows)
    return "".join(f"{day},{key},{i}\n" for i, day in enumerate(days))


@pytest.fixture
def year(panel) -> Panel:
    """366 days of 2024."""
    return panel("day,key,x\n" + daily(366), time="day", numbers=["x"])


@pytest.mark.parametrize(
    ("valid", "test", "valid_start", "test_start"),
    [
        ("0.15", "0.15", 256, 311),  # 0.15 x 366 = 54.9
        (0.25, None, 274, 366),
        (".5", "0", 183, 366),
        ("30", "20", 316, 346),
        (30, 0, 336, 366),
        ("2024-07-01", "2024-12-01", 182, 335),
        ("2024-07", "none", 182, 366),
        ("@2024-07", "@2024-12-01", 182, 335),
        (datetime.date(2024, 7, 1), datetime.datetime(2024, 12, 1, 6), 182, 336),
        ("60", "2024-12-01", 275, 335),
        ("2024-07-01", "10", 182, 356),
        (None, "10", 356, 356),
    ],
)
def test_spans_follow_each_other(year, valid, test, valid_start, test_start):
    splits = make_splits(year, valid, test, lookback=28, horizon=7)
    assert splits.spans == [
        {"train": (0, valid_start), "valid": (valid_start, test_start), "test": (test_start, 366)}
    ]
    assert splits.findings == []


def test_describe(year):
    splits = make_splits(year, "2024-07-01", None, lookback=28, horizon=7)
    assert splits.describe(year) == {
        "train": {"from": "2024-01-01", "to": "2024-06-30", "steps": 182},
        "valid": {"from": "2024-07-01", "to": "2024-12-31", "steps": 184},
    }
    rows = Panel("t", [Series(None, year.series[0].frame.drop("#time"))])
    splits = make_splits(rows, "10", "5", lookback=2, horizon=1)
    assert splits.describe(rows)["test"] == {"from": "362", "to": "366", "steps": 5}


def test_dates_cut_all_series_at_the_same_time(panel):
    text = "day,key,x\n" + daily(100, "2024-01-01", "a") + daily(100, "2024-01-21", "b")
    p = panel(text, time="day", group="key", numbers=["x"])
    splits = make_splits(p, "2024-03-01", "2024-03-20", lookback=5, horizon=2)
    assert splits.of("valid") == [(60, 79), (40, 59)]
    assert splits.of("test") == [(79, 100), (59, 100)]
    assert splits.num_steps("train") == 100
    assert splits.findings == []
    by_share = make_splits(p, "0.2", "0.1", lookback=5, horizon=2)
    assert by_share.of("valid") == [(70, 90), (70, 90)]


@pytest.mark.parametrize(
    ("valid", "test", "split", "start"),
    [
        ("0.2", "0.1", "validation", "2024-03-11"),  # the 71st of a's days
        (None, "20", "test", "2024-03-21"),  # the 81st
        ("2024-04-05", "10", "test", "2024-03-31"),  # the test span of a starts before the date
    ],
)
def test_a_series_that_trains_while_another_is_scored_is_a_warning(
    panel, valid, test, split, start
):
    text = "day,key,x\n" + daily(100, "2024-01-01", "a") + daily(100, "2024-01-21", "b")
    p = panel(text, time="day", group="key", numbers=["x"])
    splits = make_splits(p, valid, test, lookback=5, horizon=2)
    warning = next(f for f in splits.findings if "trains until" in f.message)
    end = p.series[1].times[splits.of("train")[1][1] - 1].astype("M8[D]")
    assert warning == Finding(
        "warning",
        f"prices.csv: the series 'b' trains until {end}, when others are scored already: the "
        f"{split} span of 'a' starts at {start}",
        f"give a date for --{split.removesuffix('ation')}, which cuts all series at the same time",
    )


def test_series_that_share_their_times_are_in_order_however_they_are_cut(panel):
    text = "day,key,x\n" + daily(100, "2024-01-01", "a") + daily(100, "2024-01-01", "b")
    # A third that is too short to train is no leak.
    p = panel(text + daily(4, "2024-06-01", "c"), time="day", group="key", numbers=["x"])
    findings = make_splits(p, "0.2", "0.1", lookback=5, horizon=2).findings
    assert [f.message for f in findings if "trains until" in f.message] == []


def test_series_too_short_for_a_span_are_a_warning(panel):
    text = "day,key,x\n" + daily(100, "2024-01-01", "a") + daily(30, "2024-03-01", "late")
    p = panel(text, time="day", group="key", numbers=["x"])
    splits = make_splits(p, "2024-03-01", None, lookback=5, horizon=2)
    assert splits.of("train") == [(0, 60), (0, 0)]
    (finding,) = splits.findings
    assert finding.severity == "warning"
    assert finding.message == (
        "prices.csv: 1 of 2 series take no part in training: fewer rows there than lookback 5 + "
        "horizon 2 = 7; the first is 'late' with 0"
    )


@pytest.mark.parametrize(
    ("valid", "test", "expected"),
    [
        ("0.99", "0", "training span has 4 rows, fewer than lookback 28 + horizon 7 = 35"),
        ("0.6", "0.6", "training span has 0 rows, fewer than"),
        ("6", "0", "validation span has 6 rows, fewer than the horizon of 7"),
        ("30", "2024-12-30", "test span has 2 rows, fewer than the horizon of 7"),
        ("2024-12-01", "2024-07-01", "--valid 2024-12-01 does not come before --test 2024-07-01"),
        ("2023-05-01", "0", "--valid 2023-05-01 lies outside the data, which run from 2024-01-01"),
        ("0.1", "2025-01-01", "--test 2025-01-01 lies outside the data"),
        ("none", "0.1", "a validation span is needed"),
        ("1.5", "0", "--valid: expected a share such as 0.15, a number of steps such as 200"),
        ("-0.1", "0", "--valid: expected a share"),
        ("nan", "0", "--valid: expected a share"),
        ("01/07/2024", "0", "--valid: expected a share"),
    ],
)
def test_what_cannot_be_cut_says_why(year, valid, test, expected):
    with pytest.raises(InputError) as caught:
        make_splits(year, valid, test, lookback=28, horizon=7)
    assert expected in str(caught.value)


def test_a_horizon_longer_than_the_data(year):
    with pytest.raises(InputError, match=r"has 366 rows, fewer than lookback 28 \+ horizon 400"):
        make_splits(year, "0.1", None, lookback=28, horizon=400)


def test_a_year_could_be_a_number_of_steps(panel):
    p = panel("day,key,x\n" + daily(3000, "2017-06-01"), time="day", numbers=["x"])
    with pytest.raises(InputError) as caught:
        make_splits(p, "2019", None, lookback=2, horizon=1)
    assert str(caught.value) == (
        "--valid 2019 could be a year or a number of steps; write @2019 for the year, or the steps "
        "as a share of the rows"
    )
    assert make_splits(p, "@2019", None, lookback=2, horizon=1).of("valid") == [(579, 3000)]
    assert make_splits(p, "2016", None, lookback=2, horizon=1).of("valid") == [(984, 3000)]


def test_integer_times_are_written_with_an_at_sign(panel):
    p = panel(
        "year,x\n" + "".join(f"{y},1\n" for y in range(1900, 2000)), time="year", numbers=["x"]
    )
    splits = make_splits(p, "@1980", "@1990", lookback=2, horizon=1)
    assert splits.spans == [{"train": (0, 80), "valid": (80, 90), "test": (90, 100)}]
    assert make_splits(p, "30", "20", lookback=2, horizon=1).of("valid") == [(50, 80)]
    assert make_splits(p, "@1980", "0.1", lookback=2, horizon=1).of("valid") == [(80, 90)]


@pytest.mark.parametrize(
    ("valid", "expected"),
    [
        (
            1980,
            "--valid 1980 could be a time or a number of steps; write @1980 for the time, or the "
            "steps as a share of the rows",
        ),
        ("@2005", "--valid @2005 lies outside the data, which run from 1900 to 1999"),
        ("@1900", "--valid @1900 lies outside the data"),
        ("-5", "--valid -5 lies outside the data"),
        ("@1980-01-01", "or a time such as @1999, got '@1980-01-01'"),
        ("@", "or a time such as @1999, got '@'"),
    ],
)
def test_integer_times_that_cannot_be_used(panel, valid, expected):
    p = panel(
        "year,x\n" + "".join(f"{y},1\n" for y in range(1900, 2000)), time="year", numbers=["x"]
    )
    with pytest.raises(InputError) as caught:
        make_splits(p, valid, None, lookback=2, horizon=1)
    assert expected in str(caught.value)


def test_dates_need_times(panel):
    p = panel("x\n" + "1\n" * 50, numbers=["x"])
    with pytest.raises(InputError, match=r"2019-01-01 \(which needs --time\), got '2019-01-01'"):
        make_splits(p, "2019-01-01", None, lookback=2, horizon=1)


@given(
    st.lists(st.integers(30, 90), min_size=1, max_size=5),
    st.floats(0.1, 0.3),
    st.integers(3, 8) | st.none(),
)
def test_spans_cover_each_series_without_overlap(lengths, valid, test):
    rows = [(g, t) for g, length in enumerate(lengths) for t in range(length)]
    # Times far from any number of steps, so that a number is one of steps.
    frame = pl.DataFrame(rows, schema=["g", "t"], orient="row").with_columns(x="t", t=pl.col.t + 99)
    p = make_panel(read_table(frame), time="t", group="g", numbers=["x"])
    splits = make_splits(p, valid, test, lookback=3, horizon=2)
    for series, spans in zip(p.series, splits.spans, strict=True):
        assert spans["train"][0] == 0
        assert spans["train"][1] == spans["valid"][0]
        assert spans["valid"][1] == spans["test"][0]
        assert spans["test"][1] == len(series)
        assert spans["test"][1] - spans["test"][0] == (test or 0)
