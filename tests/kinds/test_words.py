"""Text to words and back: worked by hand, over what people write, and where it cannot be exact."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from elman.kinds.words import HYPHEN, join_words, split_words

# text -> its words, with spaces between them
SPLIT = {
    "I don't know; it's John's.": "I don't know ; it 's John 's .",
    "l'homme aujourd’hui": "l'homme aujourd’hui",
    "the O'Sullivans' house": "the O'Sullivans ' house",
    "a well-known T-shirt - really": f"a well {HYPHEN} known T {HYPHEN} shirt - really",
    "Zwei- und dreimal": "Zwei- und dreimal",
    "1,234.5 at 10:30 is 3.5kg, -7": "1,234.5 at 10:30 is 3.5kg , -7",
    "covid-19, 5-10 years": f"covid {HYPHEN} 19 , 5 {HYPHEN} 10 years",
    "in the U.S. and e.g. Mr. Bean": "in the U.S. and e.g. Mr . Bean",
    "Good!<br /><br/>Bad...": "Good ! <br /> <br/> Bad ...",
    "A&amp;M &#39;x": "A &amp; M &#39; x",
    "a <unk> b": "a < unk > b",
    "wait -- what?!": "wait -- what ? !",
    "naïve Straße ÉTÉ": "naïve Straße ÉTÉ",
    "cafe\u0301 हिन्दी में।": "cafe\u0301 हिन्दी में ।",
    "我爱 Python3": "我 爱 Python3",
    "snake_case ☃️": "snake_case ☃ \ufe0f",
    "\ttwo\n lines ": "two lines",
}


@pytest.mark.parametrize("text", SPLIT)
def test_each_rule_by_hand(text: str) -> None:
    words = split_words(text, "punctuation")
    expected = SPLIT[text].replace("<br />", "<br_/>").split()
    assert words == [word.replace("_/", " /") for word in expected]


def test_case_is_kept_and_the_quick_way_for_plain_words_finds_what_the_rules_find() -> None:
    assert split_words("The END, now", "punctuation") == ["The", "END", ",", "now"]
    # Followed by a space or comma the quick rule applies; by a bracket, the general ones.
    for word in ("plain", "don't", "it's", "U.S.", "Zwei-", "snake_case", "caf\u0301e"):
        quick = split_words(f"{word} x", "punctuation")[:-1]
        general = split_words(f"{word} ", "punctuation")
        assert quick == general


def test_line_ends_are_words_if_asked_for() -> None:
    text = "one two\nthree\n"
    assert split_words(text, "punctuation") == ["one", "two", "three"]
    assert split_words(text, "punctuation", lines=True) == ["one", "two", "\n", "three", "\n"]
    assert split_words(text, "spaces", lines=True) == ["one", "two", "\n", "three", "\n"]
    assert split_words("a <unk> b.\n", "spaces") == ["a", "<unk>", "b."]


@pytest.mark.parametrize(
    "text",
    [
        "I don't know; it's John's well-known shirt (U.S.), isn't it?",
        'He said "stop it" and "go", then left.',
        "She called it 'odd', the boys' room.",
        "“Hi” he said: „Servus“, sie kam. “So”",
        "It costs $5 or 20%, and/or 3.5kg...",
        "wait -- what?!".replace("?!", "?"),
        "Zwei- und dreimal: „Ja“!",
        "我爱北京 and 東京。",
        "«Oui», dit-il.",
        "first line\nsecond",
    ],
)
def test_joined_again_a_text_is_what_it_was(text: str) -> None:
    for where in ("punctuation", "spaces"):
        assert join_words(split_words(text, where, lines=True), where) == text


def test_what_joining_makes_even() -> None:
    joined = join_words(split_words("a  b , c . ( d )", "punctuation"), "punctuation")
    assert joined == "a b, c. (d)"
    assert join_words([], "punctuation") == join_words([], "spaces") == ""


@given(st.text())
def test_no_character_is_lost_and_none_but_spaces_added(text: str) -> None:
    words = split_words(text, "punctuation")
    plain = [character for character in text.replace("-", HYPHEN) if not character.isspace()]
    # A hyphen is U+2010 inside words alone, and a tag keeps its spaces.
    kept = [c for word in words for c in word.replace("-", HYPHEN) if not c.isspace()]
    assert kept == plain
    assert all(words)
    assert bool(words) == bool(text.strip())
    assert split_words(text, "spaces") == text.split()


@given(st.lists(st.text("ab'’-.,\"“„5", min_size=1, max_size=4), max_size=8))
def test_words_joined_and_split_again_are_the_same_characters(words: list[str]) -> None:
    joined = join_words(words, "punctuation").replace(" ", "")
    assert joined == "".join(words)
