"""The aten engine: torch's own kernels, oneDNN on a CPU and cuDNN on a GPU where they apply.

Ragged batches run without their padding, which is neither read nor computed.
Shapes: T time, B batch, I input features, H output features, N real steps of all rows together.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch._compile import _disable_dynamo  # torch.compiler.disable, but loaded when first called

from elman.cells import Cell, GatedCell, GRUCell, LSTMCell, RNNCell, State
from elman.engines import reference
from elman.engines.how import How

RECOMPUTES = False
KERNELS = {GRUCell.step: torch.gru, LSTMCell.step: torch.lstm}
RNN_KERNELS = {"tanh": torch.rnn_tanh, "relu": torch.rnn_relu}


def unavailable() -> str | None:
    """Return why this machine cannot run the engine: wherever torch runs, it can."""
    return None


def refuses(cell: Cell, x_TBI: Tensor, how: How) -> str | None:
    """Return why torch's kernels cannot compute this call, or None if they can."""
    if _kernel(cell) is None or not isinstance(cell, GatedCell):
        return f"{type(cell).__name__} has a step of its own, for which torch has no kernel"
    if isinstance(cell, GRUCell) and not cell.reset_after:
        return "torch's GRU kernel resets after the matrix product; this cell, before it"
    if cell.layer_norm or cell.peepholes:
        return "torch's kernels have no layer normalisation and no peepholes"
    if how.recurrent_mask is not None or how.zoneout is not None:
        return "torch's kernels drop nothing inside the recurrence"
    if not x_TBI.is_floating_point():
        return f"torch's kernels need floating-point input, got {x_TBI.dtype}"
    device = x_TBI.device.type
    if x_TBI.dtype != cell.weight_ih.dtype and not torch.is_autocast_enabled(device):
        return f"input is {x_TBI.dtype}, the parameters are {cell.weight_ih.dtype}"
    if device == "mps" and cell.proj_size:
        return "torch's LSTM has no projection on MPS"
    if torch._C._are_functorch_transforms_active():
        return "torch's fused kernels have no rules for torch.func's transforms (vmap, jvp)"
    return None


def unroll(cell: Cell, x_TBI: Tensor, state: State, how: How) -> tuple[Tensor, State]:
    """Run the cell over time; see `elman.engines.unroll`."""
    if how.lengths is not None:
        return _unroll_ragged(cell, x_TBI, state, how.lengths, how.reverse)
    y_TBH, state = _call(cell, x_TBI.flip(0) if how.reverse else x_TBI, state)
    return y_TBH.flip(0) if how.reverse else y_TBH, state


def _unroll_ragged(
    cell: Cell, x_TBI: Tensor, state: State, lengths: Tensor, reverse: bool
) -> tuple[Tensor, State]:
    """Run only the real steps, packed: step by step, at each the rows that are still going on.

    One index says where each packed step lies in the batch. It sorts the rows by length, leaves
    out padding and empty rows, and turns each row round if it is to be read from its end.
    """
    num_steps, batch = x_TBI.shape[:2]
    lengths, rows = lengths.sort(descending=True, stable=True)
    steps_T1 = torch.arange(num_steps).unsqueeze(1)
    inside_TB = steps_T1 < lengths
    times_TB = (lengths - 1 - steps_T1) if reverse else steps_T1.expand(-1, batch)
    index_N = (times_TB * batch + rows)[inside_TB].to(x_TBI.device)
    batch_sizes = inside_TB.sum(dim=1)
    batch_sizes = batch_sizes[batch_sizes > 0]
    alive = rows[lengths > 0].to(x_TBI.device)

    if len(alive) == 0:
        # torch refuses to run nothing; yet everything must have its gradient, of zero.
        return reference.unroll(cell, x_TBI, state, How(lengths, reverse))
    run = _call if x_TBI.is_cuda else _call_in_stretches
    y_NH, last = run(
        cell,
        x_TBI.flatten(0, 1).index_select(0, index_N),
        tuple(part.index_select(0, alive) for part in state),
        batch_sizes,
    )
    y_TBH = y_NH.new_zeros(num_steps * batch, y_NH.shape[1]).index_copy(0, index_N, y_NH)
    # Autocast may return a state narrower than the one it was given.
    state = tuple(
        old.to(new.dtype).index_copy(0, alive, new) for old, new in zip(state, last, strict=True)
    )
    return y_TBH.unflatten(0, (num_steps, batch)), state


def _call_in_stretches(
    cell: Cell, x_NI: Tensor, state: State, batch_sizes: Tensor
) -> tuple[Tensor, State]:
    """Run packed input as dense stretches of time, between the steps at which rows end.

    Only cuDNN has a kernel for packed input. Elsewhere torch loops over its steps, leaves oneDNN
    aside, and its backward pass takes time quadratic in the number of steps.
    """
    rows, steps = batch_sizes.unique_consecutive(return_counts=True)
    outputs, ended = [], []
    for x, num_rows, num_steps in zip(
        x_NI.split((rows * steps).tolist()), rows.tolist(), steps.tolist(), strict=True
    ):
        ended.append(tuple(part[num_rows:] for part in state))
        going_on = tuple(part[:num_rows] for part in state)
        y, state = _call(cell, x.unflatten(0, (num_steps, num_rows)), going_on)
        outputs.append(y.flatten(0, 1))
    # The longest rows come first, and end last.
    last = zip(state, *reversed(ended), strict=True)
    return torch.cat(outputs), tuple(torch.cat(parts) for parts in last)


def _kernel(cell: Any) -> Any:
    """Return torch's function for the recurrence `cell.step` computes, or None."""
    step = vars(cell).get("step", type(cell).step)
    if step is RNNCell.step:
        return RNN_KERNELS[cell.nonlinearity]
    return KERNELS.get(step)


def _call(
    cell: Any, x: Tensor, state: State, batch_sizes: Tensor | None = None
) -> tuple[Tensor, State]:
    """Call torch's kernel, one layer in one direction, on dense or on packed input."""
    # torch.compile leaves torch's own recurrent layers to eager mode, and so these: traced, the
    # backward pass of oneDNN's LSTM fails. The detour would load the compiler for everybody else.
    call = _call_uncompiled if torch.compiler.is_compiling() else _call_kernel
    return call(cell, x, state, batch_sizes)


def _call_kernel(
    cell: Any, x: Tensor, state: State, batch_sizes: Tensor | None
) -> tuple[Tensor, State]:
    several = len(state) > 1
    # With a leading axis for torch's (layers x directions); cuDNN wants it contiguous.
    hx = [part.unsqueeze(0).contiguous() for part in state]
    # Packed input is followed by its batch sizes; of a dense one the last argument is batch_first.
    before, after = ((x,), (False,)) if batch_sizes is None else ((x, batch_sizes), ())
    y, *last = _kernel(cell)(
        *before,
        hx if several else hx[0],
        _one_buffer(cell),
        cell.bias,
        1,  # layers
        0.0,  # dropout
        # Without it cuDNN keeps nothing for the backward pass; nothing else depends on it here.
        torch.is_grad_enabled(),
        False,  # bidirectional
        *after,
    )
    return y, tuple(part.squeeze(0) for part in last)


_call_uncompiled = _disable_dynamo(_call_kernel)


def _one_buffer(cell: GatedCell) -> list[Tensor]:
    """Return the weights as cuDNN wants them: views of one buffer, in its order, biases last.

    Given anything else cuDNN makes the same copy at each call, and warns.
    """
    weights = cell.weights
    if not weights[0].is_cuda:
        return weights
    parts = [weight.reshape(-1) for weight in weights]
    sizes = [weight.numel() for weight in weights]
    if not cell.bias:
        # cuDNN adds biases always, and reads them here.
        sizes.append(2 * len(cell.weight_ih))
        parts.append(weights[0].new_zeros(sizes[-1]))
    views = torch.cat(parts).split(sizes)
    return [view.view_as(weight) for view, weight in zip(views, weights, strict=False)]
