"""Find landed replies, and the replies that newly received activities would land as, to compare the two."""

from collections.abc import Sequence
from datetime import date, datetime
from typing import TYPE_CHECKING

from topo_pipeline.warehouse.staging import IS_ANOTHER_VERSION, prepare, stage, suppress

if TYPE_CHECKING:
    import pandas as pd
    from duckdb import DuckDBPyConnection

    from topo_pipeline.warehouse.buffer import Buffer

Version = tuple[str, datetime, str]
"""A reply as received: id, instant (UTC), payload. The payload is '' if retention has emptied the landed one."""
_RECEIVED = f"""
SELECT staged.id::VARCHAR, staged.created_at,
    if(landed.payload = '' AND NOT {IS_ANOTHER_VERSION}, '', staged.payload)
FROM staged LEFT JOIN topo.activities AS landed ON landed.id = staged.id AND landed.event_type = 'REPLIED'
WHERE staged.event_type = 'REPLIED'
"""  # noqa: S608 - only constants of this package


def landed_replies(connection: "DuckDBPyConnection", days: Sequence[date]) -> dict[date, set[Version]]:
    """Return the replies of the landed days among `days`: an empty set for a landed day without replies."""
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


def replies_among(buffer: "Buffer", rejects: "pd.DataFrame") -> set[Version]:
    """Return the received replies as they would be landed, without those of erased people.

    The warehouse must be attached to the buffer's connection.
    """
    prepare(buffer.connection, rejects, {})
    stage(buffer)
    suppress(buffer.connection)
    rows = buffer.connection.execute(_RECEIVED).fetchall()
    return {(id_, created_at, payload) for id_, created_at, payload in rows}
