"""`is_silent`: a sequence with active runs sent nothing for three business days and longer than it usually pauses."""

from collections.abc import Callable, Collection
from datetime import date

import pytest

from topo_pipeline.engagement.rules import Rules
from topo_pipeline_tests.engagement.helpers import Activity, Cases, Test, Workspace, enrolled, march, sent

UNKNOWN = ("open", "unproved")
LAST = 13  # Friday, the last known day

cases = Cases()
EVERY_DAY = [sent(march(day)) for day in (3, 4, 5, 6)]  # after Monday the 2nd


def active(*activities: Activity) -> str:
    """Add the case of a run that was contacted on Monday the 2nd and had these activities."""
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
    for status, case in STATUSES.items():
        shared.name(status, **{f"{case} outbound": "A sequence with a status"})
    shared.build()
    return shared


@happened(*EVERY_DAY, sent(march(9)), sent(march(10)))  # Tuesday
def test_a_sequence_with_active_runs_and_no_message_for_three_business_days_is_silent(case: Workspace) -> None:
    assert case.summary()["is_silent"]


@pytest.mark.parametrize(
    "case",
    [active(Activity(touch, march(11), channel="LINKEDIN")) for touch in ("message.sent", "invitation.sent")],
    indirect=True,
    ids=["message", "invitation"],
)
def test_a_message_or_an_invitation_on_the_third_last_business_day_ends_the_silence(case: Workspace) -> None:
    assert case.summary()["is_silent"] is False


@happened(Activity("message.replied", march(12)))
def test_a_reply_does_not_end_the_silence(case: Workspace) -> None:
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


@happened(*EVERY_DAY)
def test_only_the_lifetime_row_says_whether_a_sequence_is_silent(case: Workspace) -> None:
    assert case.summary()["is_silent"]
    assert {case.summary(period=period)["is_silent"] for period in ("7d", "28d", "90d")} == {None}


def silent(
    workspace: Workspace,
    happened: dict[str, list[Activity]],
    *landed: date,
    open_days: Collection[date] = (),
    unproved_days: Collection[date] = (),
) -> dict[str, bool | None]:
    """Land these days with one sequence for each name. Return which of the sequences are silent."""
    own = Cases()
    names = {name: own.add(*begun(*activities)) for name, activities in happened.items()}
    workspace.land_all(own.activities, *landed, open_days=open_days, unproved_days=unproved_days)
    workspace.build()
    return {name: workspace.of_case(case).summary()["is_silent"] for name, case in names.items()}


def test_weekends_are_no_business_days_but_their_messages_count(workspace: Workspace) -> None:
    """Known up to Monday the 9th: Thursday, Friday and Monday count, and with a rule of four days Wednesday too."""
    last_messages = {"Wednesday": [sent(march(4))], "Thursday": [sent(march(5))], "Saturday": [sent(march(7))]}
    assert silent(workspace, last_messages, *days(9)) == {"Wednesday": True, "Thursday": False, "Saturday": False}
    workspace.build(rules=Rules(silent_business_days=4))
    lifetime = [row for row in workspace.rows("sequence_summary") if row["period"] == "lifetime"]
    assert [row["is_silent"] for row in lifetime] == [False] * len(last_messages)


@pytest.mark.parametrize(("last", "is_silent"), [(15, False), (16, True)], ids=["on Sunday", "without its Monday"])
def test_a_sequence_that_sends_on_mondays_is_silent_once_it_misses_one(
    workspace: Workspace, last: int, is_silent: bool
) -> None:
    assert silent(workspace, {"Mondays": [sent(march(9))]}, *days(last)) == {"Mondays": is_silent}


def test_a_pause_with_an_unknown_day_in_it_is_not_usual(workspace: Workspace) -> None:
    """Sent on Mondays, of which the 16th is missing: the pause of 14 days is none. The 30th is missed."""
    landed = [day for day in days(30) if day != march(16).date()]
    found = silent(workspace, {"Mondays": [sent(march(9)), sent(march(23))]}, *landed)
    assert found == {"Mondays": True}


def test_one_long_pause_among_many_is_not_usual(workspace: Workspace) -> None:
    """Nine pauses of one to three days and one of eleven, then three business days without a message."""
    messages = [sent(march(day)) for day in (3, 4, 5, 6, 17, 18, 19, 20, 23, 24)]
    assert silent(workspace, {"after a holiday": messages}, *days(27)) == {"after a holiday": True}


# test_daily_grid distinguishes the kinds of unknown days.
@pytest.mark.parametrize("kind", ["missing", *(pytest.param(kind, marks=pytest.mark.full) for kind in UNKNOWN)])
def test_an_unknown_day_leaves_silence_unknown(workspace: Workspace, kind: str) -> None:
    thursday = march(12).date()
    landed = [day for day in days() if kind != "missing" or day != thursday]
    unknown = {"open_days": [thursday] * (kind == "open"), "unproved_days": [thursday] * (kind == "unproved")}
    found = silent(workspace, {"nothing": [], "a message on Wednesday": [sent(march(11))]}, *landed, **unknown)
    assert found == {"nothing": None, "a message on Wednesday": False}


def test_days_after_the_last_known_one_do_not_count(workspace: Workspace) -> None:
    """Friday is still open. Known up to Thursday: Tuesday to Thursday count."""
    messages = {
        "Monday": [*EVERY_DAY, sent(march(9))],
        "Tuesday": [*EVERY_DAY, sent(march(10))],
        "Friday": [*EVERY_DAY, sent(march(13))],
    }
    found = silent(workspace, messages, *days(), open_days=[march(13).date()])
    assert found == {"Monday": True, "Tuesday": False, "Friday": True}


def test_silence_is_unknown_in_a_shorter_history(workspace: Workspace) -> None:
    workspace.land_all([enrolled(march(2))], march(3).date())
    workspace.build()
    assert workspace.summary()["is_silent"] is None


STATUSES = {status: active() for status in ("ACTIVE", "PAUSED", "ADDED BY TOPO", None)}


@pytest.mark.parametrize(
    ("case", "is_silent"),
    [(case, status in ("ACTIVE", None)) for status, case in STATUSES.items()],
    indirect=["case"],
    ids=[str(status) for status in STATUSES],
)
def test_only_sequences_that_are_active_or_of_unknown_status_are_silent(case: Workspace, is_silent: bool) -> None:
    assert case.summary()["is_silent"] is is_silent
