"""Land one day in the caller's transaction: replace its rows, record the replaced ones, write the ledger.

A reload compares before it writes and leaves unchanged rows alone. `staging` turns payloads into columns.
"""

import uuid
from collections.abc import Mapping
from dataclasses import dataclass, fields
from datetime import date, datetime, timedelta
from typing import TYPE_CHECKING, Any

from topo_pipeline.warehouse.buffer import Buffer
from topo_pipeline.warehouse.catalogue import columns_of
from topo_pipeline.warehouse.erasure import has_erased_subjects
from topo_pipeline.warehouse.shrinking import refuse_to_shrink
from topo_pipeline.warehouse.sql import identifier
from topo_pipeline.warehouse.staging import (
    IN_SLICE,
    IS_ANOTHER_VERSION,
    TO_LAND,
    drop_staging,
    prepare,
    record_new_links,
    stage,
    suppress,
)
from topo_pipeline.warehouse.workspace import bind_organization

if TYPE_CHECKING:
    import pandas as pd
    from duckdb import DuckDBPyConnection


# The memory limit for landing a day is MEMORY plus room for this many of its longest rows. The rest spills to disk.
MEMORY = 128_000_000  # bytes
ROWS_IN_MEMORY = 20_000


@dataclass(frozen=True, kw_only=True)
class _AskedDay:
    """What a reading of a day and its load have in common."""

    day: date  # the reporting day
    asked_after: datetime  # the lower bound of the requests, exclusive
    asked_before: datetime  # the upper bound of the requests, exclusive
    is_open: bool  # whether the day could still have been in progress when reading began
    proved: bool  # whether the rows received agree with `api_total_count`
    api_total_count: int  # the API's own count between the bounds. If that is capped, the rows of the proved parts.
    count_capped: bool = False  # whether the API counts fewer rows than there are
    requests: int  # requests made, retries included
    started_at: datetime  # when reading began


@dataclass(frozen=True, kw_only=True)
class ReadDay(_AskedDay):
    """One day as it was read from the API, ready to land."""

    activities: Buffer  # the activities received
    channels: Mapping[str, str]  # by activity id, the channel found with the API's filter, for payloads that name none
    rejects: "pd.DataFrame"  # rows that could not be read: `raw`, `reason` and, if it could be read, `id`
    unproved_because: str | None = None  # why the day is not proved; None if it is
    times_disagree: bool = False  # whether it was read unproved because the API's filter and its timestamps disagree


@dataclass(frozen=True, kw_only=True)
class Load(_AskedDay):
    """A row of the ledger: the result of landing a day."""

    load_id: uuid.UUID
    run_id: str
    rows: int
    added: int
    changed: int
    removed: int
    rejects: int
    finished_at: datetime
    suppressed: int


LEDGER_COLUMNS = [field.name for field in fields(Load)]
# Keep a channel that the API's filter gave earlier, even if this load did not ask the filter or got no answer from it.
_KEEP_CHANNELS = """
UPDATE staged SET channel = landed.channel, channel_source = 'filter'
FROM topo.activities AS landed
WHERE staged.id = landed.id AND landed.day = $day
    AND staged.channel_source = 'unknown' AND landed.channel_source = 'filter'
"""
# A row whose new version can't be read is not removed. It keeps its last readable version.
_SUPERSEDED = f"""
CREATE OR REPLACE TEMP TABLE superseded AS
SELECT landed.*, if(staged.id IS NULL, 'removed', 'changed') AS change
FROM topo.activities AS landed LEFT JOIN staged ON staged.id = landed.id
WHERE landed.day = $day AND if(
    staged.id IS NULL,
    landed.id NOT IN (SELECT id FROM set_aside WHERE id IS NOT NULL),
    {IS_ANOTHER_VERSION} OR staged.channel IS DISTINCT FROM landed.channel)
"""  # noqa: S608 - only constants of this package

# Rows that are left out because their person was erased get no change history.
_KEEP_REPLACED = """
INSERT INTO topo.activity_changes SELECT *, $load_id::UUID, $now::TIMESTAMPTZ FROM superseded
WHERE id NOT IN (SELECT id FROM left_out)
"""
_DELETE = "DELETE FROM topo.activities WHERE day = $day AND id IN (SELECT id FROM superseded)"
_INSERT = f"""
INSERT INTO topo.activities BY NAME
SELECT * EXCLUDE received, $day::DATE AS day, $now::TIMESTAMPTZ AS landed_at, $load_id::UUID AS load_id
FROM {{}} WHERE {IN_SLICE} AND id NOT IN (SELECT id FROM topo.activities WHERE day = $day)
"""  # noqa: S608 - as above
_REJECT = """
INSERT INTO topo.rejects
SELECT DISTINCT $day::DATE, raw, reason, $now::TIMESTAMPTZ, $load_id::UUID
FROM set_aside
WHERE raw NOT IN (SELECT raw FROM topo.rejects WHERE day = $day)
"""
_LANDED = "SELECT count(*) FROM topo.activities WHERE day = $day"
_CHANGES = """
SELECT count(*) FILTER (change = 'changed'), count(*) FILTER (change = 'removed') FROM superseded
"""
_ORGANIZATIONS = """
SELECT DISTINCT try_cast(organization_id AS UUID) AS found FROM received WHERE found IS NOT NULL ORDER BY ALL
"""
_LEDGER = f"""
INSERT INTO topo.loads ({", ".join(LEDGER_COLUMNS)}) VALUES ({", ".join(f"${name}" for name in LEDGER_COLUMNS)})
"""  # noqa: S608 - field names of Load


def land(
    connection: "DuckDBPyConnection", read: ReadDay, *, run_id: str, now: datetime, may_shrink: bool = False
) -> Load:
    """Replace the day's rows in the warehouse by those of `read`, and return the ledger row.

    A landed row whose new version can't be read stays as it is. Landing the same `ReadDay` twice changes no row.

    The connection must be that of `read.activities`, in a transaction of the caller, which makes the load atomic.

    Raises:
        ShrinkingDay: the load would remove more rows than `shrinking` allows, and `may_shrink` is false.
        WarehouseError: the activities belong to another organization than the warehouse.
    """
    load_id = uuid.uuid4()
    read.activities.raise_memory_limit(MEMORY + ROWS_IN_MEMORY * read.activities.longest)
    prepare(connection, read.rejects, read.channels)
    replaced = _replace(read, {"day": read.day, "load_id": load_id, "now": now}, may_shrink)
    asked: dict[str, Any] = {field.name: getattr(read, field.name) for field in fields(_AskedDay)}
    finished_at = _after_last_load(connection, read.day, now)
    load = Load(load_id=load_id, run_id=run_id, finished_at=finished_at, **asked, **replaced)
    connection.execute(_LEDGER, vars(load))
    drop_staging(connection)
    return load


def _replace(read: ReadDay, of_load: Mapping[str, Any], may_shrink: bool) -> dict[str, Any]:
    """Replace the day's rows by those to land; return the counts for the ledger."""
    connection, where = read.activities.connection, {"day": read.day}
    for (organization_id,) in connection.execute(_ORGANIZATIONS).fetchall():
        bind_organization(connection, organization_id)
    [landed] = _fetch_one(connection.execute(_LANDED, where))
    changed = removed = suppressed = 0
    source = TO_LAND
    if landed or has_erased_subjects(connection):
        source = "staged"
        stage(read.activities)
        record_new_links(connection, now=of_load["now"])
        suppressed = suppress(connection)
        changed, removed = _supersede(connection, of_load, may_shrink)
    inserted = sum(
        _fetch_one(connection.execute(_INSERT.format(source), {**of_load, **part}))[0]
        for part in read.activities.slices()
    )
    [rejects] = _fetch_one(connection.execute("SELECT count(*) FROM set_aside"))
    if rejects:
        connection.execute(_REJECT, of_load)
    return {
        "rows": landed - changed - removed + inserted,
        "added": inserted - changed,
        "changed": changed,
        "removed": removed,
        "rejects": rejects,
        "suppressed": suppressed,
    }


def _supersede(connection: "DuckDBPyConnection", of_load: Mapping[str, Any], may_shrink: bool) -> tuple[int, int]:
    """Move the day's landed rows that changed or are gone to the change history; return how many of each."""
    where = {"day": of_load["day"]}
    connection.execute(_KEEP_CHANNELS, where)
    connection.execute(_SUPERSEDED, where)
    if not may_shrink:
        refuse_to_shrink(connection, where["day"])
    changed, removed = _fetch_one(connection.execute(_CHANGES))
    if changed or removed:
        connection.execute(_KEEP_REPLACED, {name: of_load[name] for name in ("load_id", "now")})
        connection.execute(_DELETE, where)
    connection.execute("DROP TABLE superseded")
    return changed, removed


def _after_last_load(connection: "DuckDBPyConnection", day: date, now: datetime) -> datetime:
    """Return `now`, or an instant just after the day's last load if the clock was set back: time orders the loads."""
    [last] = _fetch_one(connection.execute("SELECT max(finished_at) FROM topo.loads WHERE day = $day", {"day": day}))
    return max(now, last + timedelta(microseconds=1)) if last else now


def land_list(connection: "DuckDBPyConnection", table: str, items: "pd.DataFrame", *, now: datetime) -> int:
    """Replace the rows of these items, keep the others as last known, and return how many there are in total.

    An item whose id is not a UUID is skipped: no activity can refer to it. Another value that does not fit its column
    is NULL.

    Args:
        connection: a connection in a transaction.
        table: the table in schema `topo`, with the columns `id` and `seen_at`.
        items: one row per item, with columns of the table except `seen_at`.
        now: when they were read.
    """
    target = f"topo.{identifier(table)}"
    columns = [column for column in columns_of(connection, "topo", table) if column.name in items.columns]
    values = ", ".join(
        f"try_cast({it}::VARCHAR AS {column.type}) AS {it}" for column in columns for it in [identifier(column.name)]
    )
    connection.register("items", items)
    try:
        connection.execute(f"DELETE FROM {target} WHERE id IN (SELECT try_cast(id::VARCHAR AS UUID) FROM items)")  # noqa: S608
        connection.execute(
            f"INSERT INTO {target} BY NAME SELECT {values}, $now::TIMESTAMPTZ AS seen_at FROM items"  # noqa: S608
            " WHERE try_cast(items.id::VARCHAR AS UUID) IS NOT NULL"
            " QUALIFY row_number() OVER (PARTITION BY try_cast(items.id::VARCHAR AS UUID)) = 1",
            {"now": now},
        )
    finally:
        connection.unregister("items")
    return int(_fetch_one(connection.execute(f"SELECT count(*) FROM {target}"))[0])  # noqa: S608


def _fetch_one(result: "DuckDBPyConnection") -> tuple[Any, ...]:
    row = result.fetchone()
    if row is None:
        raise LookupError("The statement returned no row.")
    return row
