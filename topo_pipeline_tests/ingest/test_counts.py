"""Topo's counts over real HTTP, also if Topo is down, connect or refuses."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from topo_pipeline.days import Bounds
from topo_pipeline.ingest.counts import SINGLE_ATTEMPT, TIMEOUT_SECONDS, fetch_counts
from topo_pipeline.sandbox.server import serve
from topo_pipeline.topo_api.errors import RequestRefused, TopoError, TopoUnavailable
from topo_pipeline_tests.topo_api.helpers import (
    Answer,
    PagedApi,
    Scripted,
    client_of,
    instants,
    item_of,
    page_of,
    problem_of,
)

START = datetime(2026, 3, 1, tzinfo=UTC)
HOURS: list[Bounds] = [(START + timedelta(hours=n), START + timedelta(hours=n + 1)) for n in range(6)]
SHORT_TIMEOUT = 3.0
"""Seconds in which even a busy machine answers two requests over loopback."""
DOWN = Answer(problem_of(503, "Unavailable"), status=503)


def ask(api: Scripted, bounds: list[Bounds] = HOURS, **options: Any) -> list[int | TopoError]:
    with serve(api) as address:
        return fetch_counts(lambda: client_of(address, retries=SINGLE_ATTEMPT), bounds, **options)


def counted(count: int) -> Answer:
    return Answer(page_of([], count))


def summarized(answers: list[int | TopoError]) -> list[object]:
    return [answer if isinstance(answer, int) else type(answer) for answer in answers]


def test_each_count_excludes_its_bounds_and_takes_one_small_request() -> None:
    minutes = instants(150, START, timedelta(minutes=1))
    api = PagedApi([item_of(number, minute) for number, minute in enumerate(minutes)])
    assert ask(api, HOURS[:3]) == [59, 59, 29]
    assert [request.params["size"] for request in api.requests] == ["1", "1", "1"]


@pytest.mark.parametrize("status", [429, 500, 503])
def test_a_failed_count_is_not_retried_and_the_others_are_still_requested(status: int) -> None:
    api = Scripted(counted(1), Answer(problem_of(status, "Busy"), status=status), counted(3))
    assert summarized(ask(api, HOURS[:3])) == [1, TopoUnavailable, 3]
    assert len(api.requests) == 3


def test_after_two_failures_in_a_row_no_more_counts_are_requested() -> None:
    api = Scripted(counted(1), DOWN)
    assert summarized(ask(api)) == [1, TopoUnavailable, TopoUnavailable]
    assert len(api.requests) == 3


@pytest.mark.parametrize("status", [400, 401, 403])
def test_a_refused_count_is_requested_once(status: int) -> None:
    api = Scripted(Answer(problem_of(status, "UnauthorizedIssue"), status=status))
    [refusal] = ask(api)
    assert isinstance(refusal, RequestRefused)
    assert len(api.requests) == 1


def test_at_the_timeout_the_finished_counts_are_kept() -> None:
    class Stalling(Scripted):
        async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
            if len(self.requests) < 2:
                await super().__call__(scope, receive, send)
            else:
                while (await receive())["type"] != "http.disconnect":
                    pass

    *answered, stalled = ask(Stalling(counted(4)), seconds=SHORT_TIMEOUT)
    assert answered == [4, 4]
    assert isinstance(stalled, TopoUnavailable)
    assert f"2 of 6 requests within {SHORT_TIMEOUT:g} s" in str(stalled)


def test_a_slow_rate_is_respected_and_the_remaining_counts_are_skipped() -> None:
    with serve(Scripted(counted(5))) as address:
        connect = lambda: client_of(address, retries=SINGLE_ATTEMPT, requests_per_second=0.001)  # noqa: E731
        answers = fetch_counts(connect, HOURS, seconds=SHORT_TIMEOUT)
    assert summarized(answers) == [5, TopoUnavailable]


def test_an_unreachable_api_is_tried_twice() -> None:
    answers = fetch_counts(lambda: client_of("http://127.0.0.1:9", retries=SINGLE_ATTEMPT), HOURS)
    assert summarized(answers) == [TopoUnavailable, TopoUnavailable]


def test_the_timeout_is_well_below_dagsters_60_seconds_per_tick() -> None:
    assert SINGLE_ATTEMPT.attempts == 1
    assert SINGLE_ATTEMPT.attempt_timeout <= TIMEOUT_SECONDS <= 30
