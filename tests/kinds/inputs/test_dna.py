"""DNA: the IUPAC table, k-mers, letters that are refused, and the other strand, by value."""

from __future__ import annotations

import json
import math
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from elman.config import Config
from elman.errors import InputError
from elman.kinds.inputs.dna import CODES, Dna, DnaFront, other_strand
from elman.kinds.inputs.input import BadCellError

# https://doi.org/10.1093/nar/13.9.3021, table 1: probabilities of A, C, G, T.
IUPAC = {
    "A": [1, 0, 0, 0], "C": [0, 1, 0, 0], "G": [0, 0, 1, 0], "T": [0, 0, 0, 1],
    "R": [1 / 2, 0, 1 / 2, 0], "Y": [0, 1 / 2, 0, 1 / 2], "S": [0, 1 / 2, 1 / 2, 0],
    "W": [1 / 2, 0, 0, 1 / 2], "K": [0, 0, 1 / 2, 1 / 2], "M": [1 / 2, 1 / 2, 0, 0],
    "B": [0, 1 / 3, 1 / 3, 1 / 3], "D": [1 / 3, 0, 1 / 3, 1 / 3],
    "H": [1 / 3, 1 / 3, 0, 1 / 3], "V": [1 / 3, 1 / 3, 1 / 3, 0], "N": [1 / 4] * 4,
}  # fmt: skip
# Each code's complement, from the same paper's table 2.
COMPLEMENT = dict(zip("ACGTRYSWKMBDHVN", "TGCAYRSWMKVHDBN", strict=True))


def learn(columns: tuple[str, ...] = ("gene",), **given: Any) -> Dna:
    options = Config.parse({"inputs": "dna:gene", "target": "category:site"} | given, "test")
    return Dna.learn(columns, [("ACGT",)], options)


def probabilities(letters: str, **given: Any) -> torch.Tensor:
    dna = learn(**given)
    encoded = torch.from_numpy(dna.encode((letters,)).copy())[None]
    return dna.front(Config.parse({"inputs": "dna:a", "target": "category:b"}, "test"))(
        encoded, torch.tensor([encoded.shape[1]])
    )[0]


def test_every_code_is_what_the_paper_says() -> None:
    assert set(CODES) == set(IUPAC)
    letters = "".join(IUPAC)
    torch.testing.assert_close(probabilities(letters), torch.tensor(list(IUPAC.values())))
    assert torch.equal(probabilities(letters.lower()), probabilities(letters))
    assert torch.equal(probabilities("uU"), probabilities("TT"))


def test_a_step_is_a_byte_and_space_around_is_no_letter() -> None:
    encoded = learn().encode((" acgtN\n",))
    assert encoded.dtype == np.uint8
    assert encoded.tolist() == [0, 1, 2, 3, 14]
    assert learn(kmer_step=2).encode(("ACGTN",)).tolist() == [0, 2, 14]


@pytest.mark.parametrize(("kmer", "step"), [(2, 1), (3, 1), (3, 2), (3, 3), (8, 5)])
def test_kmers_put_letters_side_by_side(kmer: int, step: int) -> None:
    letters = "ACGTNRYACGTTGCA"
    encoded = learn(kmer=kmer, kmer_step=step).encode((letters,))
    starts = range(0, len(letters) - kmer + 1, step)
    assert encoded.shape == (len(starts), kmer)
    x_TI = probabilities(letters, kmer=kmer, kmer_step=step)
    for t, start in enumerate(starts):
        by_hand = [p for letter in letters[start : start + kmer] for p in IUPAC[letter]]
        torch.testing.assert_close(x_TI[t], torch.tensor(by_hand, dtype=torch.float32))


@pytest.mark.parametrize(
    ("cell", "message"),
    [
        ("ACG-T", "'-' at position 4 is a letter outside the DNA alphabet; expected A, C, G, T"),
        ("AC GT", "' ' at position 3 is a letter outside"),
        ("  aXgt", "'X' at position 2 is a letter outside"),
        ("ß", "'ß' at position 1 is a letter outside"),  # SS in upper case
        ("AC?GT", "'?' at position 3 is a letter outside"),
        ("AC\u2028T", "'\\u2028' at position 3 is a letter outside"),
        ("ACé日T", "'é' at position 3 is a letter outside"),
        ("日", "'日' at position 1 is a letter outside"),
        (None, "missing sequence; fill it in, or leave such rows out with --skip-bad"),
        (math.nan, "missing sequence"),
        ("", "empty sequence, got ''"),
        (" ", "empty sequence, got ' '"),
        (5, "expected letters of DNA, got 5 (int)"),
        (["A"], "expected letters of DNA, got ['A'] (list)"),
    ],
)
def test_what_is_no_dna_is_refused(cell: Any, message: str) -> None:
    with pytest.raises(BadCellError) as caught:
        learn().encode((cell,))
    assert str(caught.value).startswith(message)


def test_a_sequence_shorter_than_a_kmer_is_refused() -> None:
    assert len(learn(kmer=4).encode(("ACGT",))) == 1
    with pytest.raises(BadCellError, match="3 letters are fewer than one k-mer; expected at least"):
        learn(kmer=4).encode(("ACG",))


def test_one_column() -> None:
    with pytest.raises(InputError, match=r"dna reads one column, got 2; .* --input dna:b$"):
        learn(columns=("a", "b"))


def test_kept_shown_and_named() -> None:
    dna = learn(kmer=3, kmer_step=2)
    assert Dna.from_dict(json.loads(json.dumps(dna.as_dict()))) == dna
    assert dna.summary() == "3-mers, every 2"
    assert learn().summary() == "nucleotides"
    assert dna.show((" acGT ",), np.zeros(1)) == {
        "kind": "dna", "column": "gene", "letters": "acGT",
    }  # fmt: skip
    assert len(dna.show(("ACGT" * 1000,), np.zeros(1))["letters"]) == 3000


@pytest.mark.parametrize("kmer", [1, 3])
def test_the_other_strand_by_hand(kmer: int) -> None:
    letters = "ACGTTNRYKB"
    strand = "".join(COMPLEMENT[letter] for letter in reversed(letters))
    x_TI, expected = probabilities(letters, kmer=kmer), probabilities(strand, kmer=kmer)
    torch.testing.assert_close(other_strand(x_TI[None], None)[0], expected)
    # Within its length, beside a longer row; padding stays as and where it was.
    padded = torch.stack([x_TI, x_TI])
    length = len(x_TI) - 3
    turned = other_strand(padded, torch.tensor([len(x_TI), length]))
    torch.testing.assert_close(turned[0], expected)
    alone = other_strand(x_TI[None, :length], None)[0]
    torch.testing.assert_close(turned[1, :length], alone)
    assert torch.equal(turned[1, length:], x_TI[length:])


@given(st.lists(st.text("".join(IUPAC), min_size=1, max_size=9), min_size=1, max_size=4))
def test_the_other_strand_twice_is_the_first(rows: list[str]) -> None:
    lengths = torch.tensor([len(row) for row in rows])
    x_BTI = torch.zeros(len(rows), int(lengths.max()), 4)
    for b, row in enumerate(rows):
        x_BTI[b, : len(row)] = probabilities(row)
    assert torch.equal(other_strand(other_strand(x_BTI, lengths), lengths), x_BTI)


def test_a_random_half_is_turned_in_training_alone() -> None:
    front = DnaFront(reverse_complement=True)
    values = torch.randint(0, 15, (400, 9), dtype=torch.uint8)
    values[:, 0], values[:, 6] = 0, 1  # not its own reverse complement: A .. C, so G .. T
    lengths = torch.full((400,), 7)
    plain = front.eval()(values, lengths)
    assert torch.equal(plain, front.probabilities[values.long()])
    turned = other_strand(plain, lengths)
    x_BTI = front.train()(values, lengths)
    is_turned = (x_BTI == turned).flatten(1).all(1)
    is_plain = (x_BTI == plain).flatten(1).all(1)
    assert torch.equal(is_turned, ~is_plain)
    assert 150 < int(is_turned.sum()) < 250
    assert torch.equal(DnaFront().train()(values, lengths), plain)


def test_front_has_nothing_to_train_or_to_keep() -> None:
    front = DnaFront(3)
    assert front.size == 12
    assert not list(front.parameters())
    assert not front.state_dict()
