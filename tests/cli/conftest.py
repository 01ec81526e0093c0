"""Commands as a user gives them, in this process or in one of their own, and a run to work on."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from io import StringIO
from pathlib import Path

import polars as pl
import pytest

from elman.cli import run

# A small network on the table `weekly`: an epoch takes some hundredths of a second.
SMALL = shlex.split(
    "--input series:rides,rain --target forecast:rides --time date --known day_type --horizon 2 "
    "--lookback 10 --hidden 4 --epochs 2"
)


@dataclass(frozen=True)
class Outcome:
    status: int
    out: str
    err: str

    @property
    def line(self) -> str:
        """The one line of an error, without its `elman: `; that it is one is checked."""
        assert "Traceback" not in self.err
        lines = self.err.splitlines()
        assert len(lines) == 1, self.err
        assert lines[0].startswith("elman: ")
        return lines[0].removeprefix("elman: ")


def _elman(*arguments: object) -> Outcome:
    with redirect_stdout(StringIO()) as out, redirect_stderr(StringIO()) as err:
        status = run([str(argument) for argument in arguments])
    return Outcome(status, out.getvalue(), err.getvalue())


@pytest.fixture(scope="session")
def elman():
    """Run a command in this process: `elman("info")`; returns status, out and err."""
    return _elman


@pytest.fixture(scope="session")
def small() -> list[str]:
    return list(SMALL)


@pytest.fixture(scope="session")
def reading():
    """The same options with another input: given once more, `--input` would be a second one."""

    def reading(options: list[str], declared: str) -> list[str]:
        place = options.index("--input")
        return [*options[:place], "--input", declared, *options[place + 2 :]]

    return reading


@pytest.fixture(scope="session")
def start():
    """Start a command in a process of its own."""

    def start(*arguments: object, **options) -> subprocess.Popen:
        environment = {**os.environ, "OMP_NUM_THREADS": "1"}
        return subprocess.Popen(
            [sys.executable, "-m", "elman", *map(str, arguments)],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment, **options,
        )  # fmt: skip

    return start


@pytest.fixture
def no_report(monkeypatch):
    """Leave the page out, which takes longest by far."""
    monkeypatch.setattr("elman.report.write_report", lambda run, series=None: run / "report.html")


@pytest.fixture(scope="session")
def trained(tmp_path_factory) -> Path:
    """A folder with a table, `weekly.csv`, and a finished run on it, `run`; not to be changed."""
    folder = tmp_path_factory.mktemp("trained")
    _weekly().write_csv(folder / "weekly.csv")
    outcome = _elman("fit", folder / "weekly.csv", *SMALL, "--out", folder / "run")
    assert outcome.status == 0, outcome.err
    return folder


@pytest.fixture
def own_run(trained, tmp_path) -> Path:
    """A copy of the run, to be changed."""
    return Path(shutil.copytree(trained / "run", tmp_path / "own"))


@pytest.fixture
def weekly_frame() -> pl.DataFrame:
    """The trained run's table."""
    return _weekly()


def _weekly() -> pl.DataFrame:
    import numpy as np

    rng, day = np.random.default_rng(11), np.arange(150)
    weekend = np.isin(day % 7, (5, 6))
    return pl.DataFrame(
        {
            "date": pl.date_range(pl.date(2020, 1, 6), pl.date(2020, 6, 3), eager=True),
            "rides": (1000 + 300 * weekend + rng.normal(0, 20, 150)).round(3),
            "rain": rng.uniform(0, 10, 150).round(3),
            "day_type": np.where(weekend, "weekend", "weekday"),
        }
    )
