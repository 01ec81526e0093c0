"""Series read from their beginning, a chunk at a time, with the state carried on: `--tbptt`.

Training goes through chunks of the training spans (truncated backpropagation through time); a
forecast is what the network answers at its origin, when it has read all of the series before.
Nothing here grows with a series' length but what is asked for.

Legend: B streams, T steps of a chunk, I input features, N real steps of all rows, O values that the
network answers at a step, R series.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from elman.data.batch import Batch
from elman.data.streams import Chunk, Streams
from elman.data.windows import Windows
from elman.layers import padded
from elman.networks.states import carried_of, carry_on

# Without gradients: streams, and steps of a mini-batch at most.
_STREAMS = 128
_STEPS = 4_096


@dataclass(frozen=True)
class SeriesChunk:
    """A chunk of every stream.

    Attributes:
        x_BTI: what is read.
        lengths: real steps of each row; None: all are.
        begins: rows that begin with the first state, `(B,)`.
        steps: each real step with what is to be said at it, as a window of this step alone.
    """

    x_BTI: Tensor
    lengths: Tensor | None
    begins: np.ndarray
    steps: Batch

    def __len__(self) -> int:
        return len(self.steps)


def read_chunk(windows: Windows, first_R: np.ndarray, chunk: Chunk) -> SeriesChunk:
    """Return a chunk of some series.

    Args:
        windows: of a lookback of one step; over which track, and what is asked for at a step.
        first_R: where in the track the sequences of the chunk begin.
        chunk: its steps.
    """
    row_N, place_N = chunk.places()
    origins = torch.from_numpy(first_R[chunk.sequences][row_N] + place_N)
    steps = windows.at(origins.to(windows.track.x_TI.device))
    lengths = torch.from_numpy(chunk.lengths) if chunk.ragged else None
    x_BTI = padded(steps.x_BTI.squeeze(1), lengths, len(chunk), chunk.longest)
    return SeriesChunk(x_BTI, lengths, chunk.begins, steps)


def advance(
    network: Any, chunk: SeriesChunk, carried: Mapping[str, Tensor], precision: str
) -> tuple[Tensor, dict[str, Tensor]]:
    """Return the network's output at each real step, `(N, 1, O)` in float32, and what it carries.

    Args:
        network: a `SeqToSeq`.
        chunk: what it reads.
        carried: what it carried from the chunk before.
        precision: of the forward pass.
    """
    state = carry_on(network.recurrent, carried, chunk.begins)
    bf16 = precision == "bf16"
    with torch.autocast(chunk.x_BTI.device.type, torch.bfloat16, enabled=bf16):
        y_NO, state = network.advance(chunk.x_BTI, state, chunk.lengths)
    return y_NO.float().unsqueeze(1), carried_of(state)


def answers_along(
    network: Any, windows: Windows, precision: str
) -> Iterator[tuple[np.ndarray, Tensor, Batch]]:
    """Read series from their beginning to the last origin asked for, without gradients.

    Args:
        network: a `SeqToSeq`, in evaluation mode.
        windows: of a lookback of one step; their origins ascend.
        precision: of the forward pass.

    Yields:
        The numbers of some windows, the output at each one's origin, `(B, 1, O)`, and the windows.
    """
    origins = windows.origins.cpu().numpy()
    series_R = np.unique(windows.series)
    first_R, end_R = windows.track.offsets[series_R], windows.track.offsets[series_R + 1]
    last_R = origins[np.searchsorted(origins, end_R) - 1]
    rows = min(_STREAMS, max(1, len(series_R)))
    streams = Streams(last_R - first_R + 1, rows, max(1, _STEPS // rows))
    carried: dict[str, Tensor] = {}
    for number in range(len(streams)):
        chunk = streams[number]
        with torch.inference_mode():
            read = read_chunk(windows, first_R, chunk)
            output_N1O, carried = advance(network, read, carried, precision)
        start_B = first_R[chunk.sequences] + chunk.starts
        low_B, high_B = np.searchsorted(origins, [start_B, start_B + chunk.lengths])
        row_W = np.repeat(np.arange(len(chunk)), high_B - low_B)
        if not len(row_W):
            continue
        picks_W = np.concatenate([np.arange(*each) for each in zip(low_B, high_B, strict=True)])
        begin_B = np.cumsum(chunk.lengths) - chunk.lengths
        at_W = torch.from_numpy(origins[picks_W] + (begin_B - start_B)[row_W])
        at_W = at_W.to(output_N1O.device)
        yield picks_W, output_N1O[at_W], windows.batch(torch.from_numpy(picks_W).to(at_W.device))
