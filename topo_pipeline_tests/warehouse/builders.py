"""Readings for tests, functions that land them, and queries for what the warehouse then holds."""

import atexit
import json
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import fields, replace
from datetime import UTC, date, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import duckdb
import pandas as pd
from duckdb import DuckDBPyConnection

from topo_pipeline.warehouse.buffer import Buffer
from topo_pipeline.warehouse.connection import Warehouse
from topo_pipeline.warehouse.landing import Load, ReadDay, land, land_list
from topo_pipeline.warehouse.places import File
from topo_pipeline.warehouse.staging import TO_LAND, drop_staging, prepare

DAY = date(2026, 3, 1)
NEXT_DAY = DAY + timedelta(days=1)
LANDED = datetime(2026, 3, 3, 2, 0, tzinfo=UTC)
LATER = LANDED + timedelta(days=1)
HOSTILE = """'; DROP TABLE topo.activities; --" $day ? {} \\ %s"""
LONE_SURROGATE = '{"type":"message.sent","note":"\\ud800"}'
LANDING_TABLES = ("activities", "activity_changes", "rejects", "loads")

Payload = str | Mapping[str, Any]
Activity = tuple[str, datetime, str]


def uuid_of(number: int) -> str:
    return f"00000000-0000-4000-8000-{number:012x}"


def noon(day: date = DAY) -> datetime:
    return datetime(day.year, day.month, day.day, 12, tzinfo=UTC)


def activity(number: int, payload: Payload = '{"type":"message.sent"}', at: datetime | None = None) -> Activity:
    text = payload if isinstance(payload, str) else json.dumps(payload)
    return uuid_of(number), at or noon() + timedelta(seconds=number), text


def reading(
    *activities: Activity,
    day: date = DAY,
    rejects: tuple[tuple[str, str], ...] = (),
    rejected: tuple[int, ...] = (),
    labels: Mapping[str, str] = {},
    **changes: Any,
) -> ReadDay:
    """Return the reading of a day, as `topo_pipeline.ingest` creates it, but with the activities not yet in a buffer.

    `rejects` are texts and reasons of unreadable rows. `rejected` are numbers of activities that are unreadable.
    """
    unreadable = [(raw, reason, None) for raw, reason in rejects]
    unreadable += [(f'{{"id":"{uuid_of(number)}"}}', "odd", uuid_of(number)) for number in rejected]
    whole: dict[str, Any] = {
        "day": day,
        "asked_after": noon(day) - timedelta(hours=12, seconds=1),
        "asked_before": noon(day) + timedelta(hours=12),
        "is_open": False,
        "proved": True,
        "api_total_count": len(activities) + len(unreadable),
        "requests": 1,
        "started_at": LANDED - timedelta(minutes=1),
        "activities": activities,
        "channels": dict(labels),
        "rejects": pd.DataFrame(unreadable, columns=["raw", "reason", "id"], dtype=object),
    }
    return ReadDay(**(whole | changes))


def frame(*activities: Activity) -> pd.DataFrame:
    """Return activities as a buffer receives them."""
    return pd.DataFrame(
        {
            "id": [id_ for id_, _, _ in activities],
            "created_at": pd.to_datetime([at for _, at, _ in activities], utc=True),
            "payload": [payload for _, _, payload in activities],
        }
    )


_FREE: list[Buffer] = []


@contextmanager
def buffer_for(warehouse: Warehouse) -> Iterator[Buffer]:
    """Yield a buffer. Those for files are used again, as in a run: creating one takes a third of a landing."""
    if type(warehouse.place) is not File:
        with Buffer() as buffer:
            yield buffer
        return
    buffer = _FREE.pop() if _FREE else Buffer()
    try:
        yield buffer
    except BaseException:
        buffer.close()
        raise
    buffer.clear()
    _FREE.append(buffer)


@atexit.register
def _close_buffers() -> None:
    for buffer in _FREE:
        buffer.close()


@contextmanager
def landing_in(warehouse: Warehouse) -> Iterator[tuple[DuckDBPyConnection, Callable[..., Load]]]:
    """Yield a transaction and a function that lands a reading in it."""
    with buffer_for(warehouse) as buffer, warehouse.transaction(buffer=buffer) as connection:
        yield connection, partial(land_from, buffer)


def land_from(
    buffer: Buffer, read: ReadDay, now: datetime = LANDED, run_id: str = "run", *, may_shrink: bool = False
) -> Load:
    """Land a reading in the transaction that has the buffer."""
    buffer.clear()
    buffer.add(frame(*read.activities))
    return land(buffer.connection, replace(read, activities=buffer), run_id=run_id, now=now, may_shrink=may_shrink)


def land_new_days(buffer: Buffer, reads: Sequence[tuple[ReadDay, datetime]], run_id: str = "run") -> None:
    """Land days that never landed before, each at its time: what `land` does with them, in a tenth of the time.

    There must be nothing that can't be read, no labels of channels and no erased people.
    """
    connection, loads, activities = buffer.connection, [], []
    for read, now in reads:
        asked = {field.name: getattr(read, field.name) for field in fields(Load) if hasattr(read, field.name)}
        counts = dict.fromkeys(("changed", "removed", "rejects", "suppressed"), 0)
        counts |= dict.fromkeys(("rows", "added"), len({id_ for id_, *_ in read.activities}))
        loads.append(vars(Load(**asked | counts | {"load_id": uuid.uuid4(), "run_id": run_id, "finished_at": now})))
        activities += read.activities
    connection.execute("INSERT INTO topo.loads BY NAME SELECT unnest($loads, recursive := true)", {"loads": loads})
    if activities:
        buffer.clear()
        buffer.add(frame(*activities))
        prepare(connection, reads[0][0].rejects, {})
        ids = [
            {"loaded_in": load["load_id"], "ids": [id_ for id_, *_ in read.activities]}
            for (read, _), load in zip(reads, loads, strict=True)
        ]
        connection.execute(
            f"""
            INSERT INTO topo.activities BY NAME
            SELECT to_land.* EXCLUDE received, loads.day, finished_at AS landed_at, loads.load_id
            FROM (SELECT DISTINCT loaded_in, unnest(ids)::UUID AS id FROM (SELECT unnest($ids, recursive := true)))
            JOIN {TO_LAND} AS to_land USING (id) JOIN topo.loads ON loads.load_id = loaded_in
            """,  # noqa: S608 - a constant
            {"ids": ids},
        )
        drop_staging(connection)


def land_into(
    warehouse: Warehouse, read: ReadDay, now: datetime = LANDED, run_id: str = "run", *, may_shrink: bool = False
) -> Load:
    with landing_in(warehouse) as (_, land_one):
        return land_one(read, now, run_id, may_shrink=may_shrink)


def template(number: int, **known: Any) -> dict[str, Any]:
    columns = ("name", "summary", "status", "step_count", "language", "timezone")
    instants = ("activated_at", "created_at", "updated_at")
    return {"id": uuid_of(number)} | dict.fromkeys((*columns, *instants)) | known


def land_templates_into(warehouse: Warehouse, *templates: dict[str, Any], now: datetime = LANDED) -> int:
    with warehouse.transaction() as connection:
        return land_list(connection, "sequence_templates", pd.DataFrame(list(templates)), now=now)


def ask(warehouse: Warehouse, sql: str, *values: Any) -> list[tuple[Any, ...]]:
    with warehouse.reader() as connection:
        return connection.execute(sql, values).fetchall()


def path_of(warehouse: Warehouse) -> Path:
    """Return the DuckDB file of a warehouse, or the catalog file of a local lake."""
    assert isinstance(warehouse.place, File)
    return warehouse.place.path


def storage_of(path: Path) -> str:
    """Return the storage version of a DuckDB file."""
    with duckdb.connect() as connection:
        connection.execute(f"ATTACH '{path}' AS file (READ_ONLY)")
        [(version,)] = connection.execute(
            "SELECT tags['storage_version'] FROM duckdb_databases() WHERE database_name = 'file'"
        ).fetchall()
        return str(version)


def records(warehouse: Warehouse, relation: str) -> list[dict[str, Any]]:
    """Return the rows of a table as dictionaries."""
    with warehouse.reader() as connection:
        return records_of(connection, relation)


def records_of(connection: DuckDBPyConnection, relation: str) -> list[dict[str, Any]]:
    result = connection.execute(f"SELECT * FROM {relation} ORDER BY ALL")  # noqa: S608 - names of our own
    names = [column[0] for column in result.description]
    return [dict(zip(names, row, strict=True)) for row in result.fetchall()]


def snapshot(warehouse: Warehouse, *tables: str) -> dict[str, list[dict[str, Any]]]:
    with warehouse.reader() as connection:
        return {table: records_of(connection, f"topo.{table}") for table in tables or LANDING_TABLES}


def payloads(warehouse: Warehouse, day: date = DAY) -> dict[str, str]:
    rows = ask(warehouse, "SELECT id::VARCHAR, payload FROM topo.activities WHERE day = ?", day)
    assert len(dict(rows)) == len(rows), "an activity is in the table twice"
    return dict(rows)
