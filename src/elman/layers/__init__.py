"""Layers: cells unrolled over time, stacked, in both directions; and torch.nn's, replaced."""

from elman.layers.accelerate import accelerate
from elman.layers.recurrent import Recurrent
from elman.layers.rnn import GRU, LSTM, RNN
from elman.layers.stack import Stack

__all__ = ["GRU", "LSTM", "RNN", "Recurrent", "Stack", "accelerate"]
