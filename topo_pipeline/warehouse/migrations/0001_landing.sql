-- Landed activities, change history, rejects, loads and sequences. No keys or sequences in SQL: DuckLake has neither.

CREATE TABLE topo.activities (
    id UUID NOT NULL,
    created_at TIMESTAMP WITH TIME ZONE NOT NULL,
    day DATE NOT NULL,
    type VARCHAR,
    organization_id UUID,
    person_id UUID,
    sequence_id UUID,
    sequence_template_id UUID,
    message_id VARCHAR,
    hot_lead_id VARCHAR,
    calendar_event_id VARCHAR,
    task_id VARCHAR,
    resource_type VARCHAR,
    event_type VARCHAR,
    channel VARCHAR,
    channel_source VARCHAR NOT NULL,
    step_number INTEGER,
    reply_category VARCHAR,
    payload VARCHAR NOT NULL,
    landed_at TIMESTAMP WITH TIME ZONE NOT NULL,
    load_id UUID NOT NULL
);
COMMENT ON TABLE topo.activities IS 'Every engagement event, one row each, as the last load of its day received it.';
COMMENT ON COLUMN topo.activities.id IS 'The activity''s own id.';
COMMENT ON COLUMN topo.activities.created_at IS 'When Topo recorded the activity (UTC).';
COMMENT ON COLUMN topo.activities.day IS 'The reporting day (the partition), in the reporting time zone.';
COMMENT ON COLUMN topo.activities.type IS 'The event, such as message.sent; NULL where the payload has none.';
COMMENT ON COLUMN topo.activities.organization_id IS 'The workspace.';
COMMENT ON COLUMN topo.activities.person_id IS 'The contact.';
COMMENT ON COLUMN topo.activities.sequence_id IS 'The run: one contact going through one sequence.';
COMMENT ON COLUMN topo.activities.sequence_template_id IS 'The sequence.';
COMMENT ON COLUMN topo.activities.message_id IS 'The message that was sent, opened, clicked or replied to.';
COMMENT ON COLUMN topo.activities.hot_lead_id IS 'The hot lead, for hot_lead.created.';
COMMENT ON COLUMN topo.activities.calendar_event_id IS 'The meeting, for meeting.created.';
COMMENT ON COLUMN topo.activities.task_id IS 'The task, for task.* events.';
COMMENT ON COLUMN topo.activities.resource_type IS 'MESSAGE, INVITATION, …: as sent, else the first part of type.';
COMMENT ON COLUMN topo.activities.event_type IS 'SENT, REPLIED, …: the second part of type.';
COMMENT ON COLUMN topo.activities.channel IS 'EMAIL, LINKEDIN, MANUAL or what Topo adds; NULL where nothing tells.';
COMMENT ON COLUMN topo.activities.channel_source IS 'How the channel is known: payload, type or unknown.';
COMMENT ON COLUMN topo.activities.step_number IS 'The step of the sequence, where the payload tells.';
COMMENT ON COLUMN topo.activities.reply_category IS 'How Topo classified the reply; NULL until it did.';
COMMENT ON COLUMN topo.activities.payload IS 'The payload''s JSON text as received.';
COMMENT ON COLUMN topo.activities.landed_at IS 'When this version of the activity was landed (UTC).';
COMMENT ON COLUMN topo.activities.load_id IS 'The load that landed this version.';

CREATE TABLE topo.activity_changes AS
SELECT *, NULL::VARCHAR AS change, NULL::UUID AS replaced_by, NULL::TIMESTAMP WITH TIME ZONE AS replaced_at
FROM topo.activities;
COMMENT ON TABLE topo.activity_changes IS 'Each version of an activity that a later load replaced or removed, whole.';
COMMENT ON COLUMN topo.activity_changes.id IS 'The activity''s own id.';
COMMENT ON COLUMN topo.activity_changes.created_at IS 'When Topo recorded the activity (UTC).';
COMMENT ON COLUMN topo.activity_changes.day IS 'The reporting day (the partition), in the reporting time zone.';
COMMENT ON COLUMN topo.activity_changes.type IS 'The event, such as message.sent; NULL where the payload has none.';
COMMENT ON COLUMN topo.activity_changes.organization_id IS 'The workspace.';
COMMENT ON COLUMN topo.activity_changes.person_id IS 'The contact.';
COMMENT ON COLUMN topo.activity_changes.sequence_id IS 'The run: one contact going through one sequence.';
COMMENT ON COLUMN topo.activity_changes.sequence_template_id IS 'The sequence.';
COMMENT ON COLUMN topo.activity_changes.message_id IS 'The message that was sent, opened, clicked or replied to.';
COMMENT ON COLUMN topo.activity_changes.hot_lead_id IS 'The hot lead, for hot_lead.created.';
COMMENT ON COLUMN topo.activity_changes.calendar_event_id IS 'The meeting, for meeting.created.';
COMMENT ON COLUMN topo.activity_changes.task_id IS 'The task, for task.* events.';
COMMENT ON COLUMN topo.activity_changes.resource_type IS 'MESSAGE, INVITATION, …: as sent, else the first part of type.';
COMMENT ON COLUMN topo.activity_changes.event_type IS 'SENT, REPLIED, …: the second part of type.';
COMMENT ON COLUMN topo.activity_changes.channel IS 'EMAIL, LINKEDIN, MANUAL or what Topo adds; NULL where nothing tells.';
COMMENT ON COLUMN topo.activity_changes.channel_source IS 'How the channel is known: payload, type or unknown.';
COMMENT ON COLUMN topo.activity_changes.step_number IS 'The step of the sequence, where the payload tells.';
COMMENT ON COLUMN topo.activity_changes.reply_category IS 'How Topo classified the reply; NULL until it did.';
COMMENT ON COLUMN topo.activity_changes.payload IS 'The payload''s JSON text as received.';
COMMENT ON COLUMN topo.activity_changes.landed_at IS 'When this version of the activity was landed (UTC).';
COMMENT ON COLUMN topo.activity_changes.load_id IS 'The load that landed this version.';
COMMENT ON COLUMN topo.activity_changes.change IS 'changed (a new version landed) or removed (no longer at the source).';
COMMENT ON COLUMN topo.activity_changes.replaced_by IS 'The load that replaced or removed this version.';
COMMENT ON COLUMN topo.activity_changes.replaced_at IS 'When (UTC).';

CREATE TABLE topo.rejects (
    day DATE NOT NULL,
    raw VARCHAR NOT NULL,
    reason VARCHAR NOT NULL,
    landed_at TIMESTAMP WITH TIME ZONE NOT NULL,
    load_id UUID NOT NULL
);
COMMENT ON TABLE topo.rejects IS 'Rows that could not be read, kept whole; a row is kept once for a day.';
COMMENT ON COLUMN topo.rejects.day IS 'The day whose reading received it.';
COMMENT ON COLUMN topo.rejects.raw IS 'The row''s JSON text as received.';
COMMENT ON COLUMN topo.rejects.reason IS 'Why it could not be read.';
COMMENT ON COLUMN topo.rejects.landed_at IS 'When it was first received (UTC).';
COMMENT ON COLUMN topo.rejects.load_id IS 'The load that first received it.';

CREATE TABLE topo.loads (
    day DATE NOT NULL,
    load_id UUID NOT NULL,
    run_id VARCHAR NOT NULL,
    asked_after TIMESTAMP WITH TIME ZONE NOT NULL,
    asked_before TIMESTAMP WITH TIME ZONE NOT NULL,
    is_open BOOLEAN NOT NULL,
    proved BOOLEAN NOT NULL,
    api_total_count BIGINT NOT NULL,
    rows BIGINT NOT NULL,
    added BIGINT NOT NULL,
    changed BIGINT NOT NULL,
    removed BIGINT NOT NULL,
    requests BIGINT NOT NULL,
    rejects BIGINT NOT NULL,
    started_at TIMESTAMP WITH TIME ZONE NOT NULL,
    finished_at TIMESTAMP WITH TIME ZONE NOT NULL
);
COMMENT ON TABLE topo.loads IS 'The ledger: one row for every load of a day that was committed.';
COMMENT ON COLUMN topo.loads.day IS 'The reporting day.';
COMMENT ON COLUMN topo.loads.load_id IS 'The load.';
COMMENT ON COLUMN topo.loads.run_id IS 'The Dagster run that did it.';
COMMENT ON COLUMN topo.loads.asked_after IS 'The lower bound that the API was asked for, exclusive (UTC).';
COMMENT ON COLUMN topo.loads.asked_before IS 'The upper bound that the API was asked for, exclusive (UTC).';
COMMENT ON COLUMN topo.loads.is_open IS 'Whether the load began before the day was over by five minutes.';
COMMENT ON COLUMN topo.loads.proved IS 'Whether the ids received agree with the API''s own count.';
COMMENT ON COLUMN topo.loads.api_total_count IS 'The API''s count between the bounds asked (not of the day alone).';
COMMENT ON COLUMN topo.loads.rows IS 'Activities of the day after this load.';
COMMENT ON COLUMN topo.loads.added IS 'Activities that were not landed before.';
COMMENT ON COLUMN topo.loads.changed IS 'Activities whose landed version this load replaced.';
COMMENT ON COLUMN topo.loads.removed IS 'Landed activities that were no longer at the source.';
COMMENT ON COLUMN topo.loads.requests IS 'Requests made to the API, retries included.';
COMMENT ON COLUMN topo.loads.rejects IS 'Rows received that could not be read.';
COMMENT ON COLUMN topo.loads.started_at IS 'When the reading began (UTC).';
COMMENT ON COLUMN topo.loads.finished_at IS 'When it was written (UTC).';

CREATE TABLE topo.sequence_templates (
    id UUID NOT NULL,
    name VARCHAR,
    summary VARCHAR,
    status VARCHAR,
    step_count INTEGER,
    language VARCHAR,
    timezone VARCHAR,
    activated_at TIMESTAMP WITH TIME ZONE,
    created_at TIMESTAMP WITH TIME ZONE,
    updated_at TIMESTAMP WITH TIME ZONE,
    seen_at TIMESTAMP WITH TIME ZONE NOT NULL
);
COMMENT ON TABLE topo.sequence_templates IS 'The sequences by name; one that disappears stays as last known.';
COMMENT ON COLUMN topo.sequence_templates.id IS 'The sequence (sequence_template_id elsewhere).';
COMMENT ON COLUMN topo.sequence_templates.name IS 'Its name in Topo; may be NULL.';
COMMENT ON COLUMN topo.sequence_templates.summary IS 'Its summary in Topo.';
COMMENT ON COLUMN topo.sequence_templates.status IS 'PENDING_SETUP, ACTIVE, INACTIVE, FINISHING, ARCHIVED or what Topo adds.';
COMMENT ON COLUMN topo.sequence_templates.step_count IS 'Its number of steps.';
COMMENT ON COLUMN topo.sequence_templates.language IS 'Its language.';
COMMENT ON COLUMN topo.sequence_templates.timezone IS 'Its time zone.';
COMMENT ON COLUMN topo.sequence_templates.activated_at IS 'When it was activated (UTC).';
COMMENT ON COLUMN topo.sequence_templates.created_at IS 'When it was made (UTC).';
COMMENT ON COLUMN topo.sequence_templates.updated_at IS 'When it was last edited (UTC).';
COMMENT ON COLUMN topo.sequence_templates.seen_at IS 'When it was last read (UTC).';
