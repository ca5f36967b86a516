{% from 'rates.jinja' import rate_columns, rate_comments, message_rates %}
{% from 'horizon.jinja' import horizon, quarter, quarters %}
{% set periods = ['lifetime', '7d', '28d', '90d'] %}
-- Grain: sequence_template_id, period
CREATE OR REPLACE TABLE engagement.sequence_summary AS
WITH {{ horizon() }}, {{ quarters() }}, periods AS (
    -- A period of n days is the last n cohort days whose outcome windows have all closed, landed or not.
    SELECT
        'lifetime' AS period, min(day) AS period_start, max(day) AS period_end, max(day) AS last_known_day
    FROM landed_days
    UNION ALL
    SELECT days || 'd', last_mature_day - days + 1, last_mature_day, last_closed_day
    FROM horizon CROSS JOIN (SELECT unnest([7, 28, 90])::INTEGER AS days)
), known AS (
    SELECT periods.*, last_known_day - period_start + 1 - count(landed_days.day) AS days_missing
    FROM periods LEFT JOIN landed_days ON landed_days.day BETWEEN period_start AND last_known_day
    GROUP BY period, period_start, period_end, last_known_day
), business_days AS (
    SELECT last_closed_day - ago::INTEGER AS day
    FROM horizon CROSS JOIN range(2 * $silent_business_days::BIGINT + 3) AS days(ago)
    WHERE isodow(day) <= 5
    ORDER BY day DESC
    LIMIT $silent_business_days
), silence AS (
    SELECT
        silent_since,
        last_closed_day,
        (SELECT count(*) FROM landed_days WHERE NOT is_open AND day BETWEEN silent_since AND last_closed_day)
            = last_closed_day - silent_since + 1 AS is_known
    FROM horizon CROSS JOIN (SELECT min(day) AS silent_since FROM business_days)
), parts AS (
    SELECT
        sequence_template_id,
        day,
        COLUMNS('^(total|unique)_'),
        CASE WHEN day BETWEEN silent_since AND last_closed_day THEN total_sent + total_invitations END AS sent_lately
    FROM engagement.sequence_daily CROSS JOIN silence
    UNION ALL BY NAME
    SELECT
        sequence_template_id,
        day,
        count(*) AS runs,
        count(*) FILTER (completed_at IS NULL AND stopped_at IS NULL) AS runs_active,
        count(*) FILTER (is_paused) AS runs_paused,
        count(*) FILTER (stopped_at IS NOT NULL) AS runs_stopped,
        count(*) FILTER (left_censored) AS runs_left_censored
    FROM engagement.sequence_runs JOIN quarters ON quarter = {{ quarter('first_activity_at') }}
    GROUP BY ALL
    UNION ALL BY NAME
    SELECT
        sequence_template_id,
        day,
        sum(messages_sent) AS messages,
        sum(replies) AS replies,
        count(touches_before_reply) AS repliers,
        sum(touches_before_reply) AS touches
    FROM engagement.sequence_runs JOIN quarters ON quarter = {{ quarter('contacted_at') }}
    WHERE NOT left_censored AND contacted_at IS NOT NULL
    GROUP BY ALL
    UNION ALL BY NAME
    SELECT
        sequence_template_id,
        cohort_day AS day,
        {% for rate in message_rates %}
        {{ rate.name }}_num,
        {{ rate.name }}_den,
        {% endfor %}
        eligible
    FROM engagement.sequence_cohorts
    WHERE axis = 'sent'
), bounds AS (
    SELECT
        {% for period in periods %}
        any_value(period_start) FILTER (period = '{{ period }}') AS start_{{ period }},
        any_value(period_end) FILTER (period = '{{ period }}') AS end_{{ period }},
        {% endfor %}
    FROM known
), halves AS (
    -- By the set of periods that a day is in first, then by period, so that the many rows are read only once.
    SELECT
        sequence_template_id,
        {% for period in periods %}
        coalesce(day BETWEEN start_{{ period }} AND end_{{ period }}, false) AS in_{{ period }},
        {% endfor %}
        sum(COLUMNS(parts.* EXCLUDE (sequence_template_id, day)))::BIGINT
    FROM parts CROSS JOIN bounds
    GROUP BY ALL
), counted AS (
    SELECT
        sequence_template_id,
        period,
        -- Independent of the period.
        coalesce(sum(sent_lately), 0)::BIGINT AS sent_lately,
        coalesce(
            sum(COLUMNS(halves.* EXCLUDE (sequence_template_id, sent_lately{% for period in periods %}, in_{{ period }}{% endfor %})))
                FILTER (CASE period {% for period in periods %}WHEN '{{ period }}' THEN in_{{ period }} {% endfor %}END),
            0)::BIGINT
    FROM halves CROSS JOIN known
    GROUP BY ALL
)
SELECT
    sequence_template_id,
    period,
    period_start,
    period_end,
    templates.name AS sequence_name,
    templates.status,
    COLUMNS('^(total|unique)_'),
    runs,
    runs_active,
    runs_paused,
    runs_stopped,
    runs_left_censored,
    rate(runs_active, runs) AS active_share,
    rate(runs_paused, runs) AS paused_share,
    rate(runs_stopped, runs) AS stopped_share,
    rate(messages, unique_sent) AS messages_per_contacted_run,
    rate(replies, messages) AS replies_per_message,
    rate(touches, repliers) AS touches_to_reply,
    eligible,
    rate(eligible, unique_sent) AS maturity,
    {% for rate in message_rates %}
    {{ rate_columns(rate.name, rate.name ~ '_num', rate.name ~ '_den') }},
    {% endfor %}
    CASE WHEN eligible > 0 THEN
        rank() OVER (PARTITION BY period ORDER BY wilson_low(reply_rate_num, eligible) DESC NULLS LAST) END AS reply_rank,
    CASE WHEN period <> 'lifetime' THEN NULL WHEN runs_active = runs_paused OR sent_lately > 0 THEN false
        WHEN is_known THEN true END AS is_silent,
    as_of,
    days_missing
FROM counted
JOIN known USING (period)
LEFT JOIN topo.sequence_templates AS templates ON templates.id = sequence_template_id
CROSS JOIN horizon
CROSS JOIN silence;

COMMENT ON TABLE engagement.sequence_summary IS 'One row per sequence and period: totals, unique runs, states of runs, and rates over the contacted runs whose outcome window has closed.';
COMMENT ON COLUMN engagement.sequence_summary.sequence_template_id IS 'Id of the sequence. NULL when the activities name none.';
COMMENT ON COLUMN engagement.sequence_summary.period IS 'lifetime: all landed days. 7d, 28d and 90d: the last 7, 28 or 90 days on which every outcome window that began has closed at as_of. These periods end one outcome window before as_of ($reply_window_days days, rule reply_window_days).';
COMMENT ON COLUMN engagement.sequence_summary.period_start IS 'First day of the period, landed or not.';
COMMENT ON COLUMN engagement.sequence_summary.period_end IS 'Last day of the period.';
COMMENT ON COLUMN engagement.sequence_summary.sequence_name IS 'Name of the sequence in Topo when it was last read. NULL when it has not been read, for example because the API key may not read it.';
COMMENT ON COLUMN engagement.sequence_summary.status IS 'Status of the sequence in Topo when it was last read. NULL when it has not been read.';
COMMENT ON COLUMN engagement.sequence_summary.total_found IS 'Enrolments in the period.';
COMMENT ON COLUMN engagement.sequence_summary.total_sent IS 'Messages sent in the period, invitations not included.';
COMMENT ON COLUMN engagement.sequence_summary.total_invitations IS 'Invitations sent in the period.';
COMMENT ON COLUMN engagement.sequence_summary.total_accepted IS 'Invitations accepted in the period.';
COMMENT ON COLUMN engagement.sequence_summary.total_opens IS 'Opens in the period, repeated opens included. Inflated by privacy proxies.';
COMMENT ON COLUMN engagement.sequence_summary.total_clicks IS 'Clicks in the period, repeated clicks included.';
COMMENT ON COLUMN engagement.sequence_summary.total_replies IS 'Replies of any kind in the period, automatic ones included.';
COMMENT ON COLUMN engagement.sequence_summary.total_valid_replies IS 'Replies in the period that are not known to be automatic.';
COMMENT ON COLUMN engagement.sequence_summary.total_positive_replies IS 'Replies in the period that show interest.';
COMMENT ON COLUMN engagement.sequence_summary.total_hot_leads IS 'Hot leads created in the period.';
COMMENT ON COLUMN engagement.sequence_summary.total_meetings IS 'Meetings booked in the period.';
COMMENT ON COLUMN engagement.sequence_summary.unique_found IS 'Runs whose first enrolment was in the period. Excludes left-censored runs, as all unique_ columns do.';
COMMENT ON COLUMN engagement.sequence_summary.unique_sent IS 'Runs whose first message was sent in the period (contacted runs).';
COMMENT ON COLUMN engagement.sequence_summary.unique_invitations IS 'Runs whose first invitation was sent in the period.';
COMMENT ON COLUMN engagement.sequence_summary.unique_accepted IS 'Runs whose first acceptance of an invitation was in the period.';
COMMENT ON COLUMN engagement.sequence_summary.unique_opens IS 'Runs whose first open was in the period.';
COMMENT ON COLUMN engagement.sequence_summary.unique_clicks IS 'Runs whose first click was in the period.';
COMMENT ON COLUMN engagement.sequence_summary.unique_replies IS 'Runs whose first reply of any kind was in the period.';
COMMENT ON COLUMN engagement.sequence_summary.unique_valid_replies IS 'Runs whose first valid reply was in the period.';
COMMENT ON COLUMN engagement.sequence_summary.unique_positive_replies IS 'Runs whose first positive reply was in the period.';
COMMENT ON COLUMN engagement.sequence_summary.unique_hot_leads IS 'Runs that first became hot leads in the period.';
COMMENT ON COLUMN engagement.sequence_summary.unique_meetings IS 'Runs whose first meeting was booked in the period.';
COMMENT ON COLUMN engagement.sequence_summary.runs IS 'Runs whose first activity falls in the period. Includes left-censored runs.';
COMMENT ON COLUMN engagement.sequence_summary.runs_active IS 'Runs counted in runs that are neither completed nor stopped now. Includes paused runs.';
COMMENT ON COLUMN engagement.sequence_summary.runs_paused IS 'Runs counted in runs that are paused now.';
COMMENT ON COLUMN engagement.sequence_summary.runs_stopped IS 'Runs counted in runs that have been stopped.';
COMMENT ON COLUMN engagement.sequence_summary.runs_left_censored IS 'Runs counted in runs that may have begun before the first landed day. They are in totals, but in no unique count and no rate.';
COMMENT ON COLUMN engagement.sequence_summary.active_share IS 'runs_active / runs. NULL when runs is 0.';
COMMENT ON COLUMN engagement.sequence_summary.paused_share IS 'runs_paused / runs. NULL when runs is 0.';
COMMENT ON COLUMN engagement.sequence_summary.stopped_share IS 'runs_stopped / runs. NULL when runs is 0.';
COMMENT ON COLUMN engagement.sequence_summary.messages_per_contacted_run IS 'Messages sent so far to the runs in unique_sent, per run. NULL when unique_sent is 0.';
COMMENT ON COLUMN engagement.sequence_summary.replies_per_message IS 'Replies so far from the runs in unique_sent, automatic ones included, per message sent to them. Not a share: it can exceed 1. NULL when unique_sent is 0.';
COMMENT ON COLUMN engagement.sequence_summary.touches_to_reply IS 'Mean number of messages and invitations up to the first valid reply, over the runs in unique_sent that replied. NULL when none did.';
COMMENT ON COLUMN engagement.sequence_summary.eligible IS 'Runs in unique_sent whose outcome window had closed at as_of.';
COMMENT ON COLUMN engagement.sequence_summary.maturity IS 'eligible / unique_sent, the share of contacted runs that the rates cover. NULL when unique_sent is 0.';
{% for rate in message_rates %}
{{ rate_comments('engagement.sequence_summary', rate.name, rate.num_comment, rate.den_comment) }}
{% endfor %}
COMMENT ON COLUMN engagement.sequence_summary.reply_rank IS 'Rank of the sequence within the period by reply_rate_low, from 1 (highest). NULL when eligible is 0.';
COMMENT ON COLUMN engagement.sequence_summary.is_silent IS 'In period lifetime: TRUE when the sequence has active runs that are not paused but sent no message or invitation from the first of the last $silent_business_days business days (Monday to Friday, rule silent_business_days) to the last closed day. NULL instead of TRUE when one of the days since then is not landed and closed. NULL in other periods.';
COMMENT ON COLUMN engagement.sequence_summary.as_of IS 'End of the last closed day (UTC). The rates count only windows that had closed by then.';
COMMENT ON COLUMN engagement.sequence_summary.days_missing IS 'Days that have not been landed. In period lifetime between the first and the last landed day, in other periods from period_start to the last closed day.';
