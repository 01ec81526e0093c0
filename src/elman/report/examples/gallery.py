"""The section of examples: which worst, best and typical ones are shown, and how they are read."""

from __future__ import annotations

from collections.abc import Sequence

import polars as pl

from elman.report.blocks import Block, Heading, Paragraph, Section, Table
from elman.report.examples.cards import SURPRISE, card, running_name_of, scale_of, unit_of
from elman.report.examples.samples import Sample, TextInput
from elman.report.formats import label, number
from elman.report.run_data import SPLIT_NAMES, RunData, of_split, shown_split

# Why an example is shown -> its heading, and how many of them at most.
_GROUPS = {
    "worst": ("Worst: the largest loss", 6),
    "best": ("Best: the smallest loss", 4),
    "typical": ("Typical: in between", 4),
}
_BUDGET = 2_000_000  # characters of the page that all examples together may take
_MOST_LISTED = 10


def examples(run: RunData) -> Section | None:
    """The examples of the test split (else of the last there is), as what they are.

    None for a generator without any: what it writes has a section of its own.
    """
    split = shown_split(sample.split for sample in run.samples.examples)
    if split is None and run.job == "generation":
        return None
    if split is None:
        return Section("Examples", _from_answers(run))
    every = [sample for sample in run.samples.examples if sample.split == split]
    picked = _pick(every)
    words = f"{of_split(split)}."
    left_out = len(every) - sum(len(samples) for samples in picked.values())
    if left_out:
        words += f" {left_out} more are in samples.json."
    blocks: list[Block | str] = [f"{words} {_reading(run, picked)}".strip()]
    for why, samples in picked.items():
        if samples:
            if len(every) > 1:
                blocks.append(Heading(_GROUPS[why][0]))
            blocks.extend(card(run, sample) for sample in samples)
    return Section("Examples", blocks)


def _pick(samples: Sequence[Sample]) -> dict[str, list[Sample]]:
    """Return the samples to show of each group; in turn, so that no group takes all the room."""
    queues = {
        why: [sample for sample in samples if sample.why == why][:most]
        for why, (_, most) in _GROUPS.items()
    }
    picked: dict[str, list[Sample]] = {why: [] for why in queues}
    room = _BUDGET
    for turn in range(max(most for _, most in _GROUPS.values())):
        for why, queue in queues.items():
            if turn < len(queue) and (size := _size(queue[turn])) <= room:
                picked[why].append(queue[turn])
                room -= size
    return picked


def _size(sample: Sample) -> int:
    """Return about how many characters a card takes."""
    size = 3_000
    for payload in sample.inputs:
        pictures = getattr(payload, "pngs", None) or [getattr(payload, "png", "")]
        size += sum(len(png) for png in pictures)
        frames = getattr(payload, "frames", [])
        size += 12_000 + 4 * sum(len(frame) for frame in frames) if frames else 0
        size += 70 * len(getattr(payload, "tokens", ())) + 80 * len(getattr(payload, "letters", ()))
    if sample.drawn:
        size += len(sample.drawn.truth_png or "") + len(sample.drawn.prediction_png)
    if sample.alignment:
        size += 50 * len(sample.alignment.answer) * len(sample.alignment.read)
    return size + (15_000 if sample.running or sample.saliency else 0)


def _reading(run: RunData, picked: dict[str, list[Sample]]) -> str:
    """Say once how the examples' drawings are read."""
    every = [sample for samples in picked.values() for sample in samples]
    words = []
    running = [
        sample
        for sample in every
        if sample.running and any(isinstance(each, TextInput) for each in sample.inputs)
    ]
    if running:
        first, names = running[0], {running_name_of(run, sample) for sample in running}
        scale, unit = scale_of(run, first), unit_of(run, first, first.running.input)  # type: ignore[union-attr]
        name = names.pop() if len(names) == 1 else "probability of the class answered"
        what = f"the answer as it would be if the text ended there ({name})"
        words.append(
            f"Each {unit} is coloured by {SURPRISE if run.job == 'generation' else what}:"
            f" the stronger the blue, the nearer to {number(scale.high)}"
            + ("." if scale.middle is None else f"; orange, to {number(scale.low)}.")
        )
    weighed = [sample for sample in every if sample.saliency]
    if weighed:
        unit = unit_of(run, weighed[0], weighed[0].saliency.input)  # type: ignore[union-attr]
        words.append(f"Bars and colours show how much each {unit} weighs in the answer")
        values = [value for sample in weighed for value in sample.saliency.values]  # type: ignore[union-attr]
        against = any(value < 0 for value in values)
        words[-1] += ": blue speaks for it, orange against it." if against else "."
    if any(sample.tags for sample in every):
        words.append(
            "Below each word is the tag answered; a wrong one is marked ✗, with the truth."
        )
    return " ".join(words)


def _from_answers(run: RunData) -> list[Block | str]:
    """Return the worst rows of predictions.csv, where there are no samples."""
    if run.answers is None or run.answers["loss"].null_count() == run.answers.height:
        return [Paragraph("There are no examples in the run folder.", "warning")]
    worst = run.answers.sort("loss", descending=True, nulls_last=True, maintain_order=True)
    worst = worst.head(_MOST_LISTED).with_columns(pl.col("split", "row", "truth").fill_null("–"))
    rows = [
        (
            str(SPLIT_NAMES.get(each["split"], each["split"])),
            str(each["row"]),
            label(each["truth"], 80),
            label(each["prediction"] or "–", 80),
            number(each["loss"]),
        )
        for each in worst.iter_rows(named=True)
    ]
    title = "The answers of predictions.csv with the largest loss"
    return [Table(("Part", "Row", "Truth", "Prediction", "Loss"), rows, title, "llllr")]
