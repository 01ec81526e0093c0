"""The command `elman`: one verb a file, none of them loaded before it is called.

Every verb ends in the same way: what Elman reports goes to standard error as one line, and the
exit status tells what happened (0 done, 1 no good outcome, 2 bad input, 3 training diverged,
4 an extra is missing, 130 interrupted).
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Sequence
from types import FrameType

# The verbs, in the order of a user's day: module and function name, and what it does.
VERBS: dict[str, str] = {
    "demo": "The whole trip on share prices, in under a minute.",
    "fit": "Train a network on a table; writes a run folder with a report.",
    "check": "Find what would spoil training, before it starts.",
    "predict": "Answer a table's rows, or forecast what follows them, with a run's model.",
    "generate": "Go on with a text, with the model of a run on text.",
    "evaluate": "Score a run's model on a table, beside the baselines.",
    "diagnose": "Say how far a run's network remembers, what its gates do, and what would help.",
    "report": "Write a run's report again.",
    "data": "List and fetch public data sets.",
    "info": "Versions, devices and engines, and why one cannot run here.",
}
_INTERRUPTED = 130
_NO_MEMORY = "not enough memory; try a smaller --hidden, --batch-size or --lookback"


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line and exit with its status."""
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, _interrupt)
    status = run(list(sys.argv[1:] if arguments is None else arguments))
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # all is done: there is nothing to interrupt
    sys.exit(status)


def _interrupt(number: int, frame: FrameType | None) -> None:
    """Raise KeyboardInterrupt, or leave at once where modules are being loaded.

    That takes seconds where torch is among them, and compiled modules, interrupted while they
    load, panic or forget that they were.
    """
    while frame is not None:
        if frame.f_code.co_filename.startswith("<frozen importlib"):
            os.write(2, b"elman: interrupted\n")
            os._exit(_INTERRUPTED)
        frame = frame.f_back
    raise KeyboardInterrupt


def run(arguments: list[str]) -> int:
    """Run one command and return its exit status; nothing but a defect ends in a traceback."""
    try:
        from elman.cli.application import application

        app = application(arguments)
        status = app(args=arguments, prog_name="elman", standalone_mode=False)
    except KeyboardInterrupt:
        return _say("interrupted", _INTERRUPTED)
    except OSError as error:  # what the system refuses is no defect, whatever file it was about
        place = f"{error.filename}: " if error.filename else ""
        return _say(f"{place}{error.strerror or error}", 2)
    except Exception as error:
        return _explain(error, arguments)
    if status == _INTERRUPTED:  # Typer turns Ctrl-C into this status, and says nothing
        return _say("interrupted", _INTERRUPTED)
    return status if isinstance(status, int) else 0


def _explain(error: Exception, arguments: list[str]) -> int:
    import typer

    from elman.cli.application import usage
    from elman.errors import ElmanError

    if isinstance(error, ElmanError):
        return _say(str(error), error.exit_status)
    if isinstance(error, typer.Abort):
        return _say("interrupted", _INTERRUPTED)
    if isinstance(error, MemoryError | RuntimeError) and "memory" in str(error):  # torch's
        return _say(f"{_NO_MEMORY} ({str(error).splitlines()[0]})", 2)
    # Typer's own errors (an unknown option, a missing argument) know how to say themselves.
    if not hasattr(error, "format_message"):
        raise error
    return _say(usage(error, arguments), getattr(error, "exit_code", 2))


def _say(message: str, status: int) -> int:
    # One line, even where a name in it holds a line break.
    print(f"elman: {' '.join(message.splitlines())}", file=sys.stderr)
    return status
