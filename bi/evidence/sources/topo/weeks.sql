SELECT week_start, unique_touched, reply_rate_7d
FROM read_parquet('engagement/workspace_weekly.parquet')
WHERE days_landed = 7
