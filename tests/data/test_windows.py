"""Windows against a plain loop over rows, in every combination of what they are asked."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from elman.data.windows import Track, Windows


def slow_window(part, origin, lookback, horizon, last_only, season):
    """Cut one window out of one series, row by row; None where the series ends too early."""
    x_TI, known_TK, y_TC = part
    x, target, anchor = [], [], []
    for t in range(origin - lookback + 1, origin + 1):
        row = list(x_TI[t])
        for k in range(1, horizon + 1):
            row += list(known_TK[t + k])
        x.append(row)
        if last_only and t != origin:
            continue
        target.append([y_TC[t + k] for k in range(1, horizon + 1)])
        lags = []
        for k in range(1, horizon + 1):
            at = t + k
            while season and at > t:
                at -= season
            lags.append(y_TC[at if at >= 0 else t])
        anchor.append(lags)
    return np.array(x), np.array(target), np.array(anchor)


@st.composite
def cases(draw):
    lookback, horizon = draw(st.integers(1, 5)), draw(st.integers(1, 4))
    lengths = draw(st.lists(st.integers(0, 14), min_size=1, max_size=4))
    lengths.append(draw(st.integers(lookback + horizon, 16)))
    I, K, C = draw(st.integers(1, 3)), draw(st.integers(0, 2)), draw(st.integers(1, 3))  # noqa: E741
    rng = np.random.default_rng(draw(st.integers(0, 99)))
    parts = [
        # Column by column in memory, as polars hands them out.
        tuple(np.asfortranarray(rng.normal(size=(n, width))) for width in (I, K, C))
        for n in lengths
    ]
    season = draw(st.sampled_from([None, 1, 2, 3, 7]))
    return parts, lookback, horizon, draw(st.booleans()), season


@given(cases())
def test_every_value_of_every_window_is_that_of_a_plain_loop(case) -> None:
    parts, lookback, horizon, last_only, season = case
    track = Track.join(parts, "cpu")
    origins, expected = [], []
    for part, offset in zip(parts, track.offsets, strict=False):
        for origin in range(lookback - 1, len(part[0]) - horizon):
            origins.append(offset + origin)
            expected.append(slow_window(part, origin, lookback, horizon, last_only, season))
    windows = Windows(
        track, np.array(origins), lookback, horizon, last_only=last_only, season=season
    )
    assert len(windows) == len(expected) > 0
    batch = windows.batch(slice(None))
    for got, position in ((batch.x_BTI, 0), (batch.target, 1), (batch.anchor, 2)):
        if season is None and position == 2:
            assert got is None
            continue
        np.testing.assert_array_equal(
            got.numpy(), np.stack([each[position] for each in expected]).astype(np.float32)
        )
    # Picked in another order, the same windows.
    picks = torch.arange(len(windows)).flip(0)[::2]
    some = windows.batch(picks)
    assert torch.equal(some.x_BTI, batch.x_BTI[picks])
    assert torch.equal(some.target, batch.target[picks])
    if season is not None:
        assert torch.equal(some.anchor, batch.anchor[picks])


def test_worked_by_hand() -> None:
    """Two steps back, two ahead; the season of two lies at t+1-2 and t+2-2."""
    x = np.array([[1.0], [2], [3], [4], [5], [6]])
    known = x * 10
    track = Track.join([(x, known, x * 100)], "cpu")
    batch = Windows(track, np.array([1, 3]), 2, 2, season=2).batch(slice(None))
    assert batch.x_BTI.tolist() == [[[1, 20, 30], [2, 30, 40]], [[3, 40, 50], [4, 50, 60]]]
    assert batch.target.squeeze(-1).tolist() == [
        [[200, 300], [300, 400]],
        [[400, 500], [500, 600]],
    ]
    # At the very first step no season lies behind for t+1: its own value serves.
    assert batch.anchor is not None
    assert batch.anchor.squeeze(-1).tolist() == [
        [[100, 100], [100, 200]],
        [[200, 300], [300, 400]],
    ]


def test_a_season_shorter_than_the_horizon_repeats_its_last_known_one() -> None:
    y = np.arange(10.0)[:, None]
    track = Track.join([(y, np.empty((10, 0)), y)], "cpu")
    batch = Windows(track, np.array([4]), 1, 5, season=2).batch(slice(None))
    assert batch.anchor is not None
    assert batch.anchor.flatten().tolist() == [3, 4, 3, 4, 3]


@given(st.integers(1, 40), st.integers(1, 13), st.integers(0, 5))
def test_an_epoch_holds_every_window_once_in_an_order_of_its_seed(number, size, seed) -> None:
    y = np.zeros((60, 1))
    windows = Windows(Track.join([(y, y[:, :0], y)], "cpu"), np.arange(5, 5 + number), 3, 2)

    def order():
        return windows.order(size, torch.Generator().manual_seed(seed))

    batches = order()
    assert [len(batch) for batch in batches[:-1]] == [size] * (len(batches) - 1)
    assert sorted(torch.cat(batches).tolist()) == list(range(number))
    assert all(map(torch.equal, batches, order()))
    if number > 20:
        other = windows.order(size, torch.Generator().manual_seed(seed + 1))
        assert not torch.equal(torch.cat(batches), torch.cat(other))


@pytest.mark.parametrize("horizon", [1, 3])
def test_the_window_at_the_last_row_has_the_future_of_its_own_series(horizon: int) -> None:
    """A padded series is followed by the next one; neither sees the other."""
    first, second = np.arange(6.0)[:, None], 100 + np.arange(6.0)[:, None]
    future = np.full((horizon, 1), np.nan)
    parts = [
        (np.concatenate([y, np.zeros((horizon, 1))]),
         np.concatenate([y, y[:horizon] + 50]),
         np.concatenate([y, future]))
        for y in (first, second)
    ]  # fmt: skip
    track = Track.join(parts, "cpu")
    ends = track.offsets[:-1] + 5
    batch = Windows(track, ends, 2, horizon, last_only=True, season=1).batch(slice(None))
    assert batch.x_BTI[:, :, 0].tolist() == [[4, 5], [104, 105]]
    ahead = [50.0 + k for k in range(horizon)]
    assert batch.x_BTI[0, 1, 1:].tolist() == ahead
    assert batch.x_BTI[1, 1, 1:].tolist() == [100 + value for value in ahead]
    assert batch.anchor is not None
    assert batch.anchor.flatten().tolist() == [5] * horizon + [105] * horizon
    assert batch.target.isnan().all()


def test_series_name_the_part_that_each_window_is_of() -> None:
    sizes = [3, 0, 5, 0, 4]
    parts = [(np.zeros((n, 1)), np.zeros((n, 0)), np.zeros((n, 1))) for n in sizes]
    track = Track.join(parts, "cpu")
    assert track.offsets.tolist() == [0, 3, 3, 8, 8, 12]
    windows = Windows(track, np.array([0, 2, 3, 7, 8, 11]), 1, 1)
    assert windows.series.tolist() == [0, 0, 2, 2, 4, 4]
