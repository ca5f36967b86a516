"""Publishing to a Postgres schema: in one transaction, without disturbing readers."""

import json
import os
import signal
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import stamina

from topo_pipeline.exports import postgres as module
from topo_pipeline.exports.postgres import Postgres
from topo_pipeline.warehouse.errors import WarehouseError
from topo_pipeline_tests.conftest import PATIENCE
from topo_pipeline_tests.exports import readers
from topo_pipeline_tests.exports.conftest import Written
from topo_pipeline_tests.services import postgres as services
from topo_pipeline_tests.services.postgres import Database
from topo_pipeline_tests.warehouse.processes import Child

SCHEMA = 'Topo\'s "tables"'
QUOTED = '"Topo\'s ""tables"""'
READERS = (readers.by_psycopg, readers.by_duckdb_from_postgres)
COUNT = f"SELECT count(*) FROM {QUOTED}.activities".encode()  # noqa: S608


@pytest.fixture
def target(postgres_database: Database) -> Postgres:
    return Postgres(postgres_database.dsn, SCHEMA)


@pytest.fixture
def before(few_exports: tuple[Written, Written]) -> Written:
    """Two tables, which are quicker to publish than all that were exported."""
    return few_exports[0].only("topo.activities", "topo.loads")


@pytest.fixture
def after(few_exports: tuple[Written, Written]) -> Written:
    return few_exports[1].only("topo.activities", "topo.loads")


def count_in(database: Database) -> int:
    [(number,)] = select(database, COUNT)
    return int(number)


def select(database: Database, statement: str | bytes) -> list[tuple[Any, ...]]:
    with database.connect() as connection:
        cursor = connection.execute(statement if isinstance(statement, bytes) else statement.encode())
        return cursor.fetchall() if cursor.description else []


def test_every_reader_reads_the_tables_of_the_last_publication(
    few_exports: tuple[Written, Written], target: Postgres, postgres_database: Database
) -> None:
    for export in few_exports:
        export.publish(target)
        for read in READERS:
            assert read(postgres_database, SCHEMA) == export.tables


@pytest.mark.full  # smaller: the test above
def test_every_table_of_the_warehouse_is_published(
    two_exports: tuple[Written, Written], target: Postgres, postgres_database: Database
) -> None:
    for export in two_exports:
        export.publish(target)
        for read in READERS:
            assert read(postgres_database, SCHEMA) == export.tables


def test_the_table_published_has_the_manifest_and_every_column_has_its_type_and_comment(
    before: Written, after: Written, target: Postgres, postgres_database: Database
) -> None:
    before.publish(target)
    after.publish(target)
    [(written_at, as_of, manifest)] = select(postgres_database, f"TABLE {QUOTED}.published")
    assert (written_at.isoformat(), as_of.isoformat()) == (after.manifest["written_at"], after.manifest["as_of"])
    assert json.loads(manifest) == after.manifest
    described = select(
        postgres_database,
        "SELECT column_name, data_type, col_description(format('%I.%I', table_schema, table_name)::regclass, "
        "ordinal_position) FROM information_schema.columns WHERE table_name = 'activities' ORDER BY ordinal_position",
    )
    columns = after.manifest["tables"]["topo.activities"]["columns"]
    assert [(name, comment) for name, _, comment in described] == [(c["name"], c["comment"]) for c in columns]
    types = {name: kind for name, kind, _ in described}
    assert (types["id"], types["created_at"], types["day"]) == ("character varying", "timestamp with time zone", "date")


def test_readers_see_the_former_tables_until_the_end_of_their_transaction(
    before: Written, after: Written, target: Postgres, postgres_database: Database
) -> None:
    before.publish(target)
    first, second = len(before.tables["activities"]), len(after.tables["activities"])
    with postgres_database.connect() as reader:
        reader.execute("BEGIN ISOLATION LEVEL REPEATABLE READ")
        reader.execute(f"TABLE {QUOTED}.loads".encode())
        after.publish(target)  # it does not wait for the reader
        assert count_in(postgres_database) == second
        assert reader.execute(COUNT).fetchall() == [(first,)]
        reader.execute("COMMIT")
        assert reader.execute(COUNT).fetchall() == [(second,)]


def test_grants_and_views_remain(
    before: Written, after: Written, target: Postgres, postgres_database: Database
) -> None:
    before.publish(target)
    select(postgres_database, f"CREATE VIEW sends AS (TABLE {QUOTED}.activities)")
    select(postgres_database, f"GRANT SELECT ON {QUOTED}.activities TO public")
    after.publish(target)
    assert len(select(postgres_database, "TABLE sends")) == len(after.tables["activities"])
    granted = "SELECT table_name FROM information_schema.table_privileges WHERE grantee = 'PUBLIC'"
    assert ("activities",) in select(postgres_database, granted)


def test_a_table_whose_columns_have_changed_is_created_again(
    before: Written, target: Postgres, postgres_database: Database
) -> None:
    before.publish(target)
    select(postgres_database, f"ALTER TABLE {QUOTED}.loads ADD COLUMN former int")
    select(postgres_database, f"ALTER TABLE {QUOTED}.activities ALTER COLUMN day TYPE text")
    before.publish(target)
    assert readers.by_psycopg(postgres_database, SCHEMA) == before.tables


def test_a_changed_table_that_a_view_needs_is_an_error_that_names_it_and_nothing_changes(
    before: Written, after: Written, target: Postgres, postgres_database: Database
) -> None:
    before.publish(target)
    select(postgres_database, f"ALTER TABLE {QUOTED}.loads ADD COLUMN former int")
    select(postgres_database, f"CREATE VIEW landed AS (TABLE {QUOTED}.loads)")
    with pytest.raises(WarehouseError, match="because other objects depend on it"):
        after.publish(target)
    assert count_in(postgres_database) == len(before.tables["activities"])


def publish_and_be_killed(target: Postgres, export: Written, *_: Any) -> None:
    """Publish, and be killed when every table is filled and nothing is committed."""
    Postgres._comments = lambda *_: os.kill(os.getpid(), signal.SIGKILL)  # type: ignore[assignment]
    export.publish(target)


def test_a_killed_publication_leaves_every_former_row(
    before: Written, after: Written, target: Postgres, postgres_database: Database
) -> None:
    before.publish(target)
    assert Child(publish_and_be_killed, target, after, None).wait() == -signal.SIGKILL
    assert readers.by_psycopg(postgres_database, SCHEMA) == before.tables
    after.publish(target)
    assert readers.by_psycopg(postgres_database, SCHEMA) == after.tables


def test_a_file_that_cannot_be_read_leaves_every_former_row(
    before: Written, after: Written, target: Postgres, postgres_database: Database, tmp_path: Path
) -> None:
    before.publish(target)
    with pytest.raises(WarehouseError, match="can't be published to the Postgres schema"):
        replace(after, folder=tmp_path).publish(target)
    assert readers.by_psycopg(postgres_database, SCHEMA) == before.tables


def test_of_two_publications_at_the_same_time_the_second_waits_and_fails(
    before: Written, after: Written, target: Postgres, postgres_database: Database
) -> None:
    before.publish(target)
    with postgres_database.connect() as other, ThreadPoolExecutor(1) as thread:
        other.execute("BEGIN")
        other.execute(f"DELETE FROM {QUOTED}.published".encode())  # noqa: S608
        second = thread.submit(after.publish, target)
        stamina.retry(on=AssertionError, attempts=None, timeout=PATIENCE, wait_max=0.1)(_require_waiting)(
            postgres_database
        )
        other.execute("COMMIT")
        with pytest.raises(WarehouseError, match="could not serialize access due to concurrent"):
            second.result(PATIENCE)
    assert count_in(postgres_database) == len(before.tables["activities"])


def test_a_publication_waits_for_a_lock_no_longer_than_the_timeout(
    before: Written, target: Postgres, postgres_database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_LOCK_TIMEOUT", "50ms")
    before.publish(target)
    with postgres_database.connect() as reader:
        reader.execute("BEGIN")
        reader.execute(COUNT)
        select(postgres_database, f"ALTER TABLE {QUOTED}.loads ADD COLUMN former int")
        before.publish(target)  # the reader has not used this table
        reader.execute("COMMIT; BEGIN")
        select(postgres_database, f"ALTER TABLE {QUOTED}.loads ADD COLUMN former int")
        reader.execute(f"TABLE {QUOTED}.loads".encode())
        with pytest.raises(WarehouseError, match="canceling statement due to lock timeout"):
            before.publish(target)


def _require_waiting(database: Database) -> None:
    assert select(database, "SELECT count(*) > 0 FROM pg_locks WHERE NOT granted") == [(True,)]


def test_an_owner_of_the_schema_alone_can_publish(
    before: Written, target: Postgres, postgres_database: Database
) -> None:
    database = postgres_database
    select(database, f"CREATE ROLE publisher_of_{database.name} LOGIN PASSWORD 'hunter2'")
    select(database, f"CREATE SCHEMA {QUOTED} AUTHORIZATION publisher_of_{database.name}")
    dsn = database.dsn.replace(services.USER, f"publisher_of_{database.name}").replace(services.PASSWORD, "hunter2")
    try:
        before.publish(replace(target, address=dsn))
        assert readers.by_psycopg(database, SCHEMA) == before.tables
    finally:
        select(database, f"DROP OWNED BY publisher_of_{database.name}; DROP ROLE publisher_of_{database.name}")


@pytest.mark.parametrize(
    ("address", "reason"),
    [
        ("host=127.0.0.1 port=9 user=u password=hunter2", "connection to server at .* Connection refused"),
        ("postgresql://u:hunter2@127.0.0.1:9/x", "connection to server at .* Connection refused"),
        ("host=127.0.0.1 password=my hunter2", "the connection string is invalid"),
        ("password='hunter2", "the connection string is invalid"),
        ("postgresql://u:hunter2@127.0.0.1:9/x?hunter2", "the connection string is invalid"),
    ],
)
def test_a_connection_that_fails_is_an_error_without_the_password(before: Written, address: str, reason: str) -> None:
    target = Postgres(address, SCHEMA)
    with pytest.raises(WarehouseError, match=reason) as error:
        before.publish(target)
    assert "hunter2" not in repr((error.value, target))
    assert error.value.__suppress_context__


def test_a_wrong_password_is_an_error_without_it(before: Written, target: Postgres) -> None:
    wrong = replace(target, address=target.address.replace(services.PASSWORD, "hunter2"))
    with pytest.raises(WarehouseError, match="password authentication failed") as error:
        before.publish(wrong)
    assert "hunter2" not in str(error.value)


def test_a_database_that_ends_during_the_publication_is_an_error_and_the_next_one_succeeds(
    few_exports: tuple[Written, Written],
    target: Postgres,
    postgres: services.Postgres,
    postgres_database: Database,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    before, after = few_exports
    before.publish(target)

    def crash(*_: Any) -> list[str]:
        postgres.restart(signal.SIGQUIT)
        return []

    with monkeypatch.context() as patch, pytest.raises(WarehouseError, match="can't be published"):
        patch.setattr(Postgres, "_comments", crash)
        after.publish(target)
    assert readers.by_psycopg(postgres_database, SCHEMA) == before.tables
    after.publish(target)
    assert readers.by_psycopg(postgres_database, SCHEMA) == after.tables
