"""The data quality checks of the tables: what is checked.

Each entry of `CHECKS` is one check. Its SQL returns one row per problem, with one column that identifies it: a day or a
sequence, never a person. What follows from the names of a table's columns is checked without an entry
(`column_checks.py`). `verdicts.py` evaluates checks. Severity is ERROR for a bug in this project or a lost warehouse,
and WARN for a problem in the data.
"""

from topo_pipeline.engagement.column_checks import column_checks
from topo_pipeline.engagement.lineage import firsts
from topo_pipeline.engagement.tables import tables
from topo_pipeline.engagement.verdicts import Check

CHECKS = (
    Check(
        "topo.activities",
        "every_day_is_proved",
        "WARN",
        "Every landed day is proved complete against Topo's own count.",
        "Landed days not proved complete",
        "SELECT day FROM landed_days WHERE NOT proved ORDER BY day DESC",
        "Read them again: $backfill. More in docs/troubleshooting.md, When a day is refused.",
    ),
    Check(
        "topo.activities",
        "every_row_is_readable",
        "WARN",
        "Every row that the last load of each day received could be read.",
        "Days with unreadable rows (number of rows)",
        "SELECT day || ' (' || rejects || ')' FROM landed_days WHERE rejects > 0 ORDER BY day DESC",
        "See their text and the reason: topo-pipeline export rejects --output rejects.csv",
    ),
    Check(
        "topo.activities",
        "every_day_is_closed",
        "WARN",
        "Every landed day that is over was last read after it ended.",
        "Days last read before they ended",
        "SELECT day FROM landed_days WHERE is_open AND day <= $due::DATE ORDER BY day DESC",
        "Read them again: $backfill",
    ),
    Check(
        "topo.activities",
        "yesterday_is_landed",
        "WARN",
        "Yesterday has landed. Before 01:15 this checks the day before yesterday instead.",
        "Days due but not landed",
        "SELECT $due::DATE WHERE NOT EXISTS (FROM landed_days WHERE day = $due::DATE)"
        " AND coalesce((SELECT min(day) FROM landed_days) <= $due::DATE, true)",
        "With TOPO_AUTOMATION=on the next night reads them. To read them now: $backfill",
    ),
    Check(
        "topo.activities",
        "no_day_is_missing",
        "WARN",
        "Every day from the first landed day to yesterday has landed.",
        "Missing days since the first landed day",
        "SELECT day FROM (SELECT unnest(generate_series(min(day), $due::DATE, INTERVAL 1 DAY))::DATE AS day"
        " FROM landed_days) ANTI JOIN landed_days USING (day) ORDER BY day DESC",
        "Read them: $backfill",
    ),
    Check(
        "topo.activities",
        "last_reading_landed",
        "WARN",
        "The latest attempt to read each day landed it.",
        "Days whose latest attempt failed",
        "SELECT day FROM recorded_days WHERE failed ORDER BY day DESC",
        "The logs of the failed runs say why.",
    ),
    Check(
        "topo.activities",
        "ledger_agrees_with_dagster",
        "ERROR",
        "The latest load of each day in the ledger is the one in Dagster's records.",
        "Days on which the ledger and Dagster's records differ",
        "SELECT day FROM landed_days AS landed FULL JOIN recorded_days AS recorded USING (day)"
        " WHERE landed.load_id::VARCHAR IS DISTINCT FROM recorded.load_id ORDER BY day DESC",
        "The warehouse or DAGSTER_HOME was lost or replaced. To see which, and what to do: topo-pipeline doctor",
    ),
    Check(
        "topo.activities",
        "each_activity_is_landed_once",
        "WARN",
        "Every activity is landed once, on one day.",
        "Activities landed on more than one day",
        "SELECT string_agg(day, ' and ' ORDER BY day) FROM topo.activities"
        " GROUP BY id HAVING count(*) > 1 ORDER BY ALL",
        "Topo may have moved them from one day to the other. Read these days again: $backfill",
    ),
    Check(
        "engagement.sequence_activity",
        "every_activity_has_a_run",
        "WARN",
        "Every activity names its sequence run.",
        "Days with activities that name no sequence run (number of activities)",
        "SELECT day || ' (' || sum(orphans) || ')' FROM engagement.sequence_activity"
        " GROUP BY day HAVING sum(orphans) > 0 ORDER BY day DESC",
    ),
    Check(
        "engagement.sequence_activity",
        "every_type_is_known",
        "WARN",
        "Every activity has a type that the metric tables know.",
        "Days with activities of unknown types (number of activities)",
        "SELECT day || ' (' || sum(other) || ')' FROM engagement.sequence_activity"
        " GROUP BY day HAVING sum(other) > 0 ORDER BY day DESC",
        "Topo may have added a type. Report it as a bug.",
    ),
    Check(
        "engagement.sequence_activity",
        "replies_are_classified_within_72_hours",
        "WARN",
        "No landed reply has been without a category for more than 72 hours.",
        "Replies without a category for more than 72 hours (by day)",
        "SELECT day FROM topo.activities WHERE type = 'message.replied' AND sequence_id IS NOT NULL"
        " AND reply_category IS NULL AND created_at < $now::TIMESTAMPTZ - INTERVAL 72 HOUR ORDER BY day DESC",
        "Topo may have classified them since. To read them again, run the job reread_replies in Dagster's UI.",
    ),
    Check(
        "engagement.sequence_runs",
        "actions_are_kept_once",
        "ERROR",
        "sequence_actions has every message, invitation and ended step of the runs in sequence_runs exactly once.",
        "Runs that differ between sequence_runs and sequence_actions (by sequence)",
        """
        SELECT sequence_called(coalesce(runs.sequence_template_id, kept.sequence_template_id))
        FROM engagement.sequence_runs AS runs
        FULL JOIN (
            SELECT sequence_id, sequence_template_id, count(position) AS touches,
                count(*) FILTER (type IN ('sequence_step.completed', 'sequence_step.skipped')) AS ended
            FROM engagement.sequence_actions
            GROUP BY ALL
        ) AS kept
            ON kept.sequence_id = runs.sequence_id
            AND kept.sequence_template_id IS NOT DISTINCT FROM runs.sequence_template_id
        WHERE runs.sequence_id IS NULL OR messages_sent + invitations_sent <> coalesce(touches, 0)
            OR steps_completed + steps_skipped <> coalesce(ended, 0)
        ORDER BY ALL
        """,
        "Materialize sequence_runs with full_refresh: true. If the check still fails, report it as a bug.",
    ),
    Check(
        "engagement.sequence_runs",
        "responses_are_kept_once",
        "ERROR",
        "sequence_responses has every reply and instant open of the runs in sequence_runs exactly once, and their first"
        " hot leads and meetings.",
        "Runs that differ between sequence_runs and sequence_responses (by sequence)",
        """
        SELECT sequence_called(coalesce(runs.sequence_template_id, kept.sequence_template_id))
        FROM engagement.sequence_runs AS runs
        FULL JOIN (
            SELECT sequence_id, sequence_template_id, count(class) AS replies,
                count(*) FILTER (type = 'message.opened') AS opens_instant,
                min(responded_at) FILTER (type = 'hot_lead.created') AS hot_lead_at,
                min(responded_at) FILTER (type = 'meeting.created') AS meeting_at
            FROM engagement.sequence_responses
            GROUP BY ALL
        ) AS kept
            ON kept.sequence_id = runs.sequence_id
            AND kept.sequence_template_id IS NOT DISTINCT FROM runs.sequence_template_id
        WHERE runs.sequence_id IS NULL
            OR runs.replies <> coalesce(kept.replies, 0) OR runs.opens_instant <> coalesce(kept.opens_instant, 0)
            OR runs.hot_lead_at IS DISTINCT FROM kept.hot_lead_at
            OR runs.meeting_at IS DISTINCT FROM kept.meeting_at
        ORDER BY ALL
        """,
        "Materialize sequence_runs with full_refresh: true. If the check still fails, report it as a bug.",
    ),
    Check(
        "engagement.sequence_daily",
        "uniques_add_up_to_runs",
        "ERROR",
        "The unique counts, summed over days, equal the number of runs with the event.",
        "Unique counts that do not add up to the runs with the event",
        lambda _: _uniques_that_differ(),
        "Materialize sequence_daily. If the check still fails, report it as a bug.",
    ),
    Check(
        "engagement.sequence_daily",
        "volume_is_as_usual",
        "WARN",
        "In the last seven known days no sequence stopped sending on a weekday on which it always sends.",
        "Sequences that sent nothing on a weekday on which they always send",
        """
        SELECT format('{} on {} (usually {})', sequence_called(sequence_template_id), day, round(sent_expected)::BIGINT)
        FROM engagement.sequence_daily
        WHERE is_volume_anomaly AND day > (SELECT max(day) FILTER (is_known) - 7 FROM engagement.sequence_daily)
        ORDER BY day DESC, 1
        """,
    ),
    Check(
        "engagement.sequence_volumes",
        "volume_is_as_usual",
        "WARN",
        "In the last complete week every sequence and the workspace sent about as many messages as before.",
        "Unusual numbers of messages in the last complete week",
        """
        SELECT format('{} sent {} in the week of {} (usually {})',
            if(scope = 'workspace', 'All sequences', sequence_called(sequence_template_id)),
            total_sent, week_start, round(sent_usual)::BIGINT)
        FROM engagement.sequence_volumes
        WHERE volume_signal IN ('up', 'down') AND week_start = (SELECT max(week_start) FROM engagement.sequence_volumes)
        ORDER BY scope DESC, abs(total_sent - sent_usual) / threshold DESC, sequence_template_id
        """,
    ),
    Check(
        "engagement.sequence_signals",
        "no_reply_rate_has_fallen",
        "WARN",
        "In the last four weeks no reply rate has clearly fallen, neither of a sequence nor of all together.",
        "Reply rates that have clearly fallen in the last four weeks",
        """
        SELECT format('{}: {} replies, about {} expected',
            if(scope = 'workspace', 'All sequences', sequence_called(sequence_template_id)), current_replies,
            -- The workspace's common_change is (replies + 20) / (expected + 20).
            round(if(scope = 'workspace', (current_replies + 20) / common_change - 20,
                current_worth / baseline_worth * common_change * baseline_replies))::BIGINT)
        FROM engagement.sequence_signals
        WHERE signal = 'down'
        ORDER BY scope DESC, change_z, sequence_template_id
        """,
    ),
    Check(
        "engagement.workspace_daily",
        "volume_is_as_usual",
        "WARN",
        "In the last seven known days the workspace sent messages on every weekday on which it usually does.",
        "Days on which the whole workspace sent nothing",
        """
        SELECT format('{} (usually {})', day, round(sent_expected)::BIGINT)
        FROM engagement.workspace_daily
        WHERE is_volume_anomaly AND day > (SELECT max(day) FILTER (is_known) - 7 FROM engagement.workspace_daily)
        ORDER BY day DESC
        """,
        "On a holiday this is expected.",
    ),
    Check(
        "engagement.sequence_cohorts",
        "early_windows_are_known",
        "ERROR",
        "No early window with an unknown day in it has eligible runs.",
        "Early windows with eligible runs and an unknown day",
        # A window of n days from a day d reaches day d + n. What was unknown when the runs were counted is kept.
        r"""
        SELECT name || ' of ' || sequence_called(sequence_template_id) || ' on ' || cohort_day
        FROM (UNPIVOT engagement.sequence_cohorts ON COLUMNS('^eligible_\d+d$') INTO NAME name VALUE eligible_runs)
        SEMI JOIN (SELECT unnest(unknown_days) AS unknown_day FROM engagement.sequence_cohorts_known) AS known
            ON unknown_day BETWEEN cohort_day AND cohort_day + regexp_extract(name, '\d+')::INTEGER
        WHERE eligible_runs > 0
        ORDER BY ALL
        """,
        "Materialize sequence_cohorts with full_refresh: true. If the check still fails, report it as a bug.",
    ),
    Check(
        "engagement.sequence_summary",
        "no_sequence_is_silent",
        "WARN",
        "Every sequence with active runs sent a message or an invitation recently.",
        "Sequences with active runs that send nothing",
        "SELECT DISTINCT sequence_called(sequence_template_id) FROM engagement.sequence_summary"
        " WHERE is_silent ORDER BY ALL",
    ),
    Check(
        "engagement.sequence_channels",
        "tracking_is_on",
        "WARN",
        "Every sequence that sends many emails has opens or clicks.",
        "Sequences with many emails and no open or click",
        "SELECT DISTINCT sequence_called(sequence_template_id) FROM engagement.sequence_channels"
        " LEFT JOIN topo.sequence_templates AS templates ON templates.id = sequence_template_id"
        " WHERE tracking_off AND is_judged(sequence_template_id, status) ORDER BY ALL",
        "Tracking seems to be off, so their open and click rates are NULL.",
    ),
)


def checks_of(table: str) -> list[Check]:
    """Return the checks of a table by its full name, with those that follow from its column names."""
    metrics = tables().get(table.removeprefix("engagement."))
    return [check for check in CHECKS if check.table == table] + (column_checks(metrics) if metrics is not None else [])


def _uniques_that_differ() -> str:
    runs = ", ".join(f"-count({first}) AS {unique}" for unique, first in firsts().items())
    return f"""
        SELECT event || ' of ' || sequence_called(sequence_template_id)
        FROM (
            UNPIVOT (
                SELECT sequence_template_id, sum(COLUMNS('^unique_'))
                FROM (
                    SELECT sequence_template_id, COLUMNS('^unique_') FROM engagement.sequence_daily
                    UNION ALL BY NAME
                    SELECT sequence_template_id, {runs} FROM engagement.sequence_runs
                    WHERE NOT left_censored GROUP BY ALL
                )
                GROUP BY ALL
            ) ON COLUMNS('^unique_') INTO NAME event VALUE difference
        )
        WHERE difference <> 0
        ORDER BY ALL
        """  # noqa: S608 - our own names
