{% from 'rates.jinja' import rate, rate_comments %}
{% from 'horizon.jinja' import horizon %}
{% macro actions(which) %}coalesce(sum(actions) FILTER ({{ which }}), 0)::BIGINT{% endmacro %}
-- Grain: sequence_template_id, step, inferred_position, channel
CREATE OR REPLACE TABLE engagement.sequence_steps AS
WITH {{ horizon() }}, actions AS (
    -- First by all that is asked of an action, then by step: the many rows are read once.
    SELECT
        sequence_template_id,
        step,
        CASE WHEN step IS NULL THEN position END AS inferred_position, -- shown only where no step is known
        channel,
        type = 'sequence_step.skipped' AS is_skipped,
        position IS NOT NULL AS is_touch,
        is_touch AND NOT is_repeat AS is_arrival, -- the run's first touch here
        is_first_reply,
        is_first_reply AND replied_in_time AS is_answered,
        is_replied_before,
        acted_at <= closed_until AS is_closed,
        run_over_at <= as_of AS is_settled,
        exit_reason,
        count(*) AS actions
    FROM engagement.sequence_actions
    CROSS JOIN (SELECT as_of, as_of - to_days($message_reply_window_days::INTEGER) AS closed_until FROM horizon)
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
        {{ actions('is_first_reply') }} AS replies,
        {{ actions('is_arrival AND is_settled') }} AS settled,
        {{ actions('is_arrival AND is_settled') }} - {{ actions('exit_reason IS NOT NULL AND is_settled') }} AS advanced,
        {{ actions("exit_reason IN ('replied', 'positive', 'meeting')") }} AS exits_replied,
        {{ actions("exit_reason = 'stopped'") }} AS exits_stopped,
        {{ actions("exit_reason = 'completed'") }} AS exits_completed,
        {{ actions("exit_reason = 'active'") }} AS exits_active,
        {{ actions('NOT is_touch') }} AS ended,
        {{ actions('is_skipped') }} AS skipped
    FROM actions
    GROUP BY ALL
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
{{ rate_comments('engagement.sequence_steps', 'step_reply_rate', 'Of them: whose first valid reply is to a message or an invitation of this row, within its window, which has closed too.', 'Runs that got here without an earlier valid reply and whose window has closed.') }}
{{ rate_comments('engagement.sequence_steps', 'share_of_replies', 'Of them: to this row, whenever. A reply is to the message that it names, else to the last touch in its channel, else to the last one.', "First valid replies of the sequence''s runs that are to any row.") }}
{{ rate_comments('engagement.sequence_steps', 'step_skip_rate', 'Of them: skipped.', 'Times that the step was completed or skipped; NULL where the step is not known.') }}
{{ rate_comments('engagement.sequence_steps', 'advance_rate', "Of them: went on to another row; the run''s last message or invitation is not here.", "Runs that got here and are over: completed, stopped, or still for as long as the window of a run''s replies.") }}
COMMENT ON COLUMN engagement.sequence_steps.exits_replied IS 'Runs whose last message or invitation is here and that brought a valid reply or a meeting.';
COMMENT ON COLUMN engagement.sequence_steps.exits_stopped IS 'Runs whose last message or invitation is here and that were stopped without one.';
COMMENT ON COLUMN engagement.sequence_steps.exits_completed IS 'Runs whose last message or invitation is here and that came to their end without one.';
COMMENT ON COLUMN engagement.sequence_steps.exits_active IS 'Runs whose last message or invitation is here and that have not ended.';
COMMENT ON COLUMN engagement.sequence_steps.step_coverage IS 'Share of the sequence''s messages and invitations whose step is known; the same in all its rows.';
COMMENT ON COLUMN engagement.sequence_steps.as_of IS 'The end of the last closed day (UTC): what the rates know.';
