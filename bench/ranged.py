"""Load days in one Dagster run, without tables: `python -m bench.ranged ADDRESS DAYS ROWS`.

Prints a line of JSON: the seconds and CPU seconds. The same days as a library are `python -m bench.reading pipeline`.
"""

import importlib
import json
import os
import sys
import tempfile
import time
from pathlib import Path

from bench.pairs import cpu_seconds
from bench.reading import days_of, environment
from topo_pipeline.warehouse.connection import Warehouse
from topo_pipeline_tests.defs.only import with_only


def main(address: str, days: int, per_day: int) -> None:
    """Load the days and print the results."""
    with tempfile.TemporaryDirectory() as folder:
        os.environ |= environment(address, Path(folder))
        from topo_pipeline.definitions import defs
        from topo_pipeline.orchestration.instance import opened, prepare
        from topo_pipeline.orchestration.ranged_runs import backfill

        prepare(Path(folder))
        with opened(Path(folder)) as instance:
            began, used = time.perf_counter(), cpu_seconds()
            every = [day.day for day in days_of(days)]
            backfill(with_only(defs, "activities"), every, instance=instance, on_progress=lambda _: None)
            seconds, cpu = time.perf_counter() - began, cpu_seconds() - used
        with Warehouse(str(Path(folder, "bench.duckdb"))).reader() as connection:
            [[rows]] = connection.execute("SELECT count(*) FROM topo.activities").fetchall()
    if rows != days * per_day:
        raise RuntimeError(f"{rows} rows instead of {days * per_day}")
    print(json.dumps({"seconds": seconds, "cpu": cpu}))


if __name__ == "__main__":
    sys.modules["pyarrow"] = None  # as in bench.reading
    importlib.import_module("pandas")
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))
