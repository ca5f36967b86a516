{% from 'rates.jinja' import rate, rate_comments %}
{% from 'touches.jinja' import events, horizon, last_of, named_message, replies %}
{% macro within(at, window_days) %}{{ at }} <= sent_at + to_days({{ window_days }}::INTEGER){% endmacro %}
-- Grain: sequence_template_id, channel, period
CREATE OR REPLACE TABLE engagement.sequence_channels AS
WITH {{ horizon() }}, periods AS (
    -- What happened from `since` until `until` is of the period; what has an outcome window is in its rates once that
    -- has closed, and did so within the period: what was sent after `x_after` and by `x_by`. Once here, not once a row.
    SELECT
        period,
        if(days IS NULL, '-infinity'::TIMESTAMPTZ, as_of - to_days(days)) AS since,
        if(days IS NULL, 'infinity'::TIMESTAMPTZ, as_of) AS until,
        since - to_days($open_window_days::INTEGER) AS open_after,
        as_of - to_days($open_window_days::INTEGER) AS open_by,
        since - to_days($message_reply_window_days::INTEGER) AS reply_after,
        as_of - to_days($message_reply_window_days::INTEGER) AS reply_by,
        since - to_days($acceptance_window_days::INTEGER) AS accept_after,
        as_of - to_days($acceptance_window_days::INTEGER) AS accept_by
    FROM (VALUES ('lifetime', NULL), ('7d', 7), ('28d', 28), ('90d', 90)) AS periods(period, days) CROSS JOIN horizon
), {{ events(['message.sent', 'message.opened', 'message.link_clicked', 'message.replied', 'invitation.sent',
    'invitation.accepted', 'task.created', 'task.completed', 'task.skipped']) }}, {{ replies() }}, looks AS (
    -- An open or a click is of the message that it names; where it names none, of the run's last email before it.
    SELECT *
    FROM (
        SELECT
            *,
            CASE WHEN message_id IS NULL
                THEN {{ last_of("type = 'message.sent' AND channel = 'EMAIL'", 'run') }}
                ELSE {{ named_message() }} END AS touch_id
        FROM events
        WHERE type IN ('message.sent', 'message.opened', 'message.link_clicked')
            AND run IN (SELECT run FROM events WHERE type IN ('message.opened', 'message.link_clicked'))
    )
    WHERE NOT is_touch
), acceptances AS (
    -- Of the run's last invitation before it, as is a valid reply on LinkedIn.
    SELECT *
    FROM (
        SELECT *, {{ last_of("type = 'invitation.sent'", 'run') }} AS touch_id
        FROM events
        WHERE type IN ('invitation.sent', 'invitation.accepted') OR (is_valid_reply AND channel = 'LINKEDIN')
    )
    WHERE NOT is_touch
), answers AS (
    SELECT touch_id, created_at, 'reply' AS answer FROM replies
    UNION ALL
    SELECT touch_id, created_at, if(type = 'message.opened', 'open', 'click') FROM looks
    UNION ALL
    SELECT touch_id, created_at, if(is_valid_reply, 'reply after it', 'acceptance') FROM acceptances
), touches AS (
    SELECT
        events.id,
        sequence_template_id,
        channel_group AS channel,
        events.created_at AS sent_at,
        events.type = 'message.sent' AS is_message,
        min(answers.created_at) FILTER (answer = 'open') AS opened_at,
        min(answers.created_at) FILTER (
            answer = 'open' AND answers.created_at > events.created_at + to_seconds($instant_open_seconds::INTEGER))
            AS looked_at,
        min(answers.created_at) FILTER (answer = 'click') AS clicked_at,
        min(answers.created_at) FILTER (answer = 'reply') AS replied_at,
        min(answers.created_at) FILTER (answer = 'acceptance') AS accepted_at,
        min(answers.created_at) FILTER (answer = 'reply after it') AS replied_after_at
    FROM events LEFT JOIN answers ON touch_id = events.id
    WHERE is_touch AND NOT left_censored
    GROUP BY ALL
), tasks AS (
    -- A task ends with the first of its closings; what closed before it was created is not believed.
    SELECT
        created.run,
        created.task_id,
        created.sequence_template_id,
        created.channel,
        created.created_at,
        arg_min(closing.type, (closing.created_at, closing.id)) AS closed_by,
        min(closing.created_at) AS closed_at
    FROM (
        SELECT
            run,
            task_id,
            any_value(sequence_template_id) AS sequence_template_id,
            arg_min(channel_group, (created_at, id)) AS channel,
            min(created_at) AS created_at
        FROM events
        WHERE type = 'task.created' AND task_id IS NOT NULL AND NOT left_censored
        GROUP BY run, task_id
    ) AS created
    LEFT JOIN events AS closing
        ON closing.run = created.run
        AND closing.task_id = created.task_id
        AND closing.type IN ('task.completed', 'task.skipped')
        AND closing.created_at >= created.created_at
    GROUP BY ALL
), tracking AS (
    -- A fact about the sequence's mail, whoever's: left-censored runs tell it too.
    SELECT
        sequence_template_id,
        count(*) FILTER (type = 'message.sent' AND channel = 'EMAIL') >= $tracking_off_sends
            AND count(*) FILTER (type IN ('message.opened', 'message.link_clicked')) = 0 AS is_mute
    FROM events CROSS JOIN horizon
    WHERE created_at >= as_of - to_days(28) AND created_at < as_of
    GROUP BY ALL
), outcomes AS (
    SELECT
        sequence_template_id, channel, sent_at, is_message,
        {{ within('opened_at', '$open_window_days') }} AS is_opened,
        {{ within('looked_at', '$open_window_days') }} AS is_looked_at,
        {{ within('clicked_at', '$open_window_days') }} AS is_clicked,
        {{ within('replied_at', '$message_reply_window_days') }} AS is_replied,
        {{ within('accepted_at', '$acceptance_window_days') }} AS is_accepted,
        {{ within('replied_after_at', '$acceptance_window_days') }} AS is_replied_after
    FROM touches
), parts AS (
    SELECT
        sequence_template_id, channel, period,
        count(*) FILTER (is_message AND is_of_period) AS sends,
        count(*) FILTER (is_message AND can_open) AS eligible_for_open,
        count(*) FILTER (is_message AND can_open AND is_opened) AS opened,
        count(*) FILTER (is_message AND can_open AND is_looked_at) AS looked,
        count(*) FILTER (is_message AND can_open AND is_clicked) AS clicked,
        count(*) FILTER (is_message AND can_reply) AS eligible_for_reply,
        count(*) FILTER (is_message AND can_reply AND is_replied) AS replied,
        count(*) FILTER (NOT is_message AND is_of_period) AS invitations,
        count(*) FILTER (NOT is_message AND can_accept) AS eligible_invitations,
        count(*) FILTER (NOT is_message AND can_accept AND is_accepted) AS accepted,
        count(*) FILTER (NOT is_message AND can_accept AND is_replied_after) AS replied_after
    FROM (
        SELECT
            *,
            sent_at >= since AND sent_at < until AS is_of_period,
            sent_at > open_after AND sent_at <= open_by AS can_open,
            sent_at > reply_after AND sent_at <= reply_by AS can_reply,
            sent_at > accept_after AND sent_at <= accept_by AS can_accept
        FROM outcomes CROSS JOIN periods
    )
    GROUP BY ALL
    UNION ALL BY NAME
    SELECT
        sequence_template_id, channel, period,
        count(*) FILTER (is_of_period) AS tasks,
        count(*) FILTER (is_of_period AND closed_by = 'task.completed') AS tasks_completed,
        count(*) FILTER (is_of_period AND closed_by = 'task.skipped') AS tasks_skipped,
        count(*) FILTER (is_of_period AND closed_by IS NULL) AS open_tasks,
        quantile_cont(epoch(closed_at - created_at) / 3600, 0.5)
            FILTER (is_of_period AND closed_by = 'task.completed') AS median_hours
    FROM (SELECT *, created_at >= since AND created_at < until AS is_of_period FROM tasks CROSS JOIN periods)
    GROUP BY ALL
), summed AS (
    SELECT
        sequence_template_id,
        channel,
        period,
        coalesce(sum(COLUMNS(* EXCLUDE (sequence_template_id, channel, period, median_hours))), 0)::BIGINT,
        max(median_hours) AS median_hours
    FROM parts
    GROUP BY sequence_template_id, channel, period
), shown AS (
    -- A rate that means nothing on a channel is NULL there, its counts too: a sum over channels must not take them in.
    SELECT
        counted.* REPLACE (
            if(is_tracked, opened, NULL) AS opened,
            if(is_tracked, looked, NULL) AS looked,
            if(is_tracked, clicked, NULL) AS clicked,
            if(channel = 'LINKEDIN', accepted, NULL) AS accepted,
            if(channel = 'LINKEDIN', replied_after, NULL) AS replied_after),
        if(is_tracked, eligible_for_open, NULL) AS tracked,
        if(channel = 'LINKEDIN', eligible_invitations, NULL) AS invited
    FROM (
        SELECT
            summed.*,
            CASE WHEN channel = 'EMAIL' THEN coalesce(is_mute, false) END AS tracking_off,
            tracking_off IS NOT DISTINCT FROM false AS is_tracked
        FROM summed
        LEFT JOIN tracking ON tracking.sequence_template_id IS NOT DISTINCT FROM summed.sequence_template_id
    ) AS counted
)
SELECT
    sequence_template_id,
    channel,
    period,
    sends,
    eligible_for_open,
    eligible_for_reply,
    tracking_off,
    {{ rate('email_open_rate', 'opened', 'tracked') }},
    {{ rate('email_open_rate_adjusted', 'looked', 'tracked') }},
    {{ rate('email_click_rate', 'clicked', 'tracked') }},
    {{ rate('reply_rate', 'replied', 'eligible_for_reply') }},
    invitations,
    {{ rate('invitation_acceptance_rate', 'accepted', 'invited') }},
    {{ rate('invitation_to_reply_rate', 'replied_after', 'invited') }},
    {{ rate('task_completion_rate', 'tasks_completed', 'tasks') }},
    {{ rate('task_skip_rate', 'tasks_skipped', 'tasks') }},
    open_tasks,
    median_hours AS median_hours_to_complete_task,
    as_of
FROM shown CROSS JOIN horizon;

COMMENT ON TABLE engagement.sequence_channels IS 'One row per sequence, channel and period: what became of each message, invitation and task. Rates are over those whose outcome window has closed; left-censored runs are in no number.';
COMMENT ON COLUMN engagement.sequence_channels.sequence_template_id IS 'The sequence; NULL where the activities name none.';
COMMENT ON COLUMN engagement.sequence_channels.channel IS 'EMAIL, LINKEDIN, MANUAL; OTHER for what Topo adds, NONE where nothing tells.';
COMMENT ON COLUMN engagement.sequence_channels.period IS 'lifetime: all landed days. 7d, 28d, 90d: the days up to as_of; a rate takes what was sent so that its outcome window closed within them.';
COMMENT ON COLUMN engagement.sequence_channels.sends IS 'Messages sent in the period, their windows closed or not.';
COMMENT ON COLUMN engagement.sequence_channels.eligible_for_open IS 'Messages whose window for opens and clicks closed in the period.';
COMMENT ON COLUMN engagement.sequence_channels.eligible_for_reply IS 'Messages whose window for replies closed in the period.';
COMMENT ON COLUMN engagement.sequence_channels.tracking_off IS 'Whether the sequence sent many emails in the last 28 days without an open or a click: nothing tells them, and the rates of opens and clicks are NULL in every period. NULL on other channels.';
{{ rate_comments('engagement.sequence_channels', 'email_open_rate', 'Of them: opened within the window, by a privacy proxy perhaps.', 'Emails eligible for opens; NULL on other channels and where tracking is off.') }}
{{ rate_comments('engagement.sequence_channels', 'email_open_rate_adjusted', 'Of them: opened within the window, and not only within seconds of the send, as machines do.', 'Emails eligible for opens; NULL on other channels and where tracking is off.') }}
{{ rate_comments('engagement.sequence_channels', 'email_click_rate', 'Of them: with a link clicked within the window.', 'Emails eligible for clicks; NULL on other channels and where tracking is off.') }}
{{ rate_comments('engagement.sequence_channels', 'reply_rate', 'Of them: answered by a valid reply within the window. A reply is to the message that it names, else to the last touch in its channel, else to the last one.', 'Messages eligible for replies.') }}
COMMENT ON COLUMN engagement.sequence_channels.invitations IS 'Invitations sent in the period.';
{{ rate_comments('engagement.sequence_channels', 'invitation_acceptance_rate', 'Of them: accepted within the window.', 'Invitations whose window closed in the period; NULL on channels other than LINKEDIN.') }}
{{ rate_comments('engagement.sequence_channels', 'invitation_to_reply_rate', 'Of them: followed by a valid reply on LinkedIn within the window.', 'Invitations whose window closed in the period; NULL on channels other than LINKEDIN.') }}
{{ rate_comments('engagement.sequence_channels', 'task_completion_rate', 'Of them: completed, whenever.', 'Tasks created in the period.') }}
{{ rate_comments('engagement.sequence_channels', 'task_skip_rate', 'Of them: skipped, whenever.', 'Tasks created in the period.') }}
COMMENT ON COLUMN engagement.sequence_channels.open_tasks IS 'Tasks created in the period, neither completed nor skipped yet.';
COMMENT ON COLUMN engagement.sequence_channels.median_hours_to_complete_task IS 'Median hours from creation to completion of the tasks created in the period; NULL where none is completed.';
COMMENT ON COLUMN engagement.sequence_channels.as_of IS 'The end of the last closed day (UTC): what the rates know.';
