"""Ctrl-C at any moment, also while modules are being loaded: one line, status 130, no traceback."""

from __future__ import annotations

import subprocess
import sys

import pytest

# Presses Ctrl-C when a module is first looked for, which is in the middle of another's import.
PROGRAM = """
import os, signal, sys
import elman.cli

class Press:
    def find_spec(self, name, path=None, target=None):
        if name == sys.argv[1]:
            os.kill(os.getpid(), signal.SIGINT)

sys.meta_path.insert(0, Press())
elman.cli.main(sys.argv[2:])
"""
COMMAND = ["fit", "none.csv", "--input", "series:x", "--target", "forecast:x"]


@pytest.fixture(autouse=True)
def _empty_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def fit_interrupted_at(module: str, **options) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", PROGRAM, module, *COMMAND]
    return subprocess.run(
        command, capture_output=True, text=True, timeout=60, check=False, **options
    )


@pytest.mark.parametrize(
    "module",
    # Ours; those that load in Python; in Rust (polars panics where it is interrupted); in C++.
    ["elman.cli.application", "typer", "pydantic", "elman.model", "polars.exceptions", "torch._C",
     "torch.nn", "elman.training.loop"],
)  # fmt: skip
def test_while_modules_load(module):
    ran = fit_interrupted_at(module)
    assert (ran.returncode, ran.stdout, ran.stderr) == (130, "", "elman: interrupted\n")


def test_the_probe_does_nothing_else():
    ran = fit_interrupted_at("no.such.module")
    assert ran.returncode == 2
    assert ran.stderr == "elman: none.csv: no such file\n"


def test_a_command_that_ignores_it_goes_on_ignoring_it():
    """As under `nohup`, or in the background of a script."""
    import signal

    ran = fit_interrupted_at(
        "torch.nn", preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_IGN)
    )
    assert ran.stderr == "elman: none.csv: no such file\n"
