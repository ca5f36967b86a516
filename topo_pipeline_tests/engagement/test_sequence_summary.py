"""Rates over runs whose outcome window has closed, ranked by what is certain of them."""

from collections.abc import Iterable
from datetime import UTC, date, datetime, timedelta

import pytest

from topo_pipeline.engagement.rules import Rules
from topo_pipeline_tests.engagement.helpers import Activity, Cases, Workspace, canonical, enrolled, march, replied, sent
from topo_pipeline_tests.engagement.oracle import OVER_ELIGIBLE, OVER_OUTCOMES, PERIODS, rate

DAY_1 = date(2026, 3, 1)
LAST_DAY = date(2026, 4, 30)
AS_OF = datetime(2026, 5, 1, tzinfo=UTC)
SECOND = timedelta(seconds=1)
LINES = [(29, 29), (30, 0), (99, 50), (100, 4), (100, 5)]  # runs and replies on both sides of each line of evidence


cases = Cases()


@pytest.fixture(scope="module")
def together(shared: Workspace) -> Workspace:
    shared.land_all(cases.activities, LAST_DAY)
    shared.build()
    return shared


def cohort(sequence: str, runs: int, replies: int) -> Iterable[Activity]:
    """So many runs contacted on March 1st, the first of which reply on the 2nd."""
    for number in range(runs):
        run = f"{sequence} {number}"
        yield enrolled(march(1, 8), run, sequence=sequence)
        yield sent(march(1), run, sequence=sequence)
        if number < replies:
            yield replied(march(2), run, sequence=sequence)


JUST_CLOSED = AS_OF - timedelta(days=30)


@cases.happened(
    enrolled(march(1), "A"), sent(JUST_CLOSED, "A"), enrolled(march(1), "B"), sent(JUST_CLOSED + SECOND, "B")
)
def test_a_run_is_eligible_once_its_window_has_closed_and_not_a_second_before(case: Workspace) -> None:
    summary = case.summary()
    assert summary["as_of"] == AS_OF
    assert (summary["unique_sent"], summary["eligible"], summary["maturity"]) == (2, 1, 0.5)


CLOSES = march(1) + timedelta(days=30)


@cases.happened(
    *(enrolled(march(1, 8), run) for run in "ABC"),
    *(sent(march(1), run) for run in "ABC"),
    replied(CLOSES, "A"),
    replied(CLOSES + SECOND, "B"),
)
def test_what_comes_after_the_window_is_in_the_totals_alone(case: Workspace) -> None:
    summary = case.summary()
    assert (summary["reply_rate_num"], summary["reply_rate_den"], summary["unique_replies"]) == (1, 3, 2)


def test_the_window_is_a_setting(workspace: Workspace) -> None:
    workspace.land_all([enrolled(march(1, 8)), sent(march(1)), replied(march(4))], date(2026, 3, 9))
    workspace.build(rules=Rules(reply_window_days=2))
    assert (workspace.summary()["reply_rate_num"], workspace.summary()["reply_rate_den"]) == (0, 1)
    workspace.build(rules=Rules(reply_window_days=3))
    assert (workspace.summary()["reply_rate_num"], workspace.summary()["reply_rate_den"]) == (1, 1)


OUTCOMES = {
    "automatic": replied(march(2), "automatic", category="OUT_OF_OFFICE"),
    "pending": replied(march(2), "pending"),
    "positive": replied(march(2), "positive", category="MEETING"),
    "positive too": replied(march(2), "positive too", category="INTERESTED"),
    "hot": Activity("hot_lead.created", march(2), "hot"),
    "hot too": Activity("hot_lead.created", march(2), "hot too"),
    "hot as well": Activity("hot_lead.created", march(2), "hot as well"),
    "met": Activity("meeting.created", march(2), "met"),
    "silent": Activity("message.opened", march(2), "silent"),
}


@cases.happened(
    *(did for run in OUTCOMES for did in (enrolled(march(1, 8), run), sent(march(1), run))),
    *OUTCOMES.values(),
)
def test_each_rate_counts_its_own_outcome(case: Workspace) -> None:
    summary = case.summary()
    nums = {name: summary[f"{name}_num"] for name in OVER_ELIGIBLE}
    assert nums == {
        "reply_rate": 3,
        "reply_rate_all": 4,
        "positive_reply_rate": 2,
        "hot_lead_rate": 3,
        "meeting_rate": 1,
    }
    assert {summary[f"{name}_den"] for name in OVER_ELIGIBLE} == {len(OUTCOMES)}


@cases.happened(enrolled(march(1, 8)), Activity("invitation.sent", march(1)), replied(march(2), channel="LINKEDIN"))
def test_a_run_that_was_only_invited_is_in_no_rate(case: Workspace) -> None:
    assert (case.summary()["eligible"], case.summary()["unique_replies"]) == (0, 1)


@cases.happened(
    *(enrolled(march(1, 8)), replied(march(1), channel="LINKEDIN"), Activity("meeting.created", march(1))),
    sent(march(2)),
)
def test_what_came_before_the_first_message_is_no_outcome_of_it(case: Workspace) -> None:
    summary = case.summary()
    assert (summary["reply_rate_num"], summary["meeting_rate_num"], summary["reply_rate_den"]) == (0, 0, 1)


@cases.happened(enrolled(march(58)), sent(march(59)))
def test_a_rate_over_nothing_is_null_and_never_zero(case: Workspace) -> None:
    summary = case.summary()
    for name in (*OVER_ELIGIBLE, *OVER_OUTCOMES):
        assert (summary[f"{name}_num"], summary[f"{name}_den"]) == (0, 0)
        assert (summary[name], summary[f"{name}_low"], summary[f"{name}_high"]) == (None, None, None)
        assert summary[f"{name}_evidence"] == "none"
    assert (summary["reply_rank"], summary["maturity"]) == (None, 0.0)


@cases.happened(enrolled(march(1)))
def test_maturity_over_no_contact_is_null(case: Workspace) -> None:
    assert case.summary()["maturity"] is None


@cases.happened(*(did for runs, replies in LINES for did in cohort(f"{replies} of {runs}", runs, replies)))
def test_a_rate_comes_with_its_interval_and_its_evidence(case: Workspace) -> None:
    for runs, replies in LINES:
        name = f"{replies} of {runs}"
        summary, expected = case.summary(name), rate("reply_rate", replies, runs)
        assert canonical([{column: summary[column] for column in expected}]) == canonical([expected]), name


def test_sequences_are_ranked_by_the_lower_bound_and_never_by_the_rate(workspace: Workspace) -> None:
    workspace.land_all(
        [
            *cohort("lucky", 1, 1),
            *cohort("proven", 60, 30),
            *cohort("hopeful", 30, 15),
            *cohort("silent", 40, 0),
            *cohort("mute", 3, 0),
            enrolled(march(3), "young", sequence="young"),
            sent(date_time(LAST_DAY), "young", sequence="young"),
        ]
    )
    workspace.build()
    ranks = {name: workspace.summary(name)["reply_rank"] for name in ("proven", "hopeful", "lucky", "silent", "mute")}
    assert ranks == {"proven": 1, "hopeful": 2, "lucky": 3, "silent": 4, "mute": 4}
    assert workspace.summary("young")["reply_rank"] is None


def date_time(day: date) -> datetime:
    return datetime(day.year, day.month, day.day, 9, tzinfo=UTC)


def test_as_of_is_the_end_of_the_last_closed_day_never_of_an_open_one(workspace: Workspace) -> None:
    workspace.land(DAY_1, [enrolled(march(1))])
    workspace.land(date(2026, 3, 4), [sent(march(4))])
    workspace.land(date(2026, 3, 5), [replied(march(5))], is_open=True)
    workspace.build()
    assert workspace.summary()["as_of"] == march(5, 0)
    assert workspace.summary()["days_missing"] == 2
    workspace.land(date(2026, 3, 5), [replied(march(5))])
    workspace.build()
    assert workspace.summary()["as_of"] == march(6, 0)


def test_where_no_day_is_closed_nothing_is_eligible(workspace: Workspace) -> None:
    workspace.land(DAY_1, [enrolled(march(1, 8)), sent(march(1))], is_open=True)
    workspace.build(rules=Rules(reply_window_days=0))
    assert (workspace.summary()["as_of"], workspace.summary()["eligible"]) == (None, 0)


def test_the_clock_decides_no_number(workspace: Workspace) -> None:
    workspace.land_all(cohort("outbound", 3, 1), date(2026, 3, 5))
    workspace.build()
    before = workspace.all_rows()
    workspace.now += timedelta(days=400)
    workspace.build(full_refresh=True)
    assert workspace.all_rows() == before


HOSTILE = "a | b\n| c <script>alert(1)</script> \u202eevil' ; DROP TABLE topo.activities; --" + "x" * 500


def test_names_and_status_come_from_the_templates_untouched(workspace: Workspace) -> None:
    workspace.land_all(
        [enrolled(march(1)), enrolled(march(1), "B", sequence="nurture"), enrolled(march(1), "C", sequence=None)]
    )
    workspace.name(outbound=HOSTILE, unused="Never ran")
    workspace.build()
    assert (workspace.summary()["sequence_name"], workspace.summary()["status"]) == (HOSTILE, "ACTIVE")
    assert (workspace.summary("nurture")["sequence_name"], workspace.summary("nurture")["status"]) == (None, None)
    assert workspace.summary(None)["sequence_name"] is None
    assert len(workspace.rows("sequence_summary")) == 3 * len(PERIODS)


def test_a_sequence_has_the_newest_name_of_its_template_and_the_last_known_one_once_that_disappears(
    workspace: Workspace,
) -> None:
    workspace.land_all([enrolled(march(1)), enrolled(march(1), "B", sequence="nurture")])
    workspace.name(outbound="Old", nurture="Nurture")
    workspace.name(outbound="New")
    workspace.build()
    names = {key: workspace.summary(key)["sequence_name"] for key in ("outbound", "nurture")}
    assert names == {"outbound": "New", "nurture": "Nurture"}
    assert workspace.summary("nurture")["status"] == "ACTIVE"
