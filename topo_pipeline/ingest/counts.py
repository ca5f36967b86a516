"""Topo's counts: compare those of landed days with their loads, and fetch some within a sensor's tick."""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta

from topo_pipeline.days import Bounds, Clock
from topo_pipeline.ingest.session import Outage, begin, connected
from topo_pipeline.topo_api.client import Retries, TopoClient
from topo_pipeline.topo_api.counting import count
from topo_pipeline.topo_api.errors import TopoError, TopoUnavailable
from topo_pipeline.topo_api.wire import ActivityQuery
from topo_pipeline.warehouse.connection import Warehouse
from topo_pipeline.warehouse.ledger import CountedDay, closed_days

# Days read more recently than this are not counted.
RECENT = timedelta(hours=12)

# The next tick is the retry.
SINGLE_ATTEMPT = Retries(attempts=1, read_timeout=10, attempt_timeout=10)
# Dagster ends a tick after 60 seconds.
TIMEOUT_SECONDS = 20.0


@dataclass(frozen=True)
class Comparison:
    """The number of days counted, and for days that differ, Topo's count minus the count of the load."""

    asked: int
    differences: dict[date, int]


def compare_counts(
    connect: Callable[[], TopoClient], warehouse: Warehouse, first: date, last: date, *, clock: Clock, timezone: str
) -> Comparison:
    """Count the closed days from `first` to `last` again, over the same bounds as their loads.

    Raises:
        TopoError: the key is refused, or Topo can't be reached.
        WarehouseError: the warehouse does not exist, can't be used, or belongs to another workspace.
    """
    with warehouse.reader() as connection:
        landed = closed_days(connection, first, last, begun_before=clock() - RECENT)
    if not landed:
        return Comparison(0, {})
    with connected(connect) as (client, portal):
        begin(client, portal, warehouse, timezone, clock())
        counts = {day: portal.call(_count_day, client, day) for day in landed}
    return Comparison(len(landed), {day.day: now - day.count for day, now in counts.items() if now != day.count})


async def _count_day(client: TopoClient, day: CountedDay) -> int:
    return await count(client, ActivityQuery(created_at_after=day.after, created_at_before=day.before), day.count)


def fetch_counts(
    connect: Callable[[], TopoClient], bounds: Sequence[Bounds], *, seconds: float = TIMEOUT_SECONDS
) -> list[int | TopoError]:
    """Return the count or the error for each of `bounds`, in order. The list ends early in an `Outage`.

    `connect` returns a client that does not retry, see `SINGLE_ATTEMPT`. `seconds` limits all requests together.
    """
    with connected(connect) as (client, portal):
        return portal.call(_fetch, client, bounds, seconds)


async def _fetch(client: TopoClient, bounds: Sequence[Bounds], seconds: float) -> list[int | TopoError]:
    answers: list[int | TopoError] = []
    outage = Outage()
    try:
        async with asyncio.timeout(seconds):
            for after, before in bounds:
                answers.append(await _count(client, after, before))
                outage.note(answers[-1])
                if outage.must_stop:
                    break
    except TimeoutError:
        answers.append(TopoUnavailable(f"Topo answered {len(answers)} of {len(bounds)} requests within {seconds:g} s"))
    return answers


async def _count(client: TopoClient, after: datetime, before: datetime) -> int | TopoError:
    try:
        return await count(client, ActivityQuery(created_at_after=after, created_at_before=before))
    except TopoError as error:
        return error
