"""Tables written by hand, for the tests of this folder."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from elman.data.panel import Panel, make_panel
from elman.data.table import Table, read_table


@pytest.fixture
def write(tmp_path: Path) -> Callable[..., Path]:
    """Write text or bytes to a file of the test's own folder and return its path."""

    def write_file(content: str | bytes, name: str = "prices.csv") -> Path:
        path = tmp_path / name
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return path

    return write_file


@pytest.fixture
def table(write: Callable[..., Path]) -> Callable[..., Table]:
    """Read a table from the text of a file."""
    return lambda content, name="prices.csv": read_table(write(content, name))


@pytest.fixture
def panel(table: Callable[..., Table]) -> Callable[..., Panel]:
    """Make a panel from the text of a CSV file."""
    return lambda content, **options: make_panel(table(content), **options)
