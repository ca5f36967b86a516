-- Which loads the incremental metric tables have processed. The tables themselves are created by their own .sql files.

CREATE SCHEMA engagement;

CREATE TABLE engagement.builds (
    table_name VARCHAR NOT NULL,
    load_id UUID NOT NULL,
    fingerprint VARCHAR NOT NULL,
    built_at TIMESTAMP WITH TIME ZONE NOT NULL
);
COMMENT ON TABLE engagement.builds IS 'Which loads an incremental table has taken in: it is noted with the rows, never before or after.';
COMMENT ON COLUMN engagement.builds.table_name IS 'The incremental table.';
COMMENT ON COLUMN engagement.builds.load_id IS 'A load it took in.';
COMMENT ON COLUMN engagement.builds.fingerprint IS 'What the table was made by (its SQL and its rules); another one means a rebuild from nothing.';
COMMENT ON COLUMN engagement.builds.built_at IS 'When (UTC).';
