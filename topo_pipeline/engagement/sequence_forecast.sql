{% from 'horizon.jinja' import horizon, quarters, unknown_in %}
{% from 'shrinkage.jinja' import shrinkage, shrunken %}
{% from 'timing.jinja' import curve_needs, curves, learning_days, names, timed_outcomes, touches %}
{% set outcomes = [timed_outcomes[0], timed_outcomes[2]] %}
{% set past_forecasts, good_forecasts = 12, 8 %}
{# Unknown days can leave out some of the past Mondays. #}
{% set past_weeks = 20 %}
{% set rate_days = 84 %}
{% set horizons = [7, 30] %}
{% set has_range = 'expected > 0 AND past_forecasts = ' ~ past_forecasts ~ ' AND past_within >= ' ~ good_forecasts %}
{% set plural = "if(listed.outcome = 'meeting', 'meetings', 'replies')" %}
{% set span = 'greatest($reply_window_days::INTEGER, ' ~ rate_days ~ ')' %}
{% macro key(one, other, columns) -%}
{{ one }}.sequence_template_id IS NOT DISTINCT FROM {{ other }}.sequence_template_id
        {%- for column in columns %} AND {{ one }}.{{ column }} = {{ other }}.{{ column }}{% endfor %}
{%- endmacro %}
{# Of these contacts every window was closed then, so each counts as one. #}
{% macro closed_then() -%}
touch_day BETWEEN known_day - {{ rate_days - 1 }} AND known_day - $reply_window_days::INTEGER
{%- endmacro %}
{# The middle four fifths of what can come: chance, and what past forecasts missed beyond it. #}
{% macro half_width(expected) %}(1.28 * sqrt(1 + pow(spread, 2) * {{ expected }}) / 2){% endmacro %}
{% macro low(expected) -%}
greatest(0, pow(greatest(0, sqrt({{ expected }} + 0.25) - {{ half_width(expected) }}), 2) - 0.5)
{%- endmacro %}
{% macro high(expected) %}(pow(sqrt({{ expected }} + 0.25) + {{ half_width(expected) }}, 2) - 0.5){% endmacro %}
-- Grain: scope, sequence_template_id, outcome, horizon_days
WITH {{ horizon() }}, {{ quarters() }}, {{ unknown_in({'later': '$reply_window_days'}) }},
{{ touches('last_known_day - ' ~ span ~ ' - ' ~ (learning_days + 7 * past_weeks + 7), outcomes) }}, horizons AS (
    SELECT unnest({{ horizons }}) AS horizon_days
), outcomes AS (
    SELECT unnest([{{ names(outcomes) }}]) AS outcome
), origins AS (
    -- Today's forecast, and the past ones: made on the last Mondays whose forecast days are over and all known.
    SELECT horizon_days, last_known_day AS known_day, true AS is_now
    FROM horizon CROSS JOIN horizons
    WHERE last_known_day IS NOT NULL
    UNION ALL
    (SELECT horizon_days, known_day, false
    FROM (
        SELECT first_landed_day, last_known_day,
            date_trunc('week', last_known_day + 1)::DATE - 1 - (7 * weeks_ago)::INTEGER AS known_day
        FROM horizon CROSS JOIN range(1, {{ past_weeks + 1 }}) AS weeks (weeks_ago)
    ) CROSS JOIN horizons
    WHERE known_day >= first_landed_day AND known_day + horizon_days <= last_known_day
        AND NOT EXISTS (FROM unknown_days WHERE day BETWEEN known_day + 1 AND known_day + horizon_days)
    QUALIFY row_number() OVER (PARTITION BY horizon_days ORDER BY known_day DESC) <= {{ past_forecasts }})
), moments AS (
    SELECT DISTINCT known_day, (known_day + 1)::TIMESTAMP AT TIME ZONE $timezone AS as_of FROM origins
), {{ curves(outcomes) }}, shares AS (
    SELECT known_day, outcome, weekday, age_days, share::DECIMAL(18, 9) AS share FROM curves
), seen AS (
    -- The days of first touches whose windows were open then: the share that had come, and will have come.
    SELECT
        before.known_day,
        before.outcome,
        before.known_day - before.age_days AS touch_day,
        before.share
        {% for days in horizons %},
        later_{{ days }}.share AS later_{{ days }}
        {% endfor %}
    FROM shares AS before
    {% for days in horizons %}
    JOIN shares AS later_{{ days }}
        ON later_{{ days }}.known_day = before.known_day AND later_{{ days }}.outcome = before.outcome
        AND later_{{ days }}.weekday = before.weekday
        AND later_{{ days }}.age_days = least(before.age_days + {{ days }}, $reply_window_days::INTEGER)
    {% endfor %}
    WHERE before.age_days < $reply_window_days AND before.weekday = isodow(before.known_day - before.age_days)
), by_then AS (
    SELECT known_day, outcome, sequence_template_id, touch_day, sum(runs)::BIGINT AS reached_runs
    FROM reached JOIN moments ON touch_day > known_day - $reply_window_days::INTEGER AND reached_day <= known_day
    GROUP BY ALL
), cells AS (
    SELECT seen.*, starts.sequence_template_id, is_whole, runs, coalesce(reached_runs, 0) AS reached_runs
    FROM starts
    JOIN seen USING (touch_day)
    LEFT JOIN by_then ON {{ key('by_then', 'starts', ['touch_day']) }}
        AND by_then.known_day = seen.known_day AND by_then.outcome = seen.outcome
), closed_then AS (
    SELECT known_day, outcome, sequence_template_id, sum(reached_runs) AS reached_runs, sum(runs) AS worth
    FROM (
        SELECT known_day, outcome, sequence_template_id, 0 AS reached_runs, sum(runs) AS runs
        FROM starts JOIN moments ON {{ closed_then() }}
        CROSS JOIN outcomes
        WHERE is_whole
        GROUP BY ALL
        UNION ALL
        SELECT known_day, outcome, sequence_template_id, runs, 0
        FROM reached JOIN moments ON {{ closed_then() }} AND reached_day <= known_day
        WHERE is_whole
    )
    SEMI JOIN (FROM shares WHERE share IS NOT NULL) AS learned_then USING (known_day, outcome)
    GROUP BY ALL
), rates AS (
    -- Of contacts counted as finished ones, first touched in the weeks before the forecast.
    SELECT
        known_day,
        outcome,
        sequence_template_id,
        sum(reached_runs) AS num,
        greatest(sum(worth), sum(reached_runs)) AS den
    FROM (
        SELECT known_day, outcome, sequence_template_id, reached_runs, runs * share AS worth
        FROM cells
        WHERE is_whole AND share IS NOT NULL AND touch_day > known_day - {{ rate_days }}
        UNION ALL
        FROM closed_then
    )
    GROUP BY ALL
    HAVING den > 0
), {{ shrinkage('rates', 'known_day, outcome') }}, shrunk AS (
    SELECT
        prior.known_day, prior.outcome, there.sequence_template_id,
        {{ shrunken('coalesce(num, 0)', 'coalesce(den, 0)') }} AS rate
    FROM prior
    CROSS JOIN (SELECT DISTINCT sequence_template_id FROM starts) AS there
    LEFT JOIN rates
        ON {{ key('rates', 'there', []) }} AND rates.known_day = prior.known_day AND rates.outcome = prior.outcome
), in_flight_then AS (
    -- What is to come of the contacts without the outcome. Nine decimals, so that sums are the same in any order.
    SELECT
        cells.known_day,
        cells.outcome,
        cells.sequence_template_id,
        any_value(rate) AS rate,
        sum(runs - reached_runs) AS in_flight
        {% for days in horizons %},
        sum((runs - reached_runs) * round(coalesce(rate * (later_{{ days }} - share)::DOUBLE
            / nullif(1 - rate * share::DOUBLE, 0), 0), 9)::DECIMAL(18, 9)) AS expected_{{ days }}
        {% endfor %}
    FROM cells
    LEFT JOIN shrunk ON {{ key('shrunk', 'cells', ['known_day', 'outcome']) }}
    GROUP BY ALL
), flows AS (
    SELECT
        known_day, horizon_days, outcome, sequence_template_id, rate, in_flight,
        CASE horizon_days {% for days in horizons %}WHEN {{ days }} THEN expected_{{ days }} {% endfor %}END AS expected
    FROM in_flight_then JOIN origins USING (known_day)
), came AS (
    SELECT known_day, horizon_days, outcome, sequence_template_id, sum(runs) AS actual
    FROM reached
    JOIN origins
        ON touch_day BETWEEN known_day - $reply_window_days::INTEGER + 1 AND known_day
        AND reached_day BETWEEN known_day + 1 AND known_day + horizon_days
    GROUP BY ALL
), forecasts AS (
    SELECT
        if(grouping(flows.sequence_template_id) = 0, 'sequence', 'workspace') AS scope,
        flows.sequence_template_id,
        flows.known_day,
        flows.horizon_days,
        flows.outcome,
        any_value(rate) AS rate,
        sum(in_flight)::BIGINT AS in_flight,
        sum(expected)::DOUBLE AS expected,
        coalesce(sum(actual), 0)::BIGINT AS actual
    FROM flows
    LEFT JOIN came ON {{ key('came', 'flows', ['known_day', 'horizon_days', 'outcome']) }}
    GROUP BY flows.known_day, flows.horizon_days, flows.outcome, GROUPING SETS ((flows.sequence_template_id), ())
), past AS (
    SELECT forecasts.* FROM forecasts JOIN origins USING (known_day, horizon_days) WHERE NOT is_now AND expected > 0
), spreads AS (
    SELECT
        scope, sequence_template_id, outcome, horizon_days,
        count(*) AS past_forecasts,
        sum(expected ORDER BY known_day) AS past_expected,
        sum(actual)::BIGINT AS past_actual,
        sqrt(greatest(0, (sum(pow(actual - expected, 2) ORDER BY known_day) - past_expected)
            / sum(pow(expected, 2) ORDER BY known_day))) AS spread
    FROM past
    GROUP BY ALL
), checked AS (
    SELECT
        spreads.*,
        count(*) FILTER (actual BETWEEN {{ low('expected') }} AND {{ high('expected') }}) AS past_within
    FROM past JOIN spreads ON {{ key('past', 'spreads', ['scope', 'outcome', 'horizon_days']) }}
    GROUP BY ALL
), listed AS (
    SELECT 'workspace' AS scope, NULL::UUID AS sequence_template_id, horizon_days, outcome
    FROM horizons CROSS JOIN outcomes SEMI JOIN origins ON is_now
    UNION ALL
    SELECT scope, sequence_template_id, horizon_days, outcome
    FROM forecasts JOIN origins USING (known_day, horizon_days)
    WHERE is_now AND scope = 'sequence'
)
SELECT
    listed.scope,
    listed.sequence_template_id,
    listed.outcome,
    listed.horizon_days,
    last_known_day + 1 AS first_day,
    last_known_day + listed.horizon_days AS last_day,
    coalesce(in_flight, 0) AS in_flight,
    CASE WHEN listed.scope = 'sequence' THEN rate END AS rate,
    CASE WHEN is_learned THEN coalesce(expected, 0) END AS expected,
    CASE WHEN {{ has_range }} THEN {{ low('expected') }} END AS expected_low,
    CASE WHEN {{ has_range }} THEN {{ high('expected') }} END AS expected_high,
    coalesce(past_forecasts, 0) AS past_forecasts,
    past_within,
    past_expected,
    past_actual,
    spread,
    CASE WHEN NOT is_learned
            THEN format('needs {{ curve_needs }} {} to know how fast they come; {} so far', {{ plural }}, learned_from)
        WHEN coalesce(in_flight, 0) = 0 THEN 'no contact in flight'
        WHEN coalesce(expected, 0) = 0 THEN 'none has come from contacts like these'
        WHEN {{ has_range }} THEN NULL
        WHEN coalesce(past_forecasts, 0) < {{ past_forecasts }} THEN format(
            'no range yet: it needs {{ past_forecasts }} past forecasts and has {}', coalesce(past_forecasts, 0))
        ELSE format('only {} of the last {{ past_forecasts }} ranges contained the result', past_within) END AS reason
FROM listed
CROSS JOIN horizon
JOIN (
    SELECT outcome, any_value(runs_of_all) AS learned_from, any_value(runs_of_all) >= {{ curve_needs }} AS is_learned
    FROM curves JOIN horizon ON known_day = last_known_day
    GROUP BY ALL
) USING (outcome)
LEFT JOIN forecasts
    ON {{ key('forecasts', 'listed', ['scope', 'outcome', 'horizon_days']) }} AND forecasts.known_day = last_known_day
LEFT JOIN checked ON {{ key('checked', 'listed', ['scope', 'outcome', 'horizon_days']) }};

COMMENT ON TABLE engagement.sequence_forecast IS 'Replies and meetings still to come from the contacts in flight: one row per sequence, outcome and horizon, and the same over all sequences. The ranges come from past forecasts, made again with what was known then. Example: expected 31 with expected_low 22 and expected_high 41, and past_within 10 of past_forecasts 12: ranges like this contained the result in 10 of the last 12 weeks.';
COMMENT ON COLUMN engagement.sequence_forecast.scope IS 'sequence, or workspace: all sequences together.';
COMMENT ON COLUMN engagement.sequence_forecast.sequence_template_id IS 'Id of the sequence. NULL when the activities name none, and in scope workspace.';
COMMENT ON COLUMN engagement.sequence_forecast.outcome IS 'valid_reply (a first valid reply) or meeting (a first meeting booking), at most $reply_window_days days after the first message or invitation (rule reply_window_days).';
COMMENT ON COLUMN engagement.sequence_forecast.horizon_days IS 'Days that the forecast covers: 7 or 30.';
COMMENT ON COLUMN engagement.sequence_forecast.first_day IS 'First of these days: the day after the last known one.';
COMMENT ON COLUMN engagement.sequence_forecast.last_day IS 'Last of these days.';
COMMENT ON COLUMN engagement.sequence_forecast.in_flight IS 'Runs that were first touched less than $reply_window_days days ago and do not have the outcome yet. Contacts touched later are in no forecast.';
COMMENT ON COLUMN engagement.sequence_forecast.rate IS 'Share of the sequence''s contacts that reach the outcome, which the forecast assumes. From the contacts of the last {{ rate_days // 7 }} weeks, counted as finished ones, with average contacts added as in sequence_summary.reply_rate_shrunken. NULL in scope workspace.';
COMMENT ON COLUMN engagement.sequence_forecast.expected IS 'Expected number of runs in flight that reach the outcome in these days. NULL when too few outcomes have come to know how fast they come (see reason).';
COMMENT ON COLUMN engagement.sequence_forecast.expected_low IS 'Lower end of the 80% range of the number. NULL unless expected is above 0, there are {{ past_forecasts }} past forecasts, and at least {{ good_forecasts }} of their ranges contained the result (see reason).';
COMMENT ON COLUMN engagement.sequence_forecast.expected_high IS 'Upper end of the 80% range of the number. NULL when expected_low is NULL.';
COMMENT ON COLUMN engagement.sequence_forecast.past_forecasts IS 'Past forecasts of the same kind that could be compared with what came, up to {{ past_forecasts }}: each Monday''s, made again from the activities before it. Categories of replies are as they are now.';
COMMENT ON COLUMN engagement.sequence_forecast.past_within IS 'How many of them came out within a range like this one. NULL when there were none.';
COMMENT ON COLUMN engagement.sequence_forecast.past_expected IS 'Sum of the past forecasts.';
COMMENT ON COLUMN engagement.sequence_forecast.past_actual IS 'Sum of what came.';
COMMENT ON COLUMN engagement.sequence_forecast.spread IS 'How far past forecasts missed beyond chance, as a share of the forecast. It widens the range.';
COMMENT ON COLUMN engagement.sequence_forecast.reason IS 'Why there is no forecast or no range. NULL when there is one.';
