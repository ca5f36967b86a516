"""A window of time → all its activities, proved complete, or an error.

The proof holds the distinct ids received against Topo's own count, over the bounds that were asked,
before anything is filtered to the window; how it is come by where pages disagree is for `repair`.
What a window means (a day, an hour) is for the caller.
"""

from topo_pipeline.topo_api.client import TopoClient
from topo_pipeline.topo_api.errors import IncompleteWindow
from topo_pipeline.topo_api.reading import Reading, Window
from topo_pipeline.topo_api.repair import DEPTH, OVERLAP, Keeper, Outcome, read_proved
from topo_pipeline.topo_api.tally import Tally
from topo_pipeline.topo_api.wire import Activity, ActivityQuery, EventType


async def read_window(
    client: TopoClient,
    window: Window,
    *,
    event_type: EventType | None = None,
    depth: int = DEPTH,
    keeper: Keeper | None = None,
) -> Reading:
    """Every activity of `window`, also an empty window's count.

    Args:
        client: Whom to ask.
        window: What to read.
        event_type: Only what happened so, where it is given.
        depth: Pages of one query that are read; a window that holds more is read in parts.
        keeper: Who takes the activities, those between the asked bounds and outside the window too; then none is in
            the reading, and of a window that is read in parts only one or two are in memory.

    Raises:
        IncompleteWindow: what was received is not what Topo counts, however it was asked for; holds what was received.
        TopoError: Topo refused, or could not be reached.
    """
    query = ActivityQuery(created_at_after=window.start - OVERLAP, created_at_before=window.end, event_type=event_type)
    outcome = await read_proved(client, query, depth, keeper)
    got = len(outcome.tally.rows)
    received = outcome.tally.rows.hand_over()
    if keeper:
        await keeper.keep(received)
    reading = _reading(window, outcome, [] if keeper else received)
    if outcome.refused:
        raise IncompleteWindow(
            reading=reading,
            got=got,
            because=_because(outcome.refused, query),
            request_ids=outcome.refused.request_ids,
        )
    return reading


def _reading(window: Window, outcome: Outcome, received: list[Activity]) -> Reading:
    rejects = outcome.tally.rows.rejects()
    received.sort(key=lambda activity: (activity.created_at, activity.id))
    return Reading(
        window=window,
        asked_after=window.start - OVERLAP,
        asked_before=window.end,
        total_count=outcome.tally.count,
        received=len(outcome.tally.rows.activities),
        activities=[activity for activity in received if activity.created_at in window],
        overlap=[activity for activity in received if activity.created_at not in window],
        rejects=[r for r in rejects if r.created_at is None or r.created_at in window],
        requests=outcome.requests,
        unreadable=[reject for reject in rejects if reject.id not in outcome.tally.rows.activities],
    )


def _because(refused: Tally, whole: ActivityQuery) -> str:
    if refused.query == whole:
        return "it is not proved"
    asked = refused.query.params()
    kinds = [f"{name}={asked[name]}" for name in ("resource_type", "event_type") if name in asked]
    part = " ".join([f"{asked['created_at_after']} to {asked['created_at_before']}", *kinds])
    return f"its part {part} is not proved: {refused.count} counted, {len(refused.rows)} received"
