"""The native engine for the tests that need it; without it they skip, and say why."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from elman import engines


def why_not() -> str | None:
    """Return why the engine cannot run here, or None."""
    return engines.available_engines().get("native", "this tree has no such engine")


@pytest.fixture(scope="session")
def native_must_be_there() -> bool:
    """Whether its absence is a failure: in CI, and where ELMAN_REQUIRE_NATIVE is 1."""
    return bool(os.environ.get("CI")) or os.environ.get("ELMAN_REQUIRE_NATIVE") == "1"


@pytest.fixture(scope="session")
def native() -> object:
    """The compiled extension; the test skips where the engine cannot run."""
    reason = why_not()
    if reason is not None:
        pytest.skip(f"no native engine: {reason}")
    from elman import _native

    return _native


@pytest.fixture
def forced(native: object) -> Iterator[None]:
    """Everything runs through the native engine, or raises why it cannot."""
    with engines.engine("native"):
        yield
