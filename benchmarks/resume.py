"""Whether a run that is killed again and again ends as one that was never stopped, bit for bit.

Trains a reference run on a table of its own making, unbroken. Then, in each try, starts the same
`elman fit` in a process of its own and kills it with SIGKILL after a random time, resumes it, kills
it again, until there is a model; and compares with the reference every tensor's bytes,
every line of metrics.jsonl but what time took, and every byte of predictions.csv. A kill before
there is a run folder means the same command again. Exits with 1 on any difference.

    python benchmarks/resume.py [--tries 20] [--seed 0]
"""

from __future__ import annotations

import argparse
import json
import random
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from functools import partial
from pathlib import Path

import numpy as np
import polars as pl
from safetensors.numpy import load_file

ROWS = 600
MOST_KILLS = 4  # in a row; then a process is left alone
OPTIONS = shlex.split(
    "--input series:value,other --target forecast:value --horizon 3 --lookback 24 --cell lstm "
    "--hidden 16 --layers 2 --dropout 0.3 --epochs 250 --patience 0 --schedule cosine "
    "--checkpoint-seconds 0.1"
)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--tries", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    chance = random.Random(arguments.seed)

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        table = make_table(folder / "table.csv", arguments.seed)
        reference, again = folder / "reference", folder / "again"
        # The shorter of two: what else the machine does must not move the kills past the end.
        duration = min(timed(table, reference), timed(table, again))
        if different := differences(again, reference):
            raise SystemExit(f"two unbroken runs differ: {', '.join(different)}")
        print(f"reference: {duration:.1f} s, unbroken, twice the same", flush=True)
        total, identical = 0, 0
        for number in range(1, arguments.tries + 1):
            run, kills = folder / f"try-{number}", []
            while not kills:
                shutil.rmtree(run, ignore_errors=True)
                started = time.monotonic()
                kills = train(table, run, partial(chance.uniform, 0, duration))
                if not kills:  # it ended first: the machine is faster than it was
                    duration = min(duration, time.monotonic() - started)
            different = differences(run, reference)
            total, identical = total + len(kills), identical + (not different)
            moments = ", ".join(f"{after:.2f} s ({where})" for after, where in kills)
            said = f"DIFFERENT: {', '.join(different)}" if different else "identical"
            print(f"try {number}: killed after {moments}: {said}", flush=True)

    print(f"{identical} of {arguments.tries} identical after {total} kills")
    target = Path(__file__).parent / "results" / "resume.json"
    target.parent.mkdir(exist_ok=True)
    document = {"tries": arguments.tries, "kills": total, "identical": identical}
    target.write_text(json.dumps(document, indent=1) + "\n")
    return 0 if identical == arguments.tries else 1


def make_table(path: Path, seed: int) -> Path:
    rng, step = np.random.default_rng(seed), np.arange(ROWS)
    value = 10 + np.sin(step / 4) + rng.normal(0, 0.2, ROWS)
    pl.DataFrame({"value": value, "other": rng.normal(size=ROWS)}).write_csv(path)
    return path


def timed(table: Path, run: Path) -> float:
    """Train without being killed; return the seconds it took."""
    started = time.monotonic()
    train(table, run)
    return time.monotonic() - started


def train(table: Path, run: Path, draw=None) -> list[tuple[float, str]]:
    """Train to the end, however often it is killed after `draw()` seconds; return the kills."""
    kills = []
    while True:
        place = ["--resume", run] if run.exists() else [table, *OPTIONS, "--out", run]
        process = subprocess.Popen(
            [sys.executable, "-m", "elman", "fit", *map(str, place)],
            stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
        enough = len(kills) == MOST_KILLS or (run / "model.json").exists()
        after = None if draw is None or enough else draw()
        try:
            _, err = process.communicate(timeout=after)
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGKILL)
            process.communicate()
            kills.append((after, where(run)))
            continue
        if process.returncode:
            raise SystemExit(f"elman fit ended with status {process.returncode}: {err}")
        return kills


def where(run: Path) -> str:
    """Return how far a run has come."""
    if not run.exists():
        return "no run yet"
    lines = run / "metrics.jsonl"
    epochs = lines.read_text().count("\n") if lines.exists() else 0
    return "model written" if (run / "model.json").exists() else f"epoch {epochs + 1}"


def differences(run: Path, other: Path) -> list[str]:
    """Return the files in which two runs differ."""
    tensors, others = (load_file(r / "model.safetensors") for r in (run, other))
    same = {
        "model.safetensors": tensors.keys() == others.keys()
        and all(array.tobytes() == others[name].tobytes() for name, array in tensors.items()),
        "metrics.jsonl": metrics(run) == metrics(other),
        "predictions.csv": (run / "predictions.csv").read_bytes()
        == (other / "predictions.csv").read_bytes(),
    }
    return [name for name, equal in same.items() if not equal]


def metrics(run: Path) -> list[dict]:
    """Return the lines of metrics.jsonl without what time took."""
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    return [{k: v for k, v in line.items() if "second" not in k} for line in lines]


if __name__ == "__main__":
    sys.exit(main())
