"""What was received, made into rows as they would be landed: in temporary tables, nothing of it is written yet.

The columns are extracted from the payload here, in SQL, so that both of the API's spellings meet in one place; and what
names somebody who is forgotten is left out here.
"""

import uuid
from datetime import date, datetime
from typing import TYPE_CHECKING

from topo_pipeline.warehouse.forgetting import know_the_forgotten

if TYPE_CHECKING:
    import pandas as pd
    from duckdb import DuckDBPyConnection

# Where each column stands in the payload, in both spellings; a list is one walk through the JSON for all of them.
_PATHS = {
    "type": ("$.type", "$.type"),
    "organization_id": ("$.organization_id", "$.organizationId"),
    "person_id": ("$.person_id", "$.personId"),
    "sequence_id": ("$.sequence_id", "$.sequenceId"),
    "sequence_template_id": ("$.sequence_template_id", "$.sequenceTemplateId"),
    "message_id": ("$.message_id", "$.messageId"),
    "hot_lead_id": ("$.hot_lead_id", "$.hotLeadId"),
    "calendar_event_id": ("$.calendar_event_id", "$.calendarEventId"),
    "task_id": ("$.task_id", "$.taskId"),
    "resource_type": ("$.resource_type", "$.resourceType"),
    "channel": ("$.channel", "$.channel"),
    "step_number": ("$.metadata.step_number", "$.metadata.stepNumber"),
    "reply_category": ("$.metadata.reply_category", "$.metadata.replyCategory"),
}
_FIELDS = ", ".join(f"nullif(coalesce(f[{2 * i + 1}], f[{2 * i + 2}]), '') AS {name}" for i, name in enumerate(_PATHS))

_STAGE = f"""
CREATE OR REPLACE TEMP TABLE staged AS
WITH received AS (
    SELECT
        id::UUID AS id, created_at, payload, channel::VARCHAR AS filtered,
        json_extract_string(payload, $paths::VARCHAR[]) AS f
    FROM batch
    WHERE json_valid(payload)
), fields AS (
    SELECT id, created_at, payload, filtered, {_FIELDS} FROM received
)
SELECT
    id, created_at, $day::DATE AS day, type,
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
ORDER BY created_at, id
"""  # noqa: S608 - the field list is made of the constants above

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
    FROM batch WHERE NOT json_valid(payload)
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
    activities: "pd.DataFrame",
    rejects: "pd.DataFrame",
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
        day: the day that the rows get.
        load_id: the load that the rows get.
        now: when the rows are landed.
    """
    connection.register("batch", activities)
    connection.register("unreadable", rejects)
    try:
        paths = [path for paths in _PATHS.values() for path in paths]
        connection.execute(_STAGE, {"day": day, "load_id": load_id, "now": now, "paths": paths})
        connection.execute(_SET_ASIDE)
    finally:
        connection.unregister("batch")
        connection.unregister("unreadable")


def follow_the_forgotten(connection: "DuckDBPyConnection", *, now: datetime) -> None:
    """Note the runs that forgotten people have entered since, as far as `staged` shows them."""
    if know_the_forgotten(connection):
        connection.execute(_NOTE_RUNS, {"now": now})


def suppress(connection: "DuckDBPyConnection") -> int:
    """Take what names somebody who is forgotten out of `staged` and `set_aside`; return how many rows that were."""
    if not know_the_forgotten(connection):
        return 0
    return sum(connection.execute(sql).fetchall()[0][0] for sql in (_SUPPRESS, _SUPPRESS_REJECTS))
