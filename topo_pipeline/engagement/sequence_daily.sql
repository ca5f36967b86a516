-- Grain: sequence_template_id, day
CREATE OR REPLACE TABLE engagement.sequence_daily AS
WITH totals AS (
    SELECT sequence_template_id, day, sum(COLUMNS('^total_'))::BIGINT FROM engagement.sequence_activity GROUP BY ALL
), begun AS (
    SELECT sequence_template_id, min(day) AS first_day
    FROM (
        SELECT sequence_template_id, day FROM totals
        UNION ALL
        SELECT sequence_template_id, day FROM engagement.sequence_firsts WHERE runs_begun + runs_ended > 0
    )
    GROUP BY ALL
), grid AS (
    -- Every landed day from the sequence's first day on: a quiet day is 0, and a day that has not landed has no row.
    SELECT sequence_template_id, day, NOT is_open AS is_closed FROM begun JOIN landed_days ON day >= first_day
), counted AS (
    SELECT
        grid.sequence_template_id,
        grid.day,
        coalesce(COLUMNS('^(total|unique)_'), 0),
        coalesce(sum(runs_begun - runs_ended) OVER (PARTITION BY grid.sequence_template_id ORDER BY grid.day), 0)::BIGINT
            AS active_runs,
        is_closed
    FROM grid
    LEFT JOIN totals
        ON totals.sequence_template_id IS NOT DISTINCT FROM grid.sequence_template_id AND totals.day = grid.day
    LEFT JOIN engagement.sequence_firsts AS firsts
        ON firsts.sequence_template_id IS NOT DISTINCT FROM grid.sequence_template_id AND firsts.day = grid.day
), usual AS (
    SELECT *, list(total_sent) FILTER (is_closed) OVER same_weekday AS sent_before
    FROM counted
    WINDOW same_weekday AS (
        PARTITION BY sequence_template_id, isodow(day) ORDER BY day
        RANGE BETWEEN to_days(7 * $anomaly_weeks::INTEGER) PRECEDING AND to_days(7) PRECEDING)
)
SELECT
    * EXCLUDE (sent_before),
    CASE WHEN len(sent_before) >= $anomaly_weeks_known THEN list_median(sent_before) END AS sent_expected,
    (total_sent - sent_expected) / nullif(list_mad(sent_before), 0) AS sent_deviation,
    CASE WHEN is_closed THEN abs(sent_deviation) >= $anomaly_mads END AS is_volume_anomaly
FROM usual;

COMMENT ON TABLE engagement.sequence_daily IS 'One row per sequence and landed day, from the first day of the sequence to the last landed day. total_ columns count activities of the day. unique_ columns count runs whose first such activity ever falls on the day, so they can be summed over days; they exclude left-censored runs.';
COMMENT ON COLUMN engagement.sequence_daily.sequence_template_id IS 'Id of the sequence. NULL when the activities name none.';
COMMENT ON COLUMN engagement.sequence_daily.day IS 'The reporting day. A day that has not been landed has no row.';
COMMENT ON COLUMN engagement.sequence_daily.total_found IS 'Enrolments on the day.';
COMMENT ON COLUMN engagement.sequence_daily.total_sent IS 'Messages sent on the day, invitations not included.';
COMMENT ON COLUMN engagement.sequence_daily.total_invitations IS 'Invitations sent on the day.';
COMMENT ON COLUMN engagement.sequence_daily.total_accepted IS 'Invitations accepted on the day.';
COMMENT ON COLUMN engagement.sequence_daily.total_opens IS 'Opens on the day, repeated opens included. Inflated by privacy proxies.';
COMMENT ON COLUMN engagement.sequence_daily.total_clicks IS 'Clicks on the day, repeated clicks included.';
COMMENT ON COLUMN engagement.sequence_daily.total_replies IS 'Replies of any kind on the day, automatic ones included.';
COMMENT ON COLUMN engagement.sequence_daily.total_valid_replies IS 'Replies on the day that are not known to be automatic.';
COMMENT ON COLUMN engagement.sequence_daily.total_positive_replies IS 'Replies on the day that show interest.';
COMMENT ON COLUMN engagement.sequence_daily.total_hot_leads IS 'Hot leads created on the day.';
COMMENT ON COLUMN engagement.sequence_daily.total_meetings IS 'Meetings booked on the day.';
COMMENT ON COLUMN engagement.sequence_daily.unique_found IS 'Runs whose first enrolment was on the day.';
COMMENT ON COLUMN engagement.sequence_daily.unique_sent IS 'Runs whose first message was sent on the day (contacted runs).';
COMMENT ON COLUMN engagement.sequence_daily.unique_invitations IS 'Runs whose first invitation was sent on the day.';
COMMENT ON COLUMN engagement.sequence_daily.unique_accepted IS 'Runs whose first acceptance of an invitation was on the day.';
COMMENT ON COLUMN engagement.sequence_daily.unique_opens IS 'Runs whose first open was on the day.';
COMMENT ON COLUMN engagement.sequence_daily.unique_clicks IS 'Runs whose first click was on the day.';
COMMENT ON COLUMN engagement.sequence_daily.unique_replies IS 'Runs whose first reply of any kind was on the day.';
COMMENT ON COLUMN engagement.sequence_daily.unique_valid_replies IS 'Runs whose first valid reply was on the day.';
COMMENT ON COLUMN engagement.sequence_daily.unique_positive_replies IS 'Runs whose first positive reply was on the day.';
COMMENT ON COLUMN engagement.sequence_daily.unique_hot_leads IS 'Runs that first became hot leads on the day.';
COMMENT ON COLUMN engagement.sequence_daily.unique_meetings IS 'Runs whose first meeting was booked on the day.';
COMMENT ON COLUMN engagement.sequence_daily.active_runs IS 'Runs that had begun and were neither completed nor stopped at the end of the day. Includes paused and left-censored runs.';
COMMENT ON COLUMN engagement.sequence_daily.is_closed IS 'TRUE when the day was over when it was last read. The numbers of an open day can still grow.';
COMMENT ON COLUMN engagement.sequence_daily.sent_expected IS 'Median of total_sent over the closed days on the same weekday in the $anomaly_weeks weeks before. NULL when there are fewer than $anomaly_weeks_known such days (rules anomaly_weeks, anomaly_weeks_known).';
COMMENT ON COLUMN engagement.sequence_daily.sent_deviation IS 'total_sent minus sent_expected, divided by the median absolute deviation of total_sent over the same days. NULL when sent_expected is NULL or that deviation is 0.';
COMMENT ON COLUMN engagement.sequence_daily.is_volume_anomaly IS 'TRUE when sent_deviation is at least $anomaly_mads up or down (rule anomaly_mads). NULL when sent_deviation is NULL or the day is open.';
