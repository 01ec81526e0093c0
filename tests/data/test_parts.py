from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from elman.data.parts import PARTS, Parts, assign, folds
from elman.errors import InputError
from elman.training.randomness import derive


@dataclass(frozen=True)
class Options:
    valid: str = "0.15"
    test: str = "0.15"
    folds: int | None = None


def rows_of(parts: Parts) -> list[int]:
    return sorted(np.concatenate([parts.of(part) for part in PARTS]).tolist())


def error(act) -> str:
    with pytest.raises(InputError) as caught:
        act()
    assert "\n" not in str(caught.value)
    return str(caught.value)


SHARES = st.sampled_from(["0.05", "0.1", "0.15", "0.2", ".3", "0.33", "0.45"])
CLASSES = st.lists(st.integers(0, 6), min_size=30, max_size=200).map(np.array)


@settings(deadline=None)
@given(CLASSES, SHARES, SHARES | st.just("0"), st.integers(0, 9))
def test_shares_part_all_rows_and_each_class_in_proportion(classes, valid, test, seed):
    parts = assign(len(classes), Options(valid, test), strata=classes, seed=seed)
    assert rows_of(parts) == list(range(len(classes)))
    shares = {"valid": float(valid), "test": float(test)}
    shares["train"] = 1 - sum(shares.values())
    sizes = np.bincount(classes)
    for part in PARTS:
        rows = parts.of(part)
        assert (np.diff(rows) > 0).all()
        found = np.bincount(classes[rows], minlength=len(sizes))
        for size, got in zip(sizes, found, strict=True):
            if size > 1:
                assert abs(got - size * shares[part]) < 1
            else:
                assert got == (size if part == "train" else 0)
        if shares["train"] < 0.5:
            continue  # so that every class trains, training may have more
        many = sizes[sizes > 1].sum() * shares[part] + (sizes == 1).sum() * (part == "train")
        assert abs(len(rows) - many) <= 1.5
    assert not len(parts.test) or test != "0"


@settings(max_examples=20, deadline=None)
@given(st.lists(st.integers(0, 300), min_size=400, max_size=800), st.integers(0, 9))
def test_numbers_of_rows_are_met_where_classes_are_tiny(classes, seed):
    strata = np.array(classes)
    pairs = np.unique(strata, return_counts=True)[1]
    parts = assign(len(strata), Options("60", "40"), strata=strata, seed=seed)
    assert rows_of(parts) == list(range(len(strata)))
    assert abs(len(parts.valid) - 60) <= 1
    assert abs(len(parts.test) - 40) <= 1
    # Every class trains.
    assert len(np.unique(strata[parts.train])) == len(pairs)


def test_numbers_of_rows_are_met_exactly_without_classes():
    parts = assign(1000, Options("200", "100"), seed=0)
    assert (len(parts.train), len(parts.valid), len(parts.test)) == (700, 200, 100)


def test_classes_by_hand():
    strata = np.repeat(["a", "b", "c", "d"], [100, 20, 4, 1])
    parts = assign(125, Options("0.25", "0.25"), strata=strata, seed=3)
    counts = {
        part: [int((strata[parts.of(part)] == name).sum()) for name in "abcd"] for part in PARTS
    }
    assert counts == {"train": [50, 10, 2, 1], "valid": [25, 5, 1, 0], "test": [25, 5, 1, 0]}
    (note,) = parts.findings
    assert (note.severity, note.message) == (
        "note",
        "table: 1 class has a single row, which trains",
    )


def test_small_classes_together_have_their_share():
    strata = np.arange(300) // 3  # a hundred classes of three rows
    parts = assign(300, Options("0.15", "0.15"), strata=strata, seed=0)
    assert (len(parts.valid), len(parts.test)) == (45, 45)


def test_the_seed_decides():
    def draw(seed):
        return assign(200, Options(), strata=np.arange(200) % 3, seed=seed).valid.tolist()

    assert draw(1) == draw(1)
    assert draw(1) != draw(2)
    assert len(set(np.diff(draw(1)))) > 3


def test_the_seed_is_derived_as_everywhere():
    drawn = assign(50, Options("10", "0"), seed=7).valid
    order = np.random.default_rng(derive(7, "parts")).permutation(50)
    assert drawn.tolist() == sorted(order[40:].tolist())


GROUPED = st.integers(3, 25).flatmap(
    lambda groups: st.lists(
        st.tuples(st.integers(0, groups - 1), st.integers(0, 3)), min_size=40, max_size=150
    )
)


@settings(max_examples=50, deadline=None)
@given(GROUPED, st.integers(0, 9))
def test_groups_are_never_parted(rows, seed):
    together = pl.Series("speaker", [f"s{group}" for group, _ in rows])
    strata = np.array([each for _, each in rows])
    if together.n_unique() < 3:
        return
    parts = assign(len(rows), Options(), together=together, strata=strata, seed=seed)
    assert rows_of(parts) == list(range(len(rows)))
    found = [set(together[parts.of(part)]) for part in PARTS]
    assert all(found)
    assert not found[0] & found[1] | found[0] & found[2] | found[1] & found[2]


def test_many_small_groups_have_their_shares_of_every_class():
    generator = np.random.default_rng(0)
    groups = generator.integers(0, 300, 3000)
    strata = np.where(generator.random(3000) < 0.1, 1, 0)
    parts = assign(3000, Options(), together=pl.Series("g", groups), strata=strata, seed=0)
    for part, share in zip(PARTS, (0.7, 0.15, 0.15), strict=True):
        rows = parts.of(part)
        assert abs(len(rows) / 3000 - share) < 0.01
        assert abs(strata[rows].mean() - strata.mean()) < 0.01


def test_six_speakers():
    speakers = pl.Series("speaker", [f"s{row % 6}" for row in range(3000)])
    digits = np.arange(3000) // 6 % 10
    parts = assign(3000, Options(), together=speakers, strata=digits, seed=0)
    assert [len(parts.of(part)) for part in PARTS] == [2000, 500, 500]


class TestColumn:
    words = ("train", "Training", " train", "valid", "validation", "VAL", "dev", "test", "TEST ")

    def test_words(self):
        parts = assign(9, Options(), split=pl.Series("split", self.words), seed=0)
        assert parts.train.tolist() == [0, 1, 2]
        assert parts.valid.tolist() == [3, 4, 5, 6]
        assert parts.test.tolist() == [7, 8]

    @pytest.mark.parametrize(
        ("word", "got"),
        [("tset", "'tset'; did you mean 'test'?"), ("7", "'7'"), (None, "nothing"), (" ", "noth")],
    )
    def test_an_unknown_word_is_named_with_its_row(self, word, got):
        split = pl.Series("part", ["train", "valid", word])
        message = error(lambda: assign(3, Options(), split=split, seed=0, name="t.csv"))
        assert message.startswith(
            f"t.csv: row 3, column 'part': expected train, valid or test, got {got}"
        )

    def test_where_none_validates_a_share_of_training_does(self):
        split = pl.Series("split", ["train"] * 100 + ["test"] * 40)
        strata = np.arange(140) % 4
        parts = assign(140, Options("0.2", "0.5"), split=split, strata=strata, seed=0)
        assert parts.test.tolist() == list(range(100, 140))
        assert len(parts.valid) == 20
        assert np.bincount(strata[parts.valid]).tolist() == [5, 5, 5, 5]
        assert rows_of(parts) == list(range(140))

    def test_that_share_keeps_groups_whole(self):
        split = pl.Series("split", ["train"] * 100 + ["test"] * 40)
        group = pl.Series("take", np.arange(140) // 10)
        parts = assign(140, Options("0.2"), split=split, together=group, seed=0)
        assert len(parts.valid) == 20
        assert not set(group[parts.valid]) & set(group[parts.train])
        assert parts.findings == []

    def test_a_group_in_two_parts_is_told(self):
        split = pl.Series("split", ["train", "train", "valid", "test"])
        group = pl.Series("patient", ["a", "b", "c", "b"])
        parts = assign(4, Options(), split=split, together=group, seed=0, name="t.csv")
        (finding,) = parts.findings
        assert finding.severity == "warning"
        assert finding.message == (
            "t.csv: column 'split' parts what column 'patient' holds together, the rows of 'b' "
            "among them"
        )

    def test_another_table_may_validate(self):
        split = pl.Series("split", ["train", "test"])
        parts = assign(2, Options(), split=split, seed=0, own_valid=False)
        assert [parts.of(part).tolist() for part in PARTS] == [[0], [], [1]]
        parts = assign(100, Options(), seed=0, own_valid=False)
        assert [len(parts.of(part)) for part in PARTS] == [85, 0, 15]

    def test_training_rows_are_needed(self):
        split = pl.Series("split", ["valid", "test"])
        assert "no row is left for training (rows: 0 train, 1 valid, 1 test)" in error(
            lambda: assign(2, Options(), split=split, seed=0)
        )


@settings(deadline=None)
@given(CLASSES, st.integers(2, 10), st.integers(0, 9))
def test_folds_test_every_row_once(classes, number, seed):
    made = folds(len(classes), Options("0.2", folds=number), strata=classes, seed=seed)
    assert sorted(np.concatenate([fold.test for fold in made])) == list(range(len(classes)))
    assert [fold.name for fold in made] == [str(fold + 1) for fold in range(number)]
    sizes = np.bincount(classes)
    for fold in made:
        assert rows_of(fold) == list(range(len(classes)))
        assert len(fold.train)
        assert len(fold.valid)
        found = np.bincount(classes[fold.test], minlength=len(sizes))
        assert (np.abs(found - sizes / number) < 1).all()
        assert abs(len(fold.test) - len(classes) / number) <= 1


@settings(max_examples=50, deadline=None)
@given(GROUPED, st.integers(2, 3), st.integers(0, 9))
def test_folds_keep_groups_whole(rows, number, seed):
    together = pl.Series("speaker", [group for group, _ in rows])
    if together.n_unique() < 2 * number:
        return
    options = Options("0.2", folds=number)
    for fold in folds(len(rows), options, together=together, seed=seed):
        found = [set(together[fold.of(part)]) for part in PARTS]
        assert all(found)
        assert not found[0] & found[1] | found[0] & found[2] | found[1] & found[2]


def test_one_fold_a_value():
    by = pl.Series("speaker", [f"s{row % 3}" for row in range(60)])
    strata = np.arange(60) // 3 % 4
    made = folds(60, Options("0.25"), by=by, strata=strata, seed=0)
    assert [fold.name for fold in made] == ["s0", "s1", "s2"]
    for fold in made:
        assert set(by[fold.test]) == {fold.name}
        assert len(fold.test) == 20
        assert fold.name not in set(by[fold.train]) | set(by[fold.valid])
        assert np.bincount(strata[fold.valid]).tolist() == [3, 3, 2, 2] or len(fold.valid) == 10
    assert not np.array_equal(made[0].valid % 3, made[1].valid % 3)


def test_values_that_are_numbers_come_in_their_order():
    by = pl.Series("take", [10, 9, 2] * 10)
    assert [fold.name for fold in folds(30, Options(), by=by, seed=0)] == ["2", "9", "10"]


def test_folds_by_a_column_that_parts_a_group():
    by = pl.Series("take", [1, 1, 2, 2])
    group = pl.Series("speaker", ["a", "b", "b", "c"])
    assert "column 'speaker': the rows of 'b' lie in several values of 'take'" in error(
        lambda: folds(4, Options(), by=by, together=group, seed=0)
    )


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (Options("0"), "--valid: validation rows are needed; expected for example 0.15"),
        (Options(valid="none"), "--valid: validation rows are needed"),
        (Options("2019-01-01"), "--valid: expected a share such as 0.15 or a number of rows"),
        (Options(test="@2019"), "--test: expected a share such as 0.15 or a number of rows"),
        (Options("1.5"), "--valid: expected a share"),
        (Options("-3"), "--valid: expected a share"),
        (Options("0.5", "0.5"), "--valid 0.5 and --test 0.5 leave none of 20 rows for training"),
        (Options("15", "5"), "leave none of 20 rows for training"),
        (Options("0.01"), "no row is left for validation (rows: 17 train, 0 valid, 3 test)"),
    ],
)
def test_options_that_cannot_be(options, expected):
    assert expected in error(lambda: assign(20, options, seed=0))


def test_too_few_rows_and_groups():
    assert "--valid 0.45 and --test 0.45" not in error(
        lambda: assign(1, Options("0.45", "0.45"), seed=0)
    )
    group = pl.Series("speaker", ["a", "b"] * 10)
    assert "--together leaves 2 groups of rows for 3 parts" in error(
        lambda: assign(20, Options(), together=group, seed=0)
    )
    assert "table: 30 folds of 20 rows; choose fewer --folds" in error(
        lambda: folds(20, Options(folds=30), seed=0)
    )
    assert "3 folds of 2 values of 'speaker'" in error(
        lambda: folds(20, Options(folds=3), together=group, seed=0)
    )
    assert "cross-validation needs two folds or more, got 1" in error(
        lambda: folds(2, Options(), by=pl.Series("x", ["a", "a"]), seed=0)
    )


@pytest.mark.parametrize("missing", [None, " "])
def test_a_group_that_is_missing_is_named_with_its_row(missing):
    group = pl.Series("speaker", ["a", missing, "b"])
    message = "table: row 2, column 'speaker': the value is missing; every row needs one: fill it"
    assert message in error(lambda: assign(3, Options(), together=group, seed=0))
    assert message in error(lambda: folds(3, Options(), by=group, seed=0))
