"""Schedules: which days a night reads, and that a day which never lands holds up nothing else."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from topo_pipeline.defs import schedules
from topo_pipeline_tests.defs.conftest import ACTIVITIES, BY_DAY, LIST_ASSETS, NOW, Pipeline, pipeline_over
from topo_pipeline_tests.defs.test_records import land
from topo_pipeline_tests.warehouse.builders import path_of


@dataclass
class Nights:
    """The scheduler: real ticks."""

    pipeline: Pipeline

    def tick(self, schedule: str, at: datetime) -> list[dg.RunRequest] | str:
        definitions = self.pipeline.definitions
        context: Any = dg.build_schedule_context(None, at, resources=dict(definitions.resources or {}))
        context._instance = context._instance_ref = self.pipeline.instance  # Dagster itself sets only one on disk
        result = definitions.get_repository_def().get_schedule_def(schedule).evaluate_tick(context)
        return list(result.run_requests or []) or str(result.skip_message)

    def requests(self, day: date, schedule: str = "nightly_refresh_schedule") -> list[dg.RunRequest]:
        requests = self.tick(schedule, a_quarter_past_one(day))
        assert not isinstance(requests, str), requests
        return requests


@dataclass
class Tick:
    """The part of Dagster's context that a schedule reads."""

    instance: dg.DagsterInstance
    scheduled_execution_time: datetime


def follow(pipeline: Pipeline) -> list[date]:
    """Build the tables that are requested now, and return the days that the daily one has been built for."""
    request = pipeline.follow_up()
    assert request is not None
    result = pipeline.run(request)
    assert result.success
    assert pipeline.follow_up() is None
    built = {event.partition for event in result.asset_materializations_for_node(BY_DAY.to_python_identifier())}
    return sorted(date.fromisoformat(day) for day in built if day)


def a_quarter_past_one(day: date) -> datetime:
    return datetime(day.year, day.month, day.day, 1, 15, tzinfo=UTC)


def days_of(request: dg.RunRequest) -> tuple[int, ...]:
    """The first and the last day of March that a run request names."""
    return tuple(int(request.tags[f"dagster/asset_partition_range_{end}"][-2:]) for end in ("start", "end"))


@pytest.fixture
def nights(tmp_path: Path, api_key: str) -> Iterator[Nights]:
    with pipeline_over(tmp_path, api_key, lookback_days="1") as pipeline:
        yield Nights(pipeline)


def march(*numbers: int) -> list[date]:
    return [date(2026, 3, number) for number in numbers]


def test_a_day_refused_every_night_is_retried_every_night_and_holds_up_no_table(tmp_path: Path, api_key: str) -> None:
    with pipeline_over(tmp_path, api_key, lookback_days="1") as whole:
        pipeline, bad = whole.only("activities", "sequence_templates", "sequence_activity"), date(2026, 3, 15)

        def night(day: date) -> list[dg.RunRequest]:
            resources = whole.definitions.resources or {}
            tick = Tick(pipeline.instance, a_quarter_past_one(day))
            return schedules.nightly_refresh_schedule(tick, resources["topo"], resources["settings"])

        pipeline.api.miscounted = {bad}
        assert pipeline.follow_up() is None
        keys = []
        for tonight, ranges, new in (
            (16, [(14, 15)], march(14)),
            (17, [(15, 16)], march(16)),
            (19, [(15, 15), (17, 18)], march(17, 18)),
        ):
            requests = night(date(2026, 3, tonight))
            assert [days_of(request) for request in requests] == ranges
            keys += [request.run_key for request in requests]
            assert [pipeline.run(request).success for request in requests] == [False, True][: len(ranges)]
            assert follow(pipeline) == new
        assert len(set(keys)) == len(keys) == 4

        [(counted,)] = pipeline.rows("SELECT sum(total_sent)::INT FROM engagement.sequence_activity")
        sent = "SELECT count(*) FROM topo.activities WHERE type = 'message.sent'"
        assert pipeline.rows(sent) == [(counted,)]
        assert counted > 0

        pipeline.api.miscounted = set()
        [retry, _] = night(date(2026, 3, 19))
        assert pipeline.run(retry).success
        assert follow(pipeline) == [bad]
        assert [days_of(request) for request in night(date(2026, 3, 19))] == [(17, 18)]


def test_a_night_also_reads_the_names_of_sequences(nights: Nights) -> None:
    [request] = nights.requests(date(2026, 3, 20))
    assert request.asset_selection == [ACTIVITIES, *LIST_ASSETS]
    result = nights.pipeline.unchecked().run(request)
    assert {event.asset_key for event in result.get_asset_materialization_events()} == {ACTIVITIES, *LIST_ASSETS}
    assert nights.pipeline.rows("SELECT count(*) > 0 FROM topo.sequence_templates") == [(True,)]


def test_a_night_reads_from_the_start_date_to_yesterday_in_the_reporting_zone(tmp_path: Path, api_key: str) -> None:
    at = datetime(2026, 3, 19, 16, 15, tzinfo=UTC)  # 01:15 on the 20th in Tokyo
    for zone, start, expected in (
        ("UTC", "2026-03-01", (17, 18)),
        ("Asia/Tokyo", "2026-03-01", (18, 19)),
        ("Asia/Tokyo", "2026-03-19", (19, 19)),
    ):
        with pipeline_over(tmp_path, api_key, timezone=zone, start_date=start, lookback_days="1") as pipeline:
            [request] = Nights(pipeline).tick("nightly_refresh_schedule", at)
        assert days_of(request) == expected


def test_evaluating_a_tick_again_requests_the_same_runs(nights: Nights) -> None:
    assert nights.requests(date(2026, 3, 20)) == nights.requests(date(2026, 3, 20))


def test_a_nightly_tick_uses_neither_topo_nor_the_warehouse(nights: Nights) -> None:
    land(nights.pipeline.instance, date(2026, 3, 17))
    path_of(nights.pipeline.warehouse).write_bytes(b"not a database")
    assert [days_of(request) for request in nights.requests(date(2026, 3, 20))] == [(18, 19)]
    assert nights.pipeline.api.requested == []


def test_a_landed_day_whose_reload_was_refused_is_retried_the_next_night(nights: Nights) -> None:
    assert nights.pipeline.read(march(15, 16, 17)).success
    assert [days_of(request) for request in nights.requests(date(2026, 3, 20))] == [(18, 19)]
    nights.pipeline.api.miscounted = {date(2026, 3, 15)}
    assert not nights.pipeline.read(march(15)).success
    assert [days_of(request) for request in nights.requests(date(2026, 3, 20))] == [(15, 15), (18, 19)]


def test_days_that_a_run_in_progress_will_close_are_not_requested(nights: Nights) -> None:
    [request] = nights.requests(date(2026, 3, 20))
    nights.pipeline.instance.create_run_for_job(
        nights.pipeline.definitions.resolve_job_def("refresh"),
        tags=dict(request.tags),
        asset_selection=frozenset({ACTIVITIES}),
        status=dg.DagsterRunStatus.STARTING,
    )
    assert "No days to read" in nights.tick("nightly_refresh_schedule", datetime(2026, 3, 20, 1, 15, tzinfo=UTC))
    assert [days_of(request) for request in nights.requests(date(2026, 3, 21))] == [(20, 20)]


def test_replies_are_read_once_a_day_has_landed_and_by_one_run_at_a_time(nights: Nights) -> None:
    at, schedule = datetime(2026, 3, 20, 1, 30, tzinfo=UTC), "nightly_replies_schedule"
    pipeline = nights.pipeline
    assert nights.tick(schedule, at) == "No day has landed yet."
    land(pipeline.instance, date(2026, 3, 19))
    pipeline.warehouse.prepare()
    [request] = nights.requests(date(2026, 3, 20), schedule)
    assert pipeline.run(request, job="reread_replies").success
    job = pipeline.definitions.resolve_job_def("reread_replies")
    pipeline.instance.create_run_for_job(job, status=dg.DagsterRunStatus.STARTED)
    assert "has not ended" in nights.tick(schedule, at)


@pytest.mark.parametrize("schedule", ["nightly_refresh_schedule", "nightly_replies_schedule"])
def test_without_a_key_a_nightly_tick_skips_and_says_why(tmp_path: Path, api_key: str, schedule: str) -> None:
    with pipeline_over(tmp_path, api_key, key_used=" ") as pipeline:
        land(pipeline.instance, date(2026, 3, 17))
        assert "TOPO_API_KEY is not set" in Nights(pipeline).tick(schedule, NOW)


def test_on_monday_morning_everything_is_published(nights: Nights) -> None:
    [request] = nights.requests(date(2026, 3, 23), "weekly_report_schedule")
    schedule = nights.pipeline.definitions.get_repository_def().get_schedule_def("weekly_report_schedule")
    assert (schedule.cron_schedule, schedule.job_name, request.asset_selection) == ("30 6 * * 1", "publish", None)
    published = nights.pipeline.definitions.resolve_job_def("publish").asset_layer.selected_asset_keys
    assert {key.path[0] for key in published} == {"publish"}
    assert dg.AssetKey(["publish", "engagement_report"]) in published


@pytest.mark.parametrize(("automation", "status"), [("off", "STOPPED"), ("on", "RUNNING")])
def test_what_calls_the_api_or_publishes_runs_by_default_only_if_automation_is_on(
    tmp_path: Path, api_key: str, automation: str, status: str
) -> None:
    with pipeline_over(tmp_path, api_key, automation=automation, timezone="Europe/Paris") as pipeline:
        repository = pipeline.definitions.get_repository_def()
    schedules, sensors = repository.schedule_defs, repository.sensor_defs
    assert {schedule.name: schedule.default_status.name for schedule in schedules} == {
        "nightly_refresh_schedule": status,
        "nightly_replies_schedule": status,
        "weekly_report_schedule": status,
    }
    statuses = {sensor.name: sensor.default_status.name for sensor in sensors}
    assert statuses.pop("tables_follow_what_landed") == "RUNNING"
    assert {statuses[name] for name in ("new_activity_sensor", "late_activity_sensor")} == {status}
    assert {schedule.execution_timezone for schedule in schedules} == {"Europe/Paris"}
