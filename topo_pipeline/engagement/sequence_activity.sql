{% from 'counts.jinja' import event_comments, reply_counts, totals %}
{% from 'runs.jinja' import channel_group, channels, reply_class %}
{# Counted here only. #}
{% set others = [
    {'name': 'runs_completed', 'type': 'sequence.completed', 'text': 'Sequence runs that reached the end of the sequence.'},
    {'name': 'runs_stopped', 'type': 'sequence.stopped', 'text': 'Runs that were stopped.'},
    {'name': 'runs_paused', 'type': 'sequence.paused', 'text': 'Times that a run was paused.'},
    {'name': 'runs_resumed', 'type': 'sequence.resumed', 'text': 'Times that a run was resumed.'},
    {'name': 'steps_completed', 'type': 'sequence_step.completed', 'text': 'Steps completed.'},
    {'name': 'steps_skipped', 'type': 'sequence_step.skipped', 'text': 'Steps skipped.'},
    {'name': 'tasks_created', 'type': 'task.created', 'text': 'Tasks created.'},
    {'name': 'tasks_completed', 'type': 'task.completed', 'text': 'Tasks completed.'},
    {'name': 'tasks_skipped', 'type': 'task.skipped', 'text': 'Tasks skipped.'},
] %}
{% set counts = totals + reply_counts + [{'name': 'replies_not_human', 'is': 'NOT is_valid'}] + others %}
-- Grain: sequence_template_id, sequence_id, channel, day
-- The rows of a day depend on that day's activities alone. Which sequence a run without one belongs to can depend on
-- other days, so such rows name their run.
CREATE TABLE IF NOT EXISTS engagement.sequence_activity (
    sequence_template_id UUID,
    sequence_id UUID,
    channel VARCHAR,
    day DATE,
    {% for count in counts %}
    {{ count.name }} BIGINT,
    {% endfor %}
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
        CASE WHEN sequence_id IS NOT NULL THEN {{ reply_class() }} END AS class,
        class NOT IN ('out_of_office', 'bounced') AS is_valid
    FROM topo.activities
    WHERE day IN (SELECT unnest($days::DATE[]))
)
SELECT
    sequence_template_id,
    CASE WHEN sequence_template_id IS NULL THEN sequence_id END,
    {{ channel_group() }},
    day,
    {% for count in counts %}
    count(*) FILTER ({{ count.is if 'is' in count else "event = '" ~ count.type ~ "'" }}),
    {% endfor %}
    count(DISTINCT person_id) FILTER (event = 'message.sent'),
    count(*) FILTER (event IS NULL),
    count(*) FILTER (event NOT IN ('{{ counts | selectattr('type', 'defined') | map(attribute='type') | join("', '") }}'))
FROM events
GROUP BY ALL;

INSERT INTO engagement.builds
SELECT 'sequence_activity', load_id, $fingerprint, $now
FROM landed_days
WHERE day IN (SELECT unnest($days::DATE[]))
    AND load_id NOT IN (SELECT load_id FROM engagement.builds WHERE table_name = 'sequence_activity');

COMMENT ON TABLE engagement.sequence_activity IS 'One row per sequence, channel and day: the activities of the day, counted. Built from the activities of that day alone. Every count can be summed over days, channels and sequences, except persons_messaged.';
COMMENT ON COLUMN engagement.sequence_activity.sequence_template_id IS 'Id of the sequence. NULL when the activities name none.';
COMMENT ON COLUMN engagement.sequence_activity.sequence_id IS 'Where sequence_template_id is NULL: id of the run, by which sequence_daily finds the sequence. NULL when sequence_template_id is known or the activities name no run.';
COMMENT ON COLUMN engagement.sequence_activity.channel IS '{{ channels }}';
COMMENT ON COLUMN engagement.sequence_activity.day IS 'The reporting day.';
{{ event_comments('engagement.sequence_activity', 'on the day') }}
COMMENT ON COLUMN engagement.sequence_activity.replies_not_human IS 'Replies that no person wrote: replies_out_of_office plus replies_bounced.';
{% for count in others %}
COMMENT ON COLUMN engagement.sequence_activity.{{ count.name }} IS '{{ count.text }}';
{% endfor %}
COMMENT ON COLUMN engagement.sequence_activity.persons_messaged IS 'Distinct contacts who were sent a message. Cannot be summed over days, channels or sequences.';
COMMENT ON COLUMN engagement.sequence_activity.orphans IS 'Activities that name no run. They are in no other column.';
COMMENT ON COLUMN engagement.sequence_activity.other IS 'Activities of a run whose type is in no other column, such as a type that Topo has added.';
