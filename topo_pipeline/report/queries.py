"""What the report shows, asked of the engagement tables: small frames, each for a chart or a part of the page.

Rates of several sequences are those of summed numerators and denominators. A connection is one of `Warehouse`, which
knows `landed_days`. Counts are whole numbers, shares between 0 and 1, days without a time; what is not known is NaN.
"""

from typing import TYPE_CHECKING, Any

from topo_pipeline.engagement import macros
from topo_pipeline.engagement.rules import Rules
from topo_pipeline.warehouse.catalogue import tables_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    import pandas as pd
    from duckdb import DuckDBPyConnection

# Every table that the report asks, as schema and name; landed_days is of the first.
READS = (
    ("topo", "activities"),
    *(
        ("engagement", f"sequence_{of}")
        for of in ("activity", "runs", "daily", "cohorts", "summary", "trends", "channels", "steps")
    ),
)
DAYS_SHOWN = 366

_DAILY = """
WITH counted AS (
    SELECT day, sum(total_sent)::BIGINT AS sent, sum(total_valid_replies)::BIGINT AS replies,
        sum(total_meetings)::BIGINT AS meetings
    FROM engagement.sequence_activity
    GROUP BY day
)
SELECT
    calendar.day,
    CASE WHEN landed_days.day IS NOT NULL THEN coalesce(sent, 0) END AS sent,
    CASE WHEN landed_days.day IS NOT NULL THEN coalesce(replies, 0) END AS replies,
    CASE WHEN landed_days.day IS NOT NULL THEN coalesce(meetings, 0) END AS meetings,
    landed_days.day IS NOT NULL AS is_landed
FROM (
    SELECT unnest(generate_series(greatest(min(day), max(day) - $days_shown::INTEGER + 1), max(day), INTERVAL 1 DAY))
        ::DATE AS day
    FROM landed_days
) AS calendar
LEFT JOIN landed_days USING (day)
LEFT JOIN counted USING (day)
ORDER BY calendar.day
"""

# sequence_trends knows which weeks have closed; the cohorts' counts add up over sequences.
_WEEKS = """
WITH weeks AS (
    SELECT
        date_trunc('week', cohort_day)::DATE AS week_start,
        sum(members)::BIGINT AS members,
        bool_and(is_mature) AS is_mature,
        sum(reply_rate_den)::BIGINT AS den,
        sum(reply_rate_num)::BIGINT AS reply_rate,
        sum(positive_reply_rate_num)::BIGINT AS positive_reply_rate,
        sum(meeting_rate_num)::BIGINT AS meeting_rate
    FROM engagement.sequence_cohorts
    WHERE axis = 'sent'
        AND date_trunc('week', cohort_day)::DATE IN (SELECT week_start FROM engagement.sequence_trends)
    GROUP BY ALL
), outcomes AS (
    UNPIVOT weeks ON reply_rate, positive_reply_rate, meeting_rate INTO NAME outcome VALUE num
), followed AS (
    SELECT
        *,
        lag(week_start) OVER by_week = week_start - 7 AS is_followed,
        CASE WHEN is_followed THEN lag(num) OVER by_week END AS previous_num,
        CASE WHEN is_followed THEN lag(den) OVER by_week END AS previous_den,
        is_mature AND lag(is_mature) OVER by_week AS are_mature
    FROM outcomes
    WINDOW by_week AS (PARTITION BY outcome ORDER BY week_start)
)
SELECT
    outcome,
    week_start,
    members,
    is_mature,
    num,
    den,
    rate(num, den) AS rate,
    wilson_low(num, den) AS low,
    wilson_high(num, den) AS high,
    evidence(num, den, $evidence_small, $evidence_usable, $evidence_events) AS evidence,
    previous_num,
    previous_den,
    rate(previous_num, previous_den) AS previous_rate,
    coalesce(are_mature AND least(den, previous_den) >= $evidence_small, false) AS is_comparable,
    rate - previous_rate AS change,
    newcombe_low(num, den, previous_num, previous_den) AS change_low,
    newcombe_high(num, den, previous_num, previous_den) AS change_high
FROM followed
ORDER BY outcome, week_start
"""

# Over the very runs of the cohorts' reply_rate_den: its last point is their reply rate.
_CURVE = """
WITH closed AS (
    SELECT hours_to_first_reply
    FROM engagement.sequence_runs
    CROSS JOIN (SELECT any_value(as_of) - to_days($reply_window_days::INTEGER) AS closed_until
        FROM engagement.sequence_summary)
    WHERE NOT left_censored AND contacted_at <= closed_until
), replies AS (
    SELECT ceil(hours_to_first_reply / 24)::BIGINT AS days, count(*) AS of_day
    FROM closed
    WHERE hours_to_first_reply BETWEEN 0 AND 24 * $reply_window_days
    GROUP BY ALL
)
SELECT
    days,
    (sum(coalesce(of_day, 0)) OVER (ORDER BY days))::BIGINT AS replied,
    replied / contacted AS share,
    contacted
FROM range($reply_window_days::BIGINT + 1) AS every(days)
LEFT JOIN replies USING (days)
CROSS JOIN (SELECT count(*) AS contacted FROM closed)
WHERE contacted > 0
ORDER BY days
"""

_CHANNEL_NAMES = {"EMAIL": "Email", "LINKEDIN": "LinkedIn", "MANUAL": "Manual", "OTHER": "Other", "NONE": "Not known"}

_CHANNELS = """
WITH summed AS (
    SELECT
        channel,
        sum(sends)::BIGINT AS sends,
        sum(invitations)::BIGINT AS invitations,
        sum(reply_rate_num)::BIGINT AS replied,
        sum(reply_rate_den)::BIGINT AS eligible,
        sum(invitation_acceptance_rate_num)::BIGINT AS accepted,
        sum(invitation_acceptance_rate_den)::BIGINT AS invited,
        sum(open_tasks)::BIGINT AS open_tasks
    FROM engagement.sequence_channels
    WHERE period = 'lifetime'
    GROUP BY channel
)
SELECT
    channel,
    sends,
    invitations,
    sends + invitations AS touches,
    (sends + invitations) / sum(sends + invitations) OVER () AS share,
    replied AS num,
    eligible AS den,
    rate(replied, eligible) AS rate,
    wilson_low(replied, eligible) AS low,
    wilson_high(replied, eligible) AS high,
    accepted,
    invited,
    rate(accepted, invited) AS acceptance,
    open_tasks
FROM summed
WHERE sends + invitations + open_tasks > 0
ORDER BY touches DESC, channel
"""

# runs_reached may fall short of those that ended here: a run that came again to a step counts once there.
_STEPS = """
SELECT
    sequence_template_id::VARCHAR AS sequence_id,
    coalesce('Step ' || step, 'Send ' || inferred_position) AS label,
    channel,
    runs_reached,
    greatest(0, runs_reached - exits_replied - exits_completed - exits_stopped - exits_active) AS went_on,
    exits_replied,
    exits_completed,
    exits_stopped,
    exits_active,
    step_reply_rate AS rate,
    step_reply_rate_low AS low,
    step_reply_rate_high AS high,
    step_reply_rate_den AS den
FROM engagement.sequence_steps
WHERE runs_reached > 0
ORDER BY sequence_id, coalesce(step, inferred_position), step IS NULL, channel
"""

_STAGES = {
    "unique_found": "Enrolled",
    "unique_sent": "Contacted",
    "unique_valid_replies": "Replied",
    "unique_positive_replies": "Positive reply",
    "unique_meetings": "Meeting",
}

_SEQUENCES = """
SELECT
    sequence_template_id::VARCHAR AS sequence_id,
    sequence_name AS name,
    status,
    reply_rank AS rank,
    COLUMNS('^unique_(found|sent|valid_replies|positive_replies|meetings)$'),
    total_sent,
    runs_active,
    reply_rate_num AS num,
    reply_rate_den AS den,
    reply_rate AS rate,
    reply_rate_low AS low,
    reply_rate_high AS high,
    reply_rate_evidence AS evidence,
    positive_reply_rate AS positive_rate,
    meeting_rate,
    is_silent
FROM engagement.sequence_summary
WHERE period = 'lifetime'
ORDER BY reply_rank NULLS LAST, unique_sent DESC, sequence_name, sequence_id
"""


def missing_tables(connection: "DuckDBPyConnection") -> list[str]:
    """The tables of `READS` that were never built."""
    there = tables_of(connection)
    return [f"{schema}.{name}" for schema, name in READS if (schema, name) not in there]


def daily(connection: "DuckDBPyConnection") -> "pd.DataFrame":
    """One row a day of the last year: day, sent, replies (valid), meetings, is_landed; for `charts.daily_activity`."""
    return frame(connection, _DAILY, days_shown=DAYS_SHOWN)


def weekly_rates(connection: "DuckDBPyConnection", rules: Rules) -> "pd.DataFrame":
    """One row an outcome and week whose windows have closed, with its change from the week before.

    Returns:
        outcome (reply_rate, positive_reply_rate, meeting_rate), week_start, members, is_mature, num, den, rate, low,
        high, evidence; previous_num, previous_den, previous_rate, change, change_low, change_high (NaN without a week
        before), is_comparable (no day missing, enough runs in both).
    """
    macros.define(connection)
    return frame(connection, _WEEKS, **_lines(rules))


def weekly_reply_rate(connection: "DuckDBPyConnection", rules: Rules) -> "pd.DataFrame":
    """Of `weekly_rates` the reply rate's rows; for `charts.weekly_reply_rate`."""
    return of_outcome(weekly_rates(connection, rules), "reply_rate")


def of_outcome(weeks: "pd.DataFrame", outcome: str) -> "pd.DataFrame":
    """The weeks of one outcome, the oldest first."""
    return weeks[weeks["outcome"] == outcome].reset_index(drop=True)


def reply_curve(connection: "DuckDBPyConnection", rules: Rules) -> "pd.DataFrame":
    """Replies so many days after the first message; no row where no window has closed; for `charts.time_to_reply`.

    Returns:
        days (0 to the window), replied and share (both cumulative), contacted (the runs that the share is of).
    """
    return frame(connection, _CURVE, reply_window_days=rules.reply_window_days)


def channels(connection: "DuckDBPyConnection") -> "pd.DataFrame":
    """One row a channel, over all sequences and days; for `charts.channel_split`.

    Returns:
        channel (its label), sends, invitations, touches (both), share (of all touches); num, den, rate, low,
        high (messages answered); accepted, invited, acceptance (NaN but on LinkedIn); open_tasks.
    """
    macros.define(connection)
    found = frame(connection, _CHANNELS)
    return found.assign(channel=[channel_name(name) for name in found["channel"]])


def steps(connection: "DuckDBPyConnection") -> "pd.DataFrame":
    """One row a sequence and step that a run got to; those of one sequence are for `charts.step_drop_off`.

    Returns:
        sequence_id, step (its label), runs_reached, went_on, exits_replied, exits_completed, exits_stopped,
        exits_active; rate, low, high, den (runs that replied to it, of those that had not before).
    """
    found = frame(connection, _STEPS)
    labels = zip(found["label"], found["channel"], strict=True)
    found.insert(1, "step", [f"{label} · {channel_name(channel)}" for label, channel in labels])
    return found.drop(columns=["label", "channel"])


def sequences(connection: "DuckDBPyConnection") -> "pd.DataFrame":
    """One row a sequence, best first by the lower bound of its reply rate.

    Returns:
        sequence_id, name (either may be None), status, rank; unique_found, unique_sent, unique_valid_replies,
        unique_positive_replies, unique_meetings (runs), total_sent, runs_active; of the reply rate num, den, rate, low,
        high and evidence; positive_rate, meeting_rate, is_silent.
    """
    return frame(connection, _SEQUENCES)


def funnel(board: "pd.DataFrame") -> "pd.DataFrame":
    """How far the runs of these rows of `sequences` came; for `charts.funnel`.

    Returns:
        stage (its label), runs, share (of those contacted, of the stages after that; NaN where nobody was).
    """
    import pandas as pd  # noqa: PLC0415 - definitions load without it

    return pd.DataFrame(stages({column: int(board[column].sum()) for column in _STAGES}))


def stages(counts: "Mapping[str, Any]") -> list[dict[str, Any]]:
    """The rows of `funnel`, of the counts of one row of `sequences`; what is not known is None."""
    contacted = counts["unique_sent"]
    return [
        {"stage": stage, "runs": counts[column], "share": counts[column] / contacted if nth > 1 and contacted else None}
        for nth, (column, stage) in enumerate(_STAGES.items())
    ]


def channel_name(channel: str) -> str:
    """A channel as people write it."""
    return _CHANNEL_NAMES.get(channel, channel)


def _lines(rules: Rules) -> dict[str, int]:
    return {name: getattr(rules, name) for name in ("evidence_small", "evidence_usable", "evidence_events")}


def frame(connection: "DuckDBPyConnection", sql: str, **values: Any) -> "pd.DataFrame":
    """The rows of a statement with these values; a text that is NULL is None."""
    found = connection.execute(sql, values).df()
    texts = [column for column, kind in found.dtypes.items() if kind in ("object", "str")]
    return found.assign(**{str(name): found[name].astype(object).where(found[name].notna(), None) for name in texts})
