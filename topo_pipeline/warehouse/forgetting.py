"""Forget a person: erase what names the person or one of the person's runs, and keep it from being landed again.

What is kept is a keyed hash of each of these ids, so that a re-read can tell what to leave out. The key is the
warehouse's own and stands in it: copies of the hashes alone tell nothing, and a restored warehouse still forgets.
"""

import re
import secrets
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from duckdb import DuckDBPyConnection

from topo_pipeline.warehouse.errors import WarehouseError

# An id in a text, in whatever spelling.
_UUID = "[0-9a-f]{8}-?[0-9a-f]{4}-?[0-9a-f]{4}-?[0-9a-f]{4}-?[0-9a-f]{12}"
_DEFINE = f"""
CREATE OR REPLACE TEMP MACRO keyed_hash(id) AS
    sha256(getvariable('hash_key') || replace(lower(id::VARCHAR), '-', ''));
CREATE OR REPLACE TEMP MACRO is_forgotten(text) AS CASE WHEN len(getvariable('forgotten')) = 0 THEN false ELSE
    list_has_any(
        getvariable('forgotten'),
        list_transform(regexp_extract_all(lower(text), '{_UUID}'), lambda named: keyed_hash(named)))
    END
"""

_RUNS = """
SELECT DISTINCT sequence_id FROM (
    SELECT person_id, sequence_id, payload FROM topo.activities
    UNION ALL SELECT person_id, sequence_id, payload FROM topo.activity_changes
)
WHERE sequence_id IS NOT NULL AND (person_id = $person_id OR regexp_matches(lower(payload), $spellings))
"""
_NOTE = """
INSERT INTO topo.forgotten
SELECT id_hash, $now FROM (SELECT DISTINCT keyed_hash(unnest($ids::VARCHAR[])) AS id_hash)
WHERE id_hash NOT IN (SELECT id_hash FROM topo.forgotten)
"""
_OF_THEM = "(person_id = $person_id OR list_contains($runs::UUID[], sequence_id) OR regexp_matches(lower({}), $ids))"
_SUPPRESS = f"""
UPDATE topo.loads SET suppressed = suppressed + gone.rows, rows = loads.rows - gone.rows
FROM (SELECT day, count(*) AS rows FROM topo.activities WHERE {_OF_THEM.format("payload")} GROUP BY day) AS gone
WHERE loads.day = gone.day AND load_id IN (SELECT load_id FROM landed_days)
"""  # noqa: S608 - as the others: made of the constants above


@dataclass(frozen=True)
class Erased:
    """How much was erased of a person: rows of each kind."""

    activities: int
    changes: int
    rejects: int
    runs: int
    """Runs (`sequence_id`) that these rows named."""


def know_the_forgotten(connection: DuckDBPyConnection) -> None:
    """Define `is_forgotten(text)` on this connection: whether a text names somebody who is not to be landed."""
    [(hash_key, forgotten)] = connection.execute(
        "SELECT (SELECT hash_key FROM topo.workspace), (SELECT coalesce(list(id_hash), []) FROM topo.forgotten)"
    ).fetchall()
    connection.execute("SET VARIABLE hash_key = $key::VARCHAR", {"key": hash_key})
    connection.execute("SET VARIABLE forgotten = $hashes::VARCHAR[]", {"hashes": forgotten})
    connection.execute(_DEFINE)


def erase(connection: DuckDBPyConnection, person_id: uuid.UUID, *, now: datetime) -> Erased:
    """Erase a person from activities, change history and rejects, in the caller's transaction.

    The last load of each day notes how many rows it now leaves out. The metric tables are for the caller to rebuild,
    and the file for `compaction`: until then the bytes are still in it.

    Raises:
        WarehouseError: nothing was ever landed.
    """
    _make_key(connection)
    know_the_forgotten(connection)
    runs = [
        run
        for (run,) in connection.execute(
            _RUNS, {"person_id": person_id, "spellings": _spellings([person_id])}
        ).fetchall()
    ]
    connection.execute(_NOTE, {"ids": [str(id_) for id_ in (person_id, *runs)], "now": now})
    ids = {"ids": _spellings([person_id, *runs])}
    theirs = ids | {"person_id": person_id, "runs": runs}
    connection.execute(_SUPPRESS, theirs)
    return Erased(
        activities=_delete(connection, f"topo.activities WHERE {_OF_THEM.format('payload')}", theirs),
        changes=_delete(connection, f"topo.activity_changes WHERE {_OF_THEM.format('payload')}", theirs),
        rejects=_delete(connection, "topo.rejects WHERE regexp_matches(lower(raw), $ids)", ids),
        runs=len(runs),
    )


def _make_key(connection: DuckDBPyConnection) -> None:
    workspace = connection.execute("SELECT hash_key FROM topo.workspace").fetchone()
    if workspace is None:
        raise WarehouseError("Nothing was ever landed in this warehouse: there is nobody to forget.")
    if workspace == (None,):
        connection.execute("UPDATE topo.workspace SET hash_key = ?", [secrets.token_hex(32)])


def _spellings(ids: list[uuid.UUID]) -> str:
    """A regular expression for ids in a lower-case text, with or without hyphens."""
    return "|".join(f"{re.escape(str(id_))}|{id_.hex}" for id_ in ids)


def _delete(connection: DuckDBPyConnection, what: str, values: Mapping[str, object]) -> int:
    [(rows,)] = connection.execute(f"DELETE FROM {what}", values).fetchall()  # noqa: S608 - as above
    return int(rows)
