-- Grain: sequence_template_id, sequence_id
-- Incremental: rebuilds, from their full history, the runs that any load not yet taken in has touched.
CREATE TABLE IF NOT EXISTS engagement.sequence_runs (
    sequence_template_id UUID,
    sequence_id UUID,
    person_id UUID,
    left_censored BOOLEAN,
    first_activity_at TIMESTAMP WITH TIME ZONE,
    last_activity_at TIMESTAMP WITH TIME ZONE,
    enrolled_at TIMESTAMP WITH TIME ZONE,
    touched_at TIMESTAMP WITH TIME ZONE,
    contacted_at TIMESTAMP WITH TIME ZONE,
    first_email_at TIMESTAMP WITH TIME ZONE,
    first_linkedin_at TIMESTAMP WITH TIME ZONE,
    first_invitation_at TIMESTAMP WITH TIME ZONE,
    accepted_at TIMESTAMP WITH TIME ZONE,
    first_open_at TIMESTAMP WITH TIME ZONE,
    first_click_at TIMESTAMP WITH TIME ZONE,
    first_reply_at TIMESTAMP WITH TIME ZONE,
    first_valid_reply_at TIMESTAMP WITH TIME ZONE,
    first_classified_reply_at TIMESTAMP WITH TIME ZONE,
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
    opens_instant BIGINT,
    clicks BIGINT,
    replies BIGINT,
    reply_channel VARCHAR,
    replied_step INTEGER,
    reply_attribution VARCHAR,
    touches_before_reply BIGINT,
    hours_to_first_reply DOUBLE,
    hours_from_last_touch DOUBLE,
    pause_count BIGINT,
    is_paused BOOLEAN,
    steps_completed BIGINT,
    steps_skipped BIGINT,
    last_step INTEGER,
    max_stage VARCHAR,
    exit_reason VARCHAR,
    anomalies VARCHAR[]
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

CREATE OR REPLACE TEMP TABLE events AS
WITH templates AS (
    -- An activity without a sequence takes the run's only other one.
    SELECT sequence_id, any_value(sequence_template_id) AS only_template
    FROM topo.activities
    WHERE sequence_id IN (SELECT sequence_id FROM touched)
    GROUP BY sequence_id
    HAVING count(DISTINCT sequence_template_id) = 1
)
SELECT
    coalesce(activities.sequence_template_id, only_template) AS sequence_template_id,
    sequence_id, id, created_at, type, person_id, message_id, channel, step_number,
    type IN ('message.sent', 'invitation.sent') AS is_touch,
    type = 'message.replied' AND coalesce(reply_category NOT IN (SELECT unnest($not_human_replies::VARCHAR[])), true)
        AS is_valid_reply,
    type = 'message.replied' AND coalesce(reply_category IN (SELECT unnest($positive_replies::VARCHAR[])), false)
        AS is_positive_reply,
    reply_category IS NOT NULL AS is_classified
FROM topo.activities LEFT JOIN templates USING (sequence_id)
WHERE sequence_id IN (SELECT sequence_id FROM touched);

INSERT INTO engagement.sequence_runs
WITH runs AS (
    SELECT
        sequence_template_id,
        sequence_id,
        min(person_id) AS person_id,
        min(created_at) AS first_activity_at,
        max(created_at) AS last_activity_at,
        min(created_at) FILTER (type = 'sequence.created') AS enrolled_at,
        min(created_at) FILTER (is_touch) AS touched_at,
        max(created_at) FILTER (is_touch) AS last_touch_at,
        min(created_at) FILTER (type = 'message.sent') AS contacted_at,
        min(created_at) FILTER (type = 'message.sent' AND channel = 'EMAIL') AS first_email_at,
        min(created_at) FILTER (type = 'message.sent' AND channel = 'LINKEDIN') AS first_linkedin_at,
        min(created_at) FILTER (type = 'invitation.sent') AS first_invitation_at,
        min(created_at) FILTER (type = 'invitation.accepted') AS accepted_at,
        min(created_at) FILTER (type = 'message.opened') AS first_open_at,
        min(created_at) FILTER (type = 'message.link_clicked') AS first_click_at,
        min(created_at) FILTER (type = 'message.replied') AS first_reply_at,
        min(created_at) FILTER (is_valid_reply) AS first_valid_reply_at,
        min(created_at) FILTER (is_valid_reply AND is_classified) AS first_classified_reply_at,
        min(created_at) FILTER (is_positive_reply) AS first_positive_reply_at,
        min(created_at) FILTER (type = 'hot_lead.created') AS hot_lead_at,
        min(created_at) FILTER (type = 'meeting.created') AS meeting_at,
        min(created_at) FILTER (type = 'sequence.completed') AS completed_at,
        min(created_at) FILTER (type = 'sequence.stopped') AS stopped_at,
        count(*) FILTER (type = 'message.sent') AS messages_sent,
        count(*) FILTER (type = 'message.sent' AND channel = 'EMAIL') AS emails_sent,
        count(*) FILTER (type = 'message.sent' AND channel = 'LINKEDIN') AS linkedin_sent,
        count(*) FILTER (type = 'invitation.sent') AS invitations_sent,
        count(*) FILTER (type = 'message.opened') AS opens,
        count(*) FILTER (type = 'message.link_clicked') AS clicks,
        count(*) FILTER (type = 'message.replied') AS replies,
        count(*) FILTER (type = 'sequence.paused') AS pause_count,
        arg_max(type, (created_at, id)) FILTER (type IN ('sequence.paused', 'sequence.resumed')) AS last_pause_or_resume,
        count(*) FILTER (type = 'sequence_step.completed') AS steps_completed,
        count(*) FILTER (type = 'sequence_step.skipped') AS steps_skipped,
        max(step_number) AS last_step
    FROM events
    GROUP BY ALL
), first_replies AS (
    SELECT
        sequence_template_id,
        sequence_id,
        arg_min(
            struct_pack(created_at := created_at, message_id := message_id, channel := channel, step := step_number),
            (created_at, id)) AS reply
    FROM events
    WHERE is_valid_reply
    GROUP BY ALL
), attributed AS (
    -- What the first valid reply answers: the message it names, else the last touch in its channel, else the last one.
    SELECT
        sequence_template_id,
        sequence_id,
        any_value(reply.channel) AS reply_channel,
        arg_max(
            struct_pack(
                step := step_number,
                method := CASE likeness WHEN 3 THEN 'exact' WHEN 2 THEN 'last_touch_same_channel'
                    ELSE 'last_touch_any' END),
            (likeness, touched_at, id)) AS touch,
        count(*) AS touches_before_reply,
        max(touched_at) AS last_touch_before_reply
    FROM (
        SELECT
            first_replies.*,
            touch.id,
            touch.step_number,
            touch.created_at AS touched_at,
            CASE WHEN touch.message_id = reply.message_id AND touch.type = 'message.sent' THEN 3
                WHEN touch.channel = reply.channel THEN 2 ELSE 1 END AS likeness
        FROM first_replies
        JOIN events AS touch
            ON touch.sequence_id = first_replies.sequence_id
            AND touch.sequence_template_id IS NOT DISTINCT FROM first_replies.sequence_template_id
            AND touch.is_touch
            AND touch.created_at <= reply.created_at
    )
    GROUP BY ALL
), sends AS (
    SELECT sequence_id, message_id, min(created_at) AS sent_at
    FROM events
    WHERE type = 'message.sent' AND message_id IS NOT NULL
    GROUP BY ALL
), opens_instant AS (
    SELECT sequence_template_id, sequence_id, count(*) AS opens_instant
    FROM events JOIN sends USING (sequence_id, message_id)
    WHERE type = 'message.opened'
        AND created_at BETWEEN sent_at AND sent_at + to_seconds($instant_open_seconds::INTEGER)
    GROUP BY ALL
)
SELECT
    runs.sequence_template_id, runs.sequence_id, person_id, false AS left_censored, first_activity_at, last_activity_at,
    enrolled_at, touched_at, contacted_at, first_email_at, first_linkedin_at, first_invitation_at, accepted_at,
    first_open_at, first_click_at, first_reply_at, first_valid_reply_at, first_classified_reply_at,
    first_positive_reply_at, hot_lead_at, meeting_at, completed_at, stopped_at, messages_sent, emails_sent,
    linkedin_sent, invitations_sent, opens, coalesce(opens_instant, 0), clicks, replies,
    coalesce(attributed.reply_channel, first_replies.reply.channel),
    coalesce(attributed.touch.step, first_replies.reply.step),
    CASE WHEN first_valid_reply_at IS NOT NULL THEN coalesce(attributed.touch.method, 'none') END,
    CASE WHEN first_valid_reply_at IS NOT NULL THEN coalesce(touches_before_reply, 0) END,
    CASE WHEN first_valid_reply_at >= contacted_at THEN epoch(first_valid_reply_at - contacted_at) / 3600 END,
    epoch(first_valid_reply_at - last_touch_before_reply) / 3600,
    pause_count,
    coalesce(last_pause_or_resume = 'sequence.paused', false) AND completed_at IS NULL AND stopped_at IS NULL,
    steps_completed, steps_skipped, last_step,
    CASE WHEN meeting_at IS NOT NULL THEN 'meeting'
        WHEN first_positive_reply_at IS NOT NULL THEN 'positive'
        WHEN first_valid_reply_at IS NOT NULL THEN 'replied'
        WHEN coalesce(first_open_at, first_click_at, accepted_at) IS NOT NULL THEN 'engaged'
        WHEN touched_at IS NOT NULL THEN 'touched'
        ELSE 'enrolled' END,
    CASE WHEN meeting_at IS NOT NULL THEN 'meeting'
        WHEN first_positive_reply_at IS NOT NULL THEN 'positive'
        WHEN first_valid_reply_at IS NOT NULL THEN 'replied'
        WHEN stopped_at IS NOT NULL THEN 'stopped'
        WHEN completed_at IS NOT NULL THEN 'completed'
        ELSE 'active' END,
    list_filter(
        [
            CASE WHEN first_reply_at IS NOT NULL AND coalesce(first_reply_at < touched_at, true)
                THEN 'reply_before_touch' END,
            CASE WHEN first_open_at IS NOT NULL AND coalesce(first_open_at < contacted_at, true)
                THEN 'open_without_send' END,
            CASE WHEN first_click_at IS NOT NULL AND coalesce(first_click_at < contacted_at, true)
                THEN 'click_without_send' END,
            CASE WHEN accepted_at IS NOT NULL AND coalesce(accepted_at < first_invitation_at, true)
                THEN 'acceptance_without_invitation' END,
            CASE WHEN last_touch_at > stopped_at THEN 'event_after_stop' END
        ],
        lambda anomaly: anomaly IS NOT NULL)
FROM runs
LEFT JOIN first_replies
    ON first_replies.sequence_id = runs.sequence_id
    AND first_replies.sequence_template_id IS NOT DISTINCT FROM runs.sequence_template_id
LEFT JOIN attributed
    ON attributed.sequence_id = runs.sequence_id
    AND attributed.sequence_template_id IS NOT DISTINCT FROM runs.sequence_template_id
LEFT JOIN opens_instant
    ON opens_instant.sequence_id = runs.sequence_id
    AND opens_instant.sequence_template_id IS NOT DISTINCT FROM runs.sequence_template_id;

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
COMMENT ON COLUMN engagement.sequence_runs.person_id IS 'The contact; of several, which Topo does not mean to be, the smallest id.';
COMMENT ON COLUMN engagement.sequence_runs.left_censored IS 'Whether the run may have begun before the first landed day: no enrolment seen, first activity soon after that day. Such a run is in no unique and no rate.';
COMMENT ON COLUMN engagement.sequence_runs.first_activity_at IS 'The first activity of any kind (UTC).';
COMMENT ON COLUMN engagement.sequence_runs.last_activity_at IS 'The last activity of any kind (UTC).';
COMMENT ON COLUMN engagement.sequence_runs.enrolled_at IS 'When the contact was enrolled (UTC).';
COMMENT ON COLUMN engagement.sequence_runs.touched_at IS 'The first message or invitation (UTC).';
COMMENT ON COLUMN engagement.sequence_runs.contacted_at IS 'The first message (UTC); an invitation is no message.';
COMMENT ON COLUMN engagement.sequence_runs.first_email_at IS 'The first message by email (UTC).';
COMMENT ON COLUMN engagement.sequence_runs.first_linkedin_at IS 'The first message on LinkedIn, invitations left out (UTC).';
COMMENT ON COLUMN engagement.sequence_runs.first_invitation_at IS 'The first invitation (UTC).';
COMMENT ON COLUMN engagement.sequence_runs.accepted_at IS 'The first acceptance of an invitation (UTC).';
COMMENT ON COLUMN engagement.sequence_runs.first_open_at IS 'The first open (UTC).';
COMMENT ON COLUMN engagement.sequence_runs.first_click_at IS 'The first click (UTC).';
COMMENT ON COLUMN engagement.sequence_runs.first_reply_at IS 'The first reply of any kind (UTC).';
COMMENT ON COLUMN engagement.sequence_runs.first_valid_reply_at IS 'The first reply not known to be automatic (UTC).';
COMMENT ON COLUMN engagement.sequence_runs.first_classified_reply_at IS 'The first valid reply that Topo has classified (UTC).';
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
COMMENT ON COLUMN engagement.sequence_runs.opens_instant IS 'Opens too soon after their message''s send to be a person''s (rule instant_open_seconds).';
COMMENT ON COLUMN engagement.sequence_runs.clicks IS 'Clicks, every one.';
COMMENT ON COLUMN engagement.sequence_runs.replies IS 'Replies of any kind.';
COMMENT ON COLUMN engagement.sequence_runs.reply_channel IS 'The channel of the first valid reply.';
COMMENT ON COLUMN engagement.sequence_runs.replied_step IS 'The step that the first valid reply answers, where known.';
COMMENT ON COLUMN engagement.sequence_runs.reply_attribution IS 'How that step is known: exact (the reply names the message), last_touch_same_channel, last_touch_any or none; NULL without a valid reply.';
COMMENT ON COLUMN engagement.sequence_runs.touches_before_reply IS 'Messages and invitations up to the first valid reply; NULL without one.';
COMMENT ON COLUMN engagement.sequence_runs.hours_to_first_reply IS 'Hours from the first message to the first valid reply; NULL where either is missing or the reply came first.';
COMMENT ON COLUMN engagement.sequence_runs.hours_from_last_touch IS 'Hours from the last message or invitation before the first valid reply to it.';
COMMENT ON COLUMN engagement.sequence_runs.pause_count IS 'How often it was paused.';
COMMENT ON COLUMN engagement.sequence_runs.is_paused IS 'Whether it is paused: its last pause has no resumption, and it has not ended.';
COMMENT ON COLUMN engagement.sequence_runs.steps_completed IS 'Steps completed.';
COMMENT ON COLUMN engagement.sequence_runs.steps_skipped IS 'Steps skipped.';
COMMENT ON COLUMN engagement.sequence_runs.last_step IS 'The highest step that any activity names; NULL where none does.';
COMMENT ON COLUMN engagement.sequence_runs.max_stage IS 'How far it came: enrolled < touched < engaged (open, click, acceptance) < replied (valid) < positive < meeting.';
COMMENT ON COLUMN engagement.sequence_runs.exit_reason IS 'What it came to: meeting, positive, replied (valid), stopped, completed; else active.';
COMMENT ON COLUMN engagement.sequence_runs.anomalies IS 'What does not fit: reply_before_touch, open_without_send, click_without_send, acceptance_without_invitation, event_after_stop (a message or invitation after the run was stopped).';
