from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from elman.kinds.period import Period, calendar_periods, find_period

DAY = 86_400.0


def data_file(name: str) -> Path:
    path = Path(os.environ.get("ELMAN_DATA", "")) / name
    if "ELMAN_DATA" not in os.environ or not path.exists():
        pytest.skip(f"ELMAN_DATA has no {name}")
    return path


def seasonal(period: int, cycles: int, noise: float, seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    profile = rng.normal(size=period)
    return np.tile(profile / profile.std(), cycles) + noise * rng.normal(size=period * cycles)


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [
        (3_600.0, (24, 168, 8766)),
        (900.0, (96, 672, 35063)),
        (DAY, (7, 365)),
        (7 * DAY, (52,)),
        (365.2425 / 12 * DAY, (12,)),
        (365.2425 / 4 * DAY, (4,)),
        (365.2425 * DAY, ()),
        (5 * 3_600.0, (1753,)),
    ],
)
def test_calendar_periods_of_a_step(seconds: float, expected: tuple[int, ...]) -> None:
    assert calendar_periods(seconds) == expected


@pytest.mark.parametrize("period", [7, 12, 24])
@pytest.mark.parametrize("trend", ["none", "line", "walk"])
def test_a_season_is_found_under_noise_and_trend(period: int, trend: str) -> None:
    x_T = 2**0.5 * np.sin(2 * np.pi * np.arange(20 * period) / period + 0.4)
    rng = np.random.default_rng(period)
    x_T += 0.5 * rng.normal(size=len(x_T))
    if trend == "line":
        x_T += 0.3 * np.arange(len(x_T))
    if trend == "walk":
        x_T += np.cumsum(0.3 * rng.normal(size=len(x_T)))
    found = find_period(x_T)
    assert found.length == period
    assert 0.5 < found.strength <= 1.0


@pytest.mark.parametrize("period", [7, 12, 24])
def test_a_season_of_any_shape_is_found_among_calendar_lengths(period: int) -> None:
    for seed in range(5):
        x_T = seasonal(period, 8, 0.5, seed)
        assert find_period(x_T, candidates=(7, 12, 24)).length == period


def test_the_strength_is_the_share_of_variance_that_the_season_explains() -> None:
    assert find_period(seasonal(7, 300, 0.0, 1)).strength == pytest.approx(1.0)
    # Season and noise have variance 1 each. The average over 7 steps takes 1/7 of the noise's.
    assert find_period(seasonal(7, 300, 1.0, 1)).strength == pytest.approx(7 / 13, abs=0.03)


@pytest.mark.parametrize("kind", ["white noise", "random walk", "autoregression"])
@pytest.mark.parametrize("length", [60, 300, 1_000])
def test_no_season_is_found_where_there_is_none(kind: str, length: int) -> None:
    rng = np.random.default_rng(length)
    found = 0
    for _ in range(25):
        x_T = rng.normal(size=length)
        if kind == "random walk":
            x_T = np.cumsum(x_T)
        if kind == "autoregression":
            for t in range(1, length):
                x_T[t] += 0.9 * x_T[t - 1]
        found += find_period(x_T).length != 1
        found += find_period(x_T, candidates=(7, 365)).length != 1
    assert found <= 1  # of 50


@pytest.mark.parametrize(
    "values",
    [
        np.zeros(0),
        np.array([1.0, 2.0, 1.0]),
        np.full(100, 1e6 + 0.1),
        np.arange(200.0),
        np.full(50, np.nan),
    ],
    ids=["empty", "short", "constant", "line", "unknown"],
)
def test_no_season_in_a_series_that_cannot_have_one(values: np.ndarray) -> None:
    assert find_period(values, candidates=(7,)) == Period(1, 0.0)


def test_the_longest_period_allowed_is_kept() -> None:
    x_T = seasonal(12, 20, 0.1, 3)
    assert find_period(x_T, max_period=12, candidates=(12,)).length == 12
    assert find_period(x_T, max_period=11, candidates=(12,)).length != 12


def test_values_that_are_missing_or_infinite_are_bridged() -> None:
    x_T = seasonal(7, 40, 0.2, 5)
    x_T[50:54], x_T[100] = np.nan, np.inf
    assert find_period(x_T).length == 7


def test_the_week_is_taken_over_the_day_where_weekends_differ() -> None:
    rng = np.random.default_rng(0)
    hours = np.arange(24 * 7 * 12)
    day = np.sin(2 * np.pi * hours / 24)
    x_T = np.where(hours // 24 % 7 < 5, day, -day) + 0.2 * rng.normal(size=len(hours))
    assert find_period(x_T, candidates=(24, 168)).length == 168
    x_T = day + 0.2 * rng.normal(size=len(hours))
    assert find_period(x_T, candidates=(24, 168)).length == 24


def test_rail_rides_have_the_week_as_season() -> None:
    path = data_file("ridership/CTA_-_Ridership_-_Daily_Boarding_Totals.csv")
    frame = pl.read_csv(path).with_columns(pl.col("service_date").str.to_date("%m/%d/%Y"))
    frame = frame.unique().sort("service_date")
    span = pl.col("service_date").is_between(pl.date(2016, 1, 1), pl.date(2018, 12, 31))
    for rides in (frame, frame.filter(span)):
        values = rides["rail_boardings"].to_numpy()
        for candidates in ((), calendar_periods(DAY)):
            assert find_period(values, candidates=candidates).length == 7


def test_sunspots_have_eleven_years_as_season() -> None:
    values = pl.read_csv(data_file("series/monthly-sunspots.csv"))["Sunspots"].to_numpy()
    found = find_period(values, candidates=calendar_periods(365.2425 / 12 * DAY))
    assert found.length == pytest.approx(132, abs=4)


def test_temperatures_have_the_year_as_season() -> None:
    values = pl.read_csv(data_file("series/daily-min-temperatures.csv"))["Temp"].to_numpy()
    assert find_period(values, candidates=calendar_periods(DAY)).length == 365


def test_share_prices_have_no_season() -> None:
    frame = pl.read_csv(data_file("stocks/stockdata.csv"))
    for name in ("MSFT", "IBM", "SBUX", "AAPL", "GSPC"):
        assert find_period(frame[name].to_numpy(), candidates=(5, 7, 252, 365)).length == 1
