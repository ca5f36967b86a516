"""The code location as Dagster's tools load it."""

import os
import subprocess
import sys
from datetime import date, datetime, time
from pathlib import Path

import dagster as dg
import pytest

from topo_pipeline.definitions import build, defs
from topo_pipeline.defs.activities import LISTS
from topo_pipeline.engagement.tables import tables
from topo_pipeline.settings import Settings
from topo_pipeline_tests.conftest import PATIENCE
from topo_pipeline_tests.engagement.helpers import TABLES

BIN = Path(sys.executable).parent


def run(folder: Path, *command: str) -> subprocess.CompletedProcess[str]:
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("TOPO_", "DAGSTER_"))}
    return subprocess.run(  # noqa: S603
        [str(BIN / command[0]), *command[1:]],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )


@pytest.mark.parametrize(
    "command",
    [
        ("dg", "check", "defs"),
        # orchestration/test_dev.py loads the same workspace.yaml, which `dev` copies
        pytest.param(("dagster", "definitions", "validate", "-w", "workspace.yaml"), marks=pytest.mark.full),
        pytest.param(("dagster", "definitions", "validate"), marks=pytest.mark.full),
    ],
    ids=" ".join,
)
def test_dagsters_tools_load_the_definitions_without_a_key_or_a_warning(
    checkout_copy: Path, command: tuple[str, ...]
) -> None:
    result = run(checkout_copy, *command)
    assert result.returncode == 0, result.stdout + result.stderr
    ours = [
        line
        for line in (result.stdout + result.stderr).splitlines()
        if "Warning" in line and "SupersessionWarning" not in line
    ]
    assert ours == []
    if "validate" in command:
        assert "code location topo_pipeline." in result.stdout + result.stderr
    assert "virtual environment" not in result.stderr


def test_loading_the_definitions_imports_no_slow_libraries(tmp_path: Path) -> None:
    """Dagster loads the definitions for every run, and these imports would take most of the time."""
    http = {"httpx", "anyio", "aiolimiter"}
    slow = http | {"vl_convert", "duckdb", "pandas", "numpy", "msgspec", "psutil", "sqlalchemy", "stamina"}
    loads = f"import sys, topo_pipeline.definitions; print({slow} & {{*sys.modules}})"
    loaded = run(tmp_path, "python", "-W", "ignore", "-c", loads)
    assert loaded.stdout == "set()\n", loaded.stderr


def test_every_asset_has_a_description_an_owner_and_a_kind() -> None:
    specs = list(defs.resolve_all_asset_specs())
    assert {spec.key.to_user_string() for spec in specs} == {
        "topo/activities", *(f"topo/{table}" for table in LISTS), *(f"engagement/{table}" for table in TABLES),
        "publish/engagement_report", "publish/parquet",
    }  # fmt: skip
    for spec in specs:
        assert spec.group_name == spec.key.path[0]
        assert spec.description
        assert spec.owners
        assert "duckdb" in spec.kinds
        if spec.group_name != "publish":
            assert spec.metadata["dagster/table_name"] == ".".join(spec.key.path)


def test_only_the_activities_and_daily_tables_are_partitioned() -> None:
    partitioned = {s.key.to_user_string(): s.partitions_def for s in defs.resolve_all_asset_specs() if s.partitions_def}
    daily = {f"engagement/{table.name}" for table in tables().values() if table.is_daily}
    assert set(partitioned) == {"topo/activities", *daily} >= {"engagement/sequence_activity"}
    assert all(isinstance(definition, dg.DailyPartitionsDefinition) for definition in partitioned.values())


def test_two_code_locations_in_one_process_use_their_own_settings() -> None:
    tokyo = Settings(_env_file=None, timezone="Asia/Tokyo", start_date=date(2025, 11, 3))
    utc = Settings(_env_file=None, timezone="UTC", start_date=date(2026, 2, 1))
    for settings, built in [(settings, build(settings)) for settings in (tokyo, utc)]:
        specs = list(built.resolve_all_asset_specs())
        [daily] = {spec.partitions_def for spec in specs if spec.partitions_def}
        first = daily.get_first_partition_key()
        assert first == str(settings.start_date)
        midnight = datetime.combine(settings.start_date, time.min, settings.zone)
        assert daily.time_window_for_partition_key(first).start == midnight
        jobs = [built.resolve_job_def(name).partitions_def for name in ("refresh", "publish", "reread_replies")]
        assert jobs == [daily, None, None]
        assert {spec.freshness_policy.timezone for spec in specs if spec.freshness_policy} == {settings.timezone}
        schedules = built.get_repository_def().schedule_defs
        assert {schedule.execution_timezone for schedule in schedules} == {settings.timezone}
        assert (built.resources or {})["settings"] is settings
        assert (built.resources or {})["topo"].settings is settings


def test_tables_depend_on_what_their_sql_reads() -> None:
    deps = {spec.key.path[-1]: {dep.asset_key.path[-1] for dep in spec.deps} for spec in defs.resolve_all_asset_specs()}
    assert deps["sequence_activity"] == deps["sequence_runs"] == {"activities"}
    assert deps["sequence_daily"] == {"activities", "sequence_activity", "sequence_runs", "sequence_templates"}
    assert deps["sequence_cohorts"] == {"activities", "sequence_runs"}
    assert deps["sequence_summary"] == {
        "activities", "sequence_cohorts", "sequence_daily", "sequence_runs", "sequence_templates"
    }  # fmt: skip
    assert deps["sequence_timing"] == {"activities", "sequence_runs"}
    assert deps["sequence_volumes"] == {"activities", "sequence_daily", "sequence_templates", "workspace_daily"}
    assert deps["workspace_daily"] == deps["workspace_weekly"] == {"activities", "sequence_cohorts", "sequence_daily"}
    assert deps["sequence_trends"] == {"activities", "sequence_cohorts"}
    assert deps["sequence_signals"] == {
        "activities", "reply_timing", "sequence_runs", "sequence_summary", "sequence_templates"
    }  # fmt: skip
    assert deps["sequence_channels"] == {"activities", "sequence_runs"}
    assert deps["sequence_steps"] == {"activities", "sequence_channels", "sequence_runs"}


def test_every_job_schedule_sensor_and_check_has_a_description() -> None:
    everything = Settings(
        _env_file=None,
        warehouse="ducklake:topo.ducklake",
        alert_webhook="https://hooks.example/topo",
        publish_postgres="postgresql://topo@database.example/topo",
    )
    definitions = build(everything)
    repository, graph = definitions.get_repository_def(), definitions.resolve_asset_graph()
    jobs = [repository.get_job(job.name) for job in definitions.jobs or []]
    named = [*jobs, *repository.schedule_defs, *repository.sensor_defs]
    assert {"maintain_lake", "send_report", "nightly_maintenance_schedule"} <= {each.name for each in named}
    assert [each.name for each in named if not each.description] == []
    assert [key for key in graph.asset_check_keys if not graph.get(key).description] == []
    assert [spec.key for spec in definitions.resolve_all_asset_specs() if not spec.description] == []


def test_every_table_has_one_step_of_checks_in_the_warehouse_pool() -> None:
    graph = defs.resolve_asset_graph()
    checks = {key.to_user_string(): graph.get(key) for key in graph.asset_check_keys}
    checked = {"topo/activities", *(f"engagement/{table}" for table in TABLES)}
    assert {name.partition(":")[0] for name in checks} == checked
    assert {f"engagement/{table}:key_is_unique" for table in TABLES} <= set(checks)
    # A check with its own condition would no longer run together with its asset.
    assert [name for name, node in checks.items() if node.automation_condition] == []
    pools = [step.node_def.pools for step in defs.asset_checks or []]
    assert pools.count({"warehouse"}) == len(checked)
    assert pools.count({"topo_api"}) == len(pools) - len(checked) == 1  # the one that queries Topo


def test_only_sensors_that_call_no_api_run_by_default() -> None:
    running = {sensor.name for sensor in defs.sensors or [] if sensor.default_status.value == "RUNNING"}
    assert running == {"tables_follow_what_landed", "killed_runs_sensor"}
    assert "run_alert_sensor" in {sensor.name for sensor in defs.sensors or []}


def test_assets_that_read_the_api_and_tables_use_different_pools() -> None:
    pools = {
        key.to_user_string(): node.pools
        for key in defs.resolve_asset_graph().get_all_asset_keys()
        for node in [defs.resolve_asset_graph().get(key)]
    }
    assert pools == {name: {"topo_api" if name.startswith("topo/") else "warehouse"} for name in pools}
