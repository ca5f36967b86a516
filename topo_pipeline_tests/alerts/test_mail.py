"""Mail is sent with the report attached, encrypted except on loopback. Errors show no password."""

import logging
import socket
import ssl
import traceback
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from topo_pipeline.alerts import mail
from topo_pipeline.alerts.delivery import Undelivered
from topo_pipeline.alerts.mail import Mail
from topo_pipeline_tests.alerts.mail_server import MailServer, certificate, mail_server

PRIVATE = "T0PRIVATE42"
TEXT = "Engagement report, 30 November 2026\n\nDo this week\n1. Łódź “A”: 9.1% @everyone <!channel> **bold**\n"
NOW = datetime(2026, 11, 30, 6, 30, tzinfo=UTC)


@pytest.fixture
def server() -> Iterator[MailServer]:
    with mail_server() as serving:
        yield serving


@pytest.fixture(scope="module")
def tls(tmp_path_factory: pytest.TempPathFactory) -> tuple[ssl.SSLContext, Path]:
    return certificate(tmp_path_factory.mktemp("tls"))


@pytest.fixture
def elsewhere(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let mail take this machine's server for another machine's. Not every system has a second loopback address."""
    monkeypatch.setattr(mail, "LOOPBACK", frozenset())


def to(server: MailServer, user: str = "", scheme: str = "smtp") -> Mail:
    return Mail(f"{scheme}://{user}{server.at}", "topo@example.com", ("ada@example.com", "bo@example.org"), lambda: NOW)


def error_of(destination: Mail) -> Undelivered:
    with pytest.raises(Undelivered) as raised:
        destination.send(TEXT)
    assert PRIVATE not in "".join(traceback.format_exception(raised.value))
    assert raised.value.__context__ is None
    return raised.value


def test_a_mail_has_the_text_and_the_report(server: MailServer, tmp_path: Path) -> None:
    report = tmp_path / "engagement_report_2026-11-30.html"
    page = f"<html>Łódź {'x' * 5_000}\n.\n</html>"
    report.write_text(page, encoding="utf-8")
    to(server).send(TEXT, report)
    [sent] = server.mails
    assert sent["Subject"] == "Engagement report, 30 November 2026"
    assert (sent["From"], sent["To"]) == ("topo@example.com", "ada@example.com, bo@example.org")
    assert sent["Date"].datetime == NOW
    assert sent["Auto-Submitted"] == "auto-generated"
    body, attached = sent.iter_parts()
    assert (body.get_content_type(), body.get_content().replace("\r\n", "\n")) == ("text/plain", TEXT)
    assert attached.get_content_type() == "text/html"
    assert attached.get_filename() == report.name
    assert attached.get_payload(decode=True).decode() == page
    assert [command for command in server.commands if command.startswith("rcpt")] == [
        "rcpt TO:<ada@example.com>",
        "rcpt TO:<bo@example.org>",
    ]
    assert server.logins == []


def test_user_and_password_are_decoded_and_shown_nowhere(server: MailServer, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    destination = to(server, user=f"me%40example.com:{PRIVATE}%2F@")
    destination.send(TEXT)
    assert server.logins == [["me@example.com", f"{PRIVATE}/"]]
    assert PRIVATE not in caplog.text + repr(destination) + destination.place


def test_checking_logs_in_and_sends_nothing(server: MailServer) -> None:
    to(server, user="me:secret@").check()
    assert server.logins == [["me", "secret"]]
    assert not any(command.lower().startswith("mail") for command in server.commands)


@pytest.mark.usefixtures("elsewhere")
@pytest.mark.parametrize("is_smtps", [True, False])
def test_mail_to_another_machine_is_encrypted(
    tls: tuple[ssl.SSLContext, Path], monkeypatch: pytest.MonkeyPatch, is_smtps: bool
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(tls[1]))
    with mail_server(tls[0], is_smtps=is_smtps) as server:
        to(server, user="me:secret@", scheme="smtps" if is_smtps else "smtp").send(TEXT)
        assert server.encrypted == [True]
        # Before the encryption begins, there is no login.
        assert is_smtps or [each.split()[0] for each in server.commands][:2] == ["ehlo", "STARTTLS"]


@pytest.mark.usefixtures("elsewhere")
@pytest.mark.parametrize("is_smtps", [True, False])
def test_a_certificate_that_nobody_vouches_for_is_refused(tls: tuple[ssl.SSLContext, Path], is_smtps: bool) -> None:
    with mail_server(tls[0], is_smtps=is_smtps) as server:
        error = error_of(to(server, user=f"me:{PRIVATE}@", scheme="smtps" if is_smtps else "smtp"))
        assert "a certificate that can't be verified" in str(error)
        assert not error.may_retry
        assert server.logins == server.mails == []


@pytest.mark.usefixtures("elsewhere")
def test_without_starttls_nothing_is_sent_to_another_machine() -> None:
    with mail_server() as server:
        error = error_of(to(server, user=f"me:{PRIVATE}@"))
        assert "STARTTLS" in str(error)
        assert server.logins == server.mails == []


@pytest.mark.parametrize(
    ("begins", "answer", "says", "may_retry"),
    [
        ("AUTH", f"535 no {PRIVATE}", "does not accept the user and password of TOPO_SMTP_URL (535)", False),
        ("AUTH", "454 busy", "does not accept the user and password of TOPO_SMTP_URL (454)", True),
        ("mail", "550 not you", "answered 550 not you", False),
        ("mail", "451 later\x07", "answered 451 later", True),
        ("rcpt", "550 unknown", "refused ada@example.com (550 unknown); bo@example.org (550 unknown)", False),
        ("rcpt", "450 greylisted", "refused ada@example.com (450 greylisted)", True),
        ("rcpt TO:<bo", "450 unknown", "refused bo@example.org (450 unknown), and accepted the others", False),
        ("data", "554 no", "answered 554 no", False),
        ("end of DATA", "452 full", "answered 452 full", True),
    ],
)
def test_a_refusal_says_why_and_whether_to_try_again(
    server: MailServer, begins: str, answer: str, says: str, may_retry: bool
) -> None:
    server.answers = {begins: answer}
    error = error_of(to(server, user=f"me:{PRIVATE}@"))
    assert says in str(error)
    assert error.may_retry is may_retry


def test_what_a_server_answers_after_it_has_accepted_the_mail_is_no_error(server: MailServer) -> None:
    server.answers = {"QUIT": "500 what?", "quit": "500 what?"}
    to(server).send(TEXT)  # an error would send it again
    assert len(server.mails) == 1


def test_recipients_that_were_not_refused_get_the_mail(server: MailServer) -> None:
    server.answers = {"rcpt TO:<bo": "550 unknown"}
    error_of(to(server))
    assert len(server.mails) == 1


def test_a_server_that_does_not_accept_connections_is_named_and_tried_again() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        destination = to(MailServer(at=f"127.0.0.1:{free.getsockname()[1]}"), user=f"me:{PRIVATE}@")
        error = error_of(destination)
    assert str(error) == "127.0.0.1 can't be reached: Connection refused"
    assert error.may_retry


@pytest.mark.parametrize(("limit", "says"), [("TIMEOUT_SECONDS", "reached: "), ("DELIVERY_SECONDS", "within 0.2 s")])
def test_a_server_that_never_answers_times_out(monkeypatch: pytest.MonkeyPatch, limit: str, says: str) -> None:
    monkeypatch.setattr(mail, limit, 0.2)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        error = error_of(to(MailServer(at=f"127.0.0.1:{listener.getsockname()[1]}")))
    assert says in str(error)


def test_a_password_that_is_not_ascii_is_not_shown(server: MailServer) -> None:
    assert "not ASCII" in str(error_of(to(server, user=f"me:{PRIVATE}%C3%BC@")))


@pytest.mark.parametrize("line", ["Bcc: eve@example.com", "\r\nBcc: eve@example.com", "a\rBcc: eve@example.com"])
def test_no_text_adds_a_header_or_a_recipient(server: MailServer, line: str) -> None:
    to(server).send(f"{line}\nA text\r\n.\r\nmail FROM:<eve@example.com>\n")
    [sent] = server.mails
    assert sent["Bcc"] is None
    assert sent["To"] == "ada@example.com, bo@example.org"
    assert len([each for each in server.commands if each.startswith(("rcpt", "mail"))]) == 3


def test_an_address_with_a_line_break_is_refused(server: MailServer) -> None:
    with pytest.raises(ValueError, match="linefeed|newline|CR"):
        replace(to(server), sender="topo@example.com\nBcc: eve@example.com").send(TEXT)
    assert server.mails == []
