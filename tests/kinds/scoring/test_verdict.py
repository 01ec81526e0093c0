"""The sentence about a score, and how sure it is."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from scipy import stats

from elman.kinds.scoring.verdict import best_baseline, significance, verdict_of


def row(name: str, split: str = "test", target: str = "kind", **metrics: Any) -> Any:
    kind = "model" if name == "gru" else "baseline"
    place = {"split": split, "forecaster": name, "kind": kind, "target": target, "step": 0, "n": 9}
    return place | metrics


def said(metric: str, ours: float, theirs: float, noise: float | None = None) -> str:
    rows = [row("gru") | {metric: ours}, row("usual") | {metric: theirs}]
    return verdict_of(rows, metric, {} if noise is None else {("test", "kind"): noise})


def test_a_model_that_beats_the_best_baseline() -> None:
    rows = [
        row("gru", accuracy=0.889),
        row("majority class", accuracy=0.5),
        row("bag of words with logistic regression", accuracy=0.859),
    ]
    assert verdict_of(rows, "accuracy", {("test", "kind"): 1e-9}) == (
        "On the test rows gru's accuracy of 88.9% beats the best baseline, bag of words with "
        "logistic regression (85.9%), by 3.0 points (p < 0.001)."
    )


@pytest.mark.parametrize(
    ("metric", "ours", "theirs", "noise", "end"),
    [
        ("mae", 0.2, 0.25, None, "MAE of 0.2 beats USUAL (0.25), by 20%."),
        ("mae", 0.2, 0.25, 0.012, "usual (0.25), by 20% (p = 0.012)."),
        ("mae", 0.2, 0.25, 0.2, "usual (0.25), by 20%, but that is within noise (p = 0.20)."),
        ("mae", 0.249, 0.25, 0.0001, "hardly beats USUAL (0.25), by 0.4% (p < 0.001)."),
        ("mae", 0.3, 0.25, 0.01, "MAE of 0.3 does not beat USUAL (0.25)."),
        ("mae", 0.3, 0.25, 0.4, "usual (0.25): the difference is within noise (p = 0.40)."),
        ("mae", 0.25, 0.25, 1.0, "usual (0.25): they are equal."),
        ("mae", 0.2, 0.25, math.nan, "but that is not to be told from chance, with so few rows."),
        ("accuracy", 0.86, 0.9, None, "accuracy of 86.0% does not beat USUAL (90.0%)."),
        ("accuracy", 0.91, 0.9, None, "beats USUAL (90.0%), by 1.0 point."),
        ("accuracy", 0.9005, 0.9, None, "hardly beats USUAL (90.0%), by 0.05 points."),
        ("accuracy", 0.9996, 0.99, None, "of 99.96% beats USUAL (99.0%), by 1.0 point."),
        ("wer", 0.1, 0.2, None, "WER of 10.0% beats USUAL (20.0%), by 10.0 points."),
        ("bleu", 33.25, 28.5, None, "BLEU of 33.25 beats USUAL (28.5), by 4.75."),
        ("perplexity", 82.7, 114.5, None, "perplexity of 82.7 beats USUAL (114.5), by 28%."),
        ("r2", 0.5, -0.1, None, "R² of 0.5 beats USUAL (-0.1), by 0.6."),
        ("bleu", 3.0, 0.0, None, "BLEU of 3 beats USUAL (0), by 3."),
    ],
)  # fmt: skip
def test_sentences(metric: str, ours: float, theirs: float, noise: float | None, end: str) -> None:
    sentence = said(metric, ours, theirs, noise)
    assert sentence.startswith("On the test rows gru's ")
    assert sentence.endswith(end.replace("USUAL", "the best baseline, usual"))


def test_a_sentence_for_each_split_and_target() -> None:
    rows = [
        row(name, split, target, mae=mae)
        for split in ("test", "valid")
        for target in ("a", "b")
        for name, mae in (("gru", 1.0), ("mean", 2.0))
    ]
    sentences = verdict_of(rows, "mae").split(". ")
    assert [sentence[:45] for sentence in sentences] == [
        "On the validation rows gru's MAE for a of 1 b",
        "On the validation rows gru's MAE for b of 1 b",
        "On the test rows gru's MAE for a of 1 beats t",
        "On the test rows gru's MAE for b of 1 beats t",
    ]
    assert verdict_of(rows, "mae", splits={"test": "held-out speaker"}).startswith(
        "On the held-out speaker gru's MAE for a of 1 "
    )


def test_nothing_is_said_without_two_scores() -> None:
    assert verdict_of([row("gru", mae=1.0)], "mae") == ""
    assert verdict_of([row("mean", mae=1.0)], "mae") == ""
    assert verdict_of([row("gru", mae=None), row("mean", mae=1.0)], "mae") == ""
    assert verdict_of([], "mae") == ""


def test_the_best_baseline_is_best_in_its_metrics_direction() -> None:
    rows = [row("a", accuracy=0.4, mae=0.1), row("b", accuracy=0.6, mae=0.2), row("c", mae=None)]
    where: dict[str, Any] = {"split": "test", "target": "kind"}
    for metric, name in (("accuracy", "b"), ("mae", "a")):
        best = best_baseline(rows, metric=metric, **where)
        assert best is not None
        assert best["forecaster"] == name
    assert best_baseline(rows, metric="bleu", **where) is None


def test_right_and_wrong_answers_are_compared_by_mcnemar() -> None:
    # 1 row that only the model has wrong, 6 that only the baseline has; 93 alike.
    model = np.array([True, *[False] * 6, *[True] * 40, *[False] * 53])
    baseline = np.array([False, *[True] * 6, *[True] * 40, *[False] * 53])
    assert significance(model, baseline) == pytest.approx(2 * (1 + 7) / 2**7)
    assert significance(baseline, model) == pytest.approx(2 * (1 + 7) / 2**7)
    assert significance(model, model) == 1
    assert math.isnan(significance(model[:0], model[:0]))


def test_errors_are_compared_by_permutation() -> None:
    generator = np.random.default_rng(0)
    baseline = generator.gamma(2, size=40)
    model = baseline - generator.normal(0.15, 0.4, 40)
    p = significance(model, baseline)
    exact = stats.permutation_test(
        (model, baseline),
        lambda a, b: np.mean(a - b),
        permutation_type="samples",
        n_resamples=20_000,
        rng=1,
    ).pvalue
    assert p == pytest.approx(exact, abs=0.02)
    assert p == significance(model, baseline)
    assert significance(model + 1, baseline) == 1 / 2000
    assert significance(model, model) == 1


def test_few_rows_are_never_sure() -> None:
    # Of two rows with the same sign, half of all signs are as extreme.
    assert significance(np.array([0.0, 0.0]), np.array([1.0, 2.0])) == pytest.approx(0.5, abs=0.05)
    assert significance(np.array([0.0]), np.array([1.0])) == 1


def test_chance_is_called_sure_as_rarely_as_it_says() -> None:
    generator = np.random.default_rng(1)
    ps = [significance(*generator.gamma(1, size=(2, 30)), seed=run) for run in range(300)]
    assert np.mean(np.array(ps) < 0.05) == pytest.approx(0.05, abs=0.03)


def test_many_rows_take_bounded_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    model, baseline = np.random.default_rng(0).normal(size=(2, 1000))
    whole = significance(model, baseline)
    monkeypatch.setattr("elman.kinds.scoring.verdict._AT_ONCE", 5000)
    assert significance(model, baseline) == pytest.approx(whole, abs=0.05)


def test_rows_that_differ_are_refused() -> None:
    with pytest.raises(ValueError, match="rows differ"):
        significance(np.zeros(3), np.zeros(4))
