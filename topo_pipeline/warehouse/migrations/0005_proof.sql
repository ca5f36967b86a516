-- Results of the completeness proof other than the number of rows.

ALTER TABLE topo.loads ADD COLUMN count_capped BOOLEAN;
UPDATE topo.loads SET count_capped = false;
COMMENT ON COLUMN topo.loads.count_capped IS 'Whether the API counts fewer rows than there are.';

COMMENT ON COLUMN topo.loads.proved IS 'Whether the rows received are those of the day, and all of them, as far as the API shows.';
COMMENT ON COLUMN topo.loads.api_total_count IS 'The API''s count between the bounds asked (not of the day alone); where it is capped, the rows of the proved parts.';
