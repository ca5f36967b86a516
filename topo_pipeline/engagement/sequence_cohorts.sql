{% import 'sequence_cohorts_known.jinja' as sequence_cohorts_known %}
{% from 'rates.jinja' import rate_columns, rate_comments, message_rates %}
{% from 'horizon.jinja' import horizon, quarter, quarters %}
{% set to_date = [
    {'count': 'replies_to_date', 'rate': 'reply_rate', 'first_at': 'first_valid_reply_at', 'event': 'valid reply'},
    {'count': 'positive_replies_to_date', 'rate': 'positive_reply_rate', 'first_at': 'first_positive_reply_at',
        'event': 'positive reply'},
    {'count': 'hot_leads_to_date', 'rate': 'hot_lead_rate', 'first_at': 'hot_lead_at', 'event': 'hot lead'},
    {'count': 'meetings_to_date', 'rate': 'meeting_rate', 'first_at': 'meeting_at', 'event': 'meeting booking'},
] %}
{# In microseconds, because adding an interval to a TIMESTAMPTZ costs seconds per million runs. #}
{% macro within(event, start) -%}
epoch_us({{ event }}) - epoch_us({{ start }}) BETWEEN 0 AND $reply_window_days * 86_400_000_000
{%- endmacro %}
{% set after_enrolment = 'at most $reply_window_days days after enrolment (rule reply_window_days). NULL on axis sent.' %}
{% set enrolled = 'Runs enrolled at least $reply_window_days days before the end of the last closed day (rule reply_window_days). NULL on axis sent.' %}
{% set rates = message_rates + [
    {'name': 'touch_reply_rate', 'num': 'touch_replied', 'den': 'touch_closed',
        'num_comment': 'Runs in touch_reply_rate_den whose first valid reply came at most $reply_window_days days after the first message or invitation (rule reply_window_days).',
        'den_comment': 'Runs whose first message or invitation was sent at least $reply_window_days days before the end of the last closed day (rule reply_window_days).'},
    {'name': 'contact_rate', 'num': 'contacted', 'den': 'enrolment_closed',
        'num_comment': 'Runs in contact_rate_den whose first message was sent ' ~ after_enrolment, 'den_comment': enrolled},
    {'name': 'completion_rate', 'num': 'completed', 'den': 'enrolment_closed',
        'num_comment': 'Runs in completion_rate_den that were completed ' ~ after_enrolment, 'den_comment': enrolled},
    {'name': 'stop_rate', 'num': 'stopped', 'den': 'enrolment_closed',
        'num_comment': 'Runs in stop_rate_den that were stopped ' ~ after_enrolment, 'den_comment': enrolled},
] %}
-- Grain: sequence_template_id, cohort_day, axis
-- Incremental: recounts a sequence's cohort day when its runs, its closed windows or its missing days have changed.
CREATE TABLE IF NOT EXISTS engagement.sequence_cohorts (
    sequence_template_id UUID,
    cohort_day DATE,
    axis VARCHAR,
    members BIGINT,
    eligible BIGINT,
    maturity DOUBLE,
    days_missing BIGINT,
    is_mature BOOLEAN,
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
    {%- for outcome in to_date %},
    {{ outcome.count }} BIGINT,
    {{ outcome.rate }}_to_date DOUBLE
    {%- endfor %}

);

{{ sequence_cohorts_known.create() }}

-- Every cohort day is a landed day. An open one has no closed day in its window, so none can be missing.
CREATE OR REPLACE TEMP TABLE outcome_windows AS
WITH {{ horizon() }}
SELECT cohort_day, greatest(0, last_day - cohort_day + 1 - count(landed_days.day)) AS days_missing
FROM (
    SELECT day AS cohort_day, least(day + $reply_window_days::INTEGER, coalesce(last_closed_day, day)) AS last_day
    FROM landed_days CROSS JOIN horizon
)
LEFT JOIN landed_days ON landed_days.day BETWEEN cohort_day AND last_day
GROUP BY cohort_day, last_day;

CREATE OR REPLACE TEMP TABLE stale AS
WITH {{ horizon() }}, {{ quarters() }}, newly_closed AS (
    SELECT sequence_template_id, contacted_at, enrolled_at
    FROM engagement.sequence_runs
    CROSS JOIN horizon
    CROSS JOIN (SELECT closed_until AS known_until FROM engagement.sequence_cohorts_known)
    WHERE {% for start in ['contacted_at', 'touched_at', 'enrolled_at'] %}
        {{ 'OR ' if not loop.first }}({{ start }} <= closed_until) IS DISTINCT FROM ({{ start }} <= known_until)
        {% endfor %}
)
SELECT sequence_template_id, day AS cohort_day
FROM engagement.sequence_firsts
WHERE load_id NOT IN (SELECT load_id FROM engagement.builds WHERE table_name = 'sequence_cohorts')
UNION
SELECT sequence_template_id, day
FROM (UNPIVOT newly_closed ON contacted_at, enrolled_at INTO NAME axis VALUE started_at)
JOIN quarters ON quarter = {{ quarter('started_at') }}
UNION
SELECT sequence_template_id, cohort_day
FROM engagement.sequence_cohorts AS built LEFT JOIN outcome_windows USING (cohort_day)
WHERE built.days_missing IS DISTINCT FROM outcome_windows.days_missing;

CREATE OR REPLACE TEMP TABLE counted_cohorts AS
WITH {{ horizon() }}, {{ quarters() }}, started AS (
    SELECT runs.*, day AS cohort_day
    FROM (
        SELECT *, CASE axis WHEN 'sent' THEN contacted_at ELSE enrolled_at END AS started_at
        FROM engagement.sequence_runs CROSS JOIN (VALUES ('sent'), ('enrolled')) AS axes(axis)
        WHERE NOT left_censored
    ) AS runs
    JOIN quarters ON quarter = {{ quarter('started_at') }}
    SEMI JOIN stale ON cohort_day = day AND stale.sequence_template_id IS NOT DISTINCT FROM runs.sequence_template_id
), outcomes AS (
    SELECT
        *,
        coalesce(contacted_at <= closed_until, false) AS closed,
        -- An outcome before the first message does not count. Each numerator repeats the condition of its denominator,
        -- because the first reply can precede the first message while the first classified reply follows it.
        closed AND {{ within('first_valid_reply_at', 'contacted_at') }} AS replied,
        closed AND {{ within('first_reply_at', 'contacted_at') }} AS replied_at_all,
        closed AND {{ within('first_positive_reply_at', 'contacted_at') }} AS positive,
        closed AND {{ within('first_classified_reply_at', 'contacted_at') }} AS classified,
        closed AND {{ within('hot_lead_at', 'contacted_at') }} AS hot,
        closed AND {{ within('meeting_at', 'contacted_at') }} AS met,
        touched_at <= closed_until AS touch_closed,
        touch_closed AND {{ within('first_valid_reply_at', 'touched_at') }} AS touch_replied,
        enrolled_at <= closed_until AS enrolment_closed,
        enrolment_closed AND {{ within('contacted_at', 'enrolled_at') }} AS contacted,
        enrolment_closed AND {{ within('completed_at', 'enrolled_at') }} AS completed,
        enrolment_closed AND {{ within('stopped_at', 'enrolled_at') }} AS stopped
    FROM started CROSS JOIN horizon
), counted AS (
    SELECT
        sequence_template_id,
        cohort_day,
        axis,
        count(*) AS members,
        count(*) FILTER (closed) AS closed,
        count(*) FILTER (replied) AS replied,
        count(*) FILTER (replied_at_all) AS replied_at_all,
        count(*) FILTER (positive) AS positive,
        count(*) FILTER (hot) AS hot,
        count(*) FILTER (met) AS met,
        count(*) FILTER (classified) AS classified,
        count(*) FILTER (classified AND positive) AS classified_positive,
        count(*) FILTER (replied AND classified) AS replied_classified,
        count(*) FILTER (replied AND met) AS replied_met,
        count(*) FILTER (touch_closed) AS touch_closed,
        count(*) FILTER (touch_replied) AS touch_replied,
        count(*) FILTER (enrolment_closed) AS enrolment_closed,
        count(*) FILTER (contacted) AS contacted,
        count(*) FILTER (completed) AS completed,
        count(*) FILTER (stopped) AS stopped,
        {% for outcome in to_date %}
        count(*) FILTER ({{ outcome.first_at }} >= started_at) AS {{ outcome.count }},
        {% endfor %}
        quantile_cont(hours_to_first_reply, 0.5) FILTER (replied) AS median_hours,
        quantile_cont(hours_to_first_reply, 0.9) FILTER (replied) AS p90_hours
    FROM outcomes
    GROUP BY ALL
), of_axis AS (
    SELECT
        CASE axis WHEN 'sent' THEN closed ELSE enrolment_closed END AS eligible,
        counted.* REPLACE (
            CASE axis WHEN 'enrolled' THEN enrolment_closed END AS enrolment_closed,
            CASE axis WHEN 'enrolled' THEN contacted END AS contacted,
            CASE axis WHEN 'enrolled' THEN completed END AS completed,
            CASE axis WHEN 'enrolled' THEN stopped END AS stopped),
        days_missing
    FROM counted LEFT JOIN outcome_windows USING (cohort_day)
)
SELECT
    sequence_template_id,
    cohort_day,
    axis,
    members,
    eligible,
    rate(eligible, members),
    days_missing,
    eligible = members AND days_missing = 0,
    {% for rate in rates %}
    {{ rate_columns(rate.name, rate.num, rate.den) }},
    {% endfor %}
    CASE WHEN replied >= $quantile_repliers THEN median_hours END,
    CASE WHEN replied >= $quantile_repliers THEN p90_hours END
    {%- for outcome in to_date %},
    {{ outcome.count }},
    rate({{ outcome.count }}, members)
    {%- endfor %}

FROM of_axis;

{% macro same(one, other) -%}
{{ one }}.cohort_day = {{ other }}.cohort_day
    AND {{ one }}.sequence_template_id IS NOT DISTINCT FROM {{ other }}.sequence_template_id
{%- endmacro %}
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

COMMENT ON TABLE engagement.sequence_cohorts IS 'One row per sequence, cohort day and axis: the runs that started on the day, and the outcomes of those whose outcome window has closed. Counts, num and den can be summed over days. Excludes left-censored runs.';
COMMENT ON COLUMN engagement.sequence_cohorts.sequence_template_id IS 'Id of the sequence. NULL when the activities name none.';
COMMENT ON COLUMN engagement.sequence_cohorts.cohort_day IS 'Reporting day on which the runs started.';
COMMENT ON COLUMN engagement.sequence_cohorts.axis IS 'What counts as the start of a run: sent (its first message) or enrolled (its enrolment). A run can be in a cohort of each axis, so never add the two.';
COMMENT ON COLUMN engagement.sequence_cohorts.members IS 'Runs that started on the day.';
COMMENT ON COLUMN engagement.sequence_cohorts.eligible IS 'Members whose outcome window has closed: they started at least $reply_window_days days before the end of the last closed day (rule reply_window_days).';
COMMENT ON COLUMN engagement.sequence_cohorts.maturity IS 'eligible / members, a share from 0 to 1.';
COMMENT ON COLUMN engagement.sequence_cohorts.days_missing IS 'Days from the cohort day to the end of its outcome window, but no later than the last closed day, that have not been landed.';
COMMENT ON COLUMN engagement.sequence_cohorts.is_mature IS 'TRUE when all members are eligible and no day is missing.';
{% for rate in rates %}
{{ rate_comments('engagement.sequence_cohorts', rate.name, rate.num_comment, rate.den_comment) }}
{% endfor %}
COMMENT ON COLUMN engagement.sequence_cohorts.median_hours_to_first_reply IS 'Median hours from the first message to the first valid reply, over the runs in reply_rate_num. NULL when there are fewer than $quantile_repliers of them (rule quantile_repliers). Cannot be summed or averaged over days.';
COMMENT ON COLUMN engagement.sequence_cohorts.p90_hours_to_first_reply IS '90th percentile of the hours from the first message to the first valid reply, over the runs in reply_rate_num. NULL when there are fewer than $quantile_repliers of them (rule quantile_repliers). Cannot be summed or averaged over days.';
{% for outcome in to_date %}
COMMENT ON COLUMN engagement.sequence_cohorts.{{ outcome.count }} IS 'Members whose first {{ outcome.event }} came after their start, however late. Still growing: not limited to closed windows.';
COMMENT ON COLUMN engagement.sequence_cohorts.{{ outcome.rate }}_to_date IS '{{ outcome.count }} / members, a share from 0 to 1. Still growing: recent cohorts have had less time. To compare cohorts, use {{ outcome.rate }}.';
{% endfor %}

{{ sequence_cohorts_known.comments() }}
