"""Measure alternatives alternately (A B A B), each time in a new process, so that noise affects all of them alike."""

import json
import os
import re
import resource
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median

LIMIT = 900
"""Longest time that one process may take, in seconds."""

Results = dict[str, float]


@dataclass(frozen=True)
class Size:
    """How large everything is, compared with the table's own sizes, and how often it is measured."""

    scale: float = 1.0
    rounds: int = 5

    def of(self, number: float, least: int = 1) -> int:
        """Return the number in this size."""
        return max(least, round(number * self.scale))

    def at_most(self, rounds: int) -> "Size":
        """Return this size with fewer rounds, for what takes a minute or more."""
        return replace(self, rounds=min(rounds, self.rounds))


def measure(*arguments: str) -> Results:
    """Run one of our modules in its own process and return the JSON of its last line.

    Raises:
        RuntimeError: The process failed.
    """
    result: Results = json.loads(_output_of([sys.executable, "-m", *arguments]).splitlines()[-1])
    return result


def command(folder: Path, *commands: Sequence[str], environment: Mapping[str, str] | None = None) -> Results:
    """Run commands in a folder and return their seconds and CPU seconds, from start to end.

    Raises:
        RuntimeError: A command failed.
    """
    began, used = time.perf_counter(), cpu_seconds(resource.RUSAGE_CHILDREN)
    for words in commands:
        _output_of(words, cwd=folder, env=os.environ | (environment or {}))
    return {"seconds": time.perf_counter() - began, "cpu": cpu_seconds(resource.RUSAGE_CHILDREN) - used}


def _output_of(words: Sequence[str], cwd: Path | None = None, env: Mapping[str, str] | None = None) -> str:
    done = subprocess.run(words, cwd=cwd, env=env, capture_output=True, text=True, timeout=LIMIT, check=False)  # noqa: S603
    print(done.stderr, end="", file=sys.stderr, flush=True)
    if done.returncode:
        last = done.stderr.strip().rpartition("\n")[2]
        raise RuntimeError(f"`{' '.join(map(str, words[1:]))}` exited with {done.returncode}: {last}")
    return done.stdout


def cpu_seconds(whose: int = resource.RUSAGE_SELF) -> float:
    """Return the CPU seconds of this process, or with RUSAGE_CHILDREN those of its children that have ended."""
    used = resource.getrusage(whose)
    return used.ru_utime + used.ru_stime


def peak_megabytes() -> float:
    """Return the peak memory of this process. getrusage would include its parent's memory at the start."""
    [kilobytes] = re.findall(r"^VmHWM:\s+(\d+) kB$", Path("/proc/self/status").read_text(), re.MULTILINE)
    return int(kilobytes) / 1024


def by_turns(ways: Mapping[str, Callable[[], Results]], rounds: int) -> dict[str, Results]:
    """Return the median results of each way, by name."""
    results: dict[str, list[Results]] = {name: [] for name in ways}
    for _ in range(rounds):
        for name, way in ways.items():
            results[name].append(way())
    return {name: medians(found) for name, found in results.items()}


def medians(results: Sequence[Results]) -> Results:
    """Return the median of each value."""
    return {name: median(each[name] for each in results) for name in results[0]}
