"""Vector to sequence: a vector (an image's encoding, categories, numbers) starts a sequence.

Legend: B batch, F features of the vector, U steps written, N real steps of all rows, O values of an
output.
"""

from __future__ import annotations

from torch import Tensor, nn

from elman.errors import InputError, unknown
from elman.layers.stack import Lengths
from elman.networks.decoder import Decoder
from elman.networks.decoder_state import DecoderState
from elman.networks.states import Bridge

STARTS = ("state", "every-step", "both")


class VectorToSeq(nn.Module):
    """Write a sequence from a vector.

    Args:
        vector_size: features of the vector, `F`.
        decoder: writes it; its `context_size` is F where the vector is fed at every step, else 0.
        start_with: "state", the vector sets every layer's first state (linear, tanh); "every-step",
            it is part of each step's input; or "both".

    Raises:
        InputError: `start_with` is unknown, or the decoder's `context_size` does not go with it.
    """

    def __init__(self, vector_size: int, decoder: Decoder, start_with: str = "both") -> None:
        super().__init__()
        if start_with not in STARTS:
            raise unknown("start_with", start_with, STARTS)
        fed = vector_size if start_with != "state" else 0
        if decoder.context_size != fed:
            raise InputError(
                f"decoder: with start_with={start_with!r} and a vector of {vector_size} features "
                f"its context_size has to be {fed}, got {decoder.context_size}"
            )
        self.decoder = decoder
        self.bridge = Bridge(vector_size, decoder.recurrent) if start_with != "every-step" else None
        self.start_with = start_with

    def forward(
        self,
        v_BF: Tensor,
        previous_BU: Tensor,
        lengths: Lengths | None = None,
        own_share: float = 0.0,
    ) -> Tensor:
        """Return the outputs at real steps, `y_NO`, row by row; see `Decoder.forward`."""
        return self.decoder(previous_BU, self.begin(v_BF), lengths, own_share=own_share)[0]

    def begin(self, v_BF: Tensor) -> DecoderState:
        """Return where writing begins, for decoding."""
        state = None if self.bridge is None else self.bridge(v_BF)
        context_BC = v_BF if self.start_with != "state" else None
        return self.decoder.begin(state, context_BC=context_BC)
