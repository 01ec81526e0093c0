"""All rows of one input or target as numbers, encoded once.

Text and numbers are encoded here; media in worker processes, and kept on disk by content
(`data.cache`). Rows lie in memory, or, where they are too many, in a file that is memory-mapped.
"""

from __future__ import annotations

import hashlib
import os
import pickle
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np

from elman.data.cache import Cache, NotKeptError, cache_folder, write_passing
from elman.data.media import Source
from elman.data.ragged import Ragged
from elman.data.workers import CrashedError, Workers
from elman.errors import BadCellError

__all__ = ["Bad", "cache_folder", "encode_rows"]

Cells = tuple[Any, ...]
Encode = Callable[[Cells], np.ndarray]
Bad = list[tuple[int, str]]

IN_MEMORY = 256 * 2**20
"""Bytes of rows kept in memory; where there are more, all lie in a file."""

MOST_WORKERS = 4
FEW = 32
"""Rows that are decoded before a worker process has started."""

_ROW_BYTES = 200  # that a row in memory takes besides its values
_told: set[Path] = set()


def encode_rows(
    encode: Encode,
    rows: Iterable[Cells],
    count: int,
    *,
    sequence: bool = True,
    key: str | None = None,
    workers: int | None = None,
    tell: Callable[[str], None] | None = None,
    progress: Callable[[int], None] | None = None,
) -> tuple[Ragged, Bad]:
    """Return all rows encoded, and of those that could not be, which and why.

    Args:
        encode: an input's or a target's.
        rows: each row's cells; read as they are needed, and twice where there is a `key`.
        count: how many there are.
        sequence: `encode` returns `(T, ...)`; else `(...)`, which becomes a row of one element.
        key: of media: what `encode` depends on besides the cells. Features are kept under it, and
            come from worker processes. None: neither.
        workers: processes; 0 for none. None: for media with more than `FEW` rows one for each
            processor, up to `MOST_WORKERS`.
        tell: called with a message, once a process, where features cannot be kept.
        progress: called with the number of rows done.

    Returns:
        the rows, of which a bad one has no elements, and the bad ones' numbers and messages.

    Raises:
        InputError: there is no room for what does not fit into memory.
    """
    if workers is None:
        few = key is None or count <= FEW
        workers = 0 if few else min(os.cpu_count() or 1, MOST_WORKERS)
    encoding = _Encoding(encode, rows, count, sequence, workers, progress)
    if key is None:
        return _gather(encoding.rows()), encoding.bad
    cache = Cache(key, np.array([_digest(cells) for cells in rows], "S32"))
    kept = cache.read()
    if kept is not None and encoding.confirm(np.flatnonzero(kept.lengths == 0)):
        return kept, encoding.bad
    known = cache.known()
    if kept is not None:  # what could not be decoded now can
        cache.forget()
    try:
        return cache.write(encoding.rows(known)), encoding.bad
    except NotKeptError as error:
        if tell and cache_folder() not in _told:
            _told.add(cache_folder())
            tell(
                f"features cannot be kept in {cache_folder()} ({error}) and are computed anew each "
                "time; name another folder in the environment variable ELMAN_CACHE"
            )
    return _gather(encoding.rows(known)), encoding.bad


def _gather(rows: Iterator[np.ndarray]) -> Ragged:
    kept: list[np.ndarray] = []
    size = 0
    for row in rows:
        kept.append(row)
        size += row.nbytes + _ROW_BYTES
        if size > IN_MEMORY:
            return write_passing(chain(kept, rows))
    return Ragged.of(kept)


def _digest(cells: Cells) -> bytes:
    """Return what is alike for cells of like content, and for no others."""
    parts = []
    for cell in cells:
        try:
            parts.append(cell.digest() if isinstance(cell, Source) else repr(cell))
        except BadCellError as error:  # unlike any content: looked at again when it can be read
            parts.append(f"unreadable: {error}")
    # No zero bytes: numpy takes those at the end of a `bytes` for padding.
    return hashlib.sha256(repr(parts).encode()).digest().replace(b"\0", b"\1")


@dataclass
class _Encoding:
    """Rows to be encoded; `bad` is what the latest pass over them met."""

    encode: Encode
    cells: Iterable[Cells]
    count: int
    sequence: bool
    workers: int
    progress: Callable[[int], None] | None
    bad: Bad = field(default_factory=list)

    def rows(self, known: dict[int, np.ndarray] | None = None) -> Iterator[np.ndarray]:
        """Yield every row in order, a bad one as no elements, of the type of the others."""
        known, self.bad = known or {}, []
        wanted = (cells for row, cells in enumerate(self.cells) if row not in known)
        empty, before = None, 0
        with self._results(wanted, self.count - len(known), self.workers) as results:
            for row in range(self.count):
                values = known[row] if row in known else self._checked(row, next(results))
                if values is not None and empty is None:
                    empty = values[:0]
                    yield from (empty for _ in range(before))
                if values is not None:
                    yield values
                elif empty is not None:
                    yield empty
                else:
                    before += 1
                if self.progress:
                    self.progress(row + 1)
        if empty is None:
            yield from (np.empty(0, np.float32) for _ in range(before))

    def confirm(self, rows: np.ndarray) -> bool:
        """Say whether these rows, bad when they were kept, still are; if so, they are in `bad`."""
        self.bad = []
        wanted = set(rows.tolist())
        cells = (cells for row, cells in enumerate(self.cells) if row in wanted)
        # In a process of its own wherever there may be one: at what crashed it, this one would.
        with self._results(cells, len(rows), min(self.workers, 1)) as results:
            return all(
                self._checked(row, result) is None
                for row, result in zip(rows.tolist(), results, strict=True)
            )

    def _checked(self, row: int, result: Any) -> np.ndarray | None:
        if isinstance(result, CrashedError):
            names = ", ".join(cell.name for cell in result.row if isinstance(cell, Source))
            message = f"{names or 'it'}: what decodes it crashed ({result}); leave it out"
        elif isinstance(result, BadCellError):
            message = str(result)
        elif isinstance(result, Exception):
            raise result
        else:
            values = np.asarray(result) if self.sequence else np.asarray(result)[None]
            if len(values):
                return values
            message = "there is nothing in it; expected at least one step"
        self.bad.append((row, message))
        return None

    @contextmanager
    def _results(self, cells: Iterable[Cells], count: int, workers: int) -> Iterator[Iterator[Any]]:
        """Give what `encode` returned, or raised, for each row."""
        pool = _pool(self.encode, min(workers, count))
        if pool is None:
            yield (_attempt(self.encode, row) for row in cells)
        else:
            with pool, closing(pool.map(cells)) as results:
                yield results


def _pool(encode: Encode, workers: int) -> Workers | None:
    try:
        return Workers(encode, workers) if workers else None
    except (pickle.PicklingError, AttributeError, TypeError, OSError):
        return None  # a function made on the spot, or no room for a process


def _attempt(encode: Encode, cells: Cells) -> Any:
    try:
        return encode(cells)
    except Exception as error:
        return error
