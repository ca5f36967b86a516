{% from 'rates.jinja' import rate_columns, rate_comments %}
{% from 'horizon.jinja' import horizon, quarter, windows %}
{% from 'runs.jinja' import channels, days %}
{% macro actions(which) %}coalesce(sum(actions) FILTER ({{ which }}), 0)::BIGINT{% endmacro %}
-- Grain: sequence_template_id, step, inferred_position, channel
WITH {{ horizon() }}, {{ windows({'reply': '$message_reply_window_days'}) }}, actions AS (
    -- By all conditions first, then by step, so that the many rows are read only once.
    SELECT
        sequence_template_id,
        step,
        CASE WHEN step IS NULL THEN position END AS inferred_position, -- only when the step is unknown
        channel,
        type = 'sequence_step.skipped' AS is_skipped,
        position IS NOT NULL AS is_touch,
        is_touch AND NOT is_repeat AS is_arrival, -- the run's first touch in this row
        is_first_reply,
        -- From the run's first touch in this row, so that an unknown day leaves out a run whether it replied or not.
        is_first_reply AND epoch_us(replied_at) - epoch_us(arrived_at) <= {{ days('$message_reply_window_days') }} AS is_answered,
        is_replied_before,
        is_first_positive_reply,
        is_first_opt_out,
        channel = 'EMAIL' AND opened_at IS NOT NULL AS is_opened,
        channel = 'EMAIL' AND clicked_at IS NOT NULL AS is_clicked,
        coalesce(arrived_at <= until_reply, false) AS is_over,
        is_over AND unknown_reply = 0 AS is_closed,
        is_over AND unknown_reply > 0 AS is_left_out,
        run_over_at <= as_of AS is_settled,
        exit_reason,
        count(*) AS actions
    FROM engagement.sequence_actions
    LEFT JOIN windows ON quarter = {{ quarter('arrived_at') }}
    CROSS JOIN horizon
    WHERE type <> 'task.created' AND (position IS NOT NULL OR step IS NOT NULL) AND NOT left_censored
    GROUP BY ALL
), counted AS (
    SELECT
        sequence_template_id,
        step,
        inferred_position,
        channel,
        {{ actions('is_arrival') }} AS runs_reached,
        {{ actions('is_touch') }} AS sends,
        {{ actions('is_arrival AND is_closed AND NOT is_replied_before') }} AS eligible,
        {{ actions('is_answered AND is_closed') }} AS replied,
        {{ actions('is_arrival AND is_left_out AND NOT is_replied_before') }} AS left_out_for_reply,
        {{ actions('is_first_reply') }} AS replies,
        {{ actions('is_arrival AND is_settled') }} AS settled,
        {{ actions('is_arrival AND is_settled') }} - {{ actions('exit_reason IS NOT NULL AND is_settled') }} AS advanced,
        {{ actions("exit_reason IN ('replied', 'positive', 'meeting')") }} AS exits_replied,
        {{ actions("exit_reason = 'stopped'") }} AS exits_stopped,
        {{ actions("exit_reason = 'completed'") }} AS exits_completed,
        {{ actions("exit_reason = 'active'") }} AS exits_active,
        {{ actions('NOT is_touch') }} AS ended,
        {{ actions('is_skipped') }} AS skipped,
        {{ actions('is_opened') }} AS opens,
        {{ actions('is_clicked') }} AS clicks,
        {{ actions('is_first_positive_reply') }} AS positive_replies,
        {{ actions('is_first_opt_out') }} AS opt_outs
    FROM actions
    GROUP BY ALL
), waiting AS (
    SELECT
        sequence_template_id, last_completed_step AS step, last_completed_channel AS channel, count(*) AS active_runs
    FROM engagement.sequence_runs
    WHERE NOT left_censored AND completed_at IS NULL AND stopped_at IS NULL AND last_completed_step IS NOT NULL
    GROUP BY ALL
), untracked AS (
    SELECT sequence_template_id, tracking_off
    FROM engagement.sequence_channels
    WHERE period = 'lifetime' AND tracking_off
), shown AS (
    SELECT
        counted.* REPLACE (
            if(counted.step IS NOT NULL, skipped, NULL) AS skipped, if(counted.step IS NOT NULL, ended, NULL) AS ended,
            if(counted.channel = 'EMAIL' AND tracking_off IS NULL, opens, NULL) AS opens,
            if(counted.channel = 'EMAIL' AND tracking_off IS NULL, clicks, NULL) AS clicks),
        if(counted.step IS NOT NULL, coalesce(active_runs, 0), NULL) AS active_runs,
        (sum(replies) OVER of_sequence)::BIGINT AS replies_of_sequence,
        (sum(sends) FILTER (counted.step IS NOT NULL) OVER of_sequence)::BIGINT AS sends_with_step,
        (sum(sends) OVER of_sequence)::BIGINT AS sends_of_sequence
    FROM counted LEFT JOIN waiting
        ON waiting.sequence_template_id IS NOT DISTINCT FROM counted.sequence_template_id
        AND waiting.step = counted.step AND waiting.channel = counted.channel
    LEFT JOIN untracked ON untracked.sequence_template_id IS NOT DISTINCT FROM counted.sequence_template_id
    WINDOW of_sequence AS (PARTITION BY counted.sequence_template_id)
)
SELECT
    sequence_template_id,
    step,
    inferred_position,
    channel,
    runs_reached,
    sends,
    left_out_for_reply,
    {{ rate_columns('step_reply_rate', 'replied', 'eligible') }},
    {{ rate_columns('share_of_replies', 'replies', 'replies_of_sequence') }},
    {{ rate_columns('step_skip_rate', 'skipped', 'ended') }},
    {{ rate_columns('advance_rate', 'advanced', 'settled') }},
    exits_replied,
    exits_stopped,
    exits_completed,
    exits_active,
    opens,
    clicks,
    positive_replies,
    opt_outs,
    active_runs,
    rate(coalesce(sends_with_step, 0), sends_of_sequence) AS step_coverage,
    as_of
FROM shown CROSS JOIN horizon;

COMMENT ON TABLE engagement.sequence_steps IS 'One row per sequence, step and channel: how many runs reached it and what followed. When the step is unknown, rows are by inferred_position instead, the position of the message or invitation in its run. Excludes left-censored runs.';
COMMENT ON COLUMN engagement.sequence_steps.sequence_template_id IS 'Id of the sequence. NULL when the activities name none.';
COMMENT ON COLUMN engagement.sequence_steps.step IS 'Step number that Topo sends. NULL when it sends none.';
COMMENT ON COLUMN engagement.sequence_steps.inferred_position IS 'When step is NULL: position of the message or invitation among those of its run, from 1. Not a step number, since manual steps send nothing. NULL when step is known.';
COMMENT ON COLUMN engagement.sequence_steps.channel IS '{{ channels }}';
COMMENT ON COLUMN engagement.sequence_steps.runs_reached IS 'Runs with a message or invitation in this row. 0 for a step that sends nothing, such as a task.';
COMMENT ON COLUMN engagement.sequence_steps.sends IS 'Messages and invitations sent.';
COMMENT ON COLUMN engagement.sequence_steps.left_out_for_reply IS 'Runs without an earlier valid reply whose first message or invitation in this row has a window for replies that has closed but contains an unknown day, so they are not in step_reply_rate. Load that day to get them back.';
{{ rate_comments('engagement.sequence_steps', 'step_reply_rate', 'Runs in step_reply_rate_den whose first valid reply answers a message or invitation in this row, at most $message_reply_window_days days after the first of them (rule message_reply_window_days).', 'Runs without an earlier valid reply whose first message or invitation in this row was sent at least $message_reply_window_days days before as_of (rule message_reply_window_days), with no unknown day in that window.') }}
{{ rate_comments('engagement.sequence_steps', 'share_of_replies', 'Runs whose first valid reply answers a message or invitation in this row, however late. A reply belongs to the message that it names; else to the last message or invitation on its channel before it; else to the last one on any channel.', 'Runs of the sequence whose first valid reply answers a message or invitation in any row.') }}
{{ rate_comments('engagement.sequence_steps', 'step_skip_rate', 'Times that the step was skipped. NULL when the step is unknown.', 'Times that the step was completed or skipped. NULL when the step is unknown.') }}
{{ rate_comments('engagement.sequence_steps', 'advance_rate', 'Runs in advance_rate_den whose last message or invitation is in another row.', 'Runs that reached this row and were over at as_of: completed, stopped, or without an activity for $reply_window_days days (rule reply_window_days).') }}
COMMENT ON COLUMN engagement.sequence_steps.exits_replied IS 'Runs whose last message or invitation is in this row and whose exit_reason is replied, positive or meeting.';
COMMENT ON COLUMN engagement.sequence_steps.exits_stopped IS 'Runs whose last message or invitation is in this row and whose exit_reason is stopped.';
COMMENT ON COLUMN engagement.sequence_steps.exits_completed IS 'Runs whose last message or invitation is in this row and whose exit_reason is completed.';
COMMENT ON COLUMN engagement.sequence_steps.exits_active IS 'Runs whose last message or invitation is in this row and whose exit_reason is active.';
COMMENT ON COLUMN engagement.sequence_steps.opens IS 'Emails in this row that were opened, however late. NULL on other channels and when tracking is off (see sequence_channels).';
COMMENT ON COLUMN engagement.sequence_steps.clicks IS 'Emails in this row with a click, however late. NULL on other channels and when tracking is off (see sequence_channels).';
COMMENT ON COLUMN engagement.sequence_steps.positive_replies IS 'Runs whose first positive reply answers a message or invitation in this row, however late.';
COMMENT ON COLUMN engagement.sequence_steps.opt_outs IS 'Runs whose first opt-out reply answers a message or invitation in this row, however late. There can be more opt-outs than replies say.';
COMMENT ON COLUMN engagement.sequence_steps.active_runs IS 'Runs that are neither completed nor stopped and whose last completed step is this one. NULL when the step is unknown.';
COMMENT ON COLUMN engagement.sequence_steps.step_coverage IS 'Share of the messages and invitations of the sequence whose step is known, from 0 to 1. The same in all rows of the sequence. NULL when it sent none.';
COMMENT ON COLUMN engagement.sequence_steps.as_of IS 'End of the last known day (UTC). The rates count only windows that had closed by then.';
