"""What goes in and what comes out, as the user writes it."""

from __future__ import annotations

from typing import get_args

import pytest

from elman.errors import InputError
from elman.kinds import (
    INPUTS,
    TARGETS,
    TOPOLOGIES,
    Declaration,
    declare,
    input_class,
    target_class,
    topology_of,
)
from elman.kinds.jobs import job_name, job_of
from elman.networks.options import NetworkOptions


def test_declarations() -> None:
    assert declare("series:open,close", "input") == Declaration("series", ("open", "close"))
    assert declare(" forecast : close ", "target").columns == ("close",)


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
        declare(text, "input")
    assert message in str(error.value)


def kinds_of(inputs: str, target: str, asked: str = "auto") -> str:
    declared = tuple(Declaration(kind, ("a",)) for kind in inputs.split("+"))
    return topology_of(declared, Declaration(target, ("b",)), asked)


@pytest.mark.parametrize(
    ("inputs", "target", "topology"),
    [
        ("series", "forecast", "seq-to-seq"),
        ("text", "score", "seq-to-vector"),
        ("audio", "category", "seq-to-vector"),
        ("text+vector", "number", "seq-to-vector"),
        ("text", "tags", "seq-to-seq"),
        ("text", "next", "seq-to-seq"),
        ("text", "text", "encoder-decoder"),
        ("video+vector", "text", "encoder-decoder"),
        ("image", "text", "vector-to-seq"),
        ("vector", "image", "vector-to-seq"),
    ],
)
def test_topology_follows_from_the_kinds(inputs, target, topology) -> None:
    assert kinds_of(inputs, target) == topology


def test_topology_may_be_chosen_among_those_that_fit() -> None:
    assert kinds_of("series", "forecast", "seq-to-vector") == "seq-to-vector"
    with pytest.raises(InputError, match="did you mean 'seq-to-vector'"):
        kinds_of("series", "forecast", "sequence-to-vector")


@pytest.mark.parametrize(
    ("inputs", "target", "message"),
    [
        ("image", "category", "no sequence on either side"),
        ("text", "forecast", "--target forecast: reads one input, of kind series, got text"),
        ("audio", "tags", "of kind text, got audio"),
        ("series+series", "forecast", "got series, series"),
    ],
)
def test_kinds_that_do_not_go_together_are_refused(inputs, target, message) -> None:
    with pytest.raises(InputError, match=message):
        kinds_of(inputs, target)


def test_every_kind_has_a_topology_and_every_target_a_job() -> None:
    shapes = {shape for shape, _ in INPUTS.values()}
    for kind, (asked, _) in TARGETS.items():
        assert any((shape, asked) in TOPOLOGIES for shape in shapes)
        assert hasattr(job_of(kind), "prepare")
        if job_name(kind) == "examples":
            assert target_class(kind).kind == kind
    assert {input_class(kind).kind for kind in INPUTS} == set(INPUTS)
    known = get_args(NetworkOptions.model_fields["topology"].annotation)
    assert {name for names in TOPOLOGIES.values() for name in names} == set(known) - {"auto"}
