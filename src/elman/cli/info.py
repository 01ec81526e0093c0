"""`elman info`: versions, devices and engines."""

from __future__ import annotations

import os
import platform
from importlib.metadata import PackageNotFoundError, version

import typer

_PACKAGES = ("elman", "torch", "numpy", "polars", "safetensors", "statsforecast")


def register(app: typer.Typer, summary: str) -> None:
    """Add the verb."""
    app.command("info", help=summary)(info)


def info() -> None:
    """Print what this installation can do."""
    import torch

    from elman.engines import available_engines

    print(f"python {platform.python_version()}, {platform.platform()}")
    print(", ".join(f"{name} {_version(name)}" for name in _PACKAGES))
    print(f"devices: {', '.join(_devices())}; {torch.get_num_threads()} CPU threads")
    print("engines, fastest first:")
    for name, reason in available_engines().items():
        print(f"  {name:10} {'can run' if reason is None else f'cannot run here: {reason}'}")
    _print_instruction_sets()


def _print_instruction_sets() -> None:
    """Print what the native engine was built for and what it uses, where it was built."""
    try:
        from elman import _native
    except ImportError:
        return
    in_use = None if _native.refusal() else _native.isa()
    forced = os.environ.get("ELMAN_ISA")
    print(f"instruction sets of native, fastest first (ELMAN_ISA: {forced or 'not set'}):")
    for name, supported in _native.isas().items():
        here = "this processor has it" if supported else "not on this processor"
        print(f"  {name:10} {'in use' if name == in_use else here}")


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "not installed"


def _devices() -> list[str]:
    import torch

    cuda = [f"cuda:{i} ({torch.cuda.get_device_name(i)})" for i in range(torch.cuda.device_count())]
    return [*cuda, "cpu", *(["mps"] if torch.backends.mps.is_available() else [])]
