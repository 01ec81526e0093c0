"""The kind of target `tags`."""

from __future__ import annotations

import json
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from elman.errors import BadCellError, InputError
from elman.kinds.baselines.examples import TagOfWord
from elman.kinds.targets.tags import Tags, disagree, split
from elman.kinds.targets.target import Answers, Examples


def learn(cells: list[Any], columns: tuple[str, ...] = ("pos",), **options: Any) -> Tags:
    known = {"class_weights": "none", "label_smoothing": 0.0} | options
    return Tags.learn(columns, [(cell,) for cell in cells], SimpleNamespace(**known))


@pytest.fixture
def tags() -> Tags:
    return learn(["DET NOUN VERB", "NOUN", None, ["DET", "NOUN"]])


def test_tags_are_encoded_one_a_step(tags: Tags) -> None:
    assert tags.classes.names == ("DET", "NOUN", "VERB")
    assert tags.classes.counts == (2, 3, 1)
    assert tags.encode(("VERB  DET ",)).tolist() == [2, 0]
    assert tags.encode((["NOUN"],)).tolist() == [1]
    assert tags.text(np.array([2, 0])) == "VERB DET"
    assert tags.output_size == 3
    assert tags.summary() == "3 tags"
    assert tags.headline == "accuracy"
    bias = tags.initial_bias()
    assert bias is not None
    np.testing.assert_allclose(bias, np.log([2 / 6, 3 / 6, 1 / 6]))


def test_bad_cells(tags: Tags) -> None:
    with pytest.raises(
        BadCellError, match=r"'ADJ' was not in the training rows, which had: DET, N"
    ):
        tags.encode(("DET ADJ",))
    for cell in ("", None, []):
        with pytest.raises(BadCellError, match="expected a tag for each word"):
            tags.encode((cell,))
    with pytest.raises(InputError, match="expected one column, got 2"):
        learn([], ("a", "b"))


def test_tags_and_words_of_different_number() -> None:
    error = disagree(["The", "cat", "sat", "."], split("DET NOUN VERB"))
    assert isinstance(error, BadCellError)
    assert str(error) == (
        "4 words and 3 tags; expected a tag for each word, with spaces between them; the row "
        "begins The/DET cat/NOUN sat/VERB"
    )
    assert str(disagree(["a"], ["X"] * 1200)).startswith("1 word and 1,200 tags; ")


OUTPUTS = [
    np.array([[3.0, 0, 0], [0, 1.0, 2.0]]),
    np.array([[0.0, 1.0, 0]]),
    np.array([[0, 0, 1.0], [0, 1.0, 0], [1.0, 0, 0]]),
]
TRUTHS = [np.array([0, 1]), np.array([1]), np.array([2, 1, 2])]


def test_scores_worked_by_hand(tags: Tags) -> None:
    e = np.exp
    scores = tags.score(Answers(outputs=OUTPUTS), TRUTHS)
    assert scores["accuracy"] == pytest.approx(4 / 6)
    assert scores["sentence_accuracy"] == pytest.approx(1 / 3)
    # DET: 1 hit of 2 and 1; NOUN: 2 of 2 and 3; VERB: 1 of 2 and 2.
    assert scores["macro_f1"] == pytest.approx((2 / 3 + 4 / 5 + 1 / 2) / 3)
    # Of each step: how much of exp(output) the truth has.
    shares = [e(3) / (e(3) + 2), e(1) / (1 + e(1) + e(2)), e(1) / (e(1) + 2)]
    shares += [e(1) / (e(1) + 2), e(1) / (e(1) + 2), 1 / (e(1) + 2)]
    assert scores["log_loss"] == pytest.approx(-np.log(shares).mean())
    assert tags.errors(Answers(outputs=OUTPUTS), TRUTHS).tolist() == [1, 0, 1]
    none = tags.score(Answers(outputs=[]), [])
    assert set(none.values()) == {None}


def test_details_count_every_step(tags: Tags) -> None:
    details = tags.details(Answers(outputs=OUTPUTS), TRUTHS)
    assert details["confusion"] == [[1, 0, 0], [0, 2, 1], [1, 0, 1]]
    assert [row["class"] for row in details["per_class"]] == ["DET", "NOUN", "VERB"]
    assert sum(part["n"] for part in details["calibration"]) == 6
    json.dumps(details)


def test_frame_has_a_row_an_example(tags: Tags) -> None:
    frame = tags.frame(Answers(outputs=OUTPUTS), TRUTHS)
    assert frame.to_dict(as_series=False) == {
        "prediction": ["DET VERB", "NOUN", "VERB NOUN DET"],
        "truth": ["DET NOUN", "NOUN", "VERB NOUN VERB"],
        "correct": pytest.approx([0.5, 1, 2 / 3]),
    }
    assert tags.frame(Answers(outputs=OUTPUTS), None).columns == ["prediction"]


def test_tags_are_aligned_to_words(tags: Tags) -> None:
    words = [["The", "cat"], ["Sat"], ["on", "a", "mat"]]
    frame = tags.aligned(words, Answers(outputs=OUTPUTS))
    assert frame.columns == ["row", "position", "word", "tag", "probability"]
    assert frame["row"].to_list() == [0, 0, 1, 2, 2, 2]
    assert frame["position"].to_list() == [0, 1, 0, 0, 1, 2]
    assert frame["word"].to_list() == ["The", "cat", "Sat", "on", "a", "mat"]
    assert frame["tag"].to_list() == ["DET", "VERB", "NOUN", "VERB", "NOUN", "DET"]
    assert frame["probability"][1] == pytest.approx(np.exp(2) / (1 + np.exp(1) + np.exp(2)))
    assert tags.aligned([], Answers(outputs=[])).height == 0


def test_loss_is_cross_entropy_of_each_step() -> None:
    tags = learn(["A A A B"], class_weights="balanced", label_smoothing=0.2)
    output = torch.tensor([[1.0, -1.0], [0.5, 2.0]], dtype=torch.float64)
    truth = torch.tensor([0, 1])
    log_p = torch.log_softmax(output, 1).numpy()
    plain = tags.losses(output, truth, training=False)
    np.testing.assert_allclose(plain, -log_p[[0, 1], [0, 1]])
    soft = np.array([[0.9, 0.1], [0.1, 0.9]])
    expected = -(soft * log_p * [2 / 3, 2]).sum(1)
    np.testing.assert_allclose(tags.losses(output, truth, training=True), expected)


def test_what_is_learnt_survives_json() -> None:
    tags = learn(["A B"], class_weights="balanced", label_smoothing=0.1)
    data = json.loads(json.dumps(tags.as_dict()))
    assert data["kind"] == "tags"
    assert Tags.from_dict(data) == tags


def examples(tags: Tags, rows: list[str]) -> Examples:
    """Return sentences written as `The/DET cat/NOUN`."""
    pairs = [[pair.split("/") for pair in row.split()] for row in rows]
    words = [[word for word, _ in row] for row in pairs]
    truths = [tags.encode(([tag for _, tag in row],)) for row in pairs]
    return Examples({}, {}, None, truths, words)


def test_baselines_worked_by_hand(tags: Tags) -> None:
    train = examples(tags, ["the/DET run/NOUN", "the/DET run/VERB run/VERB", "a/DET", "the/NOUN"])
    usual, of_word = tags.baselines(train, None)
    assert (usual.name, of_word.name) == ("most frequent tag", "most frequent tag per word")
    test = examples(tags, ["the/DET run/NOUN", "new/DET"])
    answers = usual.fit(train).answer(test)
    assert [output.argmax(1).tolist() for output in answers.outputs] == [[1, 1], [1]]
    answers = of_word.fit(train).answer(test)
    # Of words seen once there is `a` alone, a DET: so is the new word.
    assert [output.argmax(1).tolist() for output in answers.outputs] == [[0, 2], [0]]
    # Tags in all: 3 DET, 2 NOUN, 2 VERB; with one more of each 4, 3, 3 of 10 as one occurrence.
    expected = np.array([[2.4, 1.3, 0.3], [0.4, 1.3, 2.3]]) / 4
    np.testing.assert_allclose(np.exp(answers.outputs[0]), expected)
    assert tags.score(answers, test.truths)["accuracy"] == pytest.approx(2 / 3)


def test_without_words_there_is_the_most_frequent_tag_alone(tags: Tags) -> None:
    rows = Examples({}, {}, np.zeros((1, 2)), [np.array([0, 1])])
    assert [each.name for each in tags.baselines(rows, None)] == ["most frequent tag"]


def test_a_tie_goes_to_the_tag_that_is_more_frequent(tags: Tags) -> None:
    train = examples(tags, ["x/DET x/VERB", "y/VERB y/VERB"])
    outputs = TagOfWord(3).fit(train).answer(examples(tags, ["x/DET"])).outputs
    assert outputs[0].argmax(1).tolist() == [2]


def test_on_english_words(public_data: Any) -> None:
    def read(part: str) -> list[list[list[str]]]:
        path = public_data / "ud_english" / f"en_ewt-ud-{part}.conllu"
        rows: list[list[list[str]]] = [[]]
        for line in path.read_text(encoding="utf-8").splitlines():
            fields = line.split("\t")
            if not line:
                rows.append([])
            elif fields[0].isdigit():
                rows[-1].append([fields[1], fields[3]])
        return [row for row in rows if row]

    train, test = read("train"), read("test")
    tags = learn([[tag for _, tag in row] for row in train])

    def as_examples(rows: list[list[list[str]]]) -> Examples:
        truths = [tags.encode(([tag for _, tag in row],)) for row in rows]
        return Examples({}, {}, None, truths, [[word for word, _ in row] for row in rows])

    learnt, asked = as_examples(train), as_examples(test)
    baseline = tags.baselines(learnt, None)[1].fit(learnt)
    accuracy = tags.score(baseline.answer(asked), asked.truths)["accuracy"]
    assert accuracy == pytest.approx(0.8616, abs=0.002)
