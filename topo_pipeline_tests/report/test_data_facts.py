"""What the report says about its data."""

from datetime import date

from topo_pipeline.report.data_facts import facts

GOOD = dict(
    first_day=date(2026, 9, 24), last_day=date(2026, 11, 22), last_known_day=date(2026, 11, 22),
    last_due_day=date(2026, 11, 22), days_missing=0, days_behind=0,
    unproved=[], not_built=[], unreadable=0, as_of=date(2026, 11, 22), cohort_days_left_out=0,
    runs=200, left_censored=0, start_uncertain=0, touches_without_sequence=0, pending=0, replies=12,
)  # fmt: skip


def test_only_data_quality_problems_are_marked() -> None:
    assert all(fact.ok for fact in facts(GOOD))
    days = [date(2026, 11, day) for day in (9, 8, 7, 6, 5, 4, 3)]
    bad = GOOD | dict(
        days_missing=2, unproved=days, not_built=days[1::-1], unreadable=3, as_of=date(2026, 11, 20),
        cohort_days_left_out=33, left_censored=20, start_uncertain=3, touches_without_sequence=12, pending=5,
    )  # fmt: skip
    assert {fact.text for fact in facts(bad) if not fact.ok} == {
        "2 days not in the tables yet: Mon 9 Nov and Sun 8 Nov",
        "2 days missing since 24 September 2026",
        "7 days not proved complete: Mon 9 Nov, Sun 8 Nov, Sat 7 Nov, Fri 6 Nov, Thu 5 Nov and 2 others",
        "Contacts of 33 days are in no rate: a day in their time to reply was not read in full",
        "3 rows could not be read",
    }
    assert {fact.text for fact in facts(bad) if fact.ok} == {
        "As of the end of 20 November 2026",
        "5 of 12 replies not classified yet",
        "10.0% of all contacts may have begun before the first day that was read: they are in no reply rate",
        "1.5% of all contacts may have begun on a day that was not read in full: they are in no reply rate",
        "12 messages and invitations without a sequence: in totals, not in the list of sequences",
    }


def test_days_that_were_due_and_not_read_are_counted_and_a_single_one_is_named() -> None:
    old = GOOD | dict(last_due_day=date(2027, 1, 24), days_behind=63)
    assert [fact.text for fact in facts(old) if not fact.ok] == ["63 days up to 24 January 2027 were not read"]
    assert not [fact for fact in facts(old) if fact.text.startswith("Every day since")]
    refused = GOOD | dict(last_due_day=date(2026, 11, 23), days_behind=1)
    assert [fact.text for fact in facts(refused) if not fact.ok] == ["23 November 2026 was not read"]


def test_a_proved_day_without_any_sequence_is_not_said_to_be_unproved() -> None:
    said = [fact.text for fact in facts(GOOD | dict(as_of=None))]
    assert "As of the end of 22 November 2026" in said
    unread = GOOD | dict(as_of=None, last_known_day=None)
    assert "No day is both over and proved complete yet" in [fact.text for fact in facts(unread) if not fact.ok]
