from __future__ import annotations

import pytest

from elman.data.findings import Finding, count, raise_errors
from elman.errors import InputError


def test_the_first_error_is_raised_and_the_others_counted():
    warning = Finding("warning", "w")
    raise_errors([warning, Finding("note", "n")])
    with pytest.raises(InputError, match=r"^bad; mend it$"):
        raise_errors([warning, Finding("error", "bad", "mend it")])
    with pytest.raises(InputError, match=r"^bad \(and 1 more: see `elman check`\)$"):
        raise_errors([Finding("error", "bad"), warning, Finding("error", "worse")])


def test_count():
    assert [count(n, "row") for n in (0, 1, 1234)] == ["0 rows", "1 row", "1,234 rows"]
