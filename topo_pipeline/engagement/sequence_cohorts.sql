{% import 'sequence_cohorts_known.jinja' as sequence_cohorts_known %}
{% from 'rates.jinja' import cohort_rates, early_windows, outcome_comments, outcomes, rate_columns, rate_comments %}
{% from 'horizon.jinja' import closed_until, horizon, quarter, quarters, unknown_in, window_end %}
{% from 'runs.jinja' import days %}
{% set axes = [
    {'name': 'touched', 'start': 'touched_at'},
    {'name': 'sent', 'start': 'contacted_at'},
    {'name': 'enrolled', 'start': 'enrolled_at'},
] %}
{% set to_date = [
    {'count': 'replies_to_date', 'rate': 'reply_rate', 'first_at': 'replied_at', 'event': 'valid reply'},
    {'count': 'positive_replies_to_date', 'rate': 'positive_reply_rate', 'first_at': 'positive_at', 'event': 'positive reply'},
    {'count': 'hot_leads_to_date', 'rate': 'hot_lead_rate', 'first_at': 'hot_at', 'event': 'hot lead'},
    {'count': 'meetings_to_date', 'rate': 'meeting_rate', 'first_at': 'met_at', 'event': 'meeting booking'},
] %}
{# In microseconds, because adding an interval to a TIMESTAMPTZ costs seconds per million runs. #}
{% macro within(event, length='$reply_window_days') -%}
epoch_us({{ event }}) - epoch_us(started_at) BETWEEN 0 AND {{ days(length) }}
{%- endmacro %}
{% macro same(one, other) -%}
{{ one }}.cohort_day = {{ other }}.cohort_day
    AND {{ one }}.sequence_template_id IS NOT DISTINCT FROM {{ other }}.sequence_template_id
{%- endmacro %}
{% set in_time = 'at most $reply_window_days days after enrolment (rule reply_window_days). NULL on other axes than enrolled.' %}
{% set rates = cohort_rates + [
    {'name': 'contact_rate', 'num': 'contacted', 'den': 'enrolled',
        'num_comment': 'Eligible runs with a first message ' ~ in_time,
        'den_comment': 'Eligible runs. NULL on other axes than enrolled.'},
    {'name': 'completion_rate', 'num': 'completed', 'den': 'enrolled',
        'num_comment': 'Eligible runs that were completed ' ~ in_time,
        'den_comment': 'Eligible runs. NULL on other axes than enrolled.'},
    {'name': 'stop_rate', 'num': 'stopped', 'den': 'enrolled',
        'num_comment': 'Eligible runs that were stopped ' ~ in_time,
        'den_comment': 'Eligible runs. NULL on other axes than enrolled.'},
] %}
{% set windows = early_windows + ['$reply_window_days'] %}
{% set lengths = dict([('later', '$reply_window_days')]) %}
{% for window in early_windows %}{% set _ = lengths.update({window ~ 'd': window}) %}{% endfor %}
-- Grain: sequence_template_id, cohort_day, axis
-- Incremental: recounts a sequence's cohort day when its runs, its closed windows or its unknown days have changed.
CREATE TABLE IF NOT EXISTS engagement.sequence_cohorts (
    sequence_template_id UUID,
    cohort_day DATE,
    axis VARCHAR,
    members BIGINT,
    start_uncertain BIGINT,
    replied_before_message BIGINT,
    eligible BIGINT,
    maturity DOUBLE,
    days_unknown BIGINT,
    is_mature BOOLEAN,
    {% for window in early_windows %}
    eligible_{{ window }}d BIGINT,
    reply_{{ window }}d_num BIGINT,
    positive_reply_{{ window }}d_num BIGINT,
    {% endfor %}
    {% for rate in rates %}
    {{ rate.name }}_num BIGINT,
    {{ rate.name }}_den BIGINT,
    {{ rate.name }} DOUBLE,
    {{ rate.name }}_low DOUBLE,
    {{ rate.name }}_high DOUBLE,
    {{ rate.name }}_evidence VARCHAR,
    {% endfor %}
    median_hours_to_first_reply DOUBLE,
    p90_hours_to_first_reply DOUBLE
    {%- for outcome in outcomes %},
    outcome_{{ outcome }} BIGINT
    {%- endfor %}
    {%- for outcome in to_date %},
    {{ outcome.count }} BIGINT,
    {{ outcome.rate }}_to_date DOUBLE
    {%- endfor %}

);

{{ sequence_cohorts_known.create() }}

CREATE OR REPLACE TEMP TABLE stale AS
WITH {{ horizon() }}, {{ quarters() }}, known AS (
    -- The Unix epoch, before any window, if no day was known.
    SELECT
        coalesce(horizon.as_of, make_timestamptz(0)) AS as_of, coalesce(before.as_of, make_timestamptz(0)) AS was_as_of,
        before.unknown_days
    FROM horizon CROSS JOIN engagement.sequence_cohorts_known AS before
), moved AS (
    SELECT
        {% for window in windows %}
        {{ closed_until(window) }} AS until_{{ loop.index }},
        was_as_of - to_days({{ window }}::INTEGER) AS was_until_{{ loop.index }},
        {% endfor %}
    FROM known
), newly_closed AS (
    {% for axis in axes %}
    {{ 'UNION ALL' if not loop.first }}
    SELECT sequence_template_id, {{ axis.start }} AS started_at
    FROM engagement.sequence_runs CROSS JOIN moved
    WHERE {% for window in windows %}
        {{ 'OR ' if not loop.first }}({{ axis.start }} <= until_{{ loop.index }}) <> ({{ axis.start }} <= was_until_{{ loop.index }})
        {% endfor %}
    {% endfor %}
), changed_days AS (
    SELECT day
    FROM unknown_days FULL JOIN (SELECT unnest(unknown_days) AS day FROM known) AS before USING (day)
    WHERE unknown_days.day IS NULL OR before.day IS NULL
)
SELECT sequence_template_id, day AS cohort_day
FROM engagement.sequence_firsts
WHERE load_id NOT IN (SELECT load_id FROM engagement.builds WHERE table_name = 'sequence_cohorts')
UNION
SELECT sequence_template_id, day
FROM newly_closed JOIN quarters ON quarter = {{ quarter('started_at') }}
UNION
SELECT sequence_template_id, cohort_day
FROM engagement.sequence_cohorts JOIN changed_days
    ON day BETWEEN cohort_day AND {{ window_end('cohort_day', 'greatest($reply_window_days, ' ~ early_windows[-1] ~ ')') }};

CREATE OR REPLACE TEMP TABLE counted_cohorts AS
WITH {{ horizon() }}, {{ quarters() }}, {{ unknown_in(lengths) }}, started AS (
    SELECT
        runs.*,
        day AS cohort_day,
        axis <> 'enrolled' AND start_uncertain AS is_uncertain,
        axis = 'sent' AND NOT start_uncertain AND coalesce(first_valid_reply_at < contacted_at, false) AS is_replied_before,
        NOT is_uncertain AND NOT is_replied_before AS is_member
    FROM (
        SELECT
            * EXCLUDE (start_uncertain),
            coalesce(start_uncertain, false) AS start_uncertain,
            CASE axis {% for axis in axes %}WHEN '{{ axis.name }}' THEN {{ axis.start }} {% endfor %}END AS started_at
        FROM engagement.sequence_runs
        CROSS JOIN (VALUES {% for axis in axes %}('{{ axis.name }}'){{ ', ' if not loop.last }}{% endfor %}) AS axes(axis)
        WHERE NOT left_censored
    ) AS runs
    JOIN quarters ON quarter = {{ quarter('started_at') }}
    SEMI JOIN stale ON cohort_day = day AND stale.sequence_template_id IS NOT DISTINCT FROM runs.sequence_template_id
), responses AS (
    -- What came at or after the start.
    SELECT
        started.sequence_template_id,
        started.sequence_id,
        axis,
        min(responded_at) FILTER (class NOT IN ('out_of_office', 'bounced')) AS replied_at,
        min(responded_at) FILTER (class IS NOT NULL) AS replied_at_all_at,
        min(responded_at) FILTER (class NOT IN ('out_of_office', 'bounced', 'unknown', 'pending')) AS classified_at,
        min(responded_at) FILTER (class = 'positive') AS positive_at,
        min(responded_at) FILTER (type = 'hot_lead.created') AS hot_at,
        min(responded_at) FILTER (type = 'meeting.created') AS met_at,
        max(responded_at) FILTER (type = 'meeting.created' AND {{ within('responded_at') }}) AS last_met_at
    FROM started JOIN (FROM engagement.sequence_responses WHERE type <> 'message.opened') AS responses
        ON responses.sequence_id = started.sequence_id
        AND responses.sequence_template_id IS NOT DISTINCT FROM started.sequence_template_id
        AND responded_at >= started_at
    GROUP BY ALL
), runs AS (
    SELECT
        started.*,
        responses.* EXCLUDE (sequence_template_id, sequence_id, axis),
        coalesce(started_at <= {{ closed_until('$reply_window_days') }}, false) AS is_over,
        is_member AND is_over AS is_eligible,
        {% for window in early_windows %}
        coalesce(is_member AND started_at <= {{ closed_until(window) }} AND unknown_{{ window }}d = 0, false) AS is_eligible_{{ window }}d,
        {% endfor %}
        is_eligible AND {{ within('replied_at') }} AS replied,
        is_eligible AND started.axis = 'enrolled' AS is_enrolled,
        unknown_later
    FROM started
    LEFT JOIN responses
        ON responses.sequence_id = started.sequence_id AND responses.axis = started.axis
        AND responses.sequence_template_id IS NOT DISTINCT FROM started.sequence_template_id
    LEFT JOIN unknown_in ON unknown_in.day = cohort_day
    CROSS JOIN horizon
), counted AS (
    SELECT
        sequence_template_id,
        cohort_day,
        axis,
        count(*) FILTER (is_member) AS members,
        count(*) FILTER (is_uncertain) AS start_uncertain,
        CASE axis WHEN 'sent' THEN count(*) FILTER (is_replied_before) END AS replied_before_message,
        count(*) FILTER (is_eligible) AS eligible,
        any_value(unknown_later) AS days_unknown,
        bool_and(is_over) AND any_value(unknown_later) = 0 AS is_mature,
        {% for window in early_windows %}
        count(*) FILTER (is_eligible_{{ window }}d) AS eligible_{{ window }}d,
        count(*) FILTER (is_eligible_{{ window }}d AND {{ within('replied_at', window) }}) AS reply_{{ window }}d_num,
        count(*) FILTER (is_eligible_{{ window }}d AND {{ within('positive_at', window) }}) AS positive_reply_{{ window }}d_num,
        {% endfor %}
        count(*) FILTER (replied) AS replied,
        count(*) FILTER (is_eligible AND {{ within('replied_at_all_at') }}) AS replied_at_all,
        count(*) FILTER (is_eligible AND {{ within('positive_at') }}) AS positive,
        count(*) FILTER (is_eligible AND {{ within('hot_at') }}) AS hot,
        count(*) FILTER (is_eligible AND last_met_at IS NOT NULL) AS met,
        count(*) FILTER (is_eligible AND {{ within('classified_at') }}) AS classified,
        count(*) FILTER (replied AND last_met_at >= replied_at) AS replied_met,
        -- The next four are counts of axis enrolled.
        CASE axis WHEN 'enrolled' THEN count(*) FILTER (is_enrolled) END AS enrolled,
        {% for outcome in ['contacted', 'completed', 'stopped'] %}
        CASE axis WHEN 'enrolled' THEN count(*) FILTER (is_enrolled AND {{ outcome }}_in_time) END AS {{ outcome }},
        {% endfor %}
        {% for outcome in outcomes %}
        CASE axis WHEN 'touched' THEN count(*) FILTER (is_eligible AND outcome = '{{ outcome }}') END AS outcome_{{ outcome }},
        {% endfor %}
        {% for outcome in to_date %}
        count(*) FILTER (is_member AND {{ outcome.first_at }} IS NOT NULL) AS {{ outcome.count }},
        {% endfor %}
        quantile_cont(epoch(replied_at - started_at) / 3600, 0.5) FILTER (replied) AS median_hours,
        quantile_cont(epoch(replied_at - started_at) / 3600, 0.9) FILTER (replied) AS p90_hours
    FROM runs
    GROUP BY sequence_template_id, cohort_day, axis
)
SELECT
    sequence_template_id,
    cohort_day,
    axis,
    members,
    start_uncertain,
    replied_before_message,
    eligible,
    rate(eligible, members),
    days_unknown,
    is_mature,
    {% for window in early_windows %}
    eligible_{{ window }}d,
    reply_{{ window }}d_num,
    positive_reply_{{ window }}d_num,
    {% endfor %}
    {% for rate in rates %}
    {{ rate_columns(rate.name, rate.num, rate.den) }},
    {% endfor %}
    CASE WHEN replied >= $quantile_repliers THEN median_hours END,
    CASE WHEN replied >= $quantile_repliers THEN p90_hours END
    {%- for outcome in outcomes %},
    outcome_{{ outcome }}
    {%- endfor %}
    {%- for outcome in to_date %},
    {{ outcome.count }},
    rate({{ outcome.count }}, members)
    {%- endfor %}

FROM counted;

-- Writing costs more than counting and few recounted rows differ, so write only those.
DELETE FROM engagement.sequence_cohorts AS built
USING (
    FROM engagement.sequence_cohorts AS built SEMI JOIN stale ON {{ same('built', 'stale') }}
    EXCEPT
    FROM counted_cohorts
) AS gone
WHERE {{ same('built', 'gone') }} AND built.axis = gone.axis;

INSERT INTO engagement.sequence_cohorts
FROM counted_cohorts ANTI JOIN engagement.sequence_cohorts AS built
    ON {{ same('built', 'counted_cohorts') }} AND built.axis = counted_cohorts.axis
ORDER BY sequence_template_id, cohort_day, axis; -- unsorted rows would be written twice, at commit and at checkpoint

{{ sequence_cohorts_known.update() }}

INSERT INTO engagement.builds
SELECT 'sequence_cohorts', load_id, $fingerprint, $now
FROM engagement.builds
WHERE table_name = 'sequence_runs'
    AND load_id NOT IN (SELECT load_id FROM engagement.builds WHERE table_name = 'sequence_cohorts');

COMMENT ON TABLE engagement.sequence_cohorts IS 'One row per sequence, cohort day and axis: the runs that started on the day, and what came of those whose outcome window has closed. Counts, num and den can be summed over days. Excludes left-censored runs.';
COMMENT ON COLUMN engagement.sequence_cohorts.sequence_template_id IS 'Id of the sequence. NULL when the activities name none.';
COMMENT ON COLUMN engagement.sequence_cohorts.cohort_day IS 'Reporting day on which the runs started.';
COMMENT ON COLUMN engagement.sequence_cohorts.axis IS 'What counts as the start of a run: touched (its first message or invitation), sent (its first message) or enrolled (its enrolment). A run can be in a cohort of each axis, so never add them.';
COMMENT ON COLUMN engagement.sequence_cohorts.members IS 'Runs that started on the day, except those in start_uncertain and replied_before_message.';
COMMENT ON COLUMN engagement.sequence_cohorts.start_uncertain IS 'Runs that seem to have started on the day, but may have started on an unknown day before (see sequence_runs.start_uncertain). They are in no rate. 0 on axis enrolled.';
COMMENT ON COLUMN engagement.sequence_cohorts.replied_before_message IS 'On axis sent: runs with a valid reply before their first message, such as a reply to an invitation. They are in no rate of this axis. NULL on other axes.';
COMMENT ON COLUMN engagement.sequence_cohorts.eligible IS 'Members whose outcome window has closed: they started at least $reply_window_days days before the end of the last known day (rule reply_window_days).';
COMMENT ON COLUMN engagement.sequence_cohorts.maturity IS 'eligible / members, a share from 0 to 1. NULL when members is 0.';
COMMENT ON COLUMN engagement.sequence_cohorts.days_unknown IS 'Unknown days from the cohort day to the end of its outcome window: days up to the last known one that have not landed, were last read before they were over, or were not proved complete.';
COMMENT ON COLUMN engagement.sequence_cohorts.is_mature IS 'TRUE when the outcome windows of all runs that started on the day have closed, those in no rate included, and no day in these windows is unknown. Other tables leave cohort days with unknown days out of these rates. To combine rows, do the same.';
{% for window in early_windows %}
COMMENT ON COLUMN engagement.sequence_cohorts.eligible_{{ window }}d IS 'Members whose first {{ window }} days were over at the end of the last known day. 0 when one of these days is unknown.';
COMMENT ON COLUMN engagement.sequence_cohorts.reply_{{ window }}d_num IS 'Runs in eligible_{{ window }}d with a valid reply at most {{ window }} days after the start.';
COMMENT ON COLUMN engagement.sequence_cohorts.positive_reply_{{ window }}d_num IS 'Runs in eligible_{{ window }}d with a positive reply at most {{ window }} days after the start.';
{% endfor %}
{% for rate in rates %}
{{ rate_comments('engagement.sequence_cohorts', rate.name, rate.num_comment, rate.den_comment) }}
{% endfor %}
COMMENT ON COLUMN engagement.sequence_cohorts.median_hours_to_first_reply IS 'Among repliers: median hours from the start to the first valid reply at or after it, over the runs in reply_rate_num. NULL when there are fewer than $quantile_repliers of them (rule quantile_repliers). Cannot be summed or averaged.';
COMMENT ON COLUMN engagement.sequence_cohorts.p90_hours_to_first_reply IS 'Among repliers: 90th percentile of the hours from the start to the first valid reply at or after it, over the runs in reply_rate_num. NULL when there are fewer than $quantile_repliers of them (rule quantile_repliers). Cannot be summed or averaged.';
{{ outcome_comments('engagement.sequence_cohorts', 'On axis touched: eligible runs') }}
{% for outcome in to_date %}
COMMENT ON COLUMN engagement.sequence_cohorts.{{ outcome.count }} IS 'Members with a {{ outcome.event }} at or after their start, however late. Still growing: not limited to closed windows.';
COMMENT ON COLUMN engagement.sequence_cohorts.{{ outcome.rate }}_to_date IS '{{ outcome.count }} / members, a share from 0 to 1. Still growing: recent cohorts have had less time. To compare cohorts, use {{ outcome.rate }}.';
{% endfor %}

{{ sequence_cohorts_known.comments() }}
