"""How long a user waits before anything happens: `elman --help`, a verb's help, the import.

Each command runs in a process of its own; prints the median of some runs.

    python benchmarks/startup.py [--runs 9]
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path

COMMANDS = {
    "elman --help": ["-m", "elman", "--help"],
    "elman fit --help": ["-m", "elman", "fit", "--help"],
    "import elman": ["-c", "import elman"],
    "python alone": ["-c", "pass"],
}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=9)
    runs = parser.parse_args().runs
    seconds = {name: [] for name in COMMANDS}
    for _ in range(runs + 1):  # the first of each warms the caches, and is dropped
        for name, arguments in COMMANDS.items():
            started = time.perf_counter()
            subprocess.run([sys.executable, *arguments], check=True, capture_output=True)
            seconds[name].append(time.perf_counter() - started)
    medians = {name: statistics.median(values[1:]) for name, values in seconds.items()}
    for name, value in medians.items():
        print(f"{name:18} {value:6.3f} s")
    target = Path(__file__).parent / "results" / "startup.json"
    target.parent.mkdir(exist_ok=True)
    target.write_text(json.dumps({"seconds": medians, "cores": os.cpu_count()}, indent=1) + "\n")


if __name__ == "__main__":
    main()
