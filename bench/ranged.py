"""Load days in one Dagster run, or by calling the same code as a library, then load them again.

Run as `python -m bench.ranged WAY ADDRESS DAYS ROWS`. Prints a line of JSON: the seconds of the first and second load,
and how many activities the second one wrote.
"""

import json
import os
import sys
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

from bench.reading import IN_FLIGHT, NO_PACING, days_of
from bench.server import FIRST_DAY, KEY
from topo_pipeline.warehouse.connection import Warehouse


def _as_library(address: str, days: int, folder: Path) -> Callable[[], None]:
    from topo_pipeline.ingest.loading import load_days  # noqa: PLC0415 - imported after the environment is set, as below
    from topo_pipeline.topo_api.client import TopoClient  # noqa: PLC0415

    def connect() -> TopoClient:
        return TopoClient(address, KEY, requests_per_second=NO_PACING, concurrency=IN_FLIGHT, clock=_now)

    def read() -> None:
        warehouse = Warehouse(str(folder / "bench.duckdb"))
        for _ in load_days(connect, warehouse, days_of(days), run_id="bench", clock=_now, timezone="UTC"):
            pass

    return read


def _in_dagster(address: str, days: int, folder: Path) -> Callable[[], None]:
    os.environ |= {
        "DAGSTER_HOME": str(folder),
        "TOPO_API_URL": address,
        "TOPO_API_KEY": KEY,
        "TOPO_WAREHOUSE": str(folder / "bench.duckdb"),
        "TOPO_START_DATE": str(FIRST_DAY),
        "TOPO_REQUESTS_PER_SECOND": str(NO_PACING),
        "TOPO_CONCURRENCY": str(IN_FLIGHT),
    }
    import dagster as dg  # noqa: PLC0415

    from topo_pipeline.definitions import defs  # noqa: PLC0415
    from topo_pipeline.defs.names import activities  # noqa: PLC0415
    from topo_pipeline.defs.partitions import range_tags  # noqa: PLC0415
    from topo_pipeline.orchestration.instance import prepare  # noqa: PLC0415
    from topo_pipeline.settings import get_settings  # noqa: PLC0415

    prepare(folder)
    dg.DagsterInstance.get().dispose()  # creates the instance's tables, which is not measured
    every = days_of(days)

    def read() -> None:
        with dg.DagsterInstance.get() as instance:
            dg.materialize(
                [asset for asset in defs.assets or () if asset.key == activities(get_settings())],
                instance=instance,
                resources=dict(defs.resources or {}),
                tags=range_tags(every[0].day, every[-1].day),
                run_config={"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}},
            )

    return read


def _now() -> datetime:
    return datetime.now(UTC)


def main(way: str, address: str, days: int, per_day: int) -> None:
    """Load the days twice and print the results."""
    with tempfile.TemporaryDirectory() as folder:
        read = {"library": _as_library, "dagster": _in_dagster}[way](address, days, Path(folder))
        seconds = []
        for _ in range(2):
            began = time.perf_counter()
            read()
            seconds.append(time.perf_counter() - began)
        with Warehouse(str(Path(folder, "bench.duckdb"))).reader() as connection:
            [[rows, loads, written]] = connection.execute(
                "SELECT (SELECT count(*) FROM topo.activities), count(*), sum(added + changed + removed)"
                " FROM topo.loads"
            ).fetchall()
    if (rows, loads) != (days * per_day, 2 * days):
        raise RuntimeError(f"{rows} rows and {loads} loads")
    print(json.dumps({"seconds": seconds[0], "again": seconds[1], "rewritten": int(written) - rows}))


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4]))
