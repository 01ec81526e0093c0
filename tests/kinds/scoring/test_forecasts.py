from __future__ import annotations

import json
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from elman.kinds.scoring import forecasts as s

NAN = float("nan")
TRUTH = np.array([10.0, 20.0, NAN, 0.0])
FORECAST = np.array([12.0, 15.0, 99.0, 0.0])


def test_scores_worked_by_hand() -> None:
    assert s.mae(TRUTH, FORECAST) == pytest.approx(7 / 3)
    assert s.rmse(TRUTH, FORECAST) == pytest.approx(math.sqrt(29 / 3))
    assert s.smape(TRUTH, FORECAST) == pytest.approx((400 / 22 + 1000 / 35 + 0) / 3)
    assert s.mase(TRUTH, FORECAST, np.array(2.0)) == pytest.approx(7 / 6)
    assert s.mase(TRUTH, FORECAST, np.array([2.0, 4.0, 1.0, 1.0])) == pytest.approx(0.75)


def test_scores_by_axis_leave_out_what_is_not_known() -> None:
    truth = np.array([[1.0, 2.0], [3.0, NAN], [NAN, NAN]])
    forecast = np.array([[2.0, 5.0], [0.0, 7.0], [1.0, 1.0]])
    np.testing.assert_allclose(s.mae(truth, forecast, axis=0), [2.0, 3.0])
    np.testing.assert_allclose(s.mae(truth, forecast, axis=1), [2.0, 3.0, NAN])


def test_smape_is_bounded_and_symmetric_in_sign() -> None:
    assert s.smape(np.array([1.0]), np.array([0.0])) == 200
    assert s.smape(np.array([5.0]), np.array([-5.0])) == 200
    assert s.smape(np.array([0.0]), np.array([0.0])) == 0


def test_mase_leaves_out_series_without_a_scale() -> None:
    truth, forecast = np.array([1.0, 2.0]), np.array([2.0, 5.0])
    assert s.mase(truth, forecast, np.array([0.0, 2.0])) == pytest.approx(1.5)
    assert s.mase(truth, forecast, np.array([NAN, 2.0])) == pytest.approx(1.5)
    assert math.isnan(s.mase(truth, forecast, np.array([0.0, NAN])))


def test_naive_scale_is_the_seasonal_naives_error_on_the_training_span() -> None:
    history = np.array([[1.0, 5.0], [4.0, 5.0], [2.0, 5.0], [8.0, 5.0]])
    np.testing.assert_allclose(s.naive_scale(history, 1), [11 / 3, 0.0])
    np.testing.assert_allclose(s.naive_scale(history, 2), [2.5, 0.0])
    assert np.isnan(s.naive_scale(history, 4)).all()


def test_the_seasonal_naive_scores_a_mase_of_one_on_its_own_training_span() -> None:
    y = np.random.default_rng(0).normal(size=(50, 1))
    assert s.mase(y[7:], y[:-7], s.naive_scale(y, 7)) == pytest.approx(1.0)


def test_pinball_worked_by_hand() -> None:
    truth = np.array([10.0, 10.0])
    forecast = np.array([[8.0, 9.0], [12.0, 14.0]])
    # q 0.1: 0.1 * 2, 0.9 * 2; q 0.9: 0.9 * 1, 0.1 * 4.
    assert s.pinball(truth, forecast, [0.1, 0.9]) == pytest.approx((0.2 + 1.8 + 0.9 + 0.4) / 4)
    assert s.pinball(truth, forecast[:, :1], [0.5]) == pytest.approx(1.0)


@given(arrays(np.float64, 21, elements=st.floats(-1e3, 1e3)), st.sampled_from([0.1, 0.5, 0.8]))
def test_pinball_is_least_at_the_quantile(values: np.ndarray, q: float) -> None:
    def loss(f: float) -> float:
        return float(s.pinball(values, np.full((len(values), 1), f), [q]))

    best = loss(float(np.quantile(values, q, method="inverted_cdf")))
    assert all(best <= loss(float(other)) + 1e-9 for other in values)


def test_coverage_counts_both_ends_in() -> None:
    truth = np.array([1.0, 2.0, 3.0, 4.0, NAN])
    forecast = np.tile([2.0, 2.5, 3.0], (5, 1))
    assert s.coverage(truth, forecast, [0.1, 0.5, 0.9]) == 0.5
    assert s.coverage(truth, forecast[:, ::-1], [0.9, 0.5, 0.1]) == 0.5
    np.testing.assert_allclose(s.quantile_coverage(truth, forecast), [0.5, 0.5, 0.75])


def test_score_table_has_a_row_for_each_target_and_step() -> None:
    truth = np.array([[[1.0, 10.0], [2.0, 20.0]], [[3.0, 30.0], [NAN, NAN]]])
    forecast = truth + np.array([1.0, -4.0])
    forecast[0, 1, 0] = 7.0
    forecast[1, 1] = 0.0
    scale = np.array([[1.0, 2.0], [2.0, 4.0]])
    table = s.score_table(truth, forecast, columns=["a", "b"], scale_NC=scale)
    assert [(r["target"], r["step"], r["n"]) for r in table] == [
        ("a", 0, 3),
        ("a", 1, 2),
        ("a", 2, 1),
        ("b", 0, 3),
        ("b", 1, 2),
        ("b", 2, 1),
    ]
    assert [r["mae"] for r in table] == pytest.approx([7 / 3, 1, 5, 4, 4, 4])
    assert [r["mase"] for r in table] == pytest.approx([6.5 / 3, 0.75, 5, 5 / 3, 1.5, 2])
    assert table[0]["rmse"] == pytest.approx(3.0)
    assert set(table[0]) == {"target", "step", "n", "mae", "rmse", "mase", "smape"}


def test_score_table_with_quantiles() -> None:
    truth = np.array([[[10.0]], [[10.0]]])
    quantiles = np.array([[[[8.0, 9.0]]], [[[12.0, 14.0]]]])
    row = s.score_table(
        truth,
        truth,
        columns=["a"],
        scale_NC=np.ones(1),
        quantiles=[0.1, 0.9],
        quantile_forecast_NKCQ=quantiles,
    )[1]
    assert row["pinball"] == pytest.approx(0.825)
    assert row["coverage"] == 0.0
    assert row["quantile_coverage"] == {"0.1": 0.5, "0.9": 0.5}


def test_scores_that_are_not_defined_are_none_and_hold_in_json() -> None:
    truth = np.array([[[NAN], [1.0]]])
    table = s.score_table(truth, np.ones((1, 2, 1)), columns=["a"], scale_NC=np.zeros(1))
    assert table[1]["n"] == 0
    assert table[1]["mae"] is None
    assert table[2]["mae"] == 0.0
    assert table[2]["mase"] is None
    json.dumps(table, allow_nan=False)


def test_a_forecast_that_is_not_finite_is_refused_where_the_truth_is_known() -> None:
    truth, forecast = np.array([[[1.0], [NAN]]]), np.array([[[2.0], [NAN]]])
    assert s.score_table(truth, forecast, columns=["a"], scale_NC=np.ones(1))[0]["mae"] == 1.0
    with pytest.raises(ValueError, match="not finite"):
        s.score_table(truth, forecast[:, ::-1], columns=["a"], scale_NC=np.ones(1))
    with pytest.raises(ValueError, match="shapes"):
        s.score_table(truth, forecast[:, :1], columns=["a"], scale_NC=np.ones(1))


@pytest.mark.parametrize(
    ("t", "freedom", "expected"),
    [(12.706, 1, 0.05), (4.303, 2, 0.05), (2.228, 10, 0.05), (3.169, 10, 0.01), (0.0, 5, 1.0)],
)
def test_students_tails_agree_with_the_printed_table(
    t: float, freedom: int, expected: float
) -> None:
    assert s._student_tails(t, freedom) == pytest.approx(expected, rel=1e-3)
    assert s._student_tails(-t, freedom) == pytest.approx(expected, rel=1e-3)


def test_forecasts_equally_good_are_within_noise_nineteen_times_of_twenty() -> None:
    rng = np.random.default_rng(0)
    for horizon, origins in [(1, 100), (7, 150)]:
        low = 0
        for _ in range(300):
            steps = rng.normal(size=origins + horizon)
            for i in range(1, len(steps)):
                steps[i] += 0.5 * steps[i - 1]
            error_NK = np.stack([steps[k : k + origins] for k in range(horizon)], axis=1)
            low += s.noise_probability(error_NK, np.zeros_like(error_NK)) < 0.05
        assert 3 <= low <= 33  # 15 expected


def test_a_clear_difference_is_not_noise() -> None:
    rng = np.random.default_rng(1)
    worse = rng.normal(2.0, 1.0, size=(100, 1))
    better = worse - 1 + 0.5 * rng.normal(size=(100, 1))
    p = s.noise_probability(better, worse)
    assert p < 1e-6
    assert s.noise_probability(worse, better) == pytest.approx(p)
    assert s.noise_probability(worse, worse) == 1.0
    assert s.noise_probability(worse, worse + 1) == 0.0


def test_origins_of_the_same_time_count_as_one() -> None:
    rng = np.random.default_rng(2)
    ours, theirs = rng.normal(size=(60, 1)) + 0.3, rng.normal(size=(60, 1))
    alone = s.noise_probability(ours, theirs)
    again = s.noise_probability(
        np.repeat(ours, 10, axis=0), np.repeat(theirs, 10, axis=0), np.repeat(np.arange(60), 10)
    )
    assert again == pytest.approx(alone)


def test_unknown_steps_are_left_out_and_too_few_origins_tell_nothing() -> None:
    rng = np.random.default_rng(3)
    ours, theirs = rng.normal(size=(50, 2)), rng.normal(size=(50, 2))
    ours[-1, 1] = NAN
    assert 0 < s.noise_probability(ours, theirs) < 1
    tail = np.full((5, 2), NAN)
    assert s.noise_probability(np.vstack([ours, tail]), np.vstack([theirs, tail])) == (
        s.noise_probability(ours, theirs)
    )
    assert math.isnan(s.noise_probability(ours[:7], theirs[:7]))
    assert math.isnan(s.noise_probability(tail, tail))


def rows(split: str, target: str = "rail", **maes: float) -> list[s.Row]:
    names = {"last": "last value", "naive": "seasonal naive (7 days)"}
    return [
        {
            "split": split,
            "forecaster": names.get(name, name),
            "kind": "baseline" if name in names else "model",
            "target": target,
            "step": step,
            "n": 10,
            "mae": value if step == 0 else 0.0,
        }
        for name, value in maes.items()
        for step in (0, 1)
    ]


def test_verdict_where_the_model_wins() -> None:
    table = rows("valid", gru=20_103, naive=42_143, last=100_000)
    assert s.verdict(table) == (
        "On the validation span gru's MAE of 20,103 beats the best baseline, "
        "seasonal naive (7 days) with 42,143, by 52%."
    )


def test_verdict_where_the_model_loses_says_so_in_those_words() -> None:
    table = rows("valid", gru=1.42, last=1.4, naive=3.0)
    assert s.verdict(table) == (
        "On the validation span gru's MAE of 1.42 does not beat the best baseline, "
        "last value (1.4)."
    )
    assert s.verdict(table, noise={("valid", "rail"): 0.31}) == (
        "On the validation span gru's MAE of 1.42 does not beat the best baseline, "
        "last value (1.4): the difference is within noise (p = 0.31)."
    )
    assert s.verdict(table, noise={("valid", "rail"): 0.02}).endswith("last value (1.4).")


def test_verdict_of_a_tie_and_of_a_hair() -> None:
    assert s.verdict(rows("test", gru=2.0, last=2.0)) == (
        "On the test span gru's MAE of 2 does not beat the best baseline, "
        "last value (2): they are equal."
    )
    assert s.verdict(rows("test", gru=1.99, last=2.0), noise={("test", "rail"): 0.6}) == (
        "On the test span gru's MAE of 1.99 hardly beats the best baseline, "
        "last value (2): by 0.5%, but that is within noise (p = 0.60)."
    )
    assert s.verdict(rows("test", gru=1.9, last=2.0), noise={("test", "rail"): 0.2}) == (
        "On the test span gru's MAE of 1.9 beats the best baseline, "
        "last value with 2, by 5%, but that is within noise (p = 0.20)."
    )
    assert "does not beat" in s.verdict(rows("test", gru=0.0, last=0.0))


def test_verdict_of_too_few_origins_claims_no_win() -> None:
    few = np.abs(np.random.default_rng(0).normal(size=(6, 40)))
    noise = {("test", "rail"): s.noise_probability(few, 1.2 * few)}
    assert s.verdict(rows("test", gru=1.9, last=2.0), noise=noise) == (
        "On the test span gru's MAE of 1.9 beats the best baseline, last value with 2, by 5%, "
        "but that is not to be told from chance, with so few origins."
    )


def test_verdict_names_each_span_and_target() -> None:
    table = rows("valid", gru=1.0, last=2.0) + rows("test", gru=3.0, last=2.0)
    first, second = s.verdict(table).split(". ")
    assert first.startswith("On the validation span gru's MAE of 1 beats")
    assert second.startswith("On the test span gru's MAE of 3 does not beat the best baseline")
    table = rows("valid", gru=1.0, last=2.0) + rows("valid", "bus", gru=3.0, last=2.0)
    first, second = s.verdict(table).split(". ")
    assert "gru's MAE for rail of 1 beats" in first
    assert "gru's MAE for bus of 3 does not beat the best baseline, last value (2)" in second


def test_verdict_sums_up_many_targets() -> None:
    table = [
        row
        for name, ours in zip("abcd", [1.0, 1.5, 1.99, 3.0], strict=True)
        for row in rows("valid", name, gru=ours, last=2.0)
    ]
    assert s.verdict(table) == (
        "On the validation span gru's MAE beats the best baseline for 2 of 4 targets, "
        "hardly beats the best baseline for 1 of 4 targets (c), "
        "does not beat the best baseline for 1 of 4 targets (d)."
    )


def test_verdict_without_a_score_to_compare_is_empty() -> None:
    assert s.verdict([]) == ""
    assert s.verdict(rows("valid", gru=1.0)) == ""
    assert s.verdict(rows("train", gru=1.0, last=2.0)) == ""
    undefined = rows("valid", last=2.0) + [r | {"mae": None} for r in rows("valid", gru=1.0)]
    assert s.verdict(undefined) == ""
