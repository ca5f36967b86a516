"""What the preview of each metric table shows: its rows, its columns and its numbers."""

from collections.abc import Mapping
from dataclasses import dataclass

from topo_pipeline.engagement.leaderboard import NAME, RANKED
from topo_pipeline.report.queries import CHANNEL

_ACTIVITY = """
SELECT day, sum(total_sent)::BIGINT AS sent, sum(total_valid_replies)::BIGINT AS replies,
    sum(total_positive_replies)::BIGINT AS positive, sum(total_meetings)::BIGINT AS meetings
FROM engagement.sequence_activity
WHERE day > (SELECT max(day) - 90 FROM engagement.sequence_activity)
GROUP BY day
ORDER BY day
"""
_RUNS = """
WITH counted AS (
    SELECT count(*) AS all_runs, count(enrolled_at) AS enrolled, count(touched_at) AS touched,
        count(first_valid_reply_at) AS replied, count(first_positive_reply_at) AS positive, count(meeting_at) AS met
    FROM engagement.sequence_runs
    WHERE NOT left_censored
)
SELECT stage, runs, CASE WHEN nth > 2 AND touched > 0 THEN runs / touched END AS share
FROM counted, LATERAL (
    VALUES (1, 'Enrolled', enrolled), (2, 'Messaged or invited', touched), (3, 'Replied', replied),
        (4, 'Positive reply', positive), (5, 'Meeting', met)
) AS stages(nth, stage, runs)
WHERE all_runs > 0
ORDER BY nth
"""
_DAILY = """
SELECT day, sum(active_runs)::BIGINT AS active, sum(unique_touched)::BIGINT AS touched,
    sum(unique_valid_replies)::BIGINT AS replied, sum(unique_meetings)::BIGINT AS met,
    count(*) FILTER (is_volume_anomaly) AS unusual
FROM engagement.sequence_daily
WHERE day > (SELECT max(day) - 90 FROM engagement.sequence_daily)
GROUP BY day
ORDER BY day
"""
_COHORTS = """
SELECT date_trunc('week', cohort_day)::DATE AS week_start, if(bool_and(is_mature), 'all', 'not all') AS days_known,
    coalesce(sum(reply_rate_num) FILTER (days_unknown = 0), 0)::BIGINT AS num,
    coalesce(sum(reply_rate_den) FILTER (days_unknown = 0), 0)::BIGINT AS den,
    rate(num, den) AS rate, wilson_low(num, den) AS low, wilson_high(num, den) AS high,
    evidence(num, den, $evidence_small, $evidence_usable, $evidence_events) AS evidence
FROM engagement.sequence_cohorts
WHERE axis = 'touched'
GROUP BY week_start
HAVING bool_and(maturity = 1)
ORDER BY week_start
"""
_SIGNALS = """
SELECT coalesce(templates.name, sequence_template_id::VARCHAR, '(no sequence)') AS name, early_contacts AS contacts,
    early_rate AS rate, early_rate_low AS low, early_rate_high AS high,
    coalesce(replace(signal, '_', ' '), signal_reason) AS signal
FROM engagement.sequence_signals
LEFT JOIN topo.sequence_templates AS templates ON templates.id = sequence_template_id
WHERE scope = 'sequence'
ORDER BY coalesce(sequence_signals.signal IN ('up', 'down'), false) DESC, abs(change_z) DESC NULLS LAST, contacts DESC,
    templates.name, sequence_template_id
"""
_STEPS = f"""
SELECT coalesce('Step ' || built.step, 'Send ' || inferred_position) || ' · ' || {CHANNEL} AS step,
    sum(runs_reached)::BIGINT AS runs_reached,
    greatest(0, sum(runs_reached - exits_replied - exits_completed - exits_stopped - exits_active))::BIGINT AS went_on,
    sum(step_reply_rate_num)::BIGINT AS num, sum(step_reply_rate_den)::BIGINT AS den,
    rate(num, den) AS rate, wilson_low(num, den) AS low, wilson_high(num, den) AS high
FROM engagement.sequence_steps AS built
WHERE built.runs_reached > 0
GROUP BY built.step, inferred_position, channel
ORDER BY coalesce(built.step, inferred_position), built.step IS NULL, channel
"""  # noqa: S608 - our own names
_VOLUMES = """
SELECT week_start, total_sent AS sent, format('{:,}', round(sent_usual)::BIGINT) AS usual,
    coalesce(replace(volume_signal, '_', ' '), not_judged) AS judgement,
    (
        SELECT count(*) FROM engagement.sequence_volumes AS of_sequence
        WHERE scope = 'sequence' AND volume_signal IN ('up', 'down') AND of_sequence.week_start = weeks.week_start
    ) AS unusual
FROM engagement.sequence_volumes AS weeks
WHERE scope = 'workspace' AND week_start > (SELECT max(week_start) - 182 FROM engagement.sequence_volumes)
ORDER BY week_start
"""
_WORKSPACE_DAYS = """
SELECT day, total_sent AS sent, total_valid_replies AS replies, total_meetings AS meetings
FROM engagement.workspace_daily
WHERE day > (SELECT max(day) - 90 FROM engagement.workspace_daily)
ORDER BY day
"""
_WORKSPACE_WEEKS = """
SELECT week_start, if(is_mature, 'all', 'not all') AS days_known, reply_rate_num AS num,
    reply_rate_den AS den, reply_rate AS rate, reply_rate_low AS low, reply_rate_high AS high,
    reply_rate_evidence AS evidence
FROM engagement.workspace_weekly
WHERE windows_closed AND members > 0
ORDER BY week_start
"""
_SUMMARY = f"""
SELECT
    sequence_template_id::VARCHAR AS sequence_id, {NAME} AS name, unique_touched, reply_rate AS rate,
    reply_rate_low AS low, reply_rate_high AS high, reply_rate_evidence AS evidence
{RANKED}
"""
_CHANNELS = f"""
SELECT
    {CHANNEL} AS channel, sum(sends + invitations)::BIGINT AS touches,
    sum(sends + invitations) / nullif(sum(sum(sends + invitations)) OVER (), 0) AS share,
    rate(sum(reply_rate_num), sum(reply_rate_den)) AS rate,
    wilson_low(sum(reply_rate_num), sum(reply_rate_den)) AS low,
    wilson_high(sum(reply_rate_num), sum(reply_rate_den)) AS high, sum(open_tasks)::BIGINT AS open_tasks
FROM engagement.sequence_channels
WHERE period = 'lifetime'
GROUP BY sequence_channels.channel
HAVING sum(sends + invitations + open_tasks) > 0
ORDER BY touches DESC, sequence_channels.channel
"""  # noqa: S608 - our own names


@dataclass(frozen=True)
class Look:
    """The definition of a table's preview.

    Attributes:
        rows: A query for the rows, of which the preview shows the first few.
        columns: Columns of the preview by heading. `rate` is shown with its bounds.
        numbers: A query for one row, whose columns are numbers to plot. For a daily table, one row per day with its day
            in the first column.
        newest_first: Whether the preview shows the last rows, in reverse order.
    """

    rows: str
    columns: Mapping[str, str]
    numbers: str
    newest_first: bool = False


LOOKS = {
    "sequence_activity": Look(
        _ACTIVITY,
        {"day": "day", "messages": "sent", "replies": "replies", "positive": "positive", "meetings": "meetings"},
        """
        SELECT day, coalesce(sum(total_sent), 0)::BIGINT AS messages, coalesce(sum(total_replies), 0)::BIGINT AS replies
        FROM (SELECT unnest($days::DATE[]) AS day)
        LEFT JOIN engagement.sequence_activity USING (day)
        GROUP BY day
        """,
        newest_first=True,
    ),
    "sequence_runs": Look(
        _RUNS,
        {"stage": "stage", "runs": "runs", "of messaged or invited": "share"},
        """
        SELECT count(touched_at) AS contacts, count(first_valid_reply_at) AS replied,
            count(*) FILTER (exit_reason = 'active') AS active, count(*) FILTER (left_censored) AS left_censored
        FROM engagement.sequence_runs
        """,
    ),
    "sequence_daily": Look(
        _DAILY,
        {"day": "day", "active": "active", "new contacts": "touched", "replied": "replied", "meetings": "met",
         "unusual volumes": "unusual"},
        """
        SELECT count(DISTINCT day) AS days, count(*) FILTER (is_volume_anomaly) AS unusual_volumes
        FROM engagement.sequence_daily
        """,
        newest_first=True,
    ),
    "sequence_cohorts": Look(
        _COHORTS,
        {"week of": "week_start", "counted": "den", "replied": "num", "reply rate": "rate", "evidence": "evidence",
         "days known": "days_known"},
        """
        SELECT sum(reply_rate_den)::BIGINT AS matured_runs,
            100 * rate(sum(reply_rate_num), sum(reply_rate_den)) AS reply_rate_percent
        FROM engagement.sequence_cohorts
        WHERE axis = 'touched' AND days_unknown = 0
        """,
        newest_first=True,
    ),
    "sequence_summary": Look(
        _SUMMARY,
        {"sequence": "name", "contacts": "unique_touched", "reply rate": "rate", "evidence": "evidence"},
        """
        SELECT count(*) AS sequences, count(*) FILTER (is_silent) AS silent_sequences, max(days_unknown) AS days_unknown
        FROM engagement.sequence_summary
        WHERE period = 'lifetime'
        """,
    ),
    "sequence_signals": Look(
        _SIGNALS,
        {"sequence": "name", "contacts": "contacts", "early read": "rate", "signal": "signal"},
        """
        SELECT count(*) FILTER (signal = 'up') AS up, count(*) FILTER (signal = 'down') AS down,
            max(comparable_sequences) AS comparable
        FROM engagement.sequence_signals
        WHERE scope = 'sequence'
        """,
    ),
    "sequence_channels": Look(
        _CHANNELS,
        {"channel": "channel", "sent": "touches", "share": "share", "answered": "rate", "open tasks": "open_tasks"},
        """
        SELECT sum(open_tasks)::BIGINT AS open_tasks, count(*) FILTER (tracking_off) AS tracking_off
        FROM engagement.sequence_channels
        WHERE period = 'lifetime'
        """,
    ),
    "sequence_steps": Look(
        _STEPS,
        {"step": "step", "runs": "runs_reached", "went on": "went_on", "answered": "rate"},
        """
        SELECT 100 * rate(
            coalesce(sum(sends) FILTER (step IS NOT NULL), 0), sum(sends)) AS sends_with_known_step_percent
        FROM engagement.sequence_steps
        """,
    ),
    "sequence_volumes": Look(
        _VOLUMES,
        {"week of": "week_start", "messages": "sent", "usually": "usual", "all sequences": "judgement",
         "unusual sequences": "unusual"},
        """
        SELECT count(*) FILTER (volume_signal = 'up') AS up, count(*) FILTER (volume_signal = 'down') AS down
        FROM engagement.sequence_volumes
        WHERE week_start = (SELECT max(week_start) FROM engagement.sequence_volumes) AND scope = 'sequence'
        """,
        newest_first=True,
    ),
    "workspace_daily": Look(
        _WORKSPACE_DAYS,
        {"day": "day", "messages": "sent", "replies": "replies", "meetings": "meetings"},
        """
        SELECT count(*) AS days, count(*) FILTER (NOT is_known) AS days_not_known
        FROM engagement.workspace_daily
        """,
        newest_first=True,
    ),
    "workspace_weekly": Look(
        _WORKSPACE_WEEKS,
        {"week of": "week_start", "counted": "den", "replied": "num", "reply rate": "rate", "evidence": "evidence",
         "days known": "days_known"},
        """
        SELECT count(*) AS weeks, count(*) FILTER (is_mature) AS mature_weeks
        FROM engagement.workspace_weekly
        """,
        newest_first=True,
    ),
}  # fmt: skip
