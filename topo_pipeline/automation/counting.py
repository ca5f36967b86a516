"""Fetch Topo's counts within a sensor's tick: few requests, no retries, and a time limit."""

import asyncio
from collections.abc import Callable, Sequence
from datetime import datetime

from topo_pipeline.ingest import OUTAGE_ERRORS, connected
from topo_pipeline.topo_api.client import Retries, TopoClient
from topo_pipeline.topo_api.counting import count
from topo_pipeline.topo_api.errors import RequestRefused, TopoError, TopoUnavailable
from topo_pipeline.topo_api.wire import ActivityQuery

# The next tick is the retry.
SINGLE_ATTEMPT = Retries(attempts=1, read_timeout=10, attempt_timeout=10)
# Dagster ends a tick after 60 seconds.
TIMEOUT_SECONDS = 20.0

Bounds = tuple[datetime, datetime]
"""Two instants, both exclusive."""


def fetch_counts(
    connect: Callable[[], TopoClient], bounds: Sequence[Bounds], *, seconds: float = TIMEOUT_SECONDS
) -> list[int | TopoError]:
    """Return the count or the error for each of `bounds`, in order. The list ends early where `_should_stop` says so.

    Args:
        connect: Returns a client that does not retry, see `SINGLE_ATTEMPT`.
        bounds: The periods to count.
        seconds: Time limit for all requests together.
    """
    with connected(connect) as (client, portal):
        return portal.call(_fetch, client, bounds, seconds)


async def _fetch(client: TopoClient, bounds: Sequence[Bounds], seconds: float) -> list[int | TopoError]:
    answers: list[int | TopoError] = []
    try:
        async with asyncio.timeout(seconds):
            for after, before in bounds:
                answers.append(await _count(client, after, before))
                if _should_stop(answers):
                    break
    except TimeoutError:
        answers.append(TopoUnavailable(f"Topo answered {len(answers)} of {len(bounds)} requests within {seconds:g} s"))
    return answers


async def _count(client: TopoClient, after: datetime, before: datetime) -> int | TopoError:
    try:
        return await count(client, ActivityQuery(created_at_after=after, created_at_before=before))
    except TopoError as error:
        return error


def _should_stop(answers: Sequence[int | TopoError]) -> bool:
    """Return whether to stop: Topo refused a request, or enough errors in a row make an outage."""
    latest = answers[-OUTAGE_ERRORS:]
    errors = [answer for answer in latest if isinstance(answer, TopoError)]
    return isinstance(answers[-1], RequestRefused) or len(errors) == OUTAGE_ERRORS
