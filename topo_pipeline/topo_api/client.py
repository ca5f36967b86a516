"""The client of Topo's API: authentication, pacing, retries. One request returns one decoded page.

Only this module and `network` use httpx. Reading the pages of a whole window belongs in `windows`.
No exception raised here is chained to one of httpx's: those contain the request, and with it the key.
"""

import asyncio
import json
import logging
import math
import re
import time
import zlib
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from contextlib import aclosing
from dataclasses import astuple, dataclass, replace
from datetime import datetime
from functools import cached_property, partial
from importlib.metadata import version
from typing import Self, TypeVar, cast
from urllib.parse import quote, urljoin, urlsplit

import httpx
import msgspec
from aiolimiter import AsyncLimiter

from topo_pipeline.common.retries import retry_level, stamina
from topo_pipeline.common.text import counted, one_line
from topo_pipeline.topo_api import wire
from topo_pipeline.topo_api.decoding import decode_page
from topo_pipeline.topo_api.errors import RequestRefused, ResponseInvalid, TopoError, TopoUnavailable
from topo_pipeline.topo_api.network import Network, checked_url, is_loopback, network_for
from topo_pipeline.topo_api.paging import read_list

_LOG = logging.getLogger(__name__)
_SCOPES = {"activities": "activities:read"} | {model.path: model.scope for model in wire.ListItem.__subclasses__()}
MAX_ANSWER_BYTES = 32 * 2**20
"""Largest response body that is read, decompressed: 300 kB for each row of a page."""
_T = TypeVar("_T")
_I = TypeVar("_I", bound=wire.ListItem)


@dataclass(frozen=True)
class Retries:
    """How a request is retried. All times are in seconds."""

    attempts: int = 6
    wait_initial: float = 0.5
    wait_max: float = 20.0
    wait_jitter: float = 0.5
    retry_after_max: float = 60.0
    """Longest wait for a server's Retry-After."""
    read_timeout: float = 30.0
    """Longest time without receiving data."""
    attempt_timeout: float = 120.0
    """Limit for one whole attempt. With the read timeout alone, a slow trickle of bytes would never end."""


# At most this for optional requests, so that nothing waits for them longer than half a minute.
_OPTIONAL = Retries(attempts=2, wait_max=2, retry_after_max=5, attempt_timeout=10)
_NOT_NOW = {408, 425}  # Request Timeout, Too Early


class TopoClient:
    """Sends requests to Topo within a rate limit. Enter it once, in one event loop.

    Its methods raise a `TopoError` if a request is refused, fails at every attempt, or has another answer than
    documented. The optional ones (`me`, `read_all`) do so only if Topo does not accept the key. If anything else fails,
    they log a warning and return None.

    Args:
        url: The API's base URL: https, or plain http on loopback.
        api_key: Sent as a bearer token, never shown.
        requests_per_second: Maximum rate, evenly spaced, retries included.
        concurrency: Maximum number of requests in flight.
        retries: How failed requests are retried.
        clock: Returns now, with a time zone. A Retry-After date is compared with it.
        key_variable: The variable that holds the key, for messages.

    Raises:
        ValueError: an argument can't be used. The message names it and does not show the key.
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
        key_variable: str = "TOPO_API_KEY",
    ) -> None:
        if not 0 < requests_per_second < math.inf or concurrency < 1 or retries.attempts < 1:
            raise ValueError("requests per second, concurrency and attempts must be positive")
        base = checked_url(url)
        self._base = str(base).rstrip("/")
        self.requests = 0
        """Requests sent so far, retries included."""
        self.concurrency = concurrency
        self.attempts = retries.attempts
        """Maximum number of requests that one call sends."""
        self.is_loopback = is_loopback(base.host)
        """Whether the API is on this machine: a sandbox, not a real workspace."""
        self._key, self._key_variable = _checked_key(api_key, key_variable), key_variable
        self._host = base.netloc.decode("ascii")
        self._retries = retries
        self._briefly = Retries(*map(min, astuple(retries), astuple(_OPTIONAL)))
        self._clock = clock
        self._latest: tuple[httpx.Headers, float, datetime] | None = None
        self._limiter = AsyncLimiter(1, 1 / requests_per_second)
        network = network_for(base)
        self._through = f", through the proxy of {network.variable}" if network.variable else ""
        headers = {
            "Authorization": f"Bearer {self._key}",
            "Accept": "application/json",
            "Accept-Encoding": "gzip",
            "Connection": "keep-alive",
            "User-Agent": f"topo-pipeline/{version('topo-pipeline')}",
        }
        timeouts = httpx.Timeout(connect=10, read=retries.read_timeout, write=10, pool=10)
        self._request = partial(httpx.Request, "GET", headers=headers, extensions={"timeout": timeouts.as_dict()})
        self._connections = [_Connection(network) for _ in range(concurrency)]
        self._idle = [*self._connections]
        self._free = asyncio.Semaphore(concurrency)

    def __repr__(self) -> str:
        return f"<TopoClient of {self._host}>"

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *error: object) -> None:
        for connection in self._connections:
            await connection.close()

    @property
    def last_response(self) -> wire.ResponseInfo | None:
        """Facts from the latest response's headers. None before the first response."""
        if self._latest is None:
            return None
        headers, seconds, ended_at = self._latest
        return wire.response_info({name: self._shown(value, 100) for name, value in headers.items()}, seconds, ended_at)

    async def activities(self, query: wire.ActivityQuery) -> wire.ActivityPage:
        """Return one page of activities."""
        page, response, attempts = await self._get("activities", query.params(), decode_page, self._retries)
        request_id, answered_at = self._request_id(response), wire.answered_at(response.headers)
        return replace(page, request_id=request_id, requests=attempts, answered_at=answered_at)

    async def read_all(self, model: type[_I]) -> list[_I] | None:
        """Return the items of a list that can be read. Log a warning if any are missing."""
        reading = read_list(lambda page: self._page(model, page, wire.MAX_PAGE_SIZE, self._briefly))
        listing = await self._optional(f"the names of {model.plural}", reading)
        if listing and not listing.is_whole:
            why = f": {listing.stopped_by}" if listing.stopped_by else ""
            read, counted = len(listing.items), listing.total_count
            _LOG.warning("%s %s were read, but Topo counts %s%s", read, model.plural, counted, why)
        return listing.items if listing else None

    async def sequence_templates(self) -> list[wire.SequenceTemplate] | None:
        """Return the sequence templates. See `read_all`."""
        return await self.read_all(wire.SequenceTemplate)

    async def me(self) -> wire.Me | None:
        """Return the owner of the key, if Topo says."""
        return await self._optional("knowing whose key this is", self._identity(self._briefly))

    async def identity(self) -> wire.Me:
        """Return the owner of the key."""
        return await self._identity(self._retries)

    async def read_first(self, model: type[_I]) -> list[_I]:
        """Return the first item of a list in a list, which is empty if there is none. Sends one small request."""
        return (await self._page(model, 1, 1, self._retries)).items

    async def _page(self, model: type[_I], page: int, size: int, retries: Retries) -> wire.ListPage[_I]:
        params = {"page": str(page), "size": str(size), "sort_by": "created_at", "sort_order": "asc"}
        return await self._shaped(model.path, params, partial(wire.decode_list, model), retries)

    async def _identity(self, retries: Retries) -> wire.Me:
        return await self._shaped("me", {}, wire.decode_me, retries)

    async def _shaped(
        self, path: str, params: Mapping[str, str], decode: Callable[[object], _T], retries: Retries
    ) -> _T:
        # JSON of another shape comes from another API and would stay the same, so it is not requested again.
        value, response, _ = await self._get(path, params, msgspec.json.decode, retries)
        try:
            return decode(value)
        except ValueError as error:
            reason = self._shown(str(error))
        raise ResponseInvalid(f"{self._host} answered with {reason}", request_id=self._request_id(response))

    async def _optional(self, what: str, reading: Awaitable[_T]) -> _T | None:
        level = retry_level.set(logging.INFO)
        try:
            return await reading
        except TopoError as error:
            if error.is_key_refused:
                raise
            _LOG.warning("Continuing without %s: %s", what, error)
        finally:
            retry_level.reset(level)
        return None

    async def _get(
        self, path: str, params: Mapping[str, str], decode: Callable[[bytes], _T], retries: Retries
    ) -> "tuple[_T, _Response, int]":
        """Send a request and retry transient errors. This is the only retry layer for HTTP.

        Returns:
            The decoded body, its response and the number of attempts.
        """
        async for attempt in stamina.retry_context(
            on=partial(_retry_decision, retries),
            attempts=retries.attempts,
            timeout=None,
            wait_initial=retries.wait_initial,
            wait_max=retries.wait_max,
            wait_jitter=retries.wait_jitter,
        ):
            with attempt:
                answer = await self._exchange(path, params, retries.attempt_timeout)
                response = self._accepted(path, answer, attempt.num)
                return self._decoded(response, decode, attempt.num), response, attempt.num
        raise AssertionError("stamina returns a result or raises")

    def _accepted(self, path: str, answer: "_Response | str", number: int) -> "_Response":
        """Return a successful response. Raise the matching error for any other."""
        if isinstance(answer, str):
            raise TopoUnavailable(self._gave_up(number, answer))
        status = answer.status
        if status < httpx.codes.MULTIPLE_CHOICES:
            return answer
        is_rate_limit = status == httpx.codes.TOO_MANY_REQUESTS or (
            status >= httpx.codes.BAD_REQUEST
            and status != httpx.codes.UNAUTHORIZED
            and wire.is_rate_limit(answer.problem)
        )
        if is_rate_limit or status in _NOT_NOW or status >= httpx.codes.INTERNAL_SERVER_ERROR:
            raise TopoUnavailable(
                self._gave_up(number, self._described(answer)),
                status=status,
                request_id=self._request_id(answer),
                retry_after=wire.retry_after(answer.headers.get("retry-after"), self._clock()),
                is_rate_limit=is_rate_limit,
            )
        raise self._refusal(path, answer)

    async def _exchange(self, path: str, params: Mapping[str, str], timeout: float) -> "_Response | str":
        """Return the response, or the reason why there is none: raising it would chain to httpx's exception."""
        async with self._free:
            connection = self._idle.pop()  # the one that was used last, so that few are kept alive
            try:
                await self._limiter.acquire()
                self.requests += 1
                async with asyncio.timeout(timeout):
                    response = await connection.send(self._request(f"{self._base}/{path}", params=params))
            except TimeoutError:
                return f"no complete answer within {timeout:g} s{self._through}"
            finally:
                self._idle.append(connection)
        if isinstance(response, str):
            return f"{self._shown(response)}{self._through}"
        self._latest = response.headers, response.seconds, self._clock()
        return response

    def _decoded(self, response: "_Response", decode: Callable[[bytes], _T], number: int) -> _T:
        try:
            return decode(response.body)
        except (ValueError, RecursionError) as error:
            reason = self._shown(str(error))
        raise ResponseInvalid(
            f"{self._host} answered {response.status} with {reason}, in {counted(number, 'attempt')}",
            request_id=self._request_id(response),
        )

    def _refusal(self, path: str, response: "_Response") -> RequestRefused:
        status, described = response.status, self._described(response)
        if status < httpx.codes.BAD_REQUEST:
            target = self._target(response)
            sentence = f"{self._host} redirected to {target}. Redirects are not followed: check TOPO_API_URL"
        elif status == httpx.codes.UNAUTHORIZED:
            sentence = f"Topo does not accept the API key: check {self._key_variable}. Topo said: {described}"
        elif status == httpx.codes.FORBIDDEN:
            scope = f"the scope {_SCOPES[path]}" if path in _SCOPES else f"access to /{path}"
            sentence = f"The API key lacks {scope}. Grant it in Topo. Topo said: {described}"
        else:
            sentence = f"Topo refused the request for {path}: {described}"
        return RequestRefused(sentence, status=status, request_id=self._request_id(response))

    def _target(self, response: "_Response") -> str:
        location = response.headers.get("location", "")
        try:
            host = urlsplit(urljoin(self._base, location)).netloc.rpartition("@")[2]
        except ValueError:
            host = ""
        return (location and self._shown(host, 100)) or "an unnamed host"

    def _gave_up(self, attempts: int, fault: str) -> str:
        return f"{self._host} gave no usable answer in {counted(attempts, 'attempt')}. Last error: {fault}"

    def _described(self, response: "_Response") -> str:
        problem = response.problem
        head = f"{response.status} {problem.type}".strip()
        parts = [self._shown(head), self._shown(problem.message), self._shown(problem.data, 200)]
        return ": ".join(part for part in parts if part)

    def _request_id(self, response: "_Response") -> str | None:
        request_id = response.headers.get("x-request-id", "")
        if response.status >= httpx.codes.BAD_REQUEST:
            request_id = response.problem.request_id or request_id
        return self._shown(request_id, 100) or None

    def _shown(self, text: str, limit: int = 300) -> str:
        """Return outside text that is safe to show: key removed, on one line, then shortened."""
        for spelling in {self._key, quote(self._key, safe=""), json.dumps(self._key)[1:-1]}:
            text = re.sub(re.escape(spelling), "[key]", text, flags=re.IGNORECASE)
        return one_line(text, limit)


@dataclass(frozen=True, repr=False)  # a response may contain the key
class _Response:
    status: int
    headers: httpx.Headers
    body: bytes
    seconds: float

    @cached_property
    def problem(self) -> wire.Problem:
        """The decoded body of an error."""
        return wire.decode_problem(self.body)


def _retry_decision(retries: Retries, error: Exception) -> bool | float:
    """Return whether to retry, or the seconds to wait before retrying."""
    if isinstance(error, TopoUnavailable) and error.retry_after is not None:
        return min(error.retry_after, retries.retry_after_max)
    return isinstance(error, TopoUnavailable | ResponseInvalid)


class _Connection:
    """One HTTP connection, replaced after a request on it fails.

    It is a transport of httpx without its client, which costs a third of a request's time, and which can fail on what
    responses name: it parses cookies and the targets of redirects even if it is to ignore both.

    After a cancelled request, httpcore can treat a pooled connection as busy for ever (seen with 1.0.9). In a larger
    pool it also checks every idle connection at each request.
    """

    def __init__(self, network: Network) -> None:
        self._make = partial(
            httpx.AsyncHTTPTransport,
            verify=network.verify,
            proxy=network.proxy,
            limits=httpx.Limits(max_connections=1),
            trust_env=False,
        )
        self._http = self._make()
        self._is_closed = False

    async def send(self, request: httpx.Request) -> _Response | str:
        """Return the response, or the reason why there is none.

        Raises:
            RuntimeError: the connection is closed.
        """
        if self._is_closed:  # a transport would open another one
            raise RuntimeError("The client is closed.")
        began = time.perf_counter()
        try:
            async with aclosing(await self._http.handle_async_request(request)) as response:
                body = await _read(response)
            if not response.is_success or len(body) <= MAX_ANSWER_BYTES:
                return _Response(response.status_code, response.headers, body, time.perf_counter() - began)
            fault = f"the answer is longer than {MAX_ANSWER_BYTES // 2**20} MB"
        except httpx.RequestError as error:
            fault = f"{type(error).__name__} {error}"
        except (httpx.InvalidURL, OSError, ValueError, OverflowError) as error:
            # Outside input that httpx and its libraries did not expect. The message may quote a secret.
            fault = type(error).__name__
        except BaseException:  # also a cancellation
            await self._replace()
            raise
        await self._replace()
        return fault

    async def _replace(self) -> None:
        failed = self._http
        if not self._is_closed:
            self._http = self._make()
        await failed.aclose()

    async def close(self) -> None:
        self._is_closed = True
        await self._http.aclose()


async def _read(response: httpx.Response) -> bytes:
    """Return the decompressed body, or one byte more than the limit if it is too long.

    httpx itself would decompress each chunk whole and keep everything.
    """
    room = 1 + (MAX_ANSWER_BYTES if response.is_success else wire.MAX_PROBLEM_BYTES)
    is_plain = response.headers.get("content-encoding", "").strip().lower() in ("", "identity")
    gzip = zlib.decompressobj(wbits=zlib.MAX_WBITS | 16)  # the only encoding that is requested
    parts = []
    try:
        async with aclosing(cast(AsyncGenerator[bytes], response.aiter_raw())) as chunks:
            async for chunk in chunks:
                parts.append(chunk[:room] if is_plain else gzip.decompress(chunk, room))
                room -= len(parts[-1])
                if room <= 0:
                    break
    except zlib.error as error:
        if response.is_success:
            raise httpx.DecodingError(str(error)) from None
        return b""  # the status is enough
    return b"".join(parts)


def _checked_key(key: str, variable: str) -> str:
    if not key:
        raise ValueError(f"{variable} is empty")
    if not re.fullmatch("[!-~]+", key):
        raise ValueError(f"{variable} contains white space, such as a line break, or a character that no key has")
    return key
