"""RNN, GRU and LSTM: drop-in replacements for torch.nn's, and more.

The parameters live in the layer under torch's names (`weight_ih_l0`, …), so that a `state_dict`
goes both ways; the cells are handed them at each use, so that whatever replaces a parameter (a
move to a device, `functional_call`, a parametrization) is what they compute with.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable
from typing import Any, Unpack

import torch
from torch import Tensor
from torch.autograd.graph import increment_version

from elman import engines
from elman.cells import GatedCell, GRUCell, LSTMCell, RNNCell, State
from elman.engines import native
from elman.layers.options import LayerKeywords
from elman.layers.skips import Highway
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
        layer_norm: bool = False,
    ) -> None:
        """Make the cells in torch's order, and take their parameters over under torch's names."""
        self.input_size = input_size
        self.hidden_size = hidden_size
        self.bias = bias
        self.proj_size = proj_size
        self.layer_norm = layer_norm
        # Of the last in-place step: its h, where in memory the last layer's lies, and that as y.
        self._stepped: tuple[weakref.ref[Tensor], int, Tensor] | None = None
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
        cell = next(iter(self._hollow_cells.values()))
        self._step_kind = native.kind(cell)
        has = cell.weight_names
        self._step_names = tuple(
            tuple(f"{name}_l{layer}" if name in has else None for name in native.WEIGHTS)
            for layer in range(self.num_layers)
            if not self.bidirectional
        )
        self._prepare()

    def step(
        self, x: Tensor, state: Tensor | State | None = None, *, inplace: bool = False
    ) -> tuple[Tensor, Tensor | State]:
        """Read one time step of a stream; see `Stack.step`."""
        # A step takes about as long as a few lines of Python: straight to the kernel where all
        # is plain, in the general way, which also says what is wrong, everywhere else.
        if (
            state is not None
            and engines.steps_natively()
            and not (self.dropout and self.training)
            and not (self._is_noisy and (self.training or self._is_more))
        ):
            y = None if inplace else _new(*x.shape[:-1], self.proj_size or self.hidden_size)
            fresh = state if inplace else _like(state)
            at = native.step(
                self._step_kind, self._step_names, self._parameters, x, state, fresh, y
            )
            if at and y is not None:
                return y, fresh
            if at:
                h: Any = fresh[0] if type(fresh) is tuple else fresh
                if not h.is_inference():
                    # A graph that kept the old state is to notice.
                    increment_version(state)
                last = self._stepped
                if last is None or last[0]() is not h or last[1] != at:
                    self.__dict__["_stepped"] = last = (weakref.ref(h), at, h[-1])
                return last[2], fresh
        return super().step(x, state, inplace=inplace)

    def __getstate__(self) -> dict[str, Any]:
        """Return what copies and pickles hold: not the last stream's state."""
        return {**self.__dict__, "_stepped": None}

    @property
    def cells(self) -> list[GatedCell]:  # pyright: ignore[reportIncompatibleVariableOverride]
        """The cells, with the parameters the layer has now: by layer, forward before backward."""
        return [
            cell.bind({name: getattr(self, name + suffix) for name in cell.weight_names})
            for suffix, cell in self._hollow_cells.items()
        ]

    def _a_parameter(self) -> Tensor:
        return self.weight_ih_l0  # pyright: ignore[reportReturnType]

    @property
    def all_weights(self) -> list[list[Tensor]]:
        """The parameters of each cell, as torch lists them."""
        return [cell.weights for cell in self.cells]

    def reset_parameters(self) -> None:
        """Draw every parameter anew: from U(-1/√H, 1/√H), or as the options say."""
        for cell in self.cells:
            cell.reset_parameters()
        for skip in self.skips or ():
            if isinstance(skip, Highway):
                skip.reset_parameters()
        self._begin()

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
            **self._more_options(),
            "layer_norm": (self.layer_norm, False),
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
        layer_norm: whether the sums are normalised (Ba et al., 2016): parameters `norm_ih_l0`,
            `norm_hh_l0`, … beside torch's.
        options: dropouts, zoneout, skips, how parameters begin, what training keeps in memory:
            see `elman.layers.LayerOptions`.

    Raises:
        InputError: if an option is unknown, out of range, or means nothing to this layer.
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
        *,
        layer_norm: bool = False,
        **options: Unpack[LayerKeywords],
    ) -> None:
        super().__init__(num_layers, batch_first, dropout, bidirectional, options)
        self.nonlinearity = nonlinearity
        self._adopt(
            lambda size: RNNCell(
                size, hidden_size, nonlinearity, bias, device, dtype, layer_norm=layer_norm
            ),
            input_size,
            hidden_size,
            bias,
            layer_norm=layer_norm,
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
        layer_norm: whether the sums are normalised (Ba et al., 2016): parameters `norm_ih_l0`,
            `norm_hh_l0`, … beside torch's; only with reset_after=True.
        options: dropouts, zoneout, skips, how parameters begin, what training keeps in memory:
            see `elman.layers.LayerOptions`.

    Raises:
        InputError: if an option is unknown, out of range, or means nothing to this layer.
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
        layer_norm: bool = False,
        **options: Unpack[LayerKeywords],
    ) -> None:
        super().__init__(num_layers, batch_first, dropout, bidirectional, options)
        self.reset_after = reset_after
        self._adopt(
            lambda size: GRUCell(
                size, hidden_size, bias, reset_after, device, dtype, layer_norm=layer_norm
            ),
            input_size,
            hidden_size,
            bias,
            layer_norm=layer_norm,
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
        layer_norm: whether the sums are normalised (Ba et al., 2016): parameters `norm_ih_l0`,
            `norm_hh_l0`, … beside torch's, `norm_c_l0` and `bias_c_l0` of the memory that is read.
        peepholes: whether the gates see the memory (Gers and Schmidhuber, 2000): parameters
            `peephole_l0`, ….
        options: dropouts, zoneout, skips, how parameters begin, what training keeps in memory:
            see `elman.layers.LayerOptions`.

    Raises:
        InputError: if an option is unknown, out of range, or means nothing to this layer.
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
        *,
        layer_norm: bool = False,
        peepholes: bool = False,
        **options: Unpack[LayerKeywords],
    ) -> None:
        super().__init__(num_layers, batch_first, dropout, bidirectional, options)
        self.peepholes = peepholes
        self._adopt(
            lambda size: LSTMCell(
                size,
                hidden_size,
                bias,
                proj_size,
                device,
                dtype,
                layer_norm=layer_norm,
                peepholes=peepholes,
            ),
            input_size,
            hidden_size,
            bias,
            proj_size,
            layer_norm,
        )

    def extra_repr(self) -> str:
        """Return the options as torch.nn's layers do, for `repr`."""
        return super().extra_repr() + (", peepholes=True" if self.peepholes else "")


def _like(state: Any) -> Any:
    """Return new memory like a state, or None if it is none, for the general way to say so."""
    if isinstance(state, Tensor):
        return _new(*state.shape)
    if isinstance(state, tuple) and all(isinstance(part, Tensor) for part in state):
        return tuple(_new(*part.shape) for part in state)
    return None


def _new(*shape: int) -> Tensor:
    return torch.empty(shape, dtype=torch.float32, device="cpu")
