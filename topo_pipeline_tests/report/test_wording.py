"""The report's wording of findings and of all sequences together."""

from datetime import date
from typing import Any

import pytest

from topo_pipeline.engagement import sentences
from topo_pipeline.engagement.rules import DEFAULT_RULES
from topo_pipeline.report import headlines, wording
from topo_pipeline.report.findings import KINDS, Finding

CHANGED = {
    "signal": "down", "current_replies": 26, "current_contacts": 640, "current_worth": 500.0, "baseline_replies": 76,
    "baseline_worth": 1000.0, "common_change": 1.1, "monday": date(2026, 11, 23),
}  # fmt: skip
COMPARED = {
    "rate": 0.193, "others_rate": 0.061, "num": 46, "den": 238, "low": 0.148, "high": 0.248, "others_num": 61,
    "others_den": 1000, "signal": None, "early_rate": None,
}  # fmt: skip
EARLY = COMPARED | {
    "signal": "no_clear_change", "early_rate": 0.055, "early_rate_low": 0.015, "early_rate_high": 0.181,
    "early_contacts": 46, "early_last_day": date(2026, 11, 29),
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
    "no_new_contacts": {"last_day": date(2026, 11, 22)},
    "tracking_off": {"sends": 273},
    "all_up": CHANGED | {"common_change": 46 / 38},
    "unusual_volume": {"sent": 22, "day": date(2026, 11, 16), "usual": 49.5, "is_week": True},
}
CLAIMS = {
    "unknown_days": "2 days of the last 30 were not read in full.",
    "all_down": "Fewer replies than usual: 26 so far, in all sequences together, where about 38 were expected.",
    "down": "Replies to “CFOs” have gone down: 26 where about 42 were expected.",
    "silent": "“CFOs” is silent, and 12 contacts are waiting in it.",
    "better": "“CFOs” very likely does better than the others: 19.3% against 6.1%.",
    "worse": "“CFOs” very likely does worse than the others: 2.0% against 6.1%.",
    "up": "Replies to “CFOs” have gone up: 26 where about 42 were expected.",
    "last_step": "The last step of “CFOs” brings almost nothing: 1 reply from 302 contacts.",
    "no_new_contacts": "“CFOs” got no new contact in two weeks.",
    "tracking_off": "Email tracking seems to be off for “CFOs”.",
    "all_up": "More replies than usual: 26 so far, in all sequences together, where about 18 were expected.",
    "unusual_volume": "“CFOs” sent 22 messages in the week 16–22 November 2026, usually about 50.",
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


@pytest.mark.parametrize(
    ("facts", "says"),
    [
        ({}, "Before you add many contacts to it, wait for the final rate of its newest ones on 30 December 2026."),
        ({"early_rate_high": 0.193}, "Add contacts to it first"),
        ({"signal": "down"}, "Find out what changed in the last month before you add contacts"),
        ({"signal": "down", "early_rate_high": 0.3}, "Find out what changed in the last month"),
        ({"signal": "down", "early_rate": None}, "Find out what changed in the last month"),
    ],
)
def test_more_contacts_are_advised_unless_replies_have_gone_down_or_the_early_read_is_clearly_lower(
    facts: dict[str, Any], says: str
) -> None:
    [said] = wording.findings([Finding("better", "an id", EARLY | facts)], {"an id": "CFOs"}, DEFAULT_RULES)
    assert says in said.action
    assert ("Add contacts" in said.action) == (says == "Add contacts to it first")


def test_an_early_read_below_the_final_rate_is_not_called_lower_as_the_best_of_many_rates_are_partly_luck() -> None:
    [said] = wording.findings([Finding("better", "an id", EARLY)], {"an id": "CFOs"}, DEFAULT_RULES)
    assert said.evidence.endswith(
        " Of the others, 61 of 1,000. Early read of its newest 46 contacts: 5.5%, likely range 1.5–18.1%."
    )


def test_the_usual_messages_of_a_week_leave_out_weeks_with_a_holiday_or_an_unread_day() -> None:
    [said] = wording.findings(
        [Finding("unusual_volume", "an id", FACTS["unusual_volume"])], {"an id": "CFOs"}, DEFAULT_RULES
    )
    assert said.evidence == (
        "Usually: the mean of the last four of the eight weeks before it that were read in full and had no day on which"
        " nothing at all was sent."
    )


def test_a_change_of_the_workspace_is_the_findings_claim_or_no_clear_change() -> None:
    row = FACTS["all_down"] | {"signal_reason": None, "comparable_sequences": 8}
    found = [Finding("all_down", None, row)]
    assert wording.change_of_all(row, found, {}, DEFAULT_RULES) == CLAIMS["all_down"]
    calm = row | {"signal": "no_clear_change"}
    assert wording.change_of_all(calm, [], {}, DEFAULT_RULES) == (
        "No clear change: 26 replies so far from the contacts of the last four weeks, where about 38 were expected."
        " This compares 8 sequences together."
    )
    weak = wording.change_of_all(row, [], {}, DEFAULT_RULES)
    assert weak.startswith("Replies may have gone down: 26 replies so far")
    few = row | {"signal": "no_clear_change", "signal_reason": "too few contacts to notice even a halving"}
    unknown = wording.change_of_all(few, [], {}, DEFAULT_RULES)
    assert unknown.startswith("Whether replies have changed is not known: 26 replies so far")
    assert unknown.endswith(" Reason: too few contacts to notice even a halving.")
    alone = wording.change_of_all(calm | {"comparable_sequences": 1}, [], {}, DEFAULT_RULES)
    assert alone.endswith(" This compares 1 sequence.")
    unjudged = row | {"signal": None, "signal_reason": "no sequence can be compared"}
    assert wording.change_of_all(unjudged, [], {}, DEFAULT_RULES) == (
        "Whether replies have changed is not known: no sequence can be compared."
    )


def test_without_a_complete_week_the_page_says_when_the_first_will_be() -> None:
    said = wording.not_yet({"first_day": date(2026, 9, 24)}, 30)
    assert "21–27 September 2026" in said
    assert "final on 28 October 2026 at the earliest" in said
    assert wording.next_final(date(2026, 9, 14), 30, as_of=date(2026, 10, 26)) == (
        "The next week that is not due yet, 21–27 September 2026, is final on 28 October 2026 at the earliest."
    )


def test_more_contacts_touched_than_enrolled_leave_the_enrolments_out() -> None:
    row = {"found": 4, "touched": 5, "replies": 3, "positive": 2, "meetings": 1}
    assert wording.stages([row]) == [
        ("Messaged or invited", 5), ("Replied", 3), ("Replied positively", 2), ("Booked a meeting", 1),
    ]  # fmt: skip
    assert wording.stages([row, row | {"found": 6}])[0] == ("Enrolled", 10)


def test_the_trends_name_the_days_that_they_cover_from_the_four_weeks_of_their_first_point_on() -> None:
    weeks = [{"newest": date(2026, 10, 19), "weeks_ago": ago} for ago in (3, 12, 0)]
    assert wording.trend_days(weeks) == "6 Jul – 25 Oct"
    assert wording.trend_days([]) == ""


def test_an_early_read_and_a_forecast_name_their_condition_as_a_holiday_breaks_it() -> None:
    row = {
        "early_rate": 0.04, "early_rate_low": 0.036, "early_rate_high": 0.044, "early_rate_num": 363,
        "early_contacts": 9_949, "early_first_day": date(2026, 11, 2), "early_last_day": date(2026, 11, 29),
    }  # fmt: skip
    assert headlines.early(row).endswith(
        " so far. The early read allows for the replies still to come, if they come as fast as usual."
    )
    expected = {
        "outcome": "meeting",
        "horizon_days": 7,
        "expected": 31.0,
        "expected_low": None,
        "reason": "no range yet",
    }
    assert sentences.forecast([expected]) == (
        "Meetings from contacts already messaged or invited, if they reply as others did before: about 31 in the next 7"
        " days (no range yet)."
    )


def test_a_week_that_is_due_already_and_is_not_final_is_not_the_next_one() -> None:
    """It had no contact, or a day was not read. The report of 28 October has the data of the 27th."""
    due = (
        "The next week that is not due yet, 28 September – 4 October 2026, is final on 4 November 2026 at the earliest."
    )
    assert wording.next_final(date(2026, 9, 14), 30, as_of=date(2026, 10, 27)) == due
