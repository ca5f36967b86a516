"""Faults of the source: rows that stand in another order, come, go, or crowd at one instant."""

from collections.abc import Iterator
from datetime import UTC, datetime, time, timedelta

from topo_pipeline.sandbox.activity import Activity
from topo_pipeline.sandbox.dice import Dice
from topo_pipeline.sandbox.faults import Fault, Positive
from topo_pipeline.sandbox.query import ActivityQuery

_NOON = timedelta(hours=12)


class Ties(Fault, frozen=True):
    """Rows of one instant stand in another order at each request."""

    def rows(self, found: list[Activity], query: ActivityQuery, turn: int) -> list[Activity]:
        return sorted(found, key=lambda row: (row.created_at, Dice(turn, row.id).between(0, 1)))


class Torn(Fault, frozen=True):
    """Each page begins with the row that ended the one before, in the place of its own first row."""

    def rows(self, found: list[Activity], query: ActivityQuery, turn: int) -> list[Activity]:
        return [found[n - 1] if n and n % query.size == 0 else row for n, row in enumerate(found)]


class Crowd(Fault, frozen=True):
    """So many more messages, all sent at noon."""

    count: Positive = 1000

    def rows(self, found: list[Activity], query: ActivityQuery, turn: int) -> list[Activity]:
        return _with(found, query, self.count, starts=_NOON)


_EARLY = timedelta(minutes=1)
"""After midnight: nearer to it, a day's neighbours are asked for these rows, too."""


class Appearing(Fault, frozen=True):
    """One more message at each request, up to so many, before the office opens."""

    count: Positive = 3

    def rows(self, found: list[Activity], query: ActivityQuery, turn: int) -> list[Activity]:
        return _with(found, query, min(turn, self.count), starts=_EARLY, step=timedelta(seconds=1))


class Vanishing(Fault, frozen=True):
    """So many messages before the office opens, and one fewer of them at each request."""

    count: Positive = 3

    def rows(self, found: list[Activity], query: ActivityQuery, turn: int) -> list[Activity]:
        return _with(found, query, self.count - turn, starts=_EARLY, step=timedelta(seconds=1))


def _with(
    found: list[Activity],
    query: ActivityQuery,
    count: int,
    *,
    starts: timedelta = timedelta(),
    step: timedelta = timedelta(),
) -> list[Activity]:
    """The rows, and `count` more on each day of a query that has both bounds."""
    after, before, selects = query.created_at_after, query.created_at_before, query.selects()
    if after is None or before is None:
        return found
    more = [
        row
        for midnight in _midnights(after, before)
        for row in (_message(midnight + starts + n * step, n) for n in range(count))
        if after < row.created_at < before and (selects is None or selects(row))
    ]
    return sorted([*found, *more], key=lambda row: (row.created_at, row.id))


def _midnights(after: datetime, before: datetime) -> Iterator[datetime]:
    midnight = datetime.combine(after.astimezone(UTC).date(), time(), UTC)
    while midnight < before:
        yield midnight
        midnight += timedelta(days=1)


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


OfTheRows = Ties | Torn | Crowd | Appearing | Vanishing
