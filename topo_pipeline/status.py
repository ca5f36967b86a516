"""How things stand, in a few numbers: how far the days have landed, whether the tables follow, the best sequences."""

from dataclasses import dataclass
from datetime import date
from typing import TYPE_CHECKING

from topo_pipeline.report.leaderboard import leaderboard
from topo_pipeline.warehouse.catalogue import tables_of
from topo_pipeline.warehouse.ledger import Standing, standing

if TYPE_CHECKING:
    import pandas as pd
    from duckdb import DuckDBPyConnection


@dataclass(frozen=True)
class Status:
    """How things stand.

    Attributes:
        days: how far they have landed.
        behind: days whose last load the tables have not taken in.
        pending: replies that Topo had not classified when their days were read last.
        board: the sequences, best first; None while there is no table of them.
    """

    days: Standing
    behind: tuple[date, ...]
    pending: int
    board: "pd.DataFrame | None"


def status(connection: "DuckDBPyConnection", due: date) -> Status:
    """How things stand, where `due` is the last day that has to be there."""
    [(pending,)] = connection.execute(
        "SELECT count(*) FROM topo.activities WHERE type = 'message.replied' AND reply_category IS NULL"
    ).fetchall()
    behind = connection.execute(
        "SELECT day FROM landed_days ANTI JOIN"
        " (SELECT load_id FROM engagement.builds WHERE table_name = 'sequence_activity') USING (load_id) ORDER BY day"
    ).fetchall()
    has_board = ("engagement", "sequence_summary") in tables_of(connection)
    return Status(
        days=standing(connection, due),
        behind=tuple(day for (day,) in behind),
        pending=pending,
        board=leaderboard(connection) if has_board else None,
    )
