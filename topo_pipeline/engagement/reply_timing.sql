{% from 'horizon.jinja' import horizon, quarters, unknown_in %}
{% from 'timing.jinja' import curve_needs, curves, learning_days, timed_outcomes, touches, weekday_needs %}
-- Grain: outcome, weekday, age_days
WITH {{ horizon() }}, {{ quarters() }}, {{ unknown_in({'later': '$reply_window_days'}) }},
{{ touches('last_known_day - $reply_window_days::INTEGER - ' ~ (learning_days + 2), timed_outcomes) }}, moments AS (
    SELECT as_of, last_known_day AS known_day FROM horizon WHERE as_of IS NOT NULL
), {{ curves(timed_outcomes) }}
SELECT
    outcome,
    weekday,
    age_days,
    runs_by_age,
    runs_of_weekday,
    runs_of_all,
    is_pooled,
    share,
    first_day,
    last_day,
    CASE
        {% for outcome in timed_outcomes %}
        WHEN share IS NULL AND outcome = '{{ outcome.name }}'
            THEN format('needs {{ curve_needs }} {{ outcome.plural }}; {} so far', runs_of_all)
        {% endfor %}
        END AS reason
FROM curves;

COMMENT ON TABLE engagement.reply_timing IS 'How fast replies and meetings come: one row per outcome, weekday of the first message or invitation and age in days. Learned from the runs of the last 26 weeks whose outcome windows have closed, over all sequences. Early reads, signals and forecasts use it. Example: contacts first touched on a Monday have a share of 0.60 at age 3 when 6 of 10 of their replies have come by the end of Thursday.';
COMMENT ON COLUMN engagement.reply_timing.outcome IS 'valid_reply (the first reply that is neither automatic nor a bounce), positive_reply (the first positive reply) or meeting (the first meeting booking), each at most $reply_window_days days after the first message or invitation (rule reply_window_days).';
COMMENT ON COLUMN engagement.reply_timing.weekday IS 'Weekday of the first message or invitation: 1 (Monday) to 7 (Sunday).';
COMMENT ON COLUMN engagement.reply_timing.age_days IS 'Calendar days since the first message or invitation. 0 is the same day.';
COMMENT ON COLUMN engagement.reply_timing.runs_by_age IS 'Runs that started on this weekday and had the outcome at most age_days days later.';
COMMENT ON COLUMN engagement.reply_timing.runs_of_weekday IS 'Runs that started on this weekday and had the outcome in their window.';
COMMENT ON COLUMN engagement.reply_timing.runs_of_all IS 'The same over all weekdays.';
COMMENT ON COLUMN engagement.reply_timing.is_pooled IS 'TRUE when runs_of_weekday is below {{ weekday_needs }}. share is then that of all weekdays together.';
COMMENT ON COLUMN engagement.reply_timing.share IS 'Share of the outcomes that have come by this age, from 0 to 1, with nine decimals. NULL when runs_of_all is below {{ curve_needs }}.';
COMMENT ON COLUMN engagement.reply_timing.first_day IS 'First day of first messages and invitations that the curve is learned from.';
COMMENT ON COLUMN engagement.reply_timing.last_day IS 'Last such day: the last one whose outcome windows have all closed. Days with an unknown day in their windows are left out.';
COMMENT ON COLUMN engagement.reply_timing.reason IS 'Why share is NULL. NULL when it is not.';
