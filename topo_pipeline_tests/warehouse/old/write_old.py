"""Write a warehouse of the current schema version: a small DuckDB file, compressed, kept as a fixture.

Run `make fixture` before you add a migration, and commit the file. It represents the warehouses that people have, so a
committed file never changes.

The tables are filled in plain SQL, as the pipeline does: two days landed, the first of them reloaded with a change and
a removal, and a row that could not be read. After you add a migration that adds a table, add its rows here.
"""

import gzip
import json
import tempfile
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

from duckdb import DuckDBPyConnection

from topo_pipeline.warehouse import migrate
from topo_pipeline.warehouse.connection import Warehouse

FOLDER = Path(__file__).parent
SUNDAY, MONDAY = date(2026, 3, 1), date(2026, 3, 2)
LANDED = datetime(2026, 3, 3, 2, tzinfo=UTC)
RELOADED = LANDED + timedelta(days=1)

Row = dict[str, Any]


def number(value: int) -> str:
    return f"00000000-0000-4000-8000-{value:012x}"


ORGANIZATION, PERSON, RUN, SEQUENCE = (number(value) for value in range(1, 5))
FIRST_LOAD, SECOND_LOAD, RELOAD = (number(value) for value in range(11, 14))


def activity(value: int, kind: str, at: datetime, load: str, category: str | None = None) -> Row:
    """Return a row of `topo.activities`, with the same values in its payload."""
    wire = {
        "type": kind,
        "organization_id": ORGANIZATION,
        "person_id": PERSON,
        "sequence_id": RUN,
        "sequence_template_id": SEQUENCE,
        "channel": "EMAIL" if kind.startswith("message") else None,
        "metadata": {"step_number": 1, "reply_category": category},
    }
    columns = {name: wire[name] for name in wire if name != "metadata"}
    return columns | {
        "id": number(value),
        "created_at": at,
        "day": at.date(),
        "resource_type": kind.partition(".")[0].upper(),
        "event_type": kind.partition(".")[2].upper(),
        "channel_source": "payload" if columns["channel"] else "unknown",
        "step_number": 1,
        "reply_category": category,
        "payload": json.dumps(wire),
        "landed_at": RELOADED if load == RELOAD else LANDED,
        "load_id": load,
    }


def load(load_id: str, day: date, now: datetime, **counts: int) -> Row:
    """Return a row of `topo.loads`."""
    start = datetime(day.year, day.month, day.day, tzinfo=UTC)
    return {
        "day": day,
        "load_id": load_id,
        "run_id": f"run at {now}",
        "asked_after": start - timedelta(seconds=1),
        "asked_before": start + timedelta(days=1),
        "is_open": False,
        "proved": True,
        "api_total_count": counts["rows"] + counts["rejects"],
        **counts,
        "requests": 1,
        "started_at": now - timedelta(minutes=1),
        "finished_at": now,
    }


def sunday(hour: int) -> datetime:
    return datetime(2026, 3, 1, hour, tzinfo=UTC)


UNLABELLED = activity(103, "message.replied", sunday(12), FIRST_LOAD)
WITHDRAWN = activity(104, "message.opened", sunday(13), FIRST_LOAD)
REPLACED = {"replaced_by": RELOAD, "replaced_at": RELOADED}
REJECT = {"day": SUNDAY, "raw": '{"id":', "reason": "cut", "landed_at": LANDED, "load_id": FIRST_LOAD}
ROWS: dict[str, list[Row]] = {
    "topo.activities": [
        activity(101, "sequence.created", sunday(9), FIRST_LOAD),
        activity(102, "message.sent", sunday(10), FIRST_LOAD),
        activity(103, "message.replied", sunday(12), RELOAD, "INTERESTED"),
        activity(105, "meeting.created", sunday(10) + timedelta(days=1), SECOND_LOAD),
    ],
    "topo.activity_changes": [
        UNLABELLED | REPLACED | {"change": "changed"},
        WITHDRAWN | REPLACED | {"change": "removed"},
    ],
    "topo.rejects": [REJECT],
    "topo.loads": [
        load(FIRST_LOAD, SUNDAY, LANDED, rows=4, added=4, changed=0, removed=0, rejects=1),
        load(SECOND_LOAD, MONDAY, LANDED, rows=1, added=1, changed=0, removed=0, rejects=0),
        load(RELOAD, SUNDAY, RELOADED, rows=3, added=0, changed=1, removed=1, rejects=1),
    ],
    "topo.sequence_templates": [
        {"id": SEQUENCE, "name": "Outbound", "status": "ACTIVE", "step_count": 1, "seen_at": LANDED}
    ],
    "engagement.builds": [
        {"table_name": "sequence_runs", "load_id": load_id, "fingerprint": "of its time", "built_at": LANDED}
        for load_id in (FIRST_LOAD, SECOND_LOAD)
    ],
    "topo.workspace": [{"organization_id": ORGANIZATION, "timezone": "UTC", "bound_at": LANDED}],
    "topo.forgotten": [{"id_hash": "0" * 64, "forgotten_at": LANDED}],
    "topo.contract_checks": [
        {
            "checked_at": LANDED,
            "assumption": "the count is exact",
            "outcome": "holds",
            "seen": "as many distinct rows as counted",
            "consequence": "Nothing to do.",
            "refuses_days": False,
        }
    ],
}


def write() -> Path:
    """Write the file of the newest schema version into this folder."""
    target = FOLDER / f"{max(migrate.migrations()):04d}.duckdb.gz"
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "topo.duckdb")
        with Warehouse(str(path)).transaction() as connection:
            for table, rows in ROWS.items():
                _insert(connection, table, rows)
            # A metric table with columns that its current SQL does not have.
            connection.execute("CREATE TABLE engagement.sequence_runs AS SELECT 7 AS opens")
        target.write_bytes(gzip.compress(path.read_bytes(), mtime=0))
    return target


def _insert(connection: DuckDBPyConnection, table: str, rows: list[Row]) -> None:
    for row in rows:
        columns, values = ", ".join(row), ", ".join("?" * len(row))
        connection.execute(f"INSERT INTO {table} ({columns}) VALUES ({values})", list(row.values()))  # noqa: S608


if __name__ == "__main__":
    print(write())
