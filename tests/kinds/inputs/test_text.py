"""Text as an input: what a cell becomes, what is refused, and the network in front, by value."""

from __future__ import annotations

import json
import math
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from elman.config import Config
from elman.errors import InputError
from elman.kinds.inputs.input import BadCellError
from elman.kinds.inputs.text import LONGEST_WORD, Text, TextFront
from elman.kinds.vocabulary import Vocabulary

ROWS = [("The cat sat.",), ("The dog sat.",), ("The cat ran.",)]


def options(**given: Any) -> Config:
    fixed = {"inputs": "text:review", "target": "category:label", "min_count": 1}
    return Config.parse(fixed | given, "test")


def learn(rows: Any = ROWS, columns: tuple[str, ...] = ("review",), **given: Any) -> Text:
    return Text.learn(columns, rows, options(**given))


def test_a_cell_becomes_ids() -> None:
    text = learn()  # 3 ., 4 The, 5 cat, 6 sat, 7 dog, 8 ran
    ids = text.encode(("The dog slept.",))
    assert ids.tolist() == [4, 7, 0, 3]
    assert ids.dtype == np.int32
    assert text.tokens(("The dog slept.",)) == ["The", "dog", "slept", "."]
    assert text.summary() == "6 words"
    assert text.sequence
    assert not text.media


def test_listed_words_are_not_split() -> None:
    text = learn([(["do", "n't"],), (np.array(["well-known", "do"]),)], split_words="spaces")
    assert text.vocabulary.tokens(range(3, 6)) == ["do", "n't", "well-known"]
    assert text.encode((("well-known", "n't"),)).tolist() == [5, 4]
    assert text.words(["well-known", "n't"]) == ["well-known", "n't"]
    assert text.words("well-known n't!") == ["well-known", "n't!"]
    shown = text.show((["do", "n't"],), np.zeros(2))
    assert shown == {"kind": "text", "column": "review", "text": "do n't", "tokens": ["do", "n't"]}


@pytest.mark.parametrize("length", range(1, 9))
def test_of_a_long_text_the_beginning_and_the_end(length: int) -> None:
    words = ["a", "b", "c", "d", "e", "f", "g"]
    text = learn([(" ".join(words),)], max_length=length)
    read = text.tokens((" ".join(words),))
    halves = {1: "a", 2: "ag", 3: "abg", 4: "abfg", 5: "abcfg", 6: "abcefg"}
    assert read == list(halves.get(length, "abcdefg"))
    assert text.vocabulary.tokens(text.encode((" ".join(words),))) == read


def test_spelling_beside_each_word() -> None:
    text = learn([("Ab ba",), ("ba c",)], spelling=True, lowercase=True)
    assert text.letters is not None
    assert text.letters.tokens(range(3, 7)) == ["A", "a", "b", "c"]  # in their own case
    encoded = text.encode(("AB x",))
    assert encoded.shape == (2, 1 + LONGEST_WORD)
    assert encoded.dtype == np.int32
    # A letter is its id plus one; an unknown one is 1, and 0 is none.
    assert encoded[:, :4].tolist() == [[4, 4, 1, 0], [0, 1, 0, 0]]
    assert text.vocabulary.tokens([4]) == ["ab"]
    assert not encoded[:, 4:].any()
    long = "abcdefghijklmnopqrstuvwxyz"
    text = learn([(long,)], spelling=True)
    assert text.letters is not None
    read = text.letters.tokens(text.encode((long,))[0, 1:] - 1)
    assert "".join(read) == long[:10] + long[-10:]
    assert text.summary() == "1 word, spelt with 26 characters"


def test_the_vocabulary_may_be_given() -> None:
    shared = Vocabulary.learn(["x y"], level="word", size=10)
    text = Text.learn(("a",), ROWS, options(), vocabulary=shared)
    assert text.vocabulary is shared
    assert text.encode(("y cat",)).tolist() == [4, 0]


def test_rows_without_text_teach_nothing() -> None:
    rows = [(None,), ("",), (" ",), (math.nan,), (5,), ([],), *ROWS]
    assert learn(rows).vocabulary == learn().vocabulary
    assert learn(rows, spelling=True).letters == learn(spelling=True).letters
    assert learn(rows, level="character").vocabulary == learn(level="character").vocabulary


@pytest.mark.parametrize(
    ("cell", "message"),
    [
        (None, "missing text; fill it in, or leave such rows out with --skip-bad"),
        (math.nan, "missing text; fill"),
        ("", "empty text, got ''; fill"),
        (" \n\u2003", "empty text, got ' \\n\\u2003'; fill"),
        (5, "expected text, got 5 (int); turn it to text"),
        ([], "expected a text or a list of words, got []"),
        (["a", ""], "expected a text or a list of words, got ['a', '']"),
        (["a", 5], "expected a text or a list of words, got ['a', 5]"),
        (np.array([1.0, 2.0]), "expected a text or a list of words, got ["),
    ],
)
def test_cells_that_hold_no_text(cell: Any, message: str) -> None:
    for spelling in (False, True):
        with pytest.raises(BadCellError) as caught:
            learn(spelling=spelling).encode((cell,))
        assert str(caught.value).startswith(message)
        assert "\n" not in str(caught.value)


def test_lists_of_words_are_for_words() -> None:
    with pytest.raises(BadCellError, match=r"expected one text, got the list \['a', 'b'\]; join"):
        learn(level="character").encode((["a", "b"],))


def test_options_that_cannot_be() -> None:
    with pytest.raises(InputError, match=r"text reads one column, got 2; .* --input text:b$"):
        learn(columns=("a", "b"))
    with pytest.raises(InputError, match="spelling reads the letters of words, got --level byte"):
        learn(level="byte", spelling=True)


@pytest.mark.parametrize(
    "given", [{}, {"spelling": True, "lowercase": True}, {"level": "character", "max_length": 5}]
)
def test_kept_as_json(given: dict[str, Any]) -> None:
    text = learn(**given)
    again = Text.from_dict(json.loads(json.dumps(text.as_dict())))
    assert again == text
    assert again.encode(("The cat",)).tolist() == text.encode(("The cat",)).tolist()
    assert again.key() == text.key()


def test_shown_as_it_was_read_and_not_all_of_a_long_one() -> None:
    text = learn(lowercase=True)
    shown = text.show(("The WOMBAT sat.",), text.encode(("The WOMBAT sat.",)))
    assert shown["tokens"] == ["The", "WOMBAT", "sat", "."]
    assert shown["text"] == "The WOMBAT sat."
    shown = text.show(("word " * 1000,), np.zeros(1000))
    assert len(shown["tokens"]) == 400
    assert len(shown["text"]) == 3001
    assert shown["text"].endswith("…")
    json.dumps(shown)


# İ is two characters in lower case, and ß is one that has two in upper case.
@given(st.text("aİßi\u0307'-.<unkUNK>/ ", min_size=1).filter(str.strip))
@settings(max_examples=200)
def test_every_word_has_its_spelling(text: str) -> None:
    made = learn([(text,)], spelling=True, lowercase=True)
    encoded = made.encode((text,))
    assert len(encoded) == len(made.tokens((text,)))
    assert (encoded[:, 1] > 0).all()


def test_front_embeds() -> None:
    text = learn()
    front = text.front(options(embedding=5))
    assert (front.size, front.embedding.weight.shape) == (5, (9, 5))
    weights = front.embedding.weight.detach()
    assert 0.05 < weights.abs().max() <= 0.1
    ids = torch.tensor([[4, 7, 0], [3, 0, 0]], dtype=torch.int32)
    x_BTE = front(ids, torch.tensor([3, 1]))
    assert torch.equal(x_BTE, weights[ids.long()])


def test_words_dropped_in_training_are_unknown() -> None:
    front = TextFront(50, 4, word_dropout=0.3)
    ids = torch.randint(1, 50, (100, 40))
    assert torch.equal(front.eval()(ids, None), front.embedding.weight[ids])
    x_BTE = front.train()(ids, None)
    unknown = (x_BTE == front.embedding.weight[0]).all(-1)
    assert torch.equal(x_BTE[~unknown], front.embedding.weight[ids[~unknown]])
    assert abs(unknown.float().mean() - 0.3) < 0.03


def test_features_dropped_in_training_are_the_same_at_all_steps() -> None:
    front = TextFront(50, 8, num_letters=5, embedding_dropout=0.25)
    values = torch.randint(1, 5, (60, 7, 1 + LONGEST_WORD))
    lengths = torch.full((60,), 7)
    plain = front.eval()(values, lengths)
    x_BTE = front.train()(values, lengths)
    dropped = x_BTE == 0
    assert torch.equal(dropped, dropped[:, :1].expand_as(dropped))
    assert len({tuple(row.tolist()) for row in dropped[:, 0]}) > 50  # each row has its own
    assert abs(dropped.float().mean() - 0.25) < 0.03
    torch.testing.assert_close(x_BTE[~dropped], plain[~dropped] / 0.75)


def test_spelling_reads_each_word_as_torch_reads_it_alone() -> None:
    """Values and every gradient by name, word by word without padding, in float64."""
    num_letters, size = 7, 3
    front = TextFront(9, size, num_letters=num_letters).double()
    assert front.spelling is not None
    assert front.size == size + 64
    lstm = nn.LSTM(32, 32, bidirectional=True).double()
    lstm.load_state_dict(front.spelling.layer.state_dict())
    words = [[3], [4, 5, 6], [1, 7, 2, 2, 5], [6] * LONGEST_WORD]
    rows = [[0, 1, 1, 3], [2], [1, 0]]
    values = torch.zeros(len(rows), 4, 1 + LONGEST_WORD, dtype=torch.int32)
    for b, row in enumerate(rows):
        for t, which in enumerate(row):
            values[b, t, 0] = which + 3
            values[b, t, 1 : 1 + len(words[which])] = torch.tensor(words[which])
    values[1, 2:] = 99_999  # past a row's end nothing is read

    ids = front.embedding.weight.detach().clone().requires_grad_()
    letters = front.spelling.embedding.weight.detach().clone().requires_grad_()
    weigh = torch.randn(len(rows), 4, front.size, dtype=torch.float64)
    values[1, 1:, 0] = 0
    lengths = torch.tensor([len(row) for row in rows])
    x_BTE = front(values, lengths)
    expected: Tensor = torch.zeros((), dtype=torch.float64)
    for b, row in enumerate(rows):
        for t, which in enumerate(row):
            _, (h_DH, _) = lstm(letters[torch.tensor(words[which])])
            alone = torch.cat([ids[which + 3], h_DH.flatten()])
            torch.testing.assert_close(x_BTE[b, t], alone)
            expected = expected + (alone * weigh[b, t]).sum()
        assert not x_BTE[b, len(row) :, size:].any()
    real = torch.arange(4) < lengths[:, None]
    (x_BTE * weigh)[real].sum().backward()
    expected.backward()
    alone = {"embedding.weight": ids.grad, "spelling.embedding.weight": letters.grad}
    alone |= {f"spelling.layer.{name}": p.grad for name, p in lstm.named_parameters()}
    found = {name: p.grad for name, p in front.named_parameters()}
    assert found.keys() == alone.keys()
    for name in alone:
        torch.testing.assert_close(found[name], alone[name], msg=name)


def test_spelling_without_lengths_and_of_no_rows() -> None:
    front = TextFront(9, 3, num_letters=7)
    values = torch.randint(1, 7, (2, 3, 1 + LONGEST_WORD))
    whole = front(values, None)
    torch.testing.assert_close(whole, front(values, torch.tensor([3, 3])))
    torch.testing.assert_close(whole[1:, :2], front(values[1:, :2], torch.tensor([2])))
