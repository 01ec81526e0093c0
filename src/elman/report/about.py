"""The sections about the run itself: headline, data, training, configuration, versions."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from itertools import product
from typing import Any

import numpy as np

from elman.report.blocks import (
    Block,
    Code,
    Facts,
    Gallery,
    Paragraph,
    Remark,
    Remarks,
    Section,
    Table,
    Tile,
    Tiles,
    Tone,
    Verdict,
)
from elman.report.figures.curves import loss_picture, metric_picture
from elman.report.figures.lines import data_picture
from elman.report.formats import MISSING, count, duration, moment, number, percent
from elman.report.run_data import SPLIT_NAMES, RunData, as_axis, as_float, listed, part

# The page stays readable: of many targets or panels the first ones are drawn, and it says so.
MOST_TARGETS = 3
_MOST_PANELS = 6
_WORST_FIRST = ("error", "warning", "note")


def headline(run: RunData) -> Section:
    """What was forecast, the verdict, and the scores beside the best baseline."""
    blocks: list[Block | str] = []
    verdict = run.model.get("verdict")
    if verdict:
        blocks.append(Verdict(str(verdict), _verdict_tone(run)))
    else:
        blocks.append(Verdict("This run has no verdict: it holds no scores.", "warning"))
    tiles = _tiles(run)
    if tiles:
        blocks.append(Tiles(tiles))
    blocks.append(_what(run))
    blocks.extend(Paragraph(note, "warning") for note in run.notes)
    return Section("Summary", blocks)


def _what(run: RunData) -> str:
    """Say in words what was forecast from what, and by which network."""
    data = part(run.model, "data")
    step = data.get("step")
    ahead = f"{count(run.horizon, 'step')} ahead" + (f" (step: {step})" if step else "")
    words = f"Forecast: {' and '.join(run.targets) or 'nothing yet'}, {ahead}"
    if run.config.get("inputs"):
        words += f", from {_flat(run.config['inputs'])}"
    return f"{words}. {network_words(run)}".strip()


def network_words(run: RunData) -> str:
    """Say which network ran; nothing where that is not known."""
    network = part(run.model, "network")
    if not network:
        return ""
    size = network.get("parameters")
    words = f"Network: {network.get('cell', run.name)}, {network.get('topology', '')}"
    return words + (f", {size:,} parameters." if isinstance(size, int) else ".")


def _verdict_tone(run: RunData) -> Tone:
    """Good if the model beats the best baseline on every span for each target, bad for none."""
    wins = []
    for split, target in product(("valid", "test"), run.targets):
        model, others = run.model_score(split, target), run.baselines(split, target)
        if model and others:
            wins.append(as_float(model.get("mae")) < as_float(others[0].get("mae")))
    return verdict_tone(wins, run.model.get("verdict"))


def verdict_tone(wins: Iterable[bool], verdict: object) -> Tone:
    """Return good if the model is ahead in each contest and surely so, bad if in none."""
    wins = list(wins)
    if wins and all(wins) and "but that is" in str(verdict):
        return "note"  # ahead, yet not surely
    return "" if not wins else "good" if all(wins) else "note" if any(wins) else "bad"


def _tiles(run: RunData) -> list[Tile]:
    tiles = []
    for target in run.targets[:MOST_TARGETS]:
        for split in ("valid", "test"):
            row = run.model_score(split, target)
            if row is None:
                continue
            mae = as_float(row.get("mae"))
            others = run.baselines(split, target)
            note, tone = "no baseline", ""
            if others:
                best = as_float(others[0].get("mae"))
                change = mae / best - 1 if best > 0 else np.nan
                side = "lower" if change < 0 else "higher"
                note = f"best baseline: {others[0]['forecaster']}, {number(best)}"
                note += f"; {percent(abs(change))} {side}" if np.isfinite(change) else ""
                tone: Tone = "good" if change < 0 else "bad"
            tiles.append(Tile(f"{target}: MAE, {SPLIT_NAMES[split]}", number(mae), note, tone))
    return tiles


def data(run: RunData) -> Section:
    """What the data is: a plot with the splits, facts, and what the check found."""
    record = part(run.model, "data")
    blocks: list[Block | str] = []
    drawn, words = _panels(run, run.series)
    if drawn:
        blocks.append(data_picture(drawn, run.spans, words))
    else:
        blocks.append(Paragraph("There is no series to draw.", "warning"))
    if record:
        blocks.append(Facts(facts_of(record)))
        if spans := part(record, "spans"):
            blocks.append(_span_table(spans))
        blocks.extend(findings(record))
    return Section("The data", blocks)


def _panels(
    run: RunData, series: Mapping[str, Any] | None
) -> tuple[list[tuple[str, np.ndarray, np.ndarray]], str]:
    """Return what to draw, with the words that say what it is."""
    panels = _series_panels(run, series) if series else _predicted_panels(run)
    total, panels = len(panels), panels[:_MOST_PANELS]
    if not panels:
        return [], ""
    points = sum(int(np.isfinite(values).sum()) for _, _, values in panels)
    starts = [x[0] for _, x, _ in panels if len(x)]
    stops = [x[-1] for _, x, _ in panels if len(x)]
    words = f"{points:,} values from {moment(min(starts))} to {moment(max(stops))}."
    if not series:
        words += (
            " Drawn from predictions.csv, so only the spans that were forecast are seen; the"
            " training span is not stored in the run folder."
        )
    if len(run.groups) > 3:
        words += f" Of {len(run.groups)} groups: {_picked(run)}."
    if total > len(panels):
        words += f" The first {len(panels)} of {total} columns are drawn."
    return panels, words


def _picked(run: RunData) -> str:
    first = run.targets[0]
    return ", ".join(
        f"{why} {group}" for group, why in run.shown_groups(run.splits[0], first) if why
    )


def _series_panels(
    run: RunData, series: Mapping[str, Any]
) -> list[tuple[str, np.ndarray, np.ndarray]]:
    columns = [c for c in run.targets if c in series["columns"]]
    columns += [c for c in series["columns"] if c not in columns]
    groups = list(series["groups"])
    if len(groups) > 3:
        wanted = (
            [g for g, _ in run.shown_groups(run.splits[0], run.targets[0])] if run.splits else []
        )
        groups = [g for g in groups if (g["key"] or "") in wanted] or groups[:3]
        columns = columns[:1]
    panels = []
    for column in columns:
        for group in groups:
            values = np.asarray(group["values"].get(column, []), dtype=float)
            if not np.isfinite(values).any():
                continue
            time = group.get("time")
            x = np.arange(1, len(values) + 1) if time is None else np.asarray(time)
            if np.issubdtype(x.dtype, np.datetime64):
                x = x.astype("datetime64[us]")
            panels.append((f"{column} · {group['key']}" if group["key"] else column, x, values))
    return panels


def _predicted_panels(run: RunData) -> list[tuple[str, np.ndarray, np.ndarray]]:
    panels = []
    for target in run.targets if run.predictions is not None else []:
        for group, _ in run.shown_groups(run.splits[0], target):
            rows = run.rows(None, target, group).unique("time", maintain_order=True).sort("time")
            if rows.height:
                title = f"{target} · {group}" if group else target
                panels.append((title, as_axis(rows["time"]), rows["truth"].to_numpy()))
    return panels


def facts_of(record: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Return what model.json says of the table, as names and values."""
    columns = listed(record, "columns")
    season = None
    if "period" in record:
        period = record["period"]
        season = count(period, "step") if isinstance(period, int) and period > 1 else "none"
    rows = [
        ("Name", record.get("name")),
        ("File", record.get("path")),
        ("SHA-256", record.get("sha256")),
        ("Rows", whole(record.get("rows"))),
        ("Series", whole(record.get("series"))),
        ("Step", record.get("step")),
        ("Season", season),
        ("Columns", ", ".join(str(c) for c in columns)),
    ]
    return [(name, str(value)) for name, value in rows if value not in (None, "")]


def whole(value: Any) -> str | None:
    """Return a count with separators; None for what is none."""
    return f"{value:,}" if isinstance(value, int) else None


def _span_table(spans: Mapping[str, Any]) -> Table:
    rows = [
        (
            SPLIT_NAMES.get(name, name),
            moment(span.get("from")),
            moment(span.get("to")),
            whole(span.get("steps")) or MISSING,
        )
        for name, span in spans.items()
        if isinstance(span, dict)
    ]
    return Table(("Split", "From", "To", "Steps"), rows, "Splits", "lllr")


def findings(record: Mapping[str, Any]) -> list[Block]:
    """Return what the check of the data found, worst first."""
    found = [f for f in listed(record, "findings") if isinstance(f, dict)]
    if not found:
        return [Paragraph("The check found nothing that would spoil training.")]
    order = {severity: n for n, severity in enumerate(_WORST_FIRST)}
    found.sort(key=lambda finding: order.get(str(finding.get("severity")), len(order)))
    items = [
        Remark(_severity(f), str(f.get("message", "")), str(f.get("remedy") or "")) for f in found
    ]
    return [Paragraph("What the check of the data found, worst first:"), Remarks(items)]


def _severity(finding: Mapping[str, Any]) -> Tone:
    known: dict[str, Tone] = {"error": "error", "warning": "warning"}
    return known.get(str(finding.get("severity")), "note")


def training(run: RunData) -> Section:
    """How training went."""
    record, metrics = part(run.model, "training"), run.metrics
    best = record.get("best_epoch")
    best_epoch = best if isinstance(best, int) else None
    blocks: list[Block | str] = []
    if record:
        blocks.append(Facts(_training_facts(record, metrics)))
    if not metrics:
        blocks.append(Paragraph("No finished epoch is recorded, so there is no curve.", "warning"))
        return Section("How training went", blocks)
    if not record:
        blocks.append(f"{count(len(metrics['epoch']), 'epoch')} recorded; training did not finish.")
    if len(metrics["epoch"]) == 1:
        rows = [(name.replace("_", " "), number(float(v[0]))) for name, v in metrics.items()]
        blocks.extend(("One epoch makes no curve; what it recorded:", Facts(rows)))
        return Section("How training went", blocks)
    pictures = []
    if any(np.isfinite(metrics.get(name, np.nan)).any() for name in ("train_loss", "valid_loss")):
        where = ", taken at the last step of each window," if run.job == "forecasting" else ""
        pictures.append(loss_picture(metrics, best_epoch, where))
    for name, title in (
        ("valid_score", "Validation score"),
        ("gradient_norm", "Gradient norm"),
        ("learning_rate", "Learning rate"),
    ):
        if name in metrics and np.isfinite(metrics[name]).any():
            pictures.append(metric_picture(metrics, name, title, best_epoch))
    blocks.append(Gallery("", pictures))
    return Section("How training went", blocks)


def _training_facts(
    record: Mapping[str, Any], metrics: Mapping[str, np.ndarray]
) -> list[tuple[str, str]]:
    rows = [
        ("Epochs", whole(record.get("epochs"))),
        ("Best epoch", whole(record.get("best_epoch"))),
        (
            f"Best validation {record.get('score') or 'score'}",
            number(as_float(record.get("best_score"))),
        ),
        ("Time", duration(as_float(record.get("seconds")))),
        ("Stopped by", record.get("stopped")),
    ]
    if np.isfinite(metrics.get("examples_per_second", np.nan)).any():
        speed = float(np.nanmedian(metrics["examples_per_second"]))
        rows.append(("Examples a second (median)", f"{speed:,.0f}"))
    return [(name, str(value)) for name, value in rows if value not in (None, "", MISSING)]


def configuration(run: RunData) -> Section:
    """The resolved options, complete."""
    if not run.config_text:
        return Section("Configuration", ["config.yaml is absent from the run folder."])
    rows = [(str(name), _flat(value)) for name, value in run.config.items()]
    return Section("Configuration", ["Every option of this run, defaults included.", Facts(rows)])


def _flat(value: Any) -> str:
    """Return an option's value on one line."""
    if value is None or value == "":
        return MISSING
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, (list, tuple)):
        return ", ".join(_flat(item) for item in value) or MISSING
    return json.dumps(value, ensure_ascii=False) if isinstance(value, dict) else str(value)


def versions(run: RunData) -> Section:
    """What ran, and how to run it again."""
    model = run.model
    rows = [
        ("Elman", model.get("elman")),
        *part(model, "versions").items(),
        ("Platform", model.get("platform")),
        ("Engine", model.get("engine")),
        ("Network", part(model, "network").get("summary")),
        ("Created", moment(model["created"]) if model.get("created") else None),
        ("SHA-256 of the weights", model.get("weights_sha256")),
    ]
    blocks: list[Block | str] = []
    known = [(name, str(value)) for name, value in rows if value]
    if known:
        blocks.append(Facts(known))
    blocks.append("To run it again, from the run folder, with the same data:")
    blocks.append(Code("elman fit --config config.yaml"))
    digest = part(model, "data").get("sha256")
    if digest:
        blocks.append(f"The data is the same if its SHA-256 is {digest}.")
    return Section("Versions and how to reproduce", blocks)
