"""Each instruction set this machine has, forced: the core tests again, on poisoned buffers."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent
ISAS = ("avx512", "avx2", "neon", "plain")

FORCE = """
import torch
from elman import engine
from elman.engines import available_engines
from elman.errors import InputError
from elman.layers import LSTM
print(available_engines()["native"])
LSTM(3, 2)(torch.zeros(4, 2, 3))
try:
    with engine("native"):
        raise SystemExit("it was taken")
except InputError as error:
    print(error)
"""


def run(*arguments, **environment):
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "ELMAN_REQUIRE_NATIVE": "1", **environment}
    return subprocess.run(
        [sys.executable, *arguments],
        capture_output=True, text=True, env=environment, cwd=HERE.parents[1], timeout=600,
    )  # fmt: skip


@pytest.mark.parametrize("isa", ISAS)
def test_the_core_on(native, isa):
    if not native.isas().get(isa, False):
        compiled = "runs on other processors" if isa in native.isas() else "is not compiled in"
        pytest.skip(f"{isa} {compiled}")
    ran = run(
        "-m", "pytest", "-x", "-k", "core", "-p", "no:cacheprovider", "-p", "no:xdist",
        str(HERE / "test_native.py"), str(HERE / "test_native_functions.py"),
        str(HERE / "test_native_elementwise.py"),
        ELMAN_ISA=isa, ELMAN_POISON="1",
    )  # fmt: skip
    assert ran.returncode == 0, ran.stdout[-5000:] + ran.stderr[-2000:]
    passed = re.search(r"(\d+) passed", ran.stdout)
    assert passed is not None
    assert int(passed[1]) > 80
    assert "skipped" not in ran.stdout, ran.stdout


def test_an_unknown_one_is_refused_with_those_there_are(native):
    ran = run("-c", FORCE, ELMAN_ISA="avx1024")
    assert ran.returncode == 0, ran.stderr
    reason, error = ran.stdout.splitlines()
    usable = [isa for isa, can in native.isas().items() if can]
    for line in (reason, error):
        assert "avx1024" in line
        assert all(isa in line for isa in usable)
    assert error.startswith("engine 'native' cannot run here: ")


def test_one_this_machine_cannot_run_is_refused_with_those_it_can(native):
    absent = [isa for isa in ISAS if not native.isas().get(isa, False)]
    assert absent, "no machine has both AVX-512 and NEON"
    for isa in absent:
        ran = run("-c", FORCE, ELMAN_ISA=isa)
        assert ran.returncode == 0, ran.stderr
        reason, error = ran.stdout.splitlines()
        for line in (reason, error):
            assert isa in line
            assert "plain" in line
