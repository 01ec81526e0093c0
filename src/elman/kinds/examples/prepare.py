"""From a table of examples to a job: which rows are for what, learning, encoding, bad rows."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from itertools import chain
from typing import Any

import numpy as np

from elman.data.encoded import encode_rows
from elman.data.findings import Finding, raise_errors
from elman.data.parts import PARTS, Parts, assign, folds
from elman.data.ragged import Ragged
from elman.data.table import Table
from elman.errors import BadCellError, InputError
from elman.kinds import Declaration, input_class, target_class
from elman.kinds.examples.bad_rows import BadRows
from elman.kinds.examples.encoded import Encoded
from elman.kinds.examples.job import ExampleJob
from elman.kinds.examples.learnt import Learnt
from elman.kinds.examples.rows import Rows
from elman.kinds.inputs.text import readable, text_or_words
from elman.kinds.targets.tags import disagree, split
from elman.kinds.targets.text import all_texts
from elman.kinds.vocabulary import learn_vocabulary


def prepare(
    inputs: tuple[Declaration, ...],
    target: Declaration,
    options: Any,
    topology: str,
    table: Table,
    valid: Table | None,
    findings: list[Finding],
) -> ExampleJob:
    """Share a table's rows out, learn from those that train, and encode all of them.

    Args:
        inputs, target: what goes in and what comes out.
        options: how.
        topology: what follows from the two.
        table: a row an example.
        valid: a table of its own to validate on.
        findings: what is noticed on the way is added to it.

    Raises:
        InputError: the data cannot be used; if it is one of several errors, all are in `findings`.
    """
    tables = (table,) if valid is None else (table, valid)
    if valid is not None and valid.sha256 == table.sha256:
        raise InputError(f"{valid.name}: is the table that is trained on; give another")
    kinds = [input_class(each.kind) for each in inputs]
    sources = [
        Rows(tables, each.columns, kind.media, kind.arrays)
        for each, kind in zip(inputs, kinds, strict=True)
    ]
    asked = Rows(tables, target.columns, target_class(target.kind).media)
    for rows, option in (*((each, "--input") for each in sources), (asked, "--target")):
        for each in tables:
            for column in rows.columns:
                each.require(column, option)
    options = _for_tags(options) if target.kind == "tags" else options
    parts = _parts(table, target, asked, options, valid)
    findings += parts.findings
    raise_errors(findings)
    train = [rows.only(parts.train) for rows in sources]
    learnt = _learn(inputs, target, train, asked.only(parts.train), options)
    for each in learnt.inputs:
        findings += [Finding("warning", f"{table.name}: {note}") for note in each.notes]
    bad = BadRows(asked)
    encoded = encode(learnt, sources, bad, lambda note: findings.append(Finding("note", note)))
    truths = encode_truths(learnt, asked, bad)
    if learnt.target.shape == "steps":
        _compare_steps(learnt, sources[0], asked, encoded[0], truths, bad)
    used = np.concatenate([parts.of(name) for name in PARTS])
    bad.keep(used)
    findings += bad.findings(skip=options.skip_bad)
    raise_errors(findings)
    left = {name: bad.among(parts.of(name)) for name in PARTS}
    for name in ("train", "valid"):
        if not len(left[name]):
            raise InputError(
                f"{table.name}: every row of the {name} part was left out as bad; correct them"
            )
    return ExampleJob(
        learnt,
        left,
        Encoded(tuple(encoded), truths),
        tuple(sources),
        asked,
        options,
        tuple(bad.summary()),
        table.name,
    )


def _for_tags(options: Any) -> Any:
    if options.level != "word":
        raise InputError(
            f"level {options.level!r}: tags stand one beside each word; use level=word"
            + (", and spelling to read its letters as well" if options.level == "character" else "")
        )
    if options.max_length is not None:
        raise InputError("max_length: would part tags from their words; leave it out")
    return options.model_copy(update={"split_words": "spaces"})


def _parts(
    table: Table, target: Declaration, asked: Rows, options: Any, valid: Table | None
) -> Parts:
    together = table.column(options.together).values if options.together else None
    strata = None
    if target.kind == "category" and not options.multi_label:
        own = Rows((table,), target.columns)
        strata = np.array(["" if cells[0] is None else str(cells[0]) for cells in own], object)
    common: dict[str, Any] = {
        "together": together,
        "strata": None if strata is None else strata.astype(str),
        "seed": options.seed,
        "name": table.name,
    }
    if options.folds or options.folds_by:
        if valid is not None or options.split:
            raise InputError("folds share all rows out; leave --split and --valid-table out")
        if not options.fold:  # all rows train, but those that validate
            free = options.model_copy(update={"test": "0"})
            return assign(table.height, free, **common)
        by = table.column(options.folds_by).values if options.folds_by else None
        made = folds(table.height, options, by=by, **common)
        if options.fold > len(made):
            raise InputError(f"fold {options.fold}: there are {len(made)} folds")
        return made[options.fold - 1]
    split = table.column(options.split).values if options.split else None
    parts = assign(table.height, options, split=split, own_valid=valid is None, **common)
    if valid is None:
        return parts
    if len(parts.valid):
        raise InputError(
            f"{table.name}: column {options.split!r} names rows to validate on, and --valid-table "
            "gives others; leave one of them out"
        )
    other = np.arange(table.height, table.height + valid.height)
    return Parts(parts.train, other, parts.test, findings=parts.findings)


def _learn(
    inputs: tuple[Declaration, ...],
    target: Declaration,
    train: list[Rows],
    asked: Rows,
    options: Any,
) -> Learnt:
    shared: dict[str, Any] = {}
    if target.kind == "text" and options.shared_vocabulary:
        texts = [rows for rows, each in zip(train, inputs, strict=True) if each.kind == "text"]
        read = readable((cells[0] for rows in texts for cells in rows), text_or_words)
        shared["vocabulary"] = learn_vocabulary(chain(read, all_texts(asked)), options)
    made = [
        input_class(each.kind).learn(
            each.columns, rows, options, **(shared if each.kind == "text" else {})
        )
        for each, rows in zip(inputs, train, strict=True)
    ]
    return Learnt(
        tuple(made), target_class(target.kind).learn(target.columns, asked, options, **shared)
    )


def encode(
    learnt: Learnt, sources: Iterable[Rows], bad: BadRows, tell: Callable[[str], None]
) -> list[Ragged]:
    """Return every row of each input, encoded; those that cannot be are noted in `bad`."""
    found = []
    for kind, rows in zip(learnt.inputs, sources, strict=True):
        ragged, wrong = encode_rows(
            kind.encode,
            rows,
            rows.count,
            sequence=kind.sequence,
            key=kind.key() if kind.media else None,
            tell=tell,
        )
        for row, message in wrong:
            bad.add(row, kind.columns, message)
        found.append(ragged)
    return found


def encode_truths(learnt: Learnt, asked: Rows, bad: BadRows) -> np.ndarray | Ragged:
    """Return every row's truth: an array of a vector target, else ragged."""
    target = learnt.target
    if target.shape != "vector":
        ragged, wrong = encode_rows(
            target.encode, asked, asked.count, key=target.key() if target.media else None
        )
        for row, message in wrong:
            bad.add(row, target.columns, message)
        return ragged
    found: list[np.ndarray | None] = []
    for row, cells in enumerate(asked):
        try:
            found.append(target.encode(cells))
        except BadCellError as error:
            bad.add(row, target.columns, str(error))
            found.append(None)
    known = next((each for each in found if each is not None), None)
    if known is None:
        raise InputError(f"{asked.place(0)}: no row has a target that can be used")
    return np.stack([np.zeros_like(known) if each is None else each for each in found])


def _compare_steps(
    learnt: Learnt,
    source: Rows,
    asked: Rows,
    encoded: Ragged,
    truths: np.ndarray | Ragged,
    bad: BadRows,
) -> None:
    assert isinstance(truths, Ragged)
    differ = np.flatnonzero(encoded.lengths != truths.lengths)
    differ = np.array([row for row in differ.tolist() if row not in bad], np.int64)
    for row, words, tags in zip(differ.tolist(), source.at(differ), asked.at(differ), strict=True):
        read = learnt.inputs[0].words(words[0])  # pyright: ignore[reportAttributeAccessIssue]
        error = disagree(read, split(tags[0]))
        bad.add(row, (*source.columns, *asked.columns), str(error))
