"""The worst, the best and typical examples, with what the network made of them, for the report.

What a page shows beside an answer depends on what was read and asked: the answer as it would have
been after each word, how much each letter of DNA mattered, where a translation was looked at, which
words have wrong tags. Each is a function of `_EXTRAS`, which returns nothing where it does not
apply.

Legend: T steps of an input, O values of an output, P prefixes.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch

from elman.kinds.examples.network import ExampleBatch
from elman.kinds.targets.target import Answers

_EACH = 4  # worst, best and typical examples
_MOST_PREFIXES = 250
_TOP = 5


@dataclass(frozen=True)
class Chosen:
    """Examples of one part that are to be shown, each with the reason."""

    split: str
    rows: np.ndarray
    reasons: list[str]
    answers: Answers
    truths: list[Any]
    errors: np.ndarray


def choose(
    target: Any, split: str, rows: np.ndarray, answers: Answers, truths: list[Any]
) -> Chosen:
    """Choose the rows with the highest and the lowest loss, and some from the middle."""
    errors = answers.losses
    if errors is None:
        errors = np.asarray(target.errors(answers, truths), np.float64)
    order = np.argsort(-errors, kind="stable")
    half = max(0, len(order) // 2 - _EACH // 2)
    picked: dict[int, str] = {}
    for why, places in (
        ("worst", order[:_EACH]),
        ("best", order[::-1][:_EACH]),
        ("typical", order[half : half + _EACH]),
    ):
        for place in places.tolist():
            picked.setdefault(place, why)
    at = list(picked)
    subset = Answers(
        None if answers.outputs is None else [answers.outputs[place] for place in at],
        None if answers.texts is None else [answers.texts[place] for place in at],
    )
    kept = np.array(at, np.int64)
    return Chosen(
        split, rows[kept], list(picked.values()), subset, [truths[p] for p in at], errors[kept]
    )


def make_samples(job: Any, network: Any, chosen: Chosen) -> list[dict[str, Any]]:
    """Return the chosen examples as samples.json holds them."""
    target = job.learnt.target
    answers = chosen.answers
    if target.shape == "vector":
        answers = replace(answers, outputs=np.stack(answers.outputs))
    frame = target.frame(answers, None)
    # Of a picture the column holds the file, which `drawn` shows.
    is_said = "prediction" in frame.columns and not target.media
    told = frame["prediction"].to_list() if is_said else None
    cells = [source.at(chosen.rows) for source in job.sources]
    numbers = job.asked.numbers(chosen.rows).tolist()
    made = []
    for place, row in enumerate(chosen.rows.tolist()):
        shown = [
            kind.show(each[place], _as_encoded(kind, encoded, row))
            for kind, each, encoded in zip(
                job.learnt.inputs, cells, job.encoded.inputs, strict=True
            )
        ]
        example: dict[str, Any] = {
            "split": chosen.split,
            "row": numbers[place],
            "why": chosen.reasons[place],
            "truth": target.text(chosen.truths[place]),
            "prediction": _said(told[place]) if told else "",
            "loss": round(float(chosen.errors[place]), 4),
            "inputs": shown,
        }
        context = _Context(job, network, row, shown, chosen, place)
        for name, extra in _EXTRAS.items():
            found = extra(context)
            if found is not None:
                example[name] = found
        made.append(example)
    return made


@dataclass(frozen=True)
class _Context:
    """One example, as the extras see it."""

    job: Any
    network: Any
    row: int
    shown: list[dict[str, Any]]
    chosen: Chosen
    place: int

    @property
    def target(self) -> Any:
        return self.job.learnt.target

    @property
    def kinds(self) -> list[str]:
        return [each.kind for each in self.job.learnt.inputs]

    @property
    def output(self) -> np.ndarray:
        return np.asarray(self.chosen.answers.outputs[self.place])

    def batch(self) -> ExampleBatch:
        device = next(self.network.parameters()).device
        return self.job.learnt.batch(np.array([self.row]), self.job.encoded.inputs).to(device)


def _probabilities(context: _Context) -> dict[str, float] | None:
    target = context.target
    if target.shape != "vector" or not hasattr(target, "probabilities"):
        return None
    p_K = target.probabilities(Answers(outputs=context.output[None]))[0]
    order = np.argsort(-p_K)[:_TOP]
    return {target.classes.names[k]: round(float(p_K[k]), 4) for k in order.tolist()}


def _running(context: _Context) -> dict[str, Any] | None:
    """Return the answer as it would have been, had the text ended after each word."""
    if context.target.shape != "vector" or "text" not in context.kinds:
        return None
    index = context.kinds.index("text")
    steps = len(context.shown[index]["tokens"])
    one = context.batch()
    real = one.lengths[index]
    assert real is not None
    steps = min(steps, int(real[0]), _MOST_PREFIXES)
    batch = ExampleBatch(
        np.repeat(one.rows, steps),
        tuple(
            (value[:, :steps] if place == index else value).expand(steps, *[-1] * (value.ndim - 1))
            for place, value in enumerate(one.values)
        ),
        tuple(
            None if each is None else torch.arange(1, steps + 1) if place == index
            else each.expand(steps)
            for place, each in enumerate(one.lengths)
        ),
    )  # fmt: skip
    with torch.inference_mode():
        outputs_PO = context.network(batch).float().cpu().numpy()
    label, values = _as_numbers(context.target, outputs_PO)
    return {"input": index, "label": label, "values": [round(float(v), 4) for v in values]}


def _as_numbers(target: Any, outputs_PO: np.ndarray) -> tuple[str, np.ndarray]:
    """Return a number for each output, and its name: the last answer's probability, or a value."""
    answers = Answers(outputs=outputs_PO)
    if hasattr(target, "probabilities"):
        p_PK = target.probabilities(answers)
        answer = int(p_PK[-1].argmax())
        return f"probability of {target.classes.names[answer]}", p_PK[:, answer]
    return target.columns[0], target.frame(answers, None).to_series(0).to_numpy()


def _saliency(context: _Context) -> dict[str, Any] | None:
    """Return how much each letter mattered: the gradient of the answer times the letter's features.

    (Simonyan et al. 2014; times the input, Shrikumar et al. 2016.)
    """
    if context.target.shape != "vector" or "dna" not in context.kinds:
        return None
    index = context.kinds.index("dna")
    batch = context.batch()
    network = context.network
    xs, lengths, also = network.read(batch)
    sequences = [each.sequence for each in context.job.learnt.inputs]
    place = sum(sequences[:index])
    xs = [x.detach() for x in xs]
    xs[place].requires_grad_()
    with torch.enable_grad():
        output_O = network.answer(xs, lengths, also, batch)[0]
        chosen = output_O.max() if output_O.numel() > 1 else output_O[0]
        (gradient,) = torch.autograd.grad(chosen, xs[place])
    values_T = (gradient * xs[place])[0].sum(-1).detach().cpu().numpy()
    return {"input": index, "values": [round(float(v), 5) for v in values_T]}


def _alignment(context: _Context) -> dict[str, Any] | None:
    """Return where each word of an answer was looked at."""
    sequences = [place for place, each in enumerate(context.job.learnt.inputs) if each.sequence]
    if context.target.shape != "sequence" or len(sequences) != 1:
        return None
    index = sequences[0]
    if "tokens" not in context.shown[index]:
        return None
    with torch.inference_mode():
        state = context.network.begin(context.batch())
        decoder = context.network.body.decoder
        written = context.target.write(decoder, state, context.job.options, 1)[0][0]
    if not written.weights or not written.tokens:
        return None
    return {
        "input": index,
        "answer": written.tokens,
        "read": context.shown[index]["tokens"],
        "weights": [[round(float(w), 3) for w in row] for row in written.weights],
    }


def _n_best(context: _Context) -> list[str] | None:
    texts = context.chosen.answers.texts
    return list(texts[context.place]) if texts is not None else None


def _tags(context: _Context) -> dict[str, Any] | None:
    if context.target.shape != "steps":
        return None
    cells = context.job.sources[0].at([context.row])[0]
    answers = Answers(outputs=[context.output])
    return {
        "words": context.job.learnt.inputs[0].words(cells[0]),
        "truth": context.target.text(context.chosen.truths[context.place]).split(" "),
        "prediction": context.target.tags(answers)[0],
    }


def _drawn(context: _Context) -> dict[str, Any] | None:
    target = context.target
    if target.kind != "image":
        return None
    return {
        "truth_png": target.draw_truth(context.chosen.truths[context.place][0]),
        "prediction_png": target.draw(context.output),
    }


_EXTRAS: dict[str, Callable[[_Context], Any]] = {
    "probabilities": _probabilities,
    "running": _running,
    "saliency": _saliency,
    "alignment": _alignment,
    "n_best": _n_best,
    "tags": _tags,
    "drawn": _drawn,
}


def _as_encoded(kind: Any, encoded: Any, row: int) -> np.ndarray:
    values = np.asarray(encoded[row])
    return values if kind.sequence else values[0]


def _said(value: Any) -> str:
    return f"{value:.6g}" if isinstance(value, float) else str(value)
