-- Retention: texts older than TOPO_PAYLOAD_DAYS can be emptied.

ALTER TABLE topo.workspace ADD COLUMN holds_deleted BOOLEAN;
COMMENT ON COLUMN topo.workspace.holds_deleted IS 'Whether texts were emptied whose bytes may still be in the file.';

COMMENT ON COLUMN topo.activities.payload IS 'The payload''s JSON text as received; empty once it is older than TOPO_PAYLOAD_DAYS.';
COMMENT ON COLUMN topo.activity_changes.payload IS 'The payload''s JSON text as received; empty once it is older than TOPO_PAYLOAD_DAYS.';
COMMENT ON COLUMN topo.rejects.raw IS 'The row''s JSON text as received; empty once it is older than TOPO_PAYLOAD_DAYS.';
