"""The base of every group of options: declared once, checked exhaustively, in the user's words.

Each package declares its own group beside the code that it steers (`DataOptions`,
`NetworkOptions`, `TrainingOptions`, ...); `elman.config.Config` joins them. The command line and
the YAML file take the same names, so an option is written down in one place only.
"""

from __future__ import annotations

import csv
from collections.abc import Mapping
from typing import Any, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, ValidationInfo, field_validator

from elman.errors import InputError, nearest

MOST = 1_000_000  # steps, or windows, of which more is a slip of the hand
_ROOM = 80


def option(default: Any, help: str, **constraints: Any) -> Any:  # noqa: A002 (Typer's word for it)
    """Declare one option: its default, its help text, and pydantic's constraints."""
    return Field(default, description=help, **constraints)


def split_names(text: str) -> tuple[str, ...]:
    """Return the names in a list written as `a,b`; quoted as in CSV where one holds a comma.

    Raises:
        InputError: a quote is not closed, or text follows one.
    """
    try:
        names = next(csv.reader([text], skipinitialspace=True, strict=True), [])
    except csv.Error:
        raise InputError(
            f'expected names as in CSV, such as open,"price, EUR", got {shown(text)}'
        ) from None
    return tuple(name.strip() for name in names if name.strip())


def as_names(value: object) -> object:
    """Return what an option that is a list takes: text is split, and one number is a list too."""
    if isinstance(value, str):
        return split_names(value)
    return (value,) if isinstance(value, int | float) else value


class Options(BaseModel):
    """A group of options, immutable; unknown names and values out of range are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    @field_validator("*", mode="before")
    @classmethod
    def _only_switches_are_bool(cls, value: Any, info: ValidationInfo) -> Any:
        # Python counts True as 1, and YAML reads `yes`, `no`, `on` and `off` as bool.
        switch = cls.model_fields[str(info.field_name)].annotation is bool
        if isinstance(value, bool) and not switch:
            raise ValueError(f"expected no switch, got {value}; text like yes or no needs quotes")
        return value

    @classmethod
    def parse(
        cls, values: Mapping[str, Any], source: str, spelled: Mapping[str, str] | None = None
    ) -> Self:
        """Return the checked options.

        Args:
            values: by name.
            source: where they stand: a file, or "elman.Model".
            spelled: by name, how those that stand elsewhere were written: `--learning-rate`.

        Raises:
            InputError: names the option and `source` (a file, or "Model"), what was got and what
                was expected, and for an unknown option the nearest known one.
        """
        try:
            return cls.model_validate(dict(values))
        except ValidationError as error:
            problems: dict[str, list[str]] = {}
            for problem in error.errors():
                where = ".".join(str(part) for part in problem["loc"]) or "options"
                written = (spelled or {}).get(where.partition(".")[0])
                said = _in_words(problem, written or where, cls.model_fields)
                problems.setdefault("" if written else f"{source}: ", []).append(said)
            listed = (place + "; ".join(said) for place, said in problems.items())
            raise InputError("; ".join(listed)) from None


def _in_words(problem: Any, where: str, known: Mapping[str, Any]) -> str:
    if problem["type"] == "extra_forbidden":
        return f"unknown option {where!r}{nearest(where, known) or '; see `elman fit --help`'}"
    if problem["type"] == "missing":
        return f"{where} is required and was not given"
    got = problem["input"]
    if problem["type"] == "literal_error":
        words = [word.strip("' ") for word in _expected_words(problem)]
        hint = nearest(str(got), words)
        return (
            f"{where}: {shown(got)} is not known{hint or ';'} expected one of: {', '.join(words)}"
        )
    if problem["type"] == "value_error":
        return f"{where}: {problem['msg'].removeprefix('Value error, ')}"
    expected = problem["msg"].removeprefix("Input should be ").partition(", unable")[0]
    if expected.startswith(("greater", "less")):
        expected = f"a value {expected}"
    return f"{where}: expected {expected}, got {shown(got)}"


def shown(got: object) -> str:
    """Return what was got as a message shows it, which has room for some words only."""
    text = repr(got)
    return text if len(text) <= _ROOM else f"{text[:_ROOM]}..."


def _expected_words(problem: Any) -> list[str]:
    return problem["ctx"]["expected"].replace(" or ", ", ").split(", ")
