"""A trained network on another table: its answers, and their scores."""

from __future__ import annotations

from typing import Any

import numpy as np
import polars as pl
from torch import nn

from elman.data.findings import Finding
from elman.data.table import Table
from elman.errors import InputError
from elman.kinds.examples.answers import answer, most_answers
from elman.kinds.examples.bad_rows import BadRows
from elman.kinds.examples.encoded import Encoded
from elman.kinds.examples.evaluation import Evaluator, ExampleEvaluation
from elman.kinds.examples.job import ExampleJob
from elman.kinds.examples.learnt import Learnt
from elman.kinds.examples.prepare import encode, encode_truths
from elman.kinds.examples.rows import Rows


def predict(
    network: nn.Module, learnt: Learnt, table: Table, options: Any
) -> tuple[pl.DataFrame, list[Finding]]:
    """Answer each row of a table that can be read.

    Returns:
        A row each: `row` (from 1), and what the target's kind says (prediction, probabilities,
        further answers); tags a row a word. And what was noticed.

    Raises:
        InputError: a column is absent, or a row cannot be read and `skip_bad` is not set.
    """
    findings: list[Finding] = []
    sources = _sources(learnt, table)
    bad = BadRows(sources[0])
    encoded = Encoded(tuple(encode(learnt, sources, bad, lambda note: _note(findings, note))))
    rows = _usable(bad, learnt, sources, table, options, findings)
    target = learnt.target
    n_best = most_answers(target, options)
    answers = answer(learnt, network, encoded, rows, options, n_best=n_best)  # pyright: ignore
    if target.shape == "steps":
        words = [learnt.inputs[0].words(cells[0]) for cells in sources[0].each(rows)]  # pyright: ignore
        frame = target.aligned(words, answers)  # pyright: ignore[reportAttributeAccessIssue]
        numbers = pl.Series(rows[frame["row"].to_numpy()] + 1)
        return frame.with_columns(numbers.alias("row"), pl.col("position") + 1), findings
    frame = target.frame(answers, None)
    return pl.concat([pl.DataFrame({"row": rows + 1}), frame], how="horizontal"), findings


def evaluate(
    network: nn.Module, learnt: Learnt, name: str, table: Table, options: Any
) -> tuple[ExampleEvaluation, list[Finding]]:
    """Score the answers to a table's rows.

    Returns:
        The scores of the network, called `name`, and the answers; and what was noticed.

    Raises:
        InputError: as `predict`; the target's column is needed too.
    """
    job, findings = table_job(learnt, table, options)
    return Evaluator(job, network, name).run(("table",)), findings


def table_job(learnt: Learnt, table: Table, options: Any) -> tuple[ExampleJob, list[Finding]]:
    """Return the job of a trained network on another table, whose one part is `table`.

    Raises:
        InputError: as `evaluate`.
    """
    findings: list[Finding] = []
    sources = _sources(learnt, table)
    asked = Rows((table,), learnt.target.columns, learnt.target.media)
    for column in asked.columns:
        table.require(column, "the model's target")
    bad = BadRows(sources[0])
    encoded = encode(learnt, sources, bad, lambda note: _note(findings, note))
    truths = encode_truths(learnt, asked, bad)
    rows = _usable(bad, learnt, sources, table, options, findings)
    job = ExampleJob(
        learnt, {"table": rows}, Encoded(tuple(encoded), truths), tuple(sources), asked, options,
        tuple(bad.summary()), table.name,
    )  # fmt: skip
    return job, findings


def _sources(learnt: Learnt, table: Table) -> list[Rows]:
    sources = [Rows((table,), each.columns, each.media, each.arrays) for each in learnt.inputs]
    for rows in sources:
        for column in rows.columns:
            table.require(column, "the model's input")
    return sources


def _usable(
    bad: BadRows,
    learnt: Learnt,
    sources: list[Rows],
    table: Table,
    options: Any,
    findings: list[Finding],
) -> np.ndarray:
    if not options.skip_bad:
        bad.refuse()
    findings += bad.findings(skip=True)
    for kind, source in zip(learnt.inputs, sources, strict=True):
        findings += [Finding("warning", f"{table.name}: {told}") for told in kind.unseen(source)]
    rows = bad.among(np.arange(table.height))
    if not len(rows):
        raise InputError(f"{table.name}: no row of it can be used")
    return rows


def _note(findings: list[Finding], note: str) -> None:
    findings.append(Finding("note", note))
