"""Weights from and to torch and Keras 3, for cells and for whole layers.

torch and Elman hold the same tensors, named by layer: `weight_ih_l0`, `weight_hh_l0_reverse`.
Keras holds, for each cell, `kernel` (I, G·H), `recurrent_kernel` (H, G·H) and one `bias`: the
transposes, with the gates in an order of its own. Its LSTM and SimpleRNN add one bias where torch
adds two; its GRU with `reset_after=True` has both, as the two rows of its bias.

Every function takes a cell or a layer: anything with `cells`, and `num_directions`.
Shapes: I input features, H hidden features, G gates side by side.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from elman.cells.cell import Cell
from elman.cells.gated import GatedCell
from elman.cells.gru import GRUCell
from elman.cells.lstm import LSTMCell
from elman.cells.rnn import RNNCell
from elman.errors import InputError

# Keras's gates in its order, under this package's names: its c is g, its h is n.
KERAS_GATES: dict[type[GatedCell], tuple[str, ...]] = {
    RNNCell: ("h",),
    GRUCell: ("z", "r", "n"),
    LSTMCell: ("i", "f", "g", "o"),
}


def to_torch(layer: Any) -> dict[str, Tensor]:
    """Return a `state_dict` for the torch.nn layer of the same kind and options.

    Raises:
        InputError: if a cell is one that torch.nn does not have.
    """
    return {
        name + suffix: getattr(cell, name).detach().clone()
        for cell, suffix in _torch_cells(layer)
        for name in cell.weight_names
    }


def from_torch(layer: Any, state_dict: Mapping[str, Tensor]) -> None:
    """Copy the `state_dict` of a torch.nn layer into an Elman layer or cell.

    Raises:
        InputError: if the two differ in kind, options or sizes.
    """
    weights = {
        name + suffix: (cell, name)
        for cell, suffix in _torch_cells(layer)
        for name in cell.weight_names
    }
    if weights.keys() != state_dict.keys():
        missing = sorted(weights.keys() - state_dict.keys())
        extra = sorted(state_dict.keys() - weights.keys())
        raise InputError(
            f"state_dict: expected {', '.join(weights)}; "
            f"missing: {', '.join(missing) or 'none'}; too many: {', '.join(extra) or 'none'}"
        )
    _copy([(*weights[name], tensor, name) for name, tensor in state_dict.items()])


def to_keras(layer: Any) -> list[np.ndarray]:
    """Return the arrays for `set_weights` of the Keras layer of the same kind and options.

    For several layers, the arrays of one Keras layer after the other; for a bidirectional one,
    forward before backward, as Keras's `Bidirectional` has them.

    Raises:
        InputError: if a cell is one that Keras does not have.
    """
    return [array for cell in _cells(layer) for array in _cell_to_keras(cell)]


def from_keras(layer: Any, arrays: Sequence[np.ndarray]) -> None:
    """Copy the arrays of a Keras layer's `get_weights()` into an Elman layer or cell.

    For several layers, the arrays of one Keras layer after the other; for a bidirectional one,
    what Keras's `Bidirectional` gives. Where Keras has one bias, the other one becomes zero.

    Raises:
        InputError: if the two differ in kind, options (`bias`, `reset_after`) or sizes.
    """
    cells = _cells(layer)
    each = 3 if cells[0].bias else 2
    if len(arrays) != each * len(cells):
        raise InputError(
            f"arrays: expected {each} for each of the {len(cells)} cells "
            f"(kernel, recurrent_kernel{', bias' if each == 3 else ''}), got {len(arrays)}"
        )
    copies = []
    for index, cell in enumerate(cells):
        first = index * each
        own = [np.asarray(array) for array in arrays[first : first + each]]
        weights = _cell_from_keras(cell, own, first)
        copies += [
            (cell, name, torch.from_numpy(weight), f"arrays, for {name} of cell {index}")
            for name, weight in weights.items()
        ]
    _copy(copies)


def _cells(layer: Any) -> list[GatedCell]:
    cells: list[Any] = [layer] if isinstance(layer, Cell) else list(layer.cells)
    for cell in cells:
        if type(cell) not in KERAS_GATES:
            raise InputError(f"layer: {type(cell).__name__} has no counterpart to convert to")
        if cell.layer_norm or cell.peepholes:
            option = "layer_norm" if cell.layer_norm else "peepholes"
            raise InputError(
                f"layer: neither torch nor Keras has {type(cell).__name__} with {option}=True"
            )
    return cells


def _torch_cells(layer: Any) -> list[tuple[GatedCell, str]]:
    """Return each cell with the suffix of its parameters' names in torch; a cell's has none."""
    cells = _cells(layer)
    for cell in cells:
        if isinstance(cell, GRUCell) and not cell.reset_after:
            raise InputError("layer: torch has no GRU with reset_after=False")
    if isinstance(layer, Cell):
        return [(cells[0], "")]
    directions = ("", "_reverse")[: layer.num_directions]
    return [
        (cell, f"_l{index // len(directions)}{directions[index % len(directions)]}")
        for index, cell in enumerate(cells)
    ]


def _cell_to_keras(cell: GatedCell) -> list[np.ndarray]:
    if cell.proj_size:
        raise InputError("layer: Keras has no LSTM with a projection (proj_size)")
    there = KERAS_GATES[type(cell)]
    weights = {
        name: _reorder(_to_numpy(getattr(cell, name)), cell.gates, there)
        for name in cell.weight_names
    }
    arrays = [weights["weight_ih"].T.copy(), weights["weight_hh"].T.copy()]
    if cell.bias:
        biases = np.stack([weights["bias_ih"], weights["bias_hh"]])
        arrays.append(biases if _two_biases(cell) else biases.sum(axis=0))
    return arrays


def _cell_from_keras(
    cell: GatedCell, arrays: Sequence[np.ndarray], first: int
) -> dict[str, np.ndarray]:
    if cell.proj_size:
        raise InputError("layer: Keras has no LSTM with a projection (proj_size)")
    here, there = cell.gates, KERAS_GATES[type(cell)]
    columns = len(here) * cell.hidden_size
    shapes = {
        "kernel": (cell.input_size, columns),
        "recurrent_kernel": (cell.hidden_size, columns),
        "bias": (2, columns) if _two_biases(cell) else (columns,),
    }
    for index, (array, (name, shape)) in enumerate(zip(arrays, shapes.items(), strict=False)):
        if array.shape != shape:
            gru = isinstance(cell, GRUCell) and name == "bias"
            hint = "; is reset_after the same on both sides?" if gru else ""
            raise InputError(
                f"arrays[{first + index}] ({name}): expected shape {shape}, got {array.shape}{hint}"
            )
    weights = {"weight_ih": arrays[0].T, "weight_hh": arrays[1].T}
    if cell.bias:
        both = arrays[2] if _two_biases(cell) else (arrays[2], np.zeros_like(arrays[2]))
        weights["bias_ih"], weights["bias_hh"] = both
    return {name: _reorder(weight, there, here) for name, weight in weights.items()}


def _to_numpy(tensor: Tensor) -> np.ndarray:
    """Return the values in float32, or in float64 if they are in that: numpy has no bfloat16."""
    dtype = torch.promote_types(tensor.dtype, torch.float32)
    return tensor.detach().to(device="cpu", dtype=dtype).numpy()


def _two_biases(cell: GatedCell) -> bool:
    """Whether Keras keeps both biases apart: only where the reset gate acts on one of them."""
    return isinstance(cell, GRUCell) and cell.reset_after


def _reorder(rows: np.ndarray, source: tuple[str, ...], target: tuple[str, ...]) -> np.ndarray:
    """Return the array with its gates, equal blocks of rows, in another order."""
    blocks = dict(zip(source, np.split(rows, len(source)), strict=True))
    return np.concatenate([blocks[gate] for gate in target])


def _copy(copies: Sequence[tuple[GatedCell, str, Tensor, str]]) -> None:
    """Copy each tensor into the parameter of that name; all are checked before any is changed."""
    for cell, name, tensor, label in copies:
        parameter = getattr(cell, name)
        if not isinstance(parameter, nn.Parameter):
            raise InputError(f"layer: {name} is computed (parametrized), and cannot be loaded")
        if tensor.shape != parameter.shape:
            raise InputError(
                f"{label}: expected shape {tuple(parameter.shape)}, got {tuple(tensor.shape)}"
            )
    with torch.no_grad():
        for cell, name, tensor, _ in copies:
            getattr(cell, name).copy_(tensor)
