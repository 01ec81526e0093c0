"""The sections that open the page: headline, and what the data is with what was left out of it.

Of `data` in model.json they read, beside what forecasts have too (name, rows, findings, ...), and
as far as it is there: `parts` and `tokens` (a count by part), `classes` (counts of each, by part),
`lengths` (by column `{"shortest", "median", "longest"}`) and `skipped`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from elman.kinds.scoring.metrics import METRICS
from elman.report.about import facts_of, findings, network_words, verdict_tone, whole
from elman.report.blocks import Block, Facts, Paragraph, Section, Table, Tile, Tiles, Tone, Verdict
from elman.report.examples import contest
from elman.report.examples.samples import Skipped, lenient
from elman.report.formats import MISSING, count, number, percent
from elman.report.run_data import SPLIT_NAMES, RunData, as_count, as_float, listed, part

_MOST_CLASSES = 20
_MOST_ROWS_NAMED = 12


def headline(run: RunData) -> Section:
    """What was answered, the verdict, and the first scores beside the best baseline's."""
    blocks: list[Block | str] = []
    verdict = run.model.get("verdict")
    if verdict:
        blocks.append(Verdict(str(verdict), verdict_tone(contest.wins(run), verdict)))
    elif run.scores:
        blocks.append(Verdict("This run has no verdict; its scores are below.", "warning"))
    else:
        blocks.append(Verdict("This run has no verdict: it holds no scores.", "warning"))
    if tiles := _tiles(run):
        blocks.append(Tiles(tiles))
    blocks.append(_what(run))
    blocks.extend(Paragraph(str(note), "note") for note in listed(run.model, "notes"))
    blocks.extend(Paragraph(note, "warning") for note in run.notes)
    return Section("Summary", blocks)


def _what(run: RunData) -> str:
    given = " and ".join(each for each in run.inputs if each) or "what was given"
    target = str(run.config.get("target") or ", ".join(run.targets) or "an answer")
    words = (
        f"Learnt to go on with {given}."
        if run.job == "generation"
        else f"Answers {target} from {given}."
    )
    read = [str(each) for each in listed(part(run.model, "data"), "inputs")]
    words += f" Read: {'; '.join(read)}." if read else ""
    answered = part(run.model, "target").get("summary")
    words += f" Answered: {answered}." if answered else ""
    return f"{words} {network_words(run)}".strip()


def _tiles(run: RunData) -> list[Tile]:
    tiles = []
    found = contest.contests(run)
    several = len({target for _, target, _ in found}) > 1
    for split, target, rows in found:
        own = next((row for row in rows if row.get("kind") == "model"), None)
        if own is None:
            continue
        for key in contest.first_metrics(run, rows):
            value, other = as_float(own.get(key)), contest.best_baseline(rows, key)
            spread = as_float(own.get(f"{key}_sd"))
            note, tone = "no baseline", ""
            if other is not None:
                best = as_float(other.get(key))
                ahead = contest.is_ahead(key, value, best)
                tone: Tone = "" if value == best else "good" if ahead else "bad"
                note = (
                    f"best baseline: {other.get('forecaster')}, {contest.written(key, [best])[0]}"
                )
                note += f"; {contest.gap(key, value, best)}" if value != best else "; equal"
            title = f"{METRICS[key].label}, {SPLIT_NAMES.get(split, split)}"
            title = f"{target}: {title}" if several and target else title
            if math.isfinite(spread):
                known = contest.written(key, [value, spread], digits=2)
                note = f"± {known[1]} between folds; {note}"
            tiles.append(Tile(title, contest.written(key, [value])[0], note, tone))
    return tiles


def data(run: RunData) -> Section:
    """How many rows each part has, their classes and lengths, the check, what was skipped."""
    record = part(run.model, "data")
    blocks: list[Block | str] = []
    if facts := facts_of(record):
        blocks.append(Facts(facts))
    else:
        blocks.append(Paragraph("model.json does not describe the data.", "warning"))
    for table in (_part_table(run, record), _class_table(run, record), _length_table(record)):
        if table:
            blocks.append(table)
    if record:
        blocks.extend(findings(record))
    blocks.extend(_skipped(run, record))
    return Section("The data", blocks)


def _part_table(run: RunData, record: Mapping[str, Any]) -> Table | None:
    parts: Mapping[str, Any] = part(record, "parts")
    if not parts and run.answers is not None:
        counts = run.answers.drop_nulls("split").group_by("split", maintain_order=True).len()
        parts = {str(split): rows for split, rows in counts.iter_rows()}
    if not parts:
        return None
    total, tokens = sum(as_count(rows) for rows in parts.values()), part(record, "tokens")
    body = [
        [
            SPLIT_NAMES.get(name, name),
            whole(rows) or MISSING,
            percent(as_count(rows) / total) if total else MISSING,
            *([whole(tokens.get(name)) or MISSING] if tokens else ()),
        ]
        for name, rows in parts.items()
    ]
    return Table(("Part", "Rows", "Share", "Tokens")[: 3 + bool(tokens)], body, "Parts", "lrrr")


def _class_table(run: RunData, record: Mapping[str, Any]) -> Table | None:
    """Count each class in each part; of old runs, in those that were scored."""
    counts = {
        name: {str(label): as_count(n) for label, n in each.items()}
        for name, each in part(record, "classes").items()
        if isinstance(each, dict)
    }
    for name, known in run.samples.details.items():
        if known.per_class:
            counts.setdefault(name, {each.name: each.n for each in known.per_class})
    totals: dict[str, int] = {}
    for each in counts.values():
        for label, n in each.items():
            totals[label] = totals.get(label, 0) + n
    if not totals:
        return None
    ranked = sorted(totals, key=lambda label: -totals[label])
    shown, rest = ranked[:_MOST_CLASSES], ranked[_MOST_CLASSES:]
    rows = [[label, *(_share(each, [label]) for each in counts.values())] for label in shown]
    if rest:
        name = f"{len(rest):,} further classes"
        rows.append([name, *(_share(each, rest) for each in counts.values())])
    title = f"Classes: {len(ranked):,}, the most frequent first"
    names = (SPLIT_NAMES.get(name, name) for name in counts)
    heads = ("Class", *(f"{name[:1].upper()}{name[1:]}" for name in names))
    return Table(heads, rows, title, "l" + "r" * len(counts))


def _share(counts: Mapping[str, int], labels: Sequence[str]) -> str:
    n, total = sum(counts.get(label, 0) for label in labels), sum(counts.values())
    return f"{n:,} ({percent(n / total)})" if total else f"{n:,}"


def _length_table(record: Mapping[str, Any]) -> Table | None:
    names = ("shortest", "median", "longest")
    rows = [
        [column, *(number(as_float(each.get(name))) for name in names)]
        for column, each in part(record, "lengths").items()
        if isinstance(each, dict)
    ]
    heads = ("Column", *(name.capitalize() for name in names))
    return Table(heads, rows, "Lengths of the inputs, in steps", "lrrr") if rows else None


def _skipped(run: RunData, record: Mapping[str, Any]) -> list[Block | str]:
    """Say what was left out of the table, with reasons and counts, also that nothing was."""
    lost: list[str] = []
    known = [lenient(Skipped, each, "skipped", lost) for each in listed(record, "skipped")]
    skipped = run.samples.skipped or [each for each in known if each]
    if lost and not skipped:
        return [Paragraph("What was skipped cannot be read from model.json.", "warning")]
    if not skipped:
        return ["No row was skipped."] if run.model else []
    total = sum(len(each.rows) for each in skipped)
    rows = []
    for each in sorted(skipped, key=lambda each: -len(each.rows)):
        named = ", ".join(str(row) for row in each.rows[:_MOST_ROWS_NAMED])
        more = len(each.rows) - _MOST_ROWS_NAMED
        rows.append(
            (
                each.message,
                f"{len(each.rows):,}",
                named + (f", … ({more:,} more)" if more > 0 else ""),
            )
        )
    return [
        Paragraph(
            f"{count(total, 'row')} could not be read and {'was' if total == 1 else 'were'} left"
            " out (--skip-bad): no score knows of them.",
            "warning",
        ),
        Table(("Reason", "Rows skipped", "Which"), rows, "Skipped rows", "lrl"),
    ]
