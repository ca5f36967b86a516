"""The heartbeat URL is requested once for each successful night in Dagster's records."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta

import dagster as dg
import pytest

from topo_pipeline.defs.notifications import heartbeat_sensor, night_tags
from topo_pipeline.defs.partitions import range_tags
from topo_pipeline.settings import Settings
from topo_pipeline_tests.alerts.receiver import Receiver, receiving
from topo_pipeline_tests.defs.test_records import land, start
from topo_pipeline_tests.defs.test_schedules import Nights, nights  # noqa: F401 - a fixture

AT = datetime(2026, 3, 20, 1, 15, tzinfo=UTC)
SCHEDULED = {"dagster/schedule_name": "nightly_refresh_schedule"}
SUCCESS, FAILURE, STARTED = dg.DagsterRunStatus.SUCCESS, dg.DagsterRunStatus.FAILURE, dg.DagsterRunStatus.STARTED


@dataclass
class Watcher:
    """The heartbeat sensor of an instance, with the cursor that Dagster would keep, and the receiver of its URL."""

    instance: dg.DagsterInstance
    receiver: Receiver
    now: datetime = AT + timedelta(minutes=5)
    cursor: str | None = None
    days: list[date] = field(default_factory=list)

    def tick(self, **settings: str) -> str:
        configured = Settings(_env_file=None, **(settings or {"heartbeat_url": f"{self.receiver.address}/T0PRIVATE"}))
        resources = {"settings": configured, "clock": lambda: self.now}
        with dg.build_sensor_context(instance=self.instance, cursor=self.cursor, resources=resources) as context:
            data = heartbeat_sensor(configured).evaluate_tick(context)
        self.cursor = data.cursor
        assert data.run_requests == []
        assert "T0PRIVATE" not in f"{data.skip_message} {data.cursor}"
        return str(data.skip_message)

    def run(self, day: int, status: dg.DagsterRunStatus, stretches: int = 1, at: datetime = AT) -> None:
        """Add a nightly run that reads this day of March, and the day's load if it succeeded."""
        if status == SUCCESS:
            land(self.instance, date(2026, 3, day))
        days = range_tags(date(2026, 3, day), date(2026, 3, day))
        start(self.instance, status, tags={**days, **SCHEDULED, **night_tags(at, stretches)})


@pytest.fixture
def watcher() -> Iterator[Watcher]:
    with receiving() as receiver, dg.DagsterInstance.ephemeral() as instance:
        yield Watcher(instance, receiver)


def test_each_successful_night_is_reported_once(watcher: Watcher) -> None:
    watcher.run(19, SUCCESS)
    assert "succeeded" in watcher.tick()
    assert "Nothing left to send" in watcher.tick()
    assert watcher.receiver.paths == ["/T0PRIVATE"]
    watcher.now += timedelta(days=1)
    watcher.run(20, SUCCESS, at=AT + timedelta(days=1))
    assert "succeeded" in watcher.tick()
    assert len(watcher.receiver.paths) == 2


def test_a_night_of_several_runs_is_reported_once_all_have_succeeded(watcher: Watcher) -> None:
    watcher.run(15, SUCCESS, stretches=2)
    assert "in progress" in watcher.tick()  # the tick has not launched the other one yet
    watcher.run(19, FAILURE, stretches=2)
    assert "failed" in watcher.tick()
    assert watcher.receiver.paths == []
    watcher.run(19, SUCCESS, stretches=2)  # it was re-executed
    assert "succeeded" in watcher.tick()


def test_runs_that_the_nightly_schedule_did_not_launch_are_ignored(watcher: Watcher) -> None:
    land(watcher.instance, date(2026, 3, 19))
    start(watcher.instance, SUCCESS)
    start(watcher.instance, SUCCESS, tags={**SCHEDULED, "dagster/schedule_name": "nightly_replies_schedule"})
    start(watcher.instance, SUCCESS, tags=SCHEDULED)  # of an earlier version
    assert "No nightly refresh" in watcher.tick()
    assert watcher.receiver.paths == []


def test_a_failed_request_is_retried_later_and_no_run_fails(watcher: Watcher) -> None:
    watcher.run(19, SUCCESS)
    watcher.receiver.status = 500
    assert "the heartbeat URL answered 500. Next attempt: 2026-03-20 01:22 UTC." in watcher.tick()
    assert "Next attempt" in watcher.tick()
    assert len(watcher.receiver.paths) == 1
    watcher.receiver.status, watcher.now = 200, watcher.now + timedelta(minutes=3)
    assert "succeeded" in watcher.tick()
    assert [run.status for run in watcher.instance.get_runs()] == [SUCCESS]


def test_the_sensor_runs_by_default_only_if_there_is_a_url(watcher: Watcher) -> None:
    statuses = {
        heartbeat_sensor(Settings(_env_file=None, heartbeat_url=url)).default_status.value
        for url in (None, "https://hc.example.com/1")
    }
    assert statuses == {"RUNNING", "STOPPED"}
    assert "Set TOPO_HEARTBEAT_URL" in watcher.tick(timezone="UTC")


def test_the_runs_that_the_nightly_schedule_requests_count_as_a_night(nights: Nights) -> None:  # noqa: F811
    instance = nights.pipeline.instance
    with receiving() as receiver:
        land(instance, date(2026, 3, 16))
        requests = nights.requests(date(2026, 3, 20))
        watcher = Watcher(instance, receiver)
        for request in requests:
            assert "succeeded" not in watcher.tick()
            job = nights.pipeline.only("activities", "sequence_templates").definitions.resolve_job_def("refresh")
            job.execute_in_process(
                instance=instance, asset_selection=request.asset_selection, tags={**request.tags, **SCHEDULED}
            )
        nights.pipeline.api.miscounted = {date(2026, 3, 18)}
        nights.pipeline.read([date(2026, 3, 18)])
        assert "did not land these days: 2026-03-18." in watcher.tick()  # read again since, and refused
        nights.pipeline.api.miscounted = set()
        nights.pipeline.read([date(2026, 3, 18)])
        assert "succeeded" in watcher.tick()
    assert len(receiver.paths) == 1
