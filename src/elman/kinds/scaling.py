"""Scaling of number columns: learnt on the training span alone, kept with the model.

A value v becomes (v - shift) / scale: with `standard`, mean and standard deviation; `robust`,
median and interquartile range (the standard deviation where more than half of the values are
alike); `minmax`, minimum and range; `none`, 0 and 1.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Self

import numpy as np

from elman.errors import InputError

_EVERY_GROUP = ""  # which no group is called: a missing group is refused when a table is read


def _robust(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    low, median, high = np.quantile(values, (0.25, 0.5, 0.75), axis=0)
    return median, np.where(high > low, high - low, values.std(0))


_RULES: dict[str, Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]]] = {
    "standard": lambda v: (v.mean(0), v.std(0)),
    "robust": _robust,
    "minmax": lambda v: (v.min(0), np.ptp(v, axis=0)),
    "none": lambda v: (np.zeros(v.shape[1]), np.ones(v.shape[1])),
}


@dataclass(frozen=True)
class Scaling:
    """Shift and scale of each column, for each group or for all alike.

    Attributes:
        columns: the number columns, in order.
        values: by group key (`""` for all groups), an array (2, C) of shifts and scales.
    """

    columns: tuple[str, ...]
    values: Mapping[str, np.ndarray]

    @classmethod
    def learn(
        cls,
        rule: str,
        columns: tuple[str, ...],
        spans: Mapping[str | None, np.ndarray],
        *,
        by_group: bool,
    ) -> Self:
        """Learn from the training spans: group key to values (T, C).

        By group, one whose span is empty gets no scale, and where a column does not move in a
        group's span, its scale is the middle one of the other groups': its first movement later
        would else count for as much as all the others' together.
        """
        groups = (
            {str(key): values for key, values in spans.items() if len(values)}
            if by_group
            else {_EVERY_GROUP: np.concatenate(list(spans.values()))}
        )
        if not columns:
            return cls(columns, {key: np.ones((2, 0)) for key in groups})
        learnt = {key: np.stack(_RULES[rule](values)) for key, values in groups.items()}
        moves = {key: scale > 1e-12 * abs(shift) + 1e-30 for key, (shift, scale) in learnt.items()}
        for column in range(len(columns)):
            known = [learnt[key][1, column] for key in learnt if moves[key][column]]
            usual = float(np.median(known)) if known else 1.0
            for key in learnt:
                if not moves[key][column]:
                    learnt[key][1, column] = usual
        return cls(columns, learnt)

    def of(self, key: str | None) -> np.ndarray:
        """Return shifts and scales (2, C) for one group.

        Raises:
            InputError: scales are by group and this one was not in the training data.
        """
        if _EVERY_GROUP in self.values:
            return self.values[_EVERY_GROUP]
        if str(key) not in self.values:
            known = ", ".join(list(self.values)[:5])
            raise InputError(
                f"group {key!r} was not in the training data, so it has no scale (groups: {known}, "
                "...); train with it, or with --scaling-by column"
            )
        return self.values[str(key)]

    def scale(self, key: str | None, values_TC: np.ndarray) -> np.ndarray:
        """Return the scaled values of one group's series."""
        shift, scale = self.of(key)
        return (values_TC - shift) / scale

    def as_dict(self) -> dict[str, Any]:
        """Return what `from_dict` takes, ready for JSON."""
        values = {key: array.tolist() for key, array in self.values.items()}
        return {"columns": list(self.columns), "values": values}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Self:
        """Return the scaling that `as_dict` described."""
        values = {key: np.array(array) for key, array in data["values"].items()}
        return cls(tuple(data["columns"]), values)
