"""Stretches of a text for a diagnosis, with the loss of the token that follows each one.

Legend: B stretches, T tokens of one, V vocabulary.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from elman.data.table import Table
from elman.errors import InputError
from elman.kinds.generation.job import GenerationJob
from elman.kinds.generation.language import Language, read_rows
from elman.kinds.probe import Probe, evenly, most_rows

_CHUNKS = 3  # a stretch is as long as so many chunks that training sees in one piece
_USUAL = 100  # of a chunk
_SCORES = 50_000_000  # numbers of all tokens' scores together, for memory's sake


def probe(job: GenerationJob, rows: int, steps: int, most: int) -> Probe:
    """Return stretches of the validation part.

    Args:
        job: a run's text made ready.
        rows: stretches at most.
        steps: tokens of a stretch at most.
        most: tokens of all stretches together at most.
    """
    tokens = job.streams["valid"].tokens
    return _probe(job.language, tokens, "the validation part", job.options, rows, steps, most)


def probe_table(
    language: Language, table: Table, options: Any, rows: int, steps: int, most: int
) -> Probe:
    """Return stretches of another table's text; see `probe`.

    Raises:
        InputError: the column is absent, or holds too little.
    """
    texts = read_rows(table, language.column)
    stream = language.stream(texts, np.arange(len(texts)) + 1)
    return _probe(language, stream.tokens, table.name, options, rows, steps, most)


def _probe(
    language: Language,
    tokens: np.ndarray,
    name: str,
    options: Any,
    rows: int,
    steps: int,
    most: int,
) -> Probe:
    if len(tokens) < 3:
        raise InputError(f"{name}: holds {len(tokens)} tokens; expected 3 or more")
    chunk = getattr(options, "tbptt", None) or _USUAL
    length = min(steps, _CHUNKS * chunk, len(tokens) - 1)
    most = min(most, max(length, _SCORES // len(language.vocabulary)))
    starts = evenly(len(tokens) - length, most_rows(length, rows, most))
    at_BT = starts[:, None] + np.arange(length)
    read_BT = torch.from_numpy(tokens[at_BT].astype(np.int64))
    next_BT = torch.from_numpy(tokens[at_BT + 1].astype(np.int64))

    def losses(network: Any) -> Tensor:
        y_NV, _ = network(read_BT, network.begin(batch=len(read_BT)))
        each_N = F.cross_entropy(y_NV.float(), next_BT.reshape(-1), reduction="none")
        return each_N.view_as(next_BT)

    return Probe(
        losses,
        rows=f"{len(starts):,} stretches of {name}, {length:,} tokens each",
        loss="the token that follows step t",
    )
