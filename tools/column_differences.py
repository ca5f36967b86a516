"""Why a column can differ from Topo's own screens: the kinds of columns, and a reason for each."""

from fnmatch import fnmatchcase

# Name of the kind, patterns of its columns (the first kind that matches counts), reason.
DIFFERENCES = (
    (
        "judgement",
        "*_low *_high *_evidence *_rank *signal signal_* is_volume_anomaly is_silent tracking_off sent_* anomalies"
        " outcome* start_uncertain replied_before_message cohort_days_left_out contacted_in_time completed_in_time"
        " stopped_in_time left_out_* early_contacts early_pending early_*_day early_days_* current_contacts"
        " current_replies baseline_contacts baseline_replies *_worth change_* common_change variation"
        " comparable_sequences"
        " halving_noticeable rank_reason reason *_shrunken *_added standing chance_* contacts_counted contacts_needed_*"
        " expected past_* spread in_flight rate runs_by_age runs_of_* is_pooled phi threshold not_judged",
        "Not on Topo's screens. Calculated here from the rules and the landed data.",
    ),
    (
        "opens",
        "opens* *_opens email_open* *_for_open *_open_at opened_* *click* *look*",
        "Topo's screens count the same opens and clicks, many of them by privacy proxies and mail scanners. Here rates"
        " cover emails only and count what happened within a window. Each open or click belongs to the message that it"
        " names.",
    ),
    (
        "to date",
        "*_to_date",
        "Closest to Topo's screens: everything so far, however late. Excludes left-censored runs.",
    ),
    (
        "rate",
        "*_num *_den *_rate *_rate_all *_rate_*d *share* *coverage maturity eligible* is_mature windows_closed"
        " median_* p90_* hours_* replies_per_message messages_per_* contacts_per_meeting touches_to_reply",
        "Topo's screens show counts. Dividing one by another mixes runs of different ages: replies from old runs by"
        " messages to new ones. Here a run counts once its window has closed, and only with events inside the window."
        " The numbers are lower and appear later.",
    ),
    (
        "answer",
        "repl*_step reply_attribution reply_channel replied_* is_first_* is_replied_before accepted_*"
        " touches_before_reply runs_reached exits_* positive_replies opt_outs",
        "Here a reply answers the message that it names. If it names none, the message is inferred from channel and"
        " time. Topo may use information that is not in the activities.",
    ),
    (
        "unique",
        "unique_* members persons*",
        "Topo's screens also count contacts by their first such event ever. Here first means first since the first"
        " landed day, and left-censored runs are excluded.",
    ),
    (
        "state",
        "active_runs runs* is_paused exit_reason max_stage left_censored run_over_at is_closed is_known days_landed"
        " days_unknown days_silent weeks_before full_weeks as_of open_tasks is_open_task",
        "Topo's screens show the current state. Here the state is derived from the landed activities, so a change"
        " without an activity is missing.",
    ),
    (
        "count",
        "total_* replies_* steps_* tasks_* orphans other sends replies invitations* *_sent pause_count",
        "Topo's screens count the same events up to now, by their own days. Here the counts are as of the latest load"
        " of each day in `TOPO_TIMEZONE`. Events without a run and events of erased people are not counted.",
    ),
    (
        "name",
        "*",
        "An identifier, a time or a label from Topo. Times are in UTC. The name and status of a sequence are as of the"
        " last time they were read.",
    ),
)


def kind_of(column: str) -> str:
    """Return the kind of a column, a name in `DIFFERENCES`."""
    return next(
        kind for kind, patterns, _ in DIFFERENCES if any(fnmatchcase(column, pattern) for pattern in patterns.split())
    )
