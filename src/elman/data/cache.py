"""Features of media, kept on disk by the content of the files that they were computed from.

A folder for each way of encoding (a key), in it one for each list of contents (a table's): a
`RaggedFile`, with the SHA-256 of each row beside it. A row that lies in another table's folder is
copied from there. Folders are written beside their final name and renamed: several processes do no
harm, and one left unfinished is not found.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
import time
import weakref
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from zipfile import BadZipFile

import numpy as np

from elman.data.ragged import Ragged, RaggedFile
from elman.files import explain

_FORMAT = "1"  # another one where what is kept is computed differently
_ABANDONED = 24 * 3600  # seconds after which a folder still unfinished is nobody's
_UNFINISHED = ".unfinished-"


class NotKeptError(Exception):
    """The cache cannot be written; `error` is what the system said."""

    def __init__(self, error: OSError) -> None:
        super().__init__(error.strerror or str(error))
        self.error = error


def cache_folder() -> Path:
    """Return where features are kept: `$ELMAN_CACHE`, else `elman/features` of the user's cache."""
    if given := os.environ.get("ELMAN_CACHE"):
        return Path(given)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "elman" / "features"


class Cache:
    """The features of one table's files under one key.

    Args:
        key: what the features depend on besides the files' contents.
        digests: SHA-256 of each row's contents, `(R,)` of 32 bytes.
    """

    def __init__(self, key: str, digests: np.ndarray) -> None:
        self._digests = digests
        self._shelf = cache_folder() / _short(_FORMAT, key)
        self._folder = self._shelf / _short(digests.tobytes())

    def read(self) -> Ragged | None:
        """Return the rows, memory-mapped, if this very list of contents was kept."""
        rows = _opened(self._folder)
        return rows if rows is not None and len(rows) == len(self._digests) else None

    def forget(self) -> None:
        """Remove what `read` returned."""
        shutil.rmtree(self._folder, ignore_errors=True)

    def known(self) -> dict[int, np.ndarray]:
        """Return those rows that other tables' folders hold, by number."""
        places: dict[bytes, list[int]] = {}
        for row, digest in enumerate(self._digests.tolist()):
            places.setdefault(digest, []).append(row)
        found: dict[int, np.ndarray] = {}
        for folder in self._shelf.glob("*/digests.npy"):
            rows = _opened(folder.parent)
            with suppress(OSError, EOFError, ValueError):
                digests = np.load(folder)
                for number, digest in enumerate(digests.tolist() if rows is not None else ()):
                    if digest in places and rows is not None and len(rows[number]):
                        found |= dict.fromkeys(places[digest], rows[number])
        return found

    def write(self, rows: Iterable[np.ndarray]) -> Ragged:
        """Write the rows as they come and return them, memory-mapped.

        Raises:
            NotKeptError: the folder cannot be written, or has no room.
        """
        unfinished = self._begin()
        try:
            _write(unfinished, rows)
            with _refusals():
                np.save(unfinished / "digests.npy", self._digests)
            with suppress(OSError):
                if self.read() is None:  # another process may have been first
                    shutil.rmtree(self._folder, ignore_errors=True)
                    unfinished.rename(self._folder)
            kept = self.read()
            return kept if kept is not None else _passing(unfinished)
        finally:
            shutil.rmtree(unfinished, ignore_errors=True)

    def _begin(self) -> Path:
        with _refusals():
            self._shelf.mkdir(parents=True, exist_ok=True)
            for folder in self._shelf.glob(f"{_UNFINISHED}*"):
                if time.time() - folder.stat().st_mtime > _ABANDONED:
                    shutil.rmtree(folder, ignore_errors=True)
            return Path(tempfile.mkdtemp(prefix=_UNFINISHED, dir=self._shelf))


def write_passing(rows: Iterable[np.ndarray]) -> Ragged:
    """Write rows that do not fit into memory to a file that goes when they are no longer needed.

    Raises:
        InputError: there is no room for it.
    """
    folder = None
    with suppress(OSError):
        cache_folder().mkdir(parents=True, exist_ok=True)
        folder = Path(tempfile.mkdtemp(prefix=_UNFINISHED, dir=cache_folder()))
    folder = folder or Path(tempfile.mkdtemp(prefix="elman-"))
    try:
        _write(folder, rows)
    except NotKeptError as error:
        shutil.rmtree(folder, ignore_errors=True)
        raise explain(error.error, folder) from None
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise
    return _passing(folder)


@contextmanager
def _refusals() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise NotKeptError(error) from error


def _write(folder: Path, rows: Iterable[np.ndarray]) -> None:
    with _refusals():
        file = RaggedFile(folder)
    try:
        for row in rows:  # what goes wrong in here is not the disk's fault
            with _refusals():
                file.append(row)
    except BaseException as error:
        file.__exit__(type(error), error, error.__traceback__)
        raise
    with _refusals():
        file.__exit__(None, None, None)


def _opened(folder: Path) -> Ragged | None:
    try:
        return RaggedFile.open(folder)
    except (OSError, EOFError, BadZipFile):  # half of it is gone
        return None


def _passing(folder: Path) -> Ragged:
    """Return the rows of a folder that nobody else will look for."""
    rows = RaggedFile.open(folder)
    assert rows is not None
    # At once where the system keeps a file as long as it is mapped (all but Windows).
    shutil.rmtree(folder, ignore_errors=True)
    weakref.finalize(rows, shutil.rmtree, folder, ignore_errors=True)
    return rows


def _short(*parts: str | bytes) -> str:
    digest = hashlib.sha256()
    for part in parts:
        data = part.encode() if isinstance(part, str) else part
        digest.update(len(data).to_bytes(8, "little") + data)
    return digest.hexdigest()[:32]
