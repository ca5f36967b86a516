{% import 'sequence_actions.jinja' as sequence_actions %}
{% import 'sequence_firsts.jinja' as sequence_firsts %}
{% import 'sequence_responses.jinja' as sequence_responses %}
{% from 'horizon.jinja' import horizon, quarter, quarters %}
{% from 'rates.jinja' import outcomes %}
{% from 'runs.jinja' import channel_group, channels, days, reply_class %}
{% set in_time = 'since <= ' ~ days('$reply_window_days') %}
{% set is_instant = 'epoch_us(created_at) - epoch_us(acted_at) <= $instant_open_seconds::BIGINT * 1_000_000' %}
{% set of_run = 'flags_changed.sequence_id = built.sequence_id AND flags_changed.sequence_template_id IS NOT DISTINCT FROM built.sequence_template_id' %}
-- Grain: sequence_template_id, sequence_id
-- Incremental: rebuilds the runs that a new load touches, each from its full history.
CREATE TABLE IF NOT EXISTS engagement.sequence_runs (
    sequence_template_id UUID,
    sequence_id UUID,
    person_id UUID,
    left_censored BOOLEAN,
    start_uncertain BOOLEAN,
    first_activity_at TIMESTAMP WITH TIME ZONE,
    last_activity_at TIMESTAMP WITH TIME ZONE,
    enrolled_at TIMESTAMP WITH TIME ZONE,
    run_enrolled_at TIMESTAMP WITH TIME ZONE,
    touched_at TIMESTAMP WITH TIME ZONE,
    contacted_at TIMESTAMP WITH TIME ZONE,
    first_email_at TIMESTAMP WITH TIME ZONE,
    first_linkedin_at TIMESTAMP WITH TIME ZONE,
    first_invitation_at TIMESTAMP WITH TIME ZONE,
    accepted_at TIMESTAMP WITH TIME ZONE,
    first_open_at TIMESTAMP WITH TIME ZONE,
    first_click_at TIMESTAMP WITH TIME ZONE,
    last_look_at TIMESTAMP WITH TIME ZONE,
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
    last_completed_step INTEGER,
    last_completed_channel VARCHAR,
    max_stage VARCHAR,
    outcome VARCHAR,
    contacted_in_time BOOLEAN,
    completed_in_time BOOLEAN,
    stopped_in_time BOOLEAN,
    exit_reason VARCHAR,
    anomalies VARCHAR[]
);

{{ sequence_actions.create() }}

{{ sequence_responses.create() }}

{{ sequence_firsts.create() }}

CREATE OR REPLACE TEMP TABLE pending AS
SELECT load_id FROM topo.loads
WHERE load_id NOT IN (SELECT load_id FROM engagement.builds WHERE table_name = 'sequence_runs');

-- Without a pending load, runs can still change: a proof can be withdrawn. The changed days then get an id of their own.
CREATE OR REPLACE TEMP TABLE this_build AS SELECT coalesce(max(load_id), uuid()) AS load_id FROM pending;

CREATE OR REPLACE TEMP TABLE touched AS
SELECT *, (row_number() OVER () - 1) // 200_000 AS slice
FROM (
SELECT sequence_id FROM topo.activities WHERE load_id IN (SELECT load_id FROM pending) AND sequence_id IS NOT NULL
UNION
SELECT sequence_id FROM topo.activity_changes
WHERE replaced_by IN (SELECT load_id FROM pending) AND sequence_id IS NOT NULL
);

-- The days add no condition. They let DuckDB skip row groups: a run's processed activities lie between its first and
-- last one, give or take a day for time zones, and its other activities are in pending loads.
CREATE OR REPLACE TEMP TABLE days AS
SELECT first_day + unnest(range(last_day - first_day + 1))::INTEGER AS day
FROM (
    SELECT DISTINCT first_activity_at::DATE - 1 AS first_day, last_activity_at::DATE + 1 AS last_day
    FROM engagement.sequence_runs
    WHERE sequence_id IN (SELECT sequence_id FROM touched)
)
UNION
SELECT day FROM topo.loads WHERE load_id IN (SELECT load_id FROM pending);

CREATE OR REPLACE TEMP TABLE facts AS {{ sequence_firsts.facts(-1, 'touched') }};

{% for table in ['sequence_runs', 'sequence_actions', 'sequence_responses'] %}
DELETE FROM engagement.{{ table }} WHERE sequence_id IN (SELECT sequence_id FROM touched);
{% endfor %}

-- For each slice of touched, so that memory use does not grow with history:

CREATE OR REPLACE TEMP TABLE of_slice AS SELECT sequence_id FROM touched WHERE slice = $slice;

-- Runs by number. An activity that names no sequence belongs to the run's only other sequence.
CREATE OR REPLACE TEMP TABLE runs AS
SELECT *, row_number() OVER () AS run
FROM (
    SELECT *, count(sequence_template_id) OVER (PARTITION BY sequence_id) AS sequences
    FROM (
        SELECT DISTINCT sequence_id, sequence_template_id FROM topo.activities
        WHERE sequence_id IN (SELECT sequence_id FROM of_slice) AND day IN (SELECT day FROM days)
    )
)
WHERE sequence_template_id IS NOT NULL OR sequences <> 1;

CREATE OR REPLACE TEMP TABLE events AS
SELECT
    run, id, created_at, type, person_id, message_id, task_id, channel, step_number AS step,
    type IN ('message.sent', 'invitation.sent') AS is_touch,
    {{ reply_class() }} AS class,
    class IS NOT NULL AND class NOT IN ('out_of_office', 'bounced') AS is_valid_reply
FROM (FROM topo.activities WHERE day IN (SELECT day FROM days)) AS activities
JOIN runs
    ON runs.sequence_id = activities.sequence_id
    AND (runs.sequence_template_id IS NOT DISTINCT FROM activities.sequence_template_id
        OR (activities.sequence_template_id IS NULL AND sequences = 1));

-- A run's messages and invitations, in order.
CREATE OR REPLACE TEMP TABLE touches AS
SELECT
    run, id, type, created_at AS acted_at, message_id, channel, {{ channel_group() }} AS channel_group, step,
    row_number() OVER in_order AS position,
    lead(id) OVER in_order IS NULL AS is_last,
    step IS NOT NULL AND lag(id) OVER at_step IS NOT NULL AS is_repeat,
    if(step IS NULL, created_at, first(created_at) OVER at_step) AS arrived_at
FROM events
WHERE is_touch
WINDOW
    in_order AS (PARTITION BY run ORDER BY created_at, id),
    at_step AS (PARTITION BY run, step, {{ channel_group() }} ORDER BY created_at, id);

-- The touch that an event answers is the one whose message it names. If it names none, an open or a click answers the
-- last email before it, an acceptance the last invitation, a reply the last touch on its channel, else the last touch.
-- A reply on LinkedIn also follows the last invitation.
CREATE OR REPLACE TEMP TABLE answers AS
WITH answering AS (
    SELECT run, id, created_at, message_id, channel, CASE type WHEN 'message.opened' THEN 'open'
        WHEN 'message.link_clicked' THEN 'click' WHEN 'invitation.accepted' THEN 'acceptance' ELSE 'reply' END AS answer
    FROM events
    WHERE is_valid_reply OR type IN ('message.opened', 'message.link_clicked', 'invitation.accepted')
    UNION ALL
    SELECT run, id, created_at, message_id, channel, 'reply after' FROM events
    WHERE is_valid_reply AND channel = 'LINKEDIN'
), pairs AS (
    SELECT run, answering.id, answer, created_at, position, 3 AS likeness
    FROM answering JOIN touches USING (run, message_id)
    WHERE answer IN ('open', 'click', 'reply') AND type = 'message.sent' AND acted_at <= created_at
    UNION ALL
    SELECT run, answering.id, answer, created_at, position,
        if(answer = 'reply' AND touches.channel = answering.channel, 2, 1)
    FROM answering JOIN touches USING (run)
    WHERE acted_at <= created_at AND CASE
        WHEN answer = 'reply' THEN true
        WHEN answer IN ('open', 'click') THEN
            answering.message_id IS NULL AND type = 'message.sent' AND touches.channel = 'EMAIL'
        ELSE type = 'invitation.sent' END
)
SELECT
    any_value(run) AS run,
    id,
    answer,
    any_value(created_at) AS created_at,
    max(struct_pack(likeness, position)) AS touch,
    max(position) AS touches_before -- right for replies, which are paired with every touch before them
FROM pairs
GROUP BY id, answer;

CREATE OR REPLACE TEMP TABLE answered AS
SELECT
    touches.run,
    position,
    min(created_at) FILTER (answer = 'open') AS opened_at,
    min(created_at) FILTER (answer = 'open' AND NOT {{ is_instant }}) AS looked_at,
    count(*) FILTER (answer = 'open' AND {{ is_instant }}) AS opens_instant,
    min(created_at) FILTER (answer = 'click') AS clicked_at,
    min(created_at) FILTER (answer = 'reply') AS replied_at,
    min(created_at) FILTER (answer = 'acceptance') AS accepted_at,
    min(created_at) FILTER (answer = 'reply after') AS replied_after_at
FROM answers JOIN touches ON touches.run = answers.run AND position = touch.position
GROUP BY ALL;

CREATE OR REPLACE TEMP TABLE first_replies AS
WITH replies AS (
    SELECT
        events.run,
        arg_min(
            struct_pack(channel := {{ channel_group() }}, step, touch, touches_before), (events.created_at, id)) AS reply,
        arg_min_null(touch, (events.created_at, id)) FILTER (class = 'positive') AS positive,
        arg_min_null(touch, (events.created_at, id)) FILTER (class = 'opt_out') AS opt_out
    FROM events LEFT JOIN (FROM answers WHERE answer = 'reply') AS answers USING (id)
    WHERE is_valid_reply
    GROUP BY ALL
)
SELECT
    replies.run, reply.channel, coalesce(answered.step, reply.step) AS step, reply.touch.likeness AS likeness,
    reply.touch.position AS position, coalesce(reply.touches_before, 0) AS touches_before,
    positive.position AS positive_position, opt_out.position AS opt_out_position,
    last_touch.acted_at AS last_touch_at
FROM replies
LEFT JOIN touches AS answered ON answered.run = replies.run AND answered.position = reply.touch.position
LEFT JOIN touches AS last_touch ON last_touch.run = replies.run AND last_touch.position = reply.touches_before;

INSERT INTO engagement.sequence_runs
WITH summed AS (
    SELECT
        run,
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
        max(created_at) FILTER (type IN ('message.opened', 'message.link_clicked')) AS last_look_at,
        min(created_at) FILTER (type = 'message.replied') AS first_reply_at,
        min(created_at) FILTER (is_valid_reply) AS first_valid_reply_at,
        min(created_at) FILTER (is_valid_reply AND class NOT IN ('unknown', 'pending')) AS first_classified_reply_at,
        min(created_at) FILTER (class = 'positive') AS first_positive_reply_at,
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
        max(step) AS last_step,
        arg_max(struct_pack(step, channel := {{ channel_group() }}), (created_at, id))
            FILTER (type = 'sequence_step.completed' AND step IS NOT NULL) AS last_completed
    FROM events
    GROUP BY ALL
), instant AS (
    SELECT run, sum(opens_instant) AS opens_instant FROM answered GROUP BY ALL
), after_touch AS (
    SELECT
        run,
        min(created_at) FILTER (is_valid_reply) AS replied_at,
        min(list_position(
            {{ outcomes }}, if(type = 'meeting.created', 'meeting', class))) FILTER ({{ in_time }}) AS strength
    FROM (
        SELECT events.*, epoch_us(created_at) - epoch_us(touched_at) AS since
        FROM events JOIN summed USING (run)
        WHERE class IS NOT NULL OR type = 'meeting.created'
    )
    WHERE since >= 0
    GROUP BY ALL
), after_enrolment AS (
    SELECT
        run,
        bool_or(type = 'message.sent') AS contacted_in_time,
        bool_or(type = 'sequence.completed') AS completed_in_time,
        bool_or(type = 'sequence.stopped') AS stopped_in_time
    FROM (SELECT run, type, epoch_us(created_at) - epoch_us(enrolled_at) AS since FROM events JOIN summed USING (run))
    WHERE type IN ('message.sent', 'sequence.completed', 'sequence.stopped') AND since >= 0 AND {{ in_time }}
    GROUP BY ALL
)
SELECT
    sequence_template_id, sequence_id, person_id, false AS left_censored, false AS start_uncertain,
    first_activity_at, last_activity_at,
    enrolled_at, min(enrolled_at) OVER (PARTITION BY sequence_id) AS run_enrolled_at, touched_at, contacted_at, first_email_at, first_linkedin_at, first_invitation_at, accepted_at,
    first_open_at, first_click_at, last_look_at, first_reply_at, first_valid_reply_at, first_classified_reply_at,
    first_positive_reply_at, hot_lead_at, meeting_at, completed_at, stopped_at, messages_sent, emails_sent,
    linkedin_sent, invitations_sent, opens, coalesce(opens_instant, 0), clicks, replies,
    first_replies.channel,
    first_replies.step,
    CASE WHEN first_valid_reply_at IS NULL THEN NULL WHEN likeness = 3 THEN 'exact'
        WHEN likeness = 2 THEN 'last_touch_same_channel' WHEN likeness = 1 THEN 'last_touch_any' ELSE 'none' END,
    touches_before,
    epoch(replied_at - touched_at) / 3600,
    epoch(first_valid_reply_at - first_replies.last_touch_at) / 3600,
    pause_count,
    coalesce(last_pause_or_resume = 'sequence.paused', false) AND completed_at IS NULL AND stopped_at IS NULL,
    steps_completed, steps_skipped, last_step, last_completed.step, last_completed.channel,
    CASE WHEN meeting_at IS NOT NULL THEN 'meeting'
        WHEN first_positive_reply_at IS NOT NULL THEN 'positive'
        WHEN first_valid_reply_at IS NOT NULL THEN 'replied'
        WHEN coalesce(first_open_at, first_click_at, accepted_at) IS NOT NULL THEN 'engaged'
        WHEN touched_at IS NOT NULL THEN 'touched'
        ELSE 'enrolled' END,
    CASE WHEN touched_at IS NOT NULL THEN coalesce({{ outcomes }}[strength], 'none') END,
    {% for what in ['contacted', 'completed', 'stopped'] %}
    CASE WHEN enrolled_at IS NOT NULL THEN coalesce({{ what }}_in_time, false) END,
    {% endfor %}
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
            CASE WHEN summed.last_touch_at > stopped_at THEN 'event_after_stop' END
        ],
        lambda anomaly: anomaly IS NOT NULL)
FROM summed
JOIN runs USING (run)
LEFT JOIN first_replies USING (run)
LEFT JOIN instant USING (run)
LEFT JOIN after_touch USING (run)
LEFT JOIN after_enrolment USING (run)
ORDER BY sequence_template_id, contacted_at; -- rows that are read together are stored together

{{ sequence_actions.insert() }}

{{ sequence_responses.insert(is_instant) }}

-- End of slice.

-- Both flags depend on other days than a run's own: left_censored on the first landed day and on whether there are
-- enrolments at all, start_uncertain on the unknown days. A load can change them for runs that it does not touch.
-- The unknown days before and after each quarter of an hour, because an ASOF join of every run would sort the runs.
CREATE OR REPLACE TEMP TABLE unknown AS
WITH {{ horizon() }}, {{ quarters() }}, unknown AS (
    SELECT
        (day + 1)::TIMESTAMP AT TIME ZONE $timezone AS ends,
        -- A run that begins before this may have had earlier activities on the day.
        (day + 1 + $censored_days::INTEGER)::TIMESTAMP AT TIME ZONE $timezone AS felt_until
    FROM unknown_days
)
SELECT quarter, next.ends AS next_ends, previous.felt_until
FROM quarters
ASOF LEFT JOIN unknown AS next ON quarter < {{ quarter('next.ends') }}
ASOF LEFT JOIN unknown AS previous ON quarter >= {{ quarter('previous.ends') }};

CREATE OR REPLACE TEMP TABLE flags_changed AS
WITH history AS (
    SELECT
        ((SELECT min(day) FROM topo.loads) + $censored_days::INTEGER)::TIMESTAMP AT TIME ZONE $timezone AS censored_before,
        EXISTS (FROM engagement.sequence_runs WHERE enrolled_at IS NOT NULL) AND $censored_days > 0 AS can_tell
), flags AS (
    SELECT
        runs.sequence_id,
        runs.sequence_template_id,
        left_censored,
        start_uncertain,
        run_enrolled_at IS NULL AND can_tell AND first_activity_at < censored_before AS is_left_censored,
        coalesce(enrolled.next_ends <= touched_at, false)
            OR (run_enrolled_at IS NULL AND $censored_days > 0 AND coalesce(first_activity_at < begun.felt_until, false))
            AS is_start_uncertain
    FROM engagement.sequence_runs AS runs
    CROSS JOIN history
    LEFT JOIN unknown AS enrolled ON enrolled.quarter = {{ quarter('coalesce(enrolled_at, run_enrolled_at)') }}
    LEFT JOIN unknown AS begun ON begun.quarter = {{ quarter('first_activity_at') }}
)
FROM flags WHERE left_censored <> is_left_censored OR start_uncertain <> is_start_uncertain;

INSERT INTO facts {{ sequence_firsts.facts(-1, 'flags_changed') }} AND sequence_id NOT IN (SELECT sequence_id FROM touched);

UPDATE engagement.sequence_runs AS built
SET left_censored = is_left_censored, start_uncertain = is_start_uncertain
FROM flags_changed
WHERE {{ of_run }};

UPDATE engagement.sequence_actions AS built
SET left_censored = is_left_censored
FROM flags_changed
WHERE {{ of_run }} AND built.left_censored <> is_left_censored;

{{ sequence_firsts.update() }}

INSERT INTO engagement.builds
SELECT 'sequence_runs', load_id, $fingerprint, $now
FROM (FROM pending UNION SELECT load_id FROM this_build WHERE EXISTS (FROM changed));

COMMENT ON TABLE engagement.sequence_runs IS 'One row per sequence run (one contact going through one sequence), over all its landed activities. The messages, invitations, tasks and steps of each run are in sequence_actions.';
COMMENT ON COLUMN engagement.sequence_runs.sequence_template_id IS 'Id of the sequence. An activity that names no sequence belongs to the only other sequence of its run, if there is exactly one; otherwise NULL.';
COMMENT ON COLUMN engagement.sequence_runs.sequence_id IS 'Id of the run.';
COMMENT ON COLUMN engagement.sequence_runs.person_id IS 'Id of the contact. The smallest id when the activities of the run name several, which Topo should never send.';
COMMENT ON COLUMN engagement.sequence_runs.left_censored IS 'TRUE when the run may have begun before the first landed day: no sequence shows an enrolment of it, and its first activity is less than $censored_days days after the start of that day (rule censored_days). Such a run is in no unique count and no rate. FALSE for every run when the workspace has no enrolments at all or the rule is 0.';
COMMENT ON COLUMN engagement.sequence_runs.start_uncertain IS 'TRUE when an earlier message or invitation may be missing: the day of the enrolment, or a day from then to the day before the first message or invitation that has landed, is unknown; or no sequence shows an enrolment and one of the $censored_days days before the first activity is unknown (rule censored_days). Such a run is in totals and unique counts, but in no rate over touched or contacted runs. A day is unknown when it has not landed, was read before it was over, or was not proved complete.';
COMMENT ON COLUMN engagement.sequence_runs.first_activity_at IS 'Time of the first activity of any type (UTC).';
COMMENT ON COLUMN engagement.sequence_runs.last_activity_at IS 'Time of the last activity of any type (UTC).';
COMMENT ON COLUMN engagement.sequence_runs.enrolled_at IS 'Time of the first enrolment (UTC). NULL without one.';
COMMENT ON COLUMN engagement.sequence_runs.run_enrolled_at IS 'Time of the first enrolment of the run in any sequence (UTC). Differs from enrolled_at only when the activities of the run name several sequences.';
COMMENT ON COLUMN engagement.sequence_runs.touched_at IS 'Time of the first message or invitation sent (UTC). NULL without one.';
COMMENT ON COLUMN engagement.sequence_runs.contacted_at IS 'Time of the first message sent (UTC), invitations not included. NULL without one.';
COMMENT ON COLUMN engagement.sequence_runs.first_email_at IS 'Time of the first message sent by email (UTC). NULL without one.';
COMMENT ON COLUMN engagement.sequence_runs.first_linkedin_at IS 'Time of the first message sent on LinkedIn (UTC), invitations not included. NULL without one.';
COMMENT ON COLUMN engagement.sequence_runs.first_invitation_at IS 'Time of the first invitation sent (UTC). NULL without one.';
COMMENT ON COLUMN engagement.sequence_runs.accepted_at IS 'Time of the first acceptance of an invitation (UTC). NULL without one.';
COMMENT ON COLUMN engagement.sequence_runs.first_open_at IS 'Time of the first open (UTC). NULL without one.';
COMMENT ON COLUMN engagement.sequence_runs.first_click_at IS 'Time of the first click (UTC). NULL without one.';
COMMENT ON COLUMN engagement.sequence_runs.last_look_at IS 'Time of the last open or click (UTC). NULL without one.';
COMMENT ON COLUMN engagement.sequence_runs.first_reply_at IS 'Time of the first reply of any kind, automatic ones included (UTC). NULL without one.';
COMMENT ON COLUMN engagement.sequence_runs.first_valid_reply_at IS 'Time of the first valid reply (UTC): one that is neither an out-of-office message nor a bounce. A reply that Topo has not classified is valid. NULL without one.';
COMMENT ON COLUMN engagement.sequence_runs.first_classified_reply_at IS 'Time of the first valid reply of a known class: neither pending nor unknown (UTC). NULL without one.';
COMMENT ON COLUMN engagement.sequence_runs.first_positive_reply_at IS 'Time of the first reply that shows interest (UTC, rule positive_replies). NULL without one.';
COMMENT ON COLUMN engagement.sequence_runs.hot_lead_at IS 'Time at which the run first became a hot lead (UTC). NULL if it never did.';
COMMENT ON COLUMN engagement.sequence_runs.meeting_at IS 'Time of the first meeting booking (UTC). NULL without one.';
COMMENT ON COLUMN engagement.sequence_runs.completed_at IS 'Time of the first completion (UTC). NULL if the run was never completed.';
COMMENT ON COLUMN engagement.sequence_runs.stopped_at IS 'Time of the first stop (UTC). NULL if the run was never stopped.';
COMMENT ON COLUMN engagement.sequence_runs.messages_sent IS 'Messages sent on all channels, invitations not included.';
COMMENT ON COLUMN engagement.sequence_runs.emails_sent IS 'Messages sent by email.';
COMMENT ON COLUMN engagement.sequence_runs.linkedin_sent IS 'Messages sent on LinkedIn, invitations not included.';
COMMENT ON COLUMN engagement.sequence_runs.invitations_sent IS 'Invitations sent.';
COMMENT ON COLUMN engagement.sequence_runs.opens IS 'Opens, repeated opens included.';
COMMENT ON COLUMN engagement.sequence_runs.opens_instant IS 'Opens at most $instant_open_seconds seconds after the message was sent, too soon to be a person (rule instant_open_seconds). An open belongs to the message that it names; if it names none, to the last email of the run before it.';
COMMENT ON COLUMN engagement.sequence_runs.clicks IS 'Clicks, repeated clicks included.';
COMMENT ON COLUMN engagement.sequence_runs.replies IS 'Replies of any kind, automatic ones included.';
COMMENT ON COLUMN engagement.sequence_runs.reply_channel IS 'Channel of the first valid reply: {{ channels }} NULL without a valid reply.';
COMMENT ON COLUMN engagement.sequence_runs.replied_step IS 'Number of the step that the first valid reply answers. NULL without a valid reply or when the step is unknown.';
COMMENT ON COLUMN engagement.sequence_runs.reply_attribution IS 'How the message or invitation that the first valid reply answers was found: exact (the reply names the message), last_touch_same_channel (the last one on its channel before it), last_touch_any (the last one before it) or none (nothing was sent before it). NULL without a valid reply.';
COMMENT ON COLUMN engagement.sequence_runs.touches_before_reply IS 'Messages and invitations sent up to the first valid reply. NULL without a valid reply.';
COMMENT ON COLUMN engagement.sequence_runs.hours_to_first_reply IS 'Among repliers: hours from the first message or invitation to the first valid reply at or after it. NULL without such a reply.';
COMMENT ON COLUMN engagement.sequence_runs.hours_from_last_touch IS 'Hours from the last message or invitation before the first valid reply to that reply. NULL when either is missing.';
COMMENT ON COLUMN engagement.sequence_runs.pause_count IS 'Times that the run was paused.';
COMMENT ON COLUMN engagement.sequence_runs.is_paused IS 'TRUE when the run is paused now: its last pause has not been followed by a resumption, and it is neither completed nor stopped.';
COMMENT ON COLUMN engagement.sequence_runs.steps_completed IS 'Steps completed.';
COMMENT ON COLUMN engagement.sequence_runs.steps_skipped IS 'Steps skipped.';
COMMENT ON COLUMN engagement.sequence_runs.last_step IS 'Highest step number that any activity of the run names. NULL when none names one.';
COMMENT ON COLUMN engagement.sequence_runs.last_completed_step IS 'Step number of the step that was completed last. NULL when no completed step has a number.';
COMMENT ON COLUMN engagement.sequence_runs.last_completed_channel IS 'Channel of that step: {{ channels }} NULL when last_completed_step is NULL.';
COMMENT ON COLUMN engagement.sequence_runs.max_stage IS 'Furthest stage that the run reached: enrolled < touched (message or invitation sent) < engaged (open, click or acceptance) < replied (valid reply) < positive (positive reply) < meeting.';
COMMENT ON COLUMN engagement.sequence_runs.outcome IS 'The best that came within $reply_window_days days of the first message or invitation (rule reply_window_days), the first that applies of meeting, positive, opt_out, negative, neutral, unknown, pending, out_of_office, bounced (classes of replies) and none. Can still change until those days are over. NULL for a run without a message or invitation.';
COMMENT ON COLUMN engagement.sequence_runs.contacted_in_time IS 'TRUE when a message was sent at most $reply_window_days days after the enrolment (rule reply_window_days). NULL without an enrolment.';
COMMENT ON COLUMN engagement.sequence_runs.completed_in_time IS 'TRUE when the run was completed at most $reply_window_days days after the enrolment (rule reply_window_days). NULL without an enrolment.';
COMMENT ON COLUMN engagement.sequence_runs.stopped_in_time IS 'TRUE when the run was stopped at most $reply_window_days days after the enrolment (rule reply_window_days). NULL without an enrolment.';
COMMENT ON COLUMN engagement.sequence_runs.exit_reason IS 'Why the run ended, as it is now: the first that applies of meeting, positive (positive reply), replied (valid reply), stopped, completed and active.';
COMMENT ON COLUMN engagement.sequence_runs.anomalies IS 'List of inconsistencies: reply_before_touch, open_without_send, click_without_send and acceptance_without_invitation (the first reply, open, click or acceptance came before the first message or invitation that it needs, or there is none), event_after_stop (a message or invitation was sent after the run was stopped). Empty when there is none.';

{{ sequence_actions.comments() }}

{{ sequence_responses.comments() }}

{{ sequence_firsts.comments() }}
