"""A message arrives, or it is said why not; what is secret is said nowhere."""

import logging
import socket
import sys
import threading
import traceback
from collections.abc import Iterator
from contextlib import suppress

import pytest

from topo_pipeline.alerts import delivery
from topo_pipeline.alerts.delivery import Destination, Heartbeat, Slack, Undelivered, Webhook
from topo_pipeline_tests.alerts.receiver import Receiver, receiving
from topo_pipeline_tests.topo_api.helpers import raw_server

PRIVATE = "T0PRIVATE42"
TEXT = "topo_pipeline\nFailed: 2026-03-05 (run 1f2e3d4c): « 1 missing »"


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with receiving() as serving:
        yield serving


def webhook(receiver: Receiver) -> Webhook:
    return Webhook(f"{receiver.address}/services/{PRIVATE}")


def slack(receiver: Receiver) -> Slack:
    return Slack(f"xoxb-{PRIVATE}", "#data", api_url=f"{receiver.address}/api/")


BOTH = pytest.mark.parametrize("to", [webhook, slack])


def why_not(destination: Destination) -> str:
    with pytest.raises(Undelivered) as raised:
        destination.send(TEXT)
    assert PRIVATE not in "".join(traceback.format_exception(raised.value))
    assert raised.value.__context__ is None
    return str(raised.value)


def test_a_webhook_gets_the_text_as_json(receiver: Receiver) -> None:
    webhook(receiver).send(TEXT)
    assert receiver.received == [{"text": TEXT}]
    assert receiver.paths == [f"/services/{PRIVATE}"]


def test_slack_gets_it_for_the_channel_from_the_bot(receiver: Receiver) -> None:
    slack(receiver).send(TEXT)
    [message] = receiver.received
    assert (message["channel"], message["text"]) == ("#data", TEXT)
    assert receiver.paths == ["/api/chat.postMessage"]
    assert receiver.headers[0]["authorization"] == f"Bearer xoxb-{PRIVATE}"


@pytest.mark.parametrize("status", [302, 404, 500])
def test_a_webhook_that_does_not_take_it_is_said_with_its_answer(receiver: Receiver, status: int) -> None:
    receiver.status = status
    assert why_not(webhook(receiver)) == f"the webhook answered {status}"
    assert len(receiver.received) == 1  # neither repeated nor sent elsewhere


def test_what_slack_refuses_is_said_with_its_reason(receiver: Receiver) -> None:
    receiver.answer = {"ok": False, "error": "channel_not_found"}
    assert why_not(slack(receiver)) == "Slack rejected the message: channel_not_found"


@BOTH
def test_where_nobody_listens_it_is_said(receiver: Receiver, to: type) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        receiver.address = f"http://127.0.0.1:{free.getsockname()[1]}"
        assert "can't be reached: " in why_not(to(receiver))


@BOTH
def test_one_that_takes_it_and_never_answers_is_waited_for_no_longer_than_the_timeout(
    receiver: Receiver, to: type, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(delivery, "TIMEOUT_SECONDS", 0.2)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        receiver.address = f"http://127.0.0.1:{silent.getsockname()[1]}"
        assert "can't be reached: " in why_not(to(receiver))


@BOTH
def test_one_whose_headers_come_a_byte_at_a_time_is_not_waited_for_either(
    receiver: Receiver, to: type, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(delivery, "DELIVERY_SECONDS", 0.2)
    over = threading.Event()

    def drip(listener: socket.socket) -> None:
        connection, _ = listener.accept()
        with connection, suppress(OSError):
            connection.sendall(b"HTTP/1.1 200 OK\r\nX-Endless: ")
            while not over.wait(0.02):
                connection.sendall(b"x")

    with socket.create_server(("127.0.0.1", 0)) as listener:
        dripping = threading.Thread(target=drip, args=(listener,))
        dripping.start()
        receiver.address = f"http://127.0.0.1:{listener.getsockname()[1]}"
        said = why_not(to(receiver))
        over.set()
        dripping.join()
    assert said == "no complete response within 0.2 s"


@pytest.mark.parametrize("token", ["a\nb", "中"])
def test_a_token_that_no_header_can_hold_is_not_shown(
    receiver: Receiver, token: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    destination = Slack(f"xoxb-{PRIVATE}{token}", "#data", api_url=f"{receiver.address}/api/")
    assert "can't be reached: " in why_not(destination)
    assert PRIVATE not in caplog.text


@BOTH
def test_no_log_and_no_representation_shows_the_secret(
    receiver: Receiver, to: type, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    for name in ("httpx", "httpcore", "slack_sdk", "slack_sdk.web.base_client"):
        caplog.set_level(logging.DEBUG, logger=name)
    destination = to(receiver)
    destination.send(TEXT)
    receiver.status = 500
    why_not(destination)
    assert PRIVATE not in caplog.text
    assert PRIVATE not in repr(destination)
    logging.getLogger("httpx").info("others may log again")
    assert "others may log again" in caplog.text


def test_without_its_extra_slack_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "dagster_slack", None)
    assert why_not(Slack(f"xoxb-{PRIVATE}", "#data")) == (
        "the Slack extra is not installed; run pip install 'topo-pipeline[slack]'"
    )


def test_an_address_that_is_none_is_said_without_it() -> None:
    assert why_not(Webhook(f"https://{PRIVATE}\x00")) == "the webhook can't be reached: InvalidURL"


@pytest.mark.parametrize(
    "proxy",
    [
        f"http://corp:{PRIVATE}#pw@127.0.0.1:9",
        f"http://{PRIVATE}:99999",
        f"ftp://{PRIVATE}",
        f"socks5://{PRIVATE}:9",
        "http://",
    ],
)
def test_a_proxy_that_cannot_be_used_is_named_without_its_value(monkeypatch: pytest.MonkeyPatch, proxy: str) -> None:
    monkeypatch.setenv("HTTPS_PROXY", proxy)
    assert "HTTPS_PROXY" in why_not(Webhook("https://hooks.invalid/x"))


def test_a_proxy_that_refuses_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    with raw_server(b"HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n") as proxy:
        monkeypatch.setenv("ALL_PROXY", proxy.replace("//", f"//corp:{PRIVATE}@"))
        assert "ALL_PROXY" in why_not(Webhook("https://hooks.invalid/x"))


@pytest.mark.parametrize("exempt", ["localhost,fe11::/16,127.0.0.1", "127.0.0.1,[::1]", "*"])
def test_any_spelling_of_no_proxy_lets_messages_through(
    receiver: Receiver, monkeypatch: pytest.MonkeyPatch, exempt: str
) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://")
    monkeypatch.setenv("NO_PROXY", exempt)
    webhook(receiver).send(TEXT)
    assert receiver.received == [{"text": TEXT}]


def test_certificates_that_cannot_be_read_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", f"/nowhere/{PRIVATE}")
    assert "SSL_CERT_FILE" in why_not(Webhook("https://hooks.invalid/x"))


@pytest.mark.parametrize("location", ["http://xn--a/", "http://[", f"http://{'a' * 66_000}/"])
def test_a_redirect_to_no_address_is_not_delivered(receiver: Receiver, location: str) -> None:
    receiver.status, receiver.location = 302, location
    assert why_not(webhook(receiver)).startswith("the webhook ")


def test_a_heartbeat_is_one_get_of_its_address(receiver: Receiver) -> None:
    Heartbeat(f"{receiver.address}/ping/{PRIVATE}?x=1").ping()
    assert (receiver.methods, receiver.paths) == (["GET"], [f"/ping/{PRIVATE}"])


@pytest.mark.parametrize("status", [302, 404, 500])
def test_a_heartbeat_that_is_not_answered_with_success_is_said_without_its_address(
    receiver: Receiver, status: int, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    receiver.status = status
    heartbeat = Heartbeat(f"{receiver.address}/{PRIVATE}")
    with pytest.raises(Undelivered) as raised:
        heartbeat.ping()
    assert str(raised.value) == f"the heartbeat URL answered {status}"
    assert raised.value.__context__ is None
    assert receiver.methods == ["GET"]  # neither repeated nor sent elsewhere
    assert PRIVATE not in caplog.text + repr(heartbeat)
