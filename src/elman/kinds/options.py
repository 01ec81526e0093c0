"""The options of kinds: a forecast's own, and which options mean something to which kind."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator

from elman.data.options import DataOptions, SplitOptions
from elman.errors import InputError
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
    "next": (SplitOptions, VocabularyOptions),
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


@dataclass(frozen=True)
class _Place:
    """Where an option of a group means something; nothing given: wherever the group does."""

    inputs: tuple[str, ...] = ()
    targets: tuple[str, ...] = ()
    topologies: tuple[str, ...] = ()

    def fits(self, inputs: tuple[str, ...], target: str, topology: str) -> bool:
        return (
            (not self.inputs or any(kind in self.inputs for kind in inputs))
            and (not self.targets or target in self.targets)
            and (not self.topologies or topology in self.topologies)
        )

    def __str__(self) -> str:
        parts = (("input", self.inputs), ("target", self.targets), ("topology", self.topologies))
        return " and ".join(f"--{word} {' or '.join(names)}" for word, names in parts if names)


_WRITTEN_TEXT = _Place(targets=("text",))
_LOOKING_BACK = _Place(topologies=("encoder-decoder",))
PLACES = {
    "pooling": _Place(topologies=("seq-to-vector",)),
    "bidirectional": _Place(topologies=("seq-to-seq", "seq-to-vector", "encoder-decoder")),
    "tbptt": _Place(targets=("forecast", "next", "tags"), topologies=("seq-to-seq",)),
    "learn_state": _Place(topologies=("seq-to-seq", "seq-to-vector", "encoder-decoder")),
    "attention": _LOOKING_BACK,
    "input_feeding": _LOOKING_BACK,
    "start_with": _Place(topologies=("vector-to-seq",)),
    "tied": _Place(targets=("text", "next")),
    "scheduled_sampling": _WRITTEN_TEXT,
    "beam": _WRITTEN_TEXT,
    "length_penalty": _WRITTEN_TEXT,
    "longest": _WRITTEN_TEXT,
    "shared_vocabulary": _Place(inputs=("text",), targets=("text",)),
    "score_range": _Place(targets=("score",)),
    "class_weights": _Place(targets=("category", "tags")),
    "multi_label": _Place(targets=("category",)),
    "label_smoothing": _Place(targets=("category", "tags", "text")),
    "frames": _Place(inputs=("video",)),
}


def check_truncation(config: Any, topology: str) -> None:
    """Refuse what does not go with `tbptt`, with the reason.

    Args:
        config: all options.
        topology: the one that follows from them.

    Raises:
        InputError: an option does not.
    """
    if config.tbptt is None:
        return
    if topology == "seq-to-vector":
        raise InputError(
            "tbptt: a topology of seq-to-vector answers once, when all was read, and no chunk but "
            "the last would have a loss; use topology=seq-to-seq where the target has an answer "
            "at every step, or leave tbptt out"
        )
    reasons = {
        "bidirectional": "a stream's later chunks are not read yet, so that nothing can be carried "
        "on from its end",
        "lookback": "a series is read from its beginning, with the state carried on, and not a "
        "window of it",
        "windows": "the state that is carried into a span comes from before it, so that nothing "
        "lies within it alone",
    }
    given = {
        "bidirectional": config.bidirectional,
        "lookback": config.lookback is not None,
        "windows": config.windows == "within",
    }
    if clash := [name for name, is_given in given.items() if is_given]:
        raise InputError(f"{clash[0]}: with tbptt {reasons[clash[0]]}; leave one of the two out")


def without_effect(
    names: Iterable[str], inputs: tuple[str, ...], target: str, topology: str
) -> list[str]:
    """Return those of some options that mean nothing to these kinds and this topology."""
    kinds = () if target in _READ_ALONE else inputs
    groups = [group for kind in kinds for group in INPUT_OPTIONS.get(kind, ())]
    groups += TARGET_OPTIONS[target]
    used = {name for group in groups for name in group.model_fields}
    used |= {name for kind in (*kinds, target) for name in _SINGLE.get(kind, ())}
    of_kinds = _of_some_kind()
    return [
        name
        for name in names
        if (name in of_kinds and name not in used)
        or (name in PLACES and not PLACES[name].fits(inputs, target, topology))
    ]


def meant_for(name: str) -> str:
    """Return what an option is for, as the command line says it: `--input audio`."""
    if name in PLACES:
        return str(PLACES[name])
    inputs, targets = (
        tuple(
            kind
            for kind in kinds
            if _among(name, groups.get(kind, ())) or name in _SINGLE.get(kind, ())
        )
        for kinds, groups in (
            ((*INPUT_OPTIONS, "vector"), INPUT_OPTIONS),
            (TARGET_OPTIONS, TARGET_OPTIONS),
        )
    )
    return " or ".join(str(place) for place in (_Place(inputs), _Place((), targets)) if str(place))


def _among(name: str, groups: Iterable[type[Options]]) -> bool:
    return any(name in group.model_fields for group in groups)


def _of_some_kind() -> set[str]:
    """Return the names of all options that belong to some kinds only."""
    every = (*INPUT_OPTIONS.values(), *TARGET_OPTIONS.values())
    return {name for groups in every for group in groups for name in group.model_fields}
