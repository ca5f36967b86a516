{% from 'horizon.jinja' import horizon %}
{% from 'volumes.jinja' import days %}
-- Grain: scope, sequence_template_id, week_start
WITH {{ horizon() }}, weeks AS (
    SELECT
        date_trunc('week', day)::DATE AS week_start,
        count(unknown_days.day) AS days_unknown,
        count(*) FILTER (is_volume_anomaly) AS days_silent
    FROM calendar
    JOIN horizon ON date_trunc('week', day)::DATE + 6 <= last_known_day
    LEFT JOIN unknown_days USING (day)
    LEFT JOIN engagement.workspace_daily USING (day)
    GROUP BY ALL
), sent AS (
    SELECT 'sequence' AS scope, sequence_template_id, day, total_sent
    FROM engagement.sequence_daily
    WHERE sequence_template_id IS NOT NULL
    UNION ALL
    SELECT 'workspace', NULL, day, total_sent FROM engagement.workspace_daily
), begun AS (
    SELECT scope, sequence_template_id, min(day) AS first_day FROM sent GROUP BY ALL
), sums AS (
    SELECT
        scope, sequence_template_id, date_trunc('week', day)::DATE AS week_start,
        sum(total_sent)::BIGINT AS total_sent,
        list(total_sent) FILTER (isodow(day) <= 5) AS weekdays
    FROM sent
    GROUP BY ALL
), followed AS (
    SELECT
        begun.scope, begun.sequence_template_id, weeks.week_start, coalesce(total_sent, 0) AS total_sent, days_unknown,
        days_silent,
        -- The first week is complete if it begins on a Monday.
        greatest(0, (weeks.week_start - date_trunc('week', first_day + 6)::DATE) // 7) AS weeks_before,
        list({'week_start': weeks.week_start, 'total_sent': total_sent, 'weekdays': weekdays})
            FILTER (days_unknown = 0 AND days_silent = 0 AND weeks.week_start >= first_day) OVER eight_weeks AS before
    FROM begun
    JOIN weeks ON week_start + 6 >= first_day
    LEFT JOIN sums
        ON sums.scope = begun.scope AND sums.week_start = weeks.week_start
        AND sums.sequence_template_id IS NOT DISTINCT FROM begun.sequence_template_id
    WINDOW eight_weeks AS (
        PARTITION BY begun.scope, begun.sequence_template_id ORDER BY weeks.week_start
        RANGE BETWEEN INTERVAL 56 DAY PRECEDING AND INTERVAL 7 DAY PRECEDING)
), counted AS (
    SELECT
        * EXCLUDE (before),
        coalesce(len(before), 0) AS full_weeks,
        CASE WHEN weeks_before >= 8 AND full_weeks >= 6 THEN before END AS compared_with,
        list_transform(list_reverse_sort(compared_with), lambda week: week.total_sent) AS totals,
        flatten(list_transform(compared_with, lambda week: week.weekdays)) AS weekdays
    FROM followed
), measured AS (
    -- Sums of integers are exact, so no number depends on the order of the rows. greatest() ignores NULL.
    SELECT
        *,
        list_sum(totals[:4]) / 4 AS sent_usual,
        1.59 * list_mad(weekdays) / sqrt(greatest(list_median(weekdays), 1)) AS phi_of_days,
        (full_weeks * list_sum(list_transform(totals, lambda total: total * total)) - list_sum(totals) * list_sum(totals))
            / (full_weeks * (full_weeks - 1)) AS variance_of_weeks,
        sqrt(variance_of_weeks / greatest(list_sum(totals) / full_weeks, 1)) AS phi_of_weeks,
        -- Eight weeks show only roughly how much they vary. Where it is clearly more than chance, phi must allow for that.
        CASE WHEN totals IS NOT NULL
            THEN greatest(1.0, phi_of_days, phi_of_weeks * if(phi_of_weeks >= 1.8, 1.7, 1)) END AS phi,
        CASE WHEN totals IS NOT NULL THEN greatest(3.5 * phi * sqrt(1.25 * sent_usual), 10, 0.35 * sent_usual) END
            AS threshold
    FROM counted
), explained AS (
    SELECT
        *,
        CASE
            WHEN scope = 'sequence' AND NOT is_judged(sequence_template_id, status) THEN 'not active'
            WHEN days_unknown > 0 THEN {{ days('days_unknown') }} || ' unknown'
            WHEN scope = 'sequence' AND days_silent > 0
                THEN 'the whole workspace sent nothing on ' || {{ days('days_silent') }}
            WHEN weeks_before < 8 THEN 'needs 8 weeks; ' || weeks_before || ' so far'
            WHEN full_weeks < 6 THEN 'needs 6 full weeks among the 8 before; has ' || full_weeks
        END AS not_judged
    FROM measured LEFT JOIN topo.sequence_templates AS templates ON templates.id = sequence_template_id
)
SELECT
    scope, sequence_template_id, week_start, total_sent, days_unknown, days_silent, weeks_before, full_weeks, sent_usual,
    phi, threshold,
    CASE WHEN not_judged IS NOT NULL THEN NULL WHEN abs(total_sent - sent_usual) < threshold THEN 'as_usual'
        WHEN total_sent > sent_usual THEN 'up' ELSE 'down' END AS volume_signal,
    not_judged
FROM explained;

COMMENT ON TABLE engagement.sequence_volumes IS 'One row per ISO week that is over, for each sequence and for the whole workspace: the messages sent, and whether that is unusual compared with the weeks before. A full week is one without an unknown day and without a day on which the whole workspace sent nothing.';
COMMENT ON COLUMN engagement.sequence_volumes.scope IS 'sequence, or workspace for the row of all sequences together. That row includes activities that belong to no sequence.';
COMMENT ON COLUMN engagement.sequence_volumes.sequence_template_id IS 'Id of the sequence. NULL in the rows of the workspace.';
COMMENT ON COLUMN engagement.sequence_volumes.week_start IS 'Monday of the week.';
COMMENT ON COLUMN engagement.sequence_volumes.total_sent IS 'Messages sent on the landed days of the week. Invitations are not messages.';
COMMENT ON COLUMN engagement.sequence_volumes.days_unknown IS 'Unknown days among the seven days of the week.';
COMMENT ON COLUMN engagement.sequence_volumes.days_silent IS 'Days of the week on which the whole workspace sent nothing although it usually does (is_volume_anomaly of workspace_daily), for example holidays.';
COMMENT ON COLUMN engagement.sequence_volumes.weeks_before IS 'Complete weeks from the first day of the sequence, or the first landed day of the workspace, to this week.';
COMMENT ON COLUMN engagement.sequence_volumes.full_weeks IS 'Full weeks among the 8 weeks before.';
COMMENT ON COLUMN engagement.sequence_volumes.sent_usual IS 'Messages usually sent in a week: the mean of the last 4 full weeks among the 8 before. NULL when weeks_before is below 8 or full_weeks is below 6.';
COMMENT ON COLUMN engagement.sequence_volumes.phi IS 'How much more the numbers vary than chance alone explains, in the full weeks among the 8 before: 1 is no more, 2 twice as much. The largest of 1, 1.59 times the median absolute deviation of the Mondays to Fridays divided by the square root of their median, and the standard deviation of the weeks divided by the square root of their mean, which counts 1.7 times where it is 1.8 or more, because so few weeks show it only roughly. Medians and means below 1 count as 1. NULL when sent_usual is NULL.';
COMMENT ON COLUMN engagement.sequence_volumes.threshold IS 'Smallest difference between total_sent and sent_usual that is unusual: the largest of 3.5 times phi times the square root of 1.25 times sent_usual, 10 messages, and 35% of sent_usual. NULL when sent_usual is NULL.';
COMMENT ON COLUMN engagement.sequence_volumes.volume_signal IS 'up or down when total_sent differs from sent_usual by threshold or more, otherwise as_usual. NULL when not_judged says why.';
COMMENT ON COLUMN engagement.sequence_volumes.not_judged IS 'Why the week is not judged: not active, days unknown, the whole workspace sent nothing on a day (for a sequence), or too few weeks before. NULL when it is judged.';
