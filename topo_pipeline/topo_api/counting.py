"""Count the activities of a window with small requests, without reading them."""

from dataclasses import replace
from datetime import timedelta

from topo_pipeline.days import OVERLAP
from topo_pipeline.topo_api.client import TopoClient
from topo_pipeline.topo_api.wire import MAX_PAGE_SIZE, ActivityQuery

SHORTEST = timedelta(seconds=4)
"""Shorter windows are not split."""


async def count(client: TopoClient, query: ActivityQuery, expected: int | None = None) -> int:
    """Return how many activities Topo counts between the bounds of `query`.

    A count that is a multiple of the page size may be a cap, unless it is `expected`. It is compared with the counts of
    its halves, and those in turn if they are such multiples. Each comparison takes three more requests.
    """
    total = await _count(client, query)
    after, before = query.created_at_after, query.created_at_before
    if total in (expected, 0) or total % MAX_PAGE_SIZE or not after or not before or before - after < SHORTEST:
        return total
    middle = (after + (before - after) / 2).replace(microsecond=0)
    # Both bounds are exclusive. The halves overlap so that neither depends on how Topo rounds.
    halves = replace(query, created_at_before=middle), replace(query, created_at_after=middle - OVERLAP)
    twice = await _count(client, replace(halves[1], created_at_before=middle))
    counts = [await _count(client, half) for half in halves]
    if sum(counts) - twice == total:
        return total
    return sum([await count(client, half) for half in halves]) - twice


async def _count(client: TopoClient, query: ActivityQuery) -> int:
    return (await client.activities(replace(query, size=1))).total_count
