"""Read the fields of payloads in SQL, in either spelling, as columns of `topo.activities`."""

import json
from collections.abc import Sequence

from topo_pipeline.warehouse.sql import literal

KIND = ("type", "organization_id", "resource_type", "channel")
"""The fields that are read when activities are received. All are text."""
_OTHERS = (
    "person_id", "sequence_id", "sequence_template_id", "message_id", "hot_lead_id", "calendar_event_id", "task_id",
)  # fmt: skip
_DETAILS = ("step_number", "reply_category")  # in the payload's `metadata`


def _camel(column: str) -> str:
    first, *rest = column.split("_")
    return first + "".join(map(str.capitalize, rest))


def _members(columns: Sequence[str]) -> dict[str, str]:
    return {member: "VARCHAR" for column in columns for member in (column, _camel(column))}


def _columns(columns: Sequence[str], within: str) -> list[str]:
    return [f"nullif(coalesce({within}.{column}, {within}.{_camel(column)}), '') AS {column}" for column in columns]


def with_fields(source: str, fields: Sequence[str], details: Sequence[str] = ()) -> str:
    """Return a query of the rows of `source` with these fields of `payload` as more columns, and `is_json`.

    A field that is missing, null or empty is NULL, and so are all if DuckDB can't parse the payload. Put no condition
    on the new columns of many rows: DuckDB would parse each payload once for every column in it.
    """
    shape = literal(json.dumps(_members(fields) | ({"metadata": _members(details)} if details else {})))
    columns = ", ".join(_columns(fields, "fields") + _columns(details, "fields.metadata"))
    return f"""
    SELECT * EXCLUDE fields, {columns}, fields IS NOT NULL AS is_json
    FROM (SELECT *, TRY(json_transform(payload, {shape})) AS fields FROM {source})
    """  # noqa: S608 - only constants of this package


EXTRACTED = f"""
SELECT
    received, id, created_at, type,
    try_cast(organization_id AS UUID) AS organization_id,
    try_cast(person_id AS UUID) AS person_id,
    try_cast(sequence_id AS UUID) AS sequence_id,
    try_cast(sequence_template_id AS UUID) AS sequence_template_id,
    message_id, hot_lead_id, calendar_event_id, task_id,
    upper(coalesce(resource_type, nullif(split_part(type, '.', 1), ''))) AS resource_type,
    upper(nullif(split_part(type, '.', 2), '')) AS event_type,
    upper(coalesce(channel, CASE
        WHEN type IN ('message.opened', 'message.link_clicked') THEN 'EMAIL'
        WHEN type LIKE 'invitation.%' THEN 'LINKEDIN' END)) AS channel,
    CASE
        WHEN channel IS NOT NULL THEN 'payload'
        WHEN type IN ('message.opened', 'message.link_clicked') OR type LIKE 'invitation.%' THEN 'type'
        ELSE 'unknown' END AS channel_source,
    try_cast(step_number AS INTEGER) AS step_number,
    upper(reply_category) AS reply_category,
    payload
FROM ({with_fields("(SELECT * EXCLUDE is_json FROM received WHERE is_json)", _OTHERS, _DETAILS)})
"""  # noqa: S608 - as above
"""The buffer's rows that DuckDB can read, with the columns of `topo.activities` that depend on the activity alone."""
