"""Numbers, times and durations as people write them."""

from __future__ import annotations

import re
from datetime import date, datetime

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from elman.report.formats import aligned, count, duration, label, moment, number, percent


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (22061.7, "22,062"),
        (1234567.0, "1,234,567"),
        (0.01234, "0.0123"),
        (0.12041, "0.120"),
        (12.34, "12.3"),
        (12.04, "12.0"),
        (12.3456, "12.3"),
        (0.0005, "0.0005"),
        (1.0, "1"),
        (100.0, "100"),
        (-0.5, "−0.5"),
        (0.0, "0"),
        (1.234e-7, "1.23e−7"),
        (2.5e18, "2.50e18"),
        (None, "–"),
        (float("nan"), "–"),
        (float("inf"), "–"),
    ],
)
def test_number(value, text):
    assert number(value) == text


def test_a_column_has_the_same_decimals_everywhere():
    assert aligned([0.15, 1.03, None]) == ["0.150", "1.030", "–"]
    assert aligned([26655.2, 114778.4]) == ["26,655", "114,778"]
    assert aligned([3.58, 27.1]) == ["3.58", "27.10"]
    assert aligned([-0.0001, 50.0]) == ["−0.00010", "50.00000"]
    assert aligned([]) == []


@given(st.floats(min_value=1e-4, max_value=1e12, allow_nan=False))
def test_a_number_reads_back_to_three_digits(value):
    assert float(number(value).replace(",", "")) == pytest.approx(value, rel=5.1e-3)


@given(st.floats(-1e-3, 1e-3))
def test_zero_has_no_sign(value):
    for text in (percent(value), *aligned([value, 1.0]), number(value)):
        assert "−" not in text or re.search(r"[1-9]", text)


@pytest.mark.parametrize(
    ("fraction", "text"),
    [(0.523, "52%"), (0.0123, "1.2%"), (0, "0%"), (-0.5, "−50%"), (12.0, "1,200%"), (None, "–")],
)
def test_percent(fraction, text):
    assert percent(fraction) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("2001-05-06T00:00:00", "2001-05-06"),
        ("2001-05-06 00:00:00.000000", "2001-05-06"),
        ("2001-05-06", "2001-05-06"),
        ("2001-05-06 13:00:00", "2001-05-06 13:00"),
        ("2001-05-06T13:00:09", "2001-05-06 13:00:09"),
        ("2001-05-06T13:00:00+02:00", "2001-05-06 13:00 +02:00"),
        ("2001-05-06T00:00:00Z", "2001-05-06"),
        (np.datetime64("2001-05-06T00:00", "us"), "2001-05-06"),
        (datetime(2001, 5, 6, 7, 8), "2001-05-06 07:08"),
        (date(2001, 5, 6), "2001-05-06"),
        (1995, "1995"),
        (None, "–"),
    ],
)
def test_moment(value, text):
    assert moment(value) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.84, "0.8 s"),
        (12.3, "12 s"),
        (200.4, "3 min 20 s"),
        (7500, "2 h 5 min"),
        (59.7, "1 min 0 s"),
        (None, "–"),
    ],
)
def test_duration(seconds, text):
    assert duration(seconds) == text


def test_count_and_label():
    assert (count(1, "epoch"), count(1200, "epoch")) == ("1 epoch", "1,200 epochs")
    assert label("a\n b\tc") == "a b c"
    assert label("x" * 50) == "x" * 39 + "…"
