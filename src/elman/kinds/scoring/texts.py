"""How near answered texts come to their references: exact match, BLEU, chrF, WER and CER.

A row may have several references. BLEU and chrF are sacrebleu's (Post 2018), with its default
tokenisation, and know them all; an error rate is taken against the nearest of them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

References = Sequence[str]
"""The texts that are right answers to one row."""


def text_scores(
    answers: Sequence[str], truths: Sequence[References], *, lowercase: bool
) -> dict[str, float]:
    """Return `exact`, `bleu`, `chrf`, `wer` and `cer` of answers to some rows.

    Args:
        answers: one text a row.
        truths: each row's references.
        lowercase: compare in lower case, where text is read so.
    """
    import jiwer

    corpus = {
        name: metric.corpus_score(answers, _streams(truths)).score
        for name, metric in _corpus_metrics(lowercase).items()
    }
    read = [_plain(answer, lowercase) for answer in answers]
    references = [[_plain(text, lowercase) for text in texts] for texts in truths]
    exact = sum(answer in texts for answer, texts in zip(read, references, strict=True))
    return {
        "exact": exact / len(read),
        **corpus,
        "wer": _error_rate(jiwer.wer, read, references),
        "cer": _error_rate(jiwer.cer, read, references),
    }


def text_errors(
    texts: Sequence[str], truths: Sequence[References], *, exact: bool, lowercase: bool
) -> np.ndarray:
    """Return whether each text is wrong, `(R,)` of bool; or, not `exact`, 100 minus its chrF."""
    pairs = zip(texts, truths, strict=True)
    if exact:
        return np.array(
            [
                _plain(text, lowercase) not in {_plain(right, lowercase) for right in references}
                for text, references in pairs
            ],
            bool,
        )
    metric = _corpus_metrics(lowercase)["chrf"]
    return np.array([100 - metric.sentence_score(a, list(right)).score for a, right in pairs])


def signatures(truths: Sequence[References], *, lowercase: bool) -> dict[str, str]:
    """Return what sacrebleu signs `bleu` and `chrf` with, by which others can repeat them."""
    # A metric signs what it was last used on; only how many references there are matters.
    rows = list({len(texts): texts for texts in truths}.values())
    signed = {}
    for name, metric in _corpus_metrics(lowercase).items():
        metric.corpus_score([texts[0] for texts in rows], _streams(rows))
        signed[name] = str(metric.get_signature())
    return signed


def _corpus_metrics(lowercase: bool) -> dict[str, Any]:
    from sacrebleu.metrics.bleu import BLEU
    from sacrebleu.metrics.chrf import CHRF

    # force: text that was split at spaces is so on purpose, and needs no warning.
    return {"bleu": BLEU(lowercase=lowercase, force=True), "chrf": CHRF(lowercase=lowercase)}


def _streams(truths: Sequence[References]) -> list[list[str | None]]:
    """Return references as sacrebleu takes them: the first of each row, the second, ..."""
    most = max(map(len, truths))
    return [[texts[n] if n < len(texts) else None for texts in truths] for n in range(most)]


def _plain(text: str, lowercase: bool) -> str:
    return " ".join((text.lower() if lowercase else text).split())


def _error_rate(
    rate: Callable[..., float], answers: Sequence[str], truths: Sequence[References]
) -> float:
    nearest = [
        texts[0] if len(texts) == 1 else min(texts, key=lambda text: rate(text, answer))
        for answer, texts in zip(answers, truths, strict=True)
    ]
    return float(rate(nearest, list(answers)))
