"""Text as a target: what is taught, how answers are scored, and what a network has to beat."""

from __future__ import annotations

import json
import math
from typing import Any

import jiwer
import numpy as np
import pytest
import sacrebleu
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional as F

from elman.config import Config
from elman.errors import InputError
from elman.kinds.inputs.input import BadCellError
from elman.kinds.targets.target import Answers, Examples
from elman.kinds.targets.text import TextTarget
from elman.kinds.vocabulary import END, START, Vocabulary

ROWS = [("a red circle",), ("a blue circle",), (["a red square", "a square"],)]


def learn(rows: Any = ROWS, columns: tuple[str, ...] = ("caption",), **given: Any) -> TextTarget:
    fixed = {"inputs": "text:en", "target": "text:de", "min_count": 1}
    return TextTarget.learn(columns, rows, Config.parse(fixed | given, "test"))


def score(answers: list[str], truths: list[list[str]], **given: Any) -> dict[str, Any]:
    return learn(**given).score(Answers(texts=[[a, "second best"] for a in answers]), truths)


def test_a_cell_becomes_ids_and_an_end() -> None:
    target = learn()  # 3 a, 4 circle, 5 red, 6 square, 7 blue
    truth = target.encode(("a blue square!",))
    assert truth.tolist() == [3, 7, 6, 0, END]
    assert truth.dtype == np.int32
    assert target.encode((["a square", "a red square"],)).tolist() == [3, 6, END]
    assert target.references((["a square", "a red square"],)) == ["a square", "a red square"]
    assert target.references(("a square",)) == ["a square"]
    assert target.decode(truth) == "a blue square ⁇"
    assert (target.output_size, target.shape) == (8, "sequence")
    assert target.summary() == "text of 5 words"


def test_the_step_before_begins_with_start() -> None:
    target = learn()
    truth_BU = torch.tensor([[3, 7, END], [4, END, 0]], dtype=torch.int32)
    assert target.previous(truth_BU).tolist() == [[START, 3, 7], [START, 4, END]]
    assert target.previous(truth_BU[0]).tolist() == [START, 3, 7]


def test_longest_answer() -> None:
    assert learn().longest == 9  # half more than 3 words, and 5
    assert learn(level="character").longest == int(1.5 * 13) + 5
    assert learn(longest=4).longest == 4


def test_the_vocabulary_may_be_given() -> None:
    shared = Vocabulary.learn(["x y"], level="word", size=10)
    fixed = {"inputs": "text:en", "target": "text:de"}
    target = TextTarget.learn(("a",), ROWS, Config.parse(fixed, "test"), vocabulary=shared)
    assert target.vocabulary is shared


@pytest.mark.parametrize(
    ("cell", "message"),
    [
        (None, "missing text"),
        (math.nan, "missing text"),
        ("", "empty text"),
        ([], "empty list of texts; expected at least one right answer"),
        (["a", None], "missing text"),
        (["a", " "], "empty text"),
        ([["a"], ["b"]], "expected one text, got the list"),
        (5, r"expected text, got 5 \(int\)"),
    ],
)
def test_cells_that_hold_no_text(cell: Any, message: str) -> None:
    with pytest.raises(BadCellError, match=message):
        learn().encode((cell,))
    assert learn([(cell,), *ROWS]).longest == 9
    with pytest.raises(InputError, match="text answers one column, got 2"):
        learn(columns=("a", "b"))


def test_losses_are_smoothed_in_training_alone() -> None:
    target = learn(label_smoothing=0.1)
    output_NO = torch.randn(6, 8, dtype=torch.float64, requires_grad=True)
    truth_N = torch.tensor([0, 2, 3, 7, 7, 1], dtype=torch.int32)
    log_p = torch.log_softmax(output_NO, 1)
    plain = -log_p[range(6), truth_N.long()]
    torch.testing.assert_close(target.losses(output_NO, truth_N, training=False), plain)
    smooth = 0.9 * plain + 0.1 * -log_p.mean(1)
    found = target.losses(output_NO, truth_N, training=True)
    torch.testing.assert_close(found, smooth)
    (d_found,) = torch.autograd.grad(found.sum(), output_NO)
    spread = 0.9 * F.one_hot(truth_N.long(), 8) + 0.1 / 8
    torch.testing.assert_close(d_found, torch.softmax(output_NO, 1) - spread)


def test_error_rates_and_exact_matches_by_hand() -> None:
    truths = [["a red circle"], ["a blue square moves"], ["up"]]
    scores = score(["a  red\tcircle ", "a blue moves", "up up"], truths)
    assert scores["exact"] == pytest.approx(1 / 3)
    assert scores["wer"] == pytest.approx(2 / 8)  # one word missing, one too many, of 3 + 4 + 1
    assert scores["cer"] == pytest.approx((7 + 3) / (12 + 19 + 2))
    assert set(scores) == {"exact", "bleu", "chrf", "wer", "cer"}


def test_an_empty_answer_is_all_wrong() -> None:
    scores = score([""], [["a red circle"]])
    assert (scores["exact"], scores["wer"], scores["cer"], scores["bleu"]) == (0, 1, 1, 0)


def test_error_rates_are_against_the_nearest_reference() -> None:
    truths = [["a b c d", "x y"], ["p q", "p"]]
    scores = score(["x z", "p"], truths)
    assert scores["wer"] == pytest.approx(1 / (2 + 1))
    assert scores["exact"] == 0.5


@given(
    st.lists(
        st.tuples(
            st.text("abc .", max_size=12),
            st.lists(st.text("abc", min_size=1, max_size=8), min_size=2, max_size=2),
        ),
        min_size=1,
        max_size=5,
    )
)
@settings(max_examples=50)
def test_bleu_and_chrf_are_sacrebleus_own(rows: list[tuple[str, list[str]]]) -> None:
    answers, truths = [row[0] for row in rows], [row[1] for row in rows]
    scores = score(answers, truths)
    streams = [list(stream) for stream in zip(*truths, strict=True)]
    assert scores["bleu"] == sacrebleu.corpus_bleu(answers, streams).score
    assert scores["chrf"] == sacrebleu.corpus_chrf(answers, streams).score
    first = [[text] for text in streams[0]]
    assert score(answers, first)["wer"] == pytest.approx(
        jiwer.wer(streams[0], [" ".join(answer.split()) for answer in answers])
    )


def test_references_may_differ_in_number() -> None:
    answers = ["the cat sat on the mat", "a dog barked at the cat"]
    truths = [["the cat sat on a mat"], ["the dog barked at a cat", "a dog barked at the cats"]]
    scores = score(answers, truths)
    streams = [[t[0] for t in truths], [None, truths[1][1]]]
    assert scores["bleu"] == sacrebleu.BLEU().corpus_score(answers, streams).score  # pyright: ignore
    details = learn().details(Answers(texts=[[a] for a in answers]), truths)
    assert "nrefs:var|case:mixed" in details["signatures"]["bleu"]
    assert details["lengths"] == [[6, 6], [6, 6]]


def test_signatures_are_sacrebleus_own() -> None:
    truths = [["the cat sat on a mat"], ["a dog barked"]]
    answers = [texts[0] for texts in truths]
    bleu = sacrebleu.BLEU()  # pyright: ignore[reportPrivateImportUsage]
    bleu.corpus_score(answers, [answers])
    details = learn().details(Answers(texts=[[a] for a in answers]), truths)
    assert details["signatures"]["bleu"] == str(bleu.get_signature())
    assert "nrefs:1|case:lc" in learn(lowercase=True).details(
        Answers(texts=[[a] for a in answers]), truths
    )["signatures"]["bleu"]  # fmt: skip
    json.dumps(details)
    assert learn().details(Answers(losses=np.ones(2)), truths) == {}


def test_text_read_in_lower_case_is_scored_so() -> None:
    truths = [["The cat sat on the Mat"]]
    assert score(["the cat sat on the mat"], truths)["bleu"] < 100
    scores = score(["the cat sat on the mat"], truths, lowercase=True)
    assert scores["bleu"] == pytest.approx(100)
    assert (scores["exact"], scores["wer"], scores["cer"]) == (1, 0, 0)


def test_tokenised_text_is_scored_without_a_warning(capfd: pytest.CaptureFixture[str]) -> None:
    score(["a cat ."] * 150, [["a cat ."]] * 150, split_words="spaces")
    assert "tokenized" not in capfd.readouterr().err


def test_perplexity_and_bits_by_hand() -> None:
    answers = Answers(losses=np.array([1.0, 2.0]), counts=np.array([3, 2]))
    truths = [["ab"], ["c"]]
    scores = learn(level="character").score(answers, truths)
    assert scores == {
        "perplexity": pytest.approx(math.exp(7 / 5)), "bits": pytest.approx(7 / math.log(2) / 5),
    }  # fmt: skip
    assert set(learn().score(answers, truths)) == {"perplexity"}
    hopeless = Answers(losses=np.array([1e6]), counts=np.array([1]))
    assert learn().score(hopeless, [["a"]])["perplexity"] == pytest.approx(math.exp(700))


def test_errors_are_by_row() -> None:
    few = learn([("red",), ("blue",)] * 3)
    assert (few.closed, few.headline) == (True, "exact")
    wrong = few.errors(Answers(texts=[["red "], ["blue"]]), [["red"], ["red"]])
    assert wrong.tolist() == [False, True]
    many = learn()
    assert (many.closed, many.headline) == (False, "bleu")
    distant = many.errors(Answers(texts=[["a red circle"], ["a blue"]]), [["a red circle"], ["x"]])
    assert distant[0] == pytest.approx(0)
    assert distant[1] == 100 - sacrebleu.sentence_chrf("a blue", ["x"]).score
    assert many.text(["one", "two"]) == "one"


def test_frame_has_a_column_for_each_answer_and_reference() -> None:
    answers = Answers(texts=[["best", "next"], ["only"]])
    frame = learn().frame(answers, [["right"], ["this", "or this"]])
    assert frame.to_dict(as_series=False) == {
        "prediction": ["best", "only"],
        "prediction_2": ["next", None],
        "truth": ["right", "this"],
        "truth_2": [None, "or this"],
    }
    assert learn().frame(answers, None).columns == ["prediction", "prediction_2"]
    assert learn().frame(Answers(texts=[]), None).columns == ["prediction"]


def test_kept_as_json() -> None:
    for level in ("word", "subword"):
        target = learn(level=level, label_smoothing=0.1)
        again = TextTarget.from_dict(json.loads(json.dumps(target.as_dict())))
        assert again == target
        assert again.encode(("a red",)).tolist() == target.encode(("a red",)).tolist()


def examples(truths: list[list[str]], kinds: dict[str, str], **inputs: list[Any]) -> Examples:
    return Examples(inputs=inputs, kinds=kinds, features=None, truths=truths)


def answers_of(train: Examples, test: Examples) -> dict[str, list[str]]:
    fitted = [baseline.fit(train) for baseline in learn().baselines(train, None)]
    answered = {baseline.name: baseline.answer(test).texts or [] for baseline in fitted}
    return {name: [row[0] for row in texts] for name, texts in answered.items()}


def test_baselines_of_text() -> None:
    kinds = {"en": "text"}
    train = examples(
        [["ein Hund"], ["eine Katze", "Katze"], ["Katze"], ["ein Haus"]],
        kinds,
        en=["a dog barks", "the cat", ["the", "cat", "sleeps"], "a house stands"],
    )
    test = examples([["?"]] * 3, kinds, en=["the dog", "one cat sleeps here", "zebra"])
    assert answers_of(train, test) == {
        "most frequent answer": ["Katze"] * 3,
        # dog is rarer than the; nothing known of zebra: the first.
        "nearest neighbour": ["ein Hund", "Katze", "ein Hund"],
    }


def test_nearest_neighbour_finds_each_training_text_itself() -> None:
    texts = [f"word{i} word{i + 1} word{i * 7 % 31}" for i in range(1100)]
    train = examples([[f"answer {i}"] for i in range(1100)], {"en": "text"}, en=texts)
    found = answers_of(train, train)["nearest neighbour"]
    assert found == [f"answer {i}" for i in range(1100)]


def test_baselines_of_values_and_of_pictures() -> None:
    kinds = {"color": "vector", "shape": "vector"}
    train = examples(
        [["r c"], ["r s"], ["r s"], ["R S"]],
        kinds,
        color=["red", "red", "red", "red"],
        shape=["c", "s", "s", "s"],
    )
    test = examples([["?"]] * 3, kinds, color=["red", "red", "blue"], shape=["c", "s", "s"])
    assert answers_of(train, test) == {
        "most frequent answer": ["r s"] * 3,
        "most frequent by value": ["r c", "r s", "r s"],
    }
    picture = examples([["a"], ["b"], ["b"]], {"file": "image"})
    assert answers_of(picture, examples([["?"]], {"file": "image"})) == {
        "most frequent answer": ["b"]
    }
