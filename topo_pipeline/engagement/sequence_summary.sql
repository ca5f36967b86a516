{% from 'rates.jinja' import rate, rate_comments, message_rates %}
{% from 'horizon.jinja' import horizon, quarter, quarters %}
{% set periods = ['lifetime', '7d', '28d', '90d'] %}
-- Grain: sequence_template_id, period
CREATE OR REPLACE TABLE engagement.sequence_summary AS
WITH {{ horizon() }}, {{ quarters() }}, periods AS (
    -- A period of n days is the last n cohort days whose outcome windows have closed, landed or not.
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
        {% for name, _, _, _, _ in message_rates %}
        {{ name }}_num,
        {{ name }}_den,
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
    -- First by the periods that the days are in, then by period: the many rows are read once.
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
        -- What tells of now and not of a period.
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
    {% for name, _, _, _, _ in message_rates %}
    {{ rate(name, name ~ '_num', name ~ '_den') }},
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

COMMENT ON TABLE engagement.sequence_summary IS 'One row per sequence and period: what it came to, with rates over the runs whose outcome window has closed.';
COMMENT ON COLUMN engagement.sequence_summary.sequence_template_id IS 'The sequence; NULL where the activities name none.';
COMMENT ON COLUMN engagement.sequence_summary.period IS 'lifetime: all landed days. 7d, 28d, 90d: the last so many cohort days whose outcome windows have all closed at as_of; they end a window before it.';
COMMENT ON COLUMN engagement.sequence_summary.period_start IS 'The period''s first day, landed or not.';
COMMENT ON COLUMN engagement.sequence_summary.period_end IS 'The period''s last day.';
COMMENT ON COLUMN engagement.sequence_summary.sequence_name IS 'Its name in Topo, as last known; NULL where the key may not read it.';
COMMENT ON COLUMN engagement.sequence_summary.status IS 'Its status in Topo, as last known.';
COMMENT ON COLUMN engagement.sequence_summary.total_found IS 'Contacts enrolled.';
COMMENT ON COLUMN engagement.sequence_summary.total_sent IS 'Messages sent.';
COMMENT ON COLUMN engagement.sequence_summary.total_invitations IS 'Invitations sent.';
COMMENT ON COLUMN engagement.sequence_summary.total_accepted IS 'Invitations accepted.';
COMMENT ON COLUMN engagement.sequence_summary.total_opens IS 'Opens, every one; privacy proxies inflate them.';
COMMENT ON COLUMN engagement.sequence_summary.total_clicks IS 'Clicks, every one.';
COMMENT ON COLUMN engagement.sequence_summary.total_replies IS 'Replies, automatic ones too.';
COMMENT ON COLUMN engagement.sequence_summary.total_valid_replies IS 'Replies not known to be automatic.';
COMMENT ON COLUMN engagement.sequence_summary.total_positive_replies IS 'Replies classified as interest.';
COMMENT ON COLUMN engagement.sequence_summary.total_hot_leads IS 'Hot leads.';
COMMENT ON COLUMN engagement.sequence_summary.total_meetings IS 'Meetings booked.';
COMMENT ON COLUMN engagement.sequence_summary.unique_found IS 'Runs enrolled.';
COMMENT ON COLUMN engagement.sequence_summary.unique_sent IS 'Runs contacted (a first message sent).';
COMMENT ON COLUMN engagement.sequence_summary.unique_invitations IS 'Runs with an invitation sent.';
COMMENT ON COLUMN engagement.sequence_summary.unique_accepted IS 'Runs with an invitation accepted.';
COMMENT ON COLUMN engagement.sequence_summary.unique_opens IS 'Runs with an open.';
COMMENT ON COLUMN engagement.sequence_summary.unique_clicks IS 'Runs with a click.';
COMMENT ON COLUMN engagement.sequence_summary.unique_replies IS 'Runs with a reply.';
COMMENT ON COLUMN engagement.sequence_summary.unique_valid_replies IS 'Runs with a valid reply.';
COMMENT ON COLUMN engagement.sequence_summary.unique_positive_replies IS 'Runs with a positive reply.';
COMMENT ON COLUMN engagement.sequence_summary.unique_hot_leads IS 'Runs that became hot leads.';
COMMENT ON COLUMN engagement.sequence_summary.unique_meetings IS 'Runs with a meeting.';
COMMENT ON COLUMN engagement.sequence_summary.runs IS 'Runs whose first activity falls in the period, left-censored ones too.';
COMMENT ON COLUMN engagement.sequence_summary.runs_active IS 'Of these runs: now neither completed nor stopped; paused ones count.';
COMMENT ON COLUMN engagement.sequence_summary.runs_paused IS 'Of these runs: now paused.';
COMMENT ON COLUMN engagement.sequence_summary.runs_stopped IS 'Of these runs: stopped.';
COMMENT ON COLUMN engagement.sequence_summary.runs_left_censored IS 'Of these runs: that may have begun before the first landed day: in totals, in no unique and no rate.';
COMMENT ON COLUMN engagement.sequence_summary.active_share IS 'runs_active / runs; NULL without a run.';
COMMENT ON COLUMN engagement.sequence_summary.paused_share IS 'runs_paused / runs; NULL without a run.';
COMMENT ON COLUMN engagement.sequence_summary.stopped_share IS 'runs_stopped / runs; NULL without a run.';
COMMENT ON COLUMN engagement.sequence_summary.messages_per_contacted_run IS 'Messages so far to the runs in unique_sent, per run.';
COMMENT ON COLUMN engagement.sequence_summary.replies_per_message IS 'Replies so far of the runs in unique_sent, automatic ones too, per message to them; not a share, it can exceed 1.';
COMMENT ON COLUMN engagement.sequence_summary.touches_to_reply IS 'Messages and invitations up to the first valid reply: their mean over the runs in unique_sent that replied.';
COMMENT ON COLUMN engagement.sequence_summary.eligible IS 'Of the runs in unique_sent: whose outcome window had closed at as_of.';
COMMENT ON COLUMN engagement.sequence_summary.maturity IS 'eligible / unique_sent: the share of contacted runs that the rates already know.';
{% for name, _, _, num, den in message_rates %}
{{ rate_comments('engagement.sequence_summary', name, num, den) }}
{% endfor %}
COMMENT ON COLUMN engagement.sequence_summary.reply_rank IS 'Rank within the period by reply_rate_low, never by the rate; NULL where nothing is eligible.';
COMMENT ON COLUMN engagement.sequence_summary.is_silent IS 'Lifetime only: whether it has active runs that are not paused, and no message or invitation was sent since the last $silent_business_days business days (Monday to Friday) up to as_of began (rule silent_business_days); NULL where one of the days since then is not landed and closed.';
COMMENT ON COLUMN engagement.sequence_summary.as_of IS 'The end of the last closed day (UTC): what the rates know.';
COMMENT ON COLUMN engagement.sequence_summary.days_missing IS 'Days that were never landed: in lifetime between the first and the last landed one, else from period_start to the last day of the period''s outcome windows.';
