"""The command `report`."""

from datetime import UTC, datetime
from pathlib import Path
from subprocess import CompletedProcess

import pytest

from topo_pipeline.cli import report
from topo_pipeline.report.page import Published
from topo_pipeline_tests.alerts.mail_server import mail_server
from topo_pipeline_tests.alerts.receiver import receiving
from topo_pipeline_tests.command_line import answer, assert_one_sentence


def test_report_writes_the_file_and_prints_only_its_path(landed: Path) -> None:
    result = answer(landed, "report", TOPO_WAREHOUSE="topo.duckdb", TOPO_REPORT_DIR="here")
    assert result.returncode == 0, result.stderr
    [path] = result.stdout.splitlines()
    assert Path(path).parent == landed / "here"
    assert "<html" in Path(path).read_text()


@pytest.mark.parametrize("has_browser", [True, False])
def test_the_report_opens_in_the_browser_if_there_is_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, has_browser: bool
) -> None:
    opened: list[str] = []

    def browser(address: str) -> bool:
        opened.append(address)
        return has_browser

    monkeypatch.setattr("webbrowser.open", browser)
    path = tmp_path / "report.html"
    monkeypatch.setattr(report, "write_report", lambda: Published(path, path.as_uri(), 0, None, 0, "", path))
    result = answer(tmp_path, "report", "--open")
    assert result.returncode == 0
    assert result.stdout.split() == [str(tmp_path / "report.html")]
    assert opened == [(tmp_path / "report.html").as_uri()]
    assert ("Open the file yourself" in result.stderr) is not has_browser


SMTP = {"TOPO_REPORT_MAIL_TO": "ada@example.com", "TOPO_REPORT_MAIL_FROM": "topo@example.com"}
PRIVATE = "T0PRIVATE42"


def sending(folder: Path, *options: str, **environment: str) -> CompletedProcess[str]:
    """Run `report --send` with these options."""
    where = {"TOPO_WAREHOUSE": "topo.duckdb", "TOPO_REPORT_DIR": "here"}
    result = answer(folder, "report", "--send", *options, **where, **environment)
    assert PRIVATE not in result.stdout + result.stderr
    return result


def test_a_dry_run_shows_the_message_and_where_it_would_go_and_does_nothing_else(landed: Path) -> None:
    # Nothing listens at these addresses.
    chat, mail = f"http://127.0.0.1:9/{PRIVATE}", f"smtp://me:{PRIVATE}@127.0.0.1:9"
    result = sending(landed, "--dry-run", TOPO_ALERT_WEBHOOK=chat, TOPO_SMTP_URL=mail, **SMTP)
    assert (result.returncode, result.stderr) == (0, "")
    assert result.stdout.startswith("Engagement report, ")
    assert "Do this week" in result.stdout
    assert f"Report: {landed / 'here' / 'engagement_report.html'}" in result.stdout
    assert result.stdout.splitlines()[-2:] == [
        "Would be sent to the webhook at 127.0.0.1 (format text).",
        "Would be sent to ada@example.com (by mail from topo@example.com through 127.0.0.1).",
    ]
    assert not (landed / "here").exists()


def test_send_writes_the_report_and_sends_the_same_message(landed: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(report, "now", lambda: datetime(2026, 11, 30, 6, 45, tzinfo=UTC))
    with receiving() as chat, mail_server() as mail:
        address = {"TOPO_REPORT_URL": "https://reports.example.com/latest.html"}
        hook, smtp = f"{chat.address}/{PRIVATE}", f"smtp://me:{PRIVATE}@{mail.at}"
        result = sending(landed, TOPO_ALERT_WEBHOOK=hook, TOPO_SMTP_URL=smtp, **SMTP, **address)
        dry = sending(landed, "--dry-run", TOPO_ALERT_WEBHOOK=hook, **address)
        [text], [mailed] = chat.texts, mail.mails
    assert result.returncode == 0
    assert result.stdout == f"{landed / 'here' / 'engagement_report.html'}\n"
    assert [line.split(" ")[0] for line in result.stderr.splitlines()] == ["Sent", "Sent"]
    assert "Report: https://reports.example.com/latest.html" in text
    assert text in dry.stdout
    _, attached = mailed.iter_parts()
    assert attached.get_payload(decode=True) == (landed / "here" / "engagement_report.html").read_bytes()


def test_a_destination_that_fails_keeps_the_message_from_no_other(landed: Path) -> None:
    with receiving() as chat, mail_server() as mail:
        chat.status = 500
        result = sending(
            landed, TOPO_ALERT_WEBHOOK=f"{chat.address}/{PRIVATE}", TOPO_SMTP_URL=f"smtp://{mail.at}", **SMTP
        )
        assert len(mail.mails) == 1
    assert_one_sentence(result, "Not sent to the webhook at 127.0.0.1 (format text): the webhook answered 500.")
    assert "Sent to ada@example.com (by mail" in result.stderr


def test_without_a_destination_the_settings_to_set_are_named(landed: Path) -> None:
    result = sending(landed)
    assert_one_sentence(result, "TOPO_ALERT_WEBHOOK", "TOPO_ALERT_SLACK_TOKEN", "TOPO_SMTP_URL", "TOPO_REPORT_MAIL_TO")
    assert result.returncode == 1
    assert not (landed / "here").exists()


def test_a_dry_run_without_a_destination_shows_the_message_and_names_the_settings(landed: Path) -> None:
    result = sending(landed, "--dry-run")
    assert result.returncode == 0
    assert "Do this week" in result.stdout
    [note] = result.stderr.splitlines()
    assert note.startswith("No destination is configured for the report.")
    assert "TOPO_SMTP_URL" in note


@pytest.mark.parametrize("options", [("--dry-run",), ("--send", "--dry-run", "--open")])
def test_a_dry_run_is_of_sending_alone(tmp_path: Path, options: tuple[str, ...]) -> None:
    result = answer(tmp_path, "report", *options)
    assert_one_sentence(result, "report --send --dry-run")
    assert result.returncode == 2


def test_an_unwritable_report_is_a_one_line_error(landed: Path) -> None:
    (landed / "here").write_text("a file where a folder should be")
    assert_one_sentence(answer(landed, "report", TOPO_WAREHOUSE="topo.duckdb", TOPO_REPORT_DIR="here"), "here")
