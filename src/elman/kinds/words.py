"""Text to words, and words back to text.

`split_words` makes each of these one word: a run of letters and digits with the apostrophes inside
it (don't, l'homme), but `'s` at its end apart; a number with its points and commas (1,234.5);
letters with points (U.S.); an HTML tag or entity; a run of points or of dashes; any other mark; and
each sign of Chinese and Japanese. A hyphen at a word's end is part of it (Zwei- und); one inside a
word is the word U+2010, so that `well-known` and `well - known` differ. `join_words` puts spaces
where English has them.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

HYPHEN = "\u2010"  # in `well-known`; a hyphen between spaces stays what it is

_WIDE = "\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003134f"
# Vowel signs and accents that belong to the letter before, which `\w` leaves out.
_SIGNS = (
    "\u0300-\u036f\u0483-\u0489\u0591-\u05bd\u05bf\u05c1\u05c2\u05c4\u05c5\u05c7\u0610-\u061a"
    "\u064b-\u065f\u0670\u06d6-\u06dc\u06df-\u06e4\u06e7\u06e8\u06ea-\u06ed\u0900-\u0903"
    "\u093a-\u094f\u0951-\u0957\u0962\u0963\u0980-\u0983\u09bc-\u09d7\u0a00-\u0a03\u0a3c-\u0a51"
    "\u0a80-\u0a83\u0abc-\u0acd\u0b00-\u0b03\u0b3c-\u0b57\u0bbe-\u0bd7\u0c00-\u0c04\u0c3c-\u0c56"
    "\u0c80-\u0c83\u0cbc-\u0cd6\u0d00-\u0d03\u0d3b-\u0d57\u0dca-\u0ddf\u0e31\u0e34-\u0e3a"
    "\u0e47-\u0e4e\u0eb1\u0eb4-\u0ebc\u0ec8-\u0ece\u0f71-\u0f84\u102b-\u103e\u17b4-\u17d3"
    "\u200c\u200d"
)
_LETTERS = rf"[^\W{_WIDE}]"
_RUN = rf"{_LETTERS}+(?:[{_SIGNS}]+{_LETTERS}*)*"
_MARKS = "|".join(
    (
        r"[A-Za-z]++(?=[ ,])",  # what the rules below make of most words, found faster
        r"-?\d+(?:[.,:]\d+)+" + _LETTERS + "*",
        r"(?:[^\W\d_]\.){2,}",
        rf"{_RUN}(?:['’](?![sS]\b){_RUN})*(?:-(?=\s))?",
        r"(?<=\w)['’][sS]\b",
        r"-\d+" + _LETTERS + "*",
        r"</?(?![uU][nN][kK]>)[A-Za-z][A-Za-z0-9]*\s*/?>",
        r"&#?\w{2,8};",
        r"\.{2,}|-{2,}",
        r"\S",
    )
)
# (what ends words, whether line ends are words) -> every word of a text
_WORDS = {
    ("punctuation", False): re.compile(_MARKS),
    ("punctuation", True): re.compile(rf"\n|{_MARKS}"),
    ("spaces", False): re.compile(r"\S+"),
    ("spaces", True): re.compile(r"\n|\S+"),
}
_INNER_HYPHEN = re.compile(r"(?<=\w)-(?=\w)")
_WIDE_SIGN = re.compile(f"[{_WIDE}]")

_NO_SPACE_AROUND = frozenset([HYPHEN, "/", "@", "\n"])
_NO_SPACE_BEFORE = _NO_SPACE_AROUND | {*".,;:!?%)]}…”’»°、。，！？।", "...", "'s", "'S", "’s", "’S"}
_NO_SPACE_AFTER = _NO_SPACE_AROUND | {*"([{$£€#‘‚«¿¡"}
# Marks that open or close -> what one that closes is preceded by: “ closes in German alone.
_QUOTES = {'"': '"', "'": "'", "“": "„", "„": ""}


def split_words(text: str, where: str, *, lines: bool = False) -> list[str]:
    r"""Return the words of a text, in their own case.

    Args:
        text: any text.
        where: words end at "punctuation", or at "spaces" alone.
        lines: whether the end of a line is a word too, "\n".
    """
    if where == "punctuation" and "-" in text:
        text = _INNER_HYPHEN.sub(HYPHEN, text)
    return _WORDS[where, lines].findall(text)


def join_words(words: Iterable[str], where: str) -> str:
    """Return the text of words that `split_words` gave; spaces are put where English has them."""
    if where == "spaces":
        return " ".join(words).replace(" \n ", "\n").replace(" \n", "\n").replace("\n ", "\n")
    parts: list[str] = []
    open_quotes: set[str] = set()
    previous, glued = "\n", True
    for word in words:
        before = word in _NO_SPACE_BEFORE
        after = word in _NO_SPACE_AFTER
        if word in _QUOTES:  # the first opens, the next one closes
            opening, last = _QUOTES[word], previous[-1]
            closes = opening in open_quotes or (word == "'" and last in "sS")  # the boys' room
            before, after = closes, not closes
            open_quotes = open_quotes - {opening} if closes else open_quotes | {word}
        both_wide = _WIDE_SIGN.match(word) and _WIDE_SIGN.match(previous)
        if not (glued or before or both_wide):
            parts.append(" ")
        parts.append("-" if word == HYPHEN else word)
        previous, glued = word, after
    return "".join(parts)
