"""Linear models and constants that a network has to beat."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression as Logistic
from sklearn.linear_model import Ridge as SklearnRidge

from elman.kinds.baselines import examples as reference
from elman.kinds.baselines.design import Design
from elman.kinds.baselines.examples import Constant, LogisticRegression, Ridge
from elman.kinds.targets.target import Examples

TEXTS = ["a fine fine film", "not a fine film at all", "dull and long", "so dull", "fine", "long"]


def text_rows(texts: list[Any], truths: list[Any]) -> Examples:
    return Examples({"x": texts}, {"x": "text"}, None, [np.array(truth) for truth in truths])


def classes(rows: Examples, count: int, several: bool = False) -> LogisticRegression:
    (baseline,) = LogisticRegression.fitting(rows, count, several=several)
    return baseline.fit(rows)


def test_words_are_counted_as_scikit_learn_does() -> None:
    rows = text_rows([text + " indeed it is" for text in TEXTS], [0] * 6)
    x = Design(1000).fit(rows)
    counted: Any = TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True, token_pattern=r"\w+")
    expected = counted.fit_transform(rows.inputs["x"]).toarray()
    np.testing.assert_allclose(x.toarray(), expected, rtol=1e-6)
    assert Design(7).fit(rows).shape == (6, 7)


def test_symbols_are_words_and_marks_are_letters() -> None:
    x = Design(1000).fit(text_rows(["B T X !", "B P V !"], [0, 1]))
    # b, p, t, v, x, and the pairs: b t, t x, b p, p v
    assert x.shape == (2, 9)
    # With the spaces around a mark: of one letter !, of two and three as many more.
    assert Design(1000).fit(text_rows(["! ! ! !", "? ? ?"], [0, 1])).shape[0] == 2


def test_names_are_counted_by_letters() -> None:
    names = ["Müller", "Li", "de Silva", None]
    rows = text_rows(names, [0] * 4)
    counted: Any = TfidfVectorizer(analyzer="char_wb", ngram_range=(1, 4), sublinear_tf=True)
    expected = counted.fit_transform([name or "" for name in names]).toarray()
    np.testing.assert_allclose(Design(1000).fit(rows).toarray(), expected, rtol=1e-6)


def test_dna_is_seen_by_place_and_by_kmers() -> None:
    rows = Examples({"x": ["ACG", "aT"]}, {"x": "dna"}, None, [np.array(0)] * 2)
    x = Design(1000).fit(rows).toarray()
    places = {(0, 0, "A"), (0, 1, "C"), (0, 2, "G"), (1, 0, "A"), (1, 1, "T")}
    expected = np.zeros((2, 3 * 256))
    for row, place, letter in places:
        expected[row, place * 256 + ord(letter)] = 3**-0.5
    np.testing.assert_allclose(x[:, : 3 * 256], expected, rtol=1e-6)
    # k-mers: a, c, g, t, ac, cg, at, acg
    assert x.shape[1] == 3 * 256 + 8
    np.testing.assert_allclose((x[:, 3 * 256 :] ** 2).sum(1), 1, rtol=1e-6)


def test_longer_and_stranger_dna_than_trained_on_is_read_all_the_same() -> None:
    train = Examples({"x": ["ACGT", "GGTT"]}, {"x": "dna"}, None, [np.array(0), np.array(1)])
    baseline = classes(train, 2)
    other = Examples({"x": ["ACGTACGTA", "☃", "", "GGTTN"]}, {"x": "dna"}, None, [np.array(0)] * 4)
    output = baseline.answer(other).outputs
    assert np.isfinite(output).all()
    assert output.argmax(1)[[0, 3]].tolist() == [0, 1]


def test_features_are_standardised_and_stand_beside_words() -> None:
    features = np.array([[1.0, 5.0], [3.0, 5.0], [5.0, 5.0]])
    texts = ["one two three", "two three four", "five six seven"]
    both = Examples({"x": texts}, {"x": "text"}, features, [np.array(0)] * 3)
    assert Design.describe(both) == "bag of 1-2 grams and mean features"
    x = Design(1000).fit(both).toarray()
    np.testing.assert_allclose(x[:, -2], np.array([-1, 0, 1]) * 1.5**0.5, rtol=1e-6)
    np.testing.assert_array_equal(x[:, -1], 0)
    assert Design.describe(Examples({"x": [1]}, {"x": "vector"}, None, [])) is None


@pytest.mark.parametrize("num_classes", [2, 3])
def test_logistic_regression_as_scikit_learn_has_it(num_classes: int) -> None:
    truths = [place % num_classes for place in range(6)]
    rows = text_rows([text + " indeed it is" for text in TEXTS], truths)
    output = classes(rows, num_classes).answer(rows).outputs
    p = np.exp(output) / np.exp(output).sum(1, keepdims=True)
    model = Logistic(C=5).fit(Design(1000).fit(rows), truths)
    np.testing.assert_allclose(p, model.predict_proba(Design(1000).fit(rows)), rtol=1e-5)


def test_a_class_that_no_training_row_had_is_never_answered() -> None:
    output = classes(text_rows(TEXTS, [0, 2, 0, 2, 0, 2]), 4).answer(text_rows(TEXTS, [])).outputs
    assert output.shape == (6, 4)
    np.testing.assert_array_equal(output[:, [1, 3]], -30)
    assert np.isin(output.argmax(1), [0, 2]).all()
    alone = classes(text_rows(TEXTS, [1] * 6), 2).answer(text_rows(TEXTS, [])).outputs
    assert alone.tolist() == [[-30, 0]] * 6


def test_several_classes_a_row() -> None:
    truths = [[1, 0, 0], [1, 1, 0], [0, 1, 0], [0, 0, 0], [1, 0, 0], [0, 1, 0]]
    rows = text_rows(TEXTS, truths)
    output = classes(rows, 3, several=True).answer(rows).outputs
    assert ((output > 0) == np.array(truths)).all()
    np.testing.assert_array_equal(output[:, 2], -30)


def test_ridge_as_scikit_learn_has_it() -> None:
    x = np.random.default_rng(0).normal(size=(30, 4))
    y = x @ np.array([1.0, -2, 0, 0.5]) + 3
    rows = Examples({}, {}, x, [np.array([value], np.float32) for value in y])
    (baseline,) = Ridge.fitting(rows, 1, link=np.asarray)
    assert baseline.name == "mean features with ridge regression"
    scaled = (x - x.mean(0)) / x.std(0)
    expected = SklearnRidge().fit(scaled, y).predict(scaled)
    output = baseline.fit(rows).answer(rows).outputs
    assert output.shape == (30, 1)
    np.testing.assert_allclose(output[:, 0], expected, rtol=1e-3, atol=1e-3)


def test_constants() -> None:
    rows = Examples({}, {}, None, [np.array([1.0, 2]), np.array([3.0, 6])])
    answer = Constant("mean", lambda truths: truths.mean(0)).fit(rows).answer(rows)
    assert answer.outputs.tolist() == [[2, 4], [2, 4]]
    steps = Examples({}, {}, None, [np.array([1, 2]), np.array([6])])
    mean = Constant("mean", lambda truths: truths.mean(keepdims=True), each_step=True)
    assert [output.tolist() for output in mean.fit(steps).answer(steps).outputs] == [
        [[3], [3]],
        [[3]],
    ]


def test_fitting_is_bounded_and_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    texts = [f"word{place % 5} and more words" for place in range(100)]
    rows = text_rows(texts, [place % 2 for place in range(100)])
    monkeypatch.setattr(reference, "MOST_LETTERS", 40 * len(texts[0]))
    baseline = classes(rows, 2)
    assert baseline.name == "bag of 1-2 grams with logistic regression of 40 rows"
    assert baseline.answer(rows).outputs.shape == (100, 2)
    monkeypatch.undo()
    work = Design(1000).fit(rows).nnz * 2
    monkeypatch.setattr(reference, "MOST_WORK", work // 4)
    assert classes(rows, 2).name.endswith("of 25 rows")


def test_a_baseline_is_the_same_each_time() -> None:
    rows = text_rows(TEXTS, [0, 1] * 3)
    first, second = (classes(rows, 2).answer(rows).outputs for _ in range(2))
    np.testing.assert_array_equal(first, second)


def read_splice(folder: Path) -> tuple[list[str], list[str]]:
    lines = (folder / "splice" / "splice.arff").read_text().splitlines()
    data = [line.split(",") for line in lines[lines.index("@data") + 1 :] if line.count(",") > 60]
    return ["".join(fields[1:61]) for fields in data], [fields[61].strip() for fields in data]


def read_reviews(folder: Path) -> tuple[list[str], list[str]]:
    texts, labels = [], []
    for label in ("neg", "pos"):
        path = folder / "reviews" / f"rt-polarity.{label}"
        found = path.read_text(encoding="latin-1").splitlines()
        texts += found
        labels += [label] * len(found)
    return texts, labels


@pytest.mark.parametrize(
    ("read", "kind", "expected"), [(read_splice, "dna", 0.954), (read_reviews, "text", 0.780)]
)
def test_on_public_data(
    public_data: Path, read: Callable[[Path], Any], kind: str, expected: float
) -> None:
    cells, labels = read(public_data)
    names, truths = np.unique(labels, return_inverse=True)
    order = np.random.default_rng(0).permutation(len(cells))
    test, train = np.split(order, [len(order) // 4])

    def rows(at: np.ndarray) -> Examples:
        return Examples({"x": [cells[row] for row in at]}, {"x": kind}, None, list(truths[at]))

    baseline = classes(rows(train), len(names))
    right = baseline.answer(rows(test)).outputs.argmax(1) == truths[test]
    assert right.mean() == pytest.approx(expected, abs=0.02)
