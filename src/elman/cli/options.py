"""Command-line options made from the option groups, so that each is written down once."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from types import UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

import typer
from pydantic.fields import FieldInfo

from elman.options import Options

# In Python and YAML the list is called `inputs`; on the command line most people give one.
_SPELLINGS = {"inputs": ("--input", "--inputs")}
_REPEATED = ("inputs",)


def with_options(
    function: Callable[..., Any], groups: Sequence[type[Options]], *, leave_out: Sequence[str] = ()
) -> Callable[..., Any]:
    """Return `function` as a command that also takes each option of `groups`.

    The options that were given reach it as its argument `given`, a mapping of name to text (or
    to bool, for a switch); pydantic checks them, so that the command line, YAML and Python refuse
    the same values in the same words.
    """
    signature = inspect.signature(function, eval_str=True)
    own = [p for name, p in signature.parameters.items() if name != "given"]
    fields = {
        name: (field, group.__doc__ or "")
        for group in groups
        for name, field in group.model_fields.items()
        if name not in leave_out and not _of_a_base(name, group, groups)
    }

    def command(**arguments: Any) -> Any:
        given = {name: arguments.pop(name) for name in fields}
        given = {name: value for name, value in given.items() if value not in (None, [])}
        return function(**arguments, given=given)

    parameters = own + [_parameter(name, *field) for name, field in fields.items()]
    command.__signature__ = signature.replace(parameters=parameters)  # pyright: ignore
    command.__annotations__ = {p.name: p.annotation for p in parameters}
    command.__doc__ = function.__doc__
    return command


def _of_a_base(name: str, group: type[Options], groups: Sequence[type[Options]]) -> bool:
    """Return whether another of the groups has the option, which this one inherits from it."""
    bases = [base for base in groups if base is not group and issubclass(group, base)]
    return any(name in base.model_fields for base in bases)


def _parameter(name: str, field: FieldInfo, title: str) -> inspect.Parameter:
    kind = _plain(field.annotation)
    spellings = _SPELLINGS.get(name, (f"--{name.replace('_', '-')}",))
    if kind is bool:
        flag = spellings[0]
        spellings = (f"{flag}/--no-{flag.removeprefix('--')}",)
    info = typer.Option(
        *spellings,
        help=f"{field.description}{_default(field)}",
        metavar=None if kind is bool else _metavar(kind),
        show_default=False,
        rich_help_panel=title.rstrip("."),
    )
    taken = bool if kind is bool else list[str] if name in _REPEATED else str
    annotation = Annotated[taken | None, info]
    return inspect.Parameter(
        name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=annotation
    )


def _plain(annotation: Any) -> Any:
    """Return what an option's annotation is about: `int | None` is about `int`."""
    if get_origin(annotation) is Annotated:
        return _plain(get_args(annotation)[0])
    if get_origin(annotation) in (Union, UnionType):
        return _plain(next(a for a in get_args(annotation) if a is not type(None)))
    return annotation


def _metavar(kind: Any) -> str:
    if get_origin(kind) is Literal:
        return "|".join(get_args(kind))
    if get_origin(kind) is tuple:
        inner = get_args(kind)[0]
        return f"{_metavar(inner)}[,...]"
    return {int: "INTEGER", float: "NUMBER"}.get(kind, "TEXT")


def _default(field: FieldInfo) -> str:
    # Not Typer's own: options not given must come back as None, so it does not know the default.
    nothing = field.is_required() or field.default in (None, (), False)
    return "" if nothing else f"  [default: {field.default}]"
