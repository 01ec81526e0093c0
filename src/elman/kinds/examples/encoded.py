"""Rows as numbers: what training, scoring and answering read."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from elman.data.ragged import Ragged


@dataclass(frozen=True)
class Encoded:
    """Every row of the tables as numbers.

    Attributes:
        inputs: of each input.
        truths: of the target, where it is known: an array of a vector target, else ragged.
    """

    inputs: tuple[Ragged, ...]
    truths: np.ndarray | Ragged | None = None

    def lengths(self, sequences: Sequence[bool]) -> np.ndarray:
        """Return the steps that each row takes, of inputs and answer together.

        Args:
            sequences: whether each input is one.
        """
        steps = np.zeros(len(self.inputs[0]), np.int64)
        for ragged, is_sequence in zip(self.inputs, sequences, strict=True):
            steps += ragged.lengths if is_sequence else 0
        if isinstance(self.truths, Ragged):
            steps += self.truths.lengths
        return steps

    def truths_of(self, rows: np.ndarray) -> list[np.ndarray]:
        """Return the truths of some rows."""
        assert self.truths is not None
        return [self.truths[row] for row in rows.tolist()]
