"""`elman.accelerate` on public models, as their packages build them, with random weights.

- A forecaster: GluonTS's DeepAR (Salinas et al. 2017), two layers of LSTM over a lagged series;
  its sampling goes on step by step for the horizon, with 100 samples of each series.
- A tagger: Stanza's part-of-speech tagger (Qi et al. 2018), a bidirectional highway LSTM over
  packed sentences of 5 to 40 words, and an LSTM over the characters of each word.

A deep copy is accelerated; outputs, the loss and the gradient of every parameter must be those of
the original to 1e-5 of the largest value. Then both are timed in turns (timing.py), forward and in
a training step (forward, backward and Adam). Writes accelerate.json.

    python benchmarks/accelerate.py [--models forecaster,tagger]
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

import elman
import record
from timing import alternate

TOLERANCE = 1e-5


@dataclass(frozen=True)
class Subject:
    """A model, what its forward pass gives, and its loss on a batch."""

    model: Any
    forward: Callable[[Any], Any]
    loss: Callable[[Any], Any]


def main() -> None:
    parser = record.parser(__doc__)
    parser.add_argument("--models", type=lambda text: text.split(","), default=list(SUBJECTS))
    parser.add_argument("--seconds", type=float, default=2.0, help="of each contender")
    arguments = parser.parse_args()
    record.use_threads(arguments.threads)

    points = [measure(name, arguments.seconds) for name in arguments.models]
    print("milliseconds, the original and the accelerated")
    rows = []
    for point in points:
        for part in ("forward", "training step"):
            before, after = (point["times"][f"{part}, {who}"].median for who in WHO)
            figures = (f"{before * 1e3:.1f}", f"{after * 1e3:.1f}", f"{before / after:.2f}")
            rows.append([point["model"], part, *figures, f"{point['error']:.1e}"])
    print(record.table(["model", "", *WHO, "speed-up", "error"], rows))
    record.write(arguments.out, "accelerate", points=points)


WHO = ("torch", "elman")


def measure(name: str, seconds: float) -> dict[str, Any]:
    torch.manual_seed(0)
    subject = SUBJECTS[name]()
    said: list[str] = []
    models = {"torch": subject.model, "elman": copy.deepcopy(subject.model)}
    elman.accelerate(models["elman"], say=said.append)
    error = check(subject, models)
    calls: dict[str, Callable[[], Any]] = {}
    for who, model in models.items():
        calls[f"forward, {who}"] = forward_call(subject, model)
        calls[f"training step, {who}"] = training_call(subject, model)
    return {
        "model": name,
        "replaced": said,
        "error": error,
        "times": alternate(calls, seconds),
    }


def check(subject: Subject, models: dict[str, Any]) -> float:
    """Return the largest relative error of outputs and gradients, in evaluation mode."""
    results = {}
    for who, model in models.items():
        model.eval()
        torch.manual_seed(1)  # what the forecaster samples
        with torch.no_grad():
            found = {"output": subject.forward(model)}
        loss = subject.loss(model)
        loss.backward()
        found["loss"] = loss.detach()
        found |= {k: p.grad for k, p in model.named_parameters() if p.grad is not None}
        model.zero_grad()
        results[who] = found
    if results["torch"].keys() != results["elman"].keys():
        raise SystemExit("not the same parameters have gradients")
    errors = {}
    for key, right in results["torch"].items():
        difference = (results["elman"][key] - right).abs().max().item()
        errors[key] = difference / (right.abs().max().item() or 1.0)
    worst = max(errors, key=lambda key: errors[key])
    if not errors[worst] <= TOLERANCE:
        raise SystemExit(f"{worst}: relative error {errors[worst]:.1e} after elman.accelerate")
    return errors[worst]


def forward_call(subject: Subject, model: Any) -> Callable[[], Any]:
    def call() -> Any:
        model.eval()
        with torch.inference_mode():
            return subject.forward(model)

    return call


def training_call(subject: Subject, model: Any) -> Callable[[], Any]:
    optimizer = torch.optim.Adam(model.parameters(), 1e-4)

    def call() -> None:
        model.train()
        optimizer.zero_grad()
        subject.loss(model).backward()
        optimizer.step()

    return call


def forecaster() -> Subject:
    """GluonTS's DeepAR at its defaults: daily series, 2 layers of 40, batches of 32."""
    from gluonts.torch.model.deepar.module import DeepARModel

    horizon, batch = 28, 32
    model = DeepARModel(freq="D", context_length=56, prediction_length=horizon)
    past = model.past_length
    inputs = {
        "feat_static_cat": torch.zeros(batch, 1, dtype=torch.long),
        "feat_static_real": torch.zeros(batch, 1),
        "past_time_feat": torch.randn(batch, past, 1),
        "past_target": torch.rand(batch, past) + 1,
        "past_observed_values": torch.ones(batch, past),
        "future_time_feat": torch.randn(batch, horizon, 1),
    }
    future = torch.rand(batch, horizon) + 1
    observed = torch.ones(batch, horizon)
    return Subject(
        model,
        lambda model: model(**inputs),
        lambda model: model.loss(
            **inputs, future_target=future, future_observed_values=observed
        ).mean(),
    )


def tagger() -> Subject:
    """Stanza's tagger at its defaults, without pretrained embeddings: 32 sentences."""
    from stanza.models.pos.model import Tagger

    tags = {"upos": 18, "xpos": 50, "feats": 40}
    vocab = {"word": range(5000), "char": range(100)} | {k: range(n) for k, n in tags.items()}
    options = {
        "word_emb_dim": 75, "tag_emb_dim": 50, "char": True, "char_emb_dim": 100,
        "char_hidden_dim": 400, "char_num_layers": 1, "char_rec_dropout": 0, "transformed_dim": 125,
        "pretrain": False, "hidden_dim": 200, "num_layers": 2, "dropout": 0.5, "rec_dropout": 0,
        "word_dropout": 0.33, "deep_biaff_hidden_dim": 400, "composite_deep_biaff_hidden_dim": 100,
    }  # fmt: skip
    model = Tagger(options, vocab)
    for parameter in model.parameters():
        if not parameter.any():  # it starts with classifiers of zeros, which hide what is below
            torch.nn.init.normal_(parameter, std=0.1)

    chance = np.random.default_rng(0)
    sentences = sorted(chance.integers(5, 41, size=32).tolist(), reverse=True)
    words = chance.integers(1, 13, size=sum(sentences))
    order = np.argsort(-words, kind="stable")  # Stanza sorts words by their length, and back
    inside = torch.arange(words.max())[None] < torch.from_numpy(words[order])[:, None]
    chars = torch.from_numpy(chance.integers(2, 100, size=inside.shape)) * inside

    def padded(high: int) -> torch.Tensor:
        rows = [torch.from_numpy(chance.integers(2, high, size=n)) for n in sentences]
        return torch.nn.utils.rnn.pad_sequence(rows, batch_first=True)

    word, gold = padded(5000), [padded(n) for n in tags.values()]

    def run(model: Any, gold: Any) -> Any:
        return model(
            word, word == 0, chars, ~inside, gold, None, order.tolist(), sentences,
            words[order].tolist(), None,
        )  # fmt: skip

    return Subject(
        model,
        lambda model: torch.stack(run(model, None)[1]),
        lambda model: run(model, gold)[0],
    )


SUBJECTS = {"forecaster": forecaster, "tagger": tagger}


if __name__ == "__main__":
    main()
