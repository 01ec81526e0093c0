"""Vocabularies: ids by hand, there and back again, what is unknown, and what is kept."""

from __future__ import annotations

import base64
import gzip
import json
import os
import subprocess
import sys
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import sentencepiece
from hypothesis import given, settings
from hypothesis import strategies as st

from elman.errors import InputError, MissingExtraError
from elman.kinds.vocabulary import END, START, UNKNOWN, UNKNOWN_TEXT, Vocabulary

TEXTS = ("The cat sat. The cat ran!", "A dog sat; the dog's bone", "cat")
CAPTIONS = [
    f"a {color} {shape} moving {way}"
    for color in ("red", "blue", "green")
    for shape in ("circle", "square", "triangle")
    for way in ("in a circle", "up and down", "left")
]


def learn(texts: Any = TEXTS, level: str = "word", **options: Any) -> Vocabulary:
    return Vocabulary.learn(texts, **({"level": level, "size": 1000} | options))


def test_words_by_count_then_by_name_after_the_special_ones() -> None:
    vocabulary = learn()
    assert (UNKNOWN, START, END) == (0, 1, 2)
    by_id = ["cat", "The", "dog", "sat", "!", "'s", ".", ";", "A", "bone", "ran", "the"]
    assert vocabulary.tokens(range(3, len(vocabulary))) == by_id
    assert vocabulary.encode("The dog sat on").tolist() == [4, 5, 6, UNKNOWN]
    assert vocabulary.encode("the dog's").tolist() == [14, 5, 8]
    assert vocabulary.encode("").tolist() == []
    assert vocabulary.encode("x").dtype == np.int32
    assert vocabulary.summary() == "12 words"


def test_size_count_and_case() -> None:
    assert learn(size=2).tokens([3, 4]) == ["cat", "The"]
    assert len(learn(size=2)) == 5
    assert learn(min_count=2).tokens(range(3, 7)) == ["cat", "The", "dog", "sat"]
    lower = learn(lowercase=True)
    assert lower.tokens([3, 4]) == ["cat", "the"]
    assert lower.encode("THE Cat").tolist() == [4, 3]
    assert lower.split("THE Cat's") == ["the", "cat", "'s"]


def test_rows_in_another_order_give_the_same_ids() -> None:
    for level in ("word", "character"):
        assert learn(TEXTS[::-1], level) == learn(TEXTS, level)


def test_words_given_as_a_list_are_not_split() -> None:
    vocabulary = learn([["do", "n't", "well-known"], ["do"]])
    assert vocabulary.tokens(range(3, 6)) == ["do", "n't", "well-known"]
    assert vocabulary.encode(["well-known", "do"]).tolist() == [5, 3]
    lower = learn([["Do"], ["do"]], lowercase=True)
    assert lower.encode(["DO"]).tolist() == [3]


def test_unk_as_it_stands_in_penn_treebank_is_unknown_where_words_end_at_spaces() -> None:
    text = "the <unk> of N\nthe N"
    ptb = learn([text], split_words="spaces", lines=True)
    assert ptb.tokens(range(3, len(ptb))) == ["N", "the", "\n", "of"]
    assert ptb.encode(text).tolist() == [4, UNKNOWN, 6, 3, 5, 4, 3]
    assert ptb.decode(ptb.encode(text)) == f"the {UNKNOWN_TEXT} of N\nthe N"
    assert ptb.encode(ptb.decode(ptb.encode(text))).tolist() == ptb.encode(text).tolist()
    assert "unk" in learn(["a <unk>"]).split("a <unk>")


def test_decoding_ends_at_end_and_shows_what_is_unknown() -> None:
    for level in ("word", "character", "byte", "subword"):
        vocabulary = learn(CAPTIONS, level)
        ids = [START, *vocabulary.encode("a red circle"), END, *vocabulary.encode("left")]
        assert vocabulary.decode(ids) == "a red circle"
        assert vocabulary.decode(np.array(ids)) == "a red circle"
        assert vocabulary.tokens([START, UNKNOWN, END]) == ["<s>", "⁇", "</s>"]
        assert vocabulary.decode([UNKNOWN]).strip() == "⁇"
        assert vocabulary.decode([]) == vocabulary.decode([END]) == ""


def test_characters_by_code_point() -> None:
    vocabulary = learn(["banana\n", "é"], "character")
    assert vocabulary.tokens(range(3, len(vocabulary))) == ["\n", "a", "b", "n", "é"]
    assert vocabulary.encode("nab\nz").tolist() == [6, 4, 5, 3, UNKNOWN]
    assert vocabulary.decode([6, 4, 5, 3, UNKNOWN]) == "nab\n⁇"
    # The most frequent are kept, and a single occurrence is enough.
    assert learn(["aab", "c"], "character", size=2, min_count=9).split("abc") == ["a", "b", "c"]
    assert learn(["aab", "c"], "character", size=2).encode("abc").tolist() == [3, 4, UNKNOWN]


def test_bytes_are_utf8() -> None:
    vocabulary = learn((), "byte")
    assert len(vocabulary) == 259
    assert vocabulary.encode("Aé").tolist() == [65 + 3, 0xC3 + 3, 0xA9 + 3]
    assert vocabulary.split("Aé\n") == ["A", "<0xC3>", "<0xA9>", "\n"]
    assert vocabulary.decode([0xC3 + 3]) == "\N{REPLACEMENT CHARACTER}"
    assert vocabulary.decode([65 + 3, UNKNOWN]) == "A⁇"


@given(st.text(st.characters(codec="utf-8")), st.text(st.characters(codec="utf-8")))
def test_characters_and_bytes_are_exact(text: str, other: str) -> None:
    known = text.replace(UNKNOWN_TEXT, "")
    if known:
        characters = learn([known, other], "character")
        assert characters.decode(characters.encode(known)) == known
        assert characters.split(known) == characters.tokens(characters.encode(known))
        strange = set(other) - set(known)
        missing = learn([known], "character").encode(other) == UNKNOWN
        assert missing.tolist() == [character in strange for character in other]
    read = learn((), "byte")
    assert read.decode(read.encode(text)) == text
    assert len(read.encode(text)) == len(text.encode())


@pytest.fixture(scope="module")
def subwords() -> Vocabulary:
    return learn([*CAPTIONS, "tab\tand\nline  \x00end "], "subword")


# The mark for spaces itself becomes a space; all else is kept.
@given(st.text("aredcilbugnmovtfp \t\n", max_size=30))
def test_subwords_of_known_letters_are_exact(subwords: Vocabulary, text: str) -> None:
    assert subwords.decode(subwords.encode(text)) == text
    assert len(subwords.split(text)) == len(subwords.encode(text))


@given(st.text(min_size=1).filter(str.strip))
@settings(max_examples=50)
def test_no_text_is_without_a_step(subwords: Vocabulary, text: str) -> None:
    for vocabulary in (subwords, learn(), learn(split_words="spaces"), learn(TEXTS, "character")):
        assert len(vocabulary.encode(text)) >= 1
    ids = subwords.encode(text)
    assert len(subwords) > max(ids)


def test_subwords_are_what_sentencepiece_makes_of_them() -> None:
    vocabulary = learn(CAPTIONS, "subword", size=60)
    assert len(vocabulary) == 63
    model = base64.b64decode(vocabulary.as_dict()["model"])
    theirs = sentencepiece.SentencePieceProcessor(model_proto=model)
    text = "a red square moving left"
    assert vocabulary.encode(text).tolist() == theirs.encode(text)
    assert vocabulary.split(text) == theirs.encode(text, out_type=str)
    assert (theirs.unk_id(), theirs.bos_id(), theirs.eos_id()) == (UNKNOWN, START, END)
    assert vocabulary.decode(vocabulary.encode("a zebra")) == "a ⁇ebra"
    # Learnt anew: the same bits.
    assert learn(CAPTIONS, "subword", size=60) == vocabulary


def test_subwords_of_longer_texts_than_sentencepiece_reads_of_itself() -> None:
    long = " ".join(CAPTIONS * 20)
    assert len(long) > 4192
    assert len(learn([long, "x"], "subword", size=60)) == 63


def test_learning_subwords_says_nothing() -> None:
    program = (
        "from elman.kinds.vocabulary import Vocabulary\n"
        "Vocabulary.learn(['a red circle', 'a blue square'], level='subword', size=9000)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


@pytest.mark.parametrize("level", ["word", "character", "byte", "subword"])
def test_kept_as_json(level: str) -> None:
    vocabulary = learn(CAPTIONS, level, lowercase=True)
    again = Vocabulary.from_dict(json.loads(json.dumps(vocabulary.as_dict())))
    assert again == vocabulary
    assert again.level == level
    assert again.encode("A red thing").tolist() == vocabulary.encode("A red thing").tolist()
    assert len(again) == len(vocabulary)


def test_nothing_to_learn_from() -> None:
    with pytest.raises(InputError, match="no word occurs in the training rows; expected"):
        learn([])
    with pytest.raises(InputError, match=r"no word occurs at least 9 times .* lower --min-count"):
        learn(min_count=9)
    with pytest.raises(InputError, match="no character occurs"):
        learn([], "character")
    with pytest.raises(InputError, match=r"subwords cannot be learnt .* --level word"):
        learn([], "subword")
    with pytest.raises(InputError, match=r"'letter' is not known; .* word, character, byte"):
        learn(TEXTS, "letter")


def test_sentencepiece_is_an_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "sentencepiece", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'elman\[text\]'"):
        learn(TEXTS, "subword")


def test_multi30k_there_and_back() -> None:
    path = Path(os.environ.get("ELMAN_DATA", "")) / "multi30k" / "raw"
    if "ELMAN_DATA" not in os.environ or not path.exists():
        pytest.skip("ELMAN_DATA has no multi30k")
    for language, least in (("en", 0.99), ("de", 0.98)):
        texts = (path / f"val.{language}").read_text(encoding="utf-8").splitlines()
        texts = [" ".join(text.split()) for text in texts]
        vocabulary = learn(texts, size=10**6)
        same = sum(vocabulary.decode(vocabulary.encode(text)) == text for text in texts)
        assert same / len(texts) > least


def test_reviews_of_imdb_are_mostly_known() -> None:
    path = Path(os.environ.get("ELMAN_DATA", "")) / "imdb" / "train.tsv.gz"
    if "ELMAN_DATA" not in os.environ or not path.exists():
        pytest.skip("ELMAN_DATA has no imdb")
    with gzip.open(path, "rt", encoding="utf-8") as file:
        texts = [line.rstrip("\n").split("\t", 3)[3] for line in islice(file, 2000)]
    vocabulary = learn(texts, lowercase=True, size=20_000, min_count=2)
    ids = np.concatenate([vocabulary.encode(text) for text in texts])
    assert (ids == UNKNOWN).mean() < 0.05
    assert "<br />" in vocabulary.tokens(range(3, 50))
