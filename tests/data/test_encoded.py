"""Rows encoded once: in memory, in a file, in a cache, by worker processes; what goes wrong."""

from __future__ import annotations

import errno
import os
import pickle
import signal
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from elman.data import encoded
from elman.data.cache import Cache, cache_folder
from elman.data.encoded import encode_rows
from elman.data.media import source
from elman.data.ragged import RaggedFile
from elman.data.workers import CrashedError, Workers
from elman.errors import BadCellError, InputError, MissingExtraError

# What workers call has to lie in a module that they can import.
HELPERS = """
import os, signal, sys, time
import numpy as np
from elman.errors import BadCellError, MissingExtraError

def decode(cells, scale=1):
    content = cells[0].read()
    if content == b"bad":
        raise BadCellError(f"{cells[0].name}: it is bad")
    return np.frombuffer(content, np.uint8) * scale

def misbehave(cells):
    content = cells[0].read()
    if content == b"crash":
        os.kill(os.getpid(), signal.SIGSEGV)
    if content == b"exit":
        os._exit(3)
    if content == b"bug":
        raise ZeroDivisionError("of our own")
    if content == b"extra":
        raise MissingExtraError("install it")
    if content == b"odd":
        class Odd(Exception):
            pass
        raise Odd("cannot be pickled")
    print("noise"); sys.stderr.write("noise"); os.write(1, b"noise"); os.write(2, b"noise")
    return np.frombuffer(content, np.uint8)

def sleep(row):
    if row[0] is not None:
        open(row[0], "w").write(str(os.getpid()))
        time.sleep(60)
    return np.ones(1)
"""


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch) -> Path:
    monkeypatch.setenv("ELMAN_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(encoded, "_told", set())
    return tmp_path / "cache"


@pytest.fixture
def helpers(tmp_path, monkeypatch):
    (tmp_path / "decoding_helpers.py").write_text(HELPERS)
    monkeypatch.syspath_prepend(tmp_path)
    sys.modules.pop("decoding_helpers", None)
    import decoding_helpers  # pyright: ignore[reportMissingImports]

    return decoding_helpers


def letters(cells):
    if not cells[0].isalpha():
        raise BadCellError(f"{cells[0]!r} is no word")
    return np.frombuffer(cells[0].encode(), np.uint8)


class Counting:
    """Decodes files and counts them."""

    def __init__(self) -> None:
        self.names: list[str] = []

    def __call__(self, cells):
        self.names.append(cells[0].name)
        content = cells[0].read()
        if content == b"bad":
            raise BadCellError(f"{cells[0].name}: it is bad")
        return np.frombuffer(content, np.uint8)


@pytest.fixture
def files(tmp_path):
    """Make files `0`, `1`, ... of some contents, and the rows of a table of them."""

    def make(*contents: bytes):
        for number, content in enumerate(contents):
            (tmp_path / str(number)).write_bytes(content)
        return [(source(str(number), tmp_path),) for number in range(len(contents))]

    return make


def listed(ragged) -> list[bytes]:
    return [bytes(np.asarray(ragged[row])) for row in range(len(ragged))]


def test_rows_in_memory_in_order() -> None:
    words = ["to", "be", "or", "not"]
    ragged, bad = encode_rows(letters, ((word,) for word in words), 4)
    assert (listed(ragged), bad) == ([b"to", b"be", b"or", b"not"], [])
    assert ragged.values.dtype == np.uint8


@given(st.lists(st.sampled_from(["a", "bc", "def", "1", "2-"]), max_size=20), st.booleans())
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
def test_bad_rows_have_no_elements(words, small) -> None:
    kept, encoded.IN_MEMORY = encoded.IN_MEMORY, 300 if small else encoded.IN_MEMORY
    try:
        ragged, bad = encode_rows(letters, [(word,) for word in words], len(words))
    finally:
        encoded.IN_MEMORY = kept
    assert listed(ragged) == [word.encode() if word.isalpha() else b"" for word in words]
    expected = [(row, f"{w!r} is no word") for row, w in enumerate(words) if not w.isalpha()]
    assert bad == expected


def test_what_is_no_sequence_becomes_one_element() -> None:
    ragged, _ = encode_rows(
        lambda cells: np.full((2, 3), cells[0]), [(1,), (2,)], 2, sequence=False
    )
    assert ragged.values.shape == (2, 2, 3)
    assert ragged.lengths.tolist() == [1, 1]


def test_a_sequence_without_elements_is_bad() -> None:
    ragged, bad = encode_rows(lambda cells: np.ones(cells[0]), [(2,), (0,), (1,)], 3)
    assert ragged.lengths.tolist() == [2, 0, 1]
    assert bad == [(1, "there is nothing in it; expected at least one step")]


def test_many_rows_lie_in_a_file_that_goes(monkeypatch, cache) -> None:
    monkeypatch.setattr(encoded, "IN_MEMORY", 10_000)
    read = []

    def rows():
        for number in range(500):
            read.append(number)
            yield (number,)

    ragged, _ = encode_rows(lambda cells: np.full(cells[0] % 7 + 1, cells[0]), rows(), 500)
    assert isinstance(ragged.values, np.memmap)
    assert [row.tolist() for row in ragged] == [[n] * (n % 7 + 1) for n in range(500)]
    assert len(read) == 500
    assert list(cache.iterdir()) == []  # it stays as long as it is mapped


def test_no_room_for_them_is_said(monkeypatch) -> None:
    monkeypatch.setattr(encoded, "IN_MEMORY", 1)
    refuse(monkeypatch, after=0)
    with pytest.raises(InputError, match="no room left"):
        encode_rows(lambda cells: np.ones(3), [(1,)] * 9, 9)
    assert not list(cache_folder().iterdir())


def refuse(monkeypatch, after: int) -> None:
    append, done = RaggedFile.append, []

    def full(self, row):
        if len(done) == after:
            raise OSError(errno.ENOSPC, "No space left on device")
        done.append(row)
        append(self, row)

    monkeypatch.setattr(RaggedFile, "append", full)


def test_the_same_files_are_decoded_once(files) -> None:
    rows = files(b"one", b"bad", b"three")
    first, again = Counting(), Counting()
    ragged, bad = encode_rows(first, rows, 3, key="k")
    assert (listed(ragged), bad) == ([b"one", b"", b"three"], [(1, "1: it is bad")])
    assert first.names == ["0", "1", "2"]
    ragged, bad = encode_rows(again, rows, 3, key="k")
    assert (listed(ragged), bad) == ([b"one", b"", b"three"], [(1, "1: it is bad")])
    assert again.names == ["1"]  # the bad one alone, for its message
    assert isinstance(ragged.values, np.memmap)


def test_other_names_and_subsets_decode_nothing_again(files, tmp_path) -> None:
    rows = files(b"one", b"two", b"three")
    encode_rows(Counting(), rows, 3, key="k")
    (tmp_path / "moved").write_bytes(b"two")
    others = [(source("moved", tmp_path),), rows[2], rows[2]]
    decode = Counting()
    ragged, _ = encode_rows(decode, others, 3, key="k")
    assert (listed(ragged), decode.names) == ([b"two", b"three", b"three"], [])
    content = [(source(b"one", tmp_path),)]  # in the table itself
    ragged, _ = encode_rows(decode, content, 1, key="k")
    assert (listed(ragged), decode.names) == ([b"one"], [])


def test_a_changed_file_or_parameter_is_decoded_again(files, tmp_path) -> None:
    rows = files(b"one", b"two", b"three")
    encode_rows(Counting(), rows, 3, key="k")
    (tmp_path / "1").write_bytes(b"owt")
    decode = Counting()
    ragged, _ = encode_rows(decode, rows, 3, key="k")
    assert (listed(ragged), decode.names) == ([b"one", b"owt", b"three"], ["1"])
    encode_rows(decode, rows, 3, key="other")
    assert decode.names == ["1", "0", "1", "2"]


def test_a_file_put_right_is_read(files, tmp_path) -> None:
    rows = files(b"one", b"two")
    (tmp_path / "1").unlink()
    _, bad = encode_rows(Counting(), rows, 2, key="k")
    assert [row for row, _ in bad] == [1]
    (tmp_path / "1").write_bytes(b"two")
    ragged, bad = encode_rows(Counting(), rows, 2, key="k")
    assert (listed(ragged), bad) == ([b"one", b"two"], [])


def test_what_was_bad_and_is_good_now_is_encoded(files) -> None:
    rows = files(b"one", b"bad")
    encode_rows(Counting(), rows, 2, key="k")
    better = lambda cells: np.frombuffer(cells[0].read(), np.uint8)  # noqa: E731
    ragged, bad = encode_rows(better, rows, 2, key="k")
    assert (listed(ragged), bad) == ([b"one", b"bad"], [])
    ragged, bad = encode_rows(Counting(), rows, 2, key="k")
    assert listed(ragged) == [b"one", b"bad"]


@pytest.mark.parametrize(
    "harm",
    [
        lambda folder: (folder / "index.npz").unlink(),
        lambda folder: (folder / "values.bin").unlink(),
        lambda folder: (folder / "values.bin").write_bytes(b"o"),
        lambda folder: (folder / "index.npz").write_bytes(b"PK\3\4 half"),
        lambda folder: (folder / "index.npz").write_bytes(b""),
    ],
)
def test_half_a_cache_is_begun_again(files, cache, harm) -> None:
    rows = files(b"one", b"two")
    encode_rows(Counting(), rows, 2, key="k")
    (folder,) = cache.glob("*/*")
    harm(folder)
    decode = Counting()
    for _ in range(2):
        ragged, _ = encode_rows(decode, rows, 2, key="k")
        assert listed(ragged) == [b"one", b"two"]
    assert decode.names == ["0", "1"]


def test_what_was_abandoned_is_removed(files, cache) -> None:
    rows = files(b"one")
    encode_rows(Counting(), rows, 1, key="k")
    (folder,) = cache.glob("*/*")
    old, new = (folder.parent / f".unfinished-{name}" for name in ("old", "new"))
    old.mkdir(), new.mkdir()
    os.utime(old, (0, 0))
    (folder / "index.npz").unlink()
    encode_rows(Counting(), rows, 1, key="k")
    assert not old.exists()
    assert new.exists()


def test_two_at_once_do_no_harm(files, cache) -> None:
    rows = files(b"one", b"two")
    inner = []

    def decode(cells):
        if not inner:  # another process comes, and is done before
            inner.append(None)
            inner.append(encode_rows(Counting(), rows, 2, key="k")[0])
        return np.frombuffer(cells[0].read(), np.uint8)

    ragged, _ = encode_rows(decode, rows, 2, key="k")
    assert listed(ragged) == listed(inner[1]) == [b"one", b"two"]
    assert len(list(cache.glob("*/*"))) == 1
    assert not list(cache.glob("*/.*"))


def test_an_error_leaves_nothing_behind(files, cache) -> None:
    def fail(cells):
        raise ZeroDivisionError("of our own")

    with pytest.raises(ZeroDivisionError, match="of our own"):
        encode_rows(fail, files(b"one"), 1, key="k")
    assert not list(cache.glob("*/*")) + list(cache.glob("*/.*"))


def test_a_cache_that_cannot_be_written_is_told_once(files, cache) -> None:
    cache.write_text("a file stands there")
    rows, told = files(b"one", b"bad"), []
    for _ in range(2):
        ragged, bad = encode_rows(Counting(), rows, 2, key="k", tell=told.append)
        assert (listed(ragged), bad) == ([b"one", b""], [(1, "1: it is bad")])
    assert len(told) == 1
    assert str(cache) in told[0]
    assert "ELMAN_CACHE" in told[0]


def test_a_full_disk_is_told_and_memory_is_used(files, monkeypatch, cache) -> None:
    rows, told = files(b"one", b"two", b"three"), []
    refuse(monkeypatch, after=1)
    ragged, _ = encode_rows(Counting(), rows, 3, key="k", tell=told.append)
    assert listed(ragged) == [b"one", b"two", b"three"]
    assert "No space left" in told[0]
    assert not list(cache.glob("*/*")) + list(cache.glob("*/.*"))


def test_where_the_cache_is(monkeypatch, tmp_path) -> None:
    assert cache_folder() == tmp_path / "cache"
    monkeypatch.delenv("ELMAN_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert cache_folder() == tmp_path / "elman" / "features"
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert cache_folder() == Path.home() / ".cache" / "elman" / "features"


def test_workers_answer_as_this_process_does(helpers, files, capfd, monkeypatch) -> None:
    contents = [b"bad" if n % 10 == 3 else b"x" * (n % 4 + 1) for n in range(50)]
    rows, done = files(*contents), []
    decode = partial(helpers.decode, scale=2)
    started = []
    monkeypatch.setattr(encoded, "Workers", lambda *args: started.append(args) or Workers(*args))
    ragged, bad = encode_rows(decode, rows, 50, key="a", workers=2, progress=done.append)
    alone, alone_bad = encode_rows(decode, rows, 50, key="b", workers=0)
    assert listed(ragged) == listed(alone)
    assert bad == alone_bad == [(n, f"{n}: it is bad") for n in range(3, 50, 10)]
    assert done == list(range(1, 51))
    assert [count for _, count in started] == [2]
    assert capfd.readouterr() == ("", "")


def test_few_rows_start_no_process_and_many_do(files, monkeypatch) -> None:
    asked = []
    monkeypatch.setattr(encoded, "_pool", lambda _, workers: asked.append(workers))
    rows = files(*[b"a"] * 40)
    encode_rows(Counting(), rows[:32], 32, key="a")
    encode_rows(Counting(), rows, 40, key="b")
    encode_rows(letters, [("a",)] * 40, 40)
    assert asked == [0, min(os.cpu_count() or 1, 4), 0]


def test_a_crash_is_the_trouble_of_its_row(helpers, files, capfd) -> None:
    contents = [b"fine"] * 40
    contents[5], contents[20], contents[21] = b"crash", b"exit", b"crash"
    ragged, bad = encode_rows(helpers.misbehave, files(*contents), 40, key="k", workers=2)
    assert [content or None for content in listed(ragged)] == [
        b"fine" if content == b"fine" else None for content in contents
    ]
    assert bad == [
        (5, "5: what decodes it crashed (SIGSEGV); leave it out"),
        (20, "20: what decodes it crashed (status 3); leave it out"),
        (21, "21: what decodes it crashed (SIGSEGV); leave it out"),
    ]
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize(
    ("content", "error", "message"),
    [
        (b"bug", ZeroDivisionError, "of our own"),
        (b"extra", MissingExtraError, "install it"),
        (b"odd", RuntimeError, "Odd: cannot be pickled"),
    ],
)
def test_errors_of_other_kinds_are_raised(helpers, files, content, error, message) -> None:
    with pytest.raises(error, match=message) as caught:
        encode_rows(helpers.misbehave, files(b"a", content, b"b"), 3, key="k", workers=1)
    notes = "".join(getattr(caught.value, "__notes__", [])) + str(caught.value)
    assert "misbehave" in notes  # where it happened, in the other process


def test_what_cannot_travel_is_called_here(files) -> None:
    ragged, _ = encode_rows(
        lambda cells: np.frombuffer(cells[0].read(), np.uint8), files(b"a", b"b"), 2, key="k",
        workers=2,
    )  # fmt: skip
    assert listed(ragged) == [b"a", b"b"]


def test_rows_are_read_no_faster_than_needed(helpers) -> None:
    read = []

    def rows():
        for number in range(1000):
            read.append(number)
            yield (None,)

    with Workers(helpers.sleep, 1) as workers:
        answers = workers.map(rows())
        next(answers)
        assert len(read) < 100


def test_leaving_early_ends_the_processes_at_once(helpers, tmp_path) -> None:
    began = time.monotonic()
    rows = [(None,), *((str(tmp_path / f"pid{n}"),) for n in range(100))]

    def leave():
        with Workers(helpers.sleep, 2) as workers:
            for _ in workers.map([(None,)] * 16 + rows):
                raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        leave()
    assert time.monotonic() - began < 15


def test_a_worker_that_died_names_its_row(helpers, files) -> None:
    rows = files(b"crash")
    with Workers(helpers.misbehave, 1) as workers:
        (answer,) = workers.map(rows)
    assert isinstance(answer, CrashedError)
    assert answer.row == rows[0]
    with pytest.raises((pickle.PicklingError, AttributeError)):
        Workers(lambda row: row, 1)


PROGRAM = """
from decoding_helpers import sleep
from elman.data.workers import Workers
with Workers(sleep, 2) as workers:
    for answer in workers.map([(name,) for name in {names!r}]):
        print(answer)
"""


def run_program(folder: Path, text: str) -> subprocess.Popen:
    (folder / "program.py").write_text(text)
    path = os.pathsep.join([str(folder), *sys.path])
    return subprocess.Popen(
        [sys.executable, str(folder / "program.py")],
        env={**os.environ, "PYTHONPATH": path},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGKILL])
def test_no_process_outlives_the_program(helpers, tmp_path, how) -> None:
    # A request is 16 rows: the other worker begins with row 16.
    names = [str(tmp_path / "pid0"), *[None] * 15, str(tmp_path / "pid1"), *[None] * 15]
    program = run_program(tmp_path, PROGRAM.format(names=names))
    pids = []
    for name in (names[0], names[16]):
        while not Path(name).exists() or not Path(name).read_text():
            assert program.poll() is None, program.communicate()
            time.sleep(0.02)
        pids.append(int(Path(name).read_text()))
    began = time.monotonic()
    program.send_signal(how)
    out, errors = program.communicate(timeout=20)
    assert program.returncode == -how
    assert out == ""
    assert (errors.count("KeyboardInterrupt") == 1) == (how == signal.SIGINT)
    if how == signal.SIGINT:  # after SIGKILL they end with the row that they are at
        assert time.monotonic() - began < 5
        assert not any(alive(pid) for pid in pids)
    for pid in filter(alive, pids):
        os.kill(pid, signal.SIGKILL)


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().split(")")[1].split()[0] != "Z"
    except OSError:
        return False


def test_a_program_needs_no_guard_and_may_hold_the_function(tmp_path) -> None:
    text = """
from elman.data.workers import Workers
def double(row):
    return 2 * row
with Workers(double, 2) as workers:
    print(sum(workers.map(range(40))))
"""
    out, errors = run_program(tmp_path, text).communicate(timeout=60)
    assert (out, errors) == ("1560\n", "")


def test_rows_already_known_are_found_by_content(files) -> None:
    rows = files(b"one", b"two")
    encode_rows(Counting(), rows, 2, key="k")
    digests = np.array([encoded._digest(cells) for cells in rows[::-1]], "S32")
    assert {row: bytes(v) for row, v in Cache("k", digests).known().items()} == {
        0: b"two",
        1: b"one",
    }
