"""The sections that open the page: headline, and what the data is with what was left out of it.

Of `data` in model.json they read, beside what forecasts have too (name, rows, findings, ...),
`parts`: by split `{"rows": n, "tokens": n, "classes": {name: n}, "lengths": {column: [shortest,
median, longest]}}`, of which any may be absent.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from elman.kinds.targets.metrics import METRICS
from elman.report.about import facts_of, findings, network_words, verdict_tone, whole
from elman.report.blocks import Block, Facts, Paragraph, Section, Table, Tile, Tiles, Tone, Verdict
from elman.report.examples import contest
from elman.report.examples.scoring import fold_tiles
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
    if tiles := _tiles(run) + fold_tiles(run):
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
    parts = _parts(run, record)
    if parts:
        blocks.append(_part_table(parts))
    if classes := _class_table(parts):
        blocks.append(classes)
    if lengths := _length_table(parts):
        blocks.append(lengths)
    if record:
        blocks.extend(findings(record))
    blocks.extend(_skipped(run))
    return Section("The data", blocks)


def _parts(run: RunData, record: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Return what is known of each part, its rows at least; from the answers if nowhere else."""
    if raw := part(record, "parts"):
        return {
            str(name): each if isinstance(each, dict) else {"rows": each}
            for name, each in raw.items()
        }
    if run.answers is None:
        return {}
    counts = run.answers.group_by("split", maintain_order=True).len()
    return {str(split): {"rows": rows} for split, rows in counts.iter_rows() if split}


def _part_table(parts: Mapping[str, Mapping[str, Any]]) -> Table:
    total = sum(as_count(each.get("rows")) for each in parts.values())
    tokens = any("tokens" in each for each in parts.values())
    rows = [
        [
            SPLIT_NAMES.get(name, name),
            whole(each.get("rows")) or MISSING,
            percent(as_count(each.get("rows")) / total) if total else MISSING,
            *([whole(each.get("tokens")) or MISSING] if tokens else ()),
        ]
        for name, each in parts.items()
    ]
    heads = ("Part", "Rows", "Share", *(["Tokens"] if tokens else ()))
    return Table(heads, rows, "Parts", "lrrr")


def _class_table(parts: Mapping[str, Mapping[str, Any]]) -> Table | None:
    counts = {
        name: {str(label): as_count(n) for label, n in each["classes"].items()}
        for name, each in parts.items()
        if isinstance(each.get("classes"), dict)
    }
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
    heads = (SPLIT_NAMES.get(name, name).capitalize() for name in counts)
    return Table(("Class", *heads), rows, title, "l" + "r" * len(counts))


def _share(counts: Mapping[str, int], labels: Sequence[str]) -> str:
    n, total = sum(counts.get(label, 0) for label in labels), sum(counts.values())
    return f"{n:,} ({percent(n / total)})" if total else f"{n:,}"


def _length_table(parts: Mapping[str, Mapping[str, Any]]) -> Table | None:
    rows = []
    for name, each in parts.items():
        for column, values in part(each, "lengths").items():
            if isinstance(values, list) and len(values) == 3:
                shown = [number(as_float(value)) for value in values]
                rows.append((str(column), SPLIT_NAMES.get(name, name), *shown))
    if not rows:
        return None
    rows.sort(key=lambda row: row[0])
    return Table(
        ("Column", "Part", "Shortest", "Median", "Longest"), rows, "Lengths, in steps", "llrrr"
    )


def _skipped(run: RunData) -> list[Block | str]:
    """Say what was left out of the table, with reasons and counts, also that nothing was."""
    skipped = run.samples.skipped
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
