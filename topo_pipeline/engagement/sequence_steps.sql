{% from 'rates.jinja' import rate, rate_comments %}
{% from 'touches.jinja' import events, horizon, replies %}
-- Grain: sequence_template_id, step, inferred_position, channel
CREATE OR REPLACE TABLE engagement.sequence_steps AS
WITH {{ horizon() }}, {{ events(['message.sent', 'invitation.sent', 'message.replied', 'sequence_step.completed',
    'sequence_step.skipped']) }}, {{ replies() }}, first_replies AS (
    SELECT run, min(created_at) AS replied_at, arg_min_null(touch_id, (created_at, id)) AS touch_id
    FROM replies
    GROUP BY run
), touches AS (
    -- Every touch has a position in its run; it is shown only where no step is known.
    SELECT
        run, id, sequence_template_id, created_at, channel_group AS channel, step_number AS step,
        CASE WHEN step_number IS NULL THEN row_number() OVER in_run END AS inferred_position,
        lead(id) OVER in_run IS NULL AS is_last
    FROM events
    WHERE is_touch AND NOT left_censored
    WINDOW in_run AS (PARTITION BY run ORDER BY created_at, id)
), reached AS (
    SELECT
        touches.sequence_template_id, step, inferred_position, channel, run, exit_reason, replied_at,
        min(touches.created_at) AS reached_at,
        count(*) AS sends,
        bool_or(is_last) AS is_exit,
        coalesce(bool_or(id = touch_id), false) AS is_answered,
        coalesce(least(completed_at, stopped_at) < as_of, false)
            OR coalesce(last_activity_at + to_days($reply_window_days::INTEGER) <= as_of, false) AS is_settled
    FROM touches
    JOIN runs USING (run)
    LEFT JOIN first_replies USING (run)
    CROSS JOIN horizon
    GROUP BY ALL
), parts AS (
    SELECT
        sequence_template_id, step, inferred_position, channel,
        count(*) AS runs_reached,
        sum(sends) AS sends,
        count(*) FILTER (is_eligible) AS eligible,
        count(*) FILTER (
            is_eligible AND is_answered
            AND replied_at <= reached_at + to_days($message_reply_window_days::INTEGER)) AS replied,
        count(*) FILTER (is_answered) AS replies,
        count(*) FILTER (is_settled) AS settled,
        count(*) FILTER (is_settled AND NOT is_exit) AS advanced,
        count(*) FILTER (is_exit AND exit_reason IN ('replied', 'positive', 'meeting')) AS exits_replied,
        count(*) FILTER (is_exit AND exit_reason = 'stopped') AS exits_stopped,
        count(*) FILTER (is_exit AND exit_reason = 'completed') AS exits_completed,
        count(*) FILTER (is_exit AND exit_reason = 'active') AS exits_active
    FROM (
        SELECT
            *,
            reached_at + to_days($message_reply_window_days::INTEGER) <= as_of
                AND coalesce(replied_at >= reached_at, true) AS is_eligible
        FROM reached CROSS JOIN horizon
    )
    GROUP BY ALL
    UNION ALL BY NAME
    SELECT
        sequence_template_id,
        step_number AS step,
        channel_group AS channel,
        count(*) AS ended,
        count(*) FILTER (type = 'sequence_step.skipped') AS skipped
    FROM events
    WHERE type IN ('sequence_step.completed', 'sequence_step.skipped') AND step_number IS NOT NULL AND NOT left_censored
    GROUP BY ALL
), counted AS (
    SELECT
        sequence_template_id,
        step,
        inferred_position,
        channel,
        coalesce(sum(COLUMNS(* EXCLUDE (sequence_template_id, step, inferred_position, channel))), 0)::BIGINT
    FROM parts
    GROUP BY sequence_template_id, step, inferred_position, channel
), shown AS (
    SELECT
        * REPLACE (if(step IS NOT NULL, skipped, NULL) AS skipped, if(step IS NOT NULL, ended, NULL) AS ended),
        (sum(replies) OVER of_sequence)::BIGINT AS replies_of_sequence,
        (sum(sends) FILTER (step IS NOT NULL) OVER of_sequence)::BIGINT AS sends_with_step,
        (sum(sends) OVER of_sequence)::BIGINT AS sends_of_sequence
    FROM counted
    WINDOW of_sequence AS (PARTITION BY sequence_template_id)
)
SELECT
    sequence_template_id,
    step,
    inferred_position,
    channel,
    runs_reached,
    sends,
    {{ rate('step_reply_rate', 'replied', 'eligible') }},
    {{ rate('share_of_replies', 'replies', 'replies_of_sequence') }},
    {{ rate('step_skip_rate', 'skipped', 'ended') }},
    {{ rate('advance_rate', 'advanced', 'settled') }},
    exits_replied,
    exits_stopped,
    exits_completed,
    exits_active,
    rate(coalesce(sends_with_step, 0), sends_of_sequence) AS step_coverage,
    as_of
FROM shown CROSS JOIN horizon;

COMMENT ON TABLE engagement.sequence_steps IS 'One row per sequence, step and channel: how many runs got there, and what became of them. Where the step is not known the position of the send in its run stands instead, in a column of its own. Left-censored runs are in no number.';
COMMENT ON COLUMN engagement.sequence_steps.sequence_template_id IS 'The sequence; NULL where the activities name none.';
COMMENT ON COLUMN engagement.sequence_steps.step IS 'The step''s number as Topo tells it; NULL where it doesn''t.';
COMMENT ON COLUMN engagement.sequence_steps.inferred_position IS 'Where no step is known: the position of the send among the messages and invitations of its run, from 1. Not a step: manual steps leave no send.';
COMMENT ON COLUMN engagement.sequence_steps.channel IS 'EMAIL, LINKEDIN, MANUAL; OTHER for what Topo adds, NONE where nothing tells.';
COMMENT ON COLUMN engagement.sequence_steps.runs_reached IS 'Runs with a message or an invitation of this row; a step without one (a task, say) shows 0.';
COMMENT ON COLUMN engagement.sequence_steps.sends IS 'Messages and invitations.';
{{ rate_comments('engagement.sequence_steps', 'step_reply_rate', 'Of them: whose first valid reply, within the window of a message''s replies, is to this row.', 'Runs that got here without an earlier valid reply and whose window has closed.') }}
{{ rate_comments('engagement.sequence_steps', 'share_of_replies', 'Of them: to this row, whenever. A reply is to the message that it names, else to the last touch in its channel, else to the last one.', 'First valid replies of the sequence''s runs that are to any row.') }}
{{ rate_comments('engagement.sequence_steps', 'step_skip_rate', 'Of them: skipped.', 'Times that the step was completed or skipped; NULL where the step is not known.') }}
{{ rate_comments('engagement.sequence_steps', 'advance_rate', 'Of them: went on to another row; the run''s last message or invitation is not here.', 'Runs that got here and are over: completed, stopped, or still for as long as the window of a run''s replies.') }}
COMMENT ON COLUMN engagement.sequence_steps.exits_replied IS 'Runs whose last message or invitation is here and that brought a valid reply or a meeting.';
COMMENT ON COLUMN engagement.sequence_steps.exits_stopped IS 'Runs whose last message or invitation is here and that were stopped without one.';
COMMENT ON COLUMN engagement.sequence_steps.exits_completed IS 'Runs whose last message or invitation is here and that came to their end without one.';
COMMENT ON COLUMN engagement.sequence_steps.exits_active IS 'Runs whose last message or invitation is here and that have not ended.';
COMMENT ON COLUMN engagement.sequence_steps.step_coverage IS 'Share of the sequence''s messages and invitations whose step is known; the same in all its rows.';
COMMENT ON COLUMN engagement.sequence_steps.as_of IS 'The end of the last closed day (UTC): what the rates know.';
