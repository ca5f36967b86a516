-- The workspace and reporting time zone of the warehouse: one row, written by the first load.

CREATE TABLE topo.workspace (
    organization_id UUID,
    timezone VARCHAR NOT NULL,
    bound_at TIMESTAMP WITH TIME ZONE NOT NULL
);
COMMENT ON TABLE topo.workspace IS 'The one workspace and reporting time zone that this warehouse is for; another is refused.';
COMMENT ON COLUMN topo.workspace.organization_id IS 'The workspace''s organization; NULL until a key or a payload told.';
COMMENT ON COLUMN topo.workspace.timezone IS 'The reporting time zone in which its days were cut.';
COMMENT ON COLUMN topo.workspace.bound_at IS 'When it was bound (UTC).';
