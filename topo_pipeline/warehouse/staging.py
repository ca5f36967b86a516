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
_NOTE = """
INSERT INTO topo.forgotten
SELECT id_hash, $now::TIMESTAMPTZ FROM (SELECT DISTINCT keyed_hash(id) AS id_hash FROM ({}))
WHERE id_hash IS NOT NULL AND id_hash NOT IN (SELECT id_hash FROM topo.forgotten)
"""
_IS_FORGOTTEN = "keyed_hash({}) IN (SELECT id_hash FROM topo.forgotten)"
# What a forgotten person has begun since: a run, whose later activities need not name the person, and what those name
# that have no run either (`forgetting`); not what activities of others name too.
_THEIR_RUNS = f"SELECT sequence_id AS id FROM staged WHERE {_IS_FORGOTTEN.format('person_id')}"  # noqa: S608
_RUNS_OF_OTHERS = f"""
SELECT sequence_id FROM (
    SELECT person_id, sequence_id FROM staged
    UNION ALL
    SELECT person_id, sequence_id FROM topo.activities
    WHERE sequence_id IN (SELECT sequence_id FROM staged WHERE person_id IS NULL)
)
WHERE person_id IS NOT NULL AND sequence_id IS NOT NULL AND NOT {_IS_FORGOTTEN.format("person_id")}
"""  # noqa: S608
_THEIR_RESOURCES = f"""
SELECT unnest({RESOURCES}) AS id FROM staged
WHERE {_IS_FORGOTTEN.format("person_id")} OR {_IS_FORGOTTEN.format("sequence_id")}
EXCEPT SELECT unnest({RESOURCES}) FROM staged
WHERE NOT {_IS_FORGOTTEN.format("person_id")} OR sequence_id IN ({_RUNS_OF_OTHERS})
"""  # noqa: S608
_RUNS_OF_RESOURCES = f"""
SELECT sequence_id AS id FROM (SELECT sequence_id, unnest({RESOURCES}) AS resource FROM staged WHERE person_id IS NULL)
WHERE {_IS_FORGOTTEN.format("resource")} AND sequence_id NOT IN ({_RUNS_OF_OTHERS})
"""  # noqa: S608
# Ids are looked for as columns too: in the text they may be escaped.
_SUPPRESS = f"""
DELETE FROM staged
WHERE id IN ({_NAMING_THE_FORGOTTEN.format("id", "ids_in(concat_ws(' ', payload, person_id, sequence_id))", "staged")})
    OR id IN ({_NAMING_THE_FORGOTTEN.format("id", RESOURCES, "staged WHERE person_id IS NULL AND sequence_id IS NULL")})
"""  # noqa: S608 - names of our own
_SUPPRESS_REJECTS = f"""
DELETE FROM set_aside
WHERE raw IN ({_NAMING_THE_FORGOTTEN.format("raw", "list_concat(ids_in(raw), resources_in(raw))", "set_aside")})
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
    connection.execute("DROP TABLE staged; DROP TABLE set_aside; DROP TABLE twice")


def follow_the_forgotten(connection: "DuckDBPyConnection", *, now: datetime) -> None:
    """Note the runs that forgotten people have entered since, and what these name, as far as `staged` shows them."""
    if knows_anybody_forgotten(connection):
        for ids in (_THEIR_RUNS, _THEIR_RESOURCES, _RUNS_OF_RESOURCES):
            connection.execute(_NOTE.format(ids), {"now": now})


def suppress(connection: "DuckDBPyConnection") -> int:
    """Take what names somebody who is forgotten out of `staged` and `set_aside`; return how many rows that were."""
    if not knows_anybody_forgotten(connection):
        return 0
    return sum(connection.execute(sql).fetchall()[0][0] for sql in (_SUPPRESS, _SUPPRESS_REJECTS))
