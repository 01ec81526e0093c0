"""`elman info`: which engines run here, with which instruction set, and why one does not."""

import re
import subprocess
import sys

import pytest

# A table's row: a name, then what is said of it.
ROW = re.compile(r"^  (\w+) +(.*)$", re.MULTILINE)
WITHOUT = """
import sys
sys.modules["elman._native"] = None  # as where it was not built
import torch, elman
from elman.cli import run
status = run(["info"])
with elman.engines.record() as names:
    y, _ = elman.GRU(3, 4)(torch.zeros(5, 2, 3))
print(tuple(y.shape), names)
sys.exit(status)
"""


@pytest.fixture
def native():
    return pytest.importorskip(
        "elman._native", reason="no native engine was built", exc_type=ImportError
    )


@pytest.fixture
def info(start, monkeypatch):
    """Run `elman info` in a process with that ELMAN_ISA; return its tables' rows."""

    def info(isa=None):
        monkeypatch.delenv("ELMAN_ISA", raising=False)
        if isa is not None:
            monkeypatch.setenv("ELMAN_ISA", isa)
        process = start("info")
        out, err = process.communicate(timeout=120)
        assert process.returncode == 0, err
        return dict(ROW.findall(out)), out

    return info


def test_names_the_fastest_instruction_set_in_use(native, info):
    rows, out = info()
    fastest = next(isa for isa, supported in native.isas().items() if supported)
    assert rows["native"] == "can run"
    assert "(ELMAN_ISA: not set)" in out
    assert [isa for isa in native.isas() if rows[isa] == "in use"] == [fastest]
    for isa, supported in native.isas().items():
        if isa != fastest:
            here = "this processor has it" if supported else "not on this processor"
            assert rows[isa] == here


def test_names_the_one_forced(native, info):
    rows, out = info("plain")
    assert rows["native"] == "can run"
    assert "(ELMAN_ISA: plain)" in out
    assert [isa for isa in native.isas() if rows[isa] == "in use"] == ["plain"]


def test_says_why_one_forced_is_refused(native, info):
    rows, out = info("avx1024")
    assert rows["native"].startswith("cannot run here: ELMAN_ISA=avx1024: ")
    assert rows["aten"] == rows["reference"] == "can run"
    assert "in use" not in out


def test_without_the_extension_says_so_and_aten_runs():
    ran = subprocess.run(
        [sys.executable, "-c", WITHOUT], capture_output=True, text=True, timeout=120
    )
    assert ran.returncode == 0, ran.stderr
    rows = dict(ROW.findall(ran.stdout))
    assert rows["native"].startswith("cannot run here: ")
    assert "C++20 compiler" in rows["native"]
    assert rows["aten"] == rows["reference"] == "can run"
    assert "instruction sets" not in ran.stdout
    assert ran.stdout.splitlines()[-1] == "(5, 2, 4) {'aten'}"
