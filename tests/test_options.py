"""Options are checked exhaustively, and refused in the user's words."""

from __future__ import annotations

from typing import Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from elman.errors import InputError
from elman.options import Options, option, split_names


class Some(Options):
    """Some."""

    width: int = option(3, "Units.", ge=1)
    rate: float = option(0.1, "Step size.", gt=0)
    how: Literal["slow", "fast"] = option("slow", "Speed.")
    name: str | None = option(None, "A name.")
    quick: bool = option(False, "A switch.")
    needed: str = option(..., "Something.")


def refused(values: dict, **how) -> str:
    with pytest.raises(InputError) as caught:
        Some.parse({"needed": "yes"} | values, "fit.yaml", **how)
    return str(caught.value)


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("open,close", ("open", "close")),
        (" open , close,", ("open", "close")),
        ('"price, EUR", close', ("price, EUR", "close")),
        ('close,"say ""so"", twice"', ("close", 'say "so", twice')),
        ('5" pipe', ('5" pipe',)),
        ("", ()),
        (" , ", ()),
    ],
)
def test_names_are_split_as_in_csv(text, names):
    assert split_names(text) == names


@pytest.mark.parametrize("text", ['"price, EUR', 'a,"b"c', "a\nb"])
def test_names_that_are_no_csv_are_refused(text):
    with pytest.raises(InputError, match=r"^expected names as in CSV, .* got "):
        split_names(text)


@given(st.lists(st.text(st.characters(exclude_characters="\r\n\0"), min_size=1)))
def test_any_name_can_be_quoted(names):
    names = [name.strip() or "x" for name in names]
    text = ", ".join('"' + name.replace('"', '""') + '"' for name in names)
    assert split_names(text) == tuple(names)


def test_text_becomes_what_an_option_is():
    some = Some.parse({"needed": "yes", "width": "7", "rate": "1e-3"}, "")
    assert (some.width, some.rate, some.how) == (7, 0.001, "slow")


def test_a_switch_is_one():
    assert Some.parse({"needed": "yes", "quick": True}, "").quick
    assert not Some.parse({"needed": "yes", "quick": "no"}, "").quick


def test_what_was_got_is_cut_short():
    assert refused({"width": "9" * 5000}).endswith(f"got '{'9' * 79}...")


def test_are_immutable():
    with pytest.raises(ValueError, match="frozen"):
        Some.parse({"needed": "yes"}, "").width = 4  # pyright: ignore[reportAttributeAccessIssue]


@pytest.mark.parametrize(
    ("values", "words"),
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
        (
            {"width": True},
            "fit.yaml: width: expected no switch, got True; text like yes or no needs quotes",
        ),
        (
            {"name": False},
            "fit.yaml: name: expected no switch, got False; text like yes or no needs quotes",
        ),
        ({"quick": 7}, "fit.yaml: quick: expected a valid boolean, got 7"),
        ({"name": 3}, "fit.yaml: name: expected a valid string, got 3"),
    ],
)
def test_each_refusal_names_option_got_and_expected(values, words):
    assert refused(values) == words


def test_what_is_required_is_asked_for():
    with pytest.raises(InputError, match=r"^Model: needed is required and was not given$"):
        Some.parse({}, "Model")


def test_all_that_is_wrong_is_told_at_once():
    assert refused({"width": "x", "how": "fats"}).count("; ") == 2  # one of them within a hint


def test_an_option_is_called_as_it_was_written_where_it_was_written():
    spelled = {"rate": "--rate", "width": "--width"}
    values = {"rate": "quick", "how": "x"}
    assert refused(values, spelled=spelled) == (
        "--rate: expected a valid number, got 'quick'; "
        "fit.yaml: how: 'x' is not known; expected one of: slow, fast"
    )
