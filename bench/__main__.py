"""`make bench`: measure every row of docs/benchmarks.md on this machine, and write them there.

`python -m bench NAME…` measures only the rows with these numbers or names, and prints them. `places` (a file, a local
and a shared lake) and `calibration` are measured only then. `--scale 0.01 --rounds 1` tries the rows. The page is
written if all rows are measured in full size. Exits with 1 if a row could not be measured.
"""

import argparse
import os
import sys
import time
from collections.abc import Callable, Iterator, Sequence

from bench.pairs import Size
from bench.rows import ROWS
from bench.table import PAGE, run, write


def places() -> Iterator[str]:
    """Compare a local and a shared lake with a file."""
    from bench.places import lines

    yield from lines()


def calibration() -> Iterator[str]:
    """Compare what the tables say of simulated workspaces with what is true in them."""
    from bench.calibration import figures

    verdicts = {True: "met", False: "**missed**", None: ""}
    for figure in figures():
        yield f"| {figure.what} | {figure.target} | {figure.measured} | {verdicts[figure.is_met]} |"


OTHERS: dict[str, Callable[[], Iterator[str]]] = {"places": places, "calibration": calibration}


def main(arguments: Sequence[str]) -> int:
    """Measure, and return the exit code."""
    parser = argparse.ArgumentParser("python -m bench", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("names", nargs="*", choices=[*(row.name for row in ROWS), *OTHERS, []], metavar="NAME")
    parser.add_argument("--scale", type=float, default=Size.scale, help="size of everything, 1 by default")
    parser.add_argument("--rounds", type=int, default=Size.rounds, help="how often each row is measured, 5 by default")
    given = parser.parse_args(arguments)
    began = time.perf_counter()
    size = Size(given.scale, given.rounds)
    lines = run([row for row in ROWS if not given.names or row.name in given.names], size)
    for name in OTHERS.keys() & set(given.names):
        for text in OTHERS[name]():
            print(text, flush=True)
    if not given.names and size.scale == Size.scale:
        write(PAGE, lines, size, minutes=(time.perf_counter() - began) / 60)
    return int(any(line.has_failed for line in lines))


def _clean_environment() -> None:
    """Remove the settings of a real workspace, and let Python write bytecode, as for users."""
    for name in list(os.environ):
        if name.startswith("TOPO_") or name in {"DAGSTER_HOME", "PYTHONDONTWRITEBYTECODE"}:
            del os.environ[name]


if __name__ == "__main__":
    _clean_environment()
    sys.exit(main(sys.argv[1:]))
