"""What can be said about a sequence, and why it can't be said."""

from collections.abc import Iterator
from datetime import date
from pathlib import Path

import pytest

from topo_pipeline.engagement.rules import Rules
from topo_pipeline_tests.engagement.helpers import Activity, Row, Workspace, march, replied, sent
from topo_pipeline_tests.engagement.oracle import days
from topo_pipeline_tests.engagement.oracle.signals import contacts_needed
from topo_pipeline_tests.engagement.test_reply_timing import contacts

RULES = Rules(reply_window_days=7)
LAST = date(2026, 4, 5)  # a Sunday
# Of 40 contacts each weekday from 2 to 27 March, ten reply on the same day and ten on the next one.
STEADY = [
    activity
    for day in range(2, 28)
    if march(day).weekday() < 5
    for activity in contacts(day, *[0] * 10, *[1] * 10, *[None] * 20)
]


def built(workspace: Workspace, *activities: Activity, last: date = LAST, **landed: list[date]) -> Workspace:
    workspace.rules = RULES
    by_then = [activity for activity in activities if activity.created_at.date() <= last]
    workspace.land_all(by_then, *days(march(1).date(), last), **landed)  # type: ignore[arg-type]
    workspace.build()
    return workspace


def signals(workspace: Workspace, sequence: str | None = "outbound") -> Row:
    [row] = [row for row in workspace.rows_of("sequence_signals", sequence) if row["scope"] == "sequence"]
    return row


FRIDAY = [*contacts(27, *[0] * 5, *[None] * 45, sequence="young")]


def new() -> Iterator[Activity]:
    """Yield three contacts, of whom one has a reply that is not classified, and another one of unknown class."""
    yield from contacts(20, None, None, None, sequence="new")
    first, second = ({"run": f"new 20 {number}", "sequence": "new"} for number in (0, 1))
    yield from (replied(march(21), **first), replied(march(21), category="UNKNOWN", **second))
    yield from (replied(march(22), **first), replied(march(22), **second))


@pytest.fixture(scope="module")
def on_saturday(shared: Workspace) -> Workspace:
    """A sequence with many replies and others with few. Tests must not change it."""
    small = [*contacts(17, *[0] * 29, sequence="small"), *contacts(10, None, sequence="old")]
    nameless = [sent(march(24), "nobody", sequence=None)]
    over = [*contacts(3, *[0] * 90, sequence="over")]
    shared.name("ARCHIVED", over="Over")
    return built(shared, *STEADY, *FRIDAY, *new(), *small, *over, *nameless, last=march(28).date())


def assert_young_contacts_are_worth(worth: float, workspace: Workspace) -> None:
    row = signals(workspace, "young")
    assert (row["early_contacts"], row["early_rate_num"]) == (50, 5)
    assert row["early_rate_den"] == pytest.approx(worth)
    assert row["early_rate"] == pytest.approx(5 / worth)


def test_young_contacts_count_by_the_share_of_replies_that_have_come(workspace: Workspace) -> None:
    """50 contacts of Friday, on Friday: half of the replies have come."""
    assert_young_contacts_are_worth(25, built(workspace, *STEADY, *FRIDAY, last=march(27).date()))


def test_contacts_whose_replies_have_all_come_count_in_full(on_saturday: Workspace) -> None:
    assert_young_contacts_are_worth(50, on_saturday)


def test_replies_that_are_not_classified_are_shown_as_pending(on_saturday: Workspace) -> None:
    row = signals(on_saturday, "new")
    assert (row["early_contacts"], row["early_rate_num"], row["early_pending"]) == (3, 2, 1)


def test_contacts_since_an_unknown_day_are_left_out(workspace: Workspace) -> None:
    """The 25th is unknown. Contacts of the 18th to the 25th have it in their windows, those of nine days don't."""
    row = signals(built(workspace, *STEADY, unproved_days=[march(25).date()]))
    assert (row["early_days_left_out"], row["early_contacts"]) == (8, (7 + 2) * 40)


def test_each_silence_has_its_reason(on_saturday: Workspace) -> None:
    reasons = {
        name: (signals(on_saturday, name)["signal_reason"], signals(on_saturday, name)["rank_reason"])
        for name in ("small", "old", "over", None)
    }
    assert reasons == {
        "small": (
            "needs 30 contacts in the last 4 weeks, where new ones count in part; 29 so far",
            "needs 30 contacts whose 7 days are over; 29 so far",
        ),
        "old": (
            "needs 30 contacts in the last 4 weeks, where new ones count in part; 1 so far",
            "needs 30 contacts whose 7 days are over; 1 so far",
        ),
        "over": ("the status is ARCHIVED",) * 2,
        None: ("activities that name no sequence",) * 2,
    }
    row = signals(on_saturday)
    assert row["signal_reason"] == "needs 60 contacts in the 8 weeks before; 0 so far"
    assert (row["signal"], row["reply_rank"], row["rank_reason"]) == (None, 1, None)
    rows = on_saturday.rows("sequence_signals")
    [there] = [row for row in rows if row["scope"] == "workspace"]
    assert there["signal_reason"] == "no sequence can be compared"
    assert there["reply_rate_den"] == sum(row["reply_rate_den"] for row in rows) / 2


def test_below_sixty_replies_there_is_no_early_read(workspace: Workspace) -> None:
    row = signals(built(workspace, *contacts(24, *[0] * 41)))
    assert (row["early_contacts"], row["early_rate_num"], row["early_rate_den"]) == (41, 41, None)
    assert row["early_reason"] == row["signal_reason"] == "needs 60 replies to know how fast they come; 41 so far"


@pytest.mark.parametrize(
    ("contacts_and_replies", "standing", "chance"),
    [
        pytest.param(((400, 80), (400, 20)), "best", "very_likely", marks=pytest.mark.full),
        (((400, 40), (400, 32)), "best", "likely"),  # a chance of 83%
        (((100, 11), (100, 9)), "leads", "about_even"),
    ],
)
def test_the_first_is_best_only_if_it_is_told_apart(
    workspace: Workspace, contacts_and_replies: tuple[tuple[int, int], ...], standing: str, chance: str
) -> None:
    activities = [
        activity
        for place, (number, replies) in enumerate(contacts_and_replies)
        for activity in contacts(3 + place, *[0] * replies, *[None] * (number - replies), sequence=f"{place}")
    ]
    built(workspace, *activities)
    first, second = signals(workspace, "0"), signals(workspace, "1")
    assert (first["reply_rank"], first["standing"], second["standing"]) == (1, standing, None)
    assert first["chance_above_next"] == second["chance_below_first"] == chance
    assert (first["chance_below_first"], second["chance_above_next"]) == (None, None)
    assert first["contacts_needed_higher"] == contacts_needed(second["reply_rate_num"], second["reply_rate_den"], 2.0)


def test_the_contacts_needed_grow_when_there_are_few_others_to_compare_with() -> None:
    """Against 6%: 152 contacts tell 12% from a rate that is known, 158 from that of 4,000 contacts; 150 are too few."""
    assert contacts_needed(60_000_000, 1_000_000_000, 2.0) == 152
    assert contacts_needed(240, 4_000, 2.0) == 158
    assert contacts_needed(9, 150, 2.0) is None


def test_a_change_is_judged_by_what_was_known_on_monday(workspace: Workspace, tmp_path: Path) -> None:
    """Contacts and replies of the days since Monday are in the early read, and not in the change."""
    later = [*contacts(31, *[0] * 40)]
    row = signals(built(workspace, *STEADY, *later, last=march(32).date()))
    assert row["monday"] == march(30).date()
    assert row["current_contacts"] == row["early_contacts"] - 40 + 40 * sum(march(d).weekday() < 5 for d in range(2, 5))
