"""A unique count counts runs by their first ever event. Uniques add up over days, and late data can move them."""

from datetime import date
from itertools import pairwise

import pytest

from topo_pipeline_tests.engagement.helpers import (
    DAILY,
    Activity,
    Cases,
    Workspace,
    by_day,
    enrolled,
    march,
    opened,
    replied,
    sent,
    uid,
)
from topo_pipeline_tests.engagement.oracle import FIRST_EVER

DAY_1, DAY_2, DAY_3 = (date(2026, 3, day) for day in (1, 2, 3))
BUILT = ("sequence_activity", "sequence_runs", "sequence_daily", "sequence_cohorts", "sequence_summary")


cases = Cases()


@pytest.fixture(scope="module")
def together(shared: Workspace) -> Workspace:
    shared.land_all(cases.activities)
    shared.build(*BUILT)
    return shared


@pytest.fixture(scope="module")
def later(together: Workspace, tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """The second day is read again. Nothing else has changed."""
    before, after = by_day(cases.activities), by_day(cases.later)
    assert [day for day in before.keys() | after.keys() if before.get(day) != after.get(day)] == [DAY_2]
    workspace = together.copied(tmp_path_factory.mktemp("later"))
    workspace.land(DAY_2, after[DAY_2])
    workspace.build(*BUILT)
    return workspace


def everything_twice(run: str, first_day: int) -> list[Activity]:
    """Return each kind of event of a run, on two days in a row."""
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
    assert [daily[day]["unique_touched"] for day in (DAY_1, DAY_2, DAY_3)] == [1, 1, 0]
    assert summary["unique_touched"] == 2


BEGUN = [enrolled(march(1, 8)), sent(march(1))]


@cases.happened(*BEGUN, opened(march(3)), later=[*BEGUN, opened(march(2)), opened(march(3))])
def test_late_data_moves_a_unique_to_an_earlier_day(case: Workspace, case_later: Workspace) -> None:
    before, after = case.daily(), case_later.daily()
    assert [before[day]["unique_opens"] for day in (DAY_2, DAY_3)] == [0, 1]
    assert [after[day]["unique_opens"] for day in (DAY_2, DAY_3)] == [1, 0]
    assert after[DAY_3]["total_opens"] == 1


@cases.happened(*BEGUN, opened(march(2)), opened(march(3)), later=[*BEGUN, opened(march(3))])
def test_removing_the_first_event_moves_the_unique_to_the_next_one(case_later: Workspace) -> None:
    daily = case_later.daily()
    assert [daily[day]["unique_opens"] for day in (DAY_2, DAY_3)] == [0, 1]
    assert daily[DAY_2]["total_opens"] == 0


@cases.happened(enrolled(march(1)), sent(march(2), "B"), later=[enrolled(march(1))])
def test_a_run_without_activities_is_removed(case: Workspace, case_later: Workspace) -> None:
    assert [len(each.rows_of("sequence_runs")) for each in (case, case_later)] == [2, 1]
    assert [each.summary()["runs"] for each in (case, case_later)] == [2, 1]


def relabelled(before: str | None, after: str) -> str:
    """Add a case of a run whose reply gets another category."""
    reply = replied(march(2), category=before)
    return cases.add(*BEGUN, reply, later=[*BEGUN, reply.relabelled(after)])


@pytest.mark.parametrize(
    ("case", "before", "after"),
    [
        (relabelled(None, "INTERESTED"), (1, 0, 0), (1, 1, 1)),
        (relabelled("INTERESTED", "OUT_OF_OFFICE"), (1, 1, 1), (0, 0, 0)),
    ],
    indirect=["case"],
    ids=["labelled", "labelled otherwise"],
)
def test_a_changed_category_changes_the_counts_of_its_day_and_its_run(
    case: Workspace, later: Workspace, before: tuple[int, ...], after: tuple[int, ...]
) -> None:
    for workspace, expected in ((case, before), (later.of_case(str(case.case)), after)):
        day, run = workspace.daily()[DAY_2], workspace.run()
        counts = ("unique_valid_replies", "unique_positive_replies", "total_positive_replies")
        assert tuple(day[name] for name in counts) == expected
        assert (run["first_valid_reply_at"] is not None, run["first_positive_reply_at"] is not None) == expected[:2]
        assert day["unique_replies"] == 1


@cases.happened(
    *(enrolled(march(1, 8)), sent(march(1)), replied(march(1, 10), category="OUT_OF_OFFICE"), replied(march(2)))
)
def test_an_out_of_office_reply_is_the_first_reply_but_not_the_first_valid_one(case: Workspace) -> None:
    daily = case.daily()
    assert [daily[day]["unique_replies"] for day in (DAY_1, DAY_2)] == [1, 0]
    assert [daily[day]["unique_valid_replies"] for day in (DAY_1, DAY_2)] == [0, 1]


@cases.happened(enrolled(march(1, 8)), Activity("invitation.sent", march(1)), sent(march(2)))
def test_an_invitation_touches_a_run_and_the_first_message_contacts_it(case: Workspace) -> None:
    daily, run = case.daily(), case.run()
    assert [daily[day]["unique_sent"] for day in (DAY_1, DAY_2)] == [0, 1]
    assert [daily[day]["unique_invitations"] for day in (DAY_1, DAY_2)] == [1, 0]
    assert [daily[day]["unique_touched"] for day in (DAY_1, DAY_2)] == [1, 0]
    assert (run["touched_at"], run["contacted_at"]) == (march(1), march(2))


@cases.happened(
    *(enrolled(march(1)), sent(march(2), sequence=None), replied(march(2), sequence=None, category="REFERRAL")),
    # The first activities of sequence "late" name no sequence.
    *(enrolled(march(1, 8), "B", sequence=None), sent(march(1), "B", sequence=None)),
    opened(march(2), "B", sequence="late"),
)
def test_an_activity_without_a_sequence_counts_for_the_only_other_sequence_of_its_run(case: Workspace) -> None:
    assert case.run()["contacted_at"] == march(2)
    day = case.daily()[DAY_2]
    assert (day["total_sent"], day["unique_sent"], day["unique_touched"]) == (1, 1, 1)
    assert (day["total_replies"], day["replies_neutral"], day["unique_valid_replies"]) == (1, 1, 1)
    assert (case.summary()["total_sent"], case.summary()["unique_sent"]) == (1, 1)
    late = case.daily("late")[DAY_1]
    assert (late["total_sent"], late["unique_sent"]) == (1, 1)


def test_a_second_sequence_landed_later_leaves_such_an_activity_without_a_sequence(workspace: Workspace) -> None:
    workspace.land_all([enrolled(march(1)), sent(march(2), sequence=None)])
    workspace.build(*DAILY)
    before = workspace.daily()[DAY_2]
    assert (before["total_sent"], before["unique_sent"]) == (1, 1)
    assert workspace.daily(None) == {}
    workspace.land(DAY_3, [opened(march(3), sequence="nurture")])
    workspace.build(*DAILY)
    assert workspace.run()["contacted_at"] is None
    assert workspace.run(sequence="nurture")["first_open_at"] == march(3)
    assert workspace.run(sequence=None)["contacted_at"] == march(2)
    after = {sequence: workspace.daily(sequence)[DAY_2] for sequence in ("outbound", None)}
    counts = {sequence: (row["total_sent"], row["unique_sent"]) for sequence, row in after.items()}
    assert counts == {"outbound": (0, 0), None: (1, 1)}
    assert list(workspace.daily("nurture")) == [DAY_3]


@cases.happened(*everything_twice("A", 1))
def test_a_run_has_the_time_of_its_first_event_of_each_kind(case: Workspace) -> None:
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
def test_a_run_that_names_two_people_has_the_smaller_id(case: Workspace) -> None:
    assert case.run()["person_id"] == min(uid(name) for name in ("Ada", "Bob"))


CHANNELS = ["EMAIL", "EMAIL", "EMAIL", "LINKEDIN", "LINKEDIN", "MANUAL", None]


@cases.happened(*(sent(march(1, 9, i), channel=channel) for i, channel in enumerate(CHANNELS)))
def test_the_messages_of_a_run_are_counted_by_channel(case: Workspace) -> None:
    run = case.run()
    assert (run["messages_sent"], run["emails_sent"], run["linkedin_sent"]) == (7, 3, 2)


@cases.happened(enrolled(march(1)), sent(march(1), run=None), opened(march(1), run=None))
def test_an_orphan_is_in_no_run_total_or_unique(case: Workspace) -> None:
    day = case.daily()[DAY_1]
    assert (day["total_sent"], day["total_opens"], day["unique_sent"], day["unique_opens"]) == (0, 0, 0, 0)
    assert sum(row["orphans"] for row in case.rows_of("sequence_activity")) == 2
    assert len(case.rows_of("sequence_runs")) == 1
