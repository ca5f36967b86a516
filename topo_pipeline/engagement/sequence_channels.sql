{% from 'rates.jinja' import rate_columns, rate_comments %}
{% from 'horizon.jinja' import closed_day, horizon, quarter, spans, windows %}
{% from 'sequence_actions.jinja' import answers %}
{% from 'runs.jinja' import channels, days %}
{% set lengths = {'open': '$open_window_days', 'reply': '$message_reply_window_days', 'acceptance': '$acceptance_window_days'} %}
{# The actions that a rate covers: of the last n days whose windows have closed, or all. `known`: of the last known days. #}
{% macro of_rates(window) -%}
(days IS NULL OR coalesce(span BETWEEN last_{{ window }}_day - days + 1 AND last_{{ window }}_day, false))
{%- endmacro %}
{# Rates over contacts: eligible runs that were sent a message on the channel, and what came of one of these messages. #}
{% set contact_rates = [
    {'name': 'contact_open_rate', 'answer': 'opened_at', 'tracked': true, 'text': 'an open of'},
    {'name': 'contact_click_rate', 'answer': 'clicked_at', 'tracked': true, 'text': 'a click in'},
    {'name': 'contact_reply_rate', 'answer': 'replied_at', 'tracked': false, 'text': 'a valid reply to'},
] %}
{% macro in_window(at) %}coalesce(epoch_us({{ at }}) - epoch_us(touched_at) <= {{ days('$reply_window_days') }}, false){% endmacro %}
-- Grain: sequence_template_id, channel, period
WITH {{ horizon() }}, {{ windows(dict(lengths, outcome='$reply_window_days')) }}, periods AS (
    SELECT
        period,
        days,
        last_known_day,
        {% for window, length in lengths.items() %}
        {{ closed_day(length) }} AS last_{{ window }}_day,
        {% endfor %}
        {{ closed_day('$reply_window_days') }} AS last_outcome_day
    FROM horizon CROSS JOIN (VALUES ('lifetime', NULL), ('7d', 7), ('28d', 28), ('90d', 90)) AS lengths(period, days)
), {{ spans() }}, by_span AS (
    -- By span first, then by period, so that the many rows are read only once.
    SELECT
        sequence_template_id, channel, type, left_censored, span,
        {% for window in lengths %}
        if(acted_at <= until_{{ window }}, unknown_{{ window }} = 0, NULL) AS is_{{ window }}_known, -- NULL while it is open
        {% endfor %}
        count(*) AS actions,
        {% for answer in answers %}
        count(*) FILTER ({{ answer.name }}_in_time) AS {{ answer.name }},
        {% endfor %}
        count(*) FILTER (closed_by = 'task.completed') AS completed,
        count(*) FILTER (closed_by = 'task.skipped') AS skipped,
        count(*) FILTER (is_open_task) AS open
    FROM engagement.sequence_actions JOIN windows ON quarter = {{ quarter('acted_at') }} LEFT JOIN spans USING (day)
    WHERE type NOT IN ('sequence_step.completed', 'sequence_step.skipped')
    GROUP BY ALL
), mails AS (
    SELECT sequence_template_id, sum(actions) AS mails
    FROM by_span CROSS JOIN horizon
    WHERE type = 'message.sent' AND channel = 'EMAIL' AND span BETWEEN last_known_day - 27 AND last_known_day
    GROUP BY ALL
), looks AS (
    SELECT sequence_template_id, bool_or(last_look_at >= seen_since) AS is_looked_at
    FROM engagement.sequence_runs
    CROSS JOIN (SELECT (last_known_day - 27)::TIMESTAMP AT TIME ZONE $timezone AS seen_since FROM horizon)
    GROUP BY ALL
), tracking AS (
    -- Tracking is a property of the sequence, so left-censored runs count too.
    SELECT mails.sequence_template_id, mails >= $tracking_off_sends AND NOT coalesce(is_looked_at, false) AS is_untracked
    FROM mails LEFT JOIN looks ON looks.sequence_template_id IS NOT DISTINCT FROM mails.sequence_template_id
), medians AS (
    SELECT
        sequence_template_id, channel, period,
        quantile_cont(epoch(closed_at - acted_at) / 3600, 0.5) AS median_hours
    FROM engagement.sequence_actions JOIN windows ON quarter = {{ quarter('acted_at') }} JOIN spans USING (day)
    CROSS JOIN periods
    WHERE closed_by = 'task.completed' AND NOT left_censored AND {{ of_rates('known') }}
    GROUP BY ALL
), contacts AS (
    -- By the first touch of the run, on any channel, so that an unknown day leaves out whole runs: runs that reply get
    -- fewer messages than others, and would be left out more often message by message. An answer in time is one to a
    -- message in time, because it comes later.
    SELECT
        sequence_template_id, channel, period, sum(contacts) AS contacts
        {%- for rate in contact_rates %},
        sum({{ rate.name }}_num) AS {{ rate.name }}_num
        {%- endfor %}

    FROM (
        SELECT
            messages.sequence_template_id, channel, span, count(*) AS contacts
            {%- for rate in contact_rates %},
            count(*) FILTER ({{ in_window(rate.answer) }}) AS {{ rate.name }}_num
            {%- endfor %}

        FROM (
            SELECT sequence_template_id, sequence_id, channel, min(COLUMNS('^(acted|opened|clicked|replied)_at$'))
            FROM engagement.sequence_actions
            WHERE type = 'message.sent'
            GROUP BY ALL
        ) AS messages
        JOIN engagement.sequence_runs AS runs
            ON runs.sequence_id = messages.sequence_id
            AND runs.sequence_template_id IS NOT DISTINCT FROM messages.sequence_template_id
        JOIN windows ON quarter = {{ quarter('touched_at') }}
        JOIN spans USING (day)
        WHERE {{ in_window('acted_at') }} AND NOT left_censored AND NOT start_uncertain
            AND touched_at <= until_outcome AND unknown_outcome = 0
        GROUP BY ALL
    ) CROSS JOIN periods
    WHERE {{ of_rates('outcome') }}
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
        {% for window in lengths %}
        coalesce(sum(actions) FILTER (
            type = '{{ 'invitation.sent' if window == 'acceptance' else 'message.sent' }}' AND NOT left_censored
            AND NOT is_{{ window }}_known AND {{ of_rates(window) }}), 0)::BIGINT AS left_out_for_{{ window }},
        {% endfor %}
        coalesce(sum(actions) FILTER (type = 'invitation.sent' AND is_of_period), 0)::BIGINT AS invitations,
        coalesce(sum(actions) FILTER (can_accept), 0)::BIGINT AS eligible_invitations,
        coalesce(sum(accepted) FILTER (can_accept), 0)::BIGINT AS accepted,
        coalesce(sum(replied_after) FILTER (can_accept), 0)::BIGINT AS replied_after,
        coalesce(sum(actions) FILTER (is_task AND NOT left_censored), 0)::BIGINT AS tasks,
        coalesce(sum(completed) FILTER (is_task AND NOT left_censored), 0)::BIGINT AS tasks_completed,
        coalesce(sum(skipped) FILTER (is_task AND NOT left_censored), 0)::BIGINT AS tasks_skipped,
        coalesce(sum(open) FILTER (is_task), 0)::BIGINT AS open_tasks
    FROM (
        SELECT
            *,
            type = 'message.sent' AS is_message,
            {{ of_rates('known') }} AS is_of_period,
            type = 'task.created' AND is_of_period AS is_task,
            is_message AND NOT left_censored AND is_open_known AND {{ of_rates('open') }} AS can_open,
            is_message AND NOT left_censored AND is_reply_known AND {{ of_rates('reply') }} AS can_reply,
            type = 'invitation.sent' AND NOT left_censored AND is_acceptance_known AND {{ of_rates('acceptance') }}
                AS can_accept
        FROM by_span CROSS JOIN periods
    )
    GROUP BY ALL
), shown AS (
    -- A rate without meaning on a channel is NULL there. So are its counts, so that sums over channels leave them out.
    SELECT
        counted.* REPLACE (
            if(is_tracked, opened, NULL) AS opened,
            if(is_tracked, looked, NULL) AS looked,
            if(is_tracked, clicked, NULL) AS clicked,
            {% for rate in contact_rates if rate.tracked %}
            if(is_tracked, {{ rate.name }}_num, NULL) AS {{ rate.name }}_num,
            {% endfor %}
            if(channel = 'LINKEDIN', accepted, NULL) AS accepted,
            if(channel = 'LINKEDIN', replied_after, NULL) AS replied_after),
        if(is_tracked, eligible_for_open, NULL) AS tracked,
        if(is_tracked, contacts, NULL) AS tracked_contacts,
        if(channel = 'LINKEDIN', eligible_invitations, NULL) AS invited
    FROM (
        SELECT
            summed.*,
            median_hours,
            coalesce(contacts, 0)::BIGINT AS contacts,
            {% for rate in contact_rates %}
            coalesce({{ rate.name }}_num, 0)::BIGINT AS {{ rate.name }}_num,
            {% endfor %}
            CASE WHEN summed.channel = 'EMAIL' THEN coalesce(is_untracked, false) END AS tracking_off,
            tracking_off IS NOT DISTINCT FROM false AS is_tracked
        FROM summed
        LEFT JOIN tracking ON tracking.sequence_template_id IS NOT DISTINCT FROM summed.sequence_template_id
        {% for other in ['medians', 'contacts'] %}
        LEFT JOIN {{ other }}
            ON {{ other }}.sequence_template_id IS NOT DISTINCT FROM summed.sequence_template_id
            AND {{ other }}.channel = summed.channel AND {{ other }}.period = summed.period
        {% endfor %}
    ) AS counted
)
SELECT
    sequence_template_id,
    channel,
    period,
    sends,
    eligible_for_open,
    eligible_for_reply,
    left_out_for_open,
    left_out_for_reply,
    left_out_for_acceptance,
    tracking_off,
    {{ rate_columns('email_open_rate', 'opened', 'tracked') }},
    {{ rate_columns('email_open_rate_adjusted', 'looked', 'tracked') }},
    {{ rate_columns('email_click_rate', 'clicked', 'tracked') }},
    {{ rate_columns('reply_rate', 'replied', 'eligible_for_reply') }},
    {% for rate in contact_rates %}
    {{ rate_columns(rate.name, rate.name ~ '_num', 'tracked_contacts' if rate.tracked else 'contacts') }},
    {% endfor %}
    invitations,
    {{ rate_columns('invitation_acceptance_rate', 'accepted', 'invited') }},
    {{ rate_columns('invitation_to_reply_rate', 'replied_after', 'invited') }},
    {{ rate_columns('task_completion_rate', 'tasks_completed', 'tasks') }},
    {{ rate_columns('task_skip_rate', 'tasks_skipped', 'tasks') }},
    open_tasks,
    median_hours AS median_hours_to_complete_task,
    as_of
FROM shown CROSS JOIN horizon;

COMMENT ON TABLE engagement.sequence_channels IS 'One row per sequence, channel and period: the outcomes of single messages, invitations and tasks. Rates of messages and invitations cover those whose outcome window has closed. Messages, invitations and tasks of left-censored runs are in sends, invitations and open_tasks, but in no other number.';
COMMENT ON COLUMN engagement.sequence_channels.sequence_template_id IS 'Id of the sequence. NULL when the activities name none.';
COMMENT ON COLUMN engagement.sequence_channels.channel IS '{{ channels }}';
COMMENT ON COLUMN engagement.sequence_channels.period IS 'lifetime: all landed days. 7d, 28d and 90d: the 7, 28 or 90 calendar days that end with the last known day. A rate of messages or invitations covers those sent on the last 7, 28 or 90 days of which every outcome window has closed. A contact rate covers the same runs as reply_rate of sequence_summary.';
COMMENT ON COLUMN engagement.sequence_channels.sends IS 'Messages sent in the period, whether or not their windows have closed. Includes left-censored runs.';
COMMENT ON COLUMN engagement.sequence_channels.eligible_for_open IS 'Messages of these days whose window for opens and clicks has closed ($open_window_days days, rule open_window_days). Excludes left-censored runs and days with an unknown day in their windows.';
COMMENT ON COLUMN engagement.sequence_channels.eligible_for_reply IS 'Messages of these days whose window for replies has closed ($message_reply_window_days days, rule message_reply_window_days). Excludes left-censored runs and days with an unknown day in their windows.';
COMMENT ON COLUMN engagement.sequence_channels.left_out_for_open IS 'Messages of these days whose window for opens and clicks has closed but contains an unknown day, so they are in no rate of opens and clicks. Load that day to get them back. Excludes left-censored runs.';
COMMENT ON COLUMN engagement.sequence_channels.left_out_for_reply IS 'Messages of these days whose window for replies has closed but contains an unknown day, so they are in no rate of replies. Load that day to get them back. Excludes left-censored runs.';
COMMENT ON COLUMN engagement.sequence_channels.left_out_for_acceptance IS 'Invitations of these days whose window for acceptance has closed but contains an unknown day, so they are in no rate of invitations. Load that day to get them back. Excludes left-censored runs.';
COMMENT ON COLUMN engagement.sequence_channels.tracking_off IS 'TRUE when opens and clicks do not seem to be tracked: the sequence sent at least $tracking_off_sends emails in the 28 calendar days up to the last known day (rule tracking_off_sends), and none of its runs has an open or a click since those days began. The rates of opens and clicks are then NULL in every period. NULL on channels other than EMAIL.';
{{ rate_comments('engagement.sequence_channels', 'email_open_rate', 'Emails in email_open_rate_den that were opened at most $open_window_days days after the send (rule open_window_days), opens by privacy proxies included. NULL on other channels and when tracking is off.', 'Emails in eligible_for_open. NULL on other channels and when tracking is off.') }}
{{ rate_comments('engagement.sequence_channels', 'email_open_rate_adjusted', 'Emails in email_open_rate_adjusted_den that were opened at most $open_window_days days (rule open_window_days) and more than $instant_open_seconds seconds (rule instant_open_seconds) after the send. Earlier opens are attributed to machines. NULL on other channels and when tracking is off.', 'Emails in eligible_for_open. NULL on other channels and when tracking is off.') }}
{{ rate_comments('engagement.sequence_channels', 'email_click_rate', 'Emails in email_click_rate_den with a click on a link at most $open_window_days days after the send (rule open_window_days). NULL on other channels and when tracking is off.', 'Emails in eligible_for_open. NULL on other channels and when tracking is off.') }}
{{ rate_comments('engagement.sequence_channels', 'reply_rate', 'Messages in reply_rate_den with a valid reply at most $message_reply_window_days days after the send (rule message_reply_window_days). A reply belongs to the message that it names; else to the last message or invitation on its channel before it; else to the last one on any channel.', 'The messages in eligible_for_reply.') }}
{% for rate in contact_rates %}
{% set unless = ' NULL on other channels than EMAIL and when tracking is off.' if rate.tracked else '' %}
{{ rate_comments('engagement.sequence_channels', rate.name, 'Runs in ' ~ rate.name ~ '_den with ' ~ rate.text ~ ' one of these messages at most $reply_window_days days after their first message or invitation (rule reply_window_days).' ~ unless, 'Runs that were sent a message on the channel at most $reply_window_days days after their first message or invitation (rule reply_window_days), of those that reply_rate of sequence_summary covers in the same period.' ~ unless) }}
{% endfor %}
COMMENT ON COLUMN engagement.sequence_channels.invitations IS 'Invitations sent in the period, whether or not their windows have closed. Includes left-censored runs.';
{{ rate_comments('engagement.sequence_channels', 'invitation_acceptance_rate', 'Invitations in invitation_acceptance_rate_den that were accepted at most $acceptance_window_days days later (rule acceptance_window_days). NULL on channels other than LINKEDIN.', 'Invitations of the last days whose window for acceptance has closed ($acceptance_window_days days, rule acceptance_window_days). NULL on channels other than LINKEDIN.') }}
{{ rate_comments('engagement.sequence_channels', 'invitation_to_reply_rate', 'Invitations in invitation_to_reply_rate_den that were followed by a valid reply on LinkedIn at most $acceptance_window_days days later (rule acceptance_window_days). NULL on channels other than LINKEDIN.', 'Invitations of the last days whose window for acceptance has closed ($acceptance_window_days days, rule acceptance_window_days). NULL on channels other than LINKEDIN.') }}
{{ rate_comments('engagement.sequence_channels', 'task_completion_rate', 'Tasks in task_completion_rate_den that have been completed, however late.', 'Tasks created in the period.') }}
{{ rate_comments('engagement.sequence_channels', 'task_skip_rate', 'Tasks in task_skip_rate_den that have been skipped, however late.', 'Tasks created in the period.') }}
COMMENT ON COLUMN engagement.sequence_channels.open_tasks IS 'Tasks created in the period that are neither completed nor skipped. A task without an id cannot be followed, so it is not open. Includes left-censored runs.';
COMMENT ON COLUMN engagement.sequence_channels.median_hours_to_complete_task IS 'Median hours from creation to completion of the tasks in task_completion_rate_num. NULL when there are none.';
COMMENT ON COLUMN engagement.sequence_channels.as_of IS 'End of the last known day (UTC). The rates count only windows that had closed by then.';
