"""Alerts report when something starts to fail and when it recovers, once each."""

import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

import dagster as dg
import pytest

from topo_pipeline.defs import notifications
from topo_pipeline.defs.notifications import alert_sensor
from topo_pipeline.settings import Settings
from topo_pipeline_tests.alerts.receiver import Receiver, receiving
from topo_pipeline_tests.defs.conftest import Pipeline, days, pipeline_over
from topo_pipeline_tests.warehouse.builders import path_of

OURS = "Something of ours went wrong; request id req_7."


Step = Callable[[dg.OpExecutionContext], None]


@dataclass
class Watch:
    """The alert sensor of an instance, with the cursor that Dagster would keep."""

    instance: dg.DagsterInstance
    definitions: dg.Definitions
    receiver: Receiver
    cursor: str | None = None
    began: datetime = field(default_factory=lambda: datetime.now(UTC))
    later: timedelta = timedelta(0)

    def tick(self, **settings: str) -> str | None:
        """Run one tick; return its skip message."""
        configured = Settings(_env_file=None, **(settings or {"alert_webhook": f"{self.receiver.address}/hook"}))
        resources = {"settings": configured, "clock": lambda: self.began + self.later}
        with dg.build_sensor_context(
            instance=self.instance, cursor=self.cursor, definitions=self.definitions, resources=resources
        ) as context:
            data = alert_sensor(configured).evaluate_tick(context)
        self.cursor = data.cursor
        assert data.run_requests == []
        return data.skip_message

    def new_lines(self) -> list[str]:
        """Run one tick; return the lines below the title of each new message."""
        before = len(self.receiver.texts)
        self.tick()
        return [line for text in self.receiver.texts[before:] for line in text.splitlines()[1:]]


class Small(Watch):
    """A small code location whose steps and checks fail on demand."""

    def __init__(self, instance: dg.DagsterInstance, receiver: Receiver) -> None:
        self.faults: dict[str, Step] = {}
        self.severity: dg.AssetCheckSeverity | None = None

        @dg.op
        def first(context: dg.OpExecutionContext) -> None:
            self.faults.get("first", fine)(context)

        @dg.op(ins={"after": dg.In(dg.Nothing)})
        def second(context: dg.OpExecutionContext) -> None:
            self.faults.get("second", fine)(context)

        @dg.job
        def both() -> None:
            second(first())

        @dg.job
        def only_first() -> None:
            first()

        @dg.asset(key=["engagement", "table"])
        def table() -> None:
            pass

        @dg.asset_check(asset=table)
        def key_is_unique() -> dg.AssetCheckResult:
            severity = self.severity or dg.AssetCheckSeverity.ERROR
            return dg.AssetCheckResult(passed=not self.severity, severity=severity, description="2 keys are double.")

        jobs = [both, only_first, dg.define_asset_job("tables", "*")]
        super().__init__(instance, dg.Definitions(assets=[table], asset_checks=[key_is_unique], jobs=jobs), receiver)

    def run(self, job: str = "both", **faults: Step) -> str:
        """Run a job with these faults in its steps; return the short run id."""
        self.faults = faults
        result = self.definitions.resolve_job_def(job).execute_in_process(instance=self.instance, raise_on_error=False)
        return result.run_id.partition("-")[0]

    def check(self, severity: dg.AssetCheckSeverity | None = None) -> str:
        """Build the table with a check that fails with this severity, or passes."""
        self.severity = severity
        return self.run("tables")


def fine(context: dg.OpExecutionContext) -> None:
    pass


def refuse(context: dg.OpExecutionContext) -> None:
    raise dg.Failure(OURS, allow_retries=False)


def crash(context: dg.OpExecutionContext) -> None:
    raise RuntimeError("ada@example.com is no number")


def interrupt(context: dg.OpExecutionContext) -> None:
    raise KeyboardInterrupt


def cancel(context: dg.OpExecutionContext) -> None:
    context.instance.report_run_canceling(context.run)
    raise KeyboardInterrupt


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with receiving() as serving:
        yield serving


@pytest.fixture
def small(receiver: Receiver) -> Iterator[Small]:
    with dg.DagsterInstance.ephemeral() as instance:
        yield Small(instance, receiver)


def test_a_failing_step_and_its_recovery_are_reported_once(small: Small) -> None:
    run = small.run(first=refuse)
    assert small.new_lines() == [f"Failed: first (run {run}): {OURS}"]
    small.run(first=refuse)
    assert small.new_lines() == []
    small.run()
    assert small.new_lines() == ["Recovered: first"]
    assert small.new_lines() == []


def test_a_step_recovers_even_if_another_step_fails_or_another_job_runs_it(small: Small) -> None:
    small.run(first=refuse)
    assert len(small.new_lines()) == 1
    second = small.run(second=refuse)
    assert small.new_lines() == [f"Failed: second (run {second}): {OURS}", "Recovered: first"]
    small.run(first=refuse)
    assert len(small.new_lines()) == 1
    small.run("only_first")
    assert small.new_lines() == ["Recovered: first"]


def test_an_unexpected_error_is_reported_without_its_message(small: Small) -> None:
    run = small.run(first=crash)
    assert small.new_lines() == [f"Failed: first (run {run}): RuntimeError, see the run's log"]


@pytest.mark.parametrize("stop", [interrupt, cancel])
def test_a_run_that_was_stopped_is_not_a_failure(small: Small, stop: Step) -> None:
    small.run(first=stop)
    assert small.new_lines() == []
    assert small.instance.get_runs()[0].status.name == ("CANCELED" if stop is cancel else "FAILURE")


def test_a_run_that_fails_outside_its_steps_is_reported_by_its_job(small: Small) -> None:
    job = small.definitions.resolve_job_def("both")
    run = small.instance.create_run_for_job(job)
    small.instance.report_run_failed(run, "Run timed out.")
    assert small.new_lines() == [f"Failed: job both (run {run.run_id.partition('-')[0]}): Run timed out."]
    small.run("only_first")
    assert small.new_lines() == []
    small.run("both")
    assert small.new_lines() == ["Recovered: job both"]


def test_a_failed_check_is_reported_only_with_severity_error(small: Small) -> None:
    small.check(dg.AssetCheckSeverity.WARN)
    assert small.new_lines() == []
    run = small.check(dg.AssetCheckSeverity.ERROR)
    assert small.new_lines() == [f"Failed: check engagement/table:key_is_unique (run {run}): 2 keys are double."]
    small.check(dg.AssetCheckSeverity.ERROR)
    assert small.new_lines() == []
    small.check()
    assert small.new_lines() == ["Recovered: check engagement/table:key_is_unique"]


def test_while_the_webhook_is_down_no_alert_is_lost_or_repeated(small: Small, receiver: Receiver) -> None:
    small.run(first=refuse)
    assert len(small.new_lines()) == 1
    receiver.status = 503
    small.run(second=refuse)
    small.check(dg.AssetCheckSeverity.ERROR)
    assert "Not delivered" in str(small.tick())
    small.run(first=refuse)
    small.later = timedelta(minutes=3)
    assert "the webhook answered 503." in str(small.tick())
    receiver.status = 200
    small.later = timedelta(minutes=8)
    # The first step was reported as failed. Its success was not delivered before it failed again, so nothing is new.
    assert [line.partition(" (")[0] for line in small.new_lines()] == [
        "Failed: second",
        "Failed: check engagement/table:key_is_unique",
    ]
    assert small.new_lines() == []


def test_failed_deliveries_are_retried_at_doubling_intervals(small: Small, receiver: Receiver) -> None:
    receiver.status = 500
    small.run(first=refuse)
    sent = []
    for minute in (*range(0, 64, 2), 120, 122):
        small.later = timedelta(minutes=minute)
        before = len(receiver.texts)
        small.tick()
        sent += [minute] * (len(receiver.texts) - before)
    pauses = [later - earlier for earlier, later in itertools.pairwise(sent)]
    assert pauses == [2, 4, 8, 16, 32, *[60] * (len(pauses) - 5)]
    assert len(pauses) > 5
    receiver.status = 200
    small.later += timedelta(hours=1)
    assert [line.partition(" (")[0] for line in small.new_lines()] == ["Failed: first"]
    assert small.new_lines() == []


def test_a_failed_delivery_delays_neither_later_alerts_nor_another_destination(
    small: Small, receiver: Receiver
) -> None:
    receiver.status = 500
    small.run(first=refuse)
    for minute in (0, 2, 6, 14, 30):
        small.later = timedelta(minutes=minute)
        small.tick()
    assert len(receiver.texts) == 5
    small.later += timedelta(minutes=1)
    small.run(second=refuse)
    assert [line.partition(" (")[0] for line in small.new_lines()] == ["Failed: second"]
    receiver.status = 200
    assert "Not delivered" not in str(small.tick(alert_webhook=f"{receiver.address}/another"))
    assert len(receiver.texts) == 7
    assert small.new_lines() == []


def test_a_wrong_clock_during_a_failed_delivery_does_not_block_alerts(small: Small, receiver: Receiver) -> None:
    small.tick()
    receiver.status = 500
    small.run(first=refuse)
    small.later = timedelta(days=365)
    small.tick()
    receiver.status = 200
    small.later = timedelta(0)
    assert len(small.new_lines()) == 1


def test_without_a_destination_the_sensor_is_stopped_and_its_ticks_skip(small: Small) -> None:
    without, configured = Settings(_env_file=None), Settings(_env_file=None, alert_webhook="https://example.com")
    assert alert_sensor(without).default_status == dg.DefaultSensorStatus.STOPPED
    assert alert_sensor(configured).default_status == dg.DefaultSensorStatus.RUNNING
    small.run(first=refuse)
    assert "No alerts are sent. Set TOPO_ALERT_WEBHOOK" in str(small.tick(timezone="UTC"))
    assert small.cursor is None
    assert len(small.new_lines()) == 1


def test_a_tick_reads_a_limited_number_of_runs_and_the_next_continues(
    small: Small, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(notifications, "RUNS", 2)
    monkeypatch.setattr(notifications, "OVERLAP", timedelta(0))
    job = small.definitions.resolve_job_def("both")
    for _ in range(3):
        small.instance.report_run_failed(small.instance.create_run_for_job(job), "It is down.")
    small.run("both")
    assert len(small.new_lines()) == 1
    assert small.new_lines() == ["Recovered: job both"]
    assert small.new_lines() == []


def test_the_first_tick_and_one_with_an_invalid_cursor_look_back_one_day(
    small: Small, monkeypatch: pytest.MonkeyPatch
) -> None:
    small.run(first=refuse)
    assert len(small.new_lines()) == 1
    small.cursor = "{not ours"
    assert len(small.new_lines()) == 1
    small.cursor = None
    monkeypatch.setattr(notifications, "FIRST_LOOK", -notifications.FIRST_LOOK)  # that run is too old now
    assert small.new_lines() == []


def test_tagging_a_run_that_failed_earlier_is_not_a_failure(small: Small, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(notifications, "OVERLAP", timedelta(0))
    small.run(first=refuse)
    small.tick()
    small.run()
    assert small.new_lines() == ["Recovered: first"]
    [failed] = small.instance.get_runs(dg.RunsFilter(statuses=[dg.DagsterRunStatus.FAILURE]))
    small.instance.add_run_tags(failed.run_id, {"looked": "at"})
    assert small.new_lines() == []


def test_refused_days_are_reported_with_their_reasons_until_they_land(pipeline: Pipeline, receiver: Receiver) -> None:
    watch = Watch(pipeline.instance, pipeline.definitions, receiver)
    [one, two, three] = days(3)
    path_of(pipeline.warehouse).mkdir()  # no warehouse can be opened there
    pipeline.read([one])
    assert watch.new_lines()[0].startswith("Failed: topo/activities (run ")
    path_of(pipeline.warehouse).rmdir()
    pipeline.api.miscounted = {one, two}
    pipeline.read([one, two, three])
    [first, second, third] = watch.new_lines()
    assert third == "Recovered: topo/activities"  # refusing days is not a failure of the asset
    assert first.startswith(f"Failed: {one} (run ")
    assert f"Window {one}T00:00:00Z" in first
    assert "1 missing" in first
    assert second.startswith(f"Failed: {two} (run ")
    pipeline.read([two])
    assert watch.new_lines() == []
    pipeline.api.miscounted = {two}
    pipeline.read([one, two])
    assert watch.new_lines() == [f"Recovered: {one}"]
    pipeline.api.miscounted = set()
    pipeline.read([two])
    assert watch.new_lines() == [f"Recovered: {two}"]


def test_a_refused_key_is_one_line_for_all_days(tmp_path: Path, api_key: str, receiver: Receiver) -> None:
    with pipeline_over(tmp_path, api_key, key_used="topo_wrong_key") as pipeline:
        pipeline.read(days(9))
        [line] = Watch(pipeline.instance, pipeline.definitions, receiver).new_lines()
    assert "2026-03-06 and 3 more (run " in line
    assert "check TOPO_API_KEY" in line
    assert "(request id req_" in line
    assert "topo_wrong_key" not in line
