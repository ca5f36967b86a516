"""The event log whose databases stay open."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import pytest

from topo_pipeline.orchestration.event_log import MOST_OPEN, EventLog
from topo_pipeline.orchestration.instance import opened

DAGSTERS = """
import sys, dagster as dg
with dg.DagsterInstance.from_config(sys.argv[1]) as instance:
    print(type(instance.event_log_storage).__name__, flush=True)
    for number in range(20):
        instance.report_engine_event(f"theirs {number}", job_name="job", run_id="run")
        instance.report_runless_asset_event(dg.AssetMaterialization("asset", partition=f"theirs {number}"))
"""


@pytest.fixture
def home(tmp_path: Path) -> Path:
    (tmp_path / "dagster.yaml").touch()
    return tmp_path


@pytest.fixture
def instance(home: Path) -> Iterator[dg.DagsterInstance]:
    with opened(home) as instance:
        yield instance


@pytest.mark.parametrize("run_id", ["a-run", None])
def test_each_database_is_opened_once(instance: dg.DagsterInstance, run_id: str | None) -> None:
    log = instance.event_log_storage
    assert isinstance(log, EventLog)

    def handle() -> object:
        with log.run_connection(run_id) if run_id else log.index_connection() as connection:
            return connection.connection.dbapi_connection

    assert handle() is handle()


def test_few_databases_stay_open_however_many_runs_are_read(instance: dg.DagsterInstance) -> None:
    for number in range(3 * MOST_OPEN):
        instance.report_engine_event("event", job_name="job", run_id=f"run-{number}")
    own = Path("/proc/self/fd")
    opened = {str(file.readlink()) for file in own.iterdir() if file.is_symlink()}
    assert 0 < len([name for name in opened if name.endswith(".db")]) <= MOST_OPEN + 2  # of runs, and of schedules
    assert [entry.message for entry in instance.all_logs("run-0")] == ["event"]


def test_another_process_with_dagsters_class_writes_the_same_events_at_the_same_time(
    instance: dg.DagsterInstance, home: Path
) -> None:
    words = [sys.executable, "-c", DAGSTERS, str(home)]
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as other:  # noqa: S603 - our own words
        assert other.stdout is not None
        assert other.stdout.readline() == "SqliteEventLogStorage\n"
        for number in range(20):
            instance.report_engine_event(f"ours {number}", job_name="job", run_id="run")
            instance.report_runless_asset_event(dg.AssetMaterialization("asset", partition=f"ours {number}"))
    assert other.returncode == 0
    expected = {f"{whose} {number}" for whose in ("ours", "theirs") for number in range(20)}
    with dg.DagsterInstance.from_config(str(home)) as theirs:
        for each in (instance, theirs):
            assert {entry.message for entry in each.all_logs("run")} == expected
            assert each.get_materialized_partitions(dg.AssetKey("asset")) == expected


def test_what_fails_within_a_connection_is_rolled_back(instance: dg.DagsterInstance) -> None:
    log = instance.event_log_storage
    instance.report_runless_asset_event(dg.AssetMaterialization("asset"))
    with pytest.raises(RuntimeError), log.index_connection() as connection:
        connection.exec_driver_sql("DELETE FROM event_logs")
        raise RuntimeError
    assert instance.get_latest_materialization_event(dg.AssetKey("asset"))


def test_closing_the_instance_closes_the_databases(home: Path) -> None:
    with opened(home) as instance:
        instance.report_engine_event("event", job_name="job", run_id="run")
        assert [*home.rglob("*.db-wal")]
    assert not [*home.rglob("*.db-wal")]  # SQLite removes it when the last connection is closed


def test_another_event_log_in_dagster_yaml_is_used(home: Path) -> None:
    log = {"module": "dagster._core.storage.event_log", "class": "ConsolidatedSqliteEventLogStorage"}
    (home / "dagster.yaml").write_text(f"event_log_storage: {log | {'config': {'base_dir': str(home)}}}")
    with opened(home) as instance:
        assert type(instance.event_log_storage).__name__ == log["class"]
