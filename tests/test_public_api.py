"""The names that a user meets, and what they cost to import."""

from __future__ import annotations

import importlib.metadata
import subprocess
import sys

import pytest

import elman

NAMES = {
    "Model", "load", "cross_validate",
    "RNN", "GRU", "LSTM", "Recurrent", "accelerate", "engine",
    "MinGRU", "MinLSTM", "LRU", "IndRNN",
    "Cell", "RNNCell", "GRUCell", "LSTMCell",
    "LinearCell", "MinGRUCell", "MinLSTMCell", "LRUCell", "IndRNNCell",
    "ElmanError", "InputError", "DivergenceError",
    "__version__",
}  # fmt: skip


def test_exactly_these_names_are_public() -> None:
    assert set(elman.__all__) == NAMES
    assert len(elman.__all__) == len(NAMES)
    assert dir(elman) == sorted(NAMES)
    for name in NAMES:
        assert getattr(elman, name) is not None


def test_they_are_what_they_say() -> None:
    from elman import cells, cross_validation, engines, errors, layers, model

    for module in (cells, cross_validation, engines, errors, layers, model):
        for name in NAMES & set(vars(module)):
            assert getattr(elman, name) is getattr(module, name)
    assert elman.load == model.Model.load
    assert elman.__version__ == importlib.metadata.version("elman")
    assert issubclass(elman.InputError, elman.ElmanError)
    assert issubclass(elman.InputError, ValueError)


def test_another_name_is_no_attribute() -> None:
    with pytest.raises(AttributeError, match="module 'elman' has no attribute 'Transformer'"):
        elman.Transformer  # noqa: B018
    with pytest.raises(ImportError):
        from elman import Modle  # noqa: F401  # pyright: ignore


def test_importing_elman_loads_nothing_heavy() -> None:
    code = (
        "import sys, elman; dir(elman); elman.__version__; elman.InputError\n"
        "heavy = {'torch', 'polars', 'numpy', 'pandas', 'matplotlib', 'pydantic', 'rich'}\n"
        "print(sorted(heavy & set(sys.modules)))"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (result.stdout.strip(), result.stderr) == ("[]", "")
