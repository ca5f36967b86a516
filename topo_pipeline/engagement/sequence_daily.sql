{% from 'counts.jinja' import count_comments, counted, reply_counts %}
{% from 'horizon.jinja' import quarter, quarters %}
-- Grain: sequence_template_id, day
WITH {{ quarters() }}, unresolved AS (
    SELECT DISTINCT sequence_id FROM engagement.sequence_activity WHERE sequence_id IS NOT NULL
), resolved AS (
    -- sequence_runs has found the sequence of the runs that some activities name without one.
    SELECT sequence_id, any_value(sequence_template_id) AS resolved_id
    FROM engagement.sequence_runs SEMI JOIN unresolved USING (sequence_id)
    GROUP BY ALL
    HAVING count(*) = 1
), totals AS (
    SELECT
        coalesce(sequence_template_id, resolved_id) AS sequence_template_id,
        day,
        sum(COLUMNS({{ counted }}))::BIGINT
    FROM engagement.sequence_activity LEFT JOIN resolved USING (sequence_id)
    GROUP BY ALL
), instant AS (
    SELECT sequence_template_id, day, count(*) AS opens_instant
    FROM engagement.sequence_responses JOIN quarters ON quarter = {{ quarter('responded_at') }}
    WHERE type = 'message.opened'
    GROUP BY ALL
), begun AS (
    SELECT sequence_template_id, min(day) AS first_day FROM totals GROUP BY ALL
), grid AS (
    -- Every landed day from the sequence's first day on: a quiet day is 0, and a day that has not landed has no row.
    SELECT sequence_template_id, day, NOT is_open AS is_closed, is_known FROM begun JOIN landed_days ON day >= first_day
), filled AS (
    SELECT
        grid.sequence_template_id,
        grid.day,
        coalesce(COLUMNS({{ counted }}), 0),
        coalesce(sum(runs_begun - runs_ended) OVER (PARTITION BY grid.sequence_template_id ORDER BY grid.day), 0)::BIGINT
            AS active_runs,
        is_closed,
        is_known
    FROM grid
    LEFT JOIN totals
        ON totals.sequence_template_id IS NOT DISTINCT FROM grid.sequence_template_id AND totals.day = grid.day
    LEFT JOIN engagement.sequence_firsts AS firsts
        ON firsts.sequence_template_id IS NOT DISTINCT FROM grid.sequence_template_id AND firsts.day = grid.day
    LEFT JOIN instant
        ON instant.sequence_template_id IS NOT DISTINCT FROM grid.sequence_template_id AND instant.day = grid.day
), usual AS (
    SELECT *, list(total_sent) FILTER (is_closed) OVER same_weekday AS sent_before
    FROM filled
    WINDOW same_weekday AS (
        PARTITION BY sequence_template_id, isodow(day) ORDER BY day
        RANGE BETWEEN to_days(7 * $anomaly_weeks::INTEGER) PRECEDING AND to_days(7) PRECEDING)
)
SELECT
    usual.* EXCLUDE (sent_before),
    CASE WHEN len(sent_before) >= $anomaly_weeks_known THEN list_median(sent_before) END AS sent_expected,
    (total_sent - sent_expected) / nullif(list_mad(sent_before), 0) AS sent_deviation,
    CASE WHEN is_closed AND is_judged(sequence_template_id, status) THEN abs(sent_deviation) >= $anomaly_mads END
        AS is_volume_anomaly
FROM usual LEFT JOIN topo.sequence_templates AS templates ON templates.id = sequence_template_id;

COMMENT ON TABLE engagement.sequence_daily IS 'One row per sequence and landed day, from the first day of the sequence to the last landed day. total_ columns count activities of the day. unique_ columns count runs whose first such activity ever falls on the day, so they can be summed over days.';
COMMENT ON COLUMN engagement.sequence_daily.sequence_template_id IS 'Id of the sequence. An activity that names no sequence belongs to the only other sequence of its run, if there is exactly one; otherwise NULL.';
COMMENT ON COLUMN engagement.sequence_daily.day IS 'The reporting day. A day that has not been landed has no row.';
{{ count_comments('engagement.sequence_daily', 'on the day') }}
COMMENT ON COLUMN engagement.sequence_daily.active_runs IS 'Runs that had begun and were neither completed nor stopped at the end of the day. Includes paused and left-censored runs.';
COMMENT ON COLUMN engagement.sequence_daily.is_closed IS 'TRUE when the day was over when it was last read. The numbers of an open day can still grow.';
COMMENT ON COLUMN engagement.sequence_daily.is_known IS 'TRUE when the day was over when it was last read and was proved complete.';
COMMENT ON COLUMN engagement.sequence_daily.sent_expected IS 'Median of total_sent over the closed days on the same weekday in the $anomaly_weeks weeks before. NULL when there are fewer than $anomaly_weeks_known such days (rules anomaly_weeks, anomaly_weeks_known).';
COMMENT ON COLUMN engagement.sequence_daily.sent_deviation IS 'total_sent minus sent_expected, divided by the median absolute deviation of total_sent over the same days. NULL when sent_expected is NULL or that deviation is 0.';
COMMENT ON COLUMN engagement.sequence_daily.is_volume_anomaly IS 'TRUE when sent_deviation is at least $anomaly_mads up or down (rule anomaly_mads). NULL when sent_deviation is NULL, the day is open, sequence_template_id is NULL, or the sequence is known not to be ACTIVE.';
