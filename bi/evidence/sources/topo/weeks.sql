SELECT week_start, total_sent, unique_touched, reply_rate_7d_num, reply_rate_7d_den, reply_rate_7d
FROM read_parquet('engagement/workspace_weekly.parquet')
WHERE days_landed = 7
