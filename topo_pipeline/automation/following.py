"""Decide which tables to build because something that they read has changed."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass

Name = tuple[str, str]  # schema and table
ATTEMPTS = 2
"""Runs that try to build a table after a change. A table that can't be built waits for the next change."""


@dataclass(frozen=True)
class LastBuild:
    """The latest events of a table in Dagster's records. A later event has a higher id."""

    event: int = 0  # its last materialization; 0 if there is none
    run: str = ""  # the run of that materialization
    planned: tuple[int, ...] = ()
    """The last plans to build it, newest first, at most `ATTEMPTS`. A run plans all its tables when it is created."""


def outdated(reads: Mapping[Name, Collection[Name]], last: Mapping[Name, LastBuild]) -> list[Name]:
    """Return the tables to build: those that lack a change, and those that read them.

    Args:
        reads: What each table reads, each table after its sources.
        last: The latest events of the tables and their sources.
    """
    due: list[Name] = []
    for table, sources in reads.items():
        if any(source in due or _lacks(last[table], last[source]) for source in sources):
            due.append(table)
    return due


def _lacks(table: LastBuild, source: LastBuild) -> bool:
    """Return whether a table lacks the last change of a source and is to be built.

    A build has what changed before its run was created, or earlier in the same run. What changes while it waits or runs
    may be too late for it.
    """
    attempts = [plan for plan in table.planned if plan > source.event]
    if len(attempts) >= ATTEMPTS or source.event == 0:
        return False
    is_of_this_run = table.run == source.run and table.event > source.event
    return not is_of_this_run and not (attempts and table.event > attempts[0])
