{% from 'runs.jinja' import channel_group %}
-- Grain: sequence_template_id, channel, day
-- Pure: the rows of a day come from that day's activities alone.
CREATE TABLE IF NOT EXISTS engagement.sequence_activity (
    sequence_template_id UUID,
    channel VARCHAR,
    day DATE,
    total_found BIGINT,
    total_sent BIGINT,
    total_invitations BIGINT,
    total_accepted BIGINT,
    total_opens BIGINT,
    total_clicks BIGINT,
    total_replies BIGINT,
    total_valid_replies BIGINT,
    total_positive_replies BIGINT,
    total_hot_leads BIGINT,
    total_meetings BIGINT,
    replies_pending BIGINT,
    replies_not_human BIGINT,
    runs_completed BIGINT,
    runs_stopped BIGINT,
    runs_paused BIGINT,
    runs_resumed BIGINT,
    steps_completed BIGINT,
    steps_skipped BIGINT,
    tasks_created BIGINT,
    tasks_completed BIGINT,
    tasks_skipped BIGINT,
    persons_messaged BIGINT,
    orphans BIGINT,
    other BIGINT
);

DELETE FROM engagement.sequence_activity WHERE day IN (SELECT unnest($days::DATE[]));

INSERT INTO engagement.sequence_activity
WITH events AS (
    SELECT
        *,
        CASE WHEN sequence_id IS NOT NULL THEN coalesce(type, '') END AS event, -- NULL: an orphan
        coalesce(reply_category NOT IN (SELECT unnest($not_human_replies::VARCHAR[])), true) AS is_valid,
        coalesce(reply_category IN (SELECT unnest($positive_replies::VARCHAR[])), false) AS is_positive
    FROM topo.activities
    WHERE day IN (SELECT unnest($days::DATE[]))
)
SELECT
    sequence_template_id,
    {{ channel_group() }},
    day,
    count(*) FILTER (event = 'sequence.created'),
    count(*) FILTER (event = 'message.sent'),
    count(*) FILTER (event = 'invitation.sent'),
    count(*) FILTER (event = 'invitation.accepted'),
    count(*) FILTER (event = 'message.opened'),
    count(*) FILTER (event = 'message.link_clicked'),
    count(*) FILTER (event = 'message.replied'),
    count(*) FILTER (event = 'message.replied' AND is_valid),
    count(*) FILTER (event = 'message.replied' AND is_positive),
    count(*) FILTER (event = 'hot_lead.created'),
    count(*) FILTER (event = 'meeting.created'),
    count(*) FILTER (event = 'message.replied' AND reply_category IS NULL),
    count(*) FILTER (event = 'message.replied' AND NOT is_valid),
    count(*) FILTER (event = 'sequence.completed'),
    count(*) FILTER (event = 'sequence.stopped'),
    count(*) FILTER (event = 'sequence.paused'),
    count(*) FILTER (event = 'sequence.resumed'),
    count(*) FILTER (event = 'sequence_step.completed'),
    count(*) FILTER (event = 'sequence_step.skipped'),
    count(*) FILTER (event = 'task.created'),
    count(*) FILTER (event = 'task.completed'),
    count(*) FILTER (event = 'task.skipped'),
    count(DISTINCT person_id) FILTER (event = 'message.sent'),
    count(*) FILTER (event IS NULL),
    count(*) FILTER (event NOT IN (
        'sequence.created', 'sequence.completed', 'sequence.stopped', 'sequence.paused', 'sequence.resumed',
        'message.sent', 'message.opened', 'message.link_clicked', 'message.replied', 'invitation.sent',
        'invitation.accepted', 'hot_lead.created', 'meeting.created', 'sequence_step.completed',
        'sequence_step.skipped', 'task.created', 'task.completed', 'task.skipped'))
FROM events
GROUP BY ALL;

INSERT INTO engagement.builds
SELECT 'sequence_activity', load_id, $fingerprint, $now
FROM landed_days
WHERE day IN (SELECT unnest($days::DATE[]))
    AND load_id NOT IN (SELECT load_id FROM engagement.builds WHERE table_name = 'sequence_activity');

COMMENT ON TABLE engagement.sequence_activity IS 'What happened, counted: one row per sequence, channel and day, made of that day''s activities alone. Counts add up; persons_messaged does not.';
COMMENT ON COLUMN engagement.sequence_activity.sequence_template_id IS 'The sequence; NULL where the activity names none.';
COMMENT ON COLUMN engagement.sequence_activity.channel IS 'EMAIL, LINKEDIN, MANUAL; OTHER for what Topo adds, NONE where nothing tells.';
COMMENT ON COLUMN engagement.sequence_activity.day IS 'The reporting day.';
COMMENT ON COLUMN engagement.sequence_activity.total_found IS 'Contacts enrolled (sequence.created).';
COMMENT ON COLUMN engagement.sequence_activity.total_sent IS 'Messages sent; an invitation is no message.';
COMMENT ON COLUMN engagement.sequence_activity.total_invitations IS 'LinkedIn invitations sent.';
COMMENT ON COLUMN engagement.sequence_activity.total_accepted IS 'LinkedIn invitations accepted.';
COMMENT ON COLUMN engagement.sequence_activity.total_opens IS 'Opens of emails, every one; privacy proxies inflate them.';
COMMENT ON COLUMN engagement.sequence_activity.total_clicks IS 'Clicks on links in emails.';
COMMENT ON COLUMN engagement.sequence_activity.total_replies IS 'Replies of any kind, automatic ones too.';
COMMENT ON COLUMN engagement.sequence_activity.total_valid_replies IS 'Replies not known to be automatic; a pending one counts until it is classified.';
COMMENT ON COLUMN engagement.sequence_activity.total_positive_replies IS 'Replies classified as interest.';
COMMENT ON COLUMN engagement.sequence_activity.total_hot_leads IS 'Hot leads: a high engagement score, not the same as a positive reply.';
COMMENT ON COLUMN engagement.sequence_activity.total_meetings IS 'Meetings booked.';
COMMENT ON COLUMN engagement.sequence_activity.replies_pending IS 'Replies that Topo has not classified yet.';
COMMENT ON COLUMN engagement.sequence_activity.replies_not_human IS 'Replies that no person wrote (rule not_human_replies).';
COMMENT ON COLUMN engagement.sequence_activity.runs_completed IS 'Runs that came to their end.';
COMMENT ON COLUMN engagement.sequence_activity.runs_stopped IS 'Runs that were stopped.';
COMMENT ON COLUMN engagement.sequence_activity.runs_paused IS 'Pauses of runs.';
COMMENT ON COLUMN engagement.sequence_activity.runs_resumed IS 'Resumptions of runs.';
COMMENT ON COLUMN engagement.sequence_activity.steps_completed IS 'Steps completed.';
COMMENT ON COLUMN engagement.sequence_activity.steps_skipped IS 'Steps skipped.';
COMMENT ON COLUMN engagement.sequence_activity.tasks_created IS 'Manual tasks created.';
COMMENT ON COLUMN engagement.sequence_activity.tasks_completed IS 'Manual tasks completed.';
COMMENT ON COLUMN engagement.sequence_activity.tasks_skipped IS 'Manual tasks skipped.';
COMMENT ON COLUMN engagement.sequence_activity.persons_messaged IS 'Distinct contacts who were sent a message; not additive over days, channels or sequences.';
COMMENT ON COLUMN engagement.sequence_activity.orphans IS 'Activities without a run; they are in no other column.';
COMMENT ON COLUMN engagement.sequence_activity.other IS 'Activities of a type that this table does not know.';
