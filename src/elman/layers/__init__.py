"""Layers: cells unrolled over time, stacked, in both directions; what looks over their outputs.

They are loaded when first used: their options are read without torch, as `elman fit --help` does.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from elman.layers.acceleration import accelerate
    from elman.layers.attention import Attention
    from elman.layers.long import LRU, IndRNN, MinGRU, MinLSTM
    from elman.layers.options import LayerKeywords, LayerOptions
    from elman.layers.padding import padded, real_steps
    from elman.layers.pooling import Pooling
    from elman.layers.recurrent import Recurrent
    from elman.layers.rnn import GRU, LSTM, RNN
    from elman.layers.stack import Stack

__all__ = [
    "GRU",
    "LRU",
    "LSTM",
    "RNN",
    "Attention",
    "IndRNN",
    "LayerKeywords",
    "LayerOptions",
    "MinGRU",
    "MinLSTM",
    "Pooling",
    "Recurrent",
    "Stack",
    "accelerate",
    "padded",
    "real_steps",
]

_MODULES = {
    "GRU": "rnn",
    "LRU": "long",
    "LSTM": "rnn",
    "RNN": "rnn",
    "Attention": "attention",
    "IndRNN": "long",
    "LayerKeywords": "options",
    "LayerOptions": "options",
    "MinGRU": "long",
    "MinLSTM": "long",
    "Pooling": "pooling",
    "Recurrent": "recurrent",
    "Stack": "stack",
    "accelerate": "acceleration",
    "padded": "padding",
    "real_steps": "padding",
}


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module 'elman.layers' has no attribute {name!r}")
    return getattr(importlib.import_module(f"elman.layers.{_MODULES[name]}"), name)
