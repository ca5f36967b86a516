"""Old runs are deleted, and what is read from Dagster's records does not change."""

import random
import shutil
import sqlite3
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import dagster as dg
import pytest
from dagster._core.storage.asset_check_execution_record import AssetCheckExecutionRecordStatus

from topo_pipeline.automation import pruning
from topo_pipeline.defs.records import failed_days, last_loads, recorded_days
from topo_pipeline.defs.resources import utc_now
from topo_pipeline.defs.run_maintenance import old_records_sensor
from topo_pipeline.settings import Settings
from topo_pipeline_tests.defs.conftest import (
    ACTIVITIES,
    SETTINGS,
    Pipeline,
    days,
    last_check,
    pipeline_over,
)
from topo_pipeline_tests.defs.test_records import land
from topo_pipeline_tests.warehouse.builders import path_of

KEPT = 30
SUCCESS, FAILURE, STARTED = dg.DagsterRunStatus.SUCCESS, dg.DagsterRunStatus.FAILURE, dg.DagsterRunStatus.STARTED


def tick(
    instance: dg.DagsterInstance, definitions: dg.Definitions, *, later: int = KEPT + 1, kept: int | None = KEPT
) -> str:
    """Run one tick of the sensor `later` days from now; return its message."""
    settings = Settings(_env_file=None, dagster_record_days=kept)
    resources = {"settings": settings, "clock": lambda: utc_now() + timedelta(days=later)}
    with dg.build_sensor_context(instance=instance, definitions=definitions, resources=resources) as context:
        return str(old_records_sensor(settings).evaluate_tick(context).skip_message)


@pytest.fixture
def pipeline(tmp_path: Path, api_key: str, empty_home: Path) -> Iterator[Pipeline]:
    home = shutil.copytree(empty_home, tmp_path / "home")
    with pipeline_over(tmp_path, api_key, home=home) as built:
        yield built


def facts(pipeline: Pipeline) -> tuple[object, ...]:
    """Return what sensors, schedules, checks and alerts read."""
    instance = pipeline.instance
    return (
        last_loads(instance, SETTINGS),
        failed_days(instance, days(9), SETTINGS),
        recorded_days(instance, utc_now(), SETTINGS),
        last_check(pipeline),
        instance.get_latest_materialization_event(dg.AssetKey(["topo", "sequence_templates"])),
    )


def files_of(folder: Path) -> set[str]:
    """Return the ids of the runs whose events or logs are in files."""
    found = [*(folder / "home" / "history" / "runs").iterdir(), *(folder / "home" / "storage").iterdir()]
    return {path.name.partition(".db")[0] for path in found}


def runs(instance: dg.DagsterInstance) -> set[str]:
    return {run.run_id for run in instance.get_runs()}


def test_superseded_runs_are_deleted_with_their_files_and_nothing_else_changes(
    pipeline: Pipeline, tmp_path: Path
) -> None:
    instance, (*first, bad, by_hand) = pipeline.instance, days(3)
    pipeline.land(first)
    pipeline.read(first[:1], checked=True)
    pipeline.api.miscounted = {bad}
    assert not pipeline.read([bad]).success
    superseded = runs(instance)
    pipeline.land(first)  # the days and the names
    pipeline.read([bad])  # because it failed, the night reads the day again
    pipeline.read([by_hand])
    land(instance, by_hand, {})  # without metadata of the load
    run(instance, STARTED)
    wanted = runs(instance) - superseded
    before, files = facts(pipeline), files_of(tmp_path)
    path_of(pipeline.warehouse).write_bytes(b"not a database")

    message = tick(instance, pipeline.definitions)

    assert message.startswith(f"Deleted {len(superseded)} of ")
    assert runs(instance) == wanted
    assert facts(pipeline) == before
    assert superseded <= files
    assert files_of(tmp_path) == files - superseded
    with sqlite3.connect(tmp_path / "home" / "history" / "runs" / "index.db") as index:
        assert {run for (run,) in index.execute("SELECT DISTINCT run_id FROM event_logs")} - {""} <= wanted
    with sqlite3.connect(tmp_path / "home" / "history" / "runs.db") as records:
        assert {run for (run,) in records.execute("SELECT DISTINCT run_id FROM run_tags")} <= wanted
    assert tick(instance, pipeline.definitions).startswith("Deleted 0 of ")


@dg.job
def nothing() -> None:
    """No step."""


def run(instance: dg.DagsterInstance, status: dg.DagsterRunStatus, **options: str) -> str:
    return instance.create_run_for_job(nothing, status=status, **options).run_id


@dg.asset(key=ACTIVITIES, partitions_def=dg.StaticPartitionsDefinition(["a", "b"]))
def by_day(context: dg.AssetExecutionContext) -> None:
    if "fails" in context.run.tags:
        raise dg.Failure("refused", allow_retries=False)


@dg.asset
def table(context: dg.AssetExecutionContext) -> None:
    if "fails" in context.run.tags:
        raise dg.Failure("refused", allow_retries=False)


@dg.asset_check(asset=table)
def is_right(context: dg.AssetCheckExecutionContext) -> dg.AssetCheckResult:
    if "crashes" in context.run.tags:
        raise RuntimeError("no result")
    return dg.AssetCheckResult(passed="wrong" not in context.run.tags)


SMALL = dg.Definitions(assets=[by_day, table], asset_checks=[is_right])
COMPLETED = {AssetCheckExecutionRecordStatus.SUCCEEDED, AssetCheckExecutionRecordStatus.FAILED}
CHECK = dg.AssetCheckKey(table.key, "is_right")


def random_event(instance: dg.DagsterInstance, draw: random.Random) -> None:
    """Materialize, fail or report something, in a run or by hand."""
    tags = {name: "" for name in ("fails", "wrong", "crashes") if draw.random() < 0.3}
    match draw.randrange(4):
        case 0:
            instance.report_runless_asset_event(dg.AssetMaterialization(ACTIVITIES, partition=draw.choice("ab")))
        case 1:
            dg.materialize([table, is_right], instance=instance, tags=tags, raise_on_error=False)
        case 2:
            dg.materialize([table], instance=instance, tags=tags, raise_on_error=False)
        case 3:
            options = {"partition_key": draw.choice("ab"), "tags": tags, "raise_on_error": False}
            dg.materialize([by_day], instance=instance, **options)


def latest(instance: dg.DagsterInstance) -> tuple[object, ...]:
    """Return the latest record of everything, and whether its run still exists."""
    kind, storage = dg.DagsterEventType.ASSET_MATERIALIZATION, instance.event_log_storage
    records = [record.asset_entry for record in instance.get_asset_records([table.key, ACTIVITIES])]
    partitions = dg.StaticPartitionsDefinition(["a", "b"])
    return (
        instance.get_latest_storage_id_by_partition(ACTIVITIES, kind),
        instance.get_status_by_partition(ACTIVITIES, ["a", "b"], partitions),
        instance.get_materialized_partitions(ACTIVITIES),
        [(entry.asset_key, entry.last_materialization, entry.last_run_id) for entry in records],
        {entry.last_run_id for entry in records if entry.last_run_id} - runs(instance),
        [record.storage_id for record in instance.fetch_materializations(table.key, limit=1).records],
        [
            record.run_id
            for status in (None, COMPLETED)
            for record in storage.get_asset_check_execution_history(CHECK, limit=1, status=status)
            if instance.has_run(record.run_id)
        ],
    )


@pytest.mark.parametrize("seed", [0, *(pytest.param(seed, marks=pytest.mark.full) for seed in range(1, 5))])
def test_after_any_history_the_latest_records_do_not_change(seed: int) -> None:
    draw = random.Random(seed)  # noqa: S311
    with dg.DagsterInstance.ephemeral() as instance:
        deleted = 0
        for _ in range(3):
            for _ in range(6):
                random_event(instance, draw)
            before, there = latest(instance), runs(instance)
            tick(instance, SMALL)
            assert latest(instance) == before
            deleted += len(there - runs(instance))
        assert deleted


def test_the_latest_evaluation_of_a_check_and_a_later_attempt_are_kept() -> None:
    with dg.DagsterInstance.ephemeral() as instance:
        for assets, tags in (
            ([table, is_right], {}),
            ([table, is_right], {"crashes": ""}),
            ([table], {}),
            ([table], {}),
        ):
            dg.materialize(assets, instance=instance, tags=tags, raise_on_error=False)
        last, _, tried, evaluated = (run.run_id for run in instance.get_runs())
        tick(instance, SMALL)
        assert runs(instance) == {last, tried, evaluated}


def test_recent_runs_are_kept(instance: dg.DagsterInstance) -> None:
    run(instance, SUCCESS)
    there = runs(instance)
    assert tick(instance, SMALL, later=KEPT - 1).startswith("Deleted 0 of 0 ")
    assert runs(instance) == there


def test_ancestors_of_a_run_in_progress_are_kept(instance: dg.DagsterInstance) -> None:
    first = run(instance, FAILURE)
    again = run(instance, FAILURE, parent_run_id=first, root_run_id=first)
    run(instance, STARTED, parent_run_id=again, root_run_id=first)
    other = run(instance, FAILURE)
    there = runs(instance)
    tick(instance, SMALL)
    assert runs(instance) == there - {other}


def test_runs_beyond_the_limit_of_one_tick_are_deleted_by_the_next(
    instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pruning, "BATCH_SIZE", 2)
    for _ in range(3):
        run(instance, SUCCESS)
    assert [tick(instance, SMALL).partition(" runs")[0] for _ in range(3)] == [
        "Deleted 2 of 3", "Deleted 1 of 1", "Deleted 0 of 0",
    ]  # fmt: skip


def test_without_the_setting_every_run_is_kept_and_the_sensor_is_off(instance: dg.DagsterInstance) -> None:
    run(instance, SUCCESS)
    assert "Set TOPO_DAGSTER_RECORD_DAYS" in tick(instance, SMALL, kept=None)
    assert len(runs(instance)) == 1
    defaults = {kept: old_records_sensor(Settings(_env_file=None, dagster_record_days=kept)) for kept in (None, 30)}
    assert {kept: sensor.default_status.value for kept, sensor in defaults.items()} == {None: "STOPPED", 30: "RUNNING"}
