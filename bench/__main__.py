"""`make bench`: everything that is measured, on this machine, in one go; written to docs/benchmarks.md as ratios.

A measurement is a function that yields lines of the page's table. `python -m bench NAME…` runs only those named.
"""

import os
import platform
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path

from bench.engagement_tables import DAYS, history
from bench.pairs import by_turns, measure
from bench.server import serving
from topo_pipeline.warehouse.connection import Warehouse

PAGE = Path(__file__).parents[1] / "docs" / "benchmarks.md"
_BEGIN, _END = "<!-- written by make bench -->\n", "<!-- until here -->\n"


@dataclass(frozen=True)
class Line:
    """One measured thing, and what it has to reach."""

    number: int
    work: str
    must: str
    measured: str
    is_met: bool

    def __str__(self) -> str:
        verdict = "met" if self.is_met else "**missed**"
        return f"| {self.number} | {self.work} | {self.must} | {self.measured} | {verdict} |"


def reading() -> Iterator[Line]:
    """What it costs to prove and land what a bare loop throws away."""
    for number, latency, at_most in ((1, 0.0, 1.4), (2, 0.05, 1.15)):
        with serving(5, 20_000, latency) as address:
            told = by_turns(
                {way: ("bench.reading", way, address, "5", "20000") for way in ("ceiling", "bare", "pipeline")}
            )
        ceiling, bare, ours = told["ceiling"], told["bare"], told["pipeline"]
        ratio = ours["seconds"] / bare["seconds"]
        yield Line(
            number,
            f"100,000 activities of 5 days read and landed, {latency * 1000:.0f} ms latency, against a bare httpx loop"
            f" (itself {bare['requests'] / bare['seconds']:,.0f} requests a second; the server's ceiling is"
            f" {ceiling['requests'] / ceiling['seconds']:,.0f})",
            f"≤ {at_most} ×",
            f"{ratio:.2f} × ({ours['seconds']:.1f} s, {bare['seconds']:.1f} s)",
            ratio <= at_most,
        )


def dlt() -> Iterator[Line]:
    """The same work by dlt's rest_api source."""
    ways = ("pipeline", "dlt_best", "dlt_default")
    with serving(5, 20_000) as address:
        told = by_turns({way: ("bench.reading", way, address, "5", "20000") for way in ways})
    for way, name, at_least in (("dlt_best", "Parquet, in parallel", 3), ("dlt_default", "its defaults", 12)):
        ratio = told[way]["seconds"] / told["pipeline"]["seconds"]
        yield Line(
            3,
            f"the same by dlt's rest_api source, merged by id ({name})",
            f"≥ {at_least} × slower",
            f"{ratio:.1f} × ({told[way]['seconds']:.1f} s)",
            ratio >= at_least,
        )


def requests() -> Iterator[Line]:
    """Pages needed and requests made, beside the one that asks whose key it is."""
    for per_day, at_most in ((4_950, 0.0), (100_000, 0.05)):
        with serving(1, per_day) as address:
            made = measure("bench.reading", "pipeline", address, "1", str(per_day))["requests"] - 1
        needed = -(-per_day // 100)
        yield Line(
            4,
            f"requests for a day of {per_day:,} activities ({needed:,} pages)",
            f"≤ {needed * (1 + at_most):,.0f}",
            f"{made:,.0f}",
            made <= needed * (1 + at_most),
        )


def memory() -> Iterator[Line]:
    """A day that is larger than memory should hold."""
    with serving(1, 1_000_000) as address:
        told = measure("bench.reading", "pipeline", address, "1", "1000000")
    yield Line(
        5,
        "one day of 1,000,000 activities: peak memory",
        "≤ 500 MB",
        f"{told['megabytes']:,.0f} MB ({told['seconds']:.0f} s)",
        told["megabytes"] <= 500,
    )


def ranged() -> Iterator[Line]:
    """A year in one run."""
    with serving(DAYS, 1_000) as address:
        told = by_turns({way: ("bench.ranged", way, address, str(DAYS), "1000") for way in ("library", "dagster")})
    library, run = told["library"], told["dagster"]
    more = (run["seconds"] - library["seconds"]) / DAYS * 1000
    yield Line(
        6,
        f"{DAYS} days of 1,000 activities in one ranged run, against the same called as a library",
        "≤ 50 ms a day more",
        f"{more:.0f} ms a day ({run['seconds']:.0f} s, {library['seconds']:.0f} s)",
        more <= 50,
    )
    yield Line(
        7,
        f"the same read again with nothing changed: {run['rewritten']:.0f} rows written",
        "≤ 1 × the first reading, no row",
        f"{library['again'] / library['seconds']:.2f} × (in Dagster {run['again'] / run['seconds']:.2f} ×)",
        library["again"] <= library["seconds"] and run["rewritten"] == 0,
    )


def tables() -> Iterator[Line]:
    """The engagement tables as history grows, and the report made of the longest."""
    with tempfile.TemporaryDirectory() as folder:
        short, longer, year = (history(Path(folder), DAYS * share // 100) for share in (1, 10, 100))
        told = by_turns({"short": short.after, "longer": longer.after, "year": year.after, "anew": year.anew})
        yield from _of_ten_million(told["anew"], told["year"])
        yield _report(year.built)
    growth, further = (told[name]["seconds"] / told["short"]["seconds"] for name in ("longer", "year"))
    yield Line(
        9,
        "refresh of one day when history is 10 × as long (and 100 ×)",
        "grows < 2 ×",
        f"{growth:.1f} × ({further:.1f} ×)",
        growth < 2,
    )


def _of_ten_million(anew: dict[str, float], after: dict[str, float]) -> Iterator[Line]:
    yield Line(
        8,
        "all tables from nothing at 11 million activities",
        "≤ 90 s, ≤ 4 GB",
        f"{anew['seconds']:.0f} s, {anew['gigabytes']:.1f} GB",
        anew["seconds"] <= 90 and anew["gigabytes"] <= 4,
    )
    share = after["seconds"] / anew["seconds"]
    yield Line(
        8,
        "their refresh after one more day",
        "≤ 10 % of it",
        f"{share:.0%} ({after['seconds']:.1f} s)",
        share <= 0.1,
    )


def _report(warehouse: Warehouse) -> Line:
    from topo_pipeline.engagement.rules import DEFAULT_RULES  # noqa: PLC0415
    from topo_pipeline.report.page import publish  # noqa: PLC0415 - altair takes a second

    began = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder, warehouse.reader() as connection:
        publish(connection, Path(folder), timezone="UTC", rules=DEFAULT_RULES, now=datetime.now(UTC))
    seconds = time.perf_counter() - began
    return Line(11, "the report, from the tables of 11 million activities", "≤ 15 s", f"{seconds:.1f} s", seconds <= 15)


def loading() -> Iterator[Line]:
    """What the code location costs beside Dagster itself, once compiled, as after its first start."""
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    told = by_turns({module: ("bench.loading", module) for module in ("dagster", "topo_pipeline.definitions")})
    ratio = told["topo_pipeline.definitions"]["seconds"] / told["dagster"]["seconds"]
    yield Line(
        10,
        "`import topo_pipeline.definitions`, which loads them, against `import dagster`",
        "≤ 1.3 ×",
        f"{ratio:.2f} × ({told['topo_pipeline.definitions']['seconds']:.1f} s)",
        ratio <= 1.3,
    )


MEASURED: dict[str, Callable[[], Iterator[Line]]] = {
    each.__name__: each for each in (reading, dlt, requests, memory, ranged, tables, loading)
}


def main(names: list[str]) -> None:
    """Measure, show, and write the page where all was measured."""
    lines = []
    for name in names or MEASURED:
        for line in MEASURED[name]():
            print(line, flush=True)
            lines.append(line)
    if not names:
        _write(sorted(lines, key=lambda line: line.number))


def _write(lines: list[Line]) -> None:
    head = (
        f"Measured on {date.today()} with {os.cpu_count()} cores, Python {platform.python_version()}.\n\n"  # noqa: DTZ011
        "| # | Work | Must reach | Measured | |\n| --- | --- | --- | --- | --- |\n"
    )
    before, _, rest = PAGE.read_text(encoding="utf-8").partition(_BEGIN)
    _, _, after = rest.partition(_END)
    table = "".join(f"{line}\n" for line in lines)
    PAGE.write_text(f"{before}{_BEGIN}\n{head}{table}\n{_END}{after}", encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])
