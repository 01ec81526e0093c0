"""Files that are whole or absent: written beside their final name, then renamed over it.

A reader, or a run resumed after `kill -9`, therefore never meets half a file. A disk that fills
up leaves the previous version in place and is reported as what it is.
"""

from __future__ import annotations

import errno
import hashlib
import os
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from elman.errors import InputError

_NO_ROOM = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}


def write_atomically(path: Path, content: bytes | str | Callable[[Path], object]) -> None:
    """Write `content` (bytes, text, or a function that writes the path given to it) to `path`.

    Raises:
        InputError: nothing can be written there (no room, no permission); `path` is as it was.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        if callable(content):
            content(temporary)
        else:
            data = content.encode() if isinstance(content, str) else content
            temporary.write_bytes(data)
        with temporary.open("rb") as written:
            os.fsync(written.fileno())
        temporary.replace(path)
    except OSError as error:
        raise explain(error, path) from error
    finally:
        with suppress(OSError):
            temporary.unlink()


def explain(error: OSError, path: Path) -> InputError:
    """Return the error for a write to `path` that the system refused."""
    if error.errno in _NO_ROOM:
        return InputError(
            f"{path}: no room left to write it ({error.strerror}); what stood there before is "
            "unchanged; free some space and try again (a run goes on by `elman fit --resume`)"
        )
    return InputError(f"{path}: cannot be written ({error.strerror or error})")


def sha256(path: Path) -> str:
    """Return the SHA-256 of a file's bytes, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
