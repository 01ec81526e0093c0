"""The command `elman`: one verb a file, none of them loaded before it is called.

Every verb ends in the same way: what Elman reports goes to standard error as one line, and the
exit status tells what happened (0 done, 1 no good outcome, 2 bad input, 3 training diverged,
4 an extra is missing, 130 interrupted).
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Sequence

import typer

from elman.errors import ElmanError, nearest

# The verbs, in the order of a user's day: module and function name, and what it does.
VERBS: dict[str, str] = {
    "demo": "The whole trip on share prices, in under a minute.",
    "fit": "Train a network on a table; writes a run folder with a report.",
    "check": "Find what would spoil training, before it starts.",
    "predict": "Forecast what follows a table, with a run's model.",
    "evaluate": "Score a run's model on a table, beside the baselines.",
    "report": "Write a run's report again.",
    "data": "List and fetch public data sets.",
    "info": "Versions, devices and engines, and why one cannot run here.",
}
_INTERRUPTED = 130
_NO_MEMORY = "not enough memory; try a smaller --hidden, --batch-size or --lookback"


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line and exit with its status."""
    sys.exit(run(list(sys.argv[1:] if arguments is None else arguments)))


def run(arguments: list[str]) -> int:
    """Run one command and return its exit status; nothing but a defect ends in a traceback."""
    app = _application(arguments)
    try:
        status = app(args=arguments, prog_name="elman", standalone_mode=False)
    except ElmanError as error:
        return _say(str(error), error.exit_status)
    except KeyboardInterrupt:
        return _say("interrupted", _INTERRUPTED)
    except OSError as error:  # what the system refuses is no defect, whatever file it was about
        place = f"{error.filename}: " if error.filename else ""
        return _say(f"{place}{error.strerror or error}", 2)
    except Exception as error:
        # Typer's own errors (an unknown option, a missing argument) know how to say themselves.
        if isinstance(error, typer.Abort):
            return _say("interrupted", _INTERRUPTED)
        if isinstance(error, MemoryError | RuntimeError) and "memory" in str(error):  # torch's
            return _say(f"{_NO_MEMORY} ({str(error).splitlines()[0]})", 2)
        if not hasattr(error, "format_message"):
            raise
        return _say(_usage(error, arguments), getattr(error, "exit_code", 2))
    if status == _INTERRUPTED:  # Typer turns Ctrl-C into this status, and says nothing
        return _say("interrupted", _INTERRUPTED)
    return status if isinstance(status, int) else 0


def _application(arguments: list[str]) -> typer.Typer:
    app = typer.Typer(
        help="Process sequences with recurrent neural networks.",
        add_completion=False,
        rich_markup_mode=None,
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["-h", "--help"]},
    )
    app.callback(invoke_without_command=True)(_root)
    called = next((word for word in arguments if not word.startswith("-")), None)
    for verb, summary in VERBS.items():
        if verb == called:
            module = importlib.import_module(f"elman.cli.{verb}")
            module.register(app, summary)
        else:
            app.command(verb, help=summary)(_not_loaded)
    return app


def _root(
    context: typer.Context,
    version: bool = typer.Option(False, "--version", help="Print the version."),
) -> None:
    if version:
        from elman import __version__

        typer.echo(f"elman {__version__}")
    elif context.invoked_subcommand is None:
        typer.echo(context.get_help())


def _not_loaded() -> None:
    """Stand in the list of verbs for one that was not called."""


def _usage(error: Exception, arguments: list[str]) -> str:
    message = error.format_message().rstrip(".")  # pyright: ignore[reportAttributeAccessIssue]
    called = next((word for word in arguments if not word.startswith("-")), "")
    if called and called not in VERBS:
        known = ", ".join(VERBS)
        return f"{called!r} is not a verb{nearest(called, VERBS) or ';'} expected one of: {known}"
    return f"{message}; see `elman {called} --help`" if called else message


def _say(message: str, status: int) -> int:
    # One line, even where a name in it holds a line break.
    print(f"elman: {' '.join(message.splitlines())}", file=sys.stderr)
    return status
