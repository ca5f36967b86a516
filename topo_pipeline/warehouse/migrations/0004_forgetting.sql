-- Erased subjects, and channels that are known only from the API's filter.

CREATE TABLE topo.forgotten (
    id_hash VARCHAR NOT NULL,
    forgotten_at TIMESTAMP WITH TIME ZONE NOT NULL
);
COMMENT ON TABLE topo.forgotten IS 'Who is not landed again: hashes of the ids of forgotten people and of their runs.';
COMMENT ON COLUMN topo.forgotten.id_hash IS 'SHA-256 of the id, keyed with topo.workspace.hash_key.';
COMMENT ON COLUMN topo.forgotten.forgotten_at IS 'When (UTC).';

ALTER TABLE topo.workspace ADD COLUMN hash_key VARCHAR;
COMMENT ON COLUMN topo.workspace.hash_key IS 'The key of the hashes in topo.forgotten, drawn at random; NULL until somebody is forgotten.';

ALTER TABLE topo.loads ADD COLUMN suppressed BIGINT DEFAULT 0;
COMMENT ON COLUMN topo.loads.suppressed IS 'Rows received, or landed once, that are about forgotten people: counted, not kept.';
COMMENT ON COLUMN topo.loads.rejects IS 'Rows received that could not be read; those that were erased since, too.';
COMMENT ON COLUMN topo.loads.rows IS 'Activities of the day after this load; of its last load: after somebody was forgotten, too.';

COMMENT ON COLUMN topo.activities.channel_source IS 'How the channel is known: payload, type, filter (Topo''s own channel filter told) or unknown.';
COMMENT ON COLUMN topo.activity_changes.channel_source IS 'How the channel is known: payload, type, filter (Topo''s own channel filter told) or unknown.';
