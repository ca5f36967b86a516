"""Topo's counts over real HTTP, and what becomes of the asking where Topo is down, slow or says no."""

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
ENOUGH = 3.0
"""Seconds in which a busy machine too answers two requests over loopback."""
DOWN = Answer(problem_of(503, "Unavailable"), status=503)


def ask(api: Scripted, bounds: list[Bounds] = HOURS, **options: Any) -> list[int | TopoError]:
    with serve(api) as address:
        return fetch_counts(lambda: client_of(address, retries=SINGLE_ATTEMPT), bounds, **options)


def counted(count: int) -> Answer:
    return Answer(page_of([], count))


def told(answers: list[int | TopoError]) -> list[object]:
    return [answer if isinstance(answer, int) else type(answer) for answer in answers]


def test_what_lies_strictly_between_the_bounds_is_counted_in_one_small_request_each() -> None:
    minutes = instants(150, START, timedelta(minutes=1))
    api = PagedApi([item_of(number, minute) for number, minute in enumerate(minutes)])
    assert ask(api, HOURS[:3]) == [59, 59, 29]
    assert [request.params["size"] for request in api.requests] == ["1", "1", "1"]


@pytest.mark.parametrize("status", [429, 500, 503])
def test_a_fault_is_told_not_repeated_and_the_others_are_asked_all_the_same(status: int) -> None:
    api = Scripted(counted(1), Answer(problem_of(status, "Busy"), status=status), counted(3))
    assert told(ask(api, HOURS[:3])) == [1, TopoUnavailable, 3]
    assert len(api.requests) == 3


def test_after_two_faults_in_a_row_topo_is_left_alone() -> None:
    api = Scripted(counted(1), DOWN)
    assert told(ask(api)) == [1, TopoUnavailable, TopoUnavailable]
    assert len(api.requests) == 3


@pytest.mark.parametrize("status", [400, 401, 403])
def test_what_is_refused_is_asked_once(status: int) -> None:
    api = Scripted(Answer(problem_of(status, "UnauthorizedIssue"), status=status))
    [refusal] = ask(api)
    assert isinstance(refusal, RequestRefused)
    assert len(api.requests) == 1


def test_patience_ends_in_the_midst_and_what_was_answered_counts() -> None:
    class Silent(Scripted):
        async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
            if len(self.requests) < 2:
                await super().__call__(scope, receive, send)
            else:
                while (await receive())["type"] != "http.disconnect":
                    pass

    *answered, silence = ask(Silent(counted(4)), seconds=ENOUGH)
    assert answered == [4, 4]
    assert isinstance(silence, TopoUnavailable)
    assert f"2 of 6 requests within {ENOUGH:g} s" in str(silence)


def test_a_pace_that_is_too_slow_for_a_tick_is_kept_and_the_rest_left_for_the_next() -> None:
    with serve(Scripted(counted(5))) as address:
        slow = lambda: client_of(address, retries=SINGLE_ATTEMPT, requests_per_second=0.001)  # noqa: E731
        answers = fetch_counts(slow, HOURS, seconds=ENOUGH)
    assert told(answers) == [5, TopoUnavailable]


def test_nobody_answers_at_all() -> None:
    answers = fetch_counts(lambda: client_of("http://127.0.0.1:9", retries=SINGLE_ATTEMPT), HOURS)
    assert told(answers) == [TopoUnavailable, TopoUnavailable]


def test_the_longest_tick_is_far_below_the_sixty_seconds_that_dagster_gives_it() -> None:
    assert SINGLE_ATTEMPT.attempts == 1
    assert SINGLE_ATTEMPT.attempt_timeout <= TIMEOUT_SECONDS <= 30
