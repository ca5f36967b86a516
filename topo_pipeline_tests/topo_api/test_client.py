"""The client over real HTTP: requests, errors, retries and optional endpoints."""

import asyncio
import gzip
import json
import logging
import threading
import tracemalloc
from dataclasses import dataclass, replace
from datetime import timedelta
from email.utils import format_datetime
from importlib.metadata import version
from typing import Any

import pytest

from topo_pipeline.sandbox.server import serve
from topo_pipeline.topo_api.client import MAX_ANSWER_BYTES, Retries, TopoClient
from topo_pipeline.topo_api.errors import RequestRefused, ResponseInvalid, TopoError, TopoUnavailable
from topo_pipeline.topo_api.wire import ActivityQuery, Me, SequenceTemplate
from topo_pipeline_tests.conftest import PATIENCE
from topo_pipeline_tests.topo_api.helpers import (
    FAST_RETRIES,
    KEY,
    NOW,
    Answer,
    Scripted,
    http,
    item_of,
    page_of,
    problem_of,
    raw_server,
    refused,
    run,
    uuid_of,
)


@pytest.fixture
def waits(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Return the seconds that retries would have waited."""
    waited: list[float] = []
    this_thread = threading.current_thread()
    sleep = asyncio.sleep

    async def note(delay: float, result: Any = None) -> Any:
        if threading.current_thread() is not this_thread:  # the server's thread
            return await sleep(delay, result)
        if delay:
            waited.append(delay)
        return await sleep(0, result)

    monkeypatch.setattr(asyncio, "sleep", note)
    return waited


def test_a_page_is_decoded_with_its_request_id() -> None:
    app = Scripted(Answer(page_of([item_of(1), None], 7), headers={"x-request-id": "req_1"}))
    with serve(app) as address:
        page = run(address)
    assert [activity.id for activity in page.activities] == [uuid_of(1)]
    assert (len(page.rejects), page.total_count, page.request_id, page.requests) == (1, 7, "req_1", 1)


def test_a_request_sends_the_key_the_query_and_the_user_agent() -> None:
    app = Scripted()
    with serve(app) as address:
        run(f"{address}")
    [request] = app.requests
    assert request.path == "/v1/activities"
    assert request.params == ActivityQuery().params()
    assert request.headers["authorization"] == f"Bearer {KEY}"
    assert request.headers["user-agent"] == f"topo-pipeline/{version('topo-pipeline')}"


def test_cookies_are_not_sent_back() -> None:
    app = Scripted(Answer(page_of([], 0), headers={"set-cookie": "node=3"}), Answer(page_of([], 0)))

    async def twice(client: TopoClient) -> None:
        await client.activities(ActivityQuery())
        await client.activities(ActivityQuery())

    with serve(app) as address:
        run(address, twice)
    assert ["cookie" in request.headers for request in app.requests] == [False, False]


def test_date_times_are_sent_unchanged() -> None:
    app = Scripted()
    query = ActivityQuery(created_at_after=NOW, created_at_before=NOW + timedelta(microseconds=1))
    with serve(app) as address:
        run(address, lambda client: client.activities(query))
    assert app.requests[0].params == query.params()


@pytest.mark.parametrize(
    ("status", "type_", "expected"),
    [
        (400, "ValidationIssue", ["400 ValidationIssue", "nope", '{"field": "size"}']),
        (401, "UnauthorizedIssue", ["check TOPO_API_KEY", "nope"]),
        (403, "UnauthorizedIssue", ["activities:read", "nope"]),
        (404, "NotFoundIssue", ["404 NotFoundIssue", "nope"]),
        (422, "BusinessIssue", ["422 BusinessIssue", "nope", '{"field": "size"}']),
    ],
)
def test_a_permanent_error_is_not_retried_and_says_why(status: int, type_: str, expected: list[str]) -> None:
    body = problem_of(status, type_, "nope", data={"field": "size"})
    error, app = refused(Answer(body, status))
    assert isinstance(error, RequestRefused)
    assert error.status == status
    assert all(part in str(error) for part in [*expected, type_, "request id req_7"])
    assert len(app.requests) == 1


@pytest.mark.parametrize("location", ["https://elsewhere.example/v1/activities", "//elsewhere.example"])
def test_a_redirect_is_not_followed_and_its_host_is_named(location: str) -> None:
    error, app = refused(Answer(b"", 302, {"location": location}))
    assert "redirected to elsewhere.example. Redirects are not followed: check TOPO_API_URL" in str(error)
    assert isinstance(error, RequestRefused)
    assert len(app.requests) == 1


@pytest.mark.parametrize("location", ["http://xn--a/", "http://a..b/", f"http://{'a' * 66_000}/", f"/{'a' * 66_000}"])
def test_a_redirect_to_an_invalid_address_is_refused_with_a_short_message(location: str) -> None:
    error, app = refused(Answer(b"", 302, {"location": location}))
    assert isinstance(error, RequestRefused)
    assert "not followed" in str(error)
    assert len(str(error)) < 300
    assert len(app.requests) == 1


@pytest.mark.parametrize("headers", [{}, {"location": ""}, {"location": "http://["}])
def test_a_redirect_without_a_host_is_refused_too(headers: dict[str, str]) -> None:
    error, _ = refused(Answer(b"", 302, headers))
    assert "redirected to an unnamed host. Redirects are not followed" in str(error)


LIMITED = [
    problem_of(403, "UnauthorizedIssue", "API rate limit exceeded"),
    problem_of(400, "RateLimitIssue"),
    problem_of(422, "BusinessIssue", "Request was throttled."),
    {"message": "TOO MANY REQUESTS"},
    {"error": {"message": "Quota exceeded"}},
    {"errors": ["over request limit"]},
    b"<html><h1>Rate-limited</h1></html>",
]


@pytest.mark.parametrize(
    ("status", "body"),
    [*((400, body) for body in LIMITED), *((status, LIMITED[0]) for status in (403, 404, 422))],
)
def test_a_rate_limit_with_another_status_is_retried_after_the_requested_time(
    status: int, body: Any, waits: list[float]
) -> None:
    app = Scripted(Answer(body, status, {"retry-after": "7"}), Answer())
    with serve(app) as address:
        assert run(address, retries=Retries(wait_jitter=0)).requests == 2
    assert waits == [7]


def test_a_persistent_rate_limit_is_not_reported_as_a_missing_scope() -> None:
    error, _ = refused(Answer(LIMITED[0], 403))
    assert isinstance(error, TopoUnavailable)
    assert error.is_rate_limit
    assert "403 UnauthorizedIssue: API rate limit exceeded" in str(error)
    assert "scope" not in str(error)


def test_a_status_200_with_an_error_body_is_retried() -> None:
    app = Scripted(Answer(problem_of(429, "RateLimitIssue")), Answer())
    with serve(app) as address:
        assert run(address).requests == 2


@pytest.mark.parametrize("status", [408, 425, 429, 500, 502, 503, 504, 520])
def test_a_temporary_error_is_retried_and_counted(status: int) -> None:
    app = Scripted(Answer(b"<h1>oops</h1>", status), Answer())

    async def go(client: TopoClient) -> tuple[int, int]:
        page = await client.activities(ActivityQuery())
        return page.requests, client.requests

    with serve(app) as address:
        assert run(address, go) == (2, 2)


def test_a_persistent_error_is_one_line_after_the_last_attempt() -> None:
    error, app = refused(Answer(b"<html><body>\n<h1>503</h1>\r\n<p>busy\x00</p></body></html>", 503))
    assert isinstance(error, TopoUnavailable)
    assert "gave no usable answer in 3 attempts. Last error: 503: 503 busy" in str(error)
    assert "127.0.0.1" in str(error)
    assert "\n" not in str(error)
    assert len(app.requests) == 3


def test_a_long_message_is_shortened() -> None:
    error, _ = refused(Answer(problem_of(400, "ValidationIssue", "x" * 5000, data="y" * 5000), 400))
    assert len(str(error)) < 700


@pytest.mark.parametrize(
    ("status", "header", "seconds"),
    [
        *((status, "7", 7) for status in (408, 425, 429, 503)),
        (429, format_datetime(NOW + timedelta(seconds=9), usegmt=True), 9),
        (429, "86400", 60),
        (429, "9" * 400, 60),
        (429, "0", 0.5),
        (503, "-3", 0.5),
        (503, "soon", 0.5),
        (503, format_datetime(NOW - timedelta(days=1), usegmt=True), 0.5),
    ],
)
def test_retry_after_is_respected_within_limits(status: int, header: str, seconds: float, waits: list[float]) -> None:
    app = Scripted(Answer(b"", status, {"retry-after": header}), Answer())
    with serve(app) as address:
        run(address, retries=Retries(wait_jitter=0))
    assert waits == [seconds]


def test_without_retry_after_the_backoff_grows_to_its_limit(waits: list[float]) -> None:
    refused(Answer(b"", 503), retries=Retries(wait_jitter=0, wait_max=3))
    assert waits == [0.5, 1, 2, 3, 3]


def test_the_backoff_has_jitter(waits: list[float]) -> None:
    refused(Answer(b"", 503), retries=Retries(attempts=2, wait_initial=1, wait_jitter=5))
    assert 1 < waits[0] <= 6


_PAGE = json.dumps(page_of([item_of(1)])).encode()


@pytest.mark.parametrize(
    "fault",
    [
        None,
        b"",
        b"HTTP/1.1 200 OK\r\n",
        http(_PAGE[:40], len(_PAGE)),
        http(_PAGE[:40]),
        http(b"<html>a gateway's page</html>"),
        http(b"{}"),
        http(b""),
        http(b"{" * 100_000),
        b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 3\r\n\r\nabc",
        b"\x00garbage\r\n\r\n",
    ],
)
def test_a_broken_response_is_retried(fault: bytes | None) -> None:
    with raw_server(fault, http(_PAGE)) as address:
        page = run(address)
    assert [activity.id for activity in page.activities] == [uuid_of(1)]
    assert page.requests == 2


def _gzipped(length: int) -> Answer:
    return Answer(gzip.compress(b" " * length), headers={"content-encoding": "gzip"})


@pytest.mark.parametrize("answer", [Answer(b" " * (MAX_ANSWER_BYTES + 1)), _gzipped(MAX_ANSWER_BYTES + 1)])
def test_a_response_larger_than_the_limit_is_refused(answer: Answer) -> None:
    error, _ = refused(answer, retries=Retries(attempts=1))
    assert isinstance(error, TopoUnavailable)
    assert f"the answer is longer than {MAX_ANSWER_BYTES // 2**20} MB" in str(error)


def test_a_gzip_bomb_is_not_decompressed_into_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    limit = MAX_ANSWER_BYTES // 4
    monkeypatch.setattr("topo_pipeline.topo_api.client.MAX_ANSWER_BYTES", limit)
    bomb = _gzipped(6 * limit)
    with serve(Scripted(bomb)) as address, pytest.raises(TopoUnavailable):
        tracemalloc.start()
        try:
            run(address, retries=Retries(attempts=1))
        finally:
            peak = tracemalloc.get_traced_memory()[1]
            tracemalloc.stop()
    assert peak < 3 * limit


def test_a_gzip_response_is_decompressed() -> None:
    body = gzip.compress(_PAGE)
    head = f"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: {len(body)}\r\n\r\n".encode()
    with raw_server(head + body) as address:
        assert [activity.id for activity in run(address).activities] == [uuid_of(1)]


@pytest.mark.parametrize("encoding", ["br", "gzip, gzip", "deflate", "x" * 60_000])
def test_an_unrequested_encoding_is_an_error(encoding: str) -> None:
    error, _ = refused(Answer(headers={"content-encoding": encoding}))
    assert isinstance(error, TopoUnavailable)


def test_a_long_error_body_is_cut_and_its_status_decides() -> None:
    for body in (b"<script" * 10**6, gzip.compress(b"<script" * 10**6), b"\x00not gzip"):
        encoding = {} if body.startswith(b"<") else {"content-encoding": "gzip"}
        error, app = refused(Answer(body, 404, encoding))
        assert isinstance(error, RequestRefused)
        assert error.status == 404
        assert len(app.requests) == 1


_INVALID_VALUES = [
    "9" * 400,
    "\xff\xfe",
    "\u00e9" * 200,
    "http://xn--a/",
    "//[",
    f"http://{'a' * 65_000}/",
    "Tue, 99 Xxx",
    " ",
]


@pytest.mark.parametrize(
    ("status", "value"),
    [
        *((status, value) for status in (200, 429) for value in _INVALID_VALUES),
        *((status, _INVALID_VALUES[0]) for status in (403, 503)),
        *((302, value) for value in _INVALID_VALUES),  # the client looks at Location
    ],
)
def test_no_header_value_raises_anything_but_a_topo_error(status: int, value: str) -> None:
    names = (
        "X-Request-Id",
        "Retry-After",
        "Date",
        "Age",
        "Location",
        "Set-Cookie",
        "Content-Type",
        "Link",
        "X-RateLimit-Reset",
    )
    headers = "".join(f"{name}: {value}\r\n" for name in names).encode()
    script = b"HTTP/1.1 %d Any\r\n%bContent-Length: 2\r\nConnection: close\r\n\r\n{}" % (status, headers)

    async def read(client: TopoClient) -> Any:
        try:
            return await client.activities(ActivityQuery())
        except TopoError as error:
            return str(error), client.last_response

    with raw_server(script) as address:
        run(address, read, retries=Retries(attempts=1))


@pytest.mark.parametrize("value", ["9" * 400, "9" * 5000, "-1", "1, 2", "x"])
def test_an_invalid_content_length_is_an_error(value: str) -> None:
    script = f"HTTP/1.1 200 OK\r\nContent-Length: {value}\r\n\r\n{{}}".encode()
    with raw_server(script) as address, pytest.raises(TopoUnavailable):
        run(address, retries=Retries(attempts=1))


def test_a_response_that_stays_invalid_is_an_error_that_says_why() -> None:
    error, app = refused(Answer({"items": []}, headers={"x-request-id": "req_9"}))
    assert isinstance(error, ResponseInvalid)
    assert "answered 200 with no `total_count`, in 3 attempts (request id req_9)" in str(error)
    assert len(app.requests) == 3


def test_an_unreachable_host_is_unavailable() -> None:
    with raw_server() as address:
        pass
    with pytest.raises(TopoUnavailable, match=r"in 3 attempts. Last error: ConnectError"):
        run(address)


async def _stall(scope: Any, receive: Any, send: Any) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b" ", "more_body": True})
    await receive()
    await receive()


def test_an_endless_response_times_out() -> None:
    retries = Retries(attempts=1, attempt_timeout=0.05)
    with serve(_stall) as address, pytest.raises(TopoUnavailable, match="no complete answer within 0.05 s"):
        run(address, retries=retries)


def test_connections_are_kept_alive_and_reused() -> None:
    app = Scripted()

    async def go(client: TopoClient) -> None:
        for _ in range(5):
            await client.activities(ActivityQuery())

    with serve(app) as address:
        run(address, go)
    assert len(app.requests) == 5
    assert len({request.peer for request in app.requests}) == 1


def test_requests_in_flight_are_limited() -> None:
    class Counting(Scripted):
        in_flight = peak = 0
        three = asyncio.Barrier(3)

        async def answer(self, request: Any) -> Answer:
            self.in_flight += 1
            self.peak = max(self.peak, self.in_flight)
            await self.three.wait()
            for _ in range(200):  # time for requests beyond the limit to arrive
                await asyncio.sleep(0)
            self.in_flight -= 1
            return await super().answer(request)

    app = Counting()

    async def go(client: TopoClient) -> None:
        await asyncio.gather(*(client.activities(ActivityQuery()) for _ in range(12)))

    with serve(app) as address:
        run(address, go, concurrency=3)
    assert len(app.requests) == 12
    assert app.peak == 3


def test_a_cancelled_request_does_not_leak_its_connection() -> None:
    async def go(client: TopoClient) -> None:
        for steps in range(30):
            request = asyncio.create_task(client.activities(ActivityQuery()))
            for _ in range(steps):
                await asyncio.sleep(0)
            request.cancel()
            await asyncio.wait([request])
            assert (await client.activities(ActivityQuery())).total_count == 0, steps

    with serve(Scripted()) as address:
        run(address, go, concurrency=1, retries=Retries(attempts=1))


def test_a_closed_client_sends_no_more_requests() -> None:
    class SlowApi(Scripted):
        async def answer(self, request: Any) -> Answer:
            is_asked.set()
            await asyncio.to_thread(is_closed.wait, PATIENCE)
            return await super().answer(request)

    app, is_asked, is_closed = SlowApi(), threading.Event(), threading.Event()

    async def go(client: TopoClient) -> None:
        waiting = asyncio.gather(*(client.activities(ActivityQuery()) for _ in range(3)), return_exceptions=True)
        await asyncio.to_thread(is_asked.wait, PATIENCE)
        await client.__aexit__(None, None, None)
        is_closed.set()
        assert all(isinstance(each, Exception) for each in await waiting)

    with serve(app) as address:
        run(address, go, concurrency=1)
    assert len(app.requests) == 1


def _templates(*numbers: int, more: bool, total: int | None = 3) -> Answer:
    items = [{"id": uuid_of(n), "name": f"S{n}"} for n in numbers]
    return Answer(page_of(items, 3, has_more=more) | {"total_count": total})


def _warnings(log: pytest.LogCaptureFixture) -> list[str]:
    """Return the client's warnings, including those of retries."""
    return [
        record.getMessage()
        for record in log.records
        if record.name.startswith("topo_pipeline") and record.levelno >= logging.WARNING
    ]


def test_sequence_templates_are_read_to_the_last_page_without_duplicates(caplog: pytest.LogCaptureFixture) -> None:
    app = Scripted(_templates(1, 2, more=True), _templates(2, 3, more=False))
    with serve(app) as address:
        found = run(address, TopoClient.sequence_templates)
    assert found == [SequenceTemplate(id=uuid_of(n), name=f"S{n}") for n in (1, 2, 3)]
    assert [request.path for request in app.requests] == ["/v1/sequence-templates"] * 2
    assert [(request.params["page"], request.params["size"]) for request in app.requests] == [
        ("1", "100"),
        ("2", "100"),
    ]
    assert _warnings(caplog) == []


@dataclass(frozen=True)
class _ListCase:
    """Pages of a list, of which the last is repeated, and the expected result of reading them."""

    pages: list[Answer]
    found: int
    requests: int
    warns: tuple[str, ...] = ()


_LIST_CASES = {
    "an empty last page with has_more": _ListCase(
        [_templates(1, more=True), _templates(more=True)], 1, 2, ("1 sequences", "counts 3")
    ),
    "the last page repeated with has_more": _ListCase(
        [_templates(1, 2, more=True), _templates(3, more=True)], 3, 3
    ),
    "has_more false too early": _ListCase([_templates(1, 2, more=False), _templates(3, more=False)], 3, 2),
    "has_more false too early, then an empty page": _ListCase(
        [_templates(1, 2, more=False), _templates(more=False)], 2, 2, ("2 sequences", "counts 3")
    ),
    "more items than counted": _ListCase([_templates(1, 2, 3, 4, more=False)], 4, 1, ("4 sequences", "counts 3")),
    "no count": _ListCase([_templates(1, more=True, total=None), _templates(2, more=False, total=None)], 2, 2),
    "unreadable items": _ListCase(
        [Answer(page_of([{"id": uuid_of(1)}, {}], 3)), Answer(page_of([], 3))], 1, 2, ("1 sequences", "counts 3")
    ),
    "a refused second page": _ListCase(
        [_templates(1, 2, more=True), Answer(b"", 404)], 2, 2, ("2 sequences", "counts 3", "404")
    ),
    "an unanswered second page": _ListCase(
        [_templates(1, 2, more=True), Answer(b"", 503)], 2, 3, ("2 sequences", "counts 3", "503")
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", _LIST_CASES.values(), ids=_LIST_CASES)
def test_readable_list_items_are_kept_and_missing_ones_are_one_warning(
    case: _ListCase, caplog: pytest.LogCaptureFixture
) -> None:
    app = Scripted(*case.pages)
    with serve(app) as address:
        assert len(run(address, TopoClient.sequence_templates)) == case.found
    assert len(app.requests) == case.requests
    warnings = _warnings(caplog)
    assert len(warnings) == bool(case.warns)
    assert all(part in warnings[0] for part in case.warns)


def test_a_key_revoked_between_two_pages_is_refused() -> None:
    pages = _templates(1, more=True), Answer(problem_of(401, "UnauthorizedIssue"), 401)
    with serve(Scripted(*pages)) as address, pytest.raises(RequestRefused):
        run(address, TopoClient.sequence_templates)


def test_me_returns_the_owner_of_the_key() -> None:
    app = Scripted(Answer({"id": "k", "organization_id": uuid_of(9), "scopes": ["activities:read"], "new": 1}))
    with serve(app) as address:
        assert run(address, TopoClient.me) == Me(id="k", organization_id=uuid_of(9), scopes=["activities:read"])
    assert app.requests[0].path == "/v1/me"


OPTIONAL = pytest.mark.parametrize("call", [TopoClient.me, TopoClient.sequence_templates])


@OPTIONAL
@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (Answer(problem_of(403, "UnauthorizedIssue"), 403), "The API key lacks"),
        (Answer(problem_of(404, "NotFoundIssue"), 404), "404 NotFoundIssue"),
        (Answer(b"", 302, {"location": "http://xn--a/"}), "redirected to"),
        (Answer(["another", "API"]), "answered with"),
        (Answer(b"<html>"), "answered 200 with"),
        (Answer(b"[" * 5000), "answered 200 with"),
        (Answer(b"<html>", 408), "408"),
        (Answer(problem_of(429, "RateLimitIssue"), 429), "429"),
        (Answer(b"", 503), "503"),
    ],
)
def test_an_optional_endpoint_that_fails_is_skipped_with_one_warning(
    call: Any, answer: Answer, expected: str, caplog: pytest.LogCaptureFixture
) -> None:
    with serve(Scripted(answer)) as address:
        assert run(address, call) is None
    [warning] = _warnings(caplog)
    assert expected in warning


@OPTIONAL
@pytest.mark.parametrize("fault", [None, b"", b"HTTP/1.1 200 OK\r\n", http(b"[" * 40, 41)])
def test_an_optional_endpoint_that_drops_connections_is_tried_twice(
    call: Any, fault: bytes | None, caplog: pytest.LogCaptureFixture
) -> None:
    with raw_server(fault, fault) as address:
        assert run(address, call, retries=replace(FAST_RETRIES, attempts=6)) is None
    [warning] = _warnings(caplog)
    assert "in 2 attempts" in warning


@OPTIONAL
def test_an_optional_endpoint_that_hangs_times_out(call: Any, caplog: pytest.LogCaptureFixture) -> None:
    with serve(_stall) as address:
        assert run(address, call, retries=replace(FAST_RETRIES, attempt_timeout=0.05)) is None
    [warning] = _warnings(caplog)
    assert "no complete answer within 0.05 s" in warning


def test_optional_endpoints_wait_at_most_30_seconds(waits: list[float]) -> None:
    async def ask(topo: TopoClient) -> float:
        await topo.me()
        return topo._briefly.attempt_timeout

    with serve(Scripted(Answer(b"", 429, {"retry-after": "3600"}))) as address:
        attempt_timeout = run(address, ask, retries=Retries())
    assert sum(waits) + 2 * attempt_timeout <= 30


def test_templates_without_access_name_the_scope_they_need(caplog: pytest.LogCaptureFixture) -> None:
    with serve(Scripted(Answer(b"", 403))) as address:
        run(address, TopoClient.sequence_templates)
    assert "sequences:read" in caplog.text


@OPTIONAL
def test_optional_endpoints_still_fail_on_a_wrong_key(call: Any) -> None:
    wrong = Answer(problem_of(401, "RateLimitIssue", "rate limit"), 401)
    with serve(Scripted(wrong)) as address, pytest.raises(RequestRefused):
        run(address, call)


def test_identity_is_not_optional_and_raises_the_error() -> None:
    with raw_server(*[None] * 3) as address, pytest.raises(TopoUnavailable, match="in 3 attempts"):
        run(address, TopoClient.identity)
