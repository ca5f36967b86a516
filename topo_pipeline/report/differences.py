"""Why a column may say something else than Topo's own screens: the kinds of columns, and a reason for each."""

from fnmatch import fnmatchcase

# A kind's name, the columns that are of it (the first kind that matches tells), the reason.
DIFFERENCES = (
    (
        "opens",
        "opens* *_opens email_open* *_for_open *_open_at opened_* *click* *look*",
        "Topo's screens count the same opens and clicks. Privacy proxies and mail scanners make many of them; here they"
        " are of emails alone, of the message that they name, and rates take them within a window.",
    ),
    (
        "to date",
        "*_to_date",
        "The nearest to Topo's screens: everything so far, however late. Left-censored runs are left out.",
    ),
    (
        "rate",
        "*_num *_den *_rate *_rate_all *share* *coverage maturity eligible* is_mature change* previous_*"
        " median_* p90_* hours_* replies_per_message messages_per_contacted_run touches_to_reply",
        "Topo's screens show counts. Two of them divided mix runs of different ages: replies of old runs over messages"
        " of new ones. Here a run counts once its window has closed, and only with what came within it: fewer, and"
        " later.",
    ),
    (
        "judgement",
        "*_low *_high *_evidence *_rank signal is_volume_anomaly is_silent tracking_off sent_* anomalies",
        "Topo's screens have no such thing. It is worked out here, by the rules and from what is landed alone.",
    ),
    (
        "answer",
        "repl*_step reply_attribution reply_channel replied_* is_first_reply is_replied_before accepted_*"
        " touches_before_reply runs_reached exits_*",
        "What a reply answers is told by the message that it names, else inferred from channel and time; Topo may go by"
        " what it knows beside the activities.",
    ),
    (
        "unique",
        "unique_* members persons_messaged",
        "Topo's screens count contacts by the same first ever event. Here left-censored runs are left out, and first is"
        " what was first since the first landed day.",
    ),
    (
        "state",
        "active_runs runs* is_paused exit_reason max_stage left_censored run_over_at is_closed days_missing as_of"
        " open_tasks",
        "Topo's screens show how things are now. Here it is told from the landed activities, and a change that left"
        " none is not known.",
    ),
    (
        "count",
        "total_* replies_pending replies_not_human steps_* tasks_* orphans other sends replies invitations* *_sent"
        " pause_count",
        "Topo's screens count the same events, up to now and by their own days. Here they are as of the last reading of"
        " each day in `TOPO_TIMEZONE`; events without a run and those of forgotten people are not in it.",
    ),
    (
        "name",
        "*",
        "Says which row, moment or thing it is, as Topo tells it. Instants are in UTC; a sequence's name and status are"
        " as last read.",
    ),
)


def kind_of(column: str) -> str:
    """The kind that a column is of: a name in `DIFFERENCES`."""
    return next(
        kind for kind, patterns, _ in DIFFERENCES if any(fnmatchcase(column, pattern) for pattern in patterns.split())
    )
