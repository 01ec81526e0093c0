"""The section of examples: worst, best and typical ones, a card each."""

from __future__ import annotations

import math
from collections.abc import Sequence

import polars as pl

from elman.report.blocks import (
    Bar,
    Bars,
    Block,
    Card,
    Facts,
    Heading,
    Listing,
    Matrix,
    Paragraph,
    Photo,
    Photos,
    Said,
    Sayings,
    Section,
    Shade,
    Table,
    Token,
    Tokens,
    Tone,
)
from elman.report.examples.inputs import Scale, dna_letters, shaded_text, shown
from elman.report.examples.samples import Alignment, DnaInput, Sample, TagRow, TextInput
from elman.report.figures.answers import running_picture, saliency_picture
from elman.report.formats import count, label, number, percent
from elman.report.run_data import SPLIT_NAMES, RunData

# Why an example is shown -> its heading, and how many of them at most.
_GROUPS = {
    "worst": ("Worst: the largest loss", 6),
    "best": ("Best: the smallest loss", 4),
    "typical": ("Typical: in between", 4),
}
_BUDGET = 2_000_000  # characters of the page that all examples together may take
_MOST_ALIGNED = 60
_MOST_LISTED = 10


def examples(run: RunData) -> Section | None:
    """The examples of the test split (else of the last there is), as what they are.

    None for a generator without any: what it writes has a section of its own.
    """
    there = {sample.split for sample in run.samples.examples}
    split = next((name for name in ("test", "valid") if name in there), next(iter(there), None))
    if split is None and run.job == "generation":
        return None
    if split is None:
        return Section("Examples", _from_answers(run))
    every = [sample for sample in run.samples.examples if sample.split == split]
    picked = _pick(every)
    words = f"Of the {SPLIT_NAMES.get(split, split)} part."
    left_out = len(every) - sum(len(samples) for samples in picked.values())
    if left_out:
        words += f" {left_out} more are in samples.json."
    blocks: list[Block | str] = [f"{words} {_reading(run, picked)}".strip()]
    for why, samples in picked.items():
        if samples:
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
    for sample in every:
        if sample.running and isinstance(_payload(sample, sample.running.input), TextInput):
            scale, name = _scale(run, sample), _running_name(run, sample)
            words.append(
                f"Each {_unit(run, sample, sample.running.input)} is coloured by the answer as it"
                f" would be if the text ended there ({name}): the stronger the blue, the nearer to"
                f" {number(scale.high)}"
                + ("" if scale.middle is None else f"; orange, to {number(scale.low)}")
                + "."
            )
            break
    for sample in every:
        if sample.saliency:
            unit = _unit(run, sample, sample.saliency.input)
            words.append(f"Bars and colours show how much each {unit} weighs in the answer.")
            break
    if any(sample.tags for sample in every):
        words.append(
            "Below each word is the tag answered; a wrong one is marked ✗, with the truth."
        )
    return " ".join(words)


def card(run: RunData, sample: Sample) -> Card:
    """Return one example as a card."""
    below: list[Block] = []
    if sample.alignment:
        below.append(_alignment(sample.alignment))
    if sample.n_best and len(sample.n_best) > 1:
        below.append(Listing("Answers, best first", sample.n_best[:_MOST_LISTED]))
    verdict, tone = _outcome(run, sample)
    title = f"Row {sample.row}" + (f": {verdict}" if verdict else "")
    even = run.target_kind == "text"
    return Card(title, _inputs(run, sample), _answer(run, sample, tone), below, tone, even)


def _outcome(run: RunData, sample: Sample) -> tuple[str, Tone]:
    """Return whether an answer that can be right or wrong is."""
    if sample.tags:
        truth = sample.tags.truth
        wrong = sum(a != b for a, b in zip(truth, sample.tags.prediction, strict=False))
        if not truth:
            return "", ""
        return (
            (f"{wrong} of {count(len(truth), 'tag')} wrong", "bad")
            if wrong
            else ("all right", "good")
        )
    if sample.truth is None or run.target_kind not in ("category", "text"):
        return "", ""
    if sample.truth == sample.prediction:
        return "right" if run.target_kind == "category" else "exact", "good"
    return ("wrong", "bad") if run.target_kind == "category" else ("", "")


def _answer(run: RunData, sample: Sample, tone: Tone) -> list[Block]:
    rows = []
    if not sample.tags:
        if sample.truth is not None:
            rows.append(Said("Truth", sample.truth))
        if sample.prediction and not sample.drawn:
            rows.append(Said("Prediction", sample.prediction, tone))
    blocks: list[Block] = [Sayings(rows)] if rows else []
    if sample.drawn:
        photos = [Photo(sample.drawn.prediction_png, "The picture that was drawn", "drawn")]
        if sample.drawn.truth_png:
            photos.insert(0, Photo(sample.drawn.truth_png, "The true picture", "truth"))
        blocks.append(Photos(photos))
    if sample.probabilities:
        blocks.append(_bars(sample))
    facts = []
    if run.target_kind in ("number", "score") and sample.truth is not None:
        facts.append(("Error", _error(sample.truth, sample.prediction)))
    if sample.loss is not None and math.isfinite(sample.loss):
        facts.append(("Loss", number(sample.loss)))
    facts = [(name, value) for name, value in facts if value]
    return [*blocks, Facts(facts)] if facts else blocks


def _error(truth: str, prediction: str) -> str:
    try:
        return number(float(prediction) - float(truth))
    except ValueError:
        return ""


def _bars(sample: Sample) -> Bars:
    assert sample.probabilities is not None
    ranked = sorted(sample.probabilities.items(), key=lambda each: -each[1])
    bars = []
    for name, value in ranked:
        share = min(max(value, 0.0), 1.0) if math.isfinite(value) else 0.0
        tone: Tone = ""
        if name == sample.truth:
            tone, name = "good", f"{name} (truth)"
        elif name == sample.prediction and sample.truth is not None:
            tone = "bad"
        bars.append(Bar(name, share, percent(value), tone))
    return Bars(bars)


def _inputs(run: RunData, sample: Sample) -> list[Block]:
    """Return the inputs, the steps shaded where something is known of each."""
    blocks: list[Block] = []
    for place, payload in enumerate(sample.inputs):
        running = sample.running if sample.running and sample.running.input == place else None
        saliency = sample.saliency if sample.saliency and sample.saliency.input == place else None
        unit = _unit(run, sample, place)
        is_text = isinstance(payload, TextInput) and payload.tokens
        if running and is_text:
            scale = _scale(run, sample)
            shades = [scale.shade(value) for value in running.values]
            blocks.append(shaded_text(payload, shades, [number(v) for v in running.values]))
        elif saliency and is_text:
            top = max((abs(v) for v in saliency.values if math.isfinite(v)), default=0.0) or 1.0
            shades = [abs(v) / top if math.isfinite(v) else None for v in saliency.values]
            blocks.append(shaded_text(payload, shades, [number(v) for v in saliency.values]))
        elif saliency and isinstance(payload, DnaInput):
            blocks.extend(dna_letters(payload, saliency.values))
        elif sample.tags is None or not is_text:  # tagged words stand with their tags
            blocks.extend(shown(payload))
        if running:
            scale, name = _scale(run, sample), _running_name(run, sample)
            tokens = getattr(payload, "tokens", ())
            ends = (scale.low, scale.high)
            blocks.append(running_picture(running.values, ends, scale.middle, name, unit, tokens))
        if saliency and not isinstance(payload, DnaInput) and not is_text:
            blocks.append(saliency_picture(saliency.values, unit))
    return [*blocks, _tags(sample.tags)] if sample.tags else blocks


def _payload(sample: Sample, place: int) -> object:
    return sample.inputs[place] if place < len(sample.inputs) else None


def _unit(run: RunData, sample: Sample, place: int) -> str:
    payload = _payload(sample, place)
    level = str(run.config.get("level") or "word")
    kinds = {"text": level, "dna": "letter", "audio": "frame", "video": "frame"}
    return kinds.get(getattr(payload, "kind", ""), "step")


def _scale(run: RunData, sample: Sample) -> Scale:
    """Return from where to where a running answer can go."""
    assert sample.running is not None
    known = run.samples.details.get(sample.split)
    if run.target_kind == "category" or sample.probabilities:
        classes = len(known.classes) if known else len(sample.probabilities or ())
        return Scale(0.0, 1.0, 0.5 if classes == 2 else None)
    if known and known.range:
        low, high = known.range
        return Scale(low, high, (low + high) / 2)
    finite = [value for value in sample.running.values if math.isfinite(value)] or [0.0]
    return Scale(min(finite), max(finite), None)


def _running_name(run: RunData, sample: Sample) -> str:
    assert sample.running is not None
    name = label(sample.running.label, 40)
    if run.target_kind == "category" and name:
        return f"probability of {name}"
    return name or "answer"


def _tags(row: TagRow) -> Tokens:
    truths = row.truth or row.prediction
    tokens = [
        Token(word, under=answer if answer == truth else f"{answer}, not {truth}",
              wrong=answer != truth, hint=f"{answer}; truth: {truth}" if answer != truth else "")
        for word, truth, answer in zip(row.words, truths, row.prediction, strict=True)
    ]  # fmt: skip
    return Tokens(tokens)


def _alignment(found: Alignment) -> Matrix:
    answer, read = found.answer[:_MOST_ALIGNED], found.read[:_MOST_ALIGNED]
    cells = []
    said = []
    for word, weights in zip(answer, found.weights, strict=False):
        kept = [value if math.isfinite(value) else 0.0 for value in weights[: len(read)]]
        cells.append([Shade("", min(max(value, 0.0), 1.0), hint=f"{value:.2f}") for value in kept])
        said.append(f"{word} from {read[kept.index(max(kept))]}")
    words = "A row shows where the decoder looked while it wrote that word: the stronger the colour, the more."
    if len(answer) < len(found.answer) or len(read) < len(found.read):
        words += f" The first {_MOST_ALIGNED} words of each are shown."
    alt = f"Most attended: {', '.join(said)}"
    return Matrix(answer, read, cells, "answer", "read", "Attention", words, alt)


def _from_answers(run: RunData) -> list[Block | str]:
    """Return the worst rows of predictions.csv, where there are no samples."""
    if run.answers is None or run.answers["loss"].null_count() == run.answers.height:
        return [Paragraph("There are no examples in the run folder.", "warning")]
    worst = run.answers.sort("loss", descending=True, nulls_last=True, maintain_order=True)
    worst = worst.head(_MOST_LISTED).with_columns(pl.col("split", "row", "truth").fill_null("–"))
    rows = [
        (
            SPLIT_NAMES.get(each["split"], each["split"]),
            each["row"],
            label(each["truth"], 80),
            label(each["prediction"] or "–", 80),
            number(each["loss"]),
        )
        for each in worst.iter_rows(named=True)
    ]
    title = "The answers of predictions.csv with the largest loss"
    return [Table(("Part", "Row", "Truth", "Prediction", "Loss"), rows, title, "llllr")]
