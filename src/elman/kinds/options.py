"""The options of kinds: a forecast's own, and which options mean something to which kind."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator

from elman.data.options import DataOptions, SplitOptions
from elman.kinds.inputs.options import (
    AudioOptions,
    DnaOptions,
    PictureOptions,
    TextOptions,
    VocabularyOptions,
)
from elman.kinds.targets.options import (
    AnswerOptions,
    DecodingOptions,
    ExampleOptions,
    StreamOptions,
)
from elman.networks.options import DecoderOptions
from elman.options import MOST, Options, as_names, option


def _with_median(quantiles: tuple[float, ...]) -> tuple[float, ...]:
    if any(not 0 < q < 1 for q in quantiles):
        raise ValueError(f"quantiles lie between 0 and 1, got {_listed(quantiles)}")
    columns = {f"{q:g}" for q in quantiles}  # what their columns are called
    if len(columns) < len(quantiles):
        raise ValueError(f"each quantile is given once, got {_listed(quantiles)}")
    if quantiles and "0.5" not in columns:
        quantiles = (*quantiles, 0.5)
    return tuple(sorted(quantiles))


def _listed(values: Any) -> str:
    return ", ".join(map(str, values))


class ForecastOptions(Options):
    """Forecast."""

    horizon: int = option(1, "Steps to forecast.", ge=1, le=MOST)
    lookback: int | None = option(
        None,
        "Steps the network reads before it answers; chosen from the data if not given.",
        ge=1,
        le=MOST,
    )
    quantiles: Annotated[
        tuple[float, ...], BeforeValidator(as_names), AfterValidator(_with_median)
    ] = option(
        (),
        "Quantiles to forecast (0.1,0.9), by pinball loss; 0.5, the point forecast, is always "
        "among them.",
    )
    loss: Literal["mae", "huber", "mse"] = option(
        "mae", "Loss of a point forecast, in standard deviations of the training span."
    )
    relative: Literal["none", "last", "season"] = option(
        "last",
        "What the network's output is added to: nothing, the last value, or the value one season "
        "before the step being forecast.",
    )
    period: int | None = option(
        None, "Season in steps (1: none); found from the training span if not given.", ge=1, le=MOST
    )
    scaling: Literal["standard", "robust", "minmax", "none"] = option(
        "standard", "How numbers are scaled; learnt on the training span alone."
    )
    scaling_by: Literal["auto", "column", "group"] = option(
        "auto", "One scale a column, or one for each group of a panel; auto: by group if there is."
    )
    stats: bool = option(False, "Also fit ARIMA and ETS as baselines (extra `stats`).")


_EXAMPLES = (SplitOptions, ExampleOptions)
_WRITTEN = (*_EXAMPLES, DecoderOptions, DecodingOptions)
INPUT_OPTIONS: dict[str, tuple[type[Options], ...]] = {
    "text": (VocabularyOptions, TextOptions),
    "audio": (AudioOptions,),
    "dna": (DnaOptions,),
    "video": (PictureOptions,),
    "image": (PictureOptions,),
}
TARGET_OPTIONS: dict[str, tuple[type[Options], ...]] = {
    "forecast": (DataOptions, ForecastOptions),
    "next": (SplitOptions, StreamOptions, VocabularyOptions),
    "number": (*_EXAMPLES, AnswerOptions),
    "score": (*_EXAMPLES, AnswerOptions),
    "category": (*_EXAMPLES, AnswerOptions),
    "tags": (*_EXAMPLES, AnswerOptions),
    "text": (*_WRITTEN, AnswerOptions, VocabularyOptions),
    "image": (*_WRITTEN, PictureOptions),
}
"""Kind -> the groups of options that steer it, beside those of every network and training."""

# Single options of other groups: a vector's columns that hold numbers; a generator's parts, and
# whether its words in and out are one matrix.
_SINGLE = {"vector": ("categories",), "next": ("split", "tied")}
_READ_ALONE = ("forecast", "next")  # their jobs read the input in a way of their own


def used_by(inputs: tuple[str, ...], target: str) -> set[str]:
    """Return the names of the options that mean something to these kinds."""
    kinds = () if target in _READ_ALONE else inputs
    groups = [group for kind in kinds for group in INPUT_OPTIONS.get(kind, ())]
    groups += TARGET_OPTIONS[target]
    single = {name for kind in (*kinds, target) for name in _SINGLE.get(kind, ())}
    return {name for group in groups for name in group.model_fields} | single


def of_some_kind() -> set[str]:
    """Return the names of all options that belong to some kinds only."""
    every = (*INPUT_OPTIONS.values(), *TARGET_OPTIONS.values())
    return {name for groups in every for group in groups for name in group.model_fields}
