"""The Dagster instance of the UI, the daemon and the command line."""

import shutil
import socket
from collections.abc import Callable
from pathlib import Path

import dagster as dg
import pytest
import yaml
from dagster._core.definitions.run_request import InstigatorType
from sqlalchemy.exc import SQLAlchemyError

from topo_pipeline.definitions import defs
from topo_pipeline.orchestration.errors import HomeUnusable, UnderWay
from topo_pipeline.orchestration.instance import POOLS, opened, pool_limits, prepare, require_no_runs_under_way
from topo_pipeline.sandbox.demo import FOLDER
from topo_pipeline.warehouse.connection import Warehouse
from topo_pipeline.warehouse.errors import WarehouseError
from topo_pipeline_tests.command_line import answer, assert_one_sentence
from topo_pipeline_tests.defs.conftest import SETTINGS
from topo_pipeline_tests.limits import umask
from topo_pipeline_tests.orchestration.test_orphaned_runs import prepared, started


@pytest.fixture(autouse=True)
def _environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DAGSTER_HOME", "")  # prepare sets it; this restores it afterwards


def test_a_new_home_limits_pools_to_one_and_has_no_telemetry(tmp_path: Path) -> None:
    prepare(tmp_path / "deep" / "home")
    with dg.DagsterInstance.get() as instance:
        assert Path(instance.root_directory) == tmp_path / "deep" / "home"
        assert instance.telemetry_enabled is False
        assert instance.run_monitoring_enabled
        assert instance.run_retries_enabled is False
        concurrency = instance.get_concurrency_config()
        assert concurrency.pool_config.pool_granularity.name == "OP"
        assert concurrency.pool_config.default_pool_limit == 1
        assert instance.run_monitoring_max_runtime_seconds == 12 * 3600


def test_pools_without_a_limit_get_one_and_a_limit_that_was_set_stays(tmp_path: Path) -> None:
    (tmp_path / "dagster.yaml").write_text("concurrency: {pools: {granularity: op}}")
    prepare(tmp_path)
    with opened(tmp_path) as instance:
        assert pool_limits(instance) == {"topo_api": 1, "warehouse": 1}
        instance.event_log_storage.set_concurrency_slots("warehouse", 2)
    prepare(tmp_path)
    with opened(tmp_path) as instance:
        assert pool_limits(instance) == {"topo_api": 1, "warehouse": 2}


def test_the_pools_that_are_limited_are_those_of_the_definitions() -> None:
    assert {pool for job in defs.resolve_all_job_defs() for pool in job.graph.pools} == set(POOLS)


def test_skipped_sensor_ticks_are_kept_for_days_and_others_for_weeks(tmp_path: Path) -> None:
    prepare(tmp_path)
    with dg.DagsterInstance.get() as instance:
        for kind in InstigatorType:
            days = {status.value: kept for status, kept in instance.get_tick_retention_settings(kind).items()}
            assert 30 <= days["FAILURE"] <= 90
            assert days["SUCCESS"] == 90
            assert days["SKIPPED"] == (90 if kind is InstigatorType.SCHEDULE else 3)


def test_an_existing_dagster_yaml_is_not_changed(tmp_path: Path) -> None:
    (tmp_path / "dagster.yaml").write_text("telemetry:\n  enabled: true\n")
    prepare(tmp_path)
    assert yaml.safe_load((tmp_path / "dagster.yaml").read_text()) == {"telemetry": {"enabled": True}}


@pytest.fixture(scope="module")
def undamaged(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home with a run in it, to be copied and damaged."""
    home = prepared(tmp_path_factory.mktemp("undamaged") / "home")
    with opened(home) as instance:
        started(instance, "")
    return home


@pytest.fixture
def home(undamaged: Path, tmp_path: Path) -> Path:
    return shutil.copytree(undamaged, tmp_path / "home")


def garbage(file: Path) -> None:
    file.write_bytes(b"no database " * 1000)


def cut_short(file: Path) -> None:
    file.write_bytes(file.read_bytes()[:-5000])


def a_folder(file: Path) -> None:
    file.unlink()
    file.mkdir()


def written(text: bytes) -> Callable[[Path], None]:
    return lambda file: file.write_bytes(text) and None


DAMAGES = [
    *(
        pytest.param(name, damage, marks=() if number == kind else pytest.mark.full)
        for number, name in enumerate(("history/runs.db", "history/runs/index.db", "schedules/schedules.db"))
        for kind, damage in enumerate((garbage, cut_short, a_folder))
    ),
    ("dagster.yaml", a_folder),
    *(
        ("dagster.yaml", written(text))
        for text in (b"- a\n- list", b"a text", b"concurrency: [", b"\xff\xfe\x00", b"no_such_key: 1", b"telemetry: 3")
    ),
    ("dagster.yaml", written(b"storage: {postgres: {postgres_url: {env: NOT_SET_ANYWHERE}}}")),
]


@pytest.mark.parametrize(("name", "damage"), DAMAGES)
def test_a_damaged_home_is_reported_with_its_file_and_works_without_it(
    home: Path, name: str, damage: Callable[[Path], None]
) -> None:
    file = home / name
    damage(file)
    with pytest.raises(HomeUnusable) as raised, opened(home):
        pytest.fail("it opened")
    assert str(file) in raised.value.found
    assert "\n" not in str(raised.value)
    assert "move" in raised.value.do.lower()
    assert raised.value.__suppress_context__  # Dagster's error is not part of the traceback
    file.rename(f"{file}.damaged")
    prepare(home)
    with opened(home) as instance:
        instance.get_runs()


def test_records_found_damaged_while_reading_are_reported_with_their_file(home: Path) -> None:
    with pytest.raises(HomeUnusable) as raised, opened(home) as instance:
        [run] = instance.get_runs()
        file = home / "history" / "runs" / f"{run.run_id}.db"
        instance.event_log_storage.dispose()
        garbage(file)
        instance.all_logs(run.run_id)
    assert str(file) in raised.value.found


def test_other_database_errors_are_reported_with_their_own_message(home: Path) -> None:
    with pytest.raises(HomeUnusable, match="the disk is full"), opened(home):
        raise SQLAlchemyError("the disk is full")


def test_errors_other_than_database_errors_pass_through(home: Path) -> None:
    with pytest.raises(ZeroDivisionError), opened(home):
        raise ZeroDivisionError


COMMANDS: list[tuple[str, ...]] = [
    ("backfill", "2026-03-01", "2026-03-01"),
    ("demo",),
    ("dev",),
    ("restore", "old.duckdb", "--yes"),
]


@pytest.mark.parametrize("name", ["history/runs.db", "dagster.yaml"])
@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command[0])
def test_commands_report_a_damaged_home_in_one_line(
    tmp_path: Path, home: Path, command: tuple[str, ...], name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("topo_pipeline.cli.backfill._check", lambda: None)  # it calls Topo before the home is opened
    if command == ("demo",):
        (tmp_path / FOLDER).mkdir(parents=True)
        home = home.rename(tmp_path / FOLDER / "dagster")
    Warehouse(str(tmp_path / "old.duckdb")).prepare()
    garbage(home / name)
    assert_one_sentence(answer(tmp_path, *command, DAGSTER_HOME=str(home)), str(home / name), "ove ")


def test_a_new_home_is_private_and_an_existing_one_keeps_its_mode(tmp_path: Path) -> None:
    with umask(0):
        prepare(tmp_path / "deep" / "home")
    assert (tmp_path / "deep" / "home").stat().st_mode & 0o777 == 0o700
    (tmp_path / "deep" / "home").chmod(0o750)
    prepare(tmp_path / "deep" / "home")
    assert (tmp_path / "deep" / "home").stat().st_mode & 0o777 == 0o750


def test_a_link_in_the_home_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "precious").write_text("precious")
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / "workspace.yaml").symlink_to(tmp_path / "precious")
    with pytest.raises(WarehouseError, match=r"workspace.yaml can't be written: it is a symbolic link"):
        prepare(tmp_path / "home")
    assert (tmp_path / "precious").read_text() == "precious"


@pytest.mark.parametrize("machine", [socket.gethostname(), "elsewhere"])
def test_the_process_of_a_run_in_progress_is_named_only_on_this_machine(tmp_path: Path, machine: str) -> None:
    with opened(prepared(tmp_path / "home")) as instance:
        started(instance, f"{machine}:4321:{{run}}")
        with pytest.raises(UnderWay, match="is in progress. Wait for it to end, or stop it in Dagster's UI") as error:
            require_no_runs_under_way(instance, SETTINGS)
    assert ("end its process 4321 (kill 4321)" in str(error.value)) is (machine != "elsewhere")
