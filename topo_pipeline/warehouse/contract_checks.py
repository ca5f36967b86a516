"""Store and read the results of contract checks of Topo's API (`topo.contract_checks`)."""

from collections.abc import Iterable
from dataclasses import astuple, dataclass
from datetime import datetime

from duckdb import DuckDBPyConnection


@dataclass(frozen=True)
class StoredResult:
    """A row of `topo.contract_checks`, without the time of the check."""

    assumption: str
    outcome: str
    seen: str
    consequence: str
    refuses_days: bool


def store_contract_check(
    connection: DuckDBPyConnection, results: Iterable[StoredResult], *, checked_at: datetime
) -> None:
    """Add the results of one check, in the caller's transaction."""
    connection.executemany(
        "INSERT INTO topo.contract_checks (checked_at, assumption, outcome, seen, consequence, refuses_days)"
        " VALUES (?, ?, ?, ?, ?, ?)",
        [(checked_at, *astuple(result)) for result in results],
    )


def latest_contract_check(connection: DuckDBPyConnection) -> tuple[datetime, list[StoredResult]] | None:
    """Return the time (UTC) and the results of the latest contract check; None if there was none."""
    rows = connection.execute(
        """
        SELECT checked_at, assumption, outcome, seen, consequence, refuses_days FROM topo.contract_checks
        WHERE checked_at = (SELECT max(checked_at) FROM topo.contract_checks)
        """
    ).fetchall()
    return (rows[0][0], [StoredResult(*values) for _, *values in rows]) if rows else None


def has_landed_activities(connection: DuckDBPyConnection) -> bool:
    """Return whether any day with activities has landed."""
    return connection.execute("SELECT 1 FROM topo.loads WHERE rows > 0 LIMIT 1").fetchone() is not None


def day_for_a_sample(connection: DuckDBPyConnection, rows: int) -> tuple[datetime, datetime] | None:
    """Return the exclusive bounds of the latest closed day with at least this many activities; None if there is none.

    The connection must have the view `landed_days`.
    """
    return connection.execute(
        """
        SELECT asked_after, asked_before FROM landed_days WHERE NOT is_open AND rows >= $rows
        ORDER BY day DESC LIMIT 1
        """,
        {"rows": rows},
    ).fetchone()
