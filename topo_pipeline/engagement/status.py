"""The status of the warehouse: landed days, days missing from the tables, and the best sequences."""

from dataclasses import dataclass
from datetime import date
from typing import TYPE_CHECKING

from topo_pipeline.engagement.building import days_behind
from topo_pipeline.engagement.leaderboard import leaderboard
from topo_pipeline.warehouse.catalogue import tables_of
from topo_pipeline.warehouse.ledger import LedgerStatus, ledger_status
from topo_pipeline.warehouse.sql import Row

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection


@dataclass(frozen=True)
class Status:
    """The status of the warehouse.

    Attributes:
        days: which days have landed.
        behind: days whose last load is not in the tables yet.
        pending: replies that Topo had not classified when their days were last read.
        board: the sequences, in the order of `leaderboard`; None while their tables don't exist.
    """

    days: LedgerStatus
    behind: tuple[date, ...]
    pending: int
    board: list[Row] | None


def status(connection: "DuckDBPyConnection", due: date) -> Status:
    """Return the status; `due` is the last day that should have landed."""
    [(pending,)] = connection.execute(
        "SELECT count(*) FROM topo.activities WHERE type = 'message.replied' AND reply_category IS NULL"
    ).fetchall()
    return Status(
        days=ledger_status(connection, due),
        behind=days_behind(connection, "sequence_activity"),
        pending=pending,
        board=leaderboard(connection) if has_board(connection) else None,
    )


def has_board(connection: "DuckDBPyConnection") -> bool:
    """Return whether the tables that list and explain the sequences exist."""
    needed = ("sequence_summary", "sequence_signals", "sequence_forecast", "sequence_cohorts")
    return {("engagement", name) for name in needed} <= tables_of(connection)
