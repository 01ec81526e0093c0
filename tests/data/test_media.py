"""Cells that are files: what is read, what is refused and in which words."""

from __future__ import annotations

import hashlib
import os
import pickle
import warnings
from pathlib import Path
from threading import Event, Thread

import pytest

from elman.data.media import Source, quiet, source, sources
from elman.errors import BadCellError


def test_a_path_is_relative_to_the_tables_folder(tmp_path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "one.bin").write_bytes(b"123")
    found = source(" a/one.bin", tmp_path)
    assert (found.name, found.read(), found.open().read()) == (" a/one.bin", b"123", b"123")
    assert found.digest() == hashlib.sha256(b"123").hexdigest()
    assert source(str(tmp_path / "a" / "one.bin"), Path("elsewhere")).read() == b"123"


def test_bytes_stand_in_the_table(tmp_path) -> None:
    for cell in (b"xyz", bytearray(b"xyz"), {"bytes": b"xyz", "path": "cat.png"}):
        found = source(cell, tmp_path)
        assert (found.read(), found.digest()) == (b"xyz", hashlib.sha256(b"xyz").hexdigest())
    assert source({"bytes": b"xyz", "path": "cat.png"}, tmp_path).name == "cat.png"
    assert source(b"xyz", tmp_path).name == "bytes in the table"
    (tmp_path / "cat.png").write_bytes(b"file")
    assert source({"bytes": None, "path": "cat.png"}, tmp_path).read() == b"file"


@pytest.mark.parametrize(
    ("cell", "message"),
    [
        ("gone.wav", "gone.wav: there is no such file"),
        ("folder", "folder is a folder; expected a file"),
        ("empty.wav", "empty.wav: the file is empty (0 bytes)"),
        ("pipe", "pipe is no regular file; expected a file"),
        ("a\0b", "the file cannot be read"),
        ("x" * 5000, "the file cannot be read (File name too long)"),
        (17, "17: there is no such file"),
        (None, "the cell is empty; expected a file's path"),
        ("  ", "the cell is empty"),
        ({"bytes": None, "path": None}, "the cell is empty"),
        (b"", "bytes in the table: there are no bytes in it"),
    ],
)
def test_what_cannot_be_read_says_so(tmp_path, cell, message) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "empty.wav").touch()
    os.mkfifo(tmp_path / "pipe")  # opened, it would wait for ever
    found = source(cell, tmp_path)
    for act in (found.open, found.read, found.digest):
        with pytest.raises(BadCellError) as caught:
            act()
        assert message in str(caught.value)
        assert "\n" not in str(caught.value)


def test_no_permission(tmp_path, monkeypatch) -> None:
    (tmp_path / "secret").write_bytes(b"1")

    def refuse(*_):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "open", refuse)  # a mode of 000 stops everyone but root
    with pytest.raises(BadCellError, match=r"secret: the file cannot be read \(Permission denied"):
        source("secret", tmp_path).read()


def test_sources_are_lazy_and_travel(tmp_path) -> None:
    made = sources(iter(["a", b"b"]), tmp_path)
    assert next(made) == Source("a", tmp_path / "a")
    second = next(made)
    assert pickle.loads(pickle.dumps(second)).read() == b"b"
    assert "content" not in repr(second)


def test_quiet_keeps_c_libraries_off_the_terminal(capfd) -> None:
    with quiet():
        os.write(2, b"noise")
    os.write(2, b"heard")
    assert capfd.readouterr().err == "heard"


def test_quiet_ends_with_the_last_thread(capfd, recwarn) -> None:
    inside, leave = Event(), Event()

    def other():
        with quiet():
            inside.set()
            leave.wait()

    thread = Thread(target=other)
    with quiet():
        thread.start()
        inside.wait()
    os.write(2, b"noise")
    warnings.warn("noise", stacklevel=1)
    leave.set()
    thread.join()
    os.write(2, b"heard")
    warnings.warn("heard", stacklevel=1)
    assert capfd.readouterr().err == "heard"
    assert [str(each.message) for each in recwarn.list] == ["heard"]
