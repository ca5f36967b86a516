"""Read the same days from the benchmark server in one of several ways.

Run as `python -m bench.reading WAY ADDRESS DAYS ROWS`. Prints one line of JSON: the seconds without Python's start and
imports, the requests and the peak memory.
"""

import asyncio
import importlib
import json
import os
import sys
import tempfile
import time as clock
import urllib.request
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, time, timedelta
from pathlib import Path
from typing import Any

import duckdb
import httpx

from bench.pairs import peak_megabytes
from bench.server import FIRST_DAY, KEY
from topo_pipeline.days import Day, Window
from topo_pipeline.ingest.loading import load_days
from topo_pipeline.topo_api.client import TopoClient
from topo_pipeline.warehouse.connection import Warehouse
from topo_pipeline.warehouse.landing import Load

IN_FLIGHT = 8
MANY = 64
NO_PACING = 10_000.0
_DAY = timedelta(days=1)


def days_of(count: int) -> list[Day]:
    """Return the first `count` days of the server."""
    start = datetime.combine(FIRST_DAY, time.min, UTC)
    return [Day(FIRST_DAY + _DAY * n, Window(start + _DAY * n, start + _DAY * (n + 1))) for n in range(count)]


def _asked(day: Day) -> dict[str, str]:
    return {
        "size": "100",
        "sort_by": "created_at",
        "sort_order": "asc",
        "created_at_after": (day.window.start - timedelta(seconds=1)).isoformat().replace("+00:00", "Z"),
        "created_at_before": day.window.end.isoformat().replace("+00:00", "Z"),
    }


async def _throw_away(address: str, days: int, per_day: int) -> None:
    """Request the same pages in a bare httpx loop, day by day, and ignore the bodies."""
    limits = httpx.Limits(max_connections=IN_FLIGHT, max_keepalive_connections=IN_FLIGHT)
    async with httpx.AsyncClient(limits=limits, trust_env=False) as client:
        for day in days_of(days):
            numbers = iter(range(1, -(-per_day // 100) + 1))

            async def work(numbers: Iterator[int] = numbers, day: Day = day) -> None:
                for number in numbers:
                    response = await client.get(f"{address}/activities", params={"page": str(number), **_asked(day)})
                    response.raise_for_status()

            await asyncio.gather(*(work() for _ in range(IN_FLIGHT)))


async def _take(address: str, requests: list[bytes]) -> None:
    """Send these requests on one connection and skip the responses, so that nearly all time is the server's."""
    reader, writer = await asyncio.open_connection(*address.removeprefix("http://").removesuffix("/v1").split(":"))
    for request in requests:
        writer.write(request)
        head = await reader.readuntil(b"\r\n\r\n")
        await reader.readexactly(int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0]))
    writer.close()


async def _take_all(address: str, days: int, per_day: int) -> None:
    url = httpx.URL(f"{address}/activities")
    requests = []
    for day in days_of(days):
        for number in range(1, -(-per_day // 100) + 1):
            target = url.copy_with(params={"page": str(number), **_asked(day)}).raw_path
            requests.append(b"GET %b HTTP/1.1\r\nHost: %b\r\n\r\n" % (target, url.netloc))
    await asyncio.gather(*(_take(address, requests[first::MANY]) for first in range(MANY)))


def ceiling(address: str, days: int, per_day: int) -> None:
    """Request the same pages as fast as the server can send them, over many connections."""
    asyncio.run(_take_all(address, days, per_day))


def bare(address: str, days: int, per_day: int) -> None:
    """Read the pages and discard the bodies."""
    asyncio.run(_throw_away(address, days, per_day))


def pipeline(address: str, days: int, per_day: int) -> None:
    """Read, prove and land, as the asset does."""

    def connect() -> TopoClient:
        return TopoClient(address, KEY, requests_per_second=NO_PACING, concurrency=IN_FLIGHT, clock=now)

    def now() -> datetime:
        return datetime.now(UTC)

    with tempfile.TemporaryDirectory() as folder:
        warehouse = Warehouse(str(Path(folder, "bench.duckdb")))
        for load in load_days(connect, warehouse, days_of(days), run_id="bench", clock=now, timezone="UTC"):
            if not isinstance(load, Load) or load.rows != per_day:
                raise RuntimeError(f"the load differs from the server's data: {load}")


def _by_dlt(address: str, days: int, folder: str, *, in_parallel: bool) -> Any:
    """Return dlt's rest_api resources, one per window and merged by id, and the pipeline to run them."""
    os.environ |= {"RUNTIME__DLTHUB_TELEMETRY": "false"} | ({"EXTRACT__WORKERS": str(IN_FLIGHT)} if in_parallel else {})
    import dlt  # noqa: PLC0415 - only dlt's benchmarks need it
    from dlt.sources.rest_api import rest_api_resources  # noqa: PLC0415

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
    "ceiling": ceiling,
    "bare": bare,
    "pipeline": pipeline,
    "dlt_default": dlt_default,
    "dlt_best": dlt_best,
}


def _served(address: str) -> int:
    with urllib.request.urlopen(address.removesuffix("/v1") + "/requests", timeout=10) as answer:  # noqa: S310
        return int(answer.read())


if __name__ == "__main__":
    way, address, days, per_day = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
    if way == "pipeline":
        sys.modules["pyarrow"] = None  # installed with dlt only; without it pandas behaves as for users
    for needed in ("dlt.sources.rest_api",) if way.startswith("dlt") else ("pandas",) if way == "pipeline" else ():
        importlib.import_module(needed)  # imported later anyway, which must not be measured
    before = _served(address)
    began = clock.perf_counter()
    WAYS[way](address, days, per_day)
    seconds = clock.perf_counter() - began
    print(
        json.dumps(
            {
                "seconds": seconds,
                "requests": _served(address) - before - 1,
                "megabytes": peak_megabytes(),
            }
        )
    )
