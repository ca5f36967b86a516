-- Incremental: rebuilds, from their full history, the runs that any load not yet taken in has touched.
CREATE TABLE IF NOT EXISTS engagement.sequence_runs (
    sequence_template_id UUID,
    sequence_id UUID,
    person_id UUID,
    left_censored BOOLEAN,
    first_activity_at TIMESTAMP WITH TIME ZONE,
    enrolled_at TIMESTAMP WITH TIME ZONE,
    touched_at TIMESTAMP WITH TIME ZONE,
    contacted_at TIMESTAMP WITH TIME ZONE,
    first_invitation_at TIMESTAMP WITH TIME ZONE,
    accepted_at TIMESTAMP WITH TIME ZONE,
    first_open_at TIMESTAMP WITH TIME ZONE,
    first_click_at TIMESTAMP WITH TIME ZONE,
    first_reply_at TIMESTAMP WITH TIME ZONE,
    first_valid_reply_at TIMESTAMP WITH TIME ZONE,
    first_positive_reply_at TIMESTAMP WITH TIME ZONE,
    hot_lead_at TIMESTAMP WITH TIME ZONE,
    meeting_at TIMESTAMP WITH TIME ZONE,
    completed_at TIMESTAMP WITH TIME ZONE,
    stopped_at TIMESTAMP WITH TIME ZONE,
    messages_sent BIGINT,
    emails_sent BIGINT,
    linkedin_sent BIGINT,
    invitations_sent BIGINT,
    opens BIGINT,
    clicks BIGINT,
    replies BIGINT
);

CREATE OR REPLACE TEMP TABLE pending AS
SELECT load_id FROM topo.loads
WHERE load_id NOT IN (SELECT load_id FROM engagement.builds WHERE table_name = 'sequence_runs');

CREATE OR REPLACE TEMP TABLE touched AS
SELECT sequence_id FROM topo.activities WHERE load_id IN (SELECT load_id FROM pending) AND sequence_id IS NOT NULL
UNION
SELECT sequence_id FROM topo.activity_changes
WHERE replaced_by IN (SELECT load_id FROM pending) AND sequence_id IS NOT NULL;

DELETE FROM engagement.sequence_runs WHERE sequence_id IN (SELECT sequence_id FROM touched);

INSERT INTO engagement.sequence_runs
WITH templates AS (
    -- An activity without a sequence takes the run's only other one.
    SELECT sequence_id, any_value(sequence_template_id) AS only_template
    FROM topo.activities
    WHERE sequence_id IN (SELECT sequence_id FROM touched)
    GROUP BY sequence_id
    HAVING count(DISTINCT sequence_template_id) = 1
), events AS (
    SELECT
        coalesce(activities.sequence_template_id, only_template) AS template_id,
        activities.*,
        coalesce(reply_category NOT IN (SELECT unnest($not_human_replies::VARCHAR[])), true) AS is_valid,
        coalesce(reply_category IN (SELECT unnest($positive_replies::VARCHAR[])), false) AS is_positive
    FROM topo.activities LEFT JOIN templates USING (sequence_id)
    WHERE sequence_id IN (SELECT sequence_id FROM touched)
)
SELECT
    template_id,
    sequence_id,
    arg_min(person_id, (created_at, id)) FILTER (person_id IS NOT NULL),
    false,
    min(created_at),
    min(created_at) FILTER (type = 'sequence.created'),
    min(created_at) FILTER (type IN ('message.sent', 'invitation.sent')),
    min(created_at) FILTER (type = 'message.sent'),
    min(created_at) FILTER (type = 'invitation.sent'),
    min(created_at) FILTER (type = 'invitation.accepted'),
    min(created_at) FILTER (type = 'message.opened'),
    min(created_at) FILTER (type = 'message.link_clicked'),
    min(created_at) FILTER (type = 'message.replied'),
    min(created_at) FILTER (type = 'message.replied' AND is_valid),
    min(created_at) FILTER (type = 'message.replied' AND is_positive),
    min(created_at) FILTER (type = 'hot_lead.created'),
    min(created_at) FILTER (type = 'meeting.created'),
    min(created_at) FILTER (type = 'sequence.completed'),
    min(created_at) FILTER (type = 'sequence.stopped'),
    count(*) FILTER (type = 'message.sent'),
    count(*) FILTER (type = 'message.sent' AND channel = 'EMAIL'),
    count(*) FILTER (type = 'message.sent' AND channel = 'LINKEDIN'),
    count(*) FILTER (type = 'invitation.sent'),
    count(*) FILTER (type = 'message.opened'),
    count(*) FILTER (type = 'message.link_clicked'),
    count(*) FILTER (type = 'message.replied')
FROM events
GROUP BY template_id, sequence_id;

-- What is censored hangs on the first landed day and on whether the workspace shows enrolments at all: a load can
-- change it for runs that it did not touch.
CREATE OR REPLACE TEMP TABLE history AS
SELECT
    ((SELECT min(day) FROM topo.loads) + $censored_days::INTEGER)::TIMESTAMP AT TIME ZONE $timezone AS censored_before,
    EXISTS (FROM engagement.sequence_runs WHERE enrolled_at IS NOT NULL) AND $censored_days > 0 AS can_tell;

UPDATE engagement.sequence_runs
SET left_censored = NOT left_censored
FROM history
WHERE left_censored <> (can_tell AND enrolled_at IS NULL AND first_activity_at < censored_before);

INSERT INTO engagement.builds SELECT 'sequence_runs', load_id, $fingerprint, $now FROM pending;

COMMENT ON TABLE engagement.sequence_runs IS 'One row per run (one contact going through one sequence), over its whole landed history.';
COMMENT ON COLUMN engagement.sequence_runs.sequence_template_id IS 'The sequence; where activities name none, the run''s only other one.';
COMMENT ON COLUMN engagement.sequence_runs.sequence_id IS 'The run.';
COMMENT ON COLUMN engagement.sequence_runs.person_id IS 'The contact, by the run''s first activity that names one.';
COMMENT ON COLUMN engagement.sequence_runs.left_censored IS 'Whether the run may have begun before the first landed day: no enrolment seen, first activity soon after that day. Such a run is in no unique and no rate.';
COMMENT ON COLUMN engagement.sequence_runs.first_activity_at IS 'The first activity of any kind (UTC).';
COMMENT ON COLUMN engagement.sequence_runs.enrolled_at IS 'When the contact was enrolled (UTC).';
COMMENT ON COLUMN engagement.sequence_runs.touched_at IS 'The first message or invitation (UTC).';
COMMENT ON COLUMN engagement.sequence_runs.contacted_at IS 'The first message (UTC); an invitation is no message.';
COMMENT ON COLUMN engagement.sequence_runs.first_invitation_at IS 'The first invitation (UTC).';
COMMENT ON COLUMN engagement.sequence_runs.accepted_at IS 'The first acceptance of an invitation (UTC).';
COMMENT ON COLUMN engagement.sequence_runs.first_open_at IS 'The first open (UTC).';
COMMENT ON COLUMN engagement.sequence_runs.first_click_at IS 'The first click (UTC).';
COMMENT ON COLUMN engagement.sequence_runs.first_reply_at IS 'The first reply of any kind (UTC).';
COMMENT ON COLUMN engagement.sequence_runs.first_valid_reply_at IS 'The first reply not known to be automatic (UTC).';
COMMENT ON COLUMN engagement.sequence_runs.first_positive_reply_at IS 'The first reply classified as interest (UTC).';
COMMENT ON COLUMN engagement.sequence_runs.hot_lead_at IS 'When it first became a hot lead (UTC).';
COMMENT ON COLUMN engagement.sequence_runs.meeting_at IS 'The first meeting booked (UTC).';
COMMENT ON COLUMN engagement.sequence_runs.completed_at IS 'When it first came to its end (UTC).';
COMMENT ON COLUMN engagement.sequence_runs.stopped_at IS 'When it was first stopped (UTC).';
COMMENT ON COLUMN engagement.sequence_runs.messages_sent IS 'Messages sent, all channels.';
COMMENT ON COLUMN engagement.sequence_runs.emails_sent IS 'Messages sent by email.';
COMMENT ON COLUMN engagement.sequence_runs.linkedin_sent IS 'Messages sent on LinkedIn, invitations left out.';
COMMENT ON COLUMN engagement.sequence_runs.invitations_sent IS 'Invitations sent.';
COMMENT ON COLUMN engagement.sequence_runs.opens IS 'Opens, every one.';
COMMENT ON COLUMN engagement.sequence_runs.clicks IS 'Clicks, every one.';
COMMENT ON COLUMN engagement.sequence_runs.replies IS 'Replies of any kind.';
