"""The replies as they are landed, to be compared with what Topo shows now."""

from collections.abc import Iterable, Sequence
from datetime import date, datetime

from duckdb import DuckDBPyConnection

from topo_pipeline.warehouse.forgetting import know_the_forgotten

Version = tuple[str, datetime, str]
"""A reply as it was received: id, instant (UTC), payload."""


def landed_replies(connection: DuckDBPyConnection, days: Sequence[date]) -> dict[date, set[Version]]:
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


def landable(connection: DuckDBPyConnection, versions: Iterable[Version]) -> set[Version]:
    """Those that would be landed as activities: not those of forgotten people, nor what DuckDB can't read."""
    know_the_forgotten(connection)
    received = list(versions)
    lands = connection.execute(
        "SELECT json_valid(payload) AND NOT is_forgotten(payload)"
        " FROM (SELECT unnest($payloads::VARCHAR[]) AS payload, generate_subscripts($payloads::VARCHAR[], 1) AS place)"
        " ORDER BY place",
        {"payloads": [payload for _, _, payload in received]},
    ).fetchall()
    return {version for version, (is_landable,) in zip(received, lands, strict=True) if is_landable}
