"""A shared lake: one writer at a time, readers that see one moment, and what happens when a connection is lost."""

import os
import signal
import stat
from collections.abc import Iterator
from contextlib import nullcontext
from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import UUID

import pytest

from topo_pipeline.warehouse import erasure
from topo_pipeline.warehouse.connection import Warehouse
from topo_pipeline.warehouse.errors import WarehouseError, WarehouseInUse, WriteConflict
from topo_pipeline.warehouse.places import LakeStorage, SharedLake
from topo_pipeline.warehouse.workspace import bind_timezone
from topo_pipeline_tests.conftest import PATIENCE
from topo_pipeline_tests.limits import umask
from topo_pipeline_tests.warehouse.builders import (
    DAY,
    LATER,
    NEXT_DAY,
    activity,
    ask,
    land_into,
    landing_in,
    noon,
    payloads,
    reading,
    records,
    uuid_of,
)
from topo_pipeline_tests.warehouse.conftest import SetHook, prepared_with, shared_lake
from topo_pipeline_tests.warehouse.processes import Child
from topo_pipeline_tests.warehouse.worker import WORKERS_ROW, say_when_waiting, worker

if TYPE_CHECKING:
    from topo_pipeline_tests.services.postgres import Database, Postgres
    from topo_pipeline_tests.services.s3 import Bucket, Proxy

ADA = "ada00000-0000-4000-8000-000000000001"
BOB = "b0b00000-0000-4000-8000-000000000002"
# The sessions of this database that hold an advisory lock, and all others but the one that asks.
LOCKING = "SELECT pid FROM pg_locks WHERE locktype = 'advisory' AND granted"
OTHERS = "SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
ROWS_EACH = 5


@pytest.fixture(scope="module")
def prepared_lake(postgres: "Postgres", tmp_path_factory: pytest.TempPathFactory) -> "Iterator[tuple[Database, Path]]":
    """Create a shared lake with one landed day, to be copied."""
    with prepared_with(lambda lake: land_into(lake, reading(*rows_of(DAY))), postgres, tmp_path_factory) as prepared:
        yield prepared


def end_sessions(database: "Database", which: str) -> int:
    """End these sessions of Postgres and return their number."""
    with database.connect() as session:
        found = session.execute(f"SELECT pg_terminate_backend(pid) FROM ({which}) AS ended".encode())  # noqa: S608
        return len(found.fetchall())


def rows_of(day: date, worker_number: int = 0) -> list[tuple[str, Any, str]]:
    first = 1_000 * day.toordinal() + 100 * worker_number
    return [activity(first + n, {"type": "message.sent"}, noon(day) + timedelta(seconds=n)) for n in range(ROWS_EACH)]


def assert_every_row_once(warehouse: Warehouse, days: list[date]) -> None:
    """Check that each day has its rows once, and that the ledger says the same."""
    counted = ask(warehouse, "SELECT day, count(*), count(DISTINCT id) FROM topo.activities GROUP BY day ORDER BY day")
    assert counted == [(day, ROWS_EACH, ROWS_EACH) for day in days]
    assert ask(warehouse, "SELECT day, rows FROM landed_days ORDER BY day") == [(day, ROWS_EACH) for day in days]


def land_days(warehouse: Warehouse, days: list[date], pipe: Any) -> None:
    """Land the days one after the other, once the test says so. Run in a process of its own."""
    pipe.send("ready")
    pipe.recv()
    for day in days:
        land_into(warehouse, reading(*rows_of(day), day=day))
    pipe.send("landed")


def together(warehouse: Warehouse, shares: list[list[date]]) -> list[list[str]]:
    """Land each share of days in a process of its own, all at once, and return what the processes report."""
    children = [Child(land_days, warehouse, days) for days in shares]
    assert [child.receive() for child in children] == ["ready"] * len(children)
    for child in children:
        child.pipe.send("go")
    return [child.receive_all() for child in children]


def days_from(first: date, count: int) -> list[date]:
    return [first + timedelta(days=n) for n in range(count)]


def test_its_name_and_the_error_of_a_database_that_cannot_be_reached_do_not_have_the_password(
    shared: Warehouse, postgres_database: "Database"
) -> None:
    name = f"ducklake:postgres://127.0.0.1:{postgres_database.port}/{postgres_database.name}/topo"
    assert shared.name == name
    for text in (repr(shared), repr(shared.place), name):
        assert "pg_test_" not in text
    unreachable = replace(shared, target=shared.target.replace("port=", "port=1 dbname=x connect_timeout=1 port=1"))
    wrong = replace(shared, target=shared.target.replace("password=", "password=wrong_"))
    for open_as in (unreachable.transaction, unreachable.reader, wrong.transaction, wrong.reader):
        with pytest.raises(WarehouseError, match="can't be opened") as caught:
            open_as().__enter__()
        assert "\n" not in str(caught.value)
        assert "pg_test_" not in f"{caught.value!r} {caught.value.__cause__!r} {caught.value.__context__!r}"


def test_an_invalid_connection_string_is_an_error_that_does_not_quote_it(tmp_path: Path) -> None:
    with pytest.raises(WarehouseError, match="no valid connection string") as caught:
        Warehouse("ducklake:postgres:host=x secret", storage=LakeStorage(str(tmp_path))).exists()
    assert "secret" not in str(caught.value)


def test_the_writer_that_holds_the_lock_is_named_after_the_waiting_time(shared: Warehouse, on_waiting: SetHook) -> None:
    waits: list[None] = []
    on_waiting(lambda: waits.append(None))
    with worker(shared, "hold", DAY) as holder:
        holder.expect("inside")
        who = rf"in use by topo-pipeline \(process {holder.process.pid} on .*, session \d+ of Postgres\)"
        for use in ("transaction", "exclusive", "prepare", "compact", "maintain"):
            with pytest.raises(WarehouseInUse, match=who) as caught:
                getattr(replace(shared, wait_seconds=0.01), use)().__enter__()
            assert caught.value.process == holder.process.pid
        holder.resume()
        holder.expect("landed")
    assert len(waits) == 5
    assert payloads(shared).keys() == {uuid_of(WORKERS_ROW)}


def test_a_reader_does_not_wait_and_sees_one_moment(shared: Warehouse) -> None:
    with shared.reader() as connection:
        before = connection.execute("SELECT count(*) FROM topo.loads").fetchall()
        land_into(shared, reading(*rows_of(NEXT_DAY), day=NEXT_DAY))
        shared.maintain()
        assert connection.execute("SELECT count(*) FROM topo.loads").fetchall() == before
        assert connection.execute("SELECT DISTINCT day FROM topo.activities").fetchall() == [(DAY,)]
    assert_every_row_once(shared, [DAY, NEXT_DAY])


def test_without_the_lock_a_transaction_is_not_committed(shared: Warehouse, postgres_database: "Database") -> None:
    with pytest.raises(WarehouseError, match="lock on the warehouse .* was lost"), landing_in(shared) as (_, land):
        land(reading(*rows_of(NEXT_DAY), day=NEXT_DAY))
        assert end_sessions(postgres_database, LOCKING) == 1
    assert_every_row_once(shared, [DAY])
    land_into(shared, reading(*rows_of(NEXT_DAY), day=NEXT_DAY))
    assert_every_row_once(shared, [DAY, NEXT_DAY])


def test_if_the_lock_is_lost_after_the_check_ducklake_refuses_the_second_of_two_loads_of_a_day(
    shared: Warehouse, postgres_database: "Database", monkeypatch: pytest.MonkeyPatch
) -> None:
    commit = Warehouse._commit  # noqa: SLF001 - the moment between the check and the commit
    interrupted: list[int] = []

    def commit_late(warehouse: Warehouse, connection: Any) -> None:
        if not interrupted:
            interrupted.append(end_sessions(postgres_database, LOCKING))
            land_into(shared, reading(*rows_of(NEXT_DAY), day=NEXT_DAY))
        commit(warehouse, connection)

    monkeypatch.setattr(Warehouse, "_commit", commit_late)
    with pytest.raises(WriteConflict, match="conflict .*another transaction") as caught:
        land_into(shared, reading(*rows_of(NEXT_DAY), day=NEXT_DAY))
    assert interrupted == [1]
    assert "\n" not in str(caught.value)
    assert_every_row_once(shared, [DAY, NEXT_DAY])


def test_a_lost_connection_is_a_warehouse_error(shared: Warehouse, postgres_database: "Database") -> None:
    for open_as in (shared.reader, shared.transaction):
        with pytest.raises(WarehouseError, match="can't be used"), open_as() as connection:
            assert end_sessions(postgres_database, OTHERS) >= 1
            connection.execute("SELECT count(*) FROM topo.activities").fetchall()
    assert_every_row_once(shared, [DAY])


@pytest.mark.full  # for the warehouse it is a lost connection, as in the test above
def test_postgres_may_be_restarted_during_a_load(shared: Warehouse, postgres: "Postgres") -> None:
    with pytest.raises(WarehouseError), landing_in(shared) as (_, land):
        land(reading(*rows_of(NEXT_DAY), day=NEXT_DAY))
        postgres.restart(signal.SIGQUIT)
    assert_every_row_once(shared, [DAY])
    land_into(shared, reading(*rows_of(NEXT_DAY), day=NEXT_DAY))
    assert_every_row_once(shared, [DAY, NEXT_DAY])


def test_processes_land_their_days_in_a_new_lake_at_once(new_shared: Warehouse) -> None:
    days = days_from(DAY, 4)
    assert together(new_shared, [days[:2], days[2:]]) == [["landed"]] * 2
    assert_every_row_once(new_shared, days)


@pytest.mark.full
def test_eight_processes_land_24_days_of_a_new_lake_at_once(new_shared: Warehouse) -> None:
    days = days_from(DAY, 24)
    assert together(new_shared, [days[number::8] for number in range(8)]) == [["landed"]] * 8
    assert_every_row_once(new_shared, days)
    assert len(records(new_shared, "topo.loads")) == len(days)


def test_two_processes_land_the_same_day_at_once(shared: Warehouse) -> None:
    assert together(shared, [[NEXT_DAY], [NEXT_DAY]]) == [["landed"]] * 2
    assert_every_row_once(shared, [DAY, NEXT_DAY])
    added = "SELECT added FROM topo.loads WHERE day = ? ORDER BY finished_at"
    assert ask(shared, added, NEXT_DAY) == [(ROWS_EACH,), (0,)]


def test_a_landing_that_meets_an_erasure_leaves_the_person_out(shared: Warehouse) -> None:
    with shared.transaction() as connection:
        bind_timezone(connection, "UTC", now=LATER)
    people = [activity(n, {"type": "message.sent", "person_id": who}) for n, who in enumerate((ADA, BOB))]
    land_into(shared, reading(*people))
    with shared.transaction() as connection:
        child = Child(land_people, shared, people)
        assert child.receive() == "waiting"
        erasure.erase(connection, UUID(ADA), now=LATER)
    assert child.receive_all() == ["landed"]
    assert payloads(shared, NEXT_DAY).keys() == {uuid_of(11)}
    assert ADA not in str(records(shared, "topo.activities"))


def land_people(warehouse: Warehouse, people: list[tuple[str, Any, str]], pipe: Any) -> None:
    say_when_waiting(pipe)
    later = [activity(10 + n, payload, at + timedelta(days=1)) for n, (_, at, payload) in enumerate(people)]
    land_into(warehouse, reading(*later, day=NEXT_DAY), now=LATER)
    pipe.send("landed")


def test_a_killed_landing_leaves_the_old_day_and_no_lock(shared: Warehouse) -> None:
    with worker(shared, "hold", DAY) as holder:
        holder.expect("inside")
        holder.kill()
    assert_every_row_once(shared, [DAY])
    assert land_into(replace(shared, wait_seconds=PATIENCE), reading(*rows_of(DAY)), now=LATER).rows == ROWS_EACH


def test_payloads_are_never_stored_in_postgres(shared: Warehouse, postgres_database: "Database") -> None:
    for kind in ("message.sent", "message.replied"):
        land_into(shared, reading(activity(1, {"type": kind}), rejects=(("one", "odd"),)), now=LATER)
    with postgres_database.connect() as session:
        tables = session.execute(
            "SELECT inlined.table_name FROM topo.ducklake_inlined_data_tables AS inlined JOIN topo.ducklake_table"
            " USING (table_id) WHERE ducklake_table.table_name IN ('activities', 'activity_changes', 'rejects')"
        ).fetchall()
        assert tables
        for (table,) in tables:
            assert session.execute(f"SELECT 1 FROM topo.{table}".encode()).fetchall() == []  # noqa: S608


def test_activities_are_partitioned_by_month_in_a_folder_that_is_private_with_any_umask(
    new_shared: Warehouse, tmp_path: Path
) -> None:
    with umask(0):
        for day in (date(2026, 2, 28), date(2026, 3, 1)):
            land_into(new_shared, reading(*rows_of(day), day=day))
    [lake] = (tmp_path / "data").iterdir()
    assert stat.S_IMODE(lake.stat().st_mode) == 0o700
    assert new_shared.place.files() == [lake]
    folders = {path.parent.relative_to(lake).as_posix() for path in lake.rglob("*.parquet")}
    assert {"topo/activities/year=2026/month=2", "topo/activities/year=2026/month=3"} <= folders


def test_lakes_with_the_same_data_path_have_folders_of_their_own_and_one_whose_files_are_elsewhere_is_refused(
    shared: Warehouse, tmp_path: Path
) -> None:
    assert shared.storage
    other = replace(shared, storage=replace(shared.storage, schema="other"))
    land_into(other, reading(*rows_of(DAY)))
    shared.compact()
    assert_every_row_once(other, [DAY])
    moved = replace(shared, storage=replace(shared.storage, data_path=str(tmp_path / "elsewhere")))
    for use in (moved.reader, moved.transaction):
        with pytest.raises(WarehouseError, match=r"not below .* \(TOPO_LAKE_DATA_PATH\)"):
            use().__enter__()


def test_a_lake_in_s3_can_be_written_and_read(postgres_database: "Database", s3_bucket: "Bucket") -> None:
    lake = shared_lake(postgres_database, f"{s3_bucket.url}/lake", s3_bucket.environment)
    land_into(lake, reading(*rows_of(DAY)))
    assert_every_row_once(lake, [DAY])
    keys = s3_bucket.keys()
    assert any("/topo/activities/year=2026/month=3/" in key for key in keys)
    lake.compact()
    assert_every_row_once(lake, [DAY])


def test_a_load_gets_through_if_s3_answers_503_for_a_while(
    postgres_database: "Database", s3_bucket: "Bucket", s3_proxy: "Proxy"
) -> None:
    lake = shared_lake(postgres_database, f"{s3_bucket.url}/lake", dict(os.environ))
    land_into(lake, reading(*rows_of(DAY)))
    refused: list[str] = []

    def refuse_three_times(method: str, path: str) -> bool:
        refused.append(path)
        return len(refused) <= 3

    s3_proxy.refuses = refuse_three_times
    land_into(lake, reading(*rows_of(NEXT_DAY), day=NEXT_DAY))
    assert len(refused) > 3
    assert_every_row_once(lake, [DAY, NEXT_DAY])


@pytest.mark.full
def test_if_s3_keeps_answering_503_a_load_is_refused_and_the_day_stays_as_it_was(
    postgres_database: "Database", s3_bucket: "Bucket", s3_proxy: "Proxy"
) -> None:
    lake = shared_lake(postgres_database, f"{s3_bucket.url}/lake", dict(os.environ))
    land_into(lake, reading(*rows_of(DAY)))
    s3_proxy.refuses = lambda method, path: method == "PUT"
    with pytest.raises(WarehouseError, match="503"):
        land_into(lake, reading(*rows_of(NEXT_DAY), day=NEXT_DAY))
    s3_proxy.refuses = lambda method, path: False
    assert_every_row_once(lake, [DAY])
    land_into(lake, reading(*rows_of(NEXT_DAY), day=NEXT_DAY))
    assert_every_row_once(lake, [DAY, NEXT_DAY])


def test_a_reader_whose_files_a_compaction_removes_gets_an_error_and_never_other_rows(shared: Warehouse) -> None:
    with pytest.raises(WarehouseError, match="can't be used"), shared.reader() as connection:
        connection.execute("SELECT count(*) FROM topo.loads").fetchall()
        with shared.transaction() as writer:
            writer.execute("DELETE FROM topo.activities WHERE id = ?", [rows_of(DAY)[0][0]])
        shared.compact()
        connection.execute("SELECT DISTINCT payload FROM topo.activities").fetchall()


def test_a_pooler_that_gives_two_clients_one_session_is_reported_and_a_plain_server_is_none(
    shared: Warehouse, postgres_database: "Database", monkeypatch: pytest.MonkeyPatch
) -> None:
    assert shared.place.why_unlocked() is None
    with postgres_database.connect() as session:
        monkeypatch.setattr(SharedLake, "_session", lambda _: nullcontext(session))
        assert "transaction mode" in (shared.place.why_unlocked() or "")


def test_an_idle_process_holds_no_transaction_in_postgres(shared: Warehouse, postgres_database: "Database") -> None:
    land_into(shared, reading(activity(1)))
    assert records(shared, "topo.loads")
    with postgres_database.connect() as session:
        states = session.execute(f"SELECT state FROM pg_stat_activity WHERE pid IN ({OTHERS})".encode()).fetchall()  # noqa: S608
    assert set(states) == {("idle",)}


def test_a_process_sees_the_tables_and_rows_that_another_has_written_since(shared: Warehouse) -> None:
    land_into(shared, reading(activity(1)))
    assert len(records(shared, "topo.activities")) == 1
    with shared.reader(), shared.transaction() as other:  # the reader's instance is in use, so the next one is new
        other.execute("CREATE TABLE engagement.added AS SELECT 7 AS value")
    assert records(shared, "engagement.added") == [{"value": 7}]


def test_a_new_lake_with_the_name_of_a_deleted_one_is_attached_again(
    shared: Warehouse, postgres_database: "Database"
) -> None:
    land_into(shared, reading(activity(1)))
    assert len(records(shared, "topo.activities")) == 1
    with postgres_database.connect() as session:
        session.execute("DROP SCHEMA topo CASCADE")
    land_into(shared, reading(activity(2)))
    assert [row["id"] for row in records(shared, "topo.activities")] == [UUID(uuid_of(2))]
