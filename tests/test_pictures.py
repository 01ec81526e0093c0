"""The script that makes the documentation's pictures: it runs, and draws what it measured."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

DOCS = Path(__file__).parent.parent / "docs"
MOST = 100_000  # bytes of a picture that is kept with the sources


@pytest.fixture(scope="module")
def script():
    spec = importlib.util.spec_from_file_location("make_long", DOCS / "make_long_sequences.py")
    assert spec is not None
    assert spec.loader is not None
    module = sys.modules["make_long"] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_it_draws_both_pictures_and_says_what_they_show(script, tmp_path, monkeypatch, capsys):
    arguments = ["make", "--steps", "100", "--length", "12", "--out", str(tmp_path)]
    monkeypatch.setattr(sys, "argv", arguments)
    monkeypatch.setattr(script, "TRAIN", 200)
    monkeypatch.setattr(script, "TEST", 64)
    threads = torch.get_num_threads()
    script.main()
    torch.set_num_threads(threads)
    for name in ("long_sequences_reach.svg", "long_sequences_error.svg"):
        drawn = (tmp_path / name).read_text()
        assert all(f">{cell}</text>" in drawn for cell in script.LAYERS)
        assert len(drawn) < MOST
    said = capsys.readouterr().out.splitlines()
    assert [line.partition(":")[0] for line in said] == list(script.LAYERS)


def test_the_gradient_by_lag_is_that_of_the_mean_squared_error(script):
    """Of a linear network by hand: dL/dh at lag k is 2 (y - target) w u^k."""
    network = script.SeqToVector(
        script.elman.RNN(2, 1, nonlinearity="relu", batch_first=True), 1, 1
    )
    with torch.no_grad():
        for parameter, value in zip(
            network.parameters(), (torch.ones(1, 2), 0.5, 0, 0, 3, 0), strict=True
        ):
            parameter.copy_(torch.as_tensor(value, dtype=torch.float32).expand_as(parameter))
    x_BTI = torch.rand(script.SHOWN, 5, 2, generator=torch.Generator().manual_seed(0))
    h_B = x_BTI.sum(2) @ 0.5 ** torch.arange(4.0, -1, -1)
    expected = (2 * (3 * h_B - 1).abs() * 3).mean().item() * 0.5 ** np.arange(5)
    found_K = script.by_lag(network, x_BTI, torch.ones(script.SHOWN))
    np.testing.assert_allclose(found_K, expected, rtol=1e-5)


@pytest.mark.parametrize("name", ["long_sequences_reach.svg", "long_sequences_error.svg"])
def test_the_pictures_of_the_page_are_there_and_small(name):
    assert (DOCS / name).stat().st_size < MOST
    assert f"({name})" in (DOCS / "long_sequences.md").read_text()
