{% from 'rates.jinja' import rate_columns, rate_comments %}
{% from 'horizon.jinja' import horizon %}
-- Grain: sequence_template_id, week_start
CREATE OR REPLACE TABLE engagement.sequence_trends AS
WITH {{ horizon() }}, weeks AS (
    SELECT
        sequence_template_id,
        date_trunc('week', cohort_day)::DATE AS week_start,
        sum(members)::BIGINT AS members,
        bool_and(is_mature) AS is_mature,
        sum(reply_rate_num)::BIGINT AS replied,
        sum(reply_rate_den)::BIGINT AS closed
    FROM engagement.sequence_cohorts
    WHERE axis = 'sent' AND date_trunc('week', cohort_day)::DATE + 6 <= (SELECT last_mature_day FROM horizon)
    GROUP BY ALL
), followed AS (
    SELECT
        *,
        CASE WHEN lag(week_start) OVER by_week = week_start - 7 THEN lag(replied) OVER by_week END AS replied_before,
        CASE WHEN lag(week_start) OVER by_week = week_start - 7 THEN lag(closed) OVER by_week END AS closed_before,
        lag(is_mature) OVER by_week AS was_mature
    FROM weeks
    WINDOW by_week AS (PARTITION BY sequence_template_id ORDER BY week_start)
), compared AS (
    -- A day missing from the outcome windows of either week would look like a change.
    SELECT
        *,
        closed >= $evidence_small AND closed_before >= $evidence_small AND is_mature AND was_mature AS comparable,
        CASE WHEN comparable THEN rate(replied, closed) - rate(replied_before, closed_before) END AS change,
        CASE WHEN comparable THEN newcombe_low(replied, closed, replied_before, closed_before) END AS change_low,
        CASE WHEN comparable THEN newcombe_high(replied, closed, replied_before, closed_before) END AS change_high
    FROM followed
)
SELECT
    sequence_template_id,
    week_start,
    members,
    is_mature,
    {{ rate_columns('reply_rate', 'replied', 'closed') }},
    replied_before AS previous_num,
    closed_before AS previous_den,
    change,
    change_low,
    change_high,
    CASE WHEN change_low > 0 THEN 'up' WHEN change_high < 0 THEN 'down' WHEN comparable THEN 'no_clear_change' END
        AS signal
FROM compared;

COMMENT ON TABLE engagement.sequence_trends IS 'One row per sequence and ISO week of first messages: the reply rate and its change from the week before. A week appears once the outcome windows of all its seven days have closed. Excludes left-censored runs.';
COMMENT ON COLUMN engagement.sequence_trends.sequence_template_id IS 'Id of the sequence. NULL when the activities name none.';
COMMENT ON COLUMN engagement.sequence_trends.week_start IS 'Monday of the week in which the runs got their first message. A week without first messages has no row.';
COMMENT ON COLUMN engagement.sequence_trends.members IS 'Runs whose first message was sent in the week. All their outcome windows have closed.';
COMMENT ON COLUMN engagement.sequence_trends.is_mature IS 'TRUE when no day of the outcome windows is missing.';
{{ rate_comments('engagement.sequence_trends', 'reply_rate', 'Runs in reply_rate_den whose first valid reply came at most $reply_window_days days after their first message (rule reply_window_days).', 'Runs whose first message was sent in the week.') }}
COMMENT ON COLUMN engagement.sequence_trends.previous_num IS 'reply_rate_num of the week before. NULL when that week has no row.';
COMMENT ON COLUMN engagement.sequence_trends.previous_den IS 'reply_rate_den of the week before. NULL when that week has no row.';
COMMENT ON COLUMN engagement.sequence_trends.change IS 'reply_rate minus reply_rate of the week before, as a difference of shares (0.01 is one percentage point). NULL when either week has fewer than $evidence_small runs (rule evidence_small), a missing day or no row.';
COMMENT ON COLUMN engagement.sequence_trends.change_low IS 'Lower bound of the 95% interval of change (hybrid score interval by Newcombe). NULL when change is NULL.';
COMMENT ON COLUMN engagement.sequence_trends.change_high IS 'Upper bound of the 95% interval of change (hybrid score interval by Newcombe). NULL when change is NULL.';
COMMENT ON COLUMN engagement.sequence_trends.signal IS 'up when change_low is above 0, down when change_high is below 0, otherwise no_clear_change. NULL when change is NULL.';
