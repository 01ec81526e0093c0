"""Elman: processing sequences with recurrent neural networks.

Everything is loaded when it is first used, so that `import elman` and `elman --help` are quick.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from elman.cells import (
        Cell,
        GRUCell,
        IndRNNCell,
        LinearCell,
        LRUCell,
        LSTMCell,
        MinGRUCell,
        MinLSTMCell,
        RNNCell,
    )
    from elman.cross_validation import cross_validate
    from elman.engines import engine
    from elman.errors import DivergenceError, ElmanError, InputError
    from elman.layers import (
        GRU,
        LRU,
        LSTM,
        RNN,
        IndRNN,
        MinGRU,
        MinLSTM,
        Recurrent,
        accelerate,
    )
    from elman.model import Model

    load = Model.load
    __version__: str

# Each public name and the module it lives in.
_PUBLIC = {
    "Cell": "cells",
    "DivergenceError": "errors",
    "ElmanError": "errors",
    "GRU": "layers",
    "GRUCell": "cells",
    "IndRNN": "layers",
    "IndRNNCell": "cells",
    "InputError": "errors",
    "LRU": "layers",
    "LRUCell": "cells",
    "LSTM": "layers",
    "LSTMCell": "cells",
    "LinearCell": "cells",
    "MinGRU": "layers",
    "MinGRUCell": "cells",
    "MinLSTM": "layers",
    "MinLSTMCell": "cells",
    "Model": "model",
    "RNN": "layers",
    "RNNCell": "cells",
    "Recurrent": "layers",
    "accelerate": "layers",
    "cross_validate": "cross_validation",
    "engine": "engines",
}

__all__ = [  # noqa: RUF022 (grouped as a reader looks for them)
    "Model", "load", "cross_validate",
    "RNN", "GRU", "LSTM", "Recurrent", "accelerate", "engine",
    "MinGRU", "MinLSTM", "LRU", "IndRNN",
    "Cell", "RNNCell", "GRUCell", "LSTMCell",
    "LinearCell", "MinGRUCell", "MinLSTMCell", "LRUCell", "IndRNNCell",
    "ElmanError", "InputError", "DivergenceError",
    "__version__",
]  # fmt: skip


def __getattr__(name: str) -> Any:
    if name == "load":
        return importlib.import_module("elman.model").Model.load
    if name == "diagnosis":
        return importlib.import_module("elman.diagnosis")
    if name == "__version__":
        return importlib.import_module("importlib.metadata").version("elman")
    if name not in _PUBLIC:
        raise AttributeError(f"module 'elman' has no attribute {name!r}")
    return getattr(importlib.import_module(f"elman.{_PUBLIC[name]}"), name)


def __dir__() -> list[str]:
    return sorted(__all__)
