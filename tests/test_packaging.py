"""What is built and installed: the archive, versions, and words where there is no compiler."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tarfile
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())


def names(requirements):
    """Return the names of packages, written alike."""
    found = (re.match(r"[\w.-]+", line) for line in requirements)
    return {re.sub(r"[-_.]+", "-", match[0]).lower() for match in found if match}


def test_every_requirement_has_a_tested_version():
    project = PROJECT["project"]
    wanted = names(PROJECT["build-system"]["requires"]) | names(project["dependencies"])
    for extra in project["optional-dependencies"].values():
        wanted |= names(extra)
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    pins = [line for line in lines if not line.startswith("#")]
    assert all(re.fullmatch(r"[\w.-]+==[\w.]+", pin) for pin in pins)
    assert wanted - names(pins) == {"elman"}


def test_the_source_archive_holds_what_builds_it_and_nothing_built(tmp_path, monkeypatch):
    build = pytest.importorskip("scikit_build_core.build", reason="no scikit-build-core here")
    monkeypatch.chdir(ROOT)
    with tarfile.open(tmp_path / build.build_sdist(str(tmp_path))) as archive:
        held = {name.partition("/")[2] for name in archive.getnames()}
    sources = [*(ROOT / "csrc").glob("*.*"), *(ROOT / "src").rglob("*.py"), ROOT / "CMakeLists.txt"]
    assert {str(path.relative_to(ROOT)) for path in sources} <= held
    assert "src/elman/report/templates/page.html" in held
    assert not [name for name in held if name.endswith((".so", ".o", ".a", ".pyc"))]
    assert not [name for name in held if name.split("/")[0] in (".venv", "build", "runs")]


@pytest.fixture
def configure(tmp_path, monkeypatch):
    """Run CMake with options, where the path holds no compiler."""
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    cmake, ninja = shutil.which("cmake", path=path), shutil.which("ninja", path=path)
    if not sys.platform.startswith("linux") or cmake is None or ninja is None:
        pytest.skip("CMake and Ninja on Linux are needed")
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("CXX", raising=False)

    def configure(*options):
        return subprocess.run(
            [
                cmake,
                "-S",
                ROOT,
                "-B",
                tmp_path,
                "-GNinja",
                f"-DCMAKE_MAKE_PROGRAM={ninja}",
                *options,
            ],
            capture_output=True,
            text=True,
            timeout=120,
        )

    return configure


def test_without_a_compiler_it_says_what_to_install(configure):
    ran = configure()
    assert ran.returncode != 0
    for words in (
        "needs a C++20 compiler, and none was found",
        "apt install g++",
        "pip install --config-settings=cmake.define.ELMAN_NATIVE=OFF .\n",
    ):
        assert words in ran.stderr


def test_without_the_engine_no_compiler_is_needed(configure):
    ran = configure("-DELMAN_NATIVE=OFF")
    assert ran.returncode == 0, ran.stderr
    assert "without the native engine" in ran.stdout
