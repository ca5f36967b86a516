-- The numbers in bold in the worked examples of docs/metrics.md: one query per example, one column per number, in order.

-- 1. Total and unique
SELECT total_sent, unique_sent, total_sent, unique_sent, runs_left_censored
FROM engagement.sequence_summary
WHERE period = 'lifetime' AND sequence_name = 'Founders UK - seed round closed';

-- 2. Replies so far and the reply rate
SELECT
    sequence_name, unique_touched, unique_valid_replies, unique_valid_replies / unique_touched AS replied_so_far,
    reply_rate_den, reply_rate_num, reply_rate, reply_rate_den, reply_rate_low, reply_rate_high
FROM engagement.sequence_summary
WHERE period = 'lifetime' AND status = 'ACTIVE'
ORDER BY maturity
LIMIT 1;

-- 3. First touch and first message
SELECT
    reply_rate_num, reply_rate_den, reply_rate, message_reply_rate_num, message_reply_rate_den, message_reply_rate,
    reply_rate, message_reply_rate
FROM engagement.sequence_summary
WHERE period = 'lifetime' AND sequence_name = 'Design leaders Europe - LinkedIn only';

-- 4. Any reply, valid reply, positive reply
SELECT
    reply_rate_all_num, eligible, reply_rate_all_num - reply_rate_num AS only_automatic, reply_rate_num, reply_rate,
    positive_reply_rate_num, positive_reply_rate
FROM engagement.sequence_summary
WHERE period = 'lifetime' AND sequence_name = 'CFOs Benelux - audit season';

-- 5. A recent week
WITH recent AS (
    SELECT * FROM engagement.workspace_weekly WHERE reply_rate_7d_den = members ORDER BY week_start DESC LIMIT 1
), finished AS (
    SELECT
        sum(reply_rate_7d_num) / sum(reply_rate_7d_den) AS after_7_days,
        sum(reply_rate_num) / sum(reply_rate_den) AS after_30_days
    FROM engagement.workspace_weekly
    WHERE eligible = members
)
SELECT
    members, strftime(week_start, '%-d %B'), reply_rate_7d_num, reply_rate_7d, reply_rate_7d_low, reply_rate_7d_high,
    after_7_days, after_30_days, reply_rate_7d, after_7_days, after_30_days, after_7_days
FROM recent CROSS JOIN finished;

-- 6. Too few contacts for a rank
WITH pilot AS (
    FROM engagement.sequence_summary
    WHERE period = 'lifetime' AND sequence_name = 'General counsel - contract backlog pilot'
), first AS (
    FROM engagement.sequence_summary
    WHERE period = 'lifetime' AND sequence_name = 'Founders UK - seed round closed'
)
SELECT
    pilot.reply_rate_num, pilot.reply_rate_den, pilot.reply_rate, first.reply_rate_num, first.reply_rate_den,
    first.reply_rate, pilot.reply_rate_low, pilot.reply_rate_high, first.reply_rate_low, first.reply_rate_high,
    pilot.reply_rate, pilot.reply_rate_evidence, first.reply_rank
FROM pilot CROSS JOIN first;

-- 7. Which of two sequences is better
WITH rates AS (
    SELECT sequence_name, reply_rate AS rate, eligible, reply_rate_low AS low, reply_rate_high AS high
    FROM engagement.sequence_summary
    WHERE period = 'lifetime'
)
SELECT
    cfos.rate, cfos.eligible, cfos.low, cfos.high, plants.rate, plants.eligible, plants.low, plants.high, hr.rate,
    hr.eligible, hr.low, hr.high, hr.high, cfos.low
FROM rates AS cfos CROSS JOIN rates AS plants CROSS JOIN rates AS hr
WHERE cfos.sequence_name = 'CFOs Benelux - audit season'
    AND plants.sequence_name = 'Plant managers Iberia - energy costs'
    AND hr.sequence_name = 'HR directors Nordics - payroll switch';

-- 8. Rates of emails and rates of contacts
SELECT
    emails.reply_rate_num, emails.reply_rate_den, emails.reply_rate, contact_reply_rate_num, contact_reply_rate_den,
    contact_reply_rate
FROM engagement.sequence_channels AS emails
JOIN engagement.sequence_summary AS summary USING (sequence_template_id, period)
WHERE period = 'lifetime' AND channel = 'EMAIL' AND sequence_name = 'HR directors Nordics - payroll switch';

-- 9. Outcomes
SELECT
    eligible, outcome_meeting, outcome_positive, outcome_opt_out, outcome_negative, outcome_neutral,
    outcome_unknown + outcome_pending AS unclassified, outcome_out_of_office + outcome_bounced AS automatic, outcome_none,
    outcome_opt_out
FROM engagement.sequence_summary
WHERE period = 'lifetime' AND sequence_name = 'HR directors Nordics - payroll switch';

-- 10. Contacts per meeting
WITH needed AS (
    SELECT
        sequence_name, meeting_rate_num AS met, meeting_rate_den AS contacts,
        contacts_per_meeting AS per_meeting,
        round(1 / meeting_rate_high)::BIGINT AS fewest, round(1 / meeting_rate_low)::BIGINT AS most
    FROM engagement.sequence_summary
    WHERE period = 'lifetime'
), founders AS (
    FROM needed WHERE sequence_name = 'Founders UK - seed round closed'
), revops AS (
    FROM needed WHERE sequence_name = 'RevOps US East - CRM clean-up'
)
SELECT
    founders.met, founders.contacts, format('{:.1f}', founders.per_meeting), founders.fewest, founders.most,
    round(10 * founders.per_meeting)::BIGINT, 10 * founders.fewest AS fewest_for_10, 10 * founders.most AS most_for_10,
    revops.met, revops.contacts, revops.fewest, revops.most
FROM founders CROSS JOIN revops;

-- 11. Early read
WITH design AS (
    FROM engagement.sequence_signals WHERE sequence_name = 'Design leaders Europe - LinkedIn only'
)
SELECT
    design.early_contacts, design.early_rate_num, round(design.early_rate_den)::BIGINT, design.early_rate,
    design.early_rate_low, design.early_rate_high, everyone.early_rate
FROM design CROSS JOIN (FROM engagement.sequence_signals WHERE scope = 'workspace') AS everyone;

-- 12. Change
SELECT
    current_replies, strftime(monday, '%-d %B'),
    format('{:.1f}', current_worth / baseline_worth * common_change * baseline_replies),
    format('{:.1f}', change_z), format('{:.1f}', change_z_needed), signal, upper(halving_noticeable::VARCHAR)
FROM engagement.sequence_signals
WHERE sequence_name = 'Design leaders Europe - LinkedIn only';

-- 13. Still to come
SELECT
    in_flight, round(expected)::BIGINT, round(expected_low)::BIGINT, round(expected_high)::BIGINT, past_forecasts,
    past_within
FROM engagement.sequence_forecast
WHERE scope = 'workspace' AND outcome = 'valid_reply' AND horizon_days = 7;
