"""One example as a card: what went in, the truth, the answer, and what is known of its steps."""

from __future__ import annotations

import math

from elman.report.blocks import (
    Bar,
    Bars,
    Block,
    Card,
    Facts,
    Listing,
    Matrix,
    Photo,
    Photos,
    Said,
    Sayings,
    Shade,
    Token,
    Tokens,
    Tone,
)
from elman.report.examples.inputs import Scale, dna_letters, shaded_text, shown
from elman.report.examples.samples import Alignment, DnaInput, Sample, TagRow, TextInput
from elman.report.figures.answers import running_picture, saliency_picture
from elman.report.formats import count, label, number, percent
from elman.report.run_data import RunData, as_count

_MOST_ALIGNED = 60
_MOST_ANSWERS = 10
_NOTHING = "(no text)"
SURPRISE = "how much it surprised the network, in nats"


def card(run: RunData, sample: Sample) -> Card:
    """Return one example as a card."""
    below: list[Block] = []
    if sample.alignment:
        below.append(_alignment(sample.alignment))
    best = (sample.n_best or [])[:_MOST_ANSWERS]
    if len(best) > 1:
        below.append(Listing("Answers, best first", [text or _NOTHING for text in best]))
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
        if not sample.drawn and (sample.prediction or sample.truth is not None):
            rows.append(Said("Prediction", sample.prediction or _NOTHING, tone))
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
        unit = unit_of(run, sample, place)
        text = payload if isinstance(payload, TextInput) and payload.tokens else None
        if running and text:
            scale = scale_of(run, sample)
            shades = [scale.shade(value) for value in running.values]
            blocks.append(shaded_text(text, shades, [number(v) for v in running.values]))
        elif saliency and text:
            top = max((abs(v) for v in saliency.values if math.isfinite(v)), default=0.0) or 1.0
            shades = [v / top if math.isfinite(v) else None for v in saliency.values]
            blocks.append(shaded_text(text, shades, [number(v) for v in saliency.values]))
        elif saliency and isinstance(payload, DnaInput):
            every = as_count(run.config.get("kmer_step")) or 1
            blocks.extend(dna_letters(payload, saliency.values, every))
        elif sample.tags is None or not text:  # tagged words stand with their tags
            blocks.extend(shown(payload))
        if running:
            scale, name = scale_of(run, sample), running_name_of(run, sample)
            ends, tokens = (scale.low, scale.high), text.tokens if text else ()
            blocks.append(running_picture(running.values, ends, scale.middle, name, unit, tokens))
        if saliency and not isinstance(payload, DnaInput) and not text:
            blocks.append(saliency_picture(saliency.values, unit))
    return [*blocks, _tags(sample.tags)] if sample.tags else blocks


def unit_of(run: RunData, sample: Sample, place: int) -> str:
    """Return what a step of an input is called."""
    payload = sample.inputs[place] if place < len(sample.inputs) else None
    level = str(run.config.get("level") or "word")
    kinds = {"text": level, "dna": "letter", "audio": "frame", "video": "frame"}
    return kinds.get(getattr(payload, "kind", ""), "step")


def scale_of(run: RunData, sample: Sample) -> Scale:
    """Return from where to where a running answer can go."""
    assert sample.running is not None
    # Of a cross-validation, the details are those of one fold.
    known = run.samples.details.get(sample.split) or next(iter(run.samples.details.values()), None)
    if run.job == "generation":
        return Scale(0.0, max((v for v in sample.running.values if math.isfinite(v)), default=1.0))
    if run.target_kind == "category" or sample.probabilities:
        classes = len(known.classes) if known else len(sample.probabilities or ())
        return Scale(0.0, 1.0, 0.5 if classes == 2 else None)
    if known and known.range:
        low, high = known.range
        return Scale(low, high, (low + high) / 2)
    finite = [value for value in sample.running.values if math.isfinite(value)] or [0.0]
    return Scale(min(finite), max(finite), None)


def running_name_of(run: RunData, sample: Sample) -> str:
    """Return what a running answer is called."""
    assert sample.running is not None
    if run.job == "generation":
        return "surprise, in nats"
    return label(sample.running.label, 40) or "answer"


def _tags(row: TagRow) -> Tokens:
    truths = row.truth or row.prediction
    tokens = [
        Token(word, under=answer if answer == truth else f"{answer}, not {truth}",
              wrong=answer != truth, hint=f"{answer}; truth: {truth}" if answer != truth else "")
        for word, truth, answer in zip(row.words, truths, row.prediction, strict=True)
    ]  # fmt: skip
    return Tokens(tokens)


def _alignment(found: Alignment) -> Matrix:
    # Of a long text fewer words are kept than were read, or the other way round.
    wide = min(len(found.read), *(len(row) for row in found.weights))
    high = min(len(found.answer), len(found.weights))
    answer, read = found.answer[: min(high, _MOST_ALIGNED)], found.read[: min(wide, _MOST_ALIGNED)]
    cells, said = [], []
    for word, weights in zip(answer, found.weights, strict=False):
        kept = [value if math.isfinite(value) else 0.0 for value in weights[: len(read)]]
        cells.append([Shade("", min(max(value, 0.0), 1.0), hint=f"{value:.2f}") for value in kept])
        said.append(f"{word} from {read[kept.index(max(kept))]}")
    words = (
        "A row shows where the decoder looked while it wrote that word: the stronger the colour,"
        " the more."
    )
    if (len(answer), len(read)) != (len(found.answer), len(found.read)):
        words += f" The first {len(answer)} words answered and {len(read)} read are shown."
    alt = f"Most attended: {', '.join(said)}"
    return Matrix(answer, read, cells, "answer", "read", "Attention", words, alt)
