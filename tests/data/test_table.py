from __future__ import annotations

import gzip
import hashlib
import subprocess
import sys
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from elman.data.findings import Finding, raise_errors
from elman.data.table import Table, read_table
from elman.errors import InputError, MissingExtraError


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
        ("t.jsonl", b'{"a":"\xe9"}\n', "t.jsonl: row 1 holds the byte 0xe9, which is not UTF-8"),
        ("t.txt", b" \n\n", "t.txt: the file is empty"),
        ("t.txt", b"a\n\nb\xff\n", "t.txt: row 3 holds the byte 0xff, which is not UTF-8"),
        (
            "t.fa",
            b"ACGT\n",
            "t.fa: row 1: a damaged record: Error in FASTA file at line 1: Expected",
        ),
        ("t.fa", b"AC\x1b[1m" * 99, "but got 'AC\\x1b[1mAC"),
        ("t.fastq", b"@a\nAC\n+\nII\n@b\nAC\n+\nI\n", "t.fastq: row 2: a damaged record: Error in"),
        ("t.fq", b"@a\nAC\n+\nII\n@b\nAC\n", "t.fq: row 2: a damaged record: Error in FASTQ file"),
        ("t.fna", b">a\nAC\n>\xe9\nA\n", "t.fna: line 3 holds the byte 0xe9, which is no letter"),
        ("t.fasta.gz", b"no", "not a complete gzip file"),
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


@settings(deadline=None)  # the first FASTA file imports its reader
@given(
    st.sampled_from([".csv", ".tsv", ".jsonl", ".csv.gz", ".parquet", ".txt", ".fa", ".fastq"]),
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


class TestText:
    def read(self, table, content: bytes) -> list[str]:
        t = table(content, "book.txt")
        assert t.columns == ["text"]
        return t.select(["text"])["text"].to_list()

    def test_a_row_is_a_line_as_it_stands(self, table):
        content = '  two  spaces \n\n,"quoted\tü\n\u2028x\x0cy\n'.encode()
        assert self.read(table, content) == ["  two  spaces ", "", ',"quoted\tü', "\u2028x\x0cy"]

    @pytest.mark.parametrize("content", [b"a\nb", b"a\nb\n", b"\xef\xbb\xbfa\r\nb\r\n"])
    def test_the_last_line_may_end(self, table, content):
        assert self.read(table, content) == ["a", "b"]

    def test_blank_lines_at_the_end_are_rows_too(self, table):
        assert self.read(table, b"a\n\n\n") == ["a", "", ""]

    @given(st.text(st.characters(codec="utf-8", exclude_characters="\r\ufeff"), min_size=1))
    def test_nothing_is_lost(self, tmp_path_factory, text):
        path = tmp_path_factory.mktemp("text") / "t.txt"
        path.write_bytes(text.encode())
        t, refused = attempt(partial(read_table, path))
        if t is None:
            assert "the file is empty" in refused
            return
        lines = t.select(["text"])["text"].to_list()
        assert "\n".join(lines) in (text, text.removesuffix("\n"))


class TestDna:
    def test_fasta(self, table):
        t = table(b">a chr1 part\nACGT\nnn\n>b\n\n>c\nRYK\n", "genes.fasta")
        assert t.frame.rows() == [("a", "chr1 part", "ACGTnn"), ("b", None, ""), ("c", None, "RYK")]
        assert t.columns == ["id", "description", "sequence"]

    def test_fastq_packed(self, table):
        t = table(gzip.compress(b"@a x\nAC\n+\nI#\n", mtime=0), "reads.fq.gz")
        assert t.frame.rows() == [("a", "x", "AC", "I#")]
        assert t.columns == ["id", "description", "sequence", "quality"]

    def test_without_dnaio_the_message_names_the_extra(self, write, monkeypatch):
        monkeypatch.setitem(sys.modules, "dnaio", None)
        with pytest.raises(MissingExtraError, match=r"pip install 'elman\[dna\]'"):
            read_table(write(b">a\nAC\n", "t.fa"))


class TestParquet:
    """A Parquet file is read as it is asked for."""

    frame = pl.DataFrame(
        {
            " a ": np.arange(20_000),
            "image": [f"{row}".encode() for row in range(20_000)],
            "words": [["x"] * (row % 3) for row in range(20_000)],
            "b": ["y", None] * 10_000,
        }
    )

    @pytest.fixture
    def path(self, tmp_path):
        self.frame.write_parquet(tmp_path / "t.parquet", row_group_size=3000)
        return tmp_path / "t.parquet"

    def test_reads_no_column_before_it_is_asked_for(self, path, monkeypatch):
        t = read_table(path)
        monkeypatch.setattr(Table, "frame", property(lambda _: pytest.fail("all columns read")))
        assert t.columns == ["a", "image", "words", "b"]
        assert t.schema["image"] == pl.Binary
        assert t.schema["words"] == pl.List(pl.String)
        assert t.height == 20_000
        assert t.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
        t.require("b")
        assert t.column("b").values.to_list() == self.frame["b"].to_list()
        assert t.is_number("a")
        assert t.select(["words", "a"]).columns == ["words", "a"]
        assert "did you mean 'image'" in error(lambda: t.select(["imag"]))

    def test_all_of_it(self, path):
        assert read_table(path).frame.equals(self.frame.rename({" a ": "a"}))

    @pytest.mark.parametrize("rows", [1, 700, 3000, 7777, 30_000])
    def test_chunks(self, path, rows):
        t = read_table(path)
        columns = ["image", "a"]
        if rows == 1:
            t, rows = read_table(t.frame.head(5)), 2
        chunks = list(t.chunks(columns, rows))
        assert {len(chunk) for chunk in chunks[:-1]} <= {rows}
        assert pl.concat(chunks).equals(t.frame.select(columns))

    @given(st.lists(st.integers(0, 19_999), max_size=12))
    @settings(
        max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
    )
    def test_rows(self, path, indices):
        got = read_table(path).rows(indices, ["a", "words"])
        expected = self.frame.rename({" a ": "a"}).select("a", "words")[indices]
        assert got.equals(expected)
        assert got.schema == expected.schema

    @pytest.mark.parametrize("indices", [[-1], [20_000], [3, 20_001]])
    def test_rows_that_are_not_there(self, path, indices):
        with pytest.raises(IndexError, match="of 20000"):
            read_table(path).rows(indices, ["a"])

    def test_a_table_in_memory_answers_alike(self, path):
        lazy, eager = read_table(path), read_table(self.frame)
        assert eager.columns == lazy.columns
        assert eager.schema == lazy.schema
        assert eager.height == lazy.height
        assert eager.rows([5, 5, 1], ["a"])["a"].to_list() == [5, 5, 1]
        assert eager.select(["b"]).equals(lazy.select(["b"]))
        assert (eager.folder, lazy.folder) == (Path(), path.parent)

    def test_a_file_that_is_damaged_within_is_refused_when_read(self, path):
        content = bytearray(path.read_bytes())
        content[200:4000] = bytes(3800)
        path.write_bytes(content)
        t = read_table(path)
        for read in (lambda: t.frame, lambda: list(t.chunks(["a"])), lambda: t.rows([3], ["a"])):
            message = error(read)
            assert "t.parquet: not a readable .parquet file" in message
            assert "\n" not in message

    def test_a_file_that_has_gone(self, path):
        t = read_table(path)
        path.unlink()
        assert "t.parquet: " in error(lambda: t.select(["a"]))

    def test_names_that_other_paths_match(self, tmp_path):
        for name in ("a[1].parquet", "a1.parquet", "x=1.parquet"):
            pl.DataFrame({"name": [name]}).write_parquet(tmp_path / name)
        for name in ("a[1].parquet", "x=1.parquet"):
            assert read_table(tmp_path / name).frame.rows() == [(name,)]

    def test_packed_it_is_read_whole(self, path):
        packed = path.with_name("t.parquet.gz")
        packed.write_bytes(gzip.compress(path.read_bytes()))
        assert read_table(packed).frame.equals(read_table(path).frame)


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="asks Linux for its memory")
def test_a_table_larger_than_memory_streams(tmp_path):
    """What is held at a time is a row group, not the table: 160 MB pass through far less."""
    path, generator = tmp_path / "images.parquet", np.random.default_rng(0)
    rows = [generator.bytes(8000) for _ in range(20_000)]
    pl.DataFrame({"image": rows, "n": np.arange(20_000)}).write_parquet(
        path, row_group_size=1000, compression="uncompressed"
    )
    code = f"""
import pathlib, polars as pl
from elman.data.table import read_table

def peak():
    lines = pathlib.Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM")) // 1024

pl.LazyFrame({{"a": [1]}}).collect()
before = peak()
table = read_table({str(path)!r})
total = sum(chunk["image"].bin.size().sum() for chunk in table.chunks(["image"], 500))
assert table.rows([19_999, 5], ["n"])["n"].to_list() == [19_999, 5]
assert len(table.sha256) == 64
streamed = peak() - before
table.select(["image"])
print(total, streamed, peak() - before)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    total, streamed, whole = map(int, done.stdout.split())
    assert total == 160_000_000
    assert streamed < 70
    assert whole > 150  # or the measurement would not notice
