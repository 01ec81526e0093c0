"""Where the files of a data set lie, and how they are fetched: whole, checked, or not at all.

Files come from a public repository at one commit, or from the folder that the environment variable
`ELMAN_DATA` names, if it has them; in both cases their SHA-256 must be those of the record. A set
of thousands of files comes as the repository's archive. Its record has one SHA-256, that of the
list of all of them, as `sha256sum` writes it: of "<sum>  <name>" in the order of names.
"""

from __future__ import annotations

import gzip
import hashlib
import logging
import os
import re
import tarfile
import tempfile
import zlib
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from elman.errors import ElmanError, InputError

_TIMEOUT = 30  # seconds without an answer
_RAW = "https://raw.githubusercontent.com"
_ARCHIVES = "https://codeload.github.com"

Contents = dict[str, bytes]  # of each file, by name


@dataclass(frozen=True)
class Source(ABC):
    """The files of a data set.

    Attributes:
        folder: where they lie below `ELMAN_DATA`.
    """

    folder: str

    def read(self) -> Contents:
        """Return all files, checked, from `ELMAN_DATA` if it has them, else downloaded.

        Raises:
            InputError: `ELMAN_DATA` names no folder, or what it has is not the published file.
            ElmanError: the download failed, or is not the published file.
        """
        root = os.environ.get("ELMAN_DATA")
        if root and not Path(root).is_dir():
            raise InputError(
                f"ELMAN_DATA: expected a folder, got {root!r}, which is none; correct it"
            )
        if root and (found := self.found_in(Path(root) / self.folder)):
            if wrong := self.wrong(found):
                raise InputError(
                    f"{Path(root, self.folder)} (from ELMAN_DATA): {wrong}; it is not what was "
                    "published: remove it to download that"
                )
            return found
        with tempfile.TemporaryDirectory(prefix="elman-") as folder:
            found = self._download(Path(folder))
        if wrong := self.wrong(found):
            raise ElmanError(
                f"what {self.url} sent is not the published file: {wrong}; nothing was kept; try "
                "again later"
            )
        return found

    @property
    @abstractmethod
    def url(self) -> str:
        """Where the files come from."""

    @property
    def names(self) -> list[str]:
        """Names of the files, as far as they are known beforehand."""
        return []

    @abstractmethod
    def wrong(self, found: Contents) -> str:
        """Return what of the files found is not as published, or ""."""

    @abstractmethod
    def found_in(self, folder: Path) -> Contents | None:
        """Return the files of a folder, None if it lacks them."""

    @abstractmethod
    def _download(self, folder: Path) -> Contents:
        """Return the files from their public source, `folder` being a place for temporary ones."""


@dataclass(frozen=True)
class Files(Source):
    """A few files, each with its own URL; a file whose URL ends in `.gz` is unpacked.

    Attributes:
        folder: where they lie below `ELMAN_DATA`, packed or not.
        base: what all URLs begin with.
        paths: how the URL of each goes on, by the file's name in `folder`.
        sums: SHA-256 of each, unpacked, by the same name.
    """

    base: str
    paths: Mapping[str, str]
    sums: Mapping[str, str]

    @property
    def url(self) -> str:
        """The URL of the only file, or what the URLs of several begin with."""
        paths = list(self.paths.values())
        return self.base + (paths[0] if len(paths) == 1 else "")

    @property
    def names(self) -> list[str]:
        """Names of the files."""
        return list(self.sums)

    def wrong(self, found: Contents) -> str:
        """Return which file is not as published, or ""."""
        for name, content in found.items():
            if (got := hashlib.sha256(content).hexdigest()) != self.sums[name]:
                return f"{name}: expected SHA-256 {self.sums[name]}, got {got}"
        return ""

    def found_in(self, folder: Path) -> Contents | None:
        """Return the files in a folder, packed or not; None if it lacks some."""
        places = {name: [folder / name, folder / f"{name}.gz"] for name in self.sums}
        there = {name: [place for place in both if place.exists()] for name, both in places.items()}
        if not all(there.values()):
            return None
        return {name: _unpacked(found[0].read_bytes(), found[0]) for name, found in there.items()}

    def _download(self, folder: Path) -> Contents:
        found = {}
        for name, path in self.paths.items():
            place = folder / f"file{Path(path).suffix}"
            _download(self.base + path, place, f"{self.folder}/{name}")
            found[name] = _unpacked(place.read_bytes(), place, self.base + path)
            place.unlink()
        return found


@dataclass(frozen=True)
class Archive(Source):
    """Many files, out of the archive of a repository at one commit.

    Attributes:
        folder: where they lie below `ELMAN_DATA`.
        archive: URL of the repository's archive, a `.tar.gz` of one folder.
        inside: regular expression for the paths in that folder; its group is the file's name.
        patterns: which files in `folder` they are.
        sha256: of the list of the files' SHA-256 and names.
        rebuilt: what makes the published files of those in the archive, where they are others.
    """

    archive: str
    inside: str
    patterns: tuple[str, ...]
    sha256: str
    rebuilt: Callable[[Contents], Contents] | None = None

    @property
    def url(self) -> str:
        """The archive's URL."""
        return self.archive

    def wrong(self, found: Contents) -> str:
        """Say so if the files, or their names, are not those published."""
        if (got := sum_of_sums(found)) == self.sha256:
            return ""
        return f"of {len(found):,} files, the list of sums has the SHA-256 {got}, not {self.sha256}"

    def found_in(self, folder: Path) -> Contents | None:
        """Return the files in a folder that are of the set's kind; None if there are none."""
        files = [file for pattern in self.patterns for file in sorted(folder.glob(pattern))]
        return {
            file.relative_to(folder).as_posix().removesuffix(".gz"): _unpacked(
                file.read_bytes(), file
            )
            for file in files
        } or None

    def _download(self, folder: Path) -> Contents:
        place = folder / "archive.tar.gz"
        _download(self.archive, place, self.folder)
        found = {}
        try:
            with tarfile.open(place) as archive:
                for member in archive:
                    match = re.fullmatch(self.inside, member.name.partition("/")[2])
                    if match and (file := archive.extractfile(member)):
                        found[match[1]] = file.read()
        except (tarfile.TarError, EOFError, zlib.error, OSError) as error:
            raise ElmanError(
                f"what {self.archive} sent is not a whole archive ({error}); nothing was kept; try "
                "again later"
            ) from None
        return self.rebuilt(found) if self.rebuilt else found


def sum_of_sums(found: Mapping[str, bytes]) -> str:
    """Return the SHA-256 of the list of the files' SHA-256 and names."""
    lines = (f"{hashlib.sha256(found[name]).hexdigest()}  {name}\n" for name in sorted(found))
    return hashlib.sha256("".join(lines).encode()).hexdigest()


def raw(repository: str, commit: str, folder: str = "") -> str:
    """Return what the URLs of a repository's files begin with."""
    return f"{_RAW}/{repository}/{commit}/" + (f"{folder}/" if folder else "")


def archive(repository: str, commit: str) -> str:
    """Return the URL of a repository's archive."""
    return f"{_ARCHIVES}/{repository}/tar.gz/{commit}"


def _unpacked(content: bytes, place: Path, url: str = "") -> bytes:
    if place.suffix != ".gz":
        return content
    try:
        return gzip.decompress(content)
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        kind = ElmanError if url else InputError
        raise kind(f"{url or place}: not a complete gzip file ({error})") from None


def _download(url: str, place: Path, local: str) -> None:
    import pooch
    import requests

    pooch.get_logger().setLevel(logging.WARNING)  # it announces each download on its own
    try:
        # The sums are checked by the caller: a packed file's are those of its content.
        pooch.retrieve(
            url,
            known_hash=None,
            fname=place.name,
            path=place.parent,
            downloader=pooch.HTTPDownloader(timeout=_TIMEOUT),  # pyright: ignore  (pooch's stub)
        )
    except requests.RequestException as error:
        raise ElmanError(
            f"{url} cannot be downloaded ({_reason(error)}); check the network and try again, or "
            f"set ELMAN_DATA to a folder that holds {local}"
        ) from None


def _reason(error: Exception) -> str:
    response = getattr(error, "response", None)
    return f"status {response.status_code}" if response is not None else type(error).__name__
