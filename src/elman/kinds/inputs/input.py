"""What every kind of input is: how a row becomes numbers, and the small network that reads them.

Legend: B batch, T time, I features, N elements of all rows of a batch together, F features of a
vector.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from typing import Any, ClassVar, Self

import numpy as np
from torch import Tensor, nn

from elman.errors import BadCellError

__all__ = ["BadCellError", "Cells", "Front", "Input"]

Cells = tuple[Any, ...]
"""One row's cells of the columns that an input or target declares; of media columns, `Source`s."""


class Front(nn.Module, ABC):
    """The network between what was read and the first recurrent layer.

    What is random in training (words dropped, strands turned round) is drawn from torch's own
    generator, which the loop seeds at each step.

    Attributes:
        size: features that it answers.
    """

    size: int

    @abstractmethod
    def forward(self, values: Tensor, lengths: Tensor | None) -> Tensor:
        """Return `x_BTI` for padded `values` of `lengths` (a CPU tensor); of a vector, `v_BF`.

        A sequence's front keeps its lengths: what comes out at step t is about step t.
        """


class Input(ABC):
    """One kind of input as declared, and as learnt from the training rows; immutable.

    Attributes:
        kind: its name in `--input kind:column`.
        sequence: whether a row is a sequence of steps (else one vector).
        media: whether its cells are files (paths, or bytes), given to `encode` as `Source`s.
        arrays: whether a cell that is a list of numbers is given to it as an array.
        columns: the columns that it reads.
        notes: what is worth telling of what was learnt.
    """

    kind: ClassVar[str]
    sequence: ClassVar[bool] = True
    media: ClassVar[bool] = False
    arrays: ClassVar[bool] = False
    columns: tuple[str, ...]
    notes: tuple[str, ...] = ()

    @classmethod
    @abstractmethod
    def learn(cls, columns: tuple[str, ...], rows: Iterable[Cells], options: Any) -> Self:
        """Learn what there is to learn (a vocabulary, a scale) from the training rows.

        Args:
            columns: the columns declared.
            rows: the training rows' cells; may be gone through more than once.
            options: the configuration, with this kind's own group of options in it.

        Raises:
            InputError: the columns or options cannot be used for this kind.
        """

    @abstractmethod
    def encode(self, cells: Cells) -> np.ndarray:
        """Return a row as numbers: `(T, ...)` for a sequence, T at least 1; else `(...)`.

        Raises:
            BadCellError: the cells cannot be used.
        """

    @abstractmethod
    def front(self, options: Any) -> Front:
        """Return a new network that reads batches of what `encode` returned."""

    @abstractmethod
    def show(self, cells: Cells, encoded: np.ndarray) -> dict[str, Any]:
        """Return a row as a page shows it, ready for JSON; `kind` says how."""

    @abstractmethod
    def as_dict(self) -> dict[str, Any]:
        """Return what `from_dict` takes, ready for JSON; `kind` is among it."""

    @classmethod
    @abstractmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Self:
        """Return the input that `as_dict` described."""

    def unseen(self, rows: Iterable[Cells]) -> list[str]:
        """Say what other rows hold that training did not have, and that reads as if unknown."""
        return []

    def summary(self) -> str:
        """Return what it reads, in a few words for a run's description: `12,043 words`."""
        return self.kind

    def key(self) -> str:
        """Return what `encode` depends on besides the cells, as text; features are cached by it."""
        return repr(sorted(self.as_dict().items()))
