"""Read the same days from the benchmark server in one of several ways.

Run as `python -m bench.reading WAY ADDRESS DAYS ROWS`. Prints one line of JSON: the seconds and CPU seconds without
Python's start and imports, the requests and the peak memory.
"""

import asyncio
import importlib
import json
import os
import sys
import tempfile
import time as clock
import urllib.request
from collections.abc import Awaitable, Callable, Iterator, Mapping
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path
from typing import Any

import duckdb
import httpx

from bench.pairs import cpu_seconds, peak_megabytes
from bench.server import FIRST_DAY, KEY
from topo_pipeline.days import Day, Window
from topo_pipeline.ingest.loading import load_days
from topo_pipeline.topo_api.client import TopoClient
from topo_pipeline.warehouse.connection import Warehouse
from topo_pipeline.warehouse.landing import Load

IN_FLIGHT = 8
NO_PACING = 10_000.0
UNPACED: Mapping[str, Any] = {"requests_per_second": NO_PACING, "concurrency": IN_FLIGHT}
_DAY = timedelta(days=1)


def days_of(count: int) -> list[Day]:
    """Return the first `count` days of the server."""
    start = datetime.combine(FIRST_DAY, time.min, UTC)
    return [Day(FIRST_DAY + _DAY * n, Window(start + _DAY * n, start + _DAY * (n + 1))) for n in range(count)]


def environment(address: str, folder: Path, first_day: date = FIRST_DAY, *, unpaced: bool = True) -> dict[str, str]:
    """Return the settings with which the pipeline reads from `address` into a new warehouse in `folder`."""
    pace = {f"TOPO_{name.upper()}": str(value) for name, value in UNPACED.items()}
    return {
        "DAGSTER_HOME": str(folder),
        "TOPO_API_URL": address,
        "TOPO_API_KEY": KEY,
        "TOPO_WAREHOUSE": str(folder / "bench.duckdb"),
        "TOPO_START_DATE": str(first_day),
        **(pace if unpaced else {}),
    }


def _asked(day: Day) -> dict[str, str]:
    return {
        "size": "100",
        "sort_by": "created_at",
        "sort_order": "asc",
        "created_at_after": (day.window.start - timedelta(seconds=1)).isoformat().replace("+00:00", "Z"),
        "created_at_before": day.window.end.isoformat().replace("+00:00", "Z"),
    }


async def _discard(get: Callable[[dict[str, str]], Awaitable[object]], days: int, per_day: int) -> None:
    """Request the pages day by day with `get`, several at once, and ignore the bodies."""
    for day in days_of(days):
        numbers = iter(range(1, -(-per_day // 100) + 1))

        async def work(numbers: Iterator[int] = numbers, day: Day = day) -> None:
            for number in numbers:
                await get({"page": str(number), **_asked(day)})

        await asyncio.gather(*(work() for _ in range(IN_FLIGHT)))


async def _by_httpx(address: str, days: int, per_day: int) -> None:
    limits = httpx.Limits(max_connections=IN_FLIGHT, max_keepalive_connections=IN_FLIGHT)
    async with httpx.AsyncClient(limits=limits, trust_env=False) as client:

        async def get(params: dict[str, str]) -> None:
            response = await client.get(f"{address}/activities", params=params)
            response.raise_for_status()

        await _discard(get, days, per_day)


async def _by_pyreqwest(address: str, days: int, per_day: int) -> None:
    from pyreqwest.client import ClientBuilder

    builder = ClientBuilder().max_connections(IN_FLIGHT).no_proxy().error_for_status(enable=True)
    async with builder.build() as client:

        async def get(params: dict[str, str]) -> None:
            response = await client.get(f"{address}/activities").query(params).build().send()
            await response.bytes()

        await _discard(get, days, per_day)


def bare(address: str, days: int, per_day: int) -> None:
    """Read the pages in a bare httpx loop and discard the bodies."""
    asyncio.run(_by_httpx(address, days, per_day))


def pyreqwest(address: str, days: int, per_day: int) -> None:
    """Do the same with pyreqwest."""
    asyncio.run(_by_pyreqwest(address, days, per_day))


def pipeline(address: str, days: int, per_day: int, pace: Mapping[str, float] = UNPACED) -> None:
    """Read, prove and land, as the asset does."""

    def connect() -> TopoClient:
        return TopoClient(address, KEY, **pace, clock=now)

    def now() -> datetime:
        return datetime.now(UTC)

    with tempfile.TemporaryDirectory() as folder:
        warehouse = Warehouse(str(Path(folder, "bench.duckdb")))
        for load in load_days(connect, warehouse, days_of(days), run_id="bench", clock=now, timezone="UTC"):
            if not isinstance(load, Load) or load.rows != per_day:
                raise RuntimeError(f"the load differs from the server's data: {load}")


def paced(address: str, days: int, per_day: int) -> None:
    """Do the same at the default pace."""
    pipeline(address, days, per_day, pace={})


def _by_dlt(address: str, days: int, folder: str, *, in_parallel: bool) -> Any:
    """Return dlt's rest_api resources, one per window and merged by id, and the pipeline to run them."""
    os.environ |= {"RUNTIME__DLTHUB_TELEMETRY": "false"} | ({"EXTRACT__WORKERS": str(IN_FLIGHT)} if in_parallel else {})
    import dlt
    from dlt.sources.rest_api import rest_api_resources

    resources = rest_api_resources(
        {
            "client": {
                "base_url": f"{address}/",
                "paginator": {"type": "page_number", "base_page": 1, "total_path": "total_pages"},
            },
            "resources": [
                {
                    "name": f"day_{number}",
                    "table_name": "activities",
                    "primary_key": "id",
                    "write_disposition": "merge",
                    "parallelized": in_parallel,
                    "endpoint": {"path": "activities", "params": _asked(day), "data_selector": "items"},
                }
                for number, day in enumerate(days_of(days))
            ],
        }
    )
    target = dlt.destinations.duckdb(str(Path(folder, "dlt.duckdb")))
    return resources, dlt.pipeline("bench", pipelines_dir=folder, destination=target, dataset_name="topo")


def dlt_default(address: str, days: int, per_day: int) -> None:
    """Read with dlt's defaults."""
    with tempfile.TemporaryDirectory() as folder:
        resources, pipeline = _by_dlt(address, days, folder, in_parallel=False)
        pipeline.run(resources)
        _check(Path(folder, "dlt.duckdb"), days * per_day)


def dlt_best(address: str, days: int, per_day: int) -> None:
    """Read days in parallel with dlt, load them through Parquet, and keep payloads as they are."""
    with tempfile.TemporaryDirectory() as folder:
        resources, pipeline = _by_dlt(address, days, folder, in_parallel=True)
        for resource in resources:
            resource.max_table_nesting = 0
        pipeline.run(resources, loader_file_format="parquet")
        _check(Path(folder, "dlt.duckdb"), days * per_day)


def _check(file: Path, rows: int) -> None:
    with duckdb.connect(str(file), read_only=True) as connection:
        [[landed]] = connection.execute("SELECT count(*) FROM topo.activities").fetchall()
    if landed != rows:
        raise RuntimeError(f"{landed} rows instead of {rows}")


WAYS: dict[str, Callable[[str, int, int], None]] = {
    "bare": bare,
    "pyreqwest": pyreqwest,
    "pipeline": pipeline,
    "paced": paced,
    "dlt_default": dlt_default,
    "dlt_best": dlt_best,
}


def _served(address: str) -> int:
    with urllib.request.urlopen(address.removesuffix("/v1") + "/requests", timeout=10) as answer:  # noqa: S310
        return int(answer.read())


if __name__ == "__main__":
    way, address, days, per_day = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
    if way in {"pipeline", "paced"}:
        sys.modules["pyarrow"] = None  # installed with dlt only; without it pandas behaves as for users
    # Libraries that are imported later anyway, which must not be measured.
    libraries = {"pipeline": "pandas", "paced": "pandas", "pyreqwest": "pyreqwest.client"}
    if needed := "dlt.sources.rest_api" if way.startswith("dlt") else libraries.get(way):
        importlib.import_module(needed)
    before = _served(address)
    began, used = clock.perf_counter(), cpu_seconds()
    WAYS[way](address, days, per_day)
    seconds, cpu = clock.perf_counter() - began, cpu_seconds() - used
    requests = _served(address) - before - 1
    print(json.dumps({"seconds": seconds, "cpu": cpu, "requests": requests, "megabytes": peak_megabytes()}))
