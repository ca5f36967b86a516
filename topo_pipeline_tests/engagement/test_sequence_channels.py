"""What became of each message, invitation and task, channel by channel."""

from collections.abc import Iterable
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest

from topo_pipeline.engagement.rules import Rules
from topo_pipeline_tests.engagement.helpers import Activity, Workspace, enrolled, march, opened, replied, sent

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


def built(workspace: Workspace, *activities: Activity, runs: Iterable[str] = "ABC") -> Workspace:
    """The runs enrolled before March, and what happened to them, as April's end knows it."""
    workspace.land_all([*(enrolled(march(0), run) for run in runs), *activities], LAST_DAY)
    workspace.build("sequence_activity", "sequence_runs", "sequence_channels")
    return workspace


def share(row: dict[str, Any], rate: str) -> tuple[int, int]:
    return row[f"{rate}_num"], row[f"{rate}_den"]


def six(row: dict[str, Any], rate: str) -> set[Any]:
    return {value for column, value in row.items() if column.startswith(f"{rate}_") or column == rate}


@pytest.mark.parametrize(
    ("look", "rate"), [(opened, "email_open_rate"), (opened, "email_open_rate_adjusted"), (clicked, "email_click_rate")]
)
def test_an_open_or_a_click_counts_until_seven_days_are_over_and_not_a_second_longer(
    workspace: Workspace, look: Any, rate: str
) -> None:
    end = march(1) + 7 * DAY
    messages = [sent(march(1), run, message=run) for run in "ABC"]
    built(workspace, *messages, look(end, "A", message="A"), look(end + SECOND, "B", message="B"))
    assert share(workspace.channel(), rate) == (1, 3)


def test_an_email_opened_often_counts_once(workspace: Workspace) -> None:
    built(workspace, sent(march(1), message="m"), *(opened(march(2), message="m", salt=salt) for salt in "xyz"))
    assert share(workspace.channel(), "email_open_rate") == (1, 1)


def test_an_open_within_ten_seconds_is_a_machines_and_a_later_one_a_persons(workspace: Workspace) -> None:
    messages = [sent(march(1), run, message=run) for run in "ABC"]
    opens = [opened(march(1) + seconds * SECOND, run, message=run) for run, seconds in (("A", 10), ("B", 11), ("C", 2))]
    built(workspace, *messages, *opens, opened(march(2), "C", message="C"))
    assert share(workspace.channel(), "email_open_rate") == (3, 3)
    assert share(workspace.channel(), "email_open_rate_adjusted") == (2, 3)


def test_an_open_is_of_the_message_that_it_names_and_else_of_the_last_email_before_it(workspace: Workspace) -> None:
    built(
        workspace,
        sent(march(1), "A", message="first"),
        sent(march(9), "A", message="second"),
        opened(march(10), "A", message="first"),  # nine days after its message, one after the run's last
        sent(march(1), "B"),
        sent(march(9), "B"),
        sent(march(9, 10), "B", channel="LINKEDIN"),
        opened(march(10), "B"),
    )
    assert share(workspace.channel(), "email_open_rate") == (1, 4)


def test_an_open_of_a_message_that_is_not_of_the_run_is_of_none(workspace: Workspace) -> None:
    built(workspace, sent(march(1), "A", message="mine"), opened(march(2), "A", message="yours"))
    assert share(workspace.channel(), "email_open_rate") == (0, 1)


def test_a_rate_knows_a_message_once_its_own_window_has_closed(workspace: Workspace) -> None:
    built(workspace, *(sent(AS_OF - days * DAY + seconds * SECOND) for days in (14, 7) for seconds in (0, 1)))
    row = workspace.channel()
    assert (row["sends"], row["eligible_for_open"], row["eligible_for_reply"]) == (4, 3, 1)
    assert (row["email_open_rate_den"], row["email_click_rate_den"], row["reply_rate_den"]) == (3, 3, 1)


@pytest.mark.parametrize(("period", "days"), [("7d", 7), ("28d", 28), ("90d", 90)])
def test_a_period_takes_what_was_sent_so_that_its_window_closed_within_it(
    workspace: Workspace, period: str, days: int
) -> None:
    """One message too old, the oldest of the period, the youngest, and one whose window is still open."""
    youngest = AS_OF - 14 * DAY
    oldest = youngest - days * DAY + SECOND
    workspace.land_all(
        [enrolled(oldest - DAY), *(sent(at) for at in (oldest - SECOND, oldest, youngest, youngest + SECOND))], LAST_DAY
    )
    workspace.build("sequence_activity", "sequence_runs", "sequence_channels")
    assert workspace.channel(period=period)["eligible_for_reply"] == 2
    assert workspace.channel()["eligible_for_reply"] == 3


def test_the_sends_of_a_period_are_of_its_days(workspace: Workspace) -> None:
    first = AS_OF - 7 * DAY
    built(workspace, *(sent(at) for at in (first - SECOND, first, AS_OF - SECOND)))
    with_an_open_day = [sent(AS_OF)]
    workspace.land(AS_OF.date(), with_an_open_day, is_open=True)
    workspace.build("sequence_activity", "sequence_runs", "sequence_channels")
    assert [workspace.channel(period=period)["sends"] for period in ("7d", "28d", "lifetime")] == [2, 3, 4]


def test_a_message_is_replied_to_within_fourteen_days_by_a_person(workspace: Workspace) -> None:
    end = march(1) + 14 * DAY
    built(
        workspace,
        *(sent(march(1), run) for run in "ABCD"),
        replied(end, "A"),
        replied(end + SECOND, "B"),
        replied(march(2), "C", category="OUT_OF_OFFICE"),
        replied(march(2), "D", category="NOT_INTERESTED"),
        runs="ABCD",
    )
    assert share(workspace.channel(), "reply_rate") == (2, 4)


def test_a_reply_is_to_the_message_it_names_then_to_its_channels_last_then_to_the_last(workspace: Workspace) -> None:
    for_each = [
        activity
        for run in "ABC"
        for activity in (
            sent(march(1), run, message=f"{run} mail"),
            sent(march(2), run, channel="LINKEDIN", message=f"{run} note"),
            sent(march(3), run, channel="MANUAL", message=f"{run} letter"),
        )
    ]
    built(
        workspace,
        *for_each,
        replied(march(4), "A", channel="MANUAL", message="A mail"),
        replied(march(4), "B", channel="LINKEDIN"),
        replied(march(4), "C", channel=None),
    )
    shares = {channel: share(workspace.channel(channel), "reply_rate") for channel in ("EMAIL", "LINKEDIN", "MANUAL")}
    assert shares == dict.fromkeys(shares, (1, 3))
    built(workspace, *for_each, replied(march(4), "A", channel="MANUAL", message="A mail"))
    assert share(workspace.channel("EMAIL"), "reply_rate") == (1, 3)
    assert share(workspace.channel("MANUAL"), "reply_rate") == (0, 3)


def test_a_reply_to_an_invitation_is_to_no_message(workspace: Workspace) -> None:
    built(workspace, sent(march(1), channel="LINKEDIN"), invited(march(2)), replied(march(3), channel="LINKEDIN"))
    row = workspace.channel("LINKEDIN")
    assert share(row, "reply_rate") == (0, 1)
    assert share(row, "invitation_to_reply_rate") == (1, 1)


def test_invitations_are_accepted_and_answered_within_thirty_days(workspace: Workspace) -> None:
    end = march(1) + 30 * DAY
    accepted = [Activity("invitation.accepted", at, run) for at, run in ((end, "A"), (end + SECOND, "B"))]
    answers = [replied(end, "B", channel="LINKEDIN"), replied(end + SECOND, "A", channel="LINKEDIN"), replied(end, "C")]
    built(workspace, *(invited(march(1), run) for run in "ABC"), *accepted, *answers, invited(AS_OF - DAY, "C"))
    row = workspace.channel("LINKEDIN")
    assert (row["invitations"], row["sends"]) == (4, 0)
    assert {share(row, rate) for rate in INVITATION_RATES} == {(1, 3)}


def test_a_task_is_completed_skipped_or_open_by_its_id(workspace: Workspace) -> None:
    built(
        workspace,
        *(task("created", march(1), run) for run in "ABCD"),
        task("completed", march(1, 12), "A"),
        task("skipped", march(3), "A"),  # too late: it is done
        task("skipped", march(2), "B"),
        task("completed", march(2), "C", task="another"),
        task("completed", march(1, 8), "D"),  # before it was there
        task("created", march(1), "A", task=None, salt="nameless"),
        runs="ABCD",
    )
    row = workspace.channel("MANUAL")
    assert {share(row, rate) for rate in TASK_RATES} == {(1, 4)}
    assert (row["open_tasks"], row["median_hours_to_complete_task"]) == (2, 3.0)


def test_tasks_without_a_channel_are_not_taken_for_manual_ones(workspace: Workspace) -> None:
    built(workspace, task("created", march(1), channel=None))
    assert workspace.channel("NONE")["open_tasks"] == 1
    assert [row["channel"] for row in workspace.rows("sequence_channels")] == ["NONE"] * 4


def test_the_median_is_of_the_tasks_that_were_completed(workspace: Workspace) -> None:
    hours = {"A": 2, "B": 4, "C": 10, "D": 1}
    built(
        workspace,
        *(task("created", march(1), run) for run in hours),
        *(task("skipped" if run == "D" else "completed", march(1, 9 + h), run) for run, h in hours.items()),
        runs=hours,
    )
    assert workspace.channel("MANUAL")["median_hours_to_complete_task"] == 4.0


def test_an_old_task_is_in_no_recent_period(workspace: Workspace) -> None:
    built(workspace, task("created", AS_OF - 7 * DAY), task("created", AS_OF - 7 * DAY - SECOND, "B"))
    assert [workspace.channel("MANUAL", period)["open_tasks"] for period in ("7d", "28d", "lifetime")] == [1, 2, 2]


def mails(number: int, at: datetime = AS_OF - 20 * DAY) -> list[Activity]:
    return [sent(at, f"run {n}", message=f"mail {n}") for n in range(number)]


def of(messages: list[Activity]) -> list[str]:
    return [message.run or "" for message in messages]


def test_many_emails_without_an_open_or_a_click_mean_that_nothing_tracks_them(workspace: Workspace) -> None:
    built(workspace, *mails(50), runs=of(mails(50)))
    for period in ("lifetime", "7d", "28d", "90d"):
        row = workspace.channel(period=period)
        assert row["tracking_off"] is True
        assert {value for rate in EMAIL_RATES for value in six(row, rate)} == {None}
    assert workspace.channel()["eligible_for_open"] == 50
    assert share(workspace.channel(), "reply_rate") == (0, 50)


@pytest.mark.parametrize(
    ("number", "more"),
    [
        (49, []),
        (50, [opened(AS_OF - 3 * DAY, "run 0", message="mail 0")]),
        (50, [clicked(AS_OF - 3 * DAY, "run 0", message="mail 0")]),
        (50, [opened(AS_OF - DAY, "of another time", channel="EMAIL")]),
        (50, [opened(AS_OF - 28 * DAY, "run 0")]),
        (50, [clicked(AS_OF + DAY, "run 0", message="mail 0")]),
    ],
    ids=(
        "a mail fewer",
        "an open",
        "a click",
        "an open in a left-censored run",
        "an open before any mail",
        "a click of the day that is still open",
    ),
)
def test_tracking_is_on_where_little_was_sent_or_anything_was_seen(
    workspace: Workspace, number: int, more: list[Activity]
) -> None:
    workspace.rules = Rules(censored_days=90)
    workspace.land((AS_OF + DAY).date(), [click for click in more if click.created_at > AS_OF], is_open=True)
    more = [look for look in more if look.created_at < AS_OF]
    built(workspace, *mails(number), *more, runs=of(mails(number)))
    assert workspace.channel()["tracking_off"] is False
    assert workspace.channel()["email_open_rate_den"] == number


def test_what_is_older_than_twenty_eight_days_tells_nothing_of_tracking(workspace: Workspace) -> None:
    edge = AS_OF - 28 * DAY
    old = [opened(edge - SECOND, "run 0", message="mail 0")]
    built(workspace, *mails(50, edge), *old, runs=of(mails(50)))
    assert workspace.channel()["tracking_off"] is True
    built(workspace, *mails(49, edge), sent(edge - SECOND, "run 0"), runs=of(mails(49)))
    assert workspace.channel()["tracking_off"] is False


def test_a_rate_that_means_nothing_on_a_channel_is_null_with_all_its_columns(workspace: Workspace) -> None:
    channels = ("EMAIL", "LINKEDIN", "MANUAL", "CARRIER_PIGEON", None)
    built(workspace, *(sent(march(1), channel=channel, salt=str(channel)) for channel in channels))
    for channel in ("LINKEDIN", "MANUAL", "OTHER", "NONE"):
        row = workspace.channel(channel)
        assert {row["tracking_off"]} | {value for rate in EMAIL_RATES for value in six(row, rate)} == {None}
    for channel in ("EMAIL", "MANUAL", "OTHER", "NONE"):
        assert {value for rate in INVITATION_RATES for value in six(workspace.channel(channel), rate)} == {None}


def test_unknown_channels_count_under_other_and_missing_ones_under_none(workspace: Workspace) -> None:
    built(
        workspace, *(sent(march(1), run, channel=c) for run, c in (("A", "CARRIER_PIGEON"), ("B", "FAX"), ("C", None)))
    )
    assert {
        row["channel"]: row["sends"] for row in workspace.rows("sequence_channels") if row["period"] == "lifetime"
    } == {
        "OTHER": 2,
        "NONE": 1,
    }


def test_a_rate_over_nothing_is_null_and_never_zero(workspace: Workspace) -> None:
    built(workspace, sent(AS_OF - DAY), invited(AS_OF - DAY))
    for channel, rates in (("EMAIL", EMAIL_RATES), ("LINKEDIN", INVITATION_RATES), ("LINKEDIN", TASK_RATES)):
        for rate in (*rates, "reply_rate"):
            assert six(workspace.channel(channel), rate) == {0, None, "none"}
            assert workspace.channel(channel)[rate] is None


def test_what_left_censored_runs_did_is_counted_and_in_no_rate(workspace: Workspace) -> None:
    begun_before = [
        *(sent(march(1), "Z", message="m"), opened(march(2), "Z", message="m"), replied(march(3), "Z")),
        *(invited(march(1), "Z"), Activity("invitation.accepted", march(2), "Z")),
        *(task("created", march(1), "Z"), task("created", march(1), "Z", task="done", salt="done")),
        task("completed", march(2), "Z", task="done"),
    ]
    built(workspace, sent(march(1)), *begun_before)
    row = workspace.channel()
    assert (row["sends"], share(row, "email_open_rate"), share(row, "reply_rate")) == (2, (0, 1), (0, 1))
    assert (row["eligible_for_open"], row["eligible_for_reply"]) == (1, 1)
    row = workspace.channel("LINKEDIN")
    assert (row["invitations"], share(row, "invitation_acceptance_rate")) == (1, (0, 0))
    row = workspace.channel("MANUAL")
    assert (row["open_tasks"], row["median_hours_to_complete_task"]) == (1, None)
    assert {share(row, rate) for rate in TASK_RATES} == {(0, 0)}


def test_many_emails_of_left_censored_runs_tell_that_nothing_tracks_them(workspace: Workspace) -> None:
    workspace.rules = Rules(censored_days=90)
    built(workspace, sent(AS_OF - 20 * DAY), *mails(49), runs="A")
    assert workspace.channel()["tracking_off"] is True
    assert (workspace.channel()["sends"], workspace.channel()["eligible_for_open"]) == (50, 1)


def test_an_activity_without_a_sequence_counts_with_its_runs_only_other_one(workspace: Workspace) -> None:
    built(workspace, sent(march(1), message="m"), opened(march(2), message="m", sequence=None))
    assert share(workspace.channel(), "email_open_rate") == (1, 1)


def test_where_no_day_is_closed_no_rate_knows_anything(workspace: Workspace) -> None:
    workspace.land(march(1).date(), [enrolled(march(1, 8)), sent(march(1))], is_open=True)
    workspace.build("sequence_runs", "sequence_channels", rules=Rules(open_window_days=0, message_reply_window_days=0))
    row = workspace.channel()
    assert (row["as_of"], row["sends"], row["eligible_for_open"], row["eligible_for_reply"]) == (None, 1, 0, 0)
    assert workspace.channel(period="7d")["sends"] == 0
