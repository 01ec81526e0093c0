"""What a layer is given, held against what it takes: one line says which argument does not fit.

Shapes: T time, B batch, I input features, L layers, D directions, S the width of a state tensor.
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from elman.cells import Cell, State
from elman.errors import InputError, nearest
from elman.layers.options import LayerOptions

Lengths = Tensor | Sequence[int]


def checked_state(hx: Tensor | State, cell: Cell, num_cells: int, batch: int | None) -> State:
    """Return the given state as a tuple of (L·D, B, S); `batch` None: of one sequence, (L·D, S)."""
    names = cell.state_names
    several = isinstance(hx, tuple | list)
    parts: State = tuple(hx) if several else (hx,)
    kinds = ", ".join(type(part).__name__ for part in parts)
    tensors = all(isinstance(part, Tensor) for part in parts)
    if not tensors or len(parts) != len(names) or several != (len(names) > 1):
        what = f"a tuple of tensors ({', '.join(names)})" if len(names) > 1 else "a tensor"
        raise InputError(f"hx: expected {what}, got {f'({kinds})' if several else kinds}")
    for name, part, size in zip(names, parts, cell.state_sizes, strict=True):
        expected = (num_cells, size) if batch is None else (num_cells, batch, size)
        if tuple(part.shape) != expected:
            axes = "(layers x directions, " + ("size)" if batch is None else "batch, size)")
            raise InputError(
                f"hx ({name}): expected shape {expected} = {axes}, got {tuple(part.shape)}"
            )
    return parts


def check_state(state: State, x_TBI: Tensor, cell: Cell) -> None:
    """Refuse a state that is on another device, or of another dtype, than the input."""
    for name, part in zip(cell.state_names, state, strict=True):
        if part.device != x_TBI.device:
            raise InputError(f"hx ({name}): it is on {part.device}, the input on {x_TBI.device}")
        if part.dtype != x_TBI.dtype and not torch.is_autocast_enabled(x_TBI.device.type):
            raise InputError(
                f"hx ({name}): it is {part.dtype}, the input {x_TBI.dtype}; convert one of them"
            )


def check_input(x_TBI: Tensor, cell: Cell, like: Tensor | None) -> None:
    """Refuse an input without steps, or that fits neither the cell nor its parameters' place."""
    if x_TBI.shape[-1] != cell.input_size:
        raise InputError(
            f"input: expected {cell.input_size} features (input_size) in the last dimension, "
            f"got {x_TBI.shape[-1]}"
        )
    if x_TBI.shape[0] == 0:
        raise InputError("input: expected at least one time step, got none")
    if like is None:
        return
    if like.device != x_TBI.device:
        raise InputError(
            f"input: it is on {x_TBI.device}, the layer on {like.device}; move one of them, "
            f"as in x.to({str(like.device)!r})"
        )
    if like.dtype != x_TBI.dtype and not torch.is_autocast_enabled(x_TBI.device.type):
        raise InputError(
            f"input: it is {x_TBI.dtype}, the layer's parameters are {like.dtype}; convert "
            f"one of them, as in x.to({like.dtype})"
        )


def checked_lengths(lengths: Lengths, batch: int, num_steps: int) -> Tensor | None:
    """Return the lengths as int64 on the CPU, or None if no row has padding."""
    given = torch.as_tensor(lengths).detach().cpu()
    if given.numel() and (given.is_floating_point() or given.dtype == torch.bool):
        mask = "; of a mask (B, T), pass mask.sum(1)" if given.dtype == torch.bool else ""
        raise InputError(f"lengths: expected integers, got {given.dtype}{mask}")
    if given.shape != (batch,):
        raise InputError(
            f"lengths: expected one for each of the {batch} rows of the batch, "
            f"got shape {tuple(given.shape)}"
        )
    given = given.long()
    for row, length in enumerate(given.tolist()):
        if not 0 <= length <= num_steps:
            raise InputError(
                f"lengths[{row}]: expected 0 to {num_steps}, the number of steps, got {length}"
            )
    return None if bool((given == num_steps).all()) else given


def checked_options(layer: type, given: Mapping[str, Any]) -> LayerOptions:
    """Return the options; of one that is unknown the error names the nearest argument."""
    name = f"elman.{layer.__name__}"
    arguments = [
        parameter.name
        for parameter in inspect.signature(layer).parameters.values()
        if parameter.kind is not parameter.VAR_KEYWORD
    ]
    known = [*arguments, *LayerOptions.model_fields]
    for word in given:
        if word not in known:
            hint = nearest(word, known) or f"; expected one of: {', '.join(known)}"
            raise InputError(f"{name}: unknown option {word!r}{hint}")
    return LayerOptions.parse(given, name)
