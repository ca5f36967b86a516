{% from 'rates.jinja' import early_rates, rate_columns, rate_comments %}
{% from 'horizon.jinja' import closed_day, horizon %}
-- Grain: sequence_template_id, week_start
WITH {{ horizon() }}, weeks_unknown AS (
    SELECT date_trunc('week', day)::DATE AS week_start, count(*) AS days_unknown FROM unknown_days GROUP BY ALL
), weeks AS (
    SELECT
        sequence_template_id,
        date_trunc('week', cohort_day)::DATE AS week_start,
        sum(members)::BIGINT AS members,
        coalesce(sum(eligible) FILTER (days_unknown = 0), 0)::BIGINT AS eligible,
        bool_and(is_mature) AS is_mature,
        coalesce(sum(reply_rate_num) FILTER (days_unknown = 0), 0)::BIGINT AS replied,
        {% for rate in early_rates %}
        sum({{ rate.num }})::BIGINT AS {{ rate.name }}_num,
        sum({{ rate.den }})::BIGINT AS {{ rate.name }}_den,
        {% endfor %}
    FROM engagement.sequence_cohorts
    WHERE axis = 'touched'
    GROUP BY ALL
), judged AS (
    SELECT
        weeks.* REPLACE (
            coalesce(is_mature AND weeks_unknown.days_unknown IS NULL
                AND week_start + 6 <= {{ closed_day('$reply_window_days') }}, false) AS is_mature),
        coalesce(weeks_unknown.days_unknown, 0) AS days_unknown
    FROM weeks LEFT JOIN weeks_unknown USING (week_start) CROSS JOIN horizon
)
SELECT
    sequence_template_id,
    week_start,
    members,
    eligible,
    days_unknown,
    is_mature,
    {{ rate_columns('reply_rate', 'replied', 'eligible') }},
    {% for rate in early_rates %}
    {{ rate_columns(rate.name, rate.name ~ '_num', rate.name ~ '_den') }},
    {% endfor %}
FROM judged;

COMMENT ON TABLE engagement.sequence_trends IS 'One row per sequence and ISO week of first messages or invitations: reply rates. Whether a rate has changed is in sequence_signals. Recent weeks have early rates first; their reply rate is final once is_mature is TRUE. Excludes left-censored runs and those whose start is uncertain.';
COMMENT ON COLUMN engagement.sequence_trends.sequence_template_id IS 'Id of the sequence. NULL when the activities name none.';
COMMENT ON COLUMN engagement.sequence_trends.week_start IS 'Monday of the week in which the runs got their first message or invitation. A week without any has no row.';
COMMENT ON COLUMN engagement.sequence_trends.members IS 'Runs whose first message or invitation was sent in the week.';
COMMENT ON COLUMN engagement.sequence_trends.eligible IS 'Members whose outcome window has closed, without cohort days that have an unknown day in their windows.';
COMMENT ON COLUMN engagement.sequence_trends.days_unknown IS 'Unknown days among the seven days of the week.';
COMMENT ON COLUMN engagement.sequence_trends.is_mature IS 'TRUE when the outcome windows of all seven days have closed and no day is unknown in the week or in the windows of the runs that started in it.';
{{ rate_comments('engagement.sequence_trends', 'reply_rate', 'Eligible runs with a valid reply at most $reply_window_days days after their first message or invitation (rule reply_window_days).', 'Eligible runs.') }}
{% for rate in early_rates %}
{{ rate_comments('engagement.sequence_trends', rate.name, rate.num_comment, rate.den_comment) }}
{% endfor %}
