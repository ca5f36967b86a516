"""Sequences that have fallen silent: runs that could go on, and no message or invitation for three business days."""

from collections.abc import Callable
from datetime import date

import pytest

from topo_pipeline.engagement.rules import Rules
from topo_pipeline_tests.engagement.helpers import Activity, Cases, Test, Workspace, enrolled, march, sent

LAST = 13  # known up to Friday the 13th of March

cases = Cases()


def active(*activities: Activity) -> str:
    """The case of a run that was contacted on Monday the 2nd, and to which this happened."""
    return cases.add(*begun(*activities))


def happened(*activities: Activity) -> Callable[[Test], Test]:
    return cases.happened(*begun(*activities))


def begun(*activities: Activity) -> list[Activity]:
    return [enrolled(march(2, 8)), sent(march(2)), *activities]


def days(last: int = LAST) -> list[date]:
    return [march(day).date() for day in range(2, last + 1)]


@pytest.fixture(scope="module")
def together(shared: Workspace) -> Workspace:
    shared.land_all(cases.activities, *days())
    shared.build()
    return shared


@happened(sent(march(10)))  # Tuesday
def test_a_sequence_with_active_runs_and_no_message_for_three_business_days_is_silent(case: Workspace) -> None:
    assert case.summary()["is_silent"]


@pytest.mark.parametrize(
    "case",
    [active(Activity(touch, march(11), channel="LINKEDIN")) for touch in ("message.sent", "invitation.sent")],
    indirect=True,
    ids=["message", "invitation"],
)
def test_a_message_or_an_invitation_on_the_third_last_business_day_breaks_the_silence(case: Workspace) -> None:
    assert case.summary()["is_silent"] is False


@happened(Activity("message.replied", march(12)))
def test_a_reply_breaks_no_silence(case: Workspace) -> None:
    assert case.summary()["is_silent"]


@happened(Activity("sequence.completed", march(3)))
def test_a_sequence_whose_runs_have_all_ended_is_not_silent(case: Workspace) -> None:
    assert case.summary()["is_silent"] is False


@happened(Activity("sequence.paused", march(3)))
def test_a_sequence_whose_runs_are_all_paused_is_not_silent(case: Workspace) -> None:
    assert case.summary()["is_silent"] is False


@happened(Activity("sequence.paused", march(3)), Activity("sequence.resumed", march(4)))
def test_a_sequence_whose_runs_were_resumed_can_be_silent(case: Workspace) -> None:
    assert case.summary()["is_silent"]


@happened(sent(march(10)))
def test_silence_is_known_for_the_lifetime_alone(case: Workspace) -> None:
    assert case.summary()["is_silent"]
    assert {case.summary(period=period)["is_silent"] for period in ("7d", "28d", "90d")} == {None}


def test_its_length_is_a_setting(workspace: Workspace) -> None:
    workspace.land_all(begun(sent(march(10))), *days())
    workspace.build(rules=Rules(silent_business_days=4))
    assert workspace.summary()["is_silent"] is False


def silent(workspace: Workspace, happened: dict[str, list[Activity]], *landed: date) -> dict[str, bool | None]:
    """Which of these sequences are silent, of which this happened in a workspace where these days are landed."""
    own = Cases()
    names = {name: own.add(*begun(*activities)) for name, activities in happened.items()}
    workspace.land_all(own.activities, *landed)
    workspace.build()
    return {name: workspace.of_case(case).summary()["is_silent"] for name, case in names.items()}


def test_a_weekend_is_no_business_day_but_a_message_on_it_is_one(workspace: Workspace) -> None:
    """Known up to Monday the 9th: Thursday, Friday and Monday count."""
    last_messages = {"Wednesday": [sent(march(4))], "Thursday": [sent(march(5))], "Saturday": [sent(march(7))]}
    assert silent(workspace, last_messages, *days(9)) == {"Wednesday": True, "Thursday": False, "Saturday": False}


def test_where_a_day_is_missing_nobody_knows(workspace: Workspace) -> None:
    landed = [day for day in days() if day != march(12).date()]
    found = silent(workspace, {"nothing": [], "a message on Wednesday": [sent(march(11))]}, *landed)
    assert found == {"nothing": None, "a message on Wednesday": False}


def test_a_history_shorter_than_the_silence_knows_of_none(workspace: Workspace) -> None:
    workspace.land_all([enrolled(march(2))], march(3).date())
    workspace.build()
    assert workspace.summary()["is_silent"] is None
