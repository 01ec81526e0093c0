"""Reads `samples.json`: the examples, details and generated texts that a run left for its page.

What cannot be read is left out, and a note says so; the rest of the file is used.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    NonNegativeInt,
    ValidationError,
    model_validator,
)

_PNG = re.compile(r"iVBORw0KGgo[A-Za-z0-9+/]*={0,2}")


def _png(text: str) -> str:
    packed = "".join(text.split())
    if not _PNG.fullmatch(packed):
        raise ValueError("expected a PNG in base64")
    return packed


def _known(value: Any) -> Any:
    return float("nan") if value is None else value


Png = Annotated[str, AfterValidator(_png)]
Number = Annotated[float, BeforeValidator(_known)]


class Record(BaseModel):
    """A part of the file: what it does not know is passed over."""

    model_config = ConfigDict(frozen=True, extra="ignore", coerce_numbers_to_str=True)


Kept = TypeVar("Kept", bound=Record)


class TextInput(Record):
    """A text as written, and as it was read."""

    kind: Literal["text"]
    column: str = ""
    text: str = ""
    tokens: list[str] = []


class DnaInput(Record):
    """Letters of DNA."""

    kind: Literal["dna"]
    column: str = ""
    letters: str


class AudioInput(Record):
    """Sound: lowest and highest sample of each stretch, and the features of its frames."""

    kind: Literal["audio"]
    column: str = ""
    name: str = ""
    seconds: float = Field(gt=0, allow_inf_nan=False)
    rate: float = 0
    wave: list[tuple[float, float]] = []
    frames: list[list[float]] = []


class ImageInput(Record):
    """A picture as the network sees it."""

    kind: Literal["image"]
    column: str = ""
    name: str = ""
    png: Png


class VideoInput(Record):
    """Some frames of a clip."""

    kind: Literal["video"]
    column: str = ""
    name: str = ""
    pngs: list[Png]


class VectorInput(Record):
    """Numbers and categories."""

    kind: Literal["vector"]
    values: dict[str, Any]


class SeriesInput(Record):
    """Measurements: a list of numbers for each column."""

    kind: Literal["series"]
    columns: dict[str, list[Number]]


Payload = Annotated[
    TextInput | DnaInput | AudioInput | ImageInput | VideoInput | VectorInput | SeriesInput,
    Field(discriminator="kind"),
]


class Running(Record):
    """What the answer would be if the input ended at each step."""

    input: NonNegativeInt = 0
    label: str = ""
    values: list[Number] = Field(min_length=1)


class Saliency(Record):
    """How much each step of an input weighs in the answer."""

    input: NonNegativeInt = 0
    values: list[Number] = Field(min_length=1)


class Alignment(Record):
    """Where the decoder looked: a row of weights for each word of the answer."""

    input: NonNegativeInt = 0
    answer: list[str] = Field(min_length=1)
    read: list[str] = Field(min_length=1)
    weights: list[Annotated[list[Number], Field(min_length=1)]] = Field(min_length=1)


class TagRow(Record):
    """Words with their true and predicted tags."""

    words: list[str] = Field(min_length=1)
    truth: list[str] = []
    prediction: list[str]

    @model_validator(mode="after")
    def _fits(self) -> TagRow:
        if len(self.prediction) != len(self.words) or len(self.truth) not in (0, len(self.words)):
            raise ValueError("expected a tag for each word")
        return self


class Drawn(Record):
    """A picture that was to be drawn, and the one that was."""

    truth_png: Png | None = None
    prediction_png: Png


class Sample(Record):
    """One example."""

    split: str
    row: int | str
    why: Literal["worst", "best", "typical"] = "typical"
    truth: str | None = None
    prediction: str = ""
    loss: float | None = None
    probabilities: dict[str, Number] | None = None
    inputs: list[Payload] = []
    running: Running | None = None
    saliency: Saliency | None = None
    alignment: Alignment | None = None
    tags: TagRow | None = None
    n_best: list[str] | None = None
    drawn: Drawn | None = None


class ClassScore(Record):
    """One class's row of the table."""

    name: str = Field(alias="class")
    precision: Number = float("nan")
    recall: Number = float("nan")
    f1: Number = float("nan")
    n: int = 0


class Bin(Record):
    """Answers given with about the same confidence."""

    confidence: Number
    accuracy: Number
    n: NonNegativeInt


class Details(Record):
    """What a target tells of a split besides its scores."""

    classes: list[str] = []
    confusion: list[list[int]] | None = None
    per_class: list[ClassScore] = []
    calibration: list[Bin] = []
    multi_label: bool = False
    scatter: list[tuple[float, float]] = []
    range: tuple[float, float] | None = None
    lengths: list[tuple[int, int]] = []
    signatures: dict[str, str] = {}


class Written(Record):
    """A text that the network wrote on from a prompt."""

    prompt: str = ""
    text: str
    how: str = ""


class Skipped(Record):
    """Rows that were left out, and why."""

    message: str
    rows: list[int | str] = []


@dataclass(frozen=True)
class Samples:
    """`samples.json` as read."""

    examples: Sequence[Sample] = ()
    details: Mapping[str, Details] = field(default_factory=dict)
    generated: Sequence[Written] = ()
    skipped: Sequence[Skipped] = ()


def read_samples(path: Path, notes: list[str]) -> Samples:
    """Read the file, as far as it can be; what was left out is added to `notes`."""
    try:
        raw = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        notes.append(f"{path.name} is absent: examples and details cannot be shown.")
        return Samples()
    except (OSError, ValueError, RecursionError) as error:
        reason = " ".join(str(error).split())
        notes.append(
            f"{path.name} cannot be read ({reason}): examples and details cannot be shown."
        )
        return Samples()
    if not isinstance(raw, dict):
        notes.append(f"{path.name}: expected a JSON object, got {type(raw).__name__}.")
        return Samples()
    lost: list[str] = []
    details = raw.get("details")
    read = Samples(
        _each(Sample, raw.get("examples"), "examples", lost),
        {
            str(split): kept
            for split, part in (details.items() if isinstance(details, dict) else ())
            if (kept := lenient(Details, part, f"details of {split}", lost))
        },
        _each(Written, raw.get("generated"), "generated texts", lost),
        _each(Skipped, raw.get("skipped"), "skipped rows", lost),
    )
    notes.extend(f"{path.name}: {what}" for what in lost)
    return read


def _each(model: type[Kept], raw: Any, what: str, lost: list[str]) -> list[Kept]:
    if raw is None:
        return []
    if not isinstance(raw, list):
        lost.append(f"{what}: expected a list, got {type(raw).__name__}.")
        return []
    trouble: list[str] = []
    kept = [lenient(model, part, f"{what} no. {n}", trouble) for n, part in enumerate(raw, 1)]
    if trouble:
        more = f" (and {len(trouble) - 1} more like it)" if len(trouble) > 1 else ""
        lost.append(f"{trouble[0]}{more}")
    return [part for part in kept if part is not None]


def lenient(model: type[Kept], raw: Any, what: str, lost: list[str]) -> Kept | None:
    """Return a record without the parts of it that cannot be read, which are added to `lost`."""
    try:
        return model.model_validate(raw)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        bad = {str(each["loc"][0]) for each in error.errors(include_url=False) if each["loc"]}
    reason = f"{'.'.join(str(part) for part in first['loc'])}: {first['msg']}".lstrip(": ")
    if isinstance(raw, dict) and bad & set(raw):
        rest = {name: value for name, value in raw.items() if name not in bad}
        try:
            kept = model.model_validate(rest)
        except ValidationError:
            pass
        else:
            lost.append(f"{what}: {', '.join(sorted(bad))} left out, unreadable ({reason}).")
            return kept
    lost.append(f"{what}: left out, unreadable ({reason}).")
    return None
