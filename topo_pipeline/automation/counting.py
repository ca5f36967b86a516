"""Topo's own counts, asked within a sensor's tick: few requests, none of them repeated, and an end to waiting."""

import asyncio
from collections.abc import Callable, Sequence
from datetime import datetime

from topo_pipeline.ingest import OUTAGE_DAYS, connected
from topo_pipeline.topo_api.client import Retries, TopoClient
from topo_pipeline.topo_api.counting import count
from topo_pipeline.topo_api.errors import RequestRefused, TopoError, TopoUnavailable
from topo_pipeline.topo_api.wire import ActivityQuery

# The next tick is the retry.
ONE_TRY = Retries(attempts=1, read_timeout=10, attempt_timeout=10)
# Dagster gives a tick 60 seconds.
PATIENCE_SECONDS = 20.0

Bounds = tuple[datetime, datetime]
"""Between which instants, both exclusive."""


def ask_counts(
    connect: Callable[[], TopoClient], bounds: Sequence[Bounds], *, seconds: float = PATIENCE_SECONDS
) -> list[int | TopoError]:
    """Topo's counts between `bounds`, in their order, or what befell the asking; fewer where it was no use to go on.

    Args:
        connect: Makes a client that does not repeat requests, see `ONE_TRY`.
        bounds: What to count.
        seconds: For all of it.
    """
    with connected(connect) as (client, portal):
        return portal.call(_ask, client, bounds, seconds)


async def _ask(client: TopoClient, bounds: Sequence[Bounds], seconds: float) -> list[int | TopoError]:
    answers: list[int | TopoError] = []
    try:
        async with asyncio.timeout(seconds):
            for after, before in bounds:
                answers.append(await _count(client, after, before))
                if _is_over(answers):
                    break
    except TimeoutError:
        answers.append(TopoUnavailable(f"Topo answered {len(answers)} of {len(bounds)} questions within {seconds:g} s"))
    return answers


async def _count(client: TopoClient, after: datetime, before: datetime) -> int | TopoError:
    try:
        return await count(client, ActivityQuery(created_at_after=after, created_at_before=before))
    except TopoError as error:
        return error


def _is_over(answers: Sequence[int | TopoError]) -> bool:
    """Whether to stop: what is refused is refused again, and faults in a row are an outage."""
    latest = answers[-OUTAGE_DAYS:]
    faults = [answer for answer in latest if isinstance(answer, TopoError)]
    return isinstance(answers[-1], RequestRefused) or len(faults) == OUTAGE_DAYS
