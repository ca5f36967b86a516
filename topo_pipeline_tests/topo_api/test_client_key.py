"""The API key appears in no output, and is sent only to https or loopback addresses."""

import asyncio
import logging
import ssl
import traceback
from typing import Any

import pytest

from topo_pipeline.sandbox.server import serve
from topo_pipeline.topo_api.client import TopoClient
from topo_pipeline.topo_api.errors import RequestRefused, TopoUnavailable
from topo_pipeline.topo_api.wire import ActivityQuery
from topo_pipeline_tests.topo_api.helpers import (
    KEY,
    NOW,
    Answer,
    Scripted,
    client_of,
    problem_of,
    raw_server,
    refused,
    run,
)


def _all_output(error: BaseException, log: pytest.LogCaptureFixture) -> str:
    trace = traceback.TracebackException.from_exception(error, capture_locals=True)
    trace.stack[:] = [frame for frame in trace.stack if "topo_pipeline_tests" not in frame.filename]
    assert len(trace.stack) > 2
    records = [f"{record.getMessage()} {vars(record)}" for record in log.records]
    return "\n".join([str(error), repr(error), repr(vars(error)), *trace.format(), *records])


_ECHO = {"message": f"the key {KEY} is bad", "data": {"header": f"Bearer {KEY}"}, "request_id": KEY}


@pytest.mark.parametrize(
    "answer",
    [Answer(problem_of(status, KEY) | _ECHO, status) for status in (400, 401, 403, 404, 422, 429, 500)]
    + [
        Answer(f"<h1>{'x' * 280} Bearer <b>{KEY}</b></h1>".encode(), 502),
        Answer(b"", 302, {"location": f"https://{KEY}.example/?key={KEY}"}),
        Answer(f'"{KEY}"'.encode(), headers={"x-request-id": KEY}),
        Answer({"items": [], "total_count": KEY}),
    ],
)
def test_no_error_shows_the_key(answer: Answer, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    error, app = refused(answer)
    assert app.requests[0].headers["authorization"] == f"Bearer {KEY}"
    output = _all_output(error, caplog)
    assert KEY not in output
    assert KEY[:12].lower() not in output.lower()


@pytest.mark.parametrize(
    ("fault", "level"),
    [
        (None, logging.DEBUG),
        (b"", logging.DEBUG),
        (b"HTTP/1.1 200 OK\r\n", logging.DEBUG),
        (f"{KEY}\r\n\r\n".encode(), logging.INFO),  # httpcore's debug log quotes a malformed line
    ],
)
def test_no_network_error_shows_the_key(fault: bytes | None, level: int, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(level)
    with raw_server(*[fault] * 3) as address, pytest.raises(TopoUnavailable) as caught:
        run(address)
    assert KEY not in _all_output(caught.value, caplog)
    assert caught.value.__cause__ is None
    assert caught.value.__context__ is None


def test_the_clients_repr_does_not_show_the_key() -> None:
    assert KEY not in repr(client_of("http://127.0.0.1:9"))


def test_a_key_that_json_escapes_is_redacted() -> None:
    key = 'topo_"quoted\\key%'
    app = Scripted(Answer({"message": "no", "data": {"key": key}}, 400))

    async def go(address: str) -> None:
        async with TopoClient(f"{address}/v1", key, clock=lambda: NOW) as client:
            await client.activities(ActivityQuery())

    with serve(app) as address, pytest.raises(RequestRefused) as caught:
        asyncio.run(go(address))
    assert "quoted" not in str(caught.value)


@pytest.mark.parametrize("key", ["", f"{KEY}\n", f" {KEY}", f"{KEY} x", f"{KEY}\u00e9", f"{KEY}\x7f"])
def test_a_malformed_key_is_refused_without_being_shown(key: str) -> None:
    with pytest.raises(ValueError, match="TOPO_API_KEY") as caught:
        TopoClient("https://api.topo.io/v1", key, clock=lambda: NOW)
    assert KEY not in str(caught.value)


@pytest.mark.parametrize(
    "url",
    [
        "",
        "api.topo.io/v1",
        "ftp://api.topo.io",
        "https://",
        "http://api.topo.io/v1",
        "http://localhost.example/v1",
        "http://10.0.0.1",
        "https://me:secret@api.topo.io/v1",
        "https://api.topo.io/v1?key=secret",
        "https://api.topo.io/v1#secret",
        "https://api.topo.io:port/v1",
        "https://api.topo.io/v1\n",
    ],
)
def test_an_unsafe_url_is_refused(url: str) -> None:
    with pytest.raises(ValueError, match="TOPO_API_URL") as caught:
        TopoClient(url, KEY, clock=lambda: NOW)
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    "url",
    ["https://api.topo.io/v1", "http://localhost:1", "http://127.0.0.5:1/v1", "http://[::1]:1/v1"],
)
def test_https_and_loopback_are_accepted(url: str) -> None:
    assert TopoClient(url, KEY, clock=lambda: NOW).requests == 0


def test_certificates_are_verified() -> None:
    client = TopoClient("https://api.topo.io/v1", KEY, clock=lambda: NOW)
    context = client._connections[0]._http._pool._ssl_context  # type: ignore[attr-defined]
    assert (context.verify_mode, context.check_hostname) == (ssl.CERT_REQUIRED, True)


@pytest.mark.parametrize(
    "options", [{"requests_per_second": 0}, {"requests_per_second": float("inf")}, {"concurrency": 0}]
)
def test_invalid_pacing_is_refused(options: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="must be positive"):
        client_of("http://127.0.0.1:1", **options)


def test_a_trailing_slash_in_the_url_is_ignored() -> None:
    app = Scripted()

    async def go(address: str) -> None:
        async with TopoClient(f"{address}/v1/", KEY, clock=lambda: NOW) as client:
            await client.activities(ActivityQuery())

    with serve(app) as address:
        asyncio.run(go(address))
    assert app.requests[0].path == "/v1/activities"


def test_loopback_requests_bypass_the_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    monkeypatch.delenv("NO_PROXY", raising=False)
    monkeypatch.delenv("no_proxy", raising=False)
    with serve(Scripted()) as address:
        assert run(address).total_count == 0


def test_other_hosts_are_reached_through_the_environments_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NO_PROXY", raising=False)
    monkeypatch.delenv("no_proxy", raising=False)
    with raw_server(*[b"HTTP/1.1 502 No such host\r\nContent-Length: 0\r\n\r\n"] * 3) as proxy:
        monkeypatch.setenv("HTTPS_PROXY", proxy)
        monkeypatch.setenv("https_proxy", proxy)
        with pytest.raises(TopoUnavailable, match="ProxyError 502 No such host"):
            run("https://topo.invalid")
