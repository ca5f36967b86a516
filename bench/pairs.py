"""Commands measured by turns, A B A B: what the machine does meanwhile meets both."""

import json
import re
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import median

ROUNDS = 5


def measure(*arguments: str) -> dict[str, float]:
    """What a module of ours prints of itself as its last line, run in a process of its own."""
    done = subprocess.run([sys.executable, "-m", *arguments], stdout=subprocess.PIPE, text=True, check=True)  # noqa: S603
    told: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return told


def peak_megabytes() -> float:
    """The most memory that this process had; getrusage counts in what its parent had when it began."""
    [kilobytes] = re.findall(r"^VmHWM:\s+(\d+) kB$", Path("/proc/self/status").read_text(), re.MULTILINE)
    return int(kilobytes) / 1024


def by_turns(commands: Mapping[str, Sequence[str]]) -> dict[str, dict[str, float]]:
    """The medians of what each command tells, by its name."""
    told: dict[str, list[dict[str, float]]] = {name: [] for name in commands}
    for _ in range(ROUNDS):
        for name, command in commands.items():
            told[name].append(measure(*command))
    return {name: {key: median(each[key] for each in runs) for key in runs[0]} for name, runs in told.items()}
