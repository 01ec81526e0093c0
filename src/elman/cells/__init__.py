"""Cells: one recurrence a file. A cell knows its equation, and neither time nor devices."""

from elman.cells.cell import Cell, State
from elman.cells.gated import GatedCell
from elman.cells.gru import GRUCell
from elman.cells.lstm import LSTMCell
from elman.cells.rnn import RNNCell

__all__ = ["Cell", "GRUCell", "GatedCell", "LSTMCell", "RNNCell", "State"]
