from __future__ import annotations

import gzip
import hashlib
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from functools import partial

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from elman.data.findings import Finding, raise_errors
from elman.data.table import Table, read_table
from elman.errors import InputError


def numbers(t: Table, column: str) -> np.ndarray:
    """Return a column as float64, NaN where missing; raise what its reader found."""
    return checked(t.column(column).numbers()).to_numpy()


def categories(t: Table, column: str) -> list[str | None]:
    return checked(t.column(column).categories()).to_list()


def times(t: Table, column: str) -> np.ndarray:
    return checked(t.column(column).times()).to_numpy()


def checked(read: tuple[pl.Series, list[Finding]]) -> pl.Series:
    raise_errors(read[1])
    return read[0]


def error(act) -> str:
    with pytest.raises(InputError) as caught:
        act()
    return str(caught.value)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("t.csv", b"a,b\n1,x\n2.5,y\n"),
        ("t.csv", b"\xef\xbb\xbfa,b\r\n1,x\r\n2.5,y\r\n\r\n"),
        ("t.csv", b"a;b\n1;x\n2.5;y"),
        ("t.csv", b"a\tb\n1\tx\n2.5\ty"),
        ("t.csv", b'a,b\n"1","x"\n2.5,y\n'),
        ("t.tsv", b"a\tb\n1\tx\n2.5\ty\n"),
        ("t.csv.gz", gzip.compress(b"a,b\n1,x\n2.5,y\n", mtime=0)),
        ("t.jsonl", b'{"a": 1, "b": "x"}\n{"b": "y", "a": 2.5}\n'),
        ("T.NDJSON", b'{"a": 1, "b": "x"}\n\n{"a": 2.5, "b": "y"}\n'),
    ],
)
def test_each_text_format_gives_the_same_table(table, name, content):
    t = table(content, name)
    assert t.frame.columns == ["a", "b"]
    np.testing.assert_array_equal(numbers(t, "a"), [1.0, 2.5])
    assert categories(t, "b") == ["x", "y"]
    assert t.name == name
    assert t.sha256 == hashlib.sha256(content).hexdigest()


def test_parquet_and_tables_in_memory_give_the_same_table(tmp_path):
    frame = pl.DataFrame({"a": [1.0, None], "b": ["x", "y"]})
    frame.write_parquet(tmp_path / "t.parquet")
    pandas = pd.DataFrame({"a": [1.0, np.nan], "b": ["x", "y"]})
    arrow = pa.table({"a": [1.0, None], "b": ["x", "y"]})
    for source in (tmp_path / "t.parquet", str(tmp_path / "t.parquet"), frame, pandas, arrow):
        t = read_table(source)
        np.testing.assert_array_equal(numbers(t, "a"), [1.0, np.nan])
        assert categories(t, "b") == ["x", "y"]


def test_sha256_of_a_table_in_memory_follows_its_content():
    frame = pl.DataFrame({"a": [1.0, 2.0]})
    same = read_table(pl.DataFrame({"a": [1.0, 2.0]})).sha256
    assert read_table(frame).sha256 == same
    assert read_table(frame.rename({"a": "b"})).sha256 != same
    assert read_table(frame.with_columns(a=pl.Series([1.0, 3.0]))).sha256 != same
    assert read_table(frame.cast(pl.Float32)).sha256 != same


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (pl.Series([b"\xff"]), pl.Series([b"\xfe"])),
        (pl.Series([[b"x", None]]), pl.Series([[b"x"]])),
        (pl.Series([{"b": b"x"}]), pl.Series([{"b": b"y"}])),
        (pl.Series([1j], dtype=pl.Object), pl.Series([2j], dtype=pl.Object)),
        (pl.Series([timedelta(1)]), pl.Series([timedelta(2)])),
        (pl.Series([time(1)]), pl.Series([time(2)])),
        (pl.Series([date(2020, 1, 1)]), pl.Series([date(2020, 1, 2)])),
        (pl.Series([1], dtype=pl.Int128), pl.Series([2], dtype=pl.Int128)),
        (pl.Series([Decimal("1.5")]), pl.Series([Decimal("1.25")])),
        (pl.Series(["x"], dtype=pl.Categorical), pl.Series(["y"], dtype=pl.Categorical)),
    ],
    ids=lambda series: str(series.dtype),
)
def test_sha256_of_a_table_in_memory_knows_every_type(one, other):
    first, again, second = (
        read_table(pl.DataFrame({"x": [1.0], "a": series})).sha256 for series in (one, one, other)
    )
    assert first == again
    assert first != second


def test_white_space_around_names_is_dropped_where_they_stay_apart(table):
    t = table("day , x,y,\ty\n1,2,3,4\n")
    assert t.frame.columns == ["day", "x", "y", "\ty"]
    np.testing.assert_array_equal(numbers(t, "x"), [2])
    assert read_table(pd.DataFrame({" a": [1], "b\n": [2]})).frame.columns == ["a", "b"]


def test_named_pandas_index_becomes_a_column():
    index = pd.Index(pd.to_datetime(["2020-01-01", "2020-01-02"]), name="when")
    t = read_table(pd.DataFrame({"a": [1, 2]}, index=index))
    np.testing.assert_array_equal(
        times(t, "when"), np.array(["2020-01-01", "2020-01-02"], "M8[us]")
    )


@given(st.lists(st.floats(-1e30, 1e30) | st.none(), min_size=1, max_size=30))
def test_numbers_survive_being_written_as_csv(tmp_path_factory, values):
    path = tmp_path_factory.mktemp("csv") / "t.csv"
    rows = "".join(f"{i},{'' if v is None else repr(v)}\n" for i, v in enumerate(values))
    path.write_text("i,v\n" + rows)
    expected = [np.nan if v is None else v for v in values]
    np.testing.assert_array_equal(numbers(read_table(path), "v"), expected)


@pytest.mark.parametrize("word", ["", "  ", "NA", "N/A", "null", "None", "-"])
def test_missing_numbers(table, word):
    t = table(f"a,b\n1,x\n{word},y\n3,z\n")
    np.testing.assert_array_equal(numbers(t, "a"), [1, np.nan, 3])


def test_words_for_missing_numbers_are_categories_like_any_other(table):
    assert categories(table("a,b\n1,NA\n2,none\n3,\n"), "b") == ["NA", "none", None]


def test_categories_lose_the_white_space_around_them(table):
    t = table("k,x\nW ,1\n\tW,2\na b,3\n  ,4\n")
    assert categories(t, "k") == ["W", "W", "a b", None]


@pytest.mark.parametrize(
    ("values", "kind"),
    [
        (pl.Series([timedelta(1)]), "Duration(time_unit='us')"),
        (pl.Series([time(1)]), "Time"),
        (pl.Series([b"\xff"]), "Binary"),
        (pl.Series([object()], dtype=pl.Object), "Object"),
        (pl.Series([[1]]), "List(Int64)"),
        (pl.Series([{"b": 1}]), "Struct({'b': Int64})"),
    ],
)
@pytest.mark.parametrize("read", [numbers, categories, times])
def test_types_that_mean_nothing_here_are_refused(values, kind, read):
    t = read_table(pl.DataFrame({"a": values}))
    assert error(lambda: read(t, "a")) == (
        f"table: column 'a' holds {kind}: expected {read.__name__}; turn it into numbers or text, "
        "or leave it out"
    )
    assert not t.is_number("a")


@pytest.mark.parametrize("moment", [date(2020, 1, 1), datetime(2020, 1, 1, 5)])
@pytest.mark.parametrize("read", [numbers, categories])
def test_dates_are_no_categories(moment, read):
    t = read_table(pl.DataFrame({"day": [moment]}))
    assert error(lambda: read(t, "day")) == (
        "table: column 'day' holds dates; name it with --time, and use --calendar for features of "
        "it"
    )


def test_numbers_too_large_for_single_precision(table):
    t = table("x\n1e30\n-1e30\n2e30\n-1e38\nx\n")
    values, (text, huge) = t.column("x").numbers()
    assert values.to_list() == [1e30, -1e30, None, None, None]
    assert "row 5, column 'x': expected a finite number, got 'x'" in text.message
    assert huge == Finding(
        "error",
        "prices.csv: row 3, column 'x': 2e+30 is too large for single precision (and 1 more row "
        "like it)",
        "correct the value, or write the column in a larger unit",
    )


@pytest.mark.parametrize(
    ("values", "zone"),
    [
        (["2020-01-01T00:00+02:00", "2020-01-02T00:00+02:00"], "+02:00"),
        (["2020-03-28T00:00+0100", "2020-03-30T00:00+0200"], "+0100, +0200"),
        (["2020-01-01T00:00Z", "2020-01-02T00:00Z"], "Z"),
        (pd.to_datetime(["2020-01-01", "2020-01-02"]).tz_localize("Asia/Tokyo"), "Asia/Tokyo"),
    ],
)
def test_times_with_a_zone_are_read_as_utc_and_told(values, zone):
    read, (finding,) = read_table(pd.DataFrame({"when": values})).column("when").times()
    assert read.dtype == pl.Datetime("us")
    assert finding == Finding(
        "warning",
        f"table: column 'when': the times have a zone ({zone}) and are read as UTC, so that days "
        "begin at UTC's midnight",
        "write local times without a zone if days are to begin at local midnight",
    )


def test_categories_keep_leading_zeros(table):
    assert categories(table("id,x\n007,1\n7,2\n"), "id") == ["007", "7"]


@pytest.mark.parametrize(
    ("cell", "got", "remedy"),
    [
        ("NaN", "got NaN", "leave the cell empty"),
        ("-inf", "got infinity", "leave the cell empty"),
        ("x", "got 'x'", "correct the value"),
        (" 2", "got ' 2'", "remove the spaces"),
        ('"1,234.5"', "got '1,234.5'", "thousands separators"),
        ('"1,5"', "got '1,5'", "decimal mark"),
        ("$3", "got '$3'", "without its unit"),
        ("7%", "got '7%'", "without its unit"),
    ],
)
def test_what_is_no_finite_number_is_named_with_its_row(table, cell, got, remedy):
    t = table(f"day,close\n1,2\n2,3\n3,{cell}\n4,5\n")
    message = error(lambda: numbers(t, "close"))
    assert message.startswith(
        f"prices.csv: row 3, column 'close': expected a finite number, {got}; "
    )
    assert remedy in message


def test_wrong_numbers_are_counted(table):
    message = error(lambda: numbers(table("a,b\nx,1\n2,1\ny,1\nz,1\n"), "a"))
    assert "row 1, column 'a': expected a finite number, got 'x' (and 2 more rows like it)" in (
        message
    )


def test_nan_in_a_polars_table_is_wrong_not_missing():
    t = read_table(pl.DataFrame({"a": [1.0, float("nan")]}))
    assert "row 2, column 'a': expected a finite number, got NaN" in error(lambda: numbers(t, "a"))


def test_booleans_are_numbers():
    t = read_table(pl.DataFrame({"holiday": [True, False]}))
    np.testing.assert_array_equal(numbers(t, "holiday"), [1.0, 0.0])


def test_is_number_goes_by_the_majority(table):
    t = table("a,b,c,d\n1,x,W,\n2,1,A,\noops,y,U,\nNA,z,W,\n")
    kinds = {column: t.is_number(column) for column in t.frame.columns}
    assert kinds == {"a": True, "b": False, "c": False, "d": False}


def test_unknown_column_names_the_nearest_and_the_option(table):
    t = table("date,close\n1,2\n")
    assert error(lambda: t.require("clsoe", "--input")) == (
        "prices.csv: no column 'clsoe' (from --input); did you mean 'close'? columns: date, close"
    )


@pytest.mark.parametrize(
    ("name", "content", "expected"),
    [
        ("t.csv", b"", "t.csv: the file is empty"),
        ("t.csv", b" \n\n", "t.csv: the file is empty"),
        ("t.csv", b"a,b\n", "t.csv: the table has a header but no rows"),
        ("t.csv", b"\na,b\n1,2\n", "t.csv: the first line is blank"),
        ("t.csv", b"a,b\n1,2\n3,4,5\n", "t.csv: row 2: expected 2 fields as in the header, got 3"),
        ("t.csv", b"a,b\n1,2\n3\n4\n", "t.csv: row 2: expected 2 fields as in the header, got 1"),
        ("t.csv", b'a,b\n"1\n,",2\n3\n', "t.csv: row 2: expected 2 fields as in the header, got 1"),
        ("t.csv", b'a,b\n1,2\n"x,4\n5,6\n', "t.csv: row 2: a quotation mark"),
        ("t.csv", b"a,b,a\n1,2,3\n", "t.csv: several columns have the same name: 'a'"),
        ("t.csv", b"a,b\n1,2\n3,\xe9\n", "t.csv: row 2 holds the byte 0xe9, which is not UTF-8"),
        ("t.csv", b"\xff\xfea\0", "t.csv: the header holds the byte 0xff"),
        ("t.csv.gz", b"not packed", "not a complete gzip file"),
        ("t.csv.gz", gzip.compress(b"a,b\n1,2\n" * 99, mtime=0)[:-9], "not a complete gzip file"),
        ("t.jsonl", b'{"a":1}\n{"a":\n', "t.jsonl: row 2: not a line of JSON"),
        ("t.jsonl", b'{"a":1}\n{"a":NaN}\n', "t.jsonl: row 2: not a line of JSON: NaN is no JSON"),
        ("t.jsonl", b'{"a":1}\n[2]\n', 't.jsonl: row 2: expected an object {"column": value}'),
        ("t.jsonl", b"1\n2\n", "t.jsonl: row 1: expected an object {\"column\": value}, got '1'"),
        ("t.jsonl", b'{"a":1,"a":2}\n', "row 1: several columns have the same name: 'a'"),
        ("t.parquet", b"PAR1 and then nothing", "not a readable .parquet file"),
        ("t.xlsx", b"PK", "unknown kind of table '.xlsx'; expected one of: .csv, .tsv"),
        ("t", b"a\n1\n", "unknown kind of table ''; expected one of"),
    ],
)
def test_a_file_that_cannot_be_read_says_why(table, name, content, expected):
    message = error(lambda: table(content, name))
    assert expected in message
    assert "\n" not in message


@pytest.mark.parametrize("kept", [3, 40, 200, 400, -1])
def test_truncated_parquet(tmp_path, kept):
    path = tmp_path / "t.parquet"
    pl.DataFrame({"a": np.arange(100.0)}).write_parquet(path)
    path.write_bytes(path.read_bytes()[:kept])
    assert "t.parquet: not a readable .parquet file" in error(lambda: read_table(path))


def test_missing_file_names_the_nearest(write, tmp_path):
    write("a\n1\n", "prices.csv")
    assert "price.csv: no such file; did you mean 'prices.csv'?" in error(
        lambda: read_table(tmp_path / "price.csv")
    )
    assert error(lambda: read_table(tmp_path / "no" / "x.csv")).endswith("x.csv: no such file")
    assert "expected a table, got a folder" in error(lambda: read_table(tmp_path))


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ({"a": [1]}, "expected a path or a pandas, polars or Arrow table, got dict"),
        (pd.DataFrame([[1, 2]], columns=["a", "a"]), "'a' 2 times"),
        (
            pd.DataFrame({"a": [1]}, index=pd.Index([1], name="a")),
            "table: its named index cannot become a column (cannot insert a, already exists); "
            "rename it",
        ),
        (
            pd.DataFrame({"a": [1], "b": [1j]}),
            "table: column 'b' cannot be read (Unsupported numpy type 15); turn it into numbers "
            "or text, or leave it out",
        ),
        (pd.DataFrame({"a": [1, "x"]}), "table: column 'a' cannot be read (Could not convert"),
        (pl.DataFrame({"a": []}), "table: the table has no rows"),
        (pl.DataFrame(), "table: the table has no rows"),
    ],
)
def test_a_table_in_memory_that_cannot_be_read_says_why(source, expected):
    assert expected in error(lambda: read_table(source))


def test_a_blank_line_keeps_the_numbers_of_later_rows(table):
    t = table("a,b\n1,2\n\n3,x\n")
    assert "row 3, column 'b'" in error(lambda: numbers(t, "b"))


def test_times_name_the_row_and_the_layout_of_the_others(table):
    t = table("date,x\n2020-01-01,1\n2020-01-02,1\n2020-13-03,1\n")
    assert error(lambda: times(t, "date")) == (
        "prices.csv: row 3, column 'date': expected a date, a time or a whole number as in the "
        "other rows (YYYY-MM-DD), got '2020-13-03'; write all times alike, best as YYYY-MM-DD"
    )
    t = table("date,x\n2020-01-01,1\n,1\n")
    assert "row 2, column 'date': the time is missing" in error(lambda: times(t, "date"))
    t = table("date,x\nsoon,1\n")
    assert "expected a date, a time or a whole number, got 'soon'" in error(
        lambda: times(t, "date")
    )


@given(
    st.sampled_from([".csv", ".tsv", ".jsonl", ".csv.gz", ".parquet"]),
    st.binary(max_size=80)
    | st.text('ab,;"\n\r\t 1.e-{}[]:', max_size=80).map(str.encode)
    | st.binary(max_size=40).map(gzip.compress),
)
def test_whatever_a_file_holds_it_is_a_table_or_an_input_error(tmp_path_factory, kind, content):
    path = tmp_path_factory.mktemp("any") / f"t{kind}"
    path.write_bytes(content)
    t, refused = attempt(partial(read_table, path))
    if t is None:
        assert refused.isprintable()
        return
    assert t.frame.height > 0
    for column in t.frame.columns:
        for read in (numbers, categories, times):
            values, refused = attempt(partial(read, t, column))
            assert repr(column) in refused if values is None else len(values) == t.frame.height


def attempt(act):
    """Return what `act` returns, or None and the message of its `InputError`."""
    try:
        return act(), ""
    except InputError as caught:
        return None, str(caught)


class TestDecimalComma:
    def read(self, tmp_path, *cells):
        path = tmp_path / "load.csv"
        path.write_text("x;y\n" + "".join(f"{cell};1\n" for cell in cells))
        table = read_table(path)
        values, findings = table.column("x").numbers()
        return table.is_number("x"), values.to_list(), [f.severity for f in findings]

    def test_is_read_and_told(self, tmp_path):
        got = self.read(tmp_path, "4017,3", "-0,25", "12", "", "1.234,5", "2.000")
        assert got == (True, [4017.3, -0.25, 12.0, None, 1234.5, 2000.0], ["note"])

    @pytest.mark.parametrize(
        "cells",
        [
            ("4,250", "3,100", "1,000"),  # thousands, perhaps
            ("4.5", "3,1", "2,5"),  # both marks
            ("4", "3", "2,5"),  # one slip
        ],
    )
    def test_where_it_is_not_sure_it_is_an_error(self, tmp_path, cells):
        assert self.read(tmp_path, *cells)[2] == ["error"]

    def test_a_stray_word_is_still_one(self, tmp_path):
        is_number, values, severities = self.read(tmp_path, "4,5", "3,1", "x", "2,25")
        assert (is_number, values, severities) == (True, [4.5, 3.1, None, 2.25], ["note", "error"])
