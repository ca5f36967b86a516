"""Compare the places where a warehouse can be: a file, a local lake, and a shared lake.

The shared lake's catalog is in a real Postgres, which is started for this, its files are in a folder. CPU seconds of
Postgres are counted as the shared lake's.

`python -m bench.places` measures and prints everything. `python -m bench.places WAY PLACE ADDRESS PORT PID` measures a
new warehouse in one place, with the addresses of the Topo API and the port and process of Postgres, and prints a line
of JSON.
"""

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from bench.pairs import by_turns, measure
from bench.reading import IN_FLIGHT, NO_PACING, days_of, environment
from bench.server import KEY, serving
from topo_pipeline.warehouse.places.lake import CATALOG
from topo_pipeline_tests.services.postgres import Database, running

if TYPE_CHECKING:
    from topo_pipeline.warehouse.connection import Warehouse

PLACES = ("file", "local_lake", "shared_lake")
DAYS, PER_DAY = 30, 2_000
PACED_DAYS, WRITERS, DAYS_EACH = 5, 8, 3
CATALOG_TABLES = (
    "snapshot", "snapshot_changes", "schema_versions", "table", "column", "tag", "column_tag", "table_stats",
    "table_column_stats", "data_file", "delete_file", "file_column_stats", "file_partition_value",
    "inlined_data_tables", "files_scheduled_for_deletion",
)  # fmt: skip
SCHEMA_TABLES = ("schema_versions", "table", "column", "tag", "column_tag")
_TICKS = os.sysconf("SC_CLK_TCK")


def _now() -> datetime:
    return datetime.now(UTC)


class Spent:
    """The CPU seconds of this process, its children and Postgres, and the seconds that passed, since it was created."""

    def __init__(self, postgres: int) -> None:
        self._postgres = postgres
        self._before = self._clocks()

    def _clocks(self) -> tuple[float, float, float]:
        return sum(os.times()[:4]), _cpu_of_server(self._postgres), time.perf_counter()

    def until_now(self) -> dict[str, float]:
        """Return them by name."""
        own, server, seconds = (after - before for after, before in zip(self._clocks(), self._before, strict=True))
        return {"cpu": own + server, "postgres": server, "seconds": seconds}


def _cpu_of_server(process: int) -> float:
    """Return the CPU seconds of a server, of its running children, and of those that have ended."""
    ticks = 0
    for file in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = file.read_text().rpartition(")")[2].split()
        except (FileNotFoundError, ProcessLookupError):
            continue
        if process == int(file.parent.name):
            ticks += sum(map(int, fields[11:15]))
        elif process == int(fields[1]):
            ticks += sum(map(int, fields[11:13]))
    return ticks / _TICKS


@contextmanager
def _new_place(place: str, address: str, port: int) -> Iterator[Path]:
    """Set the environment for a new warehouse, and yield a folder for it."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "bench.duckdb")
        target = {"file": f"{path}", "local_lake": f"ducklake:{path}"}.get(place)
        if target is None:
            database = Database(f"bench_{os.getpid()}", port)
            with Database("postgres", port).connect() as session:
                session.execute(f"CREATE DATABASE {database.name}".encode())
            target = f"ducklake:postgres:{database.dsn}"
        lake = {"TOPO_LAKE_DATA_PATH": f"{folder}/files" if place == "shared_lake" else ""}
        os.environ |= environment(address, Path(folder)) | {"TOPO_WAREHOUSE": target} | lake
        yield Path(folder)


def _load(first: int, count: int, pace: float = NO_PACING) -> None:
    """Load days as a library, without Dagster."""
    from topo_pipeline.ingest.loading import load_days
    from topo_pipeline.settings import get_settings
    from topo_pipeline.topo_api.client import TopoClient
    from topo_pipeline.warehouse.connection import Warehouse

    def connect() -> TopoClient:
        address = os.environ["TOPO_API_URL"]
        return TopoClient(address, KEY, requests_per_second=pace, concurrency=IN_FLIGHT, clock=_now)

    days = days_of(first + count)[first:]
    loads = list(load_days(connect, Warehouse.of(get_settings()), days, run_id="bench", clock=_now, timezone="UTC"))
    if sum(getattr(load, "rows", 0) for load in loads) != count * PER_DAY:
        raise RuntimeError(f"Not every day landed: {loads}")


def _backfill(folder: Path, postgres: int) -> dict[str, float]:
    """Backfill in Dagster, tables included. Then land one day more and refresh all tables."""
    import dagster as dg
    import pandas as pd  # noqa: F401 - its import is not measured

    from topo_pipeline.definitions import defs
    from topo_pipeline.orchestration.instance import prepare
    from topo_pipeline.orchestration.ranged_runs import backfill

    prepare(folder)
    with dg.DagsterInstance.get() as instance:
        spent = Spent(postgres)
        days = [day.day for day in days_of(DAYS)]
        outcome = backfill(defs, days, instance=instance, on_progress=lambda _: None)
        results = spent.until_now()
    if len(outcome.landed) != DAYS or outcome.problems:
        raise RuntimeError(str(outcome.problems))
    _load(DAYS, 1)
    return results | {f"refresh_{name}": value for name, value in _refresh(postgres).items()}


def _refresh(postgres: int) -> dict[str, float]:
    """Refresh all tables after a day, and count what that adds to the catalog."""
    from topo_pipeline.engagement.building import build
    from topo_pipeline.engagement.tables import in_order
    from topo_pipeline.settings import get_settings
    from topo_pipeline.warehouse.connection import Warehouse

    warehouse, day = Warehouse.of(get_settings()), days_of(DAYS + 1)[-1].day
    before, spent = catalog_rows(warehouse), Spent(postgres)
    for table in in_order():
        with warehouse.transaction() as connection:
            build(connection, table, timezone="UTC", now=_now(), days=[day])
    results = spent.until_now()
    now = catalog_rows(warehouse)
    added = {name: rows - before[name] for name, rows in now.items() if rows > before[name]}
    print(f"  added to the catalog: {added}", file=sys.stderr)
    schema_rows = sum(added.get(name, 0) for name in SCHEMA_TABLES)
    return results | {
        "snapshots": added.get("snapshot", 0), "rows": sum(added.values()), "schema_rows": schema_rows,
    }  # fmt: skip


def catalog_rows(warehouse: "Warehouse") -> dict[str, int]:
    """Return the number of rows in each table of a lake's catalog, or nothing for a file."""
    schema = {"LocalLake": "main", "SharedLake": "topo"}.get(type(warehouse.place).__name__)
    with warehouse.reader() as connection:
        return {
            name: int(connection.execute(f"SELECT count(*) FROM {CATALOG}.{schema}.ducklake_{name}").fetchall()[0][0])  # noqa: S608
            for name in (CATALOG_TABLES if schema else ())
        }


def _paced(_: Path, postgres: int) -> dict[str, float]:
    """Load days at Topo's ten requests per second."""
    _load(0, 1)
    spent = Spent(postgres)
    _load(1, PACED_DAYS, pace=10)
    return spent.until_now()


def _writers(_: Path, postgres: int) -> dict[str, float]:
    """Land different days from several processes at once."""
    _load(0, 1)
    processes = [
        subprocess.Popen([sys.executable, "-m", "bench.places", "write", str(1 + DAYS_EACH * number)],  # noqa: S603
                         stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        for number in range(WRITERS)
    ]  # fmt: skip
    for process in processes:
        process.stdout.readline() if process.stdout else None  # it has imported everything
    spent = Spent(postgres)
    for process in processes:
        process.stdin.close() if process.stdin else None
    used = [float(process.stdout.readline()) for process in processes if process.stdout]
    results = spent.until_now()
    if any([process.wait() for process in processes]) or len(used) != WRITERS:
        raise RuntimeError("A writer failed.")
    return results | {"cpu": results["postgres"] + sum(used)}


def _write(first: int) -> None:
    """Load some days once standard input is closed, and print the CPU seconds."""
    import pandas as pd  # noqa: F401 - its import is not measured

    import topo_pipeline.ingest.loading  # noqa: F401

    print("ready", flush=True)
    sys.stdin.read()
    before = sum(os.times()[:2])
    _load(first, DAYS_EACH)
    print(sum(os.times()[:2]) - before, flush=True)


WAYS: dict[str, Callable[[Path, int], dict[str, float]]] = {
    "backfill": _backfill, "paced": _paced, "writers": _writers,
}  # fmt: skip


def compared(ways: tuple[str, ...] = tuple(WAYS), rounds: int = 3) -> dict[str, dict[str, dict[str, float]]]:
    """Return the results of each way in each place. Places take turns."""
    with serving(DAYS + 1, PER_DAY) as address, running() as server:
        end = (address, str(server.port), str(server.process))
        return {
            way: by_turns({place: partial(measure, "bench.places", way, place, *end) for place in PLACES}, rounds)
            for way in ways
        }


def lines() -> Iterator[str]:
    """Measure everything and yield the lines of the table in docs/benchmarks.md, "A shared lake"."""
    results = compared()

    def line(work: str, target: str, measured: str, *, is_met: bool | None = True) -> str:
        return f"| {work} | {target} | {measured} | {'' if is_met is None else 'met' if is_met else '**missed**'} |"

    for place, name, at_most in (("shared_lake", "a shared lake", 1.5), ("local_lake", "a local lake", None)):
        done, file = (results["backfill"][each] for each in (place, "file"))
        ratio, refreshed = (done[name] / file[name] for name in ("cpu", "refresh_cpu"))
        yield line(
            f"backfill {DAYS} days of {PER_DAY:,} in Dagster, tables and checks included, into {name}, compared with a"
            f" file (CPU seconds, of Postgres too; a refresh of all tables after a day: {refreshed:.1f}×)",
            f"≤ {at_most}×" if at_most else "–",
            f"{ratio:.2f}× ({done['cpu']:.1f} s, of which Postgres {done['postgres']:.1f} s; file {file['cpu']:.1f} s)",
            is_met=None if at_most is None else ratio <= at_most,
        )
    lake, file_seconds = (results["paced"][each]["seconds"] for each in ("shared_lake", "file"))
    yield line(
        f"load days of {PER_DAY:,} at 10 requests per second into a shared lake, compared with a file",
        "≤ 1.1×",
        f"{lake / file_seconds:.2f}× ({lake:.1f} s, {file_seconds:.1f} s)",
        is_met=lake / file_seconds <= 1.1,
    )
    added = results["backfill"]["shared_lake"]
    yield line(
        "what a refresh of all tables after a day adds to a shared lake's catalog",
        "≤ 1 snapshot per table, no table or column",
        f"{added['refresh_snapshots']:.0f} snapshots and {added['refresh_rows']:.0f} rows,"
        f" {added['refresh_schema_rows']:.0f} of tables, columns and comments",
        is_met=added["refresh_schema_rows"] == 0,
    )
    lake, file_cpu = (results["writers"][each]["cpu"] for each in ("shared_lake", "file"))
    yield line(
        f"{WRITERS} processes load different days at once into a shared lake, compared with a file (CPU seconds)",
        "every day lands",  # otherwise it fails
        f"every day landed; {lake / file_cpu:.2f}× ({lake:.1f} s, {file_cpu:.1f} s)",
    )


def main(way: str, place: str, address: str, port: int, postgres: int) -> None:
    """Measure one way in one place."""
    with _new_place(place, address, port) as folder:
        print(json.dumps(WAYS[way](folder, postgres)))


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["write", first]:
            _write(int(first))
        case [way, place, address, port, postgres]:
            main(way, place, address, int(port), int(postgres))
        case ways:
            for way, results in compared(tuple(ways) or tuple(WAYS)).items():
                for place, values in results.items():
                    print(way, place, {name: round(value, 2) for name, value in values.items()}, flush=True)
