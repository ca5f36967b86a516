SELECT
    reply_rank, sequence_name, unique_touched, eligible, reply_rate_num, reply_rate_den, reply_rate, reply_rate_low,
    reply_rate_high, reply_rate_evidence
FROM read_parquet('engagement/sequence_summary.parquet')
WHERE period = 'lifetime' AND sequence_template_id IS NOT NULL
