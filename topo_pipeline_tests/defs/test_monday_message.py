"""The job `send_report`: once to each destination, with retries of the one that failed."""

import shutil
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from topo_pipeline.definitions import build
from topo_pipeline.defs import monday_message
from topo_pipeline.settings import Settings
from topo_pipeline_tests.alerts.mail_server import MailServer, mail_server
from topo_pipeline_tests.alerts.receiver import Receiver, receiving
from topo_pipeline_tests.defs.conftest import NOW, Pipeline, pipeline_over
from topo_pipeline_tests.warehouse.builders import path_of

MAIL = {"report_mail_to": "ada@example.com", "report_mail_from": "topo@example.com"}
_current: list[Pipeline] = []
WEBHOOK = {"alert_webhook": "https://hooks.example.com/x"}
SMTP = {"smtp_url": "smtp://127.0.0.1:9", **MAIL}


@dataclass
class Monday:
    pipeline: Pipeline
    chat: Receiver
    mail: MailServer

    def send(self) -> dg.ExecuteInProcessResult:
        job = self.pipeline.definitions.resolve_job_def("send_report")
        return job.execute_in_process(instance=self.pipeline.instance, raise_on_error=False)


@pytest.fixture
def monday(built: Path, tmp_path: Path, api_key: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Monday]:
    """Four landed days with every table, a chat and a mail server. Retries follow at once."""
    monkeypatch.setattr(monday_message, "RETRIES", dg.RetryPolicy(max_retries=4))
    shutil.copy(built, tmp_path)
    with ExitStack() as stack:
        chat, mail = stack.enter_context(receiving()), stack.enter_context(mail_server())
        destinations = {"alert_webhook": f"{chat.address}/hook", "smtp_url": f"smtp://{mail.at}", **MAIL}
        folder = str(tmp_path / "report")
        pipeline = stack.enter_context(pipeline_over(tmp_path, api_key, report_dir=folder, **destinations))
        yield Monday(pipeline, chat, mail)


def errors_of(result: dg.ExecuteInProcessResult) -> dict[str, str]:
    found = {}
    for event in result.get_step_failure_events():
        data = event.step_failure_data.user_failure_data
        found[str(event.step_key)] = str(data and data.description)
    return found


def test_chat_and_mail_get_the_message_of_the_report_that_was_just_written(monday: Monday, tmp_path: Path) -> None:
    result = monday.send()
    assert result.success
    [text] = monday.chat.texts
    [mail] = monday.mail.mails
    body, attached = mail.iter_parts()
    assert text.startswith("Engagement report, 20 March 2026\n\nAs of the end of 19 March 2026.")
    assert body.get_content().replace("\r\n", "\n").translate({0x2060: ""}) == text.translate({0x2060: ""})
    assert mail["Date"].datetime == NOW
    report = tmp_path / "report" / "engagement_report.html"
    assert f"Report: {report}" in text
    assert attached.get_payload(decode=True) == report.read_bytes()
    [event] = result.asset_materializations_for_node("write_message")
    assert event.asset_key == dg.AssetKey(["publish", "engagement_report"])
    assert event.metadata["path"].value == str(report)


def test_only_the_destination_that_failed_is_tried_again(monday: Monday) -> None:
    attempts: list[int] = []

    @property  # type: ignore[misc]
    def status(_: Receiver) -> int:
        attempts.append(1)
        return 200 if len(attempts) == 3 else 500

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Receiver, "status", status, raising=False)
        assert monday.send().success
    assert (len(monday.chat.texts), len(monday.mail.mails)) == (3, 1)
    assert len(set(monday.chat.texts)) == 1


def test_a_destination_that_keeps_failing_fails_the_run_with_the_reason(monday: Monday) -> None:
    monday.chat.status = 500
    result = monday.send()
    assert errors_of(result) == {"send_to_chat": "Not delivered: the webhook answered 500."}
    assert (len(monday.chat.texts), len(monday.mail.mails)) == (5, 1)


def test_a_refusal_for_good_is_not_tried_again(monday: Monday) -> None:
    monday.mail.answers = {"rcpt": "550 unknown"}
    result = monday.send()
    assert errors_of(result) == {
        "send_by_mail": "Not delivered: the mail server refused ada@example.com (550 unknown)."
    }
    assert len([command for command in monday.mail.commands if command.startswith("rcpt")]) == 1
    assert len(monday.chat.texts) == 1


def send_report() -> dg.JobDefinition:
    """Return the job, as Dagster reconstructs it for a re-execution."""
    return _current[-1].definitions.resolve_job_def("send_report")


def test_a_re_execution_from_the_failure_repeats_nothing_that_arrived(
    monday: Monday, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(globals(), "_current", [monday.pipeline])
    instance, job = monday.pipeline.instance, dg.reconstructable(send_report)
    monday.mail.answers = {"rcpt": "550 unknown"}
    first = dg.execute_job(job, instance)
    assert not first.success
    monday.mail.answers = {}
    again = dg.ReexecutionOptions.from_failure(first.run_id, instance)
    assert dg.execute_job(job, instance, reexecution_options=again).success
    assert (len(monday.chat.texts), len(monday.mail.mails)) == (1, 1)
    [mail] = monday.mail.mails
    assert mail["Subject"] == "Engagement report, 20 March 2026"


def test_without_a_report_nothing_is_sent(monday: Monday) -> None:
    path_of(monday.pipeline.warehouse).unlink()
    result = monday.send()
    assert "Read a day first" in errors_of(result)["write_message"]
    assert monday.chat.texts == monday.mail.mails == []


@pytest.mark.parametrize(
    ("settings", "steps"),
    [
        ({}, None),
        (WEBHOOK, {"send_to_chat"}),
        ({"alert_slack_token": "xoxb-1", "alert_slack_channel": "#x"}, {"send_to_chat"}),
        (SMTP, {"send_by_mail"}),
        ({**WEBHOOK, **SMTP}, {"send_to_chat", "send_by_mail"}),
    ],
)
def test_job_and_schedule_exist_only_with_a_destination(settings: dict[str, str], steps: set[str] | None) -> None:
    repository = build(Settings(_env_file=None, **settings)).get_repository_def()
    names = {schedule.name for schedule in repository.schedule_defs}
    assert ("monday_message_schedule" in names) is (steps is not None)
    assert repository.has_job("send_report") is (steps is not None)
    if steps:
        assert {node.name for node in repository.get_job("send_report").nodes} == {"write_message", *steps}


@pytest.mark.parametrize(("automation", "status"), [("off", "STOPPED"), ("on", "RUNNING")])
def test_it_is_sent_on_mondays_after_the_night_if_automation_is_on(automation: str, status: str) -> None:
    settings: dict[str, Any] = {**WEBHOOK, "automation": automation, "timezone": "Europe/Paris"}
    schedule = (
        build(Settings(_env_file=None, **settings)).get_repository_def().get_schedule_def("monday_message_schedule")
    )
    assert (schedule.cron_schedule, schedule.job_name) == ("45 6 * * 1", "send_report")
    assert (schedule.execution_timezone, schedule.default_status.name) == ("Europe/Paris", status)


def test_retries_take_less_than_an_hour() -> None:
    policy = monday_message.RETRIES
    assert [policy.calculate_delay(attempt) for attempt in range(1, 5)] == [120, 360, 840, 1800]
