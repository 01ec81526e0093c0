"""The target kind: losses, scores and decoding against numbers worked by hand or a slow loop."""

from __future__ import annotations

import json

import numpy as np
import polars as pl
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from elman.data.batch import Batch
from elman.kinds.scaling import Scaling
from elman.kinds.targets.forecast import LOSSES, Forecast


def make(horizon=1, quantiles=(), loss="mae", columns=("y",), scales=None, season=None):
    values = scales or {"": np.array([[0.0] * len(columns), [1.0] * len(columns)])}
    return Forecast(columns, horizon, quantiles, loss, season, Scaling(columns, values))


def batch(target, anchor=None):
    """Make a batch from nested lists (B, S, N, C)."""
    target = torch.tensor(target, dtype=torch.float64)
    if anchor is not None:
        anchor = torch.tensor(anchor, dtype=torch.float64)
    return Batch(torch.zeros(len(target), 1, 1), target, anchor)


def output(values):
    return torch.tensor(values, dtype=torch.float64)


def test_the_networks_answer_is_ordered_by_step_then_column_then_quantile() -> None:
    forecast = make(horizon=2, quantiles=(0.1, 0.5, 0.9), columns=("a", "b"))
    assert forecast.output_size == 12
    answer = forecast.answer(output([[list(range(12))]]), batch([[[[0, 0], [0, 0]]]]))
    assert answer.tolist() == [
        [[[[0, 1, 2], [3, 4, 5]], [[6, 7, 8], [9, 10, 11]]]],
    ]


def test_the_anchor_is_added_to_every_quantile() -> None:
    forecast = make(horizon=2, quantiles=(0.2, 0.8))
    answer = forecast.answer(
        output([[[1, 2, 3, 4]]]), batch([[[[0], [0]]]], anchor=[[[[100], [200]]]])
    )
    assert answer.tolist() == [[[[[101, 102]], [[203, 204]]]]]


# Errors of 0.5, -2, 0 and 3 at two steps of two horizon steps.
TARGET = [[[[1.0], [2.0]], [[3.0], [4.0]]]]
OUTPUT = [[[0.5, 4.0], [3.0, 1.0]]]
LOSS_BY_HAND = {
    "mae": (0.5 + 2 + 0 + 3) / 4,
    "mse": (0.25 + 4 + 0 + 9) / 4,
    "huber": (0.125 + 1.5 + 0 + 2.5) / 4,  # e²/2 up to 1, then |e| - 1/2
}


@pytest.mark.parametrize("loss", LOSS_BY_HAND)
def test_point_losses_by_hand(loss) -> None:
    assert set(LOSSES) == set(LOSS_BY_HAND)
    got = make(horizon=2, loss=loss).loss(output(OUTPUT), batch(TARGET))
    assert got.item() == pytest.approx(LOSS_BY_HAND[loss], rel=1e-15)


def test_pinball_loss_by_hand() -> None:
    """Target 1: quantile 0.1 forecast 3 (2 too high), 0.9 forecast 0 (1 too low)."""
    got = make(quantiles=(0.1, 0.9)).loss(output([[[3, 0]]]), batch([[[[1]]]]))
    assert got.item() == pytest.approx((0.9 * 2 + 0.9 * 1) / 2, rel=1e-15)


@given(st.integers(0, 10**6))
def test_loss_and_score_against_a_slow_loop(seed) -> None:
    rng = np.random.default_rng(seed)
    B, S, N, C = rng.integers(1, 4, 4)
    quantiles = tuple(np.sort(rng.choice([0.05, 0.3, 0.5, 0.9], rng.integers(0, 4), False)))
    Q = max(1, len(quantiles))
    target, anchor = rng.normal(size=(2, B, S, N, C))
    out = rng.normal(size=(B, S, N * C * Q))
    forecast = make(
        int(N), quantiles, "mse", tuple("abc"[:C]),
        {"": np.stack([np.zeros(C), np.full(C, 5.0)])},
    )  # fmt: skip
    losses, absolute = [], []
    for b in range(B):
        for s in range(S):
            for n in range(N):
                for c in range(C):
                    for q in range(Q):
                        says = out[b, s, (n * C + c) * Q + q] + anchor[b, s, n, c]
                        error = target[b, s, n, c] - says
                        level = quantiles[q] if quantiles else None
                        ours = (
                            error**2 if level is None else error * (level - (1 if error < 0 else 0))
                        )
                        losses.append(ours)
                        absolute.append(abs(error) if level is None else ours)
    made = batch(target.tolist(), anchor.tolist())
    assert forecast.loss(output(out), made).item() == pytest.approx(np.mean(losses), rel=1e-9)
    # The sum over windows, scaled; it has a unit of its own where there is one target.
    assert forecast.unit == (5.0 if C == 1 else 1.0)
    expected = np.mean(absolute) * B
    assert forecast.score(output(out), made).item() == pytest.approx(expected, rel=1e-9)


def test_the_score_says_what_it_measures() -> None:
    two = {"a": np.array([[0.0], [2.0]]), "b": np.array([[0.0], [3.0]])}
    assert make().score_name == "MAE"
    assert make(scales=two).score_name == "MAE (scaled)"
    assert make(columns=("a", "b")).score_name == "MAE (scaled)"
    assert make(quantiles=(0.5,)).score_name == "pinball"
    assert make(quantiles=(0.5,), scales=two).score_name == "pinball (scaled)"


def test_decode_undoes_the_scaling_of_each_windows_group_and_column() -> None:
    scales = {
        "a": np.array([[10.0, 20.0], [2.0, 4.0]]),
        "b": np.array([[-1.0, 0.0], [1.0, 100.0]]),
    }
    forecast = make(2, (), columns=("x", "y"), scales=scales)
    answer_WNCQ = np.arange(12.0).reshape(3, 2, 2, 1)
    values = forecast.decode(answer_WNCQ, ["b", "a", "b"])
    assert values[..., 0].tolist() == [
        [[-1, 100], [1, 300]],
        [[4 * 2 + 10, 5 * 4 + 20], [6 * 2 + 10, 7 * 4 + 20]],
        [[7, 900], [9, 1100]],
    ]


def test_encode_and_decode_are_inverse() -> None:
    frame = pl.DataFrame({"x": [1.0, 4.0, None], "y": [0.5, -2.0, None], "z": [1, 2, 3]})
    scales = {"": np.array([[3.0, 7.0], [0.5, 11.0]])}
    forecast = make(1, (), columns=("x", "y"), scales=scales)
    scaled_TC = forecast.encode(None, frame)
    assert scaled_TC[:2].tolist() == [[-4, (0.5 - 7) / 11], [2, -9 / 11]]
    assert np.isnan(scaled_TC[2]).all()
    back = forecast.decode(scaled_TC[:2, None, :, None], [None, None])
    np.testing.assert_allclose(back[:, 0, :, 0], [[1, 0.5], [4, -2]], rtol=1e-15)


def test_crossing_quantiles_are_put_in_order_and_the_point_is_the_nearest_to_the_median() -> None:
    forecast = make(1, (0.1, 0.4, 0.9), scales={"": np.array([[5.0], [2.0]])})
    values = forecast.decode(np.array([3.0, 1.0, 2.0]).reshape(1, 1, 1, 3), [None])
    assert values.flatten().tolist() == [7, 9, 11]
    assert forecast.point(values).tolist() == [[[9]]]
    for quantiles, index in (((0.1, 0.9), 0), ((0.5,), 0), ((0.2, 0.3, 0.6, 0.9), 2)):
        Q = len(quantiles)
        got = make(1, quantiles).point(np.arange(float(Q)).reshape(1, 1, 1, Q))
        assert got.item() == index
    assert make().point(np.full((1, 1, 1, 1), 4.0)).tolist() == [[[4]]]


def test_json_there_and_back() -> None:
    scales = {"a": np.array([[0.1], [1 / 3]]), "b": np.array([[2.0], [3.0]])}
    forecast = make(3, (0.1, 0.9), "huber", scales=scales, season=7)
    again = Forecast.from_dict(json.loads(json.dumps(forecast.as_dict())))
    assert (again.columns, again.horizon, again.quantiles, again.loss_name, again.season) == (
        ("y",), 3, (0.1, 0.9), "huber", 7,
    )  # fmt: skip
    np.testing.assert_array_equal(again.scaling.of("a"), forecast.scaling.of("a"))
