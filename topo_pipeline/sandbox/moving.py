"""Faults of the source: rows that change order, appear, vanish, or share one instant."""

from datetime import UTC, datetime, time, timedelta

from topo_pipeline.days import days_between
from topo_pipeline.sandbox.activity import Activity
from topo_pipeline.sandbox.dice import Dice
from topo_pipeline.sandbox.faults import Fault, Positive
from topo_pipeline.sandbox.query import ActivityQuery

_NOON = timedelta(hours=12)


class Ties(Fault, frozen=True):
    """Shuffle rows with the same instant at each request."""

    def rows(self, found: list[Activity], query: ActivityQuery, turn: int) -> list[Activity]:
        return sorted(found, key=lambda row: (row.created_at, Dice(turn, row.id).between(0, 1)))


class Torn(Fault, frozen=True):
    """Replace the first row of each page with the last row of the page before."""

    def rows(self, found: list[Activity], query: ActivityQuery, turn: int) -> list[Activity]:
        return [found[n - 1] if n and n % query.size == 0 else row for n, row in enumerate(found)]


class Crowd(Fault, frozen=True):
    """Add `count` messages, all sent at noon (UTC)."""

    count: Positive = 1000

    def rows(self, found: list[Activity], query: ActivityQuery, turn: int) -> list[Activity]:
        return _with(found, query, self.count, starts=_NOON)


_EARLY = timedelta(minutes=1)
"""Offset from midnight, so that the requests for the day before do not include these rows."""


class Appearing(Fault, frozen=True):
    """Add one more message at each request, up to `count`, shortly after midnight."""

    count: Positive = 3

    def rows(self, found: list[Activity], query: ActivityQuery, turn: int) -> list[Activity]:
        return _with(found, query, min(turn, self.count), starts=_EARLY, step=timedelta(seconds=1))


class Vanishing(Fault, frozen=True):
    """Add `count` messages shortly after midnight, and one fewer at each request."""

    count: Positive = 3

    def rows(self, found: list[Activity], query: ActivityQuery, turn: int) -> list[Activity]:
        return _with(found, query, self.count - turn, starts=_EARLY, step=timedelta(seconds=1))


def _with(
    found: list[Activity],
    query: ActivityQuery,
    count: int,
    *,
    starts: timedelta,
    step: timedelta = timedelta(),
) -> list[Activity]:
    """Return the rows and `count` more on each day (UTC) of a query with both bounds."""
    after, before, selects = query.created_at_after, query.created_at_before, query.selects()
    if after is None or before is None:
        return found
    more = [
        row
        for day in days_between(after.astimezone(UTC).date(), before.astimezone(UTC).date())
        for row in (_message(datetime.combine(day, time(), UTC) + starts + n * step, n) for n in range(count))
        if after < row.created_at < before and (selects is None or selects(row))
    ]
    return sorted([*found, *more], key=lambda row: (row.created_at, row.id))


def _message(at: datetime, number: int) -> Activity:
    dice = Dice("message of a fault", at, number)
    return Activity(
        id=dice.uuid(),
        created_at=at,
        resource_type="MESSAGE",
        event_type="SENT",
        channel="EMAIL",
        person_id=dice.uuid(),
        sequence_id=dice.uuid(),
        sequence_template_id=dice.uuid(),
        message_id=dice.uuid(),
    )


AnyRowFault = Ties | Torn | Crowd | Appearing | Vanishing
