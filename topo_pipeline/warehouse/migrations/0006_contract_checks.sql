-- Results of contract checks of Topo's API, so that a later check can be compared with an earlier one.

CREATE TABLE topo.contract_checks (
    checked_at TIMESTAMP WITH TIME ZONE NOT NULL,
    assumption VARCHAR NOT NULL,
    outcome VARCHAR NOT NULL,
    seen VARCHAR NOT NULL,
    consequence VARCHAR NOT NULL,
    refuses_days BOOLEAN NOT NULL
);
COMMENT ON TABLE topo.contract_checks IS 'The contract checks: what topo-pipeline assumes about Topo''s API, one row for each assumption and check.';
COMMENT ON COLUMN topo.contract_checks.checked_at IS 'When Topo was asked (UTC); one instant for all rows of a check.';
COMMENT ON COLUMN topo.contract_checks.assumption IS 'What is assumed.';
COMMENT ON COLUMN topo.contract_checks.outcome IS 'holds, differs or unknown.';
COMMENT ON COLUMN topo.contract_checks.seen IS 'What was seen; nothing of the workspace, such as ids, names or numbers of activities.';
COMMENT ON COLUMN topo.contract_checks.consequence IS 'What topo-pipeline does about it.';
COMMENT ON COLUMN topo.contract_checks.refuses_days IS 'Whether days are refused because of it.';
