"""The colour of the verdict: good only where the model is ahead on every span."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from elman.report.about import _verdict_tone


@pytest.mark.parametrize(
    ("valid", "test", "words", "tone"),
    [
        ((1, 2), (1, 2), "beats ...", "good"),
        ((1, 2), (1, 2), "beats ..., but that is within noise (p = 0.20).", "note"),
        ((1, 2), (3, 2), "beats ... does not beat ...", "note"),
        ((3, 2), (3, 2), "does not beat ...", "bad"),
        ((1, 2), None, "beats ...", "good"),
        (None, None, "", ""),
    ],
)
def test_verdict_tone(valid, test, words, tone):
    maes = {"valid": valid, "test": test}
    run = SimpleNamespace(
        targets=["y"],
        model={"verdict": words},
        model_score=lambda split, target: maes[split] and {"mae": maes[split][0]},
        baselines=lambda split, target: [{"mae": maes[split][1]}] if maes[split] else [],
    )
    assert _verdict_tone(run) == tone  # pyright: ignore[reportArgumentType]
