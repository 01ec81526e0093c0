"""The one implementation of a stack of cells: layers, directions, lengths, packing, streaming.

Shapes: T time, B batch, I input features, H output features (of all directions), L layers,
D directions, S the width of one state tensor.
"""

from __future__ import annotations

import numbers
import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence

from elman.cells import Cell, State
from elman.errors import InputError
from elman.layers import checks
from elman.layers.checks import Lengths
from elman.layers.initial import initialise, refusal
from elman.layers.noise import Noise, without_some_weights
from elman.layers.options import LayerOptions
from elman.layers.packed import packed_like, unpacked
from elman.layers.running import Running
from elman.layers.skips import Highway, Residual


class Stack(nn.Module):
    """Layers of cells, each reading the outputs of the one below; base of every recurrent layer.

    A subclass provides `cells`, one for each layer and direction: layer by layer, forward before
    backward; and calls `_prepare` once they are there.

    Args:
        num_layers: number of layers.
        batch_first: whether batches are (B, T, I) rather than (T, B, I).
        dropout: probability that an output between layers is zeroed in training.
        bidirectional: whether a second cell a layer reads the sequence from its end.
        given: what else the caller gave: options of `LayerOptions`, by name.

    Raises:
        InputError: if an option is unknown or out of range.
    """

    cells: Any  # Sequence[Cell], or nn.ModuleList
    skips: nn.ModuleList | None

    def __init__(
        self,
        num_layers: int,
        batch_first: bool,
        dropout: float,
        bidirectional: bool,
        given: Mapping[str, Any],
    ) -> None:
        super().__init__()
        self.options = checks.checked_options(type(self), given)
        if not isinstance(num_layers, int) or num_layers < 1:
            raise InputError(f"num_layers: expected a positive integer, got {num_layers!r}")
        flags = {"batch_first": batch_first, "bidirectional": bidirectional}
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
        if self.options.skip != "none" and num_layers == 1:
            raise InputError(
                f"skip={self.options.skip!r}: goes past each layer from the second on, and "
                "num_layers is 1; use more layers, or leave it out"
            )

    def _prepare(self) -> None:
        """Make what the options ask for beside the cells, and let all begin as they say."""
        options, cells = self.options, self.cells
        first: Cell = cells[0]
        if (error := refusal(options, first)) is not None:
            raise error
        like = self._a_parameter()
        made = {} if like is None else {"device": like.device, "dtype": like.dtype}
        # Whether a step is more than its cells', in evaluation too; and whether in training only.
        self._is_more = options.skip != "none" or bool(options.zoneout or options.zoneout_cell)
        self._is_noisy = self._is_more or bool(
            options.input_dropout or options.recurrent_dropout or options.weight_drop
        )
        if options.learn_state:
            for name, size in zip(first.state_names, first.state_sizes, strict=True):
                self.register_parameter(
                    f"{name}_0", nn.Parameter(torch.empty(len(cells), size, **made))
                )
        self.skips = None
        if options.skip == "highway":
            width = first.output_size * self.num_directions
            gates = (
                Highway(width, made.get("device"), made.get("dtype"))
                for _ in range(self.num_layers - 1)
            )
            self.skips = nn.ModuleList(gates)
        elif options.skip == "residual":
            self.skips = nn.ModuleList(Residual() for _ in range(self.num_layers - 1))
        self._begin()

    def _begin(self) -> None:
        """Set what does not begin as torch draws it."""
        cells: Sequence[Cell] = self.cells
        for cell in cells:
            initialise(cell, self.options)
        if self.options.learn_state:
            with torch.no_grad():
                for index, cell in enumerate(cells):
                    for name, part in zip(cell.state_names, cell.initial_state(1), strict=True):
                        getattr(self, f"{name}_0")[index].copy_(part[0])

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
        checked = None if lengths is None else checks.checked_lengths(lengths, batch, num_steps)
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

    def initial_state(
        self,
        batch: int,
        *,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> State:
        """Return the state before the first step: (L·D, B, S) for each state name of the cell.

        The cells' own, zeros as a rule; with `learn_state` what was learnt, in the parameters'
        dtype and on their device.
        """
        if self.options.learn_state:
            names = self.cells[0].state_names
            learnt = [getattr(self, f"{name}_0") for name in names]
            return tuple(part.unsqueeze(1).expand(-1, batch, -1) for part in learnt)
        each = [cell.initial_state(batch, device=device, dtype=dtype) for cell in self.cells]
        return tuple(torch.stack(parts) for parts in zip(*each, strict=True))

    def _forward_packed(
        self, packed: PackedSequence, hx: Tensor | State | None, lengths: Lengths | None
    ) -> tuple[PackedSequence, Tensor | State]:
        if lengths is not None:
            raise InputError("lengths: a PackedSequence carries its own; pass one or the other")
        x_TBI, row_lengths, index_N = unpacked(packed)
        num_steps, batch = x_TBI.shape[:2]
        checked = checks.checked_lengths(row_lengths, batch, num_steps)
        y_TBH, state = self._run(x_TBI, self._parts(hx, batch), checked)
        return packed_like(packed, y_TBH, index_N), _joined(state)

    def _run(
        self, x_TBI: Tensor, state: State | None, lengths: Tensor | None
    ) -> tuple[Tensor, State]:
        """Run every layer and direction, time first; each state tensor is (L·D, B, S)."""
        cells: Sequence[Cell] = self.cells
        checks.check_input(x_TBI, cells[0], self._a_parameter())
        if state is not None:
            checks.check_state(state, x_TBI, cells[0])
        options, batch, training = self.options, x_TBI.shape[1], self.training
        if state is None and options.learn_state:
            state = self.initial_state(batch)
        if state is None:
            make = {"device": x_TBI.device, "dtype": x_TBI.dtype}
            starts = [cell.initial_state(batch, **make) for cell in cells]
        else:
            starts = [tuple(part[index] for part in state) for index in range(len(cells))]
        noise = None
        if training and options.weight_drop:
            cells = without_some_weights(cells, options.weight_drop)
        if self._is_noisy:
            each = self.num_directions
            noise = [
                Noise.draw(options, cells[first : first + each], x_TBI, training)
                for first in range(0, len(cells), each)
            ]
        running = Running(
            cells,
            self.num_directions,
            lengths,
            self.dropout if training and self.num_layers > 1 else 0.0,
            noise,
            self.skips,
        )
        if options.memory == "sqrt" and not self.bidirectional:
            y_TBH, finals = running.run_in_segments(x_TBI, starts)
        else:
            y_TBH, finals = running.run(x_TBI, starts, options.memory)
        if len(finals) == 1:
            return y_TBH, tuple(part.unsqueeze(0) for part in finals[0])
        return y_TBH, tuple(torch.stack(parts) for parts in zip(*finals, strict=True))

    def _more_options(self) -> dict[str, tuple[Any, Any]]:
        """Return each of `options` with its default, for `repr`."""
        fields = LayerOptions.model_fields
        return {name: (value, fields[name].default) for name, value in self.options}

    def _a_parameter(self) -> Tensor | None:
        """Return one parameter, whose device and dtype are all the others', or None."""
        return next(self.parameters(), None)

    def _parts(self, hx: Tensor | State | None, batch: int | None) -> State | None:
        """Return the given state as a tuple of (L·D, B, S), checked; `batch` None: unbatched."""
        if hx is None:
            return None
        parts = checks.checked_state(
            hx, self.cells[0], self.num_layers * self.num_directions, batch
        )
        return tuple(part.unsqueeze(1) for part in parts) if batch is None else parts


def _tensors(state: Tensor | State) -> State:
    return (state,) if isinstance(state, Tensor) else tuple(state)


def _joined(state: State) -> Tensor | State:
    """Return the state as the caller holds it: a lone tensor without its tuple."""
    return state[0] if len(state) == 1 else state
