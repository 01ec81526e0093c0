"""Files that are whole or absent."""

from __future__ import annotations

import errno
import hashlib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from elman.errors import InputError
from elman.files import explain, sha256, write_atomically


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"\x00\xff", b"\x00\xff"),
        ("Größe\n", "Größe\n".encode()),
        (lambda path: path.write_bytes(b"by itself"), b"by itself"),
    ],
)
def test_writes_bytes_text_and_what_writes_itself(tmp_path, content, expected):
    path = tmp_path / "file"
    path.write_bytes(b"old")
    write_atomically(path, content)
    assert path.read_bytes() == expected
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("before", [None, b"old"])
def test_a_write_that_fails_half_way_leaves_what_was_there(tmp_path, before):
    path = tmp_path / "file"
    if before is not None:
        path.write_bytes(before)

    def half(place: Path) -> None:
        place.write_bytes(b"ne")
        raise OSError(errno.ENOSPC, "No space left on device")

    with pytest.raises(InputError, match=r"file: no room left to write it \(No space left"):
        write_atomically(path, half)
    assert [p.read_bytes() for p in tmp_path.iterdir()] == ([] if before is None else [before])


def test_a_writer_that_fails_otherwise_leaves_what_was_there(tmp_path):
    path = tmp_path / "file"
    path.write_bytes(b"old")

    def broken(place: Path) -> None:
        place.write_bytes(b"ne")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_atomically(path, broken)
    assert [p.read_bytes() for p in tmp_path.iterdir()] == [b"old"]


@pytest.mark.parametrize(("below", "reason"), [("no", "No such file"), ("file", "Not a directory")])
def test_a_place_that_cannot_be_written_is_named(tmp_path, below, reason):
    (tmp_path / "file").write_text("")
    path = tmp_path / below / "out.csv"
    with pytest.raises(InputError) as caught:
        write_atomically(path, "text")
    assert str(caught.value).startswith(f"{path}: cannot be written ({reason}")


@pytest.mark.parametrize(
    ("number", "words"),
    [
        (errno.ENOSPC, "no room left"),
        (errno.EDQUOT, "no room left"),
        (errno.EFBIG, "no room left"),
        (errno.EACCES, "cannot be written"),
    ],
)
def test_explains_what_the_system_refused(number, words):
    error = explain(OSError(number, "as the system says"), Path("run/model.json"))
    assert str(error).startswith(f"run/model.json: {words}")
    assert "as the system says" in str(error)
    assert error.exit_status == 2


@given(content=st.binary(max_size=5000))
def test_digest_is_that_of_the_bytes(tmp_path_factory, content):
    path = tmp_path_factory.getbasetemp() / "content"
    path.write_bytes(content)
    assert sha256(path) == hashlib.sha256(content).hexdigest()
