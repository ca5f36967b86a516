"""Decide which tables to build because something that they read, or their own definition, has changed."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

import msgspec

Name = tuple[str, str]  # schema and table
ATTEMPTS = 2
"""Runs that try to build a table after a change. A table that can't be built waits for the next change."""


class Definitions(msgspec.Struct, frozen=True):
    """The definitions of all tables that this code server has, and how often tables were requested because of them.

    Each run reads the code and the rules itself. If they differ from the code server's, no build has its definitions.
    """

    version: str = ""
    requests: int = 0

    @property
    def are_tried(self) -> bool:
        """Whether no table is requested because of them any more."""
        return self.requests >= ATTEMPTS


@dataclass(frozen=True)
class LastBuild:
    """The latest events of a table in Dagster's records. A later event has a higher id."""

    event: int = 0  # its last materialization; 0 if there is none
    run: str = ""  # the run of that materialization
    planned: Mapping[str, int] = field(default_factory=dict)
    """The plans of the last runs that were to build it, by run. A run plans all its tables when it is created."""
    is_of_old_code: bool = False
    """Whether that materialization is of another version of the table's definition: its SQL, the rules, the zone."""


@dataclass(frozen=True)
class Outdated:
    """Tables that lack a change.

    Attributes:
        due: To build now, each after its sources.
        waiting: Tried often enough, and those that read them. Built without the change, they would show zeros for it.
        other: Built with what they read, by other definitions than these.
    """

    due: tuple[Name, ...]
    waiting: tuple[Name, ...]
    other: tuple[Name, ...] = ()


def outdated(
    reads: Mapping[Name, Collection[Name]],
    last: Mapping[Name, LastBuild],
    *,
    replace_old: bool = False,
    retry: bool = False,
) -> Outdated:
    """Return the tables that lack a change of a source, directly or through another table.

    Args:
        reads: What each table reads, each table after its sources.
        last: The latest events of the tables and their sources.
        replace_old: Whether tables that were built by other definitions are due too.
        retry: Whether tables are due that could not be built, because their definitions have changed since then.
    """
    due: list[Name] = []
    waiting: list[Name] = []
    other: list[Name] = []
    for table, sources in reads.items():
        if any(source in waiting for source in sources):
            waiting.append(table)
        elif any(source in due for source in sources):
            due.append(table)
        elif any(_lacks(last[table], last[source]) for source in sources):
            newest = max(last[source].event for source in sources)
            attempts = sum(plan > newest for plan in last[table].planned.values())
            (due if retry or attempts < ATTEMPTS else waiting).append(table)
        elif last[table].is_of_old_code:
            (due if replace_old else other).append(table)
    return Outdated(tuple(due), tuple(waiting), tuple(other))


def _lacks(table: LastBuild, source: LastBuild) -> bool:
    """Return whether a table was not built since the last change of a source.

    A build has what changed before its run was created, or earlier in the same run. What changes while it waits or runs
    may be too late for it.
    """
    since = table.event if table.run == source.run else table.planned.get(table.run, 0)
    return since < source.event
