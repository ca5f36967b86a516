"""What the report reads from the engagement tables, as one frame for each chart or part of the page.

A rate over several sequences is the sum of their numerators over the sum of their denominators. Counts are whole
numbers, shares are between 0 and 1, days have no time of day, and unknown values are NaN. `records` turns a frame into
rows with None for unknown values. The connection must come from `Warehouse`, which defines `landed_days`.
"""

from typing import TYPE_CHECKING, Any

from topo_pipeline.engagement import macros
from topo_pipeline.engagement.leaderboard import NAME, RANKED
from topo_pipeline.engagement.rules import Rules
from topo_pipeline.warehouse.catalogue import tables_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    import pandas as pd
    from duckdb import DuckDBPyConnection

# Every table that the report reads, as schema and name. `landed_days` belongs to the first.
READS = (
    ("topo", "activities"),
    *(
        ("engagement", f"sequence_{of}")
        for of in ("activity", "runs", "daily", "cohorts", "summary", "signals", "channels", "steps")
    ),
    ("engagement", "workspace_weekly"),
)
DAYS_SHOWN = 366

_DAILY = """
SELECT
    calendar.day,
    landed_days.day IS NOT NULL AS is_landed,
    CASE WHEN is_landed THEN coalesce(sent, 0) END AS sent,
    CASE WHEN is_landed THEN coalesce(replies, 0) END AS replies,
    CASE WHEN is_landed THEN coalesce(meetings, 0) END AS meetings
FROM (
    SELECT unnest(generate_series(greatest(min(day), max(day) - $days_shown::INTEGER + 1), max(day), INTERVAL 1 DAY))
        ::DATE AS day
    FROM landed_days
) AS calendar
LEFT JOIN landed_days USING (day)
LEFT JOIN (
    SELECT day, sum(total_sent)::BIGINT AS sent, sum(total_valid_replies)::BIGINT AS replies,
        sum(total_meetings)::BIGINT AS meetings
    FROM engagement.sequence_activity
    GROUP BY day
) USING (day)
ORDER BY calendar.day
"""

# Weeks with a reply rate whose outcome windows have all closed.
CLOSED_WEEKS = """
FROM engagement.workspace_weekly
WHERE reply_rate_den > 0 AND week_start + 6 <= (SELECT max(rate_period_end) FROM engagement.sequence_summary)
"""

_WEEKS = f"""
WITH weeks AS (
    SELECT week_start, members, is_mature, reply_rate_den AS den, reply_rate_num AS reply_rate,
        positive_reply_rate_num AS positive_reply_rate, meeting_rate_num AS meeting_rate
    {CLOSED_WEEKS}
), compared AS (
    SELECT
        *,
        lag(week_start) OVER by_week = week_start - 7 AS has_previous,
        CASE WHEN has_previous THEN lag(num) OVER by_week END AS previous_num,
        CASE WHEN has_previous THEN lag(den) OVER by_week END AS previous_den,
        is_mature AND lag(is_mature) OVER by_week AS are_mature
    FROM (UNPIVOT weeks ON reply_rate, positive_reply_rate, meeting_rate INTO NAME outcome VALUE num)
    WINDOW by_week AS (PARTITION BY outcome ORDER BY week_start)
)
SELECT
    outcome, week_start, members, is_mature, num, den,
    rate(num, den) AS rate, wilson_low(num, den) AS low, wilson_high(num, den) AS high,
    evidence(num, den, $evidence_small, $evidence_usable, $evidence_events) AS evidence,
    previous_den,
    rate(previous_num, previous_den) AS previous_rate,
    coalesce(are_mature AND least(den, previous_den) >= $evidence_small, false) AS is_comparable,
    rate - previous_rate AS change,
    newcombe_low(num, den, previous_num, previous_den) AS change_low,
    newcombe_high(num, den, previous_num, previous_den) AS change_high
FROM compared
ORDER BY outcome, week_start
"""  # noqa: S608 - our own names

# Over the runs in the summary's reply_rate_den, so the last point is their reply rate.
_CURVE = """
WITH closed AS (
    SELECT hours_to_first_reply
    FROM engagement.sequence_runs AS runs
    CROSS JOIN (SELECT any_value(as_of) - to_days($reply_window_days::INTEGER) AS closed_until
        FROM engagement.sequence_summary)
    SEMI JOIN (FROM engagement.sequence_cohorts WHERE axis = 'touched' AND days_unknown = 0) AS cohorts
        ON cohort_day = (touched_at AT TIME ZONE $timezone)::DATE
        AND cohorts.sequence_template_id IS NOT DISTINCT FROM runs.sequence_template_id
    WHERE NOT left_censored AND NOT start_uncertain AND touched_at <= closed_until
), replies AS (
    SELECT ceil(hours_to_first_reply / 24)::BIGINT AS days, count(*) AS of_day
    FROM closed
    WHERE hours_to_first_reply BETWEEN 0 AND 24 * $reply_window_days
    GROUP BY ALL
)
SELECT
    days, (sum(coalesce(of_day, 0)) OVER (ORDER BY days))::BIGINT AS replied, replied / touched AS share, touched
FROM range($reply_window_days::BIGINT + 1) AS every(days)
LEFT JOIN replies USING (days)
CROSS JOIN (SELECT count(*) AS touched FROM closed)
WHERE touched > 0
ORDER BY days
"""

CHANNEL = (
    "CASE channel WHEN 'LINKEDIN' THEN 'LinkedIn' WHEN 'NONE' THEN 'Not known'"
    " ELSE channel[1] || lower(channel[2:]) END"
)

CHANNELS = f"""
SELECT
    {CHANNEL} AS channel, sends, invitations, sends + invitations AS touches,
    touches / sum(touches) OVER () AS share,
    rate(num, den) AS rate, wilson_low(num, den) AS low, wilson_high(num, den) AS high,
    rate(accepted, invited) AS acceptance, open_tasks
FROM (
    SELECT channel, sum(sends)::BIGINT AS sends, sum(invitations)::BIGINT AS invitations,
        sum(reply_rate_num)::BIGINT AS num, sum(reply_rate_den)::BIGINT AS den,
        sum(invitation_acceptance_rate_num)::BIGINT AS accepted,
        sum(invitation_acceptance_rate_den)::BIGINT AS invited, sum(open_tasks)::BIGINT AS open_tasks
    FROM engagement.sequence_channels
    WHERE period = 'lifetime'
    GROUP BY channel
) AS summed
WHERE sends + invitations + open_tasks > 0
ORDER BY touches DESC, summed.channel
"""  # noqa: S608 - our own names

# A run that comes to a step again counts once in runs_reached, so more runs may end there than are in it.
_STEPS = f"""
SELECT
    sequence_template_id::VARCHAR AS sequence_id,
    coalesce('Step ' || built.step, 'Send ' || inferred_position) || ' · ' || {CHANNEL} AS step,
    runs_reached,
    greatest(0, runs_reached - exits_replied - exits_completed - exits_stopped - exits_active) AS went_on,
    exits_replied, exits_completed, exits_stopped, exits_active,
    step_reply_rate AS rate
FROM engagement.sequence_steps AS built
WHERE runs_reached > 0
ORDER BY sequence_id, coalesce(built.step, inferred_position), built.step IS NULL, channel
"""  # noqa: S608 - our own names

_STAGES = {
    "unique_found": "Enrolled",
    "unique_touched": "Messaged or invited",
    "unique_valid_replies": "Replied",
    "unique_positive_replies": "Positive reply",
    "unique_meetings": "Meeting",
}

# Ranked among the sequences that are listed. In the table, activities without a sequence can have a rank too.
SEQUENCES = f"""
SELECT
    sequence_template_id::VARCHAR AS sequence_id, {NAME} AS name, status,
    CASE WHEN reply_rank IS NOT NULL THEN rank() OVER (ORDER BY reply_rank) END AS rank,
    COLUMNS('^unique_(found|touched|sent|valid_replies|positive_replies|meetings)$'),
    runs_active, reply_rate_den AS den,
    reply_rate AS rate, reply_rate_low AS low, reply_rate_high AS high, reply_rate_evidence AS evidence,
    evidence IN ('usable', 'directional') AS is_highlighted,
    positive_reply_rate AS positive_rate, is_silent
{RANKED}
"""


def missing_tables(connection: "DuckDBPyConnection") -> list[str]:
    """Return the tables of `READS` that have not been built."""
    existing = tables_of(connection)
    return [f"{schema}.{name}" for schema, name in READS if (schema, name) not in existing]


def daily(connection: "DuckDBPyConnection") -> "pd.DataFrame":
    """Return one row per day of the last year: day, sent, replies (valid), meetings, is_landed."""
    return frame(connection, _DAILY, days_shown=DAYS_SHOWN)


def weekly_rates(connection: "DuckDBPyConnection", rules: Rules) -> "pd.DataFrame":
    """Return one row per outcome and closed week, with its change from the week before.

    Returns:
        outcome (reply_rate, positive_reply_rate, meeting_rate), week_start, members, is_mature, num, den, rate, low,
        high, evidence; previous_den, previous_rate, change, change_low, change_high (NaN without a week before),
        is_comparable (no day is unknown, and both weeks have enough runs).
    """
    macros.define(connection)
    thresholds = ("evidence_small", "evidence_usable", "evidence_events")
    return frame(connection, _WEEKS, **{name: getattr(rules, name) for name in thresholds})


def of_outcome(weeks: "pd.DataFrame", outcome: str) -> "pd.DataFrame":
    """Return the rows of one outcome, oldest first."""
    return weeks[weeks["outcome"] == outcome].reset_index(drop=True)


def reply_curve(connection: "DuckDBPyConnection", rules: Rules, timezone: str) -> "pd.DataFrame":
    """Return the replies by days since the first message or invitation. There is no row if no window has closed.

    Returns:
        days (0 to the window), replied and share (both cumulative), touched (the runs that share is of).
    """
    return frame(connection, _CURVE, reply_window_days=rules.reply_window_days, timezone=timezone)


def channels(connection: "DuckDBPyConnection") -> "pd.DataFrame":
    """Return one row per channel, over all sequences and days.

    Returns:
        channel (its label), sends, invitations, touches (both), share (of all touches), rate, low, high (messages with
        a reply), acceptance (NaN except for LinkedIn), open_tasks.
    """
    macros.define(connection)
    return frame(connection, CHANNELS)


def steps(connection: "DuckDBPyConnection") -> "pd.DataFrame":
    """Return one row per sequence and step that a run reached.

    Returns:
        sequence_id, step (its label), runs_reached, went_on, exits_replied, exits_completed, exits_stopped,
        exits_active, rate (runs that replied to the step, of those that had not replied before).
    """
    return frame(connection, _STEPS)


def sequences(connection: "DuckDBPyConnection") -> "pd.DataFrame":
    """Return one row per sequence, best first, those without a rank last.

    Returns:
        sequence_id, name (else the id), status, rank; unique_found, unique_touched, unique_sent, unique_valid_replies,
        unique_positive_replies, unique_meetings, runs_active (runs); den, rate, low, high and evidence of the reply
        rate; is_highlighted (whether the evidence is directional or better), positive_rate, is_silent.
    """
    return frame(connection, SEQUENCES)


def stages(counts: "Mapping[str, Any]") -> list[dict[str, Any]]:
    """Return the stages that the runs of one row of `sequences` reached.

    Returns:
        stage (its label), runs, share (of the runs with a message or invitation; None for the first two stages, or if
        there are none).
    """
    touched = counts["unique_touched"]
    return [
        {"stage": stage, "runs": counts[column], "share": counts[column] / touched if nth > 1 and touched else None}
        for nth, (column, stage) in enumerate(_STAGES.items())
    ]


def frame(connection: "DuckDBPyConnection", sql: str, **values: Any) -> "pd.DataFrame":
    """Return the rows of a statement with these parameters."""
    return connection.execute(sql, values).df()


def records(rows: "pd.DataFrame") -> list[dict[str, Any]]:
    """Return the rows of a frame. Unknown values are None, as JSON and Jinja need them."""
    found = rows.astype(object).where(rows.notna(), None).to_dict("records")
    return [{str(name): value for name, value in row.items()} for row in found]
