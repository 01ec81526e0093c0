"""Encoder-decoder: one sequence is read, or several, and another written that need not align.

Legend: B batch, T steps read, I input features, U steps written, N real steps written of all rows,
O values of an output, F features of a vector.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from elman.layers.stack import Lengths
from elman.networks.decoder import Decoder
from elman.networks.decoder_state import DecoderState
from elman.networks.encoder import Encoder, Memory
from elman.networks.states import Bridge


class EncoderDecoder(nn.Module):
    """Read sequences, then write one, looking back at what was read (Sutskever et al., 2014).

    A bridge (linear, tanh) leads from the encoders' final states, side by side, to every layer's
    first state of the decoder; an LSTM's h and c have weights of their own in it. The decoder's
    attention looks at the steps of all encoders, those of the second behind those of the first.

    Args:
        encoders: one for each sequence that is read; with several and attention, of one size.
        decoder: its `context_size` is 0.
        also_size: features of a vector that goes to the bridge beside the final states, `F`.
    """

    def __init__(self, encoders: Sequence[Encoder], decoder: Decoder, also_size: int = 0) -> None:
        super().__init__()
        self.encoders = nn.ModuleList(encoders)
        self.decoder = decoder
        sizes = [encoder.size for encoder in encoders]
        self.bridge = Bridge(sum(sizes) + also_size, decoder.recurrent)

    def forward(
        self,
        xs: Sequence[Tensor],
        lengths: Sequence[Lengths | None],
        previous_BU: Tensor,
        previous_lengths: Lengths | None = None,
        also_BF: Tensor | None = None,
        own_share: float = 0.0,
    ) -> Tensor:
        """Return the outputs at real steps, `y_NO`, row by row; see `Decoder.forward`.

        Args:
            xs: for each encoder its `x_BTI`.
            lengths: for each encoder the real steps of each row, or None: all are.
            previous_BU: the element before each step to write.
            previous_lengths: real steps of each row of it.
            also_BF: the vector beside, if there is an `also_size`.
            own_share: scheduled sampling.
        """
        state = self.begin(xs, lengths, also_BF)
        return self.decoder(previous_BU, state, previous_lengths, own_share=own_share)[0]

    def begin(
        self,
        xs: Sequence[Tensor],
        lengths: Sequence[Lengths | None],
        also_BF: Tensor | None = None,
    ) -> DecoderState:
        """Read, and return where writing begins, for decoding."""
        parts = zip(self.encoders, xs, lengths, strict=True)
        memories = [encoder(x_BTI, real) for encoder, x_BTI, real in parts]
        finals = [memory.final_BF for memory in memories]
        start_BF = torch.cat(finals if also_BF is None else [*finals, also_BF], dim=-1)
        memory = Memory.joined(memories) if self.decoder.attention is not None else None
        return self.decoder.begin(self.bridge(start_BF), memory)
