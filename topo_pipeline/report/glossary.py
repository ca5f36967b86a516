"""The terms of the report and what they mean."""

from topo_pipeline.engagement.rules import Rules


def glossary(rules: Rules) -> dict[str, tuple[str, str]]:
    """Return the terms of the page and what they mean, by the name of their link."""
    window = rules.reply_window_days
    return {
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
            f"The share of contacts who replied within {window} days, counted only for contacts whose {window} days are"
            " over. It doesn't change any more.",
        ),
        "early": (
            "Early read",
            "The reply rate of the contacts of the last 28 days, whose time to reply is not over. Each counts"
            " by the part of the replies that have usually come at its age. It is a first impression.",
        ),
        "answer": (
            "Answer",
            "A contact with several replies counts once: a meeting before a positive reply, then opt-out, negative,"
            " neutral and not classified, out of office and bounced. Not every opt-out and bounce is a reply, so there"
            " can be more of them. Answers that nobody gave are left out.",
        ),
        "so_far": ("So far", "Replies to date. More can follow, so this is not a rate."),
        "range": (
            "Likely range",
            "Where the rate is likely to be (95%), given the number of contacts. With few contacts it is wide.",
        ),
        "evidence": (
            "Evidence",
            f"Solid: at least {rules.evidence_usable} contacts and {rules.evidence_events} replies. Rough: at least"
            f" {rules.evidence_small} contacts. Few: fewer than that, shown in grey.",
        ),
        "change": (
            "Change",
            "Replies of the last four weeks against the eight weeks before, and against what the other sequences did."
            " Up and down are beyond chance. Too few means that even a halving would not be noticed.",
        ),
        "rank": (
            "Order",
            f"Active sequences from {rules.evidence_small} contacts on, by their final reply rate since the first day,"
            " adjusted for the number of contacts. The others follow.",
        ),
        "expected": (
            "Still to come",
            "Expected from the contacts who have been messaged and have not replied. The range is as wide as past"
            " forecasts were wrong: it should contain the result 4 times out of 5.",
        ),
    }
