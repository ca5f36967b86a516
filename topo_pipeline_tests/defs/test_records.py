"""What schedules and sensors read from Dagster's records."""

from datetime import UTC, date, datetime, timedelta
from typing import Any

import dagster as dg
import pytest
from dagster._core.remote_origin import InProcessCodeLocationOrigin, RemoteRepositoryOrigin
from dagster._core.types.loadable_target_origin import LoadableTargetOrigin

from topo_pipeline.automation.facts import LastLoad, RunInProgress
from topo_pipeline.definitions import defs
from topo_pipeline.defs import records
from topo_pipeline.defs.partitions import range_tags
from topo_pipeline.defs.records import failed_days, has_run_in_progress, last_loads, runs_in_progress
from topo_pipeline_tests.defs.conftest import ACTIVITIES, FIRST_DAY, SETTINGS, Pipeline, days

AFTER = datetime(2026, 2, 28, 23, 59, 59, 123_457, tzinfo=UTC)
BEFORE = datetime(2026, 3, 2, tzinfo=UTC)
RUNNING = dg.DagsterRunStatus.STARTED


def facts(count: int = 7, **others: Any) -> dict[str, Any]:
    bounds = {"asked_after": dg.MetadataValue.timestamp(AFTER), "asked_before": dg.MetadataValue.timestamp(BEFORE)}
    return {**bounds, "api_total_count": count, "is_open": False, "proved": True} | others


def land(instance: dg.DagsterInstance, day: date, metadata: dict[str, Any] | None = None) -> None:
    instance.report_runless_asset_event(
        dg.AssetMaterialization(ACTIVITIES, partition=str(day), metadata=facts() if metadata is None else metadata)
    )


def loaded(count: int = 7) -> LastLoad:
    return LastLoad(AFTER, BEFORE, count, is_open=False)


def start(instance: dg.DagsterInstance, status: dg.DagsterRunStatus = RUNNING, **changes: Any) -> dg.DagsterRun:
    job = defs.resolve_job_def("refresh")
    location = InProcessCodeLocationOrigin(LoadableTargetOrigin(module_name="topo_pipeline.definitions"))
    origin = RemoteRepositoryOrigin(location, "__repository__").get_job_origin("refresh")
    changes = {"tags": range_tags(days(1)[0], days(5)[-1]), "asset_selection": frozenset({ACTIVITIES})} | changes
    return instance.create_run_for_job(job, status=status, remote_job_origin=origin, **changes)


def test_last_loads_returns_the_last_load_of_each_day(
    pipeline: Pipeline,
) -> None:
    pipeline.read(days(3))
    pipeline.read(days(1))
    ledger = pipeline.rows(
        "SELECT day, max_by((asked_after, asked_before, api_total_count, is_open), finished_at) FROM topo.loads"
        " GROUP BY day"
    )
    assert last_loads(pipeline.instance, SETTINGS) == {day: LastLoad(*load) for day, load in ledger}
    assert last_loads(pipeline.instance, SETTINGS, days(2)).keys() == set(days(2))
    assert last_loads(pipeline.instance, SETTINGS, []) == {}


def test_bounds_keep_their_microseconds(instance: dg.DagsterInstance) -> None:
    land(instance, FIRST_DAY)
    assert last_loads(instance, SETTINGS) == {FIRST_DAY: loaded()}


@pytest.mark.parametrize(
    "other",
    [{}, {"dagster/partition_row_count": 3}, facts(is_open="no"), facts(asked_after="yesterday")],
    ids=["reported by hand", "without the load", "with an invalid flag", "with invalid bounds"],
)
def test_an_event_without_a_load_does_not_hide_earlier_loads(
    instance: dg.DagsterInstance, other: dict[str, Any]
) -> None:
    one, two = days(2)
    for day in (one, two):
        land(instance, day, facts(5))
        land(instance, day, facts(6))
        land(instance, day, other)
    land(instance, two, facts(8))
    assert last_loads(instance, SETTINGS) == {one: loaded(6), two: loaded(8)}


def test_a_day_with_only_events_without_a_load_is_landed_and_its_load_unknown(instance: dg.DagsterInstance) -> None:
    land(instance, FIRST_DAY, {})
    assert last_loads(instance, SETTINGS) == {FIRST_DAY: None}


def test_many_days_are_read_in_few_queries(instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch) -> None:
    many = [date(2025, 1, 1) + timedelta(n) for n in range(90)]
    for day in many:
        land(instance, day, facts(day.toordinal()))
    asked = []
    fetch = instance.fetch_materializations
    monkeypatch.setattr(instance, "fetch_materializations", lambda *a: asked.append(a) or fetch(*a))
    monkeypatch.setattr(records, "_BATCH", 40)
    assert last_loads(instance, SETTINGS) == {day: loaded(day.toordinal()) for day in many}
    assert len(asked) == 3


def test_failed_days_are_those_whose_last_read_failed(pipeline: Pipeline) -> None:
    one, two, three = days(3)
    pipeline.read([one, two])
    pipeline.api.miscounted = {two, three}
    pipeline.read([one, two, three])
    assert failed_days(pipeline.instance, days(4), SETTINGS) == {two, three}
    assert failed_days(pipeline.instance, [one, two], SETTINGS) == {two}
    pipeline.api.miscounted = set()
    pipeline.read([two])
    assert failed_days(pipeline.instance, days(4), SETTINGS) == {three}


def test_a_run_is_in_progress_until_it_has_ended(instance: dg.DagsterInstance) -> None:
    ended = {dg.DagsterRunStatus[name] for name in ("SUCCESS", "FAILURE", "CANCELED")}
    day_of = dict(zip(dg.DagsterRunStatus, days(len(dg.DagsterRunStatus)), strict=True))
    for status, day in day_of.items():
        start(instance, status, tags=range_tags(day, day))
    found = sorted(run.first for run in runs_in_progress(instance, SETTINGS))
    assert found == [day for status, day in day_of.items() if status not in ended]


def test_a_run_of_one_partition_of_all_assets_is_in_progress(instance: dg.DagsterInstance) -> None:
    start(instance, tags={"dagster/partition": "2026-03-07"}, asset_selection=None)
    assert runs_in_progress(instance, SETTINGS) == [RunInProgress(date(2026, 3, 7), date(2026, 3, 7))]


def test_runs_that_read_no_days_are_ignored(instance: dg.DagsterInstance) -> None:
    start(instance, asset_selection=frozenset({dg.AssetKey(["engagement", "sequence_activity"])}))
    start(instance, tags={})
    replies = defs.resolve_job_def("reread_replies")
    assert not has_run_in_progress(instance, SETTINGS, "reread_replies")
    instance.create_run_for_job(replies, status=RUNNING)
    assert runs_in_progress(instance, SETTINGS) == []
    assert has_run_in_progress(instance, SETTINGS, "reread_replies")


@pytest.mark.parametrize(
    ("begun", "started_on"),
    [
        (datetime(2026, 3, 6, 0, 4, 59, tzinfo=UTC), date(2026, 3, 5)),
        (datetime(2026, 3, 6, 0, 5, tzinfo=UTC), date(2026, 3, 6)),
    ],
    ids=["before 00:05", "at 00:05"],
)
def test_the_start_of_a_run_determines_which_days_it_closes(
    instance: dg.DagsterInstance, begun: datetime, started_on: date
) -> None:
    run = start(instance, dg.DagsterRunStatus.STARTING)
    event = dg.DagsterEvent(dg.DagsterEventType.RUN_START.value, "refresh")
    instance.run_storage.handle_run_event(run.run_id, event, begun)
    [found] = runs_in_progress(instance, SETTINGS)
    assert found.started_on == started_on
    assert [found.closes(day) for day in days(6)] == [day < started_on for day in days(5)] + [False]
