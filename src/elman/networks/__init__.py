"""Networks: recurrent layers and a head, by topology. Each is a torch module of its own.

They are loaded when first used: their options are read without torch, as `elman fit --help` does.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from elman.networks.assembly import (
        CELLS,
        NETWORKS,
        build,
        decoder_width,
        output_width,
        recurrent_layer,
        token_decoder,
        vector_decoder,
    )
    from elman.networks.decoder import Decoder
    from elman.networks.decoder_state import DecoderState
    from elman.networks.decoding import Hypothesis, beam, greedy, rollout, sample
    from elman.networks.encoder import Encoder, Memory
    from elman.networks.encoder_decoder import EncoderDecoder
    from elman.networks.seq_to_seq import SeqToSeq
    from elman.networks.seq_to_vector import SeqToVector
    from elman.networks.vector_to_seq import VectorToSeq

__all__ = [
    "CELLS",
    "NETWORKS",
    "Decoder",
    "DecoderState",
    "Encoder",
    "EncoderDecoder",
    "Hypothesis",
    "Memory",
    "SeqToSeq",
    "SeqToVector",
    "VectorToSeq",
    "beam",
    "build",
    "decoder_width",
    "greedy",
    "output_width",
    "recurrent_layer",
    "rollout",
    "sample",
    "token_decoder",
    "vector_decoder",
]

_MODULES = {
    "CELLS": "assembly",
    "NETWORKS": "assembly",
    "decoder_width": "assembly",
    "Decoder": "decoder",
    "DecoderState": "decoder_state",
    "Encoder": "encoder",
    "EncoderDecoder": "encoder_decoder",
    "Hypothesis": "decoding",
    "Memory": "encoder",
    "SeqToSeq": "seq_to_seq",
    "SeqToVector": "seq_to_vector",
    "VectorToSeq": "vector_to_seq",
    "beam": "decoding",
    "build": "assembly",
    "greedy": "decoding",
    "output_width": "assembly",
    "recurrent_layer": "assembly",
    "rollout": "decoding",
    "sample": "decoding",
    "token_decoder": "assembly",
    "vector_decoder": "assembly",
}


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module 'elman.networks' has no attribute {name!r}")
    return getattr(importlib.import_module(f"elman.networks.{_MODULES[name]}"), name)
