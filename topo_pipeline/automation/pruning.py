"""Which of Dagster's old runs are deleted."""

from collections.abc import Collection, Sequence

AT_ONCE = 100
"""Runs that one tick deletes: a tick has to end within a minute, and the next one is an hour away."""


def runs_to_delete(old: Sequence[str], needed: Collection[str], at_once: int = AT_ONCE) -> list[str]:
    """Return the runs to delete now, oldest first.

    Args:
        old: Ended runs that are older than records are kept, oldest first.
        needed: Runs that hold a record which something still reads.
        at_once: How many are deleted in one go.
    """
    return [run for run in old if run not in needed][:at_once]
