{% from 'rates.jinja' import rate, rate_comments %}
{% from 'runs.jinja' import days %}
{% from 'horizon.jinja' import horizon %}
{# A moment's age in whole days, before as_of: of a period of n days are those aged 0 to n - 1; a window of n days has
   closed once n days have passed. They differ where something was sent at the very stroke of as_of. #}
{% macro aged(which) %}
        SELECT
            *,
            CASE WHEN since >= 0 THEN least(since // {{ days(1) }}, old) END AS days_since,
            CASE WHEN since > 0 THEN least((since - 1) // {{ days(1) }}, old) END AS age
        FROM (
            SELECT *, epoch_us(as_of) - epoch_us(acted_at) AS since
            FROM engagement.sequence_actions CROSS JOIN bounds
            WHERE {{ which }}
        )
    {% endmacro %}
-- Grain: sequence_template_id, channel, period
{% macro closed_within(window) %}days_since >= {{ window }} AND coalesce(days_since < days + {{ window }}, days IS NULL){% endmacro %}
CREATE OR REPLACE TABLE engagement.sequence_channels AS
WITH {{ horizon() }}, bounds AS (
    -- No period and no window reaches back further: what is older is all the same.
    SELECT *, 90 + greatest($open_window_days, $message_reply_window_days, $acceptance_window_days) AS old FROM horizon
), by_day AS (
    -- First by day, then by period: the many rows are read once.
    SELECT
        sequence_template_id, channel, type, left_censored, age, days_since,
        count(*) AS actions,
        {% for answer in ['opened', 'looked', 'clicked', 'replied', 'accepted', 'replied_after'] %}
        count(*) FILTER ({{ answer }}_in_time) AS {{ answer }},
        {% endfor %}
        count(*) FILTER (closed_by = 'task.completed') AS completed,
        count(*) FILTER (closed_by = 'task.skipped') AS skipped
    FROM ({{ aged("type NOT IN ('sequence_step.completed', 'sequence_step.skipped')") }})
    GROUP BY ALL
), periods(period, days) AS (
    VALUES ('lifetime', NULL), ('7d', 7), ('28d', 28), ('90d', 90)
), mails AS (
    SELECT sequence_template_id, sum(actions) AS mails
    FROM by_day
    WHERE type = 'message.sent' AND channel = 'EMAIL' AND age < 28
    GROUP BY ALL
), looks AS (
    SELECT sequence_template_id, bool_or(last_look_at >= seen_since) AS is_looked_at
    FROM engagement.sequence_runs
    CROSS JOIN (SELECT as_of - to_days(28) AS seen_since FROM horizon)
    GROUP BY ALL
), tracking AS (
    -- A fact about the sequence's mail, whoever's: left-censored runs tell it too.
    SELECT mails.sequence_template_id, mails >= $tracking_off_sends AND NOT coalesce(is_looked_at, false) AS is_mute
    FROM mails LEFT JOIN looks ON looks.sequence_template_id IS NOT DISTINCT FROM mails.sequence_template_id
), medians AS (
    SELECT
        sequence_template_id, channel, period,
        quantile_cont(epoch(closed_at - acted_at) / 3600, 0.5) AS median_hours
    FROM ({{ aged("closed_by = 'task.completed' AND NOT left_censored") }}) CROSS JOIN periods
    WHERE coalesce(age < days, days IS NULL)
    GROUP BY ALL
), summed AS (
    SELECT
        sequence_template_id,
        channel,
        period,
        coalesce(sum(actions) FILTER (is_message AND is_of_period), 0)::BIGINT AS sends,
        coalesce(sum(actions) FILTER (can_open), 0)::BIGINT AS eligible_for_open,
        coalesce(sum(opened) FILTER (can_open), 0)::BIGINT AS opened,
        coalesce(sum(looked) FILTER (can_open), 0)::BIGINT AS looked,
        coalesce(sum(clicked) FILTER (can_open), 0)::BIGINT AS clicked,
        coalesce(sum(actions) FILTER (can_reply), 0)::BIGINT AS eligible_for_reply,
        coalesce(sum(replied) FILTER (can_reply), 0)::BIGINT AS replied,
        coalesce(sum(actions) FILTER (type = 'invitation.sent' AND is_of_period), 0)::BIGINT AS invitations,
        coalesce(sum(actions) FILTER (can_accept), 0)::BIGINT AS eligible_invitations,
        coalesce(sum(accepted) FILTER (can_accept), 0)::BIGINT AS accepted,
        coalesce(sum(replied_after) FILTER (can_accept), 0)::BIGINT AS replied_after,
        coalesce(sum(actions) FILTER (is_task AND NOT left_censored), 0)::BIGINT AS tasks,
        coalesce(sum(completed) FILTER (is_task AND NOT left_censored), 0)::BIGINT AS tasks_completed,
        coalesce(sum(skipped) FILTER (is_task AND NOT left_censored), 0)::BIGINT AS tasks_skipped,
        coalesce(sum(actions - completed - skipped) FILTER (is_task), 0)::BIGINT AS open_tasks
    FROM (
        SELECT
            *,
            type = 'message.sent' AS is_message,
            coalesce(age < days, days IS NULL) AS is_of_period,
            type = 'task.created' AND is_of_period AS is_task,
            is_message AND NOT left_censored AND {{ closed_within('$open_window_days') }} AS can_open,
            is_message AND NOT left_censored AND {{ closed_within('$message_reply_window_days') }} AS can_reply,
            type = 'invitation.sent' AND NOT left_censored AND {{ closed_within('$acceptance_window_days') }}
                AS can_accept
        FROM by_day CROSS JOIN periods
    )
    GROUP BY ALL
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
            median_hours,
            CASE WHEN summed.channel = 'EMAIL' THEN coalesce(is_mute, false) END AS tracking_off,
            tracking_off IS NOT DISTINCT FROM false AS is_tracked
        FROM summed
        LEFT JOIN tracking ON tracking.sequence_template_id IS NOT DISTINCT FROM summed.sequence_template_id
        LEFT JOIN medians
            ON medians.sequence_template_id IS NOT DISTINCT FROM summed.sequence_template_id
            AND medians.channel = summed.channel AND medians.period = summed.period
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

COMMENT ON TABLE engagement.sequence_channels IS 'One row per sequence, channel and period: what became of each message, invitation and task. Rates are over those whose outcome window has closed; what left-censored runs did is in sends, invitations and open_tasks, and in no rate.';
COMMENT ON COLUMN engagement.sequence_channels.sequence_template_id IS 'The sequence; NULL where the activities name none.';
COMMENT ON COLUMN engagement.sequence_channels.channel IS 'EMAIL, LINKEDIN, MANUAL; OTHER for what Topo adds, NONE where nothing tells.';
COMMENT ON COLUMN engagement.sequence_channels.period IS 'lifetime: all landed days. 7d, 28d, 90d: the days up to as_of; a rate takes what was sent so that its outcome window closed within them.';
COMMENT ON COLUMN engagement.sequence_channels.sends IS 'Messages sent in the period, their windows closed or not.';
COMMENT ON COLUMN engagement.sequence_channels.eligible_for_open IS 'Messages whose window for opens and clicks closed in the period.';
COMMENT ON COLUMN engagement.sequence_channels.eligible_for_reply IS 'Messages whose window for replies closed in the period.';
COMMENT ON COLUMN engagement.sequence_channels.tracking_off IS 'Whether the sequence sent at least $tracking_off_sends emails in the 28 days up to as_of (rule tracking_off_sends), and no open or click of any run was seen since those days began: nothing tells them, and the rates of opens and clicks are NULL in every period. NULL on other channels.';
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
