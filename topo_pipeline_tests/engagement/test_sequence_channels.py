"""What became of each message, invitation and task, channel by channel."""

from collections.abc import Callable, Iterable
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest

from topo_pipeline.engagement.rules import Rules
from topo_pipeline_tests.engagement.helpers import (
    Activity,
    Cases,
    Test,
    Workspace,
    enrolled,
    march,
    opened,
    replied,
    sent,
)

LAST_DAY = date(2026, 4, 30)
AS_OF = datetime(2026, 5, 1, tzinfo=UTC)
SECOND, DAY = timedelta(seconds=1), timedelta(days=1)
EMAIL_RATES = ("email_open_rate", "email_open_rate_adjusted", "email_click_rate")
INVITATION_RATES = ("invitation_acceptance_rate", "invitation_to_reply_rate")
TASK_RATES = ("task_completion_rate", "task_skip_rate")


def clicked(at: datetime, run: str = "A", **details: Any) -> Activity:
    return Activity("message.link_clicked", at, run, **details)


def invited(at: datetime, run: str = "A", **details: Any) -> Activity:
    return Activity("invitation.sent", at, run, **details)


def task(event: str, at: datetime, run: str = "A", **details: Any) -> Activity:
    return Activity(f"task.{event}", at, run, **{"channel": "MANUAL", "task": f"call {run}"} | details)


cases = Cases()


def happened(*activities: Activity, runs: Iterable[str] = "ABC") -> Callable[[Test], Test]:
    """The runs enrolled before March, and what happened to them, as April's end knows it."""
    return cases.happened(*(enrolled(march(0), run) for run in runs), *activities)


@pytest.fixture(scope="module")
def together(shared: Workspace) -> Workspace:
    return built(shared, cases.activities)


def built(workspace: Workspace, activities: Iterable[Activity], *, still_open: date | None = None) -> Workspace:
    workspace.land_all(activities, LAST_DAY, still_open=still_open)
    workspace.build("sequence_activity", "sequence_runs", "sequence_channels")
    return workspace


def share(row: dict[str, Any], rate: str) -> tuple[int, int]:
    return row[f"{rate}_num"], row[f"{rate}_den"]


def six(row: dict[str, Any], rate: str) -> set[Any]:
    return {value for column, value in row.items() if column.startswith(f"{rate}_") or column == rate}


LOOKED_UNTIL = march(1) + 7 * DAY


@happened(
    *(sent(march(1), run, message=run) for run in "ABC"),
    *(look(LOOKED_UNTIL, "A", message="A") for look in (opened, clicked)),
    *(look(LOOKED_UNTIL + SECOND, "B", message="B") for look in (opened, clicked)),
)
def test_an_open_or_a_click_counts_until_seven_days_are_over_and_not_a_second_longer(case: Workspace) -> None:
    assert {share(case.channel(), rate) for rate in EMAIL_RATES} == {(1, 3)}


@happened(sent(march(1), message="m"), *(opened(march(2), message="m", salt=salt) for salt in "xyz"))
def test_an_email_opened_often_counts_once(case: Workspace) -> None:
    assert share(case.channel(), "email_open_rate") == (1, 1)


@happened(
    *(sent(march(1), run, message=run) for run in "ABC"),
    *(opened(march(1) + seconds * SECOND, run, message=run) for run, seconds in (("A", 10), ("B", 11), ("C", 2))),
    opened(march(2), "C", message="C"),
)
def test_an_open_within_ten_seconds_is_a_machines_and_a_later_one_a_persons(case: Workspace) -> None:
    assert share(case.channel(), "email_open_rate") == (3, 3)
    assert share(case.channel(), "email_open_rate_adjusted") == (2, 3)


@happened(
    sent(march(1), "A", message="first"),
    sent(march(9), "A", message="second"),
    opened(march(10), "A", message="first"),  # nine days after its message, one after the run's last
    sent(march(1), "B"),
    sent(march(9), "B"),
    sent(march(9, 10), "B", channel="LINKEDIN"),
    opened(march(10), "B"),
)
def test_an_open_is_of_the_message_that_it_names_and_else_of_the_last_email_before_it(case: Workspace) -> None:
    assert share(case.channel(), "email_open_rate") == (1, 4)


@happened(sent(march(1), "A", message="mine"), opened(march(2), "A", message="yours"))
def test_an_open_of_a_message_that_is_not_of_the_run_is_of_none(case: Workspace) -> None:
    assert share(case.channel(), "email_open_rate") == (0, 1)


@happened(*(sent(AS_OF - days * DAY + seconds * SECOND) for days in (14, 7) for seconds in (0, 1)))
def test_a_rate_knows_a_message_once_its_own_window_has_closed(case: Workspace) -> None:
    row = case.channel()
    assert (row["sends"], row["eligible_for_open"], row["eligible_for_reply"]) == (4, 3, 1)
    assert (row["email_open_rate_den"], row["email_click_rate_den"], row["reply_rate_den"]) == (3, 3, 1)


def test_a_period_takes_what_was_sent_so_that_its_window_closed_within_it(workspace: Workspace) -> None:
    """One message too old, the oldest of the period, the youngest, and one whose window is still open."""
    youngest, happened = AS_OF - 14 * DAY, []
    for period, days in (("7d", 7), ("28d", 28), ("90d", 90)):
        oldest = youngest - days * DAY + SECOND
        happened.append(enrolled(oldest - DAY, period, sequence=period))
        for at in (oldest - SECOND, oldest, youngest, youngest + SECOND):
            happened.append(sent(at, period, sequence=period))
    built(workspace, happened)
    for period in ("7d", "28d", "90d"):
        assert workspace.channel(period=period, sequence=period)["eligible_for_reply"] == 2
        assert workspace.channel(sequence=period)["eligible_for_reply"] == 3


def test_the_sends_of_a_period_are_of_its_days(workspace: Workspace) -> None:
    first = AS_OF - 7 * DAY
    sends = [sent(at) for at in (first - SECOND, first, AS_OF - SECOND, AS_OF)]
    built(workspace, [enrolled(march(0)), *sends], still_open=AS_OF.date())
    assert [workspace.channel(period=period)["sends"] for period in ("7d", "28d", "lifetime")] == [2, 3, 4]


REPLIED_UNTIL = march(1) + 14 * DAY


@happened(
    *(sent(march(1), run) for run in "ABCD"),
    replied(REPLIED_UNTIL, "A"),
    replied(REPLIED_UNTIL + SECOND, "B"),
    replied(march(2), "C", category="OUT_OF_OFFICE"),
    replied(march(2), "D", category="NOT_INTERESTED"),
    runs="ABCD",
)
def test_a_message_is_replied_to_within_fourteen_days_by_a_person(case: Workspace) -> None:
    assert share(case.channel(), "reply_rate") == (2, 4)


TOUCHES = [
    touch
    for run in "ABC"
    for touch in (
        sent(march(1), run, message=f"{run} mail"),
        sent(march(2), run, channel="LINKEDIN", message=f"{run} note"),
        sent(march(3), run, channel="MANUAL", message=f"{run} letter"),
    )
]


@happened(
    *TOUCHES,
    replied(march(4), "A", channel="MANUAL", message="A mail"),
    replied(march(4), "B", channel="LINKEDIN"),
    replied(march(4), "C", channel=None),
)
def test_a_reply_is_to_the_message_it_names_then_to_its_channels_last_then_to_the_last(case: Workspace) -> None:
    shares = {channel: share(case.channel(channel), "reply_rate") for channel in ("EMAIL", "LINKEDIN", "MANUAL")}
    assert shares == dict.fromkeys(shares, (1, 3))


@happened(*TOUCHES, replied(march(4), "A", channel="MANUAL", message="A mail"))
def test_a_reply_to_the_message_it_names_is_to_no_other_of_its_channel(case: Workspace) -> None:
    assert share(case.channel("EMAIL"), "reply_rate") == (1, 3)
    assert share(case.channel("MANUAL"), "reply_rate") == (0, 3)


@happened(sent(march(1), channel="LINKEDIN"), invited(march(2)), replied(march(3), channel="LINKEDIN"))
def test_a_reply_to_an_invitation_is_to_no_message(case: Workspace) -> None:
    row = case.channel("LINKEDIN")
    assert share(row, "reply_rate") == (0, 1)
    assert share(row, "invitation_to_reply_rate") == (1, 1)


ACCEPTED_UNTIL = march(1) + 30 * DAY


@happened(
    *(invited(march(1), run) for run in "ABC"),
    Activity("invitation.accepted", ACCEPTED_UNTIL, "A"),
    Activity("invitation.accepted", ACCEPTED_UNTIL + SECOND, "B"),
    replied(ACCEPTED_UNTIL + SECOND, "A", channel="LINKEDIN"),
    replied(ACCEPTED_UNTIL, "B", channel="LINKEDIN"),
    replied(ACCEPTED_UNTIL, "C"),
    invited(AS_OF - DAY, "C"),
)
def test_invitations_are_accepted_and_answered_within_thirty_days(case: Workspace) -> None:
    row = case.channel("LINKEDIN")
    assert (row["invitations"], row["sends"]) == (4, 0)
    assert {share(row, rate) for rate in INVITATION_RATES} == {(1, 3)}


@happened(
    *(task("created", march(1), run) for run in "ABCD"),
    task("completed", march(1, 12), "A"),
    task("skipped", march(3), "A"),  # too late: it is done
    task("skipped", march(2), "B"),
    task("completed", march(2), "C", task="another"),
    task("completed", march(1, 8), "D"),  # before it was there
    task("created", march(1), "A", task=None, salt="nameless"),
    runs="ABCD",
)
def test_a_task_is_completed_skipped_or_open_by_its_id(case: Workspace) -> None:
    row = case.channel("MANUAL")
    assert {share(row, rate) for rate in TASK_RATES} == {(1, 4)}
    assert (row["open_tasks"], row["median_hours_to_complete_task"]) == (2, 3.0)


@happened(task("created", march(1), channel=None))
def test_tasks_without_a_channel_are_not_taken_for_manual_ones(case: Workspace) -> None:
    assert case.channel("NONE")["open_tasks"] == 1
    assert [row["channel"] for row in case.rows_of("sequence_channels")] == ["NONE"] * 4


HOURS = {"A": 2, "B": 4, "C": 10, "D": 1}


@happened(
    *(task("created", march(1), run) for run in HOURS),
    *(task("skipped" if run == "D" else "completed", march(1, 9 + h), run) for run, h in HOURS.items()),
    runs=HOURS,
)
def test_the_median_is_of_the_tasks_that_were_completed(case: Workspace) -> None:
    assert case.channel("MANUAL")["median_hours_to_complete_task"] == 4.0


@happened(task("created", AS_OF - 7 * DAY), task("created", AS_OF - 7 * DAY - SECOND, "B"))
def test_an_old_task_is_in_no_recent_period(case: Workspace) -> None:
    assert [case.channel("MANUAL", period)["open_tasks"] for period in ("7d", "28d", "lifetime")] == [1, 2, 2]


def mails(number: int, at: datetime = AS_OF - 20 * DAY) -> list[Activity]:
    return [sent(at, f"run {n}", message=f"mail {n}") for n in range(number)]


def of(messages: list[Activity]) -> list[str]:
    return [message.run or "" for message in messages]


def tracked(number: int) -> list[Activity]:
    """This many mails, each of a run that enrolled before March."""
    return [*(enrolled(march(0), run) for run in of(mails(number))), *mails(number)]


@happened(*mails(50), runs=of(mails(50)))
def test_many_emails_without_an_open_or_a_click_mean_that_nothing_tracks_them(case: Workspace) -> None:
    for period in ("lifetime", "7d", "28d", "90d"):
        row = case.channel(period=period)
        assert row["tracking_off"] is True
        assert {value for rate in EMAIL_RATES for value in six(row, rate)} == {None}
    assert case.channel()["eligible_for_open"] == 50
    assert share(case.channel(), "reply_rate") == (0, 50)


def test_tracking_is_on_where_little_was_sent_or_anything_was_seen(workspace: Workspace) -> None:
    there, of_mail_0 = AS_OF - 3 * DAY, {"message": "mail 0"}
    seen: dict[str, list[Activity]] = {
        "a mail fewer": [],
        "an open": [opened(there, "run 0", **of_mail_0)],
        "a click": [clicked(there, "run 0", **of_mail_0)],
        "an open in a left-censored run": [opened(AS_OF - DAY, "of another time", channel="EMAIL")],
        "an open before any mail": [opened(AS_OF - 28 * DAY, "run 0")],
        "a click of the day that is still open": [clicked(AS_OF + DAY, "run 0", **of_mail_0)],
    }
    in_each = Cases()
    number = {name: 49 if name == "a mail fewer" else 50 for name in seen}
    names = {name: in_each.add(*tracked(number[name]), *looks) for name, looks in seen.items()}
    workspace.rules = Rules(censored_days=90)
    built(workspace, in_each.activities, still_open=(AS_OF + DAY).date())
    rows = {name: workspace.of_case(case).channel() for name, case in names.items()}
    assert {name for name, row in rows.items() if row["tracking_off"] is not False} == set()
    assert {name: row["email_open_rate_den"] for name, row in rows.items()} == number


EDGE = AS_OF - 28 * DAY


@happened(*mails(50, EDGE), opened(EDGE - SECOND, "run 0", message="mail 0"), runs=of(mails(50)))
def test_an_open_of_more_than_twenty_eight_days_ago_does_not_count_for_tracking(case: Workspace) -> None:
    assert case.channel()["tracking_off"] is True


@happened(*mails(49, EDGE), sent(EDGE - SECOND, "run 0"), runs=of(mails(49)))
def test_a_mail_of_more_than_twenty_eight_days_ago_does_not_count_for_tracking(case: Workspace) -> None:
    assert case.channel()["tracking_off"] is False


@happened(
    *(
        sent(march(1), channel=channel, salt=str(channel))
        for channel in ("EMAIL", "LINKEDIN", "MANUAL", "CARRIER_PIGEON", None)
    )
)
def test_a_rate_that_means_nothing_on_a_channel_is_null_with_all_its_columns(case: Workspace) -> None:
    for channel in ("LINKEDIN", "MANUAL", "OTHER", "NONE"):
        row = case.channel(channel)
        assert {row["tracking_off"]} | {value for rate in EMAIL_RATES for value in six(row, rate)} == {None}
    for channel in ("EMAIL", "MANUAL", "OTHER", "NONE"):
        assert {value for rate in INVITATION_RATES for value in six(case.channel(channel), rate)} == {None}


@happened(*(sent(march(1), run, channel=c) for run, c in (("A", "CARRIER_PIGEON"), ("B", "FAX"), ("C", None))))
def test_unknown_channels_count_under_other_and_missing_ones_under_none(case: Workspace) -> None:
    assert {
        row["channel"]: row["sends"] for row in case.rows_of("sequence_channels") if row["period"] == "lifetime"
    } == {
        "OTHER": 2,
        "NONE": 1,
    }


@happened(sent(AS_OF - DAY), invited(AS_OF - DAY))
def test_a_rate_over_nothing_is_null_and_never_zero(case: Workspace) -> None:
    for channel, rates in (("EMAIL", EMAIL_RATES), ("LINKEDIN", INVITATION_RATES), ("LINKEDIN", TASK_RATES)):
        for rate in (*rates, "reply_rate"):
            assert six(case.channel(channel), rate) == {0, None, "none"}
            assert case.channel(channel)[rate] is None


@happened(
    sent(march(1)),
    *(sent(march(1), "Z", message="m"), opened(march(2), "Z", message="m"), replied(march(3), "Z")),
    *(invited(march(1), "Z"), Activity("invitation.accepted", march(2), "Z")),
    *(task("created", march(1), "Z"), task("created", march(1), "Z", task="done", salt="done")),
    task("completed", march(2), "Z", task="done"),
)
def test_what_left_censored_runs_did_is_counted_and_in_no_rate(case: Workspace) -> None:
    """Z was not seen to enrol, and history begins only a day before it."""
    row = case.channel()
    assert (row["sends"], share(row, "email_open_rate"), share(row, "reply_rate")) == (2, (0, 1), (0, 1))
    assert (row["eligible_for_open"], row["eligible_for_reply"]) == (1, 1)
    row = case.channel("LINKEDIN")
    assert (row["invitations"], share(row, "invitation_acceptance_rate")) == (1, (0, 0))
    row = case.channel("MANUAL")
    assert (row["open_tasks"], row["median_hours_to_complete_task"]) == (1, None)
    assert {share(row, rate) for rate in TASK_RATES} == {(0, 0)}


def test_many_emails_of_left_censored_runs_tell_that_nothing_tracks_them(workspace: Workspace) -> None:
    workspace.rules = Rules(censored_days=90)
    built(workspace, [enrolled(march(0)), sent(AS_OF - 20 * DAY), *mails(49)])
    assert workspace.channel()["tracking_off"] is True
    assert (workspace.channel()["sends"], workspace.channel()["eligible_for_open"]) == (50, 1)


@happened(sent(march(1), message="m"), opened(march(2), message="m", sequence=None))
def test_an_activity_without_a_sequence_counts_with_its_runs_only_other_one(case: Workspace) -> None:
    assert share(case.channel(), "email_open_rate") == (1, 1)


def test_where_no_day_is_closed_no_rate_knows_anything(workspace: Workspace) -> None:
    workspace.land(march(1).date(), [enrolled(march(1, 8)), sent(march(1))], is_open=True)
    workspace.build("sequence_runs", "sequence_channels", rules=Rules(open_window_days=0, message_reply_window_days=0))
    row = workspace.channel()
    assert (row["as_of"], row["sends"], row["eligible_for_open"], row["eligible_for_reply"]) == (None, 1, 0, 0)
    assert workspace.channel(period="7d")["sends"] == 0
