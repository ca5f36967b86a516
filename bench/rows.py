"""The measurements of docs/benchmarks.md, one function for each row.

Alternatives run alternately, each in a new process, and their medians are compared.
"""

import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from functools import cache, partial
from importlib.util import find_spec
from pathlib import Path

from bench.engagement_tables import DAYS, RUNS_A_DAY, history
from bench.pairs import Results, Size, by_turns, command, measure, medians
from bench.reading import environment
from bench.server import serving
from bench.table import Measure, Measured, Row

ROWS: list[Row] = []
PROGRAM = str(Path(sys.executable).with_name("topo-pipeline"))
IMPORT = (sys.executable, "-c", "import dagster")
FEWER = 3  # rounds, if one of them takes a minute
PER_SECOND = 10  # the default pace


def row(number: int, work: str, target: str, *bounds: float, at_least: bool = False) -> Callable[[Measure], Measure]:
    """Add the decorated function to the table."""

    def add(measured: Measure) -> Measure:
        ROWS.append(Row(str(number), work, measured, target, bounds, at_least=at_least))
        return measured

    return add


def waited_for(name: str, work: str) -> Callable[[Measure], Measure]:
    """Add the decorated function to what people wait for."""

    def add(measured: Measure) -> Measure:
        ROWS.append(Row(name, work, measured))
        return measured

    return add


def _ways(names: Sequence[str], address: str, days: int, per_day: int) -> Mapping[str, Callable[[], Results]]:
    return {name: partial(measure, "bench.reading", name, address, str(days), str(per_day)) for name in names}


def _ratio(ours: Results, theirs: Results, name: str = "seconds") -> float:
    return ours[name] / theirs[name]


def _compared(ours: Results, theirs: Results) -> str:
    wall, cpu = (
        f"{_ratio(ours, theirs, name):.2f}× {label} ({ours[name]:.2f} s, {theirs[name]:.2f} s)"
        for name, label in (("seconds", "wall"), ("cpu", "CPU"))
    )
    return f"{wall}, {cpu}"


@waited_for("first_run", "The first run at the default pace: `backfill` of 60 days of 750 activities")
def first_run(size: Size) -> Measured:
    """Run the command once, and divide by the pace's own time."""
    return _first_and_monday(size)[0], ()


@waited_for("monday", "The Monday run after it: the last four days again with `backfill`, then `report`")
def monday(size: Size) -> Measured:
    """Run the commands once."""
    return _first_and_monday(size)[1], ()


@cache
def _first_and_monday(size: Size) -> tuple[str, str]:
    days, per_day = size.of(60, 5), size.of(750)
    last = datetime.now(UTC).date() - timedelta(days=1)
    first = last - timedelta(days=days)
    with serving(days + 1, per_day, first_day=first) as address, tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        settings = environment(address, folder, first, unpaced=False)
        read = (PROGRAM, "backfill", str(first), str(last - timedelta(days=1)))
        initial = command(folder, read, environment=settings)
        again = (PROGRAM, "backfill", str(last - timedelta(days=3)), str(last))
        later = command(folder, again, (PROGRAM, "report"), environment=settings)
    pages = -(-per_day // 100)
    shown = (
        f"{results['seconds']:.1f} s ({pages * read / PER_SECOND:.1f} s of them for {pages * read:,} pages)"
        for results, read in ((initial, days), (later, 4))
    )
    return next(shown), next(shown)


@row(
    1,
    "Read and land 100,000 activities of 5 days without latency, compared with a bare httpx loop that discards the"
    " bodies",
    "≤ {}× wall, ≤ {}× CPU",
    1.3,
    1.6,
)
def reading(size: Size) -> Measured:
    """Compare with the bare loop, and that with pyreqwest alone, which is the physical limit."""
    per_day = size.of(20_000)
    has_pyreqwest = find_spec("pyreqwest") is not None
    ways = ("bare", "pipeline", "pyreqwest") if has_pyreqwest else ("bare", "pipeline")
    with serving(5, per_day) as address:
        results = by_turns(_ways(ways, address, 5, per_day), size.rounds)
    ours, bare = results["pipeline"], results["bare"]
    limit = f"pyreqwest alone {_compared(results['pyreqwest'], bare)}" if has_pyreqwest else "pyreqwest not installed"
    return f"{_compared(ours, bare)}; {limit}", (_ratio(ours, bare), _ratio(ours, bare, "cpu"))


@row(2, "The same with 50 ms latency, 8 requests in flight", "≤ {}×", 1.08)
def latency(size: Size) -> Measured:
    """Compare with the bare loop."""
    per_day = size.of(20_000)
    with serving(5, per_day, 0.05) as address:
        results = by_turns(_ways(("bare", "pipeline"), address, 5, per_day), size.rounds)
    ours, bare = results["pipeline"], results["bare"]
    return _compared(ours, bare), (_ratio(ours, bare),)


@row(
    3,
    "dlt's rest_api source on the work of row 1, merged by id: at its best (Parquet, in parallel) / its defaults",
    "≥ {}× / ≥ {}× slower",
    6,
    18,
    at_least=True,
)
def dlt(size: Size) -> Measured:
    """Compare with dlt."""
    per_day = size.of(20_000)
    with serving(5, per_day) as address:
        results = by_turns(_ways(("pipeline", "dlt_best", "dlt_default"), address, 5, per_day), size.rounds)
    theirs = (results["dlt_best"], results["dlt_default"])
    shown = " / ".join(_compared(each, results["pipeline"]) for each in theirs)
    return shown, [_ratio(each, results["pipeline"]) for each in theirs]


@row(
    4,
    "Read and land at the default pace (10 requests per second): days of 750 / 2,000 / 20,000 activities, compared"
    " with the time that the pace itself takes",
    "≤ {}×",
    *[1.02] * 3,
)
def pace(size: Size) -> Measured:
    """Read about 100 pages of each kind of day."""
    shown, values = [], []
    for days, of_a_day in ((12, 750), (5, 2_000), (1, 20_000)):
        per_day = size.of(of_a_day, 100)
        with serving(days, per_day) as address:
            results = by_turns(_ways(("paced",), address, days, per_day), size.rounds)["paced"]
        own = results["requests"] / PER_SECOND
        values.append(results["seconds"] / own)
        pages = -(-per_day // 100) * days
        shown.append(
            f"{values[-1]:.3f}× ({results['seconds']:.2f} s for {results['requests']:.0f} requests, {pages} pages)"
        )
    return " / ".join(shown), values


@row(5, "Land 60 days of 750 activities, each in its own transaction, without reading them", "≤ {} ms a day", *[45] * 2)
def landing(size: Size) -> Measured:
    """Measure landing small days."""
    days = str(size.of(60, 2))
    results = by_turns({"landing": partial(measure, "bench.landing", days, "750")}, size.rounds)["landing"]
    wall, cpu = results["seconds"] * 1000, results["cpu"] * 1000
    return f"{wall:.0f} ms wall, {cpu:.0f} ms CPU", (wall, cpu)


@row(
    6,
    "A year of 1,000 activities a day in one Dagster run, compared with the same days loaded as a library",
    "≤ {} ms more a day",
    20,
)
def ranged(size: Size) -> Measured:
    """Compare a Dagster run with the library that it calls."""
    days = size.of(DAYS, 2)
    with serving(days, 1_000) as address:
        dagster = partial(measure, "bench.ranged", address, str(days), "1000")
        results = by_turns(
            {"dagster": dagster, **_ways(("pipeline",), address, days, 1_000)}, size.at_most(FEWER).rounds
        )
    run, library = results["dagster"], results["pipeline"]
    wall, cpu = ((run[name] - library[name]) / days * 1000 for name in ("seconds", "cpu"))
    shown = f"{wall:.0f} ms wall ({run['seconds']:.0f} s, {library['seconds']:.0f} s), {cpu:.0f} ms CPU"
    return f"{shown}; medians of {FEWER}", (wall,)


@row(7, "Read and land one day of 1,000,000 activities: peak memory", "≤ {} MB", 400)
def memory(size: Size) -> Measured:
    """Measure the memory of the process that reads and lands."""
    per_day = size.of(1_000_000)
    with serving(1, per_day) as address:
        results = by_turns(_ways(("pipeline",), address, 1, per_day), size.at_most(1).rounds)["pipeline"]
    return f"{results['megabytes']:,.0f} MB (one run, {results['seconds']:.0f} s)", (results["megabytes"],)


@cache
def _tables(size: Size) -> tuple[Results, dict[str, Results]]:
    """Return the results of building all tables of a year from scratch, and of refreshing three histories."""
    runs_a_day = size.of(RUNS_A_DAY)
    with tempfile.TemporaryDirectory() as folder:
        histories = {days: history(Path(folder), days, runs_a_day) for days in (3, 36, DAYS)}
        year = histories[DAYS]
        from_scratch = [year.first_build, *(year.from_scratch() for _ in range(size.at_most(FEWER).rounds - 1))]
        refreshed = by_turns({str(days): each.after for days, each in histories.items()}, size.rounds)
    return medians(from_scratch), refreshed


@row(
    8,
    "Build the tables of 11 million activities from scratch: the eight oldest / all; refresh all after one more day",
    "≤ {} s, {} GB / ≤ {} s, {} GB; ≤ {} s",
    *(45, 3, 90, 4, 2.5),
)
def tables(size: Size) -> Measured:
    """Measure the year's tables."""
    scratch, refreshed = _tables(size)[0], _tables(size)[1][str(DAYS)]
    names = ("eight_seconds", "eight_gigabytes", "seconds", "gigabytes")
    eight_seconds, eight_gigabytes, seconds, gigabytes = (scratch[name] for name in names)
    shown = (
        f"{eight_seconds:.0f} s, {eight_gigabytes:.1f} GB / {seconds:.0f} s ({scratch['cpu']:.0f} s CPU),"
        f" {gigabytes:.1f} GB, medians of {FEWER}; {refreshed['seconds']:.1f} s ({refreshed['cpu']:.1f} s CPU)"
    )
    return shown, (*(scratch[name] for name in names), refreshed["seconds"])


@row(
    9,
    "Refresh of one day if the history of 3 days is 12 times (36 days) and 122 times (365 days) as long",
    "≤ {}×, ≤ {}×",
    1.2,
    1.5,
)
def growth(size: Size) -> Measured:
    """Compare the refreshes."""
    short, longer, year = _tables(size)[1].values()
    values = [_ratio(each, short) for each in (longer, year)]
    cpu = [_ratio(each, short, "cpu") for each in (longer, year)]
    shown = f"{values[0]:.2f}×, {values[1]:.2f}× wall (3 days: {short['seconds']:.1f} s)"
    return f"{shown}; {cpu[0]:.2f}×, {cpu[1]:.2f}× CPU", values


@row(10, "`topo-pipeline demo` (26 weeks), compared with `import dagster`", "≤ {}×", *[12] * 2)
def demo(size: Size) -> Measured:
    """Compare whole processes."""
    words = {"dagster": IMPORT, "demo": (PROGRAM, "demo")}
    results = by_turns({name: partial(_in_new_folder, each) for name, each in words.items()}, size.rounds)
    return _of_dagster(results, "demo")


def _in_new_folder(words: Sequence[str]) -> Results:
    with tempfile.TemporaryDirectory() as folder:
        return command(Path(folder), words)


def _of_dagster(results: Mapping[str, Results], name: str) -> Measured:
    ours, theirs = results[name], results["dagster"]
    return _compared(ours, theirs), (_ratio(ours, theirs), _ratio(ours, theirs, "cpu"))


@row(
    11,
    "The commands `backfill` of 100,000 activities in 5 days, with tables and checks, and `report`, compared with the"
    " bare loop",
    "≤ {}×",
    *[5] * 2,
)
def backfill(size: Size) -> Measured:
    """Compare whole processes with the loop alone."""
    per_day = size.of(20_000)
    last = datetime.now(UTC).date() - timedelta(days=1)
    first = last - timedelta(days=4)

    def commands(address: str) -> Results:
        with tempfile.TemporaryDirectory() as name:
            folder, words = Path(name), (PROGRAM, "backfill", str(first), str(last))
            return command(folder, words, (PROGRAM, "report"), environment=environment(address, folder, first))

    with serving(5, per_day) as bare, serving(5, per_day, first_day=first) as address:
        results = by_turns({**_ways(("bare",), bare, 5, per_day), "commands": partial(commands, address)}, size.rounds)
    ours, theirs = results["commands"], results["bare"]
    return _compared(ours, theirs), (_ratio(ours, theirs), _ratio(ours, theirs, "cpu"))


@row(
    12,
    "`--help` / `status` / `report` of the demo, compared with `import dagster`",
    "≤ {0}× / ≤ {2}× / ≤ {4}×",
    *(0.2, 0.2, 0.8, 0.8, 1.8, 1.8),
)
def commands(size: Size) -> Measured:
    """Compare whole processes."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        command(folder, (PROGRAM, "demo"))
        options = ("--help", "status --demo", "report --demo")
        ways = {each: partial(command, folder, (PROGRAM, *each.split())) for each in options}
        results = by_turns({"dagster": partial(command, folder, IMPORT), **ways}, size.rounds)
    shown, values = zip(*(_of_dagster(results, each) for each in options), strict=True)
    return " / ".join(shown), [value for pair in values for value in pair]


@row(13, "Load the definitions, compared with `import dagster`", "≤ {}×", *[1.2] * 2)
def loading(size: Size) -> Measured:
    """Compare imports, without Python's start."""
    modules = {"dagster": "dagster", "definitions": "topo_pipeline.definitions"}
    results = by_turns(
        {name: partial(measure, "bench.loading", module) for name, module in modules.items()}, size.rounds
    )
    return _of_dagster(results, "definitions")
