"""Queries of what needs attention and of the quality of the data, as frames for `findings`."""

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
FROM engagement.sequence_summary
LEFT JOIN (
    SELECT sequence_template_id AS of, max(day) AS last_day FROM engagement.sequence_daily
    WHERE total_sent + total_invitations > 0 GROUP BY ALL
) ON of = sequence_template_id
WHERE period = 'lifetime' AND is_silent
ORDER BY waiting DESC, sequence_id
"""

_TRACKING_OFF = """
SELECT sequence_template_id::VARCHAR AS sequence_id, sends
FROM engagement.sequence_channels
LEFT JOIN topo.sequence_templates AS templates ON templates.id = sequence_template_id
WHERE period = '28d' AND tracking_off AND is_judged(sequence_template_id, status)
ORDER BY sends DESC, sequence_id
"""

_UNUSUAL = """
WITH recent AS (
    SELECT max(day) FILTER (is_known) - 7 AS after_day FROM landed_days
), unusual AS (
    SELECT
        sequence_template_id, true AS is_week, week_start AS day, total_sent AS sent, sent_usual AS usual,
        abs(total_sent - sent_usual) / threshold AS size
    FROM engagement.sequence_volumes
    WHERE volume_signal IN ('up', 'down') AND week_start = (SELECT max(week_start) FROM engagement.sequence_volumes)
    UNION ALL
    SELECT sequence_template_id, false, day, total_sent, sent_expected, 0
    FROM engagement.sequence_daily JOIN recent ON day > after_day
    WHERE is_volume_anomaly
    UNION ALL
    SELECT NULL, false, day, total_sent, sent_expected, 0
    FROM engagement.workspace_daily JOIN recent ON day > after_day
    WHERE is_volume_anomaly
)
SELECT sequence_template_id::VARCHAR AS sequence_id, is_week, day, sent, round(usual)::BIGINT AS usual, size
FROM unusual
ORDER BY sequence_id IS NOT NULL, is_week DESC, size DESC, day, sequence_id
"""

_COMPARED = """
SELECT
    sequence_template_id::VARCHAR AS sequence_id,
    signal,
    current_rate AS rate,
    current_contacts AS contacts,
    baseline_rate AS previous_rate
FROM engagement.sequence_signals
WHERE scope = 'sequence' AND signal IS NOT NULL
ORDER BY abs(change_z) DESC, sequence_id
"""

_RECENT = """
SELECT
    date_trunc('week', day)::DATE AS week_start,
    count(DISTINCT day) AS days,
    sum(total_sent)::BIGINT AS sent,
    sum(unique_touched)::BIGINT AS touched,
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
        max(day) FILTER (is_known) AS last_known_day,
        coalesce(max(day) - min(day) + 1 - count(*), 0) AS days_missing,
        coalesce(list(day ORDER BY day DESC) FILTER (NOT proved), []) AS unproved,
        coalesce(sum(rejects), 0)::BIGINT AS unreadable
    FROM landed_days
), known AS (
    SELECT
        (any_value(as_of) AT TIME ZONE $timezone)::DATE - 1 AS as_of,
        coalesce(max(cohort_days_left_out), 0) AS cohort_days_left_out,
        coalesce(sum(runs), 0)::BIGINT AS runs,
        coalesce(sum(runs_left_censored), 0)::BIGINT AS left_censored,
        coalesce(sum(runs_start_uncertain), 0)::BIGINT AS start_uncertain,
        coalesce(sum(total_sent + total_invitations) FILTER (sequence_template_id IS NULL), 0)::BIGINT
            AS touches_without_sequence
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
    """The quality of the data.

    Attributes:
        first_day: The first landed day. None if no day has landed.
        last_day: The last landed day.
        last_known_day: The last day that was read after it ended and proved complete.
        days_missing: Days between the first and the last that have not landed.
        unproved: Landed days not proved complete, newest first.
        unreadable: Rows of the landed days that could not be read.
        as_of: The last day that the rates cover.
        cohort_days_left_out: Days whose contacts are in no rate, because a day in their outcome windows is unknown.
        runs: All sequence runs.
        left_censored: Runs that may have begun before the first landed day.
        start_uncertain: Runs that may have started on an unknown day.
        touches_without_sequence: Messages and invitations of no known sequence.
        pending: Replies that Topo has not classified.
        replies: All replies.
    """

    first_day: date | None
    last_day: date | None
    last_known_day: date | None
    days_missing: int
    unproved: list[date]
    unreadable: int
    as_of: date | None
    cohort_days_left_out: int
    runs: int
    left_censored: int
    start_uncertain: int
    touches_without_sequence: int
    pending: int
    replies: int


def silent(connection: "DuckDBPyConnection") -> "pd.DataFrame":
    """Return silent sequences: sequence_id, waiting (runs), last_day (of a touch)."""
    return frame(connection, _SILENT)


def tracking_off(connection: "DuckDBPyConnection") -> "pd.DataFrame":
    """Return active sequences whose email tracking is off: sequence_id, sends (emails in 28 days)."""
    macros.define(connection)
    return frame(connection, _TRACKING_OFF)


def unusual_volumes(connection: "DuckDBPyConnection") -> "pd.DataFrame":
    """Return the unusual volumes of the last complete week and of the last seven known days.

    Returns:
        sequence_id (None is the whole workspace), is_week, day (the Monday of a week), sent, usual (messages), size.
    """
    return frame(connection, _UNUSUAL)


def compared_sequences(connection: "DuckDBPyConnection") -> "pd.DataFrame":
    """Return the active sequences whose last four weeks can be compared with the eight weeks before.

    Returns:
        sequence_id, signal (up, down, no_clear_change), rate and contacts of the last four weeks, previous_rate.
    """
    return frame(connection, _COMPARED)


def recent_weeks(connection: "DuckDBPyConnection") -> "pd.DataFrame":
    """Return the last two calendar weeks that are over, newest first.

    Returns:
        week_start, days (that have landed), sent, touched, replies, meetings.
    """
    return frame(connection, _RECENT)


def quality(connection: "DuckDBPyConnection", timezone: str) -> Quality:
    """Return the quality of the data. `timezone` is the reporting time zone (IANA name)."""
    asked = connection.execute(_QUALITY, {"timezone": timezone})
    names = [column[0] for column in asked.description]
    [row] = asked.fetchall()
    return Quality(**dict(zip(names, row, strict=True)))
