"""MinGRU, MinLSTM, LRU and IndRNN: layers for sequences of thousands of steps.

The first three are linear in their state (`elman.cells.LinearCell`): the engine `scan` computes
their steps side by side. `forward` and `step` are those of `elman.GRU`.
"""

from __future__ import annotations

import math
from typing import Unpack

import torch

from elman.cells import Cell, IndRNNCell, LRUCell, MinGRUCell, MinLSTMCell
from elman.layers.options import LayerKeywords
from elman.layers.recurrent import Recurrent


class _Sized(Recurrent):
    """What the four share: their sizes as attributes, and in `repr`."""

    def __init__(
        self,
        cell: Cell,
        num_layers: int,
        batch_first: bool,
        dropout: float,
        bidirectional: bool,
        options: LayerKeywords,
    ) -> None:
        super().__init__(cell, num_layers, bidirectional, batch_first, dropout, **options)
        self.input_size, self.hidden_size = cell.input_size, cell.hidden_size


class _Minimal(_Sized):
    """What MinGRU and MinLSTM share: all but the cell."""

    _cell: type[MinGRUCell | MinLSTMCell]

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        bias: bool = True,
        batch_first: bool = False,
        dropout: float = 0.0,
        bidirectional: bool = False,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
        **options: Unpack[LayerKeywords],
    ) -> None:
        chrono = options.pop("chrono", None)
        cell = self._cell(input_size, hidden_size, bias, chrono, device, dtype)
        super().__init__(cell, num_layers, batch_first, dropout, bidirectional, options)


class MinGRU(_Minimal):
    """Minimal gated recurrent units (Feng et al., 2024); equations in `elman.MinGRUCell`.

    Args:
        input_size: number of features in one step's input.
        hidden_size: number of hidden units of each direction.
        num_layers: number of layers, each reading the outputs of the one below. One alone only
            weighs what it reads; what depends on order takes two or more.
        bias: whether a bias is added.
        batch_first: whether batches are (B, T, I) rather than (T, B, I).
        dropout: probability that an output between layers is zeroed in training.
        bidirectional: whether a second cell a layer reads the sequence from its end.
        device: where the parameters are made.
        dtype: the parameters' floating-point type.
        options: `chrono`, the longest time to remember at the start, in steps (Tallec and
            Ollivier, 2018); dropouts, skips, what training keeps in memory: see
            `elman.layers.LayerOptions`.

    Raises:
        InputError: if an option is out of range.
    """

    _cell = MinGRUCell


class MinLSTM(_Minimal):
    """Minimal long short-term memory (Feng et al., 2024); equations in `elman.MinLSTMCell`.

    Args:
        input_size: number of features in one step's input.
        hidden_size: number of hidden units of each direction.
        num_layers: number of layers, each reading the outputs of the one below. One alone only
            weighs what it reads; what depends on order takes two or more.
        bias: whether a bias is added.
        batch_first: whether batches are (B, T, I) rather than (T, B, I).
        dropout: probability that an output between layers is zeroed in training.
        bidirectional: whether a second cell a layer reads the sequence from its end.
        device: where the parameters are made.
        dtype: the parameters' floating-point type.
        options: `chrono`, the longest time to remember at the start, in steps (Tallec and
            Ollivier, 2018); dropouts, skips, what training keeps in memory: see
            `elman.layers.LayerOptions`.

    Raises:
        InputError: if an option is out of range.
    """

    _cell = MinLSTMCell


class LRU(_Sized):
    """Linear recurrent units (Orvieto et al., 2023); equations in `elman.LRUCell`.

    The state is (L·D, B, 2H): H complex units, all real parts before all imaginary ones.

    Args:
        input_size: number of features in one step's input.
        hidden_size: number of output features, and of complex units, of each direction.
        num_layers: number of layers, each reading the outputs of the one below.
        batch_first: whether batches are (B, T, I) rather than (T, B, I).
        dropout: probability that an output between layers is zeroed in training.
        bidirectional: whether a second cell a layer reads the sequence from its end.
        device: where the parameters are made.
        dtype: the parameters' floating-point type.
        r_min: the least |λ| drawn.
        r_max: the greatest |λ| drawn, below 1: a unit remembers about 1 / (1 - |λ|) steps.
        max_phase: the greatest angle drawn, in radians a step.
        glu: whether a layer's output goes through GELU and a gated linear unit, as in the paper's
            block; without, a stack of layers is linear.
        options: dropouts, skips, what training keeps in memory: see `elman.layers.LayerOptions`.

    Raises:
        InputError: if an option is out of range.
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        batch_first: bool = False,
        dropout: float = 0.0,
        bidirectional: bool = False,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
        *,
        r_min: float = 0.9,
        r_max: float = 0.999,
        max_phase: float = math.pi / 10,
        glu: bool = True,
        **options: Unpack[LayerKeywords],
    ) -> None:
        cell = LRUCell(input_size, hidden_size, r_min, r_max, max_phase, glu, device, dtype)
        super().__init__(cell, num_layers, batch_first, dropout, bidirectional, options)


class IndRNN(_Sized):
    """Independently recurrent network (Li et al., 2018); equations in `elman.IndRNNCell`.

    Args:
        input_size: number of features in one step's input.
        hidden_size: number of hidden units of each direction.
        num_layers: number of layers, each reading the outputs of the one below. Units of one layer
            do not see each other; those of the next see all.
        nonlinearity: "relu" or "tanh".
        bias: whether a bias is added.
        batch_first: whether batches are (B, T, I) rather than (T, B, I).
        dropout: probability that an output between layers is zeroed in training.
        bidirectional: whether a second cell a layer reads the sequence from its end.
        device: where the parameters are made.
        dtype: the parameters' floating-point type.
        options: `chrono`, the longest time to remember, in steps: the recurrent weights are drawn
            so close to 1 that no gradient is halved or doubled in less; dropouts, skips, what
            training keeps in memory: see `elman.layers.LayerOptions`.

    Raises:
        InputError: if an option is out of range.
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        nonlinearity: str = "relu",
        bias: bool = True,
        batch_first: bool = False,
        dropout: float = 0.0,
        bidirectional: bool = False,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
        **options: Unpack[LayerKeywords],
    ) -> None:
        chrono = options.pop("chrono", None)
        cell = IndRNNCell(input_size, hidden_size, nonlinearity, bias, chrono, device, dtype)
        super().__init__(cell, num_layers, batch_first, dropout, bidirectional, options)
