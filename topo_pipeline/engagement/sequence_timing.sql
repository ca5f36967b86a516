{% from 'rates.jinja' import rate_columns, rate_comments %}
{% from 'horizon.jinja' import horizon, quarter, windows %}
{% from 'runs.jinja' import channels %}
-- Grain: sequence_template_id, channel, weekday, hour
WITH {{ horizon() }}, {{ windows({'reply': '$message_reply_window_days'}) }}, hours AS (
    -- The offset of a time zone changes at a quarter of an hour, so a quarter lies within one hour.
    SELECT *, hour(make_timestamptz(quarter * 900_000_000) AT TIME ZONE $timezone) AS hour FROM windows
), counted AS (
    SELECT
        sequence_template_id,
        channel,
        isodow(day) AS weekday,
        hour,
        count(*) AS sends,
        count(*) FILTER (is_closed) AS eligible,
        count(*) FILTER (is_closed AND replied_in_time) AS replied,
        count(*) FILTER (is_left_out) AS left_out_for_reply
    FROM (
        SELECT
            actions.*,
            day,
            hour,
            NOT left_censored AND coalesce(acted_at <= until_reply, false) AS is_over,
            is_over AND unknown_reply = 0 AS is_closed,
            is_over AND unknown_reply > 0 AS is_left_out
        FROM engagement.sequence_actions AS actions
        JOIN hours ON quarter = {{ quarter('acted_at') }}
        WHERE type = 'message.sent'
    )
    GROUP BY ALL
)
SELECT
    rates.* REPLACE (
        {% for column in ['reply_rate', 'reply_rate_low', 'reply_rate_high'] %}
        CASE WHEN reply_rate_den >= $evidence_small THEN {{ column }} END AS {{ column }}{{ ', ' if not loop.last }}
        {% endfor %})
FROM (
    SELECT sequence_template_id, channel, weekday, hour, sends, left_out_for_reply, {{ rate_columns('reply_rate', 'replied', 'eligible') }} FROM counted
) AS rates;

COMMENT ON TABLE engagement.sequence_timing IS 'One row per sequence, channel, weekday and hour of sending: messages and their replies. Some cells always look good by chance, so use it to describe, not to decide.';
COMMENT ON COLUMN engagement.sequence_timing.sequence_template_id IS 'Id of the sequence. NULL when the activities name none.';
COMMENT ON COLUMN engagement.sequence_timing.channel IS '{{ channels }}';
COMMENT ON COLUMN engagement.sequence_timing.weekday IS 'Weekday of the send in the reporting time zone, from 1 (Monday) to 7 (Sunday).';
COMMENT ON COLUMN engagement.sequence_timing.hour IS 'Hour of the send in the reporting time zone, from 0 to 23.';
COMMENT ON COLUMN engagement.sequence_timing.sends IS 'Messages sent. Includes left-censored runs.';
COMMENT ON COLUMN engagement.sequence_timing.left_out_for_reply IS 'Messages whose window for replies has closed but contains an unknown day, so they are not in reply_rate. Load that day to get them back. Excludes left-censored runs.';
{{ rate_comments('engagement.sequence_timing', 'reply_rate', 'Messages in reply_rate_den with a valid reply at most $message_reply_window_days days after the send (rule message_reply_window_days).', 'Messages whose window for replies has closed, with no unknown day in it. Excludes left-censored runs.', unless=', or below $evidence_small (rule evidence_small)') }}
