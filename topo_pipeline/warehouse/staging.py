"""What was received, made into rows as they would be landed: in temporary tables, nothing of it is written yet.

What the columns mean is told here, whichever of its spellings the API used (`spool` reads both); and what names
somebody who is forgotten is left out here.
"""

import uuid
from collections.abc import Mapping
from datetime import date, datetime
from typing import TYPE_CHECKING

from topo_pipeline.warehouse.connection import literal
from topo_pipeline.warehouse.forgetting import know_the_forgotten
from topo_pipeline.warehouse.spool import EXTRACT, Spool

if TYPE_CHECKING:
    import pandas as pd
    from duckdb import DuckDBPyConnection

# Of an id that came twice, the last version; few did, so that to look for them needs no row to be held against another.
_TWICE = """
CREATE OR REPLACE TEMP TABLE twice AS
SELECT id::UUID AS id, max(received) AS last FROM extracted GROUP BY ALL HAVING count(*) > 1
"""
_STAGE = """
CREATE OR REPLACE TEMP TABLE staged AS
WITH fields AS (
    SELECT extracted.*, labels.channel::VARCHAR AS filtered
    FROM extracted LEFT JOIN labels ON labels.id::VARCHAR = extracted.id
    WHERE is_json AND NOT EXISTS (FROM twice WHERE twice.id = extracted.id::UUID AND last > received)
)
SELECT
    id::UUID AS id, created_at, $day::DATE AS day, type,
    try_cast(organization_id AS UUID) AS organization_id,
    try_cast(person_id AS UUID) AS person_id,
    try_cast(sequence_id AS UUID) AS sequence_id,
    try_cast(sequence_template_id AS UUID) AS sequence_template_id,
    message_id, hot_lead_id, calendar_event_id, task_id,
    upper(coalesce(resource_type, nullif(split_part(type, '.', 1), ''))) AS resource_type,
    upper(nullif(split_part(type, '.', 2), '')) AS event_type,
    upper(coalesce(channel, CASE
        WHEN type IN ('message.opened', 'message.link_clicked') THEN 'EMAIL'
        WHEN type LIKE 'invitation.%' THEN 'LINKEDIN' END, filtered)) AS channel,
    CASE
        WHEN fields.channel IS NOT NULL THEN 'payload'
        WHEN type IN ('message.opened', 'message.link_clicked') OR type LIKE 'invitation.%' THEN 'type'
        WHEN filtered IS NOT NULL THEN 'filter'
        ELSE 'unknown' END AS channel_source,
    try_cast(step_number AS INTEGER) AS step_number,
    upper(reply_category) AS reply_category,
    payload, $now::TIMESTAMPTZ AS landed_at, $load_id::UUID AS load_id
FROM fields
"""

_SET_ASIDE = """
CREATE OR REPLACE TEMP TABLE set_aside AS
SELECT raw, reason
FROM (
    SELECT raw::VARCHAR AS raw, reason FROM unreadable
    UNION ALL
    -- What is JSON to a lenient decoder need not be to DuckDB: a lone surrogate, say.
    SELECT
        format('{{"id":"{}","created_at":"{}","payload":{}}}', id, created_at, payload),
        'DuckDB can''t read its payload'
    FROM extracted WHERE NOT is_json
)
"""
# What names somebody who is forgotten; the ids of a text are hashed once each, however many are forgotten.
_NAMING_THE_FORGOTTEN = """
SELECT {0} FROM (SELECT DISTINCT {0}, unnest(ids_in({1})) AS named FROM {2})
WHERE keyed_hash(named) IN (SELECT id_hash FROM topo.forgotten)
"""
# A run that a forgotten person has entered since: its later activities need not name the person.
_NOTE_RUNS = """
INSERT INTO topo.forgotten
SELECT DISTINCT keyed_hash(sequence_id), $now::TIMESTAMPTZ
FROM staged
WHERE keyed_hash(person_id) IN (SELECT id_hash FROM topo.forgotten)
    AND keyed_hash(sequence_id) NOT IN (SELECT id_hash FROM topo.forgotten)
"""
# Ids are looked for as columns too: in the text they may be escaped.
_SUPPRESS = f"""
DELETE FROM staged
WHERE id IN ({_NAMING_THE_FORGOTTEN.format("id", "concat_ws(' ', payload, person_id, sequence_id)", "staged")})
"""  # noqa: S608 - names of our own
_SUPPRESS_REJECTS = f"""
DELETE FROM set_aside WHERE raw IN ({_NAMING_THE_FORGOTTEN.format("raw", "raw", "set_aside")})
"""  # noqa: S608


def stage(
    connection: "DuckDBPyConnection",
    activities: Spool,
    rejects: "pd.DataFrame",
    channels: Mapping[str, str],
    *,
    day: date,
    load_id: uuid.UUID,
    now: datetime,
) -> None:
    """Make the temporary tables `staged` (rows of `topo.activities`) and `set_aside` (`raw`, `reason`).

    Args:
        connection: any connection to the warehouse.
        activities: as `landing.ReadDay` has them.
        rejects: as `landing.ReadDay` has them.
        channels: as `landing.ReadDay` has them.
        day: the day that the rows get.
        load_id: the load that the rows get.
        now: when the rows are landed.
    """
    import pandas as pd  # noqa: PLC0415 - loading the definitions needs no frames

    frames = {
        "batch": activities.pending(),
        "unreadable": rejects,
        "labels": pd.DataFrame({"id": list(channels), "channel": list(channels.values())}, dtype=object),
    }
    for name, frame in frames.items():
        connection.register(name, frame)
    try:
        files = ", ".join(map(literal, activities.files))
        written = f" UNION ALL FROM read_parquet([{files}])" if files else ""
        connection.execute(f"CREATE OR REPLACE TEMP VIEW extracted AS {EXTRACT.format('batch')}{written}")
        connection.execute(_TWICE)
        connection.execute(_STAGE, {"day": day, "load_id": load_id, "now": now})
        connection.execute(_SET_ASIDE)
        connection.execute("DROP VIEW extracted")
    finally:
        for name in frames:
            connection.unregister(name)


def follow_the_forgotten(connection: "DuckDBPyConnection", *, now: datetime) -> None:
    """Note the runs that forgotten people have entered since, as far as `staged` shows them."""
    if know_the_forgotten(connection):
        connection.execute(_NOTE_RUNS, {"now": now})


def suppress(connection: "DuckDBPyConnection") -> int:
    """Take what names somebody who is forgotten out of `staged` and `set_aside`; return how many rows that were."""
    if not know_the_forgotten(connection):
        return 0
    return sum(connection.execute(sql).fetchall()[0][0] for sql in (_SUPPRESS, _SUPPRESS_REJECTS))
