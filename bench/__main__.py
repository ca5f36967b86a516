"""`make bench`: run all benchmarks on this machine and write docs/benchmarks.md.

A benchmark is a function that yields lines of the page's table. `python -m bench NAME…` runs only those named.
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
    """One measurement and its target."""

    number: int
    work: str
    target: str
    measured: str
    is_met: bool | None  # None without a target

    def __str__(self) -> str:
        verdict = {True: "met", False: "**missed**", None: ""}[self.is_met]
        return f"| {self.number} | {self.work} | {self.target} | {self.measured} | {verdict} |"


def reading() -> Iterator[Line]:
    """Compare reading, proving and landing with a bare loop that discards the responses."""
    for number, latency, at_most in ((1, 0.0, 1.4), (2, 0.05, 1.15)):
        with serving(5, 20_000, latency) as address:
            results = by_turns(
                {way: ("bench.reading", way, address, "5", "20000") for way in ("ceiling", "bare", "pipeline")}
            )
        ceiling, bare, ours = results["ceiling"], results["bare"], results["pipeline"]
        ratio = ours["seconds"] / bare["seconds"]
        yield Line(
            number,
            f"read and land 100,000 activities of 5 days, {latency * 1000:.0f} ms latency,"
            f" compared with a bare httpx loop ({bare['requests'] / bare['seconds']:,.0f} requests per second;"
            f" the server's ceiling is {ceiling['requests'] / ceiling['seconds']:,.0f})",
            f"≤ {at_most}×",
            f"{ratio:.2f}× ({ours['seconds']:.1f} s, {bare['seconds']:.1f} s)",
            ratio <= at_most,
        )


def dlt() -> Iterator[Line]:
    """Compare with dlt's rest_api source."""
    ways = ("pipeline", "dlt_best", "dlt_default")
    with serving(5, 20_000) as address:
        results = by_turns({way: ("bench.reading", way, address, "5", "20000") for way in ways})
    for way, name, at_least in (("dlt_best", "Parquet, in parallel", 3), ("dlt_default", "its defaults", 12)):
        ratio = results[way]["seconds"] / results["pipeline"]["seconds"]
        yield Line(
            3,
            f"the same with dlt's rest_api source, merged by id ({name})",
            f"≥ {at_least}× slower",
            f"{ratio:.1f}× ({results[way]['seconds']:.1f} s)",
            ratio >= at_least,
        )


def requests() -> Iterator[Line]:
    """Compare the requests sent with the pages needed, without the one that identifies the key's owner."""
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
    """Measure the memory that a large day takes."""
    with serving(1, 100_000) as address:
        results = measure("bench.reading", "pipeline", address, "1", "100000")
    yield Line(
        5,
        "peak memory for a day of 100,000 activities",
        "≤ 500 MB",
        f"{results['megabytes']:,.0f} MB ({results['seconds']:.0f} s)",
        results["megabytes"] <= 500,
    )


def ranged() -> Iterator[Line]:
    """Compare a year in one Dagster run with the same year loaded as a library."""
    with serving(DAYS, 1_000) as address:
        results = by_turns({way: ("bench.ranged", way, address, str(DAYS), "1000") for way in ("library", "dagster")})
    library, run = results["library"], results["dagster"]
    more = (run["seconds"] - library["seconds"]) / DAYS * 1000
    yield Line(
        6,
        f"{DAYS} days of 1,000 activities in one ranged run, compared with the same days loaded as a library",
        "≤ 50 ms more per day",
        f"{more:.0f} ms per day ({run['seconds']:.0f} s, {library['seconds']:.0f} s)",
        more <= 50,
    )
    yield Line(
        7,
        f"the same read again with nothing changed: {run['rewritten']:.0f} rows written",
        "≤ 1× the first read, no rows",
        f"{library['again'] / library['seconds']:.2f}× (in Dagster {run['again'] / run['seconds']:.2f}×)",
        library["again"] <= library["seconds"] and run["rewritten"] == 0,
    )


def tables() -> Iterator[Line]:
    """Measure the engagement tables as history grows, and the report of the longest history."""
    with tempfile.TemporaryDirectory() as folder:
        short, longer, year = (history(Path(folder), DAYS * share // 100) for share in (1, 10, 100))
        results = by_turns(
            {"short": short.after, "longer": longer.after, "year": year.after, "from_scratch": year.from_scratch}
        )
        yield from _of_ten_million(results["from_scratch"], results["year"])
        yield _report(year.built)
    growth, further = (results[name]["seconds"] / results["short"]["seconds"] for name in ("longer", "year"))
    yield Line(
        9,
        "refresh of one day if history is 10× as long (and 100×)",
        "grows < 2×",
        f"{growth:.1f}× ({further:.1f}×)",
        growth < 2,
    )


def _of_ten_million(from_scratch: dict[str, float], after: dict[str, float]) -> Iterator[Line]:
    yield Line(
        8,
        "build all tables from scratch with 11 million activities",
        "≤ 90 s, ≤ 4 GB",
        f"{from_scratch['seconds']:.0f} s, {from_scratch['gigabytes']:.1f} GB",
        from_scratch["seconds"] <= 90 and from_scratch["gigabytes"] <= 4,
    )
    share = after["seconds"] / from_scratch["seconds"]
    yield Line(
        8,
        "refresh them after one more day",
        "≤ 10% of it",
        f"{share:.0%} ({after['seconds']:.1f} s)",
        share <= 0.1,
    )


def _report(warehouse: Warehouse) -> Line:
    from topo_pipeline.engagement.rules import DEFAULT_RULES  # noqa: PLC0415
    from topo_pipeline.report.page import publish  # noqa: PLC0415 - only this benchmark needs it

    began = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder, warehouse.reader() as connection:
        publish(connection, Path(folder), timezone="UTC", rules=DEFAULT_RULES, now=datetime.now(UTC))
    seconds = time.perf_counter() - began
    return Line(
        11, "write the report from the tables of 11 million activities", "≤ 15 s", f"{seconds:.1f} s", seconds <= 15
    )


def loading() -> Iterator[Line]:
    """Compare importing the code location with importing Dagster, with all caches filled."""
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    results = by_turns({module: ("bench.loading", module) for module in ("dagster", "topo_pipeline.definitions")})
    ratio = results["topo_pipeline.definitions"]["seconds"] / results["dagster"]["seconds"]
    yield Line(
        10,
        "`import topo_pipeline.definitions`, which loads the definitions, compared with `import dagster`",
        "≤ 1.3×",
        f"{ratio:.2f}× ({results['topo_pipeline.definitions']['seconds']:.1f} s)",
        ratio <= 1.3,
    )


def landing() -> Iterator[Line]:
    """Measure landing small days, without reading them."""
    measured = by_turns({"landing": ("bench.landing", "60", "750")})["landing"]
    yield Line(
        17,
        "land 60 days of 750 activities, each in its own transaction, without reading them",
        "≤ 45 ms per day",
        f"{measured['seconds'] * 1000:.0f} ms per day ({measured['cpu'] * 1000:.0f} ms of CPU time)",
        measured["seconds"] <= 0.045,
    )


def commands() -> Iterator[Line]:
    """Compare the commands that people wait for with importing Dagster, in CPU seconds of whole processes."""
    program = str(Path(sys.executable).with_name("topo-pipeline"))
    bounds = {"--help": 0.2, "status --demo": 0.8, "report --demo": 1.8}
    with tempfile.TemporaryDirectory() as folder:
        demo = measure("bench.commands", folder, program, "demo")
        ways = {command: ("bench.commands", folder, program, *command.split()) for command in bounds}
        ways["dagster"] = ("bench.commands", folder, sys.executable, "-c", "import dagster")
        results = by_turns(ways)
    one = results["dagster"]["cpu"]
    measured = {**{command: results[command] for command in bounds}, "demo": demo}
    for command, at_most in {**bounds, "demo": 12}.items():
        took, ratio = measured[command], measured[command]["cpu"] / one
        yield Line(
            18,
            f"`topo-pipeline {command}`, compared with `import dagster` (CPU seconds)",
            f"≤ {at_most}×",
            f"{ratio:.2f}× ({took['cpu']:.1f} s, in {took['seconds']:.1f} s)",
            ratio <= at_most,
        )


def places() -> Iterator[Line]:
    """Compare a local and a shared lake with a file."""
    from bench.places import DAYS, PER_DAY, WRITERS, compared  # noqa: PLC0415 - only this one needs Postgres

    results = compared()
    for place, name, at_most in (("shared_lake", "a shared lake", 1.5), ("local_lake", "a local lake", None)):
        done, file = (results["backfill"][each] for each in (place, "file"))
        ratio = done["cpu"] / file["cpu"]
        refreshed = done["refresh_cpu"] / file["refresh_cpu"]
        yield Line(
            12,
            f"backfill {DAYS} days of {PER_DAY:,} in Dagster, tables and checks included, into {name}, compared with a"
            f" file (CPU seconds, of Postgres too; a refresh of all tables after a day: {refreshed:.1f}×)",
            f"≤ {at_most}×" if at_most else "–",
            f"{ratio:.2f}× ({done['cpu']:.1f} s, of which Postgres {done['postgres']:.1f} s; file {file['cpu']:.1f} s)",
            None if at_most is None else ratio <= at_most,
        )
    yield from _of_shared_lake(results, PER_DAY, WRITERS)


def _of_shared_lake(results: dict[str, dict[str, dict[str, float]]], per_day: int, writers: int) -> Iterator[Line]:
    lake, file = (results["paced"][each]["seconds"] for each in ("shared_lake", "file"))
    yield Line(
        13,
        f"load days of {per_day:,} at 10 requests per second into a shared lake, compared with a file",
        "≤ 1.1×",
        f"{lake / file:.2f}× ({lake:.1f} s, {file:.1f} s)",
        lake / file <= 1.1,
    )
    added = results["backfill"]["shared_lake"]
    yield Line(
        14,
        "what a refresh of all tables after a day adds to a shared lake's catalog",
        "≤ 1 snapshot per table, no table or column",
        f"{added['refresh_snapshots']:.0f} snapshots and {added['refresh_rows']:.0f} rows,"
        f" {added['refresh_schema_rows']:.0f} of tables, columns and comments",
        added["refresh_schema_rows"] == 0,
    )
    lake, file = (results["writers"][each]["cpu"] for each in ("shared_lake", "file"))
    yield Line(
        15,
        f"{writers} processes load different days at once into a shared lake, compared with a file (CPU seconds)",
        "every day lands",
        f"every day landed; {lake / file:.2f}× ({lake:.1f} s, {file:.1f} s)",
        True,  # noqa: FBT003 - otherwise it fails
    )


def calibration() -> Iterator[Line]:
    """Compare what the tables say of simulated workspaces with what is true in them."""
    from bench.calibration import figures

    for figure in figures():
        yield Line(16, figure.what, figure.target, figure.measured, figure.is_met)


MEASURED: dict[str, Callable[[], Iterator[Line]]] = {
    each.__name__: each
    for each in (reading, dlt, requests, memory, ranged, tables, loading, landing, commands, places, calibration)
}


def main(names: list[str]) -> None:
    """Run the benchmarks, print the results, and write the page if all were run."""
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
        "| # | Work | Target | Measured | |\n| --- | --- | --- | --- | --- |\n"
    )
    before, _, rest = PAGE.read_text(encoding="utf-8").partition(_BEGIN)
    _, _, after = rest.partition(_END)
    table = "".join(f"{line}\n" for line in lines)
    PAGE.write_text(f"{before}{_BEGIN}\n{head}{table}\n{_END}{after}", encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])
