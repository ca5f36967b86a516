"""Collect the distinct rows that a query returned and the counts in Topo's responses.

The decisions about requests, and about rows and counts that disagree, belong in `repair`.
"""

import math
from collections import Counter
from dataclasses import dataclass, field
from datetime import datetime
from operator import attrgetter

from topo_pipeline.topo_api.resolution import FINEST, common_step
from topo_pipeline.topo_api.wire import MAX_PAGE_SIZE, Activity, ActivityPage, ActivityQuery, Reject

_created_at = attrgetter("created_at")


@dataclass
class Rows:
    """Distinct rows. If an id was received twice, the last version counts."""

    activities: dict[str, Activity] = field(default_factory=dict)
    """By id, without those that were taken."""
    taken: set[int] = field(default_factory=set)
    """Ids of the activities that were taken, as numbers, which need half the memory."""
    unreadable: dict[str, Reject] = field(default_factory=dict)
    """Rejects with a readable id."""
    unidentified: Counter[Reject] = field(default_factory=Counter)
    """Rejects without a readable id. They can only be counted."""
    earliest: Activity | Reject | None = None
    latest: Activity | Reject | None = None
    """Among the rows with a readable instant."""
    step: int = 0
    """Seconds that every activity's instant is a multiple of. 0 without activities, 1 for whole seconds or finer."""

    def __len__(self) -> int:
        only_unreadable = sum(not self.has_activity(id_) for id_ in self.unreadable)
        return len(self.activities) + len(self.taken) + only_unreadable + self.unidentified.total()

    def has_activity(self, id_: str | None) -> bool:
        """Return whether the row with this id was received and can be read."""
        return id_ is not None and (id_ in self.activities or _number(id_) in self.taken)

    def add(self, page: ActivityPage) -> None:
        """Add a page of the same query."""
        self.activities |= {activity.id: activity for activity in page.activities}
        self.unreadable |= {reject.id: reject for reject in page.rejects if reject.id}
        # The same text on two pages is one row that moved from one to the other.
        self.unidentified |= _without_id(page)
        dated: list[Activity | Reject] = [*page.activities, *(reject for reject in page.rejects if reject.created_at)]
        if dated:
            moments = () if self.step == FINEST else map(_created_at, page.activities)
            step = common_step(moments, self.step)
            self._widen(min(dated, key=_created_at), max(dated, key=_created_at), step)

    def merge(self, others: "Rows") -> None:
        """Add the rows of another query or reading. Some may be the same."""
        self.activities |= others.activities
        self.taken |= others.taken
        for id_ in [id_ for id_ in self.activities if _number(id_) in self.taken] if self.taken else ():
            del self.activities[id_]
        self.unreadable |= others.unreadable
        self.unidentified |= others.unidentified  # the larger number: a text in both is one row seen twice
        if others.earliest and others.latest:
            self._widen(others.earliest, others.latest, math.gcd(self.step, others.step))

    def take(self, after: datetime, before: datetime) -> list[Activity]:
        """Remove and return the activities between two instants, both exclusive. Their ids still count."""
        taken = [activity for activity in self.activities.values() if after < activity.created_at < before]
        for activity in taken:
            del self.activities[activity.id]
            self.taken.add(_number(activity.id))
        return taken

    def _widen(self, earliest: Activity | Reject, latest: Activity | Reject, step: int) -> None:
        self.earliest = min(self.earliest or earliest, earliest, key=_created_at)
        self.latest = max(self.latest or latest, latest, key=_created_at)
        self.step = step

    def are(self, others: "Rows") -> bool:
        """Return whether both contain the same rows, in any version."""
        return (self.activities.keys(), self.unreadable.keys(), self.unidentified) == (
            others.activities.keys(),
            others.unreadable.keys(),
            others.unidentified,
        )

    def lacks(self, page: ActivityPage) -> bool:
        """Return whether the page has a row that is missing here."""
        ids = {activity.id for activity in page.activities} | {reject.id for reject in page.rejects if reject.id}
        return bool(ids - self.activities.keys() - self.unreadable.keys() or _without_id(page) - self.unidentified)

    def moments(self) -> list[datetime]:
        """Return the instants of the activities."""
        return [activity.created_at for activity in self.activities.values()]

    def rejects(self) -> list[Reject]:
        """Return all rejects."""
        return [*self.unreadable.values(), *self.unidentified.elements()]


@dataclass
class Tally:
    """The rows received for `query` so far, and Topo's count."""

    query: ActivityQuery
    count: int = 0
    """Topo's count on the first page."""
    rows: Rows = field(default_factory=Rows)
    page_size: int = MAX_PAGE_SIZE
    """Rows on a full page. May be fewer than requested."""
    steady: bool = True
    """Whether every page has the same count."""
    capped: bool = False
    """Whether more rows exist than Topo counts. Then the count proves nothing."""
    unexpected_type: str = ""
    """Type of a row that was not of the requested type, if there was one."""
    ended: bool = False
    """Whether a page was empty."""
    request_ids: list[str] = field(default_factory=list)
    """Request ids of its pages. Empty if the tally was joined from parts."""

    @classmethod
    def of(cls, query: ActivityQuery, first: ActivityPage) -> "Tally":
        """Create the tally of a query from its first page."""
        tally = cls(query, first.total_count, page_size=_page_size(query, first))
        tally.add(first)
        return tally

    @property
    def pages(self) -> int:
        """Number of pages according to the count."""
        return -(-self.count // self.page_size)

    def add(self, page: ActivityPage) -> None:
        """Add a page."""
        self.rows.add(page)
        self.steady &= page.total_count == self.count
        self.ended |= not page.length
        self.unexpected_type = self.unexpected_type or self.query.unexpected_type(page.activities)
        self.request_ids += page.request_ids

    @property
    def proved(self) -> bool:
        """Whether the rows received are as many as Topo counts, and of the requested type."""
        return self.steady and not self.capped and not self.unexpected_type and len(self.rows) == self.count


class Store:
    """Takes activities out of memory while the rest of their window is read. This one takes none."""

    def clear(self) -> None:
        """Discard what was taken. The window is read again."""

    async def take(self, rows: Rows) -> None:
        """Take any of the rows of a part that has been read."""


IN_MEMORY = Store()


def _number(id_: str) -> int:
    return int(id_.replace("-", ""), 16)


def _without_id(page: ActivityPage) -> Counter[Reject]:
    return Counter(reject for reject in page.rejects if not reject.id)


def _page_size(query: ActivityQuery, first: ActivityPage) -> int:
    """Return the rows on a full page: fewer than requested only if total_pages agrees with that."""
    is_short = 0 < first.length < min(query.size, first.total_count)
    return first.length if is_short and first.total_pages == -(-first.total_count // first.length) else query.size
