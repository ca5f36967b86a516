"""Ways to read the same days from the bench's server, a process each: `python -m bench.reading WAY ADDRESS DAYS ROWS`.

Each prints one line of JSON: seconds of the work, without the start of Python and the imports; requests; peak memory.
"""

import asyncio
import json
import resource
import sys
import tempfile
import time as clock
import urllib.request
from collections.abc import Callable
from datetime import UTC, datetime, time, timedelta
from pathlib import Path

import httpx

from bench.server import FIRST_DAY, KEY
from topo_pipeline.ingest import Day, load_days
from topo_pipeline.topo_api.client import TopoClient
from topo_pipeline.topo_api.reading import Window
from topo_pipeline.warehouse.connection import Warehouse
from topo_pipeline.warehouse.landing import Load

IN_FLIGHT = 8
NO_PACING = 10_000.0
_DAY = timedelta(days=1)


def _days(count: int) -> list[Day]:
    start = datetime.combine(FIRST_DAY, time.min, UTC)
    return [Day(FIRST_DAY + _DAY * n, Window(start + _DAY * n, start + _DAY * (n + 1))) for n in range(count)]


async def _throw_away(address: str, days: int, per_day: int) -> None:
    """The same pages by a bare httpx loop, day by day; nothing is done with a body."""
    limits = httpx.Limits(max_connections=IN_FLIGHT, max_keepalive_connections=IN_FLIGHT)
    async with httpx.AsyncClient(limits=limits, trust_env=False) as client:
        for day in _days(days):
            asked = {
                "size": "100", "sort_by": "created_at", "sort_order": "asc",
                "created_at_after": (day.window.start - timedelta(seconds=1)).isoformat().replace("+00:00", "Z"),
                "created_at_before": day.window.end.isoformat().replace("+00:00", "Z"),
            }  # fmt: skip
            numbers = iter(range(1, -(-per_day // 100) + 1))

            async def work(numbers: "object" = numbers, asked: dict[str, str] = asked) -> None:
                for number in numbers:  # type: ignore[attr-defined]
                    response = await client.get(f"{address}/activities", params={"page": str(number), **asked})
                    response.raise_for_status()

            await asyncio.gather(*(work() for _ in range(IN_FLIGHT)))


def bare(address: str, days: int, per_day: int) -> None:
    """Throw the bodies away."""
    asyncio.run(_throw_away(address, days, per_day))


def pipeline(address: str, days: int, per_day: int) -> None:
    """Read, prove and land, as the asset does."""

    def connect() -> TopoClient:
        return TopoClient(address, KEY, requests_per_second=NO_PACING, concurrency=IN_FLIGHT, clock=now)

    def now() -> datetime:
        return datetime.now(UTC)

    with tempfile.TemporaryDirectory() as folder:
        warehouse = Warehouse(str(Path(folder, "bench.duckdb")))
        for load in load_days(connect, warehouse, _days(days), run_id="bench", clock=now, timezone="UTC"):
            if not isinstance(load, Load) or load.rows != per_day:
                raise RuntimeError(f"not what the server holds: {load}")


WAYS: dict[str, Callable[[str, int, int], None]] = {"bare": bare, "pipeline": pipeline}


def _served(address: str) -> int:
    with urllib.request.urlopen(address.removesuffix("/v1") + "/requests", timeout=10) as answer:  # noqa: S310
        return int(answer.read())


if __name__ == "__main__":
    way, address, days, per_day = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
    before = _served(address)
    began = clock.perf_counter()
    WAYS[way](address, days, per_day)
    seconds = clock.perf_counter() - began
    print(
        json.dumps(
            {
                "seconds": seconds,
                "requests": _served(address) - before - 1,
                "megabytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
            }
        )
    )
