"""`series:COL,COL`: numbers and categories along time.

A number is scaled as the training span was; a category becomes one feature for each of its values
in the training span (one-hot; a value never seen there is all zeros, and `unseen` tells it).
Columns known ahead and calendar features are encoded alike, and read at their own step as well as
from every step they lie ahead of.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import polars as pl

from elman.errors import InputError
from elman.kinds.scaling import Scaling

# Each feature turns times (datetime64[us]) into columns: a cycle as sine and cosine, so that its
# end lies beside its beginning; the day of the week as seven indicators, since days differ in kind.
CALENDAR: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "hour": lambda t: _cycle((t - t.astype("M8[D]")) / np.timedelta64(1, "D")),
    "weekday": lambda t: np.eye(7)[(t.astype("M8[D]").astype(np.int64) + 3) % 7],
    "monthday": lambda t: _cycle((t.astype("M8[D]") - t.astype("M8[M]")) / np.timedelta64(31, "D")),
    "yearday": lambda t: _cycle((t.astype("M8[D]") - t.astype("M8[Y]")) / np.timedelta64(366, "D")),
    "month": lambda t: np.eye(12)[t.astype("M8[M]").astype(np.int64) % 12],
}

MOST_CATEGORIES = 500


def _cycle(phase: np.ndarray) -> np.ndarray:
    return np.stack([np.sin(2 * np.pi * phase), np.cos(2 * np.pi * phase)], axis=1)


@dataclass(frozen=True)
class SeriesInput:
    """How series become features; learnt from the training span.

    Attributes:
        columns: read at their own step.
        known: read ahead as well.
        calendar: calendar features of the time, read ahead as well.
        categories: for each category column, its values in the training span.
        scaling: of the number columns.
    """

    columns: tuple[str, ...]
    known: tuple[str, ...]
    calendar: tuple[str, ...]
    categories: Mapping[str, tuple[str, ...]]
    scaling: Scaling

    @classmethod
    def learn(
        cls,
        spans: Mapping[str | None, pl.DataFrame],
        columns: Sequence[str],
        known: Sequence[str],
        calendar: Sequence[str],
        rule: str,
        *,
        by_group: bool,
    ) -> Self:
        """Learn scales and categories from each group's training span."""
        every = tuple(dict.fromkeys([*columns, *known]))
        schema = next(iter(spans.values())).schema
        numbers = tuple(name for name in every if schema[name] != pl.String)
        categories = {
            name: tuple(sorted({v for span in spans.values() for v in span[name].unique()}))
            for name in every
            if name not in numbers
        }
        for name, values in categories.items():
            if len(values) > MOST_CATEGORIES:
                raise InputError(
                    f"column {name!r}: {len(values):,} different values in the training span, each "
                    f"of which would be a feature; expected at most {MOST_CATEGORIES}; merge rare "
                    "ones, or leave the column out"
                )
        values = {key: span.select(numbers).to_numpy() for key, span in spans.items()}
        scaling = Scaling.learn(rule, numbers, values, by_group=by_group)
        return cls(tuple(columns), tuple(known), tuple(calendar), categories, scaling)

    @property
    def feature_names(self) -> list[str]:
        """Name of each feature that a step reads of itself: `day_type=W`, `weekday[3]`."""
        return self._names(self._own) + self._calendar_names()

    def ahead_names(self, horizon: int) -> list[str]:
        """Name of each feature that a step reads of the `horizon` steps after it."""
        names = self._names(self.known) + self._calendar_names()
        return [f"{name}, {k} ahead" for k in range(1, horizon + 1) for name in names]

    @property
    def _own(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys([*self.columns, *self.known]))

    def encode(
        self, key: str | None, frame: pl.DataFrame, times: np.ndarray | None
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return a series' features `x_TI` and those known ahead, `known_TK`.

        Args:
            key: its group.
            frame: its rows in time order; missing numbers become NaN.
            times: when each row is, needed for calendar features.
        """
        calendar_TK = self._encode_calendar(times, frame.height)
        known_TK = np.concatenate([self._columns(key, frame, self.known), calendar_TK], axis=1)
        x_TI = np.concatenate([self._columns(key, frame, self._own), calendar_TK], axis=1)
        return x_TI, known_TK

    def unseen(self, frame: pl.DataFrame) -> list[str]:
        """Say, for each category column, which of its values the training span did not have."""
        return [
            f"column {name!r}: {', '.join(map(repr, new[:5]))} "
            f"{'was' if len(new) == 1 else 'were'} not in the training span, which had "
            f"{', '.join(known[:8])}; the model cannot tell what it means"
            for name, known in self.categories.items()
            if (new := sorted(set(frame[name].drop_nulls().unique()) - set(known)))
        ]

    def as_dict(self) -> dict[str, Any]:
        """Return what `from_dict` takes, ready for JSON."""
        return {
            "kind": "series",
            "columns": list(self.columns),
            "known": list(self.known),
            "calendar": list(self.calendar),
            "categories": {name: list(values) for name, values in self.categories.items()},
            "scaling": self.scaling.as_dict(),
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Self:
        """Return the input that `as_dict` described."""
        return cls(
            tuple(data["columns"]),
            tuple(data["known"]),
            tuple(data["calendar"]),
            {name: tuple(values) for name, values in data["categories"].items()},
            Scaling.from_dict(data["scaling"]),
        )

    def _columns(self, key: str | None, frame: pl.DataFrame, names: Iterable[str]) -> np.ndarray:
        scaled = self.scaling.scale(key, frame.select(self.scaling.columns).to_numpy())
        parts = [np.empty((frame.height, 0))]
        for name in names:
            if name in self.categories:
                values = np.array(self.categories[name], dtype=object)
                parts.append((frame[name].to_numpy()[:, None] == values).astype(np.float64))
            else:
                parts.append(scaled[:, [self.scaling.columns.index(name)]])
        return np.concatenate(parts, axis=1)

    def _names(self, columns: Iterable[str]) -> list[str]:
        return [
            feature
            for name in columns
            for feature in [f"{name}={v}" for v in self.categories.get(name, ())] or [name]
        ]

    def _encode_calendar(self, times: np.ndarray | None, rows: int) -> np.ndarray:
        if self.calendar and (times is None or times.dtype.kind != "M"):
            raise InputError(
                f"calendar={','.join(self.calendar)} needs a time column of dates; name it with "
                "--time, or leave --calendar out"
            )
        parts = [CALENDAR[name](times) for name in self.calendar] if times is not None else []
        return np.concatenate([np.empty((rows, 0)), *parts], axis=1)

    def _calendar_names(self) -> list[str]:
        epoch = np.zeros(1, "M8[us]")
        return [f"{n}[{i}]" for n in self.calendar for i in range(CALENDAR[n](epoch).shape[1])]
