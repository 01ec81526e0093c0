"""Calls a function on many rows in processes of their own, where it may crash, print, or take long.

Not `multiprocessing`: its children import the user's program anew (which must then be guarded by
`if __name__ == "__main__"`), and a pool whose worker died cannot say at which row. Here a worker is
a fresh interpreter that reads pickles from its standard input and writes pickles back; what else is
printed there goes nowhere, and it ends when its input does, however the parent ended.
"""

from __future__ import annotations

import os
import pickle
import queue
import signal
import subprocess
import sys
import traceback
from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from itertools import islice
from types import TracebackType
from typing import Any, BinaryIO, Self

_ROWS_AT_ONCE = 16
_AHEAD = 3  # requests under way or waiting, for each worker: rows are read no faster than that
_START = (
    "import pickle, sys; sys.path[:] = pickle.load(sys.stdin.buffer); "
    "from elman.data.workers import serve; serve()"
)


class CrashedError(Exception):
    """The process that worked on `row` ended; the message says how."""

    row: Any = None


class Workers:
    """Processes that call a function; close them (or use `with`) when done, or at an interrupt.

    Args:
        function: called with one row at a time; has to be picklable.
        count: processes, at least 1.

    Raises:
        pickle.PicklingError, AttributeError, TypeError: the function cannot be pickled.
    """

    def __init__(self, function: Callable[[Any], Any], count: int) -> None:
        self._function, self._pickled = function, pickle.dumps(function)
        self._count, self._closed = count, False
        self._idle: queue.Queue[_Worker] = queue.Queue()
        self._all = [self._start() for _ in range(count)]
        for worker in self._all:
            self._idle.put(worker)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: object, trace: TracebackType | None
    ) -> None:
        self.close()

    def map(self, rows: Iterable[Any]) -> Generator[Any]:
        """Return, in order, what the function answered of each row, or the exception it raised.

        A row at which its process died is a `CrashedError`; others of its request are done again.
        """
        with ThreadPoolExecutor(self._count) as threads:
            waiting: deque[Future[list[Any]]] = deque()
            try:
                remaining = iter(rows)
                while chunk := list(islice(remaining, _ROWS_AT_ONCE)):
                    if len(waiting) == _AHEAD * self._count:
                        yield from waiting.popleft().result()
                    waiting.append(threads.submit(self._answers, chunk))
                while waiting:
                    yield from waiting.popleft().result()
            except BaseException:
                # Threads wait for processes: these go first, or leaving would take as long as they.
                self.close()
                threads.shutdown(cancel_futures=True)
                raise

    def close(self) -> None:
        """End all processes at once."""
        self._closed = True
        for worker in self._all:
            worker.kill()

    def _start(self) -> _Worker:
        return _Worker(self._function, self._pickled)

    def _answers(self, rows: list[Any]) -> list[Any]:
        worker = self._idle.get()
        try:
            return worker.answers(rows)
        except CrashedError as crashed:
            if self._closed:
                return []
            worker = self._start()
            self._all.append(worker)
            if self._closed:  # meanwhile
                worker.kill()
                return []
            if len(rows) == 1:
                crashed.row = rows[0]
                return [crashed]
        finally:
            self._idle.put(worker)
        return [answer for row in rows for answer in self._answers([row])]


class _Worker:
    """One process; where it cannot load the function, rows are worked on in this one instead."""

    def __init__(self, function: Callable[[Any], Any], pickled: bytes) -> None:
        self._function, self._pickled = function, pickled
        self._ready: bool | None = None
        self._killed = False
        self._process = subprocess.Popen(
            [sys.executable, "-P", "-c", _START],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            # Several processes side by side: one thread each.
            env={**os.environ, "OMP_NUM_THREADS": "1"},
            start_new_session=True,  # Ctrl-C is the parent's, who ends this one
        )

    def answers(self, rows: list[Any]) -> list[Any]:
        if self._ready is None:
            self._ready = self._loads()
        if not self._ready:
            return [_answer(self._function, row) for row in rows]
        try:
            _send(self._pipe_in, rows)
            return pickle.load(self._pipe_out)
        except (OSError, EOFError, ValueError, pickle.UnpicklingError):
            raise CrashedError(self._ending()) from None

    def kill(self) -> None:
        self._killed = True
        self._process.kill()
        self._process.wait()
        for pipe in (self._pipe_in, self._pipe_out):
            with suppress(OSError):  # what was never sent is flushed in vain
                pipe.close()

    @property
    def _pipe_in(self) -> BinaryIO:
        assert self._process.stdin is not None
        return self._process.stdin  # type: ignore[return-value]

    @property
    def _pipe_out(self) -> BinaryIO:
        assert self._process.stdout is not None
        return self._process.stdout  # type: ignore[return-value]

    def _loads(self) -> bool:
        try:
            _send(self._pipe_in, sys.path)
            self._pipe_in.write(self._pickled)
            self._pipe_in.flush()
            return pickle.load(self._pipe_out)
        except (OSError, EOFError, ValueError, pickle.UnpicklingError):
            if self._killed:
                raise CrashedError("ended") from None
            return False  # no process can be had

    def _ending(self) -> str:
        status = self._process.wait()
        with suppress(ValueError):
            return signal.Signals(-status).name if status < 0 else f"status {status}"
        return f"status {status}"


def serve() -> None:
    """Answer requests on standard input until it ends: what a worker process does."""
    requests, answers = sys.stdin.buffer, os.fdopen(os.dup(1), "wb")
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # what a library prints is no answer
    try:
        function = pickle.load(requests)
    except Exception:  # a class of the user's own program, which is not imported here
        _send(answers, False)
        return
    _send(answers, True)
    while True:
        try:
            rows = pickle.load(requests)
        except EOFError:
            return
        _send(answers, [_answer(function, row) for row in rows])


def _answer(function: Callable[[Any], Any], row: Any) -> Any:
    try:
        return function(row)
    except Exception as error:
        error.add_note(traceback.format_exc())
        try:
            pickle.loads(pickle.dumps(error))
        except Exception:
            return RuntimeError(f"{type(error).__name__}: {error}\n{traceback.format_exc()}")
        return error


def _send(pipe: Any, message: Any) -> None:
    pickle.dump(message, pipe, protocol=pickle.HIGHEST_PROTOCOL)
    pipe.flush()
