"""Forget a person: erase what names the person or one of the person's runs, and keep it from being landed again.

Rows that name neither a person nor a run are the person's if they name a message, hot lead, meeting or task that only
rows of the person have.

What is kept is a keyed hash of each of these ids, so that a re-read can tell what to leave out. The key is the
warehouse's own and stands in it: copies of the hashes alone tell nothing, and a restored warehouse still forgets.
"""

import secrets
import uuid
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from duckdb import DuckDBPyConnection

from topo_pipeline.warehouse.errors import WarehouseError

_NO_TEXT = r"[^\s\S]"  # matches nothing; an empty pattern would match every text
# An id can be part of a longer hexadecimal number, as in p%2F<id>. In a number longer than this only the first and the
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
_NOTE = """
INSERT INTO topo.forgotten
SELECT id_hash, $now FROM (
    SELECT DISTINCT keyed_hash(unnest($ids::VARCHAR[])) AS id_hash
    UNION SELECT DISTINCT resource_hash(unnest($resources::VARCHAR[]))
)
WHERE id_hash NOT IN (SELECT id_hash FROM topo.forgotten)
"""
RESOURCES = "resources(message_id, hot_lead_id, calendar_event_id, task_id, sequence_id)"
"""Of a row: the message, hot lead, meeting, task and run that it names, each as `kind id`, or NULL."""

_LANDED = """
WITH landed AS (
    SELECT person_id, sequence_id, message_id, hot_lead_id, calendar_event_id, task_id, payload FROM topo.activities
    UNION ALL
    SELECT person_id, sequence_id, message_id, hot_lead_id, calendar_event_id, task_id, payload
    FROM topo.activity_changes
), runs_of_others AS (
    SELECT DISTINCT sequence_id FROM landed
    WHERE person_id IS NOT NULL AND sequence_id IS NOT NULL
        AND NOT list_contains($people::UUID[], person_id) AND NOT list_contains($runs::UUID[], sequence_id)
)
"""
# A row that only mentions the person is of somebody else's run. A run that was met since is known by its hash.
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
# A resource that a row of somebody else has too is not followed. A run that names nobody is a resource like another.
_THEIR_RESOURCES = f"""
{_LANDED}, theirs AS (
    SELECT DISTINCT unnest({RESOURCES}) AS resource FROM landed
    WHERE list_contains($people::UUID[], person_id) OR list_contains($runs::UUID[], sequence_id)
        OR (person_id IS NULL AND (
            list_has_any({RESOURCES}, $resources::VARCHAR[])
            OR (sequence_id IS NULL AND regexp_matches(hexadecimal(payload), $named))
        ))
    UNION
    SELECT resource FROM (SELECT DISTINCT unnest({RESOURCES}) AS resource FROM landed WHERE person_id IS NULL)
    WHERE resource_hash(resource) IN (SELECT id_hash FROM topo.forgotten)
), of_others AS (
    SELECT unnest({RESOURCES}) AS resource FROM landed
    WHERE sequence_id IN (FROM runs_of_others) OR (
        person_id IS NOT NULL AND NOT list_contains($people::UUID[], person_id)
        AND NOT coalesce(list_contains($runs::UUID[], sequence_id), false)
    )
)
SELECT resource FROM theirs WHERE resource IS NOT NULL AND resource NOT IN (
    SELECT resource FROM of_others WHERE resource IN (FROM theirs)
)
"""  # noqa: S608 - as the others: made of the constants above
_OF_THEM = (
    "(list_contains($people::UUID[], person_id) OR list_contains($runs::UUID[], sequence_id)"
    f" OR (person_id IS NULL AND list_has_any({RESOURCES}, $resources::VARCHAR[]))"
    " OR regexp_matches(hexadecimal(payload), $named))"
)
_ROWS = {
    "activities": f"topo.activities WHERE {_OF_THEM}",
    "changes": f"topo.activity_changes WHERE {_OF_THEM}",
    "rejects": (
        "topo.rejects WHERE regexp_matches(hexadecimal(raw), $named)"
        " OR list_has_any(resources_in(raw), $resources::VARCHAR[])"
    ),
}
# Whoever of the forgotten, people and runs, is named anywhere.
_FORGOTTEN_IDS = """
SELECT DISTINCT named::UUID FROM (
    SELECT DISTINCT unnest(ids_in(concat_ws(' ', payload, person_id, sequence_id))) AS named FROM topo.activities
    UNION ALL
    SELECT DISTINCT unnest(ids_in(concat_ws(' ', payload, person_id, sequence_id))) FROM topo.activity_changes
    UNION ALL SELECT DISTINCT unnest(ids_in(raw)) FROM topo.rejects
)
WHERE keyed_hash(named) IN (SELECT id_hash FROM topo.forgotten)
"""
_SUPPRESS = f"""
UPDATE topo.loads SET suppressed = suppressed + gone.rows, rows = loads.rows - gone.rows
FROM (SELECT day, count(*) AS rows FROM {_ROWS["activities"]} GROUP BY day) AS gone
WHERE loads.day = gone.day AND load_id IN (SELECT load_id FROM landed_days)
"""  # noqa: S608 - as the others: made of the constants above
_OTHER_THINGS = """
SELECT 'the organization' FROM topo.workspace WHERE organization_id = $id
UNION ALL SELECT 'a sequence' FROM topo.sequence_templates WHERE id = $id
UNION ALL SELECT 'the organization' FROM topo.activities WHERE organization_id = $id
UNION ALL SELECT 'a sequence' FROM topo.activities WHERE sequence_template_id = $id
UNION ALL SELECT 'a run' FROM topo.activities WHERE sequence_id = $id
UNION ALL SELECT 'an activity' FROM topo.activities WHERE id = $id
LIMIT 1
"""


@dataclass(frozen=True)
class Trace:
    """What the warehouse holds of a person: rows of each kind, and runs that are known to be the person's."""

    activities: int
    changes: int
    rejects: int
    runs: int


NOTHING = Trace(0, 0, 0, 0)


@dataclass(frozen=True)
class Memory:
    """Whom a warehouse leaves out: hashes of ids and when each was noted, and the key of the hashes."""

    hash_key: str | None
    hashes: dict[str, datetime]


def know_the_forgotten(connection: DuckDBPyConnection) -> None:
    """Define `ids_in(text)`, `hexadecimal(text)` and `keyed_hash(id)` on this connection."""
    [(hash_key,)] = connection.execute("SELECT max(hash_key) FROM topo.workspace").fetchall()
    connection.execute("SET VARIABLE hash_key = $key::VARCHAR", {"key": hash_key})
    connection.execute(_DEFINE)


def knows_anybody_forgotten(connection: DuckDBPyConnection) -> bool:
    """Whether anybody is forgotten; who it is, is then known as above. Mostly nobody is: there is no more to ask."""
    [(anybody,)] = connection.execute("SELECT EXISTS (FROM topo.forgotten)").fetchall()
    if anybody:
        know_the_forgotten(connection)
    return bool(anybody)


def trace(connection: DuckDBPyConnection, person_id: uuid.UUID) -> Trace:
    """Count what there is of a person.

    Raises:
        WarehouseError: nothing was ever landed, or the id is an organization's, a sequence's, a run's.
    """
    return _counted(connection, _found(connection, person_id))


def erase(connection: DuckDBPyConnection, person_id: uuid.UUID, *, now: datetime) -> Trace:
    """Erase a person from activities, change history and rejects, in the caller's transaction.

    The last load of each day notes how many rows it now leaves out. The metric tables are for the caller to rebuild,
    and the file for `compaction`: until then the bytes are still in it.

    Returns:
        What there was.

    Raises:
        WarehouseError: as `trace`; or nothing names the person, who was not forgotten before either.
    """
    connection.execute(
        "UPDATE topo.workspace SET hash_key = coalesce(hash_key, $drawn)", {"drawn": secrets.token_hex(32)}
    )
    theirs = _found(connection, person_id)
    erased = _counted(connection, theirs)
    if _counted(connection, _Theirs([person_id], [], [])) == NOTHING and not _is_noted(connection, person_id):
        raise WarehouseError(f"Nothing that is landed names {person_id}: nobody was forgotten.")
    _delete(connection, theirs, now=now)
    return erased


def memory(connection: DuckDBPyConnection) -> Memory:
    """Whom this warehouse leaves out, to be handed to `erase_again` of another one."""
    [(hash_key,)] = connection.execute("SELECT max(hash_key) FROM topo.workspace").fetchall()
    hashes = connection.execute("SELECT id_hash, forgotten_at FROM topo.forgotten").fetchall()
    return Memory(hash_key, dict(hashes))


def erase_again(connection: DuckDBPyConnection, known: Memory, *, now: datetime) -> Trace:
    """Take over whom another warehouse of this workspace has forgotten, and erase them here, as `erase` does.

    Returns:
        What there was of those who were not forgotten here.

    Raises:
        WarehouseError: both have forgotten people, under keys of their own: the ones can't be told among the others.
    """
    ours = memory(connection)
    if not known.hashes.keys() - ours.hashes.keys():
        return NOTHING
    if ours.hashes and ours.hash_key != known.hash_key:
        raise WarehouseError("It and the warehouse here have forgotten people under different keys.")
    connection.execute("UPDATE topo.workspace SET hash_key = $key", {"key": known.hash_key})
    for id_hash in known.hashes.keys() - ours.hashes.keys():
        connection.execute("INSERT INTO topo.forgotten VALUES (?, ?)", [id_hash, known.hashes[id_hash]])
    know_the_forgotten(connection)
    theirs = _of(connection, [id_ for (id_,) in connection.execute(_FORGOTTEN_IDS).fetchall()])
    erased = _counted(connection, theirs)
    _delete(connection, theirs, now=now)
    return erased


def _delete(connection: DuckDBPyConnection, theirs: "_Theirs", *, now: datetime) -> None:
    """Note who it is, and erase what is theirs; the ledger tells how many rows it leaves out now."""
    ids = [str(id_) for id_ in (*theirs.people, *theirs.runs)]
    connection.execute(_NOTE, {"ids": ids, "resources": theirs.resources, "now": now})
    connection.execute(_SUPPRESS, theirs.named_in(_SUPPRESS))
    for rows in _ROWS.values():
        connection.execute(f"DELETE FROM {rows}", theirs.named_in(rows))  # noqa: S608 - as above


@dataclass(frozen=True)
class _Theirs:
    """What selects the rows of people: the values of the statements above."""

    people: list[uuid.UUID]
    runs: list[uuid.UUID]
    resources: list[str]

    def named_in(self, statement: str) -> dict[str, object]:
        """The values that a statement names: DuckDB takes no others."""
        named = "|".join(id_.hex for id_ in (*self.people, *self.runs)) or _NO_TEXT
        values = {"people": self.people, "runs": self.runs, "resources": self.resources, "named": named}
        return {name: value for name, value in values.items() if f"${name}" in statement}


def _found(connection: DuckDBPyConnection, person_id: uuid.UUID) -> _Theirs:
    _refuse_other_things(connection, person_id)
    know_the_forgotten(connection)
    return _of(connection, [person_id])


def _of(connection: DuckDBPyConnection, people: list[uuid.UUID]) -> _Theirs:
    """Follow the ids of their rows until there are no more."""
    theirs, before = _Theirs(people, [], []), None
    theirs = replace(theirs, runs=_column(connection, _RUNS, theirs))
    while theirs != before:
        before = theirs
        theirs = replace(theirs, resources=_column(connection, _THEIR_RESOURCES, theirs))
    return theirs


def _column(connection: DuckDBPyConnection, statement: str, theirs: _Theirs) -> list[Any]:
    return sorted(value for (value,) in connection.execute(statement, theirs.named_in(statement)).fetchall())


def _is_noted(connection: DuckDBPyConnection, id_: uuid.UUID) -> bool:
    noted = connection.execute("SELECT 1 FROM topo.forgotten WHERE id_hash = keyed_hash($id)", {"id": id_}).fetchone()
    return noted is not None


def _refuse_other_things(connection: DuckDBPyConnection, id_: uuid.UUID) -> None:
    """An organization's id, say, is in every row: to forget it would empty the warehouse, and keep it empty."""
    if connection.execute("SELECT 1 FROM topo.loads LIMIT 1").fetchone() is None:
        raise WarehouseError("Nothing was ever landed in this warehouse: there is nobody to forget.")
    if found := connection.execute(_OTHER_THINGS, {"id": id_}).fetchone():
        raise WarehouseError(f"{id_} is the id of {found[0]}, not of a person: nothing was erased.")


def _counted(connection: DuckDBPyConnection, theirs: _Theirs) -> Trace:
    counts = {
        kind: connection.execute(f"SELECT count(*) FROM {rows}", theirs.named_in(rows)).fetchall()[0][0]  # noqa: S608
        for kind, rows in _ROWS.items()
    }
    return Trace(**counts, runs=len(theirs.runs))
