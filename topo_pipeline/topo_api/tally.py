"""What came back for one query: its distinct rows, held against Topo's own count.

Only adds up. What to ask for, and what to do where the two disagree, is for `repair`.
"""

from collections import Counter
from dataclasses import dataclass, field

from topo_pipeline.topo_api.wire import Activity, ActivityPage, ActivityQuery, Reject


@dataclass
class Rows:
    """Distinct rows: of an id received twice, the last version."""

    activities: dict[str, Activity | None] = field(default_factory=dict)
    """By their ids, which alone prove anything; one that was handed over is None."""
    unreadable: dict[str, Reject] = field(default_factory=dict)
    """Rejects whose id can be read."""
    nameless: Counter[Reject] = field(default_factory=Counter)
    """The others: they can only be counted."""

    def __len__(self) -> int:
        also_readable = self.activities.keys() & self.unreadable.keys()
        return len(self.activities) + len(self.unreadable) - len(also_readable) + self.nameless.total()

    def add(self, page: ActivityPage) -> None:
        """Take in another page of the same query."""
        self.activities |= {activity.id: activity for activity in page.activities}
        self.unreadable |= {reject.id: reject for reject in page.rejects if reject.id is not None}
        self.nameless.update(reject for reject in page.rejects if reject.id is None)

    def merge(self, others: "Rows") -> None:
        """Take in rows of another query, or of another reading, some of which may be the same."""
        self.activities |= others.activities
        self.unreadable |= others.unreadable
        self.nameless |= others.nameless  # the greater number of each: a text that is in both is one row seen twice

    def are(self, others: "Rows") -> bool:
        """Whether both are the same rows, in whatever versions."""
        return (self.activities.keys(), self.unreadable.keys(), self.nameless) == (
            others.activities.keys(),
            others.unreadable.keys(),
            others.nameless,
        )

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
    steady: bool = True
    """Whether every page told the same count."""
    ended: bool = False
    """Whether a page was empty."""
    request_ids: list[str] = field(default_factory=list)
    """Of its pages; of one that was told by its parts, none."""

    @classmethod
    def of(cls, query: ActivityQuery, first: ActivityPage) -> "Tally":
        """The tally of a query whose first page came."""
        tally = cls(query, first.total_count)
        tally.add(first)
        return tally

    def add(self, page: ActivityPage) -> None:
        """Take in a page."""
        self.rows.add(page)
        self.steady &= page.total_count == self.count
        self.ended |= not (page.activities or page.rejects)
        self.request_ids += [page.request_id] if page.request_id else []

    @property
    def proved(self) -> bool:
        """Whether what was received is what Topo counts."""
        return self.steady and len(self.rows) == self.count
