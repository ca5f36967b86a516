{% from 'chances.jinja' import certainty, masses %}
{% from 'horizon.jinja' import closed_day, horizon, quarters, unknown_in %}
{% from 'rates.jinja' import rate_columns, rate_comments %}
{% from 'timing.jinja' import curve_needs, settled, timed_outcomes, touches %}
{% set early_days = 28 %}
{% set current_weeks, baseline_weeks = 4, 8 %}
{% set weeks = current_weeks + baseline_weeks %}
{% set needs = {'current': 30, 'baseline': 60, 'replies': 5} %}
{# What a normal variable exceeds with a small probability, below 0.075 (M. J. Wichura, AS 241, 1988). #}
{% macro normal_tail(probability) -%}
list_transform([sqrt(-ln({{ probability }})) - 1.6], lambda r:
        (((((((7.7454501427834140764e-4 * r + 2.27238449892691845833e-2) * r + 2.41780725177450611770e-1) * r
        + 1.27045825245236838258) * r + 3.64784832476320460504) * r + 5.76949722146069140550) * r
        + 4.63033784615654529590) * r + 1.42343711074968357734)
        / (((((((1.05075007164441684324e-9 * r + 5.475938084995344946e-4) * r + 1.51986665636164571966e-2) * r
        + 1.48103976427480074590e-1) * r + 6.89767334985100004550e-1) * r + 1.67638483018380384940) * r
        + 2.05319162663775882187) * r + 1))[1]
{%- endmacro %}
{# How far the replies are from what the baseline leads to, in standard errors. `exposure` is the current period divided by the
   baseline. The error has the chance in both periods, and the variation from week to week. #}
{% macro z(replies, exposure) -%}
2 * (sqrt({{ replies }} + 0.375) - sqrt({{ exposure }} * (baseline_replies + 0.375))) / sqrt(1 + {{ exposure }}
            + {{ exposure }} * (baseline_replies + 0.375) * variation * (1.0 / {{ current_weeks }} + 1.0 / {{ baseline_weeks }}))
{%- endmacro %}
{# The variation of a rate from week to week, beyond chance, squared. An eighth of a week's variance is in the baseline itself. #}
{% macro variation(of, key) -%}
(SELECT coalesce(greatest(0, sum(pow(replies - expected, 2) - 0.875 * expected ORDER BY {{ key }})
            / nullif(sum(0.875 * pow(expected, 2) ORDER BY {{ key }}), 0)), 0) FROM {{ of }})
{%- endmacro %}
{# The contacts to compare with those of all other sequences. More can't help where the others have too few. #}
{% macro contacts_needed(factor) -%}
CASE WHEN others_rate > 0 AND others_rate * {{ factor }} < 1 THEN list_transform([pow(
            (1.96 * sqrt(others_rate * (1 - others_rate))
            + 0.84 * sqrt(others_rate * {{ factor }} * (1 - others_rate * {{ factor }})))
            / (others_rate * ({{ factor }} - 1)), 2)],
            lambda n: CASE WHEN n < others_den THEN ceil(n / (1 - n / others_den))::BIGINT END)[1] END
{%- endmacro %}
{% macro lacks(number, of, found) -%}
format('needs {{ number }} {{ of }}; {} so far', floor(coalesce({{ found }}, 0))::BIGINT)
{%- endmacro %}
{% macro unjudged(row) -%}
CASE WHEN {{ row }}.scope = 'sequence' AND {{ row }}.sequence_template_id IS NULL THEN 'activities that name no sequence'
        WHEN status <> 'ACTIVE' THEN format('the status is {}', status)
{%- endmacro %}
-- Grain: scope, sequence_template_id
WITH {{ horizon() }}, {{ quarters() }}, {{ unknown_in({'later': '$reply_window_days'}) }},
{{ touches('last_known_day - greatest($reply_window_days::INTEGER, ' ~ (7 * weeks + 7) ~ ')', [timed_outcomes[0], settled]) }}, dates AS (
    SELECT
        as_of,
        last_known_day,
        last_known_day - {{ early_days - 1 }} AS early_first_day,
        {{ closed_day('$reply_window_days') }} AS last_closed_day,
        date_trunc('week', last_known_day + 1)::DATE AS monday
    FROM horizon
), counted_days AS (
    SELECT
        count(*) FILTER (day >= early_first_day) AS early_days_left_out,
        count(*) FILTER (day BETWEEN monday - {{ 7 * weeks }} AND monday - 1) AS change_days_left_out
    FROM unknown_in CROSS JOIN dates
    WHERE unknown_later > 0 AND day <= last_known_day
), curve AS (
    SELECT weekday, age_days, share, runs_of_all FROM engagement.reply_timing WHERE outcome = 'valid_reply'
), learned AS (
    SELECT coalesce(max(runs_of_all), 0) AS learned_from FROM curve
), replied AS (
    SELECT
        sequence_template_id,
        touch_day,
        sum(runs) FILTER (outcome = 'valid_reply') AS replies,
        sum(runs) FILTER (outcome = 'settled_reply') AS settled,
        sum(runs) FILTER (outcome = 'valid_reply' AND reached_day < monday) AS replies_by_monday
    FROM reached CROSS JOIN dates
    GROUP BY ALL
), cells AS (
    -- What the contacts of a day are worth as finished ones: now, and on the Monday that the change is judged on.
    SELECT
        starts.sequence_template_id,
        starts.touch_day,
        (monday - 1 - starts.touch_day) // 7 AS weeks_ago,
        runs,
        coalesce(replies, 0) AS replies,
        coalesce(replies, 0) - coalesce(settled, 0) AS pending,
        coalesce(replies_by_monday, 0) AS replies_by_monday,
        runs * today.share::DECIMAL(18, 9) AS worth,
        runs * on_monday.share::DECIMAL(18, 9) AS worth_on_monday
    FROM starts
    CROSS JOIN dates
    LEFT JOIN replied
        ON replied.touch_day = starts.touch_day
        AND replied.sequence_template_id IS NOT DISTINCT FROM starts.sequence_template_id
    LEFT JOIN curve AS today
        ON today.weekday = isodow(starts.touch_day)
        AND today.age_days = least(last_known_day - starts.touch_day, $reply_window_days::INTEGER)
    LEFT JOIN curve AS on_monday
        ON on_monday.weekday = isodow(starts.touch_day)
        AND on_monday.age_days = least(monday - 1 - starts.touch_day, $reply_window_days::INTEGER)
    WHERE is_whole
), early AS (
    SELECT
        if(grouping(sequence_template_id) = 0, 'sequence', 'workspace') AS scope,
        sequence_template_id,
        coalesce(sum(runs) FILTER (is_early), 0)::BIGINT AS contacts,
        coalesce(sum(replies) FILTER (is_early), 0)::BIGINT AS replies,
        coalesce(sum(pending) FILTER (is_early), 0)::BIGINT AS pending,
        sum(worth) FILTER (is_early)::DOUBLE AS worth,
        sum(worth) FILTER (touch_day > last_closed_day)::DOUBLE AS worth_young
    FROM (SELECT cells.*, touch_day >= early_first_day AS is_early, last_closed_day FROM cells CROSS JOIN dates)
    GROUP BY GROUPING SETS ((sequence_template_id), ())
), of_weeks AS (
    SELECT
        sequence_template_id,
        weeks_ago,
        sum(runs) AS contacts,
        sum(replies_by_monday) AS replies,
        sum(worth_on_monday) AS worth
    FROM cells
    WHERE weeks_ago BETWEEN 0 AND {{ weeks - 1 }}
    GROUP BY ALL
), periods AS (
    SELECT
        sequence_template_id,
        {% for period, where in [('current', 'weeks_ago < ' ~ current_weeks), ('baseline', 'weeks_ago >= ' ~ current_weeks)] %}
        coalesce(sum(contacts) FILTER ({{ where }}), 0)::BIGINT AS {{ period }}_contacts,
        coalesce(sum(replies) FILTER ({{ where }}), 0)::BIGINT AS {{ period }}_replies,
        sum(worth) FILTER ({{ where }})::DOUBLE AS {{ period }}_worth,
        {% endfor %}
    FROM of_weeks
    GROUP BY ALL
), comparable AS (
    SELECT periods.*, baseline_replies / baseline_worth AS rate_before, current_worth * rate_before AS expected
    FROM periods LEFT JOIN topo.sequence_templates AS templates ON templates.id = sequence_template_id
    WHERE is_judged(sequence_template_id, status) AND current_worth >= {{ needs.current }}
        AND baseline_worth >= {{ needs.baseline }} AND baseline_replies >= {{ needs.replies }}
), expected_weeks AS (
    SELECT sequence_template_id, weeks_ago, replies, worth::DOUBLE * rate_before AS expected
    FROM of_weeks JOIN comparable USING (sequence_template_id)
    WHERE weeks_ago >= {{ current_weeks }}
), together AS (
    -- Sums of doubles depend on their order.
    SELECT
        count(*) AS comparable_sequences,
        {% for period in ['current', 'baseline'] %}
        sum({{ period }}_contacts)::BIGINT AS {{ period }}_contacts,
        sum({{ period }}_replies)::BIGINT AS {{ period }}_replies,
        sum({{ period }}_worth ORDER BY sequence_template_id) AS {{ period }}_worth,
        {% endfor %}
        sum(expected ORDER BY sequence_template_id) AS expected
    FROM comparable
), variations AS (
    SELECT
        {{ variation('expected_weeks', 'sequence_template_id, weeks_ago') }} AS of_sequences,
        {{ variation('(SELECT weeks_ago, sum(replies) AS replies, sum(expected ORDER BY sequence_template_id) AS expected FROM expected_weeks GROUP BY ALL)', 'weeks_ago') }} AS of_workspace
), own AS (
    SELECT 'sequence' AS scope, * FROM periods
    UNION ALL BY NAME
    SELECT 'workspace' AS scope, * EXCLUDE (comparable_sequences, expected) FROM together
), compared AS (
    SELECT
        'sequence' AS scope,
        sequence_template_id,
        one.* EXCLUDE (sequence_template_id, rate_before, expected),
        (together.current_replies - one.current_replies + 20) / (together.expected - one.expected + 20) AS common_change,
        one.current_worth / one.baseline_worth AS exposure,
        common_change AS adjustment,
        of_sequences AS variation
    FROM comparable AS one CROSS JOIN together CROSS JOIN variations
    UNION ALL
    SELECT
        'workspace', NULL, together.* EXCLUDE (comparable_sequences, expected), (current_replies + 20) / (expected + 20), expected / baseline_replies, 1, of_workspace
    FROM together CROSS JOIN variations
    WHERE comparable_sequences > 0
), changes AS (
    SELECT
        compared.*,
        if(scope = 'workspace', 1, comparable_sequences) AS comparisons,
        {{ z('current_replies', 'exposure * adjustment') }} AS change_z,
        {{ z('exposure * baseline_replies / 2', 'exposure') }} AS halving_z,
        row_number() OVER (PARTITION BY scope ORDER BY abs(change_z) DESC, sequence_template_id) AS place,
        {{ normal_tail('0.025 / (comparisons - place + 1)') }} AS change_z_needed
    FROM compared CROSS JOIN (SELECT comparable_sequences FROM together)
), signals AS (
    -- Holm: from the clearest change on, until one is not clear enough.
    SELECT
        *,
        CASE WHEN NOT bool_and(abs(change_z) >= change_z_needed) OVER (PARTITION BY scope ORDER BY place) THEN 'no_clear_change'
            WHEN change_z > 0 THEN 'up' ELSE 'down' END AS signal,
        abs(halving_z) >= {{ normal_tail('0.025 / comparisons') }} + 0.84 AS halving_noticeable
    FROM changes
), rated AS (
    SELECT *, reply_rate_den + reply_rate_contacts_added AS with_added
    FROM engagement.sequence_summary
    WHERE period = 'lifetime'
), placed AS (
    SELECT
        sequence_template_id,
        row_number() OVER (ORDER BY reply_rank, sequence_template_id) AS place,
        reply_rate_shrunken * with_added AS alpha,
        (1 - reply_rate_shrunken) * with_added AS beta
    FROM rated
    WHERE reply_rank IS NOT NULL AND reply_rate_shrunken > 0 AND reply_rate_shrunken < 1
), {{ masses('placed') }}, chances AS (
    SELECT
        place AS place,
        sum(mass * below_next) AS above_next,
        CASE WHEN place > 1 THEN sum(mass_of_first * below) END AS below_first,
        CASE WHEN place = 1 AND count(below_next) > 0 THEN sum(mass * below_others) END AS best
    FROM (
        SELECT
            *,
            lead(below) OVER by_place AS below_next,
            first(mass) OVER by_place AS mass_of_first,
            product(below) FILTER (place > 1) OVER (PARTITION BY point) AS below_others
        FROM masses
        WINDOW by_place AS (PARTITION BY point ORDER BY place)
    )
    GROUP BY place
), listed AS (
    SELECT
        'sequence' AS scope,
        sequence_template_id, sequence_name, status, reply_rate_num, reply_rate_den, reply_rate_shrunken, reply_rate_contacts_added, reply_rank,
        CASE WHEN sequence_template_id IS NOT NULL THEN sum(reply_rate_num) OVER others - reply_rate_num END AS others_num,
        sum(reply_rate_den) OVER others - reply_rate_den AS others_den,
        others_num / nullif(others_den, 0) AS others_rate
    FROM rated
    WINDOW others AS (PARTITION BY sequence_template_id IS NULL)
    UNION ALL BY NAME
    SELECT
        'workspace' AS scope,
        coalesce(sum(reply_rate_num), 0)::BIGINT AS reply_rate_num,
        coalesce(sum(reply_rate_den), 0)::BIGINT AS reply_rate_den
    FROM rated
    HAVING (SELECT as_of FROM horizon) IS NOT NULL
)
SELECT
    listed.scope,
    listed.sequence_template_id,
    sequence_name,
    status,
    early_first_day,
    last_known_day AS early_last_day,
    early_days_left_out,
    coalesce(early.contacts, 0) AS early_contacts,
    {{ rate_columns('early_rate', 'coalesce(early.replies, 0)', 'CASE WHEN early.worth IS NOT NULL THEN greatest(early.worth, early.replies) END') }},
    coalesce(early.pending, 0) AS early_pending,
    CASE WHEN learned_from < {{ curve_needs }} THEN {{ lacks(curve_needs, 'replies to know how fast they come', 'learned_from') }}
        WHEN coalesce(early.contacts, 0) = 0 THEN 'no contact in the last {{ early_days }} days' END AS early_reason,
    monday,
    change_days_left_out,
    {% for period in ['current', 'baseline'] %}
    coalesce(own.{{ period }}_contacts, 0) AS {{ period }}_contacts,
    coalesce(own.{{ period }}_replies, 0) AS {{ period }}_replies,
    own.{{ period }}_worth,
    rate(own.{{ period }}_replies, own.{{ period }}_worth) AS {{ period }}_rate,
    {% endfor %}
    common_change,
    sqrt(variation) AS variation,
    comparable_sequences,
    change_z,
    change_z_needed,
    signal,
    halving_noticeable,
    {{ unjudged('listed') }}
        WHEN learned_from < {{ curve_needs }} THEN {{ lacks(curve_needs, 'replies to know how fast they come', 'learned_from') }}
        WHEN listed.scope = 'workspace' AND signal IS NULL THEN 'no sequence can be compared'
        WHEN coalesce(own.current_worth, 0) < {{ needs.current }} THEN {{ lacks(needs.current, 'contacts in the last ' ~ current_weeks ~ ' weeks, counted as finished ones', 'own.current_worth') }}
        WHEN coalesce(own.baseline_worth, 0) < {{ needs.baseline }} THEN {{ lacks(needs.baseline, 'contacts in the ' ~ baseline_weeks ~ ' weeks before', 'own.baseline_worth') }}
        WHEN own.baseline_replies < {{ needs.replies }} THEN {{ lacks(needs.replies, 'replies in the ' ~ baseline_weeks ~ ' weeks before', 'own.baseline_replies') }}
        WHEN signal = 'no_clear_change' AND NOT halving_noticeable THEN 'too few contacts to notice even a halving' END AS signal_reason,
    {{ rate_columns('reply_rate', 'reply_rate_num', 'reply_rate_den') }},
    reply_rate_shrunken,
    reply_rate_contacts_added,
    reply_rank,
    CASE WHEN round(best, 6) >= 0.8 THEN 'best' WHEN best IS NOT NULL THEN 'leads' END AS standing,
    {{ certainty('above_next') }} AS chance_above_next,
    {{ certainty('below_first') }} AS chance_below_first,
    {{ unjudged('listed') }}
        WHEN listed.scope = 'sequence' AND reply_rank IS NULL THEN format('needs {} contacts whose {} days are over; {} so far', greatest($evidence_small, 1), $reply_window_days, reply_rate_den) END AS rank_reason,
    reply_rate_den + coalesce(early.worth_young, 0) AS contacts_counted,
    {{ contacts_needed('2.0') }} AS contacts_needed_double,
    {{ contacts_needed('0.5') }} AS contacts_needed_half,
    as_of
FROM listed
CROSS JOIN dates
CROSS JOIN counted_days
CROSS JOIN learned
CROSS JOIN (SELECT comparable_sequences FROM together)
LEFT JOIN early ON early.scope = listed.scope AND early.sequence_template_id IS NOT DISTINCT FROM listed.sequence_template_id
LEFT JOIN own ON own.scope = listed.scope AND own.sequence_template_id IS NOT DISTINCT FROM listed.sequence_template_id
LEFT JOIN signals ON signals.scope = listed.scope AND signals.sequence_template_id IS NOT DISTINCT FROM listed.sequence_template_id
LEFT JOIN placed ON placed.sequence_template_id = listed.sequence_template_id
LEFT JOIN chances ON chances.place = placed.place;

COMMENT ON TABLE engagement.sequence_signals IS 'x';
