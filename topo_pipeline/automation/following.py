"""Decide which tables to build because something that they read, or their own definition, has changed."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

Name = tuple[str, str]  # schema and table
ATTEMPTS = 2
"""Runs that try to build a table after a change. A table that can't be built waits for the next change."""


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
    """

    due: tuple[Name, ...]
    waiting: tuple[Name, ...]


def outdated(reads: Mapping[Name, Collection[Name]], last: Mapping[Name, LastBuild]) -> Outdated:
    """Return the tables that lack a change of a source, directly or through another table.

    Args:
        reads: What each table reads, each table after its sources.
        last: The latest events of the tables and their sources.
    """
    due: list[Name] = []
    waiting: list[Name] = []
    for table, sources in reads.items():
        if any(source in waiting for source in sources):
            waiting.append(table)
        elif any(source in due for source in sources):
            due.append(table)
        elif (change := _change(last[table], [last[source] for source in sources])) is not None:
            attempts = sum(plan > change for plan in last[table].planned.values())
            (waiting if attempts >= ATTEMPTS else due).append(table)
    return Outdated(tuple(due), tuple(waiting))


def _change(table: LastBuild, sources: Collection[LastBuild]) -> int | None:
    """Return the event after which an attempt counts: the last change that the table lacks. None if it lacks none."""
    if any(_lacks(table, source) for source in sources):
        return max(source.event for source in sources)
    return table.event if table.is_of_old_code else None


def _lacks(table: LastBuild, source: LastBuild) -> bool:
    """Return whether a table was not built since the last change of a source.

    A build has what changed before its run was created, or earlier in the same run. What changes while it waits or runs
    may be too late for it.
    """
    since = table.event if table.run == source.run else table.planned.get(table.run, 0)
    return since < source.event
