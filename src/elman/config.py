"""Everything a run was asked to do, in one flat list of options that YAML and commands share."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Annotated, Any

import yaml
from pydantic import BeforeValidator

from elman.data.options import DataOptions
from elman.errors import InputError
from elman.kinds.inputs.options import (
    AudioOptions,
    DnaOptions,
    PictureOptions,
    TextOptions,
    VocabularyOptions,
)
from elman.kinds.options import ForecastOptions, without_effect
from elman.kinds.targets.options import (
    AnswerOptions,
    DecodingOptions,
    ExampleOptions,
)
from elman.layers.options import LayerOptions
from elman.networks.options import DecoderOptions, NetworkOptions
from elman.options import option
from elman.training.options import TrainingOptions

# What a resumed run may be given anew: how long to train and where, not what or how.
RESUMABLE = ("epochs", "device", "checkpoint_seconds")
# What may change without making it another run: these, and where its tables lie (their content is
# held by digests).
FREE = (*RESUMABLE, "table", "valid_table")
_ALSO = {"input": "inputs"}  # as on the command line
GROUPS = (
    DataOptions,
    ForecastOptions,
    ExampleOptions,
    AnswerOptions,
    VocabularyOptions,
    TextOptions,
    AudioOptions,
    DnaOptions,
    PictureOptions,
    NetworkOptions,
    LayerOptions,
    DecoderOptions,
    DecodingOptions,
    TrainingOptions,
)


def _several(value: object) -> object:
    return (value,) if isinstance(value, str) else value


class Config(  # pyright: ignore[reportIncompatibleVariableOverride]
    TrainingOptions,
    DecodingOptions,
    DecoderOptions,
    NetworkOptions,
    PictureOptions,
    DnaOptions,
    AudioOptions,
    TextOptions,
    VocabularyOptions,
    AnswerOptions,
    ExampleOptions,
    ForecastOptions,
    DataOptions,
):
    """What goes in, what comes out, and every option between."""

    table: str | None = option(None, "The table: CSV, TSV, JSONL or Parquet.")
    valid_table: str | None = option(None, "Another table to validate on, not a span of TABLE.")
    inputs: Annotated[tuple[str, ...], BeforeValidator(_several)] = option(
        ...,
        "What goes in, as kind:column,column: series:open,close, text:review; a name with a comma "
        "is quoted. Given several times, all of them are read.",
        min_length=1,
    )
    target: str = option(
        ..., "What comes out, as kind:column,column: forecast:close, category:digit, text:caption."
    )

    def without_effect(self, inputs: tuple[str, ...], target: str, topology: str) -> list[str]:
        """Return the options that are set and mean nothing to these kinds and this topology."""
        fields = type(self).model_fields
        given = [name for name in fields if getattr(self, name) != fields[name].default]
        return without_effect(given, inputs, target, topology)

    def to_yaml(self, leave_out: frozenset[str] = frozenset()) -> str:
        """Return the options, but those in `leave_out`, as YAML that `read_config` takes back."""
        values = self.model_dump(mode="json", exclude=set(leave_out))
        return yaml.safe_dump(values, sort_keys=False, allow_unicode=True)

    @property
    def sha256(self) -> str:
        """Digest of the options that make a run what it is: all but those in `FREE`.

        Those that have their default do not enter it: one that Elman gains later changes nothing.
        """
        fixed = self.model_dump(mode="json", exclude=set(FREE), exclude_defaults=True)
        return hashlib.sha256(json.dumps(fixed, sort_keys=True).encode()).hexdigest()


class _Loader(yaml.SafeLoader):
    """Refuses an option that stands there twice, of which YAML would silently take the last."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        values = super().construct_mapping(node, deep)
        if len(values) < len(node.value):
            names = [key.value for key, _ in node.value]
            repeated = next(name for name in names if names.count(name) > 1)
            raise yaml.YAMLError(f"{repeated!r} stands there twice; remove one")
        return values


def read_config(path: Path) -> dict[str, Any]:
    """Return the options that a YAML file names, unchecked beyond being a mapping of names.

    Raises:
        InputError: the file is absent, or is not a YAML mapping.
    """
    try:
        values = yaml.load(path.read_text(encoding="utf-8"), _Loader)
    except FileNotFoundError:
        raise InputError(f"{path}: no such file (from --config)") from None
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: cannot be read ({error})") from None
    except yaml.YAMLError as error:
        raise InputError(f"{path}: not YAML: {' '.join(str(error).split())}") from None
    if not isinstance(values, dict) or not all(isinstance(name, str) for name in values):
        raise InputError(f"{path}: expected lines of `option: value`, got {type(values).__name__}")
    options: dict[str, tuple[str, Any]] = {}
    for written, value in values.items():
        name = str(written).replace("-", "_")
        name = _ALSO.get(name, name)
        if name in options:
            raise InputError(
                f"{path}: {options[name][0]!r} and {written!r} are one option; remove one of them"
            )
        options[name] = written, value
    return {name: value for name, (_, value) in options.items()}
