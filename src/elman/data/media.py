"""Cells that are files: a path in a table's folder, or the file's bytes in the table itself.

Nothing is opened before it is asked for, so that a file that cannot be read is the trouble of its
own row.
"""

from __future__ import annotations

import hashlib
import io
import os
import stat
import warnings
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from threading import Lock
from typing import Any, BinaryIO

from elman.errors import BadCellError


@dataclass(frozen=True)
class Source:
    """One file of a media column.

    Attributes:
        name: what messages and reports call it.
        path: where it lies; None if its bytes stand in the table.
        content: its bytes, if they stand in the table; an empty cell has neither path nor bytes.
    """

    name: str
    path: Path | None = None
    content: bytes | None = field(default=None, repr=False)

    def open(self) -> BinaryIO:
        """Return the file, open for reading.

        Raises:
            BadCellError: there is none, it is empty, no regular file, or may not be read.
        """
        if self.content is not None:
            if not self.content:
                raise BadCellError(f"{self.name}: there are no bytes in it; expected a whole file")
            return io.BytesIO(self.content)
        if self.path is None:
            raise BadCellError("the cell is empty; expected a file's path")
        try:
            # Before it is opened: opening a pipe would wait for somebody to write.
            status = self.path.stat()
            if not stat.S_ISREG(status.st_mode):
                what = "a folder" if stat.S_ISDIR(status.st_mode) else "no regular file"
                raise BadCellError(f"{self.name} is {what}; expected a file")
            if not status.st_size:
                raise BadCellError(f"{self.name}: the file is empty (0 bytes)")
            return self.path.open("rb")
        except FileNotFoundError:
            raise BadCellError(f"{self.name}: there is no such file ({self.path})") from None
        except (OSError, ValueError) as error:  # ValueError: a NUL character in a path
            why = getattr(error, "strerror", None) or error
            raise BadCellError(f"{self.name}: the file cannot be read ({why})") from None

    def read(self) -> bytes:
        """Return the file's bytes.

        Raises:
            BadCellError: as `open`.
        """
        try:
            with self.open() as file:
                return file.read()
        except OSError as error:
            raise BadCellError(
                f"{self.name}: the file cannot be read ({error.strerror or error})"
            ) from None

    def digest(self) -> str:
        """Return the SHA-256 of the file's bytes, in hexadecimal.

        Raises:
            BadCellError: as `open`.
        """
        try:
            with self.open() as file:
                return hashlib.file_digest(file, "sha256").hexdigest()  # type: ignore[arg-type]
        except OSError as error:
            raise BadCellError(
                f"{self.name}: the file cannot be read ({error.strerror or error})"
            ) from None


def source(cell: Any, folder: Path) -> Source:
    """Return a media column's cell as a file; nothing is read yet.

    Args:
        cell: a path, relative to `folder` or absolute; or bytes; or a struct of `bytes` and
            `path`, as Hugging Face writes; or None.
        folder: the table's.
    """
    if isinstance(cell, dict):
        content, path = cell.get("bytes"), cell.get("path")
        if content is None:
            return source(path, folder)
        return Source(str(path or "bytes in the table"), None, bytes(content))
    if isinstance(cell, bytes | bytearray | memoryview):
        return Source("bytes in the table", None, bytes(cell))
    if isinstance(cell, str | Path) and str(cell).strip():
        return Source(str(cell), folder / str(cell).strip())
    if cell is None or isinstance(cell, str):
        return Source("empty cell")
    # A number, say: it is no name of a file that is there, and the message shows it.
    return Source(str(cell), folder / str(cell))


def sources(cells: Iterable[Any], folder: Path) -> Iterator[Source]:
    """Return a media column's cells as files, one by one (see `source`)."""
    return (source(cell, folder) for cell in cells)


class _Quiet:
    """Silence shared by threads: the first to ask brings it, the last to leave ends it."""

    def __init__(self) -> None:
        self._lock, self._asked, self._silence = Lock(), 0, ExitStack()

    @contextmanager
    def __call__(self) -> Iterator[None]:
        with self._lock:
            self._asked += 1
            if self._asked == 1:
                self._silence.enter_context(_silence())
        try:
            yield
        finally:
            with self._lock:
                self._asked -= 1
                if not self._asked:
                    self._silence.close()


@contextmanager
def _silence() -> Iterator[None]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            kept = os.dup(2)
        except OSError:  # closed: nothing is heard
            yield
            return
        with open(os.devnull, "wb") as nowhere:
            os.dup2(nowhere.fileno(), 2)
        try:
            yield
        finally:
            os.dup2(kept, 2)
            os.close(kept)


quiet = _Quiet()
"""Within `with quiet():`, what decoders print or warn of a damaged file stays off the terminal."""
