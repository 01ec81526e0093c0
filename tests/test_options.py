"""Options are checked exhaustively, and refused in the user's words."""

from __future__ import annotations

from typing import Literal

import pytest

from elman.errors import InputError
from elman.options import Options, option


class Some(Options):
    """Some."""

    width: int = option(3, "Units.", ge=1)
    rate: float = option(0.1, "Step size.", gt=0)
    how: Literal["slow", "fast"] = option("slow", "Speed.")
    name: str | None = option(None, "A name.")
    needed: str = option(..., "Something.")


def refused(given: dict, **how) -> str:
    with pytest.raises(InputError) as caught:
        Some.parse({"needed": "yes"} | given, "fit.yaml", **how)
    return str(caught.value)


def test_text_becomes_what_an_option_is():
    some = Some.parse({"needed": "yes", "width": "7", "rate": "1e-3"}, "")
    assert (some.width, some.rate, some.how) == (7, 0.001, "slow")


def test_are_immutable():
    with pytest.raises(ValueError, match="frozen"):
        Some.parse({"needed": "yes"}, "").width = 4  # pyright: ignore[reportAttributeAccessIssue]


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"widht": 3}, "fit.yaml: unknown option 'widht'; did you mean 'width'?"),
        ({"xyz": 3}, "fit.yaml: unknown option 'xyz'; see `elman fit --help`"),
        ({"width": "wide"}, "fit.yaml: width: expected a valid integer, got 'wide'"),
        (
            {"width": 0},
            "fit.yaml: width: expected a value greater than or equal to 1, got 0",
        ),
        ({"width": None}, "fit.yaml: width: expected a valid integer, got None"),
        ({"rate": "quick"}, "fit.yaml: rate: expected a valid number, got 'quick'"),
        ({"rate": float("inf")}, "fit.yaml: rate: expected a finite number, got inf"),
        ({"rate": float("nan")}, "fit.yaml: rate: expected a finite number, got nan"),
        (
            {"how": "fats"},
            "fit.yaml: how: 'fats' is not known; did you mean 'fast'? expected one of: slow, fast",
        ),
        ({"how": 3}, "fit.yaml: how: 3 is not known; expected one of: slow, fast"),
        ({"name": 3}, "fit.yaml: name: expected a valid string, got 3"),
    ],
)
def test_each_refusal_names_option_got_and_expected(given, words):
    assert refused(given) == words


def test_what_is_required_is_asked_for():
    with pytest.raises(InputError, match=r"^Model: needed is required and was not given$"):
        Some.parse({}, "Model")


def test_all_that_is_wrong_is_told_at_once():
    assert refused({"width": "x", "how": "fats"}).count("; ") == 2  # one of them within a hint


def test_an_option_is_called_as_it_was_written_where_it_was_written():
    spelled = {"rate": "--rate", "width": "--width"}
    given = {"rate": "quick", "how": "x"}
    assert refused(given, spelled=spelled) == (
        "--rate: expected a valid number, got 'quick'; "
        "fit.yaml: how: 'x' is not known; expected one of: slow, fast"
    )
