{% from 'counts.jinja' import count_comments, counted %}
{% from 'rates.jinja' import cohort_rates, early_rates, early_windows, outcome_comments, outcomes, rate_columns, rate_comments %}
{% from 'horizon.jinja' import closed_day, horizon, quarter, spans, windows %}
{% from 'runs.jinja' import days %}
{% from 'shrinkage.jinja' import shrinkage, shrunken %}
{# The cohort days that a rate covers: of the last n days whose windows have closed, or all. #}
{% macro of_rates(last_day) -%}
(days IS NULL OR coalesce(span BETWEEN {{ last_day }} - days + 1 AND {{ last_day }}, false))
{%- endmacro %}
{% macro of_cohorts(column, where) %}coalesce(sum({{ column }}) FILTER ({{ where }}), 0)::BIGINT{% endmacro %}
{# One reply of one run must not rank first, nor a sequence that is over. #}
{% set is_ranked = "(joined.reply_rate_den > 0 AND joined.reply_rate_den >= $evidence_small AND is_judged(sequence_template_id, status))" %}
-- Grain: sequence_template_id, period
WITH {{ horizon() }}, {{ windows({'later': '$reply_window_days'}) }}, periods AS (
    SELECT
        period,
        days,
        if(days IS NULL, first_landed_day, last_known_day - days + 1) AS period_start,
        if(days IS NULL, last_landed_day, last_known_day) AS period_end,
        {{ closed_day('$reply_window_days') }} AS rate_period_end,
        if(days IS NULL, first_landed_day, rate_period_end - days + 1) AS rate_period_start,
        {% for window in early_windows %}
        {{ closed_day(window) }} AS last_{{ window }}d_day,
        {% endfor %}
    FROM horizon CROSS JOIN (VALUES ('lifetime', NULL), ('7d', 7), ('28d', 28), ('90d', 90)) AS lengths(period, days)
), {{ spans() }}, known AS (
    SELECT
        periods.*,
        (SELECT count(*) FROM unknown_days WHERE day BETWEEN period_start AND period_end) AS days_unknown,
        (SELECT count(*) FROM unknown_in WHERE unknown_later > 0 AND day BETWEEN rate_period_start AND rate_period_end)
            AS cohort_days_left_out
    FROM periods
), business_days AS (
    SELECT last_known_day - ago::INTEGER AS day
    FROM horizon CROSS JOIN range(2 * $silent_business_days::BIGINT + 3) AS days(ago)
    WHERE isodow(day) <= 5
    ORDER BY day DESC
    LIMIT $silent_business_days
), sends AS (
    -- `unknown`: the unknown days up to the day, so that pauses with an unknown day in them can be left out.
    SELECT sequence_template_id, day, day - lag(day) OVER of AS pause, unknown = lag(unknown) OVER of AS is_known
    FROM engagement.sequence_daily
    JOIN (
        SELECT calendar.day, count(unknown_days.day) OVER (ORDER BY calendar.day) AS unknown
        FROM calendar LEFT JOIN unknown_days USING (day)
    ) USING (day)
    JOIN horizon ON day <= last_known_day
    WHERE total_sent + total_invitations > 0
    WINDOW of AS (PARTITION BY sequence_template_id ORDER BY day)
), silence AS (
    SELECT
        sequence_template_id,
        max(day) AS last_sent_day,
        last_known_day + 1
            - (quantile_disc(pause, 0.9) FILTER (is_known AND day > last_known_day - 56))::INTEGER AS usually_since
    FROM sends CROSS JOIN horizon
    GROUP BY sequence_template_id, last_known_day
), span_quarters AS (
    SELECT quarter, span FROM quarters JOIN spans USING (day)
), runs AS (
    SELECT runs.*, began.span AS first_span, contact.span AS contact_span
    FROM engagement.sequence_runs AS runs
    JOIN span_quarters AS began ON began.quarter = {{ quarter('first_activity_at') }}
    LEFT JOIN span_quarters AS contact ON contact.quarter = {{ quarter('contacted_at') }}
), parts AS (
    SELECT sequence_template_id, span, sum(COLUMNS({{ counted }}))
    FROM engagement.sequence_daily JOIN spans USING (day)
    GROUP BY ALL
    UNION ALL BY NAME
    SELECT
        sequence_template_id,
        first_span AS span,
        count(*) AS runs,
        count(*) FILTER (completed_at IS NULL AND stopped_at IS NULL) AS runs_active,
        count(*) FILTER (is_paused) AS runs_paused,
        count(*) FILTER (stopped_at IS NOT NULL) AS runs_stopped,
        count(*) FILTER (left_censored) AS runs_left_censored,
        count(*) FILTER (start_uncertain) AS runs_start_uncertain
    FROM runs
    GROUP BY ALL
    UNION ALL BY NAME
    SELECT
        sequence_template_id,
        contact_span AS span,
        sum(messages_sent) AS messages,
        sum(replies) AS replies,
        count(touches_before_reply) AS repliers,
        sum(touches_before_reply) AS touches
    FROM runs
    WHERE NOT left_censored AND contact_span IS NOT NULL
    GROUP BY ALL
), counts AS (
    SELECT
        sequence_template_id,
        period,
        coalesce(
            sum(COLUMNS(parts.* EXCLUDE (sequence_template_id, span)))
                FILTER (days IS NULL OR coalesce(span BETWEEN period_start AND period_end, false)), 0)::BIGINT
    FROM parts CROSS JOIN periods
    GROUP BY ALL
), persons AS (
    -- A contact is in a period when the last of its runs that had begun by the end of the period began in it.
    SELECT sequence_template_id, period, sum(persons)::BIGINT AS persons
    FROM (
        SELECT sequence_template_id, last_span, count(*) AS persons
        FROM (
            SELECT sequence_template_id, person_id, max(first_span) FILTER (first_span <= last_known_day) AS last_span
            FROM runs CROSS JOIN horizon
            WHERE person_id IS NOT NULL
            GROUP BY ALL
        )
        GROUP BY ALL
    )
    JOIN periods ON days IS NULL OR last_span >= period_start
    GROUP BY ALL
), cohorts AS (
    SELECT
        sequence_template_id,
        period,
        {{ of_cohorts('members', "is_main AND is_of_rates") }} AS members,
        {{ of_cohorts('eligible', 'is_counted') }} AS eligible,
        {% for rate in cohort_rates %}
        {{ of_cohorts(rate.name ~ '_num', 'is_counted') }} AS {{ rate.name }}_num,
        {{ of_cohorts(rate.name ~ '_den', 'is_counted') }} AS {{ rate.name }}_den,
        {% endfor %}
        {{ of_cohorts('reply_rate_num', 'is_counted_of_sent') }} AS message_replied,
        {{ of_cohorts('reply_rate_den', 'is_counted_of_sent') }} AS message_eligible,
        {{ of_cohorts('replied_before_message', 'is_counted_of_sent') }} AS replied_before_message,
        {% for rate in early_rates %}
        {{ of_cohorts(rate.num, 'is_main AND is_of_' ~ rate.days ~ 'd') }} AS {{ rate.name }}_num,
        {{ of_cohorts(rate.den, 'is_main AND is_of_' ~ rate.days ~ 'd') }} AS {{ rate.name }}_den,
        {% endfor %}
        {% for outcome in outcomes %}
        {{ of_cohorts('outcome_' ~ outcome, 'is_counted') }} AS outcome_{{ outcome }},
        {% endfor %}
    FROM (
        SELECT
            *,
            axis = 'touched' AS is_main,
            {{ of_rates('rate_period_end') }} AS is_of_rates,
            {% for window in early_windows %}
            {{ of_rates('last_' ~ window ~ 'd_day') }} AS is_of_{{ window }}d,
            {% endfor %}
            is_main AND is_of_rates AND days_unknown = 0 AS is_counted,
            axis = 'sent' AND is_of_rates AND days_unknown = 0 AS is_counted_of_sent
        FROM (
            SELECT
                sequence_template_id, axis, span, days_unknown,
                sum(COLUMNS('_(num|den)$|^(members|eligible|replied_before_message|outcome_)'))
            FROM engagement.sequence_cohorts JOIN spans ON day = cohort_day
            WHERE axis <> 'enrolled'
            GROUP BY ALL
        ) CROSS JOIN periods
    )
    GROUP BY ALL
), speeds AS (
    SELECT
        sequence_template_id,
        period,
        CASE WHEN count(*) >= $quantile_repliers THEN quantile_cont(hours_to_first_reply, 0.5) END AS median_hours
    FROM (
        SELECT sequence_template_id, hours_to_first_reply, span
        FROM engagement.sequence_runs
        JOIN windows ON quarter = {{ quarter('touched_at') }}
        JOIN spans USING (day)
        WHERE NOT left_censored AND NOT start_uncertain AND unknown_later = 0 AND touched_at <= until_later
            AND hours_to_first_reply <= 24 * $reply_window_days::INTEGER
    ) CROSS JOIN periods
    WHERE {{ of_rates('rate_period_end') }}
    GROUP BY ALL
), joined AS (
    SELECT
        counts.*,
        coalesce(persons, 0) AS persons,
        median_hours,
        {% for count in ['members', 'eligible', 'message_replied', 'message_eligible', 'replied_before_message'] %}
        coalesce({{ count }}, 0) AS {{ count }},
        {% endfor %}
        coalesce(COLUMNS(cohorts.* EXCLUDE (
            sequence_template_id, period, members, eligible, message_replied, message_eligible, replied_before_message)), 0),
        last_sent_day,
        least((SELECT min(day) FROM business_days), usually_since) AS silent_since
    FROM counts
    {% for other in ['persons', 'cohorts', 'speeds'] %}
    LEFT JOIN {{ other }}
        ON {{ other }}.sequence_template_id IS NOT DISTINCT FROM counts.sequence_template_id
        AND {{ other }}.period = counts.period
    {% endfor %}
    LEFT JOIN silence ON silence.sequence_template_id IS NOT DISTINCT FROM counts.sequence_template_id
), rated AS (
    SELECT period, sequence_template_id, reply_rate_num AS num, reply_rate_den AS den
    FROM joined
    WHERE sequence_template_id IS NOT NULL AND reply_rate_den > 0
), {{ shrinkage('rated', 'period') }}, shrunk AS (
    SELECT period, sequence_template_id, added, {{ shrunken('num', 'den') }} AS shrunken
    FROM rated JOIN prior USING (period)
)
SELECT
    sequence_template_id,
    period,
    period_start,
    period_end,
    templates.name AS sequence_name,
    templates.status,
    COLUMNS({{ counted }}),
    runs,
    persons,
    runs_active,
    runs_paused,
    runs_stopped,
    runs_left_censored,
    runs_start_uncertain,
    rate(runs_active, runs) AS active_share,
    rate(runs_paused, runs) AS paused_share,
    rate(runs_stopped, runs) AS stopped_share,
    rate(messages, unique_sent) AS messages_per_contacted_run,
    rate(replies, messages) AS replies_per_message,
    rate(touches, repliers) AS touches_to_reply,
    rate(total_sent, total_positive_replies) AS messages_per_positive_reply,
    rate_period_start,
    rate_period_end,
    cohort_days_left_out,
    members,
    eligible,
    rate(eligible, members) AS maturity,
    {% for rate in cohort_rates %}
    {{ rate_columns(rate.name, rate.name ~ '_num', rate.name ~ '_den') }},
    {% endfor %}
    {{ rate_columns('message_reply_rate', 'message_replied', 'message_eligible') }},
    replied_before_message,
    {% for rate in early_rates %}
    {{ rate_columns(rate.name, rate.name ~ '_num', rate.name ~ '_den') }},
    {% endfor %}
    rate(meeting_rate_den, meeting_rate_num) AS contacts_per_meeting,
    median_hours AS median_hours_to_reply,
    {% for outcome in outcomes %}
    outcome_{{ outcome }},
    {% endfor %}
    shrunken AS reply_rate_shrunken,
    added AS reply_rate_contacts_added,
    CASE WHEN {{ is_ranked }} THEN rank() OVER (
        PARTITION BY period, {{ is_ranked }} ORDER BY shrunken DESC) END AS reply_rank,
    CASE WHEN period <> 'lifetime' THEN NULL
        WHEN runs_active = runs_paused OR NOT is_judged(sequence_template_id, status) THEN false
        WHEN last_sent_day >= silent_since THEN false
        WHEN silent_since > coalesce((SELECT max(day) FROM unknown_days), first_landed_day - 1) THEN true END AS is_silent,
    as_of,
    days_unknown
FROM joined
JOIN known USING (period)
LEFT JOIN shrunk USING (period, sequence_template_id)
LEFT JOIN topo.sequence_templates AS templates ON templates.id = sequence_template_id
CROSS JOIN horizon;

COMMENT ON TABLE engagement.sequence_summary IS 'One row per sequence and period. Counts are of the last days, rates of the last days whose outcome windows have closed. Rates are over runs by their first message or invitation, unless their name says otherwise.';
COMMENT ON COLUMN engagement.sequence_summary.sequence_template_id IS 'Id of the sequence. NULL when the activities name none.';
COMMENT ON COLUMN engagement.sequence_summary.period IS 'lifetime: all landed days. 7d, 28d and 90d: the 7, 28 or 90 calendar days that end with the last known day. The rates cover the last 7, 28 or 90 days whose outcome windows have closed (rate_period_start to rate_period_end).';
COMMENT ON COLUMN engagement.sequence_summary.period_start IS 'First day that the counts cover.';
COMMENT ON COLUMN engagement.sequence_summary.period_end IS 'Last day that the counts cover: the last known day, in lifetime the last landed day.';
COMMENT ON COLUMN engagement.sequence_summary.sequence_name IS 'Name of the sequence in Topo when it was last read. NULL when it has not been read, for example because the API key may not read it.';
COMMENT ON COLUMN engagement.sequence_summary.status IS 'Status of the sequence in Topo when it was last read. NULL when it has not been read. A sequence that is not ACTIVE is neither ranked nor reported as silent.';
{{ count_comments('engagement.sequence_summary', 'in the period') }}
COMMENT ON COLUMN engagement.sequence_summary.runs IS 'Runs whose first activity falls in the period. Includes left-censored runs.';
COMMENT ON COLUMN engagement.sequence_summary.persons IS 'Distinct contacts of these runs. Smaller than runs when contacts went through the sequence more than once. Cannot be summed.';
COMMENT ON COLUMN engagement.sequence_summary.runs_active IS 'Runs counted in runs that are neither completed nor stopped now. Includes paused runs.';
COMMENT ON COLUMN engagement.sequence_summary.runs_paused IS 'Runs counted in runs that are paused now.';
COMMENT ON COLUMN engagement.sequence_summary.runs_stopped IS 'Runs counted in runs that have been stopped.';
COMMENT ON COLUMN engagement.sequence_summary.runs_left_censored IS 'Runs counted in runs that may have begun before the first landed day. They are in totals, but in no unique count and no rate.';
COMMENT ON COLUMN engagement.sequence_summary.runs_start_uncertain IS 'Runs counted in runs that may have started on an unknown day. They are in totals and unique counts, but in no rate.';
COMMENT ON COLUMN engagement.sequence_summary.active_share IS 'runs_active / runs. NULL when runs is 0.';
COMMENT ON COLUMN engagement.sequence_summary.paused_share IS 'runs_paused / runs. NULL when runs is 0.';
COMMENT ON COLUMN engagement.sequence_summary.stopped_share IS 'runs_stopped / runs. NULL when runs is 0.';
COMMENT ON COLUMN engagement.sequence_summary.messages_per_contacted_run IS 'Messages sent so far to the runs in unique_sent, per run. NULL when unique_sent is 0.';
COMMENT ON COLUMN engagement.sequence_summary.replies_per_message IS 'Replies so far from the runs in unique_sent, automatic ones included, per message sent to them. Not a share: it can exceed 1. NULL when unique_sent is 0.';
COMMENT ON COLUMN engagement.sequence_summary.touches_to_reply IS 'Among repliers: mean number of messages and invitations up to the first valid reply, over the runs in unique_sent that replied. NULL when none did.';
COMMENT ON COLUMN engagement.sequence_summary.messages_per_positive_reply IS 'total_sent / total_positive_replies. NULL when there was no positive reply in the period.';
COMMENT ON COLUMN engagement.sequence_summary.rate_period_start IS 'First cohort day that the rates cover: the day of the first message or invitation of a run.';
COMMENT ON COLUMN engagement.sequence_summary.rate_period_end IS 'Last cohort day that the rates cover: the last day whose outcome windows have all closed. In lifetime, runs of the next day whose own windows have closed count too.';
COMMENT ON COLUMN engagement.sequence_summary.cohort_days_left_out IS 'Days from rate_period_start to rate_period_end that the rates leave out because a day in their outcome windows is unknown. Load those days to get them back.';
COMMENT ON COLUMN engagement.sequence_summary.members IS 'Runs that started in the period that the rates cover. In lifetime: all runs that started, whether or not their windows have closed.';
COMMENT ON COLUMN engagement.sequence_summary.eligible IS 'Members that the rates count: their outcome window has closed, and no day in the windows of their cohort day is unknown.';
COMMENT ON COLUMN engagement.sequence_summary.maturity IS 'eligible / members. NULL when members is 0.';
{% for rate in cohort_rates %}
{{ rate_comments('engagement.sequence_summary', rate.name, rate.num_comment, rate.den_comment) }}
{% endfor %}
{{ rate_comments('engagement.sequence_summary', 'message_reply_rate', 'Runs in message_reply_rate_den with a valid reply at most $reply_window_days days after their first message (rule reply_window_days).', 'Runs by their first message, for comparison with Topo, whose outcome window has closed. Excludes runs in replied_before_message.') }}
COMMENT ON COLUMN engagement.sequence_summary.replied_before_message IS 'Runs with a valid reply before their first message, such as a reply to an invitation. They are in reply_rate, but not in message_reply_rate.';
{% for rate in early_rates %}
{{ rate_comments('engagement.sequence_summary', rate.name, rate.num_comment, rate.den_comment) }}
{% endfor %}
COMMENT ON COLUMN engagement.sequence_summary.contacts_per_meeting IS 'meeting_rate_den / meeting_rate_num: runs per run with a meeting. NULL when there was no meeting.';
COMMENT ON COLUMN engagement.sequence_summary.median_hours_to_reply IS 'Among repliers: median hours from the first message or invitation to the first valid reply at or after it, over the runs in reply_rate_num. NULL when there are fewer than $quantile_repliers of them (rule quantile_repliers).';
{{ outcome_comments('engagement.sequence_summary', 'Eligible runs') }}
COMMENT ON COLUMN engagement.sequence_summary.reply_rate_shrunken IS 'reply_rate as if reply_rate_contacts_added average contacts were added to it, which moves the rates of small sequences towards the mean of all sequences. Example: 6 replies of 50 contacts (12%) and 100 added contacts at 6% give 12 of 150 (8%). NULL when reply_rate is NULL or sequence_template_id is NULL.';
COMMENT ON COLUMN engagement.sequence_summary.reply_rate_contacts_added IS 'Number of average contacts that reply_rate_shrunken adds. It is larger when the rates of the sequences of the period differ by little more than chance. 30 when fewer than three sequences have a rate, or when none or all of their contacts replied.';
COMMENT ON COLUMN engagement.sequence_summary.reply_rank IS 'Rank of the sequence within the period by reply_rate_shrunken, from 1 (highest). NULL when reply_rate_evidence is none or too_small, sequence_template_id is NULL, or the sequence is known not to be ACTIVE.';
COMMENT ON COLUMN engagement.sequence_summary.is_silent IS 'In period lifetime: TRUE when the sequence has active runs that are not paused but sent no message or invitation from the first of the last $silent_business_days business days (Monday to Friday, rule silent_business_days) to the last known day, nor for as many days as it usually takes from one day with a send to the next (9 of 10 such pauses that ended in the last 56 days were no longer; those with an unknown day in them do not count). NULL instead of TRUE when one of these days is unknown. FALSE when sequence_template_id is NULL or the sequence is known not to be ACTIVE. NULL in other periods.';
COMMENT ON COLUMN engagement.sequence_summary.as_of IS 'End of the last known day (UTC). The rates count only windows that had closed by then.';
COMMENT ON COLUMN engagement.sequence_summary.days_unknown IS 'Unknown days from period_start to period_end: they have not landed, were last read before they were over, or were not proved complete. The counts may be too low.';
