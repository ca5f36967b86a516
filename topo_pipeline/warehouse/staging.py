"""What was received, made into rows as they would be landed: in temporary tables, nothing of it is written yet.

What a payload says is in the columns already (`spool`); what names somebody who is forgotten is left out here.
"""

import uuid
from collections.abc import Mapping
from datetime import date, datetime
from typing import TYPE_CHECKING

from topo_pipeline.warehouse.forgetting import RESOURCES, knows_anybody_forgotten

if TYPE_CHECKING:
    import pandas as pd
    from duckdb import DuckDBPyConnection

# Of an id that came twice, the last version; few did, so that to look for them needs no row to be held against another.
_TWICE = """
CREATE OR REPLACE TEMP TABLE twice AS
SELECT id, max(received) AS last FROM received GROUP BY id HAVING count(*) > 1
"""
_STAGE = """
CREATE OR REPLACE TEMP TABLE staged AS
SELECT
    id, created_at, $day::DATE AS day, type, organization_id, person_id, sequence_id, sequence_template_id,
    message_id, hot_lead_id, calendar_event_id, task_id, resource_type, event_type,
    coalesce(received.channel, filtered) AS channel,
    if(channel_source = 'unknown' AND filtered IS NOT NULL, 'filter', channel_source) AS channel_source,
    step_number, reply_category, payload, $now::TIMESTAMPTZ AS landed_at, $load_id::UUID AS load_id
FROM received
LEFT JOIN (SELECT id::UUID AS id, upper(channel::VARCHAR) AS filtered FROM labels) AS labels USING (id)
WHERE is_json AND NOT EXISTS (FROM twice WHERE twice.id = received.id AND last > received)
"""
# Whether a staged row is another version of a landed one. Of a landed row whose text retention has emptied, the columns
# tell; the channel may be known from elsewhere, and is for the caller to compare.
_TOLD = (
    "type", "organization_id", "person_id", "sequence_id", "sequence_template_id", "message_id", "hot_lead_id",
    "calendar_event_id", "task_id", "resource_type", "event_type", "step_number", "reply_category",
)  # fmt: skip
IS_ANOTHER_VERSION = f"""(staged.created_at <> landed.created_at OR CASE WHEN landed.payload <> ''
    THEN staged.payload <> landed.payload
    ELSE ({", ".join(f"staged.{column}" for column in _TOLD)})
        IS DISTINCT FROM ({", ".join(f"landed.{column}" for column in _TOLD)}) END)"""

_SET_ASIDE = """
CREATE OR REPLACE TEMP TABLE set_aside AS
SELECT raw, reason, id
FROM (
    SELECT raw::VARCHAR AS raw, reason::VARCHAR AS reason, id::VARCHAR::UUID AS id FROM unreadable
    UNION ALL
    -- What is JSON to a lenient decoder need not be to DuckDB: a lone surrogate, say.
    SELECT
        format('{{"id":"{}","created_at":"{}","payload":{}}}', id, created_at, payload),
        'DuckDB can''t read its payload',
        id
    FROM received WHERE NOT is_json
)
"""
# What names somebody who is forgotten; the ids of a text are hashed once each, however many are forgotten.
_NAMING_THE_FORGOTTEN = """
SELECT {0} FROM (SELECT DISTINCT {0}, unnest({1}) AS named FROM {2})
WHERE keyed_hash(named) IN (SELECT id_hash FROM topo.forgotten)
"""
_IS_FORGOTTEN = "keyed_hash({}) IN (SELECT id_hash FROM topo.forgotten)"
# A run that a forgotten person has entered since: its later activities need not name the person.
_NOTE_RUNS = f"""
INSERT INTO topo.forgotten
SELECT DISTINCT keyed_hash(sequence_id), $now::TIMESTAMPTZ FROM staged
WHERE {_IS_FORGOTTEN.format("person_id")} AND NOT {_IS_FORGOTTEN.format("sequence_id")} AND sequence_id IS NOT NULL
"""  # noqa: S608
_IS_FORGOTTEN_RESOURCE = "resource_hash({}) IN (SELECT id_hash FROM topo.forgotten)"
# What activities name that are of forgotten people, or may be: they name nobody, and what a forgotten person has named.
_LINKED = f"""
CREATE OR REPLACE TEMP TABLE linked AS
WITH named AS (SELECT id, person_id, sequence_id, unnest({RESOURCES}) AS resource FROM staged),
nobodys AS (SELECT * FROM named WHERE person_id IS NULL AND resource IS NOT NULL)
SELECT DISTINCT resource FROM named
WHERE resource IS NOT NULL AND ({_IS_FORGOTTEN.format("person_id")} OR {_IS_FORGOTTEN.format("sequence_id")})
UNION
SELECT DISTINCT resource FROM nobodys
WHERE id IN (SELECT id FROM nobodys WHERE {_IS_FORGOTTEN_RESOURCE.format("resource")})
UNION
SELECT DISTINCT resource FROM (SELECT unnest(resources_in(raw)) AS resource FROM set_aside)
WHERE {_IS_FORGOTTEN_RESOURCE.format("resource")}
"""  # noqa: S608
# Those of them that activities of others name too: they tell nothing.
_SHARED = f"""
CREATE OR REPLACE TEMP TABLE shared AS
WITH known AS (
    SELECT person_id, sequence_id, {RESOURCES} AS resources FROM staged
    UNION ALL SELECT person_id, sequence_id, {RESOURCES} FROM topo.activities
    WHERE EXISTS (FROM linked) AND list_has_any({RESOURCES}, (SELECT list(resource) FROM linked))
), of_others AS (
    SELECT sequence_id, resources FROM known WHERE person_id IS NOT NULL AND NOT {_IS_FORGOTTEN.format("person_id")}
)
SELECT DISTINCT resource FROM (
    SELECT unnest(resources) AS resource FROM of_others
    UNION ALL
    SELECT unnest(resources) FROM known WHERE sequence_id IN (SELECT sequence_id FROM of_others)
)
WHERE resource IN (FROM linked)
"""  # noqa: S608
_NOTE_RESOURCES = f"""
INSERT INTO topo.forgotten
SELECT DISTINCT resource_hash(resource), $now::TIMESTAMPTZ FROM linked
WHERE resource NOT IN (FROM shared) AND NOT {_IS_FORGOTTEN_RESOURCE.format("resource")}
"""  # noqa: S608
# Ids are looked for as columns too: in the text they may be escaped.
_LEFT_OUT = f"""
CREATE OR REPLACE TEMP TABLE left_out AS SELECT id FROM staged
WHERE id IN ({_NAMING_THE_FORGOTTEN.format("id", "ids_in(concat_ws(' ', payload, person_id, sequence_id))", "staged")})
    OR id IN (
        SELECT id FROM (SELECT id, unnest({RESOURCES}) AS resource FROM staged WHERE person_id IS NULL)
        GROUP BY id
        HAVING bool_or({_IS_FORGOTTEN_RESOURCE.format("resource")} AND resource NOT IN (FROM shared))
            AND NOT bool_or(resource IN (FROM shared) AND starts_with(resource, 'run '))
    )
"""  # noqa: S608 - names of our own
_SUPPRESS = "DELETE FROM staged WHERE id IN (SELECT id FROM left_out)"
_SUPPRESS_REJECTS = f"""
DELETE FROM set_aside
WHERE raw IN ({_NAMING_THE_FORGOTTEN.format("raw", "ids_in(raw)", "set_aside")}) OR raw IN (
    SELECT raw FROM (SELECT DISTINCT raw, unnest(resources_in(raw)) AS resource FROM set_aside)
    WHERE {_IS_FORGOTTEN_RESOURCE.format("resource")} AND resource NOT IN (FROM shared)
)
"""  # noqa: S608


def stage(
    connection: "DuckDBPyConnection",
    rejects: "pd.DataFrame",
    channels: Mapping[str, str],
    *,
    day: date,
    load_id: uuid.UUID,
    now: datetime,
) -> None:
    """Make the temporary tables `staged` (rows of `topo.activities`) and `set_aside` (`raw`, `reason`, `id`).

    Args:
        connection: to a warehouse that was opened beside the spool of the activities.
        rejects: as `landing.ReadDay` has them.
        channels: as `landing.ReadDay` has them.
        day: the day that the rows get.
        load_id: the load that the rows get.
        now: when the rows are landed.
    """
    import pandas as pd  # noqa: PLC0415 - loading the definitions needs no frames

    labels = pd.DataFrame({"id": list(channels), "channel": list(channels.values())}, dtype=object)
    connection.register("unreadable", rejects)
    connection.register("labels", labels)
    try:
        connection.execute(_TWICE)
        connection.execute(_STAGE, {"day": day, "load_id": load_id, "now": now})
        connection.execute(_SET_ASIDE)
    finally:
        connection.unregister("unreadable")
        connection.unregister("labels")


def unstage(connection: "DuckDBPyConnection") -> None:
    """Let go of what `stage` made: the next day is read on the same connection."""
    made = ("staged", "set_aside", "twice", "left_out", "linked", "shared")
    connection.execute("; ".join(f"DROP TABLE IF EXISTS {table}" for table in made))


def follow_the_forgotten(connection: "DuckDBPyConnection", *, now: datetime) -> None:
    """Note the runs that forgotten people have entered since, and what these name, as far as `staged` shows them."""
    if knows_anybody_forgotten(connection):
        connection.execute(_NOTE_RUNS, {"now": now})
        _find_links(connection)
        connection.execute(_NOTE_RESOURCES, {"now": now})


def suppress(connection: "DuckDBPyConnection") -> int:
    """Take what names somebody who is forgotten out of `staged` and `set_aside`; return how many rows that were."""
    if not knows_anybody_forgotten(connection):
        connection.execute("CREATE OR REPLACE TEMP TABLE left_out (id UUID)")
        return 0
    _find_links(connection)
    connection.execute(_LEFT_OUT)
    return sum(connection.execute(sql).fetchall()[0][0] for sql in (_SUPPRESS, _SUPPRESS_REJECTS))


def _find_links(connection: "DuckDBPyConnection") -> None:
    connection.execute(_LINKED)
    connection.execute(_SHARED)
