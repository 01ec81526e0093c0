"""The verbs as an application of Typer, and its errors in Elman's words."""

from __future__ import annotations

import importlib

import typer

from elman.cli import VERBS
from elman.errors import nearest


def application(arguments: list[str]) -> typer.Typer:
    """Return the application with the verb that `arguments` call, and the names of the others."""
    app = typer.Typer(
        help="Process sequences with recurrent neural networks.",
        add_completion=False,
        rich_markup_mode=None,
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["-h", "--help"]},
    )
    app.callback(invoke_without_command=True)(_root)
    called = _called(arguments)
    for verb, summary in VERBS.items():
        if verb == called:
            module = importlib.import_module(f"elman.cli.{verb}")
            module.register(app, summary)
        else:
            app.command(verb, help=summary)(_not_loaded)
    return app


def usage(error: Exception, arguments: list[str]) -> str:
    """Return what one of Typer's errors is about, with where to read on."""
    message = error.format_message().rstrip(".")  # pyright: ignore[reportAttributeAccessIssue]
    called = _called(arguments)
    if called and called not in VERBS:
        known = ", ".join(VERBS)
        return f"{called!r} is not a verb{nearest(called, VERBS) or ';'} expected one of: {known}"
    return f"{message}; see `elman {called} --help`" if called else message


def _called(arguments: list[str]) -> str:
    return next((word for word in arguments if not word.startswith("-")), "")


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
