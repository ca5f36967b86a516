"""Pacing and Retry-After as a server sees them, with a virtual clock that advances only when the event loop is idle."""

import asyncio
import selectors
from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta
from email.utils import format_datetime
from itertools import pairwise
from typing import Any

import pytest

from topo_pipeline.topo_api.client import Retries, TopoClient
from topo_pipeline.topo_api.errors import TopoUnavailable
from topo_pipeline.topo_api.wire import ActivityQuery
from topo_pipeline_tests.topo_api.helpers import FAST_RETRIES, NOW, client_of, http

OK = b'{"items": [], "total_count": 0, "total_pages": 0, "has_more": false}'
IDLE_SECONDS = 0.02
"""Real seconds without an event, after which the loop counts as idle. The server runs in the same loop."""
MAX_SECONDS = 7 * 24 * 3600.0


class VirtualLoop(asyncio.SelectorEventLoop):
    """An event loop whose clock stops while events arrive, and jumps to the next timer when it is idle."""

    def __init__(self) -> None:
        self.now = 0.0
        super().__init__(_JumpingSelector(self))

    def time(self) -> float:
        return self.now

    def clock(self) -> datetime:
        return NOW + timedelta(seconds=self.now)


class _JumpingSelector(selectors.DefaultSelector):
    def __init__(self, loop: VirtualLoop) -> None:
        super().__init__()
        self._loop = loop

    def select(self, timeout: float | None = None) -> list[Any]:
        ready = super().select(timeout and IDLE_SECONDS)
        if timeout and not ready:
            self._loop.now += timeout
            assert self._loop.now < MAX_SECONDS, "a timer is set too far in the future"
        return ready


def _error(status: int, retry_after: str | None = None) -> bytes:
    header = f"Retry-After: {retry_after}\r\n" if retry_after else ""
    return f"HTTP/1.1 {status} No\r\n{header}Content-Length: 0\r\nConnection: close\r\n\r\n".encode()


def _arrivals(
    answer: Callable[[int, datetime], bytes], call: Callable[[TopoClient], Awaitable[Any]], **options: Any
) -> list[float]:
    """Return when requests arrived. `answer` gets the number of each request and its time."""
    loop = VirtualLoop()
    arrived: list[float] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        arrived.append(loop.time())
        writer.write(answer(len(arrived), loop.clock()))
        writer.close()
        await writer.wait_closed()

    async def go() -> None:
        async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
            port = server.sockets[0].getsockname()[1]
            async with client_of(f"http://127.0.0.1:{port}", clock=loop.clock, **options) as client:
                await call(client)

    with asyncio.Runner(loop_factory=lambda: loop) as runner:
        runner.run(go())
    return arrived


def _gaps(arrived: list[float]) -> list[float]:
    return [later - earlier for earlier, later in pairwise(arrived)]


async def _one(client: TopoClient) -> None:
    await client.activities(ActivityQuery())


@pytest.mark.parametrize("rate", [4, 0.5])
def test_requests_and_retries_are_evenly_spaced(rate: float) -> None:
    async def nine_at_once(client: TopoClient) -> None:
        await asyncio.gather(*(_one(client) for _ in range(9)))

    def every_third_fails(number: int, _: datetime) -> bytes:
        return _error(503) if number % 3 == 0 else http(OK)

    arrived = _arrivals(every_third_fails, nine_at_once, requests_per_second=rate)
    assert len(arrived) == 9 + 4
    assert _gaps(arrived) == pytest.approx([1 / rate] * 12)


@pytest.mark.parametrize("status", [429, 503])
def test_retry_after_is_respected_in_seconds_or_as_a_date_up_to_a_minute(
    status: int,
) -> None:
    def ask_for_longer_waits(number: int, now: datetime) -> bytes:
        requested = ["7", format_datetime(now + timedelta(seconds=20), usegmt=True), "9" * 30, "86400"]
        return _error(status, requested[number - 1]) if number <= len(requested) else http(OK)

    arrived = _arrivals(ask_for_longer_waits, _one, retries=Retries())
    assert _gaps(arrived) == pytest.approx([7, 20, 60, 60], abs=0.001)


def test_retries_end_during_a_long_outage() -> None:
    async def expect_unavailable(client: TopoClient) -> None:
        with pytest.raises(TopoUnavailable):
            await _one(client)

    arrived = _arrivals(lambda *_: _error(503), expect_unavailable, retries=Retries())
    assert len(arrived) == Retries().attempts
    assert arrived[-1] < Retries().attempts * (Retries().wait_max + Retries().wait_jitter)
    assert all(gap >= Retries().wait_initial for gap in _gaps(arrived))


def test_a_short_retry_after_does_not_exceed_the_rate() -> None:
    def ask_for_one_second(number: int, _: datetime) -> bytes:
        return _error(429, "1") if number == 1 else http(OK)

    assert _gaps(_arrivals(ask_for_one_second, _one, requests_per_second=0.1, retries=FAST_RETRIES)) == pytest.approx(
        [10]
    )
