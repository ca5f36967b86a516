"""Erase a person: delete the rows that name the person or one of the person's sequence runs, and block re-landing.

A row that names neither a person nor a run belongs to the person if it names a message, hot lead, meeting or task that
appears in no row of another person.

A keyed hash of each of these ids is kept, so that later loads can leave the rows out. The key is specific to the
warehouse and stored in it. So the hashes are useless without it, and a restored warehouse still blocks the person.
"""

import secrets
import uuid
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from duckdb import DuckDBPyConnection

from topo_pipeline.warehouse.errors import WarehouseError

_MATCHES_NOTHING = r"[^\s\S]"  # an empty pattern would match every text
# An id can be part of a longer hexadecimal number, as in p%2F<id>. In longer numbers than this, only the first and the
# last 32 digits are checked.
_LONGEST_NUMBER = 10_000
_HYPHENATED = "[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}"
# Percent-encoded and JSON-escaped ASCII. Other bytes stay encoded: DuckDB rejects invalid UTF-8.
_ASCII_ESCAPES = (
    r"regexp_replace(regexp_replace({}, '%([89a-f])', '%25\1', 'gi'), '\\+u00([0-7][0-9a-f])', '%\1', 'gi')"
)
_DEFINE = rf"""
CREATE OR REPLACE TEMP MACRO decoded_once(text) AS url_decode({_ASCII_ESCAPES.format("text")});
CREATE OR REPLACE TEMP MACRO decoded(text) AS lower(
    CASE WHEN contains(text, '%') OR contains(text, '\u') THEN decoded_once(decoded_once(text)) ELSE text END
);
CREATE OR REPLACE TEMP MACRO hexadecimal(text) AS replace(decoded(text), '-', '');
CREATE OR REPLACE TEMP MACRO ids_in(text) AS list_distinct(list_concat(
    list_transform(regexp_extract_all(decoded(text), '{_HYPHENATED}'), lambda id: replace(id, '-', '')),
    flatten(list_transform(
        regexp_extract_all(hexadecimal(text), '[0-9a-f]{{32,}}'),
        lambda number: CASE
            WHEN length(number) > {_LONGEST_NUMBER} THEN [left(number, 32), right(number, 32)]
            ELSE list_transform(range(1, length(number) - 30), lambda i: substring(number, i, 32)) END
    ))
));
CREATE OR REPLACE TEMP MACRO keyed_hash(id) AS
    sha256(getvariable('hash_key') || replace(lower(id::VARCHAR), '-', ''));
CREATE OR REPLACE TEMP MACRO hexadecimal_or_itself(id) AS CASE
    WHEN regexp_full_match(replace(lower(id), '-', ''), '[0-9a-f]{{32}}') THEN replace(lower(id), '-', '')
    ELSE nullif(id, '') END;
CREATE OR REPLACE TEMP MACRO resources(message_id, hot_lead_id, calendar_event_id, task_id, sequence_id) AS [
    'message ' || hexadecimal_or_itself(message_id), 'hot_lead ' || hexadecimal_or_itself(hot_lead_id),
    'calendar_event ' || hexadecimal_or_itself(calendar_event_id), 'task ' || hexadecimal_or_itself(task_id),
    'run ' || hexadecimal_or_itself(sequence_id::VARCHAR)
];
CREATE OR REPLACE TEMP MACRO resource_hash(resource) AS sha256(getvariable('hash_key') || resource);
CREATE OR REPLACE TEMP MACRO resources_in(text) AS flatten(list_transform(
    ids_in(text), lambda id: [kind || ' ' || id for kind in ['message', 'hot_lead', 'calendar_event', 'task', 'run']]
))
"""
_RECORD = """
INSERT INTO topo.forgotten
SELECT id_hash, $now FROM (
    SELECT DISTINCT keyed_hash(unnest($ids::VARCHAR[])) AS id_hash
    UNION SELECT DISTINCT resource_hash(unnest($resources::VARCHAR[]))
)
WHERE id_hash NOT IN (SELECT id_hash FROM topo.forgotten)
"""
RESOURCES = "resources(message_id, hot_lead_id, calendar_event_id, task_id, sequence_id)"
"""SQL for the resources of a row: its message, hot lead, meeting, task and run, each as `kind id` or NULL."""

_LANDED = """
WITH landed AS (
    SELECT person_id, sequence_id, message_id, hot_lead_id, calendar_event_id, task_id, payload FROM topo.activities
    UNION ALL
    SELECT person_id, sequence_id, message_id, hot_lead_id, calendar_event_id, task_id, payload
    FROM topo.activity_changes
), runs_of_other_people AS (
    SELECT DISTINCT sequence_id FROM landed
    WHERE person_id IS NOT NULL AND sequence_id IS NOT NULL
        AND NOT list_contains($people::UUID[], person_id) AND NOT list_contains($runs::UUID[], sequence_id)
)
"""
# A run counts only through the person_id column: a row that just mentions the person may belong to somebody else's run.
# Runs that later loads found are recognized by their hash.
_RUNS = """
WITH landed AS (
    SELECT person_id, sequence_id FROM topo.activities
    UNION ALL SELECT person_id, sequence_id FROM topo.activity_changes
)
SELECT sequence_id FROM landed WHERE list_contains($people::UUID[], person_id) AND sequence_id IS NOT NULL
UNION
SELECT sequence_id FROM (SELECT DISTINCT sequence_id FROM landed WHERE sequence_id IS NOT NULL)
WHERE keyed_hash(sequence_id) IN (SELECT id_hash FROM topo.forgotten)
"""
# A resource that is also in another person's row is not followed. A run whose rows name no person is a resource too.
_LINKED_RESOURCES = f"""
{_LANDED}, linked AS (
    SELECT DISTINCT unnest({RESOURCES}) AS resource FROM landed
    WHERE list_contains($people::UUID[], person_id) OR list_contains($runs::UUID[], sequence_id)
        OR (person_id IS NULL AND (
            list_has_any({RESOURCES}, $resources::VARCHAR[])
            OR (sequence_id IS NULL AND regexp_matches(hexadecimal(payload), $named))
        ))
    UNION
    SELECT resource FROM (SELECT DISTINCT unnest({RESOURCES}) AS resource FROM landed WHERE person_id IS NULL)
    WHERE resource_hash(resource) IN (SELECT id_hash FROM topo.forgotten)
), of_other_people AS (
    SELECT unnest({RESOURCES}) AS resource FROM landed
    WHERE sequence_id IN (FROM runs_of_other_people) OR (
        person_id IS NOT NULL AND NOT list_contains($people::UUID[], person_id)
        AND NOT coalesce(list_contains($runs::UUID[], sequence_id), false)
    )
)
SELECT resource FROM linked WHERE resource IS NOT NULL AND resource NOT IN (
    SELECT resource FROM of_other_people WHERE resource IN (FROM linked)
)
"""  # noqa: S608 - only the constants above
_OF_SUBJECTS = (
    "(list_contains($people::UUID[], person_id) OR list_contains($runs::UUID[], sequence_id)"
    f" OR (person_id IS NULL AND list_has_any({RESOURCES}, $resources::VARCHAR[]))"
    " OR regexp_matches(hexadecimal(payload), $named))"
)
_ROWS = {
    "activities": f"topo.activities WHERE {_OF_SUBJECTS}",
    "changes": f"topo.activity_changes WHERE {_OF_SUBJECTS}",
    "rejects": (
        "topo.rejects WHERE regexp_matches(hexadecimal(raw), $named)"
        " OR list_has_any(resources_in(raw), $resources::VARCHAR[])"
    ),
}
# The ids of erased people and runs that any row mentions.
_MENTIONED_ERASED_IDS = """
SELECT DISTINCT named::UUID FROM (
    SELECT DISTINCT unnest(ids_in(concat_ws(' ', payload, person_id, sequence_id))) AS named FROM topo.activities
    UNION ALL
    SELECT DISTINCT unnest(ids_in(concat_ws(' ', payload, person_id, sequence_id))) FROM topo.activity_changes
    UNION ALL SELECT DISTINCT unnest(ids_in(raw)) FROM topo.rejects
)
WHERE keyed_hash(named) IN (SELECT id_hash FROM topo.forgotten)
"""
_COUNT_IN_LEDGER = f"""
UPDATE topo.loads SET suppressed = suppressed + gone.rows, rows = loads.rows - gone.rows
FROM (SELECT day, count(*) AS rows FROM {_ROWS["activities"]} GROUP BY day) AS gone
WHERE loads.day = gone.day AND load_id IN (SELECT load_id FROM landed_days)
"""  # noqa: S608 - only the constants above
_OTHER_OBJECTS = """
SELECT 'the organization' FROM topo.workspace WHERE organization_id = $id
UNION ALL SELECT 'a sequence' FROM topo.sequence_templates WHERE id = $id
UNION ALL SELECT 'the organization' FROM topo.activities WHERE organization_id = $id
UNION ALL SELECT 'a sequence' FROM topo.activities WHERE sequence_template_id = $id
UNION ALL SELECT 'a sequence run' FROM topo.activities WHERE sequence_id = $id
UNION ALL SELECT 'an activity' FROM topo.activities WHERE id = $id
LIMIT 1
"""


@dataclass(frozen=True)
class Trace:
    """The rows about a person in each table, and the number of sequence runs that are known to be the person's."""

    activities: int
    changes: int
    rejects: int
    runs: int


NOTHING = Trace(0, 0, 0, 0)


@dataclass(frozen=True)
class ErasedSubjects:
    """The erased subjects of a warehouse: hashes of ids, each with the time it was recorded, and the hash key."""

    hash_key: str | None
    hashes: dict[str, datetime]


def define_erasure_macros(connection: DuckDBPyConnection) -> None:
    """Define `ids_in(text)`, `hexadecimal(text)`, `keyed_hash(id)` and their helpers on this connection."""
    [(hash_key,)] = connection.execute("SELECT max(hash_key) FROM topo.workspace").fetchall()
    connection.execute("SET VARIABLE hash_key = $key::VARCHAR", {"key": hash_key})
    connection.execute(_DEFINE)


def has_erased_subjects(connection: DuckDBPyConnection) -> bool:
    """Return whether anyone was ever erased. If so, also define the erasure macros."""
    [(exist,)] = connection.execute("SELECT EXISTS (FROM topo.forgotten)").fetchall()
    if exist:
        define_erasure_macros(connection)
    return bool(exist)


def trace(connection: DuckDBPyConnection, person_id: uuid.UUID) -> Trace:
    """Count the rows about a person.

    Raises:
        WarehouseError: nothing was ever landed, or the id is an organization's, a sequence's, a run's or an activity's.
    """
    return _count(connection, _find(connection, person_id))


def erase(connection: DuckDBPyConnection, person_id: uuid.UUID, *, now: datetime) -> Trace:
    """Erase a person from activities, change history and rejects, in the caller's transaction.

    The erased rows are added to `suppressed` in the ledger row of each day's last load. The caller rebuilds the metric
    tables and then compacts the file. Until then the bytes are still in it.

    Returns:
        The number of rows and runs erased.

    Raises:
        WarehouseError: as `trace`; or no row mentions the person, and the person was not erased before.
    """
    connection.execute(
        "UPDATE topo.workspace SET hash_key = coalesce(hash_key, $drawn)", {"drawn": secrets.token_hex(32)}
    )
    subjects = _find(connection, person_id)
    erased = _count(connection, subjects)
    if _count(connection, _Subjects([person_id], [], [])) == NOTHING and not _is_recorded(connection, person_id):
        raise WarehouseError(f"No landed row mentions {person_id}. Nothing was erased. Check the id.")
    _delete(connection, subjects, now=now)
    return erased


def erased_subjects(connection: DuckDBPyConnection) -> ErasedSubjects:
    """Return the erased subjects of this warehouse, for `apply_erasures` on another one."""
    [(hash_key,)] = connection.execute("SELECT max(hash_key) FROM topo.workspace").fetchall()
    hashes = connection.execute("SELECT id_hash, forgotten_at FROM topo.forgotten").fetchall()
    return ErasedSubjects(hash_key, dict(hashes))


def apply_erasures(connection: DuckDBPyConnection, known: ErasedSubjects, *, now: datetime) -> Trace:
    """Copy the erased subjects of another warehouse of this workspace to this one, and erase them here like `erase`.

    Returns:
        The number of rows and runs erased.

    Raises:
        WarehouseError: both have erased subjects, hashed with different keys, so the two sets can't be merged.
    """
    own = erased_subjects(connection)
    if not known.hashes.keys() - own.hashes.keys():
        return NOTHING
    if own.hashes and own.hash_key != known.hash_key:
        raise WarehouseError("The erased ids of this copy and the warehouse can't be merged: they have different keys.")
    connection.execute("UPDATE topo.workspace SET hash_key = $key", {"key": known.hash_key})
    for id_hash in known.hashes.keys() - own.hashes.keys():
        connection.execute("INSERT INTO topo.forgotten VALUES (?, ?)", [id_hash, known.hashes[id_hash]])
    define_erasure_macros(connection)
    subjects = _follow_links(connection, [id_ for (id_,) in connection.execute(_MENTIONED_ERASED_IDS).fetchall()])
    erased = _count(connection, subjects)
    _delete(connection, subjects, now=now)
    return erased


def _delete(connection: DuckDBPyConnection, subjects: "_Subjects", *, now: datetime) -> None:
    """Record the hashes of the subjects, count their rows in the ledger and delete the rows."""
    ids = [str(id_) for id_ in (*subjects.people, *subjects.runs)]
    connection.execute(_RECORD, {"ids": ids, "resources": subjects.resources, "now": now})
    connection.execute(_COUNT_IN_LEDGER, subjects.parameters_of(_COUNT_IN_LEDGER))
    for rows in _ROWS.values():
        connection.execute(f"DELETE FROM {rows}", subjects.parameters_of(rows))  # noqa: S608 - only the constants above


@dataclass(frozen=True)
class _Subjects:
    """People, their runs and the resources that only their rows name: the parameters of the statements above."""

    people: list[uuid.UUID]
    runs: list[uuid.UUID]
    resources: list[str]

    def parameters_of(self, statement: str) -> dict[str, object]:
        """Return the parameters that a statement uses: DuckDB rejects any others."""
        named = "|".join(id_.hex for id_ in (*self.people, *self.runs)) or _MATCHES_NOTHING
        values = {"people": self.people, "runs": self.runs, "resources": self.resources, "named": named}
        return {name: value for name, value in values.items() if f"${name}" in statement}


def _find(connection: DuckDBPyConnection, person_id: uuid.UUID) -> _Subjects:
    _refuse_other_objects(connection, person_id)
    define_erasure_macros(connection)
    return _follow_links(connection, [person_id])


def _follow_links(connection: DuckDBPyConnection, people: list[uuid.UUID]) -> _Subjects:
    """Collect the people's runs and linked resources until a pass finds no new ones."""
    subjects, before = _Subjects(people, [], []), None
    subjects = replace(subjects, runs=_column(connection, _RUNS, subjects))
    while subjects != before:
        before = subjects
        subjects = replace(subjects, resources=_column(connection, _LINKED_RESOURCES, subjects))
    return subjects


def _column(connection: DuckDBPyConnection, statement: str, subjects: _Subjects) -> list[Any]:
    return sorted(value for (value,) in connection.execute(statement, subjects.parameters_of(statement)).fetchall())


def _is_recorded(connection: DuckDBPyConnection, id_: uuid.UUID) -> bool:
    found = connection.execute("SELECT 1 FROM topo.forgotten WHERE id_hash = keyed_hash($id)", {"id": id_}).fetchone()
    return found is not None


def _refuse_other_objects(connection: DuckDBPyConnection, id_: uuid.UUID) -> None:
    """Refuse ids of other objects. An organization's id is in every row: erasing it would keep the warehouse empty."""
    if connection.execute("SELECT 1 FROM topo.loads LIMIT 1").fetchone() is None:
        raise WarehouseError("Nothing has been landed in this warehouse, so there is no person to erase.")
    if found := connection.execute(_OTHER_OBJECTS, {"id": id_}).fetchone():
        raise WarehouseError(f"{id_} is the id of {found[0]}, not of a person. Nothing was erased.")


def _count(connection: DuckDBPyConnection, subjects: _Subjects) -> Trace:
    counts = {
        kind: connection.execute(f"SELECT count(*) FROM {rows}", subjects.parameters_of(rows)).fetchall()[0][0]  # noqa: S608
        for kind, rows in _ROWS.items()
    }
    return Trace(**counts, runs=len(subjects.runs))
