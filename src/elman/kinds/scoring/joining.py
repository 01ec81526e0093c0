"""What targets tell of several sets of answers (`Target.details`), as if the sets were one.

Of cross-validation each fold tells its own; a page shows them together.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain
from typing import Any

import numpy as np

from elman.kinds.scoring.classification import BINS

Details = dict[str, Any]
_MOST_POINTS = 2000


def join_details(parts: Sequence[Details]) -> Details | None:
    """Return the details of all sets together; None if they cannot be told as one.

    They cannot if the sets have not the same classes (a rare one may be absent from a fold's
    training rows), or several classes an answer, of which no confusion is kept to add up.
    """
    first = parts[0]
    if "classes" in first:
        alike = all(part["classes"] == first["classes"] for part in parts)
        return _classes(parts) if alike and first["confusion"] else None
    joined = dict(first)
    for name in ("scatter", "lengths"):
        if name in first:
            joined[name] = _thinned(list(chain.from_iterable(part[name] for part in parts)))
    if first.get("range"):
        ranges = [part["range"] for part in parts]
        joined["range"] = [min(low for low, _ in ranges), max(high for _, high in ranges)]
    return joined


def _classes(parts: Sequence[Details]) -> Details:
    counts_KK = np.sum([part["confusion"] for part in parts], axis=0)
    hit_K, there_K = counts_KK.diagonal(), counts_KK.sum(1)
    answered_K = counts_KK.sum(0)
    per_class = [
        {
            "class": name,
            "precision": float(hit_K[k] / max(answered_K[k], 1)),
            "recall": float(hit_K[k] / max(there_K[k], 1)),
            "f1": float(2 * hit_K[k] / max(answered_K[k] + there_K[k], 1)),
            "n": int(there_K[k]),
        }
        for k, name in enumerate(parts[0]["classes"])
    ]
    bins: dict[int, list[Details]] = {}
    for each in chain.from_iterable(part["calibration"] for part in parts):
        place = int(np.clip(np.ceil(each["confidence"] * BINS) - 1, 0, BINS - 1))
        bins.setdefault(place, []).append(each)
    return {
        "classes": parts[0]["classes"],
        "confusion": counts_KK.tolist(),
        "per_class": per_class,
        "calibration": [_bin(bins[place]) for place in sorted(bins)],
        "multi_label": False,
    }


def _bin(parts: Sequence[Details]) -> Details:
    n = [part["n"] for part in parts]
    means = {
        name: float(np.average([part[name] for part in parts], weights=n))
        for name in ("confidence", "accuracy")
    }
    return means | {"n": sum(n)}


def _thinned(points: list[Any]) -> list[Any]:
    at = np.linspace(0, len(points) - 1, min(len(points), _MOST_POINTS)).astype(int)
    return [points[place] for place in at]
