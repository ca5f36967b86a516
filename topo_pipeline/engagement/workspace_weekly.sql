{% from 'counts.jinja' import count_comments, counted %}
{% from 'workspace.jinja' import cohort_sums, members_comment, rates, rates_comments %}
{% from 'horizon.jinja' import closed_day, horizon %}
-- Grain: week_start
WITH {{ horizon() }}, weeks AS (
    SELECT date_trunc('week', day)::DATE AS week_start, count(*) AS days_landed FROM landed_days GROUP BY ALL
), counts AS (
    SELECT date_trunc('week', day)::DATE AS week_start, sum(COLUMNS({{ counted }}))::BIGINT
    FROM engagement.sequence_daily
    GROUP BY ALL
), unknown AS (
    SELECT date_trunc('week', day)::DATE AS week_start, count(*) AS days_unknown FROM unknown_days GROUP BY ALL
), cohorts AS (
    SELECT
        date_trunc('week', cohort_day)::DATE AS week_start,
        {{ cohort_sums('days_unknown = 0') }}
    FROM engagement.sequence_cohorts
    WHERE axis = 'touched'
    GROUP BY ALL
), filled AS (
    SELECT
        week_start, days_landed, coalesce(days_unknown, 0) AS days_unknown, is_mature,
        coalesce(COLUMNS(counts.* EXCLUDE (week_start)), 0),
        coalesce(COLUMNS(cohorts.* EXCLUDE (week_start, is_mature)), 0)
    FROM weeks
    LEFT JOIN counts USING (week_start)
    LEFT JOIN unknown USING (week_start)
    LEFT JOIN cohorts USING (week_start)
)
SELECT
    week_start,
    COLUMNS({{ counted }}),
    days_landed,
    days_unknown,
    members,
    eligible,
    coalesce(week_start + 6 <= {{ closed_day('$reply_window_days') }}, false) AS windows_closed,
    coalesce(is_mature, true) AND days_unknown = 0 AND windows_closed AS is_mature,
    {{ rates() }}
FROM filled CROSS JOIN horizon;

COMMENT ON TABLE engagement.workspace_weekly IS 'One row per ISO week with a landed day: the counts of sequence_daily and the rates of sequence_cohorts (axis touched) over all sequences.';
COMMENT ON COLUMN engagement.workspace_weekly.week_start IS 'Monday of the week.';
{{ count_comments('engagement.workspace_weekly', 'in the week') }}
COMMENT ON COLUMN engagement.workspace_weekly.days_landed IS 'Days of the week that have landed.';
COMMENT ON COLUMN engagement.workspace_weekly.days_unknown IS 'Unknown days among the seven days of the week.';
{{ members_comment('engagement.workspace_weekly', 'in the week') }}
COMMENT ON COLUMN engagement.workspace_weekly.eligible IS 'Members whose outcome window has closed, without cohort days that have an unknown day in their windows.';
COMMENT ON COLUMN engagement.workspace_weekly.windows_closed IS 'TRUE when the outcome windows of all seven days have closed, even if they contain unknown days.';
COMMENT ON COLUMN engagement.workspace_weekly.is_mature IS 'TRUE when windows_closed is TRUE and no day is unknown in the week or in the windows of the runs that started in it.';
{{ rates_comments('engagement.workspace_weekly') }}
