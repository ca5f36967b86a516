"""The rows of docs/benchmarks.md: their targets, how they are run, and how the page is written.

What is measured does not belong here: that is in `rows`.
"""

import os
import platform
import sys
import time
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path

from bench.pairs import Size

PAGE = Path(__file__).parents[1] / "docs" / "benchmarks.md"
_BEGIN, _END = "<!-- written by make bench -->\n", "<!-- until here -->\n"

Measured = tuple[str, Sequence[float]]
"""What a row shows, and the values that are compared with its bounds, in the same order."""
Measure = Callable[[Size], Measured]


@dataclass(frozen=True)
class Row:
    """One row: what is measured, and the bounds of its values.

    Attributes:
        name: Its number in the table. Without bounds, a name.
        work: What is measured.
        measure: Measures it.
        target: The target, with a place for each bound. Values that have the same bound may share a place.
        bounds: The largest value that meets the target, for each value.
        at_least: Whether the bounds are the smallest values instead.
    """

    name: str
    work: str
    measure: Measure
    target: str = ""
    bounds: tuple[float, ...] = ()
    at_least: bool = False

    def run(self, size: Size) -> "Line":
        """Measure the row. If that fails, the line has the error."""
        try:
            measured, values = self.measure(size)
            return Line(self, measured, "met" if self.is_met(values) else "**missed**")
        except Exception as error:  # noqa: BLE001 - other rows are measured all the same
            traceback.print_exc()
            reason = " ".join(str(error).split()).replace("|", "¦") or type(error).__name__
            return Line(self, f"could not be measured: {reason[:200]}", "**failed**", has_failed=True)

    def is_met(self, values: Sequence[float]) -> bool:
        """Return whether each value is within its bound."""
        pairs = zip(values, self.bounds, strict=True)
        return all(value >= bound if self.at_least else value <= bound for value, bound in pairs)


@dataclass(frozen=True)
class Line:
    """A row with what was measured."""

    row: Row
    measured: str
    verdict: str
    has_failed: bool = False

    def __str__(self) -> str:
        if not self.row.bounds:
            return f"| {self.row.work} | {self.measured} |"
        target = self.row.target.format(*self.row.bounds)
        return f"| {self.row.name} | {self.row.work} | {target} | {self.measured} | {self.verdict} |"


def run(rows: Sequence[Row], size: Size) -> list[Line]:
    """Measure the rows, and print each line when it is known."""
    lines = []
    for row in rows:
        began = time.perf_counter()
        lines.append(row.run(size))
        print(lines[-1], flush=True)
        print(f"  {time.perf_counter() - began:.0f} s", file=sys.stderr, flush=True)
    return lines


def write(page: Path, lines: Sequence[Line], size: Size, minutes: float) -> None:
    """Write the lines into the page."""
    felt, limits = ([str(line) for line in lines if bool(line.row.bounds) is bound] for bound in (False, True))
    text = [
        f"Measured on {date.today()} with {os.cpu_count()} cores, Python {platform.python_version()}, in"  # noqa: DTZ011
        f" {minutes:.0f} minutes: {size.rounds} times each.",
        "",
        "| What people wait for | Takes |",
        "| --- | --- |",
        *felt,
        "",
        "## The machine's limits",
        "",
        "| # | Work | Target | Measured | |",
        "| --- | --- | --- | --- | --- |",
        *limits,
    ]
    before, _, rest = page.read_text(encoding="utf-8").partition(_BEGIN)
    _, _, after = rest.partition(_END)
    page.write_text(f"{before}{_BEGIN}\n" + "\n".join(text) + f"\n\n{_END}{after}", encoding="utf-8")
