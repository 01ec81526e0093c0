"""The options of kinds of target, and of telling rows for training, validation and test apart."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator

from elman.options import MOST, Options, as_names, option


def _range(value: tuple[float, ...]) -> tuple[float, ...]:
    if len(value) not in (0, 2) or (value and value[0] >= value[1]):
        raise ValueError("expected the lowest and the highest score, such as -1,1")
    return value


def _numbers(value: Any) -> Any:
    return as_names(value)


class ExampleOptions(Options):
    """Examples."""

    split: str | None = option(
        None,
        "Column that says of each row train, valid or test (also training, dev, validation).",
        min_length=1,
    )
    together: str | None = option(
        None,
        "Column whose equal values stay in one part (a speaker, a patient, a take).",
        min_length=1,
    )
    folds: int | None = option(
        None, "Cross-validation: each of so many parts is the test once.", ge=2, le=1000
    )
    folds_by: str | None = option(
        None, "Cross-validation: the rows of each value of this column are the test once.",
        min_length=1,
    )  # fmt: skip
    fold: int | None = option(
        None, "Of the folds only this one, from 1; 0: none of them, all rows train.", ge=0, le=1000
    )
    skip_bad: bool = option(False, "Leave rows out that cannot be read, and count them.")


class AnswerOptions(Options):
    """Answer."""

    score_range: Annotated[tuple[float, ...], BeforeValidator(_numbers), AfterValidator(_range)] = (
        option((), "Lowest and highest score, such as -1,1; if not given, those of training.")
    )
    class_weights: Literal["none", "balanced"] = option(
        "none", "balanced: each class weighs the same in the loss, however rare it is."
    )
    multi_label: str | None = option(
        None, "Mark between a row's several categories, such as ; or |.", min_length=1, max_length=3
    )
    label_smoothing: float = option(
        0.0, "Share of each truth spread over all classes (Szegedy 2016).", ge=0, lt=1
    )


class DecodingOptions(Options):
    """Decoding."""

    beam: int = option(
        5, "Beams of text that is answered; 1 takes the likeliest word each time.", ge=1, le=1000
    )
    length_penalty: float = option(
        1.0, "Power of its length that an answer's log probability is divided by.", ge=0, le=5
    )
    longest: int | None = option(
        None, "Most steps of an answer; if not given, half more than training's longest.", ge=1,
        le=MOST,
    )  # fmt: skip
