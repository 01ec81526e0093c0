"""Writes realistic run folders: forecasts with known errors, and scores worked out from them."""

from __future__ import annotations

import csv
import json
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest


@dataclass
class Maker:
    """A run to write; `truth` maps (group, target) to a whole series on one time axis."""

    cell: str = "gru"
    horizon: int = 1
    quantiles: tuple[float, ...] = ()
    times: list[str] = field(default_factory=list)
    truth: dict[tuple[str, str], np.ndarray] = field(default_factory=dict)
    baselines: dict[str, int] = field(default_factory=dict)
    noise: dict[tuple[str, str], float] = field(default_factory=dict)
    valid: tuple[int, int] = (0, 0)
    test: tuple[int, int] = (0, 0)
    epochs: int = 40
    best_epoch: int = 31
    name: str = "ridership"
    step: str | None = "1 day"
    findings: list[dict[str, str]] = field(default_factory=list)
    seed: int = 0

    def rows(self) -> list[dict[str, Any]]:
        """Return every forecast, with all baselines, from every origin in validation and test."""
        random = np.random.default_rng(self.seed)
        rows = []
        for split, (start, stop) in (("valid", self.valid), ("test", self.test)):
            for (group, target), truth in self.truth.items():
                scale = self.noise[(group, target)]
                for origin in range(start - 1, stop - self.horizon):
                    for step in range(1, self.horizon + 1):
                        at = origin + step
                        error = random.normal() * scale * (1 + 0.05 * step)
                        row = {
                            "split": split,
                            "group": group,
                            "origin": self.times[origin],
                            "step": step,
                            "time": self.times[at],
                            "target": target,
                            "truth": float(truth[at]),
                            "forecast": float(truth[at] + error),
                        }
                        for name, lag in self.baselines.items():
                            back = lag * -(-step // lag)
                            row[name] = float(truth[at - back])
                        for q in self.quantiles:
                            row[f"q{q:g}"] = row["forecast"] + (q - 0.5) * 3.2 * scale
                        rows.append(row)
        return rows

    def write(self, folder: Path) -> Path:
        """Write the whole run folder."""
        folder.mkdir(parents=True, exist_ok=True)
        rows = self.rows()
        scores = self.scores(rows)
        targets = sorted({target for _, target in self.truth})
        baselines = [s for s in scores if s["kind"] == "baseline" and not s["step"]]
        # As a real run's: the best of each span and target.
        carried = {
            (s["split"], s["target"]): s["forecaster"]
            for s in sorted(baselines, key=lambda s: -s["mae"])
        }
        best = min((s for s in baselines if s["split"] == "valid"), key=lambda s: s["mae"])
        own = next(s for s in scores if s["kind"] == "model" and s["target"] == best["target"])
        wins = own["mae"] < best["mae"]
        verdict = (
            f"On the validation span {self.cell}'s MAE of {own['mae']:,.4f} "
            + ("beats" if wins else "does not beat")
            + f" the best baseline, {best['forecaster']} with {best['mae']:,.4f}"
            + (f", by {1 - own['mae'] / best['mae']:.0%}." if wins else ".")
        )
        columns = ["split", "group", "origin", "step", "time", "target", "truth", "forecast"]
        quantiles = [f"q{q:g}" for q in self.quantiles]
        with (folder / "predictions.csv").open("w", newline="") as file:
            writer = csv.writer(file)
            writer.writerow([*columns, "baseline", *quantiles])
            for row in rows:
                values = [row[c] for c in columns] + [row[carried[row["split"], row["target"]]]]
                writer.writerow(values + [row[q] for q in quantiles])
        (folder / "model.json").write_text(
            json.dumps(self.model(scores, verdict, targets), indent=1), encoding="utf-8"
        )
        write_config(folder, targets, self)
        write_metrics(folder, self.epochs, self.best_epoch)
        return folder

    def scores(self, rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """Score every forecaster over all steps (step 0) and at each step."""
        scores = []
        targets = sorted({target for _, target in self.truth})
        for split in ("valid", "test"):
            for target in targets:
                mine = [r for r in rows if r["split"] == split and r["target"] == target]
                for step in range(self.horizon + 1) if self.horizon > 1 else (0, 1):
                    part = [r for r in mine if step in (0, r["step"])]
                    truth = np.array([r["truth"] for r in part])
                    whole = next(v for (_, name), v in self.truth.items() if name == target)
                    naive = np.mean(np.abs(np.diff(whole)))
                    for name in (self.cell, *self.baselines):
                        column = "forecast" if name == self.cell else name
                        forecast = np.array([r[column] for r in part])
                        error = np.abs(truth - forecast)
                        size = np.abs(truth) + np.abs(forecast)
                        score = {
                            "split": split,
                            "forecaster": name,
                            "kind": "model" if name == self.cell else "baseline",
                            "target": target,
                            "step": step,
                            "n": len(part),
                            "mae": float(error.mean()),
                            "rmse": float(np.sqrt((error**2).mean())),
                            "mase": float(error.mean() / naive) if naive else None,
                            "smape": float((200 * error / size).mean()),
                        }
                        if self.quantiles and name == self.cell:
                            low = np.array([r[f"q{self.quantiles[0]:g}"] for r in part])
                            high = np.array([r[f"q{self.quantiles[-1]:g}"] for r in part])
                            score["pinball"] = score["mae"] / 2.5
                            score["coverage"] = float(((low <= truth) & (truth <= high)).mean())
                        scores.append(score)
        return scores

    def model(self, scores: list, verdict: str, targets: list[str]) -> dict[str, Any]:
        """Return what model.json holds."""
        groups = sorted({group for group, _ in self.truth})
        spans = {
            name: {"from": self.times[start], "to": self.times[stop - 1], "steps": stop - start}
            for name, (start, stop) in (
                ("train", (0, self.valid[0])),
                ("valid", self.valid),
                ("test", self.test),
            )
        }
        return {
            "format": 1,
            "elman": "0.1.0",
            "created": "2026-03-01T10:20:30+00:00",
            "versions": {"python": "3.11.7", "torch": "2.13.0", "numpy": "2.4.6"},
            "platform": "Linux x86_64, 2 CPUs",
            "data": {
                "name": self.name,
                "path": f"data/{self.name}.csv",
                "sha256": "ab12" * 16,
                "rows": len(self.times) * len(groups),
                "series": len(groups),
                "columns": ["date", *targets],
                "step": self.step,
                "spans": spans,
                "findings": self.findings,
                "period": 7,
            },
            "target": {
                "columns": targets,
                "horizon": self.horizon,
                "quantiles": list(self.quantiles),
            },
            "network": {
                "topology": "seq-to-seq",
                "cell": self.cell,
                "parameters": 33281,
                "summary": f"{self.cell} 1 layer of 32, then linear to {self.horizon}",
            },
            "engine": "aten",
            "training": {
                "epochs": self.epochs,
                "best_epoch": self.best_epoch,
                "best_score": 0.123,
                "seconds": 200.4,
                "stopped": "early stopping: no better for 9 epochs",
            },
            "scores": scores,
            "verdict": verdict,
            "weights_sha256": "cd34" * 16,
            "sha256": "ef56" * 16,
        }


def write_config(folder: Path, targets: list[str], maker: Maker) -> None:
    """Write a flat config.yaml."""
    lines = [
        f"table: data/{maker.name}.csv",
        f"inputs: {json.dumps('series:' + ','.join(targets))}",
        f"target: {json.dumps('forecast:' + ','.join(targets))}",
        f"horizon: {maker.horizon}",
        "lookback: 56",
        f"cell: {maker.cell}",
        "hidden: 32",
        "learning_rate: 0.001",
        "known: []",
        "seed: 0",
    ]
    (folder / "config.yaml").write_text("\n".join(lines) + "\n", encoding="utf-8")


def write_metrics(folder: Path, epochs: int, best: int) -> None:
    """Write metrics.jsonl: validation loss is lowest at `best` and rises after it."""
    with (folder / "metrics.jsonl").open("w") as file:
        for epoch in range(1, epochs + 1):
            train = 0.05 + 0.8 * np.exp(-epoch / 8)
            valid = 0.08 + 0.7 * np.exp(-epoch / 9) + 0.004 * max(epoch - best, 0)
            line = {
                "epoch": epoch,
                "step": 33 * epoch,
                "train_loss": train,
                "valid_loss": valid,
                "valid_score": valid * 2,
                "gradient_norm": 1 + 3 * np.exp(-epoch / 5) + 0.2 * np.sin(epoch),
                "learning_rate": 0.001 if epoch < 25 else 0.0005,
                "seconds": 5.0,
                "examples_per_second": 2345.6,
            }
            file.write(json.dumps(line) + "\n")


def days(count: int, start: str = "2001-01-01") -> list[str]:
    """Return dates as a table writes them."""
    first = datetime.fromisoformat(start)
    return [(first + timedelta(days=n)).isoformat() for n in range(count)]


def weekly(count: int, level: float, seed: int) -> np.ndarray:
    """Return a series with a weekly pattern, a slow trend and noise."""
    t = np.arange(count)
    pattern = np.array([1, 1.1, 1.12, 1.1, 1.05, 0.6, 0.45])[t % 7]
    random = np.random.default_rng(seed)
    return level * (pattern * (1 + 0.1 * np.sin(t / 60)) + 0.04 * random.normal(size=count))


NAIVES = {"last value": 1, "seasonal naive (7 days)": 7}
FINDINGS = [
    {"severity": "note", "message": "period 7 found", "remedy": ""},
    {"severity": "error", "message": "rail: 3 values missing", "remedy": "fill them or drop rows"},
    {"severity": "warning", "message": "2 gaps in time", "remedy": "add the missing days"},
]


def single(seed: int = 0, noise: float = 20_000, steps: int = 900) -> Maker:
    """One series by day, one step ahead."""
    return Maker(
        times=days(steps),
        truth={("", "rail"): weekly(steps, 600_000, seed)},
        noise={("", "rail"): noise},
        baselines=NAIVES,
        valid=(steps - 300, steps - 150),
        test=(steps - 150, steps),
        findings=FINDINGS,
        seed=seed,
    )


def fortnight(seed: int = 1) -> Maker:
    """Two targets, fourteen steps ahead, three quantiles."""
    return Maker(
        cell="lstm",
        horizon=14,
        quantiles=(0.1, 0.5, 0.9),
        times=days(700),
        truth={("", "bus"): weekly(700, 800_000, seed), ("", "rail"): weekly(700, 0.5, seed + 1)},
        noise={("", "bus"): 30_000, ("", "rail"): 0.02},
        baselines=NAIVES,
        valid=(450, 575),
        test=(575, 700),
        seed=seed,
    )


def panel(seed: int = 2) -> Maker:
    """Twelve groups without a time column; group 12 is worse than the baseline."""
    keys = [f"shop {n:02d}" for n in range(1, 13)]
    return Maker(
        times=[str(n) for n in range(1, 301)],
        truth={(key, "sales"): weekly(300, 40.0 * (n + 1), n) for n, key in enumerate(keys)},
        noise={(key, "sales"): 0.3 * (n + 1) ** 2 for n, key in enumerate(keys)},
        baselines=NAIVES,
        valid=(200, 250),
        test=(250, 300),
        name="shops",
        step=None,
        seed=seed,
    )


def series_of(maker: Maker) -> dict[str, Any]:
    """Return the raw data as the caller of `write_report` has it."""
    targets = sorted({target for _, target in maker.truth})
    groups = []
    for key in sorted({group for group, _ in maker.truth}):
        dated = maker.step is not None
        time = np.array(maker.times, dtype="datetime64[us]") if dated else None
        values = {target: maker.truth[(key, target)] for target in targets}
        groups.append({"key": key or None, "time": time, "values": values})
    return {"columns": targets, "groups": groups}


def aborted(folder: Path) -> Path:
    """Write a run stopped in its second epoch: no model, half a line of metrics, no forecasts."""
    folder.mkdir(parents=True, exist_ok=True)
    write_config(folder, ["rail"], single())
    write_metrics(folder, 1, 1)
    with (folder / "metrics.jsonl").open("a") as file:
        file.write('{"epoch": 2, "step": 66, "train_lo')
    return folder


@pytest.fixture(scope="session")
def makers() -> dict[str, Any]:
    """The makers by name, for tests that write a run of their own."""
    return {
        "single": single,
        "fortnight": fortnight,
        "panel": panel,
        "aborted": aborted,
        "series_of": series_of,
        "Maker": Maker,
        "weekly": weekly,
        "days": days,
    }


@pytest.fixture(scope="session")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Each fixture run's folder with its page, written once: to be read only."""
    from elman.report import write_report

    root = tmp_path_factory.mktemp("runs")
    written = {}
    for name, maker in (("single", single()), ("fortnight", fortnight()), ("panel", panel())):
        written[name] = maker.write(root / name)
        write_report(written[name], series=series_of(maker))
    written["aborted"] = aborted(root / "aborted")
    write_report(written["aborted"])
    return written


@pytest.fixture(scope="session")
def pages(folders: dict[str, Path]) -> dict[str, str]:
    """Each fixture run's page."""
    return {
        name: (folder / "report.html").read_text(encoding="utf-8")
        for name, folder in folders.items()
    }
