"""`series:COL,COL` of examples: a row holds a whole series, such as an ECG or a sensor's trace.

A cell is a list of numbers (Parquet, JSON lines), or text: numbers with spaces between them, or a
list in brackets. Several columns are channels of one series, equally long. Each channel is scaled
to mean 0 and standard deviation 1 over all steps of the training rows.

Legend: B batch, T time, C channels.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from torch import Tensor

from elman.errors import InputError
from elman.kinds.inputs.input import BadCellError, Cells, Front, Input
from elman.options import shown

_LARGEST = 1e30  # networks compute in single precision, which ends at 3.4e38
_MOST_SHOWN = 1000  # steps of a channel on a page
_REMEDY = "fill it in, or leave such rows out with --skip-bad"


@dataclass(frozen=True)
class Measured(Input):
    """Series as learnt from the training rows.

    Attributes:
        columns: the channels.
        means: of each channel, over all steps of the training rows.
        scales: the standard deviations there; 1 of a channel that does not vary.
    """

    kind = "series"
    arrays = True
    columns: tuple[str, ...]
    means: tuple[float, ...]
    scales: tuple[float, ...]

    @classmethod
    def learn(cls, columns: tuple[str, ...], rows: Iterable[Cells], options: Any) -> Self:
        """Learn each channel's mean and scale, row by row: not all of them lie in memory.

        Raises:
            InputError: no training row can be read.
        """
        count, mean_C, squares_C = 0, np.zeros(len(columns)), np.zeros(len(columns))
        problem = "there are none"
        for cells in rows:
            try:
                values_TC = _read(columns, cells)
            except BadCellError as error:
                problem = str(error)
                continue
            # Means and sums of squares of two sets joined (Chan, Golub & LeVeque 1979).
            more, own_C = len(values_TC), values_TC.mean(0)
            gap_C = own_C - mean_C
            squares_C += ((values_TC - own_C) ** 2).sum(0) + gap_C**2 * count * more / (
                count + more
            )
            mean_C += gap_C * more / (count + more)
            count += more
        if not count:
            raise InputError(
                f"--input series:{','.join(columns)}: no training row can be read; {problem}"
            )
        scale_C = np.sqrt(squares_C / count)
        scale_C[scale_C <= 1e-12 * np.abs(mean_C) + 1e-30] = 1
        return cls(columns, tuple(mean_C.tolist()), tuple(scale_C.tolist()))

    def encode(self, cells: Cells) -> np.ndarray:
        """Return a row's scaled values, `(T, C)` float32."""
        values_TC = _read(self.columns, cells)
        return ((values_TC - np.array(self.means)) / np.array(self.scales)).astype(np.float32)

    def front(self, options: Any) -> MeasuredFront:
        """Return what hands the channels on as they are."""
        return MeasuredFront(len(self.columns))

    def show(self, cells: Cells, encoded: np.ndarray) -> dict[str, Any]:
        """Return each channel's numbers, of a long one evenly spaced ones."""
        values_TC = _read(self.columns, cells)
        at = np.linspace(0, len(values_TC) - 1, min(len(values_TC), _MOST_SHOWN)).astype(int)
        drawn = {
            column: [float(f"{value:.5g}") for value in values_TC[at, place]]
            for place, column in enumerate(self.columns)
        }
        return {"kind": "series", "columns": drawn}

    def as_dict(self) -> dict[str, Any]:
        """Return what `from_dict` takes, ready for JSON."""
        return {
            "kind": "series",
            "columns": list(self.columns),
            "means": list(self.means),
            "scales": list(self.scales),
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Self:
        """Return the input that `as_dict` described."""
        return cls(tuple(data["columns"]), tuple(data["means"]), tuple(data["scales"]))

    def summary(self) -> str:
        """Return what it reads: `series of 2 channels`."""
        return f"series of {len(self.columns)} channel{'s' if len(self.columns) > 1 else ''}"


class MeasuredFront(Front):
    """Hand the channels on: they are scaled, and the recurrent layer reads numbers."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.size = channels

    def forward(self, values: Tensor, lengths: Tensor | None) -> Tensor:
        """Return `x_BTC` as it came."""
        return values


def _read(columns: tuple[str, ...], cells: Cells) -> np.ndarray:
    """Return a row's numbers, `(T, C)` float64.

    Raises:
        BadCellError: a cell holds no series, or channels differ in length.
    """
    channels = []
    for column, cell in zip(columns, cells, strict=True):
        try:
            channels.append(_numbers(cell))
        except BadCellError as error:
            raise BadCellError(f"column {column!r}: {error}") from None
    lengths = [len(channel) for channel in channels]
    if len(set(lengths)) > 1:
        each = ", ".join(f"{column} {n:,}" for column, n in zip(columns, lengths, strict=True))
        raise BadCellError(f"channels of one series differ in length ({each}); expected all alike")
    return np.stack(channels, axis=1)


def _numbers(cell: Any) -> np.ndarray:
    if cell is None or (isinstance(cell, float) and math.isnan(cell)):
        raise BadCellError(f"missing series; {_REMEDY}")
    if isinstance(cell, str):
        inside = cell.strip()
        if inside.startswith("[") and inside.endswith("]"):
            inside = inside[1:-1].replace(",", " ")
        parts: Sequence[Any] = inside.split()
    elif isinstance(cell, list | tuple | np.ndarray):
        parts = cell  # pyright: ignore[reportAssignmentType]
    else:
        raise BadCellError(
            f"expected a series, got {shown(cell)}: a cell holds a list of numbers, or numbers "
            "with spaces between them; to read the rows as steps, declare --target forecast"
        )
    if not len(parts):
        raise BadCellError(f"series of no steps; {_REMEDY}")
    values = _at_once(parts)
    return _one_by_one(parts) if values is None else values


def _at_once(parts: Sequence[Any]) -> np.ndarray | None:
    """Return the numbers if all plainly are some; a step at a time takes a hundred times longer."""
    plain = (
        parts.dtype.kind in "fiu"
        if isinstance(parts, np.ndarray)
        else set(map(type, parts)) <= {int, float, str}
    )
    try:
        values = np.array(parts, np.float64) if plain else None
    except (ValueError, OverflowError):
        return None
    # Written so that it is not true of what is no number.
    return values if values is not None and (np.abs(values) <= _LARGEST).all() else None


def _one_by_one(parts: Sequence[Any]) -> np.ndarray:
    """Return the numbers, or say which step has none."""
    parts = parts.tolist() if isinstance(parts, np.ndarray) else parts
    values = np.empty(len(parts))
    for place, part in enumerate(parts):
        try:
            # Text that reads nan or inf is no number; nor is a switch.
            values[place] = math.nan if isinstance(part, bool) else float(part)
        except (TypeError, ValueError, OverflowError):
            values[place] = math.nan
        if not abs(values[place]) <= _LARGEST:
            raise BadCellError(
                f"step {place + 1:,}: expected a finite number, got {shown(part)}; correct it"
            )
    return values
