"""What every benchmark does around its measurements: the machine, its cores, a line of results."""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
from collections.abc import Mapping
from dataclasses import asdict, is_dataclass
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import torch

RESULTS = Path(__file__).parent / "results"
PACKAGES = ("elman", "torch", "jax", "keras", "onnxruntime", "gluonts", "stanza", "numpy")


def parser(document: str) -> argparse.ArgumentParser:
    """Return a parser with the options that all benchmarks share; `document` is their docstring."""
    made = argparse.ArgumentParser(
        description=document, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    made.add_argument("--threads", type=int, default=2, help="for everybody; default: 2")
    made.add_argument("--out", type=Path, default=RESULTS, help="folder for the results")
    return made


def use_threads(number: int) -> None:
    """Let everybody have so many threads, and on Linux no more cores than that.

    Not every library can be told; all look at the cores that the process may use. To be called
    before any of them is imported.
    """
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:number])
    torch.set_num_threads(number)


def write(out: Path, name: str, **content: Any) -> Path:
    """Write a result with what it was measured on; return where."""
    out.mkdir(parents=True, exist_ok=True)
    document = {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": {
            "processor": _processor(),
            "cores": os.cpu_count(),
            "threads": torch.get_num_threads(),
            "system": platform.platform(),
            "isa": _isa(),
        },
        "versions": {"python": platform.python_version()} | _versions(),
        "command": " ".join(["python", *sys.argv]),
    } | content
    path = out / f"{name}.json"
    path.write_text(json.dumps(document, indent=1, default=_plain) + "\n")
    return path


def table(headings: list[str], rows: list[list[str]]) -> str:
    """Return a table as text: the first column to the left, the others to the right."""
    widths = [max(map(len, column)) for column in zip(headings, *rows, strict=True)]
    lines = [
        "  ".join(
            cell.rjust(width) if index else cell.ljust(width)
            for index, (cell, width) in enumerate(zip(row, widths, strict=True))
        )
        for row in [headings, *rows]
    ]
    return "\n".join(line.rstrip() for line in lines)


def _plain(value: Any) -> Any:
    if is_dataclass(value) and not isinstance(value, type):
        return asdict(value)
    raise TypeError(f"{type(value).__name__} cannot be written as JSON")


def _versions() -> Mapping[str, str]:
    found = {}
    for package in PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    names = (line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    return next(names, platform.machine())


def _isa() -> str | None:
    """Return the instruction set that the native engine uses, or None without it."""
    try:
        from elman import _native
    except ImportError:
        return None
    return _native.isa()
