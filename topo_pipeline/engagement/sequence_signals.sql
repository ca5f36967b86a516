{% from 'chances.jinja' import certainty, masses %}
{% from 'horizon.jinja' import closed_day, horizon, quarters, unknown_in %}
{% from 'rates.jinja' import rate_columns, rate_comments %}
{% from 'signals.jinja' import baseline_weeks, contacts_needed, current_weeks, lacks, normal_tail %}
{% from 'signals.jinja' import unjudged, variation, z %}
{% from 'timing.jinja' import curve_needs, settled, timed_outcomes, touches %}
{% set outcomes = [timed_outcomes[0], settled] %}
{% set early_days = 28 %}
{% set weeks = current_weeks + baseline_weeks %}
{% set counted = 'replies to know how fast they come' %}
{% set current_contacts = 'contacts in the last ' ~ current_weeks ~ ' weeks, where new ones count in part' %}
{% set before = ' in the ' ~ baseline_weeks ~ ' weeks before' %}
{% set needs = {'current': 30, 'baseline': 60, 'replies': 5} %}
-- Grain: scope, sequence_template_id
WITH {{ horizon() }}, {{ quarters() }}, {{ unknown_in({'later': '$reply_window_days'}) }},
{{ touches('last_known_day - greatest($reply_window_days::INTEGER, ' ~ (7 * weeks + 7) ~ ')', outcomes) }}, dates AS (
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
        coalesce(sum(replies) FILTER (is_early), 0)::BIGINT AS early_replies,
        coalesce(sum(pending) FILTER (is_early), 0)::BIGINT AS pending,
        sum(worth) FILTER (is_early)::DOUBLE AS early_worth,
        -- greatest(NULL, 1) is 1.
        CASE WHEN early_worth IS NOT NULL THEN greatest(early_worth, early_replies) END AS den,
        sum(worth) FILTER (touch_day > last_closed_day)::DOUBLE AS worth_young
    FROM (SELECT *, touch_day >= early_first_day AS is_early FROM cells CROSS JOIN dates)
    GROUP BY GROUPING SETS ((sequence_template_id), ())
), of_weeks AS (
    SELECT
        sequence_template_id,
        weeks_ago,
        sum(runs) AS contacts,
        sum(replies_by_monday) AS replies,
        sum(worth_on_monday) AS worth
    FROM cells CROSS JOIN dates
    WHERE touch_day < monday AND weeks_ago < {{ weeks }}
    GROUP BY ALL
), periods AS (
    SELECT
        sequence_template_id,
        {% for period, is in [('current', '<'), ('baseline', '>=')] %}
        {% set where = 'weeks_ago ' ~ is ~ ' ' ~ current_weeks %}
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
), expected_weeks_of_all AS (
    SELECT weeks_ago, sum(replies) AS replies, sum(expected ORDER BY sequence_template_id) AS expected
    FROM expected_weeks
    GROUP BY ALL
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
        {{ variation('expected_weeks_of_all', 'weeks_ago') }} AS of_workspace
), own AS (
    SELECT 'sequence' AS scope, * FROM periods
    UNION ALL BY NAME
    SELECT 'workspace' AS scope, * EXCLUDE (comparable_sequences, expected) FROM together
), compared AS (
    SELECT
        'sequence' AS scope,
        sequence_template_id,
        one.* EXCLUDE (sequence_template_id, rate_before, expected),
        (together.current_replies - one.current_replies + 20) / (together.expected - one.expected + 20)
            AS common_change,
        one.current_worth / one.baseline_worth AS exposure,
        common_change AS adjustment,
        of_sequences AS variation
    FROM comparable AS one CROSS JOIN together CROSS JOIN variations
    UNION ALL
    SELECT
        'workspace', NULL, together.* EXCLUDE (comparable_sequences, expected),
        (current_replies + 20) / (expected + 20), expected / baseline_replies, 1, of_workspace
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
        CASE WHEN NOT bool_and(abs(change_z) >= change_z_needed) OVER (PARTITION BY scope ORDER BY place)
            THEN 'no_clear_change' WHEN change_z > 0 THEN 'up' ELSE 'down' END AS signal,
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
        place,
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
        sequence_template_id, sequence_name, status, reply_rate_num, reply_rate_den, reply_rate_shrunken,
        reply_rate_contacts_added, reply_rank,
        sum(reply_rate_den) OVER others - reply_rate_den AS others_den,
        CASE WHEN sequence_template_id IS NOT NULL THEN
            rate(sum(reply_rate_num) OVER others - reply_rate_num, others_den) END AS others_rate
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
    {{ rate_columns('early_rate', 'coalesce(early_replies, 0)', 'early.den') }},
    coalesce(early.pending, 0) AS early_pending,
    CASE WHEN learned_from < {{ curve_needs }} THEN {{ lacks(curve_needs, counted, 'learned_from') }}
        WHEN coalesce(early.contacts, 0) = 0 THEN 'no contact in the last {{ early_days }} days'
        WHEN early.den = 0 THEN 'its contacts are too new' END AS early_reason,
    monday,
    change_days_left_out,
    {% for period in ['current', 'baseline'] %}
    coalesce(own.{{ period }}_contacts, 0) AS {{ period }}_contacts,
    coalesce(own.{{ period }}_replies, 0) AS {{ period }}_replies,
    own.{{ period }}_worth,
    rate(own.{{ period }}_replies, own.{{ period }}_worth) AS {{ period }}_rate,
    {% endfor %}
    common_change,
    variation,
    comparable_sequences,
    change_z,
    change_z_needed,
    signal,
    halving_noticeable,
    {{ unjudged() }}
        WHEN learned_from < {{ curve_needs }} THEN {{ lacks(curve_needs, counted, 'learned_from') }}
        WHEN listed.scope = 'workspace' AND signal IS NULL THEN 'no sequence can be compared'
        WHEN coalesce(own.current_worth, 0) < {{ needs.current }}
            THEN {{ lacks(needs.current, current_contacts, 'own.current_worth') }}
        WHEN coalesce(own.baseline_worth, 0) < {{ needs.baseline }}
            THEN {{ lacks(needs.baseline, 'contacts' ~ before, 'own.baseline_worth') }}
        WHEN own.baseline_replies < {{ needs.replies }}
            THEN {{ lacks(needs.replies, 'replies' ~ before, 'own.baseline_replies') }}
        WHEN signal = 'no_clear_change' AND NOT halving_noticeable THEN 'too few contacts to notice even a halving'
        END AS signal_reason,
    {{ rate_columns('reply_rate', 'reply_rate_num', 'reply_rate_den') }},
    reply_rate_shrunken,
    reply_rate_contacts_added,
    reply_rank,
    CASE WHEN round(best, 6) >= 0.8 THEN 'best' WHEN best IS NOT NULL THEN 'leads' END AS standing,
    {{ certainty('above_next') }} AS chance_above_next,
    {{ certainty('below_first') }} AS chance_below_first,
    {{ unjudged() }}
        WHEN listed.scope = 'sequence' AND reply_rank IS NULL THEN format(
            'needs {} contacts whose {} days are over; {} so far',
            greatest($evidence_small, 1), $reply_window_days, reply_rate_den) END AS rank_reason,
    reply_rate_den + coalesce(early.worth_young, 0) AS contacts_counted,
    {{ contacts_needed('$detectable_ratio::DOUBLE') }} AS contacts_needed_higher,
    {{ contacts_needed('(1 / $detectable_ratio::DOUBLE)') }} AS contacts_needed_lower,
    as_of
FROM listed
CROSS JOIN dates
CROSS JOIN counted_days
CROSS JOIN learned
CROSS JOIN (SELECT comparable_sequences FROM together)
{% for other in ['early', 'own', 'signals'] %}
LEFT JOIN {{ other }}
    ON {{ other }}.scope = listed.scope
    AND {{ other }}.sequence_template_id IS NOT DISTINCT FROM listed.sequence_template_id
{% endfor %}
LEFT JOIN placed ON placed.sequence_template_id = listed.sequence_template_id
LEFT JOIN chances ON chances.place = placed.place;

COMMENT ON TABLE engagement.sequence_signals IS 'What can be said about each sequence now, and how sure it is: an early read of its reply rate, whether the rate has changed, its rank, and how many contacts a comparison needs. One row per sequence, and one over all sequences. Where something cannot be said, the column that ends in reason says why.';
COMMENT ON COLUMN engagement.sequence_signals.scope IS 'sequence, or workspace: all sequences together.';
COMMENT ON COLUMN engagement.sequence_signals.sequence_template_id IS 'Id of the sequence. NULL when the activities name none, and in scope workspace.';
COMMENT ON COLUMN engagement.sequence_signals.sequence_name IS 'Name of the sequence in Topo when it was last read. NULL when it has not been read.';
COMMENT ON COLUMN engagement.sequence_signals.status IS 'Status of the sequence in Topo when it was last read. NULL when it has not been read. A sequence that is not ACTIVE has no signal and no rank.';
COMMENT ON COLUMN engagement.sequence_signals.early_first_day IS 'First of the last {{ early_days }} known days: the early read is of the contacts that were first touched in them.';
COMMENT ON COLUMN engagement.sequence_signals.early_last_day IS 'Last of these days: the last known one.';
COMMENT ON COLUMN engagement.sequence_signals.early_days_left_out IS 'Days among them whose contacts are left out, because a day since then is unknown.';
COMMENT ON COLUMN engagement.sequence_signals.early_contacts IS 'Contacts of the early read: runs whose first message or invitation was sent in these days.';
{{ rate_comments('engagement.sequence_signals', 'early_rate', 'Contacts of the early read with a valid reply so far.', 'What the contacts of the early read are worth as finished ones: each counts by the share of replies that have come by its age (reply_timing), at least early_rate_num in all. Example: 100 contacts, of whose replies 79% have come so far, count as 79. NULL when too few replies are known (see early_reason) or there are no such contacts.') }}
COMMENT ON COLUMN engagement.sequence_signals.early_pending IS 'Contacts in early_rate_num of whose valid replies Topo has classified none. Some may turn out to be automatic replies.';
COMMENT ON COLUMN engagement.sequence_signals.early_reason IS 'Why there is no early read. NULL when there is one.';
COMMENT ON COLUMN engagement.sequence_signals.monday IS 'The Monday that the change is judged on: the last one at or before as_of. Only what was known then counts.';
COMMENT ON COLUMN engagement.sequence_signals.change_days_left_out IS 'Days of the {{ weeks }} weeks before it whose contacts are left out, because a day in their outcome windows is unknown.';
COMMENT ON COLUMN engagement.sequence_signals.current_contacts IS 'Runs whose first message or invitation was sent in the last {{ current_weeks }} weeks before monday. In scope workspace: of the sequences that can be compared.';
COMMENT ON COLUMN engagement.sequence_signals.current_replies IS 'Those of them with a valid reply before monday.';
COMMENT ON COLUMN engagement.sequence_signals.current_worth IS 'What they were worth on monday as finished ones (see early_rate_den). NULL when too few replies are known or there are no such contacts.';
COMMENT ON COLUMN engagement.sequence_signals.current_rate IS 'current_replies / current_worth. NULL when current_worth is NULL or 0.';
COMMENT ON COLUMN engagement.sequence_signals.baseline_contacts IS 'Runs whose first message or invitation was sent in the {{ baseline_weeks }} weeks before those. In scope workspace: of the sequences that can be compared.';
COMMENT ON COLUMN engagement.sequence_signals.baseline_replies IS 'Those of them with a valid reply before monday.';
COMMENT ON COLUMN engagement.sequence_signals.baseline_worth IS 'What they were worth on monday as finished ones (see early_rate_den). NULL when too few replies are known or there are no such contacts.';
COMMENT ON COLUMN engagement.sequence_signals.baseline_rate IS 'baseline_replies / baseline_worth. NULL when baseline_worth is NULL or 0.';
COMMENT ON COLUMN engagement.sequence_signals.common_change IS 'What the other sequences did compared with their own baselines: 0.8 means a fifth fewer replies than their baselines led to expect. In scope workspace, of all sequences that can be compared: a holiday or a delivery problem shows here. NULL unless the row can be compared.';
COMMENT ON COLUMN engagement.sequence_signals.variation IS 'How much reply rates vary from week to week beyond chance, as a share of the rate: 0.15 means by 15%. From the baselines of all sequences that can be compared. In scope workspace, of their sum.';
COMMENT ON COLUMN engagement.sequence_signals.comparable_sequences IS 'Sequences that can be compared: ACTIVE or of unknown status, current_worth at least {{ needs.current }}, baseline_worth at least {{ needs.baseline }}, and baseline_replies at least {{ needs.replies }}.';
COMMENT ON COLUMN engagement.sequence_signals.change_z IS 'How far current_replies is from what the baseline and common_change lead to expect, as a multiple of the difference that chance in both periods and variation typically make (the standard error). In scope workspace, compared with the baselines alone. NULL unless the row can be compared.';
COMMENT ON COLUMN engagement.sequence_signals.change_z_needed IS 'How large change_z has to be, up or down, for a signal. The more sequences are compared, the larger, so that on 19 of 20 Mondays without any change no sequence has a signal (Holm).';
COMMENT ON COLUMN engagement.sequence_signals.signal IS 'up or down when the reply rate has clearly changed against the sequence''s own baseline and the other sequences, otherwise no_clear_change. NULL unless the row can be compared (see signal_reason).';
COMMENT ON COLUMN engagement.sequence_signals.halving_noticeable IS 'TRUE when there are enough contacts to notice it if the reply rate had halved (in 4 of 5 cases). Where it is FALSE, no_clear_change says little. NULL unless the row can be compared.';
COMMENT ON COLUMN engagement.sequence_signals.signal_reason IS 'Why there is no signal, or why it says little. NULL otherwise.';
{{ rate_comments('engagement.sequence_signals', 'reply_rate', 'Runs in reply_rate_den with a valid reply at most $reply_window_days days after their first message or invitation (rule reply_window_days).', 'Runs over all landed days whose outcome window has closed, as in sequence_summary in period lifetime.') }}
COMMENT ON COLUMN engagement.sequence_signals.reply_rate_shrunken IS 'As in sequence_summary. NULL in scope workspace.';
COMMENT ON COLUMN engagement.sequence_signals.reply_rate_contacts_added IS 'As in sequence_summary. NULL in scope workspace.';
COMMENT ON COLUMN engagement.sequence_signals.reply_rank IS 'Rank by reply_rate_shrunken among the sequences that can be ranked, as in sequence_summary. NULL when rank_reason is not, and in scope workspace.';
COMMENT ON COLUMN engagement.sequence_signals.standing IS 'In the row of rank 1: best when its reply rate is the highest of all ranked sequences with a chance of at least 80%, otherwise leads (the others may be as good). NULL in other rows, and when only one sequence is ranked.';
COMMENT ON COLUMN engagement.sequence_signals.chance_above_next IS 'How sure it is that the reply rate is higher than that of the next sequence in the ranking: very_likely (at least 95%), likely (at least 80%) or about_even. NULL in the last row of the ranking and without a rank.';
COMMENT ON COLUMN engagement.sequence_signals.chance_below_first IS 'How sure it is that the reply rate is lower than that of the first sequence in the ranking, in the same steps. NULL in the first row and without a rank.';
COMMENT ON COLUMN engagement.sequence_signals.rank_reason IS 'Why the sequence has no rank. NULL when it has one, and in scope workspace.';
COMMENT ON COLUMN engagement.sequence_signals.contacts_counted IS 'Contacts that a comparison can count now: reply_rate_den, and the younger contacts by what they are worth as finished ones.';
COMMENT ON COLUMN engagement.sequence_signals.contacts_needed_higher IS 'Contacts that the sequence needs, so that a reply rate $detectable_ratio times that of all other sequences (rule detectable_ratio) is detected in 4 of 5 cases. Example: to detect a doubling against 4,000 other contacts of whom 6% reply, 158. Subtract contacts_counted to get the number still missing. NULL when the others have no replies or too few contacts, or the higher rate is 100% or more.';
COMMENT ON COLUMN engagement.sequence_signals.contacts_needed_lower IS 'The same for a lower reply rate: 1 reply where all other sequences get $detectable_ratio from the same number of contacts.';
COMMENT ON COLUMN engagement.sequence_signals.as_of IS 'End of the last known day (UTC).';
