"""The client of Topo's API: authentication, pacing, retries; one request, one decoded page.

The only module that knows httpx. What the pages of a window mean together is for `windows`.
No exception leaves here with httpx's own in its chain: those hold the request, and that holds the key.
"""

import asyncio
import ipaddress
import itertools
import json
import logging
import math
import re
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from functools import partial
from importlib.metadata import version
from types import TracebackType
from typing import Any, Generic, Self, TypeVar
from urllib.parse import quote

import httpx
import msgspec
from aiolimiter import AsyncLimiter

from topo_pipeline.retries import stamina
from topo_pipeline.topo_api import wire
from topo_pipeline.topo_api.decoding import decode_page
from topo_pipeline.topo_api.errors import RequestRefused, ResponseInvalid, TopoUnavailable
from topo_pipeline.topo_api.slots import Slots

_LOG = logging.getLogger(__name__)
_SCOPES = {"activities": "activities:read", "sequence-templates": "sequences:read"}
_MAX_TEMPLATE_PAGES = 1000
_T = TypeVar("_T")


@dataclass(frozen=True)
class Retries:
    """How often and how patiently a request is repeated; all times in seconds."""

    attempts: int = 6
    wait_initial: float = 0.5
    wait_max: float = 20.0
    wait_jitter: float = 0.5
    retry_after_max: float = 60.0
    """The longest a server's Retry-After is obeyed."""
    read_timeout: float = 30.0
    """The longest silence within an answer."""
    attempt_timeout: float = 120.0
    """For one whole attempt: the read timeout alone would let an answer drip for ever."""


class TopoClient:
    """Asks Topo, politely; to be entered once, within one event loop.

    Args:
        url: The API's base, https (plain http on loopback only).
        api_key: Sent as bearer token, shown nowhere.
        requests_per_second: Evenly spaced, retries included.
        concurrency: Requests in flight at most.
        retries: How failed requests are repeated.
        clock: Now, with a time zone: what a Retry-After date is measured against.

    Raises:
        ValueError: an argument can't be used; says which, without showing the key.
    """

    def __init__(
        self,
        url: str,
        api_key: str,
        *,
        requests_per_second: float = 10,
        concurrency: int = 4,
        retries: Retries = Retries(),  # noqa: B008 (frozen)
        clock: Callable[[], datetime],
    ) -> None:
        if not 0 < requests_per_second < math.inf or concurrency < 1 or retries.attempts < 1:
            raise ValueError("requests per second, concurrency and attempts must be positive")
        base = _checked_url(url)
        self._base = str(base).rstrip("/")
        self.requests = 0
        """Requests sent so far, retries included."""
        self.concurrency = concurrency
        self.turns = itertools.count(1)
        """For requests of which those that were thought of first go first; one without a turn goes before them."""
        self.attempts = retries.attempts
        """How many requests one call sends at most."""
        self.is_loopback = _is_loopback(base.host)
        """Whether the API is on this machine: a sandbox, not somebody's workspace."""
        self._key = _checked_key(api_key)
        self._host = base.netloc.decode("ascii")
        self._retries = retries
        self._clock = clock
        self._latest: tuple[httpx.Headers, float, datetime] | None = None
        self._limiter = AsyncLimiter(1, 1 / requests_per_second)
        try:
            make = _maker(base, self._key, retries.read_timeout)
            self._connections = [_Connection(make) for _ in range(concurrency)]
        except ImportError as error:  # a SOCKS proxy wants a package of its own
            raise ValueError(f"the environment's proxy can't be used: {error}") from None
        self._slots = Slots(self._connections)

    def __repr__(self) -> str:
        return f"<TopoClient of {self._host}>"

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        for connection in self._connections:
            await connection.close()

    @property
    def heard(self) -> wire.Heard | None:
        """What the latest answer told beside its body; None before the first."""
        if self._latest is None:
            return None
        headers, seconds, ended_at = self._latest
        return wire.heard({name: self._shown(value, 100) for name, value in headers.items()}, seconds, ended_at)

    async def activities(self, query: wire.ActivityQuery, *, turn: int = 0) -> wire.ActivityPage:
        """One page of activities.

        Args:
            query: Which.
            turn: Of the requests that wait for others to be answered, those with the smallest go first.

        Raises:
            TopoError: refused, unavailable or not the documented shape.
        """
        answer = await self._get("activities", query.params(), decode_page, turn)
        return replace(
            answer.value,
            request_id=answer.request_id,
            requests=answer.requests,
            answered_at=answer.answered_at,
        )

    async def sequence_templates(self) -> list[wire.SequenceTemplate] | None:
        """Every sequence template, or None and a warning where the key may not read them.

        Raises:
            TopoError: the key is wrong, or Topo unavailable.
        """
        return await self._optional("sequence templates", self._read_templates)

    async def me(self) -> wire.Me | None:
        """Whose key this is, or None and a warning where Topo does not tell.

        Raises:
            TopoError: the key is wrong, or Topo unavailable.
        """
        return await self._optional("the key's owner", self.identity)

    async def identity(self) -> wire.Me:
        """Whose key this is.

        Raises:
            TopoError: the key is wrong, or Topo unavailable or does not tell.
        """
        return self._shape(wire.decode_me, await self._get("me", {}, msgspec.json.decode))

    async def first_template(self) -> list[wire.SequenceTemplate]:
        """Return the first sequence template, in a list that is empty where there is none; one small request.

        Raises:
            TopoError: the key may not read them, or Topo is unavailable.
        """
        params = {"page": "1", "size": "1", "sort_by": "created_at", "sort_order": "asc"}
        templates, _ = self._shape(
            wire.decode_templates, await self._get("sequence-templates", params, msgspec.json.decode)
        )
        return templates

    async def _read_templates(self) -> list[wire.SequenceTemplate]:
        found: dict[str, wire.SequenceTemplate] = {}
        for page in range(1, _MAX_TEMPLATE_PAGES + 1):
            params = {"page": str(page), "size": "100", "sort_by": "created_at", "sort_order": "asc"}
            answer = await self._get("sequence-templates", params, msgspec.json.decode)
            templates, more = self._shape(wire.decode_templates, answer)
            found |= {template.id: template for template in templates}
            if not (more and templates):
                return list(found.values())
        raise ResponseInvalid(f"{self._host} has no last page of sequence templates")

    def _shape(self, decode: Callable[[object], _T], answer: "_Answer[Any]") -> _T:
        # Outside the retries: JSON of another shape is another API, not a fault that passes.
        try:
            return decode(answer.value)
        except ValueError as error:
            reason = self._shown(str(error))
        raise ResponseInvalid(f"{self._host} answered with {reason}", request_id=answer.request_id)

    async def _optional(self, what: str, read: Callable[[], Awaitable[_T]]) -> _T | None:
        try:
            return await read()
        except RequestRefused as error:
            if error.status == httpx.codes.UNAUTHORIZED:
                raise
            reason = str(error)
        except TopoUnavailable as error:
            if error.status is None:
                raise
            reason = str(error)
        except ResponseInvalid as error:
            reason = str(error)
        _LOG.warning("Going on without %s: %s", what, reason)
        return None

    async def _get(
        self, path: str, params: Mapping[str, str], decode: Callable[[bytes], _T], turn: int = 0
    ) -> "_Answer[_T]":
        """The one retry layer: every fault that may pass is met here, and only here."""
        async for attempt in stamina.retry_context(
            on=self._patience,
            attempts=self._retries.attempts,
            timeout=None,
            wait_initial=self._retries.wait_initial,
            wait_max=self._retries.wait_max,
            wait_jitter=self._retries.wait_jitter,
        ):
            with attempt:
                response = await self._attempt(path, params, attempt.num, turn)
                value = self._decoded(response, decode, attempt.num)
                return _Answer(value, self._request_id(response), attempt.num, wire.answered_at(response.headers))
        raise AssertionError("stamina ends with a result or raises")

    def _patience(self, error: Exception) -> bool | float:
        """Whether to try again, or the seconds to wait before."""
        if isinstance(error, TopoUnavailable) and error.retry_after is not None:
            return min(error.retry_after, self._retries.retry_after_max)
        return isinstance(error, TopoUnavailable | ResponseInvalid)

    async def _attempt(self, path: str, params: Mapping[str, str], number: int, turn: int) -> httpx.Response:
        answer = await self._exchange(path, params, turn)
        if isinstance(answer, str):
            raise TopoUnavailable(self._gave_up(number, answer))
        status = answer.status_code
        if status == httpx.codes.TOO_MANY_REQUESTS or status >= httpx.codes.INTERNAL_SERVER_ERROR:
            raise TopoUnavailable(
                self._gave_up(number, self._described(answer)),
                status=status,
                request_id=self._request_id(answer),
                retry_after=wire.retry_after(answer.headers.get("retry-after"), self._clock()),
            )
        if status >= httpx.codes.MULTIPLE_CHOICES:
            raise self._refusal(path, answer)
        return answer

    async def _exchange(self, path: str, params: Mapping[str, str], turn: int) -> httpx.Response | str:
        """The response, or what befell it: told, not raised, so that nothing chains to httpx's exception."""
        async with self._slots.one(turn) as connection:
            await self._limiter.acquire()
            self.requests += 1
            try:
                async with asyncio.timeout(self._retries.attempt_timeout):
                    response = await connection.get(httpx.URL(f"{self._base}/{path}", params=params))
            except TimeoutError:
                return f"no whole answer within {self._retries.attempt_timeout:g} s"
        if isinstance(response, str):
            return self._shown(response)
        self._latest = response.headers, response.elapsed.total_seconds(), self._clock()
        return response

    def _decoded(self, response: httpx.Response, decode: Callable[[bytes], _T], number: int) -> _T:
        try:
            return decode(response.content)
        except (ValueError, RecursionError) as error:
            reason = self._shown(str(error))
        raise ResponseInvalid(
            f"{self._host} answered {response.status_code} with {reason}, {_times(number)}",
            request_id=self._request_id(response),
        )

    def _refusal(self, path: str, response: httpx.Response) -> RequestRefused:
        status, described = response.status_code, self._described(response)
        if status < httpx.codes.BAD_REQUEST:
            sentence = f"{self._host} redirected to {self._target(response)}, not followed: check TOPO_API_URL"
        elif status == httpx.codes.UNAUTHORIZED:
            sentence = f"Topo does not accept the API key: check TOPO_API_KEY; it said {described}"
        elif status == httpx.codes.FORBIDDEN:
            scope = f"the scope {_SCOPES[path]}" if path in _SCOPES else f"access to /{path}"
            sentence = f"the API key lacks {scope}; Topo said {described}"
        else:
            sentence = f"Topo refused the request for {path}: {described}"
        return RequestRefused(
            sentence,
            status=status,
            type=self._shown(wire.decode_problem(response.content).type),
            request_id=self._request_id(response),
        )

    def _target(self, response: httpx.Response) -> str:
        target = response.next_request
        return self._shown(target.url.netloc.decode("ascii")) if target else "an unnamed host"

    def _gave_up(self, attempts: int, fault: str) -> str:
        return f"{self._host} gave no usable answer {_times(attempts)}; the last fault: {fault}"

    def _described(self, response: httpx.Response) -> str:
        problem = wire.decode_problem(response.content)
        head = f"{response.status_code} {problem.type}".strip()
        parts = [self._shown(head), self._shown(problem.message), self._shown(problem.data, 200)]
        return ": ".join(part for part in parts if part)

    def _request_id(self, response: httpx.Response) -> str | None:
        told = response.headers.get("x-request-id", "")
        if response.is_error:
            told = wire.decode_problem(response.content).request_id or told
        return self._shown(told, 100) or None

    def _shown(self, text: str, limit: int = 300) -> str:
        """Text from outside, fit to be shown: without the key, in one line, shortened last."""
        for spelling in {self._key, quote(self._key, safe=""), json.dumps(self._key)[1:-1]}:
            text = re.sub(re.escape(spelling), "[key]", text, flags=re.IGNORECASE)
        return wire.one_line(text, limit)


@dataclass(frozen=True)
class _Answer(Generic[_T]):
    value: _T
    request_id: str | None
    requests: int
    answered_at: datetime | None


class _Connection:
    """One at a time, made anew once a request on it did not end well.

    httpcore can hold a connection for taken for ever if its request was cancelled (seen with 1.0.9), and of several in
    a pool it asks all that wait, at each request, whether they are still good.
    """

    def __init__(self, make: Callable[[], httpx.AsyncClient]) -> None:
        self._make = make
        self._http = make()
        self._is_closed = False

    async def get(self, url: httpx.URL) -> httpx.Response | str:
        """The response, or what befell it."""
        try:
            return await self._http.get(url)
        except httpx.RequestError as error:
            fault = f"{type(error).__name__} {error}"
        except BaseException:  # goes on its way, a cancellation too
            await self._renew()
            raise
        await self._renew()
        return fault

    async def _renew(self) -> None:
        spoiled = self._http
        if not self._is_closed:
            self._http = self._make()
        await spoiled.aclose()

    async def close(self) -> None:
        self._is_closed = True
        await self._http.aclose()


class _NoCookies(httpx.Cookies):
    """Stays empty; httpx else looks for cookies in each answer, a fifteenth of what a request takes."""

    def extract_cookies(self, response: httpx.Response) -> None:
        pass


class _Http(httpx.AsyncClient):
    """Keeps no cookies: an answer depends on what is asked and on the key, not on what was answered before."""

    _none = _NoCookies()

    @property
    def cookies(self) -> httpx.Cookies:
        return self._none

    @cookies.setter
    def cookies(self, cookies: object) -> None:
        raise TypeError("no cookies are kept")


def _maker(base: httpx.URL, key: str, read_timeout: float) -> Callable[[], httpx.AsyncClient]:
    # Others may be reached through the environment's proxy; this machine itself never is.
    trust_env = not _is_loopback(base.host)
    # Reading the certificates takes longer than some days do; without TLS there is nothing to verify.
    verify = httpx.create_ssl_context(trust_env=trust_env) if base.scheme == "https" else False
    return partial(
        _Http,
        headers={
            "Authorization": f"Bearer {key}",
            "Accept": "application/json",
            "User-Agent": f"topo-pipeline/{version('topo-pipeline')}",
        },
        timeout=httpx.Timeout(connect=10, read=read_timeout, write=10, pool=10),
        limits=httpx.Limits(max_connections=1),
        follow_redirects=False,
        verify=verify,
        trust_env=trust_env,
    )


def _checked_url(text: str) -> httpx.URL:
    try:
        url = httpx.URL(text)
    except httpx.InvalidURL:
        raise ValueError("TOPO_API_URL is not a URL") from None
    if not url.host or url.scheme not in ("https", "http"):
        raise ValueError("TOPO_API_URL must be an https address")
    if url.userinfo or url.query or url.fragment:
        raise ValueError("TOPO_API_URL must hold no user name, password, query or fragment")
    if url.scheme == "http" and not _is_loopback(url.host):
        raise ValueError(f"TOPO_API_URL must use https: plain http to {url.host} would show the key to the network")
    return url


def _is_loopback(host: str) -> bool:
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _checked_key(key: str) -> str:
    if not key:
        raise ValueError("TOPO_API_KEY is empty")
    if not re.fullmatch("[!-~]+", key):
        raise ValueError("TOPO_API_KEY holds white space or characters no key has (a line break pasted with it?)")
    return key


def _times(attempts: int) -> str:
    return "in 1 attempt" if attempts == 1 else f"in {attempts} attempts"
