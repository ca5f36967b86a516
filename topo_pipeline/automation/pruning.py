"""Decide which of Dagster's old runs to delete."""

from collections.abc import Collection, Sequence

BATCH_SIZE = 100
"""Runs that one tick deletes. A tick has to end within a minute, and the next one is an hour away."""


def runs_to_delete(old: Sequence[str], needed: Collection[str]) -> list[str]:
    """Return the runs to delete now, oldest first.

    `old` has ended runs beyond the retention period, oldest first, and `needed` those with a record that is still read.
    """
    return [run for run in old if run not in needed][:BATCH_SIZE]
