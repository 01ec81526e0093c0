"""A trained generator at work: text that goes on from a prompt, and how well text is foretold."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import polars as pl
import torch
from torch import nn
from torch.nn import functional as F

from elman.data.findings import Finding
from elman.data.findings import count as count_of
from elman.data.table import Table
from elman.errors import InputError
from elman.kinds.baselines.ngram import KneserNey
from elman.kinds.generation.language import Language, Stream, read_rows
from elman.kinds.scoring.verdict import verdict_of
from elman.kinds.vocabulary import END, START, UNKNOWN, Vocabulary
from elman.networks.decoding import sample

_STEPS = 512  # read at a time, the state carried on
_LONG = 20_000  # tokens from which a stream is read as several side by side
_SIDES = 8
_WARM = 256  # steps that each of these reads first, unscored, to have a state
_SAMPLES = ((0.5, 400), (0.8, 400), (1.0, 400))
_SHOWN = 200


@dataclass
class TextEvaluation:
    """Scores of a generator and of n-grams, and the surprise of each row."""

    scores: list[dict[str, Any]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    samples: dict[str, Any] = field(default_factory=lambda: {"examples": [], "generated": []})
    rows: list[pl.DataFrame] = field(default_factory=list)

    @property
    def verdict(self) -> str:
        """Whether the model beats the best n-gram, in words."""
        return verdict_of(self.scores, "perplexity", {})

    def frame(self) -> pl.DataFrame:
        """Return each row's tokens and nats a token."""
        return pl.concat(self.rows) if self.rows else pl.DataFrame()

    def add_samples(self, network: nn.Module, language: Language, options: Any) -> None:
        """Write text at a few temperatures, and keep it for the report."""
        for temperature, length in _SAMPLES:
            text = generate(
                network, language, length=length, temperature=temperature, seed=options.seed
            )[0]
            how = f"temperature {temperature:g}, seed {options.seed}"
            self.samples["generated"].append({"prompt": "", "text": text, "how": how})


def nats_of(network: Any, tokens: np.ndarray) -> np.ndarray:
    """Return `-ln P` of each token after the first, with all those before it read.

    A long stream is read as several side by side, each warmed up on the tokens before it.
    """
    device = next(network.parameters()).device
    count = len(tokens) - 1
    sides = _SIDES if count > _LONG else 1
    length = -(-count // sides)
    warm = _WARM if sides > 1 else 0
    ids = torch.from_numpy(np.pad(tokens, (warm, sides * length - count)).astype(np.int64))
    found = torch.zeros(sides, length)
    with torch.inference_mode():
        state = network.begin(batch=sides)
        spans = [(-warm, 0)] if warm else []
        spans += [(start, min(start + _STEPS, length)) for start in range(0, length, _STEPS)]
        for start, stop in spans:
            at = torch.arange(sides)[:, None] * length + torch.arange(start, stop) + warm
            y_NV, state = network(ids[at].to(device), state)
            if start < 0:  # the first side has nothing before it
                for part in state.recurrent:
                    part[:, 0] = 0
                continue
            losses = F.cross_entropy(
                y_NV.float(), ids[at + 1].reshape(-1).to(device), reduction="none"
            )
            found[:, start:stop] = losses.reshape(sides, -1).cpu()
    return found.reshape(-1)[:count].double().numpy()


def evaluate_stream(
    network: nn.Module,
    language: Language,
    name: str,
    split: str,
    stream: Stream,
    baselines: Mapping[str, KneserNey],
    evaluation: TextEvaluation,
) -> None:
    """Score a stream and add what was found to an evaluation.

    `bits` are those of a character, of levels at which nothing is unknown at once: not of words.
    """
    tokens, lengths, vocabulary = stream.tokens, stream.lengths, language.vocabulary
    characters = 0 if vocabulary.level == "word" else len(vocabulary.decode(tokens[1:]))
    ours = nats_of(network, tokens)
    found = {name: ours} | {each: model.nats(tokens) for each, model in baselines.items()}
    for forecaster, nats in found.items():
        mean = float(nats.mean())
        evaluation.scores.append(
            {
                "split": split,
                "forecaster": forecaster,
                "kind": "model" if forecaster == name else "baseline",
                "target": language.column,
                "step": 0,
                "n": len(nats),
                "perplexity": float(np.exp(mean)),
                "nats": mean,
            }
            | ({"bits": float(nats.sum() / np.log(2) / characters)} if characters else {})
        )
    of_row = np.repeat(np.arange(len(lengths)), lengths)[1:]
    total = np.bincount(of_row, ours, minlength=len(lengths))
    scored = np.bincount(of_row, minlength=len(lengths))
    evaluation.rows.append(
        pl.DataFrame(
            {
                "split": [split] * len(lengths),
                "row": stream.numbers,
                "tokens": lengths,
                "loss": total / np.maximum(scored, 1),
            }
        )
    )
    shown = tokens[1 : _SHOWN + 1]
    text = {
        "kind": "text",
        "column": language.column,
        "text": vocabulary.decode(shown),
        "tokens": vocabulary.tokens(shown),
    }
    surprise = {"input": 0, "label": "nats", "values": [round(float(v), 3) for v in ours[:_SHOWN]]}
    evaluation.samples["examples"].append(
        {
            "split": split,
            "row": int(stream.numbers[0]),
            "why": "typical",
            "truth": None,
            "prediction": "",
            "loss": round(float(ours[:_SHOWN].mean()), 3),
            "inputs": [text],
            "running": surprise,
        }
    )


def generate(
    network: Any,
    language: Language,
    prompt: str = "",
    *,
    length: int = 500,
    count: int = 1,
    temperature: float = 1.0,
    top_k: int | None = None,
    top_p: float | None = None,
    seed: int = 0,
) -> list[str]:
    """Return texts that go on from a prompt (which is not repeated).

    Args:
        network: the trained decoder.
        language: what was learnt with it.
        prompt: how the text begins, at the beginning of a line.
        length: tokens to write.
        count: how many texts.
        temperature: below 1 the likely becomes likelier; 0 always takes the likeliest.
        top_k: draw from so many of the likeliest tokens only.
        top_p: draw from the likeliest tokens that together have this probability (Holtzman 2020).
        seed: of the draws.

    Raises:
        InputError: an argument is out of range.
    """
    for name, value, fits, expected in (
        ("length", length, length >= 1, "at least 1"),
        ("count", count, count >= 1, "at least 1"),
        ("temperature", temperature, temperature >= 0, "0 or more"),
        ("top_k", top_k, top_k is None or top_k >= 1, "at least 1"),
        ("top_p", top_p, top_p is None or 0 < top_p <= 1, "above 0 and at most 1"),
    ):
        if not fits:
            raise InputError(f"{name}: expected {expected}, got {value}")
    vocabulary = language.vocabulary
    ids = vocabulary.encode(f"\n{prompt}")  # in training, too, a line's end comes before
    device = next(network.parameters()).device
    prompt_BU = torch.from_numpy(ids.astype(np.int64)).expand(count, -1).to(device)
    if not temperature:  # the likeliest alone is left to be drawn
        temperature, top_k = 1.0, 1
    with torch.inference_mode():
        drawn = sample(
            network,
            network.begin(batch=count),
            prompt_BU=prompt_BU,
            end=None,
            longest=length,
            temperature=temperature,
            top_k=top_k,
            top_p=top_p,
            generator=torch.Generator(device).manual_seed(seed),
            never=(UNKNOWN, START, END),
        )
    return [_continuation(vocabulary, ids, found[0].tokens) for found in drawn]


def _continuation(vocabulary: Vocabulary, prompt: np.ndarray, tokens: list[int]) -> str:
    """Return the text of tokens as it goes on from a prompt: with the space between, if any."""
    begun = vocabulary.decode(prompt)
    whole = vocabulary.decode([*prompt.tolist(), *tokens])
    return whole.removeprefix(begun) if whole.startswith(begun) else vocabulary.decode(tokens)


def predict(
    network: nn.Module, language: Language, table: Table, options: Any = None
) -> tuple[pl.DataFrame, list[Finding]]:
    """Return how surprising each row of a table is: its tokens, and nats a token."""
    evaluation, findings = evaluate(network, language, "model", table)
    return evaluation.frame().drop("split"), findings


def evaluate(
    network: nn.Module, language: Language, name: str, table: Table, options: Any = None
) -> tuple[TextEvaluation, list[Finding]]:
    """Score a table's text, read from its beginning."""
    rows = read_rows(table, language.column)
    stream = language.stream(rows, np.arange(len(rows)) + 1)
    if len(stream.tokens) < 2:
        held = count_of(len(stream.tokens), "token")
        raise InputError(f"{table.name}: holds {held}; nothing can be foretold")
    evaluation = TextEvaluation()
    evaluate_stream(network, language, name, "table", stream, {}, evaluation)
    return evaluation, []
