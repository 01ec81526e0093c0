"""The one implementation of a stack of cells: layers, directions, lengths, packing, streaming.

Shapes: T time, B batch, I input features, H output features (of all directions), L layers,
D directions, S the width of one state tensor.
"""

from __future__ import annotations

import numbers
import warnings
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.rnn import PackedSequence

from elman import engines
from elman.cells import Cell, State
from elman.errors import InputError

Lengths = Tensor | Sequence[int]


class Stack(nn.Module):
    """Layers of cells, each reading the outputs of the one below; base of every recurrent layer.

    A subclass provides `cells`, one for each layer and direction: layer by layer, forward before
    backward.

    Raises:
        InputError: if an option is out of range.
    """

    cells: Any  # Sequence[Cell], or nn.ModuleList

    def __init__(
        self,
        num_layers: int,
        batch_first: bool,
        dropout: float,
        bidirectional: bool,
        recompute: bool,
    ) -> None:
        super().__init__()
        if not isinstance(num_layers, int) or num_layers < 1:
            raise InputError(f"num_layers: expected a positive integer, got {num_layers!r}")
        flags = {
            "batch_first": batch_first,
            "bidirectional": bidirectional,
            "recompute": recompute,
        }
        for name, flag in flags.items():
            if not isinstance(flag, bool):
                raise InputError(f"{name}: expected True or False, got {flag!r}")
        probability = isinstance(dropout, numbers.Real) and not isinstance(dropout, bool)
        if not probability or not 0 <= dropout <= 1:
            raise InputError(f"dropout: expected a probability from 0 to 1, got {dropout!r}")
        if dropout > 0 and num_layers == 1:
            warnings.warn(
                f"dropout={dropout} acts between layers, and num_layers=1 has nothing between: "
                "it does nothing here",
                stacklevel=3,
            )
        self.num_layers = num_layers
        self.batch_first = batch_first
        self.dropout = float(dropout)
        self.bidirectional = bidirectional
        self.recompute = recompute

    @property
    def num_directions(self) -> int:
        """2 if bidirectional, else 1."""
        return 2 if self.bidirectional else 1

    def forward(
        self,
        input: Tensor | PackedSequence,  # noqa: A002 - torch's name, for a drop-in
        hx: Tensor | State | None = None,
        *,
        lengths: Lengths | None = None,
    ) -> tuple[Tensor | PackedSequence, Tensor | State]:
        """Run over whole sequences.

        Args:
            input: (T, B, I), or (B, T, I) if `batch_first`; one sequence (T, I); or packed.
            hx: the state before the first step, zeros if None: for each state tensor of the
                cell, (L·D, B, S), or (L·D, S) for one sequence; a tuple if there are several.
            lengths: for a batch padded on the right, how many steps of each row are real, from
                0 to T: a tensor or a sequence of B integers. What the padding holds is not read.

        Returns:
            The outputs of the last layer, shaped as the input with H features, zero past a row's
            end; and the state after each row's last real step, shaped as `hx`, in both directions
            (backwards, the last step read is the first in time).

        Raises:
            InputError: if a shape, a dtype or a length does not fit.
        """
        if isinstance(input, PackedSequence):
            return self._forward_packed(input, hx, lengths)
        if input.dim() not in (2, 3):
            raise InputError(
                "input: expected 3 dimensions (a batch) or 2 (one sequence), "
                f"got shape {tuple(input.shape)}"
            )
        if input.dim() == 2:
            if lengths is not None:
                raise InputError("lengths: only for a batch; of one sequence, pass x[:length]")
            y_TBH, state = self._run(input.unsqueeze(1), self._parts(hx, None), None)
            return y_TBH.squeeze(1), _joined(tuple(part.squeeze(1) for part in state))
        x_TBI = input.transpose(0, 1) if self.batch_first else input
        num_steps, batch = x_TBI.shape[:2]
        checked = None if lengths is None else _checked_lengths(lengths, batch, num_steps)
        y_TBH, state = self._run(x_TBI, self._parts(hx, batch), checked)
        return y_TBH.transpose(0, 1) if self.batch_first else y_TBH, _joined(state)

    def step(
        self, x: Tensor, state: Tensor | State | None = None, *, inplace: bool = False
    ) -> tuple[Tensor, Tensor | State]:
        """Read one time step of a stream.

        Step by step, with the state passed on, it gives what `forward` gives on the whole.

        Args:
            x: one step's input (B, I), or (I,) for one stream.
            state: what the step before returned, shaped as `hx` of `forward`; None at the start.
            inplace: write the new state over the old one, and return that; the output is then
                overwritten by the next such step, too. Nothing is allocated. Without gradients
                only.

        Returns:
            The output (B, H), or (H,), and the state after this step.

        Raises:
            InputError: if the layer is bidirectional, a shape or dtype does not fit, or `inplace`
                is asked for where gradients are recorded.
        """
        if self.bidirectional:
            raise InputError(
                "step: a bidirectional layer also reads from the sequence's end, which a stream "
                "does not have yet; use bidirectional=False"
            )
        if x.dim() not in (1, 2):
            raise InputError(f"x: expected shape (B, I) or (I,), got {tuple(x.shape)}")
        if x.dim() == 1:
            y_TBH, new = self._run(x[None, None], self._parts(state, None), None)
            y, new = y_TBH[0, 0], _joined(tuple(part.squeeze(1) for part in new))
        else:
            y_TBH, new = self._run(x[None], self._parts(state, x.shape[0]), None)
            y, new = y_TBH[0], _joined(new)
        if not inplace or state is None:
            return y, new
        if y.requires_grad:
            raise InputError(
                "step: inplace=True would overwrite what the backward pass needs; step inside "
                "torch.no_grad() or without inplace"
            )
        old = _tensors(state)
        if len({part.data_ptr() for part in old if part.numel()}) < len(old) and old[0].numel():
            raise InputError(
                "step: inplace=True needs memory of its own for each state tensor, and these "
                "share theirs; clone one of them"
            )
        for part, replacement in zip(old, _tensors(new), strict=True):
            part.copy_(replacement)
        return y, state

    def _forward_packed(
        self, packed: PackedSequence, hx: Tensor | State | None, lengths: Lengths | None
    ) -> tuple[PackedSequence, Tensor | State]:
        if lengths is not None:
            raise InputError("lengths: a PackedSequence carries its own; pass one or the other")
        num_steps, batch = len(packed.batch_sizes), int(packed.batch_sizes[0])
        inside_TB = torch.arange(batch) < packed.batch_sizes.unsqueeze(1)  # in packed order of rows
        rows_B = torch.arange(batch)
        if packed.sorted_indices is not None:
            rows_B = packed.sorted_indices.cpu()
        index_N = (torch.arange(num_steps).unsqueeze(1) * batch + rows_B)[inside_TB]
        index_N = index_N.to(packed.data.device)
        row_lengths = torch.empty(batch, dtype=torch.long).index_copy(0, rows_B, inside_TB.sum(0))
        # Padding is left as it is: no engine reads it.
        x_TBI = _Spread.apply(packed.data, index_N, num_steps * batch)
        y_TBH, state = self._run(
            x_TBI.unflatten(0, (num_steps, batch)),
            self._parts(hx, batch),
            _checked_lengths(row_lengths, batch, num_steps),
        )
        data = _Collect.apply(y_TBH.flatten(0, 1), index_N)
        return PackedSequence(data, *packed[1:]), _joined(state)

    def _run(
        self, x_TBI: Tensor, state: State | None, lengths: Tensor | None
    ) -> tuple[Tensor, State]:
        """Run every layer and direction, time first; each state tensor is (L·D, B, S)."""
        cells: Sequence[Cell] = self.cells
        self._check_input(x_TBI, cells[0])
        if state is not None:
            self._check_state(state, x_TBI, cells[0])
        batch = x_TBI.shape[1]
        finals: list[State] = []
        for layer in range(self.num_layers):
            outputs = []
            for direction in range(self.num_directions):
                index = len(finals)
                cell = cells[index]
                if state is None:
                    start = cell.initial_state(batch, device=x_TBI.device, dtype=x_TBI.dtype)
                else:
                    start = tuple(part[index] for part in state)
                y_TBH, final = engines.unroll(
                    cell,
                    x_TBI,
                    start,
                    lengths=lengths,
                    reverse=direction == 1,
                    recompute=self.recompute,
                )
                outputs.append(y_TBH)
                finals.append(final)
            x_TBI = torch.cat(outputs, dim=-1) if self.bidirectional else outputs[0]
            if self.dropout and layer < self.num_layers - 1:
                x_TBI = F.dropout(x_TBI, self.dropout, self.training)
        if len(finals) == 1:
            return x_TBI, tuple(part.unsqueeze(0) for part in finals[0])
        return x_TBI, tuple(torch.stack(parts) for parts in zip(*finals, strict=True))

    def _a_parameter(self) -> Tensor | None:
        """Return one parameter, whose device and dtype are all the others', or None."""
        return next(self.parameters(), None)

    def _parts(self, hx: Tensor | State | None, batch: int | None) -> State | None:
        """Return the given state as a tuple of (L·D, B, S), checked; `batch` None: unbatched."""
        if hx is None:
            return None
        cell: Cell = self.cells[0]
        names = cell.state_names
        several = isinstance(hx, tuple | list)
        parts: State = tuple(hx) if several else (hx,)
        kinds = ", ".join(type(part).__name__ for part in parts)
        tensors = all(isinstance(part, Tensor) for part in parts)
        if not tensors or len(parts) != len(names) or several != (len(names) > 1):
            what = f"a tuple of tensors ({', '.join(names)})" if len(names) > 1 else "a tensor"
            raise InputError(f"hx: expected {what}, got {f'({kinds})' if several else kinds}")
        rows = self.num_layers * self.num_directions
        for name, part, size in zip(names, parts, cell.state_sizes, strict=True):
            expected = (rows, size) if batch is None else (rows, batch, size)
            if tuple(part.shape) != expected:
                axes = "(layers x directions, " + ("size)" if batch is None else "batch, size)")
                raise InputError(
                    f"hx ({name}): expected shape {expected} = {axes}, got {tuple(part.shape)}"
                )
        return tuple(part.unsqueeze(1) for part in parts) if batch is None else parts

    def _check_state(self, state: State, x_TBI: Tensor, cell: Cell) -> None:
        for name, part in zip(cell.state_names, state, strict=True):
            if part.device != x_TBI.device:
                raise InputError(
                    f"hx ({name}): it is on {part.device}, the input on {x_TBI.device}"
                )
            if part.dtype != x_TBI.dtype and not torch.is_autocast_enabled(x_TBI.device.type):
                raise InputError(
                    f"hx ({name}): it is {part.dtype}, the input {x_TBI.dtype}; convert one of them"
                )

    def _check_input(self, x_TBI: Tensor, cell: Cell) -> None:
        if x_TBI.shape[-1] != cell.input_size:
            raise InputError(
                f"input: expected {cell.input_size} features (input_size) in the last dimension, "
                f"got {x_TBI.shape[-1]}"
            )
        if x_TBI.shape[0] == 0:
            raise InputError("input: expected at least one time step, got none")
        like = self._a_parameter()
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


class _Spread(torch.autograd.Function):
    """Rows to their places among `num_rows`; what lies between them is not initialised."""

    @staticmethod
    def forward(ctx: Any, data_NF: Tensor, index_N: Tensor, num_rows: int) -> Tensor:
        ctx.save_for_backward(index_N)
        return data_NF.new_empty(num_rows, data_NF.shape[1]).index_copy_(0, index_N, data_NF)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None]:
        (d_rows,), (index_N,) = gradients, ctx.saved_tensors
        return _Collect.apply(d_rows, index_N), None, None


class _Collect(torch.autograd.Function):
    """The rows at an index that names each at most once; torch's own gradient adds row by row."""

    @staticmethod
    def forward(ctx: Any, rows: Tensor, index_N: Tensor) -> Tensor:
        ctx.save_for_backward(index_N)
        ctx.num_rows = len(rows)
        return rows.index_select(0, index_N)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        (d_data_NF,), (index_N,) = gradients, ctx.saved_tensors
        zeros = d_data_NF.new_zeros(ctx.num_rows, d_data_NF.shape[1])
        return zeros.index_copy(0, index_N, d_data_NF), None


def _tensors(state: Tensor | State) -> State:
    return (state,) if isinstance(state, Tensor) else tuple(state)


def _joined(state: State) -> Tensor | State:
    """Return the state as the caller holds it: a lone tensor without its tuple."""
    return state[0] if len(state) == 1 else state


def _checked_lengths(lengths: Lengths, batch: int, num_steps: int) -> Tensor | None:
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
