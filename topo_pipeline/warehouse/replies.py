"""The replies as they are landed, and as what Topo shows now would be landed, to be compared."""

import uuid
from collections.abc import Sequence
from datetime import date, datetime
from typing import TYPE_CHECKING

from topo_pipeline.warehouse.staging import IS_ANOTHER_VERSION, stage, suppress

if TYPE_CHECKING:
    import pandas as pd
    from duckdb import DuckDBPyConnection

Version = tuple[str, datetime, str]
"""A reply as it was received: id, instant (UTC), payload; '' where retention has emptied what is landed."""
_SHOWN = f"""
SELECT staged.id::VARCHAR, staged.created_at,
    if(landed.payload = '' AND NOT {IS_ANOTHER_VERSION}, '', staged.payload)
FROM staged LEFT JOIN topo.activities AS landed ON landed.id = staged.id AND landed.event_type = 'REPLIED'
WHERE staged.event_type = 'REPLIED'
"""  # noqa: S608 - names of our own


def landed_replies(connection: "DuckDBPyConnection", days: Sequence[date]) -> dict[date, set[Version]]:
    """The replies of those of `days` that are landed; of a landed day without replies, none."""
    found: dict[date, set[Version]] = {}
    rows = connection.execute(
        "SELECT landed.day, id::VARCHAR, created_at, payload FROM landed_days AS landed"
        " LEFT JOIN topo.activities AS reply ON reply.day = landed.day AND event_type = 'REPLIED'"
        " WHERE landed.day IN (SELECT unnest($days::DATE[]))",
        {"days": list(days)},
    ).fetchall()
    for day, id_, created_at, payload in rows:
        found.setdefault(day, set()).update({(id_, created_at, payload)} if id_ else ())
    return found


def replies_among(connection: "DuckDBPyConnection", rejects: "pd.DataFrame", *, now: datetime) -> set[Version]:
    """The replies that would be landed of what was received; without those of forgotten people.

    Args:
        connection: to a warehouse that was opened beside the spool of the activities.
        rejects: as `landing.ReadDay` has them.
        now: of no consequence here.
    """
    stage(connection, rejects, {}, day=now.date(), load_id=uuid.uuid4(), now=now)
    suppress(connection)
    rows = connection.execute(_SHOWN).fetchall()
    return {(id_, created_at, payload) for id_, created_at, payload in rows}
