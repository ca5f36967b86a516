"""Turn received activities into rows that can be landed, and leave out those about erased people.

How a payload becomes columns belongs in `payloads`.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import TYPE_CHECKING

from topo_pipeline.warehouse.erasure import RESOURCES, has_erased_subjects
from topo_pipeline.warehouse.payloads import EXTRACTED

if TYPE_CHECKING:
    import pandas as pd
    from duckdb import DuckDBPyConnection

    from topo_pipeline.warehouse.buffer import Buffer

# Of an id received more than once, the last version lands. Such ids are few: finding them first avoids comparing
# every row with every other.
_DUPLICATES = """
CREATE OR REPLACE TEMP TABLE duplicates AS
SELECT id, max(received) AS last FROM received GROUP BY id HAVING count(*) > 1
"""
TO_LAND = f"""(
SELECT row.* REPLACE (
    coalesce(channel, filtered) AS channel,
    if(channel_source = 'unknown' AND filtered IS NOT NULL, 'filter', channel_source) AS channel_source
)
FROM ({EXTRACTED}) AS row
LEFT JOIN labels USING (id)
WHERE NOT EXISTS (FROM duplicates WHERE duplicates.id = row.id AND last > received)
)"""  # noqa: S608 - only constants of this package
"""The buffer's rows with the columns of `topo.activities`, without those of a load, and `received`."""
# Whether a staged row is another version of a landed one. If retention has emptied the landed payload, the columns are
# compared. The channel may come from elsewhere, so the caller compares it.
_PAYLOAD_COLUMNS = (
    "type", "organization_id", "person_id", "sequence_id", "sequence_template_id", "message_id", "hot_lead_id",
    "calendar_event_id", "task_id", "resource_type", "event_type", "step_number", "reply_category",
)  # fmt: skip
IS_ANOTHER_VERSION = f"""(staged.created_at <> landed.created_at OR CASE WHEN landed.payload <> ''
    THEN staged.payload <> landed.payload
    ELSE ({", ".join(f"staged.{column}" for column in _PAYLOAD_COLUMNS)})
        IS DISTINCT FROM ({", ".join(f"landed.{column}" for column in _PAYLOAD_COLUMNS)}) END)"""

# DuckDB rejects some text that a lenient JSON decoder accepts, such as a lone surrogate.
_SET_ASIDE = """
CREATE OR REPLACE TEMP TABLE set_aside AS
SELECT
    format('{{"id":"{}","created_at":"{}","payload":{}}}', id, created_at, payload) AS raw,
    'DuckDB can''t read its payload' AS reason,
    id
FROM received WHERE NOT is_json
"""
IN_SLICE = "received >= $first AND received < $end"
_LABELS = "CREATE OR REPLACE TEMP TABLE labels (id UUID, filtered VARCHAR)"
# Rows that mention an erased subject. Each id in a text is hashed only once, however many subjects are erased.
_MENTIONING_ERASED = """
SELECT {0} FROM (SELECT DISTINCT {0}, unnest({1}) AS named FROM {2})
WHERE keyed_hash(named) IN (SELECT id_hash FROM topo.forgotten)
"""
_IS_ERASED = "keyed_hash({}) IN (SELECT id_hash FROM topo.forgotten)"
# Runs that an erased person has entered since the erasure. Their later activities may not name the person.
_RECORD_RUNS = f"""
INSERT INTO topo.forgotten
SELECT DISTINCT keyed_hash(sequence_id), $now::TIMESTAMPTZ FROM staged
WHERE {_IS_ERASED.format("person_id")} AND NOT {_IS_ERASED.format("sequence_id")} AND sequence_id IS NOT NULL
"""  # noqa: S608
_IS_ERASED_RESOURCE = "resource_hash({}) IN (SELECT id_hash FROM topo.forgotten)"
# Resources of activities of erased people, and of activities that name no person but share a resource with them.
_LINKED = f"""
CREATE OR REPLACE TEMP TABLE linked AS
WITH named AS (SELECT id, person_id, sequence_id, unnest({RESOURCES}) AS resource FROM staged),
without_person AS (SELECT * FROM named WHERE person_id IS NULL AND resource IS NOT NULL)
SELECT DISTINCT resource FROM named
WHERE resource IS NOT NULL AND ({_IS_ERASED.format("person_id")} OR {_IS_ERASED.format("sequence_id")})
UNION
SELECT DISTINCT resource FROM without_person
WHERE id IN (SELECT id FROM without_person WHERE {_IS_ERASED_RESOURCE.format("resource")})
UNION
SELECT DISTINCT resource FROM (SELECT unnest(resources_in(raw)) AS resource FROM set_aside)
WHERE {_IS_ERASED_RESOURCE.format("resource")}
"""  # noqa: S608
# Linked resources that activities of other people name too. They don't identify the erased person.
_SHARED = f"""
CREATE OR REPLACE TEMP TABLE shared AS
WITH known AS (
    SELECT person_id, sequence_id, {RESOURCES} AS resources FROM staged
    UNION ALL SELECT person_id, sequence_id, {RESOURCES} FROM topo.activities
    WHERE EXISTS (FROM linked) AND list_has_any({RESOURCES}, (SELECT list(resource) FROM linked))
), of_other_people AS (
    SELECT sequence_id, resources FROM known WHERE person_id IS NOT NULL AND NOT {_IS_ERASED.format("person_id")}
)
SELECT DISTINCT resource FROM (
    SELECT unnest(resources) AS resource FROM of_other_people
    UNION ALL
    SELECT unnest(resources) FROM known WHERE sequence_id IN (SELECT sequence_id FROM of_other_people)
)
WHERE resource IN (FROM linked)
"""  # noqa: S608
_RECORD_RESOURCES = f"""
INSERT INTO topo.forgotten
SELECT DISTINCT resource_hash(resource), $now::TIMESTAMPTZ FROM linked
WHERE resource NOT IN (FROM shared) AND NOT {_IS_ERASED_RESOURCE.format("resource")}
"""  # noqa: S608
# The columns are searched too: in the payload an id may be escaped.
_LEFT_OUT = f"""
CREATE OR REPLACE TEMP TABLE left_out AS SELECT id FROM staged
WHERE id IN ({_MENTIONING_ERASED.format("id", "ids_in(concat_ws(' ', payload, person_id, sequence_id))", "staged")})
    OR id IN (
        SELECT id FROM (SELECT id, unnest({RESOURCES}) AS resource FROM staged WHERE person_id IS NULL)
        GROUP BY id
        HAVING bool_or({_IS_ERASED_RESOURCE.format("resource")} AND resource NOT IN (FROM shared))
            AND NOT bool_or(resource IN (FROM shared) AND starts_with(resource, 'run '))
    )
"""  # noqa: S608 - only constants of this package
_SUPPRESS = "DELETE FROM staged WHERE id IN (SELECT id FROM left_out)"
_SUPPRESS_REJECTS = f"""
DELETE FROM set_aside
WHERE raw IN ({_MENTIONING_ERASED.format("raw", "ids_in(raw)", "set_aside")}) OR raw IN (
    SELECT raw FROM (SELECT DISTINCT raw, unnest(resources_in(raw)) AS resource FROM set_aside)
    WHERE {_IS_ERASED_RESOURCE.format("resource")} AND resource NOT IN (FROM shared)
)
"""  # noqa: S608


def prepare(connection: "DuckDBPyConnection", rejects: "pd.DataFrame", channels: Mapping[str, str]) -> None:
    """Create the temporary tables that `TO_LAND` reads, and `set_aside` (`raw`, `reason`, `id`).

    `connection` is the buffer's. The others are as in `landing.ReadDay`.
    """
    import pandas as pd  # noqa: PLC0415 - keeps loading the Dagster definitions fast

    for statement in (_DUPLICATES, _SET_ASIDE, _LABELS):
        connection.execute(statement)
    labels = pd.DataFrame({"id": list(channels), "channel": list(channels.values())}, dtype=object)
    _insert(connection, rejects, "set_aside SELECT raw::VARCHAR, reason::VARCHAR, id::VARCHAR::UUID")
    _insert(connection, labels, "labels SELECT id::UUID, upper(channel::VARCHAR)")


def stage(buffer: "Buffer") -> None:
    """Copy the rows to land into the temporary table `staged`, to be compared with others."""
    target = "CREATE OR REPLACE TEMP TABLE staged AS"
    for part in buffer.slices():
        buffer.connection.execute(f"{target} FROM {TO_LAND} WHERE {IN_SLICE}", part)
        target = "INSERT INTO staged"


def _insert(connection: "DuckDBPyConnection", frame: "pd.DataFrame", target: str) -> None:
    """Insert the rows of a frame, which has none on most days: to register it takes longer than this query."""
    if frame.empty:
        return
    connection.register("frame", frame)
    try:
        connection.execute(f"INSERT INTO {target} FROM frame")
    finally:
        connection.unregister("frame")


def drop_staging(connection: "DuckDBPyConnection") -> None:
    """Drop the temporary tables of this module: the next day uses the same connection."""
    tables = ("staged", "set_aside", "labels", "duplicates", "left_out", "linked", "shared")
    connection.execute("; ".join(f"DROP TABLE IF EXISTS {table}" for table in tables))


def record_new_links(connection: "DuckDBPyConnection", *, now: datetime) -> None:
    """Record hashes of runs and resources in `staged` that now belong to erased people, in `topo.forgotten`."""
    if has_erased_subjects(connection):
        connection.execute(_RECORD_RUNS, {"now": now})
        _find_links(connection)
        connection.execute(_RECORD_RESOURCES, {"now": now})


def suppress(connection: "DuckDBPyConnection") -> int:
    """Delete rows about erased people from `staged` and `set_aside`; return the number of rows deleted."""
    if not has_erased_subjects(connection):
        connection.execute("CREATE OR REPLACE TEMP TABLE left_out (id UUID)")
        return 0
    _find_links(connection)
    connection.execute(_LEFT_OUT)
    return sum(connection.execute(sql).fetchall()[0][0] for sql in (_SUPPRESS, _SUPPRESS_REJECTS))


def _find_links(connection: "DuckDBPyConnection") -> None:
    connection.execute(_LINKED)
    connection.execute(_SHARED)
