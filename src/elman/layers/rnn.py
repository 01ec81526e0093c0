"""RNN, GRU and LSTM: drop-in replacements for torch.nn's, and more.

The parameters live in the layer under torch's names (`weight_ih_l0`, …), so that a `state_dict`
goes both ways; the cells are handed them at each use, so that whatever replaces a parameter (a
move to a device, `functional_call`, a parametrization) is what they compute with.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from elman.cells import GatedCell, GRUCell, LSTMCell, RNNCell
from elman.layers.stack import Stack


class DropIn(Stack):
    """What the three share: attributes, parameters and representation as torch.nn has them."""

    def _adopt(
        self,
        make_cell: Callable[[int], GatedCell],
        input_size: int,
        hidden_size: int,
        bias: bool,
        proj_size: int = 0,
    ) -> None:
        """Make the cells in torch's order, and take their parameters over under torch's names."""
        self.input_size = input_size
        self.hidden_size = hidden_size
        self.bias = bias
        self.proj_size = proj_size
        # A plain dictionary: these cells are no submodules, and keep no parameters.
        self._hollow_cells: dict[str, GatedCell] = {}
        for layer in range(self.num_layers):
            for direction in ["", "_reverse"][: self.num_directions]:
                suffix = f"_l{layer}{direction}"
                cell = make_cell(input_size)
                for name in cell.weight_names:
                    self.register_parameter(name + suffix, cell._parameters[name])
                cell._parameters = dict.fromkeys(cell._parameters)
                self._hollow_cells[suffix] = cell
            input_size = (proj_size or hidden_size) * self.num_directions

    @property
    def cells(self) -> list[GatedCell]:  # pyright: ignore[reportIncompatibleVariableOverride]
        """The cells, with the parameters the layer has now: by layer, forward before backward."""
        return [
            cell.bind({name: getattr(self, name + suffix) for name in cell.weight_names})
            for suffix, cell in self._hollow_cells.items()
        ]

    @property
    def all_weights(self) -> list[list[Tensor]]:
        """The parameters of each cell, as torch lists them."""
        return [cell.weights for cell in self.cells]

    def reset_parameters(self) -> None:
        """Draw every parameter anew from U(-1/√H, 1/√H)."""
        for cell in self.cells:
            cell.reset_parameters()

    def flatten_parameters(self) -> None:
        """Do nothing: there for programs written for torch.nn, whose cuDNN buffers need it."""

    def extra_repr(self) -> str:
        """Return the options as torch.nn's layers do, for `repr`."""
        options = {
            "proj_size": (self.proj_size, 0),
            "num_layers": (self.num_layers, 1),
            "bias": (self.bias, True),
            "batch_first": (self.batch_first, False),
            "dropout": (self.dropout, 0.0),
            "bidirectional": (self.bidirectional, False),
        }
        changed = [f", {k}={value}" for k, (value, usual) in options.items() if value != usual]
        return f"{self.input_size}, {self.hidden_size}" + "".join(changed)


class RNN(DropIn):
    """Elman's recurrent network (Elman, 1990): `torch.nn.RNN`, with lengths and streaming.

    Arguments, parameters, their initial values and results are torch.nn's; `forward` takes
    `lengths` besides, and `step` reads a stream. The equation stands in `elman.cells.RNNCell`.

    Args:
        input_size: number of features in one step's input.
        hidden_size: number of hidden units of each direction.
        num_layers: number of layers, each reading the outputs of the one below.
        nonlinearity: "tanh" or "relu".
        bias: whether the two biases are added.
        batch_first: whether batches are (B, T, I) rather than (T, B, I).
        dropout: probability that an output between layers is zeroed in training.
        bidirectional: whether a second cell a layer reads the sequence from its end.
        device: where the parameters are made.
        dtype: the parameters' floating-point type.

    Raises:
        InputError: if an option is out of range.
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        nonlinearity: str = "tanh",
        bias: bool = True,
        batch_first: bool = False,
        dropout: float = 0.0,
        bidirectional: bool = False,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__(num_layers, batch_first, dropout, bidirectional)
        self.nonlinearity = nonlinearity
        self._adopt(
            lambda size: RNNCell(size, hidden_size, nonlinearity, bias, device, dtype),
            input_size,
            hidden_size,
            bias,
        )


class GRU(DropIn):
    """Gated recurrent units (Cho et al., 2014): `torch.nn.GRU`, with lengths and streaming.

    Arguments, parameters, their initial values and results are torch.nn's; `forward` takes
    `lengths` besides, and `step` reads a stream. The equations stand in `elman.cells.GRUCell`.

    Args:
        input_size: number of features in one step's input.
        hidden_size: number of hidden units of each direction.
        num_layers: number of layers, each reading the outputs of the one below.
        bias: whether the two biases are added.
        batch_first: whether batches are (B, T, I) rather than (T, B, I).
        dropout: probability that an output between layers is zeroed in training.
        bidirectional: whether a second cell a layer reads the sequence from its end.
        device: where the parameters are made.
        dtype: the parameters' floating-point type.
        reset_after: True for torch's and cuDNN's convention; False for the paper's, in which the
            reset gate acts before the matrix product.

    Raises:
        InputError: if an option is out of range.
    """

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
        *,
        reset_after: bool = True,
    ) -> None:
        super().__init__(num_layers, batch_first, dropout, bidirectional)
        self.reset_after = reset_after
        self._adopt(
            lambda size: GRUCell(size, hidden_size, bias, reset_after, device, dtype),
            input_size,
            hidden_size,
            bias,
        )

    def extra_repr(self) -> str:
        """Return the options as torch.nn's layers do, for `repr`."""
        return super().extra_repr() + ("" if self.reset_after else ", reset_after=False")


class LSTM(DropIn):
    """Long short-term memory (Hochreiter and Schmidhuber, 1997): `torch.nn.LSTM`, and more.

    Arguments, parameters, their initial values and results are torch.nn's; `forward` takes
    `lengths` besides, and `step` reads a stream. The equations stand in `elman.cells.LSTMCell`.

    Args:
        input_size: number of features in one step's input.
        hidden_size: number of hidden units of each direction.
        num_layers: number of layers, each reading the outputs of the one below.
        bias: whether the two biases are added.
        batch_first: whether batches are (B, T, I) rather than (T, B, I).
        dropout: probability that an output between layers is zeroed in training.
        bidirectional: whether a second cell a layer reads the sequence from its end.
        proj_size: if not 0, the width that h is projected to; below `hidden_size`.
        device: where the parameters are made.
        dtype: the parameters' floating-point type.

    Raises:
        InputError: if an option is out of range.
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        bias: bool = True,
        batch_first: bool = False,
        dropout: float = 0.0,
        bidirectional: bool = False,
        proj_size: int = 0,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__(num_layers, batch_first, dropout, bidirectional)
        self._adopt(
            lambda size: LSTMCell(size, hidden_size, bias, proj_size, device, dtype),
            input_size,
            hidden_size,
            bias,
            proj_size,
        )
