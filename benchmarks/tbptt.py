"""Truncated backpropagation through time on one long series: memory, and a kill in its middle.

Trains on one series with `elman fit --tbptt 100`, each time in a process of its own:

- the peak memory at 10,000 and at 200,000 steps, and of `elman predict` with
  the network on the same table: ru_maxrss as it is, and what is left of it without what importing
  took; the same number of forecasts is scored at either length, and another time the 15% of the
  steps that are scored by default;
- at 100,000 steps, whether a run that is killed with SIGKILL in the middle of an epoch and resumed
  ends as one that was never stopped: the weights' bytes, every line of metrics.jsonl but what time
  took, and predictions.csv.

Exits with 1 if a run differs, or if the peak grows by more than 5%.

    python benchmarks/tbptt.py [--short 10000] [--long 200000] [--killed 100000]
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import safe_open

from record import parser, write
from resume import differences

OPTIONS = ["--input", "series:value", "--target", "forecast:value", "--tbptt", "100"]
SCORED = ["--valid", "1000", "--test", "1000"]
MOST = 1.05

# What a command needs, imported first: its own memory is what comes on top.
CHILD = """
import resource, sys
import elman.cli, elman.cli.progress, elman.demo, elman.model, elman.report.page
import matplotlib.pyplot, polars, torch.optim, torch.optim.swa_utils, torch._dynamo
def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
imported = peak()
status = elman.cli.run(sys.argv[1:])
print(f"{imported} {peak()}", file=sys.stderr)
sys.exit(status)
"""


def main() -> int:
    reader = parser(__doc__ or "")
    reader.add_argument("--short", type=int, default=10_000)
    reader.add_argument("--long", type=int, default=200_000)
    reader.add_argument("--killed", type=int, default=100_000)
    arguments = reader.parse_args()
    memory: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for steps in (arguments.short, arguments.long):
            memory[str(steps)] = peaks(folder, steps)
            print(f"{steps:,} steps: {memory[str(steps)]}", flush=True)
        killed = kill(folder, arguments.killed)
        print(f"{arguments.killed:,} steps, killed: {killed}", flush=True)
    short, long = (memory[str(steps)] for steps in (arguments.short, arguments.long))
    ratios = {name: round(long[name]["mib"] / short[name]["mib"], 3) for name in short}
    print(f"peak of {arguments.long:,} to {arguments.short:,} steps: {ratios}")
    write(arguments.out, "tbptt", memory=memory, ratios=ratios, killed=killed)
    flat = all(ratio <= MOST for name, ratio in ratios.items() if "default" not in name)
    return 0 if flat and killed["identical"] else 1


def make_table(folder: Path, steps: int) -> Path:
    """Write a series of two waves and noise."""
    rng, step = np.random.default_rng(0), np.arange(steps)
    values = np.sin(step / 7) + np.sin(step / 91) + rng.normal(0, 0.1, steps)
    path = folder / f"{steps}.csv"
    path.write_text("value\n" + "".join(f"{value:.4f}\n" for value in values))
    return path


def peaks(folder: Path, steps: int) -> dict[str, dict[str, float]]:
    """Return each command's peak memory in MiB, and that above what importing took."""
    table = make_table(folder, steps)
    run, other = folder / f"run-{steps}", folder / f"default-{steps}"
    return {
        "fit": peak("fit", table, *OPTIONS, *SCORED, "--epochs", 2, "--out", run),
        "predict": peak("predict", run, table),
        "fit, default split": peak("fit", table, *OPTIONS, "--epochs", 2, "--out", other),
    }


def peak(*arguments: object) -> dict[str, float]:
    """Run a command in a process of its own; return its peak memory in MiB, and without imports."""
    done = subprocess.run(
        [sys.executable, "-c", CHILD, *map(str, arguments)], capture_output=True, text=True
    )
    if done.returncode:
        raise SystemExit(f"elman {arguments[0]} ended with {done.returncode}: {done.stderr}")
    imported, highest = map(int, done.stderr.splitlines()[-1].split())
    return {"mib": round(highest / 1024, 1), "above_imports": round((highest - imported) / 1024, 1)}


def kill(folder: Path, steps: int) -> dict[str, Any]:
    """Kill a run in the middle of its second epoch, resume it; compare with one never stopped."""
    table = make_table(folder, steps)
    options = [*OPTIONS, "--epochs", "3", "--batch-size", "4", "--checkpoint-seconds", "0.2"]
    options += ["--layers", "2", "--dropout", "0.2"]
    started = time.monotonic()
    fit(table, *options, "--out", folder / "whole").communicate()
    seconds = time.monotonic() - started
    process = fit(table, *options, "--out", folder / "killed")
    checkpoint = folder / "killed/checkpoints/last.safetensors"
    place = {"epoch": 0, "batch": 0}
    while not (place["epoch"] and place["batch"]):
        if process.poll() is not None:
            raise SystemExit("the run ended before it was killed")
        if checkpoint.exists():
            with safe_open(checkpoint, framework="np") as file:
                progress = json.loads(file.metadata()["progress"])
            place = {name: progress[name] for name in place}
        time.sleep(0.01)
    os.kill(process.pid, signal.SIGKILL)
    process.communicate()
    resumed = fit("--resume", folder / "killed")
    resumed.communicate()
    different = differences(folder / "killed", folder / "whole")
    return {
        "identical": not different and resumed.returncode == 0,
        "different": different,
        "killed_after": {"epochs": place["epoch"], "mini-batches": place["batch"]},
        "seconds_unbroken": round(seconds, 1),
    }


def fit(*arguments: object) -> subprocess.Popen:
    """Start `elman fit`."""
    return subprocess.Popen(
        [sys.executable, "-m", "elman", "fit", *map(str, arguments)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )


if __name__ == "__main__":
    sys.exit(main())
