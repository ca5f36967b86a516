"""The findings: a fixed list of kinds, each with the rule by which the tables have it. `wording` puts them into words.

A rule is strict enough that its claim still holds a week later. Only active sequences, and those of unknown status,
have findings. `find` works on any warehouse connection.
"""

from dataclasses import dataclass
from itertools import chain, zip_longest
from typing import TYPE_CHECKING, Any

from topo_pipeline.engagement import macros
from topo_pipeline.engagement.rules import Rules
from topo_pipeline.report.queries import QUIET_DAYS
from topo_pipeline.warehouse.sql import Row, rows

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

# A change must exceed its threshold by this much, because next Monday's may be smaller by chance.
CHANGE_MARGIN = 0.5
# Standard errors that a comparison with the others must exceed, as somebody looks at it every week.
WEEKLY_Z = 2.8

_UNKNOWN_DAYS = """
SELECT NULL AS sequence_id, count(*) AS days, min(day) AS first_day, max(day) AS last_day
FROM (
    SELECT unnest(generate_series(greatest(min(day), max(day) FILTER (is_known) - 29), max(day) FILTER (is_known),
        INTERVAL 1 DAY))::DATE AS day
    FROM landed_days
)
ANTI JOIN (FROM landed_days WHERE is_known) USING (day)
HAVING days > 0
"""
_SIGNALS = f"""
SELECT sequence_template_id::VARCHAR AS sequence_id, signal, current_replies, current_contacts, current_worth,
    baseline_replies, baseline_worth, baseline_rate, common_change, monday
FROM engagement.sequence_signals
WHERE scope = $scope AND signal = $signal AND abs(change_z) >= change_z_needed + {CHANGE_MARGIN}
ORDER BY abs(change_z) DESC, sequence_id
"""  # noqa: S608 - a constant
_SILENT = """
SELECT sequence_template_id::VARCHAR AS sequence_id, runs_active - runs_paused AS waiting, last_day
FROM engagement.sequence_summary
LEFT JOIN (
    SELECT sequence_template_id AS of, max(day) AS last_day FROM engagement.sequence_daily
    WHERE total_sent + total_invitations > 0 GROUP BY ALL
) ON of = sequence_template_id
WHERE period = 'lifetime' AND is_silent
ORDER BY waiting DESC, sequence_id
"""
# Against all other sequences together, and by at least a quarter of their rate: less would change no decision.
_COMPARED = f"""
WITH rated AS (
    SELECT
        sequence_template_id::VARCHAR AS sequence_id, reply_rank,
        reply_rate_num AS num, reply_rate_den AS den, reply_rate_low AS low, reply_rate_high AS high,
        signal, early_contacts, early_last_day, early_rate, early_rate_low, early_rate_high,
        sum(num) OVER () - num AS others_num, sum(den) OVER () - den AS others_den,
        rate(num, den) AS rate, rate(others_num, others_den) AS others_rate
    FROM engagement.sequence_signals
    WHERE scope = 'sequence' AND sequence_template_id IS NOT NULL
)
FROM rated
WHERE reply_rank IS NOT NULL AND CASE $side
    WHEN 'better' THEN rate >= 1.25 * others_rate
        AND newcombe_low(num, den, others_num, others_den, z := {WEEKLY_Z}) > 0
    ELSE rate <= 0.75 * others_rate
        AND newcombe_high(num, den, others_num, others_den, z := {WEEKLY_Z}) < 0 END
ORDER BY abs(ln(greatest(rate, 0.001) / others_rate)) DESC, sequence_id
"""  # noqa: S608 - constants
# The last step that sends something, against the earlier ones: clearly fewer replies, and at most half as many.
_LAST_STEP = """
WITH sending AS (
    SELECT *, row_number() OVER (PARTITION BY sequence_template_id ORDER BY step DESC, channel) AS from_end
    FROM engagement.sequence_steps
    WHERE step IS NOT NULL AND sends > 0
), compared AS (
    SELECT
        sequence_template_id,
        any_value(step) FILTER (from_end = 1) AS step,
        any_value(sends) FILTER (from_end = 1) AS sends,
        any_value(step_reply_rate_num) FILTER (from_end = 1) AS num,
        any_value(step_reply_rate_den) FILTER (from_end = 1) AS den,
        sum(step_reply_rate_num) FILTER (from_end > 1) AS earlier_num,
        sum(step_reply_rate_den) FILTER (from_end > 1) AS earlier_den
    FROM sending
    GROUP BY ALL
)
SELECT compared.* REPLACE (sequence_template_id::VARCHAR AS sequence_template_id),
    compared.sequence_template_id::VARCHAR AS sequence_id
FROM compared LEFT JOIN topo.sequence_templates AS templates ON templates.id = sequence_template_id
WHERE is_judged(sequence_template_id, status) AND den >= $evidence_usable AND earlier_den >= $evidence_usable
    AND rate(num, den) <= rate(earlier_num, earlier_den) / 2
    AND newcombe_high(num, den, earlier_num, earlier_den) < 0
ORDER BY sends DESC, sequence_id
"""
# A handful of contacts is often chance, and a week later there are more. None in two weeks is not.
_NO_NEW_CONTACTS = f"""
SELECT sequence_template_id::VARCHAR AS sequence_id, last_day
FROM (
    SELECT sequence_template_id,
        coalesce(sum(unique_touched) FILTER (day > last_day - {QUIET_DAYS}), 0)::BIGINT AS touched,
        sum(unique_touched) AS ever, any_value(last_day) AS last_day
    FROM engagement.sequence_daily
    CROSS JOIN (SELECT max(day) AS last_day FROM landed_days WHERE NOT is_open)
    GROUP BY sequence_template_id
)
LEFT JOIN topo.sequence_templates AS templates ON templates.id = sequence_template_id
WHERE is_judged(sequence_template_id, status) AND touched = 0 AND ever >= $evidence_small
    AND (SELECT count(*) FROM landed_days WHERE is_known AND day > last_day - {QUIET_DAYS}) = {QUIET_DAYS}
ORDER BY ever DESC, sequence_id
"""  # noqa: S608 - constants
_TRACKING_OFF = """
SELECT sequence_template_id::VARCHAR AS sequence_id, sends
FROM engagement.sequence_channels
LEFT JOIN topo.sequence_templates AS templates ON templates.id = sequence_template_id
WHERE period = '28d' AND tracking_off AND is_judged(sequence_template_id, status)
ORDER BY sends DESC, sequence_id
"""
# The last complete week and the last seven known days, each sequence's most unusual one. A holiday is one finding of
# the workspace, without a sequence.
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
SELECT sequence_template_id::VARCHAR AS sequence_id, is_week, day, sent, usual
FROM unusual
QUALIFY row_number() OVER (PARTITION BY sequence_template_id ORDER BY is_week DESC, size DESC, day DESC) = 1
ORDER BY sequence_id IS NOT NULL, is_week DESC, size DESC, day, sequence_id
"""


@dataclass(frozen=True)
class Finding:
    """One finding.

    Attributes:
        kind: One of `KINDS`.
        sequence_id: The sequence it is about. None if it is about the whole workspace.
        facts: The row of the rule.
    """

    kind: str
    sequence_id: str | None
    facts: Row


# The kinds in the order in which they matter, each with its query and the values that the query needs.
KINDS: dict[str, tuple[str, dict[str, Any]]] = {
    "unknown_days": (_UNKNOWN_DAYS, {}),
    "all_down": (_SIGNALS, {"scope": "workspace", "signal": "down"}),
    "down": (_SIGNALS, {"scope": "sequence", "signal": "down"}),
    "silent": (_SILENT, {}),
    "better": (_COMPARED, {"side": "better"}),
    "worse": (_COMPARED, {"side": "worse"}),
    "up": (_SIGNALS, {"scope": "sequence", "signal": "up"}),
    "last_step": (_LAST_STEP, {"evidence_usable": None}),
    "no_new_contacts": (_NO_NEW_CONTACTS, {"evidence_small": None}),
    "tracking_off": (_TRACKING_OFF, {}),
    "all_up": (_SIGNALS, {"scope": "workspace", "signal": "up"}),
    "unusual_volume": (_UNUSUAL, {}),
}


def of_kind(connection: "DuckDBPyConnection", kind: str, rules: Rules) -> list[Finding]:
    """Return the findings of a kind, the most important first."""
    macros.define(connection)
    sql, values = KINDS[kind]
    found = rows(connection, sql, **{name: getattr(rules, name, value) for name, value in values.items()})
    return [Finding(kind, row["sequence_id"], row) for row in found]


def find(connection: "DuckDBPyConnection", rules: Rules) -> list[Finding]:
    """Return all findings: the first of every kind by importance, then the second of every kind, and so on."""
    kinds = [of_kind(connection, kind, rules) for kind in KINDS]
    return [finding for finding in chain(*zip_longest(*kinds)) if finding is not None]
