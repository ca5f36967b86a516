"""Deliver a message to a chat, or a heartbeat: one attempt, within seconds. The caller retries. Mail is in `mail`.

URLs and tokens are secrets and must not appear in errors or logs. No exception raised here chains to one of httpx's,
because those hold the request.
"""

import logging
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.client import HTTPException
from pathlib import Path
from threading import get_ident
from typing import Any, Protocol
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

import httpx

from topo_pipeline.common.deadline import DeadlineExceeded, call_within
from topo_pipeline.common.text import in_chat
from topo_pipeline.settings import Settings

TIMEOUT_SECONDS = 10
"""Limit for each network operation."""
DELIVERY_SECONDS = 20
"""Limit for a whole delivery, because a response can arrive byte by byte."""
MAX_ERROR = 200
# Microsoft's addresses that begin a workflow of Teams, and its older connectors. All take an Adaptive Card.
_OF_TEAMS = (".logic.azure.com", ".powerplatform.com", ".webhook.office.com")


class Undelivered(Exception):
    """The delivery did not succeed. The message says why and contains no secret.

    Attributes:
        may_retry: False if another attempt would fail the same way, or reach some recipients twice.
    """

    def __init__(self, why: str, *, may_retry: bool = True) -> None:
        super().__init__(why)
        self.may_retry = may_retry


class Destination(Protocol):
    """Where messages are sent."""

    @property
    def place(self) -> str:
        """What it is, without secrets."""

    def send(self, text: str, report: Path | None = None) -> None:
        """Send a plain text, with the report as an attachment where that is possible.

        Raises:
            Undelivered: It failed.
        """


def chat_of(settings: Settings) -> Destination | None:
    """Return where to send alerts and the Monday message, or None if no chat is configured."""
    if settings.alert_webhook is not None:
        url = settings.alert_webhook.get_secret_value()
        return Webhook(url, settings.alert_webhook_format or format_of(url))
    if settings.alert_slack_token is not None and settings.alert_slack_channel is not None:
        return Slack(settings.alert_slack_token.get_secret_value(), settings.alert_slack_channel)
    return None


def format_of(url: str) -> str:
    """Return the format that a webhook's address takes: `teams` for those of Microsoft Teams, else `text`."""
    host = urlsplit(url).hostname or ""
    return "teams" if host.endswith(_OF_TEAMS) else "text"


@dataclass(frozen=True)
class Webhook:
    """A URL that accepts `{"text": …}`, such as an incoming webhook of Slack, or an Adaptive Card for Teams."""

    url: str = field(repr=False)
    format: str = "text"

    @property
    def place(self) -> str:
        """What it is, without its address, which is secret."""
        return f"the webhook at {urlsplit(self.url).hostname} (format {self.format})"

    def send(self, text: str, report: Path | None = None) -> None:
        """Post the message.

        Raises:
            Undelivered: the webhook can't be reached or does not answer with 2xx.
        """
        body = _card(text) if self.format == "teams" else {"text": in_chat(text)}
        _deliver(lambda: _request("the webhook", "POST", self.url, body))


def _card(text: str) -> dict[str, Any]:
    """Return a message with an Adaptive Card, one block a line. Text runs show markdown and mentions as they are."""
    blocks, spacing = [], "None"
    for line in text.splitlines():
        if line:
            blocks.append({"type": "RichTextBlock", "spacing": spacing, "inlines": [{"type": "TextRun", "text": line}]})
        spacing = "Small" if line else "Large"
    card = {
        "$schema": "http://adaptivecards.io/schemas/adaptive-card.json",
        "type": "AdaptiveCard",
        "version": "1.4",
        "msteams": {"width": "Full"},
        "body": blocks,
    }
    attachment = {"contentType": "application/vnd.microsoft.card.adaptive", "contentUrl": None, "content": card}
    return {"type": "message", "attachments": [attachment]}


def send_heartbeat(url: str) -> None:
    """Request a URL once, such as that of a check of healthchecks.io or Uptime Kuma.

    Raises:
        Undelivered: the URL can't be reached or does not answer with 2xx.
    """
    _deliver(lambda: _request("the heartbeat URL", "GET", url))


def _deliver(send: Callable[[], str | None]) -> None:
    """Call `send`, which returns its error, if any.

    Raises:
        Undelivered: There was an error, or it took longer than `DELIVERY_SECONDS`.
    """
    try:
        error = call_within(DELIVERY_SECONDS, send)
    except DeadlineExceeded:
        error = f"no complete response within {DELIVERY_SECONDS} s"
    if error:
        raise Undelivered(error)


def _request(name: str, method: str, url: str, body: Mapping[str, Any] | None = None) -> str | None:
    """Send one request without following redirects. Return its error, if any, which names the receiver.

    The error is not raised, so that nothing chains to httpx's exception.
    """
    try:
        with _logs_suppressed("httpx"), _client_for(url) as client, client.stream(method, url, json=body) as answer:
            return None if answer.is_success else f"{name} answered {answer.status_code}"
    except OSError as error:  # from reading certificates: httpx wraps network errors
        return f"{name} can't be reached: {type(error).__name__}; check SSL_CERT_FILE and SSL_CERT_DIR"
    except (httpx.HTTPError, httpx.InvalidURL, ImportError, ValueError, OverflowError) as error:
        # The last three come from an unusable proxy or redirect. Their messages may quote a secret.
        return f"{name} can't be reached: {type(error).__name__}{_proxy_hint(url)}"


def _client_for(url: str) -> httpx.Client:
    """Return a client that uses the proxy that the environment sets for this URL, if any.

    httpx's own proxy detection fails on NO_PROXY entries that other tools accept.
    """
    proxy = _proxy_for(url)
    verify = httpx.create_ssl_context() if urlsplit(url).scheme == "https" else False
    return httpx.Client(
        verify=verify,
        proxy=proxy if proxy is None or "://" in proxy else f"http://{proxy}",
        trust_env=False,
        timeout=TIMEOUT_SECONDS,
    )


def _proxy_for(url: str) -> str | None:
    address, proxies = urlsplit(url), getproxies()
    if proxy_bypass(address.netloc.rpartition("@")[2]):
        return None
    return proxies.get(address.scheme) or proxies.get("all")


def _proxy_hint(url: str) -> str:
    """Return the proxy variables to check if a proxy is in use, without their values."""
    try:
        is_proxied = _proxy_for(url) is not None
    except ValueError:  # the URL can't be parsed
        return ""
    return "; check HTTPS_PROXY, HTTP_PROXY and ALL_PROXY" if is_proxied else ""


@dataclass(frozen=True)
class Slack:
    """A Slack channel. The bot token needs the scope `chat:write`."""

    token: str = field(repr=False)
    channel: str
    api_url: str = "https://slack.com/api/"

    @property
    def place(self) -> str:
        """What it is, without the token."""
        return f"the Slack channel {self.channel}"

    def send(self, text: str, report: Path | None = None) -> None:
        """Post the message.

        Raises:
            Undelivered: Slack can't be reached or rejects the message.
        """
        _deliver(lambda: self._post(in_chat(text)))

    def _post(self, text: str) -> str | None:
        try:
            from dagster_slack import SlackResource  # noqa: PLC0415 - an extra
            from slack_sdk.errors import SlackApiError, SlackClientError  # noqa: PLC0415
        except ModuleNotFoundError:
            return "the extra slack of this package is not installed (make install-dev)"
        client = SlackResource(token=self.token).get_client()
        client.base_url, client.timeout = self.api_url, TIMEOUT_SECONDS
        try:
            with _logs_suppressed("slack_sdk.web.base_client"):
                client.chat_postMessage(channel=self.channel, text=text)
        except SlackApiError as error:
            return f"Slack rejected the message: {str(error.response.get('error', 'no reason given'))[:MAX_ERROR]}"
        except (SlackClientError, HTTPException, OSError, ValueError) as error:
            return f"Slack can't be reached: {type(error).__name__}{_proxy_hint(self.api_url)}"
        return None


@contextmanager
def _logs_suppressed(name: str) -> Iterator[None]:
    """Drop this thread's records of a library's logger: httpx logs request URLs, slack_sdk logs details of tokens."""
    own = get_ident()  # a delivery that timed out may still be running in another thread

    def drop(record: logging.LogRecord) -> bool:
        return record.thread != own

    logger = logging.getLogger(name)
    logger.addFilter(drop)
    try:
        yield
    finally:
        logger.removeFilter(drop)
