"""Networks: recurrent layers and a head, by topology. Each is a torch module of its own.

They are loaded when first used: their options are read without torch, as `elman fit --help` does.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from elman.networks.assembly import CELLS, NETWORKS, SeqToSeq, SeqToVector, build

__all__ = ["CELLS", "NETWORKS", "SeqToSeq", "SeqToVector", "build"]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module 'elman.networks' has no attribute {name!r}")
    return getattr(importlib.import_module("elman.networks.assembly"), name)
