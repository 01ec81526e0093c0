"""Cells: one recurrence a file. A cell knows its equation, and neither time nor devices."""

from elman.cells.cell import Cell, State
from elman.cells.gated import GatedCell
from elman.cells.gru import GRUCell
from elman.cells.indrnn import IndRNNCell
from elman.cells.linear import LinearCell
from elman.cells.lru import LRUCell
from elman.cells.lstm import LSTMCell
from elman.cells.mingru import MinGRUCell
from elman.cells.minlstm import MinLSTMCell
from elman.cells.rnn import RNNCell

__all__ = [
    "Cell",
    "GRUCell",
    "GatedCell",
    "IndRNNCell",
    "LRUCell",
    "LSTMCell",
    "LinearCell",
    "MinGRUCell",
    "MinLSTMCell",
    "RNNCell",
    "State",
]
