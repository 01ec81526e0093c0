"""Layers: cells unrolled over time, stacked, in both directions; what looks over their outputs."""

from elman.layers.accelerate import accelerate
from elman.layers.attention import Attention
from elman.layers.long import LRU, IndRNN, MinGRU, MinLSTM
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
    "MinGRU",
    "MinLSTM",
    "Pooling",
    "Recurrent",
    "Stack",
    "accelerate",
    "padded",
    "real_steps",
]
