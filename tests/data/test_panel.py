from __future__ import annotations

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from elman.data.findings import count
from elman.data.panel import FILLED, ROW, TIME, make_panel
from elman.data.steps import Step
from elman.data.table import read_table
from elman.errors import InputError

DAYS = "day,x,kind\n2024-01-01,1,a\n2024-01-02,2,b\n2024-01-03,3,a\n"


def messages(panel, severity=None) -> list[str]:
    return [str(f) for f in panel.findings if severity in (None, f.severity)]


def test_one_series(panel):
    p = panel(DAYS, time="day", numbers=["x"], categories=["kind"])
    (series,) = p.series
    assert series.key is None
    assert series.frame.schema == {
        ROW: pl.Int64,
        TIME: pl.Datetime("us"),
        "x": pl.Float64,
        "kind": pl.String,
    }
    assert series.frame["x"].to_list() == [1, 2, 3]
    assert series.frame["kind"].to_list() == ["a", "b", "a"]
    assert series.frame[ROW].to_list() == [1, 2, 3]
    np.testing.assert_array_equal(
        series.times, np.arange("2024-01-01", "2024-01-04", dtype="M8[D]")
    )
    assert (p.step, p.findings, p.future) == (Step(1, "day"), [], {})


def test_without_a_time_column_rows_are_steps(panel):
    p = panel("x\n3\n1\n2\n", numbers=["x"])
    assert p.series[0].frame["x"].to_list() == [3, 1, 2]
    assert p.series[0].times is None
    assert p.step is None


def test_groups_become_series_ordered_by_key(panel):
    p = panel(
        "t,shop,x\n1,b,10\n1,a,1\n2,b,20\n2,a,2\n3,b,30\n", time="t", group="shop", numbers=["x"]
    )
    assert [series.key for series in p.series] == ["a", "b"]
    assert [series.frame["x"].to_list() for series in p.series] == [[1, 2], [10, 20, 30]]
    assert [series.frame[ROW].to_list() for series in p.series] == [[2, 4], [1, 3, 5]]
    assert (p.step, p.findings) == (Step(1, "integer"), [])


def test_groups_one_after_the_other_are_in_order(panel):
    text = "t,g,x\n1,a,1\n2,a,2\n3,a,3\n1,b,4\n2,b,5\n3,b,6\n"
    assert panel(text, time="t", group="g", numbers=["x"]).findings == []


@given(st.permutations(range(12)))
def test_the_order_of_rows_does_not_matter(order):
    frame = pl.DataFrame(
        {"t": [1, 2, 3, 4] * 3, "g": ["a"] * 4 + ["b"] * 4 + ["c"] * 4, "x": np.arange(12.0)}
    )
    p = make_panel(read_table(frame[list(order)]), time="t", group="g", numbers=["x"])
    assert [series.frame["x"].to_list() for series in p.series] == [
        [0, 1, 2, 3],
        [4, 5, 6, 7],
        [8, 9, 10, 11],
    ]


def test_rows_out_of_order_are_sorted_and_counted(panel):
    p = panel("t,x\n1,1\n4,4\n2,2\n3,3\n5,5\n", time="t", numbers=["x"])
    assert p.series[0].frame["x"].to_list() == [1, 2, 3, 4, 5]
    assert messages(p, "warning") == [
        "prices.csv: 1 row earlier than the row before, the first is row 3; sorted by 't'"
    ]


def test_exact_repetitions_are_dropped_and_counted(panel):
    p = panel("t,x\n1,1\n2,2\n2,2\n3,3\n3,3\n3,3\n", time="t", numbers=["x"])
    assert p.series[0].frame["x"].to_list() == [1, 2, 3]
    assert messages(p) == ["prices.csv: 3 rows repeated exactly and dropped, the first is row 3"]


def test_rows_of_one_time_that_differ_are_an_error(panel):
    p = panel("t,x\n1,1\n2,2\n2,5\n3,3\n", time="t", numbers=["x"])
    assert messages(p, "error") == [
        "prices.csv: rows 2 and 3 have the same time 2 but different values; remove one of them, "
        "or name the column that tells several series apart with --group"
    ]
    with pytest.raises(InputError, match="rows 2 and 3"):
        p.raise_errors()
    p = panel("t,g,x\n1,a,1\n1,a,2\n1,b,2\n", time="t", group="g", numbers=["x"])
    assert "rows 1 and 2 have the same time 1 in the series 'a' but" in messages(p, "error")[0]


def test_gaps_name_their_place(panel):
    p = panel("t,x\n1,1\n2,2\n4,4\n5,5\n9,9\n10,9\n", time="t", numbers=["x"])
    assert messages(p, "warning") == [
        "prices.csv: 2 gaps in time, 4 rows absent (step: 1): the first after row 2, from 2 to 4; "
        "the largest after row 4, from 5 to 9; windows run across them as if nothing were absent; "
        "add the rows if it matters"
    ]


def test_months_have_no_gaps_and_holidays_are_a_note(panel):
    months = "".join(f"2001-{m:02},{m}\n" for m in range(1, 13))
    p = panel("t,x\n" + months, time="t", numbers=["x"])
    assert (str(p.step), p.findings) == ("1 month", [])
    workdays = np.busday_offset("2024-01-01", np.arange(30))
    for absent, severity in ([7], "note"), ([7, 8, 9], "warning"):
        days = np.delete(workdays, absent)
        p = panel("t,x\n" + "".join(f"{d},1\n" for d in days), time="t", numbers=["x"])
        assert str(p.step) == "business day"
        (finding,) = p.findings
        assert finding.severity == severity
        assert f"1 gap in time, {count(len(absent), 'row')} absent" in finding.message


def test_times_off_the_step_and_irregular_times(panel):
    p = panel("t,x\n0,1\n10,1\n20,1\n25,1\n30,1\n40,1\n", time="t", numbers=["x"])
    assert messages(p, "warning")[0].startswith(
        "prices.csv: 2 rows off the step (10), the first after row 3, from 20 to 25"
    )
    p = panel("t,x\n0,1\n1,1\n5,1\n8,1\n20,1\n", time="t", numbers=["x"])
    assert p.step is None
    assert "keep to no regular step" in messages(p, "warning")[0]


HOLES = "t,x,y,k\n1,1,1,a\n2,,2,\n4,,3,b\n5,7,4,b\n"


def test_missing_values_are_an_error_by_default(panel):
    p = panel(HOLES, time="t", numbers=["x", "y"], categories=["k"])
    remedy = "fill them in, or choose --missing forward or drop"
    assert messages(p, "error") == [
        f"prices.csv: column 'x': 2 values missing, the first in row 2; {remedy}",
        f"prices.csv: column 'k': 1 value missing, the first in row 2; {remedy}",
    ]


@pytest.mark.parametrize(
    ("how", "x", "k"),
    [
        ("forward", [1, 1, 1, 7], ["a", "a", "b", "b"]),
        ("drop", [1, 7], ["a", "b"]),
    ],
)
def test_missing_values_are_treated_as_asked(panel, how, x, k):
    p = panel(HOLES, time="t", numbers=["x", "y"], categories=["k"], missing=how)
    assert messages(p, "error") == []
    assert p.series[0].frame["x"].to_list() == pytest.approx(x)
    assert p.series[0].frame["k"].to_list() == k
    assert "column 'x': 2 values missing, the first in row 2" in messages(p, "warning")[0]


def test_filled_cells_are_marked_in_every_series(panel):
    text = "g,t,x,y,z,k\na,1,1,1,1,u\na,2,,1,2,\na,3,3,,3,u\nb,1,4,1,4,v\nb,2,5,1,5,v\nb,3,,,,v\n"
    p = panel(text, time="t", group="g", numbers=["x", "y", "z"], known=["k"], missing="forward")
    marks = [FILLED + "x", FILLED + "y"]  # not z, nor k, which holds categories
    a, b = (series.frame for series in p.series)
    assert a.columns == b.columns == [ROW, TIME, "x", "y", "z", "k", *marks]
    assert a["x"].to_list() == [1, 1, 3]
    assert a[FILLED + "x"].to_list() == [False, True, False]
    assert a[FILLED + "y"].to_list() == [False, False, True]
    assert b.select(marks).rows() == [(False, False)] * 2
    # Row 6 is b's future, and has the same columns.
    assert p.future["b"].select(b.columns).schema == b.schema
    assert p.future["b"].select(marks).rows() == [(False, False)]


def test_where_nothing_is_filled_nothing_is_marked(panel):
    for how in ("error", "forward", "drop"):
        p = panel(DAYS, time="day", numbers=["x"], categories=["kind"], missing=how)
        assert p.series[0].frame.columns == [ROW, TIME, "x", "kind"]
    p = panel(HOLES, time="t", numbers=["x", "y"], missing="drop")
    assert p.series[0].frame.columns == [ROW, TIME, "x", "y"]


def test_names_that_are_taken(panel):
    for name in (ROW, TIME, FILLED + "x"):
        with pytest.raises(InputError, match=f"Elman keeps the name '{name}' for itself"):
            panel(f"{name},x\n1,2\n", numbers=[name, "x"])


def test_filling_never_crosses_from_one_series_into_the_next(panel):
    text = "g,t,x,y\na,1,5,1\na,2,6,1\nb,1,,1\nb,2,8,1\n"
    p = panel(text, time="t", group="g", numbers=["x", "y"], missing="forward")
    (message,) = messages(p, "error")
    assert "column 'x': 1 value missing" in message
    assert "the first in row 3" in message


def test_forward_never_uses_the_future(panel):
    p = panel("x,y\n,1\n2,1\n", numbers=["x", "y"], missing="forward")
    assert "with none before it in its series to carry forward" in messages(p, "error")[0]
    assert p.series[0].frame["x"].to_list() == [None, 2]


@given(st.lists(st.integers(0, 9) | st.none(), min_size=2, max_size=9), st.data())
def test_what_comes_later_never_changes_what_was_filled(values, data):
    cut = data.draw(st.integers(1, len(values) - 1))

    def filled(x):
        frame = pl.DataFrame({"t": range(len(x)), "x": x, "y": 0}, schema_overrides={"x": pl.Int64})
        p = make_panel(read_table(frame), time="t", numbers=["x", "y"], missing="forward")
        return p.series[0].frame["x"].to_list()

    assert filled(values)[:cut] == filled(values[:cut])


def test_trailing_rows_known_ahead_are_the_future(panel):
    text = "g,t,x,k\na,1,1,W\na,2,2,W\na,3,,U\na,4,,W\nb,1,5,W\nb,2,,U\n"
    p = panel(text, time="t", group="g", numbers=["x"], known=["k"])
    assert messages(p, "error") == []
    assert (p.known, p.numbers, p.categories) == (["k"], ["x"], ["k"])
    assert [len(series) for series in p.series] == [2, 1]
    assert p.future["a"]["k"].to_list() == ["U", "W"]
    assert p.future["a"][TIME].to_list() == [3, 4]
    assert p.future["a"]["x"].to_list() == [None, None]
    assert p.future["b"]["k"].to_list() == ["U"]
    assert messages(p, "note")[0].startswith(
        "prices.csv: 3 rows at the end without values for x taken as the future, the first is row 3"
    )


def test_a_known_value_missing_in_the_future_is_an_error(panel):
    p = panel("t,x,k\n1,1,5\n2,2,6\n3,,7\n4,,\n", time="t", numbers=["x"], known=["k"])
    assert messages(p, "error") == [
        "prices.csv: column 'k': 1 value missing, although known ahead, the first in row 4; "
        "fill them in"
    ]


def test_future_rows_are_of_no_use_where_nothing_is_known_ahead(panel):
    p = panel("t,x\n1,1\n2,2\n3,\n4,\n", time="t", numbers=["x"])
    assert len(p.future[None]) == 2
    assert messages(p) == [
        "prices.csv: 2 rows at the end without values for x taken as the future, the first is row "
        "3; no column is known ahead, so they are of no use: fill them in or remove them"
    ]
    assert p.findings[0].severity == "warning"


def test_blank_rows_are_no_future_if_nothing_tells_them_apart(panel):
    p = panel("x,y\n1,1\n2,2\n,\n", numbers=["x", "y"])
    assert p.future == {}
    assert len(messages(p, "error")) == 2


def test_a_series_without_any_value_is_an_error(panel):
    p = panel("t,g,x\n1,a,1\n1,b,\n2,b,\n", time="t", group="g", numbers=["x"])
    assert "the series 'b' has no values for x" in messages(p, "error")[0]


def test_known_columns_are_numbers_or_categories_by_what_they_hold(panel):
    p = panel("x,wet,kind\n1,0,W\n2,1,U\n", numbers=["x"], known=["wet", "kind"])
    assert (p.numbers, p.categories, p.known) == (["x", "wet"], ["kind"], ["wet", "kind"])
    p = panel("x,wet\n1,0\n2,1\n", numbers=["x"], categories=["wet"], known=["wet"])
    assert (p.numbers, p.categories) == (["x"], ["wet"])


def test_all_that_is_wrong_is_collected(panel):
    p = panel("t,x,y\nsoon,a,1\n2,1,NaN\n3,inf,3\n", time="t", numbers=["x", "y"])
    errors = messages(p, "error")
    assert [e.partition(":")[2].partition(":")[0].strip() for e in errors] == [
        "row 1, column 't'",
        "row 1, column 'x'",
        "row 2, column 'y'",
    ]
    with pytest.raises(InputError, match=r"and 2 more: see `elman check`"):
        p.raise_errors()


MONTH = "day,x\n" + "".join(f"2024-01-{d:02},{d}\n" for d in range(1, 32))


@pytest.mark.parametrize(
    ("since", "until", "first", "last"),
    [
        ("2024-01-05", None, 5, 31),
        (None, "2024-01-05", 1, 5),
        ("2024-01-03 12:00", "2024-01-09 12:00", 4, 9),
        (None, "2024", 1, 31),
        ("2023", "2024-01", 1, 31),
    ],
)
def test_since_and_until(panel, since, until, first, last):
    p = panel(MONTH, time="day", numbers=["x"], since=since, until=until)
    assert p.series[0].frame["x"].to_list() == list(range(first, last + 1))
    assert p.series[0].frame[ROW].to_list() == list(range(first, last + 1))


def test_until_of_a_whole_number_is_included(panel):
    p = panel("t,x\n1,1\n2,2\n3,3\n", time="t", numbers=["x"], since="2", until="2")
    assert p.series[0].frame["x"].to_list() == [2]


def test_what_lies_outside_the_range_is_not_checked(panel):
    p = panel("t,x\n1,bad\n2,2\n3,\n", time="t", numbers=["x"], since="2", until="2")
    assert p.findings == []


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"numbers": ["y"]}, "no column 'y' (from --input)"),
        ({"time": "dya"}, "no column 'dya' (from --time); did you mean 'day'?"),
        ({"group": "shop"}, "no column 'shop' (from --group)"),
        ({"known": ["wet"]}, "no column 'wet' (from --known)"),
        ({"numbers": ["z"], "options": {"z": "--target"}}, "no column 'z' (from --target)"),
        ({"missing": "interpolate"}, "'interpolate' is not known; expected one of: error, forward"),
        ({"missing": "foward"}, "--missing: 'foward' is not known; did you mean 'forward'?"),
        ({"since": "2024"}, "--since and --until need a time column"),
        ({"time": "day", "since": "soon"}, "--since: expected an ISO date such as 2018-12-31"),
        (
            {"time": "day", "since": "2025", "until": "2026"},
            "no rows since 2025 until 2026; the times run from 2024-01-01 to 2024-01-31",
        ),
        ({"time": "day", "since": "2024-13"}, "--since: expected an ISO date"),
        ({"numbers": ["x"], "categories": ["x"]}, "both as a number and as a category"),
    ],
)
def test_arguments_that_cannot_be_used(panel, options, expected):
    with pytest.raises(InputError) as caught:
        panel(MONTH, **options)
    assert expected in str(caught.value)


def test_missing_group(panel):
    p = panel("t,g,x\n1,a,1\n2,,2\n", time="t", group="g", numbers=["x"])
    assert "row 2, column 'g': the group is missing, in 1 row in all" in messages(p, "error")[0]
