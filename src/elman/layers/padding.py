"""Real steps and padding: from a padded batch to its real steps alone, one row behind the other.

What acts on each step by itself (an embedding, a head, a loss) is given those, so that nothing is
computed of padding. Row-major: the steps of row 0, then those of row 1, and so on.

Legend: B batch, T time, N real steps of all rows; `...` anything further.
"""

from __future__ import annotations

import torch
from torch import Tensor

from elman.layers.stack import Lengths


def inside(lengths: Lengths, num_steps: int, device: torch.device | None = None) -> Tensor:
    """Return `mask_BT`, true at each row's real steps."""
    lengths_B = torch.as_tensor(lengths, device="cpu")
    return (torch.arange(num_steps) < lengths_B.unsqueeze(1)).to(device)


def real_steps(padded_BT: Tensor, lengths: Lengths | None) -> Tensor:
    """Return the real steps `(N, ...)` of a batch `(B, T, ...)` padded on the right.

    Args:
        padded_BT: what the padding holds is not read.
        lengths: real steps of each row, from 0 to T; None: all are.
    """
    flat = padded_BT.flatten(0, 1)
    if lengths is None:
        return flat
    index_N = _places(lengths, padded_BT.shape[1])
    return flat if len(index_N) == len(flat) else flat.index_select(0, index_N.to(flat.device))


def padded(steps_N: Tensor, lengths: Lengths | None, batch: int, num_steps: int) -> Tensor:
    """Return the batch `(B, T, ...)` of these real steps `(N, ...)`, zeros past each row's end."""
    index_N = None if lengths is None else _places(lengths, num_steps)
    if index_N is not None and len(index_N) < batch * num_steps:
        zeros = steps_N.new_zeros(batch * num_steps, *steps_N.shape[1:])
        steps_N = zeros.index_copy(0, index_N.to(steps_N.device), steps_N)
    return steps_N.unflatten(0, (batch, num_steps))


def _places(lengths: Lengths, num_steps: int) -> Tensor:
    """Return where the real steps lie in the flattened batch, `index_N`, on the CPU."""
    return inside(lengths, num_steps).flatten().nonzero().squeeze(1)
