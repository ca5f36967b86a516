"""Measure commands alternately (A B A B), so that noise on the machine affects all of them."""

import json
import re
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import median

ROUNDS = 5


def measure(*arguments: str) -> dict[str, float]:
    """Run one of our modules in its own process and return the JSON of its last line."""
    done = subprocess.run([sys.executable, "-m", *arguments], stdout=subprocess.PIPE, text=True, check=True)  # noqa: S603
    result: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return result


def peak_megabytes() -> float:
    """Return the peak memory of this process. getrusage would include its parent's memory at the start."""
    [kilobytes] = re.findall(r"^VmHWM:\s+(\d+) kB$", Path("/proc/self/status").read_text(), re.MULTILINE)
    return int(kilobytes) / 1024


def by_turns(commands: Mapping[str, Sequence[str]], rounds: int = ROUNDS) -> dict[str, dict[str, float]]:
    """Return the median results of each command, by name."""
    results: dict[str, list[dict[str, float]]] = {name: [] for name in commands}
    for _ in range(rounds):
        for name, command in commands.items():
            results[name].append(measure(*command))
    return {name: {key: median(each[key] for each in runs) for key in runs[0]} for name, runs in results.items()}
