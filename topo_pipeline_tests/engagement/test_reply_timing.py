"""How fast replies come: shares by weekday and age, from enough replies in closed windows."""

from collections.abc import Iterator
from datetime import date, timedelta

import pytest

from topo_pipeline.engagement.rules import Rules
from topo_pipeline_tests.engagement.helpers import Activity, Row, Workspace, enrolled, march, replied, sent
from topo_pipeline_tests.engagement.oracle import days

RULES = Rules(reply_window_days=7)
LAST = date(2026, 3, 20)


def contacts(day: int, *waits: int | None, sequence: str = "outbound") -> Iterator[Activity]:
    """Yield contacts that are touched on a day of March and reply after so many days; None does not reply."""
    for number, wait in enumerate(waits):
        run = f"{sequence} {day} {number}"
        yield enrolled(march(day, 8), run, sequence=sequence)
        yield sent(march(day), run, sequence=sequence)
        if wait is not None:
            yield replied(march(day, 12) + timedelta(days=wait), run, sequence=sequence, category="NOT_INTERESTED")


def shares(workspace: Workspace, weekday: int, outcome: str = "valid_reply") -> dict[int, Row]:
    rows = [row for row in workspace.rows("reply_timing") if (row["outcome"], row["weekday"]) == (outcome, weekday)]
    return {row["age_days"]: row for row in sorted(rows, key=lambda row: row["age_days"])}


def built(workspace: Workspace, *activities: Activity, unproved: int | None = None) -> Workspace:
    workspace.rules = RULES
    unproved_days = [] if unproved is None else [march(unproved).date()]
    workspace.land_all(activities, *days(march(1).date(), LAST), unproved_days=unproved_days)
    workspace.build("sequence_runs", "reply_timing")
    return workspace


MONDAY = [*contacts(2, *[0] * 10, *[1] * 30, *[3] * 11, *[None] * 40)]
TUESDAY = [*contacts(3, *[6] * 9)]


def test_a_share_is_of_the_replies_of_the_weekday_that_have_come_by_an_age(workspace: Workspace) -> None:
    monday = shares(built(workspace, *MONDAY, *TUESDAY), 1)
    assert [row["runs_by_age"] for row in monday.values()] == [10, 40, 40, 51, 51, 51, 51, 51]
    assert [monday[age]["share"] for age in (0, 1, 3)] == pytest.approx([10 / 51, 40 / 51, 1], abs=1e-9)
    assert {row["is_pooled"] for row in monday.values()} == {False}
    assert {row["reason"] for row in monday.values()} == {None}
    assert (monday[0]["first_day"], monday[0]["last_day"]) == (march(13).date() - timedelta(days=181), march(13).date())


def test_a_weekday_with_few_replies_has_the_shares_of_all(workspace: Workspace) -> None:
    tuesday = shares(built(workspace, *MONDAY, *TUESDAY), 2)
    assert [row["runs_by_age"] for row in tuesday.values()] == [0] * 6 + [9, 9]
    assert tuesday[0]["is_pooled"]
    assert [tuesday[age]["share"] for age in (0, 3, 6)] == pytest.approx([10 / 60, 51 / 60, 1], abs=1e-9)


def test_below_sixty_replies_there_is_no_share_and_a_reason(workspace: Workspace) -> None:
    monday = shares(built(workspace, *MONDAY, *TUESDAY[:-3]), 1)
    assert monday[7]["runs_of_all"] == 59
    assert {(row["share"], row["reason"]) for row in monday.values()} == {(None, "needs 60 replies; 59 so far")}
    meetings = shares(workspace, 1, "meeting")
    assert {row["reason"] for row in meetings.values()} == {"needs 60 meetings; 0 so far"}


def test_only_replies_in_closed_windows_without_an_unknown_day_count(workspace: Workspace) -> None:
    """The 10th is unknown, and the windows of the 9th contain it; those of the 14th have not closed."""
    there = built(workspace, *MONDAY, *contacts(9, *[0] * 20), *contacts(14, *[0] * 20), unproved=10)
    assert shares(there, 1)[0]["runs_of_all"] == 51
