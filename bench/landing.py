"""Land days that are already read, without the reading: `python -m bench.landing DAYS ROWS`.

Prints a line of JSON: the seconds and CPU seconds per day.
"""

import json
import sys
import tempfile
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pandas as pd

from bench.pairs import cpu_seconds
from bench.reading import days_of
from bench.server import activity
from topo_pipeline.ingest.frames import activity_frame
from topo_pipeline.topo_api.decoding import decode_page
from topo_pipeline.warehouse.buffer import Buffer
from topo_pipeline.warehouse.connection import Warehouse
from topo_pipeline.warehouse.landing import ReadDay, land

_NO_REJECTS = pd.DataFrame(columns=["raw", "reason", "id"], dtype=object)


def main(days: int, per_day: int) -> None:
    """Land the days one after the other and print the results."""
    seconds = cpu = 0.0
    with tempfile.TemporaryDirectory() as folder, Buffer() as buffer:
        warehouse = Warehouse(str(Path(folder, "bench.duckdb")))
        warehouse.prepare()
        for number, day in enumerate(days_of(days)):
            start, end = day.window.start, day.window.end
            items = b",".join(
                activity(number * per_day + nth, start + timedelta(days=1) / per_day * nth) for nth in range(per_day)
            )
            page = decode_page(b'{"items":[%b],"total_count":%d,"total_pages":1,"has_more":false}' % (items, per_day))
            buffer.clear()
            buffer.add(activity_frame(page.activities))
            read = ReadDay(
                day=day.day, asked_after=start, asked_before=end, is_open=False, proved=True, api_total_count=per_day,
                requests=-(-per_day // 100), started_at=end, activities=buffer, channels={}, rejects=_NO_REJECTS,
            )  # fmt: skip
            began, used = time.perf_counter(), cpu_seconds()
            with warehouse.transaction(buffer=buffer) as connection:
                load = land(connection, read, run_id="bench", now=datetime.now(UTC))
            seconds, cpu = seconds + time.perf_counter() - began, cpu + cpu_seconds() - used
            if load.added != per_day:
                raise RuntimeError(f"the load differs from the data: {load}")
    print(json.dumps({"seconds": seconds / days, "cpu": cpu / days}))


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]))
