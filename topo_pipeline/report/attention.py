"""What wants attention, and how far the tables can be trusted, asked of them: small frames for `findings`."""

from dataclasses import dataclass
from datetime import date
from typing import TYPE_CHECKING

from topo_pipeline.engagement import macros
from topo_pipeline.report.queries import frame

if TYPE_CHECKING:
    import pandas as pd
    from duckdb import DuckDBPyConnection

_SILENT = """
SELECT
    sequence_template_id::VARCHAR AS sequence_id,
    runs_active - runs_paused AS waiting,
    last_day
FROM engagement.sequence_summary AS summary
LEFT JOIN (
    SELECT sequence_template_id AS of, max(day) AS last_day FROM engagement.sequence_daily
    WHERE total_sent + total_invitations > 0 GROUP BY ALL
) ON of IS NOT DISTINCT FROM sequence_template_id
WHERE period = 'lifetime' AND is_silent
ORDER BY waiting DESC, sequence_id
"""

_TRACKING_OFF = """
SELECT sequence_template_id::VARCHAR AS sequence_id, sends
FROM engagement.sequence_channels
WHERE period = '28d' AND tracking_off
ORDER BY sends DESC, sequence_id
"""

_UNUSUAL = """
SELECT sequence_template_id::VARCHAR AS sequence_id, day, total_sent AS sent, sent_expected AS expected
FROM engagement.sequence_daily
WHERE is_volume_anomaly AND day > (SELECT max(day) FROM landed_days WHERE NOT is_open) - 7
ORDER BY abs(sent_deviation) DESC, day DESC, sequence_id
"""

_COMPARED = """
SELECT
    sequence_template_id::VARCHAR AS sequence_id,
    signal,
    reply_rate AS rate,
    reply_rate_num AS num,
    reply_rate_den AS den,
    rate(previous_num, previous_den) AS previous_rate,
    change
FROM engagement.sequence_trends
WHERE signal IS NOT NULL AND week_start = (SELECT max(week_start) FROM engagement.sequence_trends)
ORDER BY abs(change) DESC, sequence_id
"""

_RECENT = """
SELECT
    date_trunc('week', day)::DATE AS week_start,
    count(DISTINCT day) AS days,
    sum(total_sent)::BIGINT AS sent,
    sum(unique_sent)::BIGINT AS contacted,
    sum(total_valid_replies)::BIGINT AS replies,
    sum(total_meetings)::BIGINT AS meetings
FROM engagement.sequence_daily
WHERE date_trunc('week', day)::DATE + 6 <= (SELECT max(day) FROM landed_days WHERE NOT is_open)
GROUP BY ALL
ORDER BY week_start DESC
LIMIT 2
"""

_QUALITY = """
WITH ledger AS (
    SELECT
        min(day) AS first_day,
        max(day) AS last_day,
        max(day) FILTER (NOT is_open) AS last_closed_day,
        coalesce(max(day) - min(day) + 1 - count(*), 0) AS days_missing,
        coalesce(list(day ORDER BY day DESC) FILTER (NOT proved), []) AS unproved,
        coalesce(sum(rejects), 0)::BIGINT AS unreadable
    FROM landed_days
), known AS (
    SELECT
        (any_value(as_of) AT TIME ZONE $timezone)::DATE - 1 AS as_of,
        coalesce(sum(runs), 0)::BIGINT AS runs,
        coalesce(sum(runs_left_censored), 0)::BIGINT AS left_censored
    FROM engagement.sequence_summary
    WHERE period = 'lifetime'
), counted AS (
    SELECT coalesce(sum(replies_pending), 0)::BIGINT AS pending, coalesce(sum(total_replies), 0)::BIGINT AS replies
    FROM engagement.sequence_activity
)
FROM ledger CROSS JOIN known CROSS JOIN counted
"""


@dataclass(frozen=True)
class Quality:
    """How far what the page says can be trusted.

    Attributes:
        first_day: the first landed day; None where none is.
        last_day: the last landed day.
        last_closed_day: the last that was read after its end.
        days_missing: days between these that were never landed.
        unproved: landed days that Topo's count does not prove, the newest first.
        unreadable: rows of the landed days that could not be read.
        as_of: the last day that the tables' rates know.
        runs: all runs.
        left_censored: those that may have begun before the first landed day.
        pending: replies that Topo has not classified.
        replies: all replies.
    """

    first_day: date | None
    last_day: date | None
    last_closed_day: date | None
    days_missing: int
    unproved: list[date]
    unreadable: int
    as_of: date | None
    runs: int
    left_censored: int
    pending: int
    replies: int


def silent(connection: "DuckDBPyConnection") -> "pd.DataFrame":
    """Sequences with waiting runs and nothing sent lately: sequence_id, waiting (runs), last_day (of a touch)."""
    return frame(connection, _SILENT)


def tracking_off(connection: "DuckDBPyConnection") -> "pd.DataFrame":
    """Sequences whose emails nothing tracks: sequence_id, sends (emails in 28 days)."""
    return frame(connection, _TRACKING_OFF)


def unusual_volumes(connection: "DuckDBPyConnection") -> "pd.DataFrame":
    """Unusual days of the last seven closed ones: sequence_id, day, sent, expected (messages)."""
    return frame(connection, _UNUSUAL)


def compared_sequences(connection: "DuckDBPyConnection") -> "pd.DataFrame":
    """Sequences whose last closed week can be held against the one before.

    Returns:
        sequence_id, signal (up, down, no_clear_change), rate, num, den, previous_rate, change.
    """
    macros.define(connection)
    return frame(connection, _COMPARED)


def recent_weeks(connection: "DuckDBPyConnection") -> "pd.DataFrame":
    """The last two calendar weeks that are over, the newer first.

    Returns:
        week_start, days (landed, of seven), sent, contacted, replies, meetings.
    """
    return frame(connection, _RECENT)


def quality(connection: "DuckDBPyConnection", timezone: str) -> Quality:
    """What the ledger and the tables say of themselves; days in the reporting zone `timezone`."""
    asked = connection.execute(_QUALITY, {"timezone": timezone})
    names = [column[0] for column in asked.description]
    [row] = asked.fetchall()
    return Quality(**dict(zip(names, row, strict=True)))
