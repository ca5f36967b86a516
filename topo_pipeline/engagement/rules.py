"""What the metrics take for granted and a company may see otherwise: reply classes, windows, lines of evidence."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Rules:
    """The settings of the metric tables; every field can be used in their SQL as a parameter of its name.

    Attributes:
        positive_replies: reply categories that mean interest.
        not_human_replies: categories of replies that no person wrote; all others are valid, pending ones too.
        reply_window_days: days from the first message within which a run's reply counts (its outcome window).
        message_reply_window_days: days from a message within which a reply to it counts.
        open_window_days: days from an email within which its opens and clicks count.
        acceptance_window_days: days from an invitation within which its acceptance counts.
        instant_open_seconds: an open so soon after its send is a machine's.
        tracking_off_sends: so many emails in 28 days without an open or a click mean that nothing tracks them.
        censored_days: a run without its enrolment whose first activity falls within so many days of the first
            landed day may have begun before it; 0 turns the rule off.
        evidence_small: below so many runs a rate says nothing.
        evidence_usable: from so many runs on a rate can be used, if also
        evidence_events: it rests on so many events.
        quantile_repliers: below so many repliers the hours to a reply have no median.
        anomaly_weeks: a day's messages are held against the same weekday of so many weeks before,
        anomaly_weeks_known: of which so many have to be known.
        anomaly_mads: so many median absolute deviations from their median are an anomaly.
        silent_business_days: without a message for so many days (Monday to Friday) a sequence is silent.
    """

    positive_replies: tuple[str, ...] = ("MEETING", "INTERESTED")
    not_human_replies: tuple[str, ...] = ("OUT_OF_OFFICE", "BOUNCED", "SPAM_FILTER")
    reply_window_days: int = 30
    message_reply_window_days: int = 14
    open_window_days: int = 7
    acceptance_window_days: int = 30
    instant_open_seconds: int = 10
    tracking_off_sends: int = 50
    censored_days: int = 30
    evidence_small: int = 30
    evidence_usable: int = 100
    evidence_events: int = 5
    quantile_repliers: int = 5
    anomaly_weeks: int = 8
    anomaly_weeks_known: int = 4
    anomaly_mads: float = 3.0
    silent_business_days: int = 3


DEFAULT_RULES = Rules()
