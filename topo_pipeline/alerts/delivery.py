"""How a message or a heartbeat is delivered: one attempt, within seconds. A later tick retries.

Addresses and tokens are secrets: nothing here shows them, and no exception leaves with httpx's own in its chain, which
hold the request.
"""

import logging
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, wait
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.client import HTTPException
from threading import Thread, get_ident
from typing import Protocol
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

import httpx

TIMEOUT_SECONDS = 10
"""For each network operation."""
DELIVERY_SECONDS = 20
"""For a delivery as a whole: a response can arrive byte by byte."""
LONGEST_FAULT = 200


class Undelivered(Exception):
    """The request was not answered with success; the sentence says why, without any secret."""


class Destination(Protocol):
    """Where messages go."""

    def tell(self, text: str) -> None:
        """Deliver a message.

        Raises:
            Undelivered: it may not have arrived.
        """


@dataclass(frozen=True)
class Webhook:
    """Any address that takes `{"text": …}`, as the incoming webhooks of Slack and of its likes do."""

    url: str = field(repr=False)

    def tell(self, text: str) -> None:
        """Post the message.

        Raises:
            Undelivered: the webhook can't be reached, or does not answer with success.
        """
        _request("the webhook", "POST", self.url, {"text": text})


@dataclass(frozen=True)
class Heartbeat:
    """An address that is requested after each good night, such as a check of healthchecks.io or Uptime Kuma."""

    url: str = field(repr=False)

    def beat(self) -> None:
        """Request the address.

        Raises:
            Undelivered: it can't be reached, or does not answer with success.
        """
        _request("the heartbeat's address", "GET", self.url)


def _request(name: str, method: str, url: str, body: Mapping[str, str] | None = None) -> None:
    """Send one request; redirects are not followed.

    Raises:
        Undelivered: it was not answered with success in time.
    """
    fault = _in_time(lambda: _fault(method, url, body))
    if fault:
        raise Undelivered(f"{name} {fault}")


def _fault(method: str, url: str, body: Mapping[str, str] | None) -> str | None:
    """Send the request and return what went wrong: not raised, so that nothing chains to httpx's exception."""
    try:
        with _unlogged("httpx"), _client_for(url) as client, client.stream(method, url, json=body) as answer:
            return None if answer.is_success else f"answered {answer.status_code}"
    except OSError as error:  # those of the network are httpx's own
        return f"can't be reached: {type(error).__name__}; check SSL_CERT_FILE and SSL_CERT_DIR"
    except (httpx.HTTPError, httpx.InvalidURL, ImportError, ValueError, OverflowError) as error:
        # The last three: a proxy or a redirect that can't be used. What they say may quote a secret.
        return f"can't be reached: {type(error).__name__}{_proxy_hint(url)}"


def _in_time(send: Callable[[], str | None]) -> str | None:
    """Call `send` with a time limit and return its result.

    Raises:
        Undelivered: it took too long; its thread is abandoned.
    """
    outcome: Future[str | None] = Future()

    def run() -> None:
        try:
            outcome.set_result(send())
        except BaseException as error:  # noqa: BLE001 - it is raised where it is waited for
            outcome.set_exception(error)

    Thread(target=run, name="alert", daemon=True).start()
    if wait([outcome], timeout=DELIVERY_SECONDS).not_done:
        raise Undelivered(f"no complete response within {DELIVERY_SECONDS} s")
    return outcome.result()


def _client_for(url: str) -> httpx.Client:
    """Return a client that goes through the proxy of the environment, where it names one for this address.

    Not left to httpx, which fails on addresses that others accept in NO_PROXY.
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
    """Name the variables of a proxy that is in use, and nothing of their values."""
    try:
        is_proxied = _proxy_for(url) is not None
    except ValueError:  # the address can't be read
        return ""
    return "; check HTTPS_PROXY, HTTP_PROXY and ALL_PROXY" if is_proxied else ""


@dataclass(frozen=True)
class Slack:
    """A channel, by a bot's token with the scope `chat:write`."""

    token: str = field(repr=False)
    channel: str
    api_url: str = "https://slack.com/api/"

    def tell(self, text: str) -> None:
        """Post the message.

        Raises:
            Undelivered: Slack can't be reached, or refuses.
        """
        fault = _in_time(lambda: self._post(text))
        if fault:
            raise Undelivered(fault)

    def _post(self, text: str) -> str | None:
        try:
            from dagster_slack import SlackResource  # noqa: PLC0415 - an extra
            from slack_sdk.errors import SlackApiError, SlackClientError  # noqa: PLC0415
        except ModuleNotFoundError:
            return "Slack needs its extra: pip install 'topo-pipeline[slack]'"
        client = SlackResource(token=self.token).get_client()
        client.base_url, client.timeout = self.api_url, TIMEOUT_SECONDS
        try:
            with _unlogged("slack_sdk.web.base_client"):
                client.chat_postMessage(channel=self.channel, text=text)
        except SlackApiError as error:
            return f"Slack refused: {str(error.response.get('error', 'no reason given'))[:LONGEST_FAULT]}"
        except (SlackClientError, HTTPException, OSError, ValueError) as error:
            return f"Slack can't be reached: {type(error).__name__}{_proxy_hint(self.api_url)}"
        return None


@contextmanager
def _unlogged(name: str) -> Iterator[None]:
    """Drop what a library logs meanwhile: httpx tells each request's address, slack_sdk what is wrong with a token."""
    own = get_ident()  # a delivery that took too long may still be under way in another thread

    def drop(record: logging.LogRecord) -> bool:
        return record.thread != own

    logger = logging.getLogger(name)
    logger.addFilter(drop)
    try:
        yield
    finally:
        logger.removeFilter(drop)
