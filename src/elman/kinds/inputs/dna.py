"""`dna:COL`: letters of DNA or RNA, each as probabilities of A, C, G and T.

The IUPAC codes (Cornish-Bowden 1985) say of a letter which it may be: R, A or G, is one half of
each, and N a quarter of all. Lower case, by which repeats are marked, reads as upper, and U as T.
A step is a letter, or a k-mer: k letters side by side.

Legend: B batch, T steps, K letters of a k-mer.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import torch
from torch import Tensor

from elman.errors import InputError
from elman.kinds.inputs.input import BadCellError, Cells, Front, Input
from elman.options import shown

# IUPAC code -> the letters it stands for; its id is its place.
CODES = {
    "A": "A", "C": "C", "G": "G", "T": "T", "R": "AG", "Y": "CT", "S": "CG", "W": "AT", "K": "GT",
    "M": "AC", "B": "CGT", "D": "AGT", "H": "ACT", "V": "ACG", "N": "ACGT",
}  # fmt: skip
_LETTERS = "ACGT"
_OUTSIDE = 255
_SHOWN = 3000
_REMEDY = "fill it in, or leave such rows out with --skip-bad"


def _ids_by_byte() -> np.ndarray:
    ids = np.full(256, _OUTSIDE, np.uint8)
    for place, code in enumerate(CODES):
        ids[[ord(code), ord(code.lower())]] = place
    ids[[ord("U"), ord("u")]] = list(CODES).index("T")
    return ids


def _probabilities() -> Tensor:
    rows = [[(base in may) / len(may) for base in _LETTERS] for may in CODES.values()]
    return torch.tensor(rows, dtype=torch.float32)


_IDS = _ids_by_byte()


@dataclass(frozen=True)
class Dna(Input):
    """Sequences of nucleotides; there is nothing to learn from the training rows.

    Attributes:
        columns: the one column read.
        kmer: letters read at a step.
        kmer_step: letters from one step to the next; letters past the last whole k-mer are left.
    """

    kind = "dna"
    columns: tuple[str, ...]
    kmer: int
    kmer_step: int

    @classmethod
    def learn(cls, columns: tuple[str, ...], rows: Iterable[Cells], options: Any) -> Self:
        """Take k-mers from the options.

        Raises:
            InputError: several columns are named.
        """
        if len(columns) != 1:
            each = " ".join(f"--input dna:{column}" for column in columns)
            raise InputError(
                f"--input dna:{','.join(columns)}: dna reads one column, got {len(columns)}; "
                f"expected an input for each: {each}"
            )
        return cls(columns, options.kmer, options.kmer_step)

    def encode(self, cells: Cells) -> np.ndarray:
        """Return each step's codes, uint8: `(T,)`, or `(T, K)` for k-mers."""
        letters = _read(cells[0])
        ids = _IDS[np.frombuffer(letters.encode("latin-1", "replace"), np.uint8)]
        if (ids == _OUTSIDE).any():
            place = int(np.argmax(ids == _OUTSIDE))
            raise BadCellError(
                f"{letters[place]!r} at position {place + 1:,} is a letter outside the DNA "
                f"alphabet; expected A, C, G, T (or U), or one of {''.join(CODES)[4:]}"
            )
        if len(ids) < self.kmer:
            raise BadCellError(
                f"{len(ids)} letters are fewer than one k-mer; expected at least {self.kmer}, or "
                "a lower --kmer"
            )
        if self.kmer == 1:
            return ids[:: self.kmer_step]
        return np.lib.stride_tricks.sliding_window_view(ids, self.kmer)[:: self.kmer_step]

    def front(self, options: Any) -> DnaFront:
        """Return what turns codes to probabilities: it has nothing to train."""
        return DnaFront(self.kmer, reverse_complement=options.reverse_complement)

    def show(self, cells: Cells, encoded: np.ndarray) -> dict[str, Any]:
        """Return the letters, of a long sequence the beginning."""
        letters = _read(cells[0])[:_SHOWN]
        return {"kind": "dna", "column": self.columns[0], "letters": letters}

    def as_dict(self) -> dict[str, Any]:
        """Return what `from_dict` takes, ready for JSON."""
        return {
            "kind": "dna",
            "columns": list(self.columns),
            "kmer": self.kmer,
            "kmer_step": self.kmer_step,
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Self:
        """Return the input that `as_dict` described."""
        return cls(tuple(data["columns"]), data["kmer"], data["kmer_step"])

    def summary(self) -> str:
        """Return what it reads: `nucleotides`, or `3-mers, every 2`."""
        if self.kmer == self.kmer_step == 1:
            return "nucleotides"
        every = "" if self.kmer_step == 1 else f", every {self.kmer_step}"
        return f"{self.kmer}-mers{every}"


class DnaFront(Front):
    """Turn codes into probabilities of A, C, G and T, those of a k-mer's letters side by side.

    Args:
        kmer: letters of a step.
        reverse_complement: in training, read a random half of the rows on the other strand: from
            the end, with A for T and C for G.
    """

    probabilities: Tensor

    def __init__(self, kmer: int = 1, *, reverse_complement: bool = False) -> None:
        super().__init__()
        self.register_buffer("probabilities", _probabilities(), persistent=False)
        self.reverse_complement = reverse_complement
        self.size = len(_LETTERS) * kmer

    def forward(self, values: Tensor, lengths: Tensor | None) -> Tensor:
        """Return `x_BTI` for codes `(B, T)` or `(B, T, K)`."""
        x_BTI = self.probabilities[values.long()].flatten(2)
        if not (self.training and self.reverse_complement):
            return x_BTI
        turned_B = torch.rand(len(x_BTI), device=x_BTI.device) < 0.5
        return torch.where(turned_B[:, None, None], other_strand(x_BTI, lengths), x_BTI)


def other_strand(x_BTI: Tensor, lengths: Tensor | None) -> Tensor:
    """Return the reverse complement of each row, within its length; padding stays in its place."""
    num_rows, num_steps, _ = x_BTI.shape
    step_T = torch.arange(num_steps, device=x_BTI.device)
    length_B = step_T.new_full((num_rows,), num_steps) if lengths is None else lengths.to(step_T)
    from_end = length_B[:, None] - 1 - step_T
    place_BT = torch.where(from_end >= 0, from_end, step_T)
    # The letters' order ACGT makes complementing, and the order in a k-mer, one flip of features.
    turned = x_BTI.gather(1, place_BT[..., None].expand_as(x_BTI)).flip(-1)
    return torch.where((from_end >= 0)[..., None], turned, x_BTI)


def _read(cell: Any) -> str:
    if cell is None or (isinstance(cell, float) and math.isnan(cell)):  # pandas' missing text
        raise BadCellError(f"missing sequence; {_REMEDY}")
    if not isinstance(cell, str):
        raise BadCellError(f"expected letters of DNA, got {shown(cell)} ({type(cell).__name__})")
    letters = cell.strip()
    if not letters:
        raise BadCellError(f"empty sequence, got {shown(cell)}; {_REMEDY}")
    return letters
