"""What goes in and what comes out, as the user writes it."""

from __future__ import annotations

import pytest

from elman.errors import InputError
from elman.kinds import INPUT_KINDS, TARGET_KINDS, TOPOLOGIES, Declaration, declare, topology_of
from elman.kinds.jobs import JOBS
from elman.networks import NETWORKS


def test_declarations() -> None:
    assert declare("series:open,close", "input", INPUT_KINDS) == Declaration(
        "series", ("open", "close")
    )
    assert declare(" forecast : close ", "target", TARGET_KINDS).columns == ("close",)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("sereis:a", "--input 'sereis:a': the kind: 'sereis' is not known; did you mean 'series'?"),
        ("", "--input '': the kind: '' is not known; expected one of: series"),
        ("close", "'close' is not known"),
        ("series", "expected series:COLUMN[,COLUMN...], such as series:close"),
        ("series: , ", "expected series:COLUMN"),
        ("series:a,b,a", "--input 'series:a,b,a': a column is named twice"),
    ],
)
def test_what_cannot_be_read_is_refused_by_name(text, message) -> None:
    with pytest.raises(InputError) as error:
        declare(text, "input", INPUT_KINDS)
    assert message in str(error.value)


def test_topology_follows_from_the_pair_and_may_be_chosen() -> None:
    assert topology_of("series", "forecast", "auto") == "seq-to-seq"
    assert topology_of("series", "forecast", "seq-to-vector") == "seq-to-vector"
    with pytest.raises(InputError, match="did you mean 'seq-to-vector'"):
        topology_of("series", "forecast", "sequence-to-vector")


def test_every_pair_has_a_job_and_networks() -> None:
    assert set(JOBS) == set(TOPOLOGIES)
    assert {name for names in TOPOLOGIES.values() for name in names} <= set(NETWORKS)
