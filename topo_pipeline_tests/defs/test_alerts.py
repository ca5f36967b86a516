"""People are told when something begins to fail and when it works again, once each."""

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

OURS = "Something of ours went wrong; request id req_7."


Step = Callable[[dg.OpExecutionContext], None]


@dataclass
class Watch:
    """The sensor over an instance, with the cursor that Dagster would keep."""

    instance: dg.DagsterInstance
    definitions: dg.Definitions
    receiver: Receiver
    cursor: str | None = None
    began: datetime = field(default_factory=lambda: datetime.now(UTC))
    later: timedelta = timedelta(0)

    def tick(self, **settings: str) -> str | None:
        """Let the sensor look once; what it says."""
        told = Settings(_env_file=None, **(settings or {"alert_webhook": f"{self.receiver.address}/hook"}))
        resources = {"settings": told, "clock": lambda: self.began + self.later}
        with dg.build_sensor_context(
            instance=self.instance, cursor=self.cursor, definitions=self.definitions, resources=resources
        ) as context:
            data = alert_sensor(told).evaluate_tick(context)
        self.cursor = data.cursor
        assert data.run_requests == []
        return data.skip_message

    def told(self) -> list[str]:
        """What the sensor tells at its next look: the lines below the title of each message."""
        before = len(self.receiver.texts)
        self.tick()
        return [line for text in self.receiver.texts[before:] for line in text.splitlines()[1:]]


class Small(Watch):
    """A location of little things that fail on demand, watched."""

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
        """Run a job whose steps meet these faults; the run in short."""
        self.faults = faults
        result = self.definitions.resolve_job_def(job).execute_in_process(instance=self.instance, raise_on_error=False)
        return result.run_id.partition("-")[0]

    def check(self, severity: dg.AssetCheckSeverity | None = None) -> str:
        """Build the table, with a check that fails with this severity, or passes."""
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


def test_a_step_that_fails_is_told_in_our_words_once_and_its_recovery_once(small: Small) -> None:
    run = small.run(first=refuse)
    assert small.told() == [f"Failed: first (run {run}): {OURS}"]
    small.run(first=refuse)
    assert small.told() == []
    small.run()
    assert small.told() == ["Recovered: first"]
    assert small.told() == []


def test_it_also_works_again_where_another_step_fails_or_another_job_runs_it(small: Small) -> None:
    small.run(first=refuse)
    assert len(small.told()) == 1
    second = small.run(second=refuse)
    assert small.told() == [f"Failed: second (run {second}): {OURS}", "Recovered: first"]
    small.run(first=refuse)
    assert len(small.told()) == 1
    small.run("only_first")
    assert small.told() == ["Recovered: first"]


def test_a_fault_that_is_none_of_ours_is_told_without_quoting_it(small: Small) -> None:
    run = small.run(first=crash)
    assert small.told() == [f"Failed: first (run {run}): RuntimeError, see the run's log"]


@pytest.mark.parametrize("stop", [interrupt, cancel])
def test_a_run_that_somebody_stopped_is_no_failure(small: Small, stop: Step) -> None:
    small.run(first=stop)
    assert small.told() == []
    assert small.instance.get_runs()[0].status.name == ("CANCELED" if stop is cancel else "FAILURE")


def test_a_run_that_ends_without_a_failed_step_is_told_by_its_job_until_one_succeeds(small: Small) -> None:
    job = small.definitions.resolve_job_def("both")
    run = small.instance.create_run_for_job(job)
    small.instance.report_run_failed(run, "Run timed out.")
    assert small.told() == [f"Failed: job both (run {run.run_id.partition('-')[0]}): Run timed out."]
    small.run("only_first")
    assert small.told() == []
    small.run("both")
    assert small.told() == ["Recovered: job both"]


def test_a_check_of_severity_error_is_told_and_a_warning_is_not(small: Small) -> None:
    small.check(dg.AssetCheckSeverity.WARN)
    assert small.told() == []
    run = small.check(dg.AssetCheckSeverity.ERROR)
    assert small.told() == [f"Failed: check engagement/table:key_is_unique (run {run}): 2 keys are double."]
    small.check(dg.AssetCheckSeverity.ERROR)
    assert small.told() == []
    small.check()
    assert small.told() == ["Recovered: check engagement/table:key_is_unique"]


def test_a_webhook_that_is_down_loses_nothing_and_repeats_nothing(small: Small, receiver: Receiver) -> None:
    small.run(first=refuse)
    assert len(small.told()) == 1
    receiver.status = 503
    small.run(second=refuse)
    small.check(dg.AssetCheckSeverity.ERROR)
    assert "Not delivered" in str(small.tick())
    small.run(first=refuse)
    small.later = timedelta(minutes=3)
    assert "the webhook answered 503." in str(small.tick())
    receiver.status = 200
    small.later = timedelta(minutes=8)
    # Of the step that was told to fail, and failed again after a success that nobody was told of, there is no news.
    assert [line.partition(" (")[0] for line in small.told()] == [
        "Failed: second",
        "Failed: check engagement/table:key_is_unique",
    ]
    assert small.told() == []


def test_a_receiver_that_takes_a_message_and_answers_with_an_error_gets_it_ever_more_seldom(
    small: Small, receiver: Receiver
) -> None:
    receiver.status = 500
    small.run(first=refuse)
    sent = []
    for minute in range(4 * 60):
        small.later = timedelta(minutes=minute)
        before = len(receiver.texts)
        small.tick()
        sent += [minute] * (len(receiver.texts) - before)
    pauses = [later - earlier for earlier, later in itertools.pairwise(sent)]
    assert pauses == [2, 4, 8, 16, 32, *[60] * (len(pauses) - 5)]
    assert len(pauses) > 5
    receiver.status = 200
    small.later += timedelta(hours=1)
    assert [line.partition(" (")[0] for line in small.told()] == ["Failed: first"]
    assert small.told() == []


def test_a_failed_delivery_holds_up_neither_later_news_nor_another_destination(
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
    assert [line.partition(" (")[0] for line in small.told()] == ["Failed: second"]
    receiver.status = 200
    assert "Not delivered" not in str(small.tick(alert_webhook=f"{receiver.address}/another"))
    assert len(receiver.texts) == 7
    assert small.told() == []


def test_a_clock_that_was_wrong_at_a_failed_delivery_silences_nothing(small: Small, receiver: Receiver) -> None:
    small.tick()
    receiver.status = 500
    small.run(first=refuse)
    small.later = timedelta(days=365)
    small.tick()
    receiver.status = 200
    small.later = timedelta(0)
    assert len(small.told()) == 1


def test_where_nobody_is_to_be_told_it_is_stopped_and_skips_and_says_so(small: Small) -> None:
    silent, telling = Settings(_env_file=None), Settings(_env_file=None, alert_webhook="https://example.com")
    assert alert_sensor(silent).default_status == dg.DefaultSensorStatus.STOPPED
    assert alert_sensor(telling).default_status == dg.DefaultSensorStatus.RUNNING
    small.run(first=refuse)
    assert "No alerts are sent. Set TOPO_ALERT_WEBHOOK" in str(small.tick(timezone="UTC"))
    assert small.cursor is None
    assert len(small.told()) == 1


def test_a_look_is_bounded_and_the_next_goes_on_from_there(small: Small, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(notifications, "RUNS", 2)
    monkeypatch.setattr(notifications, "OVERLAP", timedelta(0))
    job = small.definitions.resolve_job_def("both")
    for _ in range(3):
        small.instance.report_run_failed(small.instance.create_run_for_job(job), "It is down.")
    small.run("both")
    assert len(small.told()) == 1
    assert small.told() == ["Recovered: job both"]
    assert small.told() == []


def test_the_first_look_goes_back_for_a_day_and_so_does_one_with_a_cursor_of_another_making(
    small: Small, monkeypatch: pytest.MonkeyPatch
) -> None:
    small.run(first=refuse)
    assert len(small.told()) == 1
    small.cursor = "{not ours"
    assert len(small.told()) == 1
    small.cursor = None
    monkeypatch.setattr(notifications, "FIRST_LOOK", -notifications.FIRST_LOOK)  # that run would have ended long before
    assert small.told() == []


def test_a_tag_on_a_run_that_failed_long_ago_is_no_failure(small: Small, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(notifications, "OVERLAP", timedelta(0))
    small.run(first=refuse)
    small.tick()
    small.run()
    assert small.told() == ["Recovered: first"]
    [failed] = small.instance.get_runs(dg.RunsFilter(statuses=[dg.DagsterRunStatus.FAILURE]))
    small.instance.add_run_tags(failed.run_id, {"looked": "at"})
    assert small.told() == []


def test_refused_days_are_told_with_their_reasons_until_each_lands(pipeline: Pipeline, receiver: Receiver) -> None:
    watch = Watch(pipeline.instance, pipeline.definitions, receiver)
    [one, two, three] = days(3)
    pipeline.warehouse.path.mkdir()  # no warehouse can be opened there
    pipeline.read([one])
    assert watch.told()[0].startswith("Failed: topo/activities (run ")
    pipeline.warehouse.path.rmdir()
    pipeline.api.miscounted = {one, two}
    pipeline.read([one, two, three])
    [first, second, third] = watch.told()
    assert third == "Recovered: topo/activities"  # it refused two days, as it should
    assert first.startswith(f"Failed: {one} (run ")
    assert f"Window {one}T00:00:00Z" in first
    assert "1 missing" in first
    assert second.startswith(f"Failed: {two} (run ")
    pipeline.read([two])
    assert watch.told() == []
    pipeline.api.miscounted = {two}
    pipeline.read([one, two])
    assert watch.told() == [f"Recovered: {one}"]
    pipeline.api.miscounted = set()
    pipeline.read([two])
    assert watch.told() == [f"Recovered: {two}"]


def test_a_key_that_is_refused_is_one_line_for_all_days_with_its_request_id(
    tmp_path: Path, api_key: str, receiver: Receiver
) -> None:
    with pipeline_over(tmp_path, api_key, key_used="topo_wrong_key") as pipeline:
        pipeline.read(days(9))
        [line] = Watch(pipeline.instance, pipeline.definitions, receiver).told()
    assert "2026-03-06 and 3 more (run " in line
    assert "check TOPO_API_KEY" in line
    assert "(request id req_" in line
    assert "topo_wrong_key" not in line
