{% from 'counts.jinja' import count_comments, counted, reply_counts %}
{% from 'horizon.jinja' import quarter, quarters %}
{% from 'volumes.jinja' import same_weekday, sent_before, sent_expected %}
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
), together AS (
    SELECT *, sum(total_sent) OVER (PARTITION BY day) > 0 AS workspace_sent FROM filled
), compared AS (
    SELECT *, {{ sent_before('is_known AND workspace_sent') }}
    FROM together
    {{ same_weekday('sequence_template_id, ') }}
)
SELECT
    compared.* EXCLUDE (workspace_sent, sent_before),
    {{ sent_expected }},
    -- Six of eight, so that two weeks of holidays don't stop the comparison.
    CASE WHEN is_known AND len(sent_before) >= 6 AND is_judged(sequence_template_id, status)
        THEN total_sent = 0 AND workspace_sent AND list_min(sent_before) >= 3 AND sent_expected >= 10 END
        AS is_volume_anomaly
FROM compared LEFT JOIN topo.sequence_templates AS templates ON templates.id = sequence_template_id;

COMMENT ON TABLE engagement.sequence_daily IS 'One row per sequence and landed day, from the first day of the sequence to the last landed day. total_ columns count activities of the day. unique_ columns count runs whose first such activity ever falls on the day, so they can be summed over days.';
COMMENT ON COLUMN engagement.sequence_daily.sequence_template_id IS 'Id of the sequence. An activity that names no sequence belongs to the only other sequence of its run, if there is exactly one; otherwise NULL.';
COMMENT ON COLUMN engagement.sequence_daily.day IS 'The reporting day. A day that has not been landed has no row.';
{{ count_comments('engagement.sequence_daily', 'on the day') }}
COMMENT ON COLUMN engagement.sequence_daily.active_runs IS 'Runs that had begun and were neither completed nor stopped at the end of the day. Includes paused and left-censored runs.';
COMMENT ON COLUMN engagement.sequence_daily.is_closed IS 'TRUE when the day was over when it was last read. The numbers of an open day can still grow.';
COMMENT ON COLUMN engagement.sequence_daily.is_known IS 'TRUE when the day was over when it was last read and was proved complete.';
COMMENT ON COLUMN engagement.sequence_daily.sent_expected IS 'Median of total_sent on the same weekday in the 8 weeks before. Unknown days, and days on which the whole workspace sent nothing, do not count. NULL when fewer than 4 days count.';
COMMENT ON COLUMN engagement.sequence_daily.is_volume_anomaly IS 'TRUE when the sequence sent nothing although it sent 3 messages or more on each of the days that sent_expected covers, and sent_expected is 10 or more. FALSE when the whole workspace sent nothing. NULL when sent_expected covers fewer than 6 days, the day is unknown, sequence_template_id is NULL, or the sequence is known not to be ACTIVE. sequence_volumes has unusual weeks.';
