-- On which weekdays are first messages answered more?
--
-- Run it in an export, with the DuckDB CLI, from the checkout:
--     (cd data/report/parquet/latest && duckdb) < docs/analyses/weekdays.sql
--
-- What it says: of the people whose first message was sent on that weekday, who had not replied before it (to an
-- invitation, say), and whose outcome window (30 days, unless TOPO_RULES says otherwise) is over, how many gave a valid
-- reply within it, with the 95% interval (Wilson) of that share. Days with a day in their windows that was not read in
-- full are left out. Numerators and denominators are summed and divided once: an average of the days' rates would let a day with two
-- messages weigh as much as one with two hundred.
--
-- `expected` is the rate of the same messages if each were answered at its sequence's overall rate. If a weekday is above
-- the others and its `expected` is too, the difference comes from the sequences, not from the weekday.
--
-- What it does not say: that moving messages to the best day would help. Weekdays were not assigned at random, holidays
-- are included, and one of seven days is the best by chance alone. Look for intervals that don't overlap over several
-- months, and test it before you believe it. Days without first messages have no row.

WITH days AS (
    SELECT sequence_template_id, cohort_day, reply_rate_num AS replied, reply_rate_den AS contacted
    FROM read_parquet('engagement/sequence_cohorts.parquet')
    WHERE axis = 'sent' AND days_unknown = 0
),
sequences AS (
    SELECT sequence_template_id, sum(replied) / sum(contacted) AS rate
    FROM days
    GROUP BY sequence_template_id
),
weekdays AS (
    SELECT
        isodow(cohort_day) AS number,
        dayname(cohort_day) AS weekday,
        sum(contacted)::BIGINT AS n,
        sum(replied)::BIGINT AS k,
        sum(contacted * rate) / n AS expected
    FROM days JOIN sequences ON days.sequence_template_id IS NOT DISTINCT FROM sequences.sequence_template_id
    WHERE contacted > 0
    GROUP BY ALL
)
SELECT
    weekday,
    n AS contacted,
    k AS replied,
    round(k / n, 4) AS reply_rate,
    round((k + z * z / 2 - z * sqrt(k * (n - k) / n + z * z / 4)) / (n + z * z), 4) AS low,
    round((k + z * z / 2 + z * sqrt(k * (n - k) / n + z * z / 4)) / (n + z * z), 4) AS high,
    round(expected, 4) AS expected
FROM weekdays CROSS JOIN (SELECT 1.959964 AS z)
ORDER BY number;
