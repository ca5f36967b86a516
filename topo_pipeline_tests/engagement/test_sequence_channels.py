"""What came of each message, invitation and task, by channel."""

from collections.abc import Callable, Iterable
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest

from topo_pipeline.engagement.rules import Rules
from topo_pipeline_tests.engagement.helpers import (
    Activity,
    Cases,
    Row,
    Test,
    Workspace,
    enrolled,
    march,
    opened,
    replied,
    sent,
)
from topo_pipeline_tests.engagement.oracle import days

LAST_DAY = date(2026, 4, 30)
AS_OF = datetime(2026, 5, 1, tzinfo=UTC)
SECOND, DAY = timedelta(seconds=1), timedelta(days=1)
EMAIL_RATES = ("email_open_rate", "email_open_rate_adjusted", "email_click_rate")
CONTACT_EMAIL_RATES = ("contact_open_rate", "contact_click_rate")
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
    """Decorate a test with what happened to runs that enrolled on 28 February, known up to the end of April."""
    return cases.happened(*(enrolled(march(0), run) for run in runs), *activities)


@pytest.fixture(scope="module")
def together(shared: Workspace) -> Workspace:
    return built(shared, cases.activities)


def built(workspace: Workspace, activities: list[Activity], *, still_open: date | None = None) -> Workspace:
    """Land every day from the first activity to the end of April, and build the table."""
    workspace.land_all(activities, *days(min(a.created_at for a in activities).date(), LAST_DAY), still_open=still_open)
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
def test_an_email_that_is_opened_often_counts_once(case: Workspace) -> None:
    assert share(case.channel(), "email_open_rate") == (1, 1)


@happened(
    *(sent(march(1), run, message=run) for run in "ABC"),
    *(opened(march(1) + seconds * SECOND, run, message=run) for run, seconds in (("A", 10), ("B", 11), ("C", 2))),
    opened(march(2), "C", message="C"),
)
def test_an_open_within_ten_seconds_is_not_in_the_adjusted_rate(case: Workspace) -> None:
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
def test_an_open_belongs_to_the_message_that_it_names_else_to_the_last_email_before_it(case: Workspace) -> None:
    assert share(case.channel(), "email_open_rate") == (1, 4)


@happened(sent(march(1), "A", message="mine"), opened(march(2), "A", message="yours"))
def test_an_open_that_names_a_message_of_another_run_belongs_to_none(case: Workspace) -> None:
    assert share(case.channel(), "email_open_rate") == (0, 1)


@happened(*(sent(AS_OF - length * DAY + seconds * SECOND) for length in (14, 7) for seconds in (0, 1)))
def test_a_message_is_in_a_rate_once_the_window_of_that_rate_has_closed(case: Workspace) -> None:
    row = case.channel()
    assert (row["sends"], row["eligible_for_open"], row["eligible_for_reply"]) == (4, 3, 1)
    assert (row["email_open_rate_den"], row["email_click_rate_den"], row["reply_rate_den"]) == (3, 3, 1)


# The column that counts what is in a rate, how long its window is, and what is sent.
RATED: list[tuple[str, int, Callable[..., Activity]]] = [
    ("eligible_for_open", 7, sent),
    ("eligible_for_reply", 14, sent),
    ("invitation_acceptance_rate_den", 30, invited),
]


def around(length: int, what: Callable[..., Activity], period_days: int) -> list[Activity]:
    """Return what is sent around the days that the rates of a period cover.

    A second before the first of these days, at its start, in the last second of the last one, a second later, when
    windows still close in time, and one more second later.
    """
    end = AS_OF - length * DAY
    start = end - period_days * DAY
    return [what(at, salt=str(at)) for at in (start - SECOND, start, end - SECOND, end, end + SECOND)]


@pytest.mark.parametrize(
    ("case", "column", "period"),
    [
        (cases.add(enrolled(march(0)), *around(length, what, n)), column, f"{n}d")
        for column, length, what in RATED
        for n in (7, 28)
    ],
    indirect=["case"],
)
def test_a_rate_of_a_period_covers_the_last_days_whose_own_windows_have_closed(
    case: Workspace, column: str, period: str
) -> None:
    channel = "LINKEDIN" if column.startswith("invitation") else "EMAIL"
    assert (case.channel(channel, period)[column], case.channel(channel)[column]) == (2, 4)


FIRST = AS_OF - 7 * DAY


def test_sends_of_a_period_are_of_its_last_known_days(workspace: Workspace) -> None:
    sends = [what(at) for at in (FIRST - SECOND, FIRST, AS_OF - SECOND, AS_OF) for what in (sent, invited)]
    built(workspace, [enrolled(FIRST - DAY), *sends], still_open=AS_OF.date())
    for channel, column in (("EMAIL", "sends"), ("LINKEDIN", "invitations")):
        assert [workspace.channel(channel, period)[column] for period in ("7d", "28d", "lifetime")] == [2, 3, 4]


def test_a_send_with_an_unknown_day_in_its_window_is_in_no_rate(workspace: Workspace) -> None:
    """20 March is not proved, and 31 March is the last known day."""
    happened = [
        did
        for day in (1, 5, 6, 12, 13, 21)
        for did in (enrolled(march(day), str(day)), sent(march(day), str(day)), invited(march(day), str(day)))
    ]
    workspace.rules = Rules(acceptance_window_days=10)
    workspace.land_all(happened, *days(date(2026, 3, 1), date(2026, 3, 31)), unproved_days=[date(2026, 3, 20)])
    workspace.build()
    row = workspace.channel()
    # 7 days from the 13th and 14 days from the 6th reach it. The windows of 14 days from the 18th on are still open.
    assert (row["sends"], row["eligible_for_open"], row["eligible_for_reply"]) == (6, 5, 2)
    assert (row["left_out_for_open"], row["left_out_for_reply"], row["left_out_for_acceptance"]) == (1, 3, 0)
    # The 30 days of every run reach it, or are still open.
    assert {share(row, rate) for rate in (*CONTACT_EMAIL_RATES, "contact_reply_rate")} == {(0, 0)}
    row = workspace.channel("LINKEDIN")
    # 10 days from the 12th reach it.
    assert (row["invitations"], row["invitation_acceptance_rate_den"], row["invitation_to_reply_rate_den"]) == (6, 4, 4)
    assert (row["left_out_for_open"], row["left_out_for_reply"], row["left_out_for_acceptance"]) == (0, 0, 2)
    # The last 7 days whose 7-day windows have closed begin on the 18th.
    assert workspace.channel(period="7d")["left_out_for_open"] == 0


def mail(run: str, day: int, **details: Any) -> Activity:
    """Return an email on a day of March, whose message can be named by its run and day."""
    return sent(march(day), run, message=f"{run} {day}", **details)


TOO_LATE = march(1) + 30 * DAY + SECOND


@happened(
    *(mail("A", day) for day in (1, 2, 3)),
    *(opened(march(day, 12), "A", message=f"A {day}") for day in (1, 2)),
    replied(march(4), "A", message="A 3"),
    *(mail("B", 1), clicked(march(2), "B", message="B 1")),
    *(mail("C", 1), opened(TOO_LATE, "C", message="C 1"), replied(TOO_LATE, "C", message="C 1")),
    sent(AS_OF - DAY, "D"),  # too recent
    *(sent(march(1), "E", channel="LINKEDIN"), replied(march(2), "E", channel="LINKEDIN")),
    runs="ABCDE",
)
def test_a_rate_over_contacts_counts_a_run_once_if_one_of_its_messages_was_answered(case: Workspace) -> None:
    row = case.channel()
    shares = {rate: share(row, rate) for rate in ("email_open_rate", "email_click_rate", "reply_rate")}
    assert shares == {"email_open_rate": (2, 5), "email_click_rate": (1, 5), "reply_rate": (1, 5)}
    shares = {rate: share(row, rate) for rate in (*CONTACT_EMAIL_RATES, "contact_reply_rate")}
    assert shares == {"contact_open_rate": (1, 3), "contact_click_rate": (1, 3), "contact_reply_rate": (1, 3)}
    assert (row["contact_open_rate"], row["contact_open_rate_evidence"]) == (1 / 3, "too_small")
    assert share(case.channel("LINKEDIN"), "contact_reply_rate") == (1, 1)


@happened(
    *(sent(AS_OF - 40 * DAY, "A"), opened(AS_OF - 39 * DAY, "A"), replied(AS_OF - 39 * DAY, "A")),
    *(sent(AS_OF - 70 * DAY, "B"), opened(AS_OF - 69 * DAY, "B"), replied(AS_OF - 69 * DAY, "B")),
    # C replies before its email, and D gets one only after its 30 days.
    *(invited(AS_OF - 45 * DAY, "C"), replied(AS_OF - 44 * DAY, "C", channel="LINKEDIN"), sent(AS_OF - 43 * DAY, "C")),
    *(invited(AS_OF - 75 * DAY, "D"), sent(AS_OF - 44 * DAY, "D"), replied(AS_OF - 43 * DAY, "D")),
    runs="ABCD",
)
def test_a_rate_over_contacts_covers_the_emailed_runs_of_the_same_start_days_as_the_summary(case: Workspace) -> None:
    for rate in ("contact_open_rate", "contact_reply_rate"):
        assert share(case.channel(), rate) == (2, 3)
        assert share(case.channel(period="28d"), rate) == (1, 2)


REPLIED_UNTIL = march(1) + 14 * DAY


@happened(
    *(sent(march(1), run) for run in "ABCD"),
    replied(REPLIED_UNTIL, "A"),
    replied(REPLIED_UNTIL + SECOND, "B"),
    replied(march(2), "C", category="OUT_OF_OFFICE"),
    replied(march(2), "D", category="NOT_INTERESTED"),
    runs="ABCD",
)
def test_a_valid_reply_counts_until_fourteen_days_are_over(case: Workspace) -> None:
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
def test_a_reply_belongs_to_the_message_it_names_else_to_the_last_on_its_channel_else_to_the_last(
    case: Workspace,
) -> None:
    shares = {channel: share(case.channel(channel), "reply_rate") for channel in ("EMAIL", "LINKEDIN", "MANUAL")}
    assert shares == dict.fromkeys(shares, (1, 3))


@happened(*TOUCHES, replied(march(4), "A", channel="MANUAL", message="A mail"))
def test_a_reply_that_names_a_message_belongs_to_no_other_message_on_its_channel(case: Workspace) -> None:
    assert share(case.channel("EMAIL"), "reply_rate") == (1, 3)
    assert share(case.channel("MANUAL"), "reply_rate") == (0, 3)


@happened(sent(march(1), channel="LINKEDIN"), invited(march(2)), replied(march(3), channel="LINKEDIN"))
def test_a_reply_to_an_invitation_belongs_to_no_message(case: Workspace) -> None:
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
def test_acceptances_and_replies_to_invitations_count_until_thirty_days_are_over(case: Workspace) -> None:
    row = case.channel("LINKEDIN")
    assert (row["invitations"], row["sends"]) == (4, 0)
    assert {share(row, rate) for rate in INVITATION_RATES} == {(1, 3)}


@happened(
    *(task("created", march(1), run) for run in "ABCD"),
    task("completed", march(1, 12), "A"),
    task("skipped", march(3), "A"),  # after its completion
    task("skipped", march(2), "B"),
    task("completed", march(2), "C", task="another"),
    task("completed", march(1, 8), "D"),  # before its creation
    task("created", march(1), "A", task=None, salt="without an id"),
    task("completed", march(2), "A", task=None, salt="without an id"),
    runs="ABCD",
)
def test_a_task_is_completed_skipped_or_open_by_its_id(case: Workspace) -> None:
    """A task without an id counts as created and is never open."""
    row = case.channel("MANUAL")
    assert {share(row, rate) for rate in TASK_RATES} == {(1, 5)}
    assert (row["open_tasks"], row["median_hours_to_complete_task"]) == (2, 3.0)


@happened(task("created", march(1), channel=None))
def test_tasks_without_a_channel_do_not_count_as_manual_ones(case: Workspace) -> None:
    assert case.channel("NONE")["open_tasks"] == 1
    assert [row["channel"] for row in case.rows_of("sequence_channels")] == ["NONE"] * 4


HOURS = {"A": 2, "B": 4, "C": 10, "D": 1}


@happened(
    *(task("created", march(1), run) for run in HOURS),
    *(task("skipped" if run == "D" else "completed", march(1, 9 + h), run) for run, h in HOURS.items()),
    runs=HOURS,
)
def test_the_median_is_over_completed_tasks(case: Workspace) -> None:
    assert case.channel("MANUAL")["median_hours_to_complete_task"] == 4.0


@happened(task("created", AS_OF - 7 * DAY), task("created", AS_OF - 7 * DAY - SECOND, "B"))
def test_an_old_task_is_in_no_recent_period(case: Workspace) -> None:
    assert [case.channel("MANUAL", period)["open_tasks"] for period in ("7d", "28d", "lifetime")] == [1, 2, 2]


def mails(number: int, at: datetime = AS_OF - 20 * DAY) -> list[Activity]:
    return [sent(at, f"run {n}", message=f"mail {n}") for n in range(number)]


def of(messages: list[Activity]) -> list[str]:
    return [message.run or "" for message in messages]


def tracked(number: int) -> list[Activity]:
    """Return this many mails, each of a run that enrolled on 28 February."""
    return [*(enrolled(march(0), run) for run in of(mails(number))), *mails(number)]


@happened(*mails(50), runs=of(mails(50)))
def test_tracking_is_off_when_many_emails_have_no_open_or_click(case: Workspace) -> None:
    for period in ("lifetime", "7d", "28d", "90d"):
        row = case.channel(period=period)
        assert row["tracking_off"] is True
        assert {value for rate in (*EMAIL_RATES, *CONTACT_EMAIL_RATES) for value in six(row, rate)} == {None}
    assert case.channel()["eligible_for_open"] == 50
    assert share(case.channel(), "reply_rate") == (0, 50)


def test_tracking_is_on_when_few_emails_were_sent_or_one_was_opened_or_clicked(workspace: Workspace) -> None:
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
    rows: dict[str, Row] = {name: workspace.of_case(case).channel() for name, case in names.items()}
    assert {name for name, row in rows.items() if row["tracking_off"] is not False} == set()
    assert {name: row["email_open_rate_den"] for name, row in rows.items()} == number


EDGE = AS_OF - 28 * DAY


@happened(*mails(50, EDGE), opened(EDGE - SECOND, "run 0", message="mail 0"), runs=of(mails(50)))
def test_an_open_more_than_twenty_eight_days_ago_does_not_count_for_tracking(case: Workspace) -> None:
    assert case.channel()["tracking_off"] is True


@happened(*mails(49, EDGE), sent(EDGE - SECOND, "run 0"), runs=of(mails(49)))
def test_an_email_more_than_twenty_eight_days_ago_does_not_count_for_tracking(case: Workspace) -> None:
    assert case.channel()["tracking_off"] is False


@happened(
    *(
        sent(march(1), channel=channel, salt=str(channel))
        for channel in ("EMAIL", "LINKEDIN", "MANUAL", "CARRIER_PIGEON", None)
    )
)
def test_a_rate_without_meaning_on_a_channel_is_null_with_all_its_columns(case: Workspace) -> None:
    for channel in ("LINKEDIN", "MANUAL", "OTHER", "NONE"):
        row = case.channel(channel)
        looks = {value for rate in (*EMAIL_RATES, *CONTACT_EMAIL_RATES) for value in six(row, rate)}
        assert {row["tracking_off"]} | looks == {None}
        assert share(row, "contact_reply_rate") == (0, 1)
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
        for rate in (*rates, "reply_rate", "contact_reply_rate"):
            assert six(case.channel(channel), rate) == {0, None, "none"}
            assert case.channel(channel)[rate] is None


@happened(
    sent(march(1)),
    *(sent(march(1), "Z", message="m"), opened(march(2), "Z", message="m"), replied(march(3), "Z")),
    *(invited(march(1), "Z"), Activity("invitation.accepted", march(2), "Z")),
    *(task("created", march(1), "Z"), task("created", march(1), "Z", task="done", salt="done")),
    task("completed", march(2), "Z", task="done"),
)
def test_activities_of_left_censored_runs_are_counted_and_in_no_rate(case: Workspace) -> None:
    """Z has no enrolment, and history begins a day before its first activity."""
    row = case.channel()
    assert (row["sends"], share(row, "email_open_rate"), share(row, "reply_rate")) == (2, (0, 1), (0, 1))
    assert {share(row, rate) for rate in (*CONTACT_EMAIL_RATES, "contact_reply_rate")} == {(0, 1)}
    assert (row["eligible_for_open"], row["eligible_for_reply"]) == (1, 1)
    row = case.channel("LINKEDIN")
    assert (row["invitations"], share(row, "invitation_acceptance_rate")) == (1, (0, 0))
    row = case.channel("MANUAL")
    assert (row["open_tasks"], row["median_hours_to_complete_task"]) == (1, None)
    assert {share(row, rate) for rate in TASK_RATES} == {(0, 0)}


def test_emails_of_left_censored_runs_count_for_tracking(workspace: Workspace) -> None:
    workspace.rules = Rules(censored_days=90)
    built(workspace, [enrolled(march(0)), sent(AS_OF - 20 * DAY), *mails(49)])
    assert workspace.channel()["tracking_off"] is True
    assert (workspace.channel()["sends"], workspace.channel()["eligible_for_open"]) == (50, 1)


@happened(sent(march(1), message="m"), opened(march(2), message="m", sequence=None))
def test_an_activity_without_a_sequence_counts_for_the_only_sequence_of_its_run(case: Workspace) -> None:
    assert share(case.channel(), "email_open_rate") == (1, 1)
