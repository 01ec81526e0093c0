"""From packed sequences to padded ones and back; each row is copied once in either direction.

Shapes: T time, B batch, N real steps of all rows, F features.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn.utils.rnn import PackedSequence


def unpacked(packed: PackedSequence) -> tuple[Tensor, Tensor, Tensor]:
    """Return it padded (T, B, F), the lengths (B) on the CPU, and where each real step lies (N).

    What lies in the padding is not initialised: no engine reads it.
    """
    num_steps, batch = len(packed.batch_sizes), int(packed.batch_sizes[0])
    inside_TB = torch.arange(batch) < packed.batch_sizes.unsqueeze(1)  # in packed order of rows
    rows_B = torch.arange(batch)
    if packed.sorted_indices is not None:
        rows_B = packed.sorted_indices.cpu()
    index_N = (torch.arange(num_steps).unsqueeze(1) * batch + rows_B)[inside_TB]
    index_N = index_N.to(packed.data.device)
    lengths = torch.empty(batch, dtype=torch.long).index_copy(0, rows_B, inside_TB.sum(0))
    x_NF = _Spread.apply(packed.data, index_N, num_steps * batch)
    return x_NF.unflatten(0, (num_steps, batch)), lengths, index_N


def packed_like(packed: PackedSequence, y_TBF: Tensor, index_N: Tensor) -> PackedSequence:
    """Return the real steps of a padded batch, packed as another was, by the index of that."""
    return PackedSequence(_Collect.apply(y_TBF.flatten(0, 1), index_N), *packed[1:])


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
