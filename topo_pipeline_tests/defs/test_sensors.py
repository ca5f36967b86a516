"""Ticks of the sensors that call the API, with a real instance, real HTTP and a clock set by the test."""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
from pydantic import SecretStr

from topo_pipeline.automation import drift, news
from topo_pipeline.common.cursors import read_cursor
from topo_pipeline.sandbox.app import create_app
from topo_pipeline_tests.conftest import API_KEY
from topo_pipeline_tests.defs.conftest import ACTIVITIES, NOW, WORLD, Pipeline, pipeline_over
from topo_pipeline_tests.defs.test_jobs import Edited
from topo_pipeline_tests.defs.test_records import land
from topo_pipeline_tests.warehouse.builders import path_of

TODAY = NOW.date()
LAST_DAYS = [TODAY - timedelta(days=ago) for ago in (3, 2, 1)]
OLD_DAY = TODAY - timedelta(days=9)
QUARTER, HOUR = timedelta(minutes=15), timedelta(hours=1)
EVENING = timedelta(hours=6, minutes=5)
"""From noon to a time after which the sandbox has nothing new for two hours."""


@dataclass
class Clock:
    now: datetime = NOW

    def __call__(self) -> datetime:
        return self.now


@dataclass
class Daemon:
    """Ticks one sensor as Dagster's daemon does, with the cursor of the previous tick."""

    pipeline: Pipeline
    sensor: str
    clock: Clock
    cursor: str | None = None
    changes: dict[str, Any] = field(default_factory=dict)
    """Changed settings."""
    keys: list[str] = field(default_factory=list)

    def tick(self, after: timedelta = timedelta()) -> list[dg.RunRequest] | str:
        """Run one tick; return its run requests, or its skip message."""
        self.clock.now += after
        resources = dict(self.pipeline.definitions.resources or {})
        topo = resources["topo"]
        resources["topo"] = replace(topo, settings=topo.settings.model_copy(update=self.changes))
        context = dg.build_sensor_context(self.pipeline.instance, self.cursor, resources=resources)
        sensor = self.pipeline.definitions.get_repository_def().get_sensor_def(self.sensor)
        result = sensor.evaluate_tick(context)
        self.cursor = result.cursor
        self.keys += [str(request.run_key) for request in result.run_requests or []]
        return list(result.run_requests or []) or str(result.skip_message)

    def skips(self, after: timedelta = timedelta()) -> str:
        reason = self.tick(after)
        assert isinstance(reason, str), reason
        return reason

    def requests(self, after: timedelta = timedelta()) -> dg.RunRequest:
        requests = self.tick(after)
        assert not isinstance(requests, str), requests
        [request] = requests
        return request

    def state(self) -> news.NewsState | drift.DriftState:
        kind = news.NewsState if self.sensor == "new_activity_sensor" else drift.DriftState
        return read_cursor(self.cursor, kind())


def days_of(request: dg.RunRequest) -> tuple[str, str]:
    return tuple(request.tags[f"dagster/asset_partition_range_{end}"] for end in ("start", "end"))


def only(day: date) -> tuple[str, str]:
    return str(day), str(day)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def workspace(tmp_path: Path, api_key: str, clock: Clock) -> Iterator[Pipeline]:
    with pipeline_over(tmp_path, api_key, clock=clock) as pipeline:
        yield pipeline


@pytest.fixture
def new_activity(workspace: Pipeline, clock: Clock) -> Daemon:
    return Daemon(workspace, "new_activity_sensor", clock)


@pytest.fixture
def late(workspace: Pipeline, clock: Clock) -> Daemon:
    return Daemon(workspace, "late_activity_sensor", clock)


def remove_one(daemon: Daemon, api_key: str, day: date) -> None:
    """Remove an activity of the day at the source."""
    world = Edited(WORLD.seed, scale=WORLD.scale)
    start = datetime.combine(day, time(), UTC)
    gone = world.activities(start, start + timedelta(days=1))[0]
    world.edit = lambda activity: None if activity.id == gone.id else activity
    daemon.pipeline.api.app = create_app(world, api_key=api_key, now=daemon.clock)


@dataclass
class Refusing:
    """The sandbox, which answers counts but refuses pages; with a status, it answers every request with it."""

    app: Any
    status: int | None = None
    requested: int = 0

    async def __call__(self, scope: dict[str, Any], receive: Any, send: Any) -> None:
        self.requested += 1
        if self.status is None and b"size=1&" in scope["query_string"] + b"&":
            await self.app(scope, receive, send)
            return
        headers = [(b"retry-after", b"3600"), (b"content-length", b"0")]
        await send({"type": "http.response.start", "status": self.status or 403, "headers": headers})
        await send({"type": "http.response.body", "body": b""})


def test_today_is_read_only_if_its_count_has_changed(new_activity: Daemon) -> None:
    for request in (new_activity.requests(), new_activity.requests(EVENING)):
        assert days_of(request) == only(TODAY)
        assert request.asset_selection == [ACTIVITIES]
        assert new_activity.pipeline.run(request).success
    landed = new_activity.pipeline.rows("SELECT count(*) FROM topo.activities")[0][0]
    assert landed > 0
    assert f"Topo counts {landed} activities for {TODAY}, as many as landed." in new_activity.skips(HOUR)
    assert days_of(new_activity.requests(2 * HOUR)) == only(TODAY)


def test_a_tick_sends_one_small_request_at_most_every_15_minutes(new_activity: Daemon) -> None:
    asked = new_activity.pipeline.api.requested
    new_activity.requests()
    assert asked == ["/v1/activities"]
    assert "interval is 15 minutes" in new_activity.skips(QUARTER - timedelta(seconds=1))
    assert asked == ["/v1/activities"]
    new_activity.tick(timedelta(seconds=1))
    assert asked == ["/v1/activities"] * 2


def test_after_midnight_the_new_day_is_today(new_activity: Daemon) -> None:
    new_activity.pipeline.run(new_activity.requests())
    assert "only just begun" in new_activity.skips(timedelta(hours=12, minutes=1))
    assert days_of(new_activity.requests(timedelta(days=2, hours=11))) == only(TODAY + timedelta(days=3))


def test_a_day_that_a_run_already_reads_is_not_requested(new_activity: Daemon) -> None:
    pipeline, request = new_activity.pipeline, new_activity.requests()
    run = pipeline.instance.create_run_for_job(
        pipeline.definitions.resolve_job_def("refresh"),
        tags=dict(request.tags),
        asset_selection=frozenset({ACTIVITIES}),
        status=dg.DagsterRunStatus.STARTED,
    )
    asked = len(pipeline.api.requested)
    assert "already reads" in new_activity.skips(HOUR)
    assert len(pipeline.api.requested) == asked
    pipeline.instance.report_run_failed(run)
    assert days_of(new_activity.requests(HOUR)) == only(TODAY)


def test_if_today_is_refused_it_is_not_read_again_until_its_count_changes(new_activity: Daemon) -> None:
    request = new_activity.requests(EVENING)
    new_activity.pipeline.api.app = Refusing(new_activity.pipeline.api.app)
    assert not new_activity.pipeline.run(request).success
    assert "did not land" in new_activity.skips(QUARTER)
    assert "did not land" in new_activity.skips(HOUR)
    assert days_of(new_activity.requests(2 * HOUR)) == only(TODAY)


def test_days_that_changed_at_the_source_are_read_again_once_if_no_run_reads_them(late: Daemon, api_key: str) -> None:
    late.pipeline.read(LAST_DAYS)
    assert "compared with Topo: 3. To read again: 0" in late.skips()
    remove_one(late, api_key, LAST_DAYS[1])
    assert "No landed day is due" in late.skips(HOUR - timedelta(seconds=1))
    run = late.pipeline.instance.create_run_for_job(
        late.pipeline.definitions.resolve_job_def("refresh"),
        tags={"dagster/partition": str(LAST_DAYS[1])},
        status=dg.DagsterRunStatus.STARTED,
    )
    assert "compared with Topo: 2." in late.skips(timedelta(seconds=1))  # the run reads the third
    late.pipeline.instance.report_run_failed(run)
    request = late.requests()
    assert days_of(request) == only(LAST_DAYS[1])
    assert late.pipeline.run(request).success
    assert late.pipeline.rows("SELECT sum(removed)::INT FROM topo.loads") == [(1,)]
    assert "compared with Topo: 3. To read again: 0" in late.skips(HOUR)


def test_a_changed_day_that_is_refused_is_requested_once(late: Daemon) -> None:
    late.pipeline.read(LAST_DAYS)
    late.pipeline.api.miscounted = {LAST_DAYS[0]}
    assert not late.pipeline.run(late.requests()).success
    assert all("To read again: 0" in late.skips(HOUR) for _ in range(5))
    late.pipeline.api.miscounted = set()
    assert "To read again: 0" in late.skips(HOUR)
    late.pipeline.api.miscounted = {LAST_DAYS[0]}
    assert days_of(late.requests(HOUR)) == only(LAST_DAYS[0])


def test_an_unproved_day_is_not_read_again_because_of_its_count(tmp_path: Path, api_key: str, clock: Clock) -> None:
    with pipeline_over(tmp_path, api_key, clock=clock, completeness="warn") as pipeline:
        pipeline.api.miscounted = {LAST_DAYS[0]}
        assert pipeline.read(LAST_DAYS).success
        daemon = Daemon(pipeline, "late_activity_sensor", clock)
        assert "compared with Topo: 3. To read again: 0" in daemon.skips()


def test_an_open_day_is_compared_over_the_part_that_was_read(late: Daemon, api_key: str) -> None:
    late.pipeline.read([TODAY])
    assert "compared with Topo: 1. To read again: 0" in late.skips(timedelta(days=1))
    remove_one(late, api_key, TODAY)
    assert days_of(late.requests(HOUR)) == only(TODAY)


def test_older_days_are_compared_once_a_day(late: Daemon, api_key: str) -> None:
    late.pipeline.read([OLD_DAY])
    late.skips()
    remove_one(late, api_key, OLD_DAY)
    assert "No landed day is due" in late.skips(timedelta(hours=23))
    assert days_of(late.requests(HOUR)) == only(OLD_DAY)


def test_no_two_ticks_share_a_run_key(late: Daemon, new_activity: Daemon) -> None:
    land(late.pipeline.instance, LAST_DAYS[0])  # with another count than Topo's
    for _ in range(3):
        late.requests()
        new_activity.requests(HOUR)
        late.cursor = new_activity.cursor = None
    keys = late.keys + new_activity.keys
    assert len(set(keys)) == len(keys) == 6


BOTH = pytest.mark.parametrize("sensor", ["new_activity_sensor", "late_activity_sensor"])


@pytest.fixture(scope="module")
def known(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pipeline]:
    """A workspace with one landed day, for ticks whose outcome depends on their cursor or settings alone."""
    with pipeline_over(tmp_path_factory.mktemp("known"), API_KEY) as pipeline:
        land(pipeline.instance, LAST_DAYS[0])
        yield pipeline


@BOTH
@pytest.mark.parametrize("cursor", ["{", '{"at": 5, "looks": {"soon": {}}}'])
def test_an_invalid_cursor_is_replaced(known: Pipeline, clock: Clock, sensor: str, cursor: str) -> None:
    daemon = Daemon(known, sensor, clock, cursor)
    daemon.tick()
    assert daemon.state() not in (news.NewsState(), drift.DriftState())


@BOTH
@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"api_key": SecretStr("topo_wrong_key")}, "check TOPO_API_KEY"),
        ({"api_key": None}, "TOPO_API_KEY is not set"),
        ({"api_key": SecretStr("two words")}, "TOPO_API_KEY contains white space"),
        ({"api_url": "http://127.0.0.1:9/v1"}, "127.0.0.1:9 gave no usable answer in 1 attempt"),
        ({"api_url": "http://topo.example/v1"}, "TOPO_API_URL must use https"),
    ],
    ids=["401", "no key", "invalid key", "unreachable", "insecure URL"],
)
def test_a_tick_that_cannot_query_topo_says_why_and_keeps_its_state(
    known: Pipeline, clock: Clock, sensor: str, changes: dict[str, Any], says: str
) -> None:
    at = '"at":"2026-03-19T09:00:00Z"'
    daemon = Daemon(known, sensor, clock, f'{{{at},"tried":1,"looks":{{"2026-03-17":{{{at}}}}}}}', changes)
    before = daemon.state()
    reason = daemon.skips()
    assert says in reason
    assert "\n" not in reason
    assert daemon.state() == before != type(before)()


@BOTH
@pytest.mark.parametrize("status", [429, 503])
def test_a_tick_sends_at_most_two_requests_if_topo_is_busy_or_down(
    workspace: Pipeline, clock: Clock, sensor: str, status: int
) -> None:
    for day in LAST_DAYS:
        land(workspace.instance, day)
    workspace.api.app = Refusing(workspace.api.app, status)
    assert str(status) in Daemon(workspace, sensor, clock).skips()
    assert workspace.api.app.requested <= 2


@BOTH
def test_a_sensor_never_opens_the_warehouse(workspace: Pipeline, clock: Clock, sensor: str) -> None:
    land(workspace.instance, LAST_DAYS[0])
    path_of(workspace.warehouse).write_bytes(b"not a database")
    Daemon(workspace, sensor, clock).tick()
