"""The client over real HTTP: refusals and retries."""

import asyncio
import json
import logging
import threading
from datetime import timedelta
from email.utils import format_datetime
from importlib.metadata import version
from typing import Any

import pytest

from topo_pipeline.sandbox.server import serve
from topo_pipeline.topo_api import client as client_module
from topo_pipeline.topo_api.client import Retries, TopoClient
from topo_pipeline.topo_api.errors import RequestRefused, ResponseInvalid, TopoUnavailable
from topo_pipeline.topo_api.wire import ActivityQuery, Me, SequenceTemplate
from topo_pipeline_tests.conftest import PATIENCE
from topo_pipeline_tests.topo_api.helpers import (
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
    """The seconds that retries would have waited."""
    waited: list[float] = []
    mine = threading.current_thread()
    sleep = asyncio.sleep

    async def note(delay: float, result: Any = None) -> Any:
        if threading.current_thread() is not mine:  # a server's
            return await sleep(delay, result)
        if delay:
            waited.append(delay)
        return await sleep(0, result)

    monkeypatch.setattr(asyncio, "sleep", note)
    return waited


def test_a_page_comes_back_decoded_with_its_request_id() -> None:
    app = Scripted(Answer(page_of([item_of(1), None], 7), headers={"x-request-id": "req_1"}))
    with serve(app) as address:
        page = run(address)
    assert [activity.id for activity in page.activities] == [uuid_of(1)]
    assert (len(page.rejects), page.total_count, page.request_id, page.requests) == (1, 7, "req_1", 1)


def test_a_request_carries_the_key_the_query_and_its_sender() -> None:
    app = Scripted()
    with serve(app) as address:
        run(f"{address}")
    [request] = app.requests
    assert request.path == "/v1/activities"
    assert request.params == ActivityQuery().params()
    assert request.headers["authorization"] == f"Bearer {KEY}"
    assert request.headers["user-agent"] == f"topo-pipeline/{version('topo-pipeline')}"


def test_a_cookie_is_not_sent_back() -> None:
    app = Scripted(Answer(page_of([], 0), headers={"set-cookie": "node=3"}), Answer(page_of([], 0)))

    async def twice(client: TopoClient) -> None:
        await client.activities(ActivityQuery())
        await client.activities(ActivityQuery())

    with serve(app) as address:
        run(address, twice)
    assert ["cookie" in request.headers for request in app.requests] == [False, False]


def test_date_times_arrive_as_they_were_meant() -> None:
    app = Scripted()
    query = ActivityQuery(created_at_after=NOW, created_at_before=NOW + timedelta(microseconds=1))
    with serve(app) as address:
        run(address, lambda client: client.activities(query))
    assert app.requests[0].params == query.params()


@pytest.mark.parametrize(
    ("status", "type_", "says"),
    [
        (400, "ValidationIssue", ["400 ValidationIssue", "nope", '{"field": "size"}']),
        (401, "UnauthorizedIssue", ["check TOPO_API_KEY", "nope"]),
        (403, "UnauthorizedIssue", ["activities:read", "nope"]),
        (404, "NotFoundIssue", ["404 NotFoundIssue", "nope"]),
        (422, "BusinessIssue", ["422 BusinessIssue", "nope", '{"field": "size"}']),
    ],
)
def test_a_permanent_answer_is_refused_at_once_and_explained(status: int, type_: str, says: list[str]) -> None:
    body = problem_of(status, type_, "nope", data={"field": "size"})
    error, app = refused(Answer(body, status))
    assert isinstance(error, RequestRefused)
    assert (error.status, error.type, error.request_id) == (status, type_, "req_7")
    assert all(part in str(error) for part in [*says, "request id req_7"])
    assert len(app.requests) == 1


@pytest.mark.parametrize("location", ["https://elsewhere.example/v1/activities", "//elsewhere.example"])
def test_a_redirect_is_not_followed_and_its_host_named(location: str) -> None:
    error, app = refused(Answer(b"", 302, {"location": location}))
    assert "redirected to elsewhere.example, not followed: check TOPO_API_URL" in str(error)
    assert isinstance(error, RequestRefused)
    assert len(app.requests) == 1


@pytest.mark.parametrize("headers", [{}, {"location": ""}])
def test_a_redirect_to_nowhere_is_still_one_sentence(headers: dict[str, str]) -> None:
    error, _ = refused(Answer(b"", 304, headers))
    assert "redirected to an unnamed host, not followed" in str(error)


@pytest.mark.parametrize("status", [429, 500, 502, 503, 504, 520])
def test_a_passing_fault_is_asked_again_and_counted(status: int) -> None:
    app = Scripted(Answer(b"<h1>oops</h1>", status), Answer())

    async def go(client: TopoClient) -> tuple[int, int]:
        page = await client.activities(ActivityQuery())
        return page.requests, client.requests

    with serve(app) as address:
        assert run(address, go) == (2, 2)


def test_a_fault_that_lasts_ends_in_one_sentence_after_every_attempt() -> None:
    error, app = refused(Answer(b"<html><body>\n<h1>503</h1>\r\n<p>busy\x00</p></body></html>", 503))
    assert isinstance(error, TopoUnavailable)
    assert "gave no usable answer in 3 attempts; the last fault: 503: 503 busy" in str(error)
    assert "127.0.0.1" in str(error)
    assert "\n" not in str(error)
    assert len(app.requests) == 3


def test_a_long_message_is_shortened() -> None:
    error, _ = refused(Answer(problem_of(400, "ValidationIssue", "x" * 5000, data="y" * 5000), 400))
    assert len(str(error)) < 700


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        ("7", 7),
        (format_datetime(NOW + timedelta(seconds=9), usegmt=True), 9),
        ("86400", 60),
        ("9" * 400, 60),
        ("0", 0.5),
        ("-3", 0.5),
        ("soon", 0.5),
        (format_datetime(NOW - timedelta(days=1), usegmt=True), 0.5),
    ],
)
@pytest.mark.parametrize("status", [429, 503])
def test_retry_after_is_obeyed_within_bounds(status: int, header: str, seconds: float, waits: list[float]) -> None:
    app = Scripted(Answer(b"", status, {"retry-after": header}), Answer())
    with serve(app) as address:
        run(address, retries=Retries(wait_jitter=0))
    assert waits == [seconds]


def test_the_back_off_grows_to_its_bound_where_the_server_says_nothing(waits: list[float]) -> None:
    refused(Answer(b"", 503), retries=Retries(wait_jitter=0, wait_max=3))
    assert waits == [0.5, 1, 2, 3, 3]


def test_the_back_off_has_jitter(waits: list[float]) -> None:
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
def test_a_broken_answer_is_asked_again(fault: bytes | None) -> None:
    with raw_server(fault, http(_PAGE)) as address:
        page = run(address)
    assert [activity.id for activity in page.activities] == [uuid_of(1)]
    assert page.requests == 2


def test_an_answer_that_stays_broken_is_an_error_that_says_how() -> None:
    error, app = refused(Answer({"items": []}, headers={"x-request-id": "req_9"}))
    assert isinstance(error, ResponseInvalid)
    assert "answered 200 with no `total_count`, in 3 attempts (request id req_9)" in str(error)
    assert len(app.requests) == 3


def test_an_unreachable_host_is_unavailable() -> None:
    with raw_server() as address:
        pass
    with pytest.raises(TopoUnavailable, match=r"in 3 attempts; the last fault: ConnectError"):
        run(address)


def test_an_answer_that_never_ends_is_given_up() -> None:
    async def stall(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b" ", "more_body": True})
        await receive()
        await receive()

    retries = Retries(attempts=1, attempt_timeout=0.05)
    with serve(stall) as address, pytest.raises(TopoUnavailable, match="no whole answer within 0.05 s"):
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


def test_no_more_requests_are_in_flight_than_allowed() -> None:
    class Crowded(Scripted):
        flying = peak = 0
        three = asyncio.Barrier(3)

        async def answer(self, request: Any) -> Answer:
            self.flying += 1
            self.peak = max(self.peak, self.flying)
            await self.three.wait()
            for _ in range(200):  # let those that should not be here come in
                await asyncio.sleep(0)
            self.flying -= 1
            return await super().answer(request)

    app = Crowded()

    async def go(client: TopoClient) -> None:
        await asyncio.gather(*(client.activities(ActivityQuery()) for _ in range(12)))

    with serve(app) as address:
        run(address, go, concurrency=3)
    assert len(app.requests) == 12
    assert app.peak == 3


def test_a_request_that_is_cancelled_at_any_moment_takes_no_connection_along() -> None:
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


def test_a_client_that_was_left_asks_no_more() -> None:
    class Slow(Scripted):
        async def answer(self, request: Any) -> Answer:
            asked.set()
            await asyncio.to_thread(is_left.wait, PATIENCE)
            return await super().answer(request)

    app, asked, is_left = Slow(), threading.Event(), threading.Event()

    async def go(client: TopoClient) -> None:
        waiting = asyncio.gather(*(client.activities(ActivityQuery()) for _ in range(3)), return_exceptions=True)
        await asyncio.to_thread(asked.wait, PATIENCE)
        await client.__aexit__(None, None, None)
        is_left.set()
        assert all(isinstance(each, Exception) for each in await waiting)

    with serve(app) as address:
        run(address, go, concurrency=1)
    assert len(app.requests) == 1


def _templates(*numbers: int, more: bool) -> Answer:
    return Answer(page_of([{"id": uuid_of(n), "name": f"S{n}"} for n in numbers], 3, has_more=more))


def test_sequence_templates_are_read_to_the_last_page_each_once() -> None:
    app = Scripted(_templates(1, 2, more=True), _templates(2, 3, more=False))
    with serve(app) as address:
        found = run(address, TopoClient.sequence_templates)
    assert found == [SequenceTemplate(id=uuid_of(n), name=f"S{n}") for n in (1, 2, 3)]
    assert [request.path for request in app.requests] == ["/v1/sequence-templates"] * 2
    assert [(request.params["page"], request.params["size"]) for request in app.requests] == [
        ("1", "100"),
        ("2", "100"),
    ]


def test_sequence_templates_end_with_an_empty_page_whatever_it_claims() -> None:
    with serve(Scripted(_templates(1, more=True), _templates(more=True))) as address:
        assert len(run(address, TopoClient.sequence_templates)) == 1


def test_sequence_templates_without_a_last_page_are_given_up(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(client_module, "_MAX_TEMPLATE_PAGES", 3)
    with serve(Scripted(_templates(1, more=True))) as address:
        assert run(address, TopoClient.sequence_templates) is None
    assert "no last page" in caplog.text


def test_me_tells_whose_key_it_is() -> None:
    app = Scripted(Answer({"id": "k", "organization_id": uuid_of(9), "scopes": ["activities:read"], "new": 1}))
    with serve(app) as address:
        assert run(address, TopoClient.me) == Me(id="k", organization_id=uuid_of(9), scopes=["activities:read"])
    assert app.requests[0].path == "/v1/me"


@pytest.mark.parametrize("call", [TopoClient.me, TopoClient.sequence_templates])
@pytest.mark.parametrize(
    ("answer", "says"),
    [
        (Answer(problem_of(403, "UnauthorizedIssue"), 403), "the API key lacks"),
        (Answer(problem_of(404, "NotFoundIssue"), 404), "404 NotFoundIssue"),
        (Answer(["another", "API"]), "answered with"),
        (Answer(b"<html>"), "answered 200 with"),
        (Answer(b"[" * 5000), "answered 200 with"),
        (Answer(b"", 503), "503"),
    ],
)
def test_what_is_optional_is_gone_without_after_one_warning(
    call: Any, answer: Answer, says: str, caplog: pytest.LogCaptureFixture
) -> None:
    with serve(Scripted(answer)) as address:
        assert run(address, call) is None
    [record] = [record for record in caplog.records if record.name == "topo_pipeline.topo_api.client"]
    assert record.levelno == logging.WARNING
    assert says in record.getMessage()


def test_templates_name_the_scope_they_need(caplog: pytest.LogCaptureFixture) -> None:
    with serve(Scripted(Answer(b"", 403))) as address:
        run(address, TopoClient.sequence_templates)
    assert "sequences:read" in caplog.text


@pytest.mark.parametrize("call", [TopoClient.me, TopoClient.sequence_templates])
def test_what_is_optional_still_fails_on_a_wrong_key_or_where_nobody_answers(call: Any) -> None:
    with serve(Scripted(Answer(b"", 401))) as address, pytest.raises(RequestRefused):
        run(address, call)
    with raw_server(*[None] * 3) as address, pytest.raises(TopoUnavailable):
        run(address, call)
