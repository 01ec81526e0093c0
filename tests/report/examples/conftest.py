"""Writes realistic folders of runs that answer examples or write text on: no training is needed."""

from __future__ import annotations

import base64
import csv
import io
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml


@dataclass
class Example:
    """A run to write; what is not given is made up."""

    name: str
    inputs: list[str]
    target: str
    topology: str
    scores: list[dict[str, Any]]
    samples: dict[str, Any]
    parts: dict[str, int]
    verdict: str
    job: str = "examples"
    cell: str = "gru"
    findings: list[dict[str, str]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    folds: list[dict[str, Any]] = field(default_factory=list)
    options: dict[str, Any] = field(default_factory=dict)
    data: dict[str, Any] = field(default_factory=dict)
    headline: str = ""
    answers: list[dict[str, Any]] = field(default_factory=list)

    def model(self) -> dict[str, Any]:
        """Return what model.json holds."""
        kind, _, columns = self.target.partition(":")
        reads = [each.partition(":")[2] for each in self.inputs]
        return {
            "format": 1,
            "job": self.job,
            "elman": "0.1.0",
            "created": "2026-03-01T10:20:30+00:00",
            "versions": {"python": "3.11.7", "torch": "2.13.0"},
            "platform": "Linux x86_64, 2 CPUs",
            "data": {
                "name": self.name,
                "path": f"data/{self.name}.csv",
                "sha256": "ab12" * 16,
                "rows": sum(self.parts.values()),
                "columns": [c for c in (*reads, columns) if c],
                "findings": self.findings,
                "parts": self.parts,
                "inputs": ["20,000 words"],
                "skipped": self.samples.get("skipped", []),
            }
            | self.data,
            "target": {"kind": kind, "columns": [columns] if columns else []}
            | {"summary": "what is answered", "headline": self.headline},
            "network": {
                "topology": self.topology,
                "cell": self.cell,
                "parameters": 1_234_567,
                "summary": f"1 layer of 128 {self.cell} units",
            },
            "engine": "native",
            "training": {
                "epochs": 12,
                "best_epoch": 9,
                "best_score": 0.31,
                "score": "log loss",
                "seconds": 421.3,
                "stopped": "early stopping: no better for 3 epochs",
            },
            "scores": self.scores,
            "notes": self.notes,
            "verdict": self.verdict,
            "weights_sha256": "cd34" * 16,
            "sha256": "ef56" * 16,
        } | ({"folds": self.folds} if self.folds else {})

    def write(self, folder: Path) -> Path:
        """Write the whole run folder."""
        folder.mkdir(parents=True, exist_ok=True)
        config = {
            "table": f"data/{self.name}.csv",
            "inputs": self.inputs,
            "target": self.target,
            "cell": self.cell,
            "hidden": 128,
            "level": "word",
            "skip_bad": bool(self.samples.get("skipped")),
        } | self.options
        (folder / "config.yaml").write_text(yaml.safe_dump(config, sort_keys=False))
        (folder / "model.json").write_text(json.dumps(self.model(), indent=1))
        (folder / "samples.json").write_text(json.dumps(self.samples))
        with (folder / "metrics.jsonl").open("w") as file:
            for epoch in range(1, 13):
                line = {
                    "epoch": epoch,
                    "step": 100 * epoch,
                    "train_loss": 0.1 + 0.6 * float(np.exp(-epoch / 4)),
                    "valid_loss": 0.3 + 0.4 * float(np.exp(-epoch / 3)) + 0.01 * max(epoch - 9, 0),
                    "valid_score": 0.3 + 0.4 * float(np.exp(-epoch / 3)),
                    "gradient_norm": 1 + 3 * float(np.exp(-epoch / 5)),
                    "learning_rate": 0.001,
                    "seconds": 35.0,
                    "examples_per_second": 700.0,
                }
                file.write(json.dumps(line) + "\n")
        rows = self.answers or [
            {name: sample[name] for name in ("split", "row", "truth", "prediction", "loss")}
            for sample in self.samples.get("examples", [])
        ]
        if rows:
            with (folder / "predictions.csv").open("w", newline="") as file:
                writer = csv.DictWriter(file, list(rows[0]))
                writer.writeheader()
                writer.writerows(rows)
        return folder


def rows_of(
    target: str, model: dict[str, Any], baselines: dict[str, dict[str, Any]], n: int
) -> list[dict[str, Any]]:
    """Return score rows of both splits; the test split's are a little worse."""
    found = []
    for split in ("valid", "test"):
        for name, scores in {"gru": model, **baselines}.items():
            row = {
                "split": split,
                "forecaster": name,
                "kind": "model" if name == "gru" else "baseline",
                "target": target,
                "step": 0,
                "n": n,
            }
            found.append(row | scores)
    return found


def over_folds(folds: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the folds' scores together: means weighted by rows, and deviations."""
    found = []
    for name in dict.fromkeys(row["forecaster"] for row in folds):
        rows = [row for row in folds if row["forecaster"] == name]
        weights = [row["n"] for row in rows]
        joined = {k: rows[0][k] for k in ("forecaster", "kind", "target", "step")}
        joined |= {"split": "folds", "n": sum(weights)}
        for key in ("mae", "correlation"):
            values = [row[key] for row in rows]
            if None not in values:
                joined[key] = float(np.average(values, weights=weights))
                joined[f"{key}_sd"] = float(np.std(values, ddof=1))
        found.append(joined)
    return found


def sample(row: int, why: str, truth: str | None, prediction: str, **more: Any) -> dict[str, Any]:
    """Return one example of the test split."""
    loss = {"worst": 3.21, "best": 0.0042, "typical": 0.31}[why]
    known = {"split": "test", "row": row, "why": why, "truth": truth, "prediction": prediction}
    return known | {"loss": loss} | more


def png(width: int, height: int, paint: Callable[[np.ndarray, np.ndarray], np.ndarray]) -> str:
    """Return a picture in base64; `paint` answers its pixels from x and y."""
    from PIL import Image

    y, x = np.mgrid[0:height, 0:width]
    pixels = np.clip(np.stack(np.broadcast_arrays(*paint(x, y)), -1), 0, 255).astype(np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "png")
    return base64.b64encode(buffer.getvalue()).decode()


def disc(cx: float, cy: float, size: int = 96) -> str:
    """Return a red disc on grey."""

    def paint(x: np.ndarray, y: np.ndarray) -> Any:
        inside = (x - cx) ** 2 + (y - cy) ** 2 < 14**2
        return np.where(inside, 210, 120), np.where(inside, 40, 125), np.where(inside, 40, 130)

    return png(size, size, paint)


REVIEW = (
    "I went in expecting very little , and for an hour the film is dull , slow and badly lit ."
    " Then the second half begins : funny , warm , superbly acted , and the ending is one of the"
    " most moving things I have seen in years . A wonderful film ."
)
MOOD = {
    "dull": -1.4, "slow": -0.9, "badly": -1.2, "little": -0.5, "funny": 1.0, "warm": 1.2,
    "superbly": 1.6, "moving": 0.9, "wonderful": 1.5,
}  # fmt: skip


def running(tokens: list[str]) -> list[float]:
    """Return a mood from -1 to 1 that follows the words."""
    level, values = 0.0, []
    for token in tokens:
        level = 0.97 * level + MOOD.get(token, 0.0)
        values.append(round(float(np.tanh(0.6 * level)), 4))
    return values


def binary_details(n: int = 1000) -> dict[str, Any]:
    """Return the details of two classes."""
    return {
        "classes": ["neg", "pos"],
        "confusion": [[431, 69], [46, 454]],
        "per_class": [
            {"class": "neg", "precision": 431 / 477, "recall": 0.862, "f1": 0.8823, "n": 500},
            {"class": "pos", "precision": 454 / 523, "recall": 0.908, "f1": 0.8876, "n": 500},
        ],
        "calibration": [
            {"confidence": 0.55, "accuracy": 0.53, "n": 90},
            {"confidence": 0.65, "accuracy": 0.6, "n": 110},
            {"confidence": 0.75, "accuracy": 0.71, "n": 130},
            {"confidence": 0.85, "accuracy": 0.8, "n": 200},
            {"confidence": 0.97, "accuracy": 0.94, "n": n - 530},
        ],
        "multi_label": False,
    }


def sentiment() -> Example:
    """Reviews to a category, with the running probability; rows were skipped."""
    tokens = REVIEW.split()
    values = [round((value + 1) / 2, 4) for value in running(tokens)]
    long = (tokens * 20)[:900]

    def one(row: int, why: str, truth: str, p: float, words: list[str]) -> dict[str, Any]:
        answer = "pos" if p > 0.5 else "neg"
        return sample(
            row,
            why,
            truth,
            answer,
            probabilities={"pos": p, "neg": round(1 - p, 4)},
            inputs=[{"kind": "text", "column": "review", "text": " ".join(words), "tokens": words}],
            running={
                "input": 0,
                "label": "probability of pos",
                "values": (values * 20)[: len(words)],
            },
        )

    return Example(
        name="imdb",
        inputs=["text:review"],
        target="category:sentiment",
        topology="seq-to-vector",
        scores=rows_of(
            "sentiment",
            {
                "accuracy": 0.885,
                "macro_f1": 0.8849,
                "roc_auc": 0.951,
                "log_loss": 0.291,
                "calibration": 0.028,
            },
            {
                "bag of words, logistic regression": {
                    "accuracy": 0.858,
                    "macro_f1": 0.8577,
                    "roc_auc": 0.93,
                    "log_loss": 0.345,
                    "calibration": 0.011,
                },
                "majority class": {
                    "accuracy": 0.5,
                    "macro_f1": 0.3333,
                    "roc_auc": 0.5,
                    "log_loss": 0.6931,
                    "calibration": 0.0,
                },
            },
            1000,
        ),
        samples={
            "examples": [
                one(17, "worst", "neg", 0.9712, tokens),
                one(18, "worst", "neg", 0.93, long),
                one(40, "best", "pos", 0.9993, tokens[-18:]),
                one(51, "typical", "pos", 0.81, tokens[20:]),
            ],
            "details": {"test": binary_details(), "valid": binary_details()},
            "generated": [],
            "skipped": [
                {"message": "review: the text is empty", "rows": [4, 90, *range(1000, 1020)]},
                {"message": "sentiment: 'mixed' is not among training's classes", "rows": [77]},
            ],
        },
        parts={"train": 8000, "valid": 1000, "test": 1000},
        data={
            "classes": {
                "train": {"neg": 4000, "pos": 4000},
                "valid": {"neg": 510, "pos": 490},
                "test": {"neg": 500, "pos": 500},
            },
            "lengths": {"review": {"shortest": 9, "median": 201.0, "longest": 2752}},
        },
        verdict="On the test part gru's accuracy of 88.5% beats the best baseline, bag of words,"
        " logistic regression with 85.8%.",
        findings=[
            {"severity": "warning", "message": "96 texts stand twice", "remedy": "drop them"}
        ],
    )


def score() -> Example:
    """Reviews to a score from -1 to 1, with the running score, in ten folds."""
    random = np.random.default_rng(3)
    truth = random.uniform(-1, 1, 500).round(2)
    answer = np.clip(0.75 * truth + 0.2 * random.normal(size=500), -1, 1).round(4)
    tokens = REVIEW.split()
    texts = [{"kind": "text", "column": "review", "text": REVIEW, "tokens": tokens}]
    folds = [
        {"fold": n + 1, "split": "test", "forecaster": name, "kind": kind, "target": "score"}
        | {"step": 0, "n": 500 + 100 * (n == 9), "mae": mae + 0.01 * (n % 3)}
        | {"correlation": correlation and correlation - 0.004 * n}
        for n in range(10)
        for name, kind, mae, correlation in (
            ("gru", "model", 0.22, 0.84),
            ("mean", "baseline", 0.498, None),
            ("bag of words, ridge", "baseline", 0.301, 0.74),
        )
    ]
    running_score = {"input": 0, "label": "score", "values": running(tokens)}
    return Example(
        name="reviews",
        inputs=["text:review"],
        target="score:score",
        topology="seq-to-vector",
        scores=over_folds(folds),
        samples={
            "examples": [
                sample(3, "worst", "-0.85", "0.6312", inputs=texts, running=running_score),
                sample(8, "best", "0.7", "0.7011", inputs=texts, running=running_score),
            ],
            "details": {
                "fold 1": {"scatter": np.stack([truth, answer], 1).tolist(), "range": [-1, 1]}
            },
            "generated": [],
            "skipped": [],
        },
        parts={"train": 4000, "valid": 500, "test": 500},
        verdict="On the rows of each fold gru's MAE of 0.229 beats the best baseline, bag of words,"
        " ridge with 0.310.",
        folds=folds,
        headline="mae",
    )


def dna() -> Example:
    """Splice sites: three classes, saliency over 60 positions."""
    random = np.random.default_rng(4)

    def site(row: int, why: str, truth: str, answer: str, peak: int) -> dict[str, Any]:
        letters = "".join(random.choice(list("ACGT"), 60))
        letters = letters[:30] + "GT" + letters[32:]
        weight = np.exp(-(((np.arange(60) - peak) / 3.0) ** 2)) + 0.08 * random.random(60)
        return sample(
            row,
            why,
            truth,
            answer,
            inputs=[{"kind": "dna", "column": "sequence", "letters": letters}],
            saliency={"input": 0, "values": weight.round(4).tolist()},
            probabilities={answer: 0.91, "N": 0.06} | ({truth: 0.03} if truth != answer else {}),
        )

    return Example(
        name="splice",
        inputs=["dna:sequence"],
        target="category:site",
        topology="seq-to-vector",
        scores=rows_of(
            "site",
            {"accuracy": 0.9624, "macro_f1": 0.958},
            {
                "majority class": {"accuracy": 0.5188, "macro_f1": 0.2277},
                "k-mers, logistic regression": {"accuracy": 0.89, "macro_f1": 0.884},
            },
            319,
        ),
        samples={
            "examples": [
                site(5, "worst", "IE", "EI", 31),
                site(9, "worst", "EI", "IE", 27),
                site(12, "best", "EI", "EI", 30),
            ],
            "details": {
                "test": {
                    "classes": ["EI", "IE", "N"],
                    "confusion": [[73, 2, 1], [3, 72, 2], [2, 2, 162]],
                    "per_class": [
                        {"class": "EI", "precision": 0.936, "recall": 0.961, "f1": 0.948, "n": 76},
                        {"class": "IE", "precision": 0.947, "recall": 0.935, "f1": 0.941, "n": 77},
                        {"class": "N", "precision": 0.982, "recall": 0.976, "f1": 0.979, "n": 166},
                    ],
                    "calibration": [
                        {"confidence": 0.6, "accuracy": 0.5, "n": 12},
                        {"confidence": 0.97, "accuracy": 0.98, "n": 307},
                    ],
                }
            },
        },
        parts={"train": 2552, "valid": 319, "test": 319},
        verdict="On the test part gru's accuracy of 96.2% beats the best baseline, k-mers,"
        " logistic regression with 89.0%.",
    )


DIGITS = ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"]


def audio() -> Example:
    """Spoken digits: a waveform and its spectrogram."""
    random = np.random.default_rng(5)

    def sound(row: int, why: str, truth: str, answer: str, pitch: float) -> dict[str, Any]:
        t = np.linspace(0, 1, 400)
        loud = np.exp(-(((t - 0.45) / 0.2) ** 2)) * (0.7 + 0.3 * np.sin(40 * t))
        wave = [[round(-0.9 * v, 3), round(v, 3)] for v in loud + 0.01 * random.random(400)]
        place = np.linspace(0, 1, 64)[:, None]
        bands = np.arange(40)[None, :]
        ridge = np.exp(-(((bands - pitch * 12 - 6 * place) / 3) ** 2))
        ridge = ridge + 0.6 * np.exp(-(((bands - pitch * 24 - 8 * place) / 3) ** 2))
        frames = 4 * ridge * np.exp(-(((place - 0.45) / 0.25) ** 2)) + 0.3 * random.random((64, 40))
        return sample(
            row,
            why,
            truth,
            answer,
            probabilities={"seven": 0.05, "two": 0.02, "eight": 0.01, truth: 0.3, answer: 0.62},
            inputs=[
                {
                    "kind": "audio",
                    "column": "file",
                    "name": f"speech/{truth}_george_{row}.wav",
                    "seconds": 0.643,
                    "rate": 8000,
                    "wave": wave,
                    "frames": frames.round(2).tolist(),
                }
            ],
        )

    counts = np.diag([30, 30, 29, 28, 30, 29, 30, 30, 30, 27])
    counts[9, 1], counts[9, 5], counts[3, 0], counts[3, 2], counts[2, 3], counts[5, 9] = (
        2,
        1,
        1,
        1,
        1,
        1,
    )
    return Example(
        name="spoken_digits",
        inputs=["audio:file"],
        target="category:digit",
        topology="seq-to-vector",
        scores=rows_of(
            "digit",
            {"accuracy": 0.9767, "macro_f1": 0.9765, "log_loss": 0.09},
            {"majority class": {"accuracy": 0.1, "macro_f1": 0.0182, "log_loss": 2.3026}},
            300,
        ),
        samples={
            "examples": [
                sound(31, "worst", "nine", "one", 0.7),
                sound(33, "worst", "three", "zero", 1.1),
                sound(60, "best", "six", "six", 0.4),
                sound(61, "typical", "four", "four", 0.9),
            ],
            "details": {
                "test": {
                    "classes": DIGITS,
                    "confusion": counts.tolist(),
                    "per_class": [
                        {
                            "class": name,
                            "precision": float(counts[k, k] / counts[:, k].sum()),
                            "recall": float(counts[k, k] / 30),
                            "f1": 0.95 + 0.005 * k,
                            "n": 30,
                        }
                        for k, name in enumerate(DIGITS)
                    ],
                }
            },
        },
        parts={"train": 2700, "test": 300},
        verdict="On the test part gru's accuracy of 97.7% beats the best baseline, majority class"
        " with 10.0%.",
        findings=[
            {
                "severity": "note",
                "message": "12 files of 16,000 Hz were resampled to 8,000 Hz",
                "remedy": "",
            }
        ],
    )


def video() -> Example:
    """Actions in clips: eight frames in a row."""

    def clip(row: int, why: str, truth: str, answer: str) -> dict[str, Any]:
        angle = np.linspace(0, 2 * np.pi, 8, endpoint=False)
        frames = [disc(48 + 26 * np.cos(a), 48 + 26 * np.sin(a)) for a in angle]
        return sample(
            row,
            why,
            truth,
            answer,
            probabilities={"up": 0.02, "right": 0.01, answer: 0.97},
            inputs=[{"kind": "video", "column": "file", "name": f"{row}.mp4", "pngs": frames}],
        )

    return Example(
        name="video_shapes",
        inputs=["video:file"],
        target="category:action",
        topology="seq-to-vector",
        scores=rows_of("action", {"accuracy": 0.995}, {"majority class": {"accuracy": 0.125}}, 200),
        samples={
            "examples": [clip(2, "worst", "circle", "left"), clip(7, "best", "circle", "circle")],
            "details": {},
        },
        parts={"train": 1600, "valid": 200, "test": 200},
        verdict="On the test part gru's accuracy of 99.5% beats the best baseline, majority class"
        " with 12.5%.",
    )


def caption() -> Example:
    """Pictures to text, n-best lists beside them."""

    def scene(shift: int) -> str:
        def paint(x: np.ndarray, y: np.ndarray) -> Any:
            sky = y < 70 + 6 * np.sin((x + shift) / 9)
            return np.where(sky, 130, 60), np.where(sky, 170, 130 - y / 4), np.where(sky, 230, 50)

        return png(160, 120, paint)

    def one(row: int, why: str, truth: str, answer: str, more: list[str]) -> dict[str, Any]:
        name = f"images/{row}.jpg"
        return sample(
            row,
            why,
            truth,
            answer,
            n_best=[answer, *more],
            inputs=[{"kind": "image", "column": "file", "name": name, "png": scene(row)}],
        )

    random = np.random.default_rng(6)
    truth = random.poisson(10, 800) + 4
    return Example(
        name="flickr8k",
        inputs=["image:file"],
        target="text:caption",
        topology="vector-to-seq",
        scores=rows_of(
            "caption",
            {"exact": 0.002, "bleu": 17.32, "chrf": 33.1, "perplexity": 14.2},
            {
                "most frequent caption": {
                    "exact": 0.001,
                    "bleu": 8.11,
                    "chrf": 24.7,
                    "perplexity": None,
                }
            },
            1000,
        ),
        samples={
            "examples": [
                one(
                    120,
                    "worst",
                    "Three people are on a ski lift above a valley .",
                    "a dog runs through the grass .",
                    ["a brown dog runs through the grass .", "a dog is running in a field ."],
                ),
                one(
                    33,
                    "best",
                    "a dog runs through the grass .",
                    "a dog runs through the grass .",
                    ["a dog is running through the grass ."],
                ),
            ],
            "details": {
                "test": {
                    "lengths": np.stack([truth, (truth * 0.8).astype(int)], 1).tolist(),
                    "signatures": {
                        "bleu": "nrefs:5|case:mixed|eff:no|tok:13a|smooth:exp|version:2.5.1",
                        "chrf": "nrefs:5|case:mixed|eff:yes|nc:6|nw:0|space:no|version:2.5.1",
                    },
                }
            },
        },
        parts={"train": 30_000, "valid": 5000, "test": 1000},
        verdict="On the test part gru's BLEU of 17.32 beats the best baseline, most frequent"
        " caption with 8.11.",
    )


def translation() -> Example:
    """German to English, with the attention's alignment."""
    read = ["Ein", "kleiner", "Junge", "spielt", "mit", "einem", "Hund", "am", "Strand", "."]
    answer = ["A", "little", "boy", "is", "playing", "with", "a", "dog", "on", "the", "beach", "."]
    where = [0, 1, 2, 3, 3, 4, 5, 6, 7, 7, 8, 9]
    weights = 0.02 + 0.9 * np.eye(len(read))[where]
    weights /= weights.sum(axis=1, keepdims=True)

    def one(row: int, why: str, truth: str) -> dict[str, Any]:
        return sample(
            row,
            why,
            truth,
            " ".join(answer),
            inputs=[{"kind": "text", "column": "de", "text": " ".join(read), "tokens": read}],
            alignment={
                "input": 0,
                "answer": answer,
                "read": read,
                "weights": weights.round(4).tolist(),
            },
            n_best=[" ".join(answer), "A small boy plays with a dog on the beach ."],
        )

    return Example(
        name="multi30k",
        inputs=["text:de"],
        target="text:en",
        topology="encoder-decoder",
        scores=rows_of(
            "en",
            {"bleu": 33.42, "chrf": 57.2, "exact": 0.071, "perplexity": 6.01},
            {"copy of the input": {"bleu": 2.44, "chrf": 17.5, "exact": 0.0}},
            1000,
        ),
        samples={
            "examples": [
                one(14, "worst", "A toddler plays with his dog by the sea ."),
                one(15, "best", " ".join(answer)),
            ],
            "details": {"test": {"lengths": [[12, 12], [10, 11], [9, 9], [14, 12]]}},
        },
        parts={"train": 29_000, "valid": 1014, "test": 1000},
        verdict="On the test part gru's BLEU of 33.42 beats the best baseline, copy of the input"
        " with 2.44.",
    )


TAGGED = [
    ("From", "ADP"), ("the", "DET"), ("AP", "PROPN"), ("comes", "VERB"), ("this", "DET"),
    ("story", "NOUN"), (":", "PUNCT"), ("President", "PROPN"), ("Bush", "PROPN"), ("on", "ADP"),
    ("Tuesday", "PROPN"), ("nominated", "VERB"), ("two", "NUM"), ("individuals", "NOUN"),
    ("to", "PART"), ("replace", "VERB"), ("retiring", "VERB"), ("jurists", "NOUN"), (".", "PUNCT"),
]  # fmt: skip


def tags() -> Example:
    """Parts of speech, aligned to the words."""
    words, truth = [word for word, _ in TAGGED], [tag for _, tag in TAGGED]
    answer = list(truth)
    answer[4], answer[16] = "PRON", "ADJ"
    names = sorted({*truth, "ADJ", "ADV", "AUX", "PRON", "CCONJ", "SCONJ", "INTJ", "SYM", "X"})
    more = [f"T{n}" for n in range(24 - len(names))]
    random = np.random.default_rng(7)
    counts = np.diag(np.geomspace(4000, 10, 24).astype(int)) + random.poisson(2, (24, 24))
    text = {"kind": "text", "column": "words", "text": " ".join(words), "tokens": words}

    def one(row: int, why: str, predicted: list[str]) -> dict[str, Any]:
        return sample(
            row,
            why,
            " ".join(truth),
            " ".join(predicted),
            inputs=[text],
            tags={"words": words, "truth": truth, "prediction": predicted},
        )

    return Example(
        name="ud_english",
        inputs=["text:words"],
        target="tags:pos",
        topology="seq-to-seq",
        cell="gru",
        scores=rows_of(
            "pos",
            {"accuracy": 0.9432, "macro_f1": 0.871, "sentence_accuracy": 0.49},
            {
                "most frequent tag per word": {
                    "accuracy": 0.952,
                    "macro_f1": 0.79,
                    "sentence_accuracy": 0.31,
                }
            },
            25_094,
        ),
        samples={
            "examples": [one(5, "worst", answer), one(6, "best", truth)],
            "details": {
                "test": {
                    "classes": names + more,
                    "confusion": counts.tolist(),
                    "per_class": [
                        {
                            "class": name,
                            "precision": 0.9,
                            "recall": 0.9,
                            "f1": 0.9 - 0.01 * k,
                            "n": int(counts[k].sum()),
                        }
                        for k, name in enumerate(names + more)
                    ],
                }
            },
        },
        parts={"train": 12_543, "valid": 2002, "test": 2077},
        data={"classes": {"train": {name: 100 - k for k, name in enumerate(names + more)}}},
        verdict="On the test part gru's accuracy of 94.3% does not beat the best baseline, most"
        " frequent tag per word with 95.2%.",
    )


def language() -> Example:
    """A generator of characters."""
    letters = list("First Citizen:\nBefore we proceed any further, hear me speak.\n")
    surprise = [round(4.0 / (1 + n % 7), 3) for n in range(len(letters))]
    return Example(
        name="shakespeare",
        inputs=["text"],
        target="next",
        topology="seq-to-seq",
        job="generation",
        scores=rows_of(
            "",
            {"bits": 2.06, "nats": 1.428, "perplexity": 4.17},
            {"5-gram, Kneser-Ney": {"bits": 2.41, "nats": 1.67, "perplexity": 5.31}},
            111_540,
        ),
        samples={
            "examples": [
                sample(
                    1,
                    "typical",
                    None,
                    "",
                    inputs=[
                        {
                            "kind": "text",
                            "column": "text",
                            "text": "".join(letters),
                            "tokens": letters,
                        }
                    ],
                    running={"input": 0, "label": "nats", "values": surprise},
                )
            ],
            "generated": [
                {
                    "prompt": "ROMEO:",
                    "text": "ROMEO:\nWhat, shall I speak of <love> & die?\n\n"
                    "JULIET:\nAy, so the night hath\n  told me.",
                    "how": "temperature 0.8, seed 0",
                },
                {"prompt": "", "text": "First Citizen:\nWe have the corn to eat.", "how": "greedy"},
            ],
        },
        parts={"train": 900, "valid": 100},
        data={"tokens": {"train": 1_003_854, "valid": 111_540}},
        headline="nats",
        verdict="On the validation part gru's 1.428 nats a character beat the best baseline,"
        " 5-gram, Kneser-Ney with 1.67.",
        options={"level": "character"},
    )


MAKERS = {
    each.__name__: each
    for each in (
        sentiment, score, dna, audio, video, caption, translation, tags, language,
    )
}  # fmt: skip


@pytest.fixture(scope="session")
def makers() -> dict[str, Callable[[], Example]]:
    """The makers by name."""
    return MAKERS


@pytest.fixture(scope="session")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Each run's folder with its page, written once: to be read only."""
    from elman.report import write_report

    root = tmp_path_factory.mktemp("examples")
    written = {name: maker().write(root / name) for name, maker in MAKERS.items()}
    for folder in written.values():
        write_report(folder)
    return written


@pytest.fixture(scope="session")
def pages(folders: dict[str, Path]) -> dict[str, str]:
    """Each run's page."""
    return {
        name: (folder / "report.html").read_text(encoding="utf-8")
        for name, folder in folders.items()
    }
