"""Sequences of different lengths, one behind the other: no padding is kept, on disk or in memory.

A batch is padded only when it is cut (`Ragged.pad`), to the longest of its own rows. The flat
array may be memory-mapped, so that a set that is larger than memory is read where it is needed.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self
from zipfile import BadZipFile

import numpy as np
import torch
from torch import Tensor


class Ragged:
    """Rows of elements: row r is `values[offsets[r]:offsets[r + 1]]`.

    Args:
        values: elements of all rows, `(N, ...)`.
        offsets: where each row begins, and the last ends, `(R + 1,)`.
    """

    def __init__(self, values: np.ndarray, offsets: np.ndarray) -> None:
        self.values, self.offsets = values, offsets

    @classmethod
    def of(cls, rows: Sequence[np.ndarray]) -> Self:
        """Return rows given one by one; all of one type and element shape."""
        offsets = np.cumsum([0, *(len(row) for row in rows)], dtype=np.int64)
        return cls(np.concatenate(rows) if rows else np.empty(0), offsets)

    def __len__(self) -> int:
        return len(self.offsets) - 1

    def __getitem__(self, row: int) -> np.ndarray:
        return self.values[self.offsets[row] : self.offsets[row + 1]]

    @property
    def lengths(self) -> np.ndarray:
        """Elements of each row."""
        return np.diff(self.offsets)

    def flat(self, rows: np.ndarray) -> np.ndarray:
        """Return the elements of some rows, one row behind the other."""
        parts = [self[row] for row in rows.tolist()]
        return np.concatenate(parts) if parts else self.values[:0]

    def steps(self, rows: np.ndarray, places: np.ndarray) -> np.ndarray:
        """Return single elements: the one at a place of a row, for each of both."""
        return self.values[self.offsets[rows] + places]

    def pad(self, rows: np.ndarray) -> tuple[Tensor, Tensor]:
        """Return some rows as one tensor `(B, T, ...)`, zeros past each end, and their lengths."""
        lengths = self.offsets[rows + 1] - self.offsets[rows]
        longest = int(lengths.max(initial=0))
        values = np.zeros((len(rows), longest, *self.values.shape[1:]), self.values.dtype)
        for place, row in enumerate(rows.tolist()):
            values[place, : lengths[place]] = self[row]
        return torch.from_numpy(values), torch.from_numpy(lengths)


class RaggedFile:
    """Writes rows into a folder, one by one, and reads them back memory-mapped.

    The folder has `values.bin` and, once closed, `index.npz`: a folder without the latter was left
    unfinished, and is begun again.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "index.npz").unlink(missing_ok=True)
        self._file = (folder / "values.bin").open("wb")
        self._lengths: list[int] = []
        self._kind: tuple[np.dtype, tuple[int, ...]] | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: object, trace: TracebackType | None
    ) -> None:
        self._file.close()
        if kind is None:
            dtype, shape = self._kind or (np.dtype(np.float32), ())
            meta = json.dumps({"dtype": dtype.str, "shape": shape})
            # Renamed into place: whoever finds an index finds all of it.
            temporary = self._folder / "index.tmp.npz"
            np.savez(temporary, lengths=np.array(self._lengths, np.int64), meta=np.array(meta))
            temporary.replace(self._folder / "index.npz")

    def append(self, row: np.ndarray) -> None:
        """Write one row.

        Raises:
            ValueError: its type or element shape is not that of the rows before.
        """
        kind = (row.dtype, row.shape[1:])
        if self._kind is None:
            self._kind = kind
        elif kind != self._kind:
            raise ValueError(f"expected elements of {self._kind}, got {kind}")
        self._file.write(np.ascontiguousarray(row).tobytes())
        self._lengths.append(len(row))

    def extend(self, rows: Iterable[np.ndarray]) -> None:
        """Write several rows."""
        for row in rows:
            self.append(row)

    @staticmethod
    def open(folder: Path) -> Ragged | None:
        """Return what was written, memory-mapped; None if there is nothing, or not all of it."""
        path = folder / "values.bin"
        try:
            with np.load(folder / "index.npz") as index:
                lengths, meta = index["lengths"], json.loads(str(index["meta"]))
            size = path.stat().st_size
        except (OSError, ValueError, KeyError, BadZipFile):
            return None
        offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
        shape = (int(offsets[-1]), *meta["shape"])
        if size != int(np.prod(shape)) * np.dtype(meta["dtype"]).itemsize:
            return None
        if not size:
            return Ragged(np.empty(shape, meta["dtype"]), offsets)
        return Ragged(np.memmap(path, meta["dtype"], "r", shape=shape), offsets)
