"""The base of every group of options: declared once, checked exhaustively, in the user's words.

Each package declares its own group beside the code that it steers (`DataOptions`,
`NetworkOptions`, `TrainingOptions`, ...); `elman.config.Config` joins them. The command line and
the YAML file take the same names, so an option is written down in one place only.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from elman.errors import InputError, nearest


def option(default: Any, help: str, **constraints: Any) -> Any:  # noqa: A002 (Typer's word for it)
    """Declare one option: its default, its help text, and pydantic's constraints."""
    return Field(default, description=help, **constraints)


class Options(BaseModel):
    """A group of options, immutable; unknown names and values out of range are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True, validate_default=False)

    @classmethod
    def parse(cls, values: Mapping[str, Any], source: str) -> Self:
        """Return the checked options.

        Raises:
            InputError: names the option and `source` (a file, or "Model"), what was got and what
                was expected, and for an unknown option the nearest known one.
        """
        try:
            return cls.model_validate(dict(values))
        except ValidationError as error:
            problems = [_in_words(problem, cls.model_fields) for problem in error.errors()]
            raise InputError(f"{source}: {'; '.join(problems)}") from None


def _in_words(problem: Any, known: Mapping[str, Any]) -> str:
    where = ".".join(str(part) for part in problem["loc"]) or "options"
    if problem["type"] == "extra_forbidden":
        return f"unknown option {where!r}{nearest(where, known) or '; see `elman fit --help`'}"
    if problem["type"] == "missing":
        return f"{where} is required and was not given"
    got = problem["input"]
    if problem["type"] == "literal_error":
        words = [word.strip("' ") for word in _expected_words(problem)]
        hint = nearest(str(got), words)
        return f"{where}: {got!r} is not known{hint or ';'} expected one of: {', '.join(words)}"
    message = problem["msg"].removeprefix("Value error, ").removeprefix("Input should be ")
    lead = message if problem["type"] == "value_error" else f"expected {message}, got {got!r}"
    return f"{where}: {lead}"


def _expected_words(problem: Any) -> list[str]:
    return problem["ctx"]["expected"].replace(" or ", ", ").split(", ")
