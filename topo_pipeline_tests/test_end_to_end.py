"""The whole pipeline: webserver, daemon and code server as `topo-pipeline dev` starts them, against the sandbox.

The machine was off overnight. Before that, only half of a day had landed, because Topo showed the rest later, and a run
was killed. Now all services start. The missed days are read, one day is refused until a fault is removed, a user
backfills older days at the same time, and alerts report the failure and the recovery.
"""

import os
import socket
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs
from zoneinfo import ZoneInfo

import dagster as dg
import httpx
import msgspec
import pytest
from dagster._core.remote_origin import (
    ManagedGrpcPythonEnvCodeLocationOrigin,
    RemoteInstigatorOrigin,
    RemoteRepositoryOrigin,
)
from dagster._core.scheduler.instigation import (
    InstigatorState,
    InstigatorStatus,
    InstigatorType,
    ScheduleInstigatorData,
)
from dagster._core.types.loadable_target_origin import LoadableTargetOrigin

from topo_pipeline.defs.resources import utc_now
from topo_pipeline.sandbox.activity import Activity
from topo_pipeline.sandbox.app import create_app
from topo_pipeline.sandbox.server import serve
from topo_pipeline.sandbox.world import World
from topo_pipeline.warehouse.connection import Warehouse
from topo_pipeline_tests.alerts.receiver import Receiver, receiving
from topo_pipeline_tests.command_line import topo_pipeline
from topo_pipeline_tests.conftest import PATIENCE
from topo_pipeline_tests.orchestration.test_dev import ask, dev_in, loaded, until

DAY = timedelta(days=1)
LONG_AGO = 1.0
REPOSITORY = {"repositoryName": "__repository__", "repositoryLocationName": "topo_pipeline"}
RANGE_START, RANGE_END = "dagster/asset_partition_range_start", "dagster/asset_partition_range_end"
# Event types and the columns of sequence_activity that count them.
COUNTED = {
    "sequence.created": "total_found",
    "message.sent": "total_sent",
    "message.opened": "total_opens",
    "message.link_clicked": "total_clicks",
    "message.replied": "total_replies",
}


class SameWeek(World):
    """A world in which `midnight` is always the same Wednesday, so that its activities don't depend on today's date."""

    def __init__(self, midnight: datetime) -> None:
        super().__init__(11, scale=0.1)
        self._later = midnight - datetime(2026, 3, 18, tzinfo=UTC)

    def activities(self, after: datetime | None, before: datetime) -> list[Activity]:
        found = super().activities(after and after - self._later, before - self._later)
        return [
            msgspec.structs.replace(
                row,
                created_at=row.created_at + self._later,
                classified_at=row.classified_at and row.classified_at + self._later,
            )
            for row in found
        ]


class Topo:
    """The sandbox, in a time zone where it is past noon, so that no midnight comes during the test.

    Faults that are set with `PUT /faults` affect only `bad_day`.
    """

    def __init__(self) -> None:
        offset = 12 - datetime.now(UTC).hour
        self.timezone = f"Etc/GMT{-offset:+d}"
        self.zone = ZoneInfo(self.timezone)
        self.today = datetime.now(self.zone).date()
        self.world = SameWeek(self.midnight(0).astimezone(UTC))
        self.shows_until: datetime | None = None
        self.bad_day = self.day(5)
        key = os.environ["TOPO_API_KEY"]
        self._sound = create_app(self.world, api_key=key, now=self._now, date_clock=utc_now)
        self._faulty = create_app(self.world, api_key=key, now=self._now, date_clock=utc_now)

    def day(self, ago: int) -> date:
        return self.today - ago * DAY

    def midnight(self, ago: int) -> datetime:
        """Return the beginning of the day `ago` days before today."""
        return datetime.combine(self.day(ago), time(), self.zone)

    def _now(self) -> datetime:
        return self.shows_until or datetime.now(UTC)

    async def __call__(self, scope: dict[str, Any], receive: Any, send: Any) -> None:
        app = self._faulty if scope["path"] == "/faults" or self._requests_the_bad_day(scope) else self._sound
        await app(scope, receive, send)

    def _requests_the_bad_day(self, scope: dict[str, Any]) -> bool:
        query = parse_qs(scope["query_string"].decode())
        bounds = [query.get(bound, [""])[0] for bound in ("created_at_after", "created_at_before")]
        if not all(bounds):
            return False
        after, before = map(datetime.fromisoformat, bounds)
        seconds = timedelta(seconds=3)  # requested in addition on either side of a day
        return self.midnight(5) - seconds <= after and before <= self.midnight(4) + seconds


@dataclass(frozen=True)
class Services:
    """The running services, and what a test needs to observe them."""

    graphql: str
    topo: Topo
    address: str
    receiver: Receiver
    instance: dg.DagsterInstance
    warehouse: Warehouse
    killed: str


def leave_a_killed_run(instance: dg.DagsterInstance) -> str:
    """Create a run that holds the only slot of the pool `topo_api` and whose process is gone."""

    @dg.job(name="refresh")
    def before() -> None:
        """No step."""

    run_id = instance.create_run_for_job(before).run_id
    with subprocess.Popen([sys.executable, "-c", ""]) as process:
        pass
    instance.add_run_tags(run_id, {".dagster/topo_pipeline_owner": f"{socket.gethostname()}:{process.pid}:{run_id}"})
    instance.report_dagster_event(dg.DagsterEvent("PIPELINE_START", "refresh"), run_id)
    assert instance.event_log_storage.claim_concurrency_slot("topo_api", run_id, "step").is_claimed
    return run_id


def store_schedule_state(
    instance: dg.DagsterInstance, schedule: str, cron: str, at: datetime, location: str = "topo_pipeline"
) -> None:
    """Store the state that a daemon leaves if its last tick of this schedule was at `at`."""
    target = LoadableTargetOrigin(executable_path=sys.executable, module_name="topo_pipeline.definitions")
    place = ManagedGrpcPythonEnvCodeLocationOrigin(target, location)
    origin = RemoteInstigatorOrigin(RemoteRepositoryOrigin(place, "__repository__"), schedule)
    data = ScheduleInstigatorData(cron, at.timestamp())
    instance.add_instigator_state(
        InstigatorState(origin, InstigatorType.SCHEDULE, InstigatorStatus.DECLARED_IN_CODE, data)
    )


TICKS = """
query($selector: InstigationSelector!) {
  instigationStateOrError(instigationSelector: $selector) {
    ... on InstigationState {ticks {status timestamp runIds skipReason error {message}}}
  }
}
"""


def ticks(graphql: str, name: str) -> list[dict[str, Any]]:
    """Return the ticks of a schedule or sensor, latest first; fail if one of them failed."""
    selector = {**REPOSITORY, "name": name}
    found = ask(graphql, TICKS, selector=selector)["instigationStateOrError"].get("ticks", [])
    for tick in found:
        if tick["status"] == "FAILURE":
            pytest.fail(f"a tick of {name} failed: {tick['error']}")
    return list(found)


def launched_by(graphql: str, name: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the first tick of a schedule or sensor that launched a run, and the run once it has ended."""
    launching = [tick for tick in ticks(graphql, name) if tick["status"] == "SUCCESS" and tick["runIds"]]
    assert launching, f"{name} has launched nothing yet"
    [run_id] = launching[-1]["runIds"]
    return launching[-1], ended(graphql, run_id)


def ended(graphql: str, run_id: str) -> dict[str, Any]:
    query = "query($id: ID!) {runOrError(runId: $id) {... on Run {status tags {key value}}}}"
    run = ask(graphql, query, id=run_id)["runOrError"]
    assert run["status"] in {"SUCCESS", "FAILURE", "CANCELED"}, f"run {run_id} is {run['status']}"
    return {"id": run_id, "status": run["status"], **{tag["key"]: tag["value"] for tag in run["tags"]}}


def days_of(run: dict[str, Any]) -> tuple[str, str]:
    return run[RANGE_START], run[RANGE_END]


BACKFILL = """
mutation($params: LaunchBackfillParams!) {
  launchPartitionBackfill(backfillParams: $params) {
    __typename
    ... on LaunchBackfillSuccess {backfillId}
    ... on PythonError {message}
  }
}
"""
RE_EXECUTE = """
mutation($params: ReexecutionParams!) {
  launchRunReexecution(reexecutionParams: $params) {
    __typename
    ... on LaunchRunSuccess {run {runId}}
    ... on PythonError {message}
  }
}
"""


def backfill(graphql: str, days: list[date]) -> str:
    params = {"assetSelection": [{"path": ["topo", "activities"]}], "partitionNames": [str(day) for day in days]}
    return str(ask(graphql, BACKFILL, params=params)["launchPartitionBackfill"]["backfillId"])


def backfilled(graphql: str, backfill_id: str) -> None:
    query = "query($id: String!) {partitionBackfillOrError(backfillId: $id) {... on PartitionBackfill {status}}}"
    status = ask(graphql, query, id=backfill_id)["partitionBackfillOrError"]["status"]
    if "FAIL" in status:
        pytest.fail(f"the backfill: {status}")
    assert status == "COMPLETED_SUCCESS"


def re_execute(graphql: str, run_id: str) -> str:
    """Re-execute a run from failure, as the button in the UI does."""
    params = {"parentRunId": run_id, "strategy": "FROM_FAILURE"}
    return str(ask(graphql, RE_EXECUTE, params=params)["launchRunReexecution"]["run"]["runId"])


def make_due(instance: dg.DagsterInstance, sensor: str) -> None:
    """Make the next tick of a sensor due now, if none is running."""
    [state] = [state for state in instance.all_instigator_state() if state.instigator_name == sensor]
    data: Any = state.instigator_data
    started, succeeded = data.last_tick_start_timestamp or LONG_AGO, data.last_tick_success_timestamp or LONG_AGO
    if LONG_AGO < started <= succeeded:
        earlier = data._replace(last_tick_timestamp=LONG_AGO, last_tick_start_timestamp=LONG_AGO)
        instance.update_instigator_state(state.with_data(earlier))


def alerted(services: Services, *words: str) -> Callable[[], None]:
    """Return a function that requires a message with all the words; if there is none, the alert sensor becomes due."""

    def holds() -> None:
        if not any(all(word in text for word in words) for text in services.receiver.texts):
            make_due(services.instance, "run_alert_sensor")
            raise AssertionError(f"no message has {words}: {services.receiver.texts}")

    return holds


def expected(topo: Topo, without: Collection[date]) -> tuple[Counter[date], Counter[tuple[date, str | None, str]]]:
    """Count the activities of each day and the events of each sequence and day in the simulated world."""
    rows = topo.world.activities(topo.midnight(9) - timedelta(microseconds=1), topo.midnight(0))
    days = [row.created_at.astimezone(topo.zone).date() for row in rows]
    done = Counter(
        (day, row.sequence_template_id, COUNTED[row.type])
        for day, row in zip(days, rows, strict=True)
        if row.type in COUNTED and day not in without
    )
    return Counter(day for day in days if day not in without), done


def found(warehouse: Warehouse, today: date) -> tuple[Counter[date], Counter[tuple[date, str | None, str]]]:
    """Count the same in the tables."""
    with warehouse.reader() as connection:
        days = connection.execute(
            "SELECT day, count(*) FROM topo.activities WHERE day < ? GROUP BY day", [today]
        ).fetchall()
        done = connection.execute(
            "UNPIVOT (SELECT day, sequence_template_id::VARCHAR AS sequence, COLUMNS('total_.*') "
            "FROM engagement.sequence_activity WHERE day < ?) ON COLUMNS('total_.*') INTO NAME what VALUE number",
            [today],
        ).fetchall()
    counted: Counter[tuple[date, str | None, str]] = Counter()
    for day, sequence, what, number in done:
        if what in COUNTED.values():
            counted[day, sequence, what] += number
    return Counter(dict(days)), +counted


@pytest.fixture
def services(tmp_path: Path) -> Iterator[Services]:
    """The services, started on what earlier runs left behind."""
    topo, warehouse = Topo(), Warehouse(str(tmp_path / "topo.duckdb"))
    with serve(topo) as address, receiving() as receiver:
        environment = {
            "TOPO_API_KEY": os.environ["TOPO_API_KEY"],
            "TOPO_API_URL": f"{address}/v1",
            "TOPO_WAREHOUSE": warehouse.target,
            "TOPO_START_DATE": str(topo.day(12)),
            "TOPO_TIMEZONE": topo.timezone,
            "TOPO_REQUESTS_PER_SECOND": "1000",
            "TOPO_AUTOMATION": "on",
            "TOPO_ALERT_WEBHOOK": receiver.address,
            "DAGSTER_HOME": str(tmp_path / "home"),
        }
        topo.shows_until = topo.midnight(6) + DAY / 2
        before = topo_pipeline(tmp_path, "backfill", str(topo.day(6)), str(topo.day(6)), **environment)
        assert before.returncode == 0, before.stderr
        topo.shows_until = None
        httpx.put(f"{address}/faults", json=[{"kind": "miscount"}], timeout=PATIENCE).raise_for_status()
        with dg.DagsterInstance.from_config(str(tmp_path / "home")) as instance:
            killed = leave_a_killed_run(instance)
            store_schedule_state(instance, "nightly_refresh_schedule", "15 1 * * *", topo.midnight(1) + DAY / 2)
            with dev_in(tmp_path, **environment) as (graphql, _):
                until(lambda: loaded(graphql))
                yield Services(graphql, topo, address, receiver, instance, warehouse, killed)


@pytest.mark.full
def test_the_services_catch_up_send_alerts_and_build_correct_tables(services: Services) -> None:
    topo, graphql = services.topo, services.graphql
    a_backfill = backfill(graphql, [topo.day(9), topo.day(8), topo.day(7)])

    # The orphaned run blocks nothing.
    until(lambda: assert_orphaned_run_ended(services))

    # The missed night reads the gap since the first landed day and the last days. One of them is refused.
    tick, night = until(lambda: launched_by(graphql, "nightly_refresh_schedule"))
    assert datetime.fromtimestamp(tick["timestamp"], topo.zone) == topo.midnight(0) + timedelta(hours=1, minutes=15)
    assert days_of(night) == (str(topo.bad_day), str(topo.day(1)))
    assert night["status"] == "FAILURE"
    until(alerted(services, f"Failed: {topo.bad_day}", night["id"].partition("-")[0]))

    # Today's new activities, and late-arriving ones.
    _, news = until(lambda: launched_by(graphql, "new_activity_sensor"))
    assert (days_of(news), news["status"]) == ((str(topo.today), str(topo.today)), "SUCCESS")
    _, late = until(lambda: launched_by(graphql, "late_activity_sensor"))
    assert (days_of(late), late["status"]) == ((str(topo.day(6)), str(topo.day(6))), "SUCCESS")

    # The refused day doesn't hold up the tables of the others.
    until(lambda: assert_tables_match(services, without={topo.bad_day}))
    assert any(tick["status"] == "SUCCESS" for tick in ticks(graphql, "tables_follow_what_landed"))

    httpx.delete(f"{services.address}/faults", timeout=PATIENCE).raise_for_status()
    retry = re_execute(graphql, night["id"])
    assert until(lambda: ended(graphql, retry))["status"] == "SUCCESS"
    until(alerted(services, "Recovered: ", str(topo.bad_day)))
    until(lambda: assert_tables_match(services))
    until(lambda: backfilled(graphql, a_backfill))


def assert_orphaned_run_ended(services: Services) -> None:
    reasons = [tick["skipReason"] for tick in ticks(services.graphql, "killed_runs_sensor")]
    assert f"Ended orphaned runs: {services.killed}." in reasons


def assert_tables_match(services: Services, without: Collection[date] = ()) -> None:
    """Check that the activities and tables match the simulated world on each past day, and that today is not empty."""
    days, done = expected(services.topo, without)
    landed, counted = found(services.warehouse, services.topo.today)
    assert landed == days
    assert counted == done
    with services.warehouse.reader() as connection:
        [(todays, runs, landed_runs)] = connection.execute(
            "SELECT (SELECT sum(total_found) FROM engagement.sequence_activity WHERE day = $today),"
            " (SELECT count(*) FROM engagement.sequence_runs),"
            " (SELECT count(DISTINCT sequence_id) FROM topo.activities)",
            {"today": services.topo.today},
        ).fetchall()
    assert todays
    assert runs == landed_runs
