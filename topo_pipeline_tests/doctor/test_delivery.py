"""Doctor says where the Monday message goes, and logs in to the mail server without sending anything."""

import pytest

from topo_pipeline_tests.alerts.mail_server import mail_server
from topo_pipeline_tests.alerts.receiver import receiving
from topo_pipeline_tests.doctor.conftest import Examine

SMTP = {"TOPO_REPORT_MAIL_TO": "ada@example.com", "TOPO_REPORT_MAIL_FROM": "topo@example.com"}


def test_without_a_destination_nothing_is_sent(finds: Examine) -> None:
    finding = finds()["message"]
    assert (finding.level, finding.do) == ("ok", "")
    assert "not sent" in finding.found


def test_a_chat_is_named_and_not_requested(finds: Examine) -> None:
    with receiving() as chat:
        found = finds(TOPO_ALERT_WEBHOOK=f"{chat.address}/hunter2", TOPO_ALERT_WEBHOOK_FORMAT="teams")
        assert chat.received == []
    assert found["message/chat"].level == "ok"
    assert found["message/chat"].found.endswith("127.0.0.1 (format teams). No message is sent to test it.")
    assert "hunter2" not in str(found)


def test_a_mail_server_that_accepts_the_login_is_reported_and_gets_no_mail(finds: Examine) -> None:
    with mail_server() as server:
        finding = finds(TOPO_SMTP_URL=f"smtp://me:hunter2@{server.at}", **SMTP)["message/mail"]
        assert server.logins == [["me", "hunter2"]]
        assert server.mails == []
    assert (finding.level, finding.do) == ("ok", "")
    assert "ada@example.com" in finding.found


def test_incomplete_mail_settings_are_a_problem_and_nothing_else_is_left_unchecked(finds: Examine) -> None:
    found = finds(TOPO_SMTP_URL="smtp://me:hunter2@127.0.0.1")
    assert found["settings"].level == "problem"
    assert "must be set together" in found["settings"].found
    assert found["message"].level == "ok"


@pytest.mark.parametrize(
    ("answers", "says"),
    [({"AUTH": "535 hunter2"}, "TOPO_SMTP_URL (535)"), ({"ehlo": "421 no", "helo": "421 no"}, "421")],
)
def test_a_mail_server_that_cannot_be_used_is_a_problem_that_does_not_show_the_password(
    finds: Examine, answers: dict[str, str], says: str
) -> None:
    with mail_server() as server:
        server.answers = answers
        found = finds(TOPO_SMTP_URL=f"smtp://me:hunter2@{server.at}", **SMTP)
    assert found["message/mail"].level == "problem"
    assert says in found["message/mail"].found
    assert "TOPO_SMTP_URL" in found["message/mail"].do
    assert "hunter2" not in str(found)
