"""The terms of the report and what they mean."""

from dataclasses import asdict

from topo_pipeline.engagement.rules import Rules

# By the name of the term's link. In braces: a field of `Rules`.
_TERMS = {
    "contact": (
        "Contact",
        "One person going through one sequence, counted when first messaged or invited. Someone in two sequences"
        " counts twice.",
    ),
    "sent": ("Sent", "Messages and invitations sent."),
    "reply": ("Reply", "A contact's first reply. Automatic replies and bounces don't count."),
    "positive": ("Positive", "Contacts with a reply that shows interest or asks for a meeting."),
    "final": (
        "Final",
        "The share of contacts who replied within {reply_window_days} days, counted only for contacts whose"
        " {reply_window_days} days are over. It changes only if a reply is classified or read later.",
    ),
    "early": (
        "Early read",
        "The reply rate of the contacts of the last 28 days, who still have time to reply. A new contact counts only"
        " in part: by the share of replies that usually have come after that many days. It can still go up or down. In"
        " a holiday, or if replies take longer than usual, it is too low.",
    ),
    "so_far": ("So far", "Replies to date. More can follow, so this is not a rate."),
    "range": (
        "Likely range",
        "Where the rate is likely to be (95%), given the number of contacts. With few contacts it is wide.",
    ),
    "chance": (
        "Likely, very likely",
        "Likely: the chance is at least 80%. Very likely: at least 95%. Not clear: less than 80%.",
    ),
    "evidence": (
        "Few contacts",
        "The rate counts fewer than {evidence_small} contacts, so it says little. It is shown in grey.",
    ),
    "change": (
        "Change",
        "Replies of the last four weeks against the eight weeks before, and against what the other sequences did."
        " Up and down are changes that chance alone rarely brings. Unclear, few contacts: even a fall to half would not"
        " be noticed.",
    ),
    "trend": (
        "Trend",
        "The final reply rate over time, four weeks at a time, where these have at least {evidence_small} contacts."
        " Below the line: its first and last value. All lines have the same scale, from 0%.",
    ),
    "rank": (
        "Order",
        "Active sequences from {evidence_small} contacts on, by their final reply rate since the first day, adjusted"
        " for the number of contacts. The others follow.",
    ),
    "answer": (
        "Answer",
        "A contact with several replies counts once: a meeting before a positive reply, then opt-out, negative,"
        " neutral and not classified, out of office and bounced. Opt-outs and bounces"
        " without a reply are not counted here.",
    ),
    "expected": (
        "Still to come",
        "Expected from the contacts who have been messaged and have not replied, if they reply as others did before. In"
        " a holiday, or after the rates have changed, it can be far off. The range is as wide as past forecasts were"
        " wrong: otherwise it should contain the result 4 times out of 5.",
    ),
}


def glossary(rules: Rules) -> dict[str, tuple[str, str]]:
    """Return the terms of the page and what they mean, by the name of their link."""
    return {name: (term, meaning.format(**asdict(rules))) for name, (term, meaning) in _TERMS.items()}
