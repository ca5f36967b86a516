"""Delivering alerts and heartbeats. Errors say why a message was not delivered, and show no secrets."""

import logging
import socket
import sys
import threading
import traceback
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace

import pytest

from topo_pipeline.alerts import delivery
from topo_pipeline.alerts.delivery import Destination, Slack, Undelivered, Webhook, chat_of, send_heartbeat
from topo_pipeline.settings import Settings
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


BOTH_DESTINATIONS = pytest.mark.parametrize("destination_for", [webhook, slack])


def error_of(destination: Destination) -> str:
    with pytest.raises(Undelivered) as raised:
        destination.send(TEXT)
    assert PRIVATE not in "".join(traceback.format_exception(raised.value))
    assert raised.value.__context__ is None
    return str(raised.value)


def test_a_webhook_gets_the_text_as_json(receiver: Receiver) -> None:
    webhook(receiver).send(TEXT)
    assert receiver.received == [{"text": TEXT}]
    assert receiver.paths == [f"/services/{PRIVATE}"]


HOSTILE = "Łódź <!channel> @everyone [pay](https://evil.example) ```"


@BOTH_DESTINATIONS
def test_a_name_mentions_nobody_and_hides_no_address(receiver: Receiver, destination_for: type) -> None:
    destination_for(receiver).send(f"{HOSTILE}\nnext line")
    [text] = receiver.texts
    assert not any(special in text for special in ("<", ">", "@everyone", "](", "```"))
    assert text.splitlines()[1] == "next line"


def test_teams_gets_a_card_that_shows_each_line_as_it_is(receiver: Receiver) -> None:
    replace(webhook(receiver), format="teams").send(f"A title\n\n{HOSTILE}\n1. **bold**")
    [message] = receiver.received
    assert message["type"] == "message"
    [attachment] = message["attachments"]
    assert attachment["contentType"] == "application/vnd.microsoft.card.adaptive"
    card = attachment["content"]
    assert (card["type"], card["version"]) == ("AdaptiveCard", "1.4")
    assert "entities" not in card["msteams"]  # without these, no text is a mention
    # A TextBlock would read markdown.
    assert [block["type"] for block in card["body"]] == ["RichTextBlock"] * 3
    runs = [run for block in card["body"] for run in block["inlines"]]
    assert [(run["type"], run["text"]) for run in runs] == [
        ("TextRun", text) for text in ("A title", HOSTILE, "1. **bold**")
    ]


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        ("https://hooks.slack.com/services/T0/B0/x", "text"),
        ("https://chat.example.com/hooks/x", "text"),
        ("https://prod-12.westeurope.logic.azure.com:443/workflows/x/triggers/manual/paths/invoke?sig=x", "teams"),
        ("https://default1.2.environment.api.powerplatform.com:443/powerautomate/x?sig=x", "teams"),
        ("https://example.webhook.office.com/webhookb2/x", "teams"),
        ("https://logic.azure.com.evil.example/x", "text"),
        ("https://notlogic.azure.com/x", "text"),
    ],
)
def test_the_address_decides_the_format_unless_a_setting_does(address: str, expected: str) -> None:
    def chat(**settings: str) -> Destination | None:
        return chat_of(Settings(_env_file=None, alert_webhook=address, **settings))

    assert chat() == Webhook(address, expected)
    assert chat(alert_webhook_format="teams") == Webhook(address, "teams")
    assert chat(alert_webhook_format="text") == Webhook(address, "text")


def test_slack_gets_the_text_with_the_channel_and_the_token(receiver: Receiver) -> None:
    slack(receiver).send(TEXT)
    [message] = receiver.received
    assert (message["channel"], message["text"]) == ("#data", TEXT)
    assert receiver.paths == ["/api/chat.postMessage"]
    assert receiver.headers[0]["authorization"] == f"Bearer xoxb-{PRIVATE}"


@pytest.mark.parametrize("status", [302, 404, 500])
def test_a_webhook_error_is_reported_with_its_status(receiver: Receiver, status: int) -> None:
    receiver.status = status
    assert error_of(webhook(receiver)) == f"the webhook answered {status}"
    assert len(receiver.received) == 1  # neither repeated nor sent elsewhere


def test_a_message_that_slack_rejects_is_reported_with_the_reason(receiver: Receiver) -> None:
    receiver.answer = {"ok": False, "error": "channel_not_found"}
    assert error_of(slack(receiver)) == "Slack rejected the message: channel_not_found"


@BOTH_DESTINATIONS
def test_an_unreachable_address_is_reported(receiver: Receiver, destination_for: type) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        receiver.address = f"http://127.0.0.1:{free.getsockname()[1]}"
        assert "can't be reached: " in error_of(destination_for(receiver))


@BOTH_DESTINATIONS
def test_a_receiver_that_never_answers_times_out(
    receiver: Receiver, destination_for: type, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(delivery, "TIMEOUT_SECONDS", 0.2)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        receiver.address = f"http://127.0.0.1:{listener.getsockname()[1]}"
        assert "can't be reached: " in error_of(destination_for(receiver))


@BOTH_DESTINATIONS
def test_a_receiver_that_sends_its_headers_byte_by_byte_times_out(
    receiver: Receiver, destination_for: type, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(delivery, "DELIVERY_SECONDS", 0.2)
    is_done = threading.Event()

    def send_slowly(listener: socket.socket) -> None:
        connection, _ = listener.accept()
        with connection, suppress(OSError):
            connection.sendall(b"HTTP/1.1 200 OK\r\nX-Endless: ")
            while not is_done.wait(0.02):
                connection.sendall(b"x")

    with socket.create_server(("127.0.0.1", 0)) as listener:
        sender = threading.Thread(target=send_slowly, args=(listener,))
        sender.start()
        receiver.address = f"http://127.0.0.1:{listener.getsockname()[1]}"
        error = error_of(destination_for(receiver))
        is_done.set()
        sender.join()
    assert error == "no complete response within 0.2 s"


@pytest.mark.parametrize("token", ["a\nb", "中"])
def test_a_token_that_is_invalid_in_a_header_is_not_shown(
    receiver: Receiver, token: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    destination = Slack(f"xoxb-{PRIVATE}{token}", "#data", api_url=f"{receiver.address}/api/")
    assert "can't be reached: " in error_of(destination)
    assert PRIVATE not in caplog.text


@BOTH_DESTINATIONS
def test_no_log_or_repr_shows_the_secret(
    receiver: Receiver, destination_for: type, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    for name in ("httpx", "httpcore", "slack_sdk", "slack_sdk.web.base_client"):
        caplog.set_level(logging.DEBUG, logger=name)
    destination = destination_for(receiver)
    destination.send(TEXT)
    receiver.status = 500
    error_of(destination)
    assert PRIVATE not in caplog.text
    assert PRIVATE not in repr(destination)
    logging.getLogger("httpx").info("others may log again")
    assert "others may log again" in caplog.text


def test_without_the_slack_extra_the_error_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "dagster_slack", None)
    assert error_of(Slack(f"xoxb-{PRIVATE}", "#data")) == (
        "the extra slack of this package is not installed (make install-dev)"
    )


def test_an_invalid_address_is_reported_without_showing_it() -> None:
    assert error_of(Webhook(f"https://{PRIVATE}\x00")) == "the webhook can't be reached: InvalidURL"


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
def test_an_unusable_proxy_is_named_without_its_value(monkeypatch: pytest.MonkeyPatch, proxy: str) -> None:
    monkeypatch.setenv("HTTPS_PROXY", proxy)
    assert "HTTPS_PROXY" in error_of(Webhook("https://hooks.invalid/x"))


def test_a_proxy_that_refuses_connections_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    with raw_server(b"HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n") as proxy:
        monkeypatch.setenv("ALL_PROXY", proxy.replace("//", f"//corp:{PRIVATE}@"))
        assert "ALL_PROXY" in error_of(Webhook("https://hooks.invalid/x"))


@pytest.mark.parametrize("exempt", ["localhost,fe11::/16,127.0.0.1", "127.0.0.1,[::1]", "*"])
def test_every_spelling_of_no_proxy_lets_messages_through(
    receiver: Receiver, monkeypatch: pytest.MonkeyPatch, exempt: str
) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://")
    monkeypatch.setenv("NO_PROXY", exempt)
    webhook(receiver).send(TEXT)
    assert receiver.received == [{"text": TEXT}]


def test_an_unreadable_certificate_file_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", f"/nowhere/{PRIVATE}")
    assert "SSL_CERT_FILE" in error_of(Webhook("https://hooks.invalid/x"))


@pytest.mark.parametrize("location", ["http://xn--a/", "http://[", f"http://{'a' * 66_000}/"])
def test_a_redirect_to_an_invalid_address_is_an_error(receiver: Receiver, location: str) -> None:
    receiver.status, receiver.location = 302, location
    assert error_of(webhook(receiver)).startswith("the webhook ")


def test_a_heartbeat_is_one_get_request(receiver: Receiver) -> None:
    send_heartbeat(f"{receiver.address}/ping/{PRIVATE}?x=1")
    assert (receiver.methods, receiver.paths) == (["GET"], [f"/ping/{PRIVATE}"])


@pytest.mark.parametrize("status", [302, 404, 500])
def test_a_failed_heartbeat_is_reported_without_its_address(
    receiver: Receiver, status: int, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    receiver.status = status
    with pytest.raises(Undelivered) as raised:
        send_heartbeat(f"{receiver.address}/{PRIVATE}")
    assert str(raised.value) == f"the heartbeat URL answered {status}"
    assert raised.value.__context__ is None
    assert receiver.methods == ["GET"]  # neither repeated nor sent elsewhere
    assert PRIVATE not in caplog.text
