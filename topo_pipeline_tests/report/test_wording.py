"""The report's wording of numbers, days, findings and data quality."""

from datetime import date

import pytest

from topo_pipeline.engagement.rules import DEFAULT_RULES
from topo_pipeline.report import wording
from topo_pipeline.report.findings import KINDS, Finding

GOOD = dict(
    first_day=date(2026, 9, 24), last_day=date(2026, 11, 22), last_known_day=date(2026, 11, 22), days_missing=0,
    unproved=[], unreadable=0, as_of=date(2026, 11, 22), cohort_days_left_out=0,
    runs=200, left_censored=0, start_uncertain=0, touches_without_sequence=0, pending=0, replies=12,
)  # fmt: skip
CHANGED = {
    "signal": "down", "current_replies": 26, "current_contacts": 640, "current_worth": 500.0, "baseline_replies": 76,
    "baseline_worth": 1000.0, "common_change": 1.1, "monday": date(2026, 11, 23),
}  # fmt: skip
COMPARED = {
    "rate": 0.193, "others_rate": 0.061, "num": 46, "den": 238, "low": 0.148, "high": 0.248, "others_num": 61,
    "others_den": 1000,
}  # fmt: skip
FACTS = {
    "unknown_days": {"days": 2, "first_day": date(2026, 11, 3), "last_day": date(2026, 11, 9)},
    "all_down": CHANGED | {"common_change": 46 / 58},
    "down": CHANGED,
    "silent": {"waiting": 12, "last_day": date(2026, 11, 16)},
    "better": COMPARED,
    "worse": COMPARED | {"rate": 0.02},
    "up": CHANGED,
    "last_step": {"step": 5, "num": 1, "den": 302, "earlier_num": 61, "earlier_den": 1200},
    "few_contacts": {"touched": 0, "last_day": date(2026, 11, 22)},
    "tracking_off": {"sends": 273},
    "all_up": CHANGED | {"common_change": 46 / 38},
    "unusual_volume": {"sent": 22, "day": date(2026, 11, 16), "usual": 49.5, "is_week": True},
}
CLAIMS = {
    "unknown_days": "2 days of the last 30 were not read in full.",
    "all_down": "Replies in all sequences together have gone down: 26 where about 38 were expected.",
    "down": "Replies to CFOs have gone down: 26 where about 42 were expected.",
    "silent": "CFOs is silent, and 12 contacts are waiting in it.",
    "better": "CFOs very likely does better than the others: 19.3% against 6.1%.",
    "worse": "CFOs very likely does worse than the others: 2.0% against 6.1%.",
    "up": "Replies to CFOs have gone up: 26 where about 42 were expected.",
    "last_step": "The last step of CFOs brings almost nothing: 1 reply from 302 contacts.",
    "few_contacts": "CFOs got no new contact in two weeks.",
    "tracking_off": "Email tracking is off for CFOs.",
    "all_up": "Replies in all sequences together have gone up: 26 where about 18 were expected.",
    "unusual_volume": "CFOs sent 22 messages in the week 16–22 November 2026, usually about 50.",
}


def test_every_kind_of_finding_has_a_claim_evidence_and_something_to_do() -> None:
    assert list(FACTS) == list(KINDS)
    of_all = {"unknown_days", "all_down", "all_up"}
    found = [Finding(kind, None if kind in of_all else "an id", facts) for kind, facts in FACTS.items()]
    said = wording.findings(found, {"an id": "CFOs"}, DEFAULT_RULES)
    assert {f.kind: s.claim.translate({0x2068: "", 0x2069: ""}) for f, s in zip(found, said, strict=True)} == CLAIMS
    assert all(each.evidence.endswith(".") and len(each.action) > 10 for each in said)
    assert [each.sequence_id for each in said] == [each.sequence_id for each in found]


def test_a_day_without_messages_is_named_and_a_holiday_is_of_all_sequences() -> None:
    facts = {"sent": 0, "day": date(2026, 11, 23), "usual": 9.6, "is_week": False}
    found = [Finding("unusual_volume", "an id", facts), Finding("unusual_volume", None, facts)]
    one, everyone = wording.findings(found, {"an id": "CFOs"}, DEFAULT_RULES)
    assert one.claim.endswith(" sent nothing on Mon 23 Nov, usually about 10.")
    assert everyone.claim == "All sequences together sent nothing on Mon 23 Nov, usually about 10."


def test_the_evidence_of_a_comparison_has_both_counts_and_the_range() -> None:
    [said] = wording.findings([Finding("better", "an id", COMPARED)], {"an id": "CFOs"}, DEFAULT_RULES)
    assert said.evidence == (
        "46 of 238 contacts replied within 30 days, likely range 14.8–24.8%. Of the others, 61 of 1,000."
    )


def test_a_change_of_the_workspace_is_the_findings_claim_or_no_clear_change() -> None:
    row = FACTS["all_down"] | {"signal_reason": None, "comparable_sequences": 8}
    found = [Finding("all_down", None, row)]
    assert wording.change_of_all(row, found, {}, DEFAULT_RULES) == CLAIMS["all_down"]
    assert wording.change_of_all(row, [], {}, DEFAULT_RULES) == (
        "No clear change. The contacts of the last four weeks sent 26 replies so far, where about 38 were expected, in"
        " the 8 sequences that can be judged."
    )
    unjudged = row | {"signal": None, "signal_reason": "no sequence can be compared"}
    assert wording.change_of_all(unjudged, [], {}, DEFAULT_RULES) == "Not judged: no sequence can be compared."


def test_without_a_complete_week_the_page_says_when_the_first_will_be() -> None:
    said = wording.not_yet(GOOD, 30)
    assert "21–27 September 2026" in said
    assert "final on 28 October 2026 at the earliest" in said
    assert wording.next_final(date(2026, 9, 14), 30) == (
        "The next week, 21–27 September 2026, is final on 28 October 2026."
    )


def test_only_data_quality_problems_are_marked() -> None:
    assert all(fact.ok for fact in wording.facts(GOOD))
    days = [date(2026, 11, day) for day in (9, 8, 7, 6, 5, 4, 3)]
    bad = GOOD | dict(
        days_missing=2, unproved=days, unreadable=3, as_of=date(2026, 11, 20), cohort_days_left_out=33,
        left_censored=20, start_uncertain=3, touches_without_sequence=12, pending=5,
    )  # fmt: skip
    assert {fact.text for fact in wording.facts(bad) if not fact.ok} == {
        "Days up to 22 November 2026 have landed, but are not in the tables yet",
        "2 days missing since 24 September 2026",
        "7 days not proved complete: Mon 9 Nov, Sun 8 Nov, Sat 7 Nov, Fri 6 Nov, Thu 5 Nov and 2 others",
        "Contacts of 33 days are in no rate: a day in their time to reply was not read in full",
        "3 rows could not be read",
    }
    assert {fact.text for fact in wording.facts(bad) if fact.ok} == {
        "As of the end of 20 November 2026",
        "5 of 12 replies not classified yet",
        "10.0% of all contacts may have begun before the first landed day: only their messages count",
        "1.5% of all contacts may have been touched first on a day that was not read in full: only their messages"
        " count",
        "12 messages and invitations without a sequence: in totals, not in the list of sequences",
    }


@pytest.mark.parametrize(
    ("monday", "said"),
    [
        (date(2026, 10, 12), "12–18 October 2026"),
        (date(2026, 9, 28), "28 September – 4 October 2026"),
        (date(2026, 12, 28), "28 December 2026 – 3 January 2027"),
    ],
)
def test_a_week_is_named_by_its_days(monday: date, said: str) -> None:
    assert wording.week(monday) == said


def test_a_single_day_is_no_period() -> None:
    assert wording.days(date(2026, 3, 1), date(2026, 3, 1)) == "1 March 2026"


@pytest.mark.parametrize(
    ("difference", "said"), [(0.0093, "+0.9"), (-0.0273, "−2.7"), (0.0004, "0.0"), (-0.0004, "0.0")]
)
def test_a_difference_is_signed_unless_it_rounds_to_zero(difference: float, said: str) -> None:
    assert wording.points(difference) == said


def test_more_contacts_touched_than_enrolled_leave_the_enrolments_out() -> None:
    row = {"found": 4, "touched": 5, "replies": 3, "positive": 2, "meetings": 1}
    assert wording.stages([row]) == [
        ("Messaged or invited", 5), ("Replied", 3), ("Replied positively", 2), ("Booked a meeting", 1),
    ]  # fmt: skip
    assert wording.stages([row, row | {"found": 6}])[0] == ("Enrolled", 10)


@pytest.mark.parametrize(
    ("name", "label"),
    [
        ("Outbound", "Outbound"),
        ("two\nlines\tand\x07a bell\u2028end", "two lines and a bell end"),
        (" \n ", "an id"),
        (None, "an id"),
        ("\u202eright to left", "right to left"),
        ("x" * 10_000, "x" * 119 + "…"),
        ("👨\u200d👩\u200d👧 family", "👨\u200d👩\u200d👧 family"),
    ],
)
def test_a_sequence_label_is_its_name_on_one_line_or_its_id(name: str | None, label: str) -> None:
    assert wording.label(name, "an id") == label
