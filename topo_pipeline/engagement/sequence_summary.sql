{% from 'rates.jinja' import rate, rate_comments %}
-- Grain: sequence_template_id, period
CREATE OR REPLACE TABLE engagement.sequence_summary AS
WITH horizon AS (
    SELECT
        (max(day) FILTER (NOT is_open) + 1)::TIMESTAMP AT TIME ZONE $timezone AS as_of,
        (max(day) - min(day) + 1 - count(*))::BIGINT AS days_missing
    FROM landed_days
), outcomes AS (
    -- The runs whose outcome window has closed; what comes after it counts in the totals alone.
    SELECT
        sequence_template_id,
        first_valid_reply_at BETWEEN contacted_at AND window_end AS has_valid_reply,
        first_reply_at BETWEEN contacted_at AND window_end AS has_reply,
        first_positive_reply_at BETWEEN contacted_at AND window_end AS has_positive_reply,
        hot_lead_at BETWEEN contacted_at AND window_end AS has_hot_lead,
        meeting_at BETWEEN contacted_at AND window_end AS has_meeting
    FROM (SELECT *, contacted_at + to_days($reply_window_days::INTEGER) AS window_end FROM engagement.sequence_runs)
    WHERE NOT left_censored AND window_end <= (SELECT as_of FROM horizon)
), parts AS (
    SELECT sequence_template_id, COLUMNS('^(total|unique)_') FROM engagement.sequence_daily
    UNION ALL BY NAME
    SELECT
        sequence_template_id,
        count(*) AS runs,
        count(*) FILTER (completed_at IS NULL AND stopped_at IS NULL) AS runs_active,
        count(*) FILTER (left_censored) AS runs_left_censored
    FROM engagement.sequence_runs
    GROUP BY ALL
    UNION ALL BY NAME
    SELECT
        sequence_template_id,
        count(*) AS eligible,
        count(*) FILTER (has_valid_reply) AS replied,
        count(*) FILTER (has_reply) AS replied_at_all,
        count(*) FILTER (has_positive_reply) AS positive,
        count(*) FILTER (has_hot_lead) AS hot,
        count(*) FILTER (has_meeting) AS met
    FROM outcomes
    GROUP BY ALL
), counted AS (
    SELECT sequence_template_id, coalesce(sum(COLUMNS(* EXCLUDE (sequence_template_id))), 0)::BIGINT
    FROM parts
    GROUP BY sequence_template_id
)
SELECT
    sequence_template_id,
    'lifetime' AS period,
    templates.name AS sequence_name,
    templates.status,
    COLUMNS('^(total|unique)_'),
    runs,
    runs_active,
    runs_left_censored,
    eligible,
    rate(eligible, unique_sent) AS maturity,
    {{ rate('reply_rate', 'replied', 'eligible') }},
    {{ rate('reply_rate_all', 'replied_at_all', 'eligible') }},
    {{ rate('positive_reply_rate', 'positive', 'eligible') }},
    {{ rate('hot_lead_rate', 'hot', 'eligible') }},
    {{ rate('meeting_rate', 'met', 'eligible') }},
    CASE WHEN eligible > 0 THEN rank() OVER (ORDER BY wilson_low(replied, eligible) DESC NULLS LAST) END AS reply_rank,
    as_of,
    days_missing
FROM counted
LEFT JOIN topo.sequence_templates AS templates ON templates.id = sequence_template_id
CROSS JOIN horizon;

COMMENT ON TABLE engagement.sequence_summary IS 'One row per sequence: what it came to, with rates over the runs whose outcome window has closed.';
COMMENT ON COLUMN engagement.sequence_summary.sequence_template_id IS 'The sequence; NULL where the activities name none.';
COMMENT ON COLUMN engagement.sequence_summary.period IS 'lifetime: all landed days.';
COMMENT ON COLUMN engagement.sequence_summary.sequence_name IS 'Its name in Topo, as last known; NULL where the key may not read it.';
COMMENT ON COLUMN engagement.sequence_summary.status IS 'Its status in Topo, as last known.';
COMMENT ON COLUMN engagement.sequence_summary.total_found IS 'Contacts enrolled.';
COMMENT ON COLUMN engagement.sequence_summary.total_sent IS 'Messages sent.';
COMMENT ON COLUMN engagement.sequence_summary.total_invitations IS 'Invitations sent.';
COMMENT ON COLUMN engagement.sequence_summary.total_accepted IS 'Invitations accepted.';
COMMENT ON COLUMN engagement.sequence_summary.total_opens IS 'Opens, every one; privacy proxies inflate them.';
COMMENT ON COLUMN engagement.sequence_summary.total_clicks IS 'Clicks, every one.';
COMMENT ON COLUMN engagement.sequence_summary.total_replies IS 'Replies, automatic ones too.';
COMMENT ON COLUMN engagement.sequence_summary.total_valid_replies IS 'Replies not known to be automatic.';
COMMENT ON COLUMN engagement.sequence_summary.total_positive_replies IS 'Replies classified as interest.';
COMMENT ON COLUMN engagement.sequence_summary.total_hot_leads IS 'Hot leads.';
COMMENT ON COLUMN engagement.sequence_summary.total_meetings IS 'Meetings booked.';
COMMENT ON COLUMN engagement.sequence_summary.unique_found IS 'Runs enrolled.';
COMMENT ON COLUMN engagement.sequence_summary.unique_sent IS 'Runs contacted (a first message sent).';
COMMENT ON COLUMN engagement.sequence_summary.unique_invitations IS 'Runs with an invitation sent.';
COMMENT ON COLUMN engagement.sequence_summary.unique_accepted IS 'Runs with an invitation accepted.';
COMMENT ON COLUMN engagement.sequence_summary.unique_opens IS 'Runs with an open.';
COMMENT ON COLUMN engagement.sequence_summary.unique_clicks IS 'Runs with a click.';
COMMENT ON COLUMN engagement.sequence_summary.unique_replies IS 'Runs with a reply.';
COMMENT ON COLUMN engagement.sequence_summary.unique_valid_replies IS 'Runs with a valid reply.';
COMMENT ON COLUMN engagement.sequence_summary.unique_positive_replies IS 'Runs with a positive reply.';
COMMENT ON COLUMN engagement.sequence_summary.unique_hot_leads IS 'Runs that became hot leads.';
COMMENT ON COLUMN engagement.sequence_summary.unique_meetings IS 'Runs with a meeting.';
COMMENT ON COLUMN engagement.sequence_summary.runs IS 'Runs seen, left-censored ones too.';
COMMENT ON COLUMN engagement.sequence_summary.runs_active IS 'Runs neither completed nor stopped.';
COMMENT ON COLUMN engagement.sequence_summary.runs_left_censored IS 'Runs that may have begun before the first landed day: in totals, in no unique and no rate.';
COMMENT ON COLUMN engagement.sequence_summary.eligible IS 'Contacted runs whose outcome window had closed at as_of.';
COMMENT ON COLUMN engagement.sequence_summary.maturity IS 'eligible / unique_sent: the share of contacted runs that the rates already know.';
{{ rate_comments('engagement.sequence_summary', 'reply_rate', 'Of the eligible runs: contacted runs whose first valid reply came within the window.', 'Eligible runs.') }}
{{ rate_comments('engagement.sequence_summary', 'reply_rate_all', 'Of the eligible runs: contacted runs whose first reply, automatic ones too, came within the window.', 'Eligible runs.') }}
{{ rate_comments('engagement.sequence_summary', 'positive_reply_rate', 'Of the eligible runs: contacted runs whose first positive reply came within the window.', 'Eligible runs.') }}
{{ rate_comments('engagement.sequence_summary', 'hot_lead_rate', 'Of the eligible runs: contacted runs that became hot leads within the window.', 'Eligible runs.') }}
{{ rate_comments('engagement.sequence_summary', 'meeting_rate', 'Of the eligible runs: contacted runs whose first meeting was booked within the window.', 'Eligible runs.') }}
COMMENT ON COLUMN engagement.sequence_summary.reply_rank IS 'Rank by reply_rate_low, never by the rate; NULL where nothing is eligible.';
COMMENT ON COLUMN engagement.sequence_summary.as_of IS 'The end of the last closed day (UTC): what the rates know.';
COMMENT ON COLUMN engagement.sequence_summary.days_missing IS 'Days between the first and the last landed one that were never landed.';
