"""A unique is a run's first ever: it adds up over days, and late data can move it to an earlier day."""

from datetime import date
from itertools import pairwise

import pytest

from topo_pipeline_tests.engagement.helpers import (
    DAILY,
    KEPT,
    Activity,
    Cases,
    Workspace,
    enrolled,
    march,
    opened,
    replied,
    sent,
    uid,
)
from topo_pipeline_tests.engagement.oracle import FIRST_EVER

DAY_1, DAY_2, DAY_3 = (date(2026, 3, day) for day in (1, 2, 3))


cases = Cases()


@pytest.fixture(scope="module")
def together(shared: Workspace) -> Workspace:
    shared.land_all(cases.activities)
    shared.build("sequence_activity", "sequence_runs", "sequence_daily", "sequence_cohorts", "sequence_summary")
    return shared


def everything_twice(run: str, first_day: int) -> list[Activity]:
    """Each kind of event, on two days in a row."""
    types = ["sequence.created", "message.sent", "invitation.sent", "invitation.accepted", "message.opened"]
    types += ["message.link_clicked", "message.replied", "hot_lead.created", "meeting.created"]
    return [
        Activity(type_, march(first_day + again, 9 + hour), run, category="INTERESTED")
        for again in (0, 1)
        for hour, type_ in enumerate(types)
    ]


@cases.happened(*everything_twice("A", 1), *everything_twice("B", 2), enrolled(march(1), "C"))
def test_uniques_add_up_over_days_to_the_runs_with_the_event(case: Workspace) -> None:
    runs, daily, summary = case.rows_of("sequence_runs"), case.daily(), case.summary()
    for kind, column in FIRST_EVER.items():
        with_event = sum(run[column] is not None for run in runs)
        uniques = [daily[day][f"unique_{kind}"] for day in (DAY_1, DAY_2, DAY_3)]
        totals = [daily[day][f"total_{kind}"] for day in (DAY_1, DAY_2, DAY_3)]
        enrolled_only = 1 if kind == "found" else 0
        assert uniques == [1 + enrolled_only, 1, 0], kind
        assert totals == [1 + enrolled_only, 2, 1], kind
        assert (sum(uniques), summary[f"total_{kind}"]) == (with_event, sum(totals)), kind
        assert summary[f"unique_{kind}"] == with_event, kind


def test_late_data_moves_a_unique_to_an_earlier_day_and_both_days_change(workspace: Workspace) -> None:
    early = [enrolled(march(1, 8)), sent(march(1))]
    workspace.land_all([*early, opened(march(3))], DAY_2)
    workspace.build(*DAILY)
    before = workspace.daily()
    workspace.land(DAY_2, [opened(march(2))])
    workspace.build()
    after = workspace.daily()
    assert [before[day]["unique_opens"] for day in (DAY_2, DAY_3)] == [0, 1]
    assert [after[day]["unique_opens"] for day in (DAY_2, DAY_3)] == [1, 0]
    assert after[DAY_3]["total_opens"] == 1


def test_a_removed_first_gives_the_unique_back_to_the_next_one(workspace: Workspace) -> None:
    workspace.land_all([enrolled(march(1, 8)), sent(march(1)), opened(march(2)), opened(march(3))])
    workspace.build(*KEPT)
    workspace.land(DAY_2, [])
    workspace.build()
    daily = workspace.daily()
    assert [daily[day]["unique_opens"] for day in (DAY_2, DAY_3)] == [0, 1]
    assert daily[DAY_2]["total_opens"] == 0


def test_a_run_whose_every_activity_is_removed_is_gone(workspace: Workspace) -> None:
    workspace.land_all([enrolled(march(1)), sent(march(2), "B")])
    workspace.build(*KEPT)
    workspace.land(DAY_2, [])
    workspace.build()
    assert len(workspace.rows("sequence_runs")) == 1
    assert workspace.summary()["runs"] == 1


def test_a_reply_labelled_otherwise_changes_its_day_and_its_run(workspace: Workspace) -> None:
    reply = replied(march(2))
    labels = [reply, reply.relabelled("INTERESTED"), reply.relabelled("OUT_OF_OFFICE")]
    workspace.land(DAY_1, [enrolled(march(1, 8)), sent(march(1))])
    seen = []
    for version in labels:
        workspace.land(DAY_2, [version])
        workspace.build(*DAILY)
        day, run = workspace.daily()[DAY_2], workspace.run()
        seen.append((day["unique_valid_replies"], day["unique_positive_replies"], day["total_positive_replies"]))
        assert (run["first_valid_reply_at"] is not None, run["first_positive_reply_at"] is not None) == seen[-1][:2]
        assert day["unique_replies"] == 1
    assert seen == [(1, 0, 0), (1, 1, 1), (0, 0, 0)]


@cases.happened(
    *(enrolled(march(1, 8)), sent(march(1)), replied(march(1, 10), category="OUT_OF_OFFICE"), replied(march(2)))
)
def test_a_later_reply_takes_the_place_of_one_that_no_person_wrote(case: Workspace) -> None:
    daily = case.daily()
    assert [daily[day]["unique_replies"] for day in (DAY_1, DAY_2)] == [1, 0]
    assert [daily[day]["unique_valid_replies"] for day in (DAY_1, DAY_2)] == [0, 1]


@cases.happened(enrolled(march(1, 8)), Activity("invitation.sent", march(1)), sent(march(2)))
def test_contacted_means_a_first_message_and_an_invitation_is_none(case: Workspace) -> None:
    daily, run = case.daily(), case.run()
    assert [daily[day]["unique_sent"] for day in (DAY_1, DAY_2)] == [0, 1]
    assert [daily[day]["unique_invitations"] for day in (DAY_1, DAY_2)] == [1, 0]
    assert (run["touched_at"], run["contacted_at"]) == (march(1), march(2))


@cases.happened(enrolled(march(1)), sent(march(2), sequence=None))
def test_a_nameless_activity_belongs_to_the_runs_only_other_sequence(case: Workspace) -> None:
    assert case.run()["contacted_at"] == march(2)
    assert case.daily()[DAY_2]["unique_sent"] == 1


def test_a_second_sequence_landed_later_takes_a_nameless_activity_back(workspace: Workspace) -> None:
    workspace.land_all([enrolled(march(1)), sent(march(2), sequence=None)])
    workspace.build(*KEPT)
    workspace.land(DAY_3, [opened(march(3), sequence="nurture")])
    workspace.build()
    assert workspace.run()["contacted_at"] is None
    assert workspace.run(sequence="nurture")["first_open_at"] == march(3)
    assert workspace.run(sequence=None)["contacted_at"] == march(2)


@cases.happened(*everything_twice("A", 1))
def test_the_stages_of_one_run_keep_their_times(case: Workspace) -> None:
    run = case.run()
    times = [run[column] for column in FIRST_EVER.values() if "reply" not in column]
    assert all(earlier < later for earlier, later in pairwise(times))
    assert run["first_reply_at"] == run["first_valid_reply_at"] == run["first_positive_reply_at"]
    assert (run["messages_sent"], run["opens"], run["clicks"], run["replies"], run["invitations_sent"]) == (2,) * 5


def of_people(first: str, second: str) -> str:
    return cases.add(enrolled(march(1), person=None), sent(march(2), person=first), opened(march(3), person=second))


@pytest.mark.parametrize(
    "case", [of_people("Ada", "Bob"), of_people("Bob", "Ada")], indirect=True, ids=["Ada first", "Bob first"]
)
def test_a_run_of_two_people_is_always_the_same_ones(case: Workspace) -> None:
    assert case.run()["person_id"] == min(uid(name) for name in ("Ada", "Bob"))


CHANNELS = ["EMAIL", "EMAIL", "EMAIL", "LINKEDIN", "LINKEDIN", "MANUAL", None]


@cases.happened(*(sent(march(1, 9, i), channel=channel) for i, channel in enumerate(CHANNELS)))
def test_a_runs_messages_are_told_apart_by_channel(case: Workspace) -> None:
    run = case.run()
    assert (run["messages_sent"], run["emails_sent"], run["linkedin_sent"]) == (7, 3, 2)


@cases.happened(enrolled(march(1)), sent(march(1), run=None), opened(march(1), run=None))
def test_an_orphan_counts_as_one_and_in_no_run_total_or_unique(case: Workspace) -> None:
    day = case.daily()[DAY_1]
    assert (day["total_sent"], day["total_opens"], day["unique_sent"], day["unique_opens"]) == (0, 0, 0, 0)
    assert sum(row["orphans"] for row in case.rows_of("sequence_activity")) == 2
    assert len(case.rows_of("sequence_runs")) == 1
