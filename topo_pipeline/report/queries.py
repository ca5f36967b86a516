"""What the report reads: every query, as rows with None for unknown values.

A rate over several rows is the sum of their numerators over the sum of their denominators. Shares are between 0 and 1.
The connection must come from `Warehouse`, which defines `landed_days`.
"""

from dataclasses import dataclass
from datetime import date
from typing import TYPE_CHECKING

from topo_pipeline.engagement import macros
from topo_pipeline.engagement.building import days_behind
from topo_pipeline.engagement.leaderboard import NAME, ORDER, RANKED
from topo_pipeline.engagement.rules import Rules
from topo_pipeline.warehouse.catalogue import tables_of
from topo_pipeline.warehouse.sql import Row, rows

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

# Every table that the report reads, as schema and name. `landed_days` belongs to the first.
READS = (
    ("topo", "activities"),
    *(
        ("engagement", f"sequence_{of}")
        for of in (
            "activity", "runs", "daily", "cohorts", "summary", "signals", "forecast", "channels", "steps", "timing",
            "trends", "volumes",
        )
    ),
    ("engagement", "workspace_daily"),
    ("engagement", "workspace_weekly"),
)  # fmt: skip
DAYS_SHOWN = 182
TREND_WEEKS = 13
QUIET_DAYS = 14  # without a new contact, these are a finding
PERIODS = {"28d": "28 days", "90d": "90 days", "lifetime": "All"}

DAILY = """
SELECT day::TIMESTAMP AS day, total_sent + total_invitations AS sent, total_valid_replies AS replies,
    total_meetings AS meetings, landed_days.day IS NOT NULL AS is_landed,
FROM (
    SELECT unnest(generate_series(greatest(min(day), max(day) - $days_shown::INTEGER + 1), max(day), INTERVAL 1 DAY))
        ::DATE AS day
    FROM landed_days
) AS calendar
LEFT JOIN landed_days USING (day)
LEFT JOIN engagement.workspace_daily USING (day)
ORDER BY calendar.day
"""

CHANNEL = (
    "CASE channel WHEN 'LINKEDIN' THEN 'LinkedIn' WHEN 'NONE' THEN 'Not known'"
    " ELSE channel[1] || lower(channel[2:]) END"
)
_OPENS = ("email_open_rate", "email_open_rate_adjusted", "email_click_rate")
_CHANNELS = f"""
SELECT
    sequence_template_id::VARCHAR AS sequence_id, {CHANNEL} AS channel, any_value(channel) AS code,
    sum(sends)::BIGINT AS sends, sum(invitations)::BIGINT AS invitations, sum(open_tasks)::BIGINT AS open_tasks,
    sum(reply_rate_num)::BIGINT AS num, sum(reply_rate_den)::BIGINT AS den,
    sum(invitation_acceptance_rate_num)::BIGINT AS accepted, sum(invitation_acceptance_rate_den)::BIGINT AS invited,
    {", ".join(f"sum({rate}_{end})::BIGINT AS {rate}_{end}" for rate in _OPENS for end in ("num", "den"))},
    coalesce(bool_or(tracking_off), false) AS tracking_off
FROM engagement.sequence_channels
WHERE period = 'lifetime'
GROUP BY GROUPING SETS ((channel), (sequence_template_id, channel))
HAVING sum(sends + invitations + open_tasks) > 0 AND (grouping(sequence_template_id) = 1 OR sequence_id IS NOT NULL)
ORDER BY grouping(sequence_template_id) DESC, sequence_id, sum(sends + invitations) DESC, sequence_channels.channel
"""  # noqa: S608 - our own names

# A run that comes to a step again counts once in runs_reached, so more runs may end there than are in it.
_STEPS = f"""
SELECT
    sequence_template_id::VARCHAR AS sequence_id,
    coalesce('Step ' || step, 'Send ' || inferred_position) AS step, {CHANNEL} AS channel,
    runs_reached, step_reply_rate_num AS num, step_reply_rate_den AS den, step_reply_rate AS rate,
    step_reply_rate_low AS low, step_reply_rate_high AS high, positive_replies, opt_outs, active_runs
FROM engagement.sequence_steps AS built
WHERE sequence_template_id IS NOT NULL AND runs_reached + coalesce(active_runs, 0) > 0
ORDER BY sequence_id, coalesce(built.step, inferred_position), built.step IS NULL, built.channel
"""  # noqa: S608 - our own names

# Over the channels: a cell has a rate only from `evidence_small` messages on.
_TIMING = """
SELECT sequence_template_id::VARCHAR AS sequence_id, weekday, hour, sum(sends)::BIGINT AS sends,
    sum(reply_rate_num)::BIGINT AS num, sum(reply_rate_den)::BIGINT AS den,
    CASE WHEN den >= $evidence_small THEN round(rate(num, den), 3) END AS rate
FROM engagement.sequence_timing
WHERE sequence_template_id IS NOT NULL
GROUP BY ALL
ORDER BY ALL
"""

# Four weeks at a time, and only if they have enough contacts, so that the line shows more than chance.
_TRENDS = f"""
SELECT sequence_template_id::VARCHAR AS sequence_id, newest, (newest - week_start) // 7 AS weeks_ago, rate
FROM (
    SELECT sequence_template_id, week_start, max(week_start) OVER () AS newest,
        sum(reply_rate_den) OVER recent AS den, rate(sum(reply_rate_num) OVER recent, den) AS rate
    FROM engagement.sequence_trends
    WHERE is_mature
    WINDOW recent AS (PARTITION BY sequence_template_id ORDER BY week_start
        RANGE BETWEEN INTERVAL 21 DAYS PRECEDING AND CURRENT ROW)
)
WHERE den >= greatest($evidence_small, 1) AND weeks_ago < {TREND_WEEKS} AND sequence_template_id IS NOT NULL
ORDER BY sequence_id, week_start
"""  # noqa: S608 - a constant

_MEASURES = ("sent", "touched", "replies", "positive", "meetings")
_COUNTS = "total_sent + total_invitations AS sent, unique_touched AS touched, unique_valid_replies AS replies,"
_COUNTS += " unique_positive_replies AS positive, unique_meetings AS meetings"
_SUMS = ", ".join(f"coalesce(sum({measure}), 0)::BIGINT AS {measure}" for measure in _MEASURES)
_OUTCOMES = ("meeting", "positive", "neutral", "negative", "opt_out", "unknown", "pending", "out_of_office", "bounced")

# Activities that name no sequence have a row without an id, which no list has.
_SEQUENCES = f"""
SELECT
    sequence_template_id::VARCHAR AS sequence_id, {NAME} AS name, period, status, {_COUNTS}, unique_found AS found,
    runs_active, runs_paused, eligible, reply_rate_num AS num, reply_rate_den AS den,
    reply_rate AS rate, reply_rate_low AS low, reply_rate_high AS high, reply_rate_evidence AS evidence,
    {", ".join(f"outcome_{outcome}" for outcome in (*_OUTCOMES, "none"))}, coalesce(newly_touched, 0) AS newly_touched
FROM engagement.sequence_summary
LEFT JOIN (
    SELECT sequence_template_id AS of, sum(unique_touched)::BIGINT AS newly_touched FROM engagement.sequence_daily
    WHERE day > (SELECT max(day) FROM landed_days WHERE NOT is_open) - {QUIET_DAYS} GROUP BY ALL
) ON of = sequence_template_id
WHERE period IN ('28d', '90d', 'lifetime') AND sequence_template_id IS NOT NULL
ORDER BY period != 'lifetime', {ORDER}
"""  # noqa: S608 - our own names
_SIGNALS = "SELECT *, sequence_template_id::VARCHAR AS sequence_id FROM engagement.sequence_signals"
_FORECASTS = """
FROM engagement.sequence_forecast
WHERE scope = 'workspace'
ORDER BY outcome = 'meeting', outcome, horizon_days
"""
_WEEKS = """
SELECT week_start::TIMESTAMP AS week_start, members, is_mature, windows_closed, reply_rate_num AS num,
    reply_rate_den AS den, reply_rate AS rate, reply_rate_low AS low, reply_rate_high AS high,
    reply_rate_evidence AS evidence, positive_reply_rate_num AS positive, meeting_rate_num AS meetings
FROM engagement.workspace_weekly
WHERE reply_rate_den > 0 AND windows_closed
ORDER BY workspace_weekly.week_start
"""
# The newest seven closed days, and the seven before.
_RECENT = f"""
SELECT (newest - day) // 7 AS weeks_ago, min(day) AS first_day, max(day) AS last_day, count(*) AS days, {_SUMS}
FROM (SELECT day, max(day) OVER () AS newest, {_COUNTS} FROM engagement.workspace_daily WHERE is_closed)
WHERE newest - day < 14
GROUP BY weeks_ago
ORDER BY weeks_ago
"""  # noqa: S608 - our own names

_COUNTED = f"""
SELECT {_SUMS}
FROM (SELECT {_COUNTS} FROM engagement.workspace_daily WHERE day BETWEEN $first AND $last)
"""  # noqa: S608 - our own names

# Exact rates of the contacts who have had this many days, for the time before there is an early read.
_WINDOWS = f"""
SELECT *, rate(num, den) AS rate, wilson_low(num, den) AS low, wilson_high(num, den) AS high
FROM ({
    " UNION ALL ".join(
        f"SELECT {days} AS days, sum(reply_rate_{days}d_num)::BIGINT AS num, sum(reply_rate_{days}d_den)::BIGINT AS den"
        " FROM engagement.sequence_summary WHERE period = 'lifetime'"
        for days in (14, 7, 3)
    )
})
WHERE den > 0
ORDER BY days DESC
"""  # noqa: S608 - our own names

_QUALITY = """
WITH ledger AS (
    SELECT
        min(day) AS first_day,
        max(day) AS last_day,
        max(day) FILTER (is_known) AS last_known_day,
        coalesce(max(day) - min(day) + 1 - count(*), 0) AS days_missing,
        $last_due_day::DATE AS last_due_day,
        coalesce(greatest($last_due_day::DATE - max(day), 0), 0) AS days_behind,
        coalesce(list(day ORDER BY day DESC) FILTER (NOT proved OR (is_open AND day <= $last_due_day::DATE)), [])
            AS unproved,
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
class Workspace:
    """What the report shows of all sequences together.

    Attributes:
        signals: The row of `sequence_signals`. None if no day is known yet.
        forecasts: The rows of `sequence_forecast`.
        windows: The rates within 14, 7 and 3 days.
        weeks: The weeks whose outcome windows have closed, oldest first.
        recent: The counts of the newest seven closed days, and of the seven before.
        daily: The counts of each day. Those of a day that has not landed are None.
        channels: The counts and rates of each channel.
    """

    signals: Row | None
    forecasts: list[Row]
    windows: list[Row]
    weeks: list[Row]
    recent: list[Row]
    daily: list[Row]
    channels: list[Row]


@dataclass
class Sequence:
    """What the report shows of a sequence.

    Attributes:
        periods: Its row of `sequence_summary` by period, with the counts of the period and the rate.
        signals: Its row of `sequence_signals`.
        trend: Its reply rates over four weeks at a time, oldest first, each with its weeks_ago.
    """

    periods: dict[str, Row]
    signals: Row
    steps: list[Row]
    timing: list[Row]
    channels: list[Row]
    trend: list[Row]

    @property
    def ever(self) -> Row:
        """The row of all days."""
        return self.periods["lifetime"]


def missing_tables(connection: "DuckDBPyConnection") -> list[str]:
    """Return the tables of `READS` that have not been built."""
    existing = tables_of(connection)
    return [f"{schema}.{name}" for schema, name in READS if (schema, name) not in existing]


def quality(connection: "DuckDBPyConnection", timezone: str, last_due_day: date) -> Row:
    """Return the limits of the data.

    Args:
        connection: As in the module.
        timezone: The reporting time zone (IANA name).
        last_due_day: The last day that should have been read.

    Returns:
        first_day, last_day and last_known_day of the landed days, days_missing between them, last_due_day, days_behind
        (from last_day to it), unproved (days, newest first, also those last read before they were over), unreadable
        (rows); not_built (days whose last load is not in the tables); as_of (the last day of the rates),
        cohort_days_left_out (days whose contacts are in no rate); runs, and of these left_censored and start_uncertain;
        touches_without_sequence; replies, and of these pending. Days are None without a landed or known day.
    """
    [row] = rows(connection, _QUALITY, timezone=timezone, last_due_day=last_due_day)
    return row | {"not_built": [*days_behind(connection, "sequence_activity")]}


def workspace(connection: "DuckDBPyConnection") -> Workspace:
    """Return what the report shows of all sequences together."""
    macros.define(connection)
    signals = rows(connection, f"{_SIGNALS} WHERE scope = 'workspace'")
    return Workspace(
        signals=signals[0] if signals else None,
        forecasts=rows(connection, _FORECASTS),
        windows=rows(connection, _WINDOWS),
        weeks=rows(connection, _WEEKS),
        recent=rows(connection, _RECENT),
        daily=rows(connection, DAILY, days_shown=DAYS_SHOWN),
        channels=[row for row in rows(connection, _CHANNELS) if row["sequence_id"] is None],
    )


def counts(connection: "DuckDBPyConnection", first: date, last: date) -> Row:
    """Return the counts of all sequences together from the first to the last day: sent, touched, replies and so on."""
    [row] = rows(connection, _COUNTED, first=first, last=last)
    return row


def sequences(connection: "DuckDBPyConnection", rules: Rules) -> dict[str, Sequence]:
    """Return each sequence by its id, best first, those without a rank last."""
    macros.define(connection)
    few = {"evidence_small": rules.evidence_small}
    steps, timing, channels, trends = (
        _grouped(rows(connection, sql, **values))
        for sql, values in (
            (_STEPS, {}), (_TIMING, few), (_CHANNELS, {}), (_TRENDS, few),
        )
    )  # fmt: skip
    signals = {row["sequence_id"]: row for row in rows(connection, f"{_SIGNALS} WHERE scope = 'sequence'")}
    periods = _grouped(rows(connection, _SEQUENCES))
    return {
        id_: Sequence(
            periods={row["period"]: row for row in found},
            signals=signals[id_],
            steps=steps.get(id_, []),
            timing=timing.get(id_, []),
            channels=channels.get(id_, []),
            trend=trends.get(id_, []),
        )
        for id_, found in periods.items()
        if id_ in signals  # tables change one after the other, and it may be in the first only
    }


def names(connection: "DuckDBPyConnection") -> dict[str, str]:
    """Return the name of each sequence by its id, best first."""
    found = rows(connection, f"SELECT {NAME} AS name, sequence_template_id::VARCHAR AS sequence_id {RANKED}")
    return {row["sequence_id"]: row["name"] for row in found}


def _grouped(found: list[Row]) -> dict[str, list[Row]]:
    """Return the rows of each sequence, in the order of the query."""
    groups: dict[str, list[Row]] = {}
    for row in found:
        groups.setdefault(row["sequence_id"], []).append(row)
    return groups
