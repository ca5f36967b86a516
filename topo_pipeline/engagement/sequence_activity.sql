{% from 'runs.jinja' import channel_group %}
-- Grain: sequence_template_id, channel, day
-- The rows of a day depend on that day's activities alone.
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
        CASE WHEN sequence_id IS NOT NULL THEN coalesce(type, '') END AS event, -- NULL for an orphan
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

COMMENT ON TABLE engagement.sequence_activity IS 'One row per sequence, channel and day: the activities of the day, counted. Built from the activities of that day alone. Every count can be summed over days, channels and sequences, except persons_messaged.';
COMMENT ON COLUMN engagement.sequence_activity.sequence_template_id IS 'Id of the sequence. NULL when the activities name none.';
COMMENT ON COLUMN engagement.sequence_activity.channel IS 'EMAIL, LINKEDIN or MANUAL. OTHER for any other channel that Topo sends, NONE when the channel is unknown.';
COMMENT ON COLUMN engagement.sequence_activity.day IS 'The reporting day.';
COMMENT ON COLUMN engagement.sequence_activity.total_found IS 'Enrolments (sequence.created activities).';
COMMENT ON COLUMN engagement.sequence_activity.total_sent IS 'Messages sent (message.sent activities). Does not include invitations.';
COMMENT ON COLUMN engagement.sequence_activity.total_invitations IS 'LinkedIn invitations sent (invitation.sent activities).';
COMMENT ON COLUMN engagement.sequence_activity.total_accepted IS 'LinkedIn invitations accepted (invitation.accepted activities).';
COMMENT ON COLUMN engagement.sequence_activity.total_opens IS 'Email opens (message.opened activities), repeated opens included. Inflated by privacy proxies.';
COMMENT ON COLUMN engagement.sequence_activity.total_clicks IS 'Clicks on links in emails (message.link_clicked activities), repeated clicks included.';
COMMENT ON COLUMN engagement.sequence_activity.total_replies IS 'Replies of any kind (message.replied activities), automatic ones included.';
COMMENT ON COLUMN engagement.sequence_activity.total_valid_replies IS 'Replies that are not known to be automatic: their category is not in the rule not_human_replies. A reply that Topo has not classified yet counts as valid.';
COMMENT ON COLUMN engagement.sequence_activity.total_positive_replies IS 'Replies that show interest: their category is in the rule positive_replies.';
COMMENT ON COLUMN engagement.sequence_activity.total_hot_leads IS 'Hot leads (hot_lead.created activities): contacts with a high engagement score. Not the same as positive replies.';
COMMENT ON COLUMN engagement.sequence_activity.total_meetings IS 'Meetings booked (meeting.created activities).';
COMMENT ON COLUMN engagement.sequence_activity.replies_pending IS 'Replies that Topo has not classified yet.';
COMMENT ON COLUMN engagement.sequence_activity.replies_not_human IS 'Replies that no person wrote: their category is in the rule not_human_replies.';
COMMENT ON COLUMN engagement.sequence_activity.runs_completed IS 'Sequence runs that reached the end of the sequence (sequence.completed activities).';
COMMENT ON COLUMN engagement.sequence_activity.runs_stopped IS 'Runs that were stopped (sequence.stopped activities).';
COMMENT ON COLUMN engagement.sequence_activity.runs_paused IS 'Times that a run was paused (sequence.paused activities).';
COMMENT ON COLUMN engagement.sequence_activity.runs_resumed IS 'Times that a run was resumed (sequence.resumed activities).';
COMMENT ON COLUMN engagement.sequence_activity.steps_completed IS 'Steps completed (sequence_step.completed activities).';
COMMENT ON COLUMN engagement.sequence_activity.steps_skipped IS 'Steps skipped (sequence_step.skipped activities).';
COMMENT ON COLUMN engagement.sequence_activity.tasks_created IS 'Tasks created (task.created activities).';
COMMENT ON COLUMN engagement.sequence_activity.tasks_completed IS 'Tasks completed (task.completed activities).';
COMMENT ON COLUMN engagement.sequence_activity.tasks_skipped IS 'Tasks skipped (task.skipped activities).';
COMMENT ON COLUMN engagement.sequence_activity.persons_messaged IS 'Distinct contacts who were sent a message. Cannot be summed over days, channels or sequences.';
COMMENT ON COLUMN engagement.sequence_activity.orphans IS 'Activities that name no run. They are in no other column.';
COMMENT ON COLUMN engagement.sequence_activity.other IS 'Activities of a run whose type is in no other column, such as a type that Topo has added.';
