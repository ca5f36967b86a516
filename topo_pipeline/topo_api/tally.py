"""Count what one query returned: its distinct rows, and what Topo's own answers say about them.

Only adds up. Which requests to send, and what to do where rows and count disagree, is decided in `repair`.
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
    """Distinct rows: of an id received twice, the last version."""

    activities: dict[str, Activity | None] = field(default_factory=dict)
    """By their ids, which alone prove anything; one that was handed over is None."""
    unreadable: dict[str, Reject] = field(default_factory=dict)
    """Rejects whose id can be read."""
    nameless: Counter[Reject] = field(default_factory=Counter)
    """The others: they can only be counted."""
    earliest: Activity | Reject | None = None
    latest: Activity | Reject | None = None
    """Of the rows whose instant can be read."""
    step: int = 0
    """Seconds that every instant of an activity is a multiple of; 0 without any, 1 where they are as fine or finer."""

    def __len__(self) -> int:
        also_readable = self.activities.keys() & self.unreadable.keys()
        return len(self.activities) + len(self.unreadable) - len(also_readable) + self.nameless.total()

    def add(self, page: ActivityPage) -> None:
        """Add another page of the same query."""
        self.activities |= {activity.id: activity for activity in page.activities}
        if page.rejects:
            self.unreadable |= {reject.id: reject for reject in page.rejects if reject.id is not None}
            # The same text on two pages is one row that moved from one to the other.
            self.nameless |= Counter(reject for reject in page.rejects if reject.id is None)
        dated: list[Activity | Reject] = [*page.activities, *(reject for reject in page.rejects if reject.created_at)]
        if dated:
            moments = () if self.step == FINEST else map(_created_at, page.activities)
            step = common_step(moments, self.step)
            self._widen(min(dated, key=_created_at), max(dated, key=_created_at), step)

    def merge(self, others: "Rows") -> None:
        """Add rows of another query, or of another reading, some of which may be the same."""
        self.activities |= others.activities
        self.unreadable |= others.unreadable
        self.nameless |= others.nameless  # the greater number of each: a text that is in both is one row seen twice
        if others.earliest and others.latest:
            self._widen(others.earliest, others.latest, math.gcd(self.step, others.step))

    def _widen(self, earliest: Activity | Reject, latest: Activity | Reject, step: int) -> None:
        self.earliest = min(self.earliest or earliest, earliest, key=_created_at)
        self.latest = max(self.latest or latest, latest, key=_created_at)
        self.step = step

    def are(self, others: "Rows") -> bool:
        """Whether both are the same rows, in whatever versions."""
        return (self.activities.keys(), self.unreadable.keys(), self.nameless) == (
            others.activities.keys(),
            others.unreadable.keys(),
            others.nameless,
        )

    def lacks(self, page: ActivityPage) -> bool:
        """Whether the page holds a row that is not here."""
        ids = {activity.id for activity in page.activities} | {reject.id for reject in page.rejects if reject.id}
        if ids - self.activities.keys() - self.unreadable.keys():
            return True
        return bool(Counter(reject for reject in page.rejects if reject.id is None) - self.nameless)

    def moments(self) -> list[datetime]:
        """The instants of the activities that were not handed over."""
        return [activity.created_at for activity in self.activities.values() if activity is not None]

    def hand_over(self) -> list[Activity]:
        """The activities that are still here, each id once; only their ids stay."""
        held = [activity for activity in self.activities.values() if activity is not None]
        self.activities = dict.fromkeys(self.activities)
        return held

    def rejects(self) -> list[Reject]:
        """What is not an activity."""
        return [*self.unreadable.values(), *self.nameless.elements()]


@dataclass
class Tally:
    """What was received for `query` so far."""

    query: ActivityQuery
    count: int = 0
    """Topo's, as first told."""
    rows: Rows = field(default_factory=Rows)
    page_size: int = MAX_PAGE_SIZE
    """Rows of a full page, which may be fewer than were asked for."""
    steady: bool = True
    """Whether every page told the same count."""
    capped: bool = False
    """Whether there are rows beyond those that Topo counts: then the count proves nothing."""
    foreign: str = ""
    """The type of a row that is not of the type that was asked for."""
    ended: bool = False
    """Whether a page was empty."""
    request_ids: list[str] = field(default_factory=list)
    """Of its pages; of one that was told by its parts, none."""

    @classmethod
    def of(cls, query: ActivityQuery, first: ActivityPage) -> "Tally":
        """The tally of a query whose first page came."""
        tally = cls(query, first.total_count, page_size=_page_size(query, first))
        tally.add(first)
        return tally

    @property
    def pages(self) -> int:
        """How many pages the count comes to."""
        return -(-self.count // self.page_size)

    def is_short(self, page: ActivityPage) -> bool:
        """Whether a page of this query is not full."""
        return len(page.activities) + len(page.rejects) < self.page_size

    def add(self, page: ActivityPage) -> None:
        """Add a page."""
        self.rows.add(page)
        self.steady &= page.total_count == self.count
        self.ended |= not (page.activities or page.rejects)
        self.foreign = self.foreign or self.query.foreign(page.activities)
        self.request_ids += [page.request_id] if page.request_id else []

    @property
    def proved(self) -> bool:
        """Whether what was received is what Topo counts, and was asked for."""
        return self.steady and not self.capped and not self.foreign and len(self.rows) == self.count


def _page_size(query: ActivityQuery, first: ActivityPage) -> int:
    """How many rows a full page has: fewer than asked for only where the number of pages agrees with that."""
    got = len(first.activities) + len(first.rejects)
    is_short = 0 < got < min(query.size, first.total_count)
    return got if is_short and first.total_pages == -(-first.total_count // got) else query.size
