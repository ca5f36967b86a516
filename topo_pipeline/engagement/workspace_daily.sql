{% from 'counts.jinja' import count_comments, counted %}
{% from 'workspace.jinja' import cohort_sums, members_comment, rates, rates_comments %}
{% from 'horizon.jinja' import closed_day, horizon, unknown_in %}
{% from 'volumes.jinja' import same_weekday, sent_before, sent_expected %}
-- Grain: day
WITH {{ horizon() }}, {{ unknown_in({'later': '$reply_window_days'}) }}, counts AS (
    SELECT day, sum(COLUMNS({{ counted }}))::BIGINT, sum(active_runs)::BIGINT AS active_runs
    FROM engagement.sequence_daily
    GROUP BY ALL
), cohorts AS (
    SELECT
        cohort_day AS day,
        {{ cohort_sums('days_unknown = 0') }}
    FROM engagement.sequence_cohorts
    WHERE axis = 'touched'
    GROUP BY ALL
), filled AS (
    SELECT
        day, is_open, is_known, is_mature, unknown_later,
        coalesce(COLUMNS(counts.* EXCLUDE (day)), 0),
        coalesce(COLUMNS(cohorts.* EXCLUDE (day, is_mature)), 0)
    FROM landed_days
    JOIN unknown_in USING (day)
    LEFT JOIN counts USING (day)
    LEFT JOIN cohorts USING (day)
), compared AS (
    SELECT *, {{ sent_before('is_known') }}
    FROM filled
    {{ same_weekday() }}
)
SELECT
    day,
    COLUMNS({{ counted }}),
    active_runs,
    NOT is_open AS is_closed,
    is_known,
    members,
    eligible,
    rate(eligible, members) AS maturity,
    unknown_later AS days_unknown,
    coalesce(is_mature, unknown_later = 0) AND coalesce(day <= {{ closed_day('$reply_window_days') }}, false) AS is_mature,
    {{ rates() }},
    {{ sent_expected }},
    CASE WHEN is_known AND sent_expected IS NOT NULL THEN total_sent = 0 AND sent_expected >= 10 END
        AS is_volume_anomaly
FROM compared CROSS JOIN horizon;

COMMENT ON TABLE engagement.workspace_daily IS 'One row per landed day: the counts of sequence_daily and the rates of sequence_cohorts (axis touched) over all sequences.';
COMMENT ON COLUMN engagement.workspace_daily.day IS 'The reporting day. A day that has not been landed has no row.';
{{ count_comments('engagement.workspace_daily', 'on the day') }}
COMMENT ON COLUMN engagement.workspace_daily.active_runs IS 'Runs that had begun and were neither completed nor stopped at the end of the day. Includes paused and left-censored runs.';
COMMENT ON COLUMN engagement.workspace_daily.is_closed IS 'TRUE when the day was over when it was last read. The numbers of an open day can still grow.';
COMMENT ON COLUMN engagement.workspace_daily.is_known IS 'TRUE when the day was over when it was last read and was proved complete.';
{{ members_comment('engagement.workspace_daily', 'on the day') }}
COMMENT ON COLUMN engagement.workspace_daily.eligible IS 'Members whose outcome window has closed. 0 when a day in the windows is unknown.';
COMMENT ON COLUMN engagement.workspace_daily.maturity IS 'eligible / members. NULL when members is 0.';
COMMENT ON COLUMN engagement.workspace_daily.days_unknown IS 'Unknown days from the day to the end of its outcome window.';
COMMENT ON COLUMN engagement.workspace_daily.is_mature IS 'TRUE when the outcome windows of the day have closed and no day in them is unknown.';
{{ rates_comments('engagement.workspace_daily') }}
COMMENT ON COLUMN engagement.workspace_daily.sent_expected IS 'Median of total_sent on the known days among the same weekday in the 8 weeks before. NULL when fewer than 4 of them are known.';
COMMENT ON COLUMN engagement.workspace_daily.is_volume_anomaly IS 'TRUE when the whole workspace sent nothing although sent_expected is 10 or more, for example on a holiday. NULL when sent_expected is NULL or the day is unknown.';
